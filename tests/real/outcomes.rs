//! What stateful Collectors behind the gateway compute: the reason why anyone routes by service or metric.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
    number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

use crate::collector::Collector;
use crate::gateway::{Gateway, Kind};
use crate::load::{Export, channel, text};
use crate::samples::{self, Sample};
use crate::workspace::Workspace;
use crate::{alone, poll, report};

/// A fixed time for the first of everything.
const START: u64 = 1_760_000_000_000_000_000;

const COLLECTORS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn span_metrics_count_every_call_once_by_service() -> anyhow::Result<()> {
    // Scenario: 6,000 spans of 60 services with 5 operations each, the spans of a trace spread over services and requests,
    // go through `routing_key: service` to three Collectors with the spanmetrics connector.
    // Guarantees: the calls of each (service, operation) are those that were made, and each series has one writer.
    let _alone = alone().await;
    let workspace = Workspace::new("outcomes-spans")?;
    let calls = Calls::new(11);
    let series = |sample: &Sample| sample.series.starts_with("traces.span.metrics.calls{");
    let written = run(&workspace, &calls.requests, |written| {
        // Cumulative counters: once the last values are complete, nothing changes any more.
        let last = written.iter().flat_map(|samples| last_values(samples, series));
        let counted: f64 = last.map(|(_, value)| value).sum();
        counted >= calls.made.values().sum::<f64>()
    })
    .await?;

    let last: Vec<BTreeMap<String, f64>> =
        written.iter().map(|samples| last_values(samples, series).collect()).collect();
    let problems = calls.problems(&last);
    ensure!(problems.is_empty(), "{} problems, such as\n{}", problems.len(), first(&problems));
    report(format!(
        "outcomes: {} calls of {} operations counted, series at each Collector: {:?}",
        calls.made.values().sum::<f64>(),
        calls.made.len(),
        last.iter().map(BTreeMap::len).collect::<Vec<_>>()
    ));
    workspace.remove()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deltas_add_up_by_metric() -> anyhow::Result<()> {
    // Scenario: 60 cumulative metrics (integer and double sums, histograms) with 6 streams each grow for 25 rounds, and go
    // through `routing_key: metric` to three Collectors with the cumulativetodelta processor.
    // Guarantees: the deltas of each stream add up to its last value; there is one for each point, none is negative, and
    // all are at one Collector. A stream that had reached two would be too large, because each counts its first point.
    let _alone = alone().await;
    let workspace = Workspace::new("outcomes-points")?;
    let counters = Counters::new(12);
    let samples: usize = counters.points.values().sum();
    let written =
        run(&workspace, &counters.requests, |written| written.iter().map(Vec::len).sum::<usize>() >= samples)
            .await?;

    let problems = counters.problems(&written);
    ensure!(problems.is_empty(), "{} problems, such as\n{}", problems.len(), first(&problems));
    report(format!(
        "outcomes: {samples} deltas of {} series add up, at each Collector: {:?}",
        counters.last.len(),
        written.iter().map(Vec::len).collect::<Vec<_>>()
    ));
    workspace.remove()
}

/// Sends the requests one after another through the gateway to stateful Collectors, waits until what they wrote is
/// `complete`, and returns it for each Collector. If it never is, what is missing is found by the caller.
async fn run(
    workspace: &Workspace,
    requests: &[Export],
    complete: impl Fn(&[Vec<Sample>]) -> bool,
) -> anyhow::Result<Vec<Vec<Sample>>> {
    let mut collectors = Vec::new();
    for number in 1..=COLLECTORS {
        let name = format!("stateful-{number}");
        collectors.push(Collector::start(&name, "outcomes_backend.yaml", "", workspace).await?);
    }
    let endpoints: Vec<String> = collectors.iter().map(|collector| collector.endpoint.to_string()).collect();
    let files: Vec<PathBuf> = collectors.iter().map(|collector| collector.file().to_owned()).collect();
    let read = || files.iter().map(|file| samples::read(file)).collect::<anyhow::Result<Vec<_>>>();
    let gateway = Gateway::start(Kind::under_test()?, "outcomes_gateway.yaml", &endpoints, workspace).await?;

    let channel = channel(gateway.grpc).await?;
    for request in requests {
        request.clone().send(channel.clone()).await.context("a request was refused")?;
    }
    let waited = poll::until("the Collectors have written everything", Duration::from_secs(20), async || {
        Ok(complete(&read()?).then_some(()))
    })
    .await;
    gateway.stop().await?;
    for collector in collectors {
        collector.stop().await?;
    }
    if let Err(error) = waited {
        report(format!("outcomes: {error:#}"));
    }
    read()
}

fn first(problems: &[String]) -> String {
    problems.iter().take(10).map(String::as_str).collect::<Vec<_>>().join("\n")
}

// === Spans ===

/// Spans, and how many of them each operation has.
#[derive(Debug)]
struct Calls {
    requests: Vec<Export>,
    /// (service, operation) → calls.
    made: BTreeMap<(String, String), f64>,
}

impl Calls {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut made = BTreeMap::new();
        let mut number = 0_u64;
        let mut request = |rng: &mut fastrand::Rng| {
            let mut services: BTreeMap<String, Vec<Span>> = BTreeMap::new();
            let traces: Vec<[u8; 16]> = (0..10).map(|_| rng.u128(1..).to_be_bytes()).collect();
            for _ in 0..100 {
                number += 1;
                let (service, operation) =
                    (format!("service-{}", rng.u8(..60)), format!("operation-{}", rng.u8(..5)));
                *made.entry((service.clone(), operation.clone())).or_default() += 1.0;
                services.entry(service).or_default().push(Span {
                    trace_id: traces[rng.usize(..traces.len())].to_vec(),
                    span_id: number.to_be_bytes().to_vec(),
                    name: operation,
                    kind: rng.i32(1..6),
                    start_time_unix_nano: START,
                    end_time_unix_nano: START + 1_000_000,
                    ..Span::default()
                });
            }
            let resource_spans = services.into_iter().map(|(service, spans)| ResourceSpans {
                resource: Some(resource(&service)),
                scope_spans: vec![ScopeSpans { spans, ..ScopeSpans::default() }],
                ..ResourceSpans::default()
            });
            Export::Traces(ExportTraceServiceRequest { resource_spans: resource_spans.collect() })
        };
        let requests = (0..60).map(|_| request(&mut rng)).collect();
        Self { requests, made }
    }

    /// Everything that is wrong with the last values of the series of each Collector.
    fn problems(&self, last: &[BTreeMap<String, f64>]) -> Vec<String> {
        let mut problems = Vec::new();
        let mut writers: BTreeMap<&str, usize> = BTreeMap::new();
        let mut counted: BTreeMap<(String, String), f64> = BTreeMap::new();
        for (collector, series) in last.iter().enumerate() {
            if series.is_empty() {
                problems.push(format!("Collector {collector} counted nothing"));
            }
            for (series, value) in series {
                if let Some(other) = writers.insert(series, collector) {
                    problems.push(format!("{series} is written by Collectors {other} and {collector}"));
                }
                let label = |name| label(series, name).unwrap_or_default().to_owned();
                *counted.entry((label("service.name"), label("span.name"))).or_default() += value;
            }
        }
        problems.extend(differences(&self.made, &counted, "calls"));
        problems
    }
}

/// The last value of each series that is of interest. A cumulative counter never falls, so its last value is the largest.
fn last_values(
    samples: &[Sample],
    of_interest: impl Fn(&Sample) -> bool,
) -> impl Iterator<Item = (String, f64)> {
    let mut last: BTreeMap<String, (u64, f64)> = BTreeMap::new();
    for sample in samples.iter().filter(|sample| of_interest(sample)) {
        let value = last.entry(sample.series.clone()).or_default();
        if sample.time >= value.0 {
            *value = (sample.time, sample.value);
        }
    }
    last.into_iter().map(|(series, (_, value))| (series, value))
}

/// The value of a label in `name{key=value,…}`.
fn label<'a>(series: &'a str, name: &str) -> Option<&'a str> {
    let labels = series.split_once('{')?.1.strip_suffix('}')?;
    labels.split(',').find_map(|label| label.strip_prefix(name)?.strip_prefix('='))
}

// === Points ===

/// Cumulative points, and what their deltas have to add up to.
#[derive(Debug)]
struct Counters {
    requests: Vec<Export>,
    /// Series → its last value.
    last: BTreeMap<String, f64>,
    /// Series → how many points were sent.
    points: BTreeMap<String, usize>,
}

const METRICS: usize = 60;
const ROUNDS: u64 = 25;

impl Counters {
    fn new(seed: u64) -> Self {
        let mut counters = Self { requests: Vec::new(), last: BTreeMap::new(), points: BTreeMap::new() };
        let mut rng = fastrand::Rng::with_seed(seed);
        for round in 1..=ROUNDS {
            // Each round in several requests, so that a request holds some metrics of some services.
            let mut requests: Vec<ExportMetricsServiceRequest> =
                vec![ExportMetricsServiceRequest::default(); 3];
            for service in ["cart", "checkout", "payment"] {
                let mut metrics: Vec<Vec<Metric>> = vec![Vec::new(); requests.len()];
                for number in 0..METRICS {
                    metrics[rng.usize(..requests.len())]
                        .push(counters.grow(&mut rng, round, service, number));
                }
                for (request, metrics) in requests.iter_mut().zip(metrics) {
                    request.resource_metrics.push(ResourceMetrics {
                        resource: Some(resource(service)),
                        scope_metrics: vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }],
                        ..ResourceMetrics::default()
                    });
                }
            }
            counters.requests.extend(requests.into_iter().map(Export::Metrics));
        }
        counters
    }

    /// The next points of one metric of one service, one for each of two zones.
    fn grow(&mut self, rng: &mut fastrand::Rng, round: u64, service: &str, number: usize) -> Metric {
        const CUMULATIVE: i32 = 2;
        let name = format!("metric.{number}");
        let zones = ["a", "b"];
        let time = START + round * 1_000_000_000;
        let mut total = |part: &str, zone: &str, growth: f64| -> f64 {
            let series = format!("{name}{part}{{service.name={service},zone={zone}}}");
            *self.points.entry(series.clone()).or_default() += 1;
            let total = self.last.entry(series).or_default();
            *total += growth;
            *total
        };
        let data = match number % 3 {
            2 => Data::Histogram(Histogram {
                aggregation_temporality: CUMULATIVE,
                data_points: zones
                    .map(|zone| {
                        let (low, high) = (f64::from(rng.u8(..10)), f64::from(rng.u8(..10)));
                        HistogramDataPoint {
                            attributes: vec![text("zone", zone)],
                            start_time_unix_nano: START,
                            time_unix_nano: time,
                            count: whole(total(".count", zone, low + high)),
                            sum: Some(total(".sum", zone, low * 0.5 + high * 2.0)),
                            bucket_counts: vec![
                                whole(total(".bucket.0", zone, low)),
                                whole(total(".bucket.1", zone, high)),
                            ],
                            explicit_bounds: vec![1.0],
                            ..HistogramDataPoint::default()
                        }
                    })
                    .to_vec(),
            }),
            kind => Data::Sum(Sum {
                aggregation_temporality: CUMULATIVE,
                is_monotonic: true,
                data_points: zones
                    .map(|zone| {
                        let growth = f64::from(rng.u8(..100));
                        NumberDataPoint {
                            attributes: vec![text("zone", zone)],
                            start_time_unix_nano: START,
                            time_unix_nano: time,
                            value: Some(if kind == 0 {
                                let total = total("", zone, growth);
                                number_data_point::Value::AsInt(whole(total).cast_signed())
                            } else {
                                number_data_point::Value::AsDouble(total("", zone, growth / 4.0))
                            }),
                            ..NumberDataPoint::default()
                        }
                    })
                    .to_vec(),
            }),
        };
        Metric { name, data: Some(data), ..Metric::default() }
    }

    /// Everything that is wrong with what each Collector wrote.
    fn problems(&self, written: &[Vec<Sample>]) -> Vec<String> {
        let mut problems = Vec::new();
        let mut writers: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
        let mut sums: BTreeMap<String, f64> = BTreeMap::new();
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for (collector, samples) in written.iter().enumerate() {
            if samples.is_empty() {
                problems.push(format!("Collector {collector} wrote nothing"));
            }
            for sample in samples {
                if sample.value < 0.0 {
                    problems.push(format!("{} fell by {}", sample.series, -sample.value));
                }
                writers.entry(&sample.series).or_default().insert(collector);
                *sums.entry(sample.series.clone()).or_default() += sample.value;
                *counts.entry(sample.series.clone()).or_default() += 1;
            }
        }
        for (series, writers) in writers.iter().filter(|(_, writers)| writers.len() > 1) {
            problems.push(format!("{series} is written by Collectors {writers:?}"));
        }
        problems.extend(differences(&self.last, &sums, "growth"));
        problems.extend(differences(&self.points, &counts, "deltas"));
        problems
    }
}

/// Every key whose value is not the same in both.
fn differences<K: Ord + std::fmt::Debug, V: PartialEq + std::fmt::Debug>(
    truth: &BTreeMap<K, V>,
    found: &BTreeMap<K, V>,
    what: &str,
) -> Vec<String> {
    let keys: BTreeSet<&K> = truth.keys().chain(found.keys()).collect();
    let different = keys.into_iter().filter(|key| truth.get(key) != found.get(key));
    different
        .map(|key| format!("{key:?}: {what} {:?}, and should be {:?}", found.get(key), truth.get(key)))
        .collect()
}

fn resource(service: &str) -> Resource {
    Resource { attributes: vec![text("service.name", service)], ..Resource::default() }
}

/// A count that was kept as a float, far below where those become inexact.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small whole numbers")]
fn whole(count: f64) -> u64 {
    count as u64
}

#[test]
fn each_kind_of_wrong_outcome_is_seen() {
    // Scenario: right outcomes, and the same with a lost, doubled and second-hand call, and with a lost, negative and
    // second-hand delta.
    // Guarantees: the checks of the tests above accept the first and name every other.
    let operation = ("s".to_owned(), "o".to_owned());
    let calls = Calls { requests: Vec::new(), made: BTreeMap::from([(operation, 3.0)]) };
    let series = |kind: &str| format!("calls{{service.name=s,span.kind={kind},span.name=o}}");
    let check = |one: &[(&str, f64)], other: &[(&str, f64)]| {
        let of = |series_of: &[(&str, f64)]| {
            series_of.iter().map(|(kind, value)| (series(kind), *value)).collect::<BTreeMap<_, _>>()
        };
        calls.problems(&[of(one), of(other)]).len()
    };
    assert_eq!(check(&[("A", 1.0)], &[("B", 2.0)]), 0);
    assert_eq!(check(&[("A", 1.0)], &[("B", 1.0)]), 1);
    assert_eq!(check(&[("A", 1.0)], &[("B", 3.0)]), 1);
    assert_eq!(check(&[("A", 1.0), ("B", 1.0)], &[("B", 1.0)]), 1);
    assert_eq!(check(&[("A", 1.0), ("B", 2.0)], &[]), 1);

    let counters = Counters {
        requests: Vec::new(),
        last: BTreeMap::from([("m{}".to_owned(), 5.0), ("n{}".to_owned(), 1.0)]),
        points: BTreeMap::from([("m{}".to_owned(), 2), ("n{}".to_owned(), 1)]),
    };
    let check = |one: &[(&str, f64)], other: &[(&str, f64)]| {
        let of = |samples: &[(&str, f64)]| -> Vec<Sample> {
            let sample = |(series, value): &(&str, f64)| Sample {
                series: format!("{series}{{}}"),
                time: 0,
                value: *value,
            };
            samples.iter().map(sample).collect()
        };
        counters.problems(&[of(one), of(other)]).len()
    };
    assert_eq!(check(&[("m", 2.0), ("m", 3.0)], &[("n", 1.0)]), 0);
    assert_eq!(check(&[("m", 2.0), ("m", 2.0)], &[("n", 1.0)]), 1);
    assert_eq!(check(&[("m", 5.0)], &[("n", 1.0)]), 1);
    assert_eq!(check(&[("m", 6.0), ("m", -1.0)], &[("n", 1.0)]), 1);
    assert_eq!(check(&[("m", 2.0)], &[("n", 1.0), ("m", 3.0)]), 1);
    assert_eq!(check(&[("m", 2.0), ("m", 3.0), ("n", 1.0)], &[]), 1);
}

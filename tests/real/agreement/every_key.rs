//! Every signal by every routing key, on requests that are hard to route.
//!
//! One gateway serves all cases at once: each has a receiver, an exporter and a pipeline of its own, and all exporters
//! have the same backends. No two items of all cases have the same number, so an item that strays into another case, or
//! comes late a second time, is seen.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures_util::{StreamExt as _, stream};
use ringway::model::settings::RingGeneration;
use ringway::ring::Ring;
use serde_json::{Map, Value, json};
use tonic::Code;

use super::items::{self, Item};
use crate::adversarial::{Generator, ROUTING_ATTRIBUTES};
use crate::gateway::{Gateway, Kind};
use crate::load::{Export, channel};
use crate::routing::{self, Key, Missing, Routed, Routes};
use crate::sink::Sink;
use crate::workspace::Workspace;
use crate::{alone, loopback, poll, report};

/// Requests of each case, and items in each of them (metrics without points come on top).
const REQUESTS: usize = 84;
const REQUEST_ITEMS: usize = 60;

/// Requests of a case on their way at the same time.
const IN_FLIGHT: usize = 4;

/// The items of each case are numbered from a multiple of this.
const NUMBERS: u64 = 1_000_000;

const BACKENDS: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_item_goes_where_the_collector_sends_it_by_every_key() -> anyhow::Result<()> {
    // Scenario: for every signal and routing key, 5,000 generated items with attributes of every type, twice, missing
    // and on the wrong level pass through a real Collector and through ringway, with the same five static endpoints.
    // Guarantees: the Collector does what the oracle says, ringway does what the Collector does: every item at the same
    // backend, once; a log record without trace id, which the Collector sends anywhere, once; what the Collector drops,
    // nowhere. ringway changes nothing in an item or in its resource, scope and metric. All backends take part.
    let _alone = alone().await;
    let workspace = Workspace::new("agreement-keys")?;
    let mut sinks = Vec::new();
    for _ in 0..BACKENDS {
        sinks.push(Sink::start().await?);
    }
    let endpoints: Vec<String> = sinks.iter().map(|sink| sink.address.to_string()).collect();
    let names: Vec<&str> = endpoints.iter().map(String::as_str).collect();
    let ring = Ring::new(RingGeneration::G3, &names);
    let cases = cases();

    let theirs = deliver(Kind::Collector, &cases, &endpoints, &sinks, &workspace).await?;
    let ours = deliver(Kind::under_test()?, &cases, &endpoints, &sinks, &workspace).await?;

    let mut problems = Vec::new();
    for case in &cases {
        let expected = case.expected(&ring);
        let (theirs, ours) = (case.of(&theirs), case.of(&ours));
        let mut found = problems_of("the Collector", &expected, &theirs, None);
        let contents = (Kind::under_test()? == Kind::Ringway).then(|| case.contents());
        found.extend(problems_of("the gateway", &expected, &ours, contents.as_ref()));
        found.extend(idle(&expected, &ours).map(|sink| format!("backend {sink} got nothing")));
        report(case.account(&expected, &theirs, &ours));
        let count = found.len();
        problems.extend(found.into_iter().take(5).map(|problem| format!("{}: {problem}", case.name())));
        if count > 5 {
            problems.push(format!("{}: and {} more", case.name(), count - 5));
        }
    }
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    workspace.remove()
}

// === Cases ===

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signal {
    Traces,
    Logs,
    Metrics,
}

/// One signal by one key.
#[derive(Debug)]
struct Case {
    signal: Signal,
    /// `routing_key` in the configuration; the attributes are those of the key.
    routing_key: &'static str,
    key: Key<'static>,
    /// Where the numbers of its items begin.
    first: u64,
    requests: Vec<Export>,
}

/// All pairs of signal and key that the Collector allows.
fn cases() -> Vec<Case> {
    const BY_ITSELF: &[(Signal, &str, Key<'static>)] = &[
        (Signal::Traces, "traceID", Key::TraceId),
        (Signal::Traces, "service", Key::ServiceSegment),
        (Signal::Logs, "service", Key::ServiceName),
        (Signal::Logs, "resource", Key::Resource),
        (Signal::Logs, "traceID", Key::TraceIdHex),
        (Signal::Metrics, "service", Key::ServiceName),
        (Signal::Metrics, "resource", Key::Resource),
        (Signal::Metrics, "metric", Key::Metric),
        (Signal::Metrics, "streamID", Key::Stream),
    ];
    let by_attributes = [Signal::Traces, Signal::Logs, Signal::Metrics].into_iter().flat_map(|signal| {
        ROUTING_ATTRIBUTES.iter().map(move |names| (signal, "attributes", Key::Attributes(names)))
    });
    let all = BY_ITSELF.iter().copied().chain(by_attributes);
    (1_u64..)
        .zip(all)
        .map(|(seed, (signal, routing_key, key))| {
            let first = seed * NUMBERS;
            let mut generator = Generator::numbered_from(first, seed);
            let one = |_| match signal {
                Signal::Traces => Export::Traces(generator.traces(REQUEST_ITEMS)),
                Signal::Logs => Export::Logs(generator.logs(REQUEST_ITEMS)),
                Signal::Metrics => Export::Metrics(generator.metrics(REQUEST_ITEMS)),
            };
            Case { signal, routing_key, key, first, requests: (0..REQUESTS).map(one).collect() }
        })
        .collect()
}

impl Case {
    fn name(&self) -> String {
        match self.key {
            Key::Attributes(names) => format!("{:?} by attributes {names:?}", self.signal),
            _ => format!("{:?} by {}", self.signal, self.routing_key),
        }
    }

    /// What the oracle says of all items of a request.
    fn routes(&self, request: &Export) -> Routes {
        match request {
            Export::Traces(request) => routing::traces(request, self.key, Missing::Compatible),
            Export::Logs(request) => routing::logs(request, self.key, Missing::Compatible),
            Export::Metrics(request) => routing::metrics(request, self.key, Missing::Compatible),
        }
    }

    /// The same with backends in place of keys.
    fn expected(&self, ring: &Ring) -> BTreeMap<u64, Expected> {
        let mut all = BTreeMap::new();
        for request in &self.requests {
            let mut expected: BTreeMap<u64, Expected> = BTreeMap::new();
            for (number, routed) in self.routes(request) {
                let backend = match routed {
                    Routed::By(key) => Expected::At(ring.slot_of(&key).unwrap_or(usize::MAX), key),
                    Routed::Random => Expected::Anywhere,
                    Routed::Dropped => Expected::Nowhere,
                };
                expected.insert(number, backend);
            }
            let pointless = pointless(request);
            let company: BTreeSet<usize> = expected
                .iter()
                .filter(|(number, _)| !pointless.contains(*number))
                .filter_map(|(_, expected)| expected.owner())
                .collect();
            for number in pointless {
                if let Some(Expected::At(owner, key)) = expected.get(&number)
                    && !company.contains(owner)
                {
                    expected.insert(number, Expected::AtMost(*owner, key.clone()));
                }
            }
            all.extend(expected);
        }
        all
    }

    /// How many spans, records and points have to arrive.
    fn delivered(&self) -> usize {
        let routes = self.requests.iter().flat_map(|request| {
            let pointless = pointless(request);
            self.routes(request).into_iter().filter(move |(number, _)| !pointless.contains(number))
        });
        routes.filter(|(_, routed)| *routed != Routed::Dropped).count()
    }

    /// The part of the arrivals that belongs to this case.
    fn of(&self, arrivals: &Arrivals) -> Arrivals {
        let numbers = self.first..self.first + NUMBERS;
        arrivals.range(numbers).map(|(number, arrived)| (*number, arrived.clone())).collect()
    }

    fn contents(&self) -> BTreeMap<u64, u64> {
        self.requests.iter().flat_map(items::of).map(|item| (item.number, item.contents)).collect()
    }

    /// One line about what was compared.
    fn account(&self, expected: &BTreeMap<u64, Expected>, theirs: &Arrivals, ours: &Arrivals) -> String {
        let backends = |arrivals: &Arrivals, number| -> Vec<usize> {
            arrivals.get(number).into_iter().flatten().map(|(sink, _)| *sink).collect()
        };
        let keyed = expected.iter().filter(|(_, expected)| matches!(expected, Expected::At(..)));
        let (all, same) = keyed.fold((0, 0), |(all, same), (number, _)| {
            let (theirs, ours) = (backends(theirs, number), backends(ours, number));
            (all + 1, same + usize::from(theirs == ours && !ours.is_empty()))
        });
        let mut line = format!("agreement: {}: {same} of {all} items at the same backend", self.name());
        let count = |is: fn(&Expected) -> bool| expected.values().filter(|expected| is(expected)).count();
        let others = [
            (count(|it| *it == Expected::Anywhere), "records without trace id go anywhere and are left out"),
            (
                count(|it| matches!(it, Expected::AtMost(..))),
                "metrics without points go there alone or not at all",
            ),
            (count(|it| *it == Expected::Nowhere), "are dropped"),
        ];
        for (count, what) in others.iter().filter(|(count, _)| *count > 0) {
            line += &format!("; {count} {what}");
        }
        line
    }
}

/// Metrics without points.
fn pointless(request: &Export) -> BTreeSet<u64> {
    let Export::Metrics(request) = request else { return BTreeSet::new() };
    let scopes = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    let metrics = scopes.flat_map(|scope| &scope.metrics);
    metrics.filter(|metric| routing::points(metric).is_empty()).map(routing::metric_number).collect()
}

/// Where an item has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Expected {
    /// At this backend, because of these key bytes.
    At(usize, Vec<u8>),
    /// The same or nowhere: a metric without points, and there is no point of its request that goes to this backend. The
    /// Collector's sending queue drops such a request as empty (exporterhelper v0.161.0, `memory_queue.go`, `Offer`).
    AtMost(usize, Vec<u8>),
    Anywhere,
    Nowhere,
}

impl Expected {
    fn owner(&self) -> Option<usize> {
        match self {
            Self::At(owner, _) | Self::AtMost(owner, _) => Some(*owner),
            Self::Anywhere | Self::Nowhere => None,
        }
    }

    fn fits(&self, backends: &[usize]) -> bool {
        match self {
            Self::At(owner, _) => backends == [*owner],
            Self::AtMost(owner, _) => backends == [*owner] || backends.is_empty(),
            Self::Anywhere => backends.len() == 1,
            Self::Nowhere => backends.is_empty(),
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(owner, key) => write!(f, "at backend {owner} by key {:?}", String::from_utf8_lossy(key)),
            Self::AtMost(owner, _) => write!(f, "at backend {owner} or nowhere"),
            Self::Anywhere => f.write_str("once, anywhere"),
            Self::Nowhere => f.write_str("nowhere"),
        }
    }
}

// === Delivery ===

/// What arrived under each number: backend and item, as often as it came.
type Arrivals = BTreeMap<u64, Vec<(usize, Item)>>;

/// Sends every case through one gateway. The gateway has stopped when this returns.
async fn deliver(
    kind: Kind,
    cases: &[Case],
    endpoints: &[String],
    sinks: &[Sink],
    workspace: &Workspace,
) -> anyhow::Result<Arrivals> {
    let receivers = cases.iter().map(|_| loopback::endpoint()).collect::<anyhow::Result<Vec<_>>>()?;
    let config = workspace.path(&format!("{kind:?}.yaml"));
    std::fs::write(&config, ascii(&configuration(cases, &receivers, endpoints)))?;
    let config = config.to_str().context("a path that is not UTF-8")?;
    let gateway = Gateway::start(kind, config, endpoints, workspace).await?;

    let mut arrivals = Arrivals::new();
    for (case, receiver) in cases.iter().zip(receivers) {
        deliver_case(case, receiver, sinks)
            .await
            .with_context(|| format!("{} through {kind:?}", case.name()))?;
        take(sinks, &mut arrivals);
    }
    gateway.stop().await?;
    take(sinks, &mut arrivals);
    Ok(arrivals)
}

/// Adds what the sinks got to the arrivals.
fn take(sinks: &[Sink], arrivals: &mut Arrivals) {
    for (sink, requests) in sinks.iter().map(Sink::take).enumerate() {
        for item in requests.iter().flat_map(items::of) {
            arrivals.entry(item.number).or_default().push((sink, item));
        }
    }
}

/// Sends one case and waits until everything that has to arrive has.
async fn deliver_case(case: &Case, receiver: SocketAddr, sinks: &[Sink]) -> anyhow::Result<()> {
    let channel = channel(receiver).await?;
    let answers = stream::iter(&case.requests).map(|request| {
        let sent = request.clone().send(channel.clone());
        async { (sent.await, case.routes(request).values().all(|routed| *routed == Routed::Dropped)) }
    });
    let mut answers = answers.buffer_unordered(IN_FLIGHT);
    while let Some((answer, all_dropped)) = answers.next().await {
        match answer {
            // The Collector refuses a request for good if it drops everything in it for want of a key.
            Err(status) if all_dropped && !retryable(status.code()) => {}
            other => other.context("a request was refused")?,
        }
    }

    let wanted = case.delivered();
    let arrived = || sinks.iter().map(Sink::items).sum::<usize>();
    // What is missing in the end is found item by item.
    let waited = poll::until("all items arrive", Duration::from_secs(20), async || {
        Ok((arrived() >= wanted).then_some(()))
    })
    .await;
    if waited.is_err() {
        report(format!("{}: {} of {wanted} items arrived", case.name(), arrived()));
    }
    Ok(())
}

/// Whether OTLP clients send again after this answer. Source: opentelemetry-proto, OTLP specification, "Failures".
fn retryable(code: Code) -> bool {
    matches!(
        code,
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
            | Code::ResourceExhausted
    )
}

/// The configuration of a gateway for all cases. JSON is YAML.
fn configuration(cases: &[Case], receivers: &[SocketAddr], endpoints: &[String]) -> Value {
    let (mut inputs, mut exporters, mut pipelines) = (Map::new(), Map::new(), Map::new());
    for (number, (case, receiver)) in cases.iter().zip(receivers).enumerate() {
        let (input, exporter) = (format!("otlp/{number}"), format!("load_balancing/{number}"));
        let mut settings = json!({
            "routing_key": case.routing_key,
            "resolver": {"static": {"hostnames": endpoints}},
            "protocol": {"otlp": {
                "tls": {"insecure": true},
                "compression": "none",
                "sending_queue": {"queue_size": 10_000},
            }},
        });
        if let Key::Attributes(names) = case.key {
            settings["routing_attributes"] = json!(names);
        }
        let pipeline = format!("{}/{number}", format!("{:?}", case.signal).to_lowercase());
        pipelines.insert(pipeline, json!({"receivers": [input], "exporters": [exporter]}));
        inputs.insert(input, json!({"protocols": {"grpc": {"endpoint": receiver.to_string()}}}));
        exporters.insert(exporter, settings);
    }
    let metrics = json!({"host": "${env:METRICS_HOST}", "port": "${env:METRICS_PORT}"});
    json!({
        "extensions": {"health_check": {"endpoint": "${env:HEALTH}"}},
        "receivers": inputs,
        "exporters": exporters,
        "service": {
            "extensions": ["health_check"],
            "telemetry": {"metrics": {"readers": [{"pull": {"exporter": {"prometheus": metrics}}}]}},
            "pipelines": pipelines,
        },
    })
}

/// JSON as ASCII: YAML would take a line separator in a string for the end of a line.
fn ascii(config: &Value) -> String {
    let escape = |character: char| match character {
        '\u{80}'..='\u{ffff}' => format!("\\u{:04x}", u32::from(character)),
        other => other.to_string(),
    };
    config.to_string().chars().map(escape).collect()
}

// === Comparison ===

/// Everything about the arrivals that is not as expected. `contents`: what each item has to hold, if that matters.
fn problems_of(
    who: &str,
    expected: &BTreeMap<u64, Expected>,
    arrivals: &Arrivals,
    contents: Option<&BTreeMap<u64, u64>>,
) -> Vec<String> {
    let mut problems = Vec::new();
    for (number, expected) in expected {
        let arrived = arrivals.get(number).map(Vec::as_slice).unwrap_or_default();
        let backends: Vec<usize> = arrived.iter().map(|(sink, _)| *sink).collect();
        if !expected.fits(&backends) {
            problems
                .push(format!("{who}: item {number} is at backends {backends:?}; it should be {expected}"));
        }
        if let Some(contents) = contents
            && arrived.iter().any(|(_, item)| contents.get(number) != Some(&item.contents))
        {
            problems.push(format!("{who}: item {number} is not what it was"));
        }
    }
    let unknown = arrivals.keys().filter(|number| !expected.contains_key(*number));
    problems.extend(unknown.map(|number| format!("{who}: item {number} was never sent in this case")));
    problems
}

/// Backends at which nothing with a key arrived.
fn idle(expected: &BTreeMap<u64, Expected>, arrivals: &Arrivals) -> impl Iterator<Item = usize> {
    let mut busy = [false; BACKENDS];
    for (number, arrived) in arrivals {
        if matches!(expected.get(number), Some(Expected::At(..))) {
            for (sink, _) in arrived {
                busy[*sink] = true;
            }
        }
    }
    (0..BACKENDS).filter(move |sink| !busy[*sink])
}

#[test]
fn each_kind_of_disagreement_is_seen() {
    // Scenario: a correct delivery, and the same with an item lost, doubled, elsewhere, changed, invented, or delivered
    // although it is to be dropped; and one that leaves a backend idle.
    // Guarantees: the comparison above accepts the first and names every other.
    let expected = BTreeMap::from([
        (1, Expected::At(0, b"k".to_vec())),
        (2, Expected::Anywhere),
        (3, Expected::Nowhere),
        (4, Expected::At(1, Vec::new())),
    ]);
    let contents = BTreeMap::from([(1, 11), (2, 22), (3, 33), (4, 44)]);
    let check = |deliveries: &[(u64, usize, u64)]| {
        let mut arrivals = Arrivals::new();
        for (number, sink, contents) in deliveries {
            let item = Item { number: *number, contents: *contents };
            arrivals.entry(*number).or_default().push((*sink, item));
        }
        let idle: Vec<usize> = idle(&expected, &arrivals).collect();
        (problems_of("it", &expected, &arrivals, Some(&contents)), idle)
    };
    let right = [(1, 0, 11), (2, 3, 22), (4, 1, 44)];
    assert_eq!(check(&right), (Vec::new(), vec![2, 3, 4]));
    let with = |more: &[(u64, usize, u64)]| check(&[right.as_slice(), more].concat()).0;
    assert_eq!(with(&[(3, 0, 33)]), ["it: item 3 is at backends [0]; it should be nowhere"]);
    assert_eq!(with(&[(2, 3, 22)]), ["it: item 2 is at backends [3, 3]; it should be once, anywhere"]);
    assert_eq!(with(&[(5, 3, 22)]), ["it: item 5 was never sent in this case"]);
    assert_eq!(
        check(&[right[0], right[1]]).0,
        [r#"it: item 4 is at backends []; it should be at backend 1 by key """#]
    );
    assert_eq!(
        check(&[(1, 1, 11), right[1], right[2]]).0,
        [r#"it: item 1 is at backends [1]; it should be at backend 0 by key "k""#]
    );
    assert_eq!(check(&[(1, 0, 12), right[1], right[2]]).0, ["it: item 1 is not what it was"]);
}

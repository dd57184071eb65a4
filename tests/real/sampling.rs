//! Tail sampling behind the gateway: real clients, real samplers.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::clients::{Call, KEEP, PythonService, RustService, Telemetrygen, traceparent};
use crate::collector::Collector;
use crate::gateway::{Gateway, Kind};
use crate::spans::{Span, SpanFile, SpanId};
use crate::workspace::Workspace;
use crate::{alone, poll, report};

/// Traces that the three SDK services make together.
const SDK_TRACES: usize = 600;

/// telemetrygen's runs: one for each protocol, and one that no sampler has a reason to keep.
const TELEMETRYGEN: [Telemetrygen; 3] = [
    Telemetrygen { service: "telemetrygen-grpc", traces: 200, children: 6, http: false, keep: true },
    Telemetrygen { service: "telemetrygen-http", traces: 200, children: 6, http: true, keep: true },
    Telemetrygen { service: "telemetrygen-unmarked", traces: 100, children: 4, http: false, keep: false },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traces_are_whole_where_one_span_decides() -> anyhow::Result<()> {
    // Scenario: Rust and Python SDKs and telemetrygen send over gRPC and HTTP through the gateway to three Collectors
    // that keep a trace if one of its spans is marked. A quarter of the SDKs' traces are marked by each of three
    // services and a quarter by none; telemetrygen marks two of three runs.
    // Guarantees: marked traces arrive with every span, each span once, each trace at one Collector, and no others do.
    // Had a trace been split, the samplers that did not see its mark would have dropped their part.
    let policies = format!(
        "[{{name: marked, type: string_attribute, string_attribute: {{key: {KEEP}, values: ['yes']}}}}]"
    );
    check("sampling-marked", &policies, |marked| marked).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_span_of_every_client_arrives_once() -> anyhow::Result<()> {
    // Scenario: the same clients, and the Collectors keep every trace.
    // Guarantees: exactly the spans that the clients made arrive, each span once, each trace at one Collector.
    check("sampling-all", "[{name: all, type: always_sample}]", |_marked| true).await
}

/// Runs all clients through the gateway into three sampling Collectors and checks what they wrote.
async fn check(name: &str, policies: &str, sampled: fn(bool) -> bool) -> anyhow::Result<()> {
    let _alone = alone().await;
    let workspace = Workspace::new(name)?;
    let mut collectors = Vec::new();
    for number in 1..=3 {
        let name = format!("sampler-{number}");
        collectors.push(Collector::start(&name, "tail_sampling.yaml", policies, &workspace).await?);
    }
    let endpoints: Vec<String> = collectors.iter().map(|collector| collector.endpoint.to_string()).collect();
    let gateway = Gateway::start(Kind::under_test()?, "gateway.yaml", &endpoints, &workspace).await?;

    let (made, ()) = tokio::try_join!(sdk_services(&gateway), telemetrygen(&gateway))?;
    let mut expected = Expected { sdk: HashSet::new(), generated: HashMap::new() };
    expected.sdk.extend(made.into_iter().filter(|trace| sampled(trace.marked)).flat_map(|trace| trace.spans));
    let runs = TELEMETRYGEN.iter().filter(|run| sampled(run.keep));
    expected.generated.extend(runs.map(|run| (run.service, (run.traces, run.children + 1))));

    let mut files: Vec<SpanFile> = collectors.iter().map(Collector::spans).collect();
    let wanted = expected.spans();
    let arrival =
        poll::until(&format!("{wanted} sampled spans arrive"), Duration::from_secs(60), async || {
            let arrived =
                files.iter_mut().map(|file| Ok(file.read()?.len())).sum::<anyhow::Result<usize>>()?;
            Ok((arrived >= wanted).then_some(()))
        })
        .await;
    gateway.stop().await?;
    for collector in collectors {
        collector.stop().await?;
    }

    let written: Vec<&[Span]> = files.iter_mut().map(SpanFile::read).collect::<anyhow::Result<_>>()?;
    let problems = expected.problems(&written);
    let first = problems.iter().take(10).map(String::as_str).collect::<Vec<_>>().join("\n");
    ensure!(problems.is_empty(), "{} problems, such as\n{first}", problems.len());
    arrival?; // If nothing is missing now, but was until the gateway was told to stop: still a failure.
    let shares: Vec<usize> = written.iter().map(|spans| spans.len()).collect();
    report(format!("{name}: {wanted} spans at three Collectors: {shares:?}"));
    workspace.remove()
}

/// A trace that the SDK services made together.
#[derive(Debug)]
struct Made {
    spans: Vec<SpanId>,
    marked: bool,
}

/// Makes traces that begin in the Rust service and go on in two Python services.
async fn sdk_services(gateway: &Gateway) -> anyhow::Result<Vec<Made>> {
    // Python takes a second to start: it must be up before the first trace begins, whose sampler starts to wait then.
    let (python_grpc, python_http) = tokio::try_join!(
        PythonService::start("python-grpc", "grpc", gateway.grpc),
        PythonService::start("python-http", "http", gateway.http),
    )?;
    let rust = RustService::new("rust-grpc", gateway.grpc)?;
    let mut made = HashMap::new();
    let (mut to_grpc, mut to_http) = (Vec::new(), Vec::new());
    for number in 0..SDK_TRACES {
        let marking = number % 4; // 0, 1, 2: one of the services; 3: none
        let (spans, call) = rust.trace(marking == 0);
        to_grpc.push(Call { traceparent: traceparent(&call), keep: marking == 1 });
        to_http.push(Call { traceparent: traceparent(&call), keep: marking == 2 });
        made.insert(call.trace_id().to_string(), Made { spans, marked: marking != 3 });
    }
    let (from_grpc, from_http, ()) =
        tokio::try_join!(python_grpc.serve(&to_grpc), python_http.serve(&to_http), rust.finish())?;
    ensure!(
        from_grpc.len() == 3 * SDK_TRACES && from_http.len() == 3 * SDK_TRACES,
        "Python made too few spans"
    );
    for span in from_grpc.into_iter().chain(from_http) {
        made.get_mut(&span.0).context("Python began a trace of its own")?.spans.push(span);
    }
    Ok(made.into_values().collect())
}

async fn telemetrygen(gateway: &Gateway) -> anyhow::Result<()> {
    let [grpc, http, unmarked] = &TELEMETRYGEN;
    tokio::try_join!(grpc.run(gateway.grpc), http.run(gateway.http), unmarked.run(gateway.grpc)).map(|_| ())
}

/// What the Collectors should have written together.
#[derive(Debug)]
struct Expected {
    /// Spans of the SDK services.
    sdk: HashSet<SpanId>,
    /// telemetrygen's `service.name` → traces, and spans in each of them.
    generated: HashMap<&'static str, (usize, usize)>,
}

impl Expected {
    fn spans(&self) -> usize {
        self.sdk.len() + self.generated.values().map(|(traces, spans)| traces * spans).sum::<usize>()
    }

    /// Everything that is wrong with what the Collectors wrote, one slice for each Collector.
    fn problems(&self, written: &[&[Span]]) -> Vec<String> {
        let mut problems = Vec::new();
        let mut owners: HashMap<&str, usize> = HashMap::new();
        let mut seen: HashSet<&SpanId> = HashSet::new();
        let mut generated: HashMap<&str, HashMap<&str, usize>> = HashMap::new();
        for (collector, spans) in written.iter().enumerate() {
            if spans.is_empty() {
                problems.push(format!("Collector {collector} got nothing"));
            }
            for Span { id, service } in *spans {
                let owner = *owners.entry(&id.0).or_insert(collector);
                if owner != collector {
                    problems.push(format!("trace {} is at Collectors {owner} and {collector}", id.0));
                }
                if !seen.insert(id) {
                    problems.push(format!("{service}: span {id:?} arrived twice"));
                }
                if self.generated.contains_key(service.as_str()) {
                    *generated.entry(service).or_default().entry(&id.0).or_default() += 1;
                } else if !self.sdk.contains(id) {
                    problems.push(format!("{service}: span {id:?} should not be here"));
                }
            }
        }
        let missing = self.sdk.iter().filter(|id| !seen.contains(id)).count();
        if missing > 0 {
            problems.push(format!("SDKs: {missing} of {} spans are missing", self.sdk.len()));
        }
        for (service, (traces, spans)) in &self.generated {
            let arrived = generated.remove(service).unwrap_or_default();
            let whole = arrived.values().filter(|count| *count == spans).count();
            if whole != *traces || arrived.len() != *traces {
                problems
                    .push(format!("{service}: of {traces} traces {} arrived, {whole} whole", arrived.len()));
            }
        }
        problems
    }
}

#[test]
fn each_kind_of_damage_is_seen() {
    // Scenario: a correct outcome, and the same with one span lost, doubled, strayed, invented, or one Collector idle.
    // Guarantees: the check of the tests above accepts the first and names every other.
    let span = |trace: &str, id: &str, service: &str| Span {
        id: (trace.to_owned(), id.to_owned()),
        service: service.to_owned(),
    };
    let (a1, a2) = (span("a", "1", "sdk"), span("a", "2", "sdk"));
    let (g1, g2) = (span("g", "1", "gen"), span("g", "2", "gen"));
    let expected = Expected {
        sdk: HashSet::from([a1.id.clone(), a2.id.clone()]),
        generated: HashMap::from([("gen", (1, 2))]),
    };
    let problems = |first: &[&Span], second: &[&Span]| {
        let [first, second] =
            [first, second].map(|spans| spans.iter().map(|span| (*span).clone()).collect::<Vec<_>>());
        expected.problems(&[&first, &second])
    };
    let none: Vec<String> = Vec::new();
    assert_eq!(problems(&[&a1, &a2], &[&g1, &g2]), none);
    assert_eq!(problems(&[&a1], &[&g1, &g2]), ["SDKs: 1 of 2 spans are missing"]);
    assert_eq!(problems(&[&a1, &a2], &[&g1]), ["gen: of 1 traces 1 arrived, 0 whole"]);
    assert_eq!(problems(&[&a1, &a1, &a2], &[&g1, &g2]), [r#"sdk: span ("a", "1") arrived twice"#]);
    assert_eq!(problems(&[&a1, &g2], &[&a2, &g1]).len(), 2);
    let stray = span("b", "1", "sdk");
    assert_eq!(problems(&[&a1, &a2], &[&g1, &g2, &stray]), [r#"sdk: span ("b", "1") should not be here"#]);
    assert_eq!(problems(&[&a1, &a2, &g1, &g2], &[]), ["Collector 1 got nothing"]);
}

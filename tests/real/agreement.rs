//! Agreement: ringway sends everything where the Collector's `load_balancing` exporter sends it.
//!
//! Here: traces by trace id, on small and large pools and both spellings of their endpoints. Every signal and key, on data
//! that is hard to route: `every_key`.

mod every_key;
mod items;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

use crate::gateway::{Gateway, Kind};
use crate::load::{Export, Shape, TraceId, connect, spans, trace_id};
use crate::sink::Sink;
use crate::workspace::Workspace;
use crate::{alone, poll, report};

/// Random trace ids in each comparison.
const TRACES: usize = 20_000;

/// Where each trace went: which sink, and how many spans arrived there.
type Routes = BTreeMap<TraceId, (usize, usize)>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_trace_goes_where_the_collector_sends_it() -> anyhow::Result<()> {
    // Scenario: the same requests, 20,000 random trace ids and some odd ones, pass through a real Collector and through
    // ringway, with the same 3, 5 and 20 static endpoints, each spelled with a port and without one.
    // Guarantees: both deliver every span once and every trace to the same backend; all backends take part; what is
    // hashed is the endpoint as it is spelled.
    let _alone = alone().await;
    let workspace = Workspace::new("agreement")?;
    for backends in [3, 5, 20] {
        let mut sinks = Vec::new();
        for _ in 0..backends {
            sinks.push(Sink::start().await?);
        }
        let shape =
            Shape { seed: u64::try_from(backends)?, traces: TRACES, trace_spans_max: 3, request_spans: 200 };
        let requests = shape.requests(&odd_trace_ids());

        let bare: Vec<String> = sinks.iter().map(|sink| sink.address.to_string()).collect();
        let with_port: Vec<String> = bare.iter().map(|address| format!("{address}:4317")).collect();
        let without = compare(&bare, &requests, &sinks, &workspace).await?;
        let with = compare(&with_port, &requests, &sinks, &workspace).await?;

        // Two spellings of the same backends are two rings, which agree on one trace in `backends` by chance. Were
        // there no differences here, finding none between the gateways would mean nothing.
        let differ = disagreements(&without, &with).len();
        ensure!(
            differ > TRACES / 2,
            "{backends} endpoints: the port changed the backend of {differ} traces only"
        );
    }
    workspace.remove()
}

/// Sends the requests through the Collector and through the gateway under test, and returns the routes they agree on.
async fn compare(
    endpoints: &[String],
    requests: &[ExportTraceServiceRequest],
    sinks: &[Sink],
    workspace: &Workspace,
) -> anyhow::Result<Routes> {
    let case = || format!("{} endpoints: {endpoints:?}", endpoints.len());
    let theirs = route(Kind::Collector, endpoints, requests, sinks, workspace).await.with_context(case)?;
    let ours = route(Kind::under_test()?, endpoints, requests, sinks, workspace).await.with_context(case)?;

    let differ = disagreements(&theirs, &ours);
    ensure!(differ.is_empty(), "{}: {} traces differ, such as {:02x?}", case(), differ.len(), differ[0]);
    ensure!(ours.len() > TRACES, "{}: only {} traces were compared", case(), ours.len());
    for (sink, endpoint) in endpoints.iter().enumerate() {
        ensure!(ours.values().any(|(owner, _)| *owner == sink), "{}: {endpoint} got nothing", case());
    }
    report(format!(
        "agreement: {} endpoints such as {}: {} of {} traces at the same backend",
        endpoints.len(),
        endpoints[0],
        ours.len(),
        theirs.len()
    ));
    Ok(ours)
}

/// Sends the requests through one gateway and returns where the traces went.
///
/// Fails when a span is missing or comes twice, or when a trace is split. The gateway has stopped when this returns.
async fn route(
    kind: Kind,
    endpoints: &[String],
    requests: &[ExportTraceServiceRequest],
    sinks: &[Sink],
    workspace: &Workspace,
) -> anyhow::Result<Routes> {
    let gateway = Gateway::start(kind, "gateway.yaml", endpoints, workspace).await?;
    let mut client = connect(gateway.grpc).await?;
    for request in requests {
        client.export(request.clone()).await.with_context(|| format!("{kind:?} refused a request"))?;
    }

    let sent = requests.iter().flat_map(spans).count();
    let arrived = || sinks.iter().map(Sink::items).sum::<usize>();
    poll::until(&format!("{kind:?} delivers {sent} spans"), Duration::from_secs(60), async || {
        Ok((arrived() >= sent).then_some(()))
    })
    .await
    .with_context(|| format!("{} spans arrived", arrived()))?;
    gateway.stop().await?;

    let mut routes = Routes::new();
    for (sink, requests) in sinks.iter().map(Sink::take).enumerate() {
        let mut seen: BTreeMap<TraceId, usize> = BTreeMap::new();
        for request in &requests {
            let Export::Traces(request) = request else { anyhow::bail!("{kind:?} made up another signal") };
            for span in spans(request) {
                *seen.entry(trace_id(span)).or_default() += 1;
            }
        }
        for (trace, count) in seen {
            if let Some((other, _)) = routes.insert(trace, (sink, count)) {
                anyhow::bail!(
                    "{kind:?} split trace {trace:02x?} over {} and {}",
                    endpoints[other],
                    endpoints[sink]
                );
            }
        }
    }
    let mut counts: BTreeMap<TraceId, usize> = BTreeMap::new();
    for span in requests.iter().flat_map(spans) {
        *counts.entry(trace_id(span)).or_default() += 1;
    }
    let delivered = routes.iter().map(|(trace, (_, count))| (*trace, *count)).collect();
    ensure!(counts == delivered, "{kind:?} delivered {} of {sent} spans", delivered.values().sum::<usize>());
    Ok(routes)
}

/// Traces that are not at the same backend, or not whole, in both.
fn disagreements(theirs: &Routes, ours: &Routes) -> Vec<TraceId> {
    let either = theirs.keys().chain(ours.keys().filter(|trace| !theirs.contains_key(*trace)));
    either.filter(|trace| theirs.get(*trace) != ours.get(*trace)).copied().collect()
}

/// Trace ids that OTLP allows or receivers let pass, and that code might treat specially.
fn odd_trace_ids() -> Vec<Vec<u8>> {
    let one_bit = (0..128).map(|bit| (1_u128 << bit).to_be_bytes().to_vec());
    one_bit.chain([Vec::new(), vec![0; 16], vec![0xff; 16]]).collect()
}

#[test]
fn a_disagreement_is_seen() {
    // Scenario: two route tables that differ in the owner, in the span count, and in having a trace at all.
    // Guarantees: the comparison above reports each of them.
    let theirs = Routes::from([([0; 16], (0, 1)), ([1; 16], (1, 2)), ([2; 16], (2, 3)), ([3; 16], (0, 1))]);
    let ours = Routes::from([([0; 16], (0, 1)), ([1; 16], (2, 2)), ([2; 16], (2, 2)), ([4; 16], (0, 1))]);
    assert_eq!(disagreements(&theirs, &theirs), Vec::<TraceId>::new());
    assert_eq!(disagreements(&theirs, &ours), [[1; 16], [2; 16], [3; 16], [4; 16]]);
}

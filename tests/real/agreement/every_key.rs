//! Every signal by every routing key, on requests that are hard to route.
//!
//! One gateway serves all cases at once: each has a receiver, an exporter and a pipeline of its own, and all exporters
//! have the same backends. No two items of all cases have the same number, so an item that strays into another case, or
//! comes late a second time, is seen.

mod cases;
mod compare;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures_util::{StreamExt as _, stream};
use ringway::model::settings::RingGeneration;
use ringway::ring::Ring;
use serde_json::{Map, Value, json};
use tonic::Code;

use self::cases::Case;
use self::compare::{Arrivals, idle, problems_of};
use super::items;
use crate::gateway::{Gateway, Kind};
use crate::load::channel;
use crate::routing::{Key, Routed};
use crate::sink::Sink;
use crate::workspace::Workspace;
use crate::{alone, loopback, poll, report};

/// Requests of a case on their way at the same time.
const IN_FLIGHT: usize = 4;

const BACKENDS: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_item_goes_where_the_collector_sends_it_by_every_key() -> anyhow::Result<()> {
    // Scenario: for every signal and routing key, 5,000 generated items with attributes of every type, twice, missing
    // and on the wrong level pass through a real Collector and through ringway, with the same five static endpoints.
    // Guarantees: the Collector does what the oracle says, ringway does what the Collector does: every item at the same
    // backend, once; a log record without trace id, which the Collector sends anywhere, once; what the Collector drops,
    // nowhere, and besides that only metrics without points that would have been a request of their own. ringway changes
    // nothing in an item or in its resource, scope and metric. All backends take part.
    let _alone = alone().await;
    let workspace = Workspace::new("agreement-keys")?;
    let mut sinks = Vec::new();
    for _ in 0..BACKENDS {
        sinks.push(Sink::start().await?);
    }
    let endpoints: Vec<String> = sinks.iter().map(|sink| sink.address.to_string()).collect();
    let names: Vec<&str> = endpoints.iter().map(String::as_str).collect();
    let ring = Ring::new(RingGeneration::G3, &names);
    let cases = cases::all();

    let theirs = deliver(Kind::Collector, &cases, &endpoints, &sinks, &workspace).await?;
    let ours = deliver(Kind::under_test()?, &cases, &endpoints, &sinks, &workspace).await?;

    let mut problems = Vec::new();
    let mut compared = 0;
    for case in &cases {
        let expected = case.expected(&ring);
        let (theirs, ours) = (case.of(&theirs), case.of(&ours));
        let mut found = problems_of(Kind::Collector, &expected, &theirs, None);
        let contents = (Kind::under_test()? == Kind::Ringway).then(|| case.contents());
        found.extend(problems_of(Kind::under_test()?, &expected, &ours, contents.as_ref()));
        found.extend(idle(&expected, &ours).map(|sink| format!("backend {sink} got nothing")));
        compared += theirs.len() + ours.len();
        report(case.account(&expected, &theirs, &ours));
        let count = found.len();
        problems.extend(found.into_iter().take(5).map(|problem| format!("{}: {problem}", case.name())));
        if count > 5 {
            problems.push(format!("{}: and {} more", case.name(), count - 5));
        }
    }
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    ensure!(compared == theirs.len() + ours.len(), "items came with numbers that no case has");
    workspace.remove()
}

// === Delivery ===

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
    let mut refused = BTreeMap::new();
    while let Some((answer, all_dropped)) = answers.next().await {
        match answer {
            // The Collector refuses a request for good if it drops everything in it for want of a key.
            Err(status) if all_dropped && !retryable(status.code()) => {
                *refused.entry(format!("{:?}", status.code())).or_insert(0) += 1;
            }
            other => other.context("a request was refused")?,
        }
    }
    if !refused.is_empty() {
        report(format!("agreement: {}: requests without a single key refused: {refused:?}", case.name()));
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

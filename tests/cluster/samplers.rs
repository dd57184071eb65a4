//! A Service whose pods are real Collectors that sample: a trace is kept by the one that saw all of it, and by no other.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use anyhow::ensure;
use serde_json::json;

use crate::chart;
use crate::delivery::script::{Script, Traces};
use crate::delivery::sinks::PORT;
use crate::load::{connect, span_ids};
use crate::node::Running;
use crate::pods::{Namespace, Pod};
use crate::process::{Process, command};
use crate::spans::{Span, SpanFile, SpanId};
use crate::workspace::Workspace;
use crate::{loopback, parts, poll};

/// Traces of a round. Odd, so that the requests of one trace take turns between two gateways.
const TRACES: usize = 301;
/// Requests in which the spans of a trace are sent, far from each other, and spans in each.
const PARTS: usize = 3;
const PART_SPANS: usize = 2;

/// The Collectors decide ten seconds after a trace's first span; then they write.
const DECISION: Duration = Duration::from_secs(40);

/// The pods of one Service.
#[derive(Debug)]
pub(crate) struct Samplers {
    namespace: Namespace,
    service: String,
    pods: Vec<Sampler>,
    /// What they have to keep.
    sent: HashSet<SpanId>,
    rounds: usize,
}

#[derive(Debug)]
struct Sampler {
    pod: Pod,
    file: SpanFile,
    process: Process,
}

impl Samplers {
    /// A Service without pods.
    ///
    /// # Errors
    ///
    /// When the API refuses it.
    pub(crate) async fn create(namespace: &Namespace, service: &str) -> anyhow::Result<Self> {
        namespace.service(service, json!({})).await?;
        let (namespace, service) = (namespace.clone(), service.to_owned());
        Ok(Self { namespace, service, pods: Vec::new(), sent: HashSet::new(), rounds: 0 })
    }

    /// Makes this many pods more, each a Collector that runs, all of them ready.
    ///
    /// # Errors
    ///
    /// When the API refuses one, or a Collector does not start.
    pub(crate) async fn grow(&mut self, by: usize, workspace: &Workspace) -> anyhow::Result<()> {
        for _ in 0..by {
            let name = format!("{}-{}", self.service, self.pods.len());
            let pod = self.namespace.pod(&self.service, &name, json!({})).await?;
            let (file, health) = (workspace.path(&format!("{name}.json")), loopback::endpoint()?);
            let spans = TRACE_SPANS;
            let mut collector = command(parts::collector()?);
            collector.arg("--config").arg(chart::source("tests/real/collector/tail_sampling.yaml"));
            collector
                .env("GRPC", format!("{}:{PORT}", pod.v4))
                .env("HEALTH", health.to_string())
                .env("FILE", &file);
            collector.env(
                "POLICIES",
                format!("[{{name: whole, type: span_count, span_count: {{min_spans: {spans}}}}}]"),
            );
            let process = Process::start(&name, &mut collector, health, workspace).await?;
            self.namespace.runs(&pod, true).await?;
            self.pods.push(Sampler { pod, file: SpanFile::new(&file), process });
        }
        Ok(())
    }

    /// What is meant to be on the ring, in the ring's order.
    pub(crate) fn identities(&self) -> Vec<String> {
        let mut identities: Vec<String> =
            self.pods.iter().map(|sampler| format!("{}:{PORT}", sampler.pod.v4)).collect();
        identities.sort_unstable();
        identities
    }

    /// Sends a round of traces, the requests to each of the gateways in turn.
    ///
    /// # Errors
    ///
    /// When a gateway refuses a request.
    pub(crate) async fn send(&mut self, gateways: &[Running]) -> anyhow::Result<()> {
        let script = Script {
            seed: 7000 + self.rounds as u64,
            first: self.rounds * TRACES * TRACE_SPANS,
            requests: TRACES * PARTS,
            request_spans: PART_SPANS,
            traces: Traces::OfOne(TRACES),
        };
        self.rounds += 1;
        let mut clients = Vec::new();
        for gateway in gateways {
            clients.push(connect((gateway.address, PORT).into()).await?);
        }
        for number in 0..script.requests {
            let request = script.request(number);
            self.sent.extend(span_ids(&request));
            let turn = number % clients.len();
            clients[turn].export(request).await?;
        }
        Ok(())
    }

    /// Waits until everything that was sent has been kept, and returns how many spans each Collector has, oldest first.
    ///
    /// # Errors
    ///
    /// When something is missing, doubled or strange, or a trace is at two Collectors.
    pub(crate) async fn whole(&mut self) -> anyhow::Result<Vec<usize>> {
        let wanted = self.sent.len();
        let what = format!("{wanted} spans of whole traces");
        let arrival = poll::until(&what, DECISION, async || {
            let mut kept = 0;
            for sampler in &mut self.pods {
                kept += sampler.file.read()?.len();
            }
            Ok((kept >= wanted).then_some(()))
        });
        let arrival = arrival.await;
        let mut kept = Vec::new();
        for sampler in &mut self.pods {
            kept.push(sampler.file.read()?);
        }
        let problems = problems(&self.sent, &kept);
        let first = problems.iter().take(10).map(String::as_str).collect::<Vec<_>>().join("\n");
        ensure!(problems.is_empty(), "{} problems, such as\n{first}", problems.len());
        arrival?;
        Ok(kept.iter().map(|spans| spans.len()).collect())
    }

    /// Stops the Collectors.
    ///
    /// # Errors
    ///
    /// When one does not end well.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        for Sampler { process, .. } in self.pods {
            process.stop().await?;
        }
        Ok(())
    }
}

/// Spans of a trace: fewer than these are not kept.
const TRACE_SPANS: usize = PARTS * PART_SPANS;

/// Everything that is wrong with what the Collectors kept.
fn problems(sent: &HashSet<SpanId>, kept: &[&[Span]]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut owners: HashMap<&str, usize> = HashMap::new();
    let mut seen: HashSet<&SpanId> = HashSet::new();
    for (collector, spans) in kept.iter().enumerate() {
        for Span { id, .. } in *spans {
            let owner = *owners.entry(&id.0).or_insert(collector);
            if owner != collector {
                problems.push(format!("trace {} is at Collectors {owner} and {collector}", id.0));
            }
            if !seen.insert(id) {
                problems.push(format!("span {id:?} twice"));
            }
            if !sent.contains(id) {
                problems.push(format!("span {id:?} was never sent"));
            }
        }
    }
    let missing = sent.iter().filter(|id| !seen.contains(id)).count();
    if missing > 0 {
        problems.push(format!(
            "{missing} of {} spans are missing: lost, or in traces that were split",
            sent.len()
        ));
    }
    problems
}

#[test]
fn what_is_not_whole_is_seen() {
    // Scenario: two traces of two spans, right, and with one span lost, doubled, astray and invented.
    // Guarantees: the check of the tests above accepts the first, and names every other.
    let id = |trace: &str, span: &str| (trace.to_owned(), span.to_owned());
    let span = |trace: &str, of: &str| Span { id: id(trace, of), service: String::new() };
    let (a1, a2, b1, b2) = (span("a", "1"), span("a", "2"), span("b", "1"), span("b", "2"));
    let sent = HashSet::from([id("a", "1"), id("a", "2"), id("b", "1"), id("b", "2")]);
    let check = |first: &[&Span], second: &[&Span]| {
        let [first, second] =
            [first, second].map(|spans| spans.iter().map(|span| (*span).clone()).collect::<Vec<_>>());
        problems(&sent, &[&first, &second])
    };
    assert!(check(&[&a1, &a2], &[&b1, &b2]).is_empty());
    assert_eq!(check(&[&a1, &a2], &[&b1]), ["1 of 4 spans are missing: lost, or in traces that were split"]);
    assert_eq!(check(&[&a1, &a2, &a2], &[&b1, &b2]), [r#"span ("a", "2") twice"#]);
    assert_eq!(check(&[&a1, &b2], &[&a2, &b1]).len(), 2);
    assert_eq!(check(&[&a1, &a2, &span("c", "1")], &[&b1, &b2]), [r#"span ("c", "1") was never sent"#]);
}

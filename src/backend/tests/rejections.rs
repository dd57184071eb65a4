//! Tests of what becomes of messages that are rejected for their content or their size. Real requests, the clock paused.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message as _;

use super::*;

/// A server that takes spans but for some.
#[derive(Debug, Default)]
struct Server {
    /// Messages above it are refused.
    limit: Option<usize>,
    /// Whether it says what the limit is.
    tells: bool,
    /// A message with a span of such a name is refused.
    poison: Option<&'static str>,
    taken: Mutex<Vec<String>>,
    sends: Mutex<Vec<usize>>,
}

impl Transport for Server {
    #[expect(clippy::disallowed_methods, reason = "the server of the test decodes")]
    fn send<'a>(
        &'a self,
        message: Bytes,
        _metadata: &'a Metadata,
    ) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>> {
        let body = message.slice(PREFIX_LEN..);
        self.sends.lock().unwrap().push(body.len());
        let request = ExportTraceServiceRequest::decode(body.clone()).unwrap();
        let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        let names: Vec<String> = scopes.flat_map(|scope| scope.spans).map(|span| span.name).collect();
        let outcome = if let Some(limit) = self.limit.filter(|limit| body.len() > *limit) {
            let mut failure = Failure::new(Side::Backend, Code::TooLarge, Retry::Never, "too large");
            failure.grpc_status = Some(8);
            failure.limit_bytes = self.tells.then_some(limit);
            Err(failure)
        } else if names.iter().any(|name| Some(name.trim_end_matches('.')) == self.poison) {
            Err(status(3, Retry::Never))
        } else {
            self.taken.lock().unwrap().extend(names);
            Ok(Delivered::default())
        };
        Box::pin(std::future::ready(outcome))
    }
}

impl Server {
    /// How often each span was taken.
    fn taken(&self) -> BTreeMap<String, usize> {
        let mut taken = BTreeMap::new();
        for name in self.taken.lock().unwrap().iter() {
            *taken.entry(name.trim_end_matches('.').to_owned()).or_default() += 1;
        }
        taken
    }

    fn sends(&self) -> usize {
        self.sends.lock().unwrap().len()
    }
}

/// A request of resources with these spans, each name filled up with dots to so many bytes.
fn request(resources: &[&[&str]], bytes: usize) -> Vec<u8> {
    let resource = |names: &&[&str]| ResourceSpans {
        scope_spans: vec![ScopeSpans {
            spans: names
                .iter()
                .map(|name| Span { name: format!("{name:.<bytes$}"), ..Span::default() })
                .collect(),
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    };
    ExportTraceServiceRequest { resource_spans: resources.iter().map(resource).collect() }.encode_to_vec()
}

/// A backend of this server, whose first batch holds all the requests.
async fn deliver(server: Server, parts: &[(usize, Vec<u8>)]) -> (Arc<Server>, Metrics, Vec<Outcome>) {
    let (server, metrics) = (Arc::new(server), Metrics::new());
    let (stop, tasks, custody) = (Stop::default(), Tasks::new(), Custody::new());
    let pool =
        Pool { custody: custody.clone(), buffers: Buffers::new(), stop: stop.clone(), tasks: tasks.clone() };
    let backend = Backend::start(
        Endpoint::new("b:4317"),
        Signal::Traces,
        &settings(),
        metrics.backend("load_balancing", "b:4317", Signal::Traces),
        Arc::clone(&server) as Arc<dyn Transport>,
        budget().account(),
        &pool,
    );
    let mut waits = Vec::new();
    // Nothing runs in between, so they share a batch.
    for (items, part) in parts {
        let (ack, wait) = Ack::new(false);
        let room = backend.reserve(*items, part.len()).unwrap();
        room.fill(Some(ack), &Metadata::default(), |buffer| buffer.extend_from_slice(part));
        waits.push(wait);
    }
    let mut outcomes = Vec::new();
    for wait in waits {
        outcomes.push(wait.await.unwrap());
    }
    assert_eq!((custody.parts(), backend.queued_items(), metrics.queued_items()), (0, 0, 0));
    backend.leave();
    tasks.ended().await;
    (server, metrics, outcomes)
}

// Scenario: a merged batch of three sources, two resources each, in which one span is poison.
// Guarantees: that span alone is dropped, once, and only its source hears of it; every other span is delivered once; finding it
// takes a logarithmic number of sends.
#[tokio::test(start_paused = true)]
async fn one_poisoned_item_costs_only_itself() {
    let names: Vec<String> = (0..192).map(|number| format!("s{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let parts: Vec<(usize, Vec<u8>)> =
        names.chunks(64).map(|source| (64, request(&[&source[..32], &source[32..]], 1))).collect();
    let server = Server { poison: Some("s100"), ..Server::default() };
    let (server, metrics, outcomes) = deliver(server, &parts).await;
    let taken = server.taken();
    for name in names {
        assert_eq!(taken.get(name).copied().unwrap_or(0), usize::from(name != "s100"), "{name}");
    }
    assert_eq!(metrics.dropped_items(Code::Rejected), 1);
    let heard: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
    assert_eq!(heard, [true, false, true]);
    assert!(server.sends() <= 20, "{} sends", server.sends());
}

// Scenario: a server that rejects everything gets batch after batch.
// Guarantees: cutting has a budget: the number of sends stays near the number of batches.
#[tokio::test(start_paused = true)]
async fn cutting_has_a_budget() {
    let names: Vec<String> = (0..50).map(|_| "x".to_owned()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let parts: Vec<(usize, Vec<u8>)> = (0..100).map(|_| (50, request(&[&names], 1))).collect();
    let server = Server { poison: Some("x"), ..Server::default() };
    let (server, metrics, outcomes) = deliver(server, &parts).await;
    assert!(outcomes.iter().all(Result::is_err));
    assert_eq!(metrics.dropped_items(Code::Rejected), 5000);
    assert!((256..600).contains(&server.sends()), "{} sends", server.sends());
}

// Scenario: a server takes messages of 5,000 bytes, less than is configured; it tells so, or only refuses. One span is larger.
// Guarantees: everything that fits arrives once; the span that does not is dropped alone, as too large; a limit that was told
// is not exceeded again.
#[tokio::test(start_paused = true)]
async fn a_smaller_limit_is_learnt() {
    let names: Vec<String> = (0..100).map(|number| format!("s{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for tells in [true, false] {
        let mut parts: Vec<(usize, Vec<u8>)> =
            names.chunks(20).map(|source| (20, request(&[source], 300))).collect();
        parts.push((1, request(&[&["large"]], 6000)));
        let server = Server { limit: Some(5000), tells, ..Server::default() };
        let (server, metrics, outcomes) = deliver(server, &parts).await;
        let taken = server.taken();
        assert_eq!(taken.len(), 100);
        assert!(taken.values().all(|copies| *copies == 1), "{taken:?}");
        assert_eq!(metrics.dropped_items(Code::TooLarge), 1);
        let heard: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
        assert_eq!(heard, [true, true, true, true, true, false]);
        let refused = server.sends.lock().unwrap().iter().filter(|bytes| **bytes > 5000).count();
        assert!(if tells { refused == 1 } else { refused < 20 }, "{refused} refused sends");
    }
}

//! Tests of routing with real backends over a scripted transport, the clock paused.

mod drops;
mod fan_out;
mod keeper;
mod spool;

#[expect(clippy::duplicate_mod, reason = "the tests of the splitter include it too, and are none of ours")]
#[path = "../../tests/support/adversarial.rs"]
mod adversarial;

use std::{
    collections::BTreeSet,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message as _;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    admission::Budget,
    backend::{self, Backend, Buffers, Custody, Stop, Transport},
    model::{
        Code, Delivered, Endpoint, Failure, Metadata, Outcome, Retry, Side, Signal,
        settings::{self, Batch, Compression, Queue, Sizer, Validation},
    },
    ring::Ring,
    tasks::Tasks,
    telemetry::Metrics,
};

/// What stands in front of a message on the wire; the router does not know `net`.
const PREFIX_LEN: usize = 5;

/// Keeps what reaches each endpoint, and for which tenant; `refuse` names one that refuses everything for good,
/// `hang` one that never answers, `hold` one that answers after `release`.
#[derive(Debug, Default)]
struct Pool {
    arrived: Mutex<Vec<(String, Bytes)>>,
    tenants: Mutex<Vec<Metadata>>,
    refuse: Option<&'static str>,
    hang: Option<&'static str>,
    hold: Option<&'static str>,
    release: CancellationToken,
}

#[derive(Debug)]
struct Member {
    name: String,
    pool: Arc<Pool>,
}

impl Transport for Member {
    fn send<'a>(
        &'a self,
        message: Bytes,
        metadata: &'a Metadata,
    ) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>> {
        Box::pin(async move {
            if self.pool.hang == Some(self.name.as_str()) {
                std::future::pending::<()>().await;
            }
            if self.pool.hold == Some(self.name.as_str()) {
                self.pool.release.cancelled().await;
            }
            if self.pool.refuse == Some(self.name.as_str()) {
                let mut failure = Failure::new(Side::Backend, Code::Rejected, Retry::Never, "no");
                failure.grpc_status = Some(16);
                return Err(failure);
            }
            self.pool.tenants.lock().unwrap().push(metadata.clone());
            self.pool.arrived.lock().unwrap().push((self.name.clone(), message.slice(PREFIX_LEN..)));
            Ok(Delivered::default())
        })
    }
}

impl Pool {
    /// Trace id and span name of everything that arrived, by endpoint.
    #[expect(clippy::disallowed_methods, reason = "the oracle of the test decodes")]
    fn spans(&self) -> BTreeSet<(String, Vec<u8>, String)> {
        let mut spans = BTreeSet::new();
        for (name, body) in self.arrived.lock().unwrap().iter() {
            let request = ExportTraceServiceRequest::decode(body.clone()).unwrap();
            let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
            for span in scopes.flat_map(|scope| scope.spans) {
                assert!(spans.insert((name.clone(), span.trace_id, span.name)), "delivered twice");
            }
        }
        spans
    }
}

const NAMES: [&str; 3] = ["a:1", "b:1", "c:1"];

fn exporter(queue: Queue, max_message_bytes: usize) -> settings::Exporter {
    settings::Exporter {
        id: "load_balancing".into(),
        destination: settings::Destination::Pool {
            keys: [Some(settings::RoutingKey::compatible(settings::Key::TraceId)), None, None],
            ring: settings::RingGeneration::G3,
            resolver: settings::Resolver::Static { hostnames: NAMES.map(Into::into).to_vec() },
            membership: settings::Membership::NEUTRAL,
        },
        backend: settings::Backend {
            timeout: None,
            compression: Compression::None,
            protocol: settings::Protocol::Grpc,
            headers: Vec::new(),
            forwarded: Vec::new(),
            retry: None,
            queue,
            batch: Batch { min_size: 0, max_size: 0, flush_timeout: Duration::ZERO, sizer: Sizer::Items },
            max_message_bytes,
            ambiguous: [settings::Ambiguous::Retry; 3],
            drain_timeout: Duration::from_secs(10),
            health: None,
        },
        timeout: None,
    }
}

const QUEUE: Queue = Queue {
    acknowledge: settings::Acknowledge::Enqueued,
    block_on_overflow: false,
    storage: None,
    num_consumers: 2,
    size: 1000,
    sizer: Sizer::Requests,
};
const SYNC: Queue = Queue { acknowledge: settings::Acknowledge::Delivered, ..QUEUE };

/// A dispatcher over one router for each exporter.
struct Bench {
    signal: Signal,
    dispatcher: Dispatcher,
    metrics: Metrics,
    stop: Stop,
    tasks: Tasks,
}

/// Several exporters with the same settings, for traces.
fn start(exporter: &settings::Exporter, pools: &[Arc<Pool>], names: &[&str]) -> Bench {
    let exporters = pools.iter().map(|pool| (exporter.clone(), Arc::clone(pool))).collect();
    start_all(Signal::Traces, exporters, names)
}

/// One router for each exporter, whose backends answer as the pool beside it says. `names` are the endpoints of pools.
fn start_all(signal: Signal, exporters: Vec<(settings::Exporter, Arc<Pool>)>, names: &[&str]) -> Bench {
    let (metrics, stop, tasks) = (Metrics::new(), Stop::default(), Tasks::new());
    let budget = Budget::new(1 << 30);
    let routers = exporters.into_iter().map(|(exporter, pool)| {
        let endpoints: Vec<_> = match &exporter.destination {
            settings::Destination::Pool { .. } => names.iter().map(|name| Endpoint::new(name)).collect(),
            settings::Destination::Single { endpoints } => {
                endpoints[signal.index()].iter().map(|name| Endpoint::new(name)).collect()
            }
        };
        let (id, backend) = (Arc::clone(&exporter.id), exporter.backend.clone());
        let pool_of_backends = backend::Pool {
            custody: Custody::new(),
            buffers: Buffers::new(),
            stop: stop.clone(),
            tasks: tasks.clone(),
        };
        let (all, budget, health) = (metrics.clone(), budget.clone(), backend.health);
        let common = pool_of_backends.clone();
        let start: StartBackend = Box::new(move |endpoint| {
            let member = Member { name: endpoint.dial().to_owned(), pool: Arc::clone(&pool) };
            let metrics = all.backend(&id, endpoint.dial(), signal);
            let member = Arc::new(member);
            Backend::start(endpoint.clone(), signal, &backend, metrics, member, budget.account(), &common)
        });
        let custody = pool_of_backends.custody.clone();
        let router =
            Arc::new(Router::new(&exporter, signal, metrics.exporter(&exporter.id, signal), custody));
        let mut keeper = Keeper::new(Arc::clone(&router), health, pool_of_backends, start);
        if !endpoints.is_empty() {
            keeper.install(&endpoints);
        }
        tasks.spawn("keeper", keeper.run(None));
        router
    });
    let dispatcher = Dispatcher::new(routers.collect(), Validation::Structure);
    Bench { signal, dispatcher, metrics, stop, tasks }
}

impl Bench {
    async fn send(&self, request: &impl prost::Message) -> Dispatched {
        self.send_as(request, &Metadata::default()).await
    }

    async fn send_as(&self, request: &impl prost::Message, metadata: &Metadata) -> Dispatched {
        self.dispatcher.dispatch(self.signal, request.encode_to_vec().into(), metadata).await
    }

    async fn drained(&self) {
        self.stop.drain.cancel();
        self.tasks.ended().await;
    }
}

/// One resource and scope with a span for each trace number.
fn request(traces: std::ops::Range<u8>, name_len: usize) -> ExportTraceServiceRequest {
    let span = |trace: u8| Span {
        trace_id: vec![trace; 16],
        span_id: vec![trace; 8],
        name: "n".repeat(name_len),
        ..Span::default()
    };
    let scope = ScopeSpans { spans: traces.map(span).collect(), ..ScopeSpans::default() };
    let resource = ResourceSpans { scope_spans: vec![scope], ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource] }
}

fn owner(trace: u8) -> &'static str {
    NAMES[Ring::new(settings::RingGeneration::G3, &NAMES).slot_of(&[trace; 16]).unwrap()]
}

// Scenario: one request of 60 traces over three backends, queued and synchronous.
// Guarantees: every span reaches the owner of its trace on the ring, once; all of them are counted.
#[tokio::test(start_paused = true)]
async fn every_span_reaches_its_owner() {
    for queue in [QUEUE, SYNC] {
        let pool = Arc::new(Pool::default());
        let bench = start(&exporter(queue.clone(), 4 << 20), std::slice::from_ref(&pool), &NAMES);
        let dispatched = bench.send(&request(0..60, 3)).await;
        assert_eq!((dispatched.items, dispatched.outcome), (60, Ok(Delivered::default())));
        if queue.acknowledge == settings::Acknowledge::Delivered {
            assert_eq!(pool.spans().len(), 60, "a synchronous answer comes after delivery");
        }
        bench.drained().await;
        let spans = pool.spans();
        assert_eq!(spans.len(), 60);
        for (name, trace_id, _) in spans {
            assert_eq!(name, owner(trace_id[0]));
        }
    }
}

// Scenario: the queue of one backend is full; a request touches all three.
// Guarantees: refused whole and as retryable, nothing of it is sent, the rooms at the other two are free again.
#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_the_whole_request() {
    let pool = Arc::new(Pool { hang: Some("b:1"), ..Pool::default() });
    let bench = start(&exporter(Queue { size: 1, ..QUEUE }, 4 << 20), std::slice::from_ref(&pool), &NAMES);
    let of_b: Vec<u8> = (0..100).filter(|trace| owner(*trace) == "b:1").collect();
    let filling = bench.send(&request(of_b[0]..of_b[0] + 1, 3)).await;
    assert!(filling.outcome.is_ok());
    for _ in 0..3 {
        let refused = bench.send(&request(0..60, 3)).await;
        let failure = refused.outcome.unwrap_err();
        assert_eq!((refused.items, failure.code, failure.is_retryable()), (60, Code::QueueFull, true));
    }
    assert!(pool.spans().is_empty());
    let exporter = bench.metrics.exporter("load_balancing", Signal::Traces);
    assert_eq!((exporter.enqueue_failed.get(), bench.metrics.queued_items()), (180, 1));
    let of_a: Vec<u8> = (0..100).filter(|trace| owner(*trace) == "a:1").collect();
    assert!(bench.send(&request(of_a[0]..of_a[0] + 1, 3)).await.outcome.is_ok());
    bench.stop.abort.cancel();
    bench.drained().await;
}

// Scenario: no endpoint has been resolved; the request is not OTLP; it holds no items.
// Guarantees: retryable with its items counted; permanent; success without any backend.
#[tokio::test(start_paused = true)]
async fn requests_that_go_nowhere() {
    let bench = start(&exporter(QUEUE, 4 << 20), &[Arc::default()], &[]);
    let nowhere = bench.send(&request(0..5, 3)).await;
    let failure = nowhere.outcome.unwrap_err();
    assert_eq!((nowhere.items, failure.code, failure.is_retryable()), (5, Code::NoBackend, true));
    let garbage = bench
        .dispatcher
        .dispatch(Signal::Traces, Bytes::from_static(b"\x0a\xff"), &Metadata::default())
        .await;
    let failure = garbage.outcome.unwrap_err();
    assert_eq!((garbage.items, failure.code, failure.is_retryable()), (0, Code::Malformed, false));
    let empty = bench.send(&ExportTraceServiceRequest::default()).await;
    assert_eq!((empty.items, empty.outcome), (0, Ok(Delivered::default())));
}

// Scenario: queue off; one of three backends refuses its part for good, then a client gives up on one that hangs.
// Guarantees: the answer is that failure and the other parts were delivered once; what nobody waits for is given up.
#[tokio::test(start_paused = true)]
async fn a_synchronous_failure_is_told() {
    let pool = Arc::new(Pool { refuse: Some("c:1"), ..Pool::default() });
    let bench = start(&exporter(SYNC, 4 << 20), std::slice::from_ref(&pool), &NAMES);
    let failure = bench.send(&request(0..60, 3)).await.outcome.unwrap_err();
    assert_eq!((failure.code, failure.grpc_status), (Code::Rejected, Some(16)));
    let expected = (0..60).filter(|trace| owner(*trace) != "c:1").count();
    assert_eq!(pool.spans().len(), expected);
    assert_eq!(bench.metrics.dropped_items(Code::Rejected) as usize, 60 - expected);
    bench.drained().await;
}

// Scenario: a limit of 300 bytes for a message; parts above it, and one span that is larger by itself.
// Guarantees: no message exceeds the limit, everything that fits arrives once, the giant is dropped alone and counted.
#[tokio::test(start_paused = true)]
async fn messages_stay_below_the_limit() {
    let pool = Arc::new(Pool::default());
    let bench = start(&exporter(QUEUE, 300), std::slice::from_ref(&pool), &NAMES);
    let mut request = request(0..60, 20);
    request.resource_spans[0].scope_spans[0].spans[7].name = "g".repeat(400);
    let dispatched = bench.send(&request).await;
    assert_eq!((dispatched.items, dispatched.outcome.is_ok()), (60, true));
    bench.drained().await;
    assert_eq!(pool.spans().len(), 59);
    assert!(pool.arrived.lock().unwrap().iter().all(|(_, body)| body.len() <= 300));
    assert_eq!(bench.metrics.dropped_items(Code::TooLarge), 1);
}

// Scenario: a request of one megabyte, all of it in the resource, whose hundred spans would each need a message.
// Guarantees: refused for good before anything is queued, instead of growing to a hundred megabytes.
#[tokio::test(start_paused = true)]
async fn a_request_cannot_grow_without_bound() {
    let pool = Arc::new(Pool::default());
    let limit = (1 << 20) + 300;
    let bench = start(&exporter(QUEUE, limit), std::slice::from_ref(&pool), &NAMES);
    let mut request = request(0..100, 200);
    request.resource_spans[0].schema_url = "s".repeat(1 << 20);
    let refused = bench.send(&request).await;
    let failure = refused.outcome.unwrap_err();
    assert_eq!((refused.items, failure.code, failure.is_retryable()), (100, Code::TooLarge, false));
    bench.drained().await;
    assert!(pool.spans().is_empty());
}

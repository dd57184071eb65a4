//! Tests of several exporters behind one receiver: each gets everything, and fails by itself.

use tokio::time::Instant;

use super::*;

/// An exporter with one backend and the same queue as [`exporter`].
fn single(id: &str, queue: Queue) -> settings::Exporter {
    let endpoints = [Some("s:1".into()), Some("s:1".into()), Some("s:1".into())];
    let destination = settings::Destination::Single { endpoints };
    settings::Exporter { id: id.into(), destination, ..exporter(queue, 4 << 20) }
}

fn pools<const N: usize>() -> [Arc<Pool>; N] {
    std::array::from_fn(|_| Arc::default())
}

fn counted(bench: &Bench, id: &str) -> [u64; 3] {
    let metrics = bench.metrics.exporter(id, Signal::Traces);
    [metrics.sent.get(), metrics.send_failed.get(), metrics.enqueue_failed.get()]
}

// Scenario: one pipeline feeds two pools and two exporters with one backend.
// Guarantees: each of them gets every span once; what is not split arrives as it came.
#[tokio::test(start_paused = true)]
async fn all_exporters_get_everything() {
    let [a, b, c, d] = pools();
    let exporters = vec![
        (exporter(QUEUE, 4 << 20), Arc::clone(&a)),
        (single("otlp", QUEUE), Arc::clone(&b)),
        (exporter(QUEUE, 4 << 20), Arc::clone(&c)),
        (single("otlp/2", QUEUE), Arc::clone(&d)),
    ];
    let bench = start_all(Signal::Traces, exporters, &NAMES);
    let request = request(0..60, 3);
    assert_eq!(bench.send(&request).await.items, 60);
    bench.drained().await;
    for pool in [&a, &b, &c, &d] {
        assert_eq!(pool.spans().len(), 60);
    }
    for pool in [b, d] {
        let arrived = pool.arrived.lock().unwrap().clone();
        assert_eq!(arrived, [("s:1".to_owned(), Bytes::from(request.encode_to_vec()))]);
    }
    assert_eq!(counted(&bench, "otlp/2"), [60, 0, 0]);
}

// Scenario: an exporter without a key stands behind one that has one, and in front of it, and the request is malformed.
// Guarantees: a malformed request is refused for all of them, whichever is asked first; nothing is counted.
#[tokio::test(start_paused = true)]
async fn a_malformed_request_is_malformed_for_all() {
    for singles_first in [true, false] {
        let [a, b] = pools();
        let mut exporters =
            vec![(single("otlp", QUEUE), Arc::clone(&a)), (exporter(QUEUE, 4 << 20), Arc::clone(&b))];
        if !singles_first {
            exporters.reverse();
        }
        let bench = start_all(Signal::Traces, exporters, &NAMES);
        let mut body = request(0..3, 3).encode_to_vec();
        body.push(0xff);
        let refused = bench.dispatcher.dispatch(Signal::Traces, body.into(), &Metadata::default()).await;
        let failure = refused.outcome.unwrap_err();
        assert_eq!((refused.items, failure.code, failure.is_retryable()), (0, Code::Malformed, false));
        bench.drained().await;
        assert!(a.spans().is_empty() && b.spans().is_empty());
        assert_eq!(counted(&bench, "otlp"), [0, 0, 0]);
    }
}

// Scenario: the queue of one of three exporters is full; the client tries until there is room.
// Guarantees: nothing reaches the other two until all have room; then each has every span once.
#[tokio::test(start_paused = true)]
async fn a_full_queue_holds_back_all_or_nothing() {
    let [a, b] = pools();
    let full = Arc::new(Pool { hold: Some("s:1"), ..Pool::default() });
    let exporters = vec![
        (single("free", QUEUE), Arc::clone(&a)),
        (single("full", Queue { size: 1, ..QUEUE }), Arc::clone(&full)),
        (exporter(QUEUE, 4 << 20), Arc::clone(&b)),
    ];
    let bench = start_all(Signal::Traces, exporters, &NAMES);
    assert!(bench.send(&request(0..10, 3)).await.outcome.is_ok());
    for _ in 0..3 {
        let failure = bench.send(&request(10..60, 3)).await.outcome.unwrap_err();
        assert_eq!((failure.code, failure.is_retryable()), (Code::QueueFull, true));
    }
    full.release.cancel();
    while bench.metrics.queued_items() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(bench.send(&request(10..60, 3)).await.outcome.is_ok());
    bench.drained().await;
    for pool in [a, b, full] {
        assert_eq!(pool.spans().len(), 60);
    }
    assert_eq!([counted(&bench, "free"), counted(&bench, "full")], [[60, 0, 0], [60, 0, 150]]);
}

// Scenario: one of two exporters can never take a request: it is above the capacity of its queue, in items.
// Guarantees: the other one delivers it; the client is told once and for all, so that it does not repeat it.
#[tokio::test(start_paused = true)]
async fn what_no_retry_can_mend_is_one_exporters_affair() {
    for small_first in [true, false] {
        let [a, b] = pools();
        let small = Queue { size: 5, sizer: Sizer::Items, ..QUEUE };
        let mut exporters =
            vec![(single("small", small), Arc::clone(&a)), (single("large", QUEUE), Arc::clone(&b))];
        if !small_first {
            exporters.reverse();
        }
        let bench = start_all(Signal::Traces, exporters, &NAMES);
        let refused = bench.send(&request(0..60, 3)).await;
        let failure = refused.outcome.unwrap_err();
        assert_eq!((refused.items, failure.code, failure.is_retryable()), (60, Code::TooLarge, false));
        assert!(bench.send(&request(60..65, 3)).await.outcome.is_ok());
        bench.drained().await;
        assert_eq!((a.spans().len(), b.spans().len()), (5, 65));
        assert_eq!([counted(&bench, "small"), counted(&bench, "large")], [[5, 0, 60], [65, 0, 0]]);
    }
}

// Scenario: no queues; one exporter never answers and has two seconds, another one takes five and has ten.
// Guarantees: the first one's time ends its own wait only; the answer comes when the last one is known, is retryable, and
// what was delivered stays delivered.
#[tokio::test(start_paused = true)]
async fn each_exporter_has_its_own_time() {
    let hangs = Arc::new(Pool { hang: Some("s:1"), ..Pool::default() });
    let slow = Arc::new(Pool { hold: Some("s:1"), ..Pool::default() });
    let [quick] = pools();
    let timed =
        |id, seconds| settings::Exporter { timeout: Some(Duration::from_secs(seconds)), ..single(id, SYNC) };
    let exporters = vec![
        (timed("hangs", 2), hangs),
        (timed("slow", 10), Arc::clone(&slow)),
        (single("quick", SYNC), Arc::clone(&quick)),
    ];
    let bench = start_all(Signal::Traces, exporters, &NAMES);
    let begin = Instant::now();
    let release = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        slow.release.cancel();
    };
    let request = request(0..10, 3);
    let (dispatched, ()) = tokio::join!(bench.send(&request), release);
    let failure = dispatched.outcome.unwrap_err();
    assert_eq!((failure.code, failure.is_retryable()), (Code::Timeout, true));
    assert_eq!(failure.message, "not delivered within 2s");
    assert_eq!(begin.elapsed().as_secs(), 5);
    assert_eq!((slow.spans().len(), quick.spans().len()), (10, 10));
    bench.stop.abort.cancel();
    bench.drained().await;
}

// Scenario: no queues; one exporter refuses the data for good, another one takes it.
// Guarantees: the client hears of the failure, and the other delivery is complete.
#[tokio::test(start_paused = true)]
async fn a_failing_exporter_fails_alone() {
    let [takes] = pools();
    let refuses = Arc::new(Pool { refuse: Some("s:1"), ..Pool::default() });
    let exporters = vec![(single("refuses", SYNC), refuses), (single("takes", SYNC), Arc::clone(&takes))];
    let bench = start_all(Signal::Traces, exporters, &NAMES);
    let failure = bench.send(&request(0..10, 3)).await.outcome.unwrap_err();
    assert_eq!((failure.code, failure.grpc_status), (Code::Rejected, Some(16)));
    bench.drained().await;
    assert_eq!(takes.spans().len(), 10);
    assert_eq!([counted(&bench, "refuses"), counted(&bench, "takes")], [[0, 10, 0], [10, 0, 0]]);
}

// Scenario: requests of two tenants; one exporter sends the tenant on, the other one nothing.
// Guarantees: the first one's requests are of one tenant each, and say which; the other one's data merge as ever.
#[tokio::test(start_paused = true)]
async fn only_exporters_that_forward_keep_tenants_apart() {
    let forwards = Arc::new(Pool { hold: Some("s:1"), ..Pool::default() });
    let plain = Arc::new(Pool { hold: Some("s:1"), ..Pool::default() });
    let mut forwarding = single("forwards", QUEUE);
    forwarding.backend.forwarded =
        vec![settings::Forwarded { name: "x-scope-orgid".into(), from: "tenant".into(), default: None }];
    let exporters = vec![(forwarding, Arc::clone(&forwards)), (single("plain", QUEUE), Arc::clone(&plain))];
    let bench = start_all(Signal::Traces, exporters, &NAMES);
    assert_eq!(bench.dispatcher.forwarded_headers(), ["tenant".into()]);
    for trace in 0..20 {
        let tenant = if trace % 2 == 0 { "even" } else { "odd" };
        let metadata = Metadata::new(vec![("tenant".into(), tenant.as_bytes().into())]);
        assert!(bench.send_as(&request(trace..trace + 1, 3), &metadata).await.outcome.is_ok());
    }
    forwards.release.cancel();
    plain.release.cancel();
    bench.drained().await;
    assert_eq!((forwards.spans().len(), plain.spans().len()), (20, 20));
    let tenants = forwards.tenants.lock().unwrap().clone();
    for ((_, body), metadata) in forwards.arrived.lock().unwrap().iter().zip(tenants) {
        let tenant = metadata.values("tenant").next().unwrap();
        for number in trace_numbers(body) {
            assert_eq!(tenant, if number % 2 == 0 { b"even".as_slice() } else { b"odd" });
        }
    }
    assert!(plain.tenants.lock().unwrap().iter().all(Metadata::is_empty));
    assert!(plain.arrived.lock().unwrap().iter().any(|(_, body)| trace_numbers(body).len() > 1));
}

/// The numbers that [`request`] made trace ids of.
#[expect(clippy::disallowed_methods, reason = "the oracle of the test decodes")]
fn trace_numbers(body: &Bytes) -> Vec<u8> {
    let request = ExportTraceServiceRequest::decode(body.clone()).unwrap();
    let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    scopes.flat_map(|scope| scope.spans).map(|span| span.trace_id[0]).collect()
}

//! Tests of what belongs to no backend: counted by reason, told when nothing is left; and the law over all signals.

use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest},
    common::v1::{AnyValue, KeyValue, any_value::Value},
    metrics::v1::{Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data},
    resource::v1::Resource,
};

use super::{adversarial::Generator, *};
use crate::model::settings::{Key, MissingKey, RoutingKey};

/// A pool of one signal with this key.
fn pool_of(signal: Signal, key: RoutingKey, queue: Queue) -> settings::Exporter {
    let mut keys = [None, None, None];
    keys[signal.index()] = Some(key);
    let resolver = settings::Resolver::Static { hostnames: NAMES.map(Into::into).to_vec() };
    let ring = settings::RingGeneration::G3;
    let membership = settings::Membership::NEUTRAL;
    let destination = settings::Destination::Pool { keys, ring, resolver, membership };
    settings::Exporter { destination, ..exporter(queue, 4 << 20) }
}

/// One gauge with so many points for each service; the empty name stands for a resource without one.
fn metrics(services: &[(&str, usize)]) -> ExportMetricsServiceRequest {
    let group = |(service, points): &(&str, usize)| {
        let value = Some(AnyValue { value: Some(Value::StringValue((*service).to_owned())) });
        let attribute = KeyValue { key: "service.name".to_owned(), value, ..KeyValue::default() };
        let attributes = if service.is_empty() { Vec::new() } else { vec![attribute] };
        let data_points = vec![NumberDataPoint::default(); *points];
        let data = Some(Data::Gauge(Gauge { data_points }));
        let metric = Metric { name: "m".to_owned(), data, ..Metric::default() };
        ResourceMetrics {
            resource: Some(Resource { attributes, ..Resource::default() }),
            scope_metrics: vec![ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() }],
            ..ResourceMetrics::default()
        }
    };
    ExportMetricsServiceRequest { resource_metrics: services.iter().map(group).collect() }
}

/// Items that arrived, decoded.
#[expect(clippy::disallowed_methods, reason = "the oracle of the test decodes")]
fn arrived(signal: Signal, pool: &Pool) -> usize {
    let arrived = pool.arrived.lock().unwrap();
    let count = |body: &Bytes| -> usize {
        match signal {
            Signal::Traces => {
                let request = ExportTraceServiceRequest::decode(body.clone()).unwrap();
                let scopes = request.resource_spans.iter().flat_map(|group| &group.scope_spans);
                scopes.map(|scope| scope.spans.len()).sum()
            }
            Signal::Metrics => {
                let request = ExportMetricsServiceRequest::decode(body.clone()).unwrap();
                let scopes = request.resource_metrics.iter().flat_map(|group| &group.scope_metrics);
                scopes.flat_map(|scope| &scope.metrics).map(points).sum()
            }
            Signal::Logs => {
                let request = ExportLogsServiceRequest::decode(body.clone()).unwrap();
                let scopes = request.resource_logs.iter().flat_map(|group| &group.scope_logs);
                scopes.map(|scope| scope.log_records.len()).sum()
            }
        }
    };
    arrived.iter().map(|(_, body)| count(body)).sum()
}

fn points(metric: &Metric) -> usize {
    match &metric.data {
        None => 0,
        Some(Data::Gauge(data)) => data.data_points.len(),
        Some(Data::Sum(data)) => data.data_points.len(),
        Some(Data::Histogram(data)) => data.data_points.len(),
        Some(Data::ExponentialHistogram(data)) => data.data_points.len(),
        Some(Data::Summary(data)) => data.data_points.len(),
    }
}

/// Offered to one exporter = refused + sent + failed, once nothing is queued; and what was sent has arrived.
#[track_caller]
fn law(bench: &Bench, id: &str, offered: usize, pool: &Pool) {
    let metrics = bench.metrics.exporter(id, bench.signal);
    let [sent, failed, refused] =
        [metrics.sent.get(), metrics.send_failed.get(), metrics.enqueue_failed.get()];
    assert_eq!(bench.metrics.queued_items(), 0);
    assert_eq!(offered as u64, sent + failed + refused, "sent {sent}, failed {failed}, refused {refused}");
    assert_eq!(sent as usize, arrived(bench.signal, pool));
}

fn line(bench: &Bench, name: &str, reason: &str) -> String {
    let labels = format!("{{exporter=\"load_balancing\",reason=\"{reason}\",signal=\"metrics\"}} ");
    let text = bench.metrics.text();
    let found =
        text.lines().find_map(|line| line.strip_prefix(&format!("{name}{labels}")).map(str::to_owned));
    found.unwrap_or_else(|| panic!("{name}{labels} is missing in {text}"))
}

// Scenario: metrics by service; of four resources one has no service name; then all of a request have none; queue on and off.
// Guarantees: what has a key is delivered and the request is a success; a request of which nothing is left is refused for good,
// in the Collector's words; every dropped point is counted once, by reason.
#[tokio::test(start_paused = true)]
async fn metrics_without_service_are_dropped_and_counted() {
    for queue in [QUEUE, SYNC] {
        let pool = Arc::new(Pool::default());
        let exporter = pool_of(Signal::Metrics, RoutingKey::compatible(Key::ServiceName), queue);
        let bench = start_all(Signal::Metrics, vec![(exporter, Arc::clone(&pool))], &NAMES);
        let some = bench.send(&metrics(&[("a", 2), ("b", 3), ("", 4), ("c", 5)])).await;
        assert_eq!((some.items, some.outcome), (14, Ok(Delivered::default())));
        let none = bench.send(&metrics(&[("", 4), ("", 6)])).await;
        let failure = none.outcome.unwrap_err();
        assert_eq!((none.items, failure.code, failure.is_retryable()), (10, Code::NoKey, false));
        assert!(failure.message.starts_with("unable to get service name from resource"), "{failure}");
        bench.drained().await;
        law(&bench, "load_balancing", 24, &pool);
        assert_eq!(bench.metrics.dropped_items(Code::NoKey), 14);
        assert_eq!(line(&bench, "ringway_router_dropped_items", "no_key"), "14");
    }
}

// Scenario: metrics by stream, some without points; a request that has no points at all.
// Guarantees: metrics that have nothing to be routed by are counted as such, and are no failure: no item is lost.
#[tokio::test(start_paused = true)]
async fn metrics_without_points_are_counted() {
    let pool = Arc::new(Pool::default());
    let exporter = pool_of(Signal::Metrics, RoutingKey::compatible(Key::Stream), QUEUE);
    let bench = start_all(Signal::Metrics, vec![(exporter, Arc::clone(&pool))], &NAMES);
    let some = bench.send(&metrics(&[("a", 2), ("b", 0)])).await;
    assert_eq!((some.items, some.outcome), (2, Ok(Delivered::default())));
    let none = bench.send(&metrics(&[("a", 0), ("b", 0)])).await;
    assert_eq!((none.items, none.outcome), (0, Ok(Delivered::default())));
    bench.drained().await;
    law(&bench, "load_balancing", 2, &pool);
    assert_eq!(line(&bench, "ringway_router_dropped_metrics", "no_data_points"), "3");
}

// Scenario: a pool that can take nothing of a request for lack of keys, beside an exporter with one backend; then that one's
// queue is full.
// Guarantees: the other exporter delivers all of it and the client is told for good; a request that is refused because of a full
// queue is not counted as dropped, since it comes again.
#[tokio::test(start_paused = true)]
async fn a_missing_key_concerns_one_exporter() {
    let by_service = Arc::new(Pool::default());
    let all = Arc::new(Pool { hold: Some("s:1"), ..Pool::default() });
    let endpoints = std::array::from_fn(|_| Some("s:1".into()));
    let single = settings::Exporter {
        id: "otlp".into(),
        destination: settings::Destination::Single { endpoints },
        ..exporter(Queue { size: 1, ..QUEUE }, 4 << 20)
    };
    let exporters = vec![
        (pool_of(Signal::Metrics, RoutingKey::compatible(Key::ServiceName), QUEUE), Arc::clone(&by_service)),
        (single, Arc::clone(&all)),
    ];
    let bench = start_all(Signal::Metrics, exporters, &NAMES);
    let failure = bench.send(&metrics(&[("", 4)])).await.outcome.unwrap_err();
    assert_eq!((failure.code, failure.is_retryable()), (Code::NoKey, false));
    let failure = bench.send(&metrics(&[("", 6)])).await.outcome.unwrap_err();
    assert_eq!((failure.code, failure.is_retryable()), (Code::QueueFull, true));
    assert_eq!(bench.metrics.dropped_items(Code::NoKey), 4);
    all.release.cancel();
    bench.drained().await;
    law(&bench, "load_balancing", 4, &by_service);
    law(&bench, "otlp", 4 + 6, &all);
    assert_eq!(arrived(Signal::Metrics, &all), 4);
}

// Scenario: generated requests of every signal, by every key, items without one dropped; small queues and messages, a backend that
// refuses, one that is slow.
// Guarantees: offered = refused + sent + failed, exactly, for every signal and key; what was sent has arrived, decodable.
#[tokio::test(start_paused = true)]
async fn nothing_is_lost_uncounted() {
    let attributes = Key::Attributes(["of.item".into(), "service.name".into()].into());
    let keys = [
        (Signal::Traces, vec![Key::TraceId, Key::ServiceSegment, attributes.clone()]),
        (Signal::Logs, vec![Key::TraceIdHex, Key::ServiceName, Key::Resource, attributes.clone()]),
        (Signal::Metrics, vec![Key::ServiceName, Key::Resource, Key::Metric, Key::Stream, attributes]),
    ];
    let mut generator = Generator::new(7);
    for (signal, key) in
        keys.into_iter().flat_map(|(signal, keys)| keys.into_iter().map(move |key| (signal, key)))
    {
        let pool = Arc::new(Pool { refuse: Some("b:1"), hold: Some("c:1"), ..Pool::default() });
        let key = RoutingKey { key, missing: MissingKey::Drop };
        let mut exporter = pool_of(signal, key.clone(), Queue { size: 7, ..QUEUE });
        exporter.backend.max_message_bytes = 3000;
        let bench = start_all(signal, vec![(exporter, Arc::clone(&pool))], &NAMES);
        let mut offered = 0;
        for round in 0..40 {
            let body = match signal {
                Signal::Traces => generator.traces(30).encode_to_vec(),
                Signal::Metrics => generator.metrics(30).encode_to_vec(),
                Signal::Logs => generator.logs(30).encode_to_vec(),
            };
            offered += bench.dispatcher.dispatch(signal, body.into(), &Metadata::default()).await.items;
            if round == 30 {
                pool.release.cancel();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        bench.drained().await;
        assert!(offered > 0 && arrived(signal, &pool) > 0, "{key:?}");
        law(&bench, "load_balancing", offered, &pool);
    }
}

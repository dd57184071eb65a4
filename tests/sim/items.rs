//! What is sent: requests of every signal whose items are known by a number, and the way to read them back.
//!
//! An item's number stands in a field that no key is made of: the span id, or `time_unix_nano` of a log record or data point.
//! Its key is a small number too: a trace id for spans, a `service.name` for log records and data points, which is what the
//! exporter routes by without a `routing_key`. Reading is prost's: the judge shares no code with the splitter.

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{AnyValue, KeyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message as _;
use ringway::model::Signal;

/// The number of an item, unique in a run over all signals.
pub(crate) type Id = u64;

/// What a backend thinks of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Nothing.
    Plain,
    /// Every backend rejects a message that contains it.
    Poison,
    /// It is larger than what some backends take as a message.
    Giant,
}

/// One item as its client made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Item {
    pub(crate) id: Id,
    /// Index in [`Signal::ALL`].
    pub(crate) signal: usize,
    /// What [`key_bytes`] makes the routing key of.
    pub(crate) key: u32,
    pub(crate) kind: Kind,
}

/// Bytes of padding in a giant.
pub(crate) const GIANT_BYTES: usize = 6_000;

/// The bytes that the exporter hashes for a key.
pub(crate) fn key_bytes(signal: Signal, key: u32) -> Vec<u8> {
    match signal {
        Signal::Traces => trace_id(key),
        Signal::Metrics | Signal::Logs => service(key).into_bytes(),
    }
}

/// Never zero, and spread over all bytes.
fn trace_id(key: u32) -> Vec<u8> {
    (u128::from(key) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes().to_vec()
}

fn service(key: u32) -> String {
    format!("service-{key}")
}

/// A serialized request of `items`, all of one signal. Two traces share a resource.
pub(crate) fn request(signal: Signal, items: &[Item]) -> Vec<u8> {
    let mut keys: Vec<u32> = items.iter().map(|item| item.key).collect();
    keys.sort_unstable();
    keys.dedup();
    // Other keys than a span's are the resource's.
    let share = if signal == Signal::Traces { 2 } else { 1 };
    let groups = keys.chunks(share).map(|keys| {
        let of_keys = items.iter().filter(|item| keys.contains(&item.key)).copied().collect::<Vec<_>>();
        (resource(keys[0]), of_keys)
    });
    match signal {
        Signal::Traces => {
            let resource_spans = groups
                .map(|(resource, items)| ResourceSpans {
                    resource: Some(resource),
                    scope_spans: vec![ScopeSpans {
                        spans: items.iter().map(span).collect(),
                        ..ScopeSpans::default()
                    }],
                    ..ResourceSpans::default()
                })
                .collect();
            ExportTraceServiceRequest { resource_spans }.encode_to_vec()
        }
        Signal::Logs => {
            let resource_logs = groups
                .map(|(resource, items)| ResourceLogs {
                    resource: Some(resource),
                    scope_logs: vec![ScopeLogs {
                        log_records: items.iter().map(record).collect(),
                        ..ScopeLogs::default()
                    }],
                    ..ResourceLogs::default()
                })
                .collect();
            ExportLogsServiceRequest { resource_logs }.encode_to_vec()
        }
        Signal::Metrics => {
            let resource_metrics = groups
                .map(|(resource, items)| ResourceMetrics {
                    resource: Some(resource),
                    scope_metrics: vec![ScopeMetrics {
                        metrics: vec![metric(&items)],
                        ..ScopeMetrics::default()
                    }],
                    ..ResourceMetrics::default()
                })
                .collect();
            ExportMetricsServiceRequest { resource_metrics }.encode_to_vec()
        }
    }
}

fn resource(key: u32) -> Resource {
    Resource { attributes: vec![attribute("service.name", service(key))], ..Resource::default() }
}

fn attribute(key: &str, value: String) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value)) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

fn padding(item: &Item) -> String {
    "g".repeat(if item.kind == Kind::Giant { GIANT_BYTES } else { 8 })
}

fn span(item: &Item) -> Span {
    Span {
        trace_id: trace_id(item.key),
        span_id: item.id.to_be_bytes().to_vec(),
        name: padding(item),
        ..Span::default()
    }
}

fn record(item: &Item) -> LogRecord {
    LogRecord { time_unix_nano: item.id, severity_text: padding(item), ..LogRecord::default() }
}

fn metric(items: &[Item]) -> Metric {
    let data_points = items
        .iter()
        .map(|item| NumberDataPoint {
            time_unix_nano: item.id,
            attributes: vec![attribute("padding", padding(item))],
            ..NumberDataPoint::default()
        })
        .collect();
    Metric { name: "load".to_owned(), data: Some(Data::Gauge(Gauge { data_points })), ..Metric::default() }
}

/// The numbers of a request's items, in its order.
///
/// # Panics
///
/// If the bytes are no such request: nobody here sends any other.
#[expect(clippy::disallowed_methods, reason = "the judge decodes")]
pub(crate) fn ids(signal: Signal, body: &[u8]) -> Vec<Id> {
    match signal {
        Signal::Traces => ExportTraceServiceRequest::decode(body)
            .expect("a traces request")
            .resource_spans
            .iter()
            .flat_map(|resource| &resource.scope_spans)
            .flat_map(|scope| &scope.spans)
            .map(|span| Id::from_be_bytes(span.span_id.as_slice().try_into().expect("a span id")))
            .collect(),
        Signal::Logs => ExportLogsServiceRequest::decode(body)
            .expect("a logs request")
            .resource_logs
            .iter()
            .flat_map(|resource| &resource.scope_logs)
            .flat_map(|scope| &scope.log_records)
            .map(|record| record.time_unix_nano)
            .collect(),
        Signal::Metrics => ExportMetricsServiceRequest::decode(body)
            .expect("a metrics request")
            .resource_metrics
            .iter()
            .flat_map(|resource| &resource.scope_metrics)
            .flat_map(|scope| &scope.metrics)
            .flat_map(|metric| match &metric.data {
                Some(Data::Gauge(gauge)) => gauge.data_points.as_slice(),
                _ => &[],
            })
            .map(|point| point.time_unix_nano)
            .collect(),
    }
}

// Scenario: a request of every signal, written and read back.
// Guarantees: the numbers are those of the items; nothing of what is judged later is lost by the judge itself.
#[test]
fn items_are_read_back() {
    for (index, signal) in Signal::ALL.into_iter().enumerate() {
        let kinds = [Kind::Plain, Kind::Poison, Kind::Giant];
        let items: Vec<Item> = (1..20)
            .map(|id| Item { id, signal: index, key: id as u32 % 5, kind: kinds[id as usize % 3] })
            .collect();
        let mut read = ids(signal, &request(signal, &items));
        read.sort_unstable();
        assert_eq!(read, (1..20).collect::<Vec<_>>());
    }
}

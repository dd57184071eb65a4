//! The oracle of routing: which key bytes every item of a decoded request is hashed by.
//!
//! Included by tests and fuzz targets with `#[path]`. Plain and slow on purpose; shares no code with the crate, so that
//! two readings of the Collector have to agree: this one and the gateway's. `tests/real/agreement` compares it with the
//! Collector itself.
//!
//! An item is known by a number that no key is made of: a span by its span id, a log record and a data point by
//! `time_unix_nano`. A metric without data points is an item too; it is known by the number at the end of its name
//! (`adversarial` makes both).
//!
//! Source: opentelemetry-collector-contrib v0.161.0: `exporter/loadbalancingexporter/{trace,log,metrics}_exporter.go` and
//! `attribute_routing.go`, `pkg/batchpersignal`, `pkg/pdatautil/hash.go`, `internal/exp/metrics/identity`; Collector pdata
//! v1.67.0: `pcommon/value.go` (`AsString`).
#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    clippy::panic,
    reason = "test only; each includer uses its own share of this file"
)]

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    logs::v1::LogRecord,
    metrics::v1::{Metric, metric::Data},
    resource::v1::Resource,
    trace::v1::Span,
};

// A file that is included by path looks for its own modules beside itself.
#[path = "routing/hash.rs"]
pub mod hash;
#[path = "routing/text.rs"]
pub mod text;

/// What is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// The 16 raw bytes of the trace id. Traces and logs.
    TraceId,
    /// The trace id as 32 lower-case hex digits. Logs.
    TraceIdHex,
    /// `service.name=<value>|`, looked up like an attribute. Traces.
    ServiceSegment,
    /// The resource's `service.name` if it is a string. Every signal.
    ServiceName,
    /// `resource/<hex>`. Logs and metrics.
    Resource,
    /// The name of the metric. Metrics.
    Metric,
    /// `stream/<hex>`. Metrics.
    Stream,
    /// `<name>=<value>|` for each name. Every signal.
    Attributes(&'a [&'a str]),
}

/// What becomes of an item whose key is missing: no trace id, no `service.name` that is a non-empty string, or none of
/// the attributes (a pseudo attribute is never missing).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing<'a> {
    /// What the Collector does.
    Compatible,
    /// `resource/<hex>` takes its place.
    Resource,
    /// This text takes its place.
    Fixed(&'a str),
    /// The item is dropped.
    Drop,
}

/// Where an item goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Routed {
    /// To the owner of these bytes.
    By(Vec<u8>),
    /// Anywhere.
    Random,
    /// Nowhere.
    Dropped,
}

/// Every item by its number.
pub type Routes = BTreeMap<u64, Routed>;

/// Routes spans.
///
/// # Panics
///
/// On a key that traces cannot have, and on two spans with the same id.
pub fn traces(request: &ExportTraceServiceRequest, key: Key<'_>, missing: Missing<'_>) -> Routes {
    let mut routes = Routes::new();
    for group in &request.resource_spans {
        let resource = group.resource.as_ref();
        for scope_spans in &group.scope_spans {
            let scope = scope_spans.scope.as_ref();
            for span in &scope_spans.spans {
                // By trace the Collector asks nobody else; otherwise the first span of the trace in this scope speaks
                // for all of them.
                let first = scope_spans
                    .spans
                    .iter()
                    .find(|other| trace_id(&other.trace_id) == trace_id(&span.trace_id))
                    .expect("the span itself");
                let found = span_key(key, attributes(resource), scope_attributes(scope), first);
                insert(&mut routes, span_number(span), settle(found, resource, missing));
            }
        }
    }
    routes
}

/// Routes log records.
///
/// # Panics
///
/// On a key that logs cannot have, and on two records with the same time.
pub fn logs(request: &ExportLogsServiceRequest, key: Key<'_>, missing: Missing<'_>) -> Routes {
    let mut routes = Routes::new();
    for group in &request.resource_logs {
        let resource = group.resource.as_ref();
        for scope_logs in &group.scope_logs {
            let scope = scope_logs.scope.as_ref();
            for record in &scope_logs.log_records {
                let found = record_key(key, attributes(resource), scope_attributes(scope), record);
                insert(&mut routes, record.time_unix_nano, settle(found, resource, missing));
            }
        }
    }
    routes
}

/// Routes data points, and metrics without any.
///
/// # Panics
///
/// On a key that metrics cannot have, on two points with the same time, and on a metric without points whose name does
/// not end in a number.
pub fn metrics(request: &ExportMetricsServiceRequest, key: Key<'_>, missing: Missing<'_>) -> Routes {
    let mut routes = Routes::new();
    for group in &request.resource_metrics {
        let resource = group.resource.as_ref();
        for scope_metrics in &group.scope_metrics {
            let scope = scope_metrics.scope.as_ref();
            for metric in &scope_metrics.metrics {
                let mut route = |number, point: Option<&[KeyValue]>| {
                    let found = point_key(key, resource, scope, metric, point);
                    insert(&mut routes, number, settle(found, resource, missing));
                };
                let points = points(metric);
                if points.is_empty() {
                    route(metric_number(metric), None);
                }
                for (number, attributes) in points {
                    route(number, Some(attributes));
                }
            }
        }
    }
    routes
}

/// (number, attributes) of a metric's data points.
pub fn points(metric: &Metric) -> Vec<(u64, &[KeyValue])> {
    macro_rules! of {
        ($data:expr) => {
            $data
                .data_points
                .iter()
                .map(|point| (point.time_unix_nano, point.attributes.as_slice()))
                .collect()
        };
    }
    match &metric.data {
        None => Vec::new(),
        Some(Data::Gauge(data)) => of!(data),
        Some(Data::Sum(data)) => of!(data),
        Some(Data::Histogram(data)) => of!(data),
        Some(Data::ExponentialHistogram(data)) => of!(data),
        Some(Data::Summary(data)) => of!(data),
    }
}

/// The number of a span.
pub fn span_number(span: &Span) -> u64 {
    u64::from_be_bytes(span.span_id.as_slice().try_into().expect("a span id is 8 bytes"))
}

/// The number of a metric without data points.
pub fn metric_number(metric: &Metric) -> u64 {
    let digits = metric.name.rsplit('-').next().unwrap_or_default();
    digits.parse().unwrap_or_else(|_| panic!("metric {:?} has neither points nor a number", metric.name))
}

fn insert(routes: &mut Routes, number: u64, routed: Routed) {
    assert!(routes.insert(number, routed).is_none(), "number {number} stands for two items");
}

/// A key as far as the Collector's rules give one.
struct Found {
    /// What the Collector does.
    compatible: Routed,
    /// Whether a policy for missing keys applies.
    missing: bool,
}

impl Found {
    fn present(key: impl Into<Vec<u8>>) -> Self {
        Self { compatible: Routed::By(key.into()), missing: false }
    }

    fn missing(compatible: Routed) -> Self {
        Self { compatible, missing: true }
    }
}

fn settle(found: Found, resource: Option<&Resource>, missing: Missing<'_>) -> Routed {
    match missing {
        Missing::Resource if found.missing => {
            Routed::By(hash::resource_identity(attributes(resource)).into())
        }
        Missing::Fixed(text) if found.missing => Routed::By(text.into()),
        Missing::Drop if found.missing => Routed::Dropped,
        _ => found.compatible,
    }
}

// === Traces ===

fn span_key(key: Key<'_>, resource: &[KeyValue], scope: &[KeyValue], span: &Span) -> Found {
    match key {
        Key::TraceId => {
            let id = trace_id(&span.trace_id);
            Found { compatible: Routed::By(id.to_vec()), missing: id == [0; 16] }
        }
        Key::ServiceSegment => {
            const NAME: &str = "service.name";
            let value = [resource, scope, &span.attributes].into_iter().find_map(|level| get(level, NAME));
            let mut segments = Segments::default();
            segments.push(NAME, &value.map(text::of).unwrap_or_default());
            Found {
                compatible: Routed::By(segments.0.into()),
                missing: value.is_none_or(|value| string(value).is_empty()),
            }
        }
        Key::ServiceName => service_name(resource, Routed::By(Vec::new())),
        Key::Attributes(names) => {
            let mut segments = Segments::default();
            let mut any = false;
            for name in names {
                let found = get(resource, name)
                    .or_else(|| get(scope, name))
                    .map(text::of)
                    .or_else(|| span_pseudo_attribute(span, name))
                    .or_else(|| get(&span.attributes, name).map(text::of));
                any |= found.is_some();
                segments.push(name, &found.unwrap_or_default());
            }
            Found { compatible: Routed::By(segments.0.into()), missing: !any }
        }
        Key::TraceIdHex | Key::Resource | Key::Metric | Key::Stream => panic!("traces have no {key:?}"),
    }
}

fn span_pseudo_attribute(span: &Span, name: &str) -> Option<String> {
    match name {
        "span.name" => Some(span.name.clone()),
        "span.kind" => {
            let names = ["Unspecified", "Internal", "Server", "Client", "Producer", "Consumer"];
            let name = usize::try_from(span.kind).ok().and_then(|kind| names.get(kind));
            Some(name.copied().unwrap_or_default().to_owned())
        }
        _ => None,
    }
}

// === Logs ===

fn record_key(key: Key<'_>, resource: &[KeyValue], scope: &[KeyValue], record: &LogRecord) -> Found {
    match key {
        Key::TraceId | Key::TraceIdHex => match trace_id(&record.trace_id) {
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] => Found::missing(Routed::Random),
            id if key == Key::TraceId => Found::present(id),
            id => Found::present(id.map(|byte| format!("{byte:02x}")).concat()),
        },
        Key::ServiceName => service_name(resource, Routed::By(Vec::new())),
        Key::Resource => Found::present(hash::resource_identity(resource)),
        Key::Attributes(names) => level_major(names, resource, scope, |name| match name {
            "log.severity" => Some(record.severity_text.clone()),
            "log.body" => Some(record.body.as_ref().map(text::of).unwrap_or_default()),
            _ => get(&record.attributes, name).map(text::of),
        }),
        Key::ServiceSegment | Key::Metric | Key::Stream => panic!("logs have no {key:?}"),
    }
}

// === Metrics ===

fn point_key(
    key: Key<'_>,
    resource: Option<&Resource>,
    scope: Option<&InstrumentationScope>,
    metric: &Metric,
    point: Option<&[KeyValue]>,
) -> Found {
    let nowhere = Found { compatible: Routed::Dropped, missing: false };
    match (key, point) {
        (Key::ServiceName, _) => {
            let resource = attributes(resource);
            let without = match get(resource, "service.name") {
                None => Routed::Dropped,
                Some(_) => Routed::By(Vec::new()),
            };
            service_name(resource, without)
        }
        (Key::Resource, _) => Found::present(hash::resource_identity(attributes(resource))),
        (Key::Metric, _) => Found::present(metric.name.clone()),
        (Key::Stream, Some(point)) => {
            Found::present(hash::stream_identity(attributes(resource), scope, metric, point))
        }
        (Key::Attributes(names), point) => {
            let (resource, scope) = (attributes(resource), scope_attributes(scope));
            let above = |name: &&str| get(resource, name).is_some() || get(scope, name).is_some();
            if point.is_none() && !names.iter().all(above) {
                // There is no point to ask for the rest, and the metric is rebuilt point by point.
                return nowhere;
            }
            level_major(names, resource, scope, |name| get(point.unwrap_or_default(), name).map(text::of))
        }
        (Key::Stream, None) => nowhere,
        (Key::TraceId | Key::TraceIdHex | Key::ServiceSegment, _) => panic!("metrics have no {key:?}"),
    }
}

// === What signals share ===

/// Segments of the names that the resource has, then of those that the scope has, then of all others.
fn level_major(
    names: &[&str],
    resource: &[KeyValue],
    scope: &[KeyValue],
    item: impl Fn(&str) -> Option<String>,
) -> Found {
    let mut segments = Segments::default();
    let mut left = names.to_vec();
    for level in [resource, scope] {
        left.retain(|name| match get(level, name) {
            Some(value) => {
                segments.push(name, &text::of(value));
                false
            }
            None => true,
        });
    }
    let mut any = left.len() < names.len();
    for name in left {
        let value = item(name);
        any |= value.is_some();
        segments.push(name, &value.unwrap_or_default());
    }
    Found { compatible: Routed::By(segments.0.into()), missing: !any }
}

#[derive(Default)]
struct Segments(String);

impl Segments {
    fn push(&mut self, name: &str, value: &str) {
        self.0 += &format!("{name}={value}|");
    }
}

/// The bare `service.name`; `without` if it is not a string or empty.
fn service_name(resource: &[KeyValue], without: Routed) -> Found {
    match get(resource, "service.name").map(string) {
        Some(name) if !name.is_empty() => Found::present(name),
        _ => Found::missing(without),
    }
}

fn attributes(resource: Option<&Resource>) -> &[KeyValue] {
    resource.map(|resource| resource.attributes.as_slice()).unwrap_or_default()
}

fn scope_attributes(scope: Option<&InstrumentationScope>) -> &[KeyValue] {
    scope.map(|scope| scope.attributes.as_slice()).unwrap_or_default()
}

/// The value of the first attribute of that name. One that is not there at all counts as empty.
fn get<'a>(attributes: &'a [KeyValue], name: &str) -> Option<&'a AnyValue> {
    static EMPTY: AnyValue = AnyValue { value: None };
    attributes
        .iter()
        .find(|attribute| attribute.key == name)
        .map(|attribute| attribute.value.as_ref().unwrap_or(&EMPTY))
}

fn string(value: &AnyValue) -> &str {
    match &value.value {
        Some(Value::StringValue(text)) => text,
        _ => "",
    }
}

/// An id as 16 bytes; one that is not there is zero.
fn trace_id(bytes: &[u8]) -> [u8; 16] {
    bytes.try_into().unwrap_or_default()
}

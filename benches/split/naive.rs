//! The baseline: decode with prost, find each item's slot on the structs, regroup, encode.
//!
//! Written as one would write it without thinking of bytes: whole groups move where the key is theirs, wrappers are
//! cloned where it is not, and what many items share is hashed once. Keys are made of texts and integers, which is all
//! that the generated requests have in the attributes that are asked for.

use std::collections::HashMap;

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric::Data},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message;
use ringway::model::settings::Key;

use super::routing::hash;

/// Decodes, regroups and encodes one request of a signal into a buffer for each slot.
pub(super) trait Signal: Message + Default {
    /// The parts, a request for each slot.
    fn regroup(self, key: &Key, slots: usize, slot_of: &dyn Fn(&[u8]) -> usize) -> Vec<Self>;
}

pub(super) fn run<S: Signal>(
    payload: &[u8],
    key: &Key,
    out: &mut [Vec<u8>],
    slot_of: &dyn Fn(&[u8]) -> usize,
) {
    let parts = S::decode(payload).expect("generated").regroup(key, out.len(), slot_of);
    for (part, out) in parts.iter().zip(out) {
        part.encode(out).expect("vectors grow");
    }
}

/// Requests that are put together, and the source group that each one's last group was copied from.
struct Parts<T> {
    parts: Vec<T>,
    last: Vec<[usize; 3]>,
}

impl<T: Default> Parts<T> {
    fn new(slots: usize) -> Self {
        Self {
            parts: std::iter::repeat_with(T::default).take(slots).collect(),
            last: vec![[usize::MAX; 3]; slots],
        }
    }

    /// The part of a slot, and from which level on its groups have to be opened anew for this source.
    fn at(&mut self, slot: usize, source: [usize; 3]) -> (&mut T, usize) {
        let last = std::mem::replace(&mut self.last[slot], source);
        let same = last.iter().zip(source).take_while(|(last, now)| **last == *now).count();
        (&mut self.parts[slot], same)
    }
}

impl Signal for ExportTraceServiceRequest {
    fn regroup(self, key: &Key, slots: usize, slot_of: &dyn Fn(&[u8]) -> usize) -> Vec<Self> {
        let mut parts = Parts::<Self>::new(slots);
        for (group, ResourceSpans { resource, scope_spans, schema_url }) in
            self.resource_spans.into_iter().enumerate()
        {
            for (number, ScopeSpans { scope, spans, schema_url: scope_url }) in
                scope_spans.into_iter().enumerate()
            {
                // The first span of a trace in a scope speaks for all of them.
                let mut of_trace: HashMap<Vec<u8>, usize> = HashMap::new();
                for span in spans {
                    let slot = match key {
                        Key::TraceId => slot_of(&span.trace_id),
                        _ => match of_trace.get(&span.trace_id) {
                            Some(slot) => *slot,
                            None => {
                                let slot = slot_of(&span_key(key, resource.as_ref(), scope.as_ref(), &span));
                                of_trace.insert(span.trace_id.clone(), slot);
                                slot
                            }
                        },
                    };
                    let (part, same) = parts.at(slot, [group, number, 0]);
                    if same < 1 {
                        part.resource_spans.push(ResourceSpans {
                            resource: resource.clone(),
                            scope_spans: Vec::new(),
                            schema_url: schema_url.clone(),
                        });
                    }
                    let scopes = &mut part.resource_spans.last_mut().expect("just pushed").scope_spans;
                    if same < 2 {
                        scopes.push(ScopeSpans {
                            scope: scope.clone(),
                            spans: Vec::new(),
                            schema_url: scope_url.clone(),
                        });
                    }
                    scopes.last_mut().expect("just pushed").spans.push(span);
                }
            }
        }
        parts.parts
    }
}

impl Signal for ExportLogsServiceRequest {
    fn regroup(self, key: &Key, slots: usize, slot_of: &dyn Fn(&[u8]) -> usize) -> Vec<Self> {
        let mut parts = Parts::<Self>::new(slots);
        for (group, logs) in self.resource_logs.into_iter().enumerate() {
            if let Some(key) = resource_key(key, logs.resource.as_ref()) {
                parts.parts[slot_of(&key)].resource_logs.push(logs);
                continue;
            }
            let ResourceLogs { resource, scope_logs, schema_url } = logs;
            for (number, ScopeLogs { scope, log_records, schema_url: scope_url }) in
                scope_logs.into_iter().enumerate()
            {
                for record in log_records {
                    let slot = slot_of(&record_key(key, resource.as_ref(), scope.as_ref(), &record));
                    let (part, same) = parts.at(slot, [group, number, 0]);
                    if same < 1 {
                        part.resource_logs.push(ResourceLogs {
                            resource: resource.clone(),
                            scope_logs: Vec::new(),
                            schema_url: schema_url.clone(),
                        });
                    }
                    let scopes = &mut part.resource_logs.last_mut().expect("just pushed").scope_logs;
                    if same < 2 {
                        scopes.push(ScopeLogs {
                            scope: scope.clone(),
                            log_records: Vec::new(),
                            schema_url: scope_url.clone(),
                        });
                    }
                    scopes.last_mut().expect("just pushed").log_records.push(record);
                }
            }
        }
        parts.parts
    }
}

impl Signal for ExportMetricsServiceRequest {
    fn regroup(self, key: &Key, slots: usize, slot_of: &dyn Fn(&[u8]) -> usize) -> Vec<Self> {
        let mut parts = Parts::<Self>::new(slots);
        for (group, resource_metrics) in self.resource_metrics.into_iter().enumerate() {
            if let Some(key) = resource_key(key, resource_metrics.resource.as_ref()) {
                parts.parts[slot_of(&key)].resource_metrics.push(resource_metrics);
                continue;
            }
            let ResourceMetrics { resource, scope_metrics, schema_url } = resource_metrics;
            let resource_hash = hash::map(attributes(resource.as_ref()));
            for (number, ScopeMetrics { scope, metrics, schema_url: scope_url }) in
                scope_metrics.into_iter().enumerate()
            {
                let scope_hash = scope.as_ref().map_or([0; 16], |scope| hash::map(&scope.attributes));
                for (at, metric) in metrics.into_iter().enumerate() {
                    let around = Around {
                        source: [group, number, at],
                        resource: resource.as_ref(),
                        resource_url: &schema_url,
                        resource_hash,
                        scope: scope.as_ref(),
                        scope_url: &scope_url,
                        scope_hash,
                    };
                    match key {
                        Key::Metric => {
                            let slot = slot_of(metric.name.as_bytes());
                            around.open(&mut parts, slot).0.push(metric);
                        }
                        _ => around.points(&mut parts, metric, key, slot_of),
                    }
                }
            }
        }
        parts.parts
    }
}

/// What a metric stands in.
struct Around<'a> {
    source: [usize; 3],
    resource: Option<&'a Resource>,
    resource_url: &'a str,
    resource_hash: [u8; 16],
    scope: Option<&'a InstrumentationScope>,
    scope_url: &'a str,
    scope_hash: [u8; 16],
}

impl Around<'_> {
    /// The metrics of the open scope of a slot, and how many levels were open already.
    fn open<'p>(
        &self,
        parts: &'p mut Parts<ExportMetricsServiceRequest>,
        slot: usize,
    ) -> (&'p mut Vec<Metric>, usize) {
        let (part, same) = parts.at(slot, self.source);
        if same < 1 {
            part.resource_metrics.push(ResourceMetrics {
                resource: self.resource.cloned(),
                scope_metrics: Vec::new(),
                schema_url: self.resource_url.to_owned(),
            });
        }
        let scopes = &mut part.resource_metrics.last_mut().expect("just pushed").scope_metrics;
        if same < 2 {
            scopes.push(ScopeMetrics {
                scope: self.scope.cloned(),
                metrics: Vec::new(),
                schema_url: self.scope_url.to_owned(),
            });
        }
        (&mut scopes.last_mut().expect("just pushed").metrics, same)
    }

    fn points(
        &self,
        parts: &mut Parts<ExportMetricsServiceRequest>,
        mut metric: Metric,
        key: &Key,
        slot_of: &dyn Fn(&[u8]) -> usize,
    ) {
        // The generated requests have these two kinds.
        let (points, data, kind) = match metric.data.take() {
            Some(Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic })) => {
                let wrapper = Sum { data_points: Vec::new(), aggregation_temporality, is_monotonic };
                let temporality = u8::try_from(aggregation_temporality).unwrap_or_default();
                (data_points, Data::Sum(wrapper), [2, u8::from(is_monotonic), temporality])
            }
            Some(Data::Gauge(Gauge { data_points })) => {
                (data_points, Data::Gauge(Gauge::default()), [1, 0, 0])
            }
            _ => return,
        };
        let mut stream = self.resource_hash.to_vec();
        if let Some(scope) = self.scope {
            stream.extend(scope.name.as_bytes());
            stream.extend(scope.version.as_bytes());
        }
        stream.extend(self.scope_hash);
        stream.extend(metric.name.as_bytes());
        stream.extend(metric.unit.as_bytes());
        stream.extend(kind);
        let shared = stream.len();
        for point in points {
            let slot = if *key == Key::Stream {
                stream.truncate(shared);
                stream.extend(hash::map(&point.attributes));
                slot_of(format!("stream/{:x}", hash::fnv1a(&stream)).as_bytes())
            } else {
                slot_of(&levels(key, self.resource, self.scope, &point.attributes))
            };
            let (metrics, same) = self.open(parts, slot);
            if same < 3 {
                metrics.push(Metric { data: Some(data.clone()), ..metric.clone() });
            }
            push(metrics.last_mut().expect("just pushed"), point);
        }
    }
}

fn push(metric: &mut Metric, point: NumberDataPoint) {
    match &mut metric.data {
        Some(Data::Sum(sum)) => sum.data_points.push(point),
        Some(Data::Gauge(gauge)) => gauge.data_points.push(point),
        _ => {}
    }
}

/// The key of a whole resource, if it is one.
fn resource_key(key: &Key, resource: Option<&Resource>) -> Option<Vec<u8>> {
    match key {
        Key::ServiceName => Some(match find(attributes(resource), "service.name") {
            Some(Value::StringValue(name)) => name.clone().into_bytes(),
            _ => Vec::new(),
        }),
        Key::Resource => Some(hash::resource_identity(attributes(resource)).into_bytes()),
        _ => None,
    }
}

fn span_key(
    key: &Key,
    resource: Option<&Resource>,
    scope: Option<&InstrumentationScope>,
    span: &Span,
) -> Vec<u8> {
    let mut text = Vec::new();
    let mut segment = |name: &str| {
        let scope_attributes = scope.map_or(&[][..], |scope| &scope.attributes);
        let value = find(attributes(resource), name)
            .or_else(|| find(scope_attributes, name))
            .or_else(|| find(&span.attributes, name));
        put_segment(&mut text, name, value);
    };
    match key {
        Key::Attributes(names) => names.iter().for_each(|name| segment(name)),
        _ => segment("service.name"),
    }
    text
}

fn record_key(
    key: &Key,
    resource: Option<&Resource>,
    scope: Option<&InstrumentationScope>,
    record: &LogRecord,
) -> Vec<u8> {
    match key {
        Key::TraceIdHex => {
            record.trace_id.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes()
        }
        _ => levels(key, resource, scope, &record.attributes),
    }
}

/// Segments of the resource's attributes, then of the scope's, then of the item's.
fn levels(
    key: &Key,
    resource: Option<&Resource>,
    scope: Option<&InstrumentationScope>,
    item: &[KeyValue],
) -> Vec<u8> {
    let Key::Attributes(names) = key else { return Vec::new() };
    let scope = scope.map_or(&[][..], |scope| &scope.attributes);
    let mut text = Vec::new();
    let mut left: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    for level in [attributes(resource), scope] {
        left.retain(|name| match find(level, name) {
            Some(value) => {
                put_segment(&mut text, name, Some(value));
                false
            }
            None => true,
        });
    }
    for name in left {
        put_segment(&mut text, name, find(item, name));
    }
    text
}

fn attributes(resource: Option<&Resource>) -> &[KeyValue] {
    resource.map_or(&[], |resource| &resource.attributes)
}

fn find<'a>(attributes: &'a [KeyValue], name: &str) -> Option<&'a Value> {
    let attribute = attributes.iter().find(|attribute| attribute.key == name)?;
    let AnyValue { value } = attribute.value.as_ref()?;
    value.as_ref()
}

fn put_segment(text: &mut Vec<u8>, name: &str, value: Option<&Value>) {
    text.extend(name.as_bytes());
    text.push(b'=');
    match value {
        Some(Value::StringValue(value)) => text.extend(value.as_bytes()),
        Some(Value::IntValue(value)) => text.extend(value.to_string().as_bytes()),
        _ => {}
    }
    text.push(b'|');
}

//! Seeded requests of every signal, full of what code that finds routing keys might get wrong.
//!
//! Included by tests and fuzz targets with `#[path]`. Every request is valid OTLP as a Collector takes it (ids of 0, 8 or
//! 16 bytes, UTF-8 strings, values nested at most [`DEPTH`] deep), and almost nothing in it is usual: attributes are
//! missing, of any type, and twice under one name; levels are empty or absent; resources, scopes and metrics repeat,
//! exactly or nearly. The same seed gives the same requests.
//!
//! Every item has a number that no routing key is made of and that no other item of the generator has: `routing` says
//! where it stands.
#![allow(dead_code, unreachable_pub, reason = "each includer uses its own share of this file")]

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{AnyValue, EntityRef, InstrumentationScope, KeyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{ResourceMetrics, ScopeMetrics},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span},
};

// A file that is included by path looks for its own modules beside itself.
#[path = "adversarial/metrics.rs"]
mod metrics;
#[path = "adversarial/values.rs"]
mod values;

/// Arrays and maps in an attribute value.
pub const DEPTH: u32 = 3;

/// Lists of routing attributes that meet what is generated: found on one level, on several, on none, twice, or pseudo
/// attributes of some signal.
pub const ROUTING_ATTRIBUTES: &[&[&str]] = &[
    &["of.item", "service.name"],
    &["shared", "of.item", "of.scope", "of.resource"],
    &["span.kind", "span.name", "log.severity", "log.body", "service.name"],
    &["shared", "nowhere", "shared", "of.item"],
    &["", "a=b|c", "schlüssel", "\u{2028}", "of.scope"],
];

/// Makes requests; a number is never used twice.
#[derive(Debug)]
pub struct Generator {
    random: fastrand::Rng,
    next_number: u64,
}

impl Generator {
    /// A generator that starts from `seed`; its items are numbered from 1.
    pub fn new(seed: u64) -> Self {
        Self::numbered_from(1, seed)
    }

    /// The same with items that are numbered from `first`, for requests of several generators together.
    pub fn numbered_from(first: u64, seed: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), next_number: first }
    }

    /// A request with this many spans.
    pub fn traces(&mut self, spans: usize) -> ExportTraceServiceRequest {
        let traces = self.trace_ids(spans / 3);
        let spans = (0..spans).map(|_| self.span(&traces)).collect();
        let groups = self.deal(spans).into_iter().map(|group| ResourceSpans {
            resource: group.resource,
            schema_url: group.schema_url,
            scope_spans: group
                .scopes
                .into_iter()
                .map(|scope| ScopeSpans {
                    scope: scope.scope,
                    schema_url: scope.schema_url,
                    spans: scope.items,
                })
                .collect(),
        });
        ExportTraceServiceRequest { resource_spans: groups.collect() }
    }

    /// A request with this many log records.
    pub fn logs(&mut self, records: usize) -> ExportLogsServiceRequest {
        let traces = self.trace_ids(records / 3);
        let records = (0..records).map(|_| self.record(&traces)).collect();
        let groups = self.deal(records).into_iter().map(|group| ResourceLogs {
            resource: group.resource,
            schema_url: group.schema_url,
            scope_logs: group
                .scopes
                .into_iter()
                .map(|scope| ScopeLogs {
                    scope: scope.scope,
                    schema_url: scope.schema_url,
                    log_records: scope.items,
                })
                .collect(),
        });
        ExportLogsServiceRequest { resource_logs: groups.collect() }
    }

    /// A request with this many data points, and some metrics without any.
    pub fn metrics(&mut self, points: usize) -> ExportMetricsServiceRequest {
        let metrics = self.metrics_with(points);
        let groups = self.deal(metrics).into_iter().map(|group| ResourceMetrics {
            resource: group.resource,
            schema_url: group.schema_url,
            scope_metrics: group
                .scopes
                .into_iter()
                .map(|scope| ScopeMetrics {
                    scope: scope.scope,
                    schema_url: scope.schema_url,
                    metrics: scope.items,
                })
                .collect(),
        });
        ExportMetricsServiceRequest { resource_metrics: groups.collect() }
    }

    // === Items ===

    fn span(&mut self, traces: &[Vec<u8>]) -> Span {
        Span {
            trace_id: self.one_of(traces).clone(),
            span_id: self.number().to_be_bytes().to_vec(),
            parent_span_id: if self.random.bool() { Vec::new() } else { vec![7; 8] },
            trace_state: self.text_in(4),
            name: self.text(),
            kind: *self.one_of(&[0, 1, 2, 3, 4, 5, 6, -1, i32::MAX, i32::MIN]),
            start_time_unix_nano: self.random.u64(..),
            attributes: self.attributes("of.item"),
            dropped_attributes_count: u32::from(self.one_in(4)),
            events: (0..self.random.usize(..2)).map(|_| self.event()).collect(),
            links: (0..self.random.usize(..2)).map(|_| self.link(traces)).collect(),
            status: self.one_in(2).then(|| Status { message: self.text(), code: self.random.i32(-1..4) }),
            flags: self.random.u32(..),
            ..Span::default()
        }
    }

    fn event(&mut self) -> span::Event {
        span::Event { name: self.text(), attributes: self.attributes("of.event"), ..span::Event::default() }
    }

    fn link(&mut self, traces: &[Vec<u8>]) -> span::Link {
        let trace_id = self.one_of(traces).clone();
        span::Link {
            trace_id,
            span_id: vec![9; 8],
            attributes: self.attributes("of.link"),
            ..span::Link::default()
        }
    }

    fn record(&mut self, traces: &[Vec<u8>]) -> LogRecord {
        LogRecord {
            time_unix_nano: self.number(),
            observed_time_unix_nano: self.random.u64(..),
            severity_number: self.random.i32(-1..30),
            severity_text: self.text_in(2),
            body: self.value(DEPTH),
            attributes: self.attributes("of.item"),
            dropped_attributes_count: u32::from(self.one_in(4)),
            flags: self.random.u32(..),
            trace_id: self.one_of(traces).clone(),
            span_id: if self.random.bool() { Vec::new() } else { vec![7; 8] },
            event_name: self.text_in(4),
        }
    }

    /// Ids of traces, among them none and zero.
    fn trace_ids(&mut self, count: usize) -> Vec<Vec<u8>> {
        let random: Vec<Vec<u8>> =
            (0..count.max(1)).map(|_| self.random.u128(1..).to_be_bytes().to_vec()).collect();
        let odd = [Vec::new(), vec![0; 16], vec![0xff; 16], 1_u128.to_be_bytes().to_vec()];
        random.into_iter().chain(odd).collect()
    }

    // === Levels ===

    /// Deals items out to scopes of resources, some of which get none.
    fn deal<T>(&mut self, items: Vec<T>) -> Vec<Group<T>> {
        let mut groups: Vec<Group<T>> = Vec::new();
        for number in 0..self.random.usize(1..=6) {
            let resource = match groups.last() {
                Some(group) if self.one_in(4) => self.nearly_the_same(&group.resource),
                _ => self.resource(),
            };
            let mut scopes: Vec<ScopeGroup<T>> = Vec::new();
            let least = usize::from(number == 0); // somewhere the items have to go
            for _ in 0..self.random.usize(least..=4) {
                let scope = match scopes.last() {
                    Some(group) if self.one_in(4) => group.scope.clone(),
                    _ => self.scope(),
                };
                scopes.push(ScopeGroup { scope, schema_url: self.schema_url(), items: Vec::new() });
            }
            groups.push(Group { resource, schema_url: self.schema_url(), scopes });
        }
        for item in items {
            let mut filled: Vec<&mut ScopeGroup<T>> =
                groups.iter_mut().flat_map(|group| &mut group.scopes).collect();
            // The last one of several stays empty.
            let last = filled.len().saturating_sub(2);
            filled[self.random.usize(..=last)].items.push(item);
        }
        groups
    }

    fn resource(&mut self) -> Option<Resource> {
        if self.one_in(12) {
            return None;
        }
        if self.one_in(12) {
            return Some(Resource::default());
        }
        let mut attributes = self.attributes("of.resource");
        if !self.one_in(3) {
            let name = match self.random.u32(..8) {
                0 => String::new(),
                1 | 2 => "checkout".to_owned(),
                _ => format!("service-{}", self.random.u32(..1000)),
            };
            attributes.push(text_attribute("service.name", &name));
            self.random.shuffle(&mut attributes);
        }
        let entity = EntityRef {
            r#type: self.text(),
            id_keys: vec!["service.name".to_owned()],
            ..EntityRef::default()
        };
        Some(Resource {
            attributes,
            dropped_attributes_count: u32::from(self.one_in(4)),
            entity_refs: if self.one_in(6) { vec![entity] } else { Vec::new() },
        })
    }

    /// The same resource, perhaps with its attributes in another order: the identity is the same, the bytes are not.
    fn nearly_the_same(&mut self, resource: &Option<Resource>) -> Option<Resource> {
        let mut resource = resource.clone();
        if let Some(resource) = &mut resource
            && self.one_in(2)
        {
            self.random.shuffle(&mut resource.attributes);
        }
        resource
    }

    fn scope(&mut self) -> Option<InstrumentationScope> {
        if self.one_in(6) {
            return None;
        }
        Some(InstrumentationScope {
            name: self.text_in(2),
            version: self.text_in(2),
            attributes: if self.one_in(3) { Vec::new() } else { self.attributes("of.scope") },
            dropped_attributes_count: u32::from(self.one_in(6)),
        })
    }

    fn schema_url(&mut self) -> String {
        if self.one_in(3) { "https://opentelemetry.io/schemas/1.24.0".to_owned() } else { String::new() }
    }

    // === Chance ===

    fn number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.random.u32(..n) == 0
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.random.usize(..all.len())]
    }
}

/// One resource and what is below it.
#[derive(Debug)]
struct Group<T> {
    resource: Option<Resource>,
    schema_url: String,
    scopes: Vec<ScopeGroup<T>>,
}

/// One scope and its items.
#[derive(Debug)]
struct ScopeGroup<T> {
    scope: Option<InstrumentationScope>,
    schema_url: String,
    items: Vec<T>,
}

fn text_attribute(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

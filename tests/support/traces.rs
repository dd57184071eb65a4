//! Seeded traces requests as production sends them, and the way to split one with prost.
//!
//! Included by tests and benches with `#[path]`. Test only: the oracle that the splitter is compared with and the
//! baseline that it is measured against. Shares no code with the crate.
#![allow(dead_code, unreachable_pub, reason = "each includer uses its own share of this file")]

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span},
};

/// The shape of a generated request.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Spans in the request.
    pub spans: usize,
    /// Resources over which they are spread evenly, with two scopes each.
    pub resources: usize,
    /// Spans of one trace, on average; a trace's spans are spread over the request's resources.
    pub spans_per_trace: usize,
}

impl Shape {
    /// 512 spans from 4 resources, about 220 kB.
    pub const SMALL: Self = Self { spans: 512, resources: 4, spans_per_trace: 5 };
    /// 8,192 spans from 32 resources, about 3.5 MB.
    pub const LARGE: Self = Self { spans: 8192, resources: 32, spans_per_trace: 5 };
}

/// A request of the given shape: 13 resource attributes, 10 span attributes of the HTTP or RPC semantic conventions,
/// one span in eight with an event; about 440 bytes a span. The same seed gives the same request.
pub fn request(seed: u64, shape: Shape) -> ExportTraceServiceRequest {
    let mut random = fastrand::Rng::with_seed(seed);
    let traces: Vec<[u8; 16]> =
        (0..shape.spans.div_ceil(shape.spans_per_trace)).map(|_| random.u128(1..).to_be_bytes()).collect();
    let per_resource = shape.spans.div_ceil(shape.resources.max(1));
    let mut left = shape.spans;
    let resource_spans = (0..shape.resources)
        .map(|number| {
            let spans = per_resource.min(left);
            left -= spans;
            ResourceSpans {
                resource: Some(resource(&mut random, number)),
                scope_spans: vec![
                    scope_spans(&mut random, "io.opentelemetry.tomcat-10.0", &traces, spans - spans / 2),
                    scope_spans(&mut random, "io.opentelemetry.grpc-1.6", &traces, spans / 2),
                ],
                schema_url: "https://opentelemetry.io/schemas/1.24.0".to_owned(),
            }
        })
        .collect();
    ExportTraceServiceRequest { resource_spans }
}

fn resource(random: &mut fastrand::Rng, number: usize) -> Resource {
    let pod = format!("checkout-{number}-7d9c5b6f4-{:05x}", random.u32(..0xf_ffff));
    Resource {
        attributes: vec![
            text("service.name", &format!("checkout-{number}")),
            text("service.namespace", "shop"),
            text("service.version", "2.14.3"),
            text("service.instance.id", &format!("{:032x}", random.u128(..))),
            text("telemetry.sdk.name", "opentelemetry"),
            text("telemetry.sdk.language", "java"),
            text("telemetry.sdk.version", "1.43.0"),
            text("k8s.namespace.name", "production"),
            text("k8s.pod.name", &pod),
            text("k8s.node.name", &format!("ip-10-0-{}-{}", random.u8(..), random.u8(..))),
            text("host.arch", "amd64"),
            text("os.type", "linux"),
            int("process.pid", random.i64(1..30_000)),
        ],
        ..Resource::default()
    }
}

fn scope_spans(random: &mut fastrand::Rng, name: &str, traces: &[[u8; 16]], spans: usize) -> ScopeSpans {
    ScopeSpans {
        scope: Some(InstrumentationScope {
            name: name.to_owned(),
            version: "2.10.0-alpha".to_owned(),
            ..InstrumentationScope::default()
        }),
        spans: (0..spans).map(|_| one_span(random, traces)).collect(),
        schema_url: String::new(),
    }
}

fn one_span(random: &mut fastrand::Rng, traces: &[[u8; 16]]) -> Span {
    let start = 1_700_000_000_000_000_000 + random.u64(..1_000_000_000_000);
    let http = random.bool();
    let status = if random.u8(..) < 10 { 500 } else { 200 };
    let events = if random.u8(..8) == 0 { vec![event(start)] } else { Vec::new() };
    Span {
        trace_id: traces[random.usize(..traces.len())].to_vec(),
        span_id: random.u64(1..).to_be_bytes().to_vec(),
        parent_span_id: random.u64(1..).to_be_bytes().to_vec(),
        flags: 0x101,
        name: (if http { "GET /api/v1/orders/{id}" } else { "shop.Inventory/Reserve" }).to_owned(),
        kind: random.i32(1..6),
        start_time_unix_nano: start,
        end_time_unix_nano: start + random.u64(1000..90_000_000),
        attributes: if http { http_attributes(random, status) } else { rpc_attributes(random, status) },
        events,
        status: Some(Status { message: String::new(), code: if status == 500 { 2 } else { 0 } }),
        ..Span::default()
    }
}

fn http_attributes(random: &mut fastrand::Rng, status: i64) -> Vec<KeyValue> {
    vec![
        text("http.request.method", "GET"),
        text("http.route", "/api/v1/orders/{id}"),
        text("url.path", &format!("/api/v1/orders/{}", random.u32(..1_000_000))),
        text("url.scheme", "https"),
        int("http.response.status_code", status),
        text("server.address", "orders.shop.svc"),
        int("server.port", 8443),
        text("client.address", &format!("10.0.{}.{}", random.u8(..), random.u8(..))),
        text("user_agent.original", "okhttp/4.12.0"),
        text("network.protocol.version", "1.1"),
    ]
}

fn rpc_attributes(random: &mut fastrand::Rng, status: i64) -> Vec<KeyValue> {
    vec![
        text("rpc.system", "grpc"),
        text("rpc.service", "shop.Inventory"),
        text("rpc.method", "Reserve"),
        int("rpc.grpc.status_code", i64::from(status == 500)),
        text("server.address", "inventory.shop.svc"),
        int("server.port", 9090),
        text("network.peer.address", &format!("10.0.{}.{}", random.u8(..), random.u8(..))),
        int("network.peer.port", random.i64(1024..65_536)),
        text("thread.name", "grpc-default-executor-3"),
        int("thread.id", random.i64(1..200)),
    ]
}

fn event(time: u64) -> span::Event {
    span::Event {
        time_unix_nano: time,
        name: "message".to_owned(),
        attributes: vec![text("message.type", "SENT"), int("message.id", 1)],
        dropped_attributes_count: 0,
    }
}

/// A string attribute.
pub fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

/// An integer attribute.
pub fn int(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

/// Any attribute.
pub fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// An attribute value of arrays inside each other.
pub fn nested(depth: usize) -> Value {
    (0..depth).fold(Value::BoolValue(true), |inner, _| {
        Value::ArrayValue(ArrayValue { values: vec![AnyValue { value: Some(inner) }] })
    })
}

/// Splits a request as one does with decoded messages: each span is moved behind those of its slot, its resource and
/// scope are copied once for each slot.
///
/// A trace id that is not there counts as 16 zeros.
pub fn regroup(
    request: ExportTraceServiceRequest,
    mut slot_of: impl FnMut(&[u8]) -> usize,
) -> BTreeMap<usize, ExportTraceServiceRequest> {
    let mut parts: BTreeMap<usize, (ExportTraceServiceRequest, [usize; 2])> = BTreeMap::new();
    for (resource_number, group) in request.resource_spans.into_iter().enumerate() {
        let ResourceSpans { resource, scope_spans, schema_url } = group;
        for (scope_number, spans) in scope_spans.into_iter().enumerate() {
            let ScopeSpans { scope, spans, schema_url: scope_schema_url } = spans;
            for span in spans {
                let slot =
                    slot_of(if span.trace_id.is_empty() { &[0; 16] } else { span.trace_id.as_slice() });
                let (part, at) = parts
                    .entry(slot)
                    .or_insert_with(|| (ExportTraceServiceRequest::default(), [usize::MAX; 2]));
                if at[0] != resource_number {
                    *at = [resource_number, usize::MAX];
                    part.resource_spans.push(ResourceSpans {
                        resource: resource.clone(),
                        scope_spans: Vec::new(),
                        schema_url: schema_url.clone(),
                    });
                }
                let scopes = &mut part.resource_spans.last_mut().expect("just pushed").scope_spans;
                if at[1] != scope_number {
                    at[1] = scope_number;
                    scopes.push(ScopeSpans {
                        scope: scope.clone(),
                        spans: Vec::new(),
                        schema_url: scope_schema_url.clone(),
                    });
                }
                scopes.last_mut().expect("just pushed").spans.push(span);
            }
        }
    }
    parts.into_iter().map(|(slot, (part, _))| (slot, part)).collect()
}

/// A stand-in for a hash ring: spreads keys over slots.
pub fn slot_of(key: &[u8], slots: usize) -> usize {
    let hash = key.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash >> 32) as usize % slots
}

//! Synthetic traces: a seeded stream of serialized `ExportTraceServiceRequest`s.
//!
//! One generator serves the demo, the tests and the benchmark. Its output is what an instrumented fleet sends:
//! 13 resource attributes, two scopes for each resource, ten attributes for each span by the HTTP or the RPC
//! conventions, one span in eight with an event; about 440 bytes for each span, which gzip makes five times smaller.
//! A trace has five spans on average; they lie across the resources of a request, and one in eight belongs to a trace
//! of the request before, so a gateway that splits traces within or across requests is found out.
//!
//! The bytes depend on the arguments alone: no clock, no global random source. No two spans of a seed, or of
//! two seeds below 2²⁴, have the same ids.

use bytes::Bytes;

use super::{
    ids::{Ids, SpanKey},
    protobuf::{put_bytes, put_fixed32, put_fixed64, put_message, put_uint},
};

/// Spans of one trace, on average.
const SPANS_PER_TRACE: usize = 5;
/// One span in so many belongs to a trace of the request before, unless it starts a trace.
const CARRIED_OVER: usize = 8;
/// One span in so many has an event.
const EVENT_EVERY: usize = 8;
/// One span in so many failed.
const ERROR_EVERY: usize = 24;
/// Different resources: pods of as many services.
const RESOURCES: usize = 48;
/// Spans of one resource in one request; requests above 32 resources have more.
const SPANS_PER_RESOURCE: usize = 128;
/// Resources in one request at most.
const RESOURCES_PER_REQUEST: usize = 32;
/// Time between two requests in the spans' own clock, nanoseconds.
const REQUEST_SPACING_NANOS: u64 = 1_000_000;

const SERVICES: [&str; 8] =
    ["checkout", "frontend", "cart", "payment", "recommendation", "shipping", "product-catalog", "currency"];
const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];
const ROUTES: [(&str, &str); 6] = [
    ("/api/v1/cart/{id}/items", "/api/v1/cart/"),
    ("/api/v1/orders/{id}", "/api/v1/orders/"),
    ("/api/v1/products/{id}/reviews", "/api/v1/products/"),
    ("/api/v1/users/{id}/sessions", "/api/v1/users/"),
    ("/checkout/{id}/confirm", "/checkout/"),
    ("/healthz/{id}", "/healthz/"),
];
const AGENTS: [&str; 3] =
    ["Mozilla/5.0 (X11; Linux x86_64) Firefox/142.0", "okhttp/5.1.0", "Go-http-client/2.0"];
const RPC_METHODS: [(&str, &str); 6] = [
    ("shop.CartService", "AddItem"),
    ("shop.CartService", "EmptyCart"),
    ("shop.PaymentService", "Charge"),
    ("shop.CurrencyService", "Convert"),
    ("shop.ShippingService", "GetQuote"),
    ("shop.ProductCatalogService", "ListProducts"),
];

/// One export request and what is in it.
#[derive(Clone, Debug)]
pub struct Request {
    /// A serialized `ExportTraceServiceRequest`.
    pub bytes: Bytes,
    /// Its spans in the order of the bytes.
    pub spans: Vec<SpanKey>,
}

/// An endless stream of requests of one size.
#[derive(Debug)]
pub struct Generator {
    ids: Ids,
    random: fastrand::Rng,
    /// Content of the field `resource` of each `ResourceSpans`.
    resources: Vec<Vec<u8>>,
    spans_per_request: usize,
    spans: u64,
    traces: u64,
    requests: u64,
    now_unix_nanos: u64,
    /// Traces that began in the latest request.
    recent: Vec<Trace>,
}

/// A trace that has its root.
#[derive(Clone, Copy, Debug)]
struct Trace {
    number: u64,
    root: u64,
}

/// A span before it is written.
#[derive(Clone, Copy, Debug)]
struct Planned {
    trace: Trace,
    span: u64,
}

// === impl Generator ===

impl Generator {
    /// Requests of `spans_per_request` spans (at least one). `start_unix_nanos` is when the first request's spans
    /// ended; each request lies a millisecond later.
    pub fn new(spans_per_request: usize, seed: u64, start_unix_nanos: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        Self {
            ids: Ids::new(seed),
            resources: (0..RESOURCES).map(|index| resource(index, &mut random)).collect(),
            random,
            spans_per_request: spans_per_request.max(1),
            spans: 0,
            traces: 0,
            requests: 0,
            now_unix_nanos: start_unix_nanos,
            recent: Vec::new(),
        }
    }

    /// Spans generated so far. They have the numbers below this.
    pub const fn spans(&self) -> u64 {
        self.spans
    }

    /// Traces generated so far. They have the numbers below this.
    pub const fn traces(&self) -> u64 {
        self.traces
    }

    /// The ids of this seed.
    pub const fn ids(&self) -> Ids {
        self.ids
    }

    /// The next request.
    pub fn request(&mut self) -> Request {
        let planned = self.plan();
        let resources = planned.len().div_ceil(SPANS_PER_RESOURCE).clamp(2, RESOURCES_PER_REQUEST);
        let mut bytes = Vec::with_capacity(planned.len() * 460 + resources * 700);
        let first_resource = self.random.usize(..RESOURCES);
        for (index, spans) in planned.chunks(planned.len().div_ceil(resources)).enumerate() {
            put_message(&mut bytes, 1, |out| self.resource_spans(first_resource + index, spans, out));
        }
        self.requests += 1;
        self.now_unix_nanos = self.now_unix_nanos.saturating_add(REQUEST_SPACING_NANOS);
        let spans = planned
            .iter()
            .map(|planned| SpanKey {
                trace: self.ids.trace(planned.trace.number),
                span: self.ids.span(planned.span),
            })
            .collect();
        Request { bytes: bytes.into(), spans }
    }

    /// Decides which spans a request has: first a root for each new trace, then the others under a trace of this
    /// request or of the one before; shuffled, so that every resource has some of each.
    fn plan(&mut self) -> Vec<Planned> {
        let mut planned = Vec::with_capacity(self.spans_per_request);
        let begun: Vec<Trace> = (0..self.spans_per_request.div_ceil(SPANS_PER_TRACE))
            .map(|_| {
                let trace = Trace { number: self.traces, root: self.spans };
                self.traces += 1;
                self.spans += 1;
                planned.push(Planned { trace, span: trace.root });
                trace
            })
            .collect();
        while planned.len() < self.spans_per_request {
            let carried_over = !self.recent.is_empty() && self.random.usize(..CARRIED_OVER) == 0;
            let traces = if carried_over { &self.recent } else { &begun };
            let Some(trace) = self.random.choice(traces) else { break };
            planned.push(Planned { trace: *trace, span: self.spans });
            self.spans += 1;
        }
        self.recent = begun;
        self.random.shuffle(&mut planned);
        planned
    }

    fn resource_spans(&mut self, resource: usize, spans: &[Planned], out: &mut Vec<u8>) {
        let index = resource % RESOURCES;
        if let Some(resource) = self.resources.get(index) {
            put_bytes(out, 1, resource);
        }
        let (http, rpc) = spans.split_at(spans.len() / 2);
        for (name, spans) in [("@opentelemetry/instrumentation-http", http), ("io.grpc.client", rpc)] {
            put_message(out, 2, |out| {
                put_message(out, 1, |out| {
                    put_bytes(out, 1, name.as_bytes());
                    put_bytes(out, 2, b"0.203.0");
                });
                for span in spans {
                    put_message(out, 2, |out| self.span(*span, name, out));
                }
                put_bytes(out, 3, b"https://opentelemetry.io/schemas/1.37.0");
            });
        }
        put_bytes(out, 3, b"https://opentelemetry.io/schemas/1.37.0");
    }

    fn span(&mut self, planned: Planned, scope: &str, out: &mut Vec<u8>) {
        let duration_nanos = self.random.u64(50_000..40_000_000);
        let end = self.now_unix_nanos.saturating_add(self.random.u64(..REQUEST_SPACING_NANOS));
        let start = end.saturating_sub(duration_nanos);
        put_bytes(out, 1, &self.ids.trace(planned.trace.number));
        put_bytes(out, 2, &self.ids.span(planned.span));
        if planned.span != planned.trace.root {
            put_bytes(out, 4, &self.ids.span(planned.trace.root));
        }
        if scope.starts_with('@') {
            self.http(out, start, end);
        } else {
            self.rpc(out, start, end);
        }
        if self.random.usize(..EVENT_EVERY) == 0 {
            put_message(out, 11, |out| {
                put_fixed64(out, 1, start.midpoint(end));
                put_bytes(out, 2, b"message");
                put_text(out, 3, "rpc.message.type", "RECEIVED");
                put_int(out, 3, "rpc.message.id", self.random.u64(1..9));
            });
        }
        put_message(out, 15, |out| {
            if self.random.usize(..ERROR_EVERY) == 0 {
                put_bytes(out, 2, b"upstream deadline exceeded");
                put_uint(out, 3, 2);
            }
        });
        // Sampled, and the flag that says whether the parent is remote is valid (trace.proto, SpanFlags).
        put_fixed32(out, 16, 0x101);
    }

    /// Name, kind, times and ten attributes of a server span, HTTP conventions.
    fn http(&mut self, out: &mut Vec<u8>, start: u64, end: u64) {
        let random = &mut self.random;
        let method = pick(random, &METHODS);
        let (route, path) = pick(random, &ROUTES);
        put_bytes(out, 5, format!("{method} {route}").as_bytes());
        put_uint(out, 6, 2);
        put_fixed64(out, 7, start);
        put_fixed64(out, 8, end);
        put_text(out, 9, "http.request.method", method);
        put_text(out, 9, "http.route", route);
        put_int(out, 9, "http.response.status_code", pick(random, &[200, 200, 200, 201, 404, 503]));
        put_text(out, 9, "url.path", &format!("{path}{:012x}", random.u64(..1 << 48)));
        put_text(out, 9, "url.scheme", "https");
        put_text(out, 9, "server.address", "shop.example.com");
        put_int(out, 9, "server.port", 443);
        put_text(out, 9, "client.address", &format!("203.0.{}.{}", random.u8(..), random.u8(..)));
        put_text(out, 9, "user_agent.original", pick(random, &AGENTS));
        put_text(out, 9, "session.id", &format!("{:016x}", random.u64(..)));
    }

    /// Name, kind, times and ten attributes of a client span, RPC conventions.
    fn rpc(&mut self, out: &mut Vec<u8>, start: u64, end: u64) {
        let random = &mut self.random;
        let (service, method) = pick(random, &RPC_METHODS);
        put_bytes(out, 5, format!("{service}/{method}").as_bytes());
        put_uint(out, 6, 3);
        put_fixed64(out, 7, start);
        put_fixed64(out, 8, end);
        put_text(out, 9, "rpc.system", "grpc");
        put_text(out, 9, "rpc.service", service);
        put_text(out, 9, "rpc.method", method);
        put_int(out, 9, "rpc.grpc.status_code", pick(random, &[0, 0, 0, 0, 4, 14]));
        put_text(out, 9, "server.address", "backend.shop.svc");
        put_int(out, 9, "server.port", 50_051);
        put_text(out, 9, "network.peer.address", &format!("10.4.{}.{}", random.u8(..), random.u8(..)));
        put_int(out, 9, "network.peer.port", random.u64(32_768..61_000));
        put_text(out, 9, "network.transport", "tcp");
        put_text(out, 9, "app.order.id", &format!("{:020x}", random.u128(..1 << 80)));
    }
}

fn pick<T: Copy>(random: &mut fastrand::Rng, from: &[T]) -> T {
    // Every caller passes a non-empty constant.
    from[random.usize(..from.len())]
}

/// A `Resource` with 13 attributes.
fn resource(index: usize, random: &mut fastrand::Rng) -> Vec<u8> {
    let service = SERVICES[index % SERVICES.len()];
    let pod = format!("{service}-{:08x}-{:05x}", random.u32(..), random.u32(..0x10_0000));
    let mut out = Vec::new();
    put_text(&mut out, 1, "service.name", service);
    put_text(&mut out, 1, "service.namespace", "shop");
    put_text(&mut out, 1, "service.version", &format!("2.{}.0", index % 7));
    put_text(&mut out, 1, "service.instance.id", &format!("{:032x}", random.u128(..)));
    put_text(&mut out, 1, "deployment.environment.name", "production");
    put_text(&mut out, 1, "host.name", &format!("node-{:02}", index % 12));
    put_text(&mut out, 1, "k8s.cluster.name", "eu-west-1a");
    put_text(&mut out, 1, "k8s.namespace.name", "shop");
    put_text(&mut out, 1, "k8s.pod.name", &pod);
    put_text(&mut out, 1, "k8s.node.name", &format!("node-{:02}", index % 12));
    put_text(&mut out, 1, "telemetry.sdk.name", "opentelemetry");
    put_text(&mut out, 1, "telemetry.sdk.language", "nodejs");
    put_text(&mut out, 1, "telemetry.sdk.version", "2.1.0");
    out
}

/// A `KeyValue` with a string.
fn put_text(out: &mut Vec<u8>, number: u64, key: &str, value: &str) {
    put_message(out, number, |out| {
        put_bytes(out, 1, key.as_bytes());
        put_message(out, 2, |out| put_bytes(out, 1, value.as_bytes()));
    });
}

/// A `KeyValue` with an integer.
fn put_int(out: &mut Vec<u8>, number: u64, key: &str, value: u64) {
    put_message(out, number, |out| {
        put_bytes(out, 1, key.as_bytes());
        put_message(out, 2, |out| put_uint(out, 3, value));
    });
}

#[cfg(test)]
mod tests;

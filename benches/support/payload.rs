//! Seeded requests of every signal, for the benchmarks of the splitter and of the gateway. Traces are the demo's; metrics and logs look like the same fleet's: 32 resources at
//! most in a request with 13 attributes each, five to six attributes for each data point or log record, about 190 bytes
//! for each data point and 330 for each log record.

use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest},
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{
        AggregationTemporality, Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric,
        number_data_point,
    },
    resource::v1::Resource,
};
use prost::Message as _;
use ringway::{cli::demo::generator::Generator, model::Signal};

const RESOURCES: usize = 48;
const ITEMS_PER_RESOURCE: usize = 128;
const RESOURCES_PER_REQUEST: usize = 32;
/// Data points of one metric in one request and resource.
const POINTS_PER_METRIC: usize = 8;

const SERVICES: [&str; 8] =
    ["checkout", "frontend", "cart", "payment", "recommendation", "shipping", "product-catalog", "currency"];
const ROUTES: [&str; 6] = [
    "/api/v1/cart/{id}/items",
    "/api/v1/orders/{id}",
    "/api/v1/products/{id}/reviews",
    "/api/v1/users/{id}/sessions",
    "/checkout/{id}/confirm",
    "/healthz/{id}",
];
const METRICS: [&str; 24] = [
    "http.server.request.duration.sum",
    "http.server.active_requests",
    "http.server.request.body.size.sum",
    "http.server.response.body.size.sum",
    "http.client.request.count",
    "http.client.open_connections",
    "rpc.server.call.count",
    "rpc.client.call.count",
    "db.client.operation.count",
    "db.client.connection.count",
    "messaging.client.sent.messages",
    "messaging.client.consumed.messages",
    "process.cpu.time",
    "process.memory.usage",
    "process.memory.virtual",
    "process.open_file_descriptor.count",
    "process.thread.count",
    "v8js.gc.duration.sum",
    "v8js.memory.heap.used",
    "nodejs.eventloop.utilization",
    "jvm.memory.used",
    "jvm.thread.count",
    "jvm.class.count",
    "kestrel.active_connections",
];

/// An endless stream of requests of one signal.
#[derive(Debug)]
pub(crate) enum Requests {
    Traces(Generator),
    Other(Other),
}

/// Metrics or logs.
#[derive(Debug)]
pub(crate) struct Other {
    signal: Signal,
    items: usize,
    random: fastrand::Rng,
    resources: Vec<Resource>,
    now_unix_nanos: u64,
}

impl Requests {
    pub(crate) fn new(signal: Signal, items: usize, seed: u64, start_unix_nanos: u64) -> Self {
        if signal == Signal::Traces {
            return Self::Traces(Generator::new(items, seed, start_unix_nanos));
        }
        let mut random = fastrand::Rng::with_seed(seed);
        let resources = (0..RESOURCES).map(|index| resource(index, &mut random)).collect();
        Self::Other(Other {
            signal,
            items: items.max(1),
            random,
            resources,
            now_unix_nanos: start_unix_nanos,
        })
    }

    /// A serialized request and how many items it has.
    pub(crate) fn next(&mut self) -> (Vec<u8>, usize) {
        match self {
            Self::Traces(generator) => {
                let request = generator.request();
                (request.bytes.to_vec(), request.spans.len())
            }
            Self::Other(other) => (other.request(), other.items),
        }
    }
}

impl Other {
    fn request(&mut self) -> Vec<u8> {
        self.now_unix_nanos += 1_000_000;
        let groups = self.items.div_ceil(ITEMS_PER_RESOURCE).clamp(2, RESOURCES_PER_REQUEST).min(self.items);
        let first = self.random.usize(..RESOURCES);
        let sizes = (0..groups).map(|group| self.items * (group + 1) / groups - self.items * group / groups);
        let sizes: Vec<(usize, usize)> = sizes.enumerate().collect();
        match self.signal {
            Signal::Logs => {
                let resource_logs = sizes.iter().map(|(group, items)| self.logs(first + group, *items));
                ExportLogsServiceRequest { resource_logs: resource_logs.collect() }.encode_to_vec()
            }
            _ => {
                let resource_metrics = sizes.iter().map(|(group, items)| self.metrics(first + group, *items));
                ExportMetricsServiceRequest { resource_metrics: resource_metrics.collect() }.encode_to_vec()
            }
        }
    }

    fn logs(&mut self, resource: usize, records: usize) -> ResourceLogs {
        ResourceLogs {
            resource: self.resources.get(resource % RESOURCES).cloned(),
            scope_logs: vec![ScopeLogs {
                scope: Some(scope("com.example.shop.Access")),
                log_records: (0..records).map(|_| self.record()).collect(),
                schema_url: String::new(),
            }],
            schema_url: String::new(),
        }
    }

    fn record(&mut self) -> LogRecord {
        let random = &mut self.random;
        let route = ROUTES[random.usize(..ROUTES.len())];
        let took = random.u32(1..2000);
        LogRecord {
            time_unix_nano: self.now_unix_nanos,
            observed_time_unix_nano: self.now_unix_nanos + 1_000,
            severity_number: 9,
            severity_text: "INFO".to_owned(),
            body: Some(AnyValue {
                value: Some(Value::StringValue(format!(
                    "GET {route} answered 200 in {took} ms for session {:016x}",
                    random.u64(..)
                ))),
            }),
            attributes: vec![
                text("http.route", route),
                text("http.request.method", "GET"),
                int("http.response.status_code", 200),
                text("code.function.name", "com.example.shop.Access.log"),
                text("thread.name", "http-nio-8080-exec-7"),
            ],
            flags: 1,
            trace_id: random.u128(1..).to_be_bytes().to_vec(),
            span_id: random.u64(1..).to_be_bytes().to_vec(),
            ..LogRecord::default()
        }
    }

    fn metrics(&mut self, resource: usize, points: usize) -> ResourceMetrics {
        let mut metrics = Vec::new();
        let mut left = points;
        while left > 0 {
            let count = left.min(POINTS_PER_METRIC);
            left -= count;
            metrics.push(self.metric(metrics.len(), count));
        }
        ResourceMetrics {
            resource: self.resources.get(resource % RESOURCES).cloned(),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope("io.opentelemetry.runtime-telemetry")),
                metrics,
                schema_url: String::new(),
            }],
            schema_url: String::new(),
        }
    }

    fn metric(&mut self, index: usize, points: usize) -> Metric {
        let name = METRICS[index % METRICS.len()];
        let data_points = (0..points).map(|_| self.point()).collect();
        let data = if index.is_multiple_of(2) {
            metric::Data::Sum(Sum {
                data_points,
                aggregation_temporality: AggregationTemporality::Cumulative.into(),
                is_monotonic: true,
            })
        } else {
            metric::Data::Gauge(Gauge { data_points })
        };
        Metric {
            name: name.to_owned(),
            description: "What the instrumentation counts.".to_owned(),
            unit: "1".to_owned(),
            data: Some(data),
            ..Metric::default()
        }
    }

    fn point(&mut self) -> NumberDataPoint {
        let random = &mut self.random;
        NumberDataPoint {
            attributes: vec![
                text("http.route", ROUTES[random.usize(..ROUTES.len())]),
                text("http.request.method", "GET"),
                int("http.response.status_code", 200),
                text("server.address", "shop.example.com"),
                text("worker", &format!("{:04x}", random.u16(..512))),
            ],
            start_time_unix_nano: self.now_unix_nanos - 60_000_000_000,
            time_unix_nano: self.now_unix_nanos,
            value: Some(number_data_point::Value::AsInt(random.i64(0..1 << 40))),
            ..NumberDataPoint::default()
        }
    }
}

fn scope(name: &str) -> InstrumentationScope {
    InstrumentationScope {
        name: name.to_owned(),
        version: "2.20.1".to_owned(),
        ..InstrumentationScope::default()
    }
}

fn resource(index: usize, random: &mut fastrand::Rng) -> Resource {
    let service = SERVICES[index % SERVICES.len()];
    let attributes = vec![
        text("service.name", service),
        text("service.namespace", "shop"),
        text("service.version", &format!("2.{}.0", index % 7)),
        text("service.instance.id", &format!("{:032x}", random.u128(..))),
        text("deployment.environment.name", "production"),
        text("host.name", &format!("node-{:02}", index % 12)),
        text("k8s.cluster.name", "eu-west-1a"),
        text("k8s.namespace.name", "shop"),
        text("k8s.pod.name", &format!("{service}-{:08x}", random.u32(..))),
        text("k8s.node.name", &format!("node-{:02}", index % 12)),
        text("telemetry.sdk.name", "opentelemetry"),
        text("telemetry.sdk.language", "nodejs"),
        text("telemetry.sdk.version", "2.1.0"),
    ];
    Resource { attributes, ..Resource::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn int(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

//! Generated load: the same seed gives the same requests, with ids that are unique within a run.
//!
//! The requests look like what a gateway gets from agents: spans of many traces mixed, under several resources and
//! scopes, and the spans of one trace spread over several requests.

use std::net::SocketAddr;

use anyhow::Context as _;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use tonic::Status;
use tonic::transport::Channel;

use crate::routing;
use crate::spans::SpanId;

/// The 16 bytes that are hashed. A span without a trace id counts as the id of 16 zero bytes, as in the Collector.
pub(crate) type TraceId = [u8; 16];

/// A request of any signal.
#[derive(Debug, Clone)]
pub(crate) enum Export {
    /// Spans.
    Traces(ExportTraceServiceRequest),
    /// Log records.
    Logs(ExportLogsServiceRequest),
    /// Metrics.
    Metrics(ExportMetricsServiceRequest),
}

impl Export {
    /// How many spans, log records or data points there are.
    pub(crate) fn items(&self) -> usize {
        match self {
            Self::Traces(request) => spans(request).count(),
            Self::Logs(request) => {
                let scopes = request.resource_logs.iter().flat_map(|resource| &resource.scope_logs);
                scopes.map(|scope| scope.log_records.len()).sum()
            }
            Self::Metrics(request) => {
                let scopes = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
                let metrics = scopes.flat_map(|scope| &scope.metrics);
                metrics.map(|metric| routing::points(metric).len()).sum()
            }
        }
    }

    /// Sends the request over a connection.
    ///
    /// # Errors
    ///
    /// What the server answers.
    pub(crate) async fn send(self, over: Channel) -> Result<(), Status> {
        match self {
            Self::Traces(request) => TraceServiceClient::new(over).export(request).await.map(drop),
            Self::Logs(request) => LogsServiceClient::new(over).export(request).await.map(drop),
            Self::Metrics(request) => MetricsServiceClient::new(over).export(request).await.map(drop),
        }
    }
}

/// What to generate.
#[derive(Debug)]
pub(crate) struct Shape {
    /// Seed of everything random.
    pub(crate) seed: u64,
    /// Number of traces with random ids.
    pub(crate) traces: usize,
    /// Each trace has 1 to this many spans.
    pub(crate) trace_spans_max: usize,
    /// Spans in each request; the last may have fewer.
    pub(crate) request_spans: usize,
}

impl Shape {
    /// Generates the requests. `special` are trace ids that are sent besides the random ones, empty ones included.
    pub(crate) fn requests(&self, special: &[Vec<u8>]) -> Vec<ExportTraceServiceRequest> {
        let mut rng = fastrand::Rng::with_seed(self.seed);
        let random = std::iter::repeat_with(|| rng.u128(..).to_be_bytes().to_vec()).take(self.traces);
        let ids: Vec<Vec<u8>> = random.chain(special.iter().cloned()).collect();

        let mut owners = Vec::new();
        for id in &ids {
            owners.extend(std::iter::repeat_n(id, rng.usize(1..=self.trace_spans_max)));
        }
        rng.shuffle(&mut owners);
        let all: Vec<Span> = (1_u64..).zip(owners).map(|(number, trace)| span(number, trace)).collect();
        all.chunks(self.request_spans).map(|spans| request(&mut rng, spans)).collect()
    }
}

/// All spans of a request.
pub(crate) fn spans(request: &ExportTraceServiceRequest) -> impl Iterator<Item = &Span> {
    request.resource_spans.iter().flat_map(|resource| &resource.scope_spans).flat_map(|scope| &scope.spans)
}

/// The trace id of a span as it is hashed.
pub(crate) fn trace_id(span: &Span) -> TraceId {
    span.trace_id.as_slice().try_into().unwrap_or_default()
}

/// Identities of all spans of a request.
pub(crate) fn span_ids(request: &ExportTraceServiceRequest) -> impl Iterator<Item = SpanId> {
    spans(request).map(|span| (hex(&span.trace_id), hex(&span.span_id)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A client of traces, connected to `server`.
///
/// # Errors
///
/// When the server does not accept the connection.
pub(crate) async fn connect(server: SocketAddr) -> anyhow::Result<TraceServiceClient<Channel>> {
    Ok(TraceServiceClient::new(channel(server).await?))
}

/// A gRPC connection to `server`.
///
/// # Errors
///
/// When the server does not accept it.
pub(crate) async fn channel(server: SocketAddr) -> anyhow::Result<Channel> {
    let endpoint = Channel::from_shared(format!("http://{server}"))?;
    endpoint.connect().await.with_context(|| format!("connecting to {server}"))
}

fn span(number: u64, trace: &[u8]) -> Span {
    const START: u64 = 1_760_000_000_000_000_000;
    Span {
        trace_id: trace.to_vec(),
        span_id: number.to_be_bytes().to_vec(),
        name: format!("operation-{}", number % 50),
        kind: 2,
        start_time_unix_nano: START + number * 1000,
        end_time_unix_nano: START + number * 1000 + 750,
        attributes: vec![text("http.request.method", "GET"), text("url.path", &format!("/items/{number}"))],
        ..Span::default()
    }
}

/// Deals the spans out to one to three resources with one or two scopes each.
fn request(rng: &mut fastrand::Rng, spans: &[Span]) -> ExportTraceServiceRequest {
    let mut resources: Vec<ResourceSpans> = (0..rng.usize(1..=3))
        .map(|resource| ResourceSpans {
            resource: Some(Resource {
                attributes: vec![text("service.name", &format!("shop-{resource}"))],
                ..Resource::default()
            }),
            scope_spans: (0..rng.usize(1..=2))
                .map(|scope| ScopeSpans {
                    scope: Some(InstrumentationScope {
                        name: format!("library-{scope}"),
                        ..InstrumentationScope::default()
                    }),
                    ..ScopeSpans::default()
                })
                .collect(),
            ..ResourceSpans::default()
        })
        .collect();
    for span in spans {
        let resource = rng.usize(..resources.len());
        let scopes = &mut resources[resource].scope_spans;
        let scope = rng.usize(..scopes.len());
        scopes[scope].spans.push(span.clone());
    }
    ExportTraceServiceRequest { resource_spans: resources }
}

/// A string attribute.
pub(crate) fn text(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

//! The OpenTelemetry SDK of Rust in every dialect it speaks: traces, metrics and logs, each exported once.
//!
//! HTTP goes through hyper, the SDK's one client that needs no TLS library.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::trace::{Span as _, SpanContext, SpanKind, Status, Tracer as _, TracerProvider as _};
use opentelemetry::{Array, InstrumentationScope, KeyValue, StringValue, Value};
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    Compression, LogExporter, MetricExporter, SpanExporter, WithExportConfig, WithHttpConfig as _,
    WithTonicConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{
    BatchConfigBuilder as LogBatch, BatchLogProcessor, SdkLogger, SdkLoggerProvider,
};
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder as SpanBatch, BatchSpanProcessor, SdkTracer, SdkTracerProvider,
};

use super::{LIMIT, Made, Protocol, Run};
use crate::signals::recipe;

/// Items of one request: those of a run cross several.
const BATCH: usize = 15;

/// Longer than any test: what is exported before the end leaves because a batch is full.
const NEVER: Duration = Duration::from_secs(3600);

/// Does one run and returns what was made.
///
/// # Errors
///
/// When an exporter cannot be built, or the SDK says that something was not exported.
pub(crate) async fn export(run: Run) -> anyhow::Result<Vec<Made>> {
    let (spans, metrics, logs) = exporters(&run)?;
    let resource = Resource::builder()
        .with_service_name(run.service.clone())
        .with_attribute(KeyValue::new("note", recipe::NOTE))
        .build();
    let batch = SpanBatch::default().with_max_export_batch_size(BATCH).with_scheduled_delay(NEVER).build();
    let traces = SdkTracerProvider::builder()
        .with_span_processor(BatchSpanProcessor::builder(spans).with_batch_config(batch).build())
        .with_resource(resource.clone())
        .build();
    let batch = LogBatch::default().with_max_export_batch_size(BATCH).with_scheduled_delay(NEVER).build();
    let logs = SdkLoggerProvider::builder()
        .with_log_processor(BatchLogProcessor::builder(logs).with_batch_config(batch).build())
        .with_resource(resource.clone())
        .build();
    let metrics = SdkMeterProvider::builder()
        .with_reader(PeriodicReader::builder(metrics).with_interval(NEVER).build())
        .with_resource(resource)
        .build();

    let scope = InstrumentationScope::builder(recipe::SCOPE.0).with_version(recipe::SCOPE.1).build();
    let tracer = traces.tracer_with_scope(scope.clone());
    let logger = logs.logger_with_scope(scope.clone());
    let made = (0..run.items).map(|item| {
        let context = span(&tracer, item);
        log(&logger, item, &context);
        Made {
            service: run.service.clone(),
            item,
            trace_id: context.trace_id().to_string(),
            span_id: context.span_id().to_string(),
        }
    });
    let made: Vec<Made> = made.collect();
    measure(&metrics, scope, run.items);

    // The SDK waits on its own threads' channels, which would block this runtime's worker.
    let end = tokio::task::spawn_blocking(move || {
        traces.shutdown().context("its spans")?;
        logs.shutdown().context("its log records")?;
        metrics.shutdown().context("its data points")
    });
    tokio::time::timeout(LIMIT, end).await??.with_context(|| format!("the Rust SDK, {}", run.service))?;
    Ok(made)
}

fn exporters(run: &Run) -> anyhow::Result<(SpanExporter, MetricExporter, LogExporter)> {
    let protocol = match run.protocol {
        Protocol::Grpc => opentelemetry_otlp::Protocol::Grpc,
        Protocol::Proto => opentelemetry_otlp::Protocol::HttpBinary,
        Protocol::Json => opentelemetry_otlp::Protocol::HttpJson,
    };
    let endpoint = run.endpoint;
    let client = Hyper::new();
    // A builder for each signal and transport is a type of its own.
    macro_rules! exporter {
        ($exporter:ident, $path:literal) => {
            match run.protocol {
                Protocol::Grpc => {
                    let builder =
                        $exporter::builder().with_tonic().with_endpoint(format!("http://{endpoint}"));
                    if run.gzip { builder.with_compression(Compression::Gzip) } else { builder }.build()?
                }
                Protocol::Proto | Protocol::Json => {
                    let builder = $exporter::builder()
                        .with_http()
                        .with_http_client(client.clone())
                        .with_protocol(protocol)
                        .with_endpoint(format!("http://{endpoint}/v1/{}", $path));
                    if run.gzip { builder.with_compression(Compression::Gzip) } else { builder }.build()?
                }
            }
        };
    }
    Ok((
        exporter!(SpanExporter, "traces"),
        exporter!(MetricExporter, "metrics"),
        exporter!(LogExporter, "logs"),
    ))
}

/// The SDK's client over hyper, run where a runtime is: the SDK calls it from threads of its own.
#[derive(Debug, Clone)]
struct Hyper {
    client: HyperClient,
    runtime: tokio::runtime::Handle,
}

impl Hyper {
    fn new() -> Self {
        Self {
            client: HyperClient::with_default_connector(LIMIT, None),
            runtime: tokio::runtime::Handle::current(),
        }
    }
}

#[tonic::async_trait]
impl HttpClient for Hyper {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        self.runtime.spawn(async move { client.send_bytes(request).await }).await?
    }
}

fn at(nanoseconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(nanoseconds)
}

fn text(item: u64) -> String {
    format!("{} {item}", recipe::NOTE)
}

/// The largest integer less the number of the item, signed as the API wants it.
fn whole(item: u64) -> i64 {
    (recipe::WHOLE - item).cast_signed()
}

fn span(tracer: &SdkTracer, item: u64) -> SpanContext {
    let begin = recipe::BEGIN + item;
    let list: Vec<StringValue> = vec!["a".into(), "b".into(), item.to_string().into()];
    let mut span = tracer
        .span_builder(format!("span {item}"))
        .with_kind(SpanKind::Client)
        .with_start_time(at(begin))
        .with_attributes([
            KeyValue::new("item", item.cast_signed()),
            KeyValue::new("text", text(item)),
            KeyValue::new("whole", whole(item)),
            KeyValue::new("part", recipe::plus(item, 0.5)),
            KeyValue::new("flag", item.is_multiple_of(2)),
            KeyValue::new("list", Value::Array(Array::String(list))),
        ])
        .start(tracer);
    let size = KeyValue::new("size", item.cast_signed());
    span.add_event_with_timestamp("event", at(begin + 500), vec![size]);
    span.set_status(Status::error(format!("deliberate {item}")));
    let context = span.span_context().clone();
    span.end_with_timestamp(at(begin + 1_000_000));
    context
}

fn log(logger: &SdkLogger, item: u64, context: &SpanContext) {
    let list: Vec<AnyValue> = vec!["a".into(), "b".into(), item.to_string().into()];
    let mut record = logger.create_log_record();
    record.set_timestamp(at(recipe::BEGIN + item));
    record.set_trace_context(context.trace_id(), context.span_id(), Some(context.trace_flags()));
    record.set_severity_number(Severity::Warn);
    record.set_severity_text("WARN");
    record.set_event_name("happened");
    record.set_body(format!("log grüße {item}").into());
    record.add_attributes([
        ("item", AnyValue::Int(item.cast_signed())),
        ("text", text(item).into()),
        ("whole", AnyValue::Int(whole(item))),
        ("part", AnyValue::Double(recipe::plus(item, 0.5))),
        ("flag", AnyValue::Boolean(item.is_multiple_of(2))),
        ("list", AnyValue::ListAny(Box::new(list))),
    ]);
    logger.emit(record);
}

fn measure(metrics: &SdkMeterProvider, scope: InstrumentationScope, items: u64) {
    let meter = metrics.meter_with_scope(scope);
    let requests =
        meter.u64_counter("requests").with_unit("1").with_description("grüße of the counter").build();
    let temperature = meter.f64_gauge("temperature").with_unit("Cel").build();
    let latency =
        meter.f64_histogram("latency").with_unit("ms").with_boundaries(recipe::BOUNDS.to_vec()).build();
    for item in 0..items {
        let attributes = [KeyValue::new("item", item.cast_signed())];
        requests.add(item + 1, &attributes);
        temperature.record(recipe::plus(item, 0.25), &attributes);
        latency.record(recipe::plus(item, 0.5), &attributes);
    }
}

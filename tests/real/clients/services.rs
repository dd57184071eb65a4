//! Three services of one distributed system, each with a real SDK: the Rust service begins every trace and calls both
//! Python services, so a trace reaches the gateway over three connections, two protocols and many requests.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use opentelemetry::trace::{Span as _, SpanContext, TraceContextExt as _, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

use super::{KEEP, LIMIT};
use crate::parts;
use crate::process::command;
use crate::spans::SpanId;

/// A call from the Rust service to a Python service.
#[derive(Debug)]
pub(crate) struct Call {
    /// W3C `traceparent` of the calling span.
    pub(crate) traceparent: String,
    /// Whether the called service marks one of its spans with [`KEEP`].
    pub(crate) keep: bool,
}

/// The Rust SDK, `opentelemetry-otlp` over gRPC.
#[derive(Debug)]
pub(crate) struct RustService(SdkTracerProvider);

impl RustService {
    /// Sets the SDK up. Spans leave in small batches, so that one trace crosses several requests.
    ///
    /// # Errors
    ///
    /// When the exporter cannot be built.
    pub(crate) fn new(name: &'static str, gateway: SocketAddr) -> anyhow::Result<Self> {
        let exporter =
            SpanExporter::builder().with_tonic().with_endpoint(format!("http://{gateway}")).build()?;
        let batch = BatchConfigBuilder::default()
            .with_max_queue_size(1 << 16)
            .with_max_export_batch_size(20)
            .with_scheduled_delay(Duration::from_millis(100))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(batch).build())
            .with_resource(Resource::builder().with_service_name(name).build())
            .build();
        Ok(Self(provider))
    }

    /// Makes a trace of a root and two children and returns its spans, and the context of a call from the first child.
    pub(crate) fn trace(&self, keep: bool) -> (Vec<SpanId>, SpanContext) {
        let tracer = self.0.tracer("clients");
        let mut root = tracer.start("request");
        if keep {
            root.set_attribute(KeyValue::new(KEEP, "yes"));
        }
        let root_context = root.span_context().clone();
        let parent = Context::new().with_span(root);
        let mut call = tracer.start_with_context("call", &parent);
        let mut render = tracer.start_with_context("render", &parent);
        let (call_context, render_context) = (call.span_context().clone(), render.span_context().clone());
        call.end();
        render.end();
        parent.span().end();
        let spans = [&root_context, &call_context, &render_context].map(span_id).to_vec();
        (spans, call_context)
    }

    /// Exports what is left and ends the SDK.
    ///
    /// # Errors
    ///
    /// When spans could not be exported.
    pub(crate) async fn finish(self) -> anyhow::Result<()> {
        // The SDK waits on its own thread's channel, which would block this runtime's worker.
        tokio::task::spawn_blocking(move || {
            self.0.force_flush().context("flushing the Rust SDK")?;
            self.0.shutdown().context("ending the Rust SDK")
        })
        .await?
    }
}

/// The W3C header that carries a span's context to another service.
pub(crate) fn traceparent(context: &SpanContext) -> String {
    format!("00-{}-{}-01", context.trace_id(), context.span_id())
}

fn span_id(context: &SpanContext) -> SpanId {
    (context.trace_id().to_string(), context.span_id().to_string())
}

/// The Python SDK (`python/sdk_client.py`), killed when dropped.
#[derive(Debug)]
pub(crate) struct PythonService {
    name: String,
    child: Child,
    calls: ChildStdin,
    spans: Lines<BufReader<ChildStdout>>,
}

impl PythonService {
    /// Starts the service `name`, which exports over `protocol` (`grpc` or `http`), and waits until it takes calls.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub(crate) async fn start(name: &str, protocol: &str, gateway: SocketAddr) -> anyhow::Result<Self> {
        let mut child = command(parts::python()?)
            .arg(parts::source("python/sdk_client.py"))
            .args(["--protocol", protocol, "--endpoint", &gateway.to_string()])
            .args(["--service", name, "--attribute", KEEP])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting the Python SDK")?;
        let calls = child.stdin.take().context("stdin is piped")?;
        let mut spans = BufReader::new(child.stdout.take().context("stdout is piped")?).lines();
        let ready = tokio::time::timeout(LIMIT, spans.next_line()).await??;
        ensure!(ready.as_deref() == Some("ready"), "{name} did not start; its error is above");
        Ok(Self { name: name.to_owned(), child, calls, spans })
    }

    /// Serves the calls and returns the spans that were made for them. The service has flushed and ended then.
    ///
    /// # Errors
    ///
    /// When it takes too long or could not flush.
    pub(crate) async fn serve(mut self, calls: &[Call]) -> anyhow::Result<Vec<SpanId>> {
        let name = self.name.clone();
        let work = async {
            // Both directions at once: each side would otherwise wait for the other to empty a full pipe.
            let write = async {
                for call in calls {
                    let value = if call.keep { "yes" } else { "-" };
                    self.calls.write_all(format!("{} {value}\n", call.traceparent).as_bytes()).await?;
                }
                drop(self.calls);
                anyhow::Ok(())
            };
            let read = async {
                let mut spans = Vec::new();
                while let Some(line) = self.spans.next_line().await? {
                    let (trace, span) = line.split_once(' ').context("not a span")?;
                    spans.push((trace.to_owned(), span.to_owned()));
                }
                anyhow::Ok(spans)
            };
            let ((), spans) = tokio::try_join!(write, read)?;
            let status = self.child.wait().await?;
            ensure!(status.success(), "{status}; its error is above");
            anyhow::Ok(spans)
        };
        tokio::time::timeout(LIMIT, work).await?.with_context(|| format!("service {name}"))
    }
}

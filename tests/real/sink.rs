//! Backends that remember what they were sent.
//!
//! An OTLP/gRPC server on tonic and the published message types, so that what a test concludes rests on no code of the
//! gateway.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::load::Export;
use crate::loopback;

/// OTLP's gRPC port, which a gateway dials when an endpoint names none.
const OTLP_PORT: u16 = 4317;

/// A recording backend on a loopback address of its own, port 4317, for every signal. It ends when the value is dropped.
#[derive(Debug)]
pub(crate) struct Sink {
    /// Where it listens.
    pub(crate) address: Ipv4Addr,
    recorder: Recorder,
    _server: JoinSet<Result<(), tonic::transport::Error>>,
}

impl Sink {
    /// Starts a sink.
    ///
    /// # Errors
    ///
    /// When the port is taken.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let address = loopback::address();
        let listener = TcpListener::bind((address, OTLP_PORT))
            .await
            .with_context(|| format!("a sink on {address}:{OTLP_PORT}"))?;
        let recorder = Recorder::default();
        let router = Server::builder()
            .add_service(TraceServiceServer::new(recorder.clone()))
            .add_service(LogsServiceServer::new(recorder.clone()))
            .add_service(MetricsServiceServer::new(recorder.clone()));
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let mut server = JoinSet::new();
        server.spawn(router.serve_with_incoming(incoming));
        Ok(Self { address, recorder, _server: server })
    }

    /// Items received since the last [`Sink::take`].
    pub(crate) fn items(&self) -> usize {
        self.recorder.received().items
    }

    /// Returns the requests that were received and forgets them.
    pub(crate) fn take(&self) -> Vec<Export> {
        std::mem::take(&mut *self.recorder.received()).requests
    }
}

#[derive(Debug, Default)]
struct Received {
    requests: Vec<Export>,
    items: usize,
}

#[derive(Debug, Clone, Default)]
struct Recorder(Arc<Mutex<Received>>);

impl Recorder {
    fn received(&self) -> MutexGuard<'_, Received> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, request: Export) {
        let mut received = self.received();
        received.items += request.items();
        received.requests.push(request);
    }
}

#[tonic::async_trait]
impl TraceService for Recorder {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.record(Export::Traces(request.into_inner()));
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Recorder {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.record(Export::Logs(request.into_inner()));
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Recorder {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.record(Export::Metrics(request.into_inner()));
        Ok(Response::new(Default::default()))
    }
}

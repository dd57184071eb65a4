//! Backends that remember which traces they were sent.
//!
//! An OTLP/gRPC server on tonic and the published message types, so that what a test concludes rests on no code of the
//! gateway.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
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

use crate::load::{TraceId, spans, trace_id};
use crate::loopback;

/// OTLP's gRPC port, which a gateway dials when an endpoint names none.
const OTLP_PORT: u16 = 4317;

/// How many spans of each trace have arrived.
pub(crate) type Seen = HashMap<TraceId, usize>;

/// A recording backend on a loopback address of its own, port 4317. It ends when the value is dropped.
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
        let service = TraceServiceServer::new(recorder.clone());
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let mut server = JoinSet::new();
        server.spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
        Ok(Self { address, recorder, _server: server })
    }

    /// Spans received since the last [`Sink::take`].
    pub(crate) fn spans(&self) -> usize {
        self.recorder.seen().values().sum()
    }

    /// Returns what was received and forgets it.
    pub(crate) fn take(&self) -> Seen {
        std::mem::take(&mut self.recorder.seen())
    }
}

#[derive(Debug, Clone, Default)]
struct Recorder(Arc<Mutex<Seen>>);

impl Recorder {
    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[tonic::async_trait]
impl TraceService for Recorder {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let request = request.into_inner();
        let mut seen = self.seen();
        for span in spans(&request) {
            *seen.entry(trace_id(span)).or_default() += 1;
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

//! One HTTP/2 connection for unary gRPC calls, made again after it broke.
//!
//! The load has its own small client instead of the gateway's: the tool that judges a gateway should not share
//! the code that it judges, and figures of two versions are comparable only when the load did not change.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Uri, header::CONTENT_TYPE};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpStream, sync::Mutex, time::timeout};

use crate::{
    net::grpc::{Status, format_timeout},
    tasks::Tasks,
};

/// Flow-control windows for answers, which are small.
const WINDOW_BYTES: u32 = 1 << 20;

/// Why a call has no status.
#[derive(Debug)]
pub(super) enum CallError {
    /// No connection, or the peer refused the stream: certainly not processed.
    NotSent(String),
    /// The answer is lost.
    Unanswered(String),
}

/// A client for one address. Clones share the connection.
#[derive(Clone, Debug)]
pub(super) struct Client {
    address: Arc<str>,
    tasks: Tasks,
    connection: Arc<Mutex<Option<SendRequest<Full<Bytes>>>>>,
}

// === impl Client ===

impl Client {
    /// Connects at the first call. The connection's task runs in `tasks` until the last clone is dropped.
    pub(super) fn new(address: &str, tasks: Tasks) -> Self {
        Self { address: address.into(), tasks, connection: Arc::default() }
    }

    /// Sends `body`, which has its prefix already, and waits for the status, for at most `limit`.
    pub(super) async fn call(
        &self,
        path: &'static str,
        encoding: Option<&'static str>,
        body: Bytes,
        limit: Duration,
    ) -> Result<Status, CallError> {
        match timeout(limit, self.call_unlimited(path, encoding, body, limit)).await {
            Ok(answer) => answer,
            Err(_) => Err(CallError::Unanswered("no answer in time".to_owned())),
        }
    }

    async fn call_unlimited(
        &self,
        path: &'static str,
        encoding: Option<&'static str>,
        body: Bytes,
        limit: Duration,
    ) -> Result<Status, CallError> {
        let mut sender = self.connected().await?;
        let not_sent = |error: &dyn std::error::Error| CallError::NotSent(error.to_string());
        let uri = Uri::builder().scheme("http").authority(self.address.as_ref()).path_and_query(path).build();
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(uri.map_err(|error| not_sent(&error))?)
            .header(CONTENT_TYPE, "application/grpc")
            .header("te", "trailers")
            .header("grpc-timeout", format_timeout(limit));
        if let Some(encoding) = encoding {
            request = request.header("grpc-encoding", encoding);
        }
        let request = request.body(Full::new(body)).map_err(|error| not_sent(&error))?;
        sender.ready().await.map_err(|error| not_sent(&error))?;
        let response = sender.send_request(request).await.map_err(|error| classify(&error))?;
        let trailers_only = Status::from_headers(response.headers());
        let body = response.into_body().collect().await.map_err(|error| classify(&error))?;
        let in_trailers = body.trailers().and_then(Status::from_headers);
        let no_status = || CallError::Unanswered("an answer without a gRPC status".to_owned());
        in_trailers.or(trailers_only).ok_or_else(no_status)
    }

    /// The open connection, or a new one. Callers wait for one attempt to connect instead of making one each.
    async fn connected(&self) -> Result<SendRequest<Full<Bytes>>, CallError> {
        let mut connection = self.connection.lock().await;
        if let Some(open) = connection.as_ref().filter(|open| !open.is_closed()) {
            return Ok(open.clone());
        }
        let stream = self.dial().await.map_err(|error| CallError::NotSent(error.to_string()))?;
        let (sender, driver) = http2::Builder::new(self.tasks.clone())
            .timer(TokioTimer::new())
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| CallError::NotSent(error.to_string()))?;
        self.tasks.spawn("load connection", async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "a connection of the load ended");
            }
        });
        Ok(connection.insert(sender).clone())
    }

    async fn dial(&self) -> std::io::Result<TcpStream> {
        let stream = TcpStream::connect(self.address.as_ref()).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// REFUSED_STREAM is the one reset that says that nothing was processed (RFC 9113, 8.7).
fn classify(error: &hyper::Error) -> CallError {
    let reset = std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<h2::Error>())
        .and_then(h2::Error::reason);
    if error.is_canceled() || reset == Some(h2::Reason::REFUSED_STREAM) {
        CallError::NotSent(error.to_string())
    } else {
        CallError::Unanswered(error.to_string())
    }
}

//! One small HTTP/1.1 listener: a path in, a page out.
//!
//! Stage: admin. One request for each connection, as the Collector's health check has it; a scrape every few seconds
//! does not need more.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::{health::HealthPages, metrics::MetricsPages};
use crate::{net::listen, tasks::Tasks};

/// Time for the headers of a request to arrive.
///
/// Source: the read timeout of the Collector's metrics server, `service/telemetry/otelconftelemetry` (v0.161.0).
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest life of a connection, a slow reader of a long page included.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);

/// What a listener serves.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one for each listener")]
pub(super) enum Pages {
    Health(HealthPages),
    Metrics(MetricsPages),
}

/// One answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) status: StatusCode,
    pub(super) content_type: &'static str,
    pub(super) body: String,
}

impl Page {
    /// A line for people.
    pub(super) fn text(status: StatusCode, line: &str) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: format!("{line}\n") }
    }
}

impl Pages {
    /// The page of a path, for any method: HEAD is answered without the body by hyper, and nothing here changes
    /// anything.
    fn page(&self, path: &str) -> Page {
        match self {
            Self::Health(pages) => pages.page(path),
            Self::Metrics(pages) => pages.page(path),
        }
    }
}

/// Serves a listener until `stop`; returns when its connections have ended.
pub(super) async fn serve(listener: TcpListener, pages: Arc<Pages>, stop: &CancellationToken) {
    let tasks = Tasks::new();
    loop {
        let (stream, _peer) = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listen::accept(&listener) => accepted,
        };
        drop(tasks.spawn("admin connection", connection(stream, Arc::clone(&pages), stop.clone())));
    }
    // Each of them ends at the stop.
    tasks.ended().await;
}

async fn connection(stream: TcpStream, pages: Arc<Pages>, stop: CancellationToken) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = response(pages.page(request.uri().path()));
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        () = stop.cancelled() => {}
        ended = tokio::time::timeout(CONNECTION_TIMEOUT, connection) => {
            if let Ok(Err(error)) = ended {
                tracing::debug!(%error, "admin connection ended");
            }
        }
    }
}

fn response(page: Page) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(page.body)));
    *response.status_mut() = page.status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(page.content_type));
    response
}

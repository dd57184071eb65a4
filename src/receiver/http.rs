//! OTLP/HTTP: `POST /v1/<signal>` with a protobuf body, over HTTP/1.1 with keep-alive.
//!
//! Stage: receiver. hyper speaks HTTP/1.1; here are paths, media types, encodings and limits. Behaves towards clients
//! as the Collector (v0.161.0: `config/confighttp`, `receiver/otlpreceiver`) does, which without TLS is HTTP/1.1 only.
//!
//! **Memory that a peer can take**, for each connection: hyper's read buffer, and one body of at most the limit,
//! compressed and decompressed.
//!
//! **Differences from the Collector:** `Content-Encoding: identity` is accepted and `lz4` is not; a 405 has an Allow
//! header; a request of a third media type gets the status that was meant, not 500; headers have a limit in size and
//! time, idle connections one in time; a path that is not clean (`//v1/traces`) is not found instead of being
//! redirected; OTLP/JSON is not served yet, and the 415 does not list it.

use std::{
    borrow::Cow,
    convert::Infallible,
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use http_body::Body as _;
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::percent_decode_str;
use tokio::net::TcpStream;

use super::{
    Routes,
    body::{self, Chunks, CollectError, ReadError},
    connection::{self, Life},
    inflate, reply,
    reply::{HttpBody, HttpRefusal},
    route::{Refused, Route},
};
use crate::{
    model::{Delivered, Metadata, settings::HttpServer},
    net::grpc::Status,
    otlp::response,
    telemetry::Metrics,
};

/// Time for the headers of a request to arrive, counted from the end of the one before it: hyper has one timer for
/// both, so this is also how long an idle connection is kept. Longer than the usual export interval of 60 s. The
/// Collector has neither limit.
const HEADER_TIMEOUT: Duration = Duration::from_secs(120);

/// Limit of the headers of a request, request line included; beyond it the answer is 431.
const HEADER_BYTES: usize = 64 * 1024;

const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain");

/// One HTTP listener's part of a receiver, shared by its connections.
#[derive(Debug)]
pub(super) struct Server {
    routes: Vec<(Arc<str>, Route)>,
    refused: Refused,
    body_limit_bytes: usize,
}

/// What the Content-Type of a request says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MediaType {
    Protobuf,
    Json,
    Missing,
    Other,
}

// === impl Server ===

impl Server {
    pub(super) fn new(id: &str, settings: &HttpServer, routes: &Routes, metrics: &Metrics) -> Self {
        let routes = Route::all(id, "http", routes, metrics);
        let path_of = |route: Route| Some((settings.paths.get(route.signal.index())?.clone(), route));
        Self {
            routes: routes.into_iter().filter_map(path_of).collect(),
            refused: Refused::new(id, "http", metrics),
            body_limit_bytes: settings.max_body_bytes,
        }
    }

    /// Serves one connection to its end.
    pub(super) async fn serve(self: Arc<Self>, stream: TcpStream, life: Life) {
        let unread = Arc::new(AtomicBool::new(false));
        let service = service_fn(|request| {
            let (server, unread) = (Arc::clone(&self), Arc::clone(&unread));
            async move { Ok::<_, Infallible>(server.answer(request, &unread).await) }
        });
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_header_size(HEADER_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        let ended = connection::run(&mut connection, &life).await;
        if ended && unread.load(Ordering::Relaxed) {
            connection::linger(connection.into_parts().io.into_inner(), &life).await;
        }
    }

    /// Answers one request. `unread` then says whether its body may be left on the connection.
    async fn answer(&self, request: Request<Incoming>, unread: &AtomicBool) -> Response<Full<Bytes>> {
        let unanswered = self.refused.watch();
        let (head, body) = request.into_parts();
        let result = self.export(&head, body).await;
        unread.store(!matches!(result, Ok(_) | Err(HttpRefusal::Failed(_))), Ordering::Relaxed);
        match result {
            Ok(delivered) => {
                unanswered.accepted();
                accepted(&delivered)
            }
            Err(refusal) => {
                unanswered.refused(refusal.code());
                refused(media_type(&head.headers), &refusal)
            }
        }
    }

    /// Takes one request, with its checks in the Collector's order: encoding, path, method, media type, body.
    async fn export(&self, head: &Parts, body: Incoming) -> Result<Delivered, HttpRefusal> {
        let encoding = inflate::content_encoding(&head.headers).map_err(HttpRefusal::Encoding)?;
        let route = self.route(head.uri.path()).ok_or(HttpRefusal::Path)?;
        if head.method != Method::POST {
            return Err(HttpRefusal::Method);
        }
        if media_type(&head.headers) != MediaType::Protobuf {
            return Err(HttpRefusal::MediaType);
        }
        let declared = body.size_hint().exact();
        let body = body::collect(&mut Chunks::new(body), declared, self.body_limit_bytes)
            .await
            .map_err(unreadable)?;
        let request = inflate::body(encoding, body, self.body_limit_bytes)
            .map_err(|(encoding, error)| reply::http_inflate(encoding, error))?;
        route.dispatch(request, &Metadata::default()).await.map_err(HttpRefusal::Failed)
    }

    /// The route of a path. One that ends in `/` takes everything below it, as a pattern of Go's ServeMux does.
    fn route(&self, path: &str) -> Option<&Route> {
        let path = match path.contains('%') {
            true => percent_decode_str(path).decode_utf8_lossy(),
            false => Cow::Borrowed(path),
        };
        let serves = |pattern: &str| match pattern.ends_with('/') {
            true => path.starts_with(pattern),
            false => path == pattern,
        };
        self.routes.iter().find(|(pattern, _)| serves(pattern)).map(|(_, route)| route)
    }
}

fn unreadable(error: CollectError) -> HttpRefusal {
    match error {
        CollectError::Read(ReadError::Silent) => HttpRefusal::Silent,
        CollectError::Read(ReadError::Broken(text)) => HttpRefusal::Broken(text),
        CollectError::TooLarge => HttpRefusal::TooLarge,
    }
}

/// Reads Content-Type; parameters and case do not count. (Go also refuses parameters that are not well-formed.)
fn media_type(headers: &HeaderMap) -> MediaType {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return MediaType::Missing };
    let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if essence.eq_ignore_ascii_case(PROTOBUF.as_bytes()) {
        MediaType::Protobuf
    } else if essence.eq_ignore_ascii_case(JSON.as_bytes()) {
        MediaType::Json
    } else {
        MediaType::Other
    }
}

/// The answer to a request that was taken. A partial success of a backend is passed on.
fn accepted(delivered: &Delivered) -> Response<Full<Bytes>> {
    let body = if *delivered == Delivered::default() {
        Bytes::from_static(response::ACCEPTED)
    } else {
        Bytes::from(response::write(delivered.rejected, &delivered.message))
    };
    respond(StatusCode::OK, PROTOBUF, body)
}

/// The answer to a request that was not taken.
fn refused(requested: MediaType, refusal: &HttpRefusal) -> Response<Full<Bytes>> {
    let answer = refusal.answer();
    tracing::debug!(status = answer.status.as_u16(), body = ?answer.body, "request refused");
    let (content_type, body) = match (answer.body, requested) {
        (HttpBody::Text(text), _) => (TEXT, Bytes::from_static(text.as_bytes())),
        (HttpBody::Status(status), MediaType::Protobuf) => (PROTOBUF, Bytes::from(status.to_rpc_status())),
        // What the Collector chooses for a request without a media type, and the readable choice for others.
        (HttpBody::Status(status), MediaType::Json | MediaType::Missing | MediaType::Other) => {
            (JSON, Bytes::from(json_status(&status)))
        }
    };
    let mut response = respond(answer.status, content_type, body);
    let headers = response.headers_mut();
    if let Some(seconds) = answer.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    match refusal {
        HttpRefusal::Method => {
            headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        HttpRefusal::Path => {
            // As Go's `http.NotFound` does.
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        }
        _ => {}
    }
    response
}

fn respond(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

/// A `google.rpc.Status` as JSON, without details.
fn json_status(status: &Status) -> String {
    let mut json = format!(r#"{{"code":{},"message":""#, status.code.number());
    for character in status.message.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            control if control.is_control() => {
                // Writing to a string cannot fail; control characters have at most four hex digits.
                write!(json, "\\u{:04x}", u32::from(control)).unwrap_or_default();
            }
            other => json.push(other),
        }
    }
    json.push_str("\"}");
    json
}

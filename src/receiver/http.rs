//! OTLP/HTTP: `POST /v1/<signal>` with protobuf or JSON, over HTTP/1.1 with keep-alive.
//!
//! Stage: receiver. hyper speaks HTTP/1.1; here are paths, media types, encodings and limits. Behaves towards clients
//! as the Collector (v0.161.0: `config/confighttp`, `receiver/otlpreceiver`) does, which without TLS is HTTP/1.1 only.
//!
//! | file | what |
//! |---|---|
//! | `mux` | paths to routes, as Go's ServeMux |
//! | `media_type` | Content-Type, as Go reads it |
//! | `answer`, `json` | responses in the encoding of the request |
//! | `deadline` | idle connections and slow heads |
//!
//! **JSON** becomes protobuf before anything else sees it, on the connection's thread. The limit of a body holds for the
//! JSON, compressed and decompressed; it may become four times as much protobuf (`otlp::json`), in practice less than
//! it was.
//!
//! **Memory that a peer can take**, for each connection: hyper's read buffer, and one body of at most the limit,
//! compressed and decompressed, or as JSON and as protobuf. Bodies are covered by the memory budget (`memory`).
//!
//! **Differences from the Collector:**
//! - `Content-Encoding: identity` is accepted where a body without the header is.
//! - A 405 has an Allow header.
//! - A request of a third media type gets the status that was meant, not 500; so does one whose error text is no UTF-8.
//! - A request that is refused for its path, method or media type is refused without a look at its body, where the
//!   Collector reads the start of a compressed one first and may refuse that.
//! - Heads have a limit in size and time, idle connections one in time.
//! - What Go's parser refuses and hyper does not (no Host header, a malformed escape in the path) is answered as any
//!   other request; what hyper refuses and Go does not (`<` in a query) is 400. `OPTIONS *` is not found.
//! - Texts of decoders (protobuf, JSON, what LZ4 and zstd say about the inside of a frame) are this program's; LZ4 is
//!   stricter, see `net::compression`.

mod answer;
mod deadline;
mod json;
mod media_type;
mod mux;

use std::{
    convert::Infallible,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, request::Parts};
use http_body::Body as _;
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};

use self::{
    answer::{Format, Taken},
    deadline::{Deadlines, Phase, Timed},
    media_type::MediaType,
    mux::{Found, Mux},
};
use super::{
    Routes,
    ageing::Ageing,
    body::{self, Chunks, CollectError, ReadError},
    connection::{self, Life},
    cors::Cors,
    inflate::{self, ContentEncoding},
    memory, reply,
    reply::HttpRefusal,
    route::{Refused, Route},
};
use crate::{
    admission::Account,
    model::{
        Code, Failure, Signal,
        settings::{Encodings, HttpServer, Secret},
    },
    net::listen::Stream,
    otlp,
    telemetry::Metrics,
};

/// How long an idle connection is kept when the settings name no limit: longer than the usual export interval of 60 s.
/// The Collector has none.
const IDLE_UNLESS_SET: Duration = Duration::from_secs(120);

/// Time for the head of a request to arrive when the settings name no limit. The Collector has none.
const HEAD_UNLESS_SET: Duration = Duration::from_secs(120);

/// Limit of the headers of a request, request line included; beyond it the answer is 431.
const HEADER_BYTES: usize = 64 * 1024;

/// One HTTP listener's part of a receiver, shared by its connections.
#[derive(Debug)]
pub(super) struct Server {
    mux: Mux,
    refused: Refused,
    account: Account,
    body_limit_bytes: usize,
    encodings: Encodings,
    cors: Option<Cors>,
    /// On every response; what an answer says itself wins.
    response_headers: HeaderMap,
    keep_alive: bool,
    deadlines: Deadlines,
}

// === impl Server ===

impl Server {
    pub(super) fn new(
        id: &str,
        settings: &HttpServer,
        routes: &Routes,
        metrics: &Metrics,
        account: &Account,
    ) -> Self {
        let routes = Route::all(id, "http", routes, settings.include_metadata, metrics);
        let path_of = |route: Route| Some((settings.paths.get(route.signal.index())?.clone(), route));
        Self {
            mux: Mux::new(routes.into_iter().filter_map(path_of)),
            refused: Refused::new(id, "http", metrics),
            account: account.clone(),
            body_limit_bytes: settings.max_body_bytes,
            encodings: settings.encodings.clone(),
            cors: settings.cors.as_ref().map(Cors::new),
            response_headers: response_headers(id, &settings.response_headers),
            keep_alive: settings.keep_alive,
            deadlines: Deadlines {
                idle: settings.idle_timeout.unwrap_or(IDLE_UNLESS_SET),
                head: settings.read_header_timeout.unwrap_or(HEAD_UNLESS_SET),
            },
        }
    }

    /// Serves one connection to its end.
    pub(super) async fn serve(self: Arc<Self>, stream: Stream, life: Life) {
        let unread = Arc::new(AtomicBool::new(false));
        let phase = Phase::new();
        let client = life.client;
        let service = service_fn(|request| {
            let (server, unread, phase) = (Arc::clone(&self), Arc::clone(&unread), phase.clone());
            async move {
                let _busy = phase.busy();
                Ok::<_, Infallible>(server.answer(request, client, &unread).await)
            }
        });
        let socket = Timed::new(stream, phase.clone(), self.deadlines);
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .max_header_size(HEADER_BYTES)
            .keep_alive(self.keep_alive)
            .serve_connection(TokioIo::new(socket), service);
        let ended = connection::run(&mut connection, &life, &Ageing::default()).await;
        if ended && unread.load(Ordering::Relaxed) {
            connection::linger(connection.into_parts().io.into_inner().into_inner(), &life).await;
        }
    }

    /// Answers one request. `unread` then says whether its body may be left on the connection.
    async fn answer(
        &self,
        request: Request<Incoming>,
        client: Option<IpAddr>,
        unread: &AtomicBool,
    ) -> Response<Full<Bytes>> {
        let unanswered = self.refused.watch();
        let (head, body) = request.into_parts();
        let mut headers = self.response_headers.clone();
        if self.cors.as_ref().is_some_and(|cors| cors.apply(&head, &mut headers)) {
            unread.store(true, Ordering::Relaxed);
            unanswered.accepted();
            let mut response = answer::preflight();
            answer::add_headers(&mut response, headers);
            return response;
        }
        let result = self.export(&head, body, client).await;
        unread.store(!matches!(result, Ok(_) | Err(HttpRefusal::Failed(_))), Ordering::Relaxed);
        let mut response = match result {
            Ok(taken) => {
                unanswered.accepted();
                answer::accepted(&taken)
            }
            Err(refusal) => {
                unanswered.refused(refusal.code());
                answer::refused(MediaType::of(&head.headers), &refusal)
            }
        };
        answer::add_headers(&mut response, headers);
        response
    }

    /// Takes one request, with its checks in the Collector's order: encoding, path, method, media type, body.
    async fn export(
        &self,
        head: &Parts,
        body: Incoming,
        client: Option<IpAddr>,
    ) -> Result<Taken, HttpRefusal> {
        let encoding =
            inflate::content_encoding(&head.headers, &self.encodings).map_err(HttpRefusal::Encoding)?;
        let route = self.route(head)?;
        if head.method != Method::POST {
            return Err(HttpRefusal::Method);
        }
        let format = match MediaType::of(&head.headers) {
            MediaType::Protobuf => Format::Protobuf,
            MediaType::Json => Format::Json,
            MediaType::Missing | MediaType::Other => return Err(HttpRefusal::MediaType),
        };
        let declared = body.size_hint().exact();
        let body = body::collect(&mut Chunks::new(body), declared, self.body_limit_bytes, &self.account)
            .await
            .map_err(unreadable)?;
        let request = self.protobuf(route.signal, format, self.inflated(encoding, body)?)?;
        let delivered = route.dispatch(head, request, client).await.map_err(HttpRefusal::Failed)?;
        Ok(Taken { signal: route.signal, format, delivered })
    }

    /// The body without its encoding.
    fn inflated(&self, encoding: ContentEncoding, body: Bytes) -> Result<Bytes, HttpRefusal> {
        match inflate::body(encoding, &body, self.body_limit_bytes) {
            None => Ok(body),
            Some(Err((encoding, error))) => Err(reply::http_inflate(encoding, error)),
            Some(Ok(inflated)) => memory::cover(&self.account, inflated).map_err(HttpRefusal::NoMemory),
        }
    }

    fn protobuf(&self, signal: Signal, format: Format, body: Bytes) -> Result<Bytes, HttpRefusal> {
        match format {
            Format::Protobuf => Ok(body),
            Format::Json => {
                let request = otlp::json::to_protobuf(signal, &body).map_err(malformed)?;
                memory::cover(&self.account, request).map_err(HttpRefusal::NoMemory)
            }
        }
    }

    fn route(&self, head: &Parts) -> Result<&Route, HttpRefusal> {
        match self.mux.find(&head.uri) {
            Found::Route(route) => Ok(route),
            Found::Redirect(location) => {
                let shown = matches!(head.method, Method::GET | Method::HEAD);
                Err(HttpRefusal::Redirect { location, shown })
            }
            Found::Nothing => Err(HttpRefusal::Path),
        }
    }
}

/// What the settings put on every response. The last of several with one name counts; what is no header is left out.
fn response_headers(id: &str, configured: &[(Arc<str>, Secret)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in configured {
        match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
            (Ok(name), Ok(value)) => drop(headers.insert(name, value)),
            // The value may be a secret.
            _ => tracing::warn!(receiver = id, header = &**name, "a response header cannot be sent"),
        }
    }
    headers
}

fn unreadable(error: CollectError) -> HttpRefusal {
    match error {
        CollectError::Read(ReadError::Silent) => HttpRefusal::Silent,
        CollectError::Read(ReadError::Broken(text)) => HttpRefusal::Broken(text),
        CollectError::TooLarge => HttpRefusal::TooLarge,
        CollectError::NoRoom(full) => HttpRefusal::NoMemory(full),
    }
}

fn malformed(error: otlp::json::JsonError) -> HttpRefusal {
    HttpRefusal::Failed(Failure::client(Code::Malformed, error.to_string()))
}

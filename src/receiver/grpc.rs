//! OTLP/gRPC: the Export methods over HTTP/2 with prior knowledge.
//!
//! Stage: receiver. hyper speaks HTTP/2; the gRPC part is here, with the message as bytes: path, `grpc-encoding`,
//! `grpc-timeout`, the one message, the trailers. Behaves towards clients as grpc-go v1.83.2 inside the Collector
//! (v0.161.0) does; texts and codes are in `reply`.
//!
//! **Memory that a peer can take**, for each connection: the HTTP/2 connection window for bytes that nobody has read,
//! and for each concurrent stream one message of at most the limit, compressed and decompressed. Messages are covered by the
//! memory budget (`memory`); the windows are not.
//!
//! **Keepalive.** A quiet client is sent a PING after `time` and cut when it does not answer within `timeout`; idle and
//! old connections are ended as in `ageing`. `enforcement_policy` has no effect: hyper answers a client's PINGs itself
//! and does not show them, so nobody is told ENHANCE_YOUR_CALM for sending too many. A PING costs one small frame.
//!
//! **Differences from the Collector:** concurrent streams and header lists have a limit where it has none or 16 MiB;
//! a second message in a call is refused instead of ignored; a partial success of a backend is passed on; a call whose
//! deadline passes is answered DEADLINE_EXCEEDED instead of being reset; PINGs are not policed, see above; a refused
//! encoding is answered with those that are served; an OK bears no empty `grpc-message`; parameters of the media type
//! are not echoed as if they were a subtype.

use std::{
    convert::Infallible,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header, request::Parts};
use http_body::{Body, Frame};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::TokioTimer;

use super::{
    Routes,
    ageing::{Ageing, Calls},
    body::{self, Chunks, Message, MessageError, ReadError},
    connection::{self, Life},
    inflate, memory, reply,
    reply::GrpcRefusal,
    route::{Refused, Route},
    socket::Socket,
};
use crate::{
    admission::Account,
    model::{
        Delivered, Signal,
        settings::{Compression, GrpcServer, Keepalive},
    },
    net::{
        compression::Compressor,
        grpc::{self, Prefix, Status},
        listen::Stream,
    },
    otlp::response,
    tasks::Tasks,
    telemetry::Metrics,
};

/// Time for a new connection to send the HTTP/2 preface and the head of its SETTINGS frame.
///
/// Source: grpc-go `server.go`, `connectionTimeout`.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(120);

/// Length of that: the preface and one frame head (RFC 9113, sections 3.4 and 4.1).
const HANDSHAKE_BYTES: usize = 24 + 9;

/// HTTP/2 window of one stream. Larger ones gained nothing on a LAN; one stream then moves at most this much in a
/// round trip.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;

/// HTTP/2 window of one connection: what a peer may park with us unread.
const CONNECTION_WINDOW_BYTES: u32 = 2 * 1024 * 1024;

/// Largest frame that peers may send. Rust and C++ peers make use of more than the 16 KiB of the protocol's default;
/// grpc-go does not.
const FRAME_BYTES: u32 = 64 * 1024;

/// Largest header list of a request. grpc-go takes 16 MiB, for each stream.
const HEADER_LIST_BYTES: u32 = 64 * 1024;

/// Concurrent streams of a connection when the settings name no limit. The Collector has none then; a client that
/// reaches this waits for a stream to end, it is not refused.
const STREAMS_UNLESS_SET: u32 = 1024;

/// The longest that one read from the socket is, whatever `read_buffer_size` says (512 KiB by default in the
/// Collector): more saves no more system calls.
const READ_BUFFER_MAX_BYTES: usize = 64 * 1024;

/// The shortest time after which a quiet client is probed.
///
/// Source: grpc-go v1.83.2 `server.go`, `KeepaliveParams`.
const PROBE_MIN: Duration = Duration::from_secs(1);

/// The longest: hyper adds it to the clock without a check.
const PROBE_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// One gRPC listener's part of a receiver, shared by its connections.
#[derive(Debug)]
pub(super) struct Server {
    routes: Vec<Route>,
    refused: Refused,
    accepted: Accepted,
    account: Account,
    message_limit_bytes: usize,
    streams_max: u32,
    read_buffer_bytes: usize,
    keepalive: Keepalive,
}

/// The framed response to a request that was taken whole, for each compression.
#[derive(Debug)]
struct Accepted {
    plain: Bytes,
    gzip: Bytes,
    snappy: Bytes,
    zstd: Bytes,
}

/// A call whose headers are in order.
#[derive(Debug)]
struct Call<'a> {
    route: &'a Route,
    compression: Compression,
    timeout: Option<Duration>,
    /// Who calls.
    client: Option<IpAddr>,
}

/// At most one message, then at most one block of trailers.
#[derive(Debug)]
pub(super) struct ReplyBody {
    message: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

// === impl Server ===

impl Server {
    pub(super) fn new(
        id: &str,
        settings: &GrpcServer,
        routes: &Routes,
        metrics: &Metrics,
        account: &Account,
    ) -> Self {
        Self {
            routes: Route::all(id, "grpc", routes, settings.include_metadata, metrics),
            refused: Refused::new(id, "grpc", metrics),
            accepted: Accepted::new(),
            account: account.clone(),
            message_limit_bytes: settings.max_message_bytes,
            streams_max: settings.max_concurrent_streams.unwrap_or(STREAMS_UNLESS_SET),
            read_buffer_bytes: settings.read_buffer_bytes.min(READ_BUFFER_MAX_BYTES),
            keepalive: settings.keepalive.clone(),
        }
    }

    /// Serves one connection to its end.
    pub(super) async fn serve(self: Arc<Self>, stream: Stream, life: Life) {
        let mut socket = Socket::new(stream, self.read_buffer_bytes);
        let greeted = tokio::select! {
            // Without a request there is nothing to drain.
            () = life.stop.cancelled() => return,
            greeted = tokio::time::timeout(HANDSHAKE_TIMEOUT, socket.buffered(HANDSHAKE_BYTES)) => greeted,
        };
        if !matches!(greeted, Ok(Ok(()))) {
            tracing::debug!("connection closed: no HTTP/2 preface");
            return;
        }
        let builder = self.builder(&life);
        let ageing = Ageing::new(&self.keepalive);
        let calls = ageing.calls();
        let client = life.client;
        let service = service_fn(move |request| {
            let server = Arc::clone(&self);
            let running = calls.as_ref().map(Calls::begin);
            async move {
                let answer = server.answer(request, client).await;
                drop(running);
                Ok::<_, Infallible>(answer)
            }
        });
        let mut connection = builder.serve_connection(socket, service);
        connection::run(&mut connection, &life, &ageing).await;
    }

    fn builder(&self, life: &Life) -> http2::Builder<Tasks> {
        let mut builder = http2::Builder::new(life.tasks.clone());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(FRAME_BYTES)
            .max_header_list_size(HEADER_LIST_BYTES)
            .max_concurrent_streams(self.streams_max)
            .keep_alive_interval(self.keepalive.time.clamp(PROBE_MIN, PROBE_MAX))
            .keep_alive_timeout(self.keepalive.timeout.min(PROBE_MAX))
            // gRPC peers do not look at it.
            .auto_date_header(false);
        builder
    }

    async fn answer(&self, request: Request<Incoming>, client: Option<IpAddr>) -> Response<ReplyBody> {
        let unanswered = self.refused.watch();
        let (head, body) = request.into_parts();
        let content_type = echoed_content_type(&head.headers);
        match self.call(&head, body, client).await {
            Ok((compression, message)) => {
                unanswered.accepted();
                accepted(content_type, compression, message)
            }
            Err(refusal) => {
                unanswered.refused(refusal.code());
                refused(content_type, &refusal)
            }
        }
    }

    /// Runs one call to its framed response.
    async fn call(
        &self,
        head: &Parts,
        body: Incoming,
        client: Option<IpAddr>,
    ) -> Result<(Compression, Bytes), GrpcRefusal> {
        let call = Call { client, ..self.check(head)? };
        let compression = call.compression;
        let message = match call.timeout {
            None => self.export(call, head, body).await?,
            // A deadline in the past ends the call before it is looked at.
            Some(Duration::ZERO) => return Err(GrpcRefusal::Deadline),
            Some(timeout) => match tokio::time::timeout(timeout, self.export(call, head, body)).await {
                Ok(ended) => ended?,
                Err(_elapsed) => return Err(GrpcRefusal::Deadline),
            },
        };
        Ok((compression, message))
    }

    /// Checks the headers, in grpc-go's order.
    fn check(&self, head: &Parts) -> Result<Call<'_>, GrpcRefusal> {
        let content_type = head.headers.get(header::CONTENT_TYPE);
        if !content_type.is_some_and(is_grpc) {
            return Err(GrpcRefusal::ContentType(text(content_type)));
        }
        let timeout = match head.headers.get(grpc::TIMEOUT) {
            None => None,
            Some(value) => {
                Some(grpc::parse_timeout(value).ok_or_else(|| GrpcRefusal::Timeout(text(Some(value))))?)
            }
        };
        if head.method != Method::POST {
            return Err(GrpcRefusal::Method(head.method.to_string()));
        }
        let route = self.route(head.uri.path())?;
        let compression = inflate::grpc_encoding(&head.headers).map_err(GrpcRefusal::Encoding)?;
        Ok(Call { route, compression, timeout, client: None })
    }

    fn route(&self, path: &str) -> Result<&Route, GrpcRefusal> {
        if let Some(route) = self.routes.iter().find(|route| route.signal.grpc_path() == path) {
            return Ok(route);
        }
        // Only to say what is wrong: `/package.Service/Method`.
        let Some((service, method)) = path.strip_prefix('/').and_then(|path| path.rsplit_once('/')) else {
            return Err(GrpcRefusal::Path(path.to_owned()));
        };
        let registered = self.routes.iter().any(|route| service_of(route.signal) == Some(service));
        let service = service.to_owned();
        Err(match registered {
            true => GrpcRefusal::ServiceMethod { service, method: method.to_owned() },
            false => GrpcRefusal::Service(service),
        })
    }

    /// Reads the message, hands it on and makes the response.
    async fn export(&self, call: Call<'_>, head: &Parts, body: Incoming) -> Result<Bytes, GrpcRefusal> {
        let limit = self.message_limit_bytes;
        let message = body::message(&mut Chunks::new(body), limit, &self.account)
            .await
            .map_err(|error| unreadable(error, limit))?;
        let request = self.inflated(call.compression, message)?;
        let delivered = call.route.dispatch(head, request, call.client).await.map_err(GrpcRefusal::Failed)?;
        Ok(self.accepted.response(call.compression, &delivered))
    }

    /// The message without its compression.
    fn inflated(&self, compression: Compression, message: Message) -> Result<Bytes, GrpcRefusal> {
        if !message.compressed {
            return Ok(message.bytes);
        }
        let limit = self.message_limit_bytes;
        let inflated = inflate::message(compression, &message.bytes, limit)
            .ok_or(GrpcRefusal::CompressedWithoutEncoding)?
            .map_err(|error| reply::grpc_inflate(error, limit))?;
        memory::cover(&self.account, inflated).map_err(GrpcRefusal::NoMemory)
    }
}

// === impl Accepted ===

impl Accepted {
    fn new() -> Self {
        // An empty message is a valid response too; it would take one of 4 GiB to need it.
        let framed = |compression| framed(compression, response::ACCEPTED).unwrap_or_default();
        Self {
            plain: framed(Compression::None),
            gzip: framed(Compression::Gzip),
            snappy: framed(Compression::Snappy),
            zstd: framed(Compression::Zstd),
        }
    }

    /// The framed response, compressed as the request's `grpc-encoding` says even if its message was not.
    ///
    /// What a backend did not take is passed on; the Collector counts such a request as sent whole and says nothing.
    fn response(&self, compression: Compression, delivered: &Delivered) -> Bytes {
        let ready = match compression {
            Compression::None
            | Compression::SnappyBlock
            | Compression::Zlib
            | Compression::Deflate
            | Compression::Lz4 => &self.plain,
            Compression::Gzip => &self.gzip,
            Compression::Snappy => &self.snappy,
            Compression::Zstd => &self.zstd,
        };
        if *delivered == Delivered::default() {
            return ready.clone();
        }
        let partial = response::write(delivered.rejected, &delivered.message);
        framed(compression, &partial).unwrap_or_else(|| ready.clone())
    }
}

/// A message with its prefix, compressed. `None`: more than gRPC can carry.
fn framed(compression: Compression, message: &[u8]) -> Option<Bytes> {
    let mut compressed = Vec::new();
    Compressor::new(compression).compress(message, &mut compressed);
    let prefix = Prefix::new(compression != Compression::None, compressed.len())?;
    let mut framed = prefix.to_bytes().to_vec();
    framed.extend_from_slice(&compressed);
    Some(Bytes::from(framed))
}

// === impl ReplyBody ===

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let frame = match this.message.take() {
            Some(message) => Some(Frame::data(message)),
            None => this.trailers.take().map(Frame::trailers),
        };
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.message.is_none() && self.trailers.is_none()
    }
}

/// The answer to a call that succeeded: headers, message, trailers.
fn accepted(content_type: HeaderValue, compression: Compression, message: Bytes) -> Response<ReplyBody> {
    let trailers = Some(Status::ok().to_headers());
    let mut response = Response::new(ReplyBody { message: Some(message), trailers });
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    if let Some(name) = compression.encoding() {
        response.headers_mut().insert(grpc::ENCODING, HeaderValue::from_static(name));
    }
    response
}

/// The answer to a call that failed: one block of headers that ends the stream.
fn refused(content_type: HeaderValue, refusal: &GrpcRefusal) -> Response<ReplyBody> {
    let (http, status) = refusal.answer();
    tracing::debug!(code = ?status.code, message = %status.message, "call refused");
    let mut response = Response::new(ReplyBody { message: None, trailers: None });
    *response.status_mut() = http;
    *response.headers_mut() = status.to_headers();
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    if matches!(refusal, GrpcRefusal::Encoding(_)) {
        // "The server … MUST include a grpc-accept-encoding": grpc/grpc doc/compression.md. grpc-go does not.
        response.headers_mut().insert(grpc::ACCEPT_ENCODING, HeaderValue::from_static("gzip,snappy,zstd"));
    }
    response
}

fn unreadable(error: MessageError, limit: usize) -> GrpcRefusal {
    match error {
        MessageError::Read(ReadError::Silent) => GrpcRefusal::Silent,
        MessageError::Read(ReadError::Broken(text)) => GrpcRefusal::Broken(text),
        MessageError::Missing => GrpcRefusal::NoMessage,
        MessageError::Truncated => GrpcRefusal::Truncated,
        MessageError::Flag(flag) => GrpcRefusal::Flag(flag),
        MessageError::TooLarge(declared) => GrpcRefusal::TooLarge { declared, limit },
        MessageError::MoreThanOne => GrpcRefusal::MoreThanOne,
        MessageError::NoRoom(full) => GrpcRefusal::NoMemory(full),
    }
}

/// Whether a content type is `application/grpc`, alone or with a suffix (`+proto`) or parameters.
fn is_grpc(content_type: &HeaderValue) -> bool {
    let rest = content_type.as_bytes().strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// The content type of the answer: the request's, if that has a suffix.
fn echoed_content_type(headers: &HeaderMap) -> HeaderValue {
    match headers.get(header::CONTENT_TYPE) {
        Some(value) if value.as_bytes().starts_with(b"application/grpc+") => value.clone(),
        _ => grpc::CONTENT_TYPE,
    }
}

/// `package.Service` of a signal's Export method.
fn service_of(signal: Signal) -> Option<&'static str> {
    signal.grpc_path().strip_prefix('/')?.rsplit_once('/').map(|(service, _)| service)
}

fn text(value: Option<&HeaderValue>) -> String {
    value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).unwrap_or_default()
}

//! An OTLP/gRPC backend that counts or remembers what it is sent, and misbehaves when told to.
//!
//! One sink serves the demo, the tests and the benchmark. It speaks HTTP/2 with prior knowledge and default frame
//! sizes, as a Go Collector does, takes gzip, zstd and framed snappy, and answers OK once a request is counted.
//! What it concludes about spans rests on its own reader (`protobuf`); transport details are the
//! gateway's (`net`).

mod record;
mod script;

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt as _, Either, Empty, Full, combinators::WithTrailers};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::protobuf::{put_bytes, put_message, put_uint};
use crate::{
    model::Signal,
    net::{
        compression::{Encoding, InflateError, inflate},
        grpc::{Code, PREFIX_LEN, Status},
        listen::{self, BindError},
    },
    tasks::Tasks,
};

pub use record::{Audit, Mode, Record, Totals, audit};
pub use script::{Action, Script};

use record::Recorder;

/// Largest message taken, as it arrives and decompressed. Far above what any client here sends.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Flow-control windows: enough for a whole message under way on each of two streams.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 2 << 20;
/// How long [`Sink::stop`] waits for open connections.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// A running sink. Dropping it does not stop it: [`Sink::stop`] or [`Sink::kill`] does.
#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: JoinHandle<()>,
}

/// What every connection and stream of a sink needs.
#[derive(Debug)]
struct Shared {
    recorder: Recorder,
    script: Script,
    tasks: Tasks,
    /// No new connections or streams.
    stopping: CancellationToken,
    /// Nothing any more, not even answers.
    killed: CancellationToken,
}

// === impl Sink ===

impl Sink {
    /// Binds `address` (`host:port`, port 0 for a free one) and starts to serve.
    ///
    /// # Errors
    ///
    /// [`BindError`].
    pub async fn start(address: &str, mode: Mode) -> Result<Self, BindError> {
        let listener = listen::bind(address).await?;
        let address =
            listener.local_addr().map_err(|source| BindError { endpoint: address.to_owned(), source })?;
        let tasks = Tasks::new();
        let shared = Arc::new(Shared {
            recorder: Recorder::new(mode),
            script: Script::new(),
            tasks: tasks.clone(),
            stopping: CancellationToken::new(),
            killed: CancellationToken::new(),
        });
        let acceptor = tasks.spawn("sink", accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, acceptor })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it does with the next requests.
    pub fn script(&self) -> &Script {
        &self.shared.script
    }

    /// What it took so far.
    pub fn totals(&self) -> Totals {
        self.shared.recorder.totals()
    }

    /// The spans it took so far, by trace. Empty unless the mode is [`Mode::Record`].
    pub fn record(&self) -> Record {
        self.shared.recorder.record()
    }

    /// Waits until the totals satisfy a condition. Has no time limit of its own.
    pub async fn until(&self, condition: impl Fn(&Totals) -> bool) -> Totals {
        self.shared.recorder.until(condition).await
    }

    /// Closes the port, lets open requests end for up to five seconds, then cuts.
    pub async fn stop(self) {
        self.shared.stopping.cancel();
        if tokio::time::timeout(STOP_TIMEOUT, self.shared.tasks.ended()).await.is_err() {
            tracing::warn!(sink = %self.address, "connections were cut");
        }
        self.kill().await;
    }

    /// Closes the port and every connection at once, as a process that dies does. What was taken stays readable
    /// through the value that is returned.
    pub async fn kill(self) -> (Totals, Record) {
        self.shared.stopping.cancel();
        self.shared.killed.cancel();
        self.shared.tasks.ended().await;
        // The acceptor owns the port; when its task has ended the port is free.
        if self.acceptor.await.is_err() {
            tracing::warn!(sink = %self.address, "the accepting task did not end by itself");
        }
        (self.shared.recorder.totals(), self.shared.recorder.record())
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = shared.stopping.cancelled() => return,
            (stream, _) = listen::accept(&listener) => {
                shared.tasks.spawn("sink connection", serve(stream, Arc::clone(&shared)));
            }
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(|request| {
        let shared = Arc::clone(&shared);
        async move { answer(request, &shared).await }
    });
    let connection = http2::Builder::new(shared.tasks.clone())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        () = shared.killed.cancelled() => return,
        ended = connection.as_mut() => ended,
        () = shared.stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                () = shared.killed.cancelled() => return,
                ended = connection => ended,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to a sink ended");
    }
}

type Answer = Response<Either<WithTrailers<Full<Bytes>, TrailersOnce>, Empty<Bytes>>>;
type TrailersOnce = std::future::Ready<Option<Result<HeaderMap, Infallible>>>;

/// One request: read, decide, count, answer. An error resets the stream with its reason.
async fn answer(request: Request<Incoming>, shared: &Shared) -> Result<Answer, h2::Error> {
    let path = request.uri().path();
    let signal = Signal::ALL.into_iter().find(|signal| signal.grpc_path() == path);
    let encoding = request.headers().get("grpc-encoding").cloned();
    let Some(body) = read(request.into_body()).await? else {
        return Ok(failure(&status(Code::ResourceExhausted, "the message is too large for this sink")));
    };
    tokio::select! {
        () = shared.script.released() => {}
        () = shared.killed.cancelled() => return Err(h2::Error::from(h2::Reason::CANCEL)),
    }
    let action = shared.script.take();
    let Some(signal) = signal else {
        return Ok(failure(&status(Code::Unimplemented, "this sink takes OTLP only")));
    };
    if action.takes()
        && let Err(status) = take(signal, body, encoding.as_ref(), &shared.recorder)
    {
        shared.recorder.refused();
        return Ok(failure(&status));
    }
    match action {
        Action::Take => Ok(success(Bytes::from_static(&[0; PREFIX_LEN]))),
        Action::Partial { rejected, message } => Ok(success(partial_success(rejected, &message))),
        Action::Answer(status) => {
            shared.recorder.refused();
            Ok(failure(&status))
        }
        Action::Reset { reason, .. } => {
            shared.recorder.refused();
            Err(h2::Error::from(reason))
        }
        Action::Hang { .. } => {
            shared.recorder.refused();
            shared.killed.cancelled().await;
            Err(h2::Error::from(h2::Reason::CANCEL))
        }
    }
}

/// The whole body; `None` if it is above the limit.
async fn read(mut body: Incoming) -> Result<Option<Bytes>, h2::Error> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(reason_of)?.into_data() else { continue };
        if bytes.is_empty()
            && let Some((_, len)) = prefix(&data)
        {
            // One allocation for the announced length. The limit bounds what a peer can make us reserve.
            bytes.reserve(len.min(MESSAGE_BYTES_MAX).saturating_add(PREFIX_LEN));
        }
        if bytes.len().saturating_add(data.len()) > MESSAGE_BYTES_MAX {
            return Ok(None);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Some(bytes.freeze()))
}

fn reason_of(error: hyper::Error) -> h2::Error {
    tracing::debug!(%error, "a request to a sink broke off");
    h2::Error::from(h2::Reason::CANCEL)
}

/// Compressed flag and length of a gRPC message.
fn prefix(bytes: &[u8]) -> Option<(bool, usize)> {
    let (flag, rest) = bytes.split_first()?;
    let (length, _) = rest.split_first_chunk::<4>()?;
    Some((*flag == 1, u32::from_be_bytes(*length) as usize))
}

/// Decompresses, reads and counts one request.
fn take(
    signal: Signal,
    mut body: Bytes,
    encoding: Option<&HeaderValue>,
    recorder: &Recorder,
) -> Result<(), Status> {
    let wire_bytes = body.len();
    let invalid = |what: &str| status(Code::InvalidArgument, what);
    let (compressed, len) = prefix(&body).ok_or_else(|| invalid("no message"))?;
    body.advance(PREFIX_LEN);
    if body.len() != len {
        return Err(invalid("the message does not have the announced length"));
    }
    if compressed {
        let encoding = encoding
            .and_then(encoding_of)
            .ok_or_else(|| status(Code::Unimplemented, "this sink does not know the encoding"))?;
        body = inflate(encoding, &body, MESSAGE_BYTES_MAX)
            .map_err(|error| match error {
                InflateError::TooLarge => status(Code::ResourceExhausted, "too large when decompressed"),
                InflateError::Corrupt(what) => invalid(&what),
            })?
            .into();
    }
    recorder.request(signal, &body, wire_bytes).map_err(|error| invalid(&error.to_string()))
}

/// Source: the names that the Collector registers for gRPC (`config/configcompression`, v0.161.0).
fn encoding_of(name: &HeaderValue) -> Option<Encoding> {
    match name.as_bytes() {
        b"gzip" => Some(Encoding::Gzip),
        b"zstd" => Some(Encoding::Zstd),
        b"snappy" => Some(Encoding::SnappyFramed),
        _ => None,
    }
}

fn status(code: Code, message: &str) -> Status {
    Status { code, message: message.to_owned(), retry_delay: None }
}

fn success(message: Bytes) -> Answer {
    const OK: HeaderValue = HeaderValue::from_static("0");
    let trailers = HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), OK)]);
    with_type(Either::Left(Full::new(message).with_trailers(std::future::ready(Some(Ok(trailers))))))
}

/// A response without a message: the status goes into the headers.
fn failure(status: &Status) -> Answer {
    let mut response = with_type(Either::Right(Empty::new()));
    response.headers_mut().extend(status.to_headers());
    response
}

fn with_type<B>(body: B) -> Response<B> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// An `ExportTraceServiceResponse` with `partial_success`, prefix included.
fn partial_success(rejected: u32, text: &str) -> Bytes {
    let mut message = Vec::new();
    put_message(&mut message, 1, |out| {
        put_uint(out, 1, rejected.into());
        put_bytes(out, 2, text.as_bytes());
    });
    let mut framed = vec![0];
    framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
    framed.extend_from_slice(&message);
    framed.into()
}

#[cfg(test)]
mod tests;

//! One HTTP/2 connection to one address, TCP or Unix, made again when it breaks, for unary gRPC calls with a ready message.
//!
//! Stage: edge. Owns the connection, the request's headers and the question that decides about losses and duplicates:
//! **may the peer have processed a call that failed?** [`CallError`] answers it. Knows nothing of retries, queues or
//! what a message means.
//!
//! Built on h2, not on hyper's client: a unary call with a ready message needs a stream, not a body and a dispatch
//! queue between caller and connection, and h2 says exactly how a stream ended (`benches/transport.rs` compares).
//! The message is handed to h2 as it is, without a copy; flow control paces it.
//!
//! Sources: grpc/grpc `doc/PROTOCOL-HTTP2.md`; RFC 9113 sections 5.1.2, 6.8, 8.7.

mod connection;
mod reply;

#[cfg(test)]
mod tests;

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt as _;
use h2::{
    Reason,
    client::{ResponseFuture, SendRequest},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version, header, uri};
use tokio::time::{Instant, timeout_at};

use self::connection::{Connection, Connector};
use super::{
    dial::Dialer,
    grpc::{self, Status},
};
use crate::tasks::Tasks;

/// Why a call has no status from the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// No connection, REFUSED_STREAM, or a stream above the GOAWAY id: the peer certainly did not process it.
    NotSent(String),
    /// The connection or stream broke after the request may have arrived.
    Broken(String),
    /// The deadline passed after the request may have been sent.
    Deadline,
}

/// The end of a call: its status and, for OK, the response message without prefix, decompressed.
#[derive(Clone, Debug)]
pub struct Reply {
    /// What the peer answered.
    pub status: Status,
    /// The response message.
    pub message: Bytes,
}

/// A client for one address. Cheap to clone; clones share the connection.
///
/// All calls share one connection. It is made at the first call, and made again at the first call after it broke, was
/// shut down by the peer (GOAWAY; calls in flight end on the old connection), or left a whole call without any answer.
/// The name is resolved again each time. Calls above the peer's limit of concurrent streams wait for a free one.
#[derive(Clone, Debug)]
pub struct Channel {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    connector: Connector,
    /// Headers that every request has.
    headers: HeaderMap,
}

/// One call but for its message.
#[derive(Clone, Copy, Debug)]
struct Call<'a> {
    path: &'static str,
    encoding: Option<&'static str>,
    headers: Option<&'a HeaderMap>,
    deadline: Option<Instant>,
}

/// A call whose request was handed to the connection.
struct Started {
    connection: Connection,
    /// Knows whether the stream still waits for a free place on the connection.
    stream: SendRequest<Bytes>,
    response: ResponseFuture,
}

/// Compressions that a reply may have.
const ACCEPTED_ENCODINGS: HeaderValue = HeaderValue::from_static("gzip,zstd,snappy");

pub(super) const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("ringway/", env!("CARGO_PKG_VERSION")));

/// Headers that HTTP/2 forbids or that the connection writes itself (RFC 9113, 8.2.2).
const CONNECTION_HEADERS: [&str; 7] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
];

// === impl Channel ===

impl Channel {
    /// A channel that connects at its first call. `headers` go with every call; those that gRPC or HTTP/2 owns are
    /// left out or replaced, `user-agent` among them (as grpc-go does).
    ///
    /// `address` is `host:port`, with or without `http://`, or `unix:///path`. TLS (`https://`) and other schemes are not served: each
    /// call fails with a [`CallError::NotSent`] that says so.
    ///
    /// The connection's task runs in `tasks` and ends after the last clone is dropped and the last call has ended.
    pub fn new(address: &str, headers: HeaderMap, dialer: Dialer, tasks: Tasks) -> Self {
        let connector = Connector::new(address, dialer, tasks);
        Self { inner: Arc::new(Inner { connector, headers: with_grpc_headers(headers) }) }
    }

    /// Sends one message and waits for the end of the call.
    ///
    /// `body` is the message *with* its five-byte prefix; `encoding` is the `grpc-encoding` if it is compressed. `headers`
    /// go with this call, in place of the channel's of the same name; the caller leaves out those that
    /// [`owns_header`].
    /// `timeout` bounds everything, connecting included, and is sent as `grpc-timeout`. An attempt to connect has its
    /// own limit of 20 seconds; it is shared by all calls that need it, fails all of them at once, and goes on when a
    /// call gives up.
    ///
    /// A reply without `grpc-status` gets the code that gRPC has for its HTTP status; a reply that cannot be used
    /// (above 4 MiB, framing, compression) is INTERNAL or RESOURCE_EXHAUSTED, as in grpc-go.
    ///
    /// Dropping the future resets the stream.
    ///
    /// # Errors
    ///
    /// [`CallError`] if the peer sent no status.
    pub async fn unary(
        &self,
        path: &'static str,
        encoding: Option<&'static str>,
        body: Bytes,
        headers: Option<&HeaderMap>,
        timeout: Option<Duration>,
    ) -> Result<Reply, CallError> {
        // A time beyond what the clock holds is no limit.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let start = self.start(Call { path, encoding, headers, deadline }, body);
        let mut started = within(deadline, start).await.unwrap_or_else(|| {
            Err(CallError::NotSent("deadline exceeded while waiting for a connection".to_owned()))
        })?;
        let answers_before = started.connection.answers();
        let read = reply::read(&mut started.response, &started.connection);
        match within(deadline, read).await {
            Some(reply) => reply,
            None => {
                if started.connection.answers() == answers_before {
                    // Nothing came on this connection during a whole call. The peer may be gone without a word; a new
                    // connection will tell, and costs little if it is only slow.
                    self.inner.connector.retire(&started.connection);
                }
                Err(started.deadline_error())
            }
        }
    }

    /// Hands the request to a connection.
    ///
    /// A connection that turns out to be unusable before it took the request is replaced once.
    async fn start(&self, call: Call<'_>, body: Bytes) -> Result<Started, CallError> {
        let first = self.inner.connector.connection().await.map_err(CallError::NotSent)?;
        match self.send_on(first, call, body.clone()).await {
            Err((connection, _)) => {
                self.inner.connector.retire(&connection);
                let second = self.inner.connector.connection().await.map_err(CallError::NotSent)?;
                let sent = self.send_on(second, call, body).await;
                sent.map_err(|(_, error)| CallError::NotSent(error.to_string()))
            }
            Ok(started) => Ok(started),
        }
    }

    /// Opens a stream and gives it the message. An error means that the connection did not take the request.
    async fn send_on(
        &self,
        connection: Connection,
        call: Call<'_>,
        body: Bytes,
    ) -> Result<Started, (Connection, h2::Error)> {
        let request = self.request(&connection, call);
        let sent = async {
            let mut stream = connection.sender().ready().await?;
            let (response, mut send) = stream.send_request(request, false)?;
            // All at once: h2 keeps the reference and cuts frames from it as the windows allow.
            send.send_data(body, true)?;
            Ok((stream, response))
        };
        match sent.await {
            Ok((stream, response)) => Ok(Started { connection, stream, response }),
            Err(error) => Err((connection, error)),
        }
    }

    fn request(&self, connection: &Connection, call: Call<'_>) -> Request<()> {
        let mut headers = self.inner.headers.clone();
        if let Some(own) = call.headers {
            replace(&mut headers, own);
        }
        if let Some(encoding) = call.encoding {
            headers.insert(grpc::ENCODING, HeaderValue::from_static(encoding));
        }
        if let Some(deadline) = call.deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            headers.insert(grpc::TIMEOUT, grpc::format_timeout(left));
        }
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = uri_of(connection.authority(), call.path);
        *request.headers_mut() = headers;
        request
    }
}

/// Puts `from`, which may have several values for a name, in place of what `headers` has under the same names.
pub(super) fn replace(headers: &mut HeaderMap, from: &HeaderMap) {
    for name in from.keys() {
        headers.remove(name);
        for value in from.get_all(name) {
            headers.append(name, value.clone());
        }
    }
}

/// Whether gRPC or HTTP/2 writes this header itself, so that nobody else may.
///
/// Source: grpc-go v1.83 `internal/transport/http_util.go`, `isReservedHeader`; RFC 9113, 8.2.2.
pub fn owns_header(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("grpc-")
        || matches!(name, "content-type" | "te" | "user-agent")
        || CONNECTION_HEADERS.contains(&name)
}

/// `http://authority/path`.
fn uri_of(authority: &uri::Authority, path: &'static str) -> http::Uri {
    let mut parts = uri::Parts::default();
    parts.scheme = Some(uri::Scheme::HTTP);
    parts.authority = Some(authority.clone());
    parts.path_and_query = Some(uri::PathAndQuery::from_static(path));
    // All three parts are there, which is the only thing that can be wrong with them.
    http::Uri::from_parts(parts).unwrap_or_default()
}

/// Configured headers with those of gRPC over them.
fn with_grpc_headers(mut headers: HeaderMap) -> HeaderMap {
    for name in CONNECTION_HEADERS {
        headers.remove(name);
    }
    headers.insert(header::CONTENT_TYPE, grpc::CONTENT_TYPE);
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers.insert(header::USER_AGENT, USER_AGENT);
    headers.insert(grpc::ACCEPT_ENCODING, ACCEPTED_ENCODINGS);
    // Set for each call, or not at all.
    headers.remove(grpc::ENCODING);
    headers.remove(grpc::TIMEOUT);
    headers
}

/// Waits for `future` until the deadline. `None`: it passed first.
pub(super) async fn within<T>(deadline: Option<Instant>, future: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => timeout_at(deadline, future).await.ok(),
        None => Some(future.await),
    }
}

// === impl Started ===

impl Started {
    /// What it means that the deadline passed.
    fn deadline_error(self) -> CallError {
        match self.stream.ready().now_or_never() {
            // Not ready: this stream was still waiting for the end of another one, nothing of it was written.
            None => CallError::NotSent("deadline exceeded while waiting for a free stream".to_owned()),
            Some(_) => CallError::Deadline,
        }
    }
}

// === impl CallError ===

impl CallError {
    /// Sorts the end of a stream whose request was handed to the connection.
    ///
    /// h2 reports a GOAWAY of the peer on streams above the last one that the GOAWAY names, and only on those: streams
    /// at or below it go on, and break with the connection if it closes under them.
    fn of_stream(error: &h2::Error) -> Self {
        let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
        let above_goaway = error.is_go_away();
        if error.is_remote() && (refused || above_goaway) {
            Self::NotSent(error.to_string())
        } else {
            Self::Broken(error.to_string())
        }
    }
}

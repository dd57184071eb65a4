//! POST over HTTP/1.1 to one URL, on connections that are kept: what OTLP/HTTP needs of a client.
//!
//! Stage: edge. Owns the connections, the request's headers, and the same question as the gRPC client next door: **may
//! the peer have processed a request that was not answered?** Knows nothing of retries or of what a body means.
//!
//! A request that broke off is *not sent* if the socket took less than the whole of it (`meter`); else it is *broken*, and
//! the peer may have processed it. POST is not idempotent, so only the former is ever repeated, once, and only if it broke on a
//! kept connection, which the peer may have closed while it was idle. The window in which a peer closes a
//! connection just as a whole request is on its way remains (RFC 9112, 9.3.1); such a request is *broken*, and what then
//! is the caller's to decide.
//!
//! Redirects are not followed and cookies not kept; there is no proxy and no TLS.
//!
//! Sources: RFC 9110 section 9.2.2, RFC 9112 sections 8 and 9.

mod meter;
mod pool;

#[cfg(test)]
mod tests;

use std::{error::Error, future::Future, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tokio::time::Instant;

use self::pool::{Connection, Pool};
use super::{
    client::{CallError, USER_AGENT, replace, within},
    dial::Address,
};
use crate::{model::settings, tasks::Tasks};

/// What is read of a response's body; the rest is cut off, and the connection with it. Source: Collector `otlphttpexporter`
/// v0.161.0, `maxHTTPResponseReadBytes`.
pub const RESPONSE_LIMIT_BYTES: usize = 64 * 1024;

/// The port of a URL that names none.
const DEFAULT_PORT: u16 = 80;

/// A client for one URL. Cheap to clone; clones share the connections.
///
/// A request takes an idle connection or makes one, with fresh name resolution. Without `max_connections` there are as many as
/// there are requests at a time. Idle connections are closed after `idle_timeout`, all of them when the last clone is dropped;
/// their tasks run in the `tasks` of [`new`](Self::new).
#[derive(Clone, Debug)]
pub struct HttpClient {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    pool: Result<Arc<Pool>, Unusable>,
    /// Path and query.
    target: Uri,
    headers: HeaderMap,
}

/// Why a URL cannot be reached.
#[derive(Debug)]
struct Unusable(String);

/// An answer.
#[derive(Debug)]
pub struct Response {
    /// Its status, never an informational one.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, or the first [`RESPONSE_LIMIT_BYTES`] of it; an error if it broke off or the deadline passed meanwhile.
    pub body: Result<Bytes, String>,
}

/// Why a connection gave no answer.
enum Failed {
    /// It was a kept one, and was closed before it took the whole request.
    Stale(String),
    Call(CallError),
}

impl HttpClient {
    /// A client that connects at its first request.
    ///
    /// `url` is an `http://` URL; with anything else each request fails with a [`CallError::NotSent`] that says so. `headers`
    /// go with every request; of these, those that frame it ([`owns_framing`]) are left out, and a `host` replaces that of the
    /// URL. Without a `user-agent` there, the gateway's own is sent.
    pub fn new(url: &str, headers: HeaderMap, settings: &settings::HttpClient, tasks: Tasks) -> Self {
        let (pool, target, host) = match parse(url) {
            Ok((address, target, host)) => {
                (Ok(Arc::new(Pool::new(address, settings, tasks))), target, Some(host))
            }
            Err(unusable) => (Err(unusable), Uri::default(), None),
        };
        let headers = base_headers(headers, host, settings.keep_alive);
        Self { inner: Arc::new(Inner { pool, target, headers }) }
    }

    /// Sends one body and waits for the whole answer.
    ///
    /// `headers` go with this request, in place of the client's of the same name. `timeout` bounds everything, from the wait for
    /// a free connection to the end of the answer's body. An attempt to connect has its own limit of 20 seconds.
    ///
    /// Dropping the future closes the connection that it uses.
    ///
    /// # Errors
    ///
    /// [`CallError`] if no answer began.
    pub async fn post(
        &self,
        body: Bytes,
        headers: Option<&HeaderMap>,
        timeout: Option<Duration>,
    ) -> Result<Response, CallError> {
        let pool = self.inner.pool.as_ref().map_err(|why| CallError::NotSent(why.0.clone()))?;
        // A time beyond what the clock holds is no limit.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let waiting = "deadline exceeded while waiting for a free connection";
        let _place = connected(deadline, waiting, async { Ok(pool.place().await) }).await?;
        if let Some(kept) = pool.take() {
            match self.exchange(pool, kept, self.request(body.clone(), headers), deadline).await {
                Err(Failed::Stale(_)) => {}
                other => return other.map_err(Failed::into_call_error),
            }
        }
        let waiting = "deadline exceeded while waiting for a connection";
        let fresh = connected(deadline, waiting, pool.connect()).await?;
        let answer = self.exchange(pool, fresh, self.request(body, headers), deadline).await;
        answer.map_err(Failed::into_call_error)
    }

    /// One request on one connection, which is kept if it can be.
    async fn exchange(
        &self,
        pool: &Arc<Pool>,
        mut connection: Connection,
        request: Request<Full<Bytes>>,
        deadline: Option<Instant>,
    ) -> Result<Response, Failed> {
        let length = body_len(&request);
        connection.meter.start();
        // Ready at once, but for the moment in which its task ends the request before this one.
        let answer = async {
            connection.sender.ready().await?;
            connection.sender.send_request(request).await
        };
        let (head, body) = match within(deadline, answer).await {
            Some(Ok(response)) => response.into_parts(),
            Some(Err(error)) => return Err(connection.failed(length, CallError::Broken(error_text(&error)))),
            None => return Err(connection.failed(length, CallError::Deadline)),
        };
        let body = within(deadline, read(body)).await.unwrap_or(Err("deadline exceeded".to_owned()));
        // A server may answer before it has read the request: such a connection is not for another one.
        if matches!(&body, Ok((_, true))) && connection.meter.written() > length {
            pool.put(connection);
        }
        let body = body.map(|(bytes, _)| bytes);
        Ok(Response { status: head.status, headers: head.headers, body })
    }

    fn request(&self, body: Bytes, headers: Option<&HeaderMap>) -> Request<Full<Bytes>> {
        let mut all = self.inner.headers.clone();
        if let Some(headers) = headers {
            replace(&mut all, headers);
        }
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.inner.target.clone();
        *request.headers_mut() = all;
        request
    }
}

/// Whether a header frames a request on its connection, so that nobody but the connection may write it.
///
/// Source: RFC 9112, sections 6 and 9; RFC 9110, 7.6.1.
pub fn owns_framing(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "content-length"
            | "expect"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

fn base_headers(mut headers: HeaderMap, host: Option<HeaderValue>, keep_alive: bool) -> HeaderMap {
    let framing: Vec<_> = headers.keys().filter(|name| owns_framing(name)).cloned().collect();
    for name in framing {
        headers.remove(name);
    }
    if let Some(host) = host {
        headers.entry(header::HOST).or_insert(host);
    }
    headers.entry(header::USER_AGENT).or_insert(USER_AGENT);
    if !keep_alive {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    headers
}

/// What is dialled, what is asked for, and who is asked.
fn parse(url: &str) -> Result<(Address, Uri, HeaderValue), Unusable> {
    // The query may hold a credential.
    let shown = url.split('?').next().unwrap_or_default();
    let unusable = |why: &str| Unusable(format!("cannot connect to {shown}: {why}"));
    let uri: Uri = url.parse().map_err(|_| unusable("not a URL"))?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => return Err(unusable("TLS is not supported yet")),
        _ => return Err(unusable("not an http:// URL")),
    }
    let authority = uri.authority().ok_or_else(|| unusable("it names no host"))?;
    if authority.host().is_empty() || authority.as_str().contains('@') {
        return Err(unusable("not of the form http://host:port/path"));
    }
    let port = authority.port_u16().unwrap_or(DEFAULT_PORT);
    let address = Address::Tcp(format!("{}:{port}", authority.host()).into());
    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| unusable("its host cannot be sent"))?;
    let target = uri.path_and_query().cloned().map_or_else(Uri::default, Uri::from);
    Ok((address, target, host))
}

/// Reads a body up to the limit; true: all of it.
async fn read(mut body: Incoming) -> Result<(Bytes, bool), String> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| error_text(&error))?;
        let Ok(data) = frame.into_data() else { continue };
        let room = RESPONSE_LIMIT_BYTES.saturating_sub(bytes.len());
        bytes.extend_from_slice(data.get(..room).unwrap_or(&data));
        if data.len() > room {
            return Ok((bytes.freeze(), false));
        }
    }
    Ok((bytes.freeze(), true))
}

/// Waits for a step before anything is sent.
async fn connected<T>(
    deadline: Option<Instant>,
    late: &str,
    step: impl Future<Output = Result<T, String>>,
) -> Result<T, CallError> {
    match within(deadline, step).await {
        Some(result) => result.map_err(CallError::NotSent),
        None => Err(CallError::NotSent(late.to_owned())),
    }
}

fn body_len(request: &Request<Full<Bytes>>) -> usize {
    use http_body::Body as _;
    // The size of a full body is exact, and that of a slice in memory.
    request.body().size_hint().exact().and_then(|len| usize::try_from(len).ok()).unwrap_or(usize::MAX)
}

/// An error with its causes, which hyper's own text leaves out.
fn error_text(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

// === impl Connection ===

impl Connection {
    /// What it means that a request with a body of `length` bytes failed with `error`. Ends the connection.
    ///
    /// What the socket took begins with the head, so that it took more than the body's length in any whole request.
    fn failed(self, length: usize, error: CallError) -> Failed {
        let written = self.meter.stop();
        let text = match &error {
            CallError::Deadline => "deadline exceeded",
            CallError::NotSent(text) | CallError::Broken(text) => text,
        };
        if written > length {
            return Failed::Call(error);
        }
        let text = format!("{text} before the request was sent");
        if self.reused && error != CallError::Deadline {
            return Failed::Stale(text);
        }
        Failed::Call(CallError::NotSent(text))
    }
}

// === impl Failed ===

impl Failed {
    fn into_call_error(self) -> CallError {
        match self {
            Self::Stale(text) => CallError::NotSent(text),
            Self::Call(error) => error,
        }
    }
}

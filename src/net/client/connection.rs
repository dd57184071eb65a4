//! Connecting: one attempt for all who wait, names resolved each time, and proof that the peer is there.
//!
//! Stage: edge, part of `client`. Owns the current connection of a channel and the task that makes it. A connection
//! is handed out after the peer has answered an HTTP/2 PING on it: a socket that only the kernel accepted (a stopped
//! process, a full backlog, a proxy without a peer) fails while nothing has been sent yet, so that the data may go
//! elsewhere at once. grpc-go waits for the peer's SETTINGS to the same end.

use std::{
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use h2::{Ping, client::SendRequest};
use http::uri::Authority;
use tokio::{sync::watch, time::Instant};

use crate::{
    net::{
        dial::{self, Address, Dialer, Peer, before},
        listen::Stream,
    },
    tasks::Tasks,
};

/// What a reply may send before it is read, for each stream and each connection. Replies have a few bytes.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 2 * 1024 * 1024;

/// Largest frame that the peer may send.
const FRAME_BYTES: u32 = 64 * 1024;

/// Limit of a reply's headers, and of its trailers; status details are in there.
const HEADER_LIST_BYTES: u32 = 64 * 1024;

/// Makes connections to one address and keeps the current one.
#[derive(Debug)]
pub(super) struct Connector {
    target: Target,
    dialer: Dialer,
    tasks: Tasks,
    current: Mutex<Option<Attempt>>,
}

/// Where to connect.
#[derive(Clone, Debug)]
enum Target {
    Known {
        address: Address,
        authority: Authority,
    },
    /// Not served; the text says why.
    Unusable(Arc<str>),
}

/// An attempt to connect: unfinished, failed or a connection. All who wait for it see the same end.
#[derive(Clone, Debug)]
struct Attempt(watch::Receiver<Option<Result<Connection, Arc<str>>>>);

/// A connection that was alive when it was handed out. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    sender: SendRequest<Bytes>,
    authority: Authority,
    /// Responses that have begun on this connection.
    answers: Arc<AtomicU64>,
}

// === impl Connector ===

impl Connector {
    pub(super) fn new(address: &str, dialer: Dialer, tasks: Tasks) -> Self {
        Self { target: Target::parse(address), dialer, tasks, current: Mutex::new(None) }
    }

    /// The current connection, or a new one. Waits as long as the attempt takes; cancelling the wait does not end the
    /// attempt, unless nobody is left who could use it.
    pub(super) async fn connection(&self) -> Result<Connection, String> {
        let mut attempt = self.attempt()?;
        // The task that held the sending half was ended from outside if there is no value.
        let Ok(value) = attempt.0.wait_for(Option::is_some).await else {
            return Err("connecting was interrupted".to_owned());
        };
        match &*value {
            Some(Ok(connection)) => Ok(connection.clone()),
            Some(Err(error)) => Err(error.to_string()),
            None => Err("connecting was interrupted".to_owned()),
        }
    }

    /// Makes the next call connect anew if this is still the current connection. Calls that run on it go on.
    pub(super) fn retire(&self, connection: &Connection) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|attempt| attempt.is(connection)) {
            *current = None;
        }
    }

    /// The attempt to wait for: the current one unless it has failed already, else a new one.
    fn attempt(&self) -> Result<Attempt, String> {
        let (address, authority) = match &self.target {
            Target::Known { address, authority } => (address.clone(), authority.clone()),
            Target::Unusable(why) => return Err(why.to_string()),
        };
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(attempt) = current.as_ref().filter(|attempt| !attempt.has_failed()) {
            return Ok(attempt.clone());
        }
        let (done, attempt) = watch::channel(None);
        let (dialer, tasks) = (self.dialer.clone(), self.tasks.clone());
        self.tasks.spawn("connect", async move {
            let connect = pin!(connect(&dialer, &address, authority, &tasks));
            tokio::select! {
                // A connection that is there is handed out, or ends by itself.
                biased;
                result = connect => drop(done.send(Some(result.map_err(Arc::from)))),
                () = done.closed() => {}
            }
        });
        Ok(current.insert(Attempt(attempt)).clone())
    }
}

// === impl Target ===

impl Target {
    fn parse(address: &str) -> Self {
        let unusable = |why: &str| Self::Unusable(format!("cannot connect to {address}: {why}").into());
        let plain = address.strip_prefix("http://").unwrap_or(address);
        if plain.starts_with("https://") {
            return unusable("TLS is not supported yet");
        }
        if let Some(path) = plain.strip_prefix("unix://").filter(|path| path.starts_with('/')) {
            // What grpc-go calls the peer behind a Unix socket.
            let authority = Authority::from_static("localhost");
            return Self::Known { address: Address::Unix(path.into()), authority };
        }
        match plain.parse::<Authority>() {
            Ok(authority) if authority.port_u16().is_some() => {
                Self::Known { address: Address::Tcp(plain.into()), authority }
            }
            _ => unusable("not of the form host:port or unix:///path"),
        }
    }
}

// === impl Attempt ===

impl Attempt {
    /// Whether there will be no connection, or is none any more, from this attempt.
    fn has_failed(&self) -> bool {
        match &*self.0.borrow() {
            Some(result) => result.is_err(),
            // Without a value and without a task there will be none.
            None => self.0.has_changed().is_err(),
        }
    }

    fn is(&self, connection: &Connection) -> bool {
        matches!(&*self.0.borrow(), Some(Ok(current)) if Arc::ptr_eq(&current.answers, &connection.answers))
    }
}

// === impl Connection ===

impl Connection {
    /// A handle that opens one stream.
    pub(super) fn sender(&self) -> SendRequest<Bytes> {
        self.sender.clone()
    }

    /// The value of `:authority`.
    pub(super) const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Counts a response that has begun.
    pub(super) fn answered(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    /// Responses that have begun on this connection, of any call.
    pub(super) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }
}

/// Resolves the name and connects to the first of its addresses that answers.
async fn connect(
    dialer: &Dialer,
    address: &Address,
    authority: Authority,
    tasks: &Tasks,
) -> Result<Connection, String> {
    let sender =
        dial::connect(dialer, address, |socket, peer, until| shake_hands(socket, peer, until, tasks)).await?;
    Ok(Connection { sender, authority, answers: Arc::default() })
}

/// Begins HTTP/2 and waits for the peer's first sign of life.
async fn shake_hands(
    socket: Stream,
    peer: Peer,
    deadline: Instant,
    tasks: &Tasks,
) -> Result<SendRequest<Bytes>, String> {
    let (sender, mut connection) = before(deadline, "connecting", http2().handshake(socket)).await?;
    let Some(mut pings) = connection.ping_pong() else {
        return Err("the connection cannot ping".to_owned());
    };
    let log_name = peer.clone();
    tasks.spawn("connection", async move {
        match connection.await {
            Ok(()) => tracing::debug!(peer = %log_name, "connection closed"),
            Err(error) => tracing::debug!(peer = %log_name, %error, "connection broke"),
        }
    });
    before(deadline, "waiting for the peer to speak HTTP/2", pings.ping(Ping::opaque())).await?;
    tracing::debug!(%peer, "connected");
    Ok(sender)
}

fn http2() -> h2::client::Builder {
    let mut builder = h2::client::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES)
        .max_header_list_size(HEADER_LIST_BYTES)
        .enable_push(false);
    builder
}

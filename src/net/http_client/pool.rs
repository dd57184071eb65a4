//! The connections of one HTTP client: made when there is no idle one, kept while they are good, closed when they are old.
//!
//! Stage: edge, part of `http_client`. Owns how many there are and how long an idle one lives. The most recently used one
//! goes first, so that those beyond what the load needs grow old.

use std::{
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, sleep_until},
};

use super::{
    error_text,
    meter::{Meter, Metered},
};
use crate::{
    model::settings,
    net::{
        dial::{self, Address, Dialer, Peer, before},
        listen::Stream,
    },
    tasks::Tasks,
};

/// Limit of a response's head, and of what is read ahead of it.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// One connection, used by one request at a time.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) sender: http1::SendRequest<Full<Bytes>>,
    pub(super) meter: Arc<Meter>,
    /// It has carried a request already, so the peer may have closed it meanwhile.
    pub(super) reused: bool,
    idle_since: Instant,
}

/// Makes and keeps connections to one address.
#[derive(Debug)]
pub(super) struct Pool {
    address: Address,
    tasks: Tasks,
    keep_alive: bool,
    idle_timeout: Option<Duration>,
    /// One for each connection that may be busy. An idle one is used before another is made, so this bounds both together.
    places: Option<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

impl Pool {
    pub(super) fn new(address: Address, settings: &settings::HttpClient, tasks: Tasks) -> Self {
        let places = settings.max_connections.map(|max| Semaphore::new(max.min(Semaphore::MAX_PERMITS)));
        Self {
            address,
            tasks,
            keep_alive: settings.keep_alive,
            idle_timeout: settings.idle_timeout,
            places,
            idle: Mutex::default(),
        }
    }

    /// Waits until one more connection may be busy. To be held for as long as it is.
    pub(super) async fn place(&self) -> Option<SemaphorePermit<'_>> {
        // Never closed, so there is a permit whenever there is a semaphore.
        self.places.as_ref()?.acquire().await.ok()
    }

    /// An idle connection that the peer is not known to have closed.
    pub(super) fn take(&self) -> Option<Connection> {
        let mut idle = self.lock();
        let now = Instant::now();
        loop {
            let connection = idle.pop()?;
            let is_old =
                self.idle_timeout.is_some_and(|limit| now.duration_since(connection.idle_since) >= limit);
            if !connection.sender.is_closed() && !is_old {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection whose request has been answered.
    pub(super) fn put(&self, mut connection: Connection) {
        if self.keep_alive && !connection.sender.is_closed() {
            connection.reused = true;
            connection.idle_since = Instant::now();
            self.lock().push(connection);
        }
    }

    /// A new connection; the name is resolved for it.
    ///
    /// # Errors
    ///
    /// A sentence that says why there is none.
    pub(super) async fn connect(self: &Arc<Self>) -> Result<Connection, String> {
        let dialer = Dialer::default();
        dial::connect(&dialer, &self.address, |socket, peer, until| self.shake_hands(socket, peer, until))
            .await
    }

    async fn shake_hands(
        self: &Arc<Self>,
        socket: Stream,
        peer: Peer,
        deadline: Instant,
    ) -> Result<Connection, String> {
        let meter = Arc::<Meter>::default();
        let io = TokioIo::new(Metered { socket, meter: Arc::clone(&meter) });
        let mut builder = http1::Builder::new();
        builder.max_buf_size(READ_BUFFER_BYTES);
        // Writes nothing: HTTP/1.1 has no handshake, so a peer that only the kernel speaks for is noticed later.
        let (sender, connection) = before(deadline, "connecting", builder.handshake(io)).await?;
        tracing::debug!(%peer, "connected");
        let life = Life { pool: Arc::downgrade(self), meter: Arc::clone(&meter), timeout: self.idle_timeout };
        self.tasks.spawn("connection", async move {
            match life.watch(connection).await {
                Ok(()) => tracing::debug!(%peer, "connection closed"),
                Err(error) => tracing::debug!(%peer, error = error_text(&error), "connection broke"),
            }
        });
        Ok(Connection { sender, meter, reused: false, idle_since: Instant::now() })
    }

    /// Drops the connection of `meter` if it has been idle for the limit. Returns when to look again.
    fn expire(&self, meter: &Arc<Meter>, limit: Duration) -> Option<Instant> {
        let mut idle = self.lock();
        let now = Instant::now();
        let found = idle.iter().position(|connection| Arc::ptr_eq(&connection.meter, meter));
        let since = found.and_then(|index| idle.get(index)).map_or(now, |connection| connection.idle_since);
        if let Some(index) = found.filter(|_| now.duration_since(since) >= limit) {
            idle.remove(index);
            return None;
        }
        since.checked_add(limit)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What ends a connection besides its peer and its owner.
struct Life {
    pool: Weak<Pool>,
    meter: Arc<Meter>,
    timeout: Option<Duration>,
}

impl Life {
    /// Drives the connection to its end, and closes it when it has been idle for too long. One timer for a connection,
    /// not for a request: it finds out when it fires whether the connection was used since.
    async fn watch(
        self,
        connection: http1::Connection<TokioIo<Metered>, Full<Bytes>>,
    ) -> Result<(), hyper::Error> {
        let mut connection = pin!(connection);
        let mut next = self.timeout.and_then(|limit| Instant::now().checked_add(limit));
        while let Some(until) = next {
            tokio::select! {
                result = &mut connection => return result,
                () = sleep_until(until) => {}
            }
            next = match (self.pool.upgrade(), self.timeout) {
                (Some(pool), Some(limit)) => pool.expire(&self.meter, limit),
                // Without its client, or dropped just now, the connection ends by itself.
                _ => None,
            };
        }
        connection.await
    }
}

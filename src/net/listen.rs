//! Listening sockets, TCP and Unix: bind, accept, TCP_NODELAY.
//!
//! Stage: edge. Every socket that the gateway listens on is made here, and every connection comes through
//! [`accept`] or [`Listener::accept`]: no other place can forget TCP_NODELAY, without which a small answer waits up to 40 ms for the peer's
//! delayed acknowledgement.

mod local;
mod stream;

#[cfg(test)]
mod tests;

use std::{fmt, future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::net::{TcpListener, TcpStream, lookup_host};

pub use self::{
    local::UnixSocket,
    stream::{Socket, Stream},
};
use crate::{model::settings::Listen, telemetry::logs::LineLimit};

/// Pause after the process ran out of descriptors or the system out of memory for sockets. Long enough not to spin,
/// short against the time that clients wait for a connection.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Of log lines about failing accepts, for the process: descriptors belong to it as a whole.
static LOG_LIMIT: LineLimit = LineLimit::new();

/// Why an address could not be bound. The text names the address, its source the cause.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {endpoint}")]
pub struct BindError {
    /// The address as configured.
    pub endpoint: String,
    /// The cause.
    pub source: io::Error,
}

/// A bound socket of either kind. Closed on drop; the file of a Unix socket is removed then.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix domain socket.
    Unix(UnixSocket),
}

/// Where a socket listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Address and port as bound: never port 0.
    Tcp(SocketAddr),
    /// Path of a Unix domain socket, as configured.
    Unix(Arc<str>),
}

impl Address {
    /// Address and port, if it is TCP.
    pub const fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Unix(path) => write!(formatter, "unix:{path}"),
        }
    }
}

impl Listener {
    /// Binds what is configured, and says where it listens then. See [`bind`], and `local` for the file of a Unix
    /// socket.
    ///
    /// # Errors
    ///
    /// [`BindError`].
    pub async fn bind(listen: &Listen) -> Result<(Self, Address), BindError> {
        let (Listen::Tcp(endpoint) | Listen::Unix(endpoint)) = listen;
        let bound = match listen {
            Listen::Tcp(endpoint) => bind_first(endpoint).await.and_then(|listener| {
                let address = listener.local_addr()?;
                Ok((Self::Tcp(listener), Address::Tcp(address)))
            }),
            Listen::Unix(path) => UnixSocket::bind(path)
                .await
                .map(|socket| (Self::Unix(socket), Address::Unix(Arc::clone(path)))),
        };
        bound.map_err(|source| BindError { endpoint: endpoint.to_string(), source })
    }

    /// Accepts one connection, as [`accept`] does. The address of the peer is there for TCP only.
    pub async fn accept(&self) -> (Stream, Option<SocketAddr>) {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = accept(listener).await;
                (Stream::Tcp(stream), Some(peer))
            }
            Self::Unix(socket) => {
                let (stream, _) = accept_from(|| socket.listener.accept()).await;
                (Stream::Unix(stream), None)
            }
        }
    }
}

/// Resolves and binds `host:port`; port 0 asks for a free one.
///
/// One socket, as Go's `net.Listen` makes it: of several addresses of a name, IPv4 ones are tried first (so that
/// `localhost` is 127.0.0.1 wherever `/etc/hosts` puts `::1`); without a host (`:4317`) it is every address of the
/// machine, IPv6 and IPv4.
///
/// # Errors
///
/// [`BindError`] if the name does not resolve or no address of it can be bound.
pub async fn bind(endpoint: &str) -> Result<TcpListener, BindError> {
    bind_first(endpoint).await.map_err(|source| BindError { endpoint: endpoint.to_owned(), source })
}

async fn bind_first(endpoint: &str) -> io::Result<TcpListener> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses(endpoint).await? {
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok(listener),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// The addresses to try, in order.
async fn addresses(endpoint: &str) -> io::Result<Vec<SocketAddr>> {
    if let Some(port) = endpoint.strip_prefix(':') {
        let mut addresses: Vec<_> = lookup_host(format!("[::]:{port}")).await?.collect();
        addresses.extend(lookup_host(format!("0.0.0.0:{port}")).await?);
        return Ok(addresses);
    }
    let mut addresses: Vec<_> = lookup_host(endpoint).await?.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    Ok(addresses)
}

/// Accepts one connection and turns off Nagle's algorithm on it.
///
/// Errors of a single connection are passed over. When the process has no descriptors left it waits a tenth of a
/// second before it tries again: the connection stays in the backlog meanwhile, so trying at once would only spin.
/// Cancel-safe.
pub async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    accept_from(async || {
        let (stream, peer) = listener.accept().await?;
        stream.set_nodelay(true)?;
        Ok((stream, peer))
    })
    .await
}

/// [`accept`] over any source of connections.
async fn accept_from<T, F: Future<Output = io::Result<T>>>(mut next: impl FnMut() -> F) -> T {
    loop {
        match next().await {
            Ok(accepted) => return accepted,
            Err(error) if is_of_one_connection(&error) => {
                tracing::debug!(%error, "a connection ended before it was accepted");
            }
            Err(error) => {
                if LOG_LIMIT.allow().is_some() {
                    tracing::warn!(%error, "cannot accept connections, trying again");
                }
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

/// Whether the next connection may well be accepted at once.
///
/// On Linux, accept also hands out errors that happened on the new connection already (accept(2), "Error handling").
/// Everything else is treated as exhaustion, of which EMFILE, ENFILE, ENOBUFS and ENOMEM are the known kinds: a pause
/// too many does no harm, an endless loop does.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::NotConnected
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::TimedOut
            | io::ErrorKind::Interrupted
            // What setting an option of a connection that the peer has reset gives.
            | io::ErrorKind::InvalidInput
    )
}

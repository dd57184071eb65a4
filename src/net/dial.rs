//! Connecting, TCP and Unix: names resolved each time, every address in turn, TCP_NODELAY.
//!
//! Stage: edge, used by both clients. Owns the limit of one attempt and how it is shared between the addresses of a name.
//! What makes a socket a connection (a handshake, a proof of life) is the caller's.

use std::{fmt, future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpStream, UnixStream, lookup_host},
    time::{Instant, timeout_at},
};

use super::listen::Stream;

/// Limit of one attempt, from resolving to the end of the handshake. Source: grpc-go's minimum connect timeout
/// (`dialoptions.go`, 1.83).
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Where to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// `host:port`.
    Tcp(Arc<str>),
    /// The absolute path of a Unix domain socket.
    Unix(Arc<str>),
}

/// Who was connected to: an address out of those of a name, or a path.
#[derive(Clone, Debug)]
pub(super) enum Peer {
    Tcp(SocketAddr),
    Unix(Arc<str>),
}

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Unix(path) => write!(formatter, "unix:{path}"),
        }
    }
}

/// Connects to the first address that can be connected to and shaken hands with. `handshake` gets the socket, its peer and
/// the instant until which it may take.
///
/// # Errors
///
/// A sentence that names the address and what went wrong, of the last address that was tried.
pub(super) async fn connect<T, F>(
    address: &Address,
    handshake: impl Fn(Stream, Peer, Instant) -> F,
) -> Result<T, String>
where
    F: Future<Output = Result<T, String>>,
{
    let deadline = Instant::now() + CONNECT_TIMEOUT;
    let peers = peers(address, deadline).await?;
    let mut failed = format!("cannot resolve {address}: the name has no address");
    let mut left = u32::try_from(peers.len()).unwrap_or(u32::MAX);
    for peer in peers {
        // An address that does not answer leaves time for those behind it.
        let now = Instant::now();
        let until = now + deadline.saturating_duration_since(now) / left.max(1);
        left = left.saturating_sub(1);
        let connection = async {
            let socket = before(until, "connecting", open(&peer)).await?;
            handshake(socket, peer.clone(), until).await
        };
        match connection.await {
            Ok(connection) => return Ok(connection),
            Err(error) => failed = format!("cannot connect to {peer}: {error}"),
        }
    }
    Err(failed)
}

/// Waits for `step` until the deadline; the error says what was being done.
///
/// # Errors
///
/// The error of the step, or that it timed out.
pub(super) async fn before<T, E: fmt::Display>(
    deadline: Instant,
    doing: &str,
    step: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    match timeout_at(deadline, step).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err(format!("timed out {doing}")),
    }
}

async fn peers(address: &Address, deadline: Instant) -> Result<Vec<Peer>, String> {
    match address {
        Address::Unix(path) => Ok(vec![Peer::Unix(Arc::clone(path))]),
        Address::Tcp(name) => {
            let resolved = before(deadline, "resolving the name", lookup_host(&**name)).await;
            let resolved = resolved.map_err(|error| format!("cannot resolve {name}: {error}"))?;
            Ok(resolved.map(Peer::Tcp).collect())
        }
    }
}

/// Opens a socket. A TCP one without Nagle's algorithm: messages are written whole, waiting for more only costs time.
async fn open(peer: &Peer) -> io::Result<Stream> {
    match peer {
        Peer::Tcp(address) => {
            let socket = TcpStream::connect(address).await?;
            socket.set_nodelay(true)?;
            Ok(Stream::Tcp(socket))
        }
        Peer::Unix(path) => UnixStream::connect(&**path).await.map(Stream::Unix),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(name) => formatter.write_str(name),
            Self::Unix(path) => write!(formatter, "unix:{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Scenario: a TCP connection is opened.
    // Guarantees: Nagle's algorithm is off, so that no small message waits for an acknowledgement.
    #[tokio::test]
    async fn sockets_have_nodelay() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        match open(&Peer::Tcp(listener.local_addr().unwrap())).await.unwrap() {
            Stream::Tcp(socket) => assert!(socket.nodelay().unwrap()),
            Stream::Unix(_) => panic!("not a TCP socket"),
        }
    }

    // Scenario: a handshake fails, another one works.
    // Guarantees: the error names the address and the cause; the time for a handshake is bounded; the peer is the address.
    #[tokio::test]
    async fn a_handshake_makes_the_connection() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap().to_string().into());
        let failed = connect(&address, |_, _, until| async move {
            assert!(until <= Instant::now() + CONNECT_TIMEOUT);
            Err::<(), _>("no hands".to_owned())
        });
        let error = failed.await.unwrap_err();
        assert_eq!(error, format!("cannot connect to {}: no hands", listener.local_addr().unwrap()));
        let named = connect(&address, async |_, peer: Peer, _| Ok(peer.to_string())).await;
        assert_eq!(named, Ok(listener.local_addr().unwrap().to_string()));
    }
}

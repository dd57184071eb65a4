//! Connecting, TCP and Unix: names resolved each time, every address in turn, TCP_NODELAY.
//!
//! Stage: edge, used by both clients. Owns the limit of one attempt and how it is shared between the addresses of a name.
//! What makes a socket a connection (a handshake, a proof of life) is the caller's. Where TCP connections come from can be
//! replaced as a whole ([`Dialer`]), so that a simulated network carries the real client.

use std::{fmt, future::Future, io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use tokio::{
    net::{TcpStream, UnixStream, lookup_host},
    time::{Instant, timeout_at},
};

use super::listen::Stream;

/// Limit of one attempt, from resolving to the end of the handshake. Source: grpc-go's minimum connect timeout
/// (`dialoptions.go`, 1.83).
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Where TCP connections come from: this machine's network, unless a [`Dial`] stands in for it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Dialer {
    dial: Option<Arc<dyn Dial>>,
}

/// A network other than this machine's.
pub trait Dial: fmt::Debug + Send + Sync {
    /// Opens one connection. The caller bounds the time; dropping the future ends the attempt.
    ///
    /// # Errors
    ///
    /// What `TcpStream::connect` has for it.
    fn dial(&self, peer: SocketAddr) -> Pin<Box<dyn Future<Output = io::Result<Stream>> + Send + '_>>;
}

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

// === impl Dialer ===

impl Dialer {
    /// Opens every TCP connection through `dial`. Names are resolved, and Unix sockets opened, as always.
    pub fn through(dial: Arc<dyn Dial>) -> Self {
        Self { dial: Some(dial) }
    }

    /// Opens a socket. A TCP one without Nagle's algorithm: messages are written whole, waiting for more only costs time.
    async fn open(&self, peer: &Peer) -> io::Result<Stream> {
        match (peer, &self.dial) {
            (Peer::Tcp(address), None) => {
                let socket = TcpStream::connect(address).await?;
                socket.set_nodelay(true)?;
                Ok(Stream::Tcp(socket))
            }
            (Peer::Tcp(address), Some(dial)) => dial.dial(*address).await,
            (Peer::Unix(path), _) => UnixStream::connect(&**path).await.map(Stream::Unix),
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
    dialer: &Dialer,
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
            let socket = before(until, "connecting", dialer.open(&peer)).await?;
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
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    // Scenario: a TCP connection is opened.
    // Guarantees: Nagle's algorithm is off, so that no small message waits for an acknowledgement.
    #[tokio::test]
    async fn sockets_have_nodelay() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        match Dialer::default().open(&Peer::Tcp(listener.local_addr().unwrap())).await.unwrap() {
            Stream::Tcp(socket) => assert!(socket.nodelay().unwrap()),
            other => panic!("not a TCP socket: {other:?}"),
        }
    }

    // Scenario: a handshake fails, another one works.
    // Guarantees: the error names the address and the cause; the time for a handshake is bounded; the peer is the address.
    #[tokio::test]
    async fn a_handshake_makes_the_connection() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap().to_string().into());
        let dialer = Dialer::default();
        let failed = connect(&dialer, &address, |_, _, until| async move {
            assert!(until <= Instant::now() + CONNECT_TIMEOUT);
            Err::<(), _>("no hands".to_owned())
        });
        let error = failed.await.unwrap_err();
        assert_eq!(error, format!("cannot connect to {}: no hands", listener.local_addr().unwrap()));
        let named = connect(&dialer, &address, async |_, peer: Peer, _| Ok(peer.to_string())).await;
        assert_eq!(named, Ok(listener.local_addr().unwrap().to_string()));
    }

    /// A network with one peer, who says "hi" and hangs up.
    #[derive(Debug)]
    struct Alone(SocketAddr);

    impl Dial for Alone {
        fn dial(&self, peer: SocketAddr) -> Pin<Box<dyn Future<Output = io::Result<Stream>> + Send + '_>> {
            Box::pin(async move {
                if peer != self.0 {
                    return Err(io::ErrorKind::ConnectionRefused.into());
                }
                Ok(Stream::Foreign(Box::new(peer_that_said(b"hi").await)))
            })
        }
    }

    /// Our end of a pipe whose other end has written `words` and is closed.
    async fn peer_that_said(words: &[u8]) -> tokio::io::DuplexStream {
        let (ours, mut theirs) = tokio::io::duplex(64);
        theirs.write_all(words).await.unwrap();
        ours
    }

    // Scenario: another network in place of this machine's; an address that is there and one that is not.
    // Guarantees: sockets come from it alone, and so do its errors.
    #[tokio::test]
    async fn another_network_is_dialled() {
        let there: SocketAddr = "192.0.2.1:1".parse().unwrap();
        let dialer = Dialer::through(Arc::new(Alone(there)));
        let [known, unknown] = ["192.0.2.1:1", "192.0.2.2:1"].map(|name| Address::Tcp(name.into()));
        let heard = connect(&dialer, &known, async |mut socket, _, _| {
            let mut heard = String::new();
            socket.read_to_string(&mut heard).await.map_err(|error| error.to_string())?;
            Ok(heard)
        });
        assert_eq!(heard.await.as_deref(), Ok("hi"));
        let refused = connect(&dialer, &unknown, async |_, _, _| Ok(()));
        assert_eq!(refused.await, Err("cannot connect to 192.0.2.2:1: connection refused".to_owned()));
    }
}

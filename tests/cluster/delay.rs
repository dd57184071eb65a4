//! A wire to the API server on which everything takes its time.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// Passes connections on to a server; what the server says arrives later.
#[derive(Debug)]
pub(crate) struct Delay {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    _wires: JoinSet<()>,
}

impl Delay {
    /// Starts on a port of 127.0.0.1, for which the API server's certificate is good too.
    ///
    /// # Errors
    ///
    /// When there is no port.
    pub(crate) async fn start(server: SocketAddr, by: Duration) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mut wires = JoinSet::new();
        wires.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(async move {
                    // A wire that ends is a connection that ends.
                    if let Ok(server) = TcpStream::connect(server).await {
                        let ((from_client, to_client), (from_server, to_server)) =
                            (client.into_split(), server.into_split());
                        tokio::join!(
                            pass(from_client, to_server, Duration::ZERO),
                            pass(from_server, to_client, by)
                        );
                    }
                });
            }
        });
        Ok(Self { address, _wires: wires })
    }
}

/// Passes on what comes, each piece later by the same time.
async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, by: Duration) {
    let (sender, mut pieces) = mpsc::channel::<(Instant, Vec<u8>)>(1024);
    let reads = async move {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            if sender.send((Instant::now() + by, buffer[..read].to_vec())).await.is_err() {
                break;
            }
        }
    };
    let writes = async move {
        while let Some((due, piece)) = pieces.recv().await {
            sleep_until(due).await;
            if to.write_all(&piece).await.is_err() {
                break;
            }
        }
    };
    tokio::join!(reads, writes);
}

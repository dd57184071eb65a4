//! The life of one connection, whatever it speaks: served until the stop or its age, drained, cut.
//!
//! Stage: receiver. Assumes that hyper ends a connection by itself once a graceful shutdown was asked for and the
//! requests in flight are answered.

use std::{net::IpAddr, pin::Pin, time::Duration};

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio_util::sync::CancellationToken;

use super::ageing::{Ageing, Due};
use crate::tasks::Tasks;

/// How long a closed connection is read on, so that the last answer reaches a client that is still sending: closing
/// a socket with unread bytes makes the kernel send a reset, which can overtake the answer.
///
/// Source: Go `net/http/server.go`, `rstAvoidanceDelay`.
const LINGER: Duration = Duration::from_millis(500);

/// What ends a connection, and the group that its tasks belong to.
#[derive(Clone, Debug)]
pub(super) struct Life {
    /// No new requests; those in flight finish.
    pub(super) stop: CancellationToken,
    /// Nothing is waited for any more.
    pub(super) cut: CancellationToken,
    /// Connections and the requests on them.
    pub(super) tasks: Tasks,
    /// Who is at the other end, over TCP.
    pub(super) client: Option<IpAddr>,
}

/// How the end of a connection began.
enum End {
    /// By itself: the peer closed it, or something failed.
    Itself(hyper::Result<()>),
    /// The peer is told; its requests may take this long still, if there is a limit.
    Asked(Option<Duration>),
}

/// A connection that can be told to take no more requests.
pub(super) trait Graceful: Future<Output = hyper::Result<()>> + Unpin {
    /// Announces the end to the peer (GOAWAY, `Connection: close`); the future then ends after the last answer.
    fn graceful_shutdown(self: Pin<&mut Self>);
}

impl<I, S> Graceful for hyper::server::conn::http1::Connection<I, S>
where
    Self: Future<Output = hyper::Result<()>> + Unpin,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    S: hyper::service::HttpService<hyper::body::Incoming>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::ResBody: http_body::Body + 'static,
    <S::ResBody as http_body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn graceful_shutdown(self: Pin<&mut Self>) {
        Self::graceful_shutdown(self);
    }
}

impl<I, S, B> Graceful for hyper::server::conn::http2::Connection<I, S, Tasks>
where
    Self: Future<Output = hyper::Result<()>> + Unpin,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    S: hyper::service::HttpService<hyper::body::Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: http_body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    Tasks: hyper::rt::bounds::Http2ServerConnExec<S::Future, B>,
{
    fn graceful_shutdown(self: Pin<&mut Self>) {
        Self::graceful_shutdown(self);
    }
}

impl Life {
    pub(super) fn new(stop: CancellationToken, tasks: Tasks) -> Self {
        Self { stop, cut: CancellationToken::new(), tasks, client: None }
    }

    /// The same life with a stop of the connection's own. Waiting for a token takes its lock at every poll; with one
    /// token for all, each wake-up of any connection would meet at that lock.
    pub(super) fn for_connection(&self, client: Option<IpAddr>) -> Self {
        Self { stop: self.stop.child_token(), cut: self.cut.clone(), tasks: self.tasks.clone(), client }
    }
}

/// Runs a connection to its end. `false`: it was cut.
pub(super) async fn run(connection: &mut impl Graceful, life: &Life, ageing: &Ageing) -> bool {
    let end = tokio::select! {
        // The connection first: it is what a wake-up is nearly always for.
        biased;
        ended = &mut *connection => End::Itself(ended),
        () = life.stop.cancelled() => End::Asked(None),
        due = ageing.due() => {
            tracing::debug!(?due, "connection is to end");
            End::Asked(match due {
                Due::Idle => None,
                Due::Old(grace) => grace,
            })
        }
    };
    let ended = match end {
        End::Itself(ended) => ended,
        End::Asked(grace) => {
            Pin::new(&mut *connection).graceful_shutdown();
            tokio::select! {
                biased;
                ended = &mut *connection => ended,
                () = life.cut.cancelled() => return false,
                () = passed(grace) => return false,
            }
        }
    };
    // A client that breaks the protocol or goes away is its own business; at debug level one can watch it.
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
    true
}

async fn passed(grace: Option<Duration>) {
    match grace {
        Some(grace) => tokio::time::sleep(grace).await,
        None => std::future::pending().await,
    }
}

/// Reads and discards what a client still sends, until it closes or [`LINGER`] has passed.
///
/// Assumes that the writing side is shut down.
pub(super) async fn linger(mut io: impl AsyncRead + Unpin, life: &Life) {
    let discard = async {
        let mut scratch = [0; 8 * 1024];
        while matches!(io.read(&mut scratch).await, Ok(1..)) {}
    };
    tokio::select! {
        () = discard => {}
        () = tokio::time::sleep(LINGER) => {}
        () = life.cut.cancelled() => {}
    }
}

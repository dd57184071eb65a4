//! A socket that counts what it has taken of the current request, and can be told to take no more.
//!
//! Stage: edge, part of `http_client`. HTTP/1.1 does not say what became of a request whose answer never came. But a peer
//! that was given less than the whole of it cannot have processed it (RFC 9112, 8: the message is incomplete), and how
//! much it was given at most is what the kernel took. Stopping and counting are one step under one lock, so that nothing is
//! written behind the answer.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::listen::Stream;

/// Shared between a connection's socket and whoever sends on it.
#[derive(Debug, Default)]
pub(super) struct Meter(Mutex<Count>);

#[derive(Debug, Default)]
struct Count {
    written: usize,
    stopped: bool,
}

impl Meter {
    /// A request begins.
    pub(super) fn start(&self) {
        self.lock().written = 0;
    }

    /// Bytes of the current request that the kernel took, headers included.
    pub(super) fn written(&self) -> usize {
        self.lock().written
    }

    /// Lets the socket take nothing more, and says what it took of the current request.
    pub(super) fn stop(&self) -> usize {
        let mut count = self.lock();
        count.stopped = true;
        count.written
    }

    /// One write, unless it is too late.
    fn write(&self, write: impl FnOnce() -> Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        // Held during a system call that does not block.
        let mut count = self.lock();
        if count.stopped {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let result = write();
        if let Poll::Ready(Ok(written)) = &result {
            count.written = count.written.saturating_add(*written);
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, Count> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket with its meter.
#[derive(Debug)]
pub(super) struct Metered {
    pub(super) socket: Stream,
    pub(super) meter: Arc<Meter>,
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for Metered {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Self { socket, meter } = self.get_mut();
        meter.write(|| Pin::new(socket).poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { socket, meter } = self.get_mut();
        meter.write(|| Pin::new(socket).poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

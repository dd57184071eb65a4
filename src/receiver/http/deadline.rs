//! How long a client may be silent between requests, and take for the head of one.
//!
//! Stage: receiver, part of HTTP. hyper has one timer for both, which would close idle connections at the time limit of
//! a head; here the socket itself ends a read that waits too long, in one of two phases. While a request is served
//! nothing is limited here: its body has a limit of its own, and the answer is the router's.
//!
//! The phases and Go's names for them (`net/http`, `Server`): from an answer, or from the connection's start, to the
//! first byte of the next request (IdleTimeout); from there until the head is read (ReadHeaderTimeout).

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

/// The limits of a listener's connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadlines {
    /// From one request to the next.
    pub(super) idle: Duration,
    /// From the first byte of a request to the end of its head.
    pub(super) head: Duration,
}

/// What a connection is doing, shared by its socket and its service. Clones share it.
///
/// The two low bits are the phase, the others count the changes: a timer that was set for another visit to the same
/// phase can be told.
#[derive(Clone, Debug)]
pub(super) struct Phase(Arc<AtomicU64>);

const IDLE: u64 = 0;
const HEAD: u64 = 1;
const BUSY: u64 = 2;
const PHASE_MASK: u64 = 0b11;
const STEP: u64 = 0b100;

/// A request is being served as long as this lives.
#[derive(Debug)]
pub(super) struct Busy<'a>(&'a Phase);

/// A socket whose reads fail at a deadline.
#[derive(Debug)]
pub(super) struct Timed<S> {
    inner: S,
    phase: Phase,
    deadlines: Deadlines,
    /// Made at the first wait; the state that it was set for.
    timer: Option<(Pin<Box<Sleep>>, u64)>,
}

// === impl Phase ===

impl Phase {
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(IDLE)))
    }

    /// The head of a request has been read.
    pub(super) fn busy(&self) -> Busy<'_> {
        self.enter(BUSY);
        Busy(self)
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    // One task reads and serves a connection, so that nothing comes between the load and the store.
    fn enter(&self, phase: u64) {
        self.0.store((self.get() & !PHASE_MASK).wrapping_add(STEP) | phase, Ordering::Relaxed);
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.enter(IDLE);
    }
}

// === impl Timed ===

impl<S> Timed<S> {
    pub(super) fn new(inner: S, phase: Phase, deadlines: Deadlines) -> Self {
        Self { inner, phase, deadlines, timer: None }
    }

    pub(super) fn into_inner(self) -> S {
        self.inner
    }

    /// Ready when the current phase has lasted too long.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let state = self.phase.get();
        let limit = match state & PHASE_MASK {
            IDLE => self.deadlines.idle,
            HEAD => self.deadlines.head,
            _ => return Poll::Pending,
        };
        let (timer, set_for) = self.timer.get_or_insert_with(|| (Box::pin(tokio::time::sleep(limit)), state));
        if *set_for != state {
            let now = Instant::now();
            // A limit that the clock cannot hold is none.
            if let Some(deadline) = now.checked_add(limit) {
                timer.as_mut().reset(deadline);
            }
            *set_for = state;
        }
        timer.as_mut().poll(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut this.inner).poll_read(context, buffer) {
            Poll::Ready(read) => {
                if buffer.filled().len() > before && this.phase.get() & PHASE_MASK == IDLE {
                    this.phase.enter(HEAD);
                }
                Poll::Ready(read)
            }
            Poll::Pending => this.poll_deadline(context).map(|()| Err(io::ErrorKind::TimedOut.into())),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(context, slices)
    }
}

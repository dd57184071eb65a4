//! A request body into one contiguous buffer, bounded in size and in silence.
//!
//! Stage: receiver. Sizes are checked before a buffer is reserved for them, and a buffer grows with what arrives,
//! not with what was promised: a client that declares 4 MiB and sends nothing holds at most
//! [`RESERVED_AT_FIRST_BYTES`], what it could park in the HTTP/2 window of its stream anyway. What has arrived is covered by a
//! permit of the memory budget (`memory`).

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf as _, Bytes, BytesMut};
use http_body::Body;
use tokio::time::{Instant, Sleep};

use super::memory::Growing;
use crate::{
    admission::{Account, Full},
    net::grpc::{PREFIX_LEN, Prefix},
};

/// The longest silence of a client in the middle of a body, up to twice that (see [`Chunks`]). The Collector has no
/// such limit; without one, a peer that vanished would hold its buffer until TCP gives up.
pub(super) const SILENCE_LIMIT: Duration = Duration::from_secs(30);

/// Reserved for a body before its bytes arrive, whatever length was declared: one HTTP/2 stream window.
const RESERVED_AT_FIRST_BYTES: usize = 1024 * 1024;

/// Why a body could not be read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// No byte came for too long.
    Silent,
    /// The connection or the stream ended, or its framing is wrong.
    Broken(String),
}

/// Why a body is not the one message of a unary call.
#[derive(Debug)]
pub(super) enum MessageError {
    /// The body could not be read.
    Read(ReadError),
    /// The body ended before the prefix did.
    Missing,
    /// The body ended inside the message.
    Truncated,
    /// The flag byte of the prefix is neither 0 nor 1.
    Flag(u8),
    /// The declared length is above the limit; nothing was reserved.
    TooLarge(u32),
    /// Bytes follow the message.
    MoreThanOne,
    /// The memory budget has no room for it.
    NoRoom(Full),
}

/// Why a body without framing could not be taken.
#[derive(Debug)]
pub(super) enum CollectError {
    /// The body could not be read.
    Read(ReadError),
    /// The declared or the received length is above the limit.
    TooLarge,
    /// The memory budget has no room for it.
    NoRoom(Full),
}

/// Why a chunk was not appended.
#[derive(Debug, PartialEq, Eq)]
enum Excess {
    /// It goes beyond the expected length.
    Long,
    /// The memory budget has no room for it.
    NoRoom(Full),
}

/// One gRPC message without its prefix.
#[derive(Debug)]
pub(super) struct Message {
    /// Whether it is compressed as the call's `grpc-encoding` says.
    pub(super) compressed: bool,
    /// The message.
    pub(super) bytes: Bytes,
}

/// The data of a body, chunk by chunk, each awaited for a limited time.
///
/// One timer serves the whole body and is read only when the body has to wait: it fires after [`SILENCE_LIMIT`] and
/// is set again if something came in between, so that a silence ends after one to two limits and a chunk costs no
/// clock reading.
pub(super) struct Chunks<B> {
    body: B,
    timer: Option<Pin<Box<Sleep>>>,
    heard: bool,
}

/// A buffer that grows with its content up to a declared length.
struct Contiguous {
    bytes: Vec<u8>,
    /// The length that was declared, or the limit if none was.
    expected: usize,
    room: Growing,
}

impl From<Excess> for MessageError {
    fn from(excess: Excess) -> Self {
        match excess {
            Excess::Long => Self::MoreThanOne,
            Excess::NoRoom(full) => Self::NoRoom(full),
        }
    }
}

impl From<Excess> for CollectError {
    fn from(excess: Excess) -> Self {
        match excess {
            Excess::Long => Self::TooLarge,
            Excess::NoRoom(full) => Self::NoRoom(full),
        }
    }
}

// === impl Chunks ===

impl<B> Chunks<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error,
{
    pub(super) fn new(body: B) -> Self {
        Self { body, timer: None, heard: false }
    }

    /// The next chunk, never an empty one; `None` at the end. Trailers are skipped.
    async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        loop {
            let frame = std::future::poll_fn(|context| self.poll_frame(context)).await;
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(error),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => return Ok(Some(data)),
                    _ => {}
                },
            }
        }
    }

    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, ReadError>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                self.heard = true;
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(ReadError::Broken(with_cause(&error))))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => self.poll_silence(context).map(|()| Some(Err(ReadError::Silent))),
        }
    }

    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(SILENCE_LIMIT)));
        while timer.as_mut().poll(context).is_ready() {
            if !std::mem::take(&mut self.heard) {
                return Poll::Ready(());
            }
            // A day in the future cannot overflow the clock; if it did, the silence would end at once.
            let now = Instant::now();
            timer.as_mut().reset(now.checked_add(SILENCE_LIMIT).unwrap_or(now));
        }
        Poll::Pending
    }
}

/// An error with its first cause: hyper's own text only says that reading failed.
fn with_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

// === impl Contiguous ===

impl Contiguous {
    /// A buffer for a declared length.
    fn new(account: &Account, length: usize) -> Result<Self, Full> {
        // Before the memory is asked for.
        let room = Growing::declared(account, length)?;
        Ok(Self { bytes: Vec::with_capacity(length.min(RESERVED_AT_FIRST_BYTES)), expected: length, room })
    }

    /// A buffer for what may come, up to a limit.
    fn up_to(account: &Account, limit: usize) -> Result<Self, Full> {
        Ok(Self { bytes: Vec::new(), expected: limit, room: Growing::up_to(account, limit)? })
    }

    /// Appends a chunk, or nothing of it.
    fn push(&mut self, chunk: &[u8]) -> Result<(), Excess> {
        let needed = self.bytes.len().saturating_add(chunk.len());
        if needed > self.expected {
            return Err(Excess::Long);
        }
        self.room.cover(needed).map_err(Excess::NoRoom)?;
        if needed > self.bytes.capacity() {
            // Doubling keeps the copying linear; the expected length keeps it from overshooting.
            let target = self.bytes.capacity().saturating_mul(2).min(self.expected).max(needed);
            self.bytes.reserve_exact(target.saturating_sub(self.bytes.len()));
        }
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }

    fn finish(self) -> Bytes {
        self.room.finish(self.bytes)
    }
}

/// Reads the one message of a unary call, to the end of the stream.
///
/// `limit_bytes` holds for the message as it arrives, without prefix. A declared length is checked before anything
/// is reserved. Bytes behind the message are an error, so the end of the stream is waited for: grpc-go would ignore
/// a second message, which here would be data that was sent, answered with success and lost.
///
/// The message has a permit of `account` until its last reference is gone.
pub(super) async fn message<B>(
    chunks: &mut Chunks<B>,
    limit_bytes: usize,
    account: &Account,
) -> Result<Message, MessageError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error,
{
    let (head, rest) = prefix(chunks).await?;
    let prefix = Prefix::parse(head).map_err(MessageError::Flag)?;
    let length = usize::try_from(prefix.len)
        .ok()
        .filter(|length| *length <= limit_bytes)
        .ok_or(MessageError::TooLarge(prefix.len))?;

    let mut message = Contiguous::new(account, length).map_err(MessageError::NoRoom)?;
    message.push(&rest)?;
    drop(rest);
    while let Some(chunk) = chunks.next().await.map_err(MessageError::Read)? {
        message.push(&chunk)?;
    }
    if message.bytes.len() < length {
        return Err(MessageError::Truncated);
    }
    Ok(Message { compressed: prefix.compressed, bytes: message.finish() })
}

/// The prefix, and what came with it.
async fn prefix<B>(chunks: &mut Chunks<B>) -> Result<([u8; PREFIX_LEN], Bytes), MessageError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error,
{
    let mut start = chunks.next().await.map_err(MessageError::Read)?.ok_or(MessageError::Missing)?;
    while start.len() < PREFIX_LEN {
        // A prefix in pieces is legal and rare: joined by copying.
        let next = chunks.next().await.map_err(MessageError::Read)?.ok_or(MessageError::Missing)?;
        let mut joined = BytesMut::with_capacity(start.len().saturating_add(next.len()));
        joined.extend_from_slice(&start);
        joined.extend_from_slice(&next);
        start = joined.freeze();
    }
    let mut head = [0; PREFIX_LEN];
    start.try_copy_to_slice(&mut head).map_err(|_| MessageError::Missing)?;
    Ok((head, start))
}

/// Reads a body without framing.
///
/// `declared` is its Content-Length: above the limit, nothing is read. A body without one (chunked) is bounded while
/// it is read. The body has a permit of `account` until its last reference is gone.
pub(super) async fn collect<B>(
    chunks: &mut Chunks<B>,
    declared: Option<u64>,
    limit_bytes: usize,
    account: &Account,
) -> Result<Bytes, CollectError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error,
{
    let mut body = match declared {
        // hyper ends the body at the declared length, so the limit is only reached without one.
        Some(length) => match usize::try_from(length) {
            Ok(length) if length <= limit_bytes => Contiguous::new(account, length),
            _ => return Err(CollectError::TooLarge),
        },
        None => Contiguous::up_to(account, limit_bytes),
    }
    .map_err(CollectError::NoRoom)?;
    while let Some(chunk) = chunks.next().await.map_err(CollectError::Read)? {
        body.push(&chunk)?;
    }
    Ok(body.finish())
}

#[cfg(test)]
mod tests;

//! What bodies take of the memory budget: a permit beside every buffer.
//!
//! Stage: receiver. All receivers share one account of the budget, so that bodies that are being read never take the room of what
//! is queued for a backend, nor the other way round.
//!
//! A permit follows what has *arrived*, not what was declared: a client that declares much and sends little holds little.
//! Room for a declared length is looked for before anything is read, so that most bodies without room are refused at once.
//! A body without room in the middle is refused, it does not wait: bodies that wait for each other's room would all fail later.
//!
//! A permit ends when the last reference to its bytes does. Where the router copies parts into the queues of backends,
//! which have permits of their own, that is when the request has been dispatched, even if its client waits for the delivery.
//!
//! **Not covered:** what the kernel and HTTP hold of a connection before it is read (windows, see `grpc`); the part of a new
//! buffer that nothing has arrived for (see `body`; never touched, so as a rule not resident either); and what decompression
//! and conversion of JSON write, before its size is known: one body of at most the limit for each worker thread, since neither
//! waits in between.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use bytes::Bytes;

use crate::admission::{Account, Full, Permit};

/// What a body holds at first, and the smallest step by which that grows. Most bodies need one permit; a client that
/// sends a byte now and then holds this much for each request.
pub(super) const STEP_BYTES: usize = 64 * 1024;

/// The permit of a buffer that grows.
#[derive(Debug)]
pub(super) struct Growing {
    permit: Permit,
    /// More than this never arrives.
    expected: usize,
}

/// A buffer with what covers it.
struct Covered {
    bytes: Vec<u8>,
    _permit: Permit,
}

impl AsRef<[u8]> for Covered {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Growing {
    /// Room for a body of a declared length.
    ///
    /// # Errors
    ///
    /// [`Full`]: the whole would not have room now, though it is not reserved.
    pub(super) fn declared(account: &Account, length: usize) -> Result<Self, Full> {
        if length > STEP_BYTES {
            account.admits(length)?;
        }
        Self::up_to(account, length)
    }

    /// Room for a body that may become as long as `limit`.
    ///
    /// # Errors
    ///
    /// [`Full`].
    pub(super) fn up_to(account: &Account, limit: usize) -> Result<Self, Full> {
        Ok(Self { permit: account.take(limit.min(STEP_BYTES))?, expected: limit })
    }

    /// Covers `length` bytes, at most what was expected.
    ///
    /// # Errors
    ///
    /// [`Full`].
    pub(super) fn cover(&mut self, length: usize) -> Result<(), Full> {
        let held = self.permit.bytes();
        if length <= held {
            return Ok(());
        }
        // Doubling keeps the number of steps small. Where there is no room for that, there may be for what is needed.
        let target = held.saturating_mul(2).min(self.expected).max(length);
        self.permit
            .grow_by(target.saturating_sub(held))
            .or_else(|_| self.permit.grow_by(length.saturating_sub(held)))
    }

    /// The body: it gives back what it does not need, and the rest when its last reference is gone.
    pub(super) fn finish(mut self, mut bytes: Vec<u8>) -> Bytes {
        // A buffer without a declared length may be up to twice as large as its content.
        if bytes.capacity().saturating_sub(bytes.len()) > bytes.len() / 4 {
            bytes.shrink_to_fit();
        }
        if self.permit.bytes() > bytes.len() {
            self.permit.shrink_to(bytes.len());
        }
        Bytes::from_owner(Covered { bytes, _permit: self.permit })
    }

    #[cfg(test)]
    pub(super) const fn held(&self) -> usize {
        self.permit.bytes()
    }
}

/// Covers what was made of another body. The other one is still covered, so both count until it is dropped.
///
/// # Errors
///
/// [`Full`].
pub(super) fn cover(account: &Account, bytes: Vec<u8>) -> Result<Bytes, Full> {
    let permit = account.take(bytes.len())?;
    Ok(Bytes::from_owner(Covered { bytes, _permit: permit }))
}

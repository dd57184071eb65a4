//! Batch buffers that are used again.
//!
//! Stage: backend. A batch of some hundred kilobytes is made and dropped thousands of times a second; a fresh
//! allocation of that size costs page faults. Buffers come back when the last reference to a sent message is
//! dropped, which may be inside the HTTP/2 stack.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Buffers kept, over all backends of an exporter.
const KEPT_MAX: usize = 16;

/// A buffer that grew beyond this is freed instead of kept: 16 of them bound the idle memory to 16 MiB.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// A shared stack of empty buffers. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Buffers {
    kept: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Buffers {
    /// An empty stack.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty buffer, with the capacity of an earlier one if there is one.
    pub(super) fn take(&self) -> Vec<u8> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Makes an immutable message of a filled buffer; its memory comes back here when the message is gone.
    pub(super) fn freeze(&self, buffer: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent { buffer, home: self.clone() })
    }

    fn put(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() > KEPT_BYTES_MAX {
            return;
        }
        buffer.clear();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT_MAX {
            kept.push(buffer);
        }
    }
}

/// The owner behind a message made by [`Buffers::freeze`].
#[derive(Debug)]
struct Lent {
    buffer: Vec<u8>,
    home: Buffers,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.home.put(std::mem::take(&mut self.buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Scenario: a message is cloned, both copies are dropped, another buffer is taken; a huge one is returned.
    // Guarantees: memory is used again, never while a copy is alive, and huge buffers are freed.
    #[test]
    fn memory_comes_back_with_the_last_copy() {
        let buffers = Buffers::new();
        let mut buffer = buffers.take();
        buffer.extend_from_slice(&[7; 1000]);
        let address = buffer.as_ptr();
        let message = buffers.freeze(buffer);
        let copy = message.slice(5..);
        drop(message);
        let other = buffers.take();
        assert_ne!(other.as_ptr(), address);
        assert_eq!(copy[0], 7);
        drop(copy);
        let again = buffers.take();
        assert_eq!((again.as_ptr(), again.len()), (address, 0));
        drop(buffers.freeze(Vec::with_capacity(KEPT_BYTES_MAX + 1)));
        assert_eq!(buffers.take().capacity(), 0);
    }
}

//! What the backends of one router hold for it, and the way back for what they cannot deliver.
//!
//! Stage: backend; the router reads it. A backend that leaves the set, or is skipped because it fails, hands back every part
//! that it has not delivered as a [`Parcel`]; the router splits each over its current table. Parcels are not limited by a
//! number: each holds the permit of its bytes, so the memory budget limits them.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use tokio::sync::Notify;

use super::Ack;
use crate::{admission::Permit, model::Metadata};

/// A part that was taken and must find another way: a complete serialized request.
#[derive(Debug)]
pub struct Parcel {
    /// The request, without any framing.
    pub payload: Bytes,
    /// Spans, data points or log records inside.
    pub items: usize,
    /// What it came with.
    pub metadata: Metadata,
    /// Who waits for it.
    pub ack: Option<Ack>,
    /// The memory that it holds.
    pub permit: Permit,
}

/// Shared by one router and its backends. Clones share the state.
#[derive(Clone, Debug, Default)]
pub struct Custody {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Parts without an outcome: queued, in flight, or handed back.
    parts: AtomicUsize,
    returned: Mutex<VecDeque<Parcel>>,
    /// Something is for the router to do: a parcel, a recovery, the last part settled.
    changed: Notify,
    /// Some queue has more room than before.
    room: Notify,
    waiting_for_room: AtomicUsize,
}

impl Custody {
    /// Nothing held.
    pub fn new() -> Self {
        Self::default()
    }

    /// Parts without an outcome.
    pub fn parts(&self) -> usize {
        self.inner.parts.load(Ordering::Acquire)
    }

    /// Takes the next parcel that was handed back.
    pub fn take(&self) -> Option<Parcel> {
        self.inner.returned.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Waits until there may be something to do. Signals are not lost between two calls of one task.
    pub async fn changed(&self) {
        self.inner.changed.notified().await;
    }

    /// Says that there may be something to do.
    pub fn notify(&self) {
        self.inner.changed.notify_one();
    }

    /// One more part is held, or something that will become parts.
    pub fn took(&self) {
        self.inner.parts.fetch_add(1, Ordering::AcqRel);
    }

    /// Parts have an outcome, or are in other hands.
    pub fn settled(&self, parts: usize) {
        if self.inner.parts.fetch_sub(parts, Ordering::AcqRel) == parts {
            self.notify();
        }
    }

    /// Hands a part back; it stays counted as held.
    pub(super) fn give_back(&self, parcel: Parcel) {
        self.inner.returned.lock().unwrap_or_else(PoisonError::into_inner).push_back(parcel);
        self.notify();
    }

    /// Registers as somebody who waits for room, before asking for it.
    pub fn room(&self) -> Room<'_> {
        self.inner.waiting_for_room.fetch_add(1, Ordering::AcqRel);
        Room { inner: &self.inner }
    }

    /// Some queue has more room than before.
    pub fn freed(&self) {
        if self.inner.waiting_for_room.load(Ordering::Acquire) > 0 {
            self.inner.room.notify_waiters();
        }
    }
}

/// Somebody who waits for room in some queue.
#[derive(Debug)]
pub struct Room<'a> {
    inner: &'a Inner,
}

impl Room<'_> {
    /// Waits until some queue has more room. One that was freed between two calls is not noticed: callers look again after
    /// some time as well.
    pub async fn freed(&self) {
        self.inner.room.notified().await;
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.inner.waiting_for_room.fetch_sub(1, Ordering::AcqRel);
    }
}

//! The bounded queue of one backend: room is reserved first, then parts are appended to the open batch.
//!
//! Stage: backend. Between the router (any thread) and the worker (one task). A short lock guards it; the copy of a
//! part happens under it, some microseconds for the usual part. Capacity counts what waits *and* what is in
//! flight, as the Collector's `exporter_queue_size` does.
//!
//! **When a batch is sent.** At once if nothing is in flight to this backend. Otherwise it may grow until the first
//! of: a send ends; it is full ([`TARGET_BYTES`]); it has waited [`HOLD_MAX`]. So a busy backend gets fewer, larger
//! requests and an idle one gets no delay. With `batch.min_size` it waits for that size or `flush_timeout`.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{
    Ack, Buffers,
    batch::{Batch, Sealed},
};
use crate::{
    model::{
        Code, Endpoint, Failure, Metadata, Retry, Side,
        settings::{self, Sizer},
    },
    telemetry::BackendMetrics,
};

/// Bytes at which a batch is full. Larger ones gain little on the wire (339 against 308–325 ns per span for 256 KiB
/// against 1 MiB in our measurements) and cost memory for each backend.
const TARGET_BYTES: usize = 256 << 10;

/// How long a batch may wait behind a send that does not end.
const HOLD_MAX: Duration = Duration::from_millis(5);

/// Batches between reservation and sending.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Notify,
    limits: Limits,
    metrics: BackendMetrics,
    buffers: Buffers,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Batch>,
    /// Occupied in the queue's unit: reserved, waiting, in flight.
    used: usize,
    /// Items waiting or in flight.
    items: usize,
    /// Reservations without data yet.
    reserved: usize,
    closed: bool,
}

/// The numbers of `sending_queue` and `batch`.
#[derive(Clone, Copy, Debug)]
struct Limits {
    capacity: usize,
    sizer: Sizer,
    batch: settings::Batch,
    max_message_bytes: usize,
}

/// What the worker may do next.
#[derive(Debug)]
pub(super) enum Take {
    /// Send this.
    Batch(Sealed),
    /// The first batch may be sent then.
    Wait(Instant),
    /// Nothing waits.
    Empty,
}

impl Queue {
    pub(super) fn new(settings: &settings::Backend, metrics: BackendMetrics, buffers: Buffers) -> Self {
        let limits = Limits {
            capacity: settings.queue.size,
            sizer: settings.queue.sizer,
            batch: settings.batch,
            max_message_bytes: settings.max_message_bytes,
        };
        metrics.exporter.queue_capacity.add(as_gauge(limits.capacity));
        Self { state: Mutex::default(), changed: Notify::new(), limits, metrics, buffers }
    }

    /// See [`super::Backend::reserve`].
    pub(super) fn reserve(
        queue: &Arc<Self>,
        endpoint: &Endpoint,
        items: usize,
        bytes: usize,
    ) -> Result<Reservation, Failure> {
        let cost = match queue.limits.sizer {
            Sizer::Requests => 1,
            Sizer::Items => items,
            Sizer::Bytes => bytes,
        };
        if cost > queue.limits.capacity {
            let message = format!(
                "element size too large: {cost} of at most {} for backend {}",
                queue.limits.capacity,
                endpoint.dial()
            );
            return Err(Failure::new(Side::Client, Code::TooLarge, Retry::Never, message));
        }
        let mut state = queue.lock();
        if state.closed {
            return Err(Failure::busy(Code::ShuttingDown, "the gateway is shutting down"));
        }
        let used = state.used.saturating_add(cost);
        if used > queue.limits.capacity {
            let message = format!("sending queue is full: backend {}", endpoint.dial());
            return Err(Failure::busy(Code::QueueFull, message));
        }
        state.used = used;
        state.reserved += 1;
        Ok(Reservation { queue: Arc::clone(queue), cost, items, bytes, filled: false })
    }

    /// The next batch for a worker with `in_flight` sends under way; `drain`: do not wait for fuller ones.
    pub(super) fn take(&self, in_flight: usize, now: Instant, drain: bool) -> Take {
        let mut state = self.lock();
        let Some(first) = state.waiting.front() else { return Take::Empty };
        let ready_at = if first.sealed || drain { now } else { self.limits.ready_at(first, in_flight) };
        if ready_at > now {
            return Take::Wait(ready_at);
        }
        match state.waiting.pop_front() {
            Some(batch) => {
                drop(state);
                Take::Batch(batch.seal(&self.buffers))
            }
            None => Take::Empty,
        }
    }

    /// Gives back what a finished batch occupied.
    pub(super) fn release(&self, cost: usize, items: usize) {
        let mut state = self.lock();
        state.used = state.used.saturating_sub(cost);
        state.items = state.items.saturating_sub(items);
        drop(state);
        self.metrics.exporter.queue_size.sub(as_gauge(cost));
        self.metrics.queued.sub(as_gauge(items));
    }

    /// Refuses every further reservation.
    pub(super) fn close(&self) {
        self.lock().closed = true;
    }

    /// Whether nothing waits and no reservation may still bring something.
    pub(super) fn is_done(&self) -> bool {
        let state = self.lock();
        state.closed && state.reserved == 0 && state.waiting.is_empty()
    }

    /// Waits for a new or a full batch. Signals are not lost between two calls.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Items waiting or in flight.
    pub(super) fn items(&self) -> usize {
        self.lock().items
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under this lock leaves counters that are still consistent: each is changed by one statement.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Limits {
    /// When an unsealed batch may be sent.
    fn ready_at(&self, batch: &Batch, in_flight: usize) -> Instant {
        if self.batch.min_size > 0 {
            batch.opened + self.batch.flush_timeout
        } else if in_flight == 0 {
            batch.opened
        } else {
            batch.opened + HOLD_MAX
        }
    }

    /// Whether a part may still join a batch.
    fn admits(&self, batch: &Batch, items: usize, bytes: usize) -> bool {
        let part = match self.batch.sizer {
            Sizer::Requests => 1,
            Sizer::Items => items,
            Sizer::Bytes => bytes,
        };
        let max_size = if self.batch.max_size == 0 { usize::MAX } else { self.batch.max_size };
        !batch.sealed
            && batch.bytes().saturating_add(bytes) <= self.max_message_bytes
            && batch.size(self.batch.sizer).saturating_add(part) <= max_size
    }

    /// Whether a batch has reached the size at which it is sent at once.
    fn is_full(&self, batch: &Batch) -> bool {
        if self.batch.min_size > 0 {
            batch.size(self.batch.sizer) >= self.batch.min_size
        } else {
            batch.bytes() >= TARGET_BYTES
        }
    }
}

/// Room for one part at one backend. Dropping it gives the room back.
#[derive(Debug)]
pub struct Reservation {
    queue: Arc<Queue>,
    cost: usize,
    items: usize,
    bytes: usize,
    filled: bool,
}

impl Reservation {
    /// Fills the room: `append` writes the part, a complete serialized request of the reserved items, behind what
    /// the buffer holds. `ack` is answered when the part has been delivered or given up.
    pub fn fill(mut self, ack: Option<Ack>, _metadata: &Metadata, append: impl FnOnce(&mut Vec<u8>)) {
        self.filled = true;
        let queue = &self.queue;
        // Before the batch can be taken, so that the gauges never go below zero.
        queue.metrics.exporter.queue_size.add(as_gauge(self.cost));
        queue.metrics.queued.add(as_gauge(self.items));
        let mut state = queue.lock();
        state.items += self.items;
        state.reserved -= 1;
        let joins =
            state.waiting.back().is_some_and(|batch| queue.limits.admits(batch, self.items, self.bytes));
        if !joins {
            if let Some(last) = state.waiting.back_mut() {
                last.sealed = true;
            }
            state.waiting.push_back(Batch::open(queue.buffers.take(), Instant::now()));
        }
        let mut full = false;
        if let Some(batch) = state.waiting.back_mut() {
            batch.push(self.items, self.cost, ack, append);
            full = queue.limits.is_full(batch);
            batch.sealed |= full;
        }
        drop(state);
        // A part that joins a batch which may grow further changes nothing for the worker.
        if !joins || full {
            queue.changed.notify_one();
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.filled {
            return;
        }
        let mut state = self.queue.lock();
        state.used = state.used.saturating_sub(self.cost);
        state.reserved -= 1;
        let wake = state.closed;
        drop(state);
        if wake {
            self.queue.changed.notify_one();
        }
    }
}

/// Gauges are signed; no count here comes near the limit.
fn as_gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

//! The bounded queue of one backend: room is reserved first, then parts are appended to an open batch.
//!
//! Stage: backend. Between the router (any thread) and the worker (one task). A short lock guards it; the copy of a
//! part happens under it, some microseconds for the usual part. Capacity counts what waits *and* what is in
//! flight, as the Collector's `exporter_queue_size` does.
//!
//! **When a batch is sent.** At once if nothing is in flight to this backend. Otherwise it may grow until the first
//! of: a send ends; it is full ([`TARGET_BYTES`]); it has waited [`HOLD_MAX`]. So a busy backend gets fewer, larger
//! requests and an idle one gets no delay. With `batch.min_size` it waits for that size or `flush_timeout`.
//!
//! **Turned away.** Once a backend has left the set, or is skipped, its queue turns away: what is in it, and what requests
//! that still hold the old table fill in, is handed back through [`Custody`]. So a reservation never fails for that reason,
//! and a request uses one table to its end.
//!
//! **Metadata.** Parts that came with different metadata never share a batch, since one request has one set of headers. As a
//! rule there is none, and one open batch.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{
    Ack, Buffers, Custody,
    batch::{Batch, Sealed},
};
use crate::{
    admission::{Account, Full, Permit},
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

/// Batches that may grow at a time, each for another metadata. What comes with further metadata is sent by itself, so that a
/// client cannot make every other one's data wait, or take memory, by making up values.
const OPEN_MAX: usize = 64;

/// Batches between reservation and sending.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Notify,
    limits: Limits,
    /// The largest message that the endpoint takes: the configured limit, or a smaller one that it has told.
    max_message_bytes: AtomicUsize,
    metrics: BackendMetrics,
    buffers: Buffers,
    account: Account,
    custody: Custody,
}

#[derive(Debug, Default)]
struct State {
    /// Batches that may still grow, the oldest first; one for each metadata.
    open: Vec<Batch>,
    /// Batches that may be sent at once, in the order in which their growth ended.
    sealed: VecDeque<Batch>,
    /// Occupied in the queue's unit: reserved, waiting, in flight.
    used: usize,
    /// Items waiting or in flight.
    items: usize,
    /// Reservations without data yet.
    reserved: usize,
    /// Whether everything is handed back.
    turns_away: bool,
    closed: bool,
}

/// The numbers of `sending_queue` and `batch`.
#[derive(Clone, Copy, Debug)]
struct Limits {
    capacity: usize,
    sizer: Sizer,
    batch: settings::Batch,
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
    pub(super) fn new(
        settings: &settings::Backend,
        metrics: BackendMetrics,
        buffers: Buffers,
        account: Account,
        custody: Custody,
    ) -> Self {
        let limits =
            Limits { capacity: settings.queue.size, sizer: settings.queue.sizer, batch: settings.batch };
        metrics.exporter.queue_capacity.add(as_gauge(limits.capacity));
        Self {
            state: Mutex::default(),
            changed: Notify::new(),
            limits,
            max_message_bytes: AtomicUsize::new(settings.max_message_bytes),
            metrics,
            buffers,
            account,
            custody,
        }
    }

    /// The largest message that the endpoint takes, as far as is known.
    pub(super) fn max_message_bytes(&self) -> usize {
        self.max_message_bytes.load(Ordering::Relaxed)
    }

    /// Remembers a limit that the endpoint has told. Returns whether it is news.
    pub(super) fn learn_max_message_bytes(&self, limit: usize) -> bool {
        self.max_message_bytes.fetch_min(limit, Ordering::Relaxed) > limit
    }

    /// See [`super::Backend::reserve`].
    pub(super) fn reserve(
        queue: &Arc<Self>,
        endpoint: &Endpoint,
        items: usize,
        bytes: usize,
    ) -> Result<Reservation, Failure> {
        let cost = queue.limits.cost(items, bytes);
        if cost > queue.limits.capacity {
            let message = format!(
                "element size too large: {cost} of at most {} for backend {}",
                queue.limits.capacity,
                endpoint.label()
            );
            return Err(Failure::new(Side::Client, Code::TooLarge, Retry::Never, message));
        }
        let permit = queue.account.take(bytes).map_err(|full| no_memory(full, bytes, endpoint))?;
        let mut state = queue.lock();
        if state.closed {
            return Err(Failure::busy(Code::ShuttingDown, "the gateway is shutting down"));
        }
        let used = state.used.saturating_add(cost);
        if used > queue.limits.capacity {
            let message = format!("sending queue is full: backend {}", endpoint.label());
            return Err(Failure::busy(Code::QueueFull, message));
        }
        state.used = used;
        state.reserved += 1;
        drop(state);
        Ok(Reservation { queue: Arc::clone(queue), cost, items, bytes, permit: Some(permit) })
    }

    /// Room for a part that was taken before: beyond the capacity, if there is no room left.
    pub(super) fn readmit(queue: &Arc<Self>, items: usize, bytes: usize) -> Reservation {
        let cost = queue.limits.cost(items, bytes);
        let permit = queue.account.force(bytes);
        let mut state = queue.lock();
        state.used = state.used.saturating_add(cost);
        state.reserved += 1;
        drop(state);
        Reservation { queue: Arc::clone(queue), cost, items, bytes, permit: Some(permit) }
    }

    /// From now on hands everything back, beginning with what waits.
    pub(super) fn turn_away(&self) {
        let mut state = self.lock();
        state.turns_away = true;
        let open = std::mem::take(&mut state.open);
        let sealed = std::mem::take(&mut state.sealed);
        drop(state);
        // The older ones first.
        for batch in sealed.into_iter().chain(open) {
            self.hand_back(batch.seal(&self.buffers));
        }
    }

    /// Takes data again.
    pub(super) fn take_in(&self) {
        self.lock().turns_away = false;
    }

    /// Hands back every part of a batch that was taken out.
    pub(super) fn hand_back(&self, batch: Sealed) {
        self.release(batch.cost(), batch.items);
        self.metrics.rerouted.inc_by(batch.items as u64);
        for parcel in batch.into_parcels() {
            self.custody.give_back(parcel);
        }
    }

    /// What this backend and its router hold.
    pub(super) fn custody(&self) -> &Custody {
        &self.custody
    }

    /// The next batch for a worker with `in_flight` sends under way; `drain`: do not wait for fuller ones.
    pub(super) fn take(&self, in_flight: usize, now: Instant, drain: bool) -> Take {
        let mut state = self.lock();
        let (open, sealed) = (state.open.first(), state.sealed.front());
        let ready_at = open.map(|open| if drain { now } else { self.limits.ready_at(open, in_flight) });
        let batch = match (ready_at, sealed) {
            // The older of the two, so that a rare metadata is not held up by a frequent one.
            (Some(at), Some(sealed)) if at > now || open.is_none_or(|open| open.opened > sealed.opened) => {
                state.sealed.pop_front()
            }
            (None, Some(_)) => state.sealed.pop_front(),
            (Some(at), _) if at > now => return Take::Wait(at),
            (Some(_), _) => Some(state.open.remove(0)),
            (None, None) => None,
        };
        drop(state);
        batch.map_or(Take::Empty, |batch| Take::Batch(batch.seal(&self.buffers)))
    }

    /// Gives back what a finished batch occupied.
    pub(super) fn release(&self, cost: usize, items: usize) {
        let mut state = self.lock();
        state.used = state.used.saturating_sub(cost);
        state.items = state.items.saturating_sub(items);
        drop(state);
        self.metrics.exporter.queue_size.sub(as_gauge(cost));
        self.metrics.queued.sub(as_gauge(items));
        self.custody.freed();
    }

    /// Refuses every further reservation.
    pub(super) fn close(&self) {
        self.lock().closed = true;
    }

    /// Whether nothing waits and no reservation may still bring something.
    pub(super) fn is_done(&self) -> bool {
        let state = self.lock();
        state.closed && state.reserved == 0 && state.open.is_empty() && state.sealed.is_empty()
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

impl State {
    /// Ends the growth of an open batch.
    fn seal(&mut self, at: usize) {
        if at < self.open.len() {
            let batch = self.open.remove(at);
            self.sealed.push_back(batch);
        }
    }
}

impl Limits {
    /// What a part occupies, in the queue's unit.
    fn cost(&self, items: usize, bytes: usize) -> usize {
        match self.sizer {
            Sizer::Requests => 1,
            Sizer::Items => items,
            Sizer::Bytes => bytes,
        }
    }

    /// When an open batch may be sent.
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
    fn admits(&self, batch: &Batch, items: usize, bytes: usize, max_message_bytes: usize) -> bool {
        let part = match self.batch.sizer {
            Sizer::Requests => 1,
            Sizer::Items => items,
            Sizer::Bytes => bytes,
        };
        let max_size = if self.batch.max_size == 0 { usize::MAX } else { self.batch.max_size };
        batch.bytes().saturating_add(bytes) <= max_message_bytes
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
    /// `None`: filled.
    permit: Option<Permit>,
}

impl Reservation {
    /// Fills the room: `append` writes the part, a complete serialized request of the reserved items, behind what
    /// the buffer holds. `ack` is answered when the part has been delivered or given up. The part shares a request with parts of
    /// equal `metadata` only.
    pub fn fill(mut self, ack: Option<Ack>, metadata: &Metadata, append: impl FnOnce(&mut Vec<u8>)) {
        let Some(permit) = self.permit.take() else { return };
        let queue = &self.queue;
        queue.custody.took();
        // Before the batch can be taken, so that the gauges never go below zero.
        queue.metrics.exporter.queue_size.add(as_gauge(self.cost));
        queue.metrics.queued.add(as_gauge(self.items));
        let mut state = queue.lock();
        state.items += self.items;
        state.reserved -= 1;
        if state.turns_away {
            drop(state);
            let mut batch = Batch::open(queue.buffers.take(), metadata.clone(), Instant::now());
            batch.push(self.items, self.cost, ack, permit, metadata.client(), append);
            queue.hand_back(batch.seal(&queue.buffers));
            return;
        }
        let found = state.open.iter().position(|batch| batch.metadata == *metadata);
        let joined = found.filter(|at| {
            let limit = queue.max_message_bytes();
            state.open.get(*at).is_some_and(|batch| queue.limits.admits(batch, self.items, self.bytes, limit))
        });
        if let (Some(at), None) = (found, joined) {
            state.seal(at);
        }
        let at = joined.unwrap_or_else(|| {
            state.open.push(Batch::open(queue.buffers.take(), metadata.clone(), Instant::now()));
            state.open.len() - 1
        });
        let mut full = state.open.len() > OPEN_MAX;
        if let Some(batch) = state.open.get_mut(at) {
            batch.push(self.items, self.cost, ack, permit, metadata.client(), append);
            full |= queue.limits.is_full(batch);
        }
        if full {
            state.seal(at);
        }
        drop(state);
        // A part that joins a batch which may grow further changes nothing for the worker.
        if joined.is_none() || full {
            queue.changed.notify_one();
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.permit.is_none() {
            return;
        }
        let mut state = self.queue.lock();
        state.used = state.used.saturating_sub(self.cost);
        state.reserved -= 1;
        let wake = state.closed;
        drop(state);
        self.queue.custody.freed();
        if wake {
            self.queue.changed.notify_one();
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.metrics.exporter.queue_capacity.sub(as_gauge(self.limits.capacity));
    }
}

/// Why the memory budget has no room for a part.
fn no_memory(full: Full, bytes: usize, endpoint: &Endpoint) -> Failure {
    let label = endpoint.label();
    match full {
        Full::Busy => {
            let message =
                format!("the memory budget has no room for backend {label}: {bytes} bytes asked for");
            Failure::busy(Code::MemoryFull, message)
        }
        Full::TooLarge => {
            let message =
                format!("{bytes} bytes for backend {label} are more than the memory budget ever gives");
            Failure::new(Side::Client, Code::TooLarge, Retry::Never, message)
        }
    }
}

/// Gauges are signed; no count here comes near the limit.
fn as_gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

//! One endpoint's running part: a bounded queue of growing batches and the task that sends them.
//!
//! Stage: backend, after `router`; the last one. A [`Backend`] is a handle that the router clones; one task owns
//! the sending (`worker`), the two meet in the `queue`:
//!
//! ```text
//! router ── reserve, append ──▶ queue: [batch][batch][open batch] ──▶ worker ── up to N sends ──▶ transport
//!    ▲                             ▲ capacity: waiting + in flight         └─ retries, pieces of a rejected batch
//!    └── custody: parts handed back ◀── a backend that left the set, or is skipped because it fails
//! ```
//!
//! Parts are appended straight into the open batch (one for each metadata that clients sent): concatenating serialized
//! requests merges them. Every batch remembers its sources (where each part ends, its items, who waits for it, the memory it
//! holds), so that an outcome reaches exactly those it concerns, and a rejected batch can be sent again in pieces until only
//! the guilty item is dropped. Nothing here knows the ring or other backends: a failing one delays nobody else.
//!
//! **Every part has one end**: delivered, dropped for a reason, or handed back, after which it is another backend's.

mod ack;
mod batch;
mod buffers;
mod custody;
mod health;
mod queue;
mod reject;
mod send;
mod transport;
mod worker;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

pub use ack::{Ack, Wait, unanswered};
pub use buffers::Buffers;
pub use custody::{Custody, Parcel, Room};
pub use health::Verdict;
pub use queue::Reservation;
pub use transport::{OtlpGrpc, OtlpHttp, Transport};

use crate::{
    admission::Account,
    model::{Endpoint, Failure, Signal, settings},
    tasks::Tasks,
    telemetry::BackendMetrics,
};
use health::Health;
use queue::Queue;
use send::Mode;

/// How backends are told to stop; one for all of them. Clones share the state.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// No more data comes: send what is queued without waiting for fuller batches.
    pub drain: CancellationToken,
    /// Time is up: give up what is left, by reason, and end.
    pub abort: CancellationToken,
}

/// What all backends of one router have in common.
#[derive(Clone, Debug)]
pub struct Pool {
    /// What they hold for the router, and the way back.
    pub custody: Custody,
    /// Buffers that are used again.
    pub buffers: Buffers,
    /// How they are told to stop.
    pub stop: Stop,
    /// Where their tasks run.
    pub tasks: Tasks,
}

/// A handle to one endpoint's queue and task. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Backend {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    endpoint: Endpoint,
    queue: Arc<Queue>,
    health: Arc<Health>,
    mode: watch::Sender<Mode>,
    drain_timeout: Duration,
    metrics: BackendMetrics,
}

impl Backend {
    /// Starts the task that serves one endpoint. `account` is its share of the memory budget.
    pub fn start(
        endpoint: Endpoint,
        signal: Signal,
        settings: &settings::Backend,
        metrics: BackendMetrics,
        transport: Arc<dyn Transport>,
        account: Account,
        pool: &Pool,
    ) -> Self {
        let Pool { custody, buffers, stop, tasks } = pool;
        let (mode, modes) = watch::channel(Mode::Active);
        let health = Arc::new(Health::new(settings.health));
        let queue =
            Arc::new(Queue::new(settings, metrics.clone(), buffers.clone(), account, custody.clone()));
        let inner = Arc::new(Inner {
            endpoint: endpoint.clone(),
            queue: Arc::clone(&queue),
            health: Arc::clone(&health),
            mode,
            drain_timeout: settings.drain_timeout,
            metrics: metrics.clone(),
        });
        let parts = send::Parts {
            endpoint,
            signal,
            transport,
            metrics,
            buffers: buffers.clone(),
            health,
            mode: modes.clone(),
            abort: stop.abort.clone(),
        };
        let sender = send::Sender::new(settings, parts);
        let worker = worker::Worker::new(
            sender,
            Arc::clone(&inner),
            modes,
            settings.queue.num_consumers,
            stop.clone(),
        );
        tasks.spawn("backend", worker.run());
        Self { inner }
    }

    /// Which endpoint this serves.
    pub fn endpoint(&self) -> &Endpoint {
        &self.inner.endpoint
    }

    /// Reserves room for one part: `items` in `bytes` serialized bytes.
    ///
    /// The room is given back when the reservation is dropped without data, or when the data has been
    /// delivered, given up or handed back.
    ///
    /// # Errors
    ///
    /// `QueueFull` or `MemoryFull` (retryable) if there is no room now, `TooLarge` (permanent) if there never will be,
    /// `ShuttingDown` (retryable elsewhere) if the process ends.
    pub fn reserve(&self, items: usize, bytes: usize) -> Result<Reservation, Failure> {
        Queue::reserve(&self.inner.queue, &self.inner.endpoint, items, bytes)
    }

    /// Room for a part that was accepted before and had to leave another backend: never refused, since refusing it would
    /// lose it. New data has less room meanwhile.
    pub fn readmit(&self, items: usize, bytes: usize) -> Reservation {
        Queue::readmit(&self.inner.queue, items, bytes)
    }

    /// The largest message that the endpoint takes, bytes before compression: as configured, or as it has told.
    pub fn max_message_bytes(&self) -> usize {
        self.inner.queue.max_message_bytes()
    }

    /// Items waiting or in flight.
    pub fn queued_items(&self) -> usize {
        self.inner.queue.items()
    }

    /// Whether the endpoint works, as far as it has shown.
    pub fn verdict(&self, now: Instant) -> Verdict {
        self.inner.health.verdict(now)
    }

    /// Its keys are elsewhere for a while. What may have been taken by the endpoint stays and is tried again; everything else,
    /// and what still comes, is handed back.
    pub fn skip(&self) {
        self.inner.metrics.state.set(STATE_SKIPPED);
        // First the mode: a batch that is taken out of the queue in between sees it before its first attempt.
        self.inner.mode.send_replace(Mode::Skipped);
        self.inner.queue.turn_away();
    }

    /// Its keys are back.
    pub fn restore(&self) {
        self.inner.metrics.state.set(STATE_ACTIVE);
        self.inner.queue.take_in();
        self.inner.mode.send_replace(Mode::Active);
    }

    /// The endpoint has left the set: attempts under way may end within the drain timeout, nothing else is sent, and everything
    /// that is not delivered is handed back. The task ends then.
    pub fn leave(&self) {
        self.inner.metrics.state.set(STATE_DRAINING);
        let until = Instant::now() + self.inner.drain_timeout;
        self.inner.mode.send_replace(Mode::Leaving { until });
        self.inner.queue.turn_away();
    }

    /// How the endpoint stands, in a word: `active`, `suspect`, `skipped` or `draining`.
    pub fn standing(&self, now: Instant) -> &'static str {
        match (*self.inner.mode.borrow(), self.verdict(now)) {
            (Mode::Leaving { .. }, _) => "draining",
            (Mode::Skipped, _) => "skipped",
            (Mode::Active, Verdict::Suspect { .. }) => "suspect",
            (Mode::Active, Verdict::Active) => "active",
        }
    }

    /// Shows in the metrics that the endpoint is suspect, or is not.
    pub fn show_suspect(&self, is_suspect: bool) {
        self.inner.metrics.state.set(if is_suspect { STATE_SUSPECT } else { STATE_ACTIVE });
    }
}

// Values of the gauge `ringway_backend_state`.
const STATE_ACTIVE: i64 = 0;
const STATE_SUSPECT: i64 = 1;
const STATE_SKIPPED: i64 = 2;
const STATE_DRAINING: i64 = 3;

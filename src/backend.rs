//! One endpoint's running part: a bounded queue of growing batches and the task that sends them.
//!
//! Stage: backend, after `router`; the last one. A [`Backend`] is a handle that the router clones; one task owns
//! the sending (`worker`), the two meet in the `queue`:
//!
//! ```text
//! router ── reserve, append ──▶ queue: [batch][batch][open batch] ──▶ worker ── up to N sends ──▶ transport
//!                                  ▲ capacity: waiting + in flight         └─ retries, halves of a rejected batch
//! ```
//!
//! Parts are appended straight into the open batch (one for each metadata that clients sent): concatenating serialized
//! requests merges them. Every batch remembers its sources (where each part ends, its items, who waits for it), so that
//! an outcome reaches exactly those it concerns, and a rejected batch can be sent again by halves until only the guilty
//! source is dropped. Nothing here knows the ring or other backends: a failing one delays nobody else.

mod batch;
mod buffers;
mod queue;
mod send;
mod transport;
mod worker;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

pub use buffers::Buffers;
pub use queue::Reservation;
pub use transport::{OtlpGrpc, OtlpHttp, Transport};

use crate::{
    model::{Endpoint, Failure, Outcome, settings},
    tasks::Tasks,
    telemetry::BackendMetrics,
};
use queue::Queue;

/// Who waits for the outcome of a part. Dropped unanswered only if the process is torn down.
pub type Ack = oneshot::Sender<Outcome>;

/// How backends are told to stop; one for all of them. Clones share the state.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// No more data comes: send what is queued without waiting for fuller batches, then end.
    pub drain: CancellationToken,
    /// Time is up: give up what is left, by reason, and end.
    pub abort: CancellationToken,
}

/// A handle to one endpoint's queue and task. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Backend {
    endpoint: Endpoint,
    queue: Arc<Queue>,
}

impl Backend {
    /// Starts the task that serves one endpoint.
    pub fn start(
        endpoint: Endpoint,
        settings: &settings::Backend,
        metrics: BackendMetrics,
        transport: Arc<dyn Transport>,
        buffers: Buffers,
        stop: &Stop,
        tasks: &Tasks,
    ) -> Self {
        let queue = Arc::new(Queue::new(settings, metrics.clone(), buffers.clone()));
        let worker = worker::Worker::new(
            send::Sender::new(endpoint.clone(), settings, metrics, transport, buffers, stop.abort.clone()),
            Arc::clone(&queue),
            settings.queue.num_consumers,
            stop.clone(),
        );
        tasks.spawn("backend", worker.run());
        Self { endpoint, queue }
    }

    /// Which endpoint this serves.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Reserves room for one part: `items` in `bytes` serialized bytes.
    ///
    /// The room is given back when the reservation is dropped without data, or when the data has been
    /// delivered or given up.
    ///
    /// # Errors
    ///
    /// `QueueFull` (retryable) if there is no room now, `TooLarge` (permanent) if there never will be,
    /// `ShuttingDown` (retryable elsewhere) if the backend has been told to stop.
    pub fn reserve(&self, items: usize, bytes: usize) -> Result<Reservation, Failure> {
        Queue::reserve(&self.queue, &self.endpoint, items, bytes)
    }

    /// Items waiting or in flight.
    pub fn queued_items(&self) -> usize {
        self.queue.items()
    }
}

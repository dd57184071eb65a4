//! One batch from its first attempt to its outcome.
//!
//! Stage: backend. Owns attempts, waits between them, the halving of rejected batches, and the only place where items
//! are counted as delivered or dropped.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    Buffers, Transport,
    batch::{Sealed, write_prefix},
    queue::Queue,
};
use crate::{
    model::{
        Code, Endpoint, Failure, Metadata, Outcome, Retry, Side,
        settings::{self, Compression, RetryPolicy},
    },
    net::{compression::Compressor, grpc::PREFIX_LEN},
    retry::{Backoff, Decision},
    telemetry::{BackendMetrics, logs::Limiter},
};

/// What every send of one backend shares.
#[derive(Debug)]
pub(super) struct Sender {
    endpoint: Endpoint,
    transport: Arc<dyn Transport>,
    retry: Option<RetryPolicy>,
    compression: Compression,
    compressor: Mutex<Compressor>,
    buffers: Buffers,
    metrics: BackendMetrics,
    warnings: Limiter,
    abort: CancellationToken,
}

impl Sender {
    pub(super) fn new(
        endpoint: Endpoint,
        settings: &settings::Backend,
        metrics: BackendMetrics,
        transport: Arc<dyn Transport>,
        buffers: Buffers,
        abort: CancellationToken,
    ) -> Self {
        Self {
            endpoint,
            transport,
            retry: settings.retry,
            compression: settings.compression,
            compressor: Mutex::new(Compressor::new(settings.compression)),
            buffers,
            metrics,
            warnings: Limiter::new(),
            abort,
        }
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Sends a batch until it has an outcome, and accounts for it. A batch that the backend refuses for its content
    /// is sent again by halves, so that one bad source does not cost the others: at most twice as many sends as
    /// sources.
    pub(super) async fn send(&self, batch: Sealed, queue: &Queue) {
        self.metrics.exporter.in_flight.inc();
        let mut pending = vec![batch];
        while let Some(batch) = pending.pop() {
            match self.deliver(&batch).await {
                Err(failure) if batch.sources() > 1 && blames_content(&failure) => {
                    let [first, second] = batch.halves(&self.buffers);
                    pending.extend([second, first]);
                }
                outcome => self.finish(batch, queue, &outcome),
            }
        }
        self.metrics.exporter.in_flight.dec();
    }

    /// Accounts for a batch that is not sent.
    pub(super) fn give_up(&self, batch: Sealed, queue: &Queue, code: Code) {
        let failure = Failure::busy(code, "the gateway is shutting down");
        self.finish(batch, queue, &Err(failure));
    }

    /// Attempts and waits until one succeeds or no further one is allowed.
    async fn deliver(&self, batch: &Sealed) -> Outcome {
        let message = self.encode(batch);
        let started = Instant::now();
        let mut backoff = Backoff::new(self.retry);
        let mut attempt = 1_u32;
        loop {
            if batch.abandoned() {
                return Err(Failure::new(
                    Side::Client,
                    Code::Cancelled,
                    Retry::After(None),
                    "every client of the request went away",
                ));
            }
            let failure = match self.attempt(&message, &batch.metadata).await {
                Ok(delivered) => return Ok(delivered),
                Err(failure) => failure,
            };
            let wait = match backoff.after(&failure, started.elapsed(), fastrand::f64()) {
                Decision::After(wait) if !self.abort.is_cancelled() => wait,
                decision => return Err(self.explain(failure, attempt, decision)),
            };
            self.warn_retry(&failure, attempt, wait);
            tokio::select! {
                biased;
                () = self.abort.cancelled() => return Err(self.explain(aborted(), attempt, Decision::NotRetryable)),
                () = sleep(wait) => {}
            }
            attempt = attempt.saturating_add(1);
            self.metrics.retries.inc();
        }
    }

    /// One attempt, timed.
    async fn attempt(&self, message: &Bytes, metadata: &Metadata) -> Outcome {
        let started = Instant::now();
        let outcome = tokio::select! {
            biased;
            outcome = self.transport.send(message.clone(), metadata) => outcome,
            () = self.abort.cancelled() => return Err(aborted()),
        };
        if let Some(attempts) = &self.metrics.attempts {
            attempts.ended(started.elapsed(), outcome.is_ok());
        }
        outcome
    }

    /// The bytes that go on the wire, prefix included. Compresses once, whatever the number of attempts; takes about
    /// 3 ms for each megabyte with gzip, on the backend's own task.
    fn encode(&self, batch: &Sealed) -> Bytes {
        if self.compression == Compression::None {
            return batch.message.clone();
        }
        let mut wire = self.buffers.take();
        wire.resize(PREFIX_LEN, 0);
        let plain = batch.message.get(PREFIX_LEN..).unwrap_or_default();
        self.compressor.lock().unwrap_or_else(PoisonError::into_inner).compress(plain, &mut wire);
        write_prefix(&mut wire, true);
        self.buffers.freeze(wire)
    }

    /// Counts the outcome, tells who waits, and frees the room in the queue.
    fn finish(&self, batch: Sealed, queue: &Queue, outcome: &Outcome) {
        let items = batch.items;
        match outcome {
            Ok(delivered) => {
                let rejected = usize::try_from(delivered.rejected).unwrap_or(items).min(items);
                let taken = (items - rejected) as u64;
                self.metrics.exporter.sent.inc_by(taken);
                self.metrics.delivered.inc_by(taken);
                if rejected > 0 {
                    self.metrics.dropped(Code::Rejected, rejected);
                }
                if rejected > 0 || !delivered.message.is_empty() {
                    self.warn_partial(rejected, &delivered.message);
                }
            }
            Err(failure) => {
                self.metrics.dropped(failure.code, items);
                self.warn_dropped(failure, items);
            }
        }
        queue.release(batch.cost(), items);
        batch.answer(outcome);
    }

    /// Adds the backend and the number of attempts to a failure, once.
    fn explain(&self, mut failure: Failure, attempt: u32, decision: Decision) -> Failure {
        let why = match decision {
            Decision::Exhausted => "no more retries left",
            Decision::NotRetryable | Decision::After(_) if failure.is_retryable() => "not retried",
            _ => "not retryable",
        };
        failure.message =
            format!("backend {}: {}, attempt {attempt}, {why}", self.endpoint.label(), failure.message)
                .into();
        failure
    }

    fn warn_retry(&self, failure: &Failure, attempt: u32, wait: Duration) {
        if let Some(suppressed) = self.warnings.allow(failure.code) {
            tracing::warn!(
                endpoint = self.endpoint.label(),
                reason = failure.code.as_str(),
                error = %failure,
                attempt,
                wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                suppressed,
                "sending failed, will be tried again"
            );
        }
    }

    fn warn_dropped(&self, failure: &Failure, items: usize) {
        if let Some(suppressed) = self.warnings.allow(failure.code) {
            tracing::error!(
                endpoint = self.endpoint.label(),
                reason = failure.code.as_str(),
                error = %failure,
                dropped_items = items,
                suppressed,
                "sending failed, data is dropped"
            );
        }
    }

    fn warn_partial(&self, rejected: usize, message: &str) {
        if let Some(suppressed) = self.warnings.allow(Code::Rejected) {
            tracing::warn!(
                endpoint = self.endpoint.label(),
                rejected_items = rejected,
                message,
                suppressed,
                "partial success response"
            );
        }
    }
}

fn aborted() -> Failure {
    Failure::busy(Code::ShuttingDown, "the gateway is shutting down")
}

/// Whether a permanent failure may be due to one of several sources: what a server answers to a message that it
/// cannot decode or that is too large. A wrong credential or an unknown method concerns all of them.
fn blames_content(failure: &Failure) -> bool {
    // UNKNOWN, INVALID_ARGUMENT, RESOURCE_EXHAUSTED (without RetryInfo, else it is retryable), INTERNAL. An ambiguous failure
    // may have been taken already, and an unsupported one would be for any content.
    !failure.is_retryable()
        && !failure.ambiguous
        && failure.code == Code::Rejected
        && matches!(failure.grpc_status, Some(2 | 3 | 8 | 13))
}

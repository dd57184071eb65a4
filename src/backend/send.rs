//! One batch from its first attempt to its outcome.
//!
//! Stage: backend. Owns attempts, the waits between them, and the only place where items are counted as delivered or dropped.
//! What a rejected batch is cut into is in `reject`.
//!
//! **Safe and ambiguous.** A failure is ambiguous if the endpoint may have taken the data although no answer came; then the
//! batch is *tainted*, the items are counted as ambiguous, and by the policy of its signal it is sent again or given up. A
//! tainted batch stays with its owner as long as the owner is in the set and retries last, because only there a second copy
//! can be recognised. One that certainly was not processed goes elsewhere as soon as the owner is skipped.
//!
//! **Handing back.** While the endpoint is skipped or has left the set, what may move is handed back instead of being tried
//! or waited for. Attempts that are under way end by themselves, at a leaving endpoint until the drain deadline at most.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    Buffers, Transport,
    ack::unanswered,
    batch::{Sealed, write_prefix},
    health::Health,
    queue::Queue,
    reject::Bisection,
};
use crate::{
    model::{
        Code, Endpoint, Failure, Metadata, Outcome, Retry, Side, Signal,
        settings::{self, Ambiguous, Compression, RetryPolicy},
    },
    net::{compression::compress, grpc::PREFIX_LEN},
    retry::{Backoff, Decision},
    telemetry::{BackendMetrics, logs::Limiter},
};

/// An export request without items: the five bytes of the gRPC prefix and nothing. Every OTLP receiver answers it with OK.
const EMPTY: Bytes = Bytes::from_static(&[0; PREFIX_LEN]);

/// Where an endpoint stands in its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// It owns its keys.
    Active,
    /// It is in the set, its keys are at the ring successor.
    Skipped,
    /// It is not in the set any more.
    Leaving {
        /// When attempts under way are cut off.
        until: Instant,
    },
}

/// What every send of one backend shares.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) endpoint: Endpoint,
    pub(super) signal: Signal,
    transport: Arc<dyn Transport>,
    retry: Option<RetryPolicy>,
    ambiguous: Ambiguous,
    compression: Compression,
    pub(super) buffers: Buffers,
    pub(super) metrics: BackendMetrics,
    pub(super) warnings: Limiter,
    pub(super) bisection: Bisection,
    health: Arc<Health>,
    mode: watch::Receiver<Mode>,
    /// Whether the last attempt failed.
    is_failing: AtomicBool,
    /// The endpoint works again.
    recovered: Notify,
    abort: CancellationToken,
}

/// What a backend is made of besides its queue.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) endpoint: Endpoint,
    pub(super) signal: Signal,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) metrics: BackendMetrics,
    pub(super) buffers: Buffers,
    pub(super) health: Arc<Health>,
    pub(super) mode: watch::Receiver<Mode>,
    pub(super) abort: CancellationToken,
}

/// How the delivery of a batch ends.
enum End {
    /// It is settled.
    Outcome(Outcome),
    /// It must find another way.
    HandBack,
}

impl Sender {
    pub(super) fn new(settings: &settings::Backend, parts: Parts) -> Self {
        let Parts { endpoint, signal, transport, metrics, buffers, health, mode, abort } = parts;
        let ambiguous = settings.ambiguous.get(signal.index()).copied().unwrap_or(Ambiguous::Retry);
        Self {
            endpoint,
            signal,
            transport,
            retry: settings.retry,
            ambiguous,
            compression: settings.compression,
            buffers,
            metrics,
            warnings: Limiter::new(),
            bisection: Bisection::new(),
            health,
            mode,
            is_failing: AtomicBool::new(false),
            recovered: Notify::new(),
            abort,
        }
    }

    /// Sends a batch until it has an outcome, and accounts for it. One that is rejected for its content or its size is sent
    /// again in pieces, so that one bad item does not cost the others.
    pub(super) async fn send(&self, batch: Sealed, queue: &Queue) {
        self.metrics.exporter.in_flight.inc();
        let mut pending = vec![batch];
        while let Some(batch) = pending.pop() {
            let mut batch = match self.cut_to_size(batch, queue) {
                Ok(batch) => batch,
                Err(pieces) => {
                    pending.extend(pieces);
                    continue;
                }
            };
            match self.deliver(&mut batch).await {
                End::HandBack => queue.hand_back(batch),
                End::Outcome(Err(failure)) => match self.cut_rejected(batch, &failure, queue) {
                    Ok(pieces) => pending.extend(pieces),
                    Err(batch) => self.finish(batch, queue, &Err(failure)),
                },
                End::Outcome(outcome) => self.finish(batch, queue, &outcome),
            }
        }
        self.metrics.exporter.in_flight.dec();
    }

    /// Accounts for a batch that is not sent because the process ends.
    pub(super) fn give_up(&self, batch: Sealed, queue: &Queue) {
        self.finish(batch, queue, &Err(unanswered()));
    }

    /// Attempts and waits until one succeeds, no further one is allowed, or the batch has to move.
    async fn deliver(&self, batch: &mut Sealed) -> End {
        let mut mode = self.mode.clone();
        let mut message = None;
        let started = Instant::now();
        let mut backoff = Backoff::new(self.retry);
        let mut attempt = 1_u32;
        loop {
            if batch.abandoned() {
                let text = "every client of the request went away";
                let failure = Failure::new(Side::Client, Code::Cancelled, Retry::After(None), text);
                return End::Outcome(Err(failure));
            }
            if moves(*mode.borrow_and_update(), batch) {
                return End::HandBack;
            }
            let bytes = message.get_or_insert_with(|| self.encode(batch));
            let failure = match self.attempt(bytes, &batch.metadata, &mut mode).await {
                Ok(delivered) => return End::Outcome(Ok(delivered)),
                Err(failure) => failure,
            };
            if failure.ambiguous {
                batch.is_tainted = true;
                self.metrics.ambiguous.inc_by(batch.items as u64);
                if self.ambiguous == Ambiguous::Drop && failure.is_retryable() {
                    return End::Outcome(Err(self.explain(
                        given_up(failure),
                        attempt,
                        Decision::NotRetryable,
                    )));
                }
            }
            if failure.is_retryable() && moves(*mode.borrow_and_update(), batch) {
                return End::HandBack;
            }
            let wait = match backoff.after(&failure, started.elapsed(), fastrand::f64()) {
                Decision::After(wait) if !self.abort.is_cancelled() => wait,
                Decision::Exhausted if *mode.borrow() == Mode::Skipped => return End::HandBack,
                decision => return End::Outcome(Err(self.explain(failure, attempt, decision))),
            };
            self.warn_retry(&failure, attempt, wait);
            if self.pause(wait, &failure, &mut mode).await.is_err() {
                let outcome = Err(self.explain(unanswered(), attempt, Decision::NotRetryable));
                return End::Outcome(outcome);
            }
            attempt = attempt.saturating_add(1);
            self.metrics.retries.inc();
        }
    }

    /// Waits before the next attempt: until the time has come, the endpoint has shown that it works again, or it has another
    /// place in its pool. A delay that the endpoint asked for is kept.
    ///
    /// # Errors
    ///
    /// If the process ends.
    async fn pause(
        &self,
        wait: Duration,
        failure: &Failure,
        mode: &mut watch::Receiver<Mode>,
    ) -> Result<(), ()> {
        let was_asked_for = matches!(failure.retry, Retry::After(Some(_)));
        tokio::select! {
            biased;
            () = self.abort.cancelled() => Err(()),
            _changed = mode.changed() => Ok(()),
            () = self.recovered.notified(), if !was_asked_for => Ok(()),
            () = sleep(wait) => Ok(()),
        }
    }

    /// One attempt, timed.
    async fn attempt(
        &self,
        message: &Bytes,
        metadata: &Metadata,
        mode: &mut watch::Receiver<Mode>,
    ) -> Outcome {
        let started = Instant::now();
        self.health.began(started);
        let outcome = tokio::select! {
            biased;
            outcome = self.transport.send(message.clone(), metadata) => outcome,
            () = self.abort.cancelled() => return Err(unanswered()),
            () = drain_deadline(mode) => Err(cut_off()),
        };
        self.observe(&outcome);
        if let Some(attempts) = &self.metrics.attempts {
            attempts.ended(started.elapsed(), outcome.is_ok());
        }
        outcome
    }

    /// Asks the endpoint whether it works, with an empty request. Bounded by the timeout of an attempt.
    pub(super) async fn probe(&self) {
        let started = Instant::now();
        self.health.began(started);
        let outcome = self.transport.send(EMPTY, &Metadata::default()).await;
        self.observe(&outcome);
        tracing::debug!(endpoint = self.endpoint.label(), is_ok = outcome.is_ok(), "probed");
    }

    /// Keeps what an attempt has shown of the endpoint.
    fn observe(&self, outcome: &Outcome) {
        self.health.ended(outcome, Instant::now());
        match outcome {
            Ok(_) => {
                if self.is_failing.swap(false, Ordering::AcqRel) {
                    self.recovered.notify_waiters();
                }
            }
            Err(failure) if failure.is_retryable() => self.is_failing.store(true, Ordering::Release),
            Err(_) => {}
        }
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
        compress(self.compression, plain, &mut wire);
        write_prefix(&mut wire, true);
        self.buffers.freeze(wire)
    }

    /// Counts the outcome, tells who waits, and frees the room in the queue.
    pub(super) fn finish(&self, batch: Sealed, queue: &Queue, outcome: &Outcome) {
        let items = batch.items;
        match outcome {
            Ok(delivered) => {
                let rejected = usize::try_from(delivered.rejected).unwrap_or(items).min(items);
                let taken = (items - rejected) as u64;
                self.metrics.exporter.sent.inc_by(taken);
                self.metrics.delivered.inc_by(taken);
                self.bisection.delivered();
                if rejected > 0 {
                    self.metrics.dropped(Code::Rejected, rejected);
                }
                if rejected > 0 || !delivered.message.is_empty() {
                    self.warn_partial(rejected, &delivered.message);
                }
            }
            // Whoever keeps it on disk has lost nothing, and will send it after the next start.
            Err(failure) if failure.code == Code::ShuttingDown => {
                let kept = batch.kept_items().min(items);
                self.metrics.rerouted.inc_by(kept as u64);
                if items > kept {
                    self.metrics.dropped(failure.code, items - kept);
                    self.warn_dropped(failure, items - kept, &batch);
                }
            }
            Err(failure) => {
                self.metrics.dropped(failure.code, items);
                self.warn_dropped(failure, items, &batch);
            }
        }
        queue.release(batch.cost(), items);
        let parts = batch.sources();
        batch.answer(outcome);
        queue.custody().settled(parts);
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

    fn warn_dropped(&self, failure: &Failure, items: usize, batch: &Sealed) {
        if let Some(suppressed) = self.warnings.allow(failure.code) {
            let sample = crate::otlp::sample(self.signal, &batch.payload());
            tracing::error!(
                endpoint = self.endpoint.label(),
                reason = failure.code.as_str(),
                error = %failure,
                dropped_items = items,
                client = batch.client().map(tracing::field::display),
                sources = batch.sources(),
                sample,
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

/// Whether a batch has to find another way.
const fn moves(mode: Mode, batch: &Sealed) -> bool {
    match mode {
        Mode::Active => false,
        Mode::Skipped => !batch.is_tainted,
        Mode::Leaving { .. } => true,
    }
}

/// Ends when attempts under way are cut off: never, unless the endpoint leaves the set.
async fn drain_deadline(mode: &mut watch::Receiver<Mode>) {
    loop {
        let now = *mode.borrow_and_update();
        if let Mode::Leaving { until } = now {
            return sleep_until(until).await;
        }
        if mode.changed().await.is_err() {
            // The backend's handle is gone: nobody will tell it to leave any more.
            std::future::pending::<()>().await;
        }
    }
}

/// An attempt at a leaving endpoint has taken too long.
fn cut_off() -> Failure {
    let text = "the backend has left the set, and its drain deadline has passed";
    let failure = Failure::new(Side::Backend, Code::Timeout, Retry::After(None), text);
    Failure { ambiguous: true, ..failure }
}

/// An ambiguous failure under the policy `drop`. Permanent, so that a client does not do what the policy forbids.
fn given_up(failure: Failure) -> Failure {
    let message = format!(
        "{}; it may have been delivered, and `ambiguous: drop` forbids sending it again",
        failure.message
    );
    // Without the status of the backend, which may be one that clients try again.
    let mut failure = Failure::new(failure.side, Code::Ambiguous, Retry::Never, message);
    failure.ambiguous = true;
    failure
}

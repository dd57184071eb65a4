//! What becomes of a batch that the endpoint rejects for its content or its size.
//!
//! Stage: backend, part of `send`. One bad item must not cost the others that were merged with it: the batch is cut, along the
//! borders of its sources, then of its resources, then of its items, until the guilty one is alone. The same for size, except
//! that an endpoint as a rule says its limit, which is remembered.
//!
//! **Budget.** Finding one item among thousands takes some twenty sends. An endpoint that rejects everything would cost
//! that for every batch, so cutting takes tokens, and deliveries bring them back: then the batch is dropped whole.

use std::sync::atomic::{AtomicU32, Ordering};

use super::{batch::Sealed, queue::Queue, send::Sender};
use crate::{
    model::{Code, Failure},
    otlp::{self, Splitter},
};

/// Cuts that a backend may make on credit: enough for four bad items in each of a few full batches.
const TOKENS: u32 = 256;

/// Tokens that one delivered message brings back.
const REFILL: u32 = 4;

/// How much cutting a backend may still do.
#[derive(Debug)]
pub(super) struct Bisection {
    tokens: AtomicU32,
}

impl Bisection {
    pub(super) const fn new() -> Self {
        Self { tokens: AtomicU32::new(TOKENS) }
    }

    /// A message was delivered.
    pub(super) fn delivered(&self) {
        // The common case reads only.
        if self.tokens.load(Ordering::Relaxed) < TOKENS {
            let add = |tokens: u32| Some((tokens + REFILL).min(TOKENS));
            let _changed = self.tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        }
    }

    fn take(&self) -> bool {
        self.tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tokens| tokens.checked_sub(1)).is_ok()
    }
}

impl Sender {
    /// Cuts a batch that is larger than what the endpoint is known to take, before it is sent.
    ///
    /// # Errors
    ///
    /// The pieces, the last one first; those that cannot be cut further are accounted for as dropped.
    pub(super) fn cut_to_size(&self, batch: Sealed, queue: &Queue) -> Result<Sealed, Vec<Sealed>> {
        let limit = queue.max_message_bytes();
        let bytes = batch.payload().len();
        if bytes <= limit {
            return Ok(batch);
        }
        if batch.sources() > 1 {
            return Err(self.halve_sources(batch));
        }
        let mut pieces = Vec::new();
        let mut splitter = Splitter::new(0);
        let payload = batch.payload();
        if let Ok(plan) = splitter.plan_by_size(self.signal, &payload, limit, usize::MAX) {
            for (slot, items, bytes) in plan.parts() {
                let mut piece = Vec::with_capacity(bytes);
                plan.append(slot, &mut piece);
                pieces.push((items, piece.into()));
            }
        }
        // An item that is too large by itself comes back as it is.
        if pieces.len() > 1 {
            return match self.in_pieces(batch, pieces, queue) {
                Ok(pieces) => Err(pieces),
                Err(batch) => Ok(batch),
            };
        }
        let text = format!("an item of {bytes} bytes exceeds the message limit of {limit}");
        self.finish(batch, queue, &Err(Failure::client(Code::TooLarge, text)));
        Err(Vec::new())
    }

    /// Cuts a batch that was rejected, if that may save some of it.
    ///
    /// # Errors
    ///
    /// The batch, if it cannot or must not be cut further.
    pub(super) fn cut_rejected(
        &self,
        batch: Sealed,
        failure: &Failure,
        queue: &Queue,
    ) -> Result<Vec<Sealed>, Sealed> {
        let is_too_large = failure.code == Code::TooLarge;
        if let (true, Some(limit)) = (is_too_large, failure.limit_bytes) {
            if queue.learn_max_message_bytes(limit) {
                tracing::warn!(
                    endpoint = self.endpoint.label(),
                    limit_bytes = limit,
                    "backend takes smaller messages than configured; larger ones are cut from now on"
                );
            }
            // `cut_to_size` will do it. A limit that the batch keeps is none that cutting could meet.
            if batch.payload().len() > limit {
                return Ok(vec![batch]);
            }
        }
        if !(is_too_large || blames_content(failure)) || batch.items <= 1 || !self.bisection.take() {
            return Err(batch);
        }
        if batch.sources() > 1 {
            return Ok(self.halve_sources(batch));
        }
        match otlp::halves(self.signal, &batch.payload()) {
            Ok(Some(halves)) => {
                let halves = halves.into_iter().map(|(items, half)| (items, half.into())).collect();
                self.in_pieces(batch, halves, queue)
            }
            // One item, or nothing that can be read: what was queued is valid, so the second does not happen.
            Ok(None) | Err(_) => Err(batch),
        }
    }

    fn halve_sources(&self, batch: Sealed) -> Vec<Sealed> {
        let [first, second] = batch.halves(&self.buffers);
        vec![second, first]
    }

    fn in_pieces(
        &self,
        mut batch: Sealed,
        pieces: Vec<(usize, bytes::Bytes)>,
        queue: &Queue,
    ) -> Result<Vec<Sealed>, Sealed> {
        match batch.pieces(pieces, &self.buffers) {
            Some(pieces) => {
                // Each is settled by itself.
                for _ in 1..pieces.len() {
                    queue.custody().took();
                }
                Ok(pieces)
            }
            None => Err(batch),
        }
    }
}

/// Whether a permanent failure may be due to the content: what a server answers to a message that it cannot decode. A wrong
/// credential or an unknown method concerns every message.
fn blames_content(failure: &Failure) -> bool {
    // UNKNOWN, INVALID_ARGUMENT, RESOURCE_EXHAUSTED (without RetryInfo, else it is retryable), INTERNAL. An ambiguous failure
    // may have been taken already, and an unsupported one would be for any content.
    !failure.is_retryable()
        && !failure.ambiguous
        && failure.code == Code::Rejected
        && matches!(failure.grpc_status, Some(2 | 3 | 8 | 13))
}

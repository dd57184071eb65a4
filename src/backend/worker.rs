//! The task of one backend: takes batches out of the queue, keeps up to N sends under way, and probes a suspect endpoint.
//!
//! Stage: backend. Owns every send; a wait between two attempts occupies one of the N, because a backend that fails
//! gains nothing from more of them, while its queue goes on merging what arrives.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::{
    Inner, Stop,
    health::Verdict,
    queue::Take,
    send::{Mode, Sender},
};
use crate::model::Code;

/// How often a backend looks whether its endpoint is suspect.
const LOOK: Duration = Duration::from_secs(1);

/// The state of the task.
#[derive(Debug)]
pub(super) struct Worker {
    sender: Sender,
    /// Shared with the handles.
    inner: Arc<Inner>,
    mode: watch::Receiver<Mode>,
    consumers: usize,
    stop: Stop,
}

impl Worker {
    pub(super) fn new(
        sender: Sender,
        inner: Arc<Inner>,
        mode: watch::Receiver<Mode>,
        consumers: usize,
        stop: Stop,
    ) -> Self {
        Self { sender, inner, mode, consumers, stop }
    }

    /// Runs until the endpoint has left the set, or the process ends, and everything taken is settled or handed back.
    pub(super) async fn run(self) {
        let mut mode = self.mode.clone();
        let Self { sender, inner, consumers, stop, .. } = &self;
        let queue = &inner.queue;
        let mut sends = FuturesUnordered::new();
        let mut probes = std::pin::pin!(self.probe_while_suspect());
        loop {
            let is_draining = stop.drain.is_cancelled();
            let mut wake = None;
            let now = Instant::now();
            while sends.len() < *consumers {
                match queue.take(sends.len(), now, is_draining) {
                    Take::Batch(batch) => sends.push(sender.send(batch, queue)),
                    Take::Wait(until) => {
                        wake = Some(until);
                        break;
                    }
                    Take::Empty => break,
                }
            }
            let is_leaving = matches!(*mode.borrow_and_update(), Mode::Leaving { .. });
            // The queue of a leaving endpoint is empty for good: it turns away.
            if sends.is_empty() && is_leaving {
                return;
            }
            tokio::select! {
                // The end first, so that no send begins after it; finished sends before new data, so that what
                // they occupied is free before more is taken.
                biased;
                () = stop.abort.cancelled() => break,
                () = stop.drain.cancelled(), if !is_draining => {}
                Some(()) = sends.next() => {}
                () = queue.changed() => {}
                // Never an error: this task holds the other end too.
                _changed = mode.changed() => {}
                () = sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
                // Whether a leaving endpoint works is nobody's concern any more.
                () = &mut probes, if !is_leaving => {}
            }
        }
        self.abandon(sends).await;
    }

    /// Asks a suspect endpoint from time to time whether it works. Never ends.
    async fn probe_while_suspect(&self) {
        let mut probes = 0;
        if !self.inner.health.is_watched() {
            return std::future::pending().await;
        }
        loop {
            sleep(LOOK).await;
            if self.inner.health.verdict(Instant::now()) == Verdict::Active {
                probes = 0;
                continue;
            }
            sleep(self.inner.health.probe_after(probes, fastrand::f64()).saturating_sub(LOOK)).await;
            probes += 1;
            self.sender.probe().await;
            if self.inner.health.verdict(Instant::now()) == Verdict::Active {
                self.inner.queue.custody().notify();
            }
        }
    }

    /// Gives up everything that is left. Sends under way see the same signal and end by themselves.
    async fn abandon(&self, mut sends: FuturesUnordered<impl Future<Output = ()>>) {
        let queue = &self.inner.queue;
        queue.close();
        let mut dropped = 0;
        loop {
            while let Take::Batch(batch) = queue.take(0, Instant::now(), true) {
                dropped += batch.items - batch.kept_items().min(batch.items);
                self.sender.give_up(batch, queue);
            }
            if sends.next().await.is_none() {
                if queue.is_done() {
                    break;
                }
                // A reservation made before the queue was closed is filled or dropped without waiting.
                queue.changed().await;
            }
        }
        if dropped > 0 {
            tracing::warn!(
                endpoint = self.sender.endpoint.label(),
                dropped_items = dropped,
                reason = Code::ShuttingDown.as_str(),
                "shutdown deadline passed with data in the sending queue"
            );
        }
    }
}

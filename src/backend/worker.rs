//! The task of one backend: takes batches out of the queue and keeps up to N sends under way.
//!
//! Stage: backend. Owns every send; a wait between two attempts occupies one of the N, because a backend that fails
//! gains nothing from more of them, while its queue goes on merging what arrives.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::time::{Instant, sleep_until};

use super::{
    Stop,
    queue::{Queue, Take},
    send::Sender,
};
use crate::model::Code;

/// The state of the task.
#[derive(Debug)]
pub(super) struct Worker {
    sender: Sender,
    queue: Arc<Queue>,
    consumers: usize,
    stop: Stop,
}

impl Worker {
    pub(super) fn new(sender: Sender, queue: Arc<Queue>, consumers: usize, stop: Stop) -> Self {
        Self { sender, queue, consumers, stop }
    }

    /// Runs until the queue is closed and everything taken has an outcome.
    pub(super) async fn run(self) {
        let Self { sender, queue, consumers, stop } = &self;
        let mut sends = FuturesUnordered::new();
        let mut draining = false;
        loop {
            let mut wake = None;
            let now = Instant::now();
            while sends.len() < *consumers {
                match queue.take(sends.len(), now, draining) {
                    Take::Batch(batch) => sends.push(sender.send(batch, queue)),
                    Take::Wait(until) => {
                        wake = Some(until);
                        break;
                    }
                    Take::Empty => break,
                }
            }
            if draining && sends.is_empty() && queue.is_done() {
                return;
            }
            tokio::select! {
                // The end first, so that no send begins after it; finished sends before new data, so that what
                // they occupied is free before more is taken.
                biased;
                () = stop.abort.cancelled() => break,
                () = stop.drain.cancelled(), if !draining => {
                    draining = true;
                    queue.close();
                }
                Some(()) = sends.next() => {}
                () = queue.changed() => {}
                () = sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
            }
        }
        self.abandon(sends).await;
    }

    /// Gives up everything that is left. Sends under way see the same signal and end by themselves.
    async fn abandon(&self, mut sends: FuturesUnordered<impl Future<Output = ()>>) {
        self.queue.close();
        let mut dropped = 0;
        loop {
            while let Take::Batch(batch) = self.queue.take(0, Instant::now(), true) {
                dropped += batch.items;
                self.sender.give_up(batch, &self.queue, Code::ShuttingDown);
            }
            if sends.next().await.is_none() {
                if self.queue.is_done() {
                    break;
                }
                // A reservation made before the queue was closed is filled or dropped without waiting.
                self.queue.changed().await;
            }
        }
        if dropped > 0 {
            tracing::warn!(
                endpoint = self.sender.endpoint().label(),
                dropped_items = dropped,
                reason = Code::ShuttingDown.as_str(),
                "shutdown deadline passed with data in the sending queue"
            );
        }
    }
}

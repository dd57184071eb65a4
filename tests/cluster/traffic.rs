//! Traffic that goes on until it is told to end, and what became of every span of it.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::delivery::arrival::arrival;
use crate::delivery::client::{Client, Sent};
use crate::delivery::outcome::Outcome;
use crate::delivery::script::{Script, Traces};
use crate::delivery::sinks::Sink;
use crate::gateway::Gateway;
use crate::pool::Pool;
use crate::{poll, report};

/// Requests in a second, and spans in each: five traces of four.
const RATE: u32 = 50;
const REQUEST_SPANS: usize = 20;

/// More requests than any test sends.
const MANY: usize = 100_000;

/// Traces that [`owners`] sends, and how often it may be called for one pool.
pub(crate) const KEYS: usize = 300;
const ROUNDS: usize = 20;

/// The spans of [`owners`] have lower numbers, those of [`Traffic`] begin here.
const FIRST: usize = ROUNDS * KEYS;

/// A client that sends all the time.
#[derive(Debug)]
pub(crate) struct Traffic {
    enough: oneshot::Sender<()>,
    progress: watch::Receiver<usize>,
    task: JoinHandle<anyhow::Result<Sent>>,
}

impl Traffic {
    /// Starts.
    pub(crate) fn start(gateway: &Gateway) -> Self {
        Self::at(gateway, RATE)
    }

    /// Starts, with so many requests in a second.
    pub(crate) fn at(gateway: &Gateway, rate: u32) -> Self {
        let script = Script {
            seed: 11,
            first: FIRST,
            requests: MANY,
            request_spans: REQUEST_SPANS,
            traces: Traces::Small,
        };
        let client = Client { gateway: gateway.grpc, script, pace: Duration::from_secs(1) / rate };
        let (enough, told) = oneshot::channel();
        let (sender, progress) = watch::channel(0);
        let task = tokio::spawn(client.run_until(sender, async {
            // A sender that is gone means the same.
            drop(told.await);
        }));
        Self { enough, progress, task }
    }

    /// Waits until so many requests more have been acknowledged.
    ///
    /// # Errors
    ///
    /// When nothing is acknowledged any more.
    pub(crate) async fn flows(&self, more: usize) -> anyhow::Result<()> {
        let mut progress = self.progress.clone();
        let aim = *progress.borrow() + more;
        let waits = progress.wait_for(|done| *done >= aim);
        let done = tokio::time::timeout(Duration::from_secs(60), waits).await;
        done.with_context(|| format!("{more} more requests are not acknowledged"))?.context("it ended")?;
        Ok(())
    }

    /// Ends, and waits for what has no answer yet.
    ///
    /// # Errors
    ///
    /// When a request was refused for good.
    pub(crate) async fn end(self) -> anyhow::Result<Sent> {
        drop(self.enough);
        self.task.await?
    }

    /// Ends, waits until everything has arrived, stops the gateway, and draws the balance: nothing is lost, nothing came twice,
    /// and the client saw no error.
    ///
    /// # Errors
    ///
    /// When the balance is another one.
    pub(crate) async fn balance(self, name: &str, gateway: Gateway, pool: &mut Pool) -> anyhow::Result<()> {
        let outcome = self.outcome(name, gateway, pool).await?;
        // Small requests, many backends: what a split needs is no small share of them.
        Outcome { bytes_ratio: 1.0, ..outcome }.clean()
    }

    /// As [`Traffic::balance`] for a pool that was empty for a while: the client was refused then, and sent again.
    ///
    /// # Errors
    ///
    /// As there.
    pub(crate) async fn balance_with_refusals(
        self,
        name: &str,
        gateway: Gateway,
        pool: &mut Pool,
    ) -> anyhow::Result<()> {
        let outcome = self.outcome(name, gateway, pool).await?;
        ensure!(outcome.errors > 0, "nothing was refused: {outcome}");
        Outcome { bytes_ratio: 1.0, errors: 0, ..outcome }.clean()
    }

    async fn outcome(self, name: &str, gateway: Gateway, pool: &mut Pool) -> anyhow::Result<Outcome> {
        let sent = self.end().await?;
        arrival(&sent, &mut pool.sinks).await?;
        gateway.stop().await?;
        let tallies = pool.tallies();
        let outcome = Outcome::new(&sent, &[], &tallies.iter().collect::<Vec<_>>());
        report(format!("{name} | {outcome}"));
        Ok(outcome)
    }
}

/// Which sink of the pool each of [`KEYS`] traces goes to now. `round` tells calls for one pool apart.
///
/// # Errors
///
/// When a trace does not arrive.
pub(crate) async fn owners(round: usize, gateway: &Gateway, pool: &Pool) -> anyhow::Result<Vec<usize>> {
    ensure!(round < ROUNDS, "too many rounds");
    let first = round * KEYS;
    let script = Script { seed: 5, first, requests: KEYS, request_spans: 1, traces: Traces::OfOne(KEYS) };
    let client = Client { gateway: gateway.grpc, script, pace: Duration::from_millis(1) };
    client.run(watch::channel(0).0).await?;
    let arrived = poll::until("every trace has arrived", Duration::from_secs(30), async || {
        Ok(find(first, &pool.sinks))
    });
    arrived.await
}

fn find(first: usize, sinks: &[Sink]) -> Option<Vec<usize>> {
    let tallies: Vec<_> = sinks.iter().map(Sink::tally).collect();
    let owner = |number: usize| tallies.iter().position(|tally| tally.copies(number) > 0);
    (first..first + KEYS).map(owner).collect()
}

/// How many keys moved, if they moved as little as they may: only to sinks that are new, or away from those that are gone.
///
/// # Errors
///
/// When a key moved between two sinks that were there all the time.
pub(crate) fn moved(before: &[usize], after: &[usize], stayed: &[usize]) -> anyhow::Result<usize> {
    let mut moved = 0;
    for (key, (from, to)) in before.iter().zip(after).enumerate() {
        moved += usize::from(from != to);
        ensure!(
            from == to || !(stayed.contains(from) && stayed.contains(to)),
            "trace {key} moved from sink {from} to {to}, and both were there all the time"
        );
    }
    Ok(moved)
}

#[test]
fn keys_that_move_without_need_are_seen() {
    // Scenario: three keys of sinks 0, 1 and 2; sink 3 joins and takes one; sink 2 leaves; one moves from 0 to 1.
    // Guarantees: the first two count what moved, the third is refused.
    assert_eq!(moved(&[0, 1, 2], &[0, 3, 2], &[0, 1, 2]).unwrap(), 1);
    assert_eq!(moved(&[0, 1, 2], &[0, 1, 1], &[0, 1]).unwrap(), 1);
    assert!(moved(&[0, 1, 2], &[1, 1, 2], &[0, 1, 2]).is_err());
}

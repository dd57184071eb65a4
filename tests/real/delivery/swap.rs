//! 100 of 300 backends are replaced at once, 10 of them by addresses whose connections are never established.
//!
//! A second gateway with the same load, whose set does not change, shows what this machine does to latencies meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::sync::watch;

use super::arrival::arrival;
use super::client::{Client, Sent};
use super::launch;
use super::membership::{self, Membership};
use super::outcome::Outcome;
use super::script::{Script, Traces};
use super::sinks::{BlackHole, Sink};
use crate::gateway::{Gateway, Kind};
use crate::workspace::Workspace;
use crate::{alone, report};

const BACKENDS: usize = 300;
const REPLACED: usize = 100;
const HOLES: usize = 10;
/// There and back again: black holes leave as often as they join.
const SWAPS: usize = 6;
/// Between two swaps: more than it takes until the set is read again (see [`Membership`]).
fn period(kind: Kind) -> Duration {
    match kind {
        Kind::Ringway => Duration::from_secs(2),
        Kind::Collector => Duration::from_secs(9),
    }
}
/// Requests in a second, to each of the two gateways.
const RATE: u32 = 50;
const REQUEST_SPANS: usize = 30;

/// How long a request may wait for a lock or a connection.
const WAIT_MAX: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_waits_while_a_third_of_the_pool_is_replaced() -> anyhow::Result<()> {
    // Scenario: queues for each of 300 backends; 100 of them are replaced by 90 others and 10 black holes, and come back, three
    // times, under load.
    // Guarantees: no request waits for a lock or a connection: the longest acknowledgement after a swap is, in the median of
    // all swaps, at most 50 ms longer than beside it; nothing is lost, nothing comes twice, the clients see no error.
    let _alone = alone().await;
    let kind = Kind::under_test()?;
    let workspace = Workspace::new("swap")?;
    let mut sinks = Vec::new();
    for _ in 0..BACKENDS + REPLACED - HOLES {
        sinks.push(Sink::start().await?);
    }
    let mut holes = Vec::new();
    for _ in 0..HOLES {
        holes.push(BlackHole::start().await?);
    }
    let addresses: Vec<_> = sinks.iter().map(|sink| sink.address).collect();
    let before = &addresses[..BACKENDS];
    let holes = holes.iter().map(|hole| hole.address);
    let after: Vec<_> = addresses[REPLACED..].iter().copied().chain(holes.clone()).collect();
    ensure!(after.len() == BACKENDS, "{} members after", after.len());

    let members = Membership::new(kind, before, &workspace)?;
    let configs = ["delivery.yaml", "delivery_inner.yaml"];
    let mut swapped = launch(kind, &configs, "", &workspace)?;
    members.join(&mut swapped);
    let mut still = launch(kind, &configs, "", &workspace)?;
    still.name = "gateway-still";
    still.configs.push(membership::fixed("still.yaml", before, &workspace)?);
    let (swapped, still) =
        tokio::try_join!(Gateway::launch(&swapped, &workspace), Gateway::launch(&still, &workspace))?;

    // The first period warms up: connections to 300 backends are made then.
    let periods = u32::try_from(SWAPS + 2)?;
    let period = period(kind);
    let requests = usize::try_from(period.as_secs() * u64::from(RATE) * u64::from(periods))?;
    let one = Script { seed: 19, first: 0, requests, request_spans: REQUEST_SPANS, traces: Traces::Small };
    let other = Script { first: one.spans(), ..one };
    let pace = Duration::from_secs(1) / RATE;
    let client = |gateway: &Gateway, script| Client { gateway: gateway.grpc, script, pace };
    let swaps = async {
        let mut at = Vec::new();
        tokio::time::sleep(period).await;
        for number in 0..SWAPS {
            tokio::time::sleep(period).await;
            members.set(if number % 2 == 0 { &after } else { before })?;
            at.push(Instant::now());
        }
        anyhow::Ok(at)
    };
    let (sent, beside, at) = tokio::try_join!(
        client(&swapped, one).run(watch::channel(0).0),
        client(&still, other).run(watch::channel(0).0),
        swaps
    )?;
    still.stop().await?;
    let waited = arrival(&sent, &mut sinks).await;
    swapped.stop().await?;

    let waits = Waits::new(&sent, &beside, &at, period)?;
    let tallies: Vec<_> = sinks.iter().map(Sink::tally).collect();
    let outcome = Outcome::new(&sent, &[], &tallies.iter().collect::<Vec<_>>());
    let outcome = Outcome { bytes_ratio: 1.0, ..outcome }; // two gateways sent to these sinks
    report(format!("swap | {kind:?} | {outcome} | {} errors beside | {waits:?}", beside.errors()));
    outcome.clean()?;
    waits.verdict()?;
    waited?;
    workspace.remove()
}

/// The longest acknowledgement after each swap, and beside it.
#[derive(Debug)]
struct Waits {
    swapped: Vec<Duration>,
    still: Vec<Duration>,
}

impl Waits {
    fn new(swapped: &Sent, still: &Sent, at: &[Instant], period: Duration) -> anyhow::Result<Self> {
        let longest = |sent: &Sent| -> anyhow::Result<Vec<Duration>> {
            let after = |at: &Instant| {
                let period = *at..*at + period;
                let began = sent
                    .requests
                    .iter()
                    .filter(|request| request.began.is_some_and(|at| period.contains(&at)));
                began
                    .map(|request| request.latency().unwrap_or(Duration::MAX))
                    .max()
                    .context("no request after a swap")
            };
            at.iter().map(after).collect()
        };
        Ok(Self { swapped: longest(swapped)?, still: longest(still)? })
    }

    /// How much longer than beside, in the median of all swaps.
    fn excess(&self) -> Option<Duration> {
        let mut excess: Vec<Duration> = self
            .swapped
            .iter()
            .zip(&self.still)
            .map(|(swapped, still)| swapped.saturating_sub(*still))
            .collect();
        excess.sort_unstable();
        excess.get(excess.len() / 2).copied()
    }

    /// Fails if requests wait for a swap.
    fn verdict(&self) -> anyhow::Result<()> {
        let excess = self.excess().context("no swap")?;
        ensure!(excess <= WAIT_MAX, "requests wait {excess:?} longer after a swap: {self:?}");
        Ok(())
    }
}

#[test]
fn a_wait_after_every_swap_is_seen_and_one_of_the_machine_is_excused() {
    // Scenario: three swaps; nobody waits; one request after each swap waits for 60 ms; one after one swap does; both gateways
    // stall at once; a request is never answered after two of the swaps.
    // Guarantees: only what comes with the swaps fails.
    use super::client::Answered;

    let millisecond = Duration::from_millis(1);
    let (start, period) = (Instant::now(), Duration::from_secs(2));
    let at: Vec<Instant> = (0..3).map(|swap| start + swap * period).collect();
    let sent = |longest: [Option<u32>; 3]| {
        let script = Script { seed: 1, first: 0, requests: 30, request_spans: 1, traces: Traces::Small };
        let mut sent = Sent::new(script);
        for (number, request) in (0..).zip(&mut sent.requests) {
            let began = start + number * period / 10;
            let took = if number % 10 == 3 { longest[number as usize / 10] } else { Some(2) };
            *request = Answered {
                began: Some(began),
                acknowledged: took.map(|took| began + took * millisecond),
                failed: 0,
            };
        }
        sent
    };
    let calm = sent([Some(2); 3]);
    for (passes, swapped, still) in [
        (true, [Some(2), Some(3), Some(4)], &calm),
        (false, [Some(60), Some(60), Some(60)], &calm),
        (true, [Some(2), Some(60), Some(2)], &calm),
        (true, [Some(60), Some(60), Some(60)], &sent([Some(55), Some(56), Some(57)])),
        (false, [None, None, Some(2)], &calm),
    ] {
        let waits = Waits::new(&sent(swapped), still, &at, period).unwrap();
        assert_eq!(waits.verdict().is_ok(), passes, "{waits:?}");
    }
}

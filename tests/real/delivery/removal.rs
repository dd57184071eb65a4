//! A backend leaves the set while more than 100,000 spans wait for it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::sync::watch;

use super::arrival::arrival;
use super::client::{Client, Sent};
use super::launch;
use super::membership::Membership;
use super::outcome::Outcome;
use super::script::{Script, Traces};
use super::sinks::{Mode, Mute, Sink};
use crate::gateway::{Gateway, Kind};
use crate::workspace::Workspace;
use crate::{report, together};

/// 50,000 spans a second, about a third of them for the backend that leaves.
const SCRIPT: Script =
    Script { seed: 11, first: 0, requests: 1000, request_spans: 500, traces: Traces::Small };
const PACE: Duration = Duration::from_millis(10);
/// It leaves when so many spans were acknowledged and have not arrived: a few of them are under way to the others.
const LEAVES_AT: usize = 115_000;

/// How long a request under way to a backend that has left may take: longer than the slow one needs.
const DRAIN: Duration = Duration::from_secs(4);

/// How long the slow backend takes for a request.
const SLOW: Duration = Duration::from_secs(3);

/// How long the old address is watched after the drain deadline.
const WATCH: Duration = Duration::from_secs(4);

/// What the backend that leaves is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Old {
    /// It refuses connections.
    Dead,
    /// It accepts connections and never says a word.
    Hanging,
    /// It answers each request, after [`SLOW`].
    Slow,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queue_of_a_dead_backend_is_delivered_elsewhere() -> anyhow::Result<()> {
    // Scenario: one of three backends refuses connections until 100,000 spans are queued for it; then it leaves the set,
    // under load.
    // Guarantees: every acknowledged span arrives at the two others, once; the client notices nothing; after the drain
    // deadline nobody dials the old address.
    check("removal-dead", Old::Dead).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queue_of_a_hanging_backend_is_delivered_elsewhere() -> anyhow::Result<()> {
    // Scenario: as above with a backend that accepts connections and says nothing.
    // Guarantees: as above; after the drain deadline not a byte goes to the old address.
    check("removal-hanging", Old::Hanging).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queue_of_a_slow_backend_is_delivered_elsewhere() -> anyhow::Result<()> {
    // Scenario: as above with a backend in good health that takes 3 s for a request.
    // Guarantees: as above; what is under way when it leaves ends there, so nothing is delivered twice.
    check("removal-slow", Old::Slow).await
}

async fn check(name: &str, old: Old) -> anyhow::Result<()> {
    let _together = together().await;
    let kind = Kind::under_test()?;
    let workspace = Workspace::new(name)?;
    let mut leaving = Sink::closed();
    let mute = match old {
        Old::Dead => None,
        Old::Hanging => Some(Mute::start(leaving.address).await?),
        Old::Slow => {
            leaving.open().await?;
            leaving.answer(Mode::After(SLOW));
            None
        }
    };
    let mut sinks = vec![leaving, Sink::start().await?, Sink::start().await?];
    let addresses: Vec<_> = sinks.iter().map(|sink| sink.address).collect();

    let members = Membership::new(kind, &addresses, &workspace)?;
    // Without health, because what is queued has to stay until the backend leaves.
    let ours = format!("{{health: {{enabled: false}}, drain_timeout: {}s}}", DRAIN.as_secs());
    let mut launch = launch(kind, &["delivery.yaml", "delivery_removal.yaml"], &ours, &workspace)?;
    members.join(&mut launch);
    let gateway = Gateway::launch(&launch, &workspace).await?;

    let (progress, mut acknowledged) = watch::channel(0);
    let leaves = async {
        let arrived = || sinks.iter().map(Sink::spans).sum::<usize>();
        let waiting = |requests: usize| (requests * SCRIPT.request_spans).saturating_sub(arrived());
        let long = acknowledged.wait_for(|requests| waiting(*requests) >= LEAVES_AT).await;
        long.context("the load ended before the queue was long")?;
        let arrived = arrived();
        members.set(&addresses[1..])?;
        anyhow::Ok((Instant::now(), arrived))
    };
    let client = Client { gateway: gateway.grpc, script: SCRIPT, pace: PACE };
    let (sent, (left, arrived)) = tokio::try_join!(client.run(progress), leaves)?;
    let queued = acknowledged_by(&sent, left).saturating_sub(arrived);

    // The set is read again within a moment by ringway, within 6 s by the Collector (see `Membership`).
    let notices = match kind {
        Kind::Ringway => Duration::from_secs(1),
        Kind::Collector => Duration::from_secs(7),
    };
    tokio::time::sleep_until((left + notices + DRAIN).into()).await;
    let later = match (old, &mute) {
        (Old::Dead, _) => {
            let listener = Mute::start(addresses[0]).await?;
            tokio::time::sleep(WATCH).await;
            listener.heard()
        }
        (Old::Hanging, Some(mute)) => {
            let before = mute.heard();
            tokio::time::sleep(WATCH).await;
            (mute.heard().0 - before.0, mute.heard().1 - before.1)
        }
        _ => {
            let before = sinks[0].messages();
            tokio::time::sleep(WATCH).await;
            (sinks[0].messages() - before, 0)
        }
    };

    let waited = arrival(&sent, &mut sinks).await;
    let stopped = gateway.stop().await;
    let tallies: Vec<_> = sinks.iter().map(Sink::tally).collect();
    let outcome = Outcome::new(&sent, &[], &tallies.iter().collect::<Vec<_>>());
    report(format!(
        "{name} | {kind:?} | {queued} queued when it left | {outcome} | later at the old address {later:?}"
    ));
    verdict(queued, later, &outcome)?;
    waited?;
    stopped?;
    workspace.remove()
}

/// Spans that had been acknowledged at that time.
fn acknowledged_by(sent: &Sent, time: Instant) -> usize {
    let by = |at: Instant| at <= time;
    let requests = sent.requests.iter().filter(|request| request.acknowledged.is_some_and(by)).count();
    requests * sent.script.request_spans
}

/// Fails if anything is wrong, or if the scenario was not what it is meant to be. `later` are connections or requests, and
/// bytes, at the old address after the drain deadline.
fn verdict(queued: usize, later: (usize, u64), outcome: &Outcome) -> anyhow::Result<()> {
    ensure!(queued >= 100_000, "only {queued} spans waited when the backend left");
    outcome.clean()?;
    ensure!(later == (0, 0), "the old address was used after the drain deadline: {later:?}");
    Ok(())
}

#[test]
fn a_short_queue_and_late_use_are_seen() {
    // Scenario: a right outcome; too little queued; a connection, or a byte, too late; a lost span.
    // Guarantees: only the first passes.
    let right = Outcome { acknowledged: 1, bytes_ratio: 1.0, ..Outcome::default() };
    let lossy = Outcome { lost: 1, ..right.clone() };
    for (passes, queued, later, outcome) in [
        (true, 100_000, (0, 0), &right),
        (false, 99_999, (0, 0), &right),
        (false, 100_000, (1, 0), &right),
        (false, 100_000, (0, 1), &right),
        (false, 100_000, (0, 0), &lossy),
    ] {
        assert_eq!(verdict(queued, later, outcome).is_ok(), passes);
    }
}

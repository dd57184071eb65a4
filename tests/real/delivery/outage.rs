//! One of four Collectors fails under load, in three ways, with both places where a queue can be.
//!
//! The rate is the same in short and full runs: it is what fills queues. Only times differ.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::sync::watch;

use super::arrival::arrival;
use super::client::{Client, percentile};
use super::membership::{self, Membership, PORT};
use super::outcome::Outcome;
use super::script::{Script, Traces};
use super::tally::Tape;
use super::{launch, seconds};
use crate::collector::Collector;
use crate::gateway::{Gateway, Kind};
use crate::workspace::Workspace;
use crate::{loopback, report, together};

/// Requests in a second, and spans in each.
const RATE: u32 = 40;
const REQUEST_SPANS: usize = 500;

/// Load before the incident.
const BEFORE: Duration = Duration::from_secs(5);

/// What happens to one of the four.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Incident {
    /// SIGKILL; started again later.
    Killed,
    /// Stopped in an orderly way, so that connections are refused and nothing is left in the air; started again later.
    Refuses,
    /// SIGSTOP: connections are accepted by the kernel and nothing is ever answered. Later SIGKILL, and it leaves the set.
    HangsAndLeaves,
}

impl Incident {
    /// How long it lasts, and how long the load goes on after it.
    fn times(self) -> (Duration, Duration) {
        match self {
            Self::Killed => (seconds(20, 60), seconds(5, 15)),
            Self::Refuses => (seconds(8, 20), seconds(5, 15)),
            Self::HangsAndLeaves => (Duration::from_secs(10), seconds(5, 25)),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_backend_with_a_queue_for_each() -> anyhow::Result<()> {
    // Scenario: one of four Collectors is killed with SIGKILL under 20,000 spans a second, and started again after 20 s (60 s
    // in full), longer than it takes a gateway to notice; queue and retries for each backend, at their defaults.
    // Guarantees: the client sees no error; every acknowledged span arrives; the survivors get nothing twice, and nobody does
    // but what the killed one wrote without living to say so; bytes out are at most 1.02 of bytes in.
    check("killed-inner", Incident::Killed, "delivery_inner.yaml").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_backend_with_one_queue_in_front() -> anyhow::Result<()> {
    // Scenario: as above, with one queue and its retries in front of the split.
    // Guarantees: as above.
    check("killed-outer", Incident::Killed, "delivery_outer.yaml").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusing_backend_with_a_queue_for_each() -> anyhow::Result<()> {
    // Scenario: one of four Collectors refuses connections for 8 s (20 s in full) under 20,000 spans a second; queue and retries
    // for each backend.
    // Guarantees: no error at the client, no span lost, none twice without excuse, no more bytes than a split needs.
    check("refusing-inner", Incident::Refuses, "delivery_inner.yaml").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusing_backend_with_one_queue_in_front() -> anyhow::Result<()> {
    // Scenario: as above, with one queue and its retries in front of the split.
    // Guarantees: as above.
    check("refusing-outer", Incident::Refuses, "delivery_outer.yaml").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hanging_backend_that_leaves_with_a_queue_for_each() -> anyhow::Result<()> {
    // Scenario: one of four Collectors stops answering for 10 s under 20,000 spans a second, then it is killed and leaves the
    // set; queue and retries for each backend.
    // Guarantees: no error at the client; what was queued for it arrives elsewhere; nothing twice but what it wrote before it
    // hung, and could not say so.
    check("hanging-inner", Incident::HangsAndLeaves, "delivery_inner.yaml").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hanging_backend_that_leaves_with_one_queue_in_front() -> anyhow::Result<()> {
    // Scenario: as above, with one queue and its retries in front of the split.
    // Guarantees: as above.
    check("hanging-outer", Incident::HangsAndLeaves, "delivery_outer.yaml").await
}

async fn check(name: &str, incident: Incident, queue: &str) -> anyhow::Result<()> {
    let _together = together().await;
    let kind = Kind::under_test()?;
    let workspace = Workspace::new(name)?;
    let addresses = [(); 4].map(|()| loopback::address());
    let [victim, one, two, three] = addresses;
    let victim = record(victim, "victim", &workspace).await?;
    let survivors = [
        record(one, "survivor-1", &workspace).await?,
        record(two, "survivor-2", &workspace).await?,
        record(three, "survivor-3", &workspace).await?,
    ];
    let mut tapes: Vec<Tape> =
        [&victim].into_iter().chain(&survivors).map(|collector| Tape::new(collector.file())).collect();

    let mut launch = launch(kind, &["delivery.yaml", queue], "", &workspace)?;
    let members = if incident == Incident::HangsAndLeaves {
        let members = Membership::new(kind, &addresses, &workspace)?;
        members.join(&mut launch);
        Some(members)
    } else {
        launch.configs.push(membership::fixed("members.yaml", &addresses, &workspace)?);
        None
    };
    let gateway = Gateway::launch(&launch, &workspace).await?;

    let (lasts, after) = incident.times();
    let load = BEFORE + lasts + after;
    let requests = usize::try_from(load.as_secs() * u64::from(RATE))?;
    let script = Script { seed: 7, first: 0, requests, request_spans: REQUEST_SPANS, traces: Traces::Small };
    let client = Client { gateway: gateway.grpc, script, pace: Duration::from_secs(1) / RATE };
    let endpoint = victim.endpoint;
    let happens = async {
        tokio::time::sleep(BEFORE).await;
        match incident {
            Incident::Killed => victim.kill().await?,
            Incident::Refuses => victim.stop().await?,
            Incident::HangsAndLeaves => {
                victim.signal("STOP").await?;
                tokio::time::sleep(lasts).await;
                victim.kill().await?;
                let members = members.as_ref().context("a set that can change")?;
                members.set(&addresses[1..])?;
                return Ok(None);
            }
        }
        tokio::time::sleep(lasts).await;
        anyhow::Ok(Some(record_on(endpoint, "restarted", &workspace).await?))
    };
    let (sent, restarted) = tokio::try_join!(client.run(watch::channel(0).0), happens)?;
    tapes.extend(restarted.iter().map(|collector| Tape::new(collector.file())));

    let waited = arrival(&sent, &mut tapes).await;
    let stopped = gateway.stop().await;
    for collector in survivors.into_iter().chain(restarted) {
        collector.stop().await?;
    }
    for tape in &mut tapes {
        tape.read()?;
    }
    let tallies: Vec<_> = tapes.iter().map(|tape| &tape.tally).collect();
    let outcome = match incident {
        // Whoever ends in an orderly way has answered for all it wrote, so that nothing is excused.
        Incident::Refuses => Outcome::new(&sent, &[], &tallies),
        Incident::Killed | Incident::HangsAndLeaves => Outcome::new(&sent, &tallies[..1], &tallies[1..]),
    };
    let mut latencies: Vec<Duration> = sent.requests.iter().filter_map(|request| request.latency()).collect();
    let p99 = percentile(&mut latencies, 990).unwrap_or_default();
    let spans: Vec<usize> = tallies.iter().map(|tally| tally.spans).collect();
    report(format!("{name} | {kind:?} | {outcome} | p99 {p99:?} | {} late | at each {spans:?}", sent.late));
    ensure!(spans.iter().all(|spans| *spans > 0), "a Collector took no part: {spans:?}");
    outcome.clean()?;
    waited?; // If nothing is missing now, but was until the gateway was told to stop: still a failure.
    stopped?;
    workspace.remove()
}

async fn record(address: Ipv4Addr, name: &str, workspace: &Workspace) -> anyhow::Result<Collector> {
    record_on((address, PORT).into(), name, workspace).await
}

async fn record_on(endpoint: SocketAddr, name: &str, workspace: &Workspace) -> anyhow::Result<Collector> {
    Collector::start_on(endpoint, name, "record_delivery.yaml", "", workspace).await
}

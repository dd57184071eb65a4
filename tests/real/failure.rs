//! A backend dies under load and comes back.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::collector::Collector;
use crate::gateway::{Gateway, Kind};
use crate::load::{Shape, connect, span_ids};
use crate::spans::SpanId;
use crate::workspace::Workspace;
use crate::{alone, loopback, poll, report};

/// Requests of the load, and the time between two: 15 seconds at 5,000 spans a second.
const REQUESTS: usize = 1500;
const PACE: Duration = Duration::from_millis(10);

/// After how many requests the Collector is killed, and started again.
const KILL_AT: usize = REQUESTS / 4;
const RESTART_AT: usize = REQUESTS / 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_backend_costs_nothing_with_a_queue_for_each_backend() -> anyhow::Result<()> {
    // Scenario: one of three Collectors is killed with SIGKILL under load and started again on its port while the load
    // goes on. The gateway queues for each backend (`protocol.otlp.sending_queue`, the default).
    // Guarantees: clients are not refused; every span that was acknowledged arrives; none arrives twice at the two others.
    check("failure-inner-queue", "gateway.yaml").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_backend_costs_nothing_with_one_queue_in_front() -> anyhow::Result<()> {
    // Scenario: as above, with queue and retries configured in front of the split (`sending_queue` and
    // `retry_on_failure` of `load_balancing` itself).
    // Guarantees: as above. The real Collector repeats whole requests here, at healthy backends too.
    check("failure-outer-queue", "gateway_outer_retry.yaml").await
}

/// Runs the scenario against a gateway with the given configuration.
///
/// What a Collector acknowledges is in its file (see `collector/record.yaml`), so a span that is in no file was lost by
/// the gateway. At the killed Collector a span may have been written without being acknowledged when the kill came, and
/// then it comes again, since nobody can know. That is the one excuse for a second copy; it is counted and reported.
async fn check(name: &str, config: &str) -> anyhow::Result<()> {
    let _alone = alone().await;
    let workspace = Workspace::new(name)?;
    let endpoint = loopback::endpoint()?;
    let killed = Collector::start_on(endpoint, "killed", "record.yaml", "", &workspace).await?;
    let other_1 = Collector::start("other-1", "record.yaml", "", &workspace).await?;
    let other_2 = Collector::start("other-2", "record.yaml", "", &workspace).await?;
    let endpoints = [&killed, &other_1, &other_2].map(|collector| collector.endpoint.to_string());
    let mut files = [killed.spans(), other_1.spans(), other_2.spans()].to_vec();
    let gateway = Gateway::start(Kind::under_test()?, config, &endpoints, &workspace).await?;

    let shape = Shape { seed: 7, traces: REQUESTS * 50, trace_spans_max: 1, request_spans: 50 };
    let (progress, sent) = watch::channel(0);
    let incident = async {
        reached(sent.clone(), KILL_AT).await?;
        killed.kill().await?;
        reached(sent, RESTART_AT).await?;
        Collector::start_on(endpoint, "restarted", "record.yaml", "", &workspace).await
    };
    let (acknowledged, restarted) =
        tokio::try_join!(send(gateway.grpc, shape.requests(&[]), progress), incident)?;
    files.push(restarted.spans());

    let arrival = poll::until("every acknowledged span arrives", Duration::from_secs(60), async || {
        let mut missing: HashSet<&SpanId> = acknowledged.iter().collect();
        for file in &mut files {
            for span in file.read()? {
                missing.remove(&span.id);
            }
        }
        Ok(missing.is_empty().then_some(()))
    })
    .await;
    gateway.stop().await?;
    for collector in [other_1, other_2, restarted] {
        collector.stop().await?;
    }

    let mut arrived = Vec::new();
    for file in &mut files {
        arrived.push(file.read()?.iter().map(|span| &span.id).collect::<Vec<_>>());
    }
    let [killed, other_1, other_2, restarted] = arrived.as_slice() else { unreachable!("four files") };
    let outcome = Outcome::new(&acknowledged, killed, [other_1, other_2, restarted]);
    report(format!("{name}: {outcome:?}"));
    outcome.verdict()?;
    arrival?; // If nothing is missing now, but was until the gateway was told to stop: still a failure.
    workspace.remove()
}

/// Sends the requests at an even pace and returns the spans of those that were acknowledged. `progress` counts requests
/// that have been sent.
///
/// Nothing is sent twice from here, so a second copy of a span was made by the gateway.
async fn send(
    gateway: SocketAddr,
    requests: Vec<ExportTraceServiceRequest>,
    progress: watch::Sender<usize>,
) -> anyhow::Result<Vec<SpanId>> {
    let client = connect(gateway).await?;
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut exports = JoinSet::new();
    for request in requests {
        pace.tick().await;
        let mut client = client.clone();
        let spans: Vec<SpanId> = span_ids(&request).collect();
        exports.spawn(async move {
            let answer = tokio::time::timeout(Duration::from_secs(30), client.export(request)).await;
            answer.context("no answer within 30 s")??;
            anyhow::Ok(spans)
        });
        progress.send_modify(|sent| *sent += 1);
    }
    let mut acknowledged = Vec::new();
    while let Some(export) = exports.join_next().await {
        acknowledged.extend(export?.context("the gateway refused a request")?);
    }
    Ok(acknowledged)
}

/// Waits until so many requests have been sent.
async fn reached(mut sent: watch::Receiver<usize>, count: usize) -> anyhow::Result<()> {
    sent.wait_for(|sent| *sent >= count).await.context("the load ended early")?;
    Ok(())
}

/// What became of the acknowledged spans.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    acknowledged: usize,
    /// Arrived at the killed Collector before it died, at the two others, and at the restarted one.
    arrived: [usize; 4],
    /// Acknowledged and nowhere.
    lost: usize,
    /// More than one copy, not counting one that the killed Collector may have written without an answer.
    twice: usize,
    /// Excused second copies.
    excused: usize,
}

impl Outcome {
    /// Counts. `alive` are the files of Collectors that were never killed, the restarted one last.
    fn new(acknowledged: &[SpanId], killed: &[&SpanId], alive: [&[&SpanId]; 3]) -> Self {
        let mut copies: HashMap<&SpanId, (usize, usize)> = HashMap::new();
        for span in killed {
            copies.entry(span).or_default().0 += 1;
        }
        for span in alive.into_iter().flatten() {
            copies.entry(span).or_default().1 += 1;
        }
        Self {
            acknowledged: acknowledged.len(),
            arrived: [killed.len(), alive[0].len(), alive[1].len(), alive[2].len()],
            lost: acknowledged.iter().filter(|span| !copies.contains_key(span)).count(),
            twice: copies.values().filter(|(killed, alive)| *killed > 1 || *alive > 1).count(),
            excused: copies.values().filter(|copies| **copies == (1, 1)).count(),
        }
    }

    /// Fails if anything is wrong, or if the scenario was not what it is meant to be.
    fn verdict(&self) -> anyhow::Result<()> {
        ensure!(self.lost == 0, "acknowledged spans were lost: {self:?}");
        ensure!(self.twice == 0, "spans were delivered twice: {self:?}");
        ensure!(self.arrived.iter().all(|spans| *spans > 0), "a Collector took no part: {self:?}");
        Ok(())
    }
}

#[test]
fn loss_and_duplication_are_seen() {
    // Scenario: five acknowledged spans; a right outcome, one lost, one twice at a healthy Collector, one at two healthy
    // Collectors, one at the killed and at the restarted Collector, and a Collector that got nothing.
    // Guarantees: the count and the verdict of the tests above tell these apart, and excuse only the kill itself.
    let ids: Vec<SpanId> = ["a", "b", "c", "d", "e"].map(|trace| (trace.to_owned(), "1".to_owned())).to_vec();
    let [a, b, c, d, e] = ids.iter().collect::<Vec<_>>().try_into().unwrap();
    let outcome = |killed: &[&SpanId], alive: [&[&SpanId]; 3]| Outcome::new(&ids, killed, alive);

    let right = outcome(&[a], [&[b], &[c, d], &[e]]);
    assert_eq!(right, Outcome { acknowledged: 5, arrived: [1, 1, 2, 1], lost: 0, twice: 0, excused: 0 });
    assert!(right.verdict().is_ok());
    let resent = outcome(&[a], [&[b], &[c, d], &[a, e]]);
    assert_eq!((resent.excused, resent.twice), (1, 0));
    assert!(resent.verdict().is_ok());

    for (lost, twice, wrong) in [
        (1, 0, outcome(&[a], [&[b], &[c], &[e]])),
        (0, 1, outcome(&[a], [&[b, b], &[c, d], &[e]])),
        (0, 1, outcome(&[a], [&[b], &[b, c, d], &[e]])),
        (0, 1, outcome(&[a], [&[b], &[c, d], &[b, e]])),
        (0, 1, outcome(&[a], [&[a, b], &[a, c, d], &[e]])),
        (0, 0, outcome(&[a], [&[b, e], &[c, d], &[]])),
    ] {
        assert_eq!((wrong.lost, wrong.twice), (lost, twice));
        assert!(wrong.verdict().is_err());
    }
}

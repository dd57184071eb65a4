//! 1,000 backends come and go: what stays behind in the gateway.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::sync::watch;

use super::arrival::arrival;
use super::client::Client;
use super::membership::Membership;
use super::outcome::Outcome;
use super::script::{Script, Traces};
use super::sinks::Sink;
use super::{launch, seconds};
use crate::gateway::{Gateway, Kind};
use crate::workspace::Workspace;
use crate::{http, poll, report, together};

/// Backends that stay, and that come and go.
const STAY: usize = 4;
const COME: usize = 10;
/// Rounds before the baseline is taken: allocators, pools and caches have what they keep by then.
const WARM_UP: usize = 20;
/// How much resident memory may have grown, beside [`THREAD_KIB`].
const GROWTH_MAX: f64 = 1.05;
/// What a thread keeps that sends for the first time after the baseline: a compressor with its buffer (`net/compression`), an
/// arena of the allocator. A backend that stays behind is some 15 KiB, so a thousand of them are ten times this.
const THREAD_KIB: u64 = 1536;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stays_behind_when_backends_come_and_go() -> anyhow::Result<()> {
    // Scenario: 10 backends join 4, get data and leave, 100 times (1,000 times in full), under load: 1,000 backends added and
    // removed.
    // Guarantees: memory is within 5 %, and what one thread keeps, of what it was after the first rounds; threads, open files and time series are as many
    // as then; nothing is lost or doubled.
    let _together = together().await;
    if Kind::under_test()? == Kind::Collector {
        report("churn | Collector | not run: its resolvers take seconds to notice a change");
        return Ok(());
    }
    let workspace = Workspace::new("churn")?;
    let mut sinks = Vec::new();
    for _ in 0..STAY + COME {
        sinks.push(Sink::start().await?);
    }
    let addresses: Vec<_> = sinks.iter().map(|sink| sink.address).collect();
    let interval = Duration::from_millis(10);
    let members = Membership::watched(Kind::Ringway, &addresses[..STAY], interval, &workspace)?;
    let mut launch = launch(Kind::Ringway, &["delivery.yaml", "delivery_inner.yaml"], "", &workspace)?;
    members.join(&mut launch);
    let gateway = Gateway::launch(&launch, &workspace).await?;

    // Enough for all rounds; what is left when they are over is sent all the same, and gives the quiet that is measured.
    let rounds = usize::try_from(seconds(100, 1000).as_secs())?;
    let script =
        Script { seed: 29, first: 0, requests: rounds * 12, request_spans: 20, traces: Traces::Small };
    let client = Client { gateway: gateway.grpc, script, pace: Duration::from_millis(10) };
    let churn = async {
        let mut baseline = None;
        for round in 0..WARM_UP + rounds {
            if round == WARM_UP {
                baseline = Some(Held::measure(&gateway).await?);
            }
            for number in [STAY + COME, STAY] {
                members.set(&addresses[..number])?;
                backends(&gateway, number).await?;
            }
        }
        baseline.context("no round")
    };
    let (sent, baseline) = tokio::try_join!(client.run(watch::channel(0).0), churn)?;

    let waited = arrival(&sent, &mut sinks).await;
    // What has left may take a moment to end its connections.
    let mut last = Held::measure(&gateway).await?;
    let settled = poll::until("everything is back where it was", Duration::from_secs(15), async || {
        last = Held::measure(&gateway).await?;
        Ok(last.verdict(&baseline).is_ok().then_some(()))
    })
    .await;
    gateway.stop().await?;
    let tallies: Vec<_> = sinks.iter().map(Sink::tally).collect();
    let outcome = Outcome::new(&sent, &[], &tallies.iter().collect::<Vec<_>>());
    let came = rounds * COME;
    report(format!(
        "churn | Ringway | {came} came and went | {outcome} | before {baseline:?} | after {last:?}"
    ));
    // Small requests: what a split needs is no small share of them.
    Outcome { bytes_ratio: 1.0, ..outcome }.clean()?;
    last.verdict(&baseline)?;
    waited?;
    settled?;
    workspace.remove()
}

/// Waits until the gateway has this many backends.
async fn backends(gateway: &Gateway, number: usize) -> anyhow::Result<()> {
    let line = format!(" {number}");
    poll::until(&format!("{number} backends"), Duration::from_secs(10), async || {
        let metrics = http::get(gateway.metrics, "/metrics").await?;
        let mut known = metrics.lines().filter(|line| line.starts_with("otelcol_loadbalancer_num_backends{"));
        Ok(known.any(|known| known.ends_with(&line)).then_some(()))
    })
    .await
}

/// What the gateway holds.
#[derive(Debug, Clone, Copy)]
struct Held {
    resident_kib: u64,
    threads: usize,
    files: usize,
    series: usize,
}

impl Held {
    async fn measure(gateway: &Gateway) -> anyhow::Result<Self> {
        let process = format!("/proc/{}", gateway.id()?);
        let metrics = http::get(gateway.metrics, "/metrics").await?;
        let status = std::fs::read_to_string(format!("{process}/status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(Self {
            resident_kib: resident.trim().trim_end_matches(" kB").parse()?,
            threads: std::fs::read_dir(format!("{process}/task"))?.count(),
            files: std::fs::read_dir(format!("{process}/fd"))?.count(),
            series: metrics.lines().filter(|line| is_of_a_backend(line)).count(),
        })
    }

    /// Fails if more is held than before.
    fn verdict(&self, before: &Self) -> anyhow::Result<()> {
        let growth = self.resident_kib.saturating_sub(THREAD_KIB) as f64 / before.resident_kib as f64;
        ensure!(growth <= GROWTH_MAX, "memory grew by {growth:.3}: {self:?}, before {before:?}");
        ensure!(self.threads <= before.threads, "threads stay behind: {self:?}, before {before:?}");
        ensure!(self.files <= before.files, "open files stay behind: {self:?}, before {before:?}");
        ensure!(self.series <= before.series, "time series stay behind: {self:?}, before {before:?}");
        Ok(())
    }
}

/// Whether a line is a series of one backend. What removed backends have counted stays, in one series for each counter.
fn is_of_a_backend(line: &str) -> bool {
    line.contains("endpoint=") && !line.contains("endpoint=\"removed\"")
}

#[test]
fn what_stays_behind_is_seen() {
    // Scenario: as before, a little less and a little more memory, too much of it, one more of each of the others.
    // Guarantees: only the first three pass.
    let before = Held { resident_kib: 10_000, threads: 3, files: 20, series: 40 };
    for (passes, after) in [
        (true, before),
        (true, Held { resident_kib: 9_000, ..before }),
        (true, Held { resident_kib: 10_500 + THREAD_KIB, ..before }),
        (false, Held { resident_kib: 10_501 + THREAD_KIB, ..before }),
        (false, Held { threads: 4, ..before }),
        (false, Held { files: 21, ..before }),
        (false, Held { series: 41, ..before }),
    ] {
        assert_eq!(after.verdict(&before).is_ok(), passes, "{after:?}");
    }
}

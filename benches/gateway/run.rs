//! One run: fresh sinks, a fresh gateway, warm-up, measured load, and the account of what arrived.

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::Context as _;
use ringway::cli::demo::{
    load::{Counts, Latencies, Load as Sender, Message, Pace},
    sink::{Mode, Sink, Totals},
};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    cell::Cell,
    payload::Requests,
    process::{self, Process},
};

/// Bytes of the pool that requests are taken from in turn: larger than a core's own cache, so that no side profits
/// from sending the same bytes again.
const POOL_BYTES: usize = 14_000_000;
/// The seed and the time of the items: the same bytes in every run.
const SEED: u64 = 1;
const START_UNIX_NANOS: u64 = 1_760_000_000_000_000_000;
/// How long a gateway rests between listening and the reading of its idle memory.
const SETTLE: Duration = Duration::from_millis(500);
/// How long acknowledged items may take to arrive after the load ended.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(60);
/// Requests in flight at most in an open loop: far above what half of the saturation needs.
const OPEN_IN_FLIGHT_MAX: usize = 256;

/// A binary under test.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) name: String,
    pub(crate) binary: PathBuf,
}

/// How the load is paced, with numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Offered {
    Closed { connections: usize, in_flight: usize },
    Open { rate: f64, connections: usize },
}

/// What every run of one cell sends.
#[derive(Debug)]
pub(crate) struct Load {
    pool: Vec<Message>,
    pace: Pace,
    seconds: f64,
    backends: usize,
}

/// What one run showed.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// CPU microseconds per item: the same number as CPU seconds per million items.
    pub(crate) cpu_micros: f64,
    /// Delivered, from the start of the measured load until the last item arrived.
    pub(crate) items_per_second: f64,
    /// Share of its core that the gateway used.
    pub(crate) busy: f64,
    pub(crate) idle_mb: f64,
    pub(crate) peak_mb: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) requests_out_per_in: f64,
    pub(crate) bytes_out_per_item: f64,
    /// Attempts that the gateway refused; each was sent again.
    pub(crate) refused: u64,
    /// Why the run does not count.
    pub(crate) invalid: Option<String>,
}

// === impl Gateway ===

impl Gateway {
    pub(crate) fn version(&self) -> String {
        process::said_by(&self.binary, "--version")
    }
}

// === impl Load ===

impl Load {
    pub(crate) fn new(cell: &Cell, offered: Offered, seconds: f64, backends: usize) -> Self {
        let mut requests = Requests::new(cell.route.signal, cell.items, SEED, START_UNIX_NANOS);
        let (mut pool, mut bytes) = (Vec::new(), 0);
        while bytes < POOL_BYTES {
            let (request, items) = requests.next();
            bytes += request.len();
            pool.push(Message::new(cell.route.signal, &request, items, cell.compression));
        }
        let pace = match offered {
            Offered::Closed { connections, in_flight } => Pace::Closed { connections, in_flight },
            Offered::Open { rate, connections } => {
                Pace::Open { rate, connections, in_flight_max: OPEN_IN_FLIGHT_MAX }
            }
        };
        Self { pool, pace, seconds, backends }
    }

    /// Sends for so many seconds and waits until everything acknowledged has arrived.
    async fn send(
        &self,
        seconds: f64,
        listen: SocketAddr,
        sinks: &[Sink],
        owed: &mut u64,
    ) -> (Counts, Latencies, Result<(), String>) {
        let (pool, mut next) = (self.pool.clone(), 0);
        let source = move || {
            let message = pool.get(next % pool.len()).cloned();
            next += 1;
            message
        };
        let sender = Sender::start(&listen.to_string(), self.pace, source);
        sleep(Duration::from_secs_f64(seconds)).await;
        let (counts, latencies) = sender.stop().await;
        *owed += counts.acknowledged_spans;
        let drained = drained(sinks, *owed).await.and_then(|()| match counts {
            Counts { refused_spans: 0, unanswered_spans: 0, .. } => Ok(()),
            Counts { refused_spans, unanswered_spans, .. } => {
                Err(format!("{refused_spans} items refused for good, {unanswered_spans} without an answer"))
            }
        });
        (counts, latencies, drained)
    }
}

/// One run of one gateway.
pub(crate) async fn run(gateway: &Gateway, cell: &Cell, load: &Load, core: usize) -> anyhow::Result<Sample> {
    let mut sinks = Vec::new();
    for _ in 0..load.backends {
        sinks.push(Sink::start("127.0.0.1:0", Mode::Count).await?);
    }
    let addresses: Vec<_> = sinks.iter().map(Sink::address).collect();
    let directory = std::env::temp_dir();
    let file = |kind: &str| directory.join(format!("ringway-bench-{}.{kind}", std::process::id()));
    let (configuration, log) = (file("yaml"), file("log"));
    let listen = process::free_port()?;
    std::fs::write(&configuration, cell.configuration(listen, process::free_port()?, &addresses))?;

    let process = Process::start(&gateway.binary, &configuration, &log, core, listen).await?;
    sleep(SETTLE).await;
    let idle_mb = process.memory_mb("VmRSS")?;
    let sample = measure(&process, load, listen, &sinks, idle_mb).await;
    process.stop().await?;
    for sink in sinks {
        sink.stop().await;
    }
    let sample = sample.with_context(|| std::fs::read_to_string(&log).unwrap_or_default())?;
    std::fs::remove_file(&configuration)?;
    std::fs::remove_file(&log)?;
    Ok(sample)
}

/// Warm-up, then the measured load; both end when nothing is under way, so that the CPU time belongs to the items.
async fn measure(
    process: &Process,
    load: &Load,
    listen: SocketAddr,
    sinks: &[Sink],
    idle_mb: f64,
) -> anyhow::Result<Sample> {
    let mut owed = 0;
    let (_, _, warm) = load.send((load.seconds / 4.0).min(2.0), listen, sinks, &mut owed).await;
    let (cpu, begun, before) = (process.cpu_seconds()?, Instant::now(), total(sinks));
    let (counts, latencies, drained) = load.send(load.seconds, listen, sinks, &mut owed).await;
    let (cpu, elapsed, after) = (process.cpu_seconds()? - cpu, begun.elapsed().as_secs_f64(), total(sinks));
    let items = counts.acknowledged_spans as f64;
    Ok(Sample {
        cpu_micros: cpu * 1e6 / items,
        items_per_second: items / elapsed,
        busy: cpu / elapsed,
        idle_mb,
        peak_mb: process.memory_mb("VmHWM")?,
        p50: latencies.quantile(0.5),
        p99: latencies.quantile(0.99),
        requests_out_per_in: (after.requests - before.requests) as f64 / counts.acknowledged_requests as f64,
        bytes_out_per_item: (after.wire_bytes - before.wire_bytes) as f64 / items,
        refused: counts.refused_attempts,
        invalid: warm.and(drained).err(),
    })
}

fn total(sinks: &[Sink]) -> Totals {
    sinks.iter().map(Sink::totals).fold(Totals::default(), |sum, one| Totals {
        requests: sum.requests + one.requests,
        spans: sum.spans + one.spans,
        wire_bytes: sum.wire_bytes + one.wire_bytes,
        message_bytes: sum.message_bytes + one.message_bytes,
        refused_requests: sum.refused_requests + one.refused_requests,
    })
}

/// Waits until exactly the acknowledged items have arrived.
async fn drained(sinks: &[Sink], acknowledged: u64) -> Result<(), String> {
    let all = async {
        while total(sinks).spans < acknowledged {
            sleep(Duration::from_millis(2)).await;
        }
    };
    // What is missing when time is up shows in the comparison below.
    let in_time = timeout(DRAIN_TIMEOUT, all).await.is_ok();
    match total(sinks).spans {
        spans if spans == acknowledged && in_time => Ok(()),
        spans => Err(format!("{acknowledged} items acknowledged, {spans} arrived")),
    }
}

// === impl Sample ===

impl fmt::Display for Sample {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:.3} µs/item, {:.0} items/s at {:.0} % of a core, {:.0} MB idle, {:.0} MB peak, p50 {:.2} ms, p99 {:.2} ms, \
             {:.2} requests out per in, {:.0} B/item out, {} refused",
            self.cpu_micros,
            self.items_per_second,
            self.busy * 100.0,
            self.idle_mb,
            self.peak_mb,
            self.p50.as_secs_f64() * 1e3,
            self.p99.as_secs_f64() * 1e3,
            self.requests_out_per_in,
            self.bytes_out_per_item,
            self.refused
        )?;
        match &self.invalid {
            Some(why) => write!(formatter, "; INVALID: {why}"),
            None => Ok(()),
        }
    }
}

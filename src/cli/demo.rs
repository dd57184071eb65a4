//! `ringway demo`: the whole gateway on this machine, between a generator and a pool of sinks that check it.
//!
//! The gateway is started from configuration text as a user's would be; `--print-config` shows it. Synthetic traces
//! go in through its own gRPC port, the sinks report every span to one [`ledger`], and the demo ends with a verdict
//! that is computed from what arrived. Generator, load and sinks also serve the tests and the benchmark.
//!
//! | file | what |
//! |---|---|
//! | [`generator`], [`ids`] | seeded traces; ids that lead back to numbers |
//! | [`load`] | sends requests at a pace and counts what was acknowledged |
//! | [`sink`] | a backend that counts, records, or misbehaves by script |
//! | [`ledger`] | what arrived where, exactly, in a few bits for each span |
//! | `configuration`, `table`, `verdict`, `screen` | the gateway's configuration; what people see |

mod configuration;
pub mod generator;
pub mod ids;
pub mod ledger;
pub mod load;
mod protobuf;
mod screen;
pub mod sink;
mod table;
mod verdict;

use std::{
    future::Future,
    io::{self, Write},
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, anyhow, bail};
use tokio::time::{Instant, interval, sleep_until};

use self::{
    generator::Generator,
    ids::Ids,
    ledger::Ledger,
    load::{Counts, Load, Message, Pace},
    screen::Screen,
    sink::{Mode, Sink},
    table::{Row, Snapshot},
};
use crate::{
    model::{
        Signal,
        settings::{Destination, Resolver, Settings},
    },
    net::listen::BindError,
    ring::Ring,
    telemetry::{BackendMetrics, Metrics},
};

pub use verdict::Verdict;

/// The seed of the demo's spans: every demo sends the same ones.
const SEED: u64 = 1;
/// Requests per second that the generator aims at; the rate decides how large they are.
const REQUESTS_PER_SECOND: u32 = 50;
/// Spans in one request at most.
const SPANS_PER_REQUEST_MAX: u32 = 512;
/// Connections of the generator, and requests in flight at most.
const CONNECTIONS: usize = 2;
const IN_FLIGHT_MAX: usize = 64;
/// Spans after which the generator stops: the ledger takes a bit for each and four bytes for each trace, 250 MB in all.
const SPANS_MAX: u64 = 1 << 28;
/// Between two pictures on a terminal, and between two lines elsewhere.
const REDRAW: Duration = Duration::from_millis(500);
const LINE: Duration = Duration::from_secs(1);

/// Options of `ringway demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoArgs {
    /// Sink backends behind the gateway
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=ledger::SINKS_MAX as i64))]
    pub backends: u8,
    /// Spans per second that the generator sends
    #[arg(long, value_name = "SPANS", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: u32,
    /// End by itself after this time, for example 10s, 1m30s or 500ms [default: run until Ctrl-C]
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Send nothing: bring your own OTLP client
    #[arg(long)]
    pub no_load: bool,
    /// Where the gateway takes OTLP/gRPC
    #[arg(long, value_name = "HOST:PORT", default_value = "localhost:4317")]
    pub grpc_endpoint: String,
    /// Where the gateway takes OTLP/HTTP
    #[arg(long, value_name = "HOST:PORT", default_value = "localhost:4318")]
    pub http_endpoint: String,
    /// Where the gateway serves its own metrics
    #[arg(long, value_name = "HOST:PORT", default_value = "localhost:8888")]
    pub metrics_endpoint: String,
    /// Print the configuration that the gateway would run with, and exit
    #[arg(long)]
    pub print_config: bool,
}

/// What the demo needs of a gateway. A trait, so that this module does not depend on how one is composed.
pub trait Gateway: Sized {
    /// Starts a gateway; when this returns, clients can connect.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from starting; a [`BindError`] inside is explained to the user.
    fn start(settings: Settings, metrics: Metrics) -> impl Future<Output = anyhow::Result<Self>> + Send;

    /// Where the first receiver takes gRPC.
    fn grpc_address(&self) -> Option<SocketAddr>;

    /// Stops taking requests, delivers what is queued, and ends.
    fn stop(self) -> impl Future<Output = ()> + Send;
}

/// What runs, apart from the gateway.
struct Demo {
    started: Instant,
    ledger: Arc<Ledger>,
    sinks: Vec<Watched>,
    load: Option<Load>,
    metrics: Metrics,
    latest: Instant,
}

/// A sink with what the gateway says about the backend that it is.
struct Watched {
    sink: Sink,
    metrics: BackendMetrics,
    share: f64,
    /// Spans at the latest picture.
    latest: u64,
}

/// Runs the demo and writes what people see to `out`; `terminal` says whether pictures can be redrawn in place.
///
/// Ends at `--for` or when `interrupted` does (`tokio::signal::ctrl_c`); it is asked for once more while the gateway
/// drains, and then ends everything at once. The generator stops first, then the gateway drains; only then is the
/// verdict computed. `None`: only the configuration was printed.
///
/// # Errors
///
/// A port that is taken, configuration that is not valid, a second interrupt, or output that cannot be written.
pub async fn run<G, F>(
    args: DemoArgs,
    out: &mut (dyn Write + Send),
    terminal: bool,
    mut interrupted: impl FnMut() -> F,
) -> anyhow::Result<Option<Verdict>>
where
    G: Gateway,
    F: Future<Output = io::Result<()>>,
{
    let ledger = Arc::new(Ledger::new(Ids::new(SEED), args.backends.into()));
    let sinks = start_sinks(args.backends.into(), &ledger).await?;
    let addresses: Vec<_> = sinks.iter().map(Sink::address).collect();
    let text = configuration::text(&args, &addresses)?;
    if args.print_config {
        out.write_all(text.as_bytes())?;
        return Ok(None);
    }
    let settings = configuration::load(&text)?;
    let metrics = Metrics::new();
    let sinks = watched(sinks, &settings, &metrics)?;
    let gateway = G::start(settings, metrics.clone()).await.map_err(|error| explain(error, &args))?;
    let load = if args.no_load {
        None
    } else {
        let address = gateway.grpc_address().context("the gateway takes no gRPC")?;
        Some(start_load(&args, address, Arc::clone(&ledger)))
    };
    let now = Instant::now();
    let mut demo = Demo { started: now, ledger, sinks, load, metrics, latest: now };
    let mut screen = Screen::new(out, terminal);
    screen.say(&introduction(&args))?;
    demo.watch(args.duration, interrupted(), &mut screen).await?;
    let counts = tokio::select! {
        counts = demo.drain(gateway) => counts,
        again = interrupted() => {
            again?;
            bail!("interrupted while the gateway drained: no verdict");
        }
    };
    demo.rewind();
    screen.show(&demo.snapshot(counts.unwrap_or_default()), true)?;
    let verdict = demo.verdict(counts);
    screen.say(&verdict.to_string())?;
    Ok(Some(verdict))
}

async fn start_sinks(count: usize, ledger: &Arc<Ledger>) -> anyhow::Result<Vec<Sink>> {
    let mut sinks = Vec::new();
    for index in 0..count {
        let mode = Mode::Report(Arc::clone(ledger), index);
        sinks.push(Sink::start("127.0.0.1:0", mode).await.context("a sink did not start")?);
    }
    Ok(sinks)
}

/// Puts the gateway's metrics and the share of the ring beside each sink.
fn watched(sinks: Vec<Sink>, settings: &Settings, metrics: &Metrics) -> anyhow::Result<Vec<Watched>> {
    let exporter = settings.exporters.first().context("the demo's configuration has no exporter")?;
    let Destination::Pool { resolver: Resolver::Static { hostnames }, ring, .. } = &exporter.destination
    else {
        anyhow::bail!("the demo's exporter has no ring");
    };
    let identities: Vec<&str> = hostnames.iter().map(AsRef::as_ref).collect();
    let ring = Ring::new(*ring, &identities);
    let watched = sinks.into_iter().map(|sink| {
        let endpoint = sink.address().to_string();
        let slot = identities.iter().position(|identity| *identity == endpoint);
        Watched {
            metrics: metrics.backend(&exporter.id, &endpoint, Signal::Traces),
            share: slot.map_or(0.0, |slot| ring.share(slot)),
            sink,
            latest: 0,
        }
    });
    Ok(watched.collect())
}

fn start_load(args: &DemoArgs, address: SocketAddr, ledger: Arc<Ledger>) -> Load {
    let spans = (args.rate / REQUESTS_PER_SECOND).clamp(1, SPANS_PER_REQUEST_MAX);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_unix_nanos = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
    let mut generator = Generator::new(spans as usize, SEED, now_unix_nanos);
    let pace = Pace::Open {
        rate: f64::from(args.rate) / f64::from(spans),
        connections: CONNECTIONS,
        in_flight_max: IN_FLIGHT_MAX,
    };
    Load::start(&address.to_string(), pace, move || {
        (generator.spans() < SPANS_MAX).then(|| {
            let request = generator.request();
            // Before the request is sent, or the ledger would take its spans for another client's.
            ledger.announce(generator.spans(), generator.traces());
            Message::plain(&request)
        })
    })
}

// === impl Demo ===

impl Demo {
    /// Shows pictures until the time is up or somebody interrupts.
    async fn watch(
        &mut self,
        limit: Option<Duration>,
        interrupted: impl Future<Output = io::Result<()>>,
        screen: &mut Screen<'_>,
    ) -> anyhow::Result<()> {
        let mut redraw = interval(if screen.is_terminal() { REDRAW } else { LINE });
        // The first tick is immediate, and there is nothing to see yet.
        redraw.tick().await;
        let end = limit.map(|limit| self.started + limit);
        let time_is_up = async {
            match end {
                Some(end) => sleep_until(end).await,
                None => std::future::pending().await,
            }
        };
        // One future each for the whole time: a signal that comes while a picture is drawn is not lost.
        let (mut time_is_up, mut interrupted) = (pin!(time_is_up), pin!(interrupted));
        loop {
            tokio::select! {
                () = &mut time_is_up => return Ok(()),
                interrupted = &mut interrupted => return Ok(interrupted?),
                _ = redraw.tick() => {
                    let counts = self.load.as_ref().map(Load::counts).unwrap_or_default();
                    screen.show(&self.snapshot(counts), false)?;
                }
            }
        }
    }

    /// Stops the generator, then the gateway. What the generator counted, if there is one.
    async fn drain<G: Gateway>(&mut self, gateway: G) -> Option<Counts> {
        let counts = match self.load.take() {
            Some(load) => Some(load.stop().await.0),
            None => None,
        };
        gateway.stop().await;
        counts
    }

    /// Makes the next picture's rates those of the whole time.
    fn rewind(&mut self) {
        self.latest = self.started;
        self.sinks.iter_mut().for_each(|watched| watched.latest = 0);
    }

    /// What is to be seen now; rates are since the latest picture.
    fn snapshot(&mut self, counts: Counts) -> Snapshot {
        let tally = self.ledger.tally();
        let seconds = self.latest.elapsed().as_secs_f64();
        self.latest = Instant::now();
        let rows = self.sinks.iter_mut().zip(&tally.split_traces_of).map(|(watched, split_traces)| {
            let items = watched.sink.totals().spans;
            let new = items.saturating_sub(std::mem::replace(&mut watched.latest, items));
            Row {
                backend: watched.sink.address().to_string(),
                share: watched.share,
                items,
                items_per_second: if seconds > 0.0 { new as f64 / seconds } else { 0.0 },
                queue: watched.metrics.queued.get(),
                retries: watched.metrics.retries.get(),
                split_traces: *split_traces,
            }
        });
        Snapshot {
            rows: rows.collect(),
            elapsed: self.started.elapsed(),
            sent: counts.acknowledged_spans,
            split_traces: tally.split_traces,
        }
    }

    fn verdict(&self, counts: Option<Counts>) -> Verdict {
        let tally = self.ledger.tally();
        let (sent, delivered) = match counts {
            Some(counts) => (counts.acknowledged_spans, tally.delivered),
            None => (self.accepted(), tally.foreign),
        };
        let counts = counts.unwrap_or_default();
        Verdict {
            sent,
            delivered,
            duplicates: tally.duplicates,
            split_traces: tally.split_traces,
            refused: counts.refused_spans,
            unanswered: counts.unanswered_spans,
        }
    }

    /// Spans that the gateway says it accepted, from whomever.
    fn accepted(&self) -> u64 {
        let of = |transport| {
            self.metrics.receiver(configuration::RECEIVER, transport, Signal::Traces).accepted.get()
        };
        of("grpc") + of("http")
    }
}

fn introduction(args: &DemoArgs) -> String {
    let DemoArgs { grpc_endpoint, http_endpoint, metrics_endpoint, .. } = args;
    let load = if args.no_load {
        format!("no load: send OTLP traces to {grpc_endpoint} (gRPC) or http://{http_endpoint} (HTTP)")
    } else {
        format!("{} spans/s of synthetic traces", args.rate)
    };
    let end = match args.duration {
        Some(time) => format!("ends after {time:?}"),
        None => "Ctrl-C ends it".to_owned(),
    };
    format!(
        "ringway demo: OTLP/gRPC on {grpc_endpoint}, OTLP/HTTP on {http_endpoint}\n\
         metrics on http://{metrics_endpoint}/metrics\n{load}; {end}\n"
    )
}

/// Adds to a port that is taken how to choose another.
fn explain(error: anyhow::Error, args: &DemoArgs) -> anyhow::Error {
    let Some(bind) = error.downcast_ref::<BindError>() else { return error };
    let options = [
        (&args.grpc_endpoint, "--grpc-endpoint"),
        (&args.http_endpoint, "--http-endpoint"),
        (&args.metrics_endpoint, "--metrics-endpoint"),
    ];
    match options.iter().find(|(value, _)| **value == bind.endpoint) {
        // One sentence instead of a chain.
        Some((_, option)) => {
            anyhow!("{bind}: {}; choose another address with {option} HOST:PORT", bind.source)
        }
        None => error,
    }
}

/// `1m30s`, `10s`, `500ms`; at least one part, each unit once or more, no fractions.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a time such as 10s, 1m30s or 500ms");
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail.find(|character: char| character.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let millis: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(wrong()),
        };
        let number: u32 = number.parse().map_err(|_| wrong())?;
        total += Duration::from_millis(millis.saturating_mul(number.into()));
        rest = tail;
    }
    if total.is_zero() { Err(wrong()) } else { Ok(total) }
}

#[cfg(test)]
mod tests;

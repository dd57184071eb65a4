//! Two gateways side by side: what an item (span, data point, log record) costs each of them. By default ringway and the
//! real OpenTelemetry Collector with its `load_balancing` exporter.
//!
//! `make bench-gateway`, or `cargo bench --bench gateway -- --help`. The two run in turn (A, B, A, B, …) as child
//! processes with the same configuration file, pinned to one core; the load and five sinks share another core.
//! A run counts only if every item that the gateway acknowledged arrived at a sink exactly as often as it was sent.
//! How to read the tables: `benches/README.md`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

mod cell;
#[path = "../support/payload.rs"]
mod payload;
mod process;
mod report;
mod run;

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Parser;

use cell::{Cell, Offered};
use process::Machine;
use report::Report;

/// What to compare, and for how long.
#[derive(Debug, Parser)]
#[command(about = "Compares two OTLP gateways under the same load", max_term_width = 100)]
struct Options {
    /// Gateway A: a binary that takes `--config FILE`.
    #[arg(long, value_name = "PATH", default_value = env!("CARGO_BIN_EXE_ringway"))]
    gateway_a: PathBuf,
    /// Gateway B [default: the Collector in $RINGWAY_REAL_PARTS].
    #[arg(long, value_name = "PATH")]
    gateway_b: Option<PathBuf>,
    /// What A is called in the tables.
    #[arg(long, default_value = "ringway")]
    name_a: String,
    /// What B is called in the tables.
    #[arg(long, default_value = "Collector")]
    name_b: String,
    /// Only loads whose name contains this text.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// How often each load runs on each gateway.
    #[arg(long, default_value_t = 3)]
    alternations: usize,
    /// Seconds of measured load in each run, after a quarter of that (at most two) to warm up.
    #[arg(long, default_value_t = 6.0)]
    seconds: f64,
    /// One alternation of two seconds: to see whether it works.
    #[arg(long)]
    quick: bool,
    /// Items in a request; the first size also runs with gzip, in an open loop, and with every other signal and key.
    #[arg(long, value_delimiter = ',', default_value = "512,100,8192")]
    items: Vec<usize>,
    /// Sinks behind the gateway.
    #[arg(long, default_value_t = 5)]
    backends: usize,
    /// Connections to the gateway.
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Requests in flight on each connection.
    #[arg(long, default_value_t = 4)]
    in_flight: usize,
    /// Requests per second of the open loop [default: half of what B reached with the first size, sync].
    #[arg(long)]
    rate: Option<f64>,
    /// The gateway's core.
    #[arg(long, default_value_t = 0)]
    gateway_core: usize,
    /// The core of the load and the sinks.
    #[arg(long, default_value_t = 1)]
    load_core: usize,
    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    // As `cargo test --benches` calls it: there is nothing small enough here to be a test.
    if std::env::args().len() == 1 {
        println!("nothing is measured without an argument: use make bench-gateway or cargo bench");
        return Ok(());
    }
    let mut options = Options::parse();
    if options.quick {
        options.alternations = 1;
        options.seconds = 2.0;
    }
    let machine = Machine::new()?;
    if machine.cores <= options.gateway_core.max(options.load_core) {
        bail!(
            "this machine has {} core(s): choose others with --gateway-core and --load-core",
            machine.cores
        );
    }
    // Before the runtime exists: its threads inherit the affinity.
    process::pin_self(options.load_core)?;
    let gateway_b = match &options.gateway_b {
        Some(path) => path.clone(),
        None => real_collector()?,
    };
    let gateways = [
        run::Gateway { name: options.name_a.clone(), binary: options.gateway_a.clone() },
        run::Gateway { name: options.name_b.clone(), binary: gateway_b },
    ];
    for gateway in &gateways {
        if !gateway.binary.is_file() {
            bail!("{}: no such file", gateway.binary.display());
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(compare(&options, &machine, &gateways))
}

/// `bin/otelcol-real` of the directory that `tests/real/build.sh` prints.
#[expect(clippy::disallowed_methods, reason = "a benchmark has no configuration loader")]
fn real_collector() -> anyhow::Result<PathBuf> {
    let parts = std::env::var("RINGWAY_REAL_PARTS").context(
        "there is no gateway B: run `make bench-gateway`, set RINGWAY_REAL_PARTS to what tests/real/build.sh prints, \
         or name a binary with --gateway-b",
    )?;
    Ok(PathBuf::from(parts).join("bin/otelcol-real"))
}

async fn compare(options: &Options, machine: &Machine, gateways: &[run::Gateway; 2]) -> anyhow::Result<()> {
    let mut report = Report::new(gateways.each_ref().map(|gateway| gateway.name.clone()));
    let mut rate = options.rate;
    for cell in Cell::all(&options.items).into_iter().filter(|cell| cell.name.contains(&options.only)) {
        let offered = match cell.offered {
            Offered::Closed => {
                run::Offered::Closed { connections: options.connections, in_flight: options.in_flight }
            }
            Offered::HalfOfB => match rate {
                Some(rate) => run::Offered::Open { rate, connections: options.connections },
                None => {
                    eprintln!("{}: left out, half of B's rate is not known (see --rate)", cell.name);
                    continue;
                }
            },
        };
        let load = run::Load::new(&cell, offered, options.seconds, options.backends);
        for round in 1..=options.alternations {
            for (side, gateway) in gateways.iter().enumerate() {
                let sample = run::run(gateway, &cell, &load, options.gateway_core)
                    .await
                    .with_context(|| format!("{} with {}", cell.name, gateway.name))?;
                eprintln!("{} · round {round} · {} · {sample}", cell.name, gateway.name);
                report.add(&cell.name, side, sample);
            }
        }
        if cell.gives_rate && rate.is_none() {
            rate = report.items_per_second(&cell.name, 1).map(|items| items / 2.0 / cell.items as f64);
        }
    }
    let versions = [gateways[0].version(), gateways[1].version()];
    println!("{}", machine.describe(options.gateway_core, options.load_core));
    println!("A: {} ({}); B: {} ({}).", gateways[0].name, versions[0], gateways[1].name, versions[1]);
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    println!("`cargo bench --bench gateway -- {}`", arguments.join(" "));
    println!(
        "{} alternations of {} s, {} backends, {} connections with {} requests in flight.\n",
        options.alternations, options.seconds, options.backends, options.connections, options.in_flight
    );
    println!("{}", report.markdown());
    if report.all_valid() { Ok(()) } else { bail!("some runs are invalid") }
}

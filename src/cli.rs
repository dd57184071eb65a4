//! The command line: `run` (also without a command), `validate`, `demo`.
//!
//! The only module that prints for people. Decides exit codes, `main` passes them on: 0 done, 1 failed (configuration,
//! start, a demo whose verdict is not clean), 2 wrong usage (clap's).

pub mod demo;

use std::{
    io::{self, IsTerminal as _, Write as _},
    net::SocketAddr,
    path::Path,
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::demo::DemoArgs;
use crate::{
    app,
    config::{self, Loaded},
    model::settings::{LogLevel, Settings, Telemetry},
    telemetry::{Metrics, logs},
};

/// Stateless, trace-aware load-balancing gateway for OpenTelemetry.
///
/// Takes OTLP, hashes every span, data point and log record by its routing key onto a consistent-hash ring, and
/// forwards each part to the collector that owns it. Runs the configuration of the OpenTelemetry Collector's
/// load_balancing exporter.
#[derive(Debug, Parser)]
#[command(name = "ringway", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway (the default command)
    Run(ConfigArgs),
    /// Check a configuration, print every problem, and exit: 0 if it can run
    Validate(ConfigArgs),
    /// Start a gateway between a generator and a pool of checking sinks on this machine
    Demo(DemoArgs),
}

#[derive(Debug, Args)]
struct ConfigArgs {
    /// Configuration: a file, file:PATH, env:NAME or yaml:TEXT; may be repeated, later ones win
    #[arg(long = "config", value_name = "URI")]
    uris: Vec<String>,
    /// Set one value over all configurations, for example --set service.telemetry.logs.level=debug
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
}

/// Runs the command line of the process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command.unwrap_or(Command::Run(cli.config)) {
        Command::Run(args) => run(&args),
        Command::Validate(args) => Ok(validate(&args)),
        Command::Demo(args) => demo(args),
    };
    result.unwrap_or_else(|error| {
        complain(&format!("Error: {error:#}"));
        ExitCode::FAILURE
    })
}

// === run ===

fn run(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let Some(settings) = load(args, true) else { return Ok(ExitCode::FAILURE) };
    logs::start(&settings.telemetry);
    runtime()?.block_on(serve(settings))
}

/// Runs a gateway until SIGINT or SIGTERM; a second one ends the process at once.
async fn serve(settings: Settings) -> anyhow::Result<ExitCode> {
    // Before anything is started: a signal during the start ends the process in order too.
    let mut signals = Signals::new()?;
    let start = app::Gateway::start(settings, Metrics::new());
    let gateway = tokio::select! {
        gateway = start => gateway?,
        name = signals.next() => {
            tracing::info!(signal = name, "stopped before the start was complete");
            return Ok(ExitCode::SUCCESS);
        }
    };
    let name = signals.next().await;
    tracing::info!(signal = name, "signal received");
    let metrics = gateway.metrics().clone();
    tokio::select! {
        _dropped = gateway.stop() => Ok(ExitCode::SUCCESS),
        name = signals.next() => {
            tracing::warn!(
                signal = name,
                queued_items = metrics.queued_items(),
                "second signal: ended without draining"
            );
            Ok(ExitCode::FAILURE)
        }
    }
}

/// SIGINT and SIGTERM as one stream.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

// === validate ===

fn validate(args: &ConfigArgs) -> ExitCode {
    if load(args, false).is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Loads the configuration and prints what there is to say about it. `None`: it cannot run.
fn load(args: &ConfigArgs, running: bool) -> Option<Settings> {
    let Loaded { settings, errors, warnings } = config::load(&args.uris, &args.sets, &Process);
    for warning in &warnings {
        complain(&format!("Warning: {warning}"));
    }
    for error in &errors {
        complain(&format!("Error: {error}"));
    }
    if settings.is_none() && running {
        complain("the configuration cannot run; `ringway validate` checks it without starting anything");
    }
    settings
}

/// The process's own environment and files.
struct Process;

impl config::Sources for Process {
    #[expect(
        clippy::disallowed_methods,
        reason = "the door through which configuration reads the environment"
    )]
    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &Path) -> Result<String, String> {
        std::fs::read_to_string(path).map_err(|error| error.to_string())
    }
}

// === demo ===

fn demo(args: DemoArgs) -> anyhow::Result<ExitCode> {
    // Between the pictures only what is wrong is worth a line.
    logs::start(&Telemetry { log_level: LogLevel::Warn, log_json: false, metrics: Vec::new() });
    let out = &mut io::stdout();
    let terminal = out.is_terminal();
    let verdict = runtime()?.block_on(async {
        let signals = std::sync::Arc::new(tokio::sync::Mutex::new(Signals::new()?));
        demo::run::<app::Gateway, _>(args, out, terminal, move || {
            let signals = std::sync::Arc::clone(&signals);
            async move {
                signals.lock().await.next().await;
                Ok(())
            }
        })
        .await
    })?;
    Ok(match verdict {
        Some(verdict) if !verdict.is_clean() => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    })
}

impl demo::Gateway for app::Gateway {
    async fn start(settings: Settings, metrics: Metrics) -> anyhow::Result<Self> {
        // By value, so that a port that is taken can still be recognised.
        Self::start(settings, metrics).await.map_err(|error| match error {
            app::StartError::Bind(bind) => bind.into(),
            other => other.into(),
        })
    }

    fn grpc_address(&self) -> Option<SocketAddr> {
        self.addresses().iter().find_map(|(grpc, _)| grpc.as_ref()?.tcp())
    }

    async fn stop(self) {
        Self::stop(self).await;
    }
}

// === shared ===

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// Writes one line to standard error. If that is closed there is nobody to tell.
fn complain(line: &str) {
    let _closed = writeln!(io::stderr(), "{line}").is_err();
}

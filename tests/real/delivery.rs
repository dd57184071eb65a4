//! Nothing is lost and nothing is doubled when a backend fails, hangs, leaves or comes back, or when the gateway itself dies.
//!
//! ```text
//! outage.rs      a backend is killed, refuses, hangs and leaves       client → gateway → 4 Collectors
//! removal.rs     a backend leaves with a long queue                   client → gateway → sinks
//! crash.rs       the gateway is killed, in each acknowledgement mode  client → gateway → sinks
//! hang.rs        one of 20 hangs: what the others notice              client → gateway → sinks
//! swap.rs        100 of 300 are replaced, 10 by black holes           client → gateway → sinks
//! churn.rs       1,000 come and go: what stays behind                 client → gateway → sinks
//!
//! script.rs      what is sent: numbered spans      client.rs      how: paced, retrying what OTLP lets one retry
//! tally.rs       what arrived, span by span        outcome.rs     lost, twice, excused, and the verdicts
//! arrival.rs     waiting for it                    membership.rs  the set of backends, changeable
//! sinks.rs       light backends that misbehave on command
//! ```
//!
//! Every test prints its figures as a row of "Failure, side by side" in `benches/README.md`. `RINGWAY_REAL_FULL=1` makes
//! outages as long as they were when those were taken.

mod arrival;
mod churn;
mod client;
mod crash;
mod hang;
mod membership;
mod outage;
mod outcome;
mod removal;
mod script;
mod sinks;
mod swap;
mod tally;

use std::path::PathBuf;
use std::time::Duration;

use crate::gateway::{Kind, Launch};
use crate::workspace::Workspace;

/// How long something takes by default, and when `RINGWAY_REAL_FULL` is set.
fn seconds(short: u64, full: u64) -> Duration {
    Duration::from_secs(if std::env::var_os("RINGWAY_REAL_FULL").is_some() { full } else { short })
}

/// What a gateway of these tests is started with: files of `collector/` in this order, and what only ringway knows, which the
/// Collector is spared.
///
/// # Errors
///
/// When a file cannot be written.
fn launch(kind: Kind, configs: &[&str], ours: &str, workspace: &Workspace) -> anyhow::Result<Launch> {
    let mut configs: Vec<PathBuf> = configs.iter().map(PathBuf::from).collect();
    if kind == Kind::Ringway && !ours.is_empty() {
        let path = workspace.path("ours.yaml");
        std::fs::write(&path, format!("exporters: {{load_balancing: {{ringway: {ours}}}}}\n"))?;
        configs.push(path);
    }
    Ok(Launch { name: "gateway", kind, configs, variables: Vec::new(), hosts: None })
}

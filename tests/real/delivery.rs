//! Nothing is lost and nothing is doubled when a backend fails, hangs, leaves or comes back, or when the gateway itself dies.
//!
//! ```text
//! outage.rs      a backend is killed, refuses, hangs and leaves       client → gateway → 4 Collectors
//!
//! script.rs      what is sent: numbered spans      client.rs      how: paced, retrying what OTLP lets one retry
//! tally.rs       what arrived, span by span        outcome.rs     lost, twice, excused, and the verdicts
//! membership.rs  the set of backends, changeable
//! ```
//!
//! Every test prints its figures as a row of "Failure, side by side" in `benches/README.md`. `RINGWAY_REAL_FULL=1` makes
//! outages as long as they were when those were taken.

mod client;
mod membership;
mod outage;
mod outcome;
mod script;
mod tally;

use std::time::Duration;

/// How long something takes by default, and when `RINGWAY_REAL_FULL` is set.
fn seconds(short: u64, full: u64) -> Duration {
    Duration::from_secs(if std::env::var_os("RINGWAY_REAL_FULL").is_some() { full } else { short })
}

//! Waiting for what was acknowledged.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::client::Sent;
use super::tally::Tally;

/// When nothing has arrived for so long, nothing more will: the longest wait between two attempts by default, 30 s, can be
/// 45 s with its randomization.
const QUIET: Duration = Duration::from_secs(50);

/// When what trickles in is too slow to be called delivered.
const LIMIT: Duration = Duration::from_secs(120);

/// Between two looks.
const POLL: Duration = Duration::from_millis(250);

/// Something that can be looked at again: a sink, or a Collector's tape.
pub(crate) trait Arrivals {
    /// What has arrived by now.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    fn look(&mut self) -> anyhow::Result<Tally>;
}

/// Waits until every acknowledged span has arrived somewhere, or nothing more does.
///
/// # Errors
///
/// When acknowledged spans are missing in the end.
pub(crate) async fn arrival(sent: &Sent, backends: &mut [impl Arrivals]) -> anyhow::Result<()> {
    arrival_since(None, sent, backends).await
}

/// As [`arrival`], for spans that were acknowledged after that time.
///
/// # Errors
///
/// As there.
pub(crate) async fn arrival_since(
    since: Option<Instant>,
    sent: &Sent,
    backends: &mut [impl Arrivals],
) -> anyhow::Result<()> {
    let began = Instant::now();
    let (mut spans, mut quiet) = (0, Duration::ZERO);
    loop {
        let mut tallies = Vec::new();
        for backend in &mut *backends {
            tallies.push(backend.look()?);
        }
        let nowhere = |number: &usize| tallies.iter().all(|tally| tally.copies(*number) == 0);
        let missing = sent.acknowledged_since(since).filter(nowhere).count();
        if missing == 0 {
            return Ok(());
        }
        let now = tallies.iter().map(|tally| tally.spans).sum();
        quiet = if now == spans { quiet + POLL } else { Duration::ZERO };
        ensure!(
            quiet < QUIET,
            "{missing} acknowledged spans are missing, and nothing has arrived for {QUIET:?}"
        );
        ensure!(began.elapsed() < LIMIT, "{missing} acknowledged spans are missing after {LIMIT:?}");
        spans = now;
        tokio::time::sleep(POLL).await;
    }
}

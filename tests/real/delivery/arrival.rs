//! Waiting for what was acknowledged.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::client::Sent;

/// When nothing has arrived for so long, nothing more will: the longest wait between two attempts by default, 30 s, can be
/// 45 s with its randomization.
const QUIET: Duration = Duration::from_secs(50);

/// When what trickles in is too slow to be called delivered.
const LIMIT: Duration = Duration::from_secs(120);

/// Between two looks.
const POLL: Duration = Duration::from_millis(250);

/// Something that can be looked at again: a sink, or a Collector's tape.
pub(crate) trait Arrivals {
    /// Marks what has arrived by now, by span number, and says how many spans, copies included.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    fn mark(&mut self, arrived: &mut [bool]) -> anyhow::Result<usize>;
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
    let mut arrived = vec![false; sent.script.all().end];
    let (mut spans, mut quiet) = (0, Duration::ZERO);
    loop {
        let mut now = 0;
        for backend in &mut *backends {
            now += backend.mark(&mut arrived)?;
        }
        let missing = sent.acknowledged_since(since).filter(|number| !arrived[*number]).count();
        if missing == 0 {
            return Ok(());
        }
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

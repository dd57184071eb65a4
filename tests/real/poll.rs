//! Waiting: ask again until the answer is there or the deadline has passed.

use std::time::{Duration, Instant};

/// Asks `probe` until it answers `Some`, at most for `limit`.
///
/// # Errors
///
/// What `probe` fails with, at once; or that `what` did not happen in time.
pub(crate) async fn until<T>(
    what: &str,
    limit: Duration,
    mut probe: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = probe().await? {
            return Ok(answer);
        }
        anyhow::ensure!(Instant::now() < deadline, "{what}: not within {limit:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

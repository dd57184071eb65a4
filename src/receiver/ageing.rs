//! When a gRPC connection has lived long enough: idle for too long, or too old.
//!
//! Stage: receiver. Such a connection is told by a GOAWAY, its calls finish, and the client connects anew, to another
//! replica perhaps. Meanings are grpc-go's (v1.83.2 `internal/transport/http2_server.go`, `keepalive`):
//! `max_connection_idle` counts from the end of the last call, or from the connection's start; `max_connection_age` is
//! spread by ± 10 % so that connections which came together do not leave together; `max_connection_age_grace` bounds
//! the calls of a connection that was too old, not of one that was idle.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep, sleep_until};

use crate::model::settings::Keepalive;

/// Spread of `max_connection_age`, of the value and to either side.
const AGE_JITTER: f64 = 0.1;

/// Stands for "never": the clock can add it to any instant.
const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The limits of one connection's life.
#[derive(Clone, Debug, Default)]
pub(super) struct Ageing {
    /// Calls in progress, and how long there may be none.
    idle: Option<(Calls, Duration)>,
    age: Option<Duration>,
    grace: Option<Duration>,
}

/// The calls of one connection. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Calls(Arc<Mutex<Activity>>);

#[derive(Clone, Copy, Debug)]
struct Activity {
    running: usize,
    /// When the last call ended, or the connection began.
    quiet_since: Instant,
}

/// A call is in progress as long as this lives.
#[derive(Debug)]
pub(super) struct Running(Calls);

/// Why a connection is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// It had no call for too long.
    Idle,
    /// It is too old; its calls may take this long still, if there is a limit.
    Old(Option<Duration>),
}

impl Ageing {
    /// The limits of a new connection.
    pub(super) fn new(keepalive: &Keepalive) -> Self {
        let jittered = |age: Duration| {
            let factor = 1.0 + AGE_JITTER * (2.0 * fastrand::f64() - 1.0);
            age.min(NEVER).mul_f64(factor)
        };
        Self {
            idle: keepalive.max_idle.map(|limit| (Calls::new(), limit.min(NEVER))),
            age: keepalive.max_age.map(jittered),
            grace: keepalive.max_age_grace,
        }
    }

    /// Where the calls of the connection are counted. `None`: nobody looks.
    pub(super) fn calls(&self) -> Option<Calls> {
        self.idle.as_ref().map(|(calls, _)| calls.clone())
    }

    /// Waits until the connection is to end; forever, if it has no limits. Can be cancelled.
    pub(super) async fn due(&self) -> Due {
        let old = async {
            match self.age {
                Some(age) => sleep(age).await,
                None => std::future::pending().await,
            }
        };
        let idle = async {
            match &self.idle {
                Some((calls, limit)) => calls.quiet_for(*limit).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = old => Due::Old(self.grace),
            () = idle => Due::Idle,
        }
    }
}

impl Calls {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Activity { running: 0, quiet_since: Instant::now() })))
    }

    /// Begins a call.
    pub(super) fn begin(&self) -> Running {
        self.change(|activity| activity.running = activity.running.saturating_add(1));
        Running(self.clone())
    }

    fn change(&self, change: impl FnOnce(&mut Activity)) -> Activity {
        let mut activity = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut activity);
        *activity
    }

    /// Waits until no call was in progress for `limit`.
    ///
    /// Nobody wakes this up when a call ends: while one is in progress the connection cannot become due before `limit`
    /// from now, so it is soon enough to look again then.
    async fn quiet_for(&self, limit: Duration) {
        loop {
            let now = Instant::now();
            let activity = self.change(|_| {});
            let quiet_since = if activity.running > 0 { now } else { activity.quiet_since };
            match quiet_since.checked_add(limit) {
                Some(due) if due <= now => return,
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.change(|activity| {
            activity.running = activity.running.saturating_sub(1);
            activity.quiet_since = Instant::now();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keepalive(idle: Option<u64>, age: Option<u64>, grace: Option<u64>) -> Keepalive {
        Keepalive {
            max_idle: idle.map(Duration::from_secs),
            max_age: age.map(Duration::from_secs),
            max_age_grace: grace.map(Duration::from_secs),
            time: Duration::from_secs(7200),
            timeout: Duration::from_secs(20),
            min_time: Duration::from_secs(300),
            permit_without_stream: false,
        }
    }

    /// When a connection without calls is due, and why.
    async fn due(keepalive: &Keepalive) -> (Due, Duration) {
        let started = Instant::now();
        let due = Ageing::new(keepalive).due().await;
        (due, started.elapsed())
    }

    // Scenario: connections with an age limit, many of them, on a paused clock.
    // Guarantees: each ends within ± 10 % of it, not all at one time; the grace goes with it.
    #[tokio::test(start_paused = true)]
    async fn ages_are_spread() {
        let mut ages = Vec::new();
        for _ in 0..50 {
            let (why, age) = due(&keepalive(None, Some(1000), Some(7))).await;
            assert_eq!(why, Due::Old(Some(Duration::from_secs(7))));
            assert!((900..=1100).contains(&age.as_secs()), "{age:?}");
            ages.push(age);
        }
        ages.sort_unstable();
        ages.dedup();
        assert!(ages.len() > 40, "{ages:?}");
    }

    // Scenario: both limits; a limit larger than a clock can add; none at all.
    // Guarantees: the earlier one counts; nothing overflows; without limits a connection is never due.
    #[tokio::test(start_paused = true)]
    async fn the_earlier_limit_counts() {
        let (why, after) = due(&keepalive(Some(50), Some(1000), None)).await;
        assert_eq!((why, after.as_secs()), (Due::Idle, 50));
        for keepalive in [keepalive(None, None, Some(1)), keepalive(Some(u64::MAX), Some(u64::MAX), None)] {
            let ageing = Ageing::new(&keepalive);
            let waited = tokio::time::timeout(Duration::from_secs(3600), ageing.due()).await;
            assert!(waited.is_err());
        }
    }

    // Scenario: calls that overlap, and one that takes longer than the limit, on a paused clock.
    // Guarantees: a connection is idle from the end of its last call, to the millisecond.
    #[tokio::test(start_paused = true)]
    async fn calls_keep_a_connection() {
        let ageing = Ageing::new(&keepalive(Some(10), None, None));
        let calls = ageing.calls().unwrap();
        let started = Instant::now();
        let work = async {
            sleep(Duration::from_secs(9)).await;
            let first = calls.begin();
            sleep(Duration::from_secs(25)).await;
            let second = calls.begin();
            drop(first);
            sleep(Duration::from_secs(3)).await;
            drop(second);
        };
        let (why, ()) = tokio::join!(ageing.due(), work);
        assert_eq!((why, started.elapsed().as_secs()), (Due::Idle, 9 + 25 + 3 + 10));
    }
}

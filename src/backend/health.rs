//! What one member of a pool has shown of its health. A pure state machine: the time is passed in.
//!
//! Stage: backend. Sends and probes report; the router's keeper reads the verdict and decides for the pool, because only it
//! knows how many others are skipped.
//!
//! **Suspect** is a member that has left so many attempts in a row without any answer, or has had no success for so long while
//! there was something to send. An answer of any kind shows that it is alive, and ends the row of failures; only a success,
//! or a rejection for good, which takes a working server, ends the time without success. So one that is busy and says so
//! keeps its keys for as long as it takes something now and then: moving its load to a neighbour would only move the overload.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::model::{Failure, Outcome, settings::HealthPolicy};

/// What a member has shown so far.
#[derive(Debug)]
pub(super) struct Health {
    policy: Option<HealthPolicy>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Attempts in a row that ended without an answer.
    unanswered: u32,
    /// The start of the first attempt since the last success.
    pressing_since: Option<Instant>,
    /// When the row of unanswered attempts became long enough.
    failing_since: Option<Instant>,
}

/// What becomes of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is wrong.
    Active,
    /// It is suspect, and may be skipped from then on.
    Suspect {
        /// The end of the hold.
        skip_at: Instant,
    },
}

impl Health {
    pub(super) fn new(policy: Option<HealthPolicy>) -> Self {
        Self { policy, state: Mutex::default() }
    }

    /// Whether there is a policy.
    pub(super) const fn is_watched(&self) -> bool {
        self.policy.is_some()
    }

    /// An attempt begins.
    pub(super) fn began(&self, now: Instant) {
        self.with(|state, _| {
            state.pressing_since.get_or_insert(now);
        });
    }

    /// An attempt has ended.
    pub(super) fn ended(&self, outcome: &Outcome, now: Instant) {
        self.with(|state, policy| match outcome {
            Err(failure) if is_unanswered(failure) => {
                state.unanswered = state.unanswered.saturating_add(1);
                if state.unanswered >= policy.consecutive_failures {
                    state.failing_since.get_or_insert(now);
                }
            }
            Err(failure) if failure.is_retryable() => {
                state.unanswered = 0;
                state.failing_since = None;
            }
            Ok(_) | Err(_) => *state = State::default(),
        });
    }

    /// The verdict at this time.
    pub(super) fn verdict(&self, now: Instant) -> Verdict {
        let Some(policy) = self.policy else { return Verdict::Active };
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let hungry = state.pressing_since.map(|since| since + policy.no_success);
        let suspect_at = [state.failing_since, hungry].into_iter().flatten().min();
        drop(state);
        match suspect_at {
            Some(at) if at <= now => Verdict::Suspect { skip_at: at + policy.hold },
            _ => Verdict::Active,
        }
    }

    /// How long to wait before the next probe: 1 s doubled with each probe that failed, up to the configured interval, times
    /// 0.8 to 1.2; `random` is a number in 0..1.
    pub(super) fn probe_after(&self, probes: u32, random: f64) -> Duration {
        let longest = self.policy.map_or(Duration::MAX, |policy| policy.probe_interval);
        let wait = Duration::from_secs(1).saturating_mul(1 << probes.min(16)).min(longest);
        wait.mul_f64(0.8 + 0.4 * random.clamp(0.0, 1.0))
    }

    fn with(&self, change: impl FnOnce(&mut State, &HealthPolicy)) {
        if let Some(policy) = &self.policy {
            change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner), policy);
        }
    }
}

/// Whether the member did not say anything: no connection, a broken one, a deadline. A status that it sent is an answer,
/// whatever it says.
const fn is_unanswered(failure: &Failure) -> bool {
    failure.grpc_status.is_none() && failure.is_retryable()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Code, Delivered, Retry, Side};

    const POLICY: HealthPolicy = HealthPolicy {
        consecutive_failures: 3,
        no_success: Duration::from_secs(10),
        hold: Duration::from_secs(5),
        probe_interval: Duration::from_secs(5),
        max_ejected_percent: 50,
    };

    /// Plays events (`b`egin, `s`uccess, `u`nanswered, `r`efused for now, re`j`ected for good), one a second, and compares the
    /// second at which the member may be skipped, seen at the end.
    #[track_caller]
    fn check(events: &str, expect: Option<u64>) {
        let start = Instant::now();
        let health = Health::new(Some(POLICY));
        let mut now = start;
        let failure = |retry, status| {
            let mut failure = Failure::new(Side::Backend, Code::Unavailable, retry, "scripted");
            failure.grpc_status = status;
            Err(failure)
        };
        for event in events.chars() {
            match event {
                'b' => health.began(now),
                's' => health.ended(&Ok(Delivered::default()), now),
                'u' => health.ended(&failure(Retry::After(None), None), now),
                'r' => health.ended(&failure(Retry::After(None), Some(14)), now),
                'j' => health.ended(&failure(Retry::Never, Some(3)), now),
                _ => {}
            }
            now += Duration::from_secs(1);
        }
        let got = match health.verdict(now) {
            Verdict::Active => None,
            Verdict::Suspect { skip_at } => Some(skip_at.duration_since(start).as_secs()),
        };
        assert_eq!(got, expect, "{events}");
    }

    // Scenario: rows of attempts with every kind of end, one a second.
    // Guarantees: so many without any answer, or so long without a success, make a member suspect, and the hold begins then; an
    // answer ends the row, a success or a final rejection ends everything; idle time is no failure.
    #[test]
    fn failures_in_a_row_and_time_without_success_are_suspect() {
        check("", None);
        check("bs............", None);
        check("bububu", Some(5 + 5));
        check("bubububu", Some(5 + 5));
        check("bubur", None);
        check("bububuru", None);
        check("bububus", None);
        check("bububuj", None);
        check("brbrbrbrbrbr", Some(10 + 5));
        check("b...........", Some(10 + 5));
        check("b....s......", None);
        check("b....sb.....", None);
        check("brbrbrbrsbrbr", None);
    }

    // Scenario: a member that fails and works in turns, a second each, for an hour.
    // Guarantees: it is never suspect, so flapping moves no keys.
    #[test]
    fn flapping_is_not_suspect() {
        check(&"bubs".repeat(900), None);
    }

    // Scenario: probes that fail one after the other.
    // Guarantees: the wait grows, stays within a fifth of its middle, and never exceeds the interval by more than that.
    #[test]
    fn probes_back_off() {
        let health = Health::new(Some(POLICY));
        for (probes, middle) in [(0, 1.0), (1, 2.0), (2, 4.0), (3, 5.0), (40, 5.0)] {
            for random in [0.0, 0.5, 1.0] {
                let wait = health.probe_after(probes, random).as_secs_f64();
                assert!((wait / middle - 1.0).abs() < 0.2001, "{probes}: {wait}");
            }
        }
    }

    // Scenario: health is off.
    // Guarantees: nothing makes a member suspect, as in the Collector.
    #[test]
    fn without_a_policy_nothing_is_suspect() {
        let health = Health::new(None);
        let now = Instant::now();
        health.began(now);
        assert_eq!(health.verdict(now + Duration::from_secs(3600)), Verdict::Active);
    }
}

//! How often a source that has to ask does so.
//!
//! Stage: resolver, pure but for the jitter. After an answer, as long as the answer is good, between two bounds. After a failure
//! the wait starts at the lower bound and doubles up to the upper one. Every wait is up to a tenth longer, so that replicas and
//! exporters that started together do not ask in step.

use std::time::Duration;

/// A wait is longer by up to this part of it.
const JITTER: f64 = 0.1;
/// Doublings beyond this make no wait longer.
const DOUBLINGS_MAX: u32 = 20;

/// The time between two questions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    min: Duration,
    max: Duration,
    /// In a row.
    failures: u32,
}

impl Pace {
    pub(super) const fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, failures: 0 }
    }

    /// How long to wait after an answer that is good for so long; `None`: it does not say.
    pub(super) fn answered(&mut self, good_for: Option<Duration>) -> Duration {
        self.failures = 0;
        jittered(good_for.unwrap_or(self.max).max(self.min).min(self.max))
    }

    /// How long to wait after a failure.
    pub(super) fn failed(&mut self) -> Duration {
        let wait = self.min.saturating_mul(1 << self.failures).min(self.max);
        self.failures = self.failures.saturating_add(1).min(DOUBLINGS_MAX);
        jittered(wait)
    }
}

fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(1.0 + JITTER * fastrand::f64())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Whether each wait is the expected one, up to a tenth longer, and not all are alike.
    #[track_caller]
    pub(in crate::resolver) fn check_waits(waits: &[Duration], expect: Duration) {
        assert!(waits.len() > 20, "{waits:?}");
        // A paused clock counts in milliseconds.
        let bounds = expect..=expect.mul_f64(1.0 + JITTER) + Duration::from_millis(2);
        assert!(waits.iter().all(|wait| bounds.contains(wait)), "{bounds:?}: {waits:?}");
        let (least, most) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
        assert!(*most - *least > expect.mul_f64(JITTER / 4.0), "in step: {waits:?}");
    }

    // Scenario: answers that are good for less than the lower bound, for a time between, for more than the upper, or say nothing.
    // Guarantees: the wait is that time within the bounds, with jitter on top.
    #[test]
    fn an_answer_decides_within_bounds() {
        let mut pace = Pace::new(SECOND, 5 * SECOND);
        for (good_for, expect) in [(Some(0), 1), (Some(3), 3), (Some(600), 5), (None, 5)] {
            let waits: Vec<_> = (0..40).map(|_| pace.answered(good_for.map(|of| of * SECOND))).collect();
            check_waits(&waits, expect * SECOND);
        }
    }

    // Scenario: failures in a row, more than a number of bits, then an answer, then failures again.
    // Guarantees: waits double from the lower bound to the upper one, and start again after an answer.
    #[test]
    fn failures_are_waited_for_longer_and_longer() {
        let mut pace = Pace::new(SECOND, 5 * SECOND);
        for _ in 0..2 {
            for expect in [1, 2, 4].into_iter().chain([5; 60]) {
                let wait = pace.failed();
                assert!(
                    (expect * SECOND..=expect * SECOND * 11 / 10).contains(&wait),
                    "{wait:?}: {expect} s"
                );
            }
            assert!(pace.answered(None) >= 5 * SECOND);
        }
    }
}

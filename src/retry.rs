//! Whether and when an attempt is made again.
//!
//! Stage: engine, used by `backend`. Owns the OTLP retry tables, of gRPC and of HTTP, the exponential back-off of
//! `retry_on_failure`, and the words in which backends say that a message is too large. Pure: the elapsed time, the time of
//! day and the random number are passed in.

use std::time::{Duration, SystemTime};

use crate::model::{Failure, Retry, settings::RetryPolicy};

mod message_limit;
#[cfg(test)]
mod tests;

pub use message_limit::{TooLarge, message_limit, message_limit_of_http};

/// What to do after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Wait this long, then try again.
    After(Duration),
    /// The failure is permanent, or retries are off.
    NotRetryable,
    /// The next wait would end after `max_elapsed_time`.
    Exhausted,
}

/// The waits of one request. One for each request; it remembers the interval.
#[derive(Clone, Debug)]
pub struct Backoff {
    policy: Option<RetryPolicy>,
    interval: Duration,
}

impl Backoff {
    /// A request that has not been tried yet. `None`: the first failure is final.
    pub fn new(policy: Option<RetryPolicy>) -> Self {
        let interval = policy.map_or(Duration::ZERO, |policy| policy.initial_interval);
        Self { policy, interval }
    }

    /// Decides after a failure.
    ///
    /// `elapsed` is the time since the first attempt began, `random` a number in 0..1. The wait is uniform in
    /// interval · (1 ± randomization_factor); the interval then grows by the multiplier up to the maximum, so
    /// that waits reach 45 s with the default maximum of 30 s. A delay that the backend asked for is a lower
    /// bound of the wait.
    ///
    /// Source: Collector `exporterhelper` v0.161.0, `retry_sender.go`; cenkalti/backoff v5.
    pub fn after(&mut self, failure: &Failure, elapsed: Duration, random: f64) -> Decision {
        let Some(policy) = self.policy else { return Decision::NotRetryable };
        let Retry::After(asked) = failure.retry else { return Decision::NotRetryable };
        let wait = self.draw(&policy, random).max(asked.unwrap_or(Duration::ZERO));
        match policy.max_elapsed_time {
            Some(limit) if elapsed.saturating_add(wait) > limit => Decision::Exhausted,
            _ => Decision::After(wait),
        }
    }

    /// Draws one wait and lets the interval grow.
    fn draw(&mut self, policy: &RetryPolicy, random: f64) -> Duration {
        // An interval that became 0 (multiplier or maximum 0) starts again, as the Collector's does.
        let interval = if self.interval.is_zero() { policy.initial_interval } else { self.interval };
        let grown = scale(interval, policy.multiplier);
        self.interval = grown.min(policy.max_interval);
        let factor = policy.randomization_factor;
        scale(interval, 1.0 - factor + 2.0 * factor * random)
    }
}

/// Multiplies without the panics of `Duration::mul_f64`; what is no valid duration becomes the longest one.
fn scale(duration: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(duration.as_secs_f64() * factor.max(0.0)).unwrap_or(Duration::MAX)
}

/// Whether a gRPC status other than OK may be retried; `delay` is the RetryInfo that came with it.
///
/// Source: OTLP specification, "Failures"; Collector `otlpexporter` v0.161.0, `processError`.
pub fn of_grpc_status(status: u32, delay: Option<Duration>) -> Retry {
    match status {
        // CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS
        1 | 4 | 10 | 11 | 14 | 15 => Retry::After(delay.filter(|delay| !delay.is_zero())),
        // RESOURCE_EXHAUSTED can be retried only if the server says so.
        8 => match delay {
            Some(delay) => Retry::After(Some(delay).filter(|delay| !delay.is_zero())),
            None => Retry::Never,
        },
        _ => Retry::Never,
    }
}

/// Whether an HTTP status of OTLP/HTTP other than 2xx may be retried; `retry_after` is what [`parse_retry_after`] makes of
/// the header, which counts for 429 and 503 only.
///
/// Source: OTLP specification, "OTLP/HTTP Response"; Collector `otlphttpexporter` v0.161.0, `otlp.go`.
pub fn of_http_status(status: u16, retry_after: Option<Duration>) -> Retry {
    match status {
        429 | 503 => Retry::After(retry_after.filter(|delay| !delay.is_zero())),
        502 | 504 => Retry::After(None),
        _ => Retry::Never,
    }
}

/// The delay in a `Retry-After` header: whole seconds, or a date (RFC 9110, 10.2.3). `None`: neither, negative, or in the past,
/// which leaves the ordinary back-off, as in the Collector.
pub fn parse_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    httpdate::parse_http_date(value).ok()?.duration_since(now).ok()
}

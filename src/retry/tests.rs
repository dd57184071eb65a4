//! Tests of the retry table and the back-off.

use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::*;
use crate::model::{Code, Side};

const DEFAULT: RetryPolicy = RetryPolicy {
    initial_interval: Duration::from_secs(5),
    randomization_factor: 0.5,
    multiplier: 1.5,
    max_interval: Duration::from_secs(30),
    max_elapsed_time: Some(Duration::from_secs(300)),
};

fn unavailable(delay: Option<Duration>) -> Failure {
    Failure::new(Side::Backend, Code::Unavailable, Retry::After(delay), "down")
}

// Scenario: every gRPC status, with and without RetryInfo.
// Guarantees: exactly the statuses that OTLP calls retryable are; RESOURCE_EXHAUSTED only with RetryInfo.
#[test]
fn grpc_statuses_follow_the_otlp_table() {
    let delay = Some(Duration::from_secs(2));
    for status in 0..20 {
        let (without, with) = match status {
            1 | 4 | 10 | 11 | 14 | 15 => (Retry::After(None), Retry::After(delay)),
            8 => (Retry::Never, Retry::After(delay)),
            _ => (Retry::Never, Retry::Never),
        };
        assert_eq!(of_grpc_status(status, None), without, "status {status}");
        assert_eq!(of_grpc_status(status, delay), with, "status {status}");
        if with != Retry::Never {
            assert_eq!(of_grpc_status(status, Some(Duration::ZERO)), Retry::After(None), "status {status}");
        }
    }
}

// Scenario: a backend stays down under the default policy, the random number in the middle.
// Guarantees: 5 s grows by 1.5 up to 30 s; no wait begins that would end after five minutes.
#[test]
fn default_policy_grows_and_ends() {
    let mut backoff = Backoff::new(Some(DEFAULT));
    let mut elapsed = Duration::ZERO;
    let mut waits = Vec::new();
    while let Decision::After(wait) = backoff.after(&unavailable(None), elapsed, 0.5) {
        waits.push(wait.as_millis());
        elapsed += wait;
    }
    assert_eq!(&waits[..6], &[5000, 7500, 11250, 16875, 25312, 30000]);
    assert!(elapsed <= Duration::from_secs(300) && elapsed > Duration::from_secs(260), "{elapsed:?}");
    assert_eq!(backoff.after(&unavailable(None), elapsed, 0.5), Decision::Exhausted);
}

// Scenario: the backend asks for a delay; the failure is permanent; retries are off.
// Guarantees: the delay is a lower bound, one beyond the budget fails at once, permanent failures never wait.
#[test]
fn delays_and_permanent_failures() {
    let check = |policy, failure: &Failure, expect| {
        assert_eq!(Backoff::new(policy).after(failure, Duration::ZERO, 0.5), expect);
    };
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    check(Some(DEFAULT), &unavailable(seconds(60)), Decision::After(Duration::from_secs(60)));
    check(Some(DEFAULT), &unavailable(seconds(1)), Decision::After(Duration::from_secs(5)));
    check(Some(DEFAULT), &unavailable(seconds(301)), Decision::Exhausted);
    check(None, &unavailable(None), Decision::NotRetryable);
    let permanent = Failure::new(Side::Backend, Code::Rejected, Retry::Never, "no");
    check(Some(DEFAULT), &permanent, Decision::NotRetryable);
}

// Scenario: multiplier 0 makes the interval 0; extreme factors overflow a duration.
// Guarantees: it starts again at the initial interval, and nothing panics.
#[test]
fn degenerate_policies() {
    let mut backoff = Backoff::new(Some(RetryPolicy { multiplier: 0.0, max_elapsed_time: None, ..DEFAULT }));
    for _ in 0..3 {
        let decision = backoff.after(&unavailable(None), Duration::MAX, 0.5);
        assert_eq!(decision, Decision::After(Duration::from_secs(5)));
    }
    let huge =
        RetryPolicy { multiplier: f64::MAX, max_interval: Duration::MAX, max_elapsed_time: None, ..DEFAULT };
    let mut backoff = Backoff::new(Some(huge));
    backoff.after(&unavailable(None), Duration::ZERO, 0.999);
    assert!(matches!(backoff.after(&unavailable(None), Duration::ZERO, 0.999), Decision::After(_)));
}

// Scenario: every HTTP status that is no success, with and without Retry-After.
// Guarantees: exactly 429, 502, 503 and 504 are retried; the header counts for 429 and 503 only; a delay of zero is none.
#[test]
fn http_statuses_follow_the_otlp_table() {
    let delay = Some(Duration::from_secs(2));
    for status in 300..600 {
        let (without, with) = match status {
            429 | 503 => (Retry::After(None), Retry::After(delay)),
            502 | 504 => (Retry::After(None), Retry::After(None)),
            _ => (Retry::Never, Retry::Never),
        };
        assert_eq!(of_http_status(status, None), without, "status {status}");
        assert_eq!(of_http_status(status, delay), with, "status {status}");
    }
    assert_eq!(of_http_status(503, Some(Duration::ZERO)), Retry::After(None));
}

// Scenario: `Retry-After` in seconds, as a date in the three forms of HTTP, in the past, and as nonsense.
// Guarantees: seconds and dates give a delay; everything else gives none, and nothing overflows.
#[test]
fn retry_after_is_seconds_or_a_date() {
    // 1994-11-06T08:49:37Z, the example of RFC 9110.
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    let check = |value: &str, expect: Option<u64>| {
        assert_eq!(parse_retry_after(value, now), expect.map(Duration::from_secs), "{value:?}");
    };
    check("0", Some(0));
    check("7", Some(7));
    check("18446744073709551615", Some(u64::MAX));
    check("Sun, 06 Nov 1994 08:50:07 GMT", Some(30));
    check("Sunday, 06-Nov-94 08:50:07 GMT", Some(30));
    check("Sun Nov  6 08:50:07 1994", Some(30));
    check("Sun, 06 Nov 1994 08:49:37 GMT", Some(0));
    check("Sun, 06 Nov 1994 08:49:07 GMT", None);
    for nonsense in ["", "-1", "1.5", "soon", "18446744073709551616"] {
        check(nonsense, None);
    }
}

proptest! {
    // Scenario: any random sequence under any policy.
    // Guarantees: a wait lies within interval · (1 ± factor), and elapsed plus wait never passes the limit.
    #[test]
    fn waits_stay_within_their_bounds(
        initial_ms in 1_u64..10_000,
        factor in 0.0_f64..=1.0,
        multiplier in 0.0_f64..4.0,
        max_ms in 1_u64..60_000,
        draws in proptest::collection::vec(0.0_f64..1.0, 1..40),
    ) {
        let limit = Duration::from_secs(120);
        let policy = RetryPolicy {
            initial_interval: Duration::from_millis(initial_ms),
            randomization_factor: factor,
            multiplier,
            max_interval: Duration::from_millis(max_ms),
            max_elapsed_time: Some(limit),
        };
        let mut backoff = Backoff::new(Some(policy));
        let mut elapsed = Duration::ZERO;
        let cap = policy.initial_interval.max(policy.max_interval).mul_f64(1.0 + factor) + Duration::from_micros(1);
        for random in draws {
            let Decision::After(wait) = backoff.after(&unavailable(None), elapsed, random) else { break };
            prop_assert!(wait <= cap, "{wait:?} > {cap:?}");
            elapsed += wait;
            prop_assert!(elapsed <= limit);
        }
    }
}

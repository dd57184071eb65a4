//! The reply rules as tables.

use std::time::Duration;

use super::*;
use crate::model::Side;

const ALL_GRPC: [grpc::Code; 17] = [
    grpc::Code::Ok,
    grpc::Code::Cancelled,
    grpc::Code::Unknown,
    grpc::Code::InvalidArgument,
    grpc::Code::DeadlineExceeded,
    grpc::Code::NotFound,
    grpc::Code::AlreadyExists,
    grpc::Code::PermissionDenied,
    grpc::Code::ResourceExhausted,
    grpc::Code::FailedPrecondition,
    grpc::Code::Aborted,
    grpc::Code::OutOfRange,
    grpc::Code::Unimplemented,
    grpc::Code::Internal,
    grpc::Code::Unavailable,
    grpc::Code::DataLoss,
    grpc::Code::Unauthenticated,
];

fn failure(code: Code, retry: Retry) -> Failure {
    Failure::new(Side::Gateway, code, retry, "why")
}

/// A failure of `code`: what gRPC and HTTP clients get.
#[track_caller]
fn check(
    code: Code,
    retry: Retry,
    expect_grpc: (grpc::Code, &str, Option<u64>),
    expect_http: (u16, Option<u64>),
) {
    let failure = failure(code, retry);
    let status = grpc_status(&failure);
    let seconds = status.retry_delay.map(|delay| delay.as_secs());
    assert_eq!((status.code, status.message.as_str(), seconds), expect_grpc, "{failure:?}");
    let answer = http_failure(&failure);
    assert_eq!((answer.status.as_u16(), answer.retry_after), expect_http, "{failure:?}");
}

// Scenario: every failure of the gateway's own, retryable and permanent.
// Guarantees: the code, text and delay of the rules on both transports; nothing retryable goes without a delay.
#[test]
fn failures_have_their_status() {
    use grpc::Code as Grpc;
    let after = Retry::After(None);
    for code in Code::ALL {
        let (grpc, text, http) = match code {
            Code::Malformed => {
                check(
                    code,
                    after,
                    (Grpc::Internal, "grpc: error unmarshalling request: why", None),
                    (400, None),
                );
                check(
                    code,
                    Retry::Never,
                    (Grpc::Internal, "grpc: error unmarshalling request: why", None),
                    (400, None),
                );
                continue;
            }
            Code::TooLarge => {
                check(code, after, (Grpc::InvalidArgument, "why", None), (400, None));
                check(code, Retry::Never, (Grpc::InvalidArgument, "why", None), (400, None));
                continue;
            }
            Code::Unsupported => {
                check(code, after, (Grpc::Unimplemented, "why", None), (404, None));
                check(code, Retry::Never, (Grpc::Unimplemented, "why", None), (404, None));
                continue;
            }
            Code::QueueFull => (Grpc::Unavailable, "sending queue is full", 503),
            Code::MemoryFull => (Grpc::Unavailable, "data refused due to high memory usage", 503),
            Code::Timeout => (Grpc::DeadlineExceeded, "why", 503),
            Code::Cancelled => (Grpc::Cancelled, "why", 503),
            Code::NoBackend
            | Code::NoKey
            | Code::Unavailable
            | Code::Rejected
            | Code::Ambiguous
            | Code::ShuttingDown
            | Code::Internal => (Grpc::Unavailable, "why", 503),
        };
        check(code, after, (grpc, text, Some(1)), (http, Some(1)));
        check(code, Retry::After(Some(Duration::from_secs(7))), (grpc, text, Some(7)), (http, Some(7)));
        check(code, Retry::Never, (Grpc::Internal, "Permanent error: why", None), (500, None));
    }
}

// Scenario: every status of a backend in synchronous operation.
// Guarantees: it passes unchanged, with the Collector's HTTP status; a delay becomes Retry-After only on 429 and 503.
#[test]
fn statuses_of_backends_pass() {
    for code in ALL_GRPC {
        for retry in [Retry::Never, Retry::After(Some(Duration::from_millis(1500)))] {
            let mut failure = failure(Code::Rejected, retry);
            failure.grpc_status = Some(code.number());
            let status = grpc_status(&failure);
            let delay = matches!(retry, Retry::After(_)).then_some(Duration::from_millis(1500));
            assert_eq!(status, Status { code, message: "why".to_owned(), retry_delay: delay });

            let answer = http_failure(&failure);
            let expect = match code.number() {
                1 | 4 | 10 | 11 | 14 | 15 => 503,
                8 if delay.is_some() => 429,
                3 | 8 => 400,
                16 => 401,
                7 => 403,
                12 => 404,
                _ => 500,
            };
            assert_eq!(answer.status.as_u16(), expect, "{code:?} {retry:?}");
            let bears_delay = delay.is_some() && matches!(expect, 429 | 503);
            assert_eq!(answer.retry_after, bears_delay.then_some(2), "{code:?} {retry:?}");
            assert_eq!(answer.body, HttpBody::Status(status));
        }
    }
}

// Scenario: a backend's status number that gRPC does not know, and a malformed request that a backend reported.
// Guarantees: UNKNOWN; the backend's word wins over the gateway's rule for its own checks.
#[test]
fn odd_statuses_of_backends_pass() {
    let mut odd = failure(Code::Rejected, Retry::Never);
    odd.grpc_status = Some(99);
    assert_eq!(grpc_status(&odd).code, grpc::Code::Unknown);

    let mut malformed = failure(Code::Malformed, Retry::Never);
    malformed.grpc_status = Some(13);
    assert_eq!(grpc_status(&malformed), Status::new(grpc::Code::Internal, "why"));
    assert_eq!(http_failure(&malformed).status, StatusCode::INTERNAL_SERVER_ERROR);
}

// Scenario: delays shorter than a second.
// Guarantees: Retry-After never says 0, which would mean "at once".
#[test]
fn retry_after_is_at_least_a_second() {
    for (delay, expect) in [(0, 1), (1, 1), (999, 1), (1000, 1), (1001, 2)] {
        let retry = Retry::After(Some(Duration::from_millis(delay)));
        assert_eq!(http_failure(&failure(Code::Unavailable, retry)).retry_after, Some(expect));
    }
}

// Scenario: a client that falls silent in the middle of a body.
// Guarantees: both transports answer something that OTLP clients retry, with a delay.
#[test]
fn silence_is_retryable() {
    let (http, status) = GrpcRefusal::Silent.answer();
    assert_eq!((http, status.code), (StatusCode::OK, grpc::Code::DeadlineExceeded));
    assert!(status.retry_delay.is_some());
    let answer = HttpRefusal::Silent.answer();
    assert_eq!((answer.status, answer.retry_after), (StatusCode::SERVICE_UNAVAILABLE, Some(1)));
}

//! Tests of what an answer means. How it gets here is tested with `net/http_client`.

use super::*;
use crate::{model::Retry, net::grpc::Status};

const URL: &str = "http://b:4318/v1/traces";

fn response(status: u16, headers: &[(&'static str, &'static str)], body: &[u8]) -> Response {
    let headers =
        headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    Response {
        status: StatusCode::from_u16(status).unwrap(),
        headers: headers.collect(),
        body: Ok(Bytes::copy_from_slice(body)),
    }
}

fn failure(response: &Response) -> Failure {
    of_response(URL, response, SystemTime::UNIX_EPOCH).unwrap_err()
}

#[track_caller]
fn check(status: u16, code: Code, is_retryable: bool, grpc_status: u32) {
    let failure = failure(&response(status, &[], b"no status"));
    let got = (failure.code, failure.is_retryable(), failure.grpc_status);
    assert_eq!(got, (code, is_retryable, Some(grpc_status)), "status {status}");
}

// Scenario: every status that a server, a proxy or a wrong URL gives.
// Guarantees: the Collector's classes and the gRPC statuses that a client which waits is told; a wrong URL, method or type
// is told from data that is refused, because only the latter is worth sending again by halves.
#[test]
fn statuses_have_their_classes() {
    check(301, Code::Unsupported, false, 2);
    check(307, Code::Unsupported, false, 2);
    check(400, Code::Rejected, false, 3);
    check(401, Code::Rejected, false, 16);
    check(403, Code::Rejected, false, 7);
    check(404, Code::Unsupported, false, 12);
    check(405, Code::Unsupported, false, 2);
    check(408, Code::Rejected, false, 2);
    check(413, Code::TooLarge, false, 2);
    check(415, Code::Unsupported, false, 2);
    check(429, Code::Unavailable, true, 8);
    check(500, Code::Rejected, false, 2);
    check(501, Code::Unsupported, false, 2);
    check(502, Code::Unavailable, true, 14);
    check(503, Code::Unavailable, true, 14);
    check(504, Code::Unavailable, true, 14);
    check(599, Code::Rejected, false, 2);
}

// Scenario: `Retry-After` in each form, on statuses that may bear it and on others.
// Guarantees: it reaches the retry axis for 429 and 503 only; what is no delay leaves the ordinary back-off.
#[test]
fn retry_after_is_kept() {
    let check = |status, value, expect: Option<u64>| {
        let failure = failure(&response(status, &[("retry-after", value)], b""));
        assert_eq!(failure.retry, Retry::After(expect.map(Duration::from_secs)), "{status} {value}");
    };
    check(429, "3", Some(3));
    check(503, "Thu, 01 Jan 1970 00:00:09 GMT", Some(9));
    check(503, "0", None);
    check(503, "-1", None);
    check(503, "tomorrow", None);
    check(502, "3", None);
    check(504, "3", None);
}

// Scenario: a Collector's receiver refuses a body for its size, or a request for another reason; proxies fail.
// Guarantees: the first is known for what it is, so that it is cut; what a proxy could not finish may have been taken.
#[test]
fn sizes_and_doubts_are_recognised() {
    let status = |text| Status::new(grpc::Code::InvalidArgument, text).to_rpc_status();
    let large = failure(&response(400, &[], &status("http: request body too large")));
    assert_eq!((large.code, large.is_retryable()), (Code::TooLarge, false));
    assert_eq!(failure(&response(400, &[], &status("bad span"))).code, Code::Rejected);
    for (status, is_ambiguous) in [(502, true), (503, false), (504, true), (429, false)] {
        assert_eq!(failure(&response(status, &[], b"")).ambiguous, is_ambiguous, "{status}");
    }
}

// Scenario: failures with a Status, without a body, with a page, redirects with and without a target.
// Guarantees: the Collector's words; a page is not quoted; a redirect names where it points.
#[test]
fn failures_speak_the_collectors_words() {
    let text = |status, headers: &[_], body: &[u8]| failure(&response(status, headers, body)).message;
    let head = "error exporting items, request to http://b:4318/v1/traces responded with HTTP Status Code";
    let status = Status::new(grpc::Code::InvalidArgument, "bad span").to_rpc_status();
    assert_eq!(text(400, &[], &status), format!("{head} 400, Message=bad span, Details=[]"));
    assert_eq!(text(503, &[], b""), format!("{head} 503, Message=, Details=[]"));
    assert_eq!(text(502, &[], b"<html>"), format!("{head} 502"));
    let moved = [("location", "https://b/v1/traces")];
    assert_eq!(
        text(301, &moved, &status),
        format!("{head} 301: redirects are not followed (Location: https://b/v1/traces)")
    );
    assert_eq!(text(304, &[], b""), format!("{head} 304"));
    let mut cut = response(500, &[], b"");
    cut.body = Err("connection reset".to_owned());
    assert_eq!(failure(&cut).message, format!("{head} 500"));
}

#[track_caller]
fn check_success(status: u16, kind: Option<&'static str>, body: &[u8], expect: Result<(u64, &str), &str>) {
    let headers: Vec<_> = kind.map(|kind| ("content-type", kind)).into_iter().collect();
    match (of_response(URL, &response(status, &headers, body), SystemTime::UNIX_EPOCH), expect) {
        (Ok(delivered), Ok(expect)) => {
            assert_eq!((delivered.rejected, delivered.message.as_str()), expect);
        }
        (Err(failure), Err(text)) => {
            assert!(failure.message.contains(text), "{failure}");
            assert_eq!((failure.code, failure.retry), (Code::Rejected, Retry::Never));
            assert!(failure.ambiguous, "it may well have been taken");
        }
        (got, expect) => panic!("{status} {kind:?}: {got:?}, expected {expect:?}"),
    }
}

// Scenario: 2xx answers: empty, with a partial success in both encodings, of other types, and undecodable.
// Guarantees: all are deliveries but those that claim a type and break it; rejected items are told.
#[test]
fn successes_are_read() {
    const KIND: Option<&str> = Some("application/x-protobuf");
    const TEXT: Option<&str> = Some("application/json");
    check_success(200, KIND, b"", Ok((0, "")));
    check_success(202, None, b"", Ok((0, "")));
    check_success(204, TEXT, b"", Ok((0, "")));
    check_success(200, KIND, b"\x0a\x00", Ok((0, "")));
    check_success(200, KIND, b"\x0a\x07\x08\x07\x12\x03bad", Ok((7, "bad")));
    check_success(
        200,
        TEXT,
        b"{\"partialSuccess\":{\"rejectedSpans\":\"7\",\"errorMessage\":\"bad\"}}",
        Ok((7, "bad")),
    );
    check_success(200, Some("text/plain"), b"ok", Ok((0, "")));
    check_success(200, Some("application/x-protobuf; charset=utf-8"), b"\xff", Ok((0, "")));
    check_success(200, KIND, b"\xff", Err("error parsing protobuf response: "));
    check_success(200, TEXT, b"<html>", Err("error parsing json response: "));
    let mut cut = response(200, &[("content-type", "application/x-protobuf")], b"");
    cut.body = Err("connection reset".to_owned());
    let failure = failure(&cut);
    assert_eq!(
        (failure.message.as_ref(), failure.ambiguous),
        ("error reading response: connection reset", true)
    );
    cut.headers.clear();
    assert!(of_response(URL, &cut, SystemTime::UNIX_EPOCH).is_ok());
}

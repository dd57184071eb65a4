//! Tables and properties of the gRPC text and binary forms; prost is the oracle for `google.rpc.Status`.

use proptest::prelude::*;
use prost::Message as _;

use super::*;

#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<ProtoDuration>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ProtoDuration {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[expect(clippy::disallowed_methods, reason = "the oracle")]
fn decode<M: prost::Message + Default>(bytes: &[u8]) -> M {
    M::decode(bytes).unwrap()
}

fn details_of(type_url: &str, seconds: i64, nanos: i32) -> Vec<u8> {
    let retry = RetryInfo { retry_delay: Some(ProtoDuration { seconds, nanos }) };
    let other = Any { type_url: "type.googleapis.com/google.rpc.DebugInfo".into(), value: vec![0xff; 3] };
    let any = Any { type_url: type_url.into(), value: retry.encode_to_vec() };
    RpcStatus { code: 14, message: "busy".into(), details: vec![other, any] }.encode_to_vec()
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
}

// Scenario: prefixes of every flag and of extreme lengths are read and written.
// Guarantees: reading undoes writing; a flag that gRPC does not know is named, a length over 4 GiB refused.
#[test]
fn prefix_round_trips() {
    for (compressed, len) in [(false, 0), (true, 1), (false, 0x0102_0304), (true, u32::MAX)] {
        let prefix = Prefix { compressed, len };
        assert_eq!(Prefix::parse(prefix.to_bytes()), Ok(prefix));
    }
    assert_eq!(Prefix { compressed: true, len: 0x0102_0304 }.to_bytes(), [1, 1, 2, 3, 4]);
    assert_eq!(Prefix::parse([2, 0, 0, 0, 0]), Err(2));
    assert_eq!(Prefix::new(false, 7), Some(Prefix { compressed: false, len: 7 }));
    assert_eq!(Prefix::new(false, usize::MAX), None);
}

// Scenario: every number from 0 to 20 is turned into a code.
// Guarantees: the 17 codes keep their numbers; other numbers are UNKNOWN.
#[test]
fn code_keeps_its_number() {
    for number in 0..=16 {
        assert_eq!(Code::from_number(number).number(), number);
    }
    for number in [17, 20, u32::MAX] {
        assert_eq!(Code::from_number(number), Code::Unknown);
    }
}

// Scenario: a proxy answers with a plain HTTP status.
// Guarantees: the code is that of the gRPC mapping, so "try again later" stays retryable.
#[test]
fn code_follows_http_status() {
    for (status, code) in [
        (400, Code::Internal),
        (401, Code::Unauthenticated),
        (403, Code::PermissionDenied),
        (404, Code::Unimplemented),
        (429, Code::Unavailable),
        (502, Code::Unavailable),
        (503, Code::Unavailable),
        (504, Code::Unavailable),
        (200, Code::Unknown),
        (500, Code::Unknown),
    ] {
        assert_eq!(Code::from_http(StatusCode::from_u16(status).unwrap()), code, "{status}");
    }
}

#[track_caller]
fn check_status(status: &Status) {
    assert_eq!(Status::from_headers(&status.to_headers()).as_ref(), Some(status));
}

// Scenario: statuses with every kind of text and delay go into trailers and are read again.
// Guarantees: nothing is lost: control characters, percent signs, other scripts, a delay of zero.
#[test]
fn status_round_trips_through_headers() {
    check_status(&Status::ok());
    check_status(&Status::new(Code::Unavailable, "sending queue is full"));
    check_status(&Status::new(Code::Internal, "100 % of\r\n\tTags \u{7f} Grüße \u{1f980}%41"));
    for delay in [Duration::ZERO, Duration::new(0, 1), Duration::new(3, 500_000_000)] {
        check_status(&Status { retry_delay: Some(delay), ..Status::new(Code::ResourceExhausted, "é %") });
    }
}

// Scenario: a status is written for a peer.
// Guarantees: only printable ASCII is in the trailer, as gRPC's percent-encoding has it; no padding in `-bin`.
#[test]
fn status_headers_are_escaped() {
    let status =
        Status { retry_delay: Some(Duration::from_secs(1)), ..Status::new(Code::Unavailable, "50%\né~ ok") };
    let headers = status.to_headers();
    assert_eq!(headers.get("grpc-status").unwrap(), "14");
    assert_eq!(headers.get("grpc-message").unwrap(), "50%25%0A%C3%A9~ ok");
    let details = headers.get("grpc-status-details-bin").unwrap().to_str().unwrap();
    assert!(!details.contains('='), "{details}");
    assert!(!Status::ok().to_headers().contains_key("grpc-message"));
}

// Scenario: the message is far longer than what peers accept in trailers.
// Guarantees: it is cut between two characters, and all trailers together stay below 8 KiB.
#[test]
fn status_message_is_cut_for_trailers() {
    let status = Status {
        retry_delay: Some(Duration::from_secs(1)),
        ..Status::new(Code::Internal, "ä€".repeat(5000))
    };
    let headers = status.to_headers();
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
    assert!(bytes < 8192, "{bytes}");
    let read = Status::from_headers(&headers).unwrap();
    assert!(read.message.len() > 1000 && status.message.starts_with(&read.message), "{}", read.message);
}

// Scenario: a status with a delay is serialized.
// Guarantees: prost reads the same code, message and delay; without a delay there is no detail.
#[test]
fn rpc_status_is_what_prost_reads() {
    let delay = Duration::new(70_000, 999_999_999);
    let status = Status { retry_delay: Some(delay), ..Status::new(Code::Unavailable, "é".repeat(100)) };
    let read: RpcStatus = decode(&status.to_rpc_status());
    assert_eq!((read.code, read.message), (14, status.message));
    let [any] = read.details.as_slice() else { panic!("{:?}", read.details) };
    assert_eq!(any.type_url, "type.googleapis.com/google.rpc.RetryInfo");
    let retry: RetryInfo = decode(&any.value);
    assert_eq!(retry.retry_delay, Some(ProtoDuration { seconds: 70_000, nanos: 999_999_999 }));

    let plain: RpcStatus = decode(&Status::new(Code::Internal, "x").to_rpc_status());
    assert_eq!(plain, RpcStatus { code: 13, message: "x".into(), details: vec![] });
    assert!(Status::ok().to_rpc_status().is_empty());
}

#[track_caller]
fn check_delay(details: &[u8], expect: Option<Duration>) {
    assert_eq!(details::read_retry_delay(details), expect);
}

// Scenario: details of other implementations: other details first, other type hosts, illegal durations.
// Guarantees: the RetryInfo is found wherever it stands; what is illegal counts as absent.
#[test]
fn retry_delay_is_found_among_details() {
    let known = "type.googleapis.com/google.rpc.RetryInfo";
    check_delay(&details_of(known, 2, 500_000_000), Some(Duration::from_millis(2500)));
    check_delay(&details_of("example.org/google.rpc.RetryInfo", 2, 0), Some(Duration::from_secs(2)));
    check_delay(&details_of(known, 0, 0), Some(Duration::ZERO));
    check_delay(&details_of(known, -1, 0), None);
    check_delay(&details_of(known, 1, -1), None);
    check_delay(&details_of(known, 1, 1_000_000_000), None);
    check_delay(&details_of("type.googleapis.com/google.rpc.Other", 2, 0), None);
    check_delay(&[], None);
    let whole = details_of(known, 2, 0);
    check_delay(&whole[..whole.len() - 1], None);
}

// Scenario: the header values of other implementations and of broken ones.
// Guarantees: padded and joined base64 is read; broken parts never hide the status itself.
#[test]
fn status_is_read_tolerantly() {
    let delay = Some(Duration::from_secs(2));
    let details = details::to_base64(&details_of("type.googleapis.com/google.rpc.RetryInfo", 2, 0));
    let padded = format!("{details}{}", "=".repeat((4 - details.len() % 4) % 4));
    let joined = format!("{details}, AAAA");
    let broken = format!("{details}!");
    for (value, expect) in [(&details, delay), (&padded, delay), (&joined, delay), (&broken, None)] {
        let headers = headers(&[("grpc-status", "8"), ("grpc-status-details-bin", value)]);
        let expect = Status { code: Code::ResourceExhausted, message: String::new(), retry_delay: expect };
        assert_eq!(Status::from_headers(&headers), Some(expect), "{value}");
    }
    for (code, message, expect) in [
        ("99", "a%2", Status::new(Code::Unknown, "a%2")),
        ("x", "%zz", Status::new(Code::Unknown, "%zz")),
        ("-1", "%ff", Status::new(Code::Unknown, "\u{fffd}")),
    ] {
        let headers = headers(&[("grpc-status", code), ("grpc-message", message)]);
        assert_eq!(Status::from_headers(&headers), Some(expect));
    }
    assert_eq!(Status::from_headers(&headers(&[("grpc-message", "x")])), None);
}

#[track_caller]
fn check_timeout(text: &str, expect: Option<Duration>) {
    assert_eq!(parse_timeout(&HeaderValue::from_str(text).unwrap()), expect, "{text:?}");
}

// Scenario: every unit, the longest numbers and malformed values.
// Guarantees: exactly what the protocol allows is read.
#[test]
fn timeout_is_parsed() {
    check_timeout("2H", Some(Duration::from_secs(7200)));
    check_timeout("2M", Some(Duration::from_secs(120)));
    check_timeout("0S", Some(Duration::ZERO));
    check_timeout("250m", Some(Duration::from_millis(250)));
    check_timeout("99999999u", Some(Duration::from_micros(99_999_999)));
    check_timeout("00000001n", Some(Duration::from_nanos(1)));
    check_timeout("99999999H", Some(Duration::from_secs(99_999_999 * 3600)));
    for text in ["", "S", "1", "123456789S", "-1S", "+1S", "1s", "1.5S", " 1S", "1 S"] {
        check_timeout(text, None);
    }
}

// Scenario: timeouts of every magnitude are written.
// Guarantees: the finest unit that fits, rounded up, so that a peer never gives up before we do.
#[test]
fn timeout_is_formatted() {
    for (timeout, expect) in [
        (Duration::ZERO, "0n"),
        (Duration::from_nanos(99_999_999), "99999999n"),
        (Duration::from_nanos(100_000_001), "100001u"),
        (Duration::from_secs(5), "5000000u"),
        (Duration::from_secs(100), "100000m"),
        (Duration::new(100_000, 1), "100001S"),
        (Duration::from_secs(100_000_000), "1666667M"),
        (Duration::MAX, "99999999H"),
    ] {
        assert_eq!(format_timeout(timeout), expect);
    }
}

#[track_caller]
fn check_body(body: &[u8], expect: Option<(&str, &str)>) {
    let read = super::RpcStatus::read(body);
    assert_eq!(read.as_ref().map(|status| (status.message.as_str(), status.details.as_str())), expect);
}

// Scenario: bodies of HTTP failures: a status, an empty one, an unknown field, pages for people, cut and overlong ones.
// Guarantees: message and details are read; what is no status is none; a message is never longer than a kilobyte.
#[test]
fn a_status_is_read_from_a_body() {
    let delay = Some(Duration::from_secs(1));
    let status = Status { code: Code::Unavailable, message: "later".into(), retry_delay: delay };
    let body = status.to_rpc_status();
    check_body(&body, Some(("later", "type.googleapis.com/google.rpc.RetryInfo")));
    check_body(b"", Some(("", "")));
    check_body(b"\x08\x0e\x12\x02no\x9d\x06\0\0\0\0", Some(("no", "")));
    check_body(b"<html>502 Bad Gateway</html>", None);
    check_body(b"{\"code\":14}", None);
    check_body(&body[..body.len() - 1], None);
    check_body(b"\x12\x01\xff", None);
    let long = Status::new(Code::Internal, "e\u{301}".repeat(1000)).to_rpc_status();
    assert!(super::RpcStatus::read(&long).unwrap().message.len() <= 1024);
}

proptest! {
    // Scenario: any duration is written and read.
    // Guarantees: never shorter, and never longer by more than one part in 10,000.
    #[test]
    fn timeout_round_trips_upwards(nanos in 0_u64..=u64::MAX) {
        let timeout = Duration::from_nanos(nanos);
        let read = parse_timeout(&format_timeout(timeout)).unwrap();
        prop_assert!(read >= timeout && read <= timeout + timeout / 10_000);
    }

    // Scenario: any bytes arrive as details.
    // Guarantees: reading ends without a panic.
    #[test]
    fn details_never_panic(bytes: Vec<u8>) {
        details::read_retry_delay(&bytes);
        super::RpcStatus::read(&bytes);
        details::from_base64(&bytes);
    }

    // Scenario: valid details with one byte changed.
    // Guarantees: reading ends without a panic also behind valid framing.
    #[test]
    fn mutated_details_never_panic(at: prop::sample::Index, byte: u8) {
        let mut bytes = details_of("type.googleapis.com/google.rpc.RetryInfo", 2, 1);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        details::read_retry_delay(&bytes);
    }
}

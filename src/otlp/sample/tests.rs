//! Tests of the line: what it names, how it is cut and escaped, and that no bytes are too bad for it.

#![expect(clippy::indexing_slicing, reason = "tests may panic")]

use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::otlp::{
    split::tests::adversarial::Generator,
    wire::{put_bytes, put_fixed64, put_message, put_uint},
};

/// A request with one item under a resource of that service name.
fn request_of(service: &[u8], item: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    put_message(&mut out, Tag::len(1), |group| {
        put_message(group, Tag::len(1), |resource| {
            put_message(resource, Tag::len(1), |attribute| {
                put_bytes(attribute, Tag::len(1), b"service.name");
                put_message(attribute, Tag::len(2), |value| put_bytes(value, Tag::len(1), service));
            });
        });
        put_message(group, Tag::len(2), |scope| put_message(scope, Tag::len(2), item));
    });
    out
}

fn span_of(name: &[u8], trace_id: &[u8], span_id: &[u8]) -> impl FnOnce(&mut Vec<u8>) {
    move |span| {
        put_bytes(span, Tag::len(1), trace_id);
        put_bytes(span, Tag::len(2), span_id);
        put_bytes(span, Tag::len(5), name);
    }
}

fn record_of(severity: &[u8], body: &[u8], trace_id: &[u8]) -> impl FnOnce(&mut Vec<u8>) {
    move |record| {
        put_bytes(record, Tag::len(3), severity);
        put_message(record, Tag::len(5), |value| put_bytes(value, Tag::len(1), body));
        put_bytes(record, Tag::len(9), trace_id);
    }
}

#[track_caller]
fn check(signal: Signal, payload: &[u8], expect: &str) {
    assert_eq!(sample(signal, payload), expect);
}

// Scenario: an ordinary item of each signal.
// Guarantees: service, name, body and ids as one would look for them.
#[test]
fn items_are_named() {
    let spans = request_of(b"checkout", span_of(b"GET /cart", &[0xab; 16], &[0xcd; 8]));
    let expect = format!(
        "service.name=\"checkout\" span=\"GET /cart\" trace_id={} span_id={}",
        "ab".repeat(16),
        "cd".repeat(8)
    );
    check(Signal::Traces, &spans, &expect);
    let metrics = request_of(b"checkout", |metric| put_bytes(metric, Tag::len(1), b"latency"));
    check(Signal::Metrics, &metrics, "service.name=\"checkout\" metric=\"latency\"");
    let logs = request_of("käse".as_bytes(), record_of(b"ERROR", b"payment refused", &[1; 16]));
    let expect = format!(
        "service.name=\"käse\" severity=\"ERROR\" body=\"payment refused\" trace_id={}",
        "01".repeat(16)
    );
    check(Signal::Logs, &logs, &expect);
}

// Scenario: items that lack some of it or all; bodies and service names that are no strings; requests without items.
// Guarantees: what is missing is left out, and something is said in any case.
#[test]
fn what_is_missing_is_left_out() {
    check(Signal::Traces, &request_of(b"", span_of(b"", b"", &[0xcd; 8])), "span_id=cdcdcdcdcdcdcdcd");
    check(Signal::Logs, &request_of(b"a", record_of(b"", b"", b"")), "service.name=\"a\"");
    let number = |record: &mut Vec<u8>| {
        put_message(record, Tag::len(5), |value| put_uint(value, Tag::varint(3), 7));
        put_fixed64(record, Tag::fixed64(1), 1);
    };
    check(Signal::Logs, &request_of(b"", number), "log record without name or id");
    check(Signal::Traces, &request_of(b"", |_| {}), "span without name or id");
    check(Signal::Metrics, &request_of(b"", |_| {}), "metric without name or id");
    for payload in [&[][..], &[0x0a, 0], &[0x0a, 2, 0x12, 0], &[0x7a, 1, 1]] {
        check(Signal::Traces, payload, "no readable item");
    }
}

// Scenario: empty groups in front; items in the deprecated field; a name twice.
// Guarantees: the first item, where the splitter finds it too, with the last of its names.
#[test]
fn the_first_item_is_found() {
    let empty = [0x0a, 4, 0x12, 0, 0x12, 0];
    let twice = request_of(b"second", |span| {
        put_bytes(span, Tag::len(5), b"old");
        put_bytes(span, Tag::len(5), b"new");
    });
    let payload = [&empty[..], &twice, &request_of(b"third", span_of(b"x", b"", b""))].concat();
    check(Signal::Traces, &payload, "service.name=\"second\" span=\"new\"");
    let mut old = Vec::new();
    put_message(&mut old, Tag::len(1), |group| {
        put_message(group, Tag::len(1000), |scope| {
            put_message(scope, Tag::len(2), |span| put_bytes(span, Tag::len(5), b"old"));
        });
    });
    check(Signal::Traces, &old, "span=\"old\"");
}

// Scenario: texts with line breaks, quotes, colours, a right-to-left override and bytes that are no UTF-8; long ones.
// Guarantees: one line that shows all of it and changes nothing on a terminal; cut between characters.
#[test]
fn texts_are_escaped_and_cut() {
    let name = b"a\n\"b\"\t\\\x1b[31m\xff\xfe\xe2\x80\xae\x7f";
    let expect = r#"span="a\n\"b\"\t\\\u{1b}[31m\xff\xfe\u{202e}\u{7f}""#;
    check(Signal::Traces, &request_of(b"", span_of(name, b"", b"")), expect);
    let long = "ä".repeat(100);
    let shown = format!("span=\"{}…\"", "ä".repeat(22));
    check(Signal::Traces, &request_of(b"", span_of(long.as_bytes(), b"", b"")), &shown);
    check(Signal::Logs, &request_of(b"", record_of(&[b'S'; 30], b"", b"")), "severity=\"SSSSSSSSSSSSSSS…\"");
}

// Scenario: ids that are too short and too long.
// Guarantees: shown as they are, as far as an id goes.
#[test]
fn wrong_ids_are_shown() {
    let payload = request_of(b"", span_of(b"", &[1, 2], &[3; 9]));
    check(Signal::Traces, &payload, "trace_id=0102 span_id=0303030303030303…");
}

// Scenario: a span whose fields end early behind its name; a group that ends early behind its first span.
// Guarantees: what stands in front is shown.
#[test]
fn what_can_be_read_is_shown() {
    let broken = request_of(b"checkout", |span| {
        put_bytes(span, Tag::len(5), b"GET /");
        span.extend([0x0a, 16, 1]);
    });
    check(Signal::Traces, &broken, "service.name=\"checkout\" span=\"GET /\"");
    let mut payload = request_of(b"checkout", span_of(b"GET /", b"", b""));
    payload.extend([0x0a, 99, 0x12]);
    check(Signal::Traces, &payload, "service.name=\"checkout\" span=\"GET /\"");
}

fn is_a_line(line: &str) -> bool {
    !line.is_empty() && line.len() <= 200 && !line.chars().any(char::is_control)
}

proptest! {
    // Scenario: the longest texts and ids there can be, of any bytes.
    // Guarantees: at most 200 bytes on one line.
    #[test]
    fn lines_have_a_limit(
        texts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..90), 3),
        id in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let [service, name, text] = texts.as_slice() else { unreachable!() };
        let lines = [
            sample(Signal::Traces, &request_of(service, span_of(name, &id, &id))),
            sample(Signal::Logs, &request_of(service, record_of(name, text, &id))),
            sample(Signal::Metrics, &request_of(service, |metric| put_bytes(metric, Tag::len(1), name))),
        ];
        for line in lines {
            prop_assert!(is_a_line(&line), "{} bytes: {line}", line.len());
        }
    }

    // Scenario: any bytes; requests with some bytes changed, read as every signal.
    // Guarantees: a line, never a panic.
    #[test]
    fn no_bytes_are_too_bad(
        noise in proptest::collection::vec(any::<u8>(), 0..200), seed: u64,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let mut generator = Generator::new(seed);
        let mut payload = [
            generator.traces(3).encode_to_vec(),
            generator.logs(3).encode_to_vec(),
            generator.metrics(3).encode_to_vec(),
        ];
        for payload in &mut payload {
            for (at, byte) in &changes {
                let at = at.index(payload.len());
                payload[at] = *byte;
            }
        }
        for signal in Signal::ALL {
            for bytes in payload.iter().chain([&noise]) {
                let line = sample(signal, bytes);
                prop_assert!(is_a_line(&line), "{} bytes: {line}", line.len());
            }
        }
    }
}

//! `Export…ServiceResponse`: what a server answers when it took a request.
//!
//! Stage: engine. Read by `backend`, written by `receiver`. The responses of the three signals are alike.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use serde_json::Value;

use super::wire::{
    Malformed, Reader,
    field::{partial_success as partial, response},
    put_bytes, put_message, put_uint,
};

/// The response of a server that took everything: a `partial_success` without content, as the Collector sends it
/// (`receiver/otlpreceiver` v0.161.0).
pub const ACCEPTED: &[u8] = &[0x0a, 0x00];

/// The response of a server that did not take some items, or has a warning; [`ACCEPTED`] if there is neither.
pub fn write(rejected: u64, message: &str) -> Vec<u8> {
    let mut out = Vec::new();
    put_message(&mut out, response::PARTIAL_SUCCESS, |out| {
        if rejected > 0 {
            put_uint(out, partial::REJECTED, rejected);
        }
        if !message.is_empty() {
            put_bytes(out, partial::ERROR_MESSAGE, message.as_bytes());
        }
    });
    out
}

/// Reads the partial success out of a whole response: (items rejected, error message).
///
/// Both are empty when the server took everything. A message without rejected items is a warning. A negative
/// count is read as 0, text that is not UTF-8 with replacement characters; neither makes a delivery fail.
///
/// # Errors
///
/// The response is not valid protobuf.
///
/// Source: opentelemetry-proto v1.10.0 `collector/trace/v1/trace_service.proto`, `ExportTracePartialSuccess`.
pub fn partial_success(message: &[u8]) -> Result<(u64, String), Malformed> {
    let mut reader = Reader::new(message);
    let mut rejected = 0;
    let mut text: &[u8] = &[];
    while let Some(tag) = reader.tag()? {
        if tag != response::PARTIAL_SUCCESS {
            reader.skip_unknown(tag, &response::KNOWN)?;
            continue;
        }
        // A repeated message field that is not a list merges: what is set later wins, the rest stays.
        let mut inner = reader.message()?;
        while let Some(tag) = inner.tag()? {
            match tag {
                partial::REJECTED => rejected = inner.varint()?,
                partial::ERROR_MESSAGE => text = inner.bytes()?,
                other => inner.skip_unknown(other, &partial::KNOWN)?,
            }
        }
    }
    let rejected = if i64::try_from(rejected).is_ok() { rejected } else { 0 };
    Ok((rejected, String::from_utf8_lossy(text).into_owned()))
}

/// [`partial_success`] of a response in OTLP/JSON. An integer may be a number or a string; unknown names are passed over.
///
/// # Errors
///
/// What is wrong with the text, or that a value is of the wrong type.
pub fn partial_success_json(text: &[u8]) -> Result<(u64, String), String> {
    const REJECTED: [&str; 6] = [
        "rejectedSpans",
        "rejectedDataPoints",
        "rejectedLogRecords",
        "rejected_spans",
        "rejected_data_points",
        "rejected_log_records",
    ];
    let response: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let partial = match member(&response, &["partialSuccess", "partial_success"])? {
        Value::Null => return Ok((0, String::new())),
        partial => partial,
    };
    let rejected = match member(partial, &REJECTED)? {
        Value::Null => 0,
        Value::String(digits) => digits.parse::<i64>().map_err(|error| error.to_string())?,
        number => number.as_i64().ok_or("the number of rejected items is no integer")?,
    };
    let message = match member(partial, &["errorMessage", "error_message"])? {
        Value::Null => "",
        message => message.as_str().ok_or("the error message is no text")?,
    };
    Ok((u64::try_from(rejected).unwrap_or(0), message.to_owned()))
}

/// The first of these members that is there, else null. Null has no members.
fn member<'a>(value: &'a Value, names: &[&str]) -> Result<&'a Value, String> {
    match value {
        Value::Object(members) => {
            Ok(names.iter().find_map(|name| members.get(*name)).unwrap_or(&Value::Null))
        }
        Value::Null => Ok(&Value::Null),
        _ => Err("not an object".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{ACCEPTED, partial_success, partial_success_json, write};

    #[track_caller]
    fn check(message: &[u8], expect: Option<(u64, &str)>) {
        let read = partial_success(message).ok();
        assert_eq!(read.as_ref().map(|(rejected, text)| (*rejected, text.as_str())), expect);
    }

    // Scenario: responses as servers send them, and malformed ones.
    // Guarantees: full success in both spellings is no rejection; counts, warnings and unknown fields are read as
    // protobuf says; what is malformed is reported, not taken for success.
    #[test]
    fn partial_success_is_read() {
        check(b"", Some((0, "")));
        check(ACCEPTED, Some((0, "")));
        check(b"\x0a\x02\x08\x07", Some((7, "")));
        check(b"\x0a\x07\x08\x07\x12\x03bad", Some((7, "bad")));
        check(b"\x0a\x04\x12\x02hm", Some((0, "hm")));
        check(b"\x0a\x02\x08\x07\x0a\x04\x12\x02hm", Some((7, "hm")));
        check(b"\x0a\x05\x18\x01\x08\x80\x01\x10\x01", Some((128, "")));
        check(b"\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", Some((0, "")));
        check(b"\x0a\x03\x12\x01\xff", Some((0, "\u{fffd}")));
        check(b"\x0a\x05\x08", None);
        check(b"\x08\x01", None);
        check(b"\x0a\x02\x12\x05", None);
    }

    #[track_caller]
    fn check_json(text: &str, expect: Option<(u64, &str)>) {
        let read = partial_success_json(text.as_bytes()).ok();
        assert_eq!(read.as_ref().map(|(rejected, text)| (*rejected, text.as_str())), expect, "{text}");
    }

    // Scenario: responses in JSON as servers send them, of every signal, and broken ones.
    // Guarantees: they mean what their protobuf forms mean; what is no response is reported.
    #[test]
    fn partial_success_is_read_from_json() {
        check_json("{}", Some((0, "")));
        check_json("null", Some((0, "")));
        check_json("{\"partialSuccess\":{}}", Some((0, "")));
        check_json("{\"partialSuccess\":null, \"new\":[1]}", Some((0, "")));
        check_json(
            "{\"partialSuccess\":{\"rejectedSpans\":\"7\",\"errorMessage\":\"bad\"}}",
            Some((7, "bad")),
        );
        check_json("{\"partialSuccess\":{\"rejectedDataPoints\":3}}", Some((3, "")));
        check_json("{\"partial_success\":{\"rejected_log_records\":-3}}", Some((0, "")));
        for broken in [
            "",
            "[]",
            "{",
            "<html>",
            "{\"partialSuccess\":1}",
            "{\"partialSuccess\":{\"rejectedSpans\":\"x\"}}",
            "{\"partialSuccess\":{\"rejectedSpans\":1.5}}",
            "{\"partialSuccess\":{\"errorMessage\":5}}",
        ] {
            check_json(broken, None);
        }
    }

    // Scenario: responses are written and read again.
    // Guarantees: what is written is read; full success is the constant.
    #[test]
    fn written_responses_are_read() {
        assert_eq!(write(0, ""), ACCEPTED);
        for (rejected, message) in [(0, ""), (1, ""), (0, "hm"), (300, "bad"), (1 << 62, "\u{e9}")] {
            check(&write(rejected, message), Some((rejected, message)));
        }
    }
}

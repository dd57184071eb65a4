//! What JSON clients are answered: a `google.rpc.Status`, and an `Export…ServiceResponse`.
//!
//! Stage: receiver, part of HTTP. Written without white space. Sources: protojson (the Collector's Status) and pdata
//! v1.67.0 `internal/generated_proto_export*partialsuccess.go` (its responses): 64-bit numbers are strings.

use std::{fmt::Write as _, time::Duration};

use crate::{
    model::{Delivered, Signal},
    net::grpc::Status,
};

/// A `google.rpc.Status`, with RetryInfo among its details if there is a delay.
pub(super) fn status(status: &Status) -> String {
    let mut json = format!("{{\"code\":{}", status.code.number());
    if !status.message.is_empty() {
        json.push_str(",\"message\":");
        put_string(&mut json, &status.message);
    }
    if let Some(delay) = status.retry_delay {
        json.push_str(
            ",\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":\"",
        );
        put_duration(&mut json, delay);
        json.push_str("\"}]");
    }
    json.push('}');
    json
}

/// The response to a request of a signal, as far as it was delivered.
pub(super) fn response(signal: Signal, delivered: &Delivered) -> String {
    let rejected = match signal {
        Signal::Traces => "rejectedSpans",
        Signal::Metrics => "rejectedDataPoints",
        Signal::Logs => "rejectedLogRecords",
    };
    let mut json = String::from("{\"partialSuccess\":{");
    if delivered.rejected > 0 {
        put(&mut json, format_args!("\"{rejected}\":\"{}\"", delivered.rejected));
    }
    if !delivered.message.is_empty() {
        json.push_str(if delivered.rejected > 0 { "," } else { "" });
        json.push_str("\"errorMessage\":");
        put_string(&mut json, &delivered.message);
    }
    json.push_str("}}");
    json
}

/// Seconds with no, three, six or nine decimals, as protojson writes a Duration.
fn put_duration(json: &mut String, delay: Duration) {
    let (seconds, nanos) = (delay.as_secs(), delay.subsec_nanos());
    match nanos {
        0 => put(json, format_args!("{seconds}s")),
        _ if nanos.is_multiple_of(1_000_000) => {
            put(json, format_args!("{seconds}.{:03}s", delay.subsec_millis()));
        }
        _ if nanos.is_multiple_of(1_000) => {
            put(json, format_args!("{seconds}.{:06}s", delay.subsec_micros()))
        }
        _ => put(json, format_args!("{seconds}.{nanos:09}s")),
    }
}

fn put_string(json: &mut String, text: &str) {
    json.push('"');
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            control if control < ' ' => put(json, format_args!("\\u{:04x}", u32::from(control))),
            other => json.push(other),
        }
    }
    json.push('"');
}

fn put(json: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    json.write_fmt(text).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::grpc;

    #[track_caller]
    fn check_status(message: &str, delay: Option<Duration>, expect: &str) {
        let written = status(&Status {
            code: grpc::Code::Unavailable,
            message: message.to_owned(),
            retry_delay: delay,
        });
        assert_eq!(written, expect);
        let parsed: serde_json::Value = serde_json::from_str(&written).unwrap();
        assert_eq!(parsed["message"].as_str().unwrap_or_default(), message);
    }

    // Scenario: statuses with texts that JSON has to escape, and with delays of every precision.
    // Guarantees: protojson's form, and valid JSON that gives the text back.
    #[test]
    fn statuses_are_written() {
        check_status("", None, r#"{"code":14}"#);
        check_status("busy", None, r#"{"code":14,"message":"busy"}"#);
        check_status(
            "\"\\\n\r\t\u{1}\u{7f}é",
            None,
            "{\"code\":14,\"message\":\"\\\"\\\\\\n\\r\\t\\u0001\u{7f}é\"}",
        );
        for (nanos, text) in [
            (1_000_000_000, "1s"),
            (1_500_000_000, "1.500s"),
            (2_000_001_000, "2.000001s"),
            (3_000_000_001, "3.000000001s"),
        ] {
            let expect = format!(
                r#"{{"code":14,"message":"m","details":[{{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"{text}"}}]}}"#
            );
            check_status("m", Some(Duration::from_nanos(nanos)), &expect);
        }
    }

    #[track_caller]
    fn check_response(signal: Signal, rejected: u64, message: &str, expect: &str) {
        let delivered = Delivered { rejected, message: message.to_owned() };
        assert_eq!(response(signal, &delivered), expect);
    }

    // Scenario: whole and partial successes of each signal.
    // Guarantees: the names of opentelemetry-proto's JSON, counts as strings.
    #[test]
    fn responses_are_written() {
        check_response(Signal::Logs, 0, "", r#"{"partialSuccess":{}}"#);
        check_response(
            Signal::Traces,
            2,
            "too \"old\"",
            r#"{"partialSuccess":{"rejectedSpans":"2","errorMessage":"too \"old\""}}"#,
        );
        check_response(Signal::Metrics, 3, "", r#"{"partialSuccess":{"rejectedDataPoints":"3"}}"#);
        check_response(Signal::Logs, 4, "", r#"{"partialSuccess":{"rejectedLogRecords":"4"}}"#);
        check_response(Signal::Logs, 0, "warning", r#"{"partialSuccess":{"errorMessage":"warning"}}"#);
    }
}

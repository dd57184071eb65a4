//! Rules as tables over small texts, and messages against an independent JSON encoder and protobuf decoder.

#![expect(clippy::disallowed_methods, reason = "the oracle of the tests decodes")]

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{AnyValue, any_value::Value},
    logs::v1::LogRecord,
    metrics::v1::{Metric, metric::Data, number_data_point},
    trace::v1::Span,
};
use proptest::prelude::*;
use prost::Message as _;

use super::to_protobuf;
use crate::{
    model::Signal,
    otlp::{
        Splitter,
        split::tests::{adversarial, traces},
    },
};

/// How many times the text's length the output may have.
const GROWTH: usize = 4;

fn span(fields: &str) -> Result<Span, String> {
    let json = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{fields}}}]}}]}}]}}"#);
    let bytes = to_protobuf(Signal::Traces, json.as_bytes()).map_err(|error| error.to_string())?;
    assert!(bytes.len() <= GROWTH * json.len());
    let request = ExportTraceServiceRequest::decode(&*bytes).unwrap();
    Ok(request.resource_spans[0].scope_spans[0].spans[0].clone())
}

fn record(fields: &str) -> Result<LogRecord, String> {
    let json = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{{fields}}}]}}]}}]}}"#);
    let bytes = to_protobuf(Signal::Logs, json.as_bytes()).map_err(|error| error.to_string())?;
    let request = ExportLogsServiceRequest::decode(&*bytes).unwrap();
    Ok(request.resource_logs[0].scope_logs[0].log_records[0].clone())
}

fn metric(fields: &str) -> Result<Metric, String> {
    let json = format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{{fields}}}]}}]}}]}}"#);
    let bytes = to_protobuf(Signal::Metrics, json.as_bytes()).map_err(|error| error.to_string())?;
    let request = ExportMetricsServiceRequest::decode(&*bytes).unwrap();
    Ok(request.resource_metrics[0].scope_metrics[0].metrics[0].clone())
}

fn body(json: &str) -> Result<Option<Value>, String> {
    record(&format!(r#""body":{json}"#)).map(|record| record.body.unwrap_or_default().value)
}

#[track_caller]
fn check<T: PartialEq + std::fmt::Debug>(got: Result<T, String>, expect: T) {
    assert_eq!(got, Ok(expect));
}

#[track_caller]
fn check_error<T: std::fmt::Debug>(got: Result<T, String>, expect: &str) {
    let error = got.expect_err("it is refused");
    assert!(error.contains(expect), "{error:?} does not contain {expect:?}");
}

// Scenario: names in both spellings, unknown ones with values of every kind, and repeated ones.
// Guarantees: known ones count in either spelling, unknown ones are passed over, the last of several counts.
#[test]
fn names() {
    check(span(r#""startTimeUnixNano":"7""#).map(|span| span.start_time_unix_nano), 7);
    check(span(r#""start_time_unix_nano":7"#).map(|span| span.start_time_unix_nano), 7);
    check(
        span(r#""new":{"a":[1,{"b":null}]},"x":"y","name":"n","StartTimeUnixNano":1"#),
        Span { name: "n".to_owned(), ..Span::default() },
    );
    check(span(r#""name":"a","name":"b""#).map(|span| span.name), "b".to_owned());
    check(span(r#""links":[{}],"links":[{"traceState":"a"}]"#).map(|span| span.links.len()), 2);
    check(
        span(r#""status":{"code":2},"status":{"message":"m"}"#)
            .map(|span| span.status.unwrap())
            .map(|status| (status.code, status.message)),
        (2, "m".to_owned()),
    );
}

// Scenario: ids in hex of either case, empty, of another length, and not in hex.
// Guarantees: 16 and 8 bytes or none; anything else is refused with its place.
#[test]
fn ids() {
    let id = "0123456789abcdefABCDEF0123456789";
    let bytes: Vec<u8> = (0..16).map(|at| u8::from_str_radix(&id[2 * at..2 * at + 2], 16).unwrap()).collect();
    check(span(&format!(r#""traceId":"{id}""#)).map(|span| span.trace_id), bytes);
    check(
        span(r#""traceId":"","spanId":"""#).map(|span| (span.trace_id, span.span_id)),
        (Vec::new(), Vec::new()),
    );
    check(
        span(r#""parentSpanId":"00000000000000ff""#).map(|span| span.parent_span_id),
        vec![0, 0, 0, 0, 0, 0, 0, 255],
    );
    check_error(
        span(r#""traceId":"0123""#),
        r#"resourceSpans[0].scopeSpans[0].spans[0].traceId: invalid value: string "0123", expected a string of 32 hex digits, or an empty one at line 1 column"#,
    );
    check_error(span(r#""spanId":"012345678""#), "spanId: invalid value");
    check_error(span(r#""spanId":"g123456789abcdef""#), "spanId: invalid value");
    check_error(span(r#""spanId":1"#), "spanId: invalid type: integer `1`");
}

// Scenario: integers as numbers and strings, at and beyond the limits of their types.
// Guarantees: both forms are read in full; what does not fit or is no integer is refused.
#[test]
fn integers() {
    check(span(r#""endTimeUnixNano":18446744073709551615"#).map(|span| span.end_time_unix_nano), u64::MAX);
    check(span(r#""endTimeUnixNano":"18446744073709551615""#).map(|span| span.end_time_unix_nano), u64::MAX);
    check(
        span(r#""droppedLinksCount":"4294967295","flags":257"#)
            .map(|span| (span.dropped_links_count, span.flags)),
        (u32::MAX, 257),
    );
    check(body(r#"{"intValue":"-9223372036854775808"}"#), Some(Value::IntValue(i64::MIN)));
    check(body(r#"{"intValue":-1}"#), Some(Value::IntValue(-1)));
    check(body(r#"{"intValue":-0}"#), Some(Value::IntValue(0)));
    check_error(span(r#""endTimeUnixNano":-1"#), "expected an unsigned 64-bit integer, as number or string");
    check_error(span(r#""flags":4294967296"#), "flags: invalid value: integer `4294967296`");
    for text in ["1e3", "1.0", "\"1e3\"", "\"\"", "\" 1\"", "true", "{}", "[]", "9223372036854775808"] {
        check_error(body(&format!(r#"{{"intValue":{text}}}"#)), "body.intValue: invalid");
    }
}

// Scenario: doubles as numbers and strings, words for what JSON has no number for, and too large ones.
// Guarantees: every double can be sent, to the last bit; texts that are none are refused.
#[test]
fn doubles() {
    let double = |text: &str| {
        body(&format!(r#"{{"doubleValue":{text}}}"#)).map(|value| match value {
            Some(Value::DoubleValue(double)) => double.to_bits(),
            other => panic!("{other:?}"),
        })
    };
    for (text, value) in [
        ("1", 1.0),
        ("-0", -0.0),
        ("-0.0", -0.0),
        ("0.1", 0.1),
        ("1e308", 1e308),
        ("5e-324", 5e-324),
        ("9007199254740993", 9_007_199_254_740_992.0),
        ("123456789012345.67", 123_456_789_012_345.67),
        ("\"1.5\"", 1.5),
        ("\"Infinity\"", f64::INFINITY),
        ("\"-Infinity\"", f64::NEG_INFINITY),
        ("\"NaN\"", f64::NAN),
    ] {
        check(double(text), value.to_bits());
    }
    for text in ["\"\"", "\"1e999\"", "\"one\"", "true", "[1]"] {
        check_error(double(text), "body.doubleValue: invalid");
    }
    check_error(double("1e999"), "number out of range");
}

// Scenario: enums as numbers, known and unknown, and as names.
// Guarantees: any number is kept, a name stands for its number, an unknown name is refused with those that are known.
#[test]
fn enums() {
    check(span(r#""kind":3"#).map(|span| span.kind), 3);
    check(span(r#""kind":"SPAN_KIND_CLIENT""#).map(|span| span.kind), 3);
    check(span(r#""kind":-77"#).map(|span| span.kind), -77);
    check(record(r#""severityNumber":"SEVERITY_NUMBER_ERROR2""#).map(|record| record.severity_number), 18);
    check(span(r#""status":{"code":"STATUS_CODE_ERROR"}"#).map(|span| span.status.unwrap().code), 2);
    check_error(
        span(r#""kind":"CLIENT""#),
        r#"string "CLIENT", expected a 32-bit integer or one of SPAN_KIND_UNSPECIFIED, SPAN_KIND_INTERNAL"#,
    );
    check_error(span(r#""kind":"3""#), "kind: invalid value");
    check_error(span(r#""kind":2147483648"#), "kind: invalid value");
}

// Scenario: base64 in both alphabets, with and without padding, empty and broken.
// Guarantees: the bytes; what is not base64 is refused.
#[test]
fn bytes() {
    let value = |text: &str| body(&format!(r#"{{"bytesValue":"{text}"}}"#));
    check(value("Af8="), Some(Value::BytesValue(vec![1, 255])));
    check(value("Af8"), Some(Value::BytesValue(vec![1, 255])));
    check(value("-_8="), Some(Value::BytesValue(vec![0xfb, 0xff])));
    check(value("+/8="), Some(Value::BytesValue(vec![0xfb, 0xff])));
    check(value(""), Some(Value::BytesValue(Vec::new())));
    check_error(value("A"), "bytesValue: invalid value");
    check_error(value("A*=="), "bytesValue: invalid value");
}

// Scenario: two members of a oneof; an empty member; null for everything that can be sent.
// Guarantees: the last member counts; null is a field that was not sent, and an empty message or text in a list.
#[test]
fn oneofs_and_null() {
    check(body(r#"{"intValue":1,"stringValue":"a"}"#), Some(Value::StringValue("a".to_owned())));
    check(body(r#"{"stringValue":"a","intValue":1}"#), Some(Value::IntValue(1)));
    check(body("{}"), None);
    check(body("null"), None);
    check(metric(r#""gauge":{}"#).map(|metric| metric.data.is_some()), true);
    check(metric(r#""gauge":null"#).map(|metric| metric.data.is_some()), false);
    let nulls =
        r#""traceId":null,"name":null,"kind":null,"startTimeUnixNano":null,"attributes":null,"status":null"#;
    check(span(nulls), Span::default());
    check(body(r#"{"boolValue":null}"#), None);
    check(
        body(r#"{"arrayValue":{"values":[null,{"boolValue":true}]}}"#).map(|value| match value {
            Some(Value::ArrayValue(array)) => array.values,
            other => panic!("{other:?}"),
        }),
        vec![AnyValue::default(), AnyValue { value: Some(Value::BoolValue(true)) }],
    );
    check_error(
        metric(r#""histogram":{"dataPoints":[{"bucketCounts":[null]}]}"#),
        "bucketCounts[0]: invalid type: null",
    );
}

// Scenario: a metric of each type with every field, lists of numbers as numbers and strings.
// Guarantees: packed lists, zigzag and signed fixed numbers arrive as they were meant.
#[test]
fn metrics_have_odd_numbers() {
    let got = metric(
        r#""exponentialHistogram":{"aggregationTemporality":"AGGREGATION_TEMPORALITY_DELTA","dataPoints":[
            {"scale":-3,"zeroCount":"5","count":9,"positive":{"offset":-2,"bucketCounts":["1",2,"18446744073709551615"]}}]}"#,
    );
    let Ok(Some(Data::ExponentialHistogram(histogram))) = got.map(|metric| metric.data) else { panic!() };
    let point = &histogram.data_points[0];
    assert_eq!(
        (histogram.aggregation_temporality, point.scale, point.zero_count, point.count),
        (1, -3, 5, 9)
    );
    let positive = point.positive.as_ref().unwrap();
    assert_eq!((positive.offset, &*positive.bucket_counts), (-2, &[1, 2, u64::MAX][..]));

    let got = metric(
        r#""histogram":{"dataPoints":[{"bucketCounts":["1",2],"explicitBounds":[1,"2.5","Infinity"],"min":0}]}"#,
    );
    let Ok(Some(Data::Histogram(histogram))) = got.map(|metric| metric.data) else { panic!() };
    let point = &histogram.data_points[0];
    assert_eq!(point.bucket_counts, [1, 2]);
    assert_eq!(point.explicit_bounds, [1.0, 2.5, f64::INFINITY]);
    assert_eq!((point.min, point.max), (Some(0.0), None));

    let got = metric(r#""sum":{"isMonotonic":true,"dataPoints":[{"asInt":"-5","flags":1}]}"#);
    let Ok(Some(Data::Sum(sum))) = got.map(|metric| metric.data) else { panic!() };
    assert!(sum.is_monotonic);
    assert_eq!(sum.data_points[0].value, Some(number_data_point::Value::AsInt(-5)));

    let got = metric(r#""summary":{"dataPoints":[{"quantileValues":[{"quantile":0.5,"value":"7"}]}]}"#);
    let Ok(Some(Data::Summary(summary))) = got.map(|metric| metric.data) else { panic!() };
    assert_eq!(summary.data_points[0].quantile_values[0].value, 7.0);
}

// Scenario: texts that are no request at all, and texts with something behind the request.
// Guarantees: an error with line and column; null is an empty request; what follows the first value is not looked at.
#[test]
fn whole_texts() {
    let traces = |text: &str| to_protobuf(Signal::Traces, text.as_bytes()).map_err(|error| error.to_string());
    check(traces("null"), Vec::new());
    check(traces("{}"), Vec::new());
    check(traces(r#"{"resourceLogs":[{}]} trailing"#), Vec::new());
    check(traces(r#"{"resourceSpans":[{},null]}"#), vec![0x0a, 0, 0x0a, 0]);
    check_error(traces(""), "EOF while parsing a value at line 1 column 0");
    check_error(traces("[]"), "invalid type: sequence, expected an object at line 1 column");
    check_error(traces("{\n\"resourceSpans\":[{]}"), "resourceSpans[0]: ");
    check_error(traces("{\n\"resourceSpans\":[{]}"), "at line 2 column");
    check_error(traces(r#"{"resourceSpans":{}}"#), "resourceSpans: invalid type: map, expected an array");
    check_error(traces("{\"resourceSpans\":[{\"schemaUrl\":\"\u{1}\"}]}"), "control character");
    check_error(
        to_protobuf(Signal::Traces, b"{\"a\xff\":1}").map_err(|error| error.to_string()),
        "invalid unicode",
    );
    check_error(traces(r#"{"resourceSpans":[{"schemaUrl":"\ud800"}]}"#), "schemaUrl: ");
}

// Scenario: values nested far deeper than any real one.
// Guarantees: an error, in bounded stack.
#[test]
fn nesting_is_limited() {
    let deep = |levels: usize| {
        let open = r#"{"arrayValue":{"values":["#.repeat(levels);
        body(&format!("{open}{{}}{}", "]}}".repeat(levels)))
    };
    assert!(deep(30).is_ok());
    check_error(deep(1000), "recursion limit exceeded");
    // serde_json passes over an unknown value without recursion, at a byte a level.
    let unknown = format!(r#"{{"x":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    check(to_protobuf(Signal::Logs, unknown.as_bytes()).map_err(|error| error.to_string()), Vec::new());
}

// Scenario: usual and adversarial requests of every signal, written as JSON by the encoder of opentelemetry-proto.
// Guarantees: the protobuf decodes to the message that was encoded.
#[test]
fn another_encoder_is_understood() {
    let mut agreed = 0;
    for seed in 0..200 {
        agreed +=
            agree(Signal::Traces, &traces::request(seed, traces::Shape { spans: 8, ..traces::Shape::SMALL }));
        let mut adversarial = adversarial::Generator::new(seed);
        agreed += agree(Signal::Traces, &adversarial.traces(4));
        agreed += agree(Signal::Logs, &adversarial.logs(4));
        agreed += agree(Signal::Metrics, &adversarial.metrics(4));
    }
    assert!(agreed > 400, "only {agreed} requests could be compared");
}

/// How many requests were compared: none if it has a double that this encoder writes as null.
#[track_caller]
fn agree<M: prost::Message + Default + serde::Serialize + PartialEq + std::fmt::Debug>(
    signal: Signal,
    request: &M,
) -> usize {
    let text = format!("{request:?}");
    if ["NaN", "inf)", "inf,", "inf ", "inf]"].iter().any(|word| text.contains(word)) {
        return 0;
    }
    let json = serde_json::to_vec(request).unwrap();
    let got = M::decode(&*to_protobuf(signal, &json).unwrap()).unwrap();
    assert!(got == *request, "{}\n\n{got:?}\n\n{request:?}", String::from_utf8_lossy(&json));
    1
}

proptest! {
    // Scenario: any bytes, and requests with bytes changed, cut and inserted.
    // Guarantees: no panic, bounded output, and what is accepted is a valid request for the splitter.
    #[test]
    fn anything_is_survived(
        seed in 0_u64..50,
        signal in prop::sample::select(&Signal::ALL[..]),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 0..6),
        noise in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let request = traces::request(seed, traces::Shape { spans: 3, ..traces::Shape::SMALL });
        let mut json = serde_json::to_vec(&request).unwrap();
        for (at, byte, edit) in edits {
            let at = at.index(json.len());
            match edit {
                0 => json[at] = byte,
                1 => json.insert(at, byte),
                _ => json.truncate(at + 1),
            }
        }
        for text in [&json, &noise] {
            if let Ok(bytes) = to_protobuf(signal, text) {
                prop_assert!(bytes.len() <= GROWTH * text.len());
                if signal == Signal::Traces {
                    prop_assert!(Splitter::new(0).plan_by_size(signal, &bytes, usize::MAX, usize::MAX).is_ok());
                }
            }
        }
    }
}

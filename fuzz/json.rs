//! The fuzz target `json`: what it checks, which an ordinary test runs over the committed corpus too, and the inputs that it
//! starts from.
//!
//! The including module brings `ringway` into its own scope.
#![allow(
    dead_code,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "prost is the oracle; each includer uses its own share of this file"
)]

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use prost::Message;

use super::ringway::{
    model::{
        Signal,
        settings::{Key, RoutingKey, Validation},
    },
    otlp::{Splitter, json::to_protobuf},
};

/// How many times the text's bytes the protobuf may have.
pub const GROWTH: usize = 4;

/// Bytes of an error's text: 128 levels of path, and what is allowed.
const ERROR: usize = 8192;

/// Any bytes as a request of each signal.
pub fn json(text: &[u8]) {
    for signal in Signal::ALL {
        let bytes = match to_protobuf(signal, text) {
            Ok(bytes) => bytes,
            Err(error) => {
                assert!(error.to_string().len() <= ERROR);
                continue;
            }
        };
        assert!(bytes.len() <= GROWTH * text.len());
        let mut splitter = Splitter::new(0);
        let key = RoutingKey::compatible(Key::None);
        let plan = splitter.plan(signal, &bytes, &key, Validation::Full, 1, |_| 0);
        assert!(plan.is_ok(), "full refuses what was written: {plan:?}");
        let decoded = match signal {
            Signal::Traces => ExportTraceServiceRequest::decode(&*bytes).map(drop),
            Signal::Metrics => ExportMetricsServiceRequest::decode(&*bytes).map(drop),
            Signal::Logs => ExportLogsServiceRequest::decode(&*bytes).map(drop),
        };
        assert_eq!(decoded, Ok(()), "prost refuses what was written");
    }
}

/// (name, text).
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let span =
        |fields: &str| format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{fields}}}]}}]}}]}}"#);
    let record =
        |fields: &str| format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{{fields}}}]}}]}}]}}"#);
    let metric = |fields: &str| {
        format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{{fields}}}]}}]}}]}}"#)
    };
    let nested = |open: &str, close: &str, levels: usize| {
        record(&format!(r#""body":{}{{}}{}"#, open.repeat(levels), close.repeat(levels)))
    };
    let texts = vec![
        ("span", span(SPAN)),
        ("span-names-of-the-proto-file", span(SPAN_SNAKE)),
        ("record", record(RECORD)),
        ("gauge", metric(GAUGE)),
        ("histogram", metric(HISTOGRAM)),
        ("exponential-histogram", metric(EXPONENTIAL)),
        ("summary", metric(SUMMARY)),
        ("resource-and-scope", RESOURCE.to_owned()),
        (
            "nulls",
            span(r#""traceId":null,"name":null,"kind":null,"links":[null],"events":null,"flags":null"#),
        ),
        (
            "repeated-names",
            span(r#""name":"a","name":"b","links":[{}],"links":[],"status":{"code":2},"status":{}"#),
        ),
        (
            "two-of-a-oneof",
            metric(r#""sum":{"dataPoints":[{"asInt":1,"asDouble":2}]},"gauge":{},"sum":null"#),
        ),
        (
            "halves-of-surrogate-pairs",
            record(r#""body":{"stringValue":"\ud83d\ude00 \ud83d \ude00\ud83d\n\ud83d"}"#),
        ),
        ("unknown", span(r#""x":{"a":[1e999,"\ud800",{"":null}]},"":[],"name":"n""#)),
        (
            "one-digit-numbers",
            metric(r#""histogram":{"dataPoints":[{"bucketCounts":[1,2,3,4,5,6,7,8,9,0,1,2,3,4,5]}]}"#),
        ),
        ("deepest-arrays", nested(r#"{"arrayValue":{"values":["#, "]}}", 39)),
        ("deepest-maps", nested(r#"{"kvlistValue":{"values":[{"value":"#, "}]}}", 29)),
        ("too-deep", nested(r#"{"arrayValue":{"values":["#, "]}}", 43)),
        ("short-id", span(r#""traceId":"00f067aa0ba902b7""#)),
        ("unknown-enum", span(r#""kind":"CLIENT""#)),
        ("null-and-more", "null {".to_owned()),
        ("cut-off", span(SPAN).chars().take(400).collect()),
    ];
    let mut seeds: Vec<_> = texts.into_iter().map(|(name, text)| (name, text.into_bytes())).collect();
    let mut latin = record(r#""severityText":"@""#).into_bytes();
    latin.iter_mut().filter(|byte| **byte == b'@').for_each(|byte| *byte = 0xe9);
    seeds.push(("not-utf-8", latin));
    seeds
}

const SPAN: &str = r#""traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"eee19b7ec3c1b174","parentSpanId":"",
"traceState":"a=b","flags":257,"name":"GET /","kind":2,"startTimeUnixNano":"1544712660000000000","endTimeUnixNano":1544712661000000000,
"attributes":[{"key":"i","value":{"intValue":"-5"}},{"key":"d","value":{"doubleValue":-1.5e-7}},{"key":"b","value":{"boolValue":true}},
{"key":"x","value":{"bytesValue":"+/8="}},{"key":"a","value":{"arrayValue":{"values":[{"stringValue":"s"},{}]}}},
{"key":"m","value":{"kvlistValue":{"values":[{"key":"k","value":null}]}}}],"droppedAttributesCount":1,
"events":[{"timeUnixNano":"1","name":"e","attributes":[]}],"droppedEventsCount":2,
"links":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","flags":1}],"droppedLinksCount":3,
"status":{"message":"m","code":"STATUS_CODE_ERROR"}"#;

const SPAN_SNAKE: &str = r#""trace_id":"5b8efff798038103d269b633813fc60c","span_id":"eee19b7ec3c1b174",
"start_time_unix_nano":1,"end_time_unix_nano":"2","dropped_attributes_count":"3","kind":"SPAN_KIND_CLIENT",
"attributes":[{"key":"s","value":{"string_value":"\u0073\t\"\\"}}]"#;

const RECORD: &str = r#""timeUnixNano":"1","observedTimeUnixNano":"2","severityNumber":"SEVERITY_NUMBER_WARN2","severityText":"W",
"body":{"stringValue":"text"},"attributes":[{"key":"k","value":{"bytesValue":"-_8"}}],"flags":1,"eventName":"e",
"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174""#;

const GAUGE: &str = r#""name":"n","description":"d","unit":"1","metadata":[{"key":"k"}],"gauge":{"dataPoints":[
{"asInt":"-5","timeUnixNano":"1","flags":1,"exemplars":[{"asDouble":"NaN","traceId":"","filteredAttributes":[]}]},{"asDouble":"-Infinity"}]}"#;

const HISTOGRAM: &str = r#""histogram":{"aggregationTemporality":"AGGREGATION_TEMPORALITY_DELTA","dataPoints":[{"count":"3",
"sum":-0.0,"bucketCounts":["1",2],"explicitBounds":[0.5,"1e2"],"min":5e-324,"max":1.7976931348623157e308}]}"#;

const EXPONENTIAL: &str = r#""exponentialHistogram":{"aggregationTemporality":2,"dataPoints":[{"count":3,"scale":-3,"zeroCount":"1",
"zeroThreshold":0.1,"positive":{"offset":-2147483648,"bucketCounts":["18446744073709551615",0]},"negative":null}]}"#;

const SUMMARY: &str =
    r#""summary":{"dataPoints":[{"count":1,"sum":2,"quantileValues":[{"quantile":0.99,"value":"7"},null]}]}"#;

const RESOURCE: &str = r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"a"}}],
"droppedAttributesCount":1,"entityRefs":[{"schemaUrl":"u","type":"service","idKeys":["service.name"],"descriptionKeys":null}]},
"schemaUrl":"u","scopeLogs":[{"scope":{"name":"n","version":"v","attributes":[],"droppedAttributesCount":1},"logRecords":[{}]}]}]}"#;

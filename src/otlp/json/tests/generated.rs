//! Whole requests: against an independent encoder and decoder, and damaged.

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{AnyValue, EntityRef, InstrumentationScope, KeyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{
        Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Histogram, HistogramDataPoint, Metric,
        NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar,
        exponential_histogram_data_point::Buckets, metric::Data, number_data_point,
        summary_data_point::ValueAtQuantile,
    },
    resource::v1::Resource,
    trace::v1::{
        ResourceSpans, ScopeSpans, Span, Status,
        span::{Event, Link},
    },
};
use proptest::prelude::*;
use prost::Message;

use super::{GROWTH, adversarial::Generator, encoder::Encoder, fuzz, to_protobuf, traces};
use crate::model::Signal;

/// Reads what was written and compares, by their debug texts: there all NaN are equal, and -0 is not 0.
#[track_caller]
fn check<M: Message + Default + std::fmt::Debug>(signal: Signal, message: &M, json: &str) {
    let bytes = to_protobuf(signal, json.as_bytes()).unwrap_or_else(|error| panic!("{error} in {json}"));
    assert!(bytes.len() <= GROWTH * json.len());
    let read = M::decode(&*bytes).unwrap();
    assert_eq!(format!("{read:?}"), format!("{message:?}"), "{json}");
}

// Scenario: generated requests of each signal, full of odd values, each written in several of the spellings that JSON and
// OTLP leave open.
// Guarantees: the protobuf decodes to the message that was written.
#[test]
fn every_spelling_is_understood() {
    for seed in 0..40 {
        let mut generator = Generator::new(seed);
        let (traces, logs, metrics) = (generator.traces(8), generator.logs(8), generator.metrics(8));
        let mut encoder = Encoder::new(seed);
        for _ in 0..3 {
            check(Signal::Traces, &traces, &encoder.traces(&traces));
            check(Signal::Logs, &logs, &encoder.logs(&logs));
            check(Signal::Metrics, &metrics, &encoder.metrics(&metrics));
        }
    }
}

// Scenario: one message of every type, with every field set.
// Guarantees: no field is lost or mistaken for another. (A field that opentelemetry-proto adds does not compile here.)
#[test]
fn every_field_is_known() {
    let (traces, logs, metrics) = (every_traces_field(), every_logs_field(), every_metrics_field());
    let mut encoder = Encoder::new(1);
    for _ in 0..20 {
        check(Signal::Traces, &traces, &encoder.traces(&traces));
        check(Signal::Logs, &logs, &encoder.logs(&logs));
        check(Signal::Metrics, &metrics, &encoder.metrics(&metrics));
    }
}

// Scenario: generated traces, written by the encoder of opentelemetry-proto.
// Guarantees: the protobuf decodes to the message that was written.
#[test]
fn another_encoder_is_understood() {
    for seed in 0..20 {
        let request = traces::request(seed, traces::Shape::SMALL);
        check(Signal::Traces, &request, &serde_json::to_string(&request).unwrap());
    }
}

fn attributes(key: &str) -> Vec<KeyValue> {
    let value = AnyValue { value: Some(Value::StringValue("value".to_owned())) };
    vec![KeyValue { key: key.to_owned(), value: Some(value), key_strindex: 5 }]
}

fn resource() -> Option<Resource> {
    let entity = EntityRef {
        schema_url: "u".to_owned(),
        r#type: "t".to_owned(),
        id_keys: vec!["i".to_owned(), "j".to_owned()],
        description_keys: vec!["d".to_owned()],
    };
    Some(Resource {
        attributes: attributes("resource"),
        dropped_attributes_count: 1,
        entity_refs: vec![entity],
    })
}

fn scope() -> Option<InstrumentationScope> {
    Some(InstrumentationScope {
        name: "name".to_owned(),
        version: "version".to_owned(),
        attributes: attributes("scope"),
        dropped_attributes_count: 2,
    })
}

fn every_traces_field() -> ExportTraceServiceRequest {
    let event = Event {
        time_unix_nano: 10,
        name: "event".to_owned(),
        attributes: attributes("event"),
        dropped_attributes_count: 11,
    };
    let link = Link {
        trace_id: vec![12; 16],
        span_id: vec![13; 8],
        trace_state: "link".to_owned(),
        attributes: attributes("link"),
        dropped_attributes_count: 14,
        flags: 15,
    };
    let span = Span {
        trace_id: vec![16; 16],
        span_id: vec![17; 8],
        trace_state: "state".to_owned(),
        parent_span_id: vec![18; 8],
        flags: 19,
        name: "span".to_owned(),
        kind: 4,
        start_time_unix_nano: 20,
        end_time_unix_nano: 21,
        attributes: attributes("span"),
        dropped_attributes_count: 22,
        events: vec![event],
        dropped_events_count: 23,
        links: vec![link],
        dropped_links_count: 24,
        status: Some(Status { message: "message".to_owned(), code: 2 }),
    };
    let group =
        ScopeSpans { scope: scope(), spans: vec![span.clone(), span], schema_url: "inner".to_owned() };
    let resource_spans =
        ResourceSpans { resource: resource(), scope_spans: vec![group], schema_url: "outer".to_owned() };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }
}

fn every_logs_field() -> ExportLogsServiceRequest {
    let record = LogRecord {
        time_unix_nano: 10,
        observed_time_unix_nano: 11,
        severity_number: 12,
        severity_text: "severity".to_owned(),
        body: Some(AnyValue { value: Some(Value::IntValue(13)) }),
        attributes: attributes("record"),
        dropped_attributes_count: 14,
        flags: 15,
        trace_id: vec![16; 16],
        span_id: vec![17; 8],
        event_name: "event".to_owned(),
    };
    let group = ScopeLogs {
        scope: scope(),
        log_records: vec![record.clone(), record],
        schema_url: "inner".to_owned(),
    };
    let resource_logs =
        ResourceLogs { resource: resource(), scope_logs: vec![group], schema_url: "outer".to_owned() };
    ExportLogsServiceRequest { resource_logs: vec![resource_logs] }
}

fn every_metrics_field() -> ExportMetricsServiceRequest {
    let metrics = every_type().into_iter().map(|data| Metric {
        name: "name".to_owned(),
        description: "description".to_owned(),
        unit: "unit".to_owned(),
        metadata: attributes("metadata"),
        data: Some(data),
    });
    let group = ScopeMetrics { scope: scope(), metrics: metrics.collect(), schema_url: "inner".to_owned() };
    let resource_metrics =
        ResourceMetrics { resource: resource(), scope_metrics: vec![group], schema_url: "outer".to_owned() };
    ExportMetricsServiceRequest { resource_metrics: vec![resource_metrics] }
}

fn every_type() -> [Data; 4] {
    let exemplars = vec![Exemplar {
        filtered_attributes: attributes("exemplar"),
        time_unix_nano: 10,
        span_id: vec![11; 8],
        trace_id: vec![12; 16],
        value: Some(exemplar::Value::AsDouble(13.5)),
    }];
    let number = NumberDataPoint {
        attributes: attributes("number"),
        start_time_unix_nano: 20,
        time_unix_nano: 21,
        exemplars: exemplars.clone(),
        flags: 22,
        value: Some(number_data_point::Value::AsDouble(23.5)),
    };
    let histogram = HistogramDataPoint {
        attributes: attributes("histogram"),
        start_time_unix_nano: 30,
        time_unix_nano: 31,
        count: 32,
        sum: Some(33.5),
        bucket_counts: vec![34, 35],
        explicit_bounds: vec![36.5],
        exemplars: exemplars.clone(),
        flags: 37,
        min: Some(38.5),
        max: Some(39.5),
    };
    let exponential = ExponentialHistogramDataPoint {
        attributes: attributes("exponential"),
        start_time_unix_nano: 40,
        time_unix_nano: 41,
        count: 42,
        sum: Some(43.5),
        scale: -44,
        zero_count: 45,
        positive: Some(Buckets { offset: -46, bucket_counts: vec![47, 48] }),
        negative: Some(Buckets { offset: 49, bucket_counts: vec![50] }),
        flags: 51,
        exemplars,
        min: Some(52.5),
        max: Some(53.5),
        zero_threshold: 54.5,
    };
    let summary = SummaryDataPoint {
        attributes: attributes("summary"),
        start_time_unix_nano: 60,
        time_unix_nano: 61,
        count: 62,
        sum: 63.5,
        quantile_values: vec![ValueAtQuantile { quantile: 0.5, value: 64.5 }],
        flags: 65,
    };
    [
        Data::Sum(Sum { data_points: vec![number], aggregation_temporality: 2, is_monotonic: true }),
        Data::Histogram(Histogram { data_points: vec![histogram], aggregation_temporality: 1 }),
        Data::ExponentialHistogram(ExponentialHistogram {
            data_points: vec![exponential],
            aggregation_temporality: 2,
        }),
        Data::Summary(Summary { data_points: vec![summary] }),
    ]
}

proptest! {
    // Scenario: any bytes, and requests of each signal with bytes changed, inserted and cut off.
    // Guarantees: what the fuzzer checks: no panic, bounded output, and a valid request or an error of bounded length.
    #[test]
    fn anything_is_survived(
        seed in 0_u64..200,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..6), 0..6),
        noise in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let (mut generator, mut encoder) = (Generator::new(seed), Encoder::new(seed));
        let mut json = match seed % 3 {
            0 => encoder.traces(&generator.traces(3)),
            1 => encoder.logs(&generator.logs(3)),
            _ => encoder.metrics(&generator.metrics(3)),
        }
        .into_bytes();
        for (at, byte, edit) in edits {
            let at = at.index(json.len());
            match edit {
                0..3 => json[at] = byte,
                3 | 4 => json.insert(at, byte),
                _ => json.truncate(at + 1),
            }
        }
        fuzz::json(&json);
        fuzz::json(&noise);
    }
}

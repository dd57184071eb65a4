//! OTLP's fields: one module for each message, one tag for each field that is read or written here.
//!
//! Source: opentelemetry-proto v1.10.0, `opentelemetry/proto/…`; the file is named at each module. One of the `KNOWN`
//! numbers with another wire type is malformed; every other number is a field of a later version and is passed on.

/// `collector/{trace,metrics,logs}/v1/*_service.proto`: `Export…ServiceRequest`. The three are alike.
pub mod request {
    use std::ops::RangeInclusive;

    use super::super::Tag;

    /// Field numbers of the message.
    pub const KNOWN: RangeInclusive<u32> = 1..=1;

    /// `resource_{spans,metrics,logs}`, repeated message.
    pub const RESOURCES: Tag = Tag::len(1);
}

/// `{trace,metrics,logs}/v1/*.proto`: `Resource{Spans,Metrics,Logs}`. The three are alike.
pub mod resource_group {
    use std::ops::RangeInclusive;

    use super::super::Tag;

    /// Field numbers of the message, [`LIBRARIES`] aside.
    pub const KNOWN: RangeInclusive<u32> = 1..=3;

    /// `resource`, message.
    pub const RESOURCE: Tag = Tag::len(1);
    /// `scope_{spans,metrics,logs}`, repeated message.
    pub const SCOPES: Tag = Tag::len(2);
    /// `schema_url`, string.
    pub const SCHEMA_URL: Tag = Tag::len(3);
    /// `instrumentation_library_{spans,metrics,logs}`, repeated message with the layout of [`SCOPES`]. Deprecated in
    /// v0.15.0 and reserved since v0.20.0; the Collector still reads it.
    pub const LIBRARIES: Tag = Tag::len(1000);
}

/// `{trace,metrics,logs}/v1/*.proto`: `Scope{Spans,Metrics,Logs}`. The three are alike.
pub mod scope_group {
    use std::ops::RangeInclusive;

    use super::super::Tag;

    /// Field numbers of the message.
    pub const KNOWN: RangeInclusive<u32> = 1..=3;

    /// `scope`, message.
    pub const SCOPE: Tag = Tag::len(1);
    /// `spans`, `metrics` or `log_records`, repeated message.
    pub const ITEMS: Tag = Tag::len(2);
    /// `schema_url`, string.
    pub const SCHEMA_URL: Tag = Tag::len(3);
}

/// `resource/v1/resource.proto`: `Resource`.
pub mod resource {
    use std::ops::RangeInclusive;

    use super::super::Tag;

    /// Field numbers of the message.
    pub const KNOWN: RangeInclusive<u32> = 1..=3;

    /// `attributes`, repeated [`key_value`](super::key_value).
    pub const ATTRIBUTES: Tag = Tag::len(1);
    /// `dropped_attributes_count`, uint32.
    pub const DROPPED_ATTRIBUTES_COUNT: Tag = Tag::varint(2);
    /// `entity_refs`, repeated [`entity_ref`](super::entity_ref).
    pub const ENTITY_REFS: Tag = Tag::len(3);
}

/// `common/v1/common.proto`: `InstrumentationScope`.
pub mod scope {
    use std::ops::RangeInclusive;

    use super::super::Tag;

    /// Field numbers of the message.
    pub const KNOWN: RangeInclusive<u32> = 1..=4;

    /// `name`, string.
    pub const NAME: Tag = Tag::len(1);
    /// `version`, string.
    pub const VERSION: Tag = Tag::len(2);
    /// `attributes`, repeated [`key_value`](super::key_value).
    pub const ATTRIBUTES: Tag = Tag::len(3);
    /// `dropped_attributes_count`, uint32.
    pub const DROPPED_ATTRIBUTES_COUNT: Tag = Tag::varint(4);
}

/// `common/v1/common.proto`: `EntityRef`.
pub mod entity_ref {
    use std::ops::RangeInclusive;

    use super::super::Tag;

    /// Field numbers of the message.
    pub const KNOWN: RangeInclusive<u32> = 1..=4;

    /// `schema_url`, string.
    pub const SCHEMA_URL: Tag = Tag::len(1);
    /// `type`, string.
    pub const TYPE: Tag = Tag::len(2);
    /// `id_keys`, repeated string.
    pub const ID_KEYS: Tag = Tag::len(3);
    /// `description_keys`, repeated string.
    pub const DESCRIPTION_KEYS: Tag = Tag::len(4);
}

/// `common/v1/common.proto`: `KeyValue`.
pub mod key_value {
    use std::ops::RangeInclusive;

    use super::super::Tag;

    /// Field numbers of the message.
    pub const KNOWN: RangeInclusive<u32> = 1..=3;

    /// `key`, string.
    pub const KEY: Tag = Tag::len(1);
    /// `value`, [`any_value`](super::any_value).
    pub const VALUE: Tag = Tag::len(2);
    /// `key_strindex`, int32.
    pub const KEY_STRINDEX: Tag = Tag::varint(3);
}

/// `common/v1/common.proto`: `AnyValue`, all fields in one oneof.
pub mod any_value {
    use std::ops::RangeInclusive;

    use super::super::Tag;

    /// Field numbers of the message.
    pub const KNOWN: RangeInclusive<u32> = 1..=8;

    /// `string_value`, string.
    pub const STRING: Tag = Tag::len(1);
    /// `bool_value`, bool.
    pub const BOOL: Tag = Tag::varint(2);
    /// `int_value`, int64.
    pub const INT: Tag = Tag::varint(3);
    /// `double_value`, double.
    pub const DOUBLE: Tag = Tag::fixed64(4);
    /// `array_value`, a message whose field 1 is a repeated `AnyValue`.
    pub const ARRAY: Tag = Tag::len(5);
    /// `kvlist_value`, a message whose field 1 is a repeated `KeyValue`.
    pub const KVLIST: Tag = Tag::len(6);
    /// `bytes_value`, bytes.
    pub const BYTES: Tag = Tag::len(7);
    /// `string_value_strindex`, int32.
    pub const STRING_STRINDEX: Tag = Tag::varint(8);
}

/// `common/v1/common.proto`: `ArrayValue` and `KeyValueList`, which are alike.
pub mod list {
    use std::ops::RangeInclusive;

    use super::super::Tag;

    /// Field numbers of the message.
    pub const KNOWN: RangeInclusive<u32> = 1..=1;

    /// `values`, repeated message.
    pub const VALUES: Tag = Tag::len(1);
}

/// `trace/v1/trace.proto`: `Span`.
pub mod span {
    use std::ops::RangeInclusive;

    use super::super::Tag;

    /// Field numbers of the message.
    pub const KNOWN: RangeInclusive<u32> = 1..=16;

    /// `trace_id`, bytes: 16 or none.
    pub const TRACE_ID: Tag = Tag::len(1);
    /// `span_id`, bytes: 8 or none.
    pub const SPAN_ID: Tag = Tag::len(2);
    /// `trace_state`, string.
    pub const TRACE_STATE: Tag = Tag::len(3);
    /// `parent_span_id`, bytes: 8 or none.
    pub const PARENT_SPAN_ID: Tag = Tag::len(4);
    /// `name`, string.
    pub const NAME: Tag = Tag::len(5);
    /// `kind`, enum.
    pub const KIND: Tag = Tag::varint(6);
    /// `start_time_unix_nano`, fixed64.
    pub const START_TIME: Tag = Tag::fixed64(7);
    /// `end_time_unix_nano`, fixed64.
    pub const END_TIME: Tag = Tag::fixed64(8);
    /// `attributes`, repeated [`key_value`](super::key_value).
    pub const ATTRIBUTES: Tag = Tag::len(9);
    /// `dropped_attributes_count`, uint32.
    pub const DROPPED_ATTRIBUTES_COUNT: Tag = Tag::varint(10);
    /// `events`, repeated [`event`](super::event).
    pub const EVENTS: Tag = Tag::len(11);
    /// `dropped_events_count`, uint32.
    pub const DROPPED_EVENTS_COUNT: Tag = Tag::varint(12);
    /// `links`, repeated [`link`](super::link).
    pub const LINKS: Tag = Tag::len(13);
    /// `dropped_links_count`, uint32.
    pub const DROPPED_LINKS_COUNT: Tag = Tag::varint(14);
    /// `status`, [`status`](super::status).
    pub const STATUS: Tag = Tag::len(15);
    /// `flags`, fixed32.
    pub const FLAGS: Tag = Tag::fixed32(16);
}

/// `trace/v1/trace.proto`: `Span.Event`.
pub mod event {
    use std::ops::RangeInclusive;

    use super::super::Tag;

    /// Field numbers of the message.
    pub const KNOWN: RangeInclusive<u32> = 1..=4;

    /// `time_unix_nano`, fixed64.
    pub const TIME: Tag = Tag::fixed64(1);
    /// `name`, string.
    pub const NAME: Tag = Tag::len(2);
    /// `attributes`, repeated [`key_value`](super::key_value).
    pub const ATTRIBUTES: Tag = Tag::len(3);
    /// `dropped_attributes_count`, uint32.
    pub const DROPPED_ATTRIBUTES_COUNT: Tag = Tag::varint(4);
}

/// `trace/v1/trace.proto`: `Span.Link`.
pub mod link {
    use std::ops::RangeInclusive;

    use super::super::Tag;

    /// Field numbers of the message.
    pub const KNOWN: RangeInclusive<u32> = 1..=6;

    /// `trace_id`, bytes: 16 or none.
    pub const TRACE_ID: Tag = Tag::len(1);
    /// `span_id`, bytes: 8 or none.
    pub const SPAN_ID: Tag = Tag::len(2);
    /// `trace_state`, string.
    pub const TRACE_STATE: Tag = Tag::len(3);
    /// `attributes`, repeated [`key_value`](super::key_value).
    pub const ATTRIBUTES: Tag = Tag::len(4);
    /// `dropped_attributes_count`, uint32.
    pub const DROPPED_ATTRIBUTES_COUNT: Tag = Tag::varint(5);
    /// `flags`, fixed32.
    pub const FLAGS: Tag = Tag::fixed32(6);
}

/// `trace/v1/trace.proto`: `Status`.
pub mod status {
    use std::ops::RangeInclusive;

    use super::super::Tag;

    /// Field numbers of the message.
    pub const KNOWN: RangeInclusive<u32> = 2..=3;

    /// `message`, string.
    pub const MESSAGE: Tag = Tag::len(2);
    /// `code`, enum.
    pub const CODE: Tag = Tag::varint(3);
}

/// `metrics/v1/metrics.proto`: `Metric`. The five kinds of data are one oneof.
pub mod metric {
    use std::ops::RangeInclusive;

    use super::super::Tag;

    /// Field numbers of the message, [`RESERVED`] aside.
    pub const KNOWN: RangeInclusive<u32> = 1..=12;
    /// Numbers that no version defines: unknown fields.
    pub const RESERVED: [u32; 3] = [4, 6, 8];

    /// `name`, string.
    pub const NAME: Tag = Tag::len(1);
    /// `description`, string.
    pub const DESCRIPTION: Tag = Tag::len(2);
    /// `unit`, string.
    pub const UNIT: Tag = Tag::len(3);
    /// `gauge`, [`data`](super::data).
    pub const GAUGE: Tag = Tag::len(5);
    /// `sum`, [`data`](super::data).
    pub const SUM: Tag = Tag::len(7);
    /// `histogram`, [`data`](super::data).
    pub const HISTOGRAM: Tag = Tag::len(9);
    /// `exponential_histogram`, [`data`](super::data).
    pub const EXPONENTIAL_HISTOGRAM: Tag = Tag::len(10);
    /// `summary`, [`data`](super::data).
    pub const SUMMARY: Tag = Tag::len(11);
    /// `metadata`, repeated [`key_value`](super::key_value).
    pub const METADATA: Tag = Tag::len(12);
}

/// `metrics/v1/metrics.proto`: `Gauge`, `Sum`, `Histogram`, `ExponentialHistogram` and `Summary`. What two of them have
/// has the same number in both; gauges and summaries have points only, and only sums have the third field.
pub mod data {
    use super::super::Tag;

    /// `data_points`, repeated message, of another type in each kind.
    pub const POINTS: Tag = Tag::len(1);
    /// `aggregation_temporality`, enum.
    pub const TEMPORALITY: Tag = Tag::varint(2);
    /// `is_monotonic`, bool.
    pub const IS_MONOTONIC: Tag = Tag::varint(3);
}

/// `metrics/v1/metrics.proto`: `NumberDataPoint`.
pub mod number_point {
    use std::ops::RangeInclusive;

    use super::super::Tag;

    /// Field numbers of the message.
    pub const KNOWN: RangeInclusive<u32> = 2..=8;

    /// `start_time_unix_nano`, fixed64.
    pub const START_TIME: Tag = Tag::fixed64(2);
    /// `time_unix_nano`, fixed64.
    pub const TIME: Tag = Tag::fixed64(3);
    /// `as_double`, double.
    pub const AS_DOUBLE: Tag = Tag::fixed64(4);
    /// `exemplars`, repeated [`exemplar`](super::exemplar).
    pub const EXEMPLARS: Tag = Tag::len(5);
    /// `as_int`, sfixed64.
    pub const AS_INT: Tag = Tag::fixed64(6);
    /// `attributes`, repeated [`key_value`](super::key_value).
    pub const ATTRIBUTES: Tag = Tag::len(7);
    /// `flags`, uint32.
    pub const FLAGS: Tag = Tag::varint(8);
}

/// `metrics/v1/metrics.proto`: `HistogramDataPoint`.
pub mod histogram_point {
    use std::ops::RangeInclusive;

    use super::super::Tag;

    /// Field numbers of the message.
    pub const KNOWN: RangeInclusive<u32> = 2..=12;

    /// `start_time_unix_nano`, fixed64.
    pub const START_TIME: Tag = Tag::fixed64(2);
    /// `time_unix_nano`, fixed64.
    pub const TIME: Tag = Tag::fixed64(3);
    /// `count`, fixed64.
    pub const COUNT: Tag = Tag::fixed64(4);
    /// `sum`, double.
    pub const SUM: Tag = Tag::fixed64(5);
    /// `bucket_counts`, repeated fixed64, packed.
    pub const BUCKET_COUNTS: Tag = Tag::len(6);
    /// One element of `bucket_counts`, not packed.
    pub const BUCKET_COUNT: Tag = Tag::fixed64(6);
    /// `explicit_bounds`, repeated double, packed.
    pub const EXPLICIT_BOUNDS: Tag = Tag::len(7);
    /// One element of `explicit_bounds`, not packed.
    pub const EXPLICIT_BOUND: Tag = Tag::fixed64(7);
    /// `exemplars`, repeated [`exemplar`](super::exemplar).
    pub const EXEMPLARS: Tag = Tag::len(8);
    /// `attributes`, repeated [`key_value`](super::key_value).
    pub const ATTRIBUTES: Tag = Tag::len(9);
    /// `flags`, uint32.
    pub const FLAGS: Tag = Tag::varint(10);
    /// `min`, double.
    pub const MIN: Tag = Tag::fixed64(11);
    /// `max`, double.
    pub const MAX: Tag = Tag::fixed64(12);
}

/// `metrics/v1/metrics.proto`: `ExponentialHistogramDataPoint`.
pub mod exponential_point {
    use std::ops::RangeInclusive;

    use super::super::Tag;

    /// Field numbers of the message.
    pub const KNOWN: RangeInclusive<u32> = 1..=14;

    /// `attributes`, repeated [`key_value`](super::key_value).
    pub const ATTRIBUTES: Tag = Tag::len(1);
    /// `start_time_unix_nano`, fixed64.
    pub const START_TIME: Tag = Tag::fixed64(2);
    /// `time_unix_nano`, fixed64.
    pub const TIME: Tag = Tag::fixed64(3);
    /// `count`, fixed64.
    pub const COUNT: Tag = Tag::fixed64(4);
    /// `sum`, double.
    pub const SUM: Tag = Tag::fixed64(5);
    /// `scale`, sint32.
    pub const SCALE: Tag = Tag::varint(6);
    /// `zero_count`, fixed64.
    pub const ZERO_COUNT: Tag = Tag::fixed64(7);
    /// `positive`, [`buckets`](super::buckets).
    pub const POSITIVE: Tag = Tag::len(8);
    /// `negative`, [`buckets`](super::buckets).
    pub const NEGATIVE: Tag = Tag::len(9);
    /// `flags`, uint32.
    pub const FLAGS: Tag = Tag::varint(10);
    /// `exemplars`, repeated [`exemplar`](super::exemplar).
    pub const EXEMPLARS: Tag = Tag::len(11);
    /// `min`, double.
    pub const MIN: Tag = Tag::fixed64(12);
    /// `max`, double.
    pub const MAX: Tag = Tag::fixed64(13);
    /// `zero_threshold`, double.
    pub const ZERO_THRESHOLD: Tag = Tag::fixed64(14);
}

/// `metrics/v1/metrics.proto`: `ExponentialHistogramDataPoint.Buckets`.
pub mod buckets {
    use std::ops::RangeInclusive;

    use super::super::Tag;

    /// Field numbers of the message.
    pub const KNOWN: RangeInclusive<u32> = 1..=2;

    /// `offset`, sint32.
    pub const OFFSET: Tag = Tag::varint(1);
    /// `bucket_counts`, repeated uint64, packed.
    pub const BUCKET_COUNTS: Tag = Tag::len(2);
    /// One element of `bucket_counts`, not packed.
    pub const BUCKET_COUNT: Tag = Tag::varint(2);
}

/// `metrics/v1/metrics.proto`: `SummaryDataPoint`.
pub mod summary_point {
    use std::ops::RangeInclusive;

    use super::super::Tag;

    /// Field numbers of the message.
    pub const KNOWN: RangeInclusive<u32> = 2..=8;

    /// `start_time_unix_nano`, fixed64.
    pub const START_TIME: Tag = Tag::fixed64(2);
    /// `time_unix_nano`, fixed64.
    pub const TIME: Tag = Tag::fixed64(3);
    /// `count`, fixed64.
    pub const COUNT: Tag = Tag::fixed64(4);
    /// `sum`, double.
    pub const SUM: Tag = Tag::fixed64(5);
    /// `quantile_values`, repeated [`quantile`](super::quantile).
    pub const QUANTILES: Tag = Tag::len(6);
    /// `attributes`, repeated [`key_value`](super::key_value).
    pub const ATTRIBUTES: Tag = Tag::len(7);
    /// `flags`, uint32.
    pub const FLAGS: Tag = Tag::varint(8);
}

/// `metrics/v1/metrics.proto`: `SummaryDataPoint.ValueAtQuantile`.
pub mod quantile {
    use std::ops::RangeInclusive;

    use super::super::Tag;

    /// Field numbers of the message.
    pub const KNOWN: RangeInclusive<u32> = 1..=2;

    /// `quantile`, double.
    pub const QUANTILE: Tag = Tag::fixed64(1);
    /// `value`, double.
    pub const VALUE: Tag = Tag::fixed64(2);
}

/// `metrics/v1/metrics.proto`: `Exemplar`.
pub mod exemplar {
    use std::ops::RangeInclusive;

    use super::super::Tag;

    /// Field numbers of the message.
    pub const KNOWN: RangeInclusive<u32> = 2..=7;

    /// `time_unix_nano`, fixed64.
    pub const TIME: Tag = Tag::fixed64(2);
    /// `as_double`, double.
    pub const AS_DOUBLE: Tag = Tag::fixed64(3);
    /// `span_id`, bytes: 8 or none.
    pub const SPAN_ID: Tag = Tag::len(4);
    /// `trace_id`, bytes: 16 or none.
    pub const TRACE_ID: Tag = Tag::len(5);
    /// `as_int`, sfixed64.
    pub const AS_INT: Tag = Tag::fixed64(6);
    /// `filtered_attributes`, repeated [`key_value`](super::key_value).
    pub const FILTERED_ATTRIBUTES: Tag = Tag::len(7);
}

/// `logs/v1/logs.proto`: `LogRecord`.
pub mod log_record {
    use std::ops::RangeInclusive;

    use super::super::Tag;

    /// Field numbers of the message, [`RESERVED`] aside.
    pub const KNOWN: RangeInclusive<u32> = 1..=12;
    /// The number of a field that no longer exists (`name`, string, until v0.15.0): unknown.
    pub const RESERVED: u32 = 4;

    /// `time_unix_nano`, fixed64.
    pub const TIME: Tag = Tag::fixed64(1);
    /// `severity_number`, enum.
    pub const SEVERITY_NUMBER: Tag = Tag::varint(2);
    /// `severity_text`, string.
    pub const SEVERITY_TEXT: Tag = Tag::len(3);
    /// `body`, [`any_value`](super::any_value).
    pub const BODY: Tag = Tag::len(5);
    /// `attributes`, repeated [`key_value`](super::key_value).
    pub const ATTRIBUTES: Tag = Tag::len(6);
    /// `dropped_attributes_count`, uint32.
    pub const DROPPED_ATTRIBUTES_COUNT: Tag = Tag::varint(7);
    /// `flags`, fixed32.
    pub const FLAGS: Tag = Tag::fixed32(8);
    /// `trace_id`, bytes: 16 or none.
    pub const TRACE_ID: Tag = Tag::len(9);
    /// `span_id`, bytes: 8 or none.
    pub const SPAN_ID: Tag = Tag::len(10);
    /// `observed_time_unix_nano`, fixed64.
    pub const OBSERVED_TIME: Tag = Tag::fixed64(11);
    /// `event_name`, string.
    pub const EVENT_NAME: Tag = Tag::len(12);
}

/// `collector/{trace,metrics,logs}/v1/*_service.proto`: `Export…ServiceResponse`. The three are alike.
pub mod response {
    use std::ops::RangeInclusive;

    use super::super::Tag;

    /// Field numbers of the message.
    pub const KNOWN: RangeInclusive<u32> = 1..=1;

    /// `partial_success`, [`partial_success`](super::partial_success).
    pub const PARTIAL_SUCCESS: Tag = Tag::len(1);
}

/// `collector/{trace,metrics,logs}/v1/*_service.proto`: `Export…PartialSuccess`. The three are alike.
pub mod partial_success {
    use std::ops::RangeInclusive;

    use super::super::Tag;

    /// Field numbers of the message.
    pub const KNOWN: RangeInclusive<u32> = 1..=2;

    /// `rejected_{spans,data_points,log_records}`, int64.
    pub const REJECTED: Tag = Tag::varint(1);
    /// `error_message`, string.
    pub const ERROR_MESSAGE: Tag = Tag::len(2);
}

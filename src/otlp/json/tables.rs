//! OTLP's messages as data: the JSON names, number and type of every field.
//!
//! Source: opentelemetry-proto v1.10.0, `opentelemetry/proto/…`; the file is named at each group. Both spellings of a name
//! that the JSON mapping of protobuf allows are there: lowerCamelCase and that of the proto file.

/// A message.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) fields: &'static [Field],
}

/// A field of a message.
#[derive(Debug)]
pub(super) struct Field {
    /// lowerCamelCase, as errors say it.
    pub(super) name: &'static str,
    /// As in the proto file; the same text where a name has one word.
    pub(super) proto_name: &'static str,
    pub(super) number: u32,
    pub(super) kind: Kind,
    pub(super) repeated: bool,
}

/// The type of a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Message(&'static Message),
    String,
    /// Base64.
    Bytes,
    /// Hex: this many bytes, or none.
    Id(usize),
    Bool,
    Double,
    /// A varint within these bounds; negative numbers as 64-bit two's complement.
    Int32,
    Int64,
    Uint32,
    Uint64,
    /// A zigzag varint.
    Sint32,
    Fixed32,
    Fixed64,
    /// A signed number in eight bytes.
    Sfixed64,
    /// An open enum of int32: a number, or one of these names.
    Enum(&'static [(&'static str, i32)]),
}

impl Message {
    /// The field of that name in either spelling.
    pub(super) fn field(&self, name: &[u8]) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name.as_bytes() == name || field.proto_name.as_bytes() == name)
    }
}

const fn one(name: &'static str, proto_name: &'static str, number: u32, kind: Kind) -> Field {
    Field { name, proto_name, number, kind, repeated: false }
}

const fn many(name: &'static str, proto_name: &'static str, number: u32, kind: Kind) -> Field {
    Field { name, proto_name, number, kind, repeated: true }
}

const fn text(name: &'static str, number: u32) -> Field {
    one(name, name, number, Kind::String)
}

const SCHEMA_URL: Field = one("schemaUrl", "schema_url", 3, Kind::String);

const fn attributes(number: u32) -> Field {
    many("attributes", "attributes", number, Kind::Message(&KEY_VALUE))
}

const fn dropped_attributes(number: u32) -> Field {
    one("droppedAttributesCount", "dropped_attributes_count", number, Kind::Uint32)
}

const fn trace_id(number: u32) -> Field {
    one("traceId", "trace_id", number, Kind::Id(16))
}

const fn span_id(number: u32) -> Field {
    one("spanId", "span_id", number, Kind::Id(8))
}

const fn time(number: u32) -> Field {
    one("timeUnixNano", "time_unix_nano", number, Kind::Fixed64)
}

const fn start_time(number: u32) -> Field {
    one("startTimeUnixNano", "start_time_unix_nano", number, Kind::Fixed64)
}

// === common/v1/common.proto, resource/v1/resource.proto ===

static KEY_VALUE: Message = Message {
    fields: &[
        text("key", 1),
        one("value", "value", 2, Kind::Message(&ANY_VALUE)),
        one("keyStrindex", "key_strindex", 3, Kind::Int32),
    ],
};

static ANY_VALUE: Message = Message {
    fields: &[
        one("stringValue", "string_value", 1, Kind::String),
        one("boolValue", "bool_value", 2, Kind::Bool),
        one("intValue", "int_value", 3, Kind::Int64),
        one("doubleValue", "double_value", 4, Kind::Double),
        one("arrayValue", "array_value", 5, Kind::Message(&ARRAY)),
        one("kvlistValue", "kvlist_value", 6, Kind::Message(&KEY_VALUE_LIST)),
        one("bytesValue", "bytes_value", 7, Kind::Bytes),
        one("stringValueStrindex", "string_value_strindex", 8, Kind::Int32),
    ],
};

static ARRAY: Message = Message { fields: &[many("values", "values", 1, Kind::Message(&ANY_VALUE))] };

static KEY_VALUE_LIST: Message =
    Message { fields: &[many("values", "values", 1, Kind::Message(&KEY_VALUE))] };

static RESOURCE: Message = Message {
    fields: &[
        attributes(1),
        dropped_attributes(2),
        many("entityRefs", "entity_refs", 3, Kind::Message(&ENTITY_REF)),
    ],
};

static ENTITY_REF: Message = Message {
    fields: &[
        one("schemaUrl", "schema_url", 1, Kind::String),
        text("type", 2),
        many("idKeys", "id_keys", 3, Kind::String),
        many("descriptionKeys", "description_keys", 4, Kind::String),
    ],
};

static SCOPE: Message =
    Message { fields: &[text("name", 1), text("version", 2), attributes(3), dropped_attributes(4)] };

const RESOURCE_FIELD: Field = one("resource", "resource", 1, Kind::Message(&RESOURCE));
const SCOPE_FIELD: Field = one("scope", "scope", 1, Kind::Message(&SCOPE));

// === trace/v1/trace.proto, collector/trace/v1/trace_service.proto ===

/// `ExportTraceServiceRequest`.
pub(super) static TRACES: Message =
    Message { fields: &[many("resourceSpans", "resource_spans", 1, Kind::Message(&RESOURCE_SPANS))] };

static RESOURCE_SPANS: Message = Message {
    fields: &[RESOURCE_FIELD, many("scopeSpans", "scope_spans", 2, Kind::Message(&SCOPE_SPANS)), SCHEMA_URL],
};

static SCOPE_SPANS: Message =
    Message { fields: &[SCOPE_FIELD, many("spans", "spans", 2, Kind::Message(&SPAN)), SCHEMA_URL] };

static SPAN: Message = Message {
    fields: &[
        trace_id(1),
        span_id(2),
        one("traceState", "trace_state", 3, Kind::String),
        one("parentSpanId", "parent_span_id", 4, Kind::Id(8)),
        text("name", 5),
        one("kind", "kind", 6, Kind::Enum(&SPAN_KIND)),
        start_time(7),
        one("endTimeUnixNano", "end_time_unix_nano", 8, Kind::Fixed64),
        attributes(9),
        dropped_attributes(10),
        many("events", "events", 11, Kind::Message(&EVENT)),
        one("droppedEventsCount", "dropped_events_count", 12, Kind::Uint32),
        many("links", "links", 13, Kind::Message(&LINK)),
        one("droppedLinksCount", "dropped_links_count", 14, Kind::Uint32),
        one("status", "status", 15, Kind::Message(&STATUS)),
        one("flags", "flags", 16, Kind::Fixed32),
    ],
};

static SPAN_KIND: [(&str, i32); 6] = [
    ("SPAN_KIND_UNSPECIFIED", 0),
    ("SPAN_KIND_INTERNAL", 1),
    ("SPAN_KIND_SERVER", 2),
    ("SPAN_KIND_CLIENT", 3),
    ("SPAN_KIND_PRODUCER", 4),
    ("SPAN_KIND_CONSUMER", 5),
];

static EVENT: Message = Message { fields: &[time(1), text("name", 2), attributes(3), dropped_attributes(4)] };

static LINK: Message = Message {
    fields: &[
        trace_id(1),
        span_id(2),
        one("traceState", "trace_state", 3, Kind::String),
        attributes(4),
        dropped_attributes(5),
        one("flags", "flags", 6, Kind::Fixed32),
    ],
};

static STATUS: Message =
    Message { fields: &[text("message", 2), one("code", "code", 3, Kind::Enum(&STATUS_CODE))] };

static STATUS_CODE: [(&str, i32); 3] =
    [("STATUS_CODE_UNSET", 0), ("STATUS_CODE_OK", 1), ("STATUS_CODE_ERROR", 2)];

// === logs/v1/logs.proto, collector/logs/v1/logs_service.proto ===

/// `ExportLogsServiceRequest`.
pub(super) static LOGS: Message =
    Message { fields: &[many("resourceLogs", "resource_logs", 1, Kind::Message(&RESOURCE_LOGS))] };

static RESOURCE_LOGS: Message = Message {
    fields: &[RESOURCE_FIELD, many("scopeLogs", "scope_logs", 2, Kind::Message(&SCOPE_LOGS)), SCHEMA_URL],
};

static SCOPE_LOGS: Message = Message {
    fields: &[SCOPE_FIELD, many("logRecords", "log_records", 2, Kind::Message(&LOG_RECORD)), SCHEMA_URL],
};

static LOG_RECORD: Message = Message {
    fields: &[
        time(1),
        one("severityNumber", "severity_number", 2, Kind::Enum(&SEVERITY_NUMBER)),
        one("severityText", "severity_text", 3, Kind::String),
        one("body", "body", 5, Kind::Message(&ANY_VALUE)),
        attributes(6),
        dropped_attributes(7),
        one("flags", "flags", 8, Kind::Fixed32),
        trace_id(9),
        span_id(10),
        one("observedTimeUnixNano", "observed_time_unix_nano", 11, Kind::Fixed64),
        one("eventName", "event_name", 12, Kind::String),
    ],
};

static SEVERITY_NUMBER: [(&str, i32); 25] = [
    ("SEVERITY_NUMBER_UNSPECIFIED", 0),
    ("SEVERITY_NUMBER_TRACE", 1),
    ("SEVERITY_NUMBER_TRACE2", 2),
    ("SEVERITY_NUMBER_TRACE3", 3),
    ("SEVERITY_NUMBER_TRACE4", 4),
    ("SEVERITY_NUMBER_DEBUG", 5),
    ("SEVERITY_NUMBER_DEBUG2", 6),
    ("SEVERITY_NUMBER_DEBUG3", 7),
    ("SEVERITY_NUMBER_DEBUG4", 8),
    ("SEVERITY_NUMBER_INFO", 9),
    ("SEVERITY_NUMBER_INFO2", 10),
    ("SEVERITY_NUMBER_INFO3", 11),
    ("SEVERITY_NUMBER_INFO4", 12),
    ("SEVERITY_NUMBER_WARN", 13),
    ("SEVERITY_NUMBER_WARN2", 14),
    ("SEVERITY_NUMBER_WARN3", 15),
    ("SEVERITY_NUMBER_WARN4", 16),
    ("SEVERITY_NUMBER_ERROR", 17),
    ("SEVERITY_NUMBER_ERROR2", 18),
    ("SEVERITY_NUMBER_ERROR3", 19),
    ("SEVERITY_NUMBER_ERROR4", 20),
    ("SEVERITY_NUMBER_FATAL", 21),
    ("SEVERITY_NUMBER_FATAL2", 22),
    ("SEVERITY_NUMBER_FATAL3", 23),
    ("SEVERITY_NUMBER_FATAL4", 24),
];

// === metrics/v1/metrics.proto, collector/metrics/v1/metrics_service.proto ===

/// `ExportMetricsServiceRequest`.
pub(super) static METRICS: Message =
    Message { fields: &[many("resourceMetrics", "resource_metrics", 1, Kind::Message(&RESOURCE_METRICS))] };

static RESOURCE_METRICS: Message = Message {
    fields: &[
        RESOURCE_FIELD,
        many("scopeMetrics", "scope_metrics", 2, Kind::Message(&SCOPE_METRICS)),
        SCHEMA_URL,
    ],
};

static SCOPE_METRICS: Message =
    Message { fields: &[SCOPE_FIELD, many("metrics", "metrics", 2, Kind::Message(&METRIC)), SCHEMA_URL] };

static METRIC: Message = Message {
    fields: &[
        text("name", 1),
        text("description", 2),
        text("unit", 3),
        one("gauge", "gauge", 5, Kind::Message(&GAUGE)),
        one("sum", "sum", 7, Kind::Message(&SUM)),
        one("histogram", "histogram", 9, Kind::Message(&HISTOGRAM)),
        one("exponentialHistogram", "exponential_histogram", 10, Kind::Message(&EXPONENTIAL_HISTOGRAM)),
        one("summary", "summary", 11, Kind::Message(&SUMMARY)),
        many("metadata", "metadata", 12, Kind::Message(&KEY_VALUE)),
    ],
};

const fn data_points(point: &'static Message) -> Field {
    many("dataPoints", "data_points", 1, Kind::Message(point))
}

const TEMPORALITY: Field =
    one("aggregationTemporality", "aggregation_temporality", 2, Kind::Enum(&AGGREGATION_TEMPORALITY));

static AGGREGATION_TEMPORALITY: [(&str, i32); 3] = [
    ("AGGREGATION_TEMPORALITY_UNSPECIFIED", 0),
    ("AGGREGATION_TEMPORALITY_DELTA", 1),
    ("AGGREGATION_TEMPORALITY_CUMULATIVE", 2),
];

static GAUGE: Message = Message { fields: &[data_points(&NUMBER_POINT)] };

static SUM: Message = Message {
    fields: &[data_points(&NUMBER_POINT), TEMPORALITY, one("isMonotonic", "is_monotonic", 3, Kind::Bool)],
};

static HISTOGRAM: Message = Message { fields: &[data_points(&HISTOGRAM_POINT), TEMPORALITY] };

static EXPONENTIAL_HISTOGRAM: Message =
    Message { fields: &[data_points(&EXPONENTIAL_HISTOGRAM_POINT), TEMPORALITY] };

static SUMMARY: Message = Message { fields: &[data_points(&SUMMARY_POINT)] };

static NUMBER_POINT: Message = Message {
    fields: &[
        start_time(2),
        time(3),
        one("asDouble", "as_double", 4, Kind::Double),
        many("exemplars", "exemplars", 5, Kind::Message(&EXEMPLAR)),
        one("asInt", "as_int", 6, Kind::Sfixed64),
        attributes(7),
        one("flags", "flags", 8, Kind::Uint32),
    ],
};

static HISTOGRAM_POINT: Message = Message {
    fields: &[
        start_time(2),
        time(3),
        one("count", "count", 4, Kind::Fixed64),
        one("sum", "sum", 5, Kind::Double),
        many("bucketCounts", "bucket_counts", 6, Kind::Fixed64),
        many("explicitBounds", "explicit_bounds", 7, Kind::Double),
        many("exemplars", "exemplars", 8, Kind::Message(&EXEMPLAR)),
        attributes(9),
        one("flags", "flags", 10, Kind::Uint32),
        one("min", "min", 11, Kind::Double),
        one("max", "max", 12, Kind::Double),
    ],
};

static EXPONENTIAL_HISTOGRAM_POINT: Message = Message {
    fields: &[
        attributes(1),
        start_time(2),
        time(3),
        one("count", "count", 4, Kind::Fixed64),
        one("sum", "sum", 5, Kind::Double),
        one("scale", "scale", 6, Kind::Sint32),
        one("zeroCount", "zero_count", 7, Kind::Fixed64),
        one("positive", "positive", 8, Kind::Message(&BUCKETS)),
        one("negative", "negative", 9, Kind::Message(&BUCKETS)),
        one("flags", "flags", 10, Kind::Uint32),
        many("exemplars", "exemplars", 11, Kind::Message(&EXEMPLAR)),
        one("min", "min", 12, Kind::Double),
        one("max", "max", 13, Kind::Double),
        one("zeroThreshold", "zero_threshold", 14, Kind::Double),
    ],
};

static BUCKETS: Message = Message {
    fields: &[
        one("offset", "offset", 1, Kind::Sint32),
        many("bucketCounts", "bucket_counts", 2, Kind::Uint64),
    ],
};

static SUMMARY_POINT: Message = Message {
    fields: &[
        start_time(2),
        time(3),
        one("count", "count", 4, Kind::Fixed64),
        one("sum", "sum", 5, Kind::Double),
        many("quantileValues", "quantile_values", 6, Kind::Message(&VALUE_AT_QUANTILE)),
        attributes(7),
        one("flags", "flags", 8, Kind::Uint32),
    ],
};

static VALUE_AT_QUANTILE: Message = Message {
    fields: &[one("quantile", "quantile", 1, Kind::Double), one("value", "value", 2, Kind::Double)],
};

static EXEMPLAR: Message = Message {
    fields: &[
        time(2),
        one("asDouble", "as_double", 3, Kind::Double),
        span_id(4),
        trace_id(5),
        one("asInt", "as_int", 6, Kind::Sfixed64),
        many("filteredAttributes", "filtered_attributes", 7, Kind::Message(&KEY_VALUE)),
    ],
};

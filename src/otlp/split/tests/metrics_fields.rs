//! What is accepted and refused in metrics, field by field.

use super::tables::{BEYOND, Field, GROUP, NOT_TEXT, TRUNCATED, WRONG, field};
use crate::{
    model::{
        Signal,
        settings::{Key, RoutingKey, Validation},
    },
    otlp::{
        Splitter,
        wire::{Tag, put_bytes},
    },
};

/// Where a message stands.
#[derive(Clone, Copy, Debug)]
enum Level {
    ScopeGroup,
    Metric,
    Metadata,
    Gauge,
    Sum,
    Histogram,
    Exponential,
    Summary,
    GaugePoint,
    SumPoint,
    HistogramPoint,
    ExponentialPoint,
    SummaryPoint,
    Attribute,
    Exemplar,
    Buckets,
    Quantile,
}

use Level::{
    Attribute, Buckets, Exemplar, Exponential, ExponentialPoint, Gauge, GaugePoint, Histogram,
    HistogramPoint, Metadata, Metric, Quantile, ScopeGroup, Sum, SumPoint, Summary, SummaryPoint,
};

/// Puts a message into the messages around it.
fn inside(level: Level, body: &[u8]) -> Vec<u8> {
    let (parent, field) = match level {
        ScopeGroup => {
            let mut group = Vec::new();
            put_bytes(&mut group, Tag::len(2), body);
            let mut request = Vec::new();
            put_bytes(&mut request, Tag::len(1), &group);
            return request;
        }
        Metric => (ScopeGroup, 2),
        Metadata => (Metric, 12),
        Gauge => (Metric, 5),
        Sum => (Metric, 7),
        Histogram => (Metric, 9),
        Exponential => (Metric, 10),
        Summary => (Metric, 11),
        GaugePoint => (Gauge, 1),
        SumPoint => (Sum, 1),
        HistogramPoint => (Histogram, 1),
        ExponentialPoint => (Exponential, 1),
        SummaryPoint => (Summary, 1),
        Attribute => (SummaryPoint, 7),
        Exemplar => (HistogramPoint, 8),
        Buckets => (ExponentialPoint, 9),
        Quantile => (SummaryPoint, 6),
    };
    let mut message = Vec::new();
    put_bytes(&mut message, Tag::len(field), body);
    inside(parent, &message)
}

/// `Ok(items)`, or what is wrong.
fn plan(payload: &[u8], validation: Validation) -> Result<usize, &'static str> {
    let mut splitter = Splitter::new(0);
    let key = RoutingKey::compatible(Key::None);
    let plan = splitter.plan(Signal::Metrics, payload, &key, validation, 1, |_| 0);
    plan.map(|plan| plan.items()).map_err(|malformed| malformed.what)
}

/// Both levels agree.
#[track_caller]
fn check(level: Level, body: &[u8], expect: Result<usize, &'static str>) {
    let payload = inside(level, body);
    assert_eq!(plan(&payload, Validation::Structure), expect, "structure, {level:?} {body:02x?}");
    assert_eq!(plan(&payload, Validation::Full), expect, "full, {level:?} {body:02x?}");
}

/// Only the level `Full` looks there.
#[track_caller]
fn check_full(level: Level, body: &[u8], expect: Result<usize, &'static str>) {
    let payload = inside(level, body);
    assert!(plan(&payload, Validation::Structure).is_ok(), "structure, {level:?} {body:02x?}");
    assert_eq!(plan(&payload, Validation::Full), expect, "full, {level:?} {body:02x?}");
}

const NUMBER_POINT: &[Field] = &[(2, 1), (3, 1), (4, 1), (5, 2), (6, 1), (7, 2), (8, 0)];

/// Known fields of each message, and the points in a request with one such message. Fields that may be packed are in
/// a test of their own.
const FIELDS: &[(Level, &[Field], usize)] = &[
    (Metric, &[(1, 2), (2, 2), (3, 2), (5, 2), (7, 2), (9, 2), (10, 2), (11, 2), (12, 2)], 0),
    (Gauge, &[(1, 2)], 0),
    (Sum, &[(1, 2), (2, 0), (3, 0)], 0),
    (Histogram, &[(1, 2), (2, 0)], 0),
    (Exponential, &[(1, 2), (2, 0)], 0),
    (Summary, &[(1, 2)], 0),
    (GaugePoint, NUMBER_POINT, 1),
    (SumPoint, NUMBER_POINT, 1),
    (HistogramPoint, &[(2, 1), (3, 1), (4, 1), (5, 1), (8, 2), (9, 2), (10, 0), (11, 1), (12, 1)], 1),
    (
        ExponentialPoint,
        &[
            (1, 2),
            (2, 1),
            (3, 1),
            (4, 1),
            (5, 1),
            (6, 0),
            (7, 1),
            (8, 2),
            (9, 2),
            (10, 0),
            (11, 2),
            (12, 1),
            (13, 1),
            (14, 1),
        ],
        1,
    ),
    (SummaryPoint, &[(2, 1), (3, 1), (4, 1), (5, 1), (6, 2), (7, 2), (8, 0)], 1),
    (Attribute, &[(1, 2), (2, 2), (3, 0)], 1),
    (Metadata, &[(1, 2), (2, 2), (3, 0)], 0),
    (Exemplar, &[(2, 1), (3, 1), (4, 2), (5, 2), (6, 1), (7, 2)], 1),
    (Buckets, &[(1, 0)], 1),
    (Quantile, &[(1, 1), (2, 1)], 1),
];

// Scenario: every field of every message in metrics, with each of the four wire types.
// Guarantees: the wire type of the schema is accepted and each other one refused, at the level that reads the message;
// numbers that the schema does not have, reserved ones included, pass with any wire type.
#[test]
fn wire_types_follow_the_schema() {
    for &(level, fields, items) in FIELDS {
        let check: fn(Level, &[u8], Result<usize, &'static str>) = match level {
            Attribute | Metadata | Exemplar | Buckets | Quantile => check_full,
            _ => check,
        };
        for wire in [0, 1, 2, 5] {
            for &(number, right) in fields {
                let is_point =
                    matches!((level, number), (Gauge | Sum | Histogram | Exponential | Summary, 1));
                let items = items + usize::from(is_point);
                check(level, &field(number, wire), if wire == right { Ok(items) } else { WRONG });
            }
            for unknown in [15, 17, 100, 1000, (1 << 29) - 1] {
                check(level, &field(unknown, wire), Ok(items));
            }
        }
    }
    for wire in [0, 1, 2, 5] {
        for reserved in [4, 6, 8] {
            check(Metric, &field(reserved, wire), Ok(0));
        }
        for (level, number) in [(Gauge, 2), (Gauge, 3), (Summary, 2), (Histogram, 3), (Exponential, 3)] {
            check(level, &field(number, wire), Ok(0));
        }
        for level in [GaugePoint, SumPoint, HistogramPoint, SummaryPoint] {
            check(level, &field(1, wire), Ok(1));
        }
    }
}

// Scenario: bucket counts and bounds, packed and not, in lengths that are and are not a multiple of 8.
// Guarantees: both forms are read; numbers that are cut off are refused.
#[test]
fn repeated_numbers_may_be_packed() {
    let packed = |number: u8, length: u8| [&[number << 3 | 2, length][..], &vec![7; length.into()]].concat();
    for number in [6, 7] {
        for length in 0..40 {
            let expect =
                if length % 8 == 0 { Ok(1) } else { Err("packed numbers are not a multiple of 8 bytes") };
            check(HistogramPoint, &packed(number, length), expect);
        }
        check(HistogramPoint, &field(number.into(), 1).repeat(3), Ok(1));
        check(HistogramPoint, &field(number.into(), 0), WRONG);
        check(HistogramPoint, &field(number.into(), 5), WRONG);
    }
    check_full(Buckets, &[0x12, 4, 1, 0x80, 1, 2], Ok(1));
    check_full(Buckets, &[0x12, 2, 1, 0x80], TRUNCATED);
    check_full(Buckets, &[0x12, 11, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 1], {
        Err("varint longer than 64 bits")
    });
    check_full(Buckets, &[0x10, 1, 0x10, 2], Ok(1));
    check_full(Buckets, &[0x11, 1, 2, 3, 4, 5, 6, 7, 8], WRONG);
}

// Scenario: values that end early in a metric, its data and its points; groups.
// Guarantees: refused at the level that every request is read at.
#[test]
fn malformed_values_are_refused() {
    for (level, _, items) in FIELDS {
        let check: fn(Level, &[u8], Result<usize, &'static str>) = match level {
            Attribute | Metadata | Exemplar | Buckets | Quantile => check_full,
            _ => check,
        };
        check(*level, &[0xfa, 0x07, 1], BEYOND);
        check(*level, &[0xf8, 0x07], TRUNCATED);
        check(*level, &[0xf9, 0x07, 1, 2, 3, 4, 5, 6, 7], TRUNCATED);
        check(*level, &[0xfb, 0x07, 0xfc, 0x07], GROUP);
        check(*level, &[0xfc, 0x07], GROUP);
        check(*level, &[], Ok(*items));
    }
    // Data that does not count is read all the same, as the Collector reads it.
    check(Metric, &[0x2a, 2, 0x0a, 1, 0x3a, 0], BEYOND);
}

// Scenario: identifiers of exemplars in every length up to 20.
// Guarantees: trace ids have 16 bytes or none, span ids 8 or none, as in the Collector; seen at the level `Full`.
#[test]
fn identifiers_of_exemplars_have_their_length() {
    let id = |field: u8, length: u8| [&[field << 3 | 2, length][..], &vec![1; length.into()]].concat();
    for length in 0..=20 {
        let or = |right: u8, what| if length == 0 || length == right { Ok(1) } else { Err(what) };
        check_full(Exemplar, &id(5, length), or(16, "trace id of an exemplar is not 16 bytes"));
        check_full(Exemplar, &id(4, length), or(8, "span id of an exemplar is not 8 bytes"));
    }
}

// Scenario: strings that are not UTF-8, in each string field.
// Guarantees: the level `Full` refuses them, `Structure` does not look.
#[test]
fn strings_are_utf8_at_the_full_level() {
    for (level, field, items) in
        [(Metric, 1, 0), (Metric, 2, 0), (Metric, 3, 0), (Metadata, 1, 0), (Attribute, 1, 1)]
    {
        check_full(level, &[field << 3 | 2, 5, b'a', b'b', 0xc3, 0xbc, b'c'], Ok(items));
        check_full(level, &[field << 3 | 2, 3, b'a', b'b', 0xff], NOT_TEXT);
    }
    check_full(Exemplar, b"\x3a\x03\x0a\x01\xff", NOT_TEXT);
}

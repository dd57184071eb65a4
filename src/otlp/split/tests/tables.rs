//! What is accepted and refused, field by field, and what parts look like byte for byte.

use crate::{
    model::{
        Signal,
        settings::{Key, RoutingKey, Validation},
    },
    otlp::{
        Splitter,
        wire::{Tag, put_bytes, put_fixed32, put_fixed64, put_message, put_uint},
    },
};

/// Where a message stands.
#[derive(Clone, Copy, Debug)]
enum Level {
    Request,
    ResourceGroup,
    Resource,
    ScopeGroup,
    Scope,
    Span,
    Attribute,
    Value,
    Event,
    Link,
    Status,
}

/// Puts a message into the messages around it.
fn inside(level: Level, body: &[u8]) -> Vec<u8> {
    let (parent, field) = match level {
        Level::Request => return body.to_vec(),
        Level::ResourceGroup => (Level::Request, 1),
        Level::Resource => (Level::ResourceGroup, 1),
        Level::ScopeGroup => (Level::ResourceGroup, 2),
        Level::Scope => (Level::ScopeGroup, 1),
        Level::Span => (Level::ScopeGroup, 2),
        Level::Attribute => (Level::Span, 9),
        Level::Value => (Level::Attribute, 2),
        Level::Event => (Level::Span, 11),
        Level::Link => (Level::Span, 13),
        Level::Status => (Level::Span, 15),
    };
    let mut message = Vec::new();
    put_bytes(&mut message, Tag::len(field), body);
    inside(parent, &message)
}

/// `Ok(items)`, or what is wrong.
fn plan(payload: &[u8], validation: Validation) -> Result<usize, &'static str> {
    let mut splitter = Splitter::new(0);
    let plan =
        splitter.plan(Signal::Traces, payload, &RoutingKey::compatible(Key::TraceId), validation, 1, |_| 0);
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

pub(super) const WRONG: Result<usize, &str> = Err("known field has the wrong wire type");
pub(super) const TRUNCATED: Result<usize, &str> = Err("message ends inside a field");
pub(super) const BEYOND: Result<usize, &str> = Err("length reaches beyond its message");
pub(super) const GROUP: Result<usize, &str> = Err("group or unused wire type");
pub(super) const NOT_TEXT: Result<usize, &str> = Err("string is not UTF-8");

/// (field number, wire type).
pub(super) type Field = (u32, u32);

/// Known fields of each message, and the items in a request with one such message.
const FIELDS: &[(Level, &[Field], usize)] = &[
    (Level::Request, &[(1, 2)], 0),
    (Level::ResourceGroup, &[(1, 2), (2, 2), (3, 2), (1000, 2)], 0),
    (Level::Resource, &[(1, 2), (2, 0), (3, 2)], 0),
    (Level::ScopeGroup, &[(1, 2), (2, 2), (3, 2)], 0),
    (Level::Scope, &[(1, 2), (2, 2), (3, 2), (4, 0)], 0),
    (
        Level::Span,
        &[
            (1, 2),
            (2, 2),
            (3, 2),
            (4, 2),
            (5, 2),
            (6, 0),
            (7, 1),
            (8, 1),
            (9, 2),
            (10, 0),
            (11, 2),
            (12, 0),
            (13, 2),
            (14, 0),
            (15, 2),
            (16, 5),
        ],
        1,
    ),
    (Level::Attribute, &[(1, 2), (2, 2), (3, 0)], 1),
    (Level::Value, &[(1, 2), (2, 0), (3, 0), (4, 1), (5, 2), (6, 2), (7, 2), (8, 0)], 1),
    (Level::Event, &[(1, 1), (2, 2), (3, 2), (4, 0)], 1),
    (Level::Link, &[(1, 2), (2, 2), (3, 2), (4, 2), (5, 0), (6, 5)], 1),
    (Level::Status, &[(2, 2), (3, 0)], 1),
];

/// A field with an empty or zero value of any wire type.
pub(super) fn field(number: u32, wire: u32) -> Vec<u8> {
    let mut out = Vec::new();
    match wire {
        0 => put_uint(&mut out, Tag::varint(number), 0),
        1 => put_fixed64(&mut out, Tag::fixed64(number), 0),
        2 => put_bytes(&mut out, Tag::len(number), &[]),
        _ => put_fixed32(&mut out, Tag::fixed32(number), 0),
    }
    out
}

// Scenario: every field of every message that is read, with each of the four wire types.
// Guarantees: the wire type of the schema is accepted and each other one refused, at the level that reads the message;
// numbers that the schema does not have pass with any wire type.
#[test]
fn wire_types_follow_the_schema() {
    for &(level, fields, items) in FIELDS {
        let check: fn(Level, &[u8], Result<usize, &'static str>) = match level {
            Level::Attribute | Level::Value | Level::Event | Level::Link | Level::Status => check_full,
            _ => check,
        };
        for wire in [0, 1, 2, 5] {
            for &(number, right) in fields {
                let items = items + usize::from(matches!((level, number), (Level::ScopeGroup, 2)));
                check(level, &field(number, wire), if wire == right { Ok(items) } else { WRONG });
            }
            for unknown in [17, 100, 999, 1001, (1 << 29) - 1] {
                check(level, &field(unknown, wire), Ok(items));
            }
        }
    }
}

// Scenario: values that end early, in the message and inside an inner one whose parent goes on.
// Guarantees: a length never reaches into what follows its message.
#[test]
fn truncated_values_are_refused() {
    check(Level::Request, &[0x0a], TRUNCATED);
    check(Level::Request, &[0x0a, 0x80], TRUNCATED);
    check(Level::Request, &[0x0a, 0x01], BEYOND);
    check(Level::Request, &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f], BEYOND);
    check(Level::Request, &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], BEYOND);
    check(Level::Span, &[0x30], TRUNCATED);
    check(Level::Span, &[0x39, 1, 2, 3, 4, 5, 6, 7], TRUNCATED);
    check(Level::Span, &[0x85, 0x01, 1, 2, 3], TRUNCATED);
    check(Level::Span, &[0x85], TRUNCATED);
    check(Level::Span, &[0x2a, 5, b'a'], BEYOND);
    // The inner length would fit into the request, but not into the span.
    let mut body = Vec::new();
    put_bytes(&mut body, Tag::len(2), &[0x2a, 4, b'a']);
    put_bytes(&mut body, Tag::len(3), b"more than enough to read from");
    check(Level::ScopeGroup, &body, BEYOND);
}

// Scenario: varints of ten bytes, over-long ones, and tags out of range.
// Guarantees: 2^64-1 is the largest value, ten bytes the longest encoding; padded ones are read; field numbers are 1
// to 2^29-1.
#[test]
fn varints_and_tags_have_limits() {
    let kind = |value: &[u8]| [&[0x30], value].concat();
    check(Level::Span, &kind(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]), Ok(1));
    check(Level::Span, &kind(&[0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00]), Ok(1));
    let long = Err("varint longer than 64 bits");
    check(Level::Span, &kind(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]), long);
    check(Level::Span, &kind(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00]), long);
    check(Level::Span, &kind(&[0xff; 64]), long);
    check(Level::Span, &[0xaa, 0x80, 0x00, 0x01, b'a'], Ok(1));
    check(Level::Span, &[0x2a, 0x81, 0x80, 0x00, b'a'], Ok(1));
    let range = Err("field number out of range");
    check(Level::Span, &[0x00, 0x00], range);
    check(Level::Span, &[0x02, 0x00], range);
    check(Level::Request, &[0x80, 0x80, 0x00], range);
    check(Level::Request, &[0x80, 0x80, 0x80, 0x80, 0x10, 0x00], range);
    check(Level::Request, &[0xff; 32], long);
}

// Scenario: groups, in unknown and in known fields, and the two wire types that protobuf does not use.
// Guarantees: they are refused at the first tag, however deep they go.
#[test]
fn groups_are_refused() {
    for level in [Level::Request, Level::ResourceGroup, Level::Resource, Level::ScopeGroup, Level::Span] {
        check(level, &[0xfb, 0x07, 0xfc, 0x07], GROUP);
        check(level, &[0xfc, 0x07], GROUP);
        check(level, &[0xfe, 0x07], GROUP);
        check(level, &[0xff, 0x07], GROUP);
        check(level, &[0x0b, 0x0c], WRONG);
        check(level, &[0xfb, 0x07].repeat(10_000), GROUP);
    }
}

// Scenario: identifiers of every length up to 20.
// Guarantees: trace ids have 16 bytes or none, span ids 8 or none, as in the Collector.
#[test]
fn identifiers_have_their_length() {
    let id = |field: u8, length: u8| [&[field << 3 | 2, length][..], &vec![1; length.into()]].concat();
    for length in 0..=20 {
        let or = |right: u8, what| if length == 0 || length == right { Ok(1) } else { Err(what) };
        check(Level::Span, &id(1, length), or(16, "trace id is not 16 bytes"));
        check(Level::Span, &id(2, length), or(8, "span id is not 8 bytes"));
        check(Level::Span, &id(4, length), or(8, "parent span id is not 8 bytes"));
        check_full(Level::Link, &id(1, length), or(16, "trace id of a link is not 16 bytes"));
        check_full(Level::Link, &id(2, length), or(8, "span id of a link is not 8 bytes"));
    }
}

// Scenario: strings that are not UTF-8, in each string field.
// Guarantees: the level `Full` refuses them, `Structure` does not look; bytes fields hold anything.
#[test]
fn strings_are_utf8_at_the_full_level() {
    for (level, field) in [
        (Level::ResourceGroup, 3),
        (Level::ScopeGroup, 3),
        (Level::Scope, 1),
        (Level::Scope, 2),
        (Level::Span, 3),
        (Level::Span, 5),
        (Level::Attribute, 1),
        (Level::Value, 1),
        (Level::Event, 2),
        (Level::Link, 3),
        (Level::Status, 2),
    ] {
        let items = usize::from(!matches!(level, Level::ResourceGroup | Level::ScopeGroup | Level::Scope));
        check_full(level, &[field << 3 | 2, 5, b'a', b'b', 0xc3, 0xbc, b'c'], Ok(items));
        check_full(level, &[field << 3 | 2, 3, b'a', b'b', 0xff], NOT_TEXT);
        check_full(level, &[field << 3 | 2, 1, 0xc3], NOT_TEXT);
    }
    check_full(Level::Value, &[0x3a, 1, 0xff], Ok(1));
}

// Scenario: attributes of the shapes that are checked in one sweep, and of shapes that only look like them.
// Guarantees: the short cut refuses and accepts what the full walk would.
#[test]
fn short_cut_agrees_with_the_walk() {
    check_full(Level::Attribute, b"\x0a\x03key\x12\x05\x0a\x03val", Ok(1));
    check_full(Level::Attribute, b"\x0a\x03key\x12\x02\x18\x07", Ok(1));
    check_full(Level::Attribute, b"\x0a\x03key\x12\x03\x18\x96\x01", Ok(1));
    check_full(Level::Attribute, b"\x0a\x03key\x12\x02\x10\x01", Ok(1));
    check_full(Level::Attribute, b"\x0a\x00\x12\x02\x0a\x00", Ok(1));
    check_full(Level::Attribute, b"\x0a\x03key\x12\x04\x0a\x03val", Err("length reaches beyond its message"));
    check_full(Level::Attribute, b"\x0a\x03key\x12\x06\x0a\x03val", BEYOND);
    check_full(Level::Attribute, b"\x0a\x03key\x12\x05\x0a\x04val", BEYOND);
    check_full(Level::Attribute, b"\x0a\x03ke\xff\x12\x05\x0a\x03val", NOT_TEXT);
    check_full(Level::Attribute, b"\x0a\x03ke\xff\x12\x02\x18\x07", NOT_TEXT);
    check_full(Level::Attribute, b"\x0a\x03key\x12\x02\x18\x80", TRUNCATED);
    check_full(Level::Attribute, b"\x0a\x03key\x12\x01\x18", TRUNCATED);
    check_full(Level::Attribute, b"\x0a\x03key\x12\x03\x18\x07\x18", TRUNCATED);
    check_full(Level::Attribute, b"\x0a\x03key\x12\x04\x18\x07\x18\x08", Ok(1));
    // A key length of two bytes, 16,257, whose first byte taken alone would fit.
    let long_key = [&[0x0a, 0x81, 0x7f][..], &[b'k'; 128], b"\x12\x02\x18\x07"].concat();
    check_full(Level::Attribute, &long_key, BEYOND);
    check_full(Level::Attribute, b"\x0a\x83\x00key\x12\x02\x18\x07", Ok(1));
}

/// An attribute value of arrays or of lists inside each other.
fn nested(depth: usize, field: u32) -> Vec<u8> {
    (0..depth).fold(vec![0x10, 1], |inner, _| {
        let mut value = Vec::new();
        put_message(&mut value, Tag::len(field), |list| {
            put_message(list, Tag::len(1), |element| match field {
                5 => element.extend_from_slice(&inner),
                _ => put_bytes(element, Tag::len(2), &inner),
            });
        });
        value
    })
}

// Scenario: attribute values nested up to 10,000 deep.
// Guarantees: the level `Full` stops within the 100 messages that protobuf implementations allow, so the stack has a
// limit; `Structure` does not descend at all.
#[test]
fn nesting_has_a_limit() {
    let deep = Err("attribute value is nested too deeply");
    check_full(Level::Value, &nested(46, 5), Ok(1));
    check_full(Level::Value, &nested(47, 5), deep);
    check_full(Level::Value, &nested(31, 6), Ok(1));
    check_full(Level::Value, &nested(32, 6), deep);
    check_full(Level::Value, &nested(10_000, 5), deep);
}

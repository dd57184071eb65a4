//! Logs: the keys of records, and what is accepted and refused in one.

use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::{AnyValue, ArrayValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
};
use prost::Message;

use super::keys::{
    attributes, check, compatible, key_values, or_drop, or_fixed, or_resource, resource, routes, scope,
    string,
};
use crate::{
    model::{
        Signal,
        settings::{Key, Validation},
    },
    otlp::{
        Splitter,
        wire::{Tag, put_bytes, put_fixed32, put_fixed64, put_uint},
    },
};

/// Groups of one scope each: (resource, scope, records).
type Group<'a> = (&'a [(&'a str, Value)], &'a [(&'a str, Value)], Vec<LogRecord>);

fn group((resource, scope, log_records): Group<'_>) -> ResourceLogs {
    let scope_logs = vec![ScopeLogs { scope: self::scope(scope), log_records, ..ScopeLogs::default() }];
    ResourceLogs { resource: self::resource(resource), scope_logs, ..ResourceLogs::default() }
}

fn request<const N: usize>(groups: [Group<'_>; N]) -> Vec<u8> {
    let resource_logs = groups.into_iter().map(group).collect();
    ExportLogsServiceRequest { resource_logs }.encode_to_vec()
}

/// A record of that name; of no trace if `trace` is 0.
fn record(name: &str, trace: u8, attributes: &[(&str, Value)]) -> LogRecord {
    let trace_id = if trace == 0 { Vec::new() } else { vec![trace; 16] };
    LogRecord {
        event_name: name.into(),
        trace_id,
        attributes: key_values(attributes),
        ..LogRecord::default()
    }
}

fn named(name: &str) -> Vec<LogRecord> {
    vec![record(name, 0, &[])]
}

#[test]
fn service() {
    // Scenario: resources with a service name, with one that is empty, with a number, with two names, and without any.
    // Guarantees: the bare text of the first name is the key, everything else has the empty key; our own policies
    // treat all of those as missing.
    let payload = request([
        (
            &[("a", string("?")), ("service.name", string("shop"))],
            &[("service.name", string("?"))],
            named("1"),
        ),
        (&[("service.name", string(""))], &[], named("2")),
        (&[("service.name", Value::IntValue(7))], &[], named("3")),
        (&[("service.name", string("b\u{e9}")), ("service.name", string("shop"))], &[], named("4")),
        (&[("service.names", string("shop"))], &[], named("5")),
        (&[], &[], vec![]),
        (&[("service.name", string("shop"))], &[], named("6")),
    ]);
    let check =
        |key, expect: &[(&str, &[&str])], dropped| check(Signal::Logs, &payload, &key, expect, dropped);
    let shop: (&str, &[&str]) = ("shop", &["1", "6"]);
    let other: (&str, &[&str]) = (r"b\xc3\xa9", &["4"]);
    check(compatible(Key::ServiceName), &[shop, ("", &["2", "3", "5"]), other], 0);
    check(or_fixed(Key::ServiceName), &[shop, ("fixed", &["2", "3", "5"]), other], 0);
    check(or_drop(Key::ServiceName), &[shop, other], 3);
}

#[test]
fn resources() {
    // Scenario: equal resources in another order, and others.
    // Guarantees: the identity of the resource is the key; as fallback of a missing service name too.
    let payload = request([
        (&[("resource_key", string("foo"))], &[], named("1")),
        (&[("resource_key", string("bar"))], &[], named("2")),
        (&[("resource_key", string("foo"))], &[("scoped", string("x"))], named("3")),
        (&[], &[], named("4")),
        (&[("a", string("1")), ("b", Value::BoolValue(true))], &[], named("5")),
        (&[("b", Value::BoolValue(true)), ("a", string("1"))], &[], named("6")),
    ]);
    let keys = routes(Signal::Logs, &payload, &compatible(Key::Resource), Validation::Full).0;
    assert_eq!(keys.len(), 4);
    assert_eq!(keys[0], ("resource/99d9e3f8e25dd8f6".into(), vec!["1".into(), "3".into()]));
    assert_eq!(keys[1].0, "resource/561be85f9d0f9beb");
    assert_eq!(keys[2], ("resource/88201fb960ff6465".into(), vec!["4".into()]));
    assert_eq!(keys[3].1, ["5", "6"]);
    for fallback in [Key::ServiceName, Key::TraceId, Key::TraceIdHex, attributes(&["none"])] {
        assert_eq!(routes(Signal::Logs, &payload, &or_resource(fallback), Validation::Full).0, keys);
    }
}

#[test]
fn trace_ids() {
    // Scenario: records of two traces in two scope groups.
    // Guarantees: 32 lower-case digits are the key, or the 16 bytes where that is configured.
    let records = |names: [&str; 3]| {
        vec![record(names[0], 0xab, &[]), record(names[1], 0x07, &[]), record(names[2], 0xab, &[])]
    };
    let payload = request([
        (&[], &[], records(["1", "2", "3"])),
        (&[], &[("s", string("x"))], records(["4", "5", "6"])),
    ]);
    let (one, two): (&[&str], &[&str]) = (&["1", "3", "4", "6"], &["2", "5"]);
    let hex = [("abababababababababababababababab", one), ("07070707070707070707070707070707", two)];
    let (ab, seven) = (r"\xab".repeat(16), r"\x07".repeat(16));
    let raw = [(ab.as_str(), one), (seven.as_str(), two)];
    for key in [compatible, or_fixed, or_resource, or_drop] {
        check(Signal::Logs, &payload, &key(Key::TraceIdHex), &hex, 0);
        check(Signal::Logs, &payload, &key(Key::TraceId), &raw, 0);
    }
}

#[test]
fn records_without_trace() {
    // Scenario: records without trace id and with one of zeros, next to each other, in two resources.
    // Guarantees: each has a random key of its own that ends in twelve zero bytes; a policy puts them together or drops
    // them.
    let zeros = LogRecord { trace_id: vec![0; 16], ..record("2", 0, &[]) };
    let payload = request([
        (&[], &[], vec![record("1", 0, &[]), zeros, record("3", 9, &[]), record("4", 0, &[])]),
        (&[("r", string("x"))], &[], named("5")),
    ]);
    for (key, digits) in [(Key::TraceIdHex, "0".repeat(24)), (Key::TraceId, r"\x00".repeat(12))] {
        let (keys, dropped) = routes(Signal::Logs, &payload, &compatible(key), Validation::Structure);
        assert_eq!((keys.len(), dropped), (5, 0));
        for (key, items) in &keys {
            assert_eq!(items.len(), 1);
            assert!(items == &["3"] || key.ends_with(&digits), "{key}");
        }
    }
    let nine = "09".repeat(16);
    check(
        Signal::Logs,
        &payload,
        &or_fixed(Key::TraceIdHex),
        &[("fixed", &["1", "2", "4", "5"]), (&nine, &["3"])],
        0,
    );
    check(Signal::Logs, &payload, &or_drop(Key::TraceIdHex), &[(&nine, &["3"])], 4);
    let (keys, _) = routes(Signal::Logs, &payload, &or_resource(Key::TraceIdHex), Validation::Full);
    assert_eq!(keys.iter().map(|(_, items)| items.join("")).collect::<Vec<_>>(), ["124", "3", "5"]);
}

#[test]
fn seeds() {
    // Scenario: records without trace id, split by splitters of equal and of different seeds.
    // Guarantees: random keys follow from the seed alone.
    let payload = request([(&[], &[], vec![record("1", 0, &[]), record("2", 0, &[])])]);
    let keys = |seed| {
        let mut keys = Vec::new();
        let mut splitter = Splitter::new(seed);
        let slot_of = |key: &[u8]| {
            keys.push(key.to_vec());
            0
        };
        splitter
            .plan(Signal::Logs, &payload, &compatible(Key::TraceIdHex), Validation::Full, 1, slot_of)
            .unwrap();
        keys
    };
    assert_eq!(keys(1), keys(1));
    assert_ne!(keys(1), keys(2));
    assert_ne!(keys(1)[0], keys(1)[1]);
}

#[test]
fn attributes_level_by_level() {
    // Scenario: names on resources, scopes and records, also in several places, also nowhere.
    // Guarantees: segments of the resource come first, then of the scope, then of the record; a level that has a name hides
    // it below; a group whose upper levels have all names goes as one, whatever its records say.
    let own = |name: &str, value: &str| record(name, 0, &[("dp", string(value)), ("dp", string("second"))]);
    let payload = request([
        (&[("res", string("r"))], &[], vec![own("1", "x"), own("2", "y"), record("3", 0, &[])]),
        (&[("res", string("r"))], &[("dp", string("s"))], vec![own("4", "x"), own("5", "y")]),
        (&[("res", Value::IntValue(7)), ("dp", string("x"))], &[("dp", string("s"))], vec![own("6", "z")]),
        (&[], &[("dp", string("s"))], vec![record("7", 0, &[("res", string("own"))])]),
        (&[("res", string("r"))], &[], vec![own("8", "x")]),
    ]);
    let key = attributes(&["dp", "res"]);
    check(
        Signal::Logs,
        &payload,
        &compatible(key),
        &[
            ("res=r|dp=x|", &["1", "8"]),
            ("res=r|dp=y|", &["2"]),
            ("res=r|dp=|", &["3"]),
            ("res=r|dp=s|", &["4", "5"]),
            ("dp=x|res=7|", &["6"]),
            ("dp=s|res=own|", &["7"]),
        ],
        0,
    );
}

#[test]
fn attributes_that_are_missing() {
    // Scenario: records of which some have none of the names, some have one with an empty value.
    // Guarantees: the Collector's key has empty segments for both; our own policies tell them apart.
    let payload = request([
        (
            &[],
            &[],
            vec![
                record("1", 0, &[]),
                record("2", 0, &[("a", string(""))]),
                record("3", 0, &[("b", string("x"))]),
            ],
        ),
        (&[], &[("b", string(""))], named("4")),
    ]);
    let key = || attributes(&["a", "b"]);
    check(
        Signal::Logs,
        &payload,
        &compatible(key()),
        &[("a=|b=|", &["1", "2"]), ("a=|b=x|", &["3"]), ("b=|a=|", &["4"])],
        0,
    );
    let found: [(&str, &[&str]); 3] = [("a=|b=|", &["2"]), ("a=|b=x|", &["3"]), ("b=|a=|", &["4"])];
    check(Signal::Logs, &payload, &or_drop(key()), &found, 1);
    let mut fixed = vec![("fixed", &["1"][..])];
    fixed.extend(found);
    check(Signal::Logs, &payload, &or_fixed(key()), &fixed, 0);
}

#[test]
fn pseudo_attributes() {
    // Scenario: severity and body as names: of records with and without them, with attributes of the same names on records,
    // scope and resource.
    // Guarantees: the field comes before the record's attribute and behind the other levels; it is never missing.
    let names = ["log.severity", "log.body"];
    let body = |value| Some(AnyValue { value: Some(value) });
    let full = |name: &str, value| LogRecord {
        severity_text: "WARN".into(),
        body: body(value),
        ..record(name, 0, &[("log.severity", string("hidden")), ("log.body", string("hidden"))])
    };
    let list =
        Value::ArrayValue(ArrayValue { values: vec![AnyValue { value: Some(Value::DoubleValue(0.5)) }] });
    let payload = request([
        (&[], &[], vec![full("1", string("b|c")), full("2", list.clone()), named("3").remove(0)]),
        (&[("log.body", string("r"))], &[("log.severity", string("s"))], vec![full("4", list)]),
    ]);
    let expect: [(&str, &[&str]); 4] = [
        ("log.severity=WARN|log.body=b|c|", &["1"]),
        ("log.severity=WARN|log.body=[0.5]|", &["2"]),
        ("log.severity=|log.body=|", &["3"]),
        ("log.body=r|log.severity=s|", &["4"]),
    ];
    for key in [compatible, or_drop, or_fixed] {
        check(Signal::Logs, &payload, &key(attributes(&names)), &expect, 0);
    }
}

#[test]
fn groups_behind_their_items() {
    // Scenario: a resource group that writes its scope groups before its resource, and a scope group its records before its
    // scope, as the Collector does; resource, scope, severity and body in two occurrences each.
    // Guarantees: the route knows resource and scope all the same; attributes of both occurrences count, of single fields
    // the last one.
    let field = |number: u32, body: &[u8]| {
        let mut out = Vec::new();
        put_bytes(&mut out, Tag::len(number), body);
        out
    };
    let attribute =
        |name: &str, value: &str| resource(&[(name, string(value))]).unwrap_or_default().encode_to_vec();
    let scope_attribute =
        |name: &str, value: &str| scope(&[(name, string(value))]).unwrap_or_default().encode_to_vec();
    let any_value = |value| AnyValue { value: Some(value) }.encode_to_vec();
    let record = [
        field(3, b"OLD"),
        field(5, &any_value(string("old"))),
        field(12, b"1"),
        field(3, b"NEW"),
        field(5, &any_value(Value::IntValue(1))),
        field(5, &[]),
    ]
    .concat();
    let scope_group =
        [field(2, &record), field(1, &scope_attribute("s", "1")), field(1, &scope_attribute("t", "2"))]
            .concat();
    let group =
        [field(2, &scope_group), field(1, &attribute("r", "3")), field(1, &attribute("q", "4"))].concat();
    let payload = field(1, &group);
    check(
        Signal::Logs,
        &payload,
        &compatible(attributes(&["log.body", "t", "s", "q", "log.severity", "r"])),
        &[("q=4|r=3|t=2|s=1|log.body=1|log.severity=NEW|", &["1"])],
        0,
    );
}

#[test]
fn together() {
    // Scenario: records of many kinds, no key.
    // Guarantees: one part, which is the request.
    let payload = request([
        (&[], &[], vec![record("1", 1, &[]), record("2", 0, &[])]),
        (&[("r", string("x"))], &[], named("3")),
    ]);
    let mut splitter = Splitter::new(0);
    let plan =
        splitter.plan(Signal::Logs, &payload, &compatible(Key::None), Validation::Full, 1, |_| 9).unwrap();
    assert_eq!(plan.parts().collect::<Vec<_>>(), [(0, 3, payload.len())]);
    let mut part = Vec::new();
    plan.append(0, &mut part);
    assert_eq!(part, payload);
}

#[test]
fn keys_of_other_signals() {
    // Scenario: keys that logs do not have.
    // Guarantees: refused, not a panic and not a guess.
    let payload = request([(&[], &[], named("1"))]);
    for key in [Key::ServiceSegment, Key::Metric, Key::Stream] {
        let mut splitter = Splitter::new(0);
        assert!(splitter.plan(Signal::Logs, &payload, &compatible(key), Validation::Full, 1, |_| 0).is_err());
    }
}

/// A request with one record of these bytes.
fn with_record(record: &[u8]) -> Vec<u8> {
    let field = |number, body: &[u8]| {
        let mut out = Vec::new();
        put_bytes(&mut out, Tag::len(number), body);
        out
    };
    field(1, &field(2, &field(2, record)))
}

/// What becomes of a record at the levels `Structure` and `Full`, by each key.
#[track_caller]
fn check_record(record: &[u8], structure: Result<(), &'static str>, full: Result<(), &'static str>) {
    let payload = with_record(record);
    for (validation, expect) in [(Validation::Structure, structure), (Validation::Full, full)] {
        for key in
            [Key::None, Key::TraceId, Key::TraceIdHex, Key::ServiceName, Key::Resource, attributes(&["a"])]
        {
            let mut splitter = Splitter::new(0);
            let key = compatible(key);
            let plan = splitter.plan(Signal::Logs, &payload, &key, validation, 1, |_| 0);
            let plan = plan.map(|plan| assert_eq!(plan.items(), 1)).map_err(|malformed| malformed.what);
            assert_eq!(plan, expect, "{validation:?} {key:?} {record:02x?}");
        }
    }
}

fn field(number: u32, wire: u32) -> Vec<u8> {
    let mut out = Vec::new();
    match wire {
        0 => put_uint(&mut out, Tag::varint(number), 0),
        1 => put_fixed64(&mut out, Tag::fixed64(number), 0),
        2 => put_bytes(&mut out, Tag::len(number), &[]),
        _ => put_fixed32(&mut out, Tag::fixed32(number), 0),
    }
    out
}

#[test]
fn wire_types_of_a_record() {
    // Scenario: every field of a record with each of the four wire types.
    // Guarantees: the schema's is accepted, each other one refused; the reserved number 4 passes with any, as an unknown one.
    let schema = [(1, 1), (2, 0), (3, 2), (5, 2), (6, 2), (7, 0), (8, 5), (9, 2), (10, 2), (11, 1), (12, 2)];
    for wire in [0, 1, 2, 5] {
        for (number, right) in schema {
            let expect = if wire == right { Ok(()) } else { Err("known field has the wrong wire type") };
            check_record(&field(number, wire), expect, expect);
        }
        for unknown in [4, 13, 16, 1000] {
            check_record(&field(unknown, wire), Ok(()), Ok(()));
        }
    }
    check_record(b"\x23\x24", Err("group or unused wire type"), Err("group or unused wire type"));
}

#[test]
fn identifiers_of_a_record() {
    // Scenario: ids of every length up to 20.
    // Guarantees: trace ids have 16 bytes or none, span ids 8 or none, at every level.
    for length in 0..=20 {
        let id = |number| {
            let mut out = Vec::new();
            put_bytes(&mut out, Tag::len(number), &vec![1; length]);
            out
        };
        let or = |right, what| if length == 0 || length == right { Ok(()) } else { Err(what) };
        let (trace, span) = (or(16, "trace id is not 16 bytes"), or(8, "span id is not 8 bytes"));
        check_record(&id(9), trace, trace);
        check_record(&id(10), span, span);
    }
}

#[test]
fn what_the_full_level_adds() {
    // Scenario: texts that are not UTF-8, attributes and bodies that are malformed inside.
    // Guarantees: the level `Full` refuses them; `Structure` does not look.
    let bytes = |number, value: &[u8]| {
        let mut out = Vec::new();
        put_bytes(&mut out, Tag::len(number), value);
        out
    };
    let not_text = Err("string is not UTF-8");
    check_record(&bytes(3, b"\xff"), Ok(()), not_text);
    check_record(&bytes(12, b"\xff"), Ok(()), not_text);
    check_record(&bytes(5, &bytes(1, b"\xff")), Ok(()), not_text);
    check_record(&bytes(5, &bytes(7, b"\xff")), Ok(()), Ok(()));
    check_record(&bytes(5, &field(1, 0)), Ok(()), Err("known field has the wrong wire type"));
    check_record(&bytes(6, &bytes(2, &bytes(1, b"\xff"))), Ok(()), not_text);
    let deep = (0..47).fold(Vec::new(), |inner, _| bytes(5, &bytes(1, &inner)));
    check_record(&bytes(5, &deep), Ok(()), Err("attribute value is nested too deeply"));
}

//! What an attribute is found to be, where senders write fields that no library writes.

use super::build::{double, field, int, messages, resource, string, varint};
use crate::otlp::{
    key::{Value, find},
    wire::{Messages, Reader, field::resource::ATTRIBUTES},
};

/// What is found, in words that can be compared.
fn found(messages: &Messages<'_>, name: &str) -> Result<Option<String>, &'static str> {
    let text = |value: Value<'_>| {
        let mut out = Vec::new();
        value.put_text(&mut out).map(|()| String::from_utf8_lossy(&out).into_owned())
    };
    let found = find(messages, ATTRIBUTES, name.as_bytes()).and_then(|found| found.map(text).transpose());
    found.map_err(|error| error.what)
}

#[track_caller]
fn check(messages: &[&[u8]], name: &str, expect: Option<&str>) {
    assert_eq!(found(&self::messages(messages), name), Ok(expect.map(str::to_owned)));
}

#[track_caller]
fn check_value(any_value: &[u8], expect: &str) {
    let entry = [field(1, "k"), field(2, any_value)].concat();
    check(&[&field(1, entry)], "k", Some(expect));
}

#[test]
fn first_of_a_name() {
    // Scenario: attributes of several names, some repeated, in one message and over two.
    // Guarantees: the first of the name is found, whatever stands behind it.
    let one = resource([("a", int(1)), ("k", string("first")), ("k", string("second")), ("ka", int(2))]);
    let two = resource([("k", string("third")), ("z", string("other"))]);
    check(&[&one], "k", Some("first"));
    check(&[&two, &one], "k", Some("third"));
    check(&[&one, &two], "z", Some("other"));
    check(&[&one, &two], "missing", None);
    check(&[&one], "", None);
    check(&[], "k", None);
}

#[test]
fn fields_of_a_key_value() {
    // Scenario: a `KeyValue` without name, without value, with several of each, in any order, with a string-table index.
    // Guarantees: the last name and the last value that is set count; an index is not resolved.
    check(&[&field(1, field(2, field(1, "x")))], "", Some("x"));
    check(&[&field(1, field(1, "k"))], "k", Some(""));
    check(&[&field(1, "")], "", Some(""));
    let names = [field(1, "old"), field(2, field(1, "x")), field(1, "k")].concat();
    check(&[&field(1, &names)], "k", Some("x"));
    check(&[&field(1, &names)], "old", None);
    let values = [field(2, field(1, "x")), field(2, varint(3, 7)), field(2, ""), field(1, "k")].concat();
    check(&[&field(1, values)], "k", Some("7"));
    let index = [varint(3, 5), field(2, field(1, "x"))].concat();
    check(&[&field(1, index)], "", Some("x"));
    let unknown = [field(9, "?"), field(1, "k"), varint(100, 1), field(2, field(1, "x"))].concat();
    check(&[&field(1, unknown)], "k", Some("x"));
}

#[test]
fn members_of_a_value() {
    // Scenario: an `AnyValue` with several members of its oneof set, of equal and of different types.
    // Guarantees: the last one counts; lists are not merged; a reference to a string table is an empty value.
    check_value(&[field(1, "x"), varint(3, 7)].concat(), "7");
    check_value(&[varint(3, 7), field(1, "x")].concat(), "x");
    let list = |number| field(5, field(1, varint(3, number)));
    check_value(&[list(1), list(2)].concat(), "[2]");
    check_value(&[list(1), field(6, "")].concat(), "{}");
    check_value(&[field(1, "x"), varint(8, 1)].concat(), "");
    check_value(&varint(2, 2), "true");
    check_value(&varint(2, 0), "false");
    check_value(&varint(3, u64::MAX), "-1");
    check_value(&[varint(3, 7), field(20, "?")].concat(), "7");
}

#[test]
fn only_strings_are_texts() {
    // Scenario: the bare string of values of different types.
    // Guarantees: a string's bytes, nothing for any other type.
    let str = |any_value: &[u8]| Value::read(Reader::new(any_value)).unwrap().str().to_vec();
    assert_eq!(str(&field(1, b"a\xff")), b"a\xff");
    assert_eq!(str(&varint(3, 7)), b"");
    assert_eq!(str(&field(7, "bytes")), b"");
    assert_eq!(str(&varint(8, 1)), b"");
}

#[test]
fn malformed() {
    // Scenario: attributes that end too early or have fields of the wrong wire type, before and behind the one looked for.
    // Guarantees: refused if it is read on the way to the attribute; what follows is the affair of whoever walks it.
    let good = resource([("k", double(1.0))]);
    let bad = field(1, [field(1, "b"), varint(2, 1)].concat());
    assert_eq!(found(&messages(&[&bad, &good]), "k"), Err("known field has the wrong wire type"));
    check(&[&good, &bad], "k", Some("1"));
    let wrong_type = field(1, [field(1, "k"), field(2, field(3, "x"))].concat());
    assert_eq!(found(&messages(&[&wrong_type]), "k"), Err("known field has the wrong wire type"));
    check(&[&wrong_type], "other", None);
    for end in 0..good.len() {
        let cut = &good[..end];
        assert_eq!(found(&messages(&[cut]), "k").is_err(), end > 0, "cut at {end}");
    }
    assert_eq!(found(&messages(&[b"\x0b"]), "k"), Err("group or unused wire type"));
}

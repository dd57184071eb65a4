//! Texts and hashes of generated values, made with the Collector's own code (`tests/golden/keys`).

use base64::{Engine, engine::general_purpose::STANDARD};

use super::build::messages;
use crate::otlp::{
    key::{MapHasher, Value, to_field},
    wire::{Reader, Tag, field::resource::ATTRIBUTES},
};

/// Bytes of hex digits.
fn unhex(digits: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}

/// The first message of that field.
fn inside(mut message: Reader<'_>, field: u32) -> Reader<'_> {
    assert!(to_field(&mut message, Tag::len(field)).unwrap());
    message.message().unwrap()
}

#[test]
fn texts_and_hashes() {
    // Scenario: 400 requests of every type of value, nested, with repeated and unsorted names, broken UTF-8, and
    // doubles at every edge.
    // Guarantees: the text of the record's body and the hash of the resource are those of pdata and pkg/pdatautil.
    let mut maps = MapHasher::default();
    let vectors = include_str!("../../../../tests/golden/keys/vectors.txt");
    for (line, vector) in (1..).zip(vectors.lines()) {
        let [request, text, hash] = vector.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let request = unhex(request);
        let group = inside(Reader::new(&request), 1);
        let body = inside(inside(inside(group, 2), 2), 5);
        let mut out = Vec::new();
        Value::read(body).unwrap().put_text(&mut out).unwrap();
        let expect = STANDARD.decode(text.trim_end_matches('.')).unwrap();
        assert_eq!(out.escape_ascii().to_string(), expect.escape_ascii().to_string(), "line {line}");
        let attributes = maps.hash(&messages(&[inside(group, 1).rest()]), ATTRIBUTES).unwrap();
        assert_eq!(attributes[..], unhex(hash), "line {line}");
    }
    assert_eq!(vectors.lines().count(), 400);
}

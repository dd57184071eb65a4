//! Texts of values, as `pcommon.Value.AsString` of pdata v1.67.0 gives them.

use opentelemetry_proto::tonic::common::v1::AnyValue;
use prost::Message;

use super::build::{EMPTY, bool, bytes, double, field, int, map, nested, slice, string};
use crate::otlp::{
    key::{Value, put_segment},
    wire::Reader,
};

fn text(any_value: &[u8]) -> Result<String, &'static str> {
    let mut out = b"before ".to_vec();
    let value = Value::read(Reader::new(any_value)).map_err(|error| error.what)?;
    value.put_text(&mut out).map_err(|error| error.what)?;
    Ok(String::from_utf8(out.split_off(7)).expect("the tests' texts are UTF-8"))
}

#[track_caller]
fn check(value: AnyValue, expect: &str) {
    assert_eq!(text(&value.encode_to_vec()).as_deref(), Ok(expect));
}

#[test]
fn plain_values() {
    // Scenario: a value of each plain type.
    // Guarantees: strings as they are, numbers in decimal, bytes as padded base64, nothing for an empty value.
    check(string("foo"), "foo");
    check(string("a=b|c\"d\\e\n<&>é\u{2028}"), "a=b|c\"d\\e\n<&>é\u{2028}");
    check(string(""), "");
    check(int(42), "42");
    check(int(i64::MIN), "-9223372036854775808");
    check(int(i64::MAX), "9223372036854775807");
    check(bool(true), "true");
    check(bool(false), "false");
    check(bytes(&[1, 255]), "Af8=");
    check(bytes(&[0xfb, 0xff, 0xbf]), "+/+/");
    check(bytes(&[]), "");
    check(EMPTY, "");
}

#[test]
fn doubles() {
    // Scenario: doubles around every border of the ECMAScript rules.
    // Guarantees: shortest digits; plain from 1e-6 to below 1e21, else an exponent without padding; names for the rest.
    check(double(3.5), "3.5");
    check(double(3.0), "3");
    check(double(0.0), "0");
    check(double(-0.0), "-0");
    check(double(0.1 + 0.2), "0.30000000000000004");
    check(double(1e-6), "0.000001");
    check(double(9.999_999e-7), "9.999999e-7");
    check(double(-1e-7), "-1e-7");
    check(double(1.5e-10), "1.5e-10");
    check(double(1e20), "100000000000000000000");
    check(double(123_456_789_012_345_680_000.0), "123456789012345680000");
    check(double(1e21), "1e+21");
    check(double(-1.25e21), "-1.25e+21");
    check(double(f64::MAX), "1.7976931348623157e+308");
    check(double(f64::from_bits(1)), "5e-324");
    check(double(2.2250738585072014e-308), "2.2250738585072014e-308");
    check(double(9_007_199_254_740_993.0), "9007199254740992");
    check(double(5e-7), "5e-7");
    check(double(0.5), "0.5");
    check(double(0.001), "0.001");
    check(double(1e16), "10000000000000000");
    check(double(0.000_012_5), "0.0000125");
    // Between two shortest forms that are equally close.
    check(double(712_059_019_011_557.0 + 0.25), "712059019011557.2");
    check(double(712_059_019_011_557.0 + 0.75), "712059019011557.8");
    check(double(-2_094_253_418_487_905.0 - 0.25), "-2094253418487905.2");
    check(double(f64::NAN), "NaN");
    check(double(f64::INFINITY), "Infinity");
    check(double(f64::NEG_INFINITY), "-Infinity");
}

#[test]
fn structured_values() {
    // Scenario: maps and slices of every type, nested.
    // Guarantees: compact JSON, keys in bytewise order, empty values and empty bytes as null.
    check(map([("b", int(2)), ("a", string("x"))]), r#"{"a":"x","b":2}"#);
    check(slice([int(1), string("x"), bool(false)]), r#"[1,"x",false]"#);
    check(map([]), "{}");
    check(slice([]), "[]");
    check(slice([EMPTY, bytes(&[]), bytes(&[1, 255]), string("")]), r#"[null,null,"Af8=",""]"#);
    check(slice([double(1.0), double(-0.0), double(1e21), double(1e-7), int(-5)]), "[1,-0,1e+21,1e-7,-5]");
    check(
        map([("z", slice([map([("y", map([]))]), slice([])])), ("é", int(1)), ("Z", int(2)), ("", int(3))]),
        r#"{"":3,"Z":2,"z":[{"y":{}},[]],"é":1}"#,
    );
}

#[test]
fn repeated_keys_of_maps() {
    // Scenario: maps in which a key occurs several times, at the edges and in the middle.
    // Guarantees: the last value stands in the JSON, once.
    check(map([("x", string("1")), ("x", string("2"))]), r#"{"x":"2"}"#);
    check(
        map([
            ("b", int(1)),
            ("a", int(2)),
            ("b", int(3)),
            ("c", int(4)),
            ("a", int(5)),
            ("b", map([("b", int(6)), ("b", int(7))])),
        ]),
        r#"{"a":5,"b":{"b":7},"c":4}"#,
    );
}

#[test]
fn escapes() {
    // Scenario: strings inside a slice with each character that JSON or Go treats specially.
    // Guarantees: the escapes of `encoding/json` with HTML escapes off; everything else as it is.
    check(slice([string("\"\\/\u{8}\u{c}\n\r\t")]), r#"["\"\\/\b\f\n\r\t"]"#);
    check(slice([string("\0\u{1}\u{b}\u{1f}\u{7f}")]), "[\"\\u0000\\u0001\\u000b\\u001f\u{7f}\"]");
    check(slice([string("\u{2027}\u{2028}\u{2029}\u{202a}")]), "[\"\u{2027}\\u2028\\u2029\u{202a}\"]");
    check(slice([string("<>&é😀\u{fffd}")]), "[\"<>&é😀\u{fffd}\"]");
    check(map([("k\"\n", int(1))]), r#"{"k\"\n":1}"#);
}

#[test]
fn strings_that_are_not_utf8() {
    // Scenario: broken UTF-8 in a plain string, and in strings and keys inside a map.
    // Guarantees: the plain string is kept byte for byte; in JSON every broken byte is one escape.
    let broken = b"a\xffb\xe2\x82c\xed\xa0\x80\xf0\x9f\x98";
    let mut out = Vec::new();
    let plain = field(1, broken);
    put_segment(&mut out, "k", Some(&Value::read(Reader::new(&plain)).unwrap())).unwrap();
    assert_eq!(out, b"k=a\xffb\xe2\x82c\xed\xa0\x80\xf0\x9f\x98|");

    let entry = [field(1, b"k\xff"), field(2, &plain)].concat();
    let json = text(&field(6, field(1, entry)));
    let escaped = r#"{"k\ufffd":"a\ufffdb\ufffd\ufffdc\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd"}"#;
    assert_eq!(json.as_deref(), Ok(escaped));
}

#[test]
fn numbers_that_json_has_no_word_for() {
    // Scenario: a NaN or an infinity deep inside a map or slice.
    // Guarantees: the whole text is empty, and what stands before it in the buffer stays.
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        check(slice([int(1), double(number), string("x")]), "");
        check(map([("a", int(1)), ("b", slice([map([("c", double(number))])]))]), "");
    }
    // A replaced value does not count.
    check(map([("a", double(f64::NAN)), ("a", int(1))]), r#"{"a":1}"#);
}

#[test]
fn depth() {
    // Scenario: maps and slices nested as deeply as the level `Full` allows, and one level deeper.
    // Guarantees: the former have a text, the latter are malformed; no stack is used up.
    let too_deep = Err("attribute value is nested too deeply");
    let in_slice = |value| slice([value]);
    let in_map = |value| map([("", value)]);
    assert_eq!(text(&nested(46, in_slice).encode_to_vec()).map(|text| text.len()), Ok(93));
    assert_eq!(text(&nested(47, in_slice).encode_to_vec()), too_deep);
    assert_eq!(text(&nested(31, in_map).encode_to_vec()).map(|text| text.len()), Ok(156));
    assert_eq!(text(&nested(32, in_map).encode_to_vec()), too_deep);
}

#[test]
fn segments() {
    // Scenario: the attribute keys that the exporter's own tests fix.
    // Guarantees: `name=text|`, without escapes; a missing attribute like an empty one.
    fn check(values: &[(&str, Option<AnyValue>)], expect: &str) {
        let mut out = Vec::new();
        for (name, value) in values {
            let bytes = value.as_ref().map(Message::encode_to_vec);
            let value = bytes.as_ref().map(|bytes| Value::read(Reader::new(bytes)).unwrap());
            put_segment(&mut out, name, value.as_ref()).unwrap();
        }
        assert_eq!(str::from_utf8(&out), Ok(expect));
    }
    check(&[("a", Some(string("foo"))), ("b", Some(string("bar")))], "a=foo|b=bar|");
    check(&[("a", Some(string("foob"))), ("b", Some(string("ar")))], "a=foob|b=ar|");
    check(
        &[("resource_key", Some(string("res1"))), ("missing", None), ("aaa", Some(string("dp1")))],
        "resource_key=res1|missing=|aaa=dp1|",
    );
    check(&[("shard", Some(int(1)))], "shard=1|");
    check(&[("k", Some(double(3.5)))], "k=3.5|");
    check(&[("k", Some(EMPTY))], "k=|");
    check(&[("k", Some(map([("b", int(2)), ("a", string("x"))])))], r#"k={"a":"x","b":2}|"#);
    check(&[("k=|", Some(string("|="))), ("k=|", None)], "k=|=|=|k=|=|");
}

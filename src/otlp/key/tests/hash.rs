//! Map hashes and identities: vectors that contrib's own tests fix, and others made with its code at v0.161.0.

use opentelemetry_proto::tonic::common::v1::AnyValue;

use super::build::{EMPTY, bool, bytes, double, field, int, map, messages, nested, resource, slice, string};
use crate::otlp::{
    key::{MapHasher, StreamId, put_resource},
    wire::{Malformed, field::resource::ATTRIBUTES},
};

fn hash(parts: &[&[u8]]) -> Result<[u8; 16], Malformed> {
    MapHasher::default().hash(&messages(parts), ATTRIBUTES)
}

fn identity(attributes: [u8; 16]) -> String {
    let mut out = Vec::new();
    put_resource(&mut out, attributes);
    String::from_utf8(out).unwrap()
}

fn hex(hash: [u8; 16]) -> String {
    hash.map(|byte| format!("{byte:02x}")).concat()
}

#[track_caller]
fn check<'s>(attributes: impl IntoIterator<Item = (&'s str, AnyValue)>, expect: &str) {
    assert_eq!(hash(&[&resource(attributes)]).map(identity).as_deref(), Ok(expect));
}

#[test]
fn resources() {
    // Scenario: resources whose identities contrib's tests or its code give.
    // Guarantees: the same texts, without zero padding.
    check([("resource_key", string("foo"))], "resource/99d9e3f8e25dd8f6");
    check([("resource_key", string("bar"))], "resource/561be85f9d0f9beb");
    check([], "resource/88201fb960ff6465");
    check([("k", string("7"))], "resource/8d4b7afd2c00f8f");
    check([("k", string("9"))], "resource/3c54105c2694a7");
    assert_eq!(hash(&[]).map(identity).as_deref(), Ok("resource/88201fb960ff6465"));
}

#[test]
fn intermediate_hashes() {
    // Scenario: the map hash itself.
    // Guarantees: both halves, in their order; zeros without attributes.
    let of = |value| hash(&[&resource([("resource_key", string(value))])]).map(hex);
    assert_eq!(of("foo").as_deref(), Ok("6f7c944d45e0627009d742c7e756b694"));
    assert_eq!(of("bar").as_deref(), Ok("794ec02ee1cc1755b44c096f246516d9"));
    assert_eq!(hash(&[&resource([])]), Ok([0; 16]));
}

/// One attribute of each type.
fn mixed() -> Vec<(&'static str, AnyValue)> {
    vec![
        ("b", bool(true)),
        ("f", bool(false)),
        ("i", int(42)),
        ("n", int(-1)),
        ("d", double(1.5)),
        ("s", string("x")),
        ("e", EMPTY),
        ("y", bytes(&[1, 255])),
        ("m", map([("k1", int(1)), ("k2", string("v"))])),
        ("l", slice([int(1), string("x"), bool(false)])),
        ("z", string("")),
    ]
}

#[test]
fn every_type() {
    // Scenario: a resource with an attribute of each type, in several orders and spread over two messages.
    // Guarantees: the hash of contrib's code, whatever the order, with a hasher that is used again.
    let expect = "8b83d57f74791c4d4a172f7bbb15d472";
    check(mixed(), "resource/c320ef8b1a5accc4");
    let mut hasher = MapHasher::default();
    for turn in 0..mixed().len() {
        let mut attributes = mixed();
        attributes.rotate_left(turn);
        let whole = resource(attributes.clone());
        let rest = attributes.split_off(turn);
        let (first, second) = (resource(attributes), resource(rest));
        for parts in [&[&whole[..]][..], &[&first, &second], &[&second, &[], &first]] {
            let hash = hasher.hash(&messages(parts), ATTRIBUTES).map(hex);
            assert_eq!(hash.as_deref(), Ok(expect), "turned by {turn}");
        }
    }
}

#[test]
fn repeated_names() {
    // Scenario: names that occur twice, at the top and inside a map.
    // Guarantees: as contrib's code has it: each occurrence counts, with the first value.
    let twice = |k: [&str; 2], x: [&str; 2]| {
        resource([
            ("k", string(k[0])),
            ("k", string(k[1])),
            ("m", map([("x", string(x[0])), ("x", string(x[1]))])),
        ])
    };
    let expect = hash(&[&twice(["a", "b"], ["1", "2"])]);
    assert_eq!(expect.clone().map(identity).as_deref(), Ok("resource/741ee5d4aaf74c1a"));
    assert_eq!(hash(&[&twice(["a", "other"], ["1", "other"])]), expect);
    assert_ne!(hash(&[&twice(["b", "a"], ["1", "2"])]), expect);
    assert_ne!(hash(&[&twice(["a", "b"], ["2", "1"])]), expect);
    assert_ne!(hash(&[&resource([("k", string("a")), ("m", map([("x", string("1"))]))])]), expect);
}

#[test]
fn long_attributes() {
    // Scenario: attributes that are longer than a block of the canonical form, alone and together.
    // Guarantees: the hash does not depend on where blocks end.
    let long = "x".repeat(20_000);
    let many: Vec<String> = (0..5000).map(|number| format!("{number:05}")).collect();
    let check = |attributes: Vec<(&str, AnyValue)>, text: &[u8]| {
        use std::hash::Hasher;
        let mut whole = twox_hash::XxHash64::with_seed(0);
        whole.write(text);
        let hash = hash(&[&resource(attributes)]).unwrap();
        assert_eq!(hash[..8], whole.finish().to_le_bytes());
        whole.write(b"\xf3");
        assert_eq!(hash[8..], whole.finish().to_le_bytes());
    };
    check(vec![("k", string(&long))], &[b"\xf4k\xf7", long.as_bytes()].concat());
    let entries = many.iter().map(|name| (name.as_str(), int(1))).collect();
    let text = many.iter().flat_map(|name| [b"\xf4", name.as_bytes(), b"\xfa\x01\0\0\0\0\0\0\0"].concat());
    check(entries, &text.collect::<Vec<_>>());
}

#[test]
fn hostile_attributes() {
    // Scenario: values nested too deeply, and a map of repeated names in a map of repeated names, thirty deep.
    // Guarantees: refused in bounded time; a map as deep as the level `Full` allows is not.
    let what = |value: AnyValue| hash(&[&resource([("k", value)])]).map_err(|error| error.what);
    let in_slice = |value| slice([value]);
    let twice = |value| map([("", value), ("", EMPTY)]);
    assert!(what(nested(46, in_slice)).is_ok());
    assert_eq!(what(nested(47, in_slice)), Err("attribute value is nested too deeply"));
    assert!(what(nested(31, |value| map([("", value)]))).is_ok());
    assert_eq!(what(nested(32, |value| map([("", value)]))), Err("attribute value is nested too deeply"));
    assert_eq!(what(nested(31, twice)), Err("attributes repeat their names too often"));
}

#[test]
fn malformed() {
    // Scenario: a resource cut off at every byte, and one with a value of the wrong wire type.
    // Guarantees: refused, unless what is left is a whole number of fields.
    let whole = resource(mixed());
    let ends: Vec<usize> = (0..=mixed().len()).map(|n| resource(mixed().into_iter().take(n)).len()).collect();
    for end in 0..whole.len() {
        assert_eq!(hash(&[&whole[..end]]).is_ok(), ends.contains(&end), "cut at {end}");
    }
    let wrong = field(1, [field(1, "k"), field(2, field(3, "x"))].concat());
    assert_eq!(hash(&[&wrong]).unwrap_err().what, "known field has the wrong wire type");
}

/// What the identity of a stream is made of.
struct Stream {
    scoped: bool,
    name: &'static str,
    unit: &'static str,
    kind: u8,
    monotonic: bool,
    temporality: u8,
    point: Option<(&'static str, &'static str)>,
}

impl Stream {
    #[track_caller]
    fn check(&self, expect: &str) {
        let attributes = |name, value| hash(&[&resource([(name, string(value))])]).unwrap();
        let scope = if self.scoped {
            let (resource, scope) = (attributes("resource_key", "foo"), attributes("scope_key", "foo"));
            StreamId::of_scope(resource, b"MyTestInstrument", b"1.2.3", scope)
        } else {
            StreamId::of_scope([0; 16], b"", b"", [0; 16])
        };
        let Self { name, unit, kind, monotonic, temporality, .. } = *self;
        let metric = scope.of_metric(name.as_bytes(), unit.as_bytes(), kind, monotonic, temporality);
        let mut out = Vec::new();
        metric.put(self.point.map_or([0; 16], |(name, value)| attributes(name, value)), &mut out);
        assert_eq!(str::from_utf8(&out), Ok(expect));
    }
}

#[test]
fn streams() {
    // Scenario: the two data points of the exporter's own test.
    // Guarantees: their stream identities.
    let stream = |point| Stream {
        scoped: true,
        name: "cumulative.monotonic.sum",
        unit: "",
        kind: 2,
        monotonic: true,
        temporality: 2,
        point: Some(point),
    };
    stream(("aaa", "bbb")).check("stream/c7006b564eec22c9");
    stream(("bbb", "ccc")).check("stream/e2d32621d2dcda0f");
}

#[test]
fn streams_of_every_type() {
    // Scenario: a metric of each type, with attributes at every level and without any.
    // Guarantees: the identities of contrib's code.
    let check = |kind, monotonic, temporality, full, bare| {
        let mut stream = Stream {
            scoped: true,
            name: "m.name",
            unit: "By",
            kind,
            monotonic,
            temporality,
            point: Some(("aaa", "bbb")),
        };
        stream.check(full);
        (stream.scoped, stream.point) = (false, None);
        stream.check(bare);
    };
    check(1, false, 0, "stream/849d4f29f8baf540", "stream/c69b0c79cca7f973");
    check(2, true, 2, "stream/d3f4e2f62ec70f82", "stream/7035d892d8b9d2d");
    check(2, false, 1, "stream/d4c2de6a226703ae", "stream/e82d276fcd4ee151");
    check(3, true, 1, "stream/8e4b2ae7956d8820", "stream/eae90c4c6db90d53");
    check(4, true, 2, "stream/7cc8f0947a6d4f2c", "stream/711bfba2a1c82637");
    check(5, false, 0, "stream/216f87050db02fe4", "stream/118668701be2bf1f");
}

proptest::proptest! {
    // Scenario: up to 16 short texts under few names, as they are usually written and with an unknown field in each.
    // Guarantees: the short cut for the usual form gives the hash that the table gives.
    #[test]
    fn short_cut_agrees_with_the_table(texts in proptest::collection::vec(("[a-d]{0,2}", ".{0,3}"), 0..16)) {
        let written = |more: &[u8]| {
            let attribute = |(name, text): &(String, String)| {
                let value = field(2, field(1, text.as_bytes()));
                field(1, [field(1, name.as_bytes()), value, more.to_vec()].concat())
            };
            texts.iter().flat_map(attribute).collect::<Vec<u8>>()
        };
        proptest::prop_assert_eq!(hash(&[&written(&[])]), hash(&[&written(&field(100, b""))]));
    }
}

//! The oracle of routing against values that were taken from the Collector, and the generator that feeds it.
//!
//! Values without another source come from the tests of contrib v0.161.0: `exporter/loadbalancingexporter` and
//! `internal/exp/metrics/identity`.

use std::collections::BTreeSet;

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value::Value},
    metrics::v1::{ExponentialHistogram, Gauge, Histogram, Metric, Sum, Summary, metric::Data},
};

use self::{
    adversarial::{Generator, ROUTING_ATTRIBUTES},
    oracle::{Key, Missing, Routed, hash, text},
};

#[path = "../support/adversarial.rs"]
mod adversarial;
#[path = "../support/routing.rs"]
mod oracle;

fn attribute(key: &str, value: Option<Value>) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value }), ..KeyValue::default() }
}

fn string(text: &str) -> Option<Value> {
    Some(Value::StringValue(text.to_owned()))
}

fn array(values: impl IntoIterator<Item = Option<Value>>) -> Option<Value> {
    let values = values.into_iter().map(|value| AnyValue { value }).collect();
    Some(Value::ArrayValue(ArrayValue { values }))
}

fn map(values: impl IntoIterator<Item = (&'static str, Option<Value>)>) -> Option<Value> {
    let values = values.into_iter().map(|(key, value)| attribute(key, value)).collect();
    Some(Value::KvlistValue(KeyValueList { values }))
}

// Scenario: XXH64 and FNV-1a of texts of all lengths that take another path.
// Guarantees: they are what the reference implementations say.
#[test]
fn hashes() {
    #[track_caller]
    fn check(bytes: &[u8], xxh64: u64) {
        assert_eq!(hash::xxh64(bytes), xxh64, "{bytes:?}");
    }
    check(b"", 0xef46_db37_51d8_e999);
    check(b"a", 0xd24e_c4f1_a98c_6e5b);
    check(b"123456789", 0x8cb8_41db_40e6_ae83);
    // Source: cespare/xxhash v2.3.0, xxhash_test.go: 63 bytes, so one stripe and every kind of rest.
    check(b"Call me Ishmael. Some years ago--never mind how long precisely-", 0x02a2_e854_70d6_fd96);
    assert_eq!(hash::fnv1a(b""), 0xcbf2_9ce4_8422_2325);
    assert_eq!(hash::fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
}

// Scenario: a value of every type, and texts that JSON has to escape.
// Guarantees: the text is that of `Value.AsString` of Collector pdata v1.67.0.
#[test]
fn texts() {
    #[track_caller]
    fn check(value: Option<Value>, expect: &str) {
        assert_eq!(text::of(&AnyValue { value: value.clone() }), expect, "{value:?}");
    }
    let double = |value| Some(Value::DoubleValue(value));
    let bytes = |value: &[u8]| Some(Value::BytesValue(value.to_vec()));
    check(None, "");
    check(Some(Value::StringValueStrindex(1)), "");
    check(string("a<\u{2028}"), "a<\u{2028}");
    check(Some(Value::BoolValue(true)), "true");
    check(Some(Value::IntValue(i64::MIN)), "-9223372036854775808");
    check(bytes(&[1, 255]), "Af8=");
    check(bytes(&[]), "");

    check(double(3.5), "3.5");
    check(double(3.0), "3");
    check(double(-0.0), "-0");
    check(double(1e-6), "0.000001");
    check(double(1e-7), "1e-7");
    check(double(-1.5e-9), "-1.5e-9");
    check(double(1e20), "100000000000000000000");
    check(double(1e21), "1e+21");
    check(double(5e-324), "5e-324");
    check(double(f64::MAX), "1.7976931348623157e+308");
    check(double(123_456_789_012_345_680_000.0), "123456789012345680000");
    check(double(10.0), "10");
    check(double(0.001), "0.001");
    check(double(123_456.789), "123456.789");
    check(double(2.0_f64.powi(-44)), "5.684341886080802e-14");
    // Halfway between two numbers of 16 digits.
    check(double(2_848_236_076_046_229.0 / 4.0), "712059019011557.2"); // ….25
    check(double(2_848_236_076_046_231.0 / 4.0), "712059019011557.8"); // ….75
    check(double(-8_377_013_673_951_621.0 / 4.0), "-2094253418487905.2"); // ….25
    check(double(f64::NAN), "NaN");
    check(double(f64::NEG_INFINITY), "-Infinity");

    check(map([("b", Some(Value::IntValue(2))), ("a", string("x"))]), r#"{"a":"x","b":2}"#);
    check(array([Some(Value::IntValue(1)), string("x"), Some(Value::BoolValue(false))]), r#"[1,"x",false]"#);
    check(map([]), "{}");
    check(array([]), "[]");
    check(array([bytes(&[]), bytes(&[1, 255]), None, double(-0.0)]), r#"[null,"Af8=",null,-0]"#);
    check(map([("x", string("1")), ("x", string("2"))]), r#"{"x":"2"}"#);
    check(map([("x", double(f64::NAN)), ("x", string("2"))]), r#"{"x":"2"}"#);
    check(array([map([("x", double(f64::INFINITY))])]), "");
    check(
        array([string("\"\\\u{8}\u{c}\n\r\t\u{1}\u{2028}\u{2029}<>&/\u{7f}é")]),
        concat!(r#"["\"\\\b\f\n\r\t\u0001\u2028\u2029<>&/"#, "\u{7f}é\"]"),
    );
}

// Scenario: resources with attributes of every type, and with a key twice.
// Guarantees: their identities are those of `identity.OfResource`; digits are not padded.
#[test]
fn resources() {
    #[track_caller]
    fn check(attributes: &[KeyValue], expect: &str) {
        assert_eq!(hash::resource_identity(attributes), format!("resource/{expect}"), "{attributes:?}");
    }
    check(&[], "88201fb960ff6465");
    check(&[attribute("resource_key", string("foo"))], "99d9e3f8e25dd8f6");
    check(&[attribute("resource_key", string("bar"))], "561be85f9d0f9beb");
    check(&[attribute("k", string("7"))], "8d4b7afd2c00f8f");
    check(&[attribute("k", string("9"))], "3c54105c2694a7");
    check(
        &[
            attribute("b", Some(Value::BoolValue(true))),
            attribute("f", Some(Value::BoolValue(false))),
            attribute("i", Some(Value::IntValue(42))),
            attribute("n", Some(Value::IntValue(-1))),
            attribute("d", Some(Value::DoubleValue(1.5))),
            attribute("s", string("x")),
            attribute("e", None),
            attribute("y", Some(Value::BytesValue(vec![1, 255]))),
            attribute("m", map([("k1", Some(Value::IntValue(1))), ("k2", string("v"))])),
            attribute("l", array([Some(Value::IntValue(1)), string("x"), Some(Value::BoolValue(false))])),
            attribute("z", string("")),
        ],
        "c320ef8b1a5accc4",
    );
    check(
        &[
            attribute("k", string("a")),
            attribute("k", string("b")),
            attribute("m", map([("x", string("1")), ("x", string("2"))])),
        ],
        "741ee5d4aaf74c1a",
    );
}

// Scenario: a metric of every type, with and without resource, scope and attributes.
// Guarantees: the identities of their points are those of `identity.OfStream`.
#[test]
fn streams() {
    let scope = InstrumentationScope {
        name: "MyTestInstrument".to_owned(),
        version: "1.2.3".to_owned(),
        attributes: vec![attribute("scope_key", string("foo"))],
        ..InstrumentationScope::default()
    };
    let resource = [attribute("resource_key", string("foo"))];
    let point = |key, value| [attribute(key, string(value))];
    let sum = |is_monotonic, aggregation_temporality| {
        Data::Sum(Sum { is_monotonic, aggregation_temporality, ..Sum::default() })
    };

    let counter =
        Metric { name: "cumulative.monotonic.sum".to_owned(), data: Some(sum(true, 2)), ..Metric::default() };
    let identity = |point: &[KeyValue]| hash::stream_identity(&resource, Some(&scope), &counter, point);
    assert_eq!(identity(&point("aaa", "bbb")), "stream/c7006b564eec22c9");
    assert_eq!(identity(&point("bbb", "ccc")), "stream/e2d32621d2dcda0f");

    // The rest was computed with the functions of contrib v0.161.0.
    let check = |data: Data, full: &str, bare: &str| {
        let metric = Metric {
            name: "m.name".to_owned(),
            unit: "By".to_owned(),
            description: "no part of it".to_owned(),
            data: Some(data),
            ..Metric::default()
        };
        let point = point("aaa", "bbb");
        assert_eq!(
            hash::stream_identity(&resource, Some(&scope), &metric, &point),
            format!("stream/{full}"),
            "{metric:?}"
        );
        assert_eq!(
            hash::stream_identity(&[], None, &metric, &[]),
            format!("stream/{bare}"),
            "{metric:?} by itself"
        );
    };
    check(Data::Gauge(Gauge::default()), "849d4f29f8baf540", "c69b0c79cca7f973");
    check(sum(true, 2), "d3f4e2f62ec70f82", "7035d892d8b9d2d");
    check(sum(false, 1), "d4c2de6a226703ae", "e82d276fcd4ee151");
    let histogram = Histogram { aggregation_temporality: 1, ..Histogram::default() };
    check(Data::Histogram(histogram), "8e4b2ae7956d8820", "eae90c4c6db90d53");
    let exponential = ExponentialHistogram { aggregation_temporality: 2, ..ExponentialHistogram::default() };
    check(Data::ExponentialHistogram(exponential), "7cc8f0947a6d4f2c", "711bfba2a1c82637");
    check(Data::Summary(Summary::default()), "216f87050db02fe4", "118668701be2bf1f");
}

// Scenario: 2,000 generated items of each signal.
// Guarantees: every key routes every item, and what a key treats specially is there to be treated: random and dropped
// items, metrics without points, and many different keys of every kind.
#[test]
fn what_is_generated_reaches_every_rule() {
    const ITEMS: usize = 2000;
    let mut generator = Generator::new(1);
    let traces: Vec<_> = (0..ITEMS / 50).map(|_| generator.traces(50)).collect();
    let logs: Vec<_> = (0..ITEMS / 50).map(|_| generator.logs(50)).collect();
    let metrics: Vec<_> = (0..ITEMS / 50).map(|_| generator.metrics(50)).collect();

    #[track_caller]
    fn check(key: Key<'_>, routes: impl Iterator<Item = oracle::Routes>, random: bool, dropped: bool) {
        let all: Vec<Routed> = routes.flat_map(oracle::Routes::into_values).collect();
        let different: BTreeSet<&Routed> = all.iter().collect();
        assert!(all.len() >= ITEMS, "{key:?}: {} items", all.len());
        assert!(different.len() > 5, "{key:?}: {} different keys", different.len());
        assert_eq!(different.contains(&Routed::Random), random, "{key:?}");
        assert_eq!(different.contains(&Routed::Dropped), dropped, "{key:?}");
    }
    let missing = Missing::Compatible;
    let lists = ROUTING_ATTRIBUTES.iter().map(|names| Key::Attributes(names));
    for key in [Key::TraceId, Key::ServiceSegment, Key::ServiceName].into_iter().chain(lists.clone()) {
        check(key, traces.iter().map(|request| oracle::traces(request, key, missing)), false, false);
    }
    for key in
        [Key::TraceId, Key::TraceIdHex, Key::ServiceName, Key::Resource].into_iter().chain(lists.clone())
    {
        let random = matches!(key, Key::TraceId | Key::TraceIdHex);
        check(key, logs.iter().map(|request| oracle::logs(request, key, missing)), random, false);
    }
    for key in [Key::ServiceName, Key::Resource, Key::Metric, Key::Stream].into_iter().chain(lists) {
        let dropped = !matches!(key, Key::Resource | Key::Metric);
        check(key, metrics.iter().map(|request| oracle::metrics(request, key, missing)), false, dropped);
    }
}

// Scenario: the same requests under each policy for missing keys.
// Guarantees: the policies differ from the Collector's way, and from each other, in the same items.
#[test]
fn policies_change_missing_keys_only() {
    let mut generator = Generator::new(2);
    for _ in 0..20 {
        let request = generator.logs(50);
        let by = |missing| oracle::logs(&request, Key::TraceIdHex, missing);
        let compatible = by(Missing::Compatible);
        let (resource, fixed, dropped) = (by(Missing::Resource), by(Missing::Fixed("x")), by(Missing::Drop));
        for (number, routed) in compatible {
            let all = [&resource[&number], &fixed[&number], &dropped[&number]];
            if routed == Routed::Random {
                assert!(matches!(all[0], Routed::By(key) if key.starts_with(b"resource/")), "{all:?}");
                assert_eq!(all[1..], [&Routed::By(b"x".to_vec()), &Routed::Dropped]);
            } else {
                assert_eq!(all, [&routed; 3]);
            }
        }
    }
}

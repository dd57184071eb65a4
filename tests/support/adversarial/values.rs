//! Attributes and their values, of every type.

use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, KeyValue, KeyValueList, any_value::Value,
};

use super::{DEPTH, Generator};

/// Names that an attribute of any level may have.
const SHARED_NAMES: &[&str] = &[
    "shared",
    "shared",
    "shared",
    "service.name",
    "span.name",
    "span.kind",
    "log.severity",
    "log.body",
    "",
    "a=b|c",
    "schlüssel",
    "\u{2028}",
    "Shared",
    "shared.",
];

const TEXTS: &[&str] = &[
    "",
    "checkout",
    "shared",
    "a|b",
    "a=b|",
    "|",
    "=",
    "<b>&amp;</b>",
    "\"quoted\\\"",
    "line\nbreak\r\ttab",
    "\0\u{1}\u{8}\u{c}\u{1f}\u{7f}",
    "\u{2028}\u{2029}",
    "\u{feff}\u{fffd}",
    "naïve",
    "nai\u{308}ve",
    "日本語",
    "👩‍👩‍👧",
    "\u{10ffff}",
    "null",
    "true",
    "1",
    "1.0",
    "/",
];

const DOUBLES: &[f64] = &[
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.1,
    3.0,
    1e-6,
    9.999_999_999e-7,
    1e-7,
    -1.5e-9,
    1e20,
    1e21,
    999_999_999_999_999_900_000.0,
    -1e21,
    1.23e-5,
    9_007_199_254_740_993.0,
    f64::MAX,
    f64::MIN,
    f64::MIN_POSITIVE,
    5e-324,
    f64::EPSILON,
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
];

pub(super) const INTEGERS: &[i64] =
    &[0, 1, -1, 127, 128, 255, -128, 1 << 31, 1 << 53, (1 << 53) + 1, i64::MAX, i64::MIN, 42];

impl Generator {
    /// Attributes of one level, whose own name is `own`.
    pub(super) fn attributes(&mut self, own: &str) -> Vec<KeyValue> {
        let mut attributes: Vec<KeyValue> = Vec::new();
        for _ in 0..self.random.usize(..5) {
            let key = match attributes.last() {
                Some(before) if self.one_in(6) => before.key.clone(),
                _ if self.one_in(2) => own.to_owned(),
                _ => (*self.one_of(SHARED_NAMES)).to_owned(),
            };
            attributes.push(KeyValue { key, value: self.value(DEPTH), ..KeyValue::default() });
        }
        attributes
    }

    /// Any value, or none. Half of them are texts or small numbers, so that keys meet.
    pub(super) fn value(&mut self, depth: u32) -> Option<AnyValue> {
        let value = match self.random.u8(..20) {
            0 => return None,
            1 => None,
            2..=7 => Some(Value::StringValue(self.text())),
            8 => Some(Value::BoolValue(self.random.bool())),
            9..=11 => Some(Value::IntValue(*self.one_of(INTEGERS))),
            12 | 13 => Some(Value::DoubleValue(self.double())),
            14 => Some(Value::BytesValue(self.bytes())),
            15 => Some(Value::StringValueStrindex(self.random.i32(-1..3))),
            16 | 17 if depth > 0 => Some(Value::ArrayValue(ArrayValue {
                values: (0..self.random.usize(..4))
                    .map(|_| self.value(depth - 1).unwrap_or_default())
                    .collect(),
            })),
            18 | 19 if depth > 0 => Some(Value::KvlistValue(KeyValueList { values: self.pairs(depth - 1) })),
            _ => Some(Value::StringValue(format!("value-{}", self.random.u32(..1000)))),
        };
        Some(AnyValue { value })
    }

    pub(super) fn pairs(&mut self, depth: u32) -> Vec<KeyValue> {
        (0..self.random.usize(..5))
            .map(|_| KeyValue {
                key: if self.one_in(3) { "k".to_owned() } else { self.text() },
                value: self.value(depth),
                ..KeyValue::default()
            })
            .collect()
    }

    pub(super) fn double(&mut self) -> f64 {
        match self.random.u8(..8) {
            0 => f64::from_bits(self.random.u64(..)), // any exponent, any NaN
            1 => f64::from(self.random.i32(..)) / 1000.0,
            // Halfway between two numbers of 16 digits.
            2 => self.random.u64(1 << 49..1 << 51) as f64 + *self.one_of(&[0.25, 0.75]),
            _ => *self.one_of(DOUBLES),
        }
    }

    pub(super) fn bytes(&mut self) -> Vec<u8> {
        let length = self.random.usize(..6);
        (0..length).map(|_| self.random.u8(..)).collect()
    }

    pub(super) fn text(&mut self) -> String {
        (*self.one_of(TEXTS)).to_owned()
    }

    /// An odd text once in `n` times, else an empty one.
    pub(super) fn text_in(&mut self, n: u32) -> String {
        if self.one_in(n) { self.text() } else { String::new() }
    }
}

//! Attributes for the tests: through prost, and byte by byte where prost would not write them.

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value::Value as Member},
    resource::v1::Resource,
};
use prost::Message;

use crate::otlp::wire::{Messages, Reader, Tag, put_len_prefix, put_tag, put_varint};

pub(super) fn any(value: Member) -> AnyValue {
    AnyValue { value: Some(value) }
}

pub(super) fn string(text: &str) -> AnyValue {
    any(Member::StringValue(text.into()))
}

pub(super) fn int(number: i64) -> AnyValue {
    any(Member::IntValue(number))
}

pub(super) fn double(number: f64) -> AnyValue {
    any(Member::DoubleValue(number))
}

pub(super) fn bool(bool: bool) -> AnyValue {
    any(Member::BoolValue(bool))
}

pub(super) fn bytes(bytes: &[u8]) -> AnyValue {
    any(Member::BytesValue(bytes.into()))
}

pub(super) const EMPTY: AnyValue = AnyValue { value: None };

pub(super) fn slice(values: impl IntoIterator<Item = AnyValue>) -> AnyValue {
    any(Member::ArrayValue(ArrayValue { values: values.into_iter().collect() }))
}

pub(super) fn map<'s>(entries: impl IntoIterator<Item = (&'s str, AnyValue)>) -> AnyValue {
    any(Member::KvlistValue(KeyValueList { values: attributes(entries) }))
}

pub(super) fn attributes<'s>(entries: impl IntoIterator<Item = (&'s str, AnyValue)>) -> Vec<KeyValue> {
    let attribute = |(key, value): (&str, AnyValue)| KeyValue {
        key: key.into(),
        value: Some(value),
        ..KeyValue::default()
    };
    entries.into_iter().map(attribute).collect()
}

/// A serialized `Resource` with these attributes.
pub(super) fn resource<'s>(entries: impl IntoIterator<Item = (&'s str, AnyValue)>) -> Vec<u8> {
    Resource { attributes: attributes(entries), ..Resource::default() }.encode_to_vec()
}

/// A field with a length, byte by byte.
pub(super) fn field(number: u32, value: impl AsRef<[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    put_len_prefix(&mut out, Tag::len(number), value.as_ref().len());
    out.extend_from_slice(value.as_ref());
    out
}

/// A varint field, byte by byte.
pub(super) fn varint(number: u32, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_tag(&mut out, Tag::varint(number));
    put_varint(&mut out, value);
    out
}

/// The messages that these bytes are.
pub(super) fn messages<'a>(parts: &[&'a [u8]]) -> Messages<'a> {
    let mut messages = Messages::default();
    for part in parts {
        messages.push(Reader::new(part));
    }
    messages
}

/// A value inside so many others.
pub(super) fn nested(levels: usize, wrap: impl Fn(AnyValue) -> AnyValue) -> AnyValue {
    (0..levels).fold(int(1), |value, _| wrap(value))
}

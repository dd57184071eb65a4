//! Attributes as they stand on the wire: names and values.
//!
//! Source: pdata v1.67.0 `internal/generated_proto_keyvalue.go`, `generated_proto_anyvalue.go`, `pcommon/map.go`.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use crate::otlp::wire::{
    Malformed, Messages, Reader, Tag, WireType,
    field::{any_value, key_value},
};

/// An `AnyValue`, decoded one level deep. Strings are not checked for UTF-8.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::otlp) enum Value<'a> {
    /// No member is set, or one that refers to a string table.
    #[default]
    Empty,
    String(&'a [u8]),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(&'a [u8]),
    /// An `ArrayValue`.
    Array(Reader<'a>),
    /// A `KeyValueList`.
    Map(Reader<'a>),
}

impl<'a> Value<'a> {
    /// Reads an `AnyValue`; of several members of its oneof the last one counts.
    #[inline]
    pub(in crate::otlp) fn read(any_value: Reader<'a>) -> Result<Self, Malformed> {
        let mut value = Self::Empty;
        value.replace(any_value)?;
        Ok(value)
    }

    /// Reads another occurrence of the field that holds the value: it replaces the value, unless no member is set in
    /// it. (Elsewhere two lists would be merged; pdata does not.)
    #[inline]
    pub(in crate::otlp) fn replace(&mut self, mut any_value: Reader<'a>) -> Result<(), Malformed> {
        while let Some(tag) = any_value.tag()? {
            *self = match tag {
                any_value::STRING => Self::String(any_value.bytes()?),
                any_value::BOOL => Self::Bool(any_value.varint()? != 0),
                any_value::INT => Self::Int(any_value.varint()?.cast_signed()),
                any_value::DOUBLE => Self::Double(f64::from_bits(any_value.fixed64()?)),
                any_value::ARRAY => Self::Array(any_value.message()?),
                any_value::KVLIST => Self::Map(any_value.message()?),
                any_value::BYTES => Self::Bytes(any_value.bytes()?),
                any_value::STRING_STRINDEX => {
                    any_value.skip(WireType::Varint)?;
                    Self::Empty
                }
                other => {
                    any_value.skip_unknown(other, &any_value::KNOWN)?;
                    continue;
                }
            }
        }
        Ok(())
    }

    /// The string; of every other type, an empty one (pdata `Value.Str`).
    pub(in crate::otlp) const fn str(&self) -> &'a [u8] {
        match *self {
            Self::String(text) => text,
            _ => &[],
        }
    }
}

/// The first attribute of that name, in the repeated `KeyValue` field `attributes` of the messages. `None`: there is none.
///
/// # Errors
///
/// What is malformed in front of the attribute, or in the attribute itself, at the level of its own fields.
#[inline]
pub(in crate::otlp) fn find<'a>(
    messages: &Messages<'a>,
    attributes: Tag,
    name: &[u8],
) -> Result<Option<Value<'a>>, Malformed> {
    for message in messages.iter() {
        if let Some(value) = find_in(message, attributes, name)? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// As [`find`], in one message.
#[inline]
pub(super) fn find_in<'a>(
    mut message: Reader<'a>,
    attributes: Tag,
    name: &[u8],
) -> Result<Option<Value<'a>>, Malformed> {
    while to_field(&mut message, attributes)? {
        let attribute = message.message()?;
        let found = match plain(attribute.rest()) {
            Some((text, _)) => text,
            None => Name::read(attribute)?.text,
        };
        if found == name {
            return value(attribute).map(Some);
        }
    }
    Ok(None)
}

/// The next occurrence of a message field, passing over all others.
#[inline]
pub(super) fn next<'a>(message: &mut Reader<'a>, field: Tag) -> Result<Option<Reader<'a>>, Malformed> {
    if to_field(message, field)? { message.message().map(Some) } else { Ok(None) }
}

/// Goes on to the value of the next occurrence of a field; `false` if there is none.
#[inline]
pub(in crate::otlp) fn to_field(message: &mut Reader<'_>, field: Tag) -> Result<bool, Malformed> {
    // A copy stays in registers, which the reader behind a reference does not.
    let mut reader = *message;
    while let Some(tag) = reader.tag()? {
        if tag == field {
            *message = reader;
            return Ok(true);
        }
        match tag.wire() {
            Some(wire) => reader.skip(wire)?,
            None => reader.skip_unknown(tag, &NONE_KNOWN)?,
        }
    }
    *message = reader;
    Ok(false)
}

/// The last occurrence of a string field, which is the one that counts; empty if there is none.
pub(in crate::otlp) fn last(mut message: Reader<'_>, field: Tag) -> Result<&[u8], Malformed> {
    let mut value: &[u8] = &[];
    while to_field(&mut message, field)? {
        value = message.bytes()?;
    }
    Ok(value)
}

/// Field numbers are not judged where only one field is looked for: the walk over the message does that.
const NONE_KNOWN: std::ops::RangeInclusive<u32> = 0..=0;

/// The name of a `KeyValue`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Name<'a> {
    pub(super) text: &'a [u8],
    /// Offset behind it.
    pub(super) end: usize,
}

impl<'a> Name<'a> {
    /// Reads it; the last one if there are several, an empty one if there is none.
    #[inline]
    pub(super) fn read(mut key_value: Reader<'a>) -> Result<Self, Malformed> {
        if let Some((text, _)) = plain(key_value.rest()) {
            let end = key_value.offset().saturating_add(2).saturating_add(text.len());
            return Ok(Self { text, end });
        }
        let mut name = Self::default();
        while let Some(tag) = key_value.tag()? {
            match tag {
                key_value::KEY => {
                    let text = key_value.bytes()?;
                    name = Self { text, end: key_value.offset() };
                }
                key_value::VALUE => key_value.skip(WireType::Len)?,
                key_value::KEY_STRINDEX => key_value.skip(WireType::Varint)?,
                other => key_value.skip_unknown(other, &key_value::KNOWN)?,
            }
        }
        Ok(name)
    }
}

/// The value of a `KeyValue` whose other fields [`Name::read`] has checked.
#[inline]
pub(super) fn value(mut key_value: Reader<'_>) -> Result<Value<'_>, Malformed> {
    if let Some((_, text)) = plain_text(key_value.rest()) {
        return Ok(Value::String(text));
    }
    let mut value = Value::Empty;
    while let Some(any_value) = next(&mut key_value, key_value::VALUE)? {
        value.replace(any_value)?;
    }
    Ok(value)
}

/// Name and `AnyValue` of a `KeyValue` that has one of each, in this order, and both shorter than 128 bytes: most have.
#[inline]
fn plain(key_value: &[u8]) -> Option<(&[u8], &[u8])> {
    let [0x0a, length @ ..0x80, rest @ ..] = key_value else { return None };
    let (name, [0x12, length @ ..0x80, value @ ..]) = rest.split_at_checked(usize::from(*length))? else {
        return None;
    };
    (value.len() == usize::from(*length)).then_some((name, value))
}

/// Name and text of a [`plain`] `KeyValue` whose value is a string.
#[inline]
pub(super) fn plain_text(key_value: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, [0x0a, length, text @ ..]) = plain(key_value)? else { return None };
    // The length of the whole is below 128, so this one is a byte too.
    (text.len() == usize::from(*length)).then_some((name, text))
}

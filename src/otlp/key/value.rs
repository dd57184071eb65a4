//! Attribute values and their texts.
//!
//! Skeleton: signatures.

use crate::otlp::wire::{Malformed, Messages, Reader, Tag};

/// An `AnyValue`, decoded one level deep. Strings are not checked for UTF-8.
#[derive(Clone, Copy, Debug)]
pub(in crate::otlp) enum Value<'a> {
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
    pub(in crate::otlp) fn read(_any_value: Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self::Empty)
    }

    /// Appends the value's text (pdata `Value.AsString`).
    pub(in crate::otlp) fn put_text(&self, _out: &mut Vec<u8>) -> Result<(), Malformed> {
        Ok(())
    }
}

/// The first attribute of that name, in the repeated `KeyValue` field `attributes` of the messages. `None`: there is none.
pub(in crate::otlp) fn find<'a>(
    _messages: &Messages<'a>,
    _attributes: Tag,
    _name: &[u8],
) -> Result<Option<Value<'a>>, Malformed> {
    Ok(None)
}

/// Appends `name=<text>|`; of a missing value, `name=|`.
pub(in crate::otlp) fn put_segment(
    _out: &mut Vec<u8>,
    _name: &str,
    _value: Option<&Value<'_>>,
) -> Result<(), Malformed> {
    Ok(())
}

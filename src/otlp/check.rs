//! What the level `Full` adds: attributes, events, links, status and the UTF-8 of every string.
//!
//! Stage: engine, called by `split`. Checks and returns nothing. Recursion follows the nesting of `AnyValue` and stops
//! at [`DEPTH`].
//!
//! Stricter than the Collector in three points, because other receivers refuse these: UTF-8 (the Collector never
//! checks it), the limit of depth (it has none), and over-long varints (see [`wire`](super::wire)).

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

pub(super) mod metrics;

use super::wire::{
    Malformed, Reader, WireType,
    field::{any_value, entity_ref, event, key_value, link, list, resource, scope, status},
};

/// Messages inside each other below an attribute's `AnyValue`. With request, resource group, scope group, span, event
/// and the `KeyValue` above, this stays within the 100 levels that protobuf implementations allow by default
/// (`CodedInputStream::GetDefaultRecursionLimit` in C++, `RECURSION_LIMIT` in prost).
pub(super) const DEPTH: usize = 93;

/// Checks that a string field is UTF-8. `at` is the offset just behind it.
#[inline]
pub(super) fn text(value: &[u8], at: usize) -> Result<(), Malformed> {
    if value.is_ascii() {
        return Ok(());
    }
    match std::str::from_utf8(value) {
        Ok(_) => Ok(()),
        Err(error) => Err(Malformed {
            offset: at.saturating_sub(value.len()).saturating_add(error.valid_up_to()),
            what: "string is not UTF-8",
        }),
    }
}

/// Reads the next value and checks that it is UTF-8.
#[inline]
pub(super) fn string(reader: &mut Reader<'_>) -> Result<(), Malformed> {
    let value = reader.bytes()?;
    text(value, reader.offset())
}

/// Checks a `KeyValue` of a resource, scope, span, event, link or log record.
#[inline]
pub(super) fn attribute(reader: Reader<'_>) -> Result<(), Malformed> {
    if is_plain(reader.rest()) { Ok(()) } else { key_value(reader, DEPTH) }
}

/// Whether the bytes are one ASCII key and one value that is ASCII text or an integer, each shorter than 128 bytes:
/// most attributes are.
///
/// Tags and lengths of that shape are ASCII themselves, so one sweep over the whole message checks both strings.
#[inline]
fn is_plain(message: &[u8]) -> bool {
    let [0x0a, key @ ..0x80, rest @ ..] = message else { return false };
    let Some((key, [0x12, length, value @ ..])) = rest.split_at_checked(usize::from(*key)) else {
        return false;
    };
    if value.len() != usize::from(*length) {
        return false;
    }
    match value {
        [0x0a, length, text @ ..] => text.len() == usize::from(*length) && message.is_ascii(),
        [0x10 | 0x18, head @ .., last] => {
            *last < 0x80 && head.len() < 9 && head.iter().all(|byte| *byte >= 0x80) && key.is_ascii()
        }
        _ => false,
    }
}

fn key_value(mut reader: Reader<'_>, depth: usize) -> Result<(), Malformed> {
    while let Some(tag) = reader.tag()? {
        match tag {
            key_value::KEY => string(&mut reader)?,
            key_value::VALUE => any_value(reader.message()?, depth)?,
            key_value::KEY_STRINDEX => reader.skip(WireType::Varint)?,
            other => reader.skip_unknown(other, &key_value::KNOWN)?,
        }
    }
    Ok(())
}

/// Checks the `AnyValue` that is the body of a log record.
pub(super) fn value(reader: Reader<'_>) -> Result<(), Malformed> {
    any_value(reader, DEPTH)
}

fn any_value(mut reader: Reader<'_>, depth: usize) -> Result<(), Malformed> {
    while let Some(tag) = reader.tag()? {
        match tag {
            any_value::STRING => string(&mut reader)?,
            any_value::BOOL | any_value::INT | any_value::STRING_STRINDEX => reader.skip(WireType::Varint)?,
            any_value::DOUBLE => reader.skip(WireType::Fixed64)?,
            any_value::ARRAY => values(reader.message()?, depth, any_value)?,
            any_value::KVLIST => values(reader.message()?, depth.saturating_sub(1), key_value)?,
            any_value::BYTES => reader.skip(WireType::Len)?,
            other => reader.skip_unknown(other, &any_value::KNOWN)?,
        }
    }
    Ok(())
}

/// What is wrong with a value at [`DEPTH`].
#[cold]
pub(super) const fn too_deep(offset: usize) -> Malformed {
    Malformed { offset, what: "attribute value is nested too deeply" }
}

/// An `ArrayValue` or a `KeyValueList`: each is two levels, the list and its elements.
fn values(
    mut reader: Reader<'_>,
    depth: usize,
    element: fn(Reader<'_>, usize) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let Some(depth) = depth.checked_sub(2) else {
        return Err(too_deep(reader.offset()));
    };
    while let Some(tag) = reader.tag()? {
        match tag {
            list::VALUES => element(reader.message()?, depth)?,
            other => reader.skip_unknown(other, &list::KNOWN)?,
        }
    }
    Ok(())
}

/// Checks `Span.Event`.
pub(super) fn event(mut reader: Reader<'_>) -> Result<(), Malformed> {
    while let Some(tag) = reader.tag()? {
        match tag {
            event::TIME => reader.skip(WireType::Fixed64)?,
            event::NAME => string(&mut reader)?,
            event::ATTRIBUTES => attribute(reader.message()?)?,
            event::DROPPED_ATTRIBUTES_COUNT => reader.skip(WireType::Varint)?,
            other => reader.skip_unknown(other, &event::KNOWN)?,
        }
    }
    Ok(())
}

/// Checks `Span.Link`.
pub(super) fn link(mut reader: Reader<'_>) -> Result<(), Malformed> {
    while let Some(tag) = reader.tag()? {
        match tag {
            link::TRACE_ID => drop(reader.id::<16>("trace id of a link is not 16 bytes")?),
            link::SPAN_ID => drop(reader.id::<8>("span id of a link is not 8 bytes")?),
            link::TRACE_STATE => string(&mut reader)?,
            link::ATTRIBUTES => attribute(reader.message()?)?,
            link::DROPPED_ATTRIBUTES_COUNT => reader.skip(WireType::Varint)?,
            link::FLAGS => reader.skip(WireType::Fixed32)?,
            other => reader.skip_unknown(other, &link::KNOWN)?,
        }
    }
    Ok(())
}

/// Checks `Status`.
pub(super) fn status(mut reader: Reader<'_>) -> Result<(), Malformed> {
    while let Some(tag) = reader.tag()? {
        match tag {
            status::MESSAGE => string(&mut reader)?,
            status::CODE => reader.skip(WireType::Varint)?,
            other => reader.skip_unknown(other, &status::KNOWN)?,
        }
    }
    Ok(())
}

/// Checks `Resource`: its fields, and what is in them if `FULL`.
pub(super) fn resource<const FULL: bool>(mut reader: Reader<'_>) -> Result<(), Malformed> {
    while let Some(tag) = reader.tag()? {
        match tag {
            resource::ATTRIBUTES if FULL => attribute(reader.message()?)?,
            resource::ENTITY_REFS if FULL => entity_ref(reader.message()?)?,
            resource::ATTRIBUTES | resource::ENTITY_REFS => reader.skip(WireType::Len)?,
            resource::DROPPED_ATTRIBUTES_COUNT => reader.skip(WireType::Varint)?,
            other => reader.skip_unknown(other, &resource::KNOWN)?,
        }
    }
    Ok(())
}

fn entity_ref(mut reader: Reader<'_>) -> Result<(), Malformed> {
    while let Some(tag) = reader.tag()? {
        match tag {
            entity_ref::SCHEMA_URL
            | entity_ref::TYPE
            | entity_ref::ID_KEYS
            | entity_ref::DESCRIPTION_KEYS => string(&mut reader)?,
            other => reader.skip_unknown(other, &entity_ref::KNOWN)?,
        }
    }
    Ok(())
}

/// Checks `InstrumentationScope`: its fields, and what is in them if `FULL`.
pub(super) fn scope<const FULL: bool>(mut reader: Reader<'_>) -> Result<(), Malformed> {
    while let Some(tag) = reader.tag()? {
        match tag {
            scope::NAME | scope::VERSION if FULL => string(&mut reader)?,
            scope::ATTRIBUTES if FULL => attribute(reader.message()?)?,
            scope::NAME | scope::VERSION | scope::ATTRIBUTES => reader.skip(WireType::Len)?,
            scope::DROPPED_ATTRIBUTES_COUNT => reader.skip(WireType::Varint)?,
            other => reader.skip_unknown(other, &scope::KNOWN)?,
        }
    }
    Ok(())
}

//! The items of a traces request: spans, their checks and their routing key.
//!
//! Source of the fields: opentelemetry-proto v1.10.0 `trace/v1/trace.proto`.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use crate::otlp::{
    check,
    wire::{Malformed, Reader, WireType, field::span},
};

/// The key of a span without trace id: the Collector hashes its 16 zero bytes like any other id
/// (`exporter/loadbalancingexporter` v0.161.0, `trace_exporter.go`).
const NO_TRACE_ID: [u8; 16] = [0; 16];

/// Maps a span to the slot of its trace id.
///
/// Spans of a trace often stand together, so the slot of the span before is kept: comparing 16 bytes costs less than
/// hashing them.
pub(super) fn by_trace_id<'a, const FULL: bool>(
    slot_of: &mut impl FnMut(&[u8]) -> usize,
) -> impl FnMut(Reader<'a>) -> Result<usize, Malformed> {
    let mut last: Option<(&'a [u8; 16], usize)> = None;
    move |reader| {
        let trace_id = span::<FULL>(reader)?.unwrap_or(&NO_TRACE_ID);
        match last {
            Some((id, slot)) if id == trace_id => Ok(slot),
            _ => {
                let slot = slot_of(trace_id);
                last = Some((trace_id, slot));
                Ok(slot)
            }
        }
    }
}

/// Checks a span at the structure level and puts it into slot 0.
pub(super) fn in_one_slot(reader: Reader<'_>) -> Result<usize, Malformed> {
    span::<false>(reader).map(|_| 0)
}

/// Walks every field of a span; returns its trace id, the last one if there are several.
///
/// An empty id behind a full one clears it, as protobuf and the Collector have it.
#[inline]
fn span<'a, const FULL: bool>(mut reader: Reader<'a>) -> Result<Option<&'a [u8; 16]>, Malformed> {
    let mut trace_id = None;
    while let Some(tag) = reader.tag()? {
        match tag {
            span::TRACE_ID => trace_id = reader.id("trace id is not 16 bytes")?,
            span::SPAN_ID => drop(reader.id::<8>("span id is not 8 bytes")?),
            span::PARENT_SPAN_ID => drop(reader.id::<8>("parent span id is not 8 bytes")?),
            span::TRACE_STATE | span::NAME if FULL => check::string(&mut reader)?,
            span::ATTRIBUTES if FULL => check::attribute(reader.message()?)?,
            span::EVENTS if FULL => check::event(reader.message()?)?,
            span::LINKS if FULL => check::link(reader.message()?)?,
            span::STATUS if FULL => check::status(reader.message()?)?,
            span::ATTRIBUTES => reader.skip_repeated(tag)?,
            span::TRACE_STATE | span::NAME | span::EVENTS | span::LINKS | span::STATUS => {
                reader.skip(WireType::Len)?
            }
            span::KIND
            | span::DROPPED_ATTRIBUTES_COUNT
            | span::DROPPED_EVENTS_COUNT
            | span::DROPPED_LINKS_COUNT => reader.skip(WireType::Varint)?,
            span::START_TIME | span::END_TIME => reader.skip(WireType::Fixed64)?,
            span::FLAGS => reader.skip(WireType::Fixed32)?,
            other => reader.skip_unknown(other, &span::KNOWN)?,
        }
    }
    Ok(trace_id)
}

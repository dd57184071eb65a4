//! The items of a traces request: spans, their checks and their routing key.
//!
//! Source of the fields: opentelemetry-proto v1.10.0 `trace/v1/trace.proto`.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use super::{
    NOT_SPLIT, Scratch,
    index::Index,
    walk::{self, Item, Route},
};
use crate::{
    model::settings::{Key, RoutingKey},
    otlp::{
        check,
        wire::{Malformed, Reader, WireType, field::span},
    },
};

/// The key of a span without trace id: the Collector hashes its 16 zero bytes like any other id
/// (`exporter/loadbalancingexporter` v0.161.0, `trace_exporter.go`).
const NO_TRACE_ID: [u8; 16] = [0; 16];

/// Indexes a traces request.
pub(super) fn index<const FULL: bool>(
    payload: &[u8],
    index: &mut Index,
    key: &RoutingKey,
    _scratch: &mut Scratch,
    slot_of: &mut impl FnMut(&[u8]) -> usize,
) -> Result<(), Malformed> {
    match key.key {
        Key::None => walk::request::<FULL>(payload, index, Together::<FULL>),
        Key::TraceId => walk::request::<FULL>(payload, index, ByTraceId::<_, FULL> { slot_of, last: None }),
        _ => Err(NOT_SPLIT),
    }
}

/// Every span into slot 0.
struct Together<const FULL: bool>;

impl<'a, const FULL: bool> Route<'a> for Together<FULL> {
    fn item(&mut self, item: Item<'a>, index: &mut Index) -> Result<(), Malformed> {
        span::<FULL>(item.reader)?;
        index.item(0, item.start, item.end)
    }
}

/// A span to the slot of its trace id.
///
/// Spans of a trace often stand together, so the slot of the span before is kept: comparing 16 bytes costs less than
/// hashing them.
struct ByTraceId<'a, 'f, F, const FULL: bool> {
    slot_of: &'f mut F,
    last: Option<(&'a [u8; 16], usize)>,
}

impl<'a, F: FnMut(&[u8]) -> usize, const FULL: bool> Route<'a> for ByTraceId<'a, '_, F, FULL> {
    #[inline]
    fn item(&mut self, item: Item<'a>, index: &mut Index) -> Result<(), Malformed> {
        let trace_id = span::<FULL>(item.reader)?.unwrap_or(&NO_TRACE_ID);
        let slot = match self.last {
            Some((id, slot)) if id == trace_id => slot,
            _ => {
                let slot = (self.slot_of)(trace_id);
                self.last = Some((trace_id, slot));
                slot
            }
        };
        index.item(slot, item.start, item.end)
    }
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

//! The items of a traces request: spans, their checks and their routing key.
//!
//! Source of the fields: opentelemetry-proto v1.10.0 `trace/v1/trace.proto`; of the keys: contrib
//! `exporter/loadbalancingexporter/trace_exporter.go` (v0.161.0).

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::marker::PhantomData;

use super::{
    NOT_SPLIT, Scratch,
    index::Index,
    mini_batches::MiniBatches,
    routes::{Absent, ByResource, ByTraceId, Checked, NO_TRACE_ID, SERVICE_NAME, Together, Whole},
    slots::{Place, Slots},
    walk::{self, Item, Route},
};
use crate::{
    model::settings::{Key, RoutingKey},
    otlp::{
        check,
        key::{Ordered, Value, find, last, to_field},
        wire::{Malformed, Messages, Reader, WireType, field::span},
    },
};

/// Names that mean a field of the span unless its resource or scope has an attribute of that name.
const KIND: &str = "span.kind";
const NAME: &str = "span.name";

/// Indexes a traces request.
pub(super) fn index<const FULL: bool>(
    payload: &[u8],
    index: &mut Index,
    key: &RoutingKey,
    scratch: &mut Scratch,
    slot_of: &mut impl FnMut(&[u8]) -> usize,
) -> Result<(), Malformed> {
    let Scratch { key: last, maps, ordered, mini_batches, .. } = scratch;
    let slots = Slots::new(slot_of, &key.missing, maps, last);
    match &key.key {
        Key::None => walk::request::<FULL>(payload, index, Together::<Span<FULL>>(PhantomData)),
        Key::TraceId => {
            let route = ByTraceId::<_, Span<FULL>, false>::new(slots, Absent::Zeros);
            walk::request::<FULL>(payload, index, route)
        }
        Key::ServiceName => {
            let route = ByResource::<_, Span<FULL>>::new(slots, Whole::Service);
            walk::request::<FULL>(payload, index, route)
        }
        Key::ServiceSegment => {
            let names = &[SERVICE_NAME];
            let route = BySegments::<_, _, FULL>::new(slots, names, ordered, is_name, mini_batches);
            walk::request::<FULL>(payload, index, route)
        }
        Key::Attributes(names) => {
            let route = BySegments::<_, _, FULL>::new(slots, names, ordered, |_| true, mini_batches);
            walk::request::<FULL>(payload, index, route)
        }
        Key::TraceIdHex | Key::Resource | Key::Metric | Key::Stream => Err(NOT_SPLIT),
    }
}

/// Whether an attribute is a key that is not missing: of the service name, a text that is not empty.
const fn is_name(value: &Value<'_>) -> bool {
    matches!(value, Value::String(text) if !text.is_empty())
}

/// A span to the slot of the segments of its attributes, found on its resource, its scope or itself.
///
/// The Collector cuts a request into one batch for each resource group, scope group and trace id, and takes the key from
/// the *first* span of each; the other spans follow it. A scope group whose resource and scope have all names has one key,
/// so that its spans need not be told apart.
struct BySegments<'a, 's, F, N, const FULL: bool> {
    slots: Slots<'a, 's, F>,
    names: &'s [N],
    ordered: &'s mut Ordered,
    /// Whether an attribute is a key at all.
    counts: fn(&Value<'_>) -> bool,
    batches: &'s mut MiniBatches,
    /// Where the whole group goes.
    whole: Option<Place>,
    /// The span before.
    last: Option<(&'a [u8; 16], Place)>,
}

impl<'a, 's, F: FnMut(&[u8]) -> usize, N: AsRef<str>, const FULL: bool> BySegments<'a, 's, F, N, FULL> {
    fn new(
        slots: Slots<'a, 's, F>,
        names: &'s [N],
        ordered: &'s mut Ordered,
        counts: fn(&Value<'_>) -> bool,
        batches: &'s mut MiniBatches,
    ) -> Self {
        batches.clear();
        Self { slots, names, ordered, counts, batches, whole: None, last: None }
    }

    /// The place of the key that has been put together.
    fn place(&mut self) -> Result<Place, Malformed> {
        if !self.ordered.found()
            && let Some(place) = self.slots.without_key()?
        {
            return Ok(place);
        }
        Ok(self.slots.of(self.ordered.key()))
    }

    /// The place of a group whose attributes are all known.
    fn whole(&mut self) -> Result<Place, Malformed> {
        self.ordered.item(self.names, self.counts, |_| Ok(None))?;
        self.place()
    }

    /// The place of a span that is the first of its batch, or follows that.
    fn batch(&mut self, id: &'a [u8; 16], span: Reader<'a>) -> Result<Place, Malformed> {
        let place = match self.batches.get(id) {
            Some(place) => place,
            None => {
                self.ordered.item(self.names, self.counts, |name| attribute(span, name))?;
                let place = self.place()?;
                self.batches.insert(id, place);
                place
            }
        };
        self.last = Some((id, place));
        Ok(place)
    }
}

impl<'a, F: FnMut(&[u8]) -> usize, N: AsRef<str>, const FULL: bool> Route<'a>
    for BySegments<'a, '_, F, N, FULL>
{
    fn reads_resource(&self) -> bool {
        true
    }

    fn resource(&mut self, resource: &Messages<'a>) -> Result<(), Malformed> {
        self.slots.begin(resource);
        let complete = self.ordered.resource(self.names, self.counts, resource)?;
        self.whole = if complete { Some(self.whole()?) } else { None };
        Ok(())
    }

    fn reads_scope(&self) -> bool {
        !self.ordered.resource_is_complete()
    }

    fn scope(&mut self, scope: &Messages<'a>) -> Result<(), Malformed> {
        let complete = self.ordered.scope(self.names, self.counts, scope)?;
        self.whole = if complete { Some(self.whole()?) } else { None };
        self.batches.begin();
        self.last = None;
        Ok(())
    }

    #[inline]
    fn item(&mut self, item: Item<'a>, index: &mut Index) -> Result<(), Malformed> {
        let id = span::<FULL>(item.reader)?.unwrap_or(&NO_TRACE_ID);
        let place = match (self.whole, self.last) {
            (Some(place), _) => place,
            (_, Some((last, place))) if last == id => place,
            _ => self.batch(id, item.reader)?,
        };
        place.put(&item, index)
    }
}

/// What a name means on a span. The two fields always have a value.
fn attribute<'a>(span: Reader<'a>, name: &str) -> Result<Option<Value<'a>>, Malformed> {
    match name {
        KIND => kind(span).map(|kind| Some(Value::String(kind.as_bytes()))),
        NAME => Ok(Some(Value::String(last(span, span::NAME)?))),
        _ => find(&span.into(), span::ATTRIBUTES, name.as_bytes()),
    }
}

/// The kind's name as pdata writes it (v1.67.0 `ptrace/span_kind.go`); empty if it has none.
fn kind(mut span: Reader<'_>) -> Result<&'static str, Malformed> {
    let mut kind = 0;
    while to_field(&mut span, span::KIND)? {
        kind = span.varint()?;
    }
    // An enum is 32 bits wide; the upper half of the varint is not looked at.
    Ok(match kind & 0xffff_ffff {
        0 => "Unspecified",
        1 => "Internal",
        2 => "Server",
        3 => "Client",
        4 => "Producer",
        5 => "Consumer",
        _ => "",
    })
}

/// A span, checked at a level.
struct Span<const FULL: bool>;

impl<const FULL: bool> Checked for Span<FULL> {
    #[inline]
    fn trace_id(item: Reader<'_>) -> Result<Option<&[u8; 16]>, Malformed> {
        span::<FULL>(item)
    }
}

#[inline]
fn span<const FULL: bool>(mut reader: Reader<'_>) -> Result<Option<&[u8; 16]>, Malformed> {
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

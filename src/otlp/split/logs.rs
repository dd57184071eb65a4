//! The items of a logs request: log records, their checks and their routing key.
//!
//! Source of the fields: opentelemetry-proto v1.10.0 `logs/v1/logs.proto`; of the keys: contrib
//! `exporter/loadbalancingexporter/log_exporter.go` (v0.161.0).

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::{marker::PhantomData, sync::Arc};

use super::{
    NOT_SPLIT, Scratch,
    index::Index,
    routes::{Absent, ByResource, ByTraceId, Checked, Together, Whole},
    slots::{Place, Slots},
    walk::{self, Item, Route},
};
use crate::{
    model::settings::{Key, RoutingKey},
    otlp::{
        check,
        key::{Levels, Value, find, last, to_field},
        wire::{
            Malformed, Messages, Reader, WireType,
            field::log_record::{self, RESERVED},
        },
    },
};

/// Names that mean a field of the record unless its resource or scope has an attribute of that name.
const SEVERITY: &str = "log.severity";
const BODY: &str = "log.body";

/// Indexes a logs request.
pub(super) fn index<const FULL: bool>(
    payload: &[u8],
    index: &mut Index,
    key: &RoutingKey,
    scratch: &mut Scratch,
    slot_of: &mut impl FnMut(&[u8]) -> usize,
) -> Result<(), Malformed> {
    let Scratch { key: last, maps, levels, random, .. } = scratch;
    let slots = Slots::new(slot_of, &key.missing, maps, last);
    let absent = Absent::Random(random);
    match &key.key {
        Key::None => walk::request::<FULL>(payload, index, Together::<Record<FULL>>(PhantomData)),
        Key::TraceId => {
            let route = ByTraceId::<_, Record<FULL>, false>::new(slots, absent);
            walk::request::<FULL>(payload, index, route)
        }
        Key::TraceIdHex => {
            let route = ByTraceId::<_, Record<FULL>, true>::new(slots, absent);
            walk::request::<FULL>(payload, index, route)
        }
        Key::ServiceName => {
            let route = ByResource::<_, Record<FULL>>::new(slots, Whole::Service);
            walk::request::<FULL>(payload, index, route)
        }
        Key::Resource => {
            let route = ByResource::<_, Record<FULL>>::new(slots, Whole::Identity);
            walk::request::<FULL>(payload, index, route)
        }
        Key::Attributes(names) => {
            let route = ByAttributes::<_, FULL> { slots, names, levels, whole: None };
            walk::request::<FULL>(payload, index, route)
        }
        Key::ServiceSegment | Key::Metric | Key::Stream => Err(NOT_SPLIT),
    }
}

/// A record to the slot of the segments of its attributes: those of its resource, of its scope, its own.
///
/// A group whose resource, or resource and scope, have all names has one key.
struct ByAttributes<'a, 's, F, const FULL: bool> {
    slots: Slots<'a, 's, F>,
    names: &'s [Arc<str>],
    levels: &'s mut Levels,
    /// Where the whole group goes.
    whole: Option<Place>,
}

impl<'a, F: FnMut(&[u8]) -> usize, const FULL: bool> ByAttributes<'a, '_, F, FULL> {
    fn place(&mut self) -> Result<Place, Malformed> {
        if !self.levels.found()
            && let Some(place) = self.slots.without_key()?
        {
            return Ok(place);
        }
        Ok(self.slots.of(self.levels.key()))
    }
}

impl<'a, F: FnMut(&[u8]) -> usize, const FULL: bool> Route<'a> for ByAttributes<'a, '_, F, FULL> {
    fn reads_resource(&self) -> bool {
        true
    }

    fn resource(&mut self, resource: &Messages<'a>) -> Result<(), Malformed> {
        self.slots.begin(resource);
        let complete = self.levels.resource(self.names, resource)?;
        self.whole = if complete { Some(self.place()?) } else { None };
        Ok(())
    }

    fn reads_scope(&self) -> bool {
        !self.levels.resource_is_complete()
    }

    fn scope(&mut self, scope: &Messages<'a>) -> Result<(), Malformed> {
        let complete = self.levels.scope(self.names, scope)?;
        self.whole = if complete { Some(self.place()?) } else { None };
        Ok(())
    }

    fn item(&mut self, item: Item<'a>, index: &mut Index) -> Result<(), Malformed> {
        record::<FULL>(item.reader)?;
        let place = match self.whole {
            Some(place) => place,
            None => {
                self.levels.item(self.names, |name| attribute(item.reader, name))?;
                self.place()?
            }
        };
        place.put(&item, index)
    }
}

/// What a name means on a record. The two fields always have a value.
fn attribute<'a>(record: Reader<'a>, name: &str) -> Result<Option<Value<'a>>, Malformed> {
    match name {
        SEVERITY => Ok(Some(Value::String(last(record, log_record::SEVERITY_TEXT)?))),
        BODY => body(record).map(Some),
        _ => find(&record.into(), log_record::ATTRIBUTES, name.as_bytes()),
    }
}

fn body(mut record: Reader<'_>) -> Result<Value<'_>, Malformed> {
    let mut body = Value::Empty;
    while to_field(&mut record, log_record::BODY)? {
        body.replace(record.message()?)?;
    }
    Ok(body)
}

/// A log record, checked at a level.
struct Record<const FULL: bool>;

impl<const FULL: bool> Checked for Record<FULL> {
    #[inline]
    fn trace_id(item: Reader<'_>) -> Result<Option<&[u8; 16]>, Malformed> {
        record::<FULL>(item)
    }
}

#[inline]
fn record<const FULL: bool>(mut reader: Reader<'_>) -> Result<Option<&[u8; 16]>, Malformed> {
    let mut trace_id = None;
    while let Some(tag) = reader.tag()? {
        match tag {
            log_record::TRACE_ID => trace_id = reader.id("trace id is not 16 bytes")?,
            log_record::SPAN_ID => drop(reader.id::<8>("span id is not 8 bytes")?),
            log_record::SEVERITY_TEXT | log_record::EVENT_NAME if FULL => check::string(&mut reader)?,
            log_record::BODY if FULL => check::value(reader.message()?)?,
            log_record::ATTRIBUTES if FULL => check::attribute(reader.message()?)?,
            log_record::ATTRIBUTES => reader.skip_repeated(tag)?,
            log_record::SEVERITY_TEXT | log_record::BODY | log_record::EVENT_NAME => {
                reader.skip(WireType::Len)?
            }
            log_record::SEVERITY_NUMBER | log_record::DROPPED_ATTRIBUTES_COUNT => {
                reader.skip(WireType::Varint)?
            }
            log_record::TIME | log_record::OBSERVED_TIME => reader.skip(WireType::Fixed64)?,
            log_record::FLAGS => reader.skip(WireType::Fixed32)?,
            other if other.number() == RESERVED => reader.skip_unknown(other, &(1..=1))?,
            other => reader.skip_unknown(other, &log_record::KNOWN)?,
        }
    }
    Ok(trace_id)
}

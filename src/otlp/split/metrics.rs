//! The items of a metrics request: data points, what is routed together, and the routing key of that.
//!
//! Keys belong to a resource, a scope, a metric or a data point. A metric whose points all go to one slot is recorded
//! whole, one range of the payload; a metric whose points have keys of their own is *taken apart*: each slot gets the
//! metric's own fields and its share of the points.
//!
//! Equal metrics of equal scope groups are merged, which needs them taken apart. Senders rarely repeat a metric, so
//! whole metrics are taken as distinct at first; the walk is repeated with all of them taken apart if that was wrong.
//!
//! Source of the routing rules: contrib `exporter/loadbalancingexporter` v0.161.0, `metrics_exporter.go`.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

mod message;
mod point;

use self::message::{Data, Kind, Metric};
use super::{
    NOT_SPLIT, Scratch,
    index::Index,
    walk::{self, Item, Route},
};
use crate::{
    model::settings::{Key, MissingKey, RoutingKey},
    otlp::{
        key::{StreamId, find, put_resource},
        wire::{
            Malformed, Messages, Reader, Tag,
            field::{data, resource, scope},
        },
    },
};

/// Indexes a metrics request.
pub(super) fn index<const FULL: bool>(
    payload: &[u8],
    index: &mut Index,
    key: &RoutingKey,
    scratch: &mut Scratch,
    slot_of: &mut impl FnMut(&[u8]) -> usize,
) -> Result<(), Malformed> {
    if let Key::TraceId | Key::TraceIdHex | Key::ServiceSegment = key.key {
        return Err(NOT_SPLIT);
    }
    let apart = index.cuts_anywhere();
    walk::request::<FULL>(payload, index, ByKey::<_, FULL>::new(key, apart, scratch, slot_of))?;
    if index.metrics_need_taking_apart() {
        index.restart();
        walk::request::<FULL>(payload, index, ByKey::<_, FULL>::new(key, true, scratch, slot_of))?;
    }
    index.merge_metrics(payload);
    Ok(())
}

/// Routes metrics and points by any key.
struct ByKey<'k, F, const FULL: bool> {
    key: &'k RoutingKey,
    scratch: &'k mut Scratch,
    slot_of: &'k mut F,
    /// Take every metric apart, also where all its points go to one slot.
    apart: bool,
    /// Of the resource group that has begun.
    resource: Target,
    /// Of the scope group that has begun, if the resource leaves it open.
    scope: Target,
    /// Of points that have none of the routing attributes; [`Target::Inside`]: by the key they have all the same.
    without_attributes: Target,
    /// Hash of the resource's attributes.
    attributes: [u8; 16],
    /// What the streams of the scope group share.
    stream: StreamId,
}

/// Where something goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Slot(usize),
    /// It is dropped.
    Nowhere,
    /// The keys are further in.
    Inside,
}

/// A data point.
#[derive(Clone, Copy, Debug)]
struct Point<'a> {
    message: Reader<'a>,
    /// The tag of its attributes.
    attributes: Tag,
}

impl<'k, F: FnMut(&[u8]) -> usize, const FULL: bool> ByKey<'k, F, FULL> {
    fn new(key: &'k RoutingKey, apart: bool, scratch: &'k mut Scratch, slot_of: &'k mut F) -> Self {
        let attributes = [0; 16];
        Self {
            key,
            scratch,
            slot_of,
            apart,
            resource: if key.key == Key::None { Target::Slot(0) } else { Target::Inside },
            scope: Target::Inside,
            without_attributes: Target::Inside,
            attributes,
            stream: StreamId::of_scope(attributes, &[], &[], attributes),
        }
    }

    /// By the resource's `service.name`. Without one the Collector drops the whole resource group; if it is empty or
    /// no string, the key is empty.
    fn by_service(&mut self, resource: &Messages<'_>) -> Result<Target, Malformed> {
        let name = find(resource, resource::ATTRIBUTES, b"service.name")?;
        match name.map(|name| name.str()) {
            Some(name @ [_, ..]) => Ok(Target::Slot((self.slot_of)(name))),
            absent_or_empty => match self.without_key(resource)? {
                Target::Inside if absent_or_empty.is_none() => Ok(Target::Nowhere),
                Target::Inside => Ok(Target::Slot((self.slot_of)(&[]))),
                other => Ok(other),
            },
        }
    }

    fn by_resource(&mut self, resource: &Messages<'_>) -> Result<Target, Malformed> {
        let attributes = self.scratch.maps.hash(resource, resource::ATTRIBUTES)?;
        self.scratch.key.clear();
        put_resource(&mut self.scratch.key, attributes);
        Ok(Target::Slot((self.slot_of)(&self.scratch.key)))
    }

    /// Where the policy for missing keys sends what is in this resource; [`Target::Inside`] if it leaves that open.
    fn without_key(&mut self, resource: &Messages<'_>) -> Result<Target, Malformed> {
        match &self.key.missing {
            MissingKey::Compatible => Ok(Target::Inside),
            MissingKey::Resource => self.by_resource(resource),
            MissingKey::Fixed(text) => Ok(Target::Slot((self.slot_of)(text.as_bytes()))),
            MissingKey::Drop => Ok(Target::Nowhere),
        }
    }

    /// Puts a whole metric into a slot.
    fn whole(
        &self,
        slot: usize,
        metric: &Metric<'_>,
        item: Item<'_>,
        index: &mut Index,
    ) -> Result<(), Malformed> {
        if !self.apart {
            return index.metric(slot, metric.points(), item.start, item.end);
        }
        take_apart(metric, item, index, |_| Ok(Some(slot)))?;
        if metric.points() == 0 { index.empty_metric(slot, item.start) } else { Ok(()) }
    }

    /// Puts each point where its key belongs. A metric without points has no key; the Collector loses it too.
    fn points(&mut self, metric: &Metric<'_>, item: Item<'_>, index: &mut Index) -> Result<(), Malformed> {
        let Some(data) = metric.data.filter(|data| data.points > 0) else {
            index.drop_empty_metric();
            return Ok(());
        };
        let Self { key, scratch, slot_of, without_attributes, .. } = self;
        if let Key::Attributes(names) = &key.key {
            return take_apart(metric, item, index, |point| {
                let message = Messages::from(point.message);
                let levels = &mut scratch.levels;
                levels.item(names, |name| find(&message, point.attributes, name.as_bytes()))?;
                match without_attributes {
                    Target::Slot(slot) if !levels.found() => Ok(Some(*slot)),
                    Target::Nowhere if !levels.found() => Ok(None),
                    _ => Ok(Some(slot_of(levels.key()))),
                }
            });
        }
        let stream = self.stream.of_metric(
            metric.name,
            metric.unit,
            data.kind.number(),
            data.is_monotonic,
            data.temporality,
        );
        take_apart(metric, item, index, |point| {
            let attributes = scratch.maps.hash(&Messages::from(point.message), point.attributes)?;
            scratch.key.clear();
            stream.put(attributes, &mut scratch.key);
            Ok(Some(slot_of(&scratch.key)))
        })
    }
}

impl<'a, F: FnMut(&[u8]) -> usize, const FULL: bool> Route<'a> for ByKey<'_, F, FULL> {
    fn reads_resource(&self) -> bool {
        !matches!(self.key.key, Key::None | Key::Metric)
    }

    fn resource(&mut self, resource: &Messages<'a>) -> Result<(), Malformed> {
        self.resource = match &self.key.key {
            Key::ServiceName => self.by_service(resource)?,
            Key::Resource => self.by_resource(resource)?,
            Key::Attributes(names) => {
                if self.scratch.levels.resource(names, resource)? {
                    Target::Slot((self.slot_of)(self.scratch.levels.key()))
                } else {
                    let is_found = self.scratch.levels.found();
                    self.without_attributes =
                        if is_found { Target::Inside } else { self.without_key(resource)? };
                    Target::Inside
                }
            }
            Key::Stream => {
                self.attributes = self.scratch.maps.hash(resource, resource::ATTRIBUTES)?;
                Target::Inside
            }
            _ => self.resource,
        };
        Ok(())
    }

    fn reads_scope(&self) -> bool {
        self.resource == Target::Inside && matches!(self.key.key, Key::Stream | Key::Attributes(_))
    }

    fn scope(&mut self, scope: &Messages<'a>) -> Result<(), Malformed> {
        if let Key::Attributes(names) = &self.key.key {
            let is_complete = self.scratch.levels.scope(names, scope)?;
            self.scope = match is_complete {
                true => Target::Slot((self.slot_of)(self.scratch.levels.key())),
                false => Target::Inside,
            };
            return Ok(());
        }
        let attributes = self.scratch.maps.hash(scope, scope::ATTRIBUTES)?;
        let (name, version) = (last(scope, scope::NAME)?, last(scope, scope::VERSION)?);
        self.stream = StreamId::of_scope(self.attributes, name, version, attributes);
        Ok(())
    }

    fn item(&mut self, item: Item<'a>, index: &mut Index) -> Result<(), Malformed> {
        let metric = Metric::read::<FULL>(item.reader)?;
        let target = if self.resource == Target::Inside { self.scope } else { self.resource };
        if target == Target::Nowhere {
            index.drop_items(metric.points());
            return Ok(());
        }
        index.name_metric(metric.name);
        if metric.has_surplus_data {
            index.replace_data();
        }
        match target {
            Target::Slot(slot) => self.whole(slot, &metric, item, index),
            _ if self.key.key == Key::Metric => {
                let slot = (self.slot_of)(metric.name);
                self.whole(slot, &metric, item, index)
            }
            _ => self.points(&metric, item, index),
        }
    }
}

/// Records the fields of a metric and of its data, and puts each point into the slot that `slot_of` finds for it; `None`
/// drops it.
///
/// The metric has been read: what is malformed has been refused.
fn take_apart<'a>(
    metric: &Metric<'a>,
    item: Item<'a>,
    index: &mut Index,
    mut slot_of: impl FnMut(Point<'a>) -> Result<Option<usize>, Malformed>,
) -> Result<(), Malformed> {
    index.open_metric(metric.data.map(|data| data.kind.tag()));
    let mut reader = item.reader;
    loop {
        let start = reader.offset();
        let Some(tag) = reader.tag()? else { break };
        message::pass(&mut reader, tag)?;
        if Kind::of(tag).is_none() {
            index.metric_field(start, reader.offset());
        }
    }
    let Some(Data { kind, mut reader, .. }) = metric.data else { return Ok(()) };
    loop {
        let start = reader.offset();
        let Some(tag) = reader.tag()? else { return Ok(()) };
        if tag != data::POINTS {
            message::pass(&mut reader, tag)?;
            index.data_field(start, reader.offset());
            continue;
        }
        let message = reader.message()?;
        match slot_of(Point { message, attributes: kind.attributes() })? {
            Some(slot) => index.point(slot, start, reader.offset())?,
            None => index.drop_items(1),
        }
    }
}

/// The last occurrence of a string field, which is the one that counts; empty if there is none.
fn last<'a>(messages: &Messages<'a>, field: Tag) -> Result<&'a [u8], Malformed> {
    let mut value: &[u8] = &[];
    for mut message in messages.iter() {
        while let Some(tag) = message.tag()? {
            if tag == field {
                value = message.bytes()?;
            } else {
                message::pass(&mut message, tag)?;
            }
        }
    }
    Ok(value)
}

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

use std::sync::Arc;

use self::message::{Data, Kind, Metric};
use super::{
    NOT_SPLIT, Scratch,
    index::Index,
    routes::SERVICE_NAME,
    slots::{Place, Slots},
    walk::{self, Item, Route},
};
use crate::{
    model::settings::{Key, RoutingKey},
    otlp::{
        key::{Levels, StreamId, find, to_field},
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
    let mut walk = |index: &mut Index, apart| {
        let Scratch { key: last, maps, levels, .. } = scratch;
        let slots = Slots::new(slot_of, &key.missing, maps, last);
        walk::request::<FULL>(payload, index, ByKey::<_, FULL>::new(&key.key, slots, levels, apart))
    };
    let apart = index.cuts_anywhere();
    walk(index, apart)?;
    if index.metrics_need_taking_apart() {
        index.restart();
        walk(index, true)?;
    }
    index.merge_metrics(payload);
    Ok(())
}

/// Routes metrics and points by any key.
struct ByKey<'a, 's, F, const FULL: bool> {
    key: &'s Key,
    slots: Slots<'a, 's, F>,
    levels: &'s mut Levels,
    /// Take every metric apart, also where all its points go to one place.
    apart: bool,
    /// Where all of the resource group that has begun goes; `None`: the keys are further in.
    resource: Option<Place>,
    /// So for the scope group that has begun.
    scope: Option<Place>,
    /// Hash of the resource's attributes.
    attributes: [u8; 16],
    /// What the streams of the scope group share.
    stream: StreamId,
}

/// A data point.
#[derive(Clone, Copy, Debug)]
struct Point<'a> {
    message: Reader<'a>,
    /// The tag of its attributes.
    attributes: Tag,
}

impl<'a, 's, F: FnMut(&[u8]) -> usize, const FULL: bool> ByKey<'a, 's, F, FULL> {
    fn new(key: &'s Key, slots: Slots<'a, 's, F>, levels: &'s mut Levels, apart: bool) -> Self {
        let attributes = [0; 16];
        Self {
            key,
            slots,
            levels,
            apart,
            resource: (*key == Key::None).then_some(Place::Slot(0)),
            scope: None,
            attributes,
            stream: StreamId::of_scope(attributes, &[], &[], attributes),
        }
    }

    /// By the resource's `service.name`. Without one the Collector drops the whole resource group; if it is empty or
    /// no string, the key is empty.
    fn by_service(&mut self, resource: &Messages<'a>) -> Result<Place, Malformed> {
        let service = find(resource, resource::ATTRIBUTES, SERVICE_NAME.as_bytes())?;
        let name = service.unwrap_or_default().str();
        if !name.is_empty() {
            return Ok(self.slots.of(name));
        }
        match self.slots.without_key()? {
            Some(place) => Ok(place),
            None if service.is_none() => Ok(Place::Nowhere),
            None => Ok(self.slots.of(name)),
        }
    }

    /// Puts a whole metric somewhere.
    fn whole(
        &self,
        place: Place,
        metric: &Metric<'a>,
        item: Item<'a>,
        index: &mut Index,
    ) -> Result<(), Malformed> {
        let Place::Slot(slot) = place else {
            index.drop_items(metric.points());
            return Ok(());
        };
        if !self.apart {
            return index.metric(slot, metric.points(), item.start, item.end);
        }
        take_apart(metric, item, index, |_| Ok(place))?;
        if metric.points() == 0 { index.empty_metric(slot, item.start) } else { Ok(()) }
    }

    /// Puts each point where its key belongs. A metric without points has no key; the Collector loses it too.
    fn points(&mut self, metric: &Metric<'a>, item: Item<'a>, index: &mut Index) -> Result<(), Malformed> {
        let Some(data) = metric.data.filter(|data| data.points > 0) else {
            index.drop_empty_metric();
            return Ok(());
        };
        if let Key::Attributes(names) = self.key {
            return take_apart(metric, item, index, |point| self.by_attributes(names, point));
        }
        let stream = self.stream.of_metric(
            metric.name,
            metric.unit,
            data.kind.number(),
            data.is_monotonic,
            data.temporality,
        );
        take_apart(metric, item, index, |point| {
            let attributes = self.slots.attributes(&point.message.into(), point.attributes)?;
            Ok(self.slots.of_appended(|key| stream.put(attributes, key)))
        })
    }

    fn by_attributes(&mut self, names: &[Arc<str>], point: Point<'a>) -> Result<Place, Malformed> {
        let message = point.message.into();
        self.levels.item(names, |name| find(&message, point.attributes, name.as_bytes()))?;
        if !self.levels.found()
            && let Some(place) = self.slots.without_key()?
        {
            return Ok(place);
        }
        Ok(self.slots.of(self.levels.key()))
    }
}

impl<'a, F: FnMut(&[u8]) -> usize, const FULL: bool> Route<'a> for ByKey<'a, '_, F, FULL> {
    fn reads_resource(&self) -> bool {
        !matches!(self.key, Key::None | Key::Metric)
    }

    fn resource(&mut self, resource: &Messages<'a>) -> Result<(), Malformed> {
        self.slots.begin(resource);
        self.resource = match self.key {
            Key::ServiceName => Some(self.by_service(resource)?),
            Key::Resource => Some(self.slots.of_resource()?),
            Key::Attributes(names) => {
                let is_complete = self.levels.resource(names, resource)?;
                is_complete.then(|| self.slots.of(self.levels.key()))
            }
            Key::Stream => {
                self.attributes = self.slots.resource_attributes()?;
                None
            }
            _ => self.resource,
        };
        Ok(())
    }

    fn reads_scope(&self) -> bool {
        self.resource.is_none() && matches!(self.key, Key::Stream | Key::Attributes(_))
    }

    fn scope(&mut self, scope: &Messages<'a>) -> Result<(), Malformed> {
        if let Key::Attributes(names) = self.key {
            let is_complete = self.levels.scope(names, scope)?;
            self.scope = is_complete.then(|| self.slots.of(self.levels.key()));
            return Ok(());
        }
        let attributes = self.slots.attributes(scope, scope::ATTRIBUTES)?;
        let (name, version) = (last(scope, scope::NAME)?, last(scope, scope::VERSION)?);
        self.stream = StreamId::of_scope(self.attributes, name, version, attributes);
        Ok(())
    }

    fn item(&mut self, item: Item<'a>, index: &mut Index) -> Result<(), Malformed> {
        let metric = Metric::read::<FULL>(item.reader)?;
        index.name_metric(metric.name);
        if metric.has_surplus_data {
            index.replace_data();
        }
        if let Some(place) = self.resource.or(self.scope) {
            self.whole(place, &metric, item, index)
        } else if *self.key == Key::Metric {
            let place = self.slots.of(metric.name);
            self.whole(place, &metric, item, index)
        } else {
            self.points(&metric, item, index)
        }
    }
}

/// Records the fields of a metric and of its data, and puts each point where `place_of` says.
///
/// The metric has been read: what is malformed has been refused.
fn take_apart<'a>(
    metric: &Metric<'a>,
    item: Item<'a>,
    index: &mut Index,
    mut place_of: impl FnMut(Point<'a>) -> Result<Place, Malformed>,
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
        match place_of(Point { message, attributes: kind.attributes() })? {
            Place::Slot(slot) => index.point(slot, start, reader.offset())?,
            Place::Nowhere => index.drop_items(1),
        }
    }
}

/// The last occurrence of a string field, which is the one that counts; empty if there is none.
fn last<'a>(messages: &Messages<'a>, field: Tag) -> Result<&'a [u8], Malformed> {
    let mut value: &[u8] = &[];
    for mut message in messages.iter() {
        while to_field(&mut message, field)? {
            value = message.bytes()?;
        }
    }
    Ok(value)
}

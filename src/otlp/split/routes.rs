//! Routes that spans and log records share: all together, by trace id, by what their resource says.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::marker::PhantomData;

use super::{
    index::Index,
    slots::{Place, Slots},
    walk::{Item, Route},
};
use crate::otlp::{
    key::find,
    wire::{Malformed, Messages, Reader, field::resource},
};

/// The trace id that stands for none. It reads like an absent one everywhere (pdata v1.67.0 `TraceID.IsEmpty`).
pub(super) const NO_TRACE_ID: [u8; 16] = [0; 16];

/// The resource attribute that names a service (OpenTelemetry semantic conventions).
pub(super) const SERVICE_NAME: &str = "service.name";

/// What an item is: a span or a log record, and how thoroughly it is checked.
pub(super) trait Checked {
    /// Walks every field; returns the trace id, the last one if there are several.
    ///
    /// An empty id behind a full one clears it, as protobuf and the Collector have it.
    fn trace_id(item: Reader<'_>) -> Result<Option<&[u8; 16]>, Malformed>;
}

/// Every item into slot 0.
pub(super) struct Together<C>(pub(super) PhantomData<C>);

impl<'a, C: Checked> Route<'a> for Together<C> {
    fn item(&mut self, item: Item<'a>, index: &mut Index) -> Result<(), Malformed> {
        C::trace_id(item.reader)?;
        Place::Slot(0).put(&item, index)
    }
}

/// The key of an item without trace id, where nothing of ours is configured.
pub(super) enum Absent<'s> {
    /// The 16 zero bytes are hashed like any other id (contrib `trace_exporter.go`, v0.161.0).
    Zeros,
    /// Every item gets a key of its own: 4 random bytes and 12 zeros (contrib `log_exporter.go`, v0.161.0).
    Random(&'s mut fastrand::Rng),
}

/// An item to the slot of its trace id: of the 16 bytes, or of their 32 lower-case digits if `HEX`.
///
/// Items of a trace often stand together, so the place of the item before is kept: comparing 16 bytes costs less than
/// hashing them.
pub(super) struct ByTraceId<'a, 's, F, C, const HEX: bool> {
    slots: Slots<'a, 's, F>,
    absent: Absent<'s>,
    last: Option<(&'a [u8; 16], Place)>,
    checked: PhantomData<C>,
}

impl<'a, 's, F: FnMut(&[u8]) -> usize, C, const HEX: bool> ByTraceId<'a, 's, F, C, HEX> {
    pub(super) const fn new(slots: Slots<'a, 's, F>, absent: Absent<'s>) -> Self {
        Self { slots, absent, last: None, checked: PhantomData }
    }

    fn place(&mut self, id: &'a [u8; 16]) -> Result<Place, Malformed> {
        if *id == NO_TRACE_ID {
            if let Some(place) = self.slots.without_key()? {
                return Ok(place);
            }
            if let Absent::Random(random) = &mut self.absent {
                let [a, b, c, d] = random.u32(..).to_le_bytes();
                return Ok(self.hashed(&[a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
            }
        }
        let place = self.hashed(id);
        self.last = Some((id, place));
        Ok(place)
    }

    fn hashed(&mut self, id: &[u8; 16]) -> Place {
        if HEX { self.slots.of(&hex(id)) } else { self.slots.of(id) }
    }
}

impl<'a, F: FnMut(&[u8]) -> usize, C: Checked, const HEX: bool> Route<'a> for ByTraceId<'a, '_, F, C, HEX> {
    fn reads_resource(&self) -> bool {
        self.slots.reads_resource()
    }

    fn resource(&mut self, resource: &Messages<'a>) -> Result<(), Malformed> {
        self.slots.begin(resource);
        Ok(())
    }

    #[inline]
    fn item(&mut self, item: Item<'a>, index: &mut Index) -> Result<(), Malformed> {
        let id = C::trace_id(item.reader)?.unwrap_or(&NO_TRACE_ID);
        let place = match self.last {
            Some((last, place)) if last == id => place,
            _ => self.place(id)?,
        };
        place.put(&item, index)
    }
}

fn hex(id: &[u8; 16]) -> [u8; 32] {
    let mut hex = [0; 32];
    for (digits, byte) in hex.chunks_exact_mut(2).zip(id) {
        digits.copy_from_slice(&[digit(byte >> 4), digit(byte & 0xf)]);
    }
    hex
}

const fn digit(value: u8) -> u8 {
    match value {
        0..=9 => value.wrapping_add(b'0'),
        _ => value.wrapping_add(b'a' - 10),
    }
}

/// What of a resource is the key of all that is in its group.
#[derive(Clone, Copy, Debug)]
pub(super) enum Whole {
    /// The text of `service.name`: a string; everything else is no name, and the key is empty.
    Service,
    /// The identity of the resource.
    Identity,
}

/// An item to the slot of its resource.
pub(super) struct ByResource<'a, 's, F, C> {
    slots: Slots<'a, 's, F>,
    whole: Whole,
    place: Place,
    checked: PhantomData<C>,
}

impl<'a, 's, F: FnMut(&[u8]) -> usize, C> ByResource<'a, 's, F, C> {
    pub(super) const fn new(slots: Slots<'a, 's, F>, whole: Whole) -> Self {
        Self { slots, whole, place: Place::Nowhere, checked: PhantomData }
    }

    fn service(&mut self, resource: &Messages<'a>) -> Result<Place, Malformed> {
        let service = find(resource, resource::ATTRIBUTES, SERVICE_NAME.as_bytes())?;
        let name = service.unwrap_or_default().str();
        if name.is_empty()
            && let Some(place) = self.slots.without_key()?
        {
            return Ok(place);
        }
        Ok(self.slots.of(name))
    }
}

impl<'a, F: FnMut(&[u8]) -> usize, C: Checked> Route<'a> for ByResource<'a, '_, F, C> {
    fn reads_resource(&self) -> bool {
        true
    }

    fn resource(&mut self, resource: &Messages<'a>) -> Result<(), Malformed> {
        self.slots.begin(resource);
        self.place = match self.whole {
            Whole::Service => self.service(resource)?,
            Whole::Identity => self.slots.of_resource()?,
        };
        Ok(())
    }

    fn item(&mut self, item: Item<'a>, index: &mut Index) -> Result<(), Malformed> {
        C::trace_id(item.reader)?;
        self.place.put(&item, index)
    }
}

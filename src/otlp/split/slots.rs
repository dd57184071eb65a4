//! From key bytes to places, and what becomes of items that have no key.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use super::{index::Index, walk::Item};
use crate::{
    model::settings::MissingKey,
    otlp::{
        key::{MapHasher, put_resource},
        wire::{Malformed, Messages, Tag, field::resource},
    },
};

/// Where an item goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Slot(usize),
    /// It is dropped, and counted.
    Nowhere,
}

impl Place {
    /// Puts an item there.
    #[inline]
    pub(super) fn put(self, item: &Item<'_>, index: &mut Index) -> Result<(), Malformed> {
        match self {
            Self::Slot(slot) => index.item(slot, item.start, item.end),
            Self::Nowhere => {
                index.drop_items(1);
                Ok(())
            }
        }
    }
}

/// Finds the places of keys. Neighbours often share a key, so the last one stays at hand.
pub(super) struct Slots<'a, 's, F> {
    slot_of: &'s mut F,
    /// The last key that `slot_of` was asked for, and its answer.
    last: &'s mut Vec<u8>,
    last_slot: Option<usize>,
    missing: &'s MissingKey,
    maps: &'s mut MapHasher,
    resource: Messages<'a>,
    /// Where items of this resource without key go, once one has been seen.
    instead: Option<Place>,
}

impl<'a, 's, F: FnMut(&[u8]) -> usize> Slots<'a, 's, F> {
    /// `last` is scratch space.
    pub(super) fn new(
        slot_of: &'s mut F,
        missing: &'s MissingKey,
        maps: &'s mut MapHasher,
        last: &'s mut Vec<u8>,
    ) -> Self {
        let resource = Messages::default();
        Self { slot_of, last, last_slot: None, missing, maps, resource, instead: None }
    }

    /// Whether [`begin`](Self::begin) needs to be called.
    pub(super) const fn reads_resource(&self) -> bool {
        matches!(self.missing, MissingKey::Resource)
    }

    /// A resource group begins.
    pub(super) fn begin(&mut self, resource: &Messages<'a>) {
        self.resource.clone_from(resource);
        self.instead = None;
    }

    /// The place of a key.
    #[inline]
    pub(super) fn of(&mut self, key: &[u8]) -> Place {
        match self.last_slot {
            Some(slot) if self.last == key => Place::Slot(slot),
            _ => {
                self.last.clear();
                self.last.extend_from_slice(key);
                self.ask()
            }
        }
    }

    /// The place of the key that is appended.
    #[inline]
    pub(super) fn of_appended(&mut self, append: impl FnOnce(&mut Vec<u8>)) -> Place {
        // Behind the last key, to be compared with it and to take its place.
        let length = self.last.len();
        append(self.last);
        let same = self.last.split_at_checked(length).is_some_and(|(last, this)| last == this);
        self.last.drain(..length);
        match self.last_slot {
            Some(slot) if same => Place::Slot(slot),
            _ => self.ask(),
        }
    }

    /// The place of the identity of the resource that has begun.
    pub(super) fn of_resource(&mut self) -> Result<Place, Malformed> {
        let attributes = self.resource_attributes()?;
        Ok(self.of_appended(|key| put_resource(key, attributes)))
    }

    /// The hash of the attributes of the resource that has begun.
    pub(super) fn resource_attributes(&mut self) -> Result<[u8; 16], Malformed> {
        self.maps.hash(&self.resource, resource::ATTRIBUTES)
    }

    /// The hash of attributes further in.
    #[inline]
    pub(super) fn attributes(&mut self, messages: &Messages<'_>, field: Tag) -> Result<[u8; 16], Malformed> {
        self.maps.hash(messages, field)
    }

    /// The place of an item without key; `None` if the Collector's rule for its signal and key is in force.
    pub(super) fn without_key(&mut self) -> Result<Option<Place>, Malformed> {
        if self.instead.is_none() {
            self.instead = match self.missing {
                MissingKey::Compatible => None,
                MissingKey::Resource => Some(self.of_resource()?),
                MissingKey::Fixed(text) => Some(self.of(text.as_bytes())),
                MissingKey::Drop => Some(Place::Nowhere),
            };
        }
        Ok(self.instead)
    }

    /// Asks for the key in `last`.
    fn ask(&mut self) -> Place {
        let slot = (self.slot_of)(self.last);
        self.last_slot = Some(slot);
        Place::Slot(slot)
    }
}

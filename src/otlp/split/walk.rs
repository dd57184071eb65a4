//! Walks the levels that the three signals share: request, resource group, scope group.
//!
//! Feeds the index: a group is opened, its items are put into slots, and its own fields are recorded as ranges of the
//! payload. What an item is and where it goes is the closure's affair.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use super::index::Index;
use crate::otlp::{
    check,
    wire::{
        Malformed, Reader, Tag, WireType,
        field::{request, resource_group, scope_group},
    },
};

/// Indexes a whole request. `slot_of` checks an item and says where it goes.
///
/// # Errors
///
/// What `slot_of` refuses, and what is malformed in the levels above it. Resource and scope themselves are checked
/// field by field, and in depth if `FULL`.
pub(super) fn request<'a, const FULL: bool>(
    payload: &'a [u8],
    index: &mut Index,
    slot_of: impl FnMut(Reader<'a>) -> Result<usize, Malformed>,
) -> Result<(), Malformed> {
    if u32::try_from(payload.len()).is_err() {
        return Err(Malformed { offset: 0, what: "request is longer than 4 GiB" });
    }
    Walk { payload, index, slot_of }.request::<FULL>()
}

struct Walk<'a, 'i, F> {
    payload: &'a [u8],
    index: &'i mut Index,
    slot_of: F,
}

impl<'a, F: FnMut(Reader<'a>) -> Result<usize, Malformed>> Walk<'a, '_, F> {
    fn request<const FULL: bool>(&mut self) -> Result<(), Malformed> {
        let mut reader = Reader::new(self.payload);
        loop {
            let start = reader.offset();
            let Some(tag) = reader.tag()? else { return Ok(()) };
            match tag {
                request::RESOURCES => self.resource_group::<FULL>(reader.message()?)?,
                other => {
                    reader.skip_unknown(other, &request::KNOWN)?;
                    self.index.request_field(start, reader.offset());
                }
            }
        }
    }

    fn resource_group<const FULL: bool>(&mut self, reader: Reader<'a>) -> Result<(), Malformed> {
        self.index.open_resource();
        let found = self.resource_fields::<FULL>(reader, resource_group::SCOPES)?;
        if found == (Found { scopes: false, libraries: true }) {
            // A sender from before mid-2022. Only the group's own fields are indexed so far: read it again.
            self.index.reopen_resource();
            self.resource_fields::<FULL>(reader, resource_group::LIBRARIES)?;
        }
        self.index.close_resource(self.payload);
        Ok(())
    }

    fn resource_fields<const FULL: bool>(
        &mut self,
        mut reader: Reader<'a>,
        children: Tag,
    ) -> Result<Found, Malformed> {
        let mut found = Found::default();
        loop {
            let start = reader.offset();
            let Some(tag) = reader.tag()? else { return Ok(found) };
            match tag {
                child if child == children => {
                    found.scopes = true;
                    self.scope_group::<FULL>(reader.message()?)?;
                    continue;
                }
                resource_group::RESOURCE => check::resource::<FULL>(reader.message()?)?,
                resource_group::SCHEMA_URL if FULL => check::string(&mut reader)?,
                resource_group::SCHEMA_URL => reader.skip(WireType::Len)?,
                resource_group::LIBRARIES => {
                    found.libraries = true;
                    reader.skip(WireType::Len)?;
                }
                other if other.number() == resource_group::LIBRARIES.number() => {
                    reader.skip_unknown(other, &(other.number()..=other.number()))?;
                }
                other => reader.skip_unknown(other, &resource_group::KNOWN)?,
            }
            self.index.resource_field(start, reader.offset());
        }
    }

    fn scope_group<const FULL: bool>(&mut self, mut reader: Reader<'a>) -> Result<(), Malformed> {
        self.index.open_scope();
        loop {
            let start = reader.offset();
            let Some(tag) = reader.tag()? else { return Ok(()) };
            match tag {
                scope_group::ITEMS => {
                    let slot = (self.slot_of)(reader.message()?)?;
                    self.index.item(slot, start, reader.offset())?;
                    continue;
                }
                scope_group::SCOPE => check::scope::<FULL>(reader.message()?)?,
                scope_group::SCHEMA_URL if FULL => check::string(&mut reader)?,
                scope_group::SCHEMA_URL => reader.skip(WireType::Len)?,
                other => reader.skip_unknown(other, &scope_group::KNOWN)?,
            }
            self.index.scope_field(start, reader.offset());
        }
    }
}

/// What a resource group holds besides its own fields.
#[derive(Default, PartialEq, Eq)]
struct Found {
    /// Children of the tag that was asked for.
    scopes: bool,
    /// Field 1000, taken for one of the group's own fields.
    libraries: bool,
}

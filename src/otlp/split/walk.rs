//! Walks the levels that the three signals share: request, resource group, scope group.
//!
//! Feeds the index: a group is opened, its items are put into slots, and its own fields are recorded as ranges of the
//! payload. What an item is and where it goes is the affair of the signal's [`Route`].
//!
//! A sender may write a group's resource or scope behind its items (the Collector does: it writes fields in descending
//! order). A route that needs them to find a slot gets them before the items, by a look ahead over the group's fields.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use super::index::Index;
use crate::otlp::{
    check,
    wire::{
        Malformed, Messages, Reader, Tag, WireType,
        field::{request, resource_group, scope_group},
    },
};

/// Finds the slot of every item of one signal.
///
/// Called in the order of the request: `resource` for each resource group, `scope` for each scope group in it, `item` for
/// each item of that.
pub(super) trait Route<'a> {
    /// Whether [`resource`](Self::resource) is to be called.
    fn reads_resource(&self) -> bool {
        false
    }

    /// A resource group begins, with this resource (no message: an empty one).
    fn resource(&mut self, _resource: &Messages<'a>) -> Result<(), Malformed> {
        Ok(())
    }

    /// Whether [`scope`](Self::scope) is to be called in the resource group that has begun.
    fn reads_scope(&self) -> bool {
        false
    }

    /// A scope group begins, with this scope (no message: an empty one).
    fn scope(&mut self, _scope: &Messages<'a>) -> Result<(), Malformed> {
        Ok(())
    }

    /// Checks an item and puts it into the index.
    fn item(&mut self, item: Item<'a>, index: &mut Index) -> Result<(), Malformed>;
}

/// A span, metric or log record where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item<'a> {
    pub(super) reader: Reader<'a>,
    /// Offsets in the payload, tag and length included.
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Indexes a whole request.
///
/// # Errors
///
/// What the route refuses, and what is malformed in the levels above the items. Resource and scope themselves are checked
/// field by field, and in depth if `FULL`.
pub(super) fn request<'a, const FULL: bool>(
    payload: &'a [u8],
    index: &mut Index,
    route: impl Route<'a>,
) -> Result<(), Malformed> {
    if u32::try_from(payload.len()).is_err() {
        return Err(Malformed { offset: 0, what: "request is longer than 4 GiB" });
    }
    Walk { payload, index, route }.request::<FULL>()
}

struct Walk<'a, 'i, R> {
    payload: &'a [u8],
    index: &'i mut Index,
    route: R,
}

impl<'a, R: Route<'a>> Walk<'a, '_, R> {
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
        if self.route.reads_resource() {
            self.route.resource(&Messages::ahead(reader, resource_group::RESOURCE))?;
        }
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
        if self.route.reads_scope() {
            self.route.scope(&Messages::ahead(reader, scope_group::SCOPE))?;
        }
        loop {
            let start = reader.offset();
            let Some(tag) = reader.tag()? else { return Ok(()) };
            match tag {
                scope_group::ITEMS => {
                    let item = Item { reader: reader.message()?, start, end: reader.offset() };
                    self.route.item(item, self.index)?;
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

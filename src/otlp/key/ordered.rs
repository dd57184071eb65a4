//! Keys of several attributes whose segments stand in the configured order, whichever level has them. Traces; logs and
//! metrics go level by level ([`levels`](super::levels)).
//!
//! Source: contrib `exporter/loadbalancingexporter/trace_exporter.go` (v0.161.0), `routingIdentifiersFromTraces`.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::ops::Range;

use super::{
    Budget, put_segment, trim,
    value::{Value, find},
};
use crate::otlp::wire::{
    Malformed, Messages, Tag,
    field::{resource, scope},
};

/// A key while it is put together; scratch space. What a level has is found once, for everything below it.
///
/// Every call gets the same configured names, and the same `counts`: whether a value makes the key one that is not
/// missing.
#[derive(Debug, Default)]
pub(in crate::otlp) struct Ordered {
    /// The segments that resource and scope have.
    known: Vec<u8>,
    /// One for each name.
    segments: Vec<Segment>,
    /// How much of `known` comes from the resource.
    resource: usize,
    pending_on_resource: bool,
    key: Vec<u8>,
    found: bool,
    budget: Budget,
}

/// Where in `known` a segment stands; an empty range if neither resource nor scope has the attribute.
#[derive(Clone, Debug, Default)]
struct Segment {
    range: Range<usize>,
    counts: bool,
}

impl Ordered {
    /// A request of that many bytes begins, which bounds its keys: [`item`](Self::item) fails when they are too long
    /// together.
    pub(in crate::otlp) const fn begin(&mut self, request: usize) {
        self.budget = Budget::of(request);
    }

    /// A resource group begins. Returns whether its resource has all names.
    pub(in crate::otlp) fn resource(
        &mut self,
        names: &[impl AsRef<str>],
        counts: fn(&Value<'_>) -> bool,
        resource: &Messages<'_>,
    ) -> Result<bool, Malformed> {
        self.known.clear();
        self.segments.clear();
        self.segments.resize(names.len(), Segment::default());
        self.pending_on_resource = self.level(names, counts, resource, resource::ATTRIBUTES)?;
        self.resource = self.known.len();
        Ok(!self.pending_on_resource)
    }

    /// Whether the resource of the group that has begun has all names.
    pub(in crate::otlp) const fn resource_is_complete(&self) -> bool {
        !self.pending_on_resource
    }

    /// A scope group begins. Returns whether its scope has the rest of the names.
    pub(in crate::otlp) fn scope(
        &mut self,
        names: &[impl AsRef<str>],
        counts: fn(&Value<'_>) -> bool,
        scope: &Messages<'_>,
    ) -> Result<bool, Malformed> {
        self.known.truncate(self.resource);
        for segment in &mut self.segments {
            if segment.range.end > self.resource {
                *segment = Segment::default();
            }
        }
        let pending = self.level(names, counts, scope, scope::ATTRIBUTES)?;
        Ok(!pending)
    }

    /// Puts the key together. `value_of` finds an attribute of the item, and is asked for the names that neither
    /// resource nor scope has.
    pub(in crate::otlp) fn item<'a>(
        &mut self,
        names: &[impl AsRef<str>],
        counts: fn(&Value<'_>) -> bool,
        mut value_of: impl FnMut(&str) -> Result<Option<Value<'a>>, Malformed>,
    ) -> Result<(), Malformed> {
        self.key.clear();
        self.found = false;
        for (name, segment) in names.iter().zip(&self.segments) {
            if segment.range.is_empty() {
                let value = value_of(name.as_ref())?;
                self.found |= value.as_ref().is_some_and(counts);
                put_segment(&mut self.key, name.as_ref(), value.as_ref())?;
            } else {
                self.found |= segment.counts;
                self.key.extend_from_slice(self.known.get(segment.range.clone()).unwrap_or_default());
            }
        }
        self.budget.take(self.key.len())
    }

    /// Gives back what unusually long values needed.
    pub(in crate::otlp) fn trim(&mut self) {
        trim(&mut self.known);
        trim(&mut self.key);
    }

    /// The key that [`item`](Self::item) has put together.
    pub(in crate::otlp) fn key(&self) -> &[u8] {
        &self.key
    }

    /// Whether any value in it counts.
    pub(in crate::otlp) const fn found(&self) -> bool {
        self.found
    }

    /// Finds the names that are still unknown. Returns whether any is after that.
    fn level(
        &mut self,
        names: &[impl AsRef<str>],
        counts: fn(&Value<'_>) -> bool,
        messages: &Messages<'_>,
        attributes: Tag,
    ) -> Result<bool, Malformed> {
        let mut pending = false;
        for (name, segment) in names.iter().zip(&mut self.segments) {
            if !segment.range.is_empty() {
                continue;
            }
            let name = name.as_ref();
            let Some(value) = find(messages, attributes, name.as_bytes())? else {
                pending = true;
                continue;
            };
            let start = self.known.len();
            put_segment(&mut self.known, name, Some(&value))?;
            *segment = Segment { range: start..self.known.len(), counts: counts(&value) };
        }
        Ok(pending)
    }
}

//! Keys of several attributes whose segments stand level by level: what the resource has, then what the scope has, then
//! the rest. Logs and metrics; traces keep the configured order ([`ordered`](super::ordered)).
//!
//! Source: contrib `exporter/loadbalancingexporter` (v0.161.0), `log_exporter.go` and `metrics_exporter.go`.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::sync::Arc;

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
/// Every call gets the same configured names.
#[derive(Debug, Default)]
pub(in crate::otlp) struct Levels {
    key: Vec<u8>,
    /// Positions of the names that the resource does not have, and behind them of those that the scope has neither.
    pending: Vec<usize>,
    resource: Level,
    scope: Level,
    found: usize,
    budget: Budget,
}

/// What is known above a level: lengths.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    key: usize,
    pending: usize,
}

impl Levels {
    /// A request of that many bytes begins, which bounds its keys: the other calls fail when they are too long together.
    pub(in crate::otlp) const fn begin(&mut self, request: usize) {
        self.budget = Budget::of(request);
    }

    /// A resource group begins. Returns whether its resource has all names: the key is complete then.
    pub(in crate::otlp) fn resource(
        &mut self,
        names: &[Arc<str>],
        resource: &Messages<'_>,
    ) -> Result<bool, Malformed> {
        self.key.clear();
        self.pending.clear();
        for (at, name) in names.iter().enumerate() {
            self.level(at, name, resource, resource::ATTRIBUTES)?;
        }
        self.found = names.len().saturating_sub(self.pending.len());
        self.resource = Level { key: self.key.len(), pending: self.pending.len() };
        self.scope = self.resource;
        self.budget.take(self.key.len())?;
        Ok(self.pending.is_empty())
    }

    /// Whether the resource of the group that has begun has all names.
    pub(in crate::otlp) const fn resource_is_complete(&self) -> bool {
        self.resource.pending == 0
    }

    /// A scope group begins. Returns whether its scope has the rest of the names.
    pub(in crate::otlp) fn scope(
        &mut self,
        names: &[Arc<str>],
        scope: &Messages<'_>,
    ) -> Result<bool, Malformed> {
        let Level { key, pending } = self.resource;
        self.key.truncate(key);
        self.pending.truncate(pending);
        for at in 0..pending {
            if let Some(&at) = self.pending.get(at)
                && let Some(name) = names.get(at)
            {
                self.level(at, name, scope, scope::ATTRIBUTES)?;
            }
        }
        let missing = self.pending.len().saturating_sub(pending);
        self.found = names.len().saturating_sub(missing);
        self.scope = Level { key: self.key.len(), pending };
        self.budget.take(self.key.len())?;
        Ok(missing == 0)
    }

    /// An item: takes what neither resource nor scope has from it. `value_of` finds an attribute of the item.
    pub(in crate::otlp) fn item<'a>(
        &mut self,
        names: &[Arc<str>],
        mut value_of: impl FnMut(&str) -> Result<Option<Value<'a>>, Malformed>,
    ) -> Result<(), Malformed> {
        self.key.truncate(self.scope.key);
        let pending = self.pending.get(self.scope.pending..).unwrap_or_default();
        self.found = names.len().saturating_sub(pending.len());
        for &at in pending {
            let Some(name) = names.get(at) else { continue };
            let value = value_of(name)?;
            self.found = self.found.saturating_add(usize::from(value.is_some()));
            put_segment(&mut self.key, name, value.as_ref())?;
        }
        self.budget.take(self.key.len())
    }

    /// Gives back what unusually long values needed.
    pub(in crate::otlp) fn trim(&mut self) {
        trim(&mut self.key);
    }

    /// The key of the last call: complete where that returned `true`, and behind [`item`](Self::item).
    pub(in crate::otlp) fn key(&self) -> &[u8] {
        &self.key
    }

    /// Whether any of the names has been found, up to the last call.
    pub(in crate::otlp) const fn found(&self) -> bool {
        self.found > 0
    }

    fn level(
        &mut self,
        at: usize,
        name: &str,
        messages: &Messages<'_>,
        attributes: Tag,
    ) -> Result<(), Malformed> {
        match find(messages, attributes, name.as_bytes())? {
            None => self.pending.push(at),
            Some(value) => put_segment(&mut self.key, name, Some(&value))?,
        }
        Ok(())
    }
}

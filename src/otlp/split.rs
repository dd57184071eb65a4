//! Splits one serialized export request into one part for each slot, in two passes.
//!
//! Stage: engine, called by `router`. Owns which bytes go where; knows no ring and no backend: slots come from a
//! closure.
//!
//! **Index pass** ([`Splitter::plan`]). Walks request → resource group → scope group → span, metric or log record
//! ([`walk`]), asks the signal's own file ([`traces`], [`metrics`], [`logs`]) for the slot of each item and records byte
//! ranges ([`index`]): no item is copied, none is built. Then lays out each part as a list of frames with exact lengths
//! ([`layout`]).
//!
//! **Append pass** ([`Plan::append`]). Writes the frames of one slot: a resource group with its own fields, the scope
//! groups in it with theirs, and the items, byte for byte.
//!
//! Items are spans, log records and data points. A metric is a group around its points like a resource or a scope: its own
//! fields are name, description, unit, metadata and the kind of its data with all fields of that but the points.
//!
//! What a part holds:
//!
//! - every item of its slot, in the order of the request within one group, with tag and length as they were. Metrics that
//!   are neither cut nor merged move whole, byte for byte;
//! - one resource group, one scope group and one metric for each *distinct* resource, scope and metric among them: groups
//!   that are equal byte for byte in all fields but their items are merged, adjacent or not, under every routing key. (The
//!   first [`groups::DISTINCT`] of a request are remembered; later ones are repeated, never lost);
//! - all other fields of these groups, schema URL and unknown fields included, in their order and in front of the
//!   items; unknown fields of the request itself, in front of everything;
//! - at least one item. Groups without items vanish. Metrics without points go along where resources, scopes or metrics
//!   are routed, unless their part has no point; where points are routed they are left out. Those left out are counted
//!   in [`Dropped::empty_metrics`].
//!
//! A request whose items all go to one slot is copied whole instead, unless something of it must not go out: items without
//! a key, metrics without points, or data of a metric that other data of the same metric replaces. (The Collector lets the
//! last member of that oneof count; its points are the metric's only ones.)
//!
//! The deprecated field 1000 of a resource group (`instrumentation_library_*`) is treated as opentelemetry-proto
//! v0.19.0 tells receivers to, and as the Collector does: if the group has no scope groups it holds the items, which
//! leave as ordinary scope groups; otherwise it holds none, and is passed on like an unknown field.

mod groups;
mod index;
mod layout;
mod logs;
mod metrics;
mod mini_batches;
mod routes;
mod slots;
mod traces;
mod walk;

#[cfg(test)]
pub(super) mod tests;

use std::fmt;

pub use self::index::Dropped;
use self::{
    index::{Index, Runs},
    layout::Layout,
    mini_batches::MiniBatches,
};
use super::{
    key::{self, Levels, MapHasher, Ordered},
    wire::Malformed,
};
use crate::model::{
    Signal,
    settings::{Key, RoutingKey, Validation},
};

/// Reusable scratch space of the two passes. One for each thread; a plan borrows it.
///
/// Requests of up to about 16,000 items are planned without allocation once it is warm. What a larger one needed is
/// freed when its plan is dropped: an idle splitter holds about 200 kB after requests of 8,192 spans, and never more
/// than 6 MB and 16 bytes for each slot.
#[derive(Debug)]
pub struct Splitter {
    index: Index,
    layout: Layout,
    scratch: Scratch,
}

/// What finding keys needs.
#[derive(Debug)]
struct Scratch {
    /// Key bytes that are put together.
    key: Vec<u8>,
    maps: MapHasher,
    levels: Levels,
    ordered: Ordered,
    mini_batches: MiniBatches,
    /// For log records without trace id.
    random: fastrand::Rng,
}

/// The result of the index pass: which bytes go to which slot.
pub struct Plan<'a> {
    payload: &'a [u8],
    index: &'a mut Index,
    layout: &'a mut Layout,
}

impl Splitter {
    /// Empty scratch space. `seed` is of the random keys that log records without trace id get where nothing else is
    /// configured.
    pub fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let scratch = Scratch {
            key: Vec::new(),
            maps: MapHasher::default(),
            levels: Levels::default(),
            ordered: Ordered::default(),
            mini_batches: MiniBatches::new(&mut random),
            random,
        };
        Self { index: Index::new(), layout: Layout::new(), scratch }
    }

    /// Index pass: checks the request and assigns every item to a slot.
    ///
    /// `payload` is an `Export…ServiceRequest`, uncompressed. `slot_of` maps key bytes to a slot below `slots`; it is not
    /// asked again for an item whose key equals that of the item before. Key bytes of [`Key::TraceId`]: the 16
    /// bytes of the last `trace_id` of the span, 16 zeros if it has none.
    ///
    /// Time and scratch space are linear in the request; it is walked a second time if metrics in it may have to be merged.
    /// Parts together can be longer than the request, because each repeats the groups it needs: the caller compares
    /// [`Plan::parts`] with its limits before it appends.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if the request is not valid at the given level or is longer than 4 GiB; if an attribute that a key is
    /// made of is not valid, at whatever level; if the signal has no such key; and if `slot_of` leaves its range.
    pub fn plan<'a>(
        &'a mut self,
        signal: Signal,
        payload: &'a [u8],
        key: &RoutingKey,
        validation: Validation,
        slots: usize,
        mut slot_of: impl FnMut(&[u8]) -> usize,
    ) -> Result<Plan<'a>, Malformed> {
        self.index.reset(slots, Runs::Joined);
        match validation {
            Validation::Structure => self.index::<false>(signal, payload, key, &mut slot_of),
            Validation::Full => self.index::<true>(signal, payload, key, &mut slot_of),
        }?;
        let Self { index, layout, .. } = self;
        layout.by_slot(index, payload.len());
        Ok(Plan { payload, index, layout })
    }

    /// Index pass for a request that is too large for one message: consecutive items into as many slots as are
    /// needed so that no part exceeds `max_bytes` or `max_items`. An item that alone does not fit gets a slot of its own
    /// whose part exceeds `max_bytes`; the caller drops it.
    ///
    /// A request that fits is copied whole. Groups are not merged: items keep the order of the request across parts.
    /// Metrics are cut between data points. Metrics without points go along as long as they fit into a part that has some;
    /// the others are counted as dropped.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if the request is not valid at the structure level or is longer than 4 GiB.
    pub fn plan_by_size<'a>(
        &'a mut self,
        signal: Signal,
        payload: &'a [u8],
        max_bytes: usize,
        max_items: usize,
    ) -> Result<Plan<'a>, Malformed> {
        self.index.reset(1, Runs::Single);
        self.index::<false>(signal, payload, &RoutingKey::compatible(Key::None), &mut |_| 0)?;
        let Self { index, layout, .. } = self;
        layout.by_size(index, payload.len(), max_bytes, max_items);
        Ok(Plan { payload, index, layout })
    }

    fn index<const FULL: bool>(
        &mut self,
        signal: Signal,
        payload: &[u8],
        key: &RoutingKey,
        slot_of: &mut impl FnMut(&[u8]) -> usize,
    ) -> Result<(), Malformed> {
        let Self { index, scratch, .. } = self;
        scratch.levels.begin(payload.len());
        scratch.ordered.begin(payload.len());
        let read = match signal {
            Signal::Traces => traces::index::<FULL>(payload, index, key, scratch, slot_of),
            Signal::Metrics => metrics::index::<FULL>(payload, index, key, scratch, slot_of),
            Signal::Logs => logs::index::<FULL>(payload, index, key, scratch, slot_of),
        };
        if read.is_err() {
            index.trim();
        }
        scratch.trim();
        read
    }
}

/// For keys that belong to other signals. `config` refuses them: this is not the sender's fault.
const NOT_SPLIT: Malformed =
    Malformed { offset: 0, what: "requests of this signal are not split by such a key" };

impl Scratch {
    /// Gives back what an unusual request needed.
    fn trim(&mut self) {
        key::trim(&mut self.key);
        self.maps.trim();
        self.levels.trim();
        self.ordered.trim();
        self.mini_batches.trim();
    }
}

// === impl Plan ===

impl Plan<'_> {
    /// Items in the whole request: spans, log records or data points, dropped ones included.
    pub fn items(&self) -> usize {
        self.index.items
    }

    /// Items that go out of each resource group of the request, in its order.
    pub(super) fn items_by_resource_group(&self) -> Vec<usize> {
        self.index.items_by_resource_group()
    }

    /// What goes to no slot.
    pub const fn dropped(&self) -> Dropped {
        self.index.dropped
    }

    /// Slots that get something: (slot, items, exact bytes of the part), ascending by slot. Each has at least one item;
    /// a request without items has no parts.
    pub fn parts(&self) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
        self.layout.parts().iter().map(|part| (part.slot, part.items, part.bytes))
    }

    /// Append pass: writes the part of one slot, a complete serialized request, behind what `out` holds.
    /// A request whose items all go to one slot is copied whole, unknown fields of the request included.
    ///
    /// Appends nothing for a slot that [`parts`](Self::parts) does not name. Copies each item once.
    pub fn append(&self, slot: usize, out: &mut Vec<u8>) {
        self.layout.append(self.index, self.payload, slot, out);
    }
}

impl fmt::Debug for Plan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("payload_bytes", &self.payload.len())
            .field("parts", &self.layout.parts())
            .finish_non_exhaustive()
    }
}

impl Drop for Plan<'_> {
    fn drop(&mut self) {
        self.index.trim();
        self.layout.trim();
    }
}

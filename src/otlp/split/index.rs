//! What the index pass records: groups, and the byte ranges of the items that go to each slot.
//!
//! Flat tables that are cleared, not freed, between requests. Positions in the payload and in other tables are `u32`,
//! which halves what the two passes pull through the cache; `walk` refuses longer payloads.
//!
//! ```text
//! slot ─► share ─► share ─► …      one for each scope group with items of that slot, in the order of the request
//!           │
//!           └─► run ─► run ─► …    ranges of the payload: neighbouring items of the slot, tags included
//! ```
//!
//! Metrics are recorded in one of two ways. *Whole*: as items of their scope group, each counted as its data points.
//! *Taken apart*: the metric and its data are groups, the points their items, and shares are of metrics.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

mod metrics;

use super::groups::{Distinct, Groups, Names, Piece, push};
use crate::otlp::wire::{
    Malformed,
    field::{request, resource_group},
};

/// Entries of each table that an idle splitter keeps: enough for a request of 8,192 spans, the default of the
/// Collector's batch processor, whatever its shape.
const KEEP: usize = 16_384;

/// Ends a list.
pub(super) const NONE: u32 = u32::MAX;

/// Whether neighbouring items become one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runs {
    /// They do: one copy moves them all.
    Joined,
    /// Each item is a run, because cuts may fall between any two. Equal groups are not looked for either.
    Single,
}

/// Records of one request.
#[derive(Debug)]
pub(super) struct Index {
    mode: Runs,
    /// Fields of the request that are not resource groups.
    request: Vec<Piece>,
    /// Their length.
    pub(super) request_bytes: usize,
    /// Resource groups.
    pub(super) resources: Groups,
    /// Scope groups of all resource groups.
    pub(super) scopes: Groups,
    /// Metrics of all scope groups that are taken apart.
    pub(super) metrics: Groups,
    /// The data of each of them, at the same number.
    pub(super) data: Groups,
    slots: Vec<Slot>,
    /// Slots with items, in the order of their first item.
    pub(super) touched: Vec<u32>,
    pub(super) shares: Vec<Share>,
    pub(super) runs: Vec<Run>,
    distinct: Distinct,
    distinct_metrics: Distinct,
    names: Names,
    /// Scope groups whose resource group is closed.
    closed_scopes: u32,
    /// Whether there may be equal metrics: in two equal scope groups, or of one name in one scope group.
    similar_metrics: bool,
    /// Whether some metric is not taken apart.
    whole_metrics: bool,
    /// Whether some metric has data that must not be passed on.
    surplus_data: bool,
    /// Some group equals an earlier one.
    pub(super) repeats: bool,
    /// The request is not what goes out even if all goes to one slot: items came out of the deprecated field, or
    /// something was left out.
    pub(super) altered: bool,
    /// In the whole request, dropped ones too.
    pub(super) items: usize,
    pub(super) dropped: Dropped,
}

/// What a plan leaves out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Items that have no key, where such are dropped. They are among [`Plan::items`](super::Plan::items).
    pub without_key: usize,
    /// Metrics without data points: those that would have been all of a part, and, where data points are what is
    /// routed, all of them, because there is nothing to take a key from.
    pub empty_metrics: usize,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    first_share: u32,
    last_share: u32,
    /// Of `last_share`.
    leaf: Leaf,
}

const UNTOUCHED: Slot =
    Slot { first_share: NONE, last_share: NONE, leaf: Leaf { scope: NONE, metric: NONE } };

/// The innermost group around items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leaf {
    pub(super) scope: u32,
    /// [`NONE`] unless the items are points of a metric that is taken apart.
    pub(super) metric: u32,
}

/// The items of one leaf that go to one slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) leaf: Leaf,
    pub(super) items: u32,
    /// Metrics without points among them.
    pub(super) empty_metrics: u32,
    /// Of all items, tags and lengths included.
    pub(super) bytes: u32,
    pub(super) first_run: u32,
    pub(super) last_run: u32,
    /// The next share of the slot.
    pub(super) next: u32,
}

/// Items that stand next to each other in the payload and go to the same place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    piece: Piece,
    pub(super) next: u32,
}

// === impl Index ===

impl Index {
    pub(super) fn new() -> Self {
        Self {
            mode: Runs::Joined,
            request: Vec::new(),
            request_bytes: 0,
            resources: Groups::default(),
            scopes: Groups::default(),
            metrics: Groups::default(),
            data: Groups::default(),
            slots: Vec::new(),
            touched: Vec::new(),
            shares: Vec::new(),
            runs: Vec::new(),
            distinct: Distinct::default(),
            distinct_metrics: Distinct::default(),
            names: Names::default(),
            closed_scopes: 0,
            similar_metrics: false,
            whole_metrics: false,
            surplus_data: false,
            repeats: false,
            altered: false,
            items: 0,
            dropped: Dropped::default(),
        }
    }

    /// Forgets the last request.
    pub(super) fn reset(&mut self, slots: usize, mode: Runs) {
        self.mode = mode;
        self.request.clear();
        self.request_bytes = 0;
        self.resources.clear();
        self.scopes.clear();
        self.metrics.clear();
        self.data.clear();
        for slot in self.touched.drain(..) {
            if let Some(slot) = self.slots.get_mut(wide(slot)) {
                *slot = UNTOUCHED;
            }
        }
        self.slots.resize(slots, UNTOUCHED);
        self.shares.clear();
        self.runs.clear();
        self.distinct.clear();
        self.distinct_metrics.clear();
        self.names.clear();
        self.closed_scopes = 0;
        self.similar_metrics = false;
        self.whole_metrics = false;
        self.surplus_data = false;
        self.repeats = false;
        self.altered = false;
        self.items = 0;
        self.dropped = Dropped::default();
    }

    /// Forgets what is recorded of this request.
    pub(super) fn restart(&mut self) {
        self.reset(self.slots.len(), self.mode);
    }

    /// Frees what an unusually large request needed. The records are gone then.
    pub(super) fn trim(&mut self) {
        trim(&mut self.request);
        self.resources.trim();
        self.scopes.trim();
        self.metrics.trim();
        self.data.trim();
        trim(&mut self.shares);
        trim(&mut self.runs);
    }

    #[cfg(test)]
    pub(super) fn capacities(&self) -> [usize; 8] {
        let [resources, scopes, metrics, data] =
            [&self.resources, &self.scopes, &self.metrics, &self.data].map(Groups::capacity);
        let [touched, shares, runs] = [self.touched.capacity(), self.shares.capacity(), self.runs.capacity()];
        [resources, scopes, metrics, data, touched, shares, runs, self.slots.capacity()]
    }

    /// Records a field of the request that is not a resource group.
    pub(super) fn request_field(&mut self, start: usize, end: usize) {
        push(&mut self.request, 0, start, end);
        self.request_bytes = self.request_bytes.saturating_add(end.saturating_sub(start));
    }

    /// Begins a resource group.
    pub(super) fn open_resource(&mut self) {
        self.resources.open(Some(request::RESOURCES), NONE);
    }

    /// Begins the last resource group again, with its items in the deprecated field.
    pub(super) fn reopen_resource(&mut self) {
        self.altered = true;
        self.resources.reopen();
    }

    /// Records a field of the open resource group that is not a scope group.
    pub(super) fn resource_field(&mut self, start: usize, end: usize) {
        self.resources.field(start, end);
    }

    /// Begins a scope group in the open resource group. Items out of the deprecated field leave as ordinary scope groups.
    pub(super) fn open_scope(&mut self) {
        self.scopes.open(Some(resource_group::SCOPES), self.resources.last());
    }

    /// Records a field of the open scope group that is not an item.
    pub(super) fn scope_field(&mut self, start: usize, end: usize) {
        self.scopes.field(start, end);
    }

    /// Leaves out items that have no key.
    pub(super) fn drop_items(&mut self, items: usize) {
        self.altered = true;
        self.items = self.items.saturating_add(items);
        self.dropped.without_key = self.dropped.without_key.saturating_add(items);
    }

    /// Puts an item of the open scope group into a slot. `start..end` includes its tag and length.
    #[inline]
    pub(super) fn item(&mut self, slot: usize, start: usize, end: usize) -> Result<(), Malformed> {
        let share = self.share(Leaf { scope: self.scopes.last(), metric: NONE }, slot, start)?;
        self.add_run(share, 1, start, end);
        Ok(())
    }

    /// The share of a slot in what is open.
    #[inline]
    fn share(&mut self, leaf: Leaf, slot: usize, at: usize) -> Result<u32, Malformed> {
        let Some(state) = self.slots.get_mut(slot) else {
            return Err(Malformed { offset: at, what: "slot out of range" });
        };
        if state.leaf != leaf {
            let share = short(self.shares.len());
            match self.shares.get_mut(wide(state.last_share)) {
                Some(last) => last.next = share,
                None => {
                    state.first_share = share;
                    self.touched.push(short(slot));
                }
            }
            state.last_share = share;
            state.leaf = leaf;
            self.shares.push(Share {
                leaf,
                items: 0,
                empty_metrics: 0,
                bytes: 0,
                first_run: NONE,
                last_run: NONE,
                next: NONE,
            });
        }
        Ok(state.last_share)
    }

    #[inline]
    fn add_run(&mut self, share: u32, items: usize, start: usize, end: usize) {
        self.items = self.items.saturating_add(items);
        let Some(share) = self.shares.get_mut(wide(share)) else { return };
        let piece = Piece { start: short(start), end: short(end) };
        share.items = share.items.saturating_add(short(items));
        share.bytes = share.bytes.saturating_add(short(piece.len()));
        let run = short(self.runs.len());
        match self.runs.get_mut(wide(share.last_run)) {
            Some(last) if last.piece.end == piece.start && self.mode == Runs::Joined => {
                last.piece.end = piece.end;
                return;
            }
            Some(last) => last.next = run,
            None => share.first_run = run,
        }
        share.last_run = run;
        self.runs.push(Run { piece, next: NONE });
    }

    /// Ends a resource group: looks for an equal one among those before it, and so for each of its scope groups.
    pub(super) fn close_resource(&mut self, payload: &[u8]) {
        let from = std::mem::replace(&mut self.closed_scopes, self.scopes.len());
        if self.mode == Runs::Single {
            return;
        }
        let resource = self.resources.last();
        let first = self.distinct.first(&[&self.resources], resource, NONE, payload);
        if first != resource {
            self.resources.set_first(resource, first);
            self.repeats = true;
        }
        for scope in from..self.closed_scopes {
            let first = self.distinct.first(&[&self.scopes], scope, first, payload);
            if first != scope {
                self.scopes.set_first(scope, first);
                self.repeats = true;
                self.similar_metrics = true;
            }
        }
    }

    /// The first share of a slot, which [`Share::next`] continues; [`NONE`] without items.
    pub(super) fn first_share(&self, slot: u32) -> u32 {
        self.slots.get(wide(slot)).map_or(NONE, |slot| slot.first_share)
    }

    /// Items of each resource group, in the order of the request; those without key are not among them.
    pub(super) fn items_by_resource_group(&self) -> Vec<usize> {
        let mut groups = vec![0_usize; wide(self.resources.len())];
        for share in &self.shares {
            let group =
                self.scopes.get(share.leaf.scope).and_then(|scope| groups.get_mut(wide(scope.parent)));
            if let Some(items) = group {
                *items = items.saturating_add(wide(share.items));
            }
        }
        groups
    }

    /// Appends the request's own fields.
    pub(super) fn append_request(&self, payload: &[u8], out: &mut Vec<u8>) {
        for piece in &self.request {
            out.extend_from_slice(piece.of(payload));
        }
    }
}

// === impl Run ===

impl Run {
    /// The items, tags and lengths included.
    #[inline]
    pub(super) fn of(self, payload: &[u8]) -> &[u8] {
        self.piece.of(payload)
    }

    /// Length of the items.
    #[inline]
    pub(super) fn len(self) -> usize {
        self.piece.len()
    }
}

/// Empties a table and gives back what it holds beyond [`KEEP`] entries.
pub(super) fn trim<T>(table: &mut Vec<T>) {
    if table.capacity() > KEEP {
        table.clear();
        table.shrink_to(KEEP);
    }
}

/// A position that `walk` has bounded.
#[inline]
pub(super) fn short(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(NONE)
}

/// The way back.
#[inline]
#[expect(clippy::as_conversions, reason = "widening; the crate does not build for 16-bit targets")]
pub(super) const fn wide(position: u32) -> usize {
    position as usize
}

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

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use crate::otlp::wire::Malformed;

/// Distinct groups of a request that are remembered to merge equal ones. Bounds the table of a hostile request.
pub(super) const DISTINCT: usize = 4096;

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
    slots: Vec<Slot>,
    /// Slots with items, in the order of their first item.
    pub(super) touched: Vec<u32>,
    pub(super) shares: Vec<Share>,
    pub(super) runs: Vec<Run>,
    distinct: Distinct,
    /// Scope groups whose resource group is closed.
    closed_scopes: u32,
    /// Some group equals an earlier one.
    pub(super) repeats: bool,
    /// The request is not what goes out even if all goes to one slot: items came out of the deprecated field, or were
    /// dropped.
    pub(super) altered: bool,
    /// In the whole request, dropped ones too.
    pub(super) items: usize,
    pub(super) dropped: Dropped,
}

/// The first group with a (canonical parent, checksum of its own fields).
type Distinct = HashMap<u64, u32, BuildHasherDefault<Mix>>;

/// What a plan leaves out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Items that have no key, where such are dropped. They are among [`Plan::items`](super::Plan::items).
    pub without_key: usize,
    /// Metrics without data points, where data points are what is routed: there is nothing to take a key from.
    pub empty_metrics: usize,
}

/// A range of the payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    start: u32,
    end: u32,
}

/// All groups of one level.
#[derive(Debug, Default)]
pub(super) struct Groups {
    list: Vec<Group>,
    pieces: Vec<Piece>,
}

/// A resource or scope group without its items.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    /// The resource group that a scope group is in.
    pub(super) parent: u32,
    /// The first group of the request that is equal: itself, unless merged.
    pub(super) first: u32,
    /// Length of its own fields.
    pub(super) bytes: u32,
    pieces: u32,
    pieces_end: u32,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    first_share: u32,
    last_share: u32,
    /// The scope group of `last_share`.
    scope: u32,
}

const UNTOUCHED: Slot = Slot { first_share: NONE, last_share: NONE, scope: NONE };

/// The items of one scope group that go to one slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) scope: u32,
    pub(super) items: u32,
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
            slots: Vec::new(),
            touched: Vec::new(),
            shares: Vec::new(),
            runs: Vec::new(),
            distinct: Distinct::default(),
            closed_scopes: 0,
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
        for slot in self.touched.drain(..) {
            if let Some(slot) = self.slots.get_mut(wide(slot)) {
                *slot = UNTOUCHED;
            }
        }
        self.slots.resize(slots, UNTOUCHED);
        self.shares.clear();
        self.runs.clear();
        self.distinct.clear();
        self.closed_scopes = 0;
        self.repeats = false;
        self.altered = false;
        self.items = 0;
        self.dropped = Dropped::default();
    }

    /// Frees what an unusually large request needed. The records are gone then.
    pub(super) fn trim(&mut self) {
        trim(&mut self.request);
        self.resources.trim();
        self.scopes.trim();
        trim(&mut self.shares);
        trim(&mut self.runs);
    }

    /// Records a field of the request that is not a resource group.
    pub(super) fn request_field(&mut self, start: usize, end: usize) {
        push(&mut self.request, 0, start, end);
        self.request_bytes = self.request_bytes.saturating_add(end.saturating_sub(start));
    }

    /// Begins a resource group.
    pub(super) fn open_resource(&mut self) {
        self.resources.open(NONE);
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

    /// Begins a scope group in the open resource group.
    pub(super) fn open_scope(&mut self) {
        self.scopes.open(self.resources.last());
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
        let scope = self.scopes.last();
        let Some(state) = self.slots.get_mut(slot) else {
            return Err(Malformed { offset: start, what: "slot out of range" });
        };
        if state.scope != scope {
            let share = short(self.shares.len());
            match self.shares.get_mut(wide(state.last_share)) {
                Some(last) => last.next = share,
                None => {
                    state.first_share = share;
                    self.touched.push(short(slot));
                }
            }
            state.last_share = share;
            state.scope = scope;
            self.shares.push(Share {
                scope,
                items: 0,
                bytes: 0,
                first_run: NONE,
                last_run: NONE,
                next: NONE,
            });
        }
        self.items = self.items.saturating_add(1);
        let Some(share) = self.shares.get_mut(wide(state.last_share)) else { return Ok(()) };
        let piece = Piece { start: short(start), end: short(end) };
        share.items = share.items.saturating_add(1);
        share.bytes = share.bytes.saturating_add(short(piece.len()));
        let run = short(self.runs.len());
        match self.runs.get_mut(wide(share.last_run)) {
            Some(last) if last.piece.end == piece.start && self.mode == Runs::Joined => {
                last.piece.end = piece.end;
                return Ok(());
            }
            Some(last) => last.next = run,
            None => share.first_run = run,
        }
        share.last_run = run;
        self.runs.push(Run { piece, next: NONE });
        Ok(())
    }

    /// Ends a resource group: looks for an equal one among those before it, and so for each of its scope groups.
    pub(super) fn close_resource(&mut self, payload: &[u8]) {
        let from = std::mem::replace(&mut self.closed_scopes, self.scopes.len());
        if self.mode == Runs::Single {
            return;
        }
        let resource = self.resources.last();
        let first = self.resources.merge(&mut self.distinct, resource, NONE, payload);
        self.repeats |= first != resource;
        for scope in from..self.closed_scopes {
            self.repeats |= self.scopes.merge(&mut self.distinct, scope, first, payload) != scope;
        }
    }

    /// The first share of a slot, which [`Share::next`] continues; [`NONE`] without items.
    pub(super) fn first_share(&self, slot: u32) -> u32 {
        self.slots.get(wide(slot)).map_or(NONE, |slot| slot.first_share)
    }

    /// Appends the request's own fields.
    pub(super) fn append_request(&self, payload: &[u8], out: &mut Vec<u8>) {
        for piece in &self.request {
            out.extend_from_slice(piece.of(payload));
        }
    }
}

// === impl Piece ===

impl Piece {
    #[inline]
    fn len(self) -> usize {
        wide(self.end.saturating_sub(self.start))
    }

    #[inline]
    fn of(self, payload: &[u8]) -> &[u8] {
        payload.get(wide(self.start)..wide(self.end)).unwrap_or_default()
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

// === impl Groups ===

impl Groups {
    fn clear(&mut self) {
        self.list.clear();
        self.pieces.clear();
    }

    fn trim(&mut self) {
        trim(&mut self.list);
        trim(&mut self.pieces);
    }

    fn len(&self) -> u32 {
        short(self.list.len())
    }

    /// The open group; [`NONE`] before the first one.
    #[inline]
    fn last(&self) -> u32 {
        self.len().wrapping_sub(1)
    }

    #[inline]
    pub(super) fn get(&self, group: u32) -> Option<&Group> {
        self.list.get(wide(group))
    }

    fn open(&mut self, parent: u32) {
        let pieces = short(self.pieces.len());
        self.list.push(Group { parent, first: self.len(), bytes: 0, pieces, pieces_end: pieces });
    }

    fn reopen(&mut self) {
        if let Some(group) = self.list.last_mut() {
            self.pieces.truncate(wide(group.pieces));
            group.pieces_end = group.pieces;
            group.bytes = 0;
        }
    }

    fn field(&mut self, start: usize, end: usize) {
        if let Some(group) = self.list.last_mut() {
            push(&mut self.pieces, wide(group.pieces), start, end);
            group.pieces_end = short(self.pieces.len());
            group.bytes = group.bytes.saturating_add(short(end.saturating_sub(start)));
        }
    }

    fn pieces(&self, group: &Group) -> &[Piece] {
        self.pieces.get(wide(group.pieces)..wide(group.pieces_end)).unwrap_or_default()
    }

    /// Appends the own fields of a group.
    pub(super) fn append(&self, group: u32, payload: &[u8], out: &mut Vec<u8>) {
        if let Some(group) = self.get(group) {
            for piece in self.pieces(group) {
                out.extend_from_slice(piece.of(payload));
            }
        }
    }

    /// Finds the first group below `parent` that is equal to `group`, notes and returns it.
    ///
    /// The checksum only proposes: equality is decided on the bytes. Two groups whose checksums collide, and equal
    /// groups whose fields stand in differently sized stretches between their items, stay apart, which is correct too.
    fn merge(&mut self, distinct: &mut Distinct, group: u32, parent: u32, payload: &[u8]) -> u32 {
        let Some(this) = self.get(group) else { return group };
        let mut checksum = crc32fast::Hasher::new();
        for piece in self.pieces(this) {
            checksum.update(piece.of(payload));
        }
        let key = u64::from(parent) << 32 | u64::from(checksum.finalize());
        let Some(&first) = distinct.get(&key) else {
            if distinct.len() < DISTINCT {
                distinct.insert(key, group);
            }
            return group;
        };
        let bytes = |piece: &Piece| piece.of(payload);
        let equal = self.get(first).is_some_and(|other| {
            self.pieces(this).iter().map(bytes).eq(self.pieces(other).iter().map(bytes))
        });
        if !equal {
            return group;
        }
        if let Some(this) = self.list.get_mut(wide(group)) {
            this.first = first;
        }
        first
    }
}

// === impl Mix ===

/// Spreads keys over the table: Fibonacci hashing. Stable, unlike the standard library's hasher, and a few
/// instructions; the table is bounded by [`DISTINCT`], so chosen collisions cost little.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, key: u64) {
        let product = (self.0 ^ key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = product ^ product >> 32;
    }
}

/// Appends a range to a list, or lengthens the last one if it ends there and is at or behind `from`.
fn push(pieces: &mut Vec<Piece>, from: usize, start: usize, end: usize) {
    let piece = Piece { start: short(start), end: short(end) };
    match pieces.get_mut(from..).and_then(<[Piece]>::last_mut) {
        Some(last) if last.end == piece.start => last.end = piece.end,
        _ => pieces.push(piece),
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

//! The groups of one level: resource groups, scope groups, metrics, their data; what is in them besides items.
//!
//! Flat tables of byte ranges, cleared and not freed between requests. Equal groups are found here: by checksum, and
//! then byte by byte.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasherDefault, Hasher},
};

use super::index::{short, trim, wide};
use crate::otlp::wire::Tag;

/// Distinct groups of a request that are remembered to merge equal ones: so many resource and scope groups, and so many
/// metrics. Bounds the tables of a hostile request.
pub(super) const DISTINCT: usize = 4096;

/// A range of the payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) start: u32,
    pub(super) end: u32,
}

/// All groups of one level.
#[derive(Debug, Default)]
pub(super) struct Groups {
    list: Vec<Group>,
    pieces: Vec<Piece>,
}

/// A group without its items.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    /// What it is written with; `None` for the data that a metric does not have.
    pub(super) tag: Option<Tag>,
    /// The group of the level above that it is in.
    pub(super) parent: u32,
    /// The first group of the request that is equal: itself, unless merged.
    pub(super) first: u32,
    /// Length of its own fields.
    pub(super) bytes: u32,
    pieces: u32,
    pieces_end: u32,
}

/// Remembers up to [`DISTINCT`] groups.
#[derive(Debug, Default)]
pub(super) struct Distinct {
    /// The first group with a (canonical parent, checksum of its own fields).
    firsts: HashMap<u64, u32, BuildHasherDefault<Mix>>,
}

/// Remembers up to [`DISTINCT`] names, by their hashes: two names may be taken for one.
#[derive(Debug, Default)]
pub(super) struct Names {
    seen: HashSet<u64, BuildHasherDefault<Mix>>,
}

// === impl Piece ===

impl Piece {
    #[inline]
    pub(super) fn len(self) -> usize {
        wide(self.end.saturating_sub(self.start))
    }

    #[inline]
    pub(super) fn of(self, payload: &[u8]) -> &[u8] {
        payload.get(wide(self.start)..wide(self.end)).unwrap_or_default()
    }
}

// === impl Groups ===

impl Groups {
    pub(super) fn clear(&mut self) {
        self.list.clear();
        self.pieces.clear();
    }

    pub(super) fn trim(&mut self) {
        trim(&mut self.list);
        trim(&mut self.pieces);
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.list.capacity().max(self.pieces.capacity())
    }

    pub(super) fn len(&self) -> u32 {
        short(self.list.len())
    }

    /// The open group; `NONE` before the first one.
    #[inline]
    pub(super) fn last(&self) -> u32 {
        self.len().wrapping_sub(1)
    }

    #[inline]
    pub(super) fn get(&self, group: u32) -> Option<&Group> {
        self.list.get(wide(group))
    }

    #[inline]
    pub(super) fn open(&mut self, tag: Option<Tag>, parent: u32) {
        let pieces = short(self.pieces.len());
        self.list.push(Group { tag, parent, first: self.len(), bytes: 0, pieces, pieces_end: pieces });
    }

    /// Begins the open group again.
    pub(super) fn reopen(&mut self) {
        if let Some(group) = self.list.last_mut() {
            self.pieces.truncate(wide(group.pieces));
            group.pieces_end = group.pieces;
            group.bytes = 0;
        }
    }

    /// Adds a field to the open group.
    #[inline]
    pub(super) fn field(&mut self, start: usize, end: usize) {
        if let Some(group) = self.list.last_mut() {
            push(&mut self.pieces, wide(group.pieces), start, end);
            group.pieces_end = short(self.pieces.len());
            group.bytes = group.bytes.saturating_add(short(end.saturating_sub(start)));
        }
    }

    /// Notes that `group` is equal to `first`.
    pub(super) fn set_first(&mut self, group: u32, first: u32) {
        if let Some(group) = self.list.get_mut(wide(group)) {
            group.first = first;
        }
    }

    /// Appends the own fields of a group.
    #[inline]
    pub(super) fn append(&self, group: u32, payload: &[u8], out: &mut Vec<u8>) {
        for piece in self.pieces(group) {
            out.extend_from_slice(piece.of(payload));
        }
    }

    fn pieces(&self, group: u32) -> &[Piece] {
        let range = self.get(group).map(|group| wide(group.pieces)..wide(group.pieces_end));
        range.and_then(|range| self.pieces.get(range)).unwrap_or_default()
    }

    fn add_to(&self, group: u32, payload: &[u8], checksum: &mut crc32fast::Hasher) {
        let tag = self.get(group).and_then(|group| group.tag);
        checksum.update(&tag.map_or(0, Tag::number).to_le_bytes());
        for piece in self.pieces(group) {
            checksum.update(piece.of(payload));
        }
    }

    /// The same fields, wherever children stand between them. Nearly always the stretches between children are the same
    /// too, and are compared whole.
    fn are_equal(&self, one: u32, two: u32, payload: &[u8]) -> bool {
        let tag = |group| self.get(group).and_then(|group| group.tag);
        let bytes = |group| self.pieces(group).iter().map(|piece| piece.of(payload));
        tag(one) == tag(two) && (bytes(one).eq(bytes(two)) || bytes(one).flatten().eq(bytes(two).flatten()))
    }
}

// === impl Distinct ===

impl Distinct {
    pub(super) fn clear(&mut self) {
        self.firsts.clear();
    }

    /// The first group below `parent` that is equal to `group`: itself, if there is none before it. A group of several
    /// messages has the same number in each of `levels`.
    ///
    /// The checksum only proposes: equality is decided on the bytes. Of groups that differ and have one checksum only the
    /// first is remembered; repeats of the others stay apart, which is correct too.
    pub(super) fn first(&mut self, levels: &[&Groups], group: u32, parent: u32, payload: &[u8]) -> u32 {
        let mut checksum = crc32fast::Hasher::new();
        levels.iter().for_each(|groups| groups.add_to(group, payload, &mut checksum));
        let key = u64::from(parent) << 32 | u64::from(checksum.finalize());
        let Some(&first) = self.firsts.get(&key) else {
            if self.firsts.len() < DISTINCT {
                self.firsts.insert(key, group);
            }
            return group;
        };
        let equal = levels.iter().all(|groups| groups.are_equal(first, group, payload));
        if equal { first } else { group }
    }
}

// === impl Names ===

impl Names {
    pub(super) fn clear(&mut self) {
        self.seen.clear();
    }

    /// Whether the name is new below `parent`, as far as is remembered.
    #[inline]
    pub(super) fn insert(&mut self, parent: u32, name: &[u8]) -> bool {
        let mut hash = Mix::default();
        hash.write_u64(u64::from(parent));
        hash.write(name);
        let name = hash.finish();
        if self.seen.len() < DISTINCT { self.seen.insert(name) } else { !self.seen.contains(&name) }
    }
}

// === impl Mix ===

/// Spreads keys over the tables: Fibonacci hashing. Stable, unlike the standard library's hasher, and a few
/// instructions; the tables are bounded by [`DISTINCT`], so chosen collisions cost little.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        words.iter().for_each(|word| self.write_u64(u64::from_le_bytes(*word)));
        let mut last = [0; 8];
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        self.write_u64(u64::from_le_bytes(last));
    }

    #[inline]
    fn write_u64(&mut self, key: u64) {
        let product = (self.0 ^ key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = product ^ product >> 32;
    }
}

/// Appends a range to a list, or lengthens the last one if it ends there and is at or behind `from`.
#[inline]
pub(super) fn push(pieces: &mut Vec<Piece>, from: usize, start: usize, end: usize) {
    let piece = Piece { start: short(start), end: short(end) };
    match pieces.get_mut(from..).and_then(<[Piece]>::last_mut) {
        Some(last) if last.end == piece.start => last.end = piece.end,
        _ => pieces.push(piece),
    }
}

//! The places of the traces of a request, one for each scope group they occur in.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, Hasher},
};

use super::slots::Place;

/// Entries for which an idle table keeps its memory: what the standard library's table has room for once it holds more
/// than 14,336, so enough for a request of 16,384 spans. About 1.6 MB.
const KEEP: usize = 28_672;

/// A table from (scope group, trace id) to a place. Cleared, not freed, between requests; has at most one entry for each
/// span.
#[derive(Debug)]
pub(super) struct MiniBatches {
    places: HashMap<MiniBatch, Place, Keyed>,
    scope: u32,
}

#[derive(Debug, PartialEq, Eq)]
struct MiniBatch {
    trace_id: u128,
    scope: u32,
}

impl MiniBatches {
    /// `random` makes the table proof against trace ids that are chosen to collide.
    pub(super) fn new(random: &mut fastrand::Rng) -> Self {
        let keyed = Keyed { keys: [random.u64(..), random.u64(..)] };
        Self { places: HashMap::with_hasher(keyed), scope: 0 }
    }

    /// Forgets the last request.
    pub(super) fn clear(&mut self) {
        self.scope = 0;
        self.places.clear();
    }

    /// Gives back what an unusually large request needed.
    pub(super) fn trim(&mut self) {
        if self.places.capacity() > KEEP {
            self.places.clear();
            self.places.shrink_to_fit();
        }
    }

    /// A scope group begins. There are fewer than 2^32 of them, because a request has fewer bytes.
    pub(super) const fn begin(&mut self) {
        self.scope = self.scope.wrapping_add(1);
    }

    /// Where the spans of the trace in this scope group go.
    #[inline]
    pub(super) fn get(&self, trace_id: &[u8; 16]) -> Option<Place> {
        self.places.get(&self.batch(trace_id)).copied()
    }

    /// Notes where they go.
    pub(super) fn insert(&mut self, trace_id: &[u8; 16], place: Place) {
        let batch = self.batch(trace_id);
        self.places.insert(batch, place);
    }

    const fn batch(&self, trace_id: &[u8; 16]) -> MiniBatch {
        MiniBatch { trace_id: u128::from_le_bytes(*trace_id), scope: self.scope }
    }
}

impl Hash for MiniBatch {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(self.trace_id);
        state.write_u32(self.scope);
    }
}

/// Makes hashers that fold the 128-bit product of what they are given and a secret number: as fast as it gets, and good
/// enough for a table that lives as long as a request and never shows its order.
#[derive(Clone, Copy, Debug)]
struct Keyed {
    keys: [u64; 2],
}

#[derive(Clone, Copy, Debug)]
struct Fold {
    state: u64,
    key: u64,
}

impl BuildHasher for Keyed {
    type Hasher = Fold;

    fn build_hasher(&self) -> Fold {
        let [state, key] = self.keys;
        Fold { state, key: key | 1 }
    }
}

impl Hasher for Fold {
    fn finish(&self) -> u64 {
        self.state
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        let [low, high] = halves(u128::from(self.state ^ value).wrapping_mul(u128::from(self.key)));
        self.state = low ^ high;
    }

    fn write_u128(&mut self, value: u128) {
        let [low, high] = halves(value);
        self.write_u64(low);
        self.write_u64(high);
    }
}

#[expect(clippy::as_conversions, reason = "the halves are what is asked for")]
const fn halves(value: u128) -> [u64; 2] {
    [value as u64, (value >> 64) as u64]
}

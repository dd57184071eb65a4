//! The consistent-hash ring: key bytes to the slot of the backend that owns them.
//!
//! Stage: engine, between the splitter, which finds key bytes, and the router, which has a backend for each slot.
//! Owns the hash, the points of every endpoint and the lookup. Assumes nothing about key bytes or endpoint texts; what
//! goes in alone decides what comes out, on every replica, build and platform.
//!
//! The rings are those of the Collector's `load_balancing` exporter, so that both may stand side by side on the same
//! backends. An endpoint is hashed to a fixed number of *points*, each on a *position* of its own out of a fixed
//! number; a key is hashed to a position too and belongs to the first point at or after it, the ring being closed:
//!
//! ```text
//! position of a key = CRC-32 (IEEE) of the key bytes, modulo the number of positions
//! ```
//!
//! | generation | Collector | positions | points of an endpoint |
//! |---|---|---|---|
//! | G1 | up to v0.129 | 36,000 | 100 |
//! | G2 | v0.130.0 to v0.156.0 | 36,000 | 100 |
//! | G3 | v0.157.0 and later | 131,071 | 200 |
//!
//! How points get their positions is in `ring/scheme.rs`. Two generations give most keys different owners, so the tiers
//! of a rolling upgrade need the same one.
//!
//! Points are held by a [`HashRing`], whose binary search is the reference; lookups read a table with the owner of
//! every position instead, 72 KB for G1 and G2 and 262 KB for G3. That costs 1 ns on top of the hash for any number of
//! endpoints, where the search costs 18 ns for 5 and 75 ns for 300 (`benches/ring.rs`).
//!
//! Source: opentelemetry-collector-contrib `exporter/loadbalancingexporter/consistent_hashing.go`: v0.161.0 (G3),
//! v0.152.0 (G2), v0.129.0 (G1). `tests/golden/ring` holds values and checks them against these files.

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::iter::successors;
use std::sync::Arc;

use hashring::HashRing;

pub use self::digest::Digest;
use self::scheme::Scheme;
use crate::model::settings::RingGeneration;

mod digest;
mod scheme;
#[cfg(test)]
mod tests;

/// Endpoints that can own keys: a slot is 16 bits wide in the table. Those past it own nothing, see [`Ring::share`].
///
/// Far more than a ring has room for: above 655 endpoints not all points of G3 find a position, and at this limit an
/// endpoint has two positions. A Collector has no such limit and would route differently beyond it.
pub const ENDPOINTS_MAX: usize = 1 << 16;

/// An immutable ring over a list of endpoint texts. A slot is an index into that list.
///
/// Holds 16 bytes for each point and the table: 1.2 MB for 300 endpoints of G3.
pub struct Ring {
    /// Shared by the rings that skip some of them.
    points: Arc<HashRing<Point, ByPosition>>,
    /// The owner of every position, skipped slots stepped over; empty if there is no point.
    owners: Box<[u16]>,
    /// How many positions each slot owns.
    owned: Box<[u32]>,
    digest: u32,
}

/// One mark of an endpoint on the ring.
#[derive(Clone, Copy)]
struct Point {
    position: u32,
    slot: u16,
}

/// Makes a [`HashRing`] keep a point at its position, and look up a position as it is.
#[derive(Clone, Copy)]
struct ByPosition;

/// Hands back the number it was given.
#[derive(Default)]
struct Position(u64);

// === impl Ring ===

impl Ring {
    /// Builds the ring of a generation.
    ///
    /// `endpoints` are hashed byte for byte as they are, without a default port. G3 does not depend on their order; G1
    /// and G2 do, and agree with a Collector if the list is sorted bytewise as a resolver's is. A text that is listed
    /// twice has its points twice, as in the Collector, all of them under the slot of its first occurrence: the other
    /// slot owns nothing. Of more than [`ENDPOINTS_MAX`] endpoints only the first so many count.
    ///
    /// Takes 0.3 ms for 3 endpoints of G3 and 7 ms for 300 (`benches/ring.rs`).
    pub fn new(generation: RingGeneration, endpoints: &[&str]) -> Self {
        Self::build(Scheme::of(generation), endpoints)
    }

    fn build(scheme: &Scheme, endpoints: &[&str]) -> Self {
        Self::from_marks(&scheme.assign(endpoints), endpoints)
    }

    /// `marks` has one entry for each position: the slot whose point is there.
    fn from_marks(marks: &[Option<u16>], endpoints: &[&str]) -> Self {
        let marked =
            (0..).zip(marks).filter_map(|(position, mark)| mark.map(|slot| Point { position, slot }));
        let marked: Vec<Point> = marked.collect();
        let owners = owners(marks);
        let owned = owned(&owners, endpoints.len());
        let digest = digest(&marked, endpoints);
        let mut points = HashRing::with_hasher(ByPosition);
        points.batch_add(marked);
        Self { points: Arc::new(points), owners, owned, digest }
    }

    /// The same ring, in which lookups step over the points of some slots to the next point of another one.
    ///
    /// `skip` says for each slot whether it is skipped; slots past its end are not. Keys of a skipped slot go to the next
    /// point's owner that is not skipped, **every other key keeps its owner**, and [`share`](Self::share) counts what is owned
    /// now. Points and digest stay those of the whole list: two replicas that disagree about health still agree about the
    /// ring. On a ring that skips already, the slots of both lists are skipped.
    ///
    /// An endpoint that is listed twice has all its points under its first slot: skipping the other one changes nothing.
    /// If no slot would own anything, nothing is skipped: health never empties a ring, because sending to a backend that
    /// looks bad beats sending nowhere.
    ///
    /// Against a ring built without the skipped endpoint, an owner differs only where one of its points had pushed another
    /// point aside. Of G3's 131,071 positions those are 0 for 3 endpoints, 2 at most for 10 and 19 for 50 (`10.9.x.y:4317`, each of
    /// them skipped in turn).
    ///
    /// One pass over the positions; the points are shared with `self`. Takes 0.3 ms for 3 endpoints of G3 and 0.4 ms for 300
    /// (`benches/ring.rs`).
    pub fn skipping(&self, skip: &[bool]) -> Self {
        let is_skipped = |slot: u16| skip.get(usize::from(slot)).copied().unwrap_or(false);
        // The owner of a position is the slot of the next point, so it may stand for that point.
        let marks: Vec<_> = self.owners.iter().map(|&slot| (!is_skipped(slot)).then_some(slot)).collect();
        let kept = owners(&marks);
        let owners = if kept.is_empty() { self.owners.clone() } else { kept };
        let owned = owned(&owners, self.owned.len());
        Self { points: Arc::clone(&self.points), owners, owned, digest: self.digest }
    }

    /// The slot that owns a key; `None` on an empty ring.
    ///
    /// One CRC-32 over the key and one read of the table.
    #[inline]
    pub fn slot_of(&self, key: &[u8]) -> Option<usize> {
        self.slot_at(self.position_of(key)?)
    }

    /// The position a key is hashed to; `None` on an empty ring.
    #[inline]
    pub fn position_of(&self, key: &[u8]) -> Option<u32> {
        crc32fast::hash(key).checked_rem(self.owners.len() as u32)
    }

    fn slot_at(&self, position: u32) -> Option<usize> {
        self.owners.get(position as usize).map(|&slot| usize::from(slot))
    }

    /// Share of the positions that a slot owns, 0 to 1; 0 for a slot that does not exist.
    ///
    /// Shares of distinct endpoints differ by some ten per cent. One below half the mean means that two endpoint texts
    /// hash to mostly the same points, where the bytewise smaller one wins; a Collector is as unfair to the other.
    pub fn share(&self, slot: usize) -> f64 {
        let owned = self.owned.get(slot).copied().unwrap_or(0);
        f64::from(owned) / self.owners.len().max(1) as f64
    }

    /// Every point as position and slot, by ascending position, skipped or not; for debug pages and tests.
    ///
    /// A binary search for each step.
    pub fn points(&self) -> impl Iterator<Item = (u32, usize)> {
        let next_after = |point: &&Point| self.points.get(&(point.position + 1));
        let points = successors(self.points.get(&0_u32), next_after).take(self.points.len());
        points.map(|point| (point.position, usize::from(point.slot)))
    }

    /// A number that two rings share if they have the same points for the same endpoint texts, whatever the slots.
    ///
    /// CRC-32 of one line for each point in ascending order: position in decimal, comma, endpoint text, newline.
    pub fn digest(&self) -> u32 {
        self.digest
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("slots", &self.owned.len())
            .field("points", &self.points.len())
            .field("positions", &self.owners.len())
            .field("digest", &format_args!("{:08x}", self.digest))
            .finish()
    }
}

// === impl Point, ByPosition, Position ===

impl Hash for Point {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u32(self.position);
    }
}

impl BuildHasher for ByPosition {
    type Hasher = Position;

    fn build_hasher(&self) -> Position {
        Position::default()
    }
}

impl Hasher for Position {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u32(&mut self, position: u32) {
        self.0 = u64::from(position);
    }

    /// Points and positions are hashed as one `u32` each; other bytes count as one big-endian number.
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 << 8) | u64::from(byte);
        }
    }
}

/// The slot of the first mark at or after each position; empty if there is no mark.
fn owners(marks: &[Option<u16>]) -> Box<[u16]> {
    let Some(&first) = marks.iter().flatten().next() else {
        return Box::default();
    };
    // From the end, where the ring closes and the first mark is the next one.
    let mut owner = first;
    let mut owners: Box<[u16]> = marks.iter().map(|mark| mark.unwrap_or(0)).collect();
    for (entry, mark) in owners.iter_mut().zip(marks).rev() {
        owner = mark.unwrap_or(owner);
        *entry = owner;
    }
    owners
}

/// Counts the positions of each slot.
fn owned(owners: &[u16], slots: usize) -> Box<[u32]> {
    let mut owned = vec![0_u32; slots];
    for &slot in owners {
        if let Some(count) = owned.get_mut(usize::from(slot)) {
            *count += 1;
        }
    }
    owned.into_boxed_slice()
}

fn digest(points: &[Point], endpoints: &[&str]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    for point in points {
        let endpoint = endpoints.get(usize::from(point.slot)).copied().unwrap_or_default();
        crc.update(point.position.to_string().as_bytes());
        crc.update(b",");
        crc.update(endpoint.as_bytes());
        crc.update(b"\n");
    }
    crc.finalize()
}

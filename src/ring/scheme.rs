//! How the points of a list of endpoints get their positions: the constants of each ring generation and the one
//! assignment they share.
//!
//! Stage: engine, below `ring`. Owns what is hashed for a point, the order in which points are placed and what happens
//! on an occupied position. Every rule here is visible in routing: a change of any of them makes a ring that looks
//! right and gives some keys to other backends than a Collector does.
//!
//! A point wants the position CRC-32 (IEEE) of endpoint text and point number, modulo the number of positions. If that
//! is occupied it steps on, one position at a time and around the end, and is dropped when its steps are used up.
//!
//! Source: opentelemetry-collector-contrib `exporter/loadbalancingexporter/consistent_hashing.go`: v0.161.0 for [`G3`],
//! v0.152.0 for [`G2`], v0.129.0 for [`G1`]; contrib pull requests 41271 (G1 to G2) and 49585 (G2 to G3).

use std::collections::BTreeMap;

use crc32fast::Hasher;

use crate::model::settings::RingGeneration;

/// The Collector up to v0.129: a point finds its position free or is dropped.
pub(super) const G1: Scheme =
    Scheme { positions: 36_000, points: 100, number: Number::Byte, steps_max: 0, order: Order::List };

/// The Collector from v0.130.0 to v0.156.0: points step on, endpoint by endpoint.
pub(super) const G2: Scheme = Scheme { number: Number::Word, steps_max: STEPS_MAX, ..G1 };

/// The Collector from v0.157.0 on: more points and positions, all placed in one order that the list does not decide.
pub(super) const G3: Scheme = Scheme { positions: 131_071, points: 200, order: Order::Global, ..G2 };

/// Steps after which a point can still be placed. The Collector's limit reads 10, but a point that has made 10 steps
/// is dropped even if it then stands on a free position.
const STEPS_MAX: u32 = 9;

/// The rules of one ring generation.
#[derive(Clone, Debug)]
pub(super) struct Scheme {
    /// Number of positions, at least 1; their numbers start at 0.
    pub(super) positions: u32,
    /// Points of each endpoint of the list.
    pub(super) points: u32,
    /// Form of the point number that is hashed.
    pub(super) number: Number,
    /// Positions a point may try after the one it wants.
    pub(super) steps_max: u32,
    /// Order of placement.
    pub(super) order: Order,
}

/// What is appended to the endpoint text for point 0, 1, 2, …
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    /// One byte.
    Byte,
    /// Four bytes, little-endian.
    Word,
}

/// Who is placed first.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    /// Endpoint by endpoint as listed, each from point 0 on.
    List,
    /// All points by wanted position, then hash, then endpoint text. What still ties is the same endpoint.
    Global,
}

/// A point before it is placed.
struct Candidate {
    wanted: u32,
    hash: u32,
    slot: u16,
}

// === impl Scheme ===

impl Scheme {
    pub(super) fn of(generation: RingGeneration) -> &'static Self {
        match generation {
            RingGeneration::G1 => &G1,
            RingGeneration::G2 => &G2,
            RingGeneration::G3 => &G3,
        }
    }

    /// Places the points of all endpoints. The result has one entry for each position: the slot whose point is there.
    ///
    /// A text listed twice has its points twice, all under its first slot. Entries past the last 16-bit slot get none.
    pub(super) fn assign(&self, endpoints: &[&str]) -> Vec<Option<u16>> {
        let mut candidates = self.candidates(endpoints);
        if matches!(self.order, Order::Global) {
            sort_globally(&mut candidates, endpoints);
        }
        let mut marks = vec![None; self.positions as usize];
        for candidate in &candidates {
            self.place(candidate, &mut marks);
        }
        marks
    }

    fn candidates(&self, endpoints: &[&str]) -> Vec<Candidate> {
        let mut first_slots = BTreeMap::new();
        let mut candidates = Vec::with_capacity(endpoints.len() * self.points as usize);
        for (slot, &endpoint) in (0..=u16::MAX).zip(endpoints) {
            let slot = *first_slots.entry(endpoint).or_insert(slot);
            let hashes = self.hashes(endpoint);
            candidates.extend(hashes.map(|hash| Candidate { wanted: hash % self.positions, hash, slot }));
        }
        candidates
    }

    fn hashes(&self, endpoint: &str) -> impl Iterator<Item = u32> {
        let mut text = Hasher::new();
        text.update(endpoint.as_bytes());
        (0..self.points).map(move |point| {
            let [low, ..] = point.to_le_bytes();
            let mut hasher = text.clone();
            match self.number {
                Number::Byte => hasher.update(&[low]),
                Number::Word => hasher.update(&point.to_le_bytes()),
            }
            hasher.finalize()
        })
    }

    fn place(&self, candidate: &Candidate, marks: &mut [Option<u16>]) {
        for step in 0..=self.steps_max {
            let position = (candidate.wanted + step) % self.positions;
            if let Some(mark @ None) = marks.get_mut(position as usize) {
                *mark = Some(candidate.slot);
                return;
            }
        }
    }
}

/// Sorts for [`Order::Global`]. Point numbers play no part.
fn sort_globally(candidates: &mut [Candidate], endpoints: &[&str]) {
    let text = |candidate: &Candidate| endpoints.get(usize::from(candidate.slot));
    candidates.sort_unstable_by(|a, b| {
        (a.wanted, a.hash).cmp(&(b.wanted, b.hash)).then_with(|| text(a).cmp(&text(b)))
    });
}

//! Ring: what a lookup costs, by table and by search, and what building a ring or skipping a member costs.
//!
//! `cargo bench --bench ring`. One iteration of a lookup bench looks up [`KEYS`] random trace ids, and the throughput
//! column counts keys; `search` and `tree` in the same run are the baselines that the table has to beat.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash, Hasher};
use std::hint::black_box;

use divan::Bencher;
use divan::counter::ItemsCount;
use hashring::HashRing;
use ringway::model::settings::RingGeneration;
use ringway::ring::Ring;

/// Keys of one iteration: too many for the branch predictor to learn, few enough for the L2 cache.
const KEYS: usize = 16_384;
/// Sizes of a backend pool.
const ENDPOINTS: [usize; 4] = [5, 20, 100, 300];
/// Positions of the newest ring generation.
const POSITIONS: u32 = 131_071;

fn main() {
    divan::main();
}

/// Only the hash of the key, the floor of every lookup.
#[divan::bench]
fn hash(bencher: Bencher<'_, '_>) {
    each_key(bencher, |key| crc32fast::hash(key) as usize);
}

#[divan::bench(args = ENDPOINTS)]
fn table(bencher: Bencher<'_, '_>, endpoints: usize) {
    let ring = ring(RingGeneration::G3, endpoints);
    each_key(bencher, |key| ring.slot_of(key).unwrap_or_default());
}

#[divan::bench(args = ENDPOINTS)]
fn table_g2(bencher: Bencher<'_, '_>, endpoints: usize) {
    let ring = ring(RingGeneration::G2, endpoints);
    each_key(bencher, |key| ring.slot_of(key).unwrap_or_default());
}

/// The binary search of `hashring` over the same points.
#[divan::bench(args = ENDPOINTS)]
fn search(bencher: Bencher<'_, '_>, endpoints: usize) {
    let mut points = HashRing::with_hasher(ByPosition);
    points.batch_add(
        ring(RingGeneration::G3, endpoints).points().map(|(at, slot)| Point { at, slot }).collect(),
    );
    each_key(bencher, |key| points.get(&(crc32fast::hash(key) % POSITIONS)).map_or(0, |point| point.slot));
}

/// An ordered map over the same points, what one would write first.
#[divan::bench(args = ENDPOINTS)]
fn tree(bencher: Bencher<'_, '_>, endpoints: usize) {
    let points: BTreeMap<u32, usize> = ring(RingGeneration::G3, endpoints).points().collect();
    each_key(bencher, |key| {
        let next =
            points.range(crc32fast::hash(key) % POSITIONS..).next().or_else(|| points.first_key_value());
        next.map_or(0, |(_, &slot)| slot)
    });
}

/// A new ring, as after each change of the endpoint set.
#[divan::bench(args = [3, 100, 300])]
fn build(bencher: Bencher<'_, '_>, endpoints: usize) {
    let texts = texts(endpoints);
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    bencher.bench(|| Ring::new(RingGeneration::G3, black_box(&texts)));
}

/// The same ring without one member, as when health takes a backend out.
#[divan::bench(args = [3, 100, 300])]
fn skip(bencher: Bencher<'_, '_>, endpoints: usize) {
    let ring = ring(RingGeneration::G3, endpoints);
    bencher.bench(|| ring.skipping(black_box(&[false, true])));
}

fn each_key(bencher: Bencher<'_, '_>, mut slot_of: impl FnMut(&[u8]) -> usize) {
    let mut random = fastrand::Rng::with_seed(7);
    let keys: Vec<[u8; 16]> = (0..KEYS).map(|_| random.u128(..).to_le_bytes()).collect();
    bencher.counter(ItemsCount::new(KEYS)).bench_local(|| {
        // A sum that depends on every owner, so that none is optimised away.
        black_box(&keys).iter().fold(0_usize, |sum, key| sum.wrapping_add(slot_of(key)))
    });
}

fn ring(generation: RingGeneration, endpoints: usize) -> Ring {
    let texts = texts(endpoints);
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    Ring::new(generation, &texts)
}

fn texts(endpoints: usize) -> Vec<String> {
    (0..endpoints).map(|i| format!("10.9.{}.{}:4317", i / 250, i % 250)).collect()
}

struct Point {
    at: u32,
    slot: usize,
}

impl Hash for Point {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u32(self.at);
    }
}

/// Keeps points at their positions, as the ring does.
struct ByPosition;

#[derive(Default)]
struct Position(u64);

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

    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("positions are hashed as one u32");
    }
}

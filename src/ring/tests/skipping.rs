//! Skipping members: against a walk over the points, and against rings that are built without them.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{ring, texts};
use crate::ring::Ring;
use crate::ring::scheme::{G1, G2, G3, Scheme};

/// The owner of every position, found by stepping from point to point.
fn walked(ring: &Ring, positions: u32, is_skipped: impl Fn(usize) -> bool) -> Vec<Option<usize>> {
    let all: Vec<(u32, usize)> = ring.points().collect();
    let kept: Vec<_> = all.iter().copied().filter(|&(_, slot)| !is_skipped(slot)).collect();
    let points = if kept.is_empty() { &all } else { &kept };
    let mut next = 0;
    let owner = |position| {
        while points.get(next).is_some_and(|&(point, _)| point < position) {
            next += 1;
        }
        points.get(next).or_else(|| points.first()).map(|&(_, slot)| slot)
    };
    (0..positions).map(owner).collect()
}

fn owners(ring: &Ring, positions: u32) -> Vec<Option<usize>> {
    (0..positions).map(|position| ring.slot_at(position)).collect()
}

/// `10.9.x.y:4317`, as in the documented figures.
fn addresses(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("10.9.{}.{}:4317", i / 250, i % 250)).collect()
}

/// How many positions of G3 have other owners than on a ring that is built without the skipped endpoints.
#[track_caller]
fn differences(endpoints: &[&str], skip: &[bool]) -> usize {
    let is_skipped = |slot: usize| skip.get(slot).copied().unwrap_or(false);
    let full = ring(&G3, endpoints);
    let skipping = full.skipping(skip);
    let left: Vec<usize> = (0..endpoints.len()).filter(|&slot| !is_skipped(slot)).collect();
    let rebuilt = ring(&G3, &left.iter().map(|&slot| endpoints[slot]).collect::<Vec<_>>());
    let moved = moved_points(&full, &rebuilt, &left, is_skipped);
    let mut differences = 0;
    for position in 0..G3.positions {
        let (before, now) = (full.slot_at(position), skipping.slot_at(position));
        assert!(before == now || before.is_some_and(is_skipped), "position {position} moved");
        let exact = rebuilt.slot_at(position).map(|slot| left[slot]);
        if now != exact {
            differences += 1;
            // The next point of one ring or the other is one that stands elsewhere without the skipped endpoint.
            let distance = |point: u32| (point + G3.positions - position) % G3.positions;
            let nearest = |ring: &Ring, of: &dyn Fn(usize) -> bool| {
                ring.points()
                    .filter(|&(_, slot)| of(slot))
                    .map(|(point, _)| point)
                    .min_by_key(|&at| distance(at))
            };
            let next = [nearest(&full, &|slot| !is_skipped(slot)), nearest(&rebuilt, &|_| true)];
            assert!(next.iter().flatten().any(|point| moved.contains(point)), "position {position}");
        }
    }
    differences
}

/// Where only one of the two rings has a point of an endpoint that both have.
fn moved_points(full: &Ring, rebuilt: &Ring, left: &[usize], is_skipped: impl Fn(usize) -> bool) -> Vec<u32> {
    let in_full: Vec<_> = full.points().filter(|&(_, slot)| !is_skipped(slot)).collect();
    let in_rebuilt: Vec<_> = rebuilt.points().map(|(point, slot)| (point, left[slot])).collect();
    let only_full = in_full.iter().filter(|point| in_rebuilt.binary_search(point).is_err());
    let only_rebuilt = in_rebuilt.iter().filter(|point| in_full.binary_search(point).is_err());
    only_full.chain(only_rebuilt).map(|&(point, _)| point).collect()
}

/// Skips each of the endpoints in turn and expects the largest number of differences.
#[track_caller]
fn check(count: usize, worst: usize) {
    let endpoints = addresses(count);
    let endpoints = texts(&endpoints);
    let found = (0..count).map(|skipped| {
        let skip: Vec<bool> = (0..count).map(|slot| slot == skipped).collect();
        differences(&endpoints, &skip)
    });
    assert_eq!(found.max(), Some(worst), "{count} endpoints");
}

// Scenario: each of 3, 10 and 50 addresses skipped in turn, beside a ring that is built without it.
// Guarantees: nobody else's keys move; the owners are those of the other ring but for what collisions explain, which is
// exactly as rare as documented.
#[test]
fn skipping_is_rebuilding_but_for_collisions() {
    check(3, 0);
    check(10, 2);
    check(50, 19);
}

// Scenario: two of ten addresses skipped, neighbours and not, in one step and in two.
// Guarantees: their keys go to the others, everybody else's stay; two steps give what one gives.
#[test]
fn two_members_are_skipped() {
    let endpoints = addresses(10);
    let endpoints = texts(&endpoints);
    for (one, other) in [(0, 1), (2, 9), (4, 7)] {
        let only = |skipped: usize| (0..=skipped).map(|slot| slot == skipped).collect::<Vec<bool>>();
        let both: Vec<bool> = (0..10).map(|slot| slot == one || slot == other).collect();
        assert!(differences(&endpoints, &both) <= 4);
        let full = ring(&G3, &endpoints);
        let at_once = full.skipping(&both);
        let in_steps = full.skipping(&only(one)).skipping(&only(other));
        assert_eq!(owners(&at_once, G3.positions), owners(&in_steps, G3.positions));
        assert_eq!((at_once.share(one), at_once.share(other)), (0.0, 0.0));
    }
}

// Scenario: a text listed twice; its first slot skipped, its second, both.
// Guarantees: the points belong to the first slot, so only that counts, and then none of the text's keys stay.
#[test]
fn both_slots_of_a_duplicate() {
    let endpoints = ["b:1", "a:1", "b:1", "c:1"];
    let full = ring(&G3, &endpoints);
    let check = |skip: &[bool], expect: &Ring| {
        assert_eq!(owners(&full.skipping(skip), G3.positions), owners(expect, G3.positions), "{skip:?}");
    };
    check(&[false, false, true], &full);
    let first = full.skipping(&[true]);
    assert_eq!((first.share(0), first.share(2)), (0.0, 0.0));
    check(&[true, false, true, false], &first);
    // What owns nothing is not kept for being listed.
    check(&[true, true, false, true], &full);
}

// Scenario: every slot skipped; none; more entries than slots; an empty ring.
// Guarantees: an owner for every key as long as there is an endpoint; nothing panics.
#[test]
fn health_never_empties_a_ring() {
    let full = ring(&G3, &["a:1", "b:1", "c:1"]);
    for skip in [&[true; 3][..], &[false; 3], &[], &[true; 9], &[false, false, false, true]] {
        assert_eq!(owners(&full.skipping(skip), G3.positions), owners(&full, G3.positions), "{skip:?}");
    }
    let empty = ring(&G3, &[]).skipping(&[true, true]);
    assert_eq!((empty.slot_of(b"key"), empty.share(0)), (None, 0.0));
}

// Scenario: a member skipped in a ring that is shown and compared.
// Guarantees: points and digest are those of the whole list; shares are those of the lookups and add up.
#[test]
fn points_and_digest_stay() {
    let full = ring(&G3, &["a:1", "b:1", "c:1"]);
    let skipping = full.skipping(&[false, true]);
    assert_eq!(skipping.digest(), full.digest());
    assert!(skipping.points().eq(full.points()));
    assert_eq!(skipping.share(1), 0.0);
    assert!((skipping.share(0) + skipping.share(2) - 1.0).abs() < 1e-9);
    assert!(skipping.share(0) >= full.share(0) && skipping.share(2) >= full.share(2));
}

fn scheme() -> impl Strategy<Value = Scheme> {
    prop_oneof![Just(G1), Just(G2), Just(G3)]
}

proptest! {
    // Each case builds rings of some thousand points in an unoptimised build.
    #![proptest_config(ProptestConfig::with_cases(32))]

    // Scenario: any list, with texts that repeat; any members skipped, one after the other or at once.
    // Guarantees: at every position the owner of the next point that is not skipped; all keys of the others stay.
    #[test]
    fn lookups_step_to_the_next_point(
        scheme in scheme(), list in vec("[a-e]{1,2}:4317", 0..12), skip in vec(any::<bool>(), 0..14),
    ) {
        let is_skipped = |slot: usize| skip.get(slot).copied().unwrap_or(false);
        let full = ring(&scheme, &texts(&list));
        let skipping = full.skipping(&skip);
        let (before, found) = (owners(&full, scheme.positions), owners(&skipping, scheme.positions));
        prop_assert_eq!(&found, &walked(&full, scheme.positions, is_skipped));
        for (before, now) in before.iter().zip(&found) {
            prop_assert!(before == now || before.is_some_and(is_skipped));
        }
        for slot in 0..list.len() {
            let owned = found.iter().filter(|owner| **owner == Some(slot)).count();
            prop_assert_eq!(skipping.share(slot), owned as f64 / f64::from(scheme.positions));
        }
    }
}

//! What holds for any list of endpoints and any key.

use proptest::collection::{hash_set, vec};
use proptest::prelude::*;

use super::{owner, ring};
use crate::ring::scheme::{G1, G2, G3, Scheme};

/// Endpoint texts as resolvers produce them, no two alike.
fn endpoints(count: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Vec<String>> {
    let text = prop_oneof![
        "10\\.[0-9]{1,2}\\.[0-9]{1,2}\\.[0-9]{1,2}:4317",
        "[a-z]{1,12}-[0-9]{1,3}\\.otel(:[0-9]{2,4})?",
        "\\[fd00::[0-9a-f]{1,4}\\]:4317",
    ];
    hash_set(text, count).prop_map(|set| set.into_iter().collect())
}

fn scheme() -> impl Strategy<Value = Scheme> {
    prop_oneof![Just(G1), Just(G2), Just(G3)]
}

proptest! {
    // Each case builds rings of some thousand points in an unoptimised build.
    #![proptest_config(ProptestConfig::with_cases(24))]

    // Scenario: any list, any keys, each generation.
    // Guarantees: the table gives at every position what `hashring`'s binary search over the points gives.
    #[test]
    fn table_agrees_with_search(scheme in scheme(), list in endpoints(1..=12), keys in vec(vec(any::<u8>(), 0..40), 1..20)) {
        let list = super::texts(&list);
        let ring = ring(&scheme, &list);
        for position in 0..scheme.positions {
            let searched = ring.points.get(&position).map(|point| usize::from(point.slot));
            prop_assert_eq!(ring.slot_at(position), searched, "position {}", position);
        }
        let points: Vec<_> = ring.points().collect();
        for key in keys {
            let position = ring.position_of(&key).expect("not empty");
            let next = points.partition_point(|&(point, _)| point < position) % points.len();
            prop_assert_eq!(ring.slot_of(&key), Some(points[next].1));
        }
    }

    // Scenario: a list in its own order and shuffled.
    // Guarantees: G3 gives every position to the same endpoint, and the digest says so.
    #[test]
    fn order_does_not_matter_to_g3(
        (list, shuffled) in endpoints(1..=20).prop_flat_map(|list| (Just(list.clone()), Just(list).prop_shuffle()))
    ) {
        let (list, shuffled) = (super::texts(&list), super::texts(&shuffled));
        let (one, other) = (ring(&G3, &list), ring(&G3, &shuffled));
        prop_assert_eq!(one.digest(), other.digest());
        for position in 0..G3.positions {
            let owners = (one.slot_at(position).map(|slot| list[slot]), other.slot_at(position).map(|slot| shuffled[slot]));
            prop_assert_eq!(owners.0, owners.1, "position {}", position);
        }
    }

    // Scenario: one endpoint joins a list.
    // Guarantees: about 1 of N positions moves, to the new endpoint; what moves elsewhere is the rare point that it
    // pushed aside.
    #[test]
    fn a_new_endpoint_takes_its_share_and_moves_nothing_else(list in endpoints(3..=20)) {
        let after = super::texts(&list);
        let (joined, before) = after.split_last().expect("at least three");
        let (old, new) = (ring(&G3, before), ring(&G3, &after));
        let (mut to_joined, mut elsewhere) = (0_u32, 0_u32);
        for position in 0..G3.positions {
            let (was, is) = (old.slot_at(position).map(|slot| before[slot]), new.slot_at(position).map(|slot| after[slot]));
            if is == Some(*joined) {
                to_joined += 1;
            } else if was != is {
                elsewhere += 1;
            }
        }
        // 200 independent points would spread a share by about 7 % (one standard deviation). But CRC-32 is linear: names of
        // equal length can have points that keep their distance, and then a share strays much further.
        let mean = f64::from(G3.positions) / after.len() as f64;
        let ratio = f64::from(to_joined) / mean;
        prop_assert!((0.25..2.0).contains(&ratio), "took {} of the mean share", ratio);
        prop_assert!(elsewhere < 100, "{} positions moved between others", elsewhere);
    }

    // Scenario: any list with any number of its entries repeated.
    // Guarantees: shares are whole, every key has an owner from the list, the same on every call.
    #[test]
    fn every_key_has_one_owner(scheme in scheme(), list in vec("[a-c]{1,2}", 1..10), key in vec(any::<u8>(), 0..40)) {
        let list = super::texts(&list);
        let ring = ring(&scheme, &list);
        let whole: f64 = (0..list.len()).map(|slot| ring.share(slot)).sum();
        prop_assert!((whole - 1.0).abs() < 1e-9);
        prop_assert!(list.contains(&owner(&ring, &list, &key)));
        let slot = ring.slot_of(&key).expect("not empty");
        prop_assert_eq!(list.iter().position(|text| *text == list[slot]), Some(slot));
    }
}

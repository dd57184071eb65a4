//! The digest of a ring's members: values for ever, and what it tells apart.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{numbered, texts};
use crate::{model::settings::RingGeneration, ring::Digest};

#[track_caller]
fn check(identities: &[&str], expect: [u64; 3]) {
    let generations = [RingGeneration::G1, RingGeneration::G2, RingGeneration::G3];
    let found = generations.map(|generation| Digest::of(generation, identities).to_string());
    assert_eq!(found, expect.map(|digest| format!("{digest:016x}")), "{identities:?}");
}

// Scenario: no member, one, several in the wrong order, one twice, texts beyond ASCII, 300.
// Guarantees: the values never change. They were computed by another implementation of the definition in `ring/digest.rs`.
#[test]
fn values_are_for_ever() {
    check(&[], [0x543d_ce02_8a49_2271, 0x1f61_ef08_1aa0_7705, 0x45e4_07de_9f0a_a0fd]);
    check(&["a"], [0x4227_7bb3_dc6e_c877, 0x5576_6e65_1602_e53b, 0x42c7_c5d6_b276_a6df]);
    check(
        &["10.0.0.1:4317", "10.0.0.2:4317", "10.0.0.10:4317"],
        [0x4b71_986c_70f5_605b, 0xd413_7dff_4594_5083, 0x2a2f_ee8b_d78d_dfb1],
    );
    check(
        &["b:4317", "a:4317", "a:4317"],
        [0x4aeb_7c81_f60a_2212, 0xe1ab_0afb_19e5_59f2, 0x544c_0f89_ffa8_cf92],
    );
    check(&["ä", "z", "a"], [0x2f00_010f_c27c_7d59, 0xd7a1_7c3d_a411_a94e, 0x03ac_e197_46d5_d162]);
    check(
        &texts(&numbered("endpoint-", 300)),
        [0x1ad3_2c49_cbe0_850c, 0x689a_0811_dd08_cb6f, 0xaa0e_6930_d63a_a20e],
    );
}

// Scenario: texts that become equal, or one, when they are written behind each other, and repeated ones.
// Guarantees: each list has a digest of its own; a metric takes the last 13 digits, exactly.
#[test]
fn lists_are_told_apart() {
    let lists: [&[&str]; 8] =
        [&[], &[""], &["", ""], &["ab"], &["a", "b"], &["a", "b", "b"], &["a", "ab"], &["aa", "b"]];
    let digests = lists.map(|list| Digest::of(RingGeneration::G3, list));
    for (at, digest) in digests.iter().enumerate() {
        assert!(!digests[..at].contains(digest), "{:?}", lists[at]);
        let metric = digest.metric();
        assert_eq!(format!("{metric:013x}"), digest.to_string()[3..]);
        assert_eq!(metric as f64 as i64, metric);
    }
}

proptest! {
    // Scenario: a list in two orders, and with one member more or less.
    // Guarantees: the order of arrival does not matter; the members do, and how often each of them is there.
    #[test]
    fn order_does_not_matter(
        list in vec("[a-c]{1,2}", 1..12).prop_flat_map(|list| (Just(list.clone()), Just(list).prop_shuffle())),
    ) {
        let (one, other) = (texts(&list.0), texts(&list.1));
        let digest = Digest::of(RingGeneration::G3, &one);
        prop_assert_eq!(digest, Digest::of(RingGeneration::G3, &other));
        prop_assert_ne!(digest, Digest::of(RingGeneration::G3, &one[1..]));
        prop_assert_ne!(digest, Digest::of(RingGeneration::G2, &one));
    }
}

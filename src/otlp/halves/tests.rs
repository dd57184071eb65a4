//! Tests of halves: where the cut falls, and prost as the oracle of what is in them.

#![expect(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "prost is the oracle; tests may panic"
)]

mod prost_items;

use proptest::prelude::*;

use self::prost_items::{Located, located};
use super::*;
use crate::otlp::{
    split::tests::adversarial::Generator,
    wire::{Tag, put_bytes, put_fixed64, put_message},
};
use prost::Message;

/// An unknown field of any message, tag and length included.
const UNKNOWN: [u8; 4] = [0x7a, 2, 9, 9];

fn adversarial(signal: Signal, seed: u64, items: usize) -> Vec<u8> {
    let mut generator = Generator::new(seed);
    match signal {
        Signal::Traces => generator.traces(items).encode_to_vec(),
        Signal::Metrics => generator.metrics(items).encode_to_vec(),
        Signal::Logs => generator.logs(items).encode_to_vec(),
    }
}

/// A resource group with that many spans, named after their position.
fn group(spans: u8) -> Vec<u8> {
    let mut out = Vec::new();
    put_message(&mut out, Tag::len(1), |group| {
        put_message(group, Tag::len(1), |resource| put_bytes(resource, Tag::len(15), b"resource"));
        put_message(group, Tag::len(2), |scope| {
            for name in 0..spans {
                put_message(scope, Tag::len(2), |span| {
                    put_bytes(span, Tag::len(5), &[b'0' + name / 16, b'0' + name % 16])
                });
            }
        });
    });
    out
}

/// Items and length of each half.
#[track_caller]
fn cut(signal: Signal, payload: &[u8]) -> Option<[(usize, usize); 2]> {
    let halves = halves(signal, payload).expect("a valid request");
    halves.map(|halves| halves.map(|(items, half)| (items, half.len())))
}

/// Cuts a request of groups with that many spans, and expects the cut in front of one of them.
#[track_caller]
fn check_cut(groups: &[u8], second: usize) {
    let parts: Vec<_> = groups.iter().map(|&spans| group(spans)).collect();
    let (first, rest) = parts.split_at(second);
    let items = |groups: &[u8]| groups.iter().map(|&spans| usize::from(spans)).sum::<usize>();
    let expect =
        [(items(&groups[..second]), first.concat().len()), (items(&groups[second..]), rest.concat().len())];
    assert_eq!(cut(Signal::Traces, &parts.concat()), Some(expect), "{groups:?}");
}

// Scenario: resource groups of various fillings, some empty.
// Guarantees: the cut is at the border nearest to the middle of the items, with items on both sides; of two borders
// that are equally near the first.
#[test]
fn groups_are_cut_near_the_middle() {
    check_cut(&[1, 1], 1);
    check_cut(&[1, 1, 1, 1], 2);
    check_cut(&[1, 1, 1], 1);
    check_cut(&[5, 1, 1, 1], 1);
    check_cut(&[1, 1, 1, 5], 3);
    check_cut(&[1, 8, 1], 1);
    check_cut(&[0, 3, 0, 3, 0], 3);
}

// Scenario: unknown fields of the request before, between and behind two groups.
// Guarantees: the halves behind each other are the request, byte for byte.
#[test]
fn a_cut_between_groups_keeps_every_byte() {
    let payload = [&UNKNOWN[..], &group(2), &UNKNOWN, &group(0), &group(1), &UNKNOWN].concat();
    let [first, second] = halves(Signal::Traces, &payload).unwrap().unwrap();
    assert_eq!((first.0, second.0), (2, 1));
    assert_eq!([first.1, second.1].concat(), payload);
}

// Scenario: one group with items, among empty ones; an unknown field of the request.
// Guarantees: cut in the middle of the items, the first half the larger one; the wrappers and the unknown field are in both.
#[test]
fn one_group_is_cut_between_items() {
    let payload = [&group(0)[..], &group(5), &UNKNOWN, &group(0)].concat();
    let [first, second] = halves(Signal::Traces, &payload).unwrap().unwrap();
    assert_eq!((first.0, second.0), (3, 2));
    assert_eq!(first.1, [&UNKNOWN[..], &group(3)].concat());
    let tail = located(Signal::Traces, &second.1);
    assert_eq!(tail, located(Signal::Traces, &payload)[3..]);
    assert_eq!(second.1.get(..4), Some(&UNKNOWN[..]));
}

// Scenario: requests without items and with one, alone and among empty groups, of every signal; metrics without points.
// Guarantees: nothing to cut.
#[test]
fn a_single_item_is_not_cut() {
    for payload in [&[][..], &UNKNOWN, &group(0), &group(1), &[group(0), group(1), group(0)].concat()] {
        assert_eq!(cut(Signal::Traces, payload), None);
    }
    for signal in Signal::ALL {
        for items in [0, 1] {
            (0..20).for_each(|seed| assert_eq!(cut(signal, &adversarial(signal, seed, items)), None));
        }
    }
}

// Scenario: one metric of seven points.
// Guarantees: it is cut between points, its name in both halves.
#[test]
fn a_metric_is_cut_between_points() {
    let mut payload = Vec::new();
    put_message(&mut payload, Tag::len(1), |resource| {
        put_message(resource, Tag::len(2), |scope| {
            put_message(scope, Tag::len(2), |metric| {
                put_bytes(metric, Tag::len(1), b"latency");
                put_message(metric, Tag::len(5), |gauge| {
                    for time in 0..7 {
                        put_message(gauge, Tag::len(1), |point| put_fixed64(point, Tag::fixed64(3), time));
                    }
                });
            });
        });
    });
    let [first, second] = halves(Signal::Metrics, &payload).unwrap().unwrap();
    assert_eq!((first.0, second.0), (4, 3));
    let both = [located(Signal::Metrics, &first.1), located(Signal::Metrics, &second.1)].concat();
    assert_eq!(both, located(Signal::Metrics, &payload));
}

// Scenario: bytes that are no request.
// Guarantees: refused as by the splitter.
#[test]
fn malformed_requests_are_refused() {
    for payload in [&[0x0a][..], &[0x0a, 5, 1], &[0x08, 1], &[&group(3)[..], &[0x0b]].concat()] {
        assert!(halves(Signal::Traces, payload).is_err(), "{payload:?}");
    }
}

/// Cuts down to single items; returns them, in order, and the number of cuts above the deepest one.
fn single_items(signal: Signal, payload: Vec<u8>, items: usize) -> (Vec<Vec<u8>>, u32) {
    let Some([first, second]) = halves(signal, &payload).expect("a valid request") else {
        assert!(items <= 1);
        return (vec![payload], 0);
    };
    assert!(first.0 > 0 && second.0 > 0, "a half without items");
    assert_eq!(first.0 + second.0, items);
    let (mut all, left) = single_items(signal, first.1, first.0);
    let (rest, right) = single_items(signal, second.1, second.0);
    all.extend(rest);
    (all, left.max(right) + 1)
}

/// Halves a request of every signal once and to the end, and compares with what prost reads.
#[track_caller]
fn check(signal: Signal, payload: Vec<u8>) {
    let whole = located(signal, &payload);
    let items = whole.iter().filter(|item| item.is_item()).count();
    if let Some([first, second]) = halves(signal, &payload).expect("a valid request") {
        let parts = [located(signal, &first.1), located(signal, &second.1)];
        let counted = parts.each_ref().map(|part| part.iter().filter(|item| item.is_item()).count());
        assert_eq!(counted, [first.0, second.0]);
        assert_eq!(parts.concat(), whole);
    } else {
        assert!(items <= 1);
    }
    let (singles, depth) = single_items(signal, payload, items);
    assert_eq!(singles.len(), items.max(1));
    let found: Vec<Located> = singles.iter().flat_map(|single| located(signal, single)).collect();
    assert_eq!(found, whole);
    assert!(depth <= items.max(1).next_power_of_two().ilog2() + 3, "{depth} cuts for {items} items");
}

// Scenario: groups whose sizes double, and one large group between many small ones.
// Guarantees: the depth stays logarithmic although no border is near the middle.
#[test]
fn lopsided_groups_do_not_make_it_deep() {
    let doubling: Vec<u8> = (0..7).flat_map(|power| group(1 << power)).collect();
    check(Signal::Traces, doubling);
    let small = group(1).repeat(40);
    check(Signal::Traces, [&small[..], &group(120), &small].concat());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    // Scenario: adversarial requests of every signal, cut once and down to single items.
    // Guarantees: prost finds every item once, in order, with its resource, scope and metric; the counts are right; the
    // depth is logarithmic.
    #[test]
    fn halves_hold_what_prost_finds(seed: u64, items in 0_usize..48) {
        for signal in Signal::ALL {
            check(signal, adversarial(signal, seed, items));
        }
    }

    // Scenario: two adversarial requests behind each other, as in a batch.
    // Guarantees: the same.
    #[test]
    fn batches_are_cut_too(seed: u64, items in 0_usize..24) {
        for signal in Signal::ALL {
            let batch = [adversarial(signal, seed, items), adversarial(signal, seed ^ 1, 24 - items)];
            check(signal, batch.concat());
        }
    }

    // Scenario: adversarial requests with up to three bytes changed.
    // Guarantees: no panic; what is cut has halves that are requests with the items that were announced, fewer than before.
    #[test]
    fn changed_bytes_are_refused_or_cut(
        seed: u64, items in 1_usize..20, changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        for signal in Signal::ALL {
            let mut payload = adversarial(signal, seed, items);
            for (at, byte) in &changes {
                let at = at.index(payload.len());
                payload[at] = *byte;
            }
            let Ok(Some(parts)) = halves(signal, &payload) else { continue };
            let mut splitter = Splitter::new(0);
            let mut items = |payload: &[u8]| {
                splitter.plan_by_size(signal, payload, usize::MAX, usize::MAX).map(|plan| plan.items())
            };
            let [first, second] = &parts;
            prop_assert_eq!(items(&payload), Ok(first.0 + second.0));
            for (count, half) in &parts {
                prop_assert!(*count > 0);
                prop_assert_eq!(items(half), Ok(*count));
            }
        }
    }
}

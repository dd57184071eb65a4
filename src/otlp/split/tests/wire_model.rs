//! Requests as no library writes them: unknown fields at every level, any order, over-long lengths; compared byte for byte.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*};

use super::naive::{self, Item};
use crate::{
    model::{
        Signal,
        settings::{Key, RoutingKey, Validation},
    },
    otlp::Splitter,
};

/// A varint in at least `width` bytes.
pub(super) fn varint(value: u64, width: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut left = value;
    while left >= 0x80 || out.len() + 1 < width {
        out.push(left as u8 & 0x7f | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
    out
}

/// A length-delimited field whose length is as wide as `width` says.
pub(super) fn framed(field: u64, body: &[u8], width: usize) -> Vec<u8> {
    [&varint(field << 3 | 2, 1)[..], &varint(body.len() as u64, width), body].concat()
}

pub(super) fn unknown() -> impl Strategy<Value = Vec<u8>> {
    let field = 17_u64..2000;
    prop_oneof![
        (field.clone(), any::<u64>(), 1_usize..4).prop_map(|(field, value, width)| [
            varint(field << 3, 1),
            varint(value, width)
        ]
        .concat()),
        (field.clone(), any::<[u8; 8]>())
            .prop_map(|(field, value)| [&varint(field << 3 | 1, 1)[..], &value].concat()),
        (field.clone(), any::<[u8; 4]>())
            .prop_map(|(field, value)| [&varint(field << 3 | 5, 1)[..], &value].concat()),
        (field, vec(any::<u8>(), 0..9), 1_usize..4)
            .prop_map(|(field, body, width)| framed(field, &body, width)),
    ]
    // Field 1000 is not unknown in a resource group.
    .prop_filter("not the deprecated field", |bytes| bytes[0] != 0xc2 || bytes[1] != 0x3e)
    .prop_filter("nor its number", |bytes| bytes[1] != 0x3e)
}

pub(super) fn attribute(field: u64) -> impl Strategy<Value = Vec<u8>> {
    ("[a-c]{1,3}", ".{0,4}").prop_map(move |(key, value)| {
        let value = framed(2, &framed(1, value.as_bytes(), 1), 1);
        framed(field, &[framed(1, key.as_bytes(), 1), value].concat(), 1)
    })
}

/// Fields in any order, after which comes a message.
pub(super) fn message(fields: impl Strategy<Value = Vec<u8>>, most: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(fields, 0..most).prop_map(|fields| fields.concat())
}

fn span() -> impl Strategy<Value = Vec<u8>> {
    let trace_id = prop_oneof![
        4 => (0_u8..6).prop_map(|byte| framed(1, &[byte; 16], 1)),
        1 => Just(framed(1, &[], 2)),
    ];
    message(
        prop_oneof![
            4 => trace_id,
            1 => any::<[u8; 8]>().prop_map(|id| framed(2, &id, 1)),
            1 => ".{0,5}".prop_map(|name| framed(5, name.as_bytes(), 3)),
            1 => (0_u64..6).prop_map(|kind| [vec![0x30], varint(kind, 2)].concat()),
            1 => any::<[u8; 8]>().prop_map(|time| [&[0x39][..], &time].concat()),
            1 => any::<[u8; 4]>().prop_map(|flags| [&[0x85, 0x01][..], &flags].concat()),
            2 => attribute(9),
            1 => unknown(),
        ],
        7,
    )
}

fn scope_group() -> impl Strategy<Value = Vec<u8>> {
    message(
        prop_oneof![
            6 => (span(), 1_usize..4).prop_map(|(span, width)| framed(2, &span, width)),
            1 => "[ab]?".prop_map(|name| framed(1, &framed(1, name.as_bytes(), 1), 1)),
            1 => "[xy]?".prop_map(|url| framed(3, url.as_bytes(), 1)),
            1 => unknown(),
        ],
        9,
    )
}

fn resource_group(scopes: u64) -> impl Strategy<Value = Vec<u8>> {
    message(
        prop_oneof![
            4 => (scope_group(), 1_usize..4).prop_map(move |(group, width)| framed(scopes, &group, width)),
            2 => attribute(1).prop_map(|attribute| framed(1, &attribute, 1)),
            1 => "[xy]?".prop_map(|url| framed(3, url.as_bytes(), 1)),
            1 => unknown(),
        ],
        6,
    )
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    let group = prop_oneof![5 => resource_group(2).boxed(), 1 => resource_group(1000).boxed()];
    message(
        prop_oneof![
            6 => (group, 1_usize..4).prop_map(|(group, width)| framed(1, &group, width)),
            1 => unknown(),
        ],
        6,
    )
}

/// The last trace id of a span, found without the reader under test.
fn trace_id(item: &Item) -> Vec<u8> {
    let body = &naive::fields(item)[0].1;
    naive::fields(body)
        .into_iter()
        .rfind(|(tag, _)| *tag == 10)
        .map(|(_, id)| id)
        .filter(|id| !id.is_empty())
        .unwrap_or_else(|| vec![0; 16])
}

type Contents = BTreeMap<usize, Vec<(Vec<u8>, Vec<u8>, Item)>>;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    // Scenario: any valid request, at both levels, over four slots.
    // Guarantees: each slot gets exactly its items, byte for byte, with the fields of their groups, byte for byte; each
    // distinct group once; fields of the request in every part.
    #[test]
    fn parts_hold_the_bytes_of_their_items(payload in request(), full: bool) {
        let slot_of = |key: &[u8]| usize::from(key[0] % 4);
        let whole = naive::request(&payload);
        let mut expect = Contents::new();
        for item in naive::items(&whole) {
            expect.entry(slot_of(&trace_id(&item.2))).or_default().push(item);
        }
        let one_slot = expect.len() == 1;

        let mut splitter = Splitter::new(0);
        let validation = if full { Validation::Full } else { Validation::Structure };
        let plan = splitter.plan(Signal::Traces, &payload, &RoutingKey::compatible(Key::TraceId), validation, 4, slot_of).unwrap();
        for (slot, items, bytes) in plan.parts() {
            let mut part = Vec::new();
            plan.append(slot, &mut part);
            prop_assert_eq!(part.len(), bytes);
            let part = naive::request(&part);
            let mut inside = naive::items(&part);
            prop_assert_eq!(inside.len(), items);
            let mut expect = expect.remove(&slot).unwrap();
            inside.sort_unstable();
            expect.sort_unstable();
            prop_assert_eq!(inside, expect);
            prop_assert_eq!(part.own.concat(), whole.own.concat());
            if !one_slot {
                // Equal: the same fields, wherever children stand between them.
                let distinct: BTreeSet<_> = whole.children.iter().map(|group| group.own.concat()).collect();
                prop_assert!(part.children.len() <= distinct.len());
                for group in &part.children {
                    prop_assert!(!group.children.is_empty());
                    prop_assert!(group.children.iter().all(|scope| !scope.children.is_empty()));
                }
            }
        }
        prop_assert!(expect.is_empty());
    }

    // Scenario: two requests, alone and concatenated.
    // Guarantees: the concatenation splits into what its halves split into.
    #[test]
    fn concatenation_splits_like_its_halves(one in request(), two in request()) {
        let split = |payload: &[u8]| {
            let mut splitter = Splitter::new(0);
            let slot_of = |key: &[u8]| usize::from(key[0] % 4);
            let plan =
                splitter.plan(Signal::Traces, payload, &RoutingKey::compatible(Key::TraceId), Validation::Structure, 4, slot_of).unwrap();
            let mut contents = Contents::new();
            for (slot, ..) in plan.parts() {
                let mut part = Vec::new();
                plan.append(slot, &mut part);
                contents.insert(slot, naive::items(&naive::request(&part)));
            }
            contents
        };
        let mut expect = split(&one);
        for (slot, items) in split(&two) {
            expect.entry(slot).or_default().extend(items);
        }
        let mut both = split(&[one, two].concat());
        expect.values_mut().chain(both.values_mut()).for_each(|items| items.sort_unstable());
        prop_assert_eq!(both, expect);
    }

    // Scenario: any bytes.
    // Guarantees: no panic; whatever is accepted keeps the invariants of the fuzz targets, prost included.
    #[test]
    fn any_bytes_are_split_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        super::bodies::split_traces(&bytes);
        super::bodies::wire(&bytes);
    }

    // Scenario: valid requests with up to three bytes changed, and cut at any length.
    // Guarantees: the same, close to the line between valid and malformed.
    #[test]
    fn mutated_requests_are_split_or_refused(
        payload in request(), changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), cut: prop::sample::Index,
    ) {
        let mut payload = payload;
        for (at, byte) in changes {
            if !payload.is_empty() {
                let at = at.index(payload.len());
                payload[at] = byte;
            }
        }
        super::bodies::split_traces(&payload);
        super::bodies::split_traces(&payload[..cut.index(payload.len() + 1)]);
    }
}

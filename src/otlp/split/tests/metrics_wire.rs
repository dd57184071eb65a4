//! Metrics as no library writes them: unknown fields at every level, any order, over-long lengths, several kinds of data in
//! one metric; compared byte for byte. Which key is right is the affair of other tests.

use std::{collections::BTreeSet, sync::Arc};

use proptest::{collection::vec, prelude::*};

use super::{
    naive::{self, Item},
    traces,
    wire_model::{attribute, framed, message, unknown, varint},
};
use crate::{
    model::{
        Signal,
        settings::{Key, MissingKey, RoutingKey, Validation},
    },
    otlp::{Dropped, Splitter},
};

const SLOTS: usize = 3;

/// Tags of a point's attributes by the field of the data in a metric.
const KINDS: [(u64, u64); 5] = [(5, 7), (7, 7), (9, 9), (10, 1), (11, 7)];

fn service_name() -> impl Strategy<Value = Vec<u8>> {
    "[ab]?".prop_map(|name| {
        let value = framed(2, &framed(1, name.as_bytes(), 1), 1);
        framed(1, &[framed(1, b"service.name", 1), value].concat(), 1)
    })
}

fn point(attributes: u64) -> impl Strategy<Value = Vec<u8>> {
    message(
        prop_oneof![
            3 => attribute(attributes),
            2 => any::<[u8; 8]>().prop_map(|time| [&[0x19][..], &time].concat()),
            1 => unknown(),
        ],
        5,
    )
}

fn data() -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(&KINDS[..]).prop_flat_map(|(field, attributes)| {
        let temporality = (0_u64..3).prop_map(|value| [vec![0x10], varint(value, 1)].concat());
        let body = message(
            prop_oneof![
                6 => (point(attributes), 1_usize..4).prop_map(|(point, width)| framed(1, &point, width)),
                // A field of sums and histograms; unknown elsewhere.
                1 => temporality,
                1 => unknown(),
            ],
            8,
        );
        (body, 1_usize..4).prop_map(move |(body, width)| framed(field, &body, width))
    })
}

fn metric() -> impl Strategy<Value = Vec<u8>> {
    message(
        prop_oneof![
            4 => data(),
            2 => "[mn]?".prop_map(|name| framed(1, name.as_bytes(), 1)),
            1 => "[d]?".prop_map(|description| framed(2, description.as_bytes(), 1)),
            1 => "[u]?".prop_map(|unit| framed(3, unit.as_bytes(), 1)),
            1 => attribute(12),
            1 => unknown(),
        ],
        4,
    )
}

fn scope_group() -> impl Strategy<Value = Vec<u8>> {
    message(
        prop_oneof![
            6 => (metric(), 1_usize..4).prop_map(|(metric, width)| framed(2, &metric, width)),
            1 => "[ab]?".prop_map(|name| framed(1, &framed(1, name.as_bytes(), 1), 1)),
            1 => attribute(3).prop_map(|attribute| framed(1, &attribute, 1)),
            1 => unknown(),
        ],
        7,
    )
}

fn resource_group(scopes: u64) -> impl Strategy<Value = Vec<u8>> {
    message(
        prop_oneof![
            4 => (scope_group(), 1_usize..4).prop_map(move |(group, width)| framed(scopes, &group, width)),
            2 => attribute(1).prop_map(|attribute| framed(1, &attribute, 1)),
            2 => service_name().prop_map(|attribute| framed(1, &attribute, 1)),
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

fn routing_key() -> impl Strategy<Value = RoutingKey> {
    let names = |names: &[&str]| Key::Attributes(names.iter().map(|name| Arc::from(*name)).collect());
    let key = prop_oneof![
        Just(Key::None),
        Just(Key::ServiceName),
        Just(Key::Resource),
        Just(Key::Metric),
        Just(Key::Stream),
        Just(names(&["a"])),
        Just(names(&["service.name"])),
        Just(names(&["b", "a", "service.name"])),
    ];
    let missing = prop_oneof![
        2 => Just(MissingKey::Compatible),
        1 => Just(MissingKey::Resource),
        1 => Just(MissingKey::Fixed("fixed".into())),
        1 => Just(MissingKey::Drop),
    ];
    (key, missing).prop_map(|(key, missing)| RoutingKey { key, missing })
}

/// Own fields of resource group, scope group, metric and data, the data's tag, and a point.
type Point = (Vec<u8>, Vec<u8>, Vec<u8>, u64, Vec<u8>, Item);

/// Every point of a request, in order.
fn points(request: &[u8]) -> Vec<Point> {
    let mut all = Vec::new();
    for (resource, scope, item) in naive::items(&naive::request(request)) {
        let metric = naive::metric(&item);
        let Some((tag, data)) = metric.data else { continue };
        for point in data.children {
            let own = (resource.clone(), scope.clone(), metric.own.concat());
            all.push((own.0, own.1, own.2, tag, data.own.concat(), point));
        }
    }
    all
}

/// Metrics without points.
fn empty_metrics(request: &[u8]) -> usize {
    let items = naive::items(&naive::request(request));
    let points = |item| naive::metric(item).data.map_or(0, |(_, data)| data.children.len());
    items.iter().filter(|(.., item)| points(item) == 0).count()
}

/// Plans and appends; checks what holds for every accepted request. (slot, points, part) of each part.
fn split(
    payload: &[u8],
    key: &RoutingKey,
    validation: Validation,
) -> (Vec<(usize, usize, Vec<u8>)>, Dropped) {
    let mut splitter = Splitter::new(0);
    let slot_of = |key: &[u8]| if *key == b"fixed"[..] { 0 } else { traces::slot_of(key, SLOTS) };
    let plan = splitter.plan(Signal::Metrics, payload, key, validation, SLOTS, slot_of).unwrap();
    let mut parts = Vec::new();
    for (slot, items, bytes) in plan.parts() {
        let mut part = Vec::new();
        plan.append(slot, &mut part);
        assert_eq!(part.len(), bytes, "announced size");
        assert!(items > 0);
        assert_eq!(points(&part).len(), items);
        parts.push((slot, items, part));
    }
    let items: usize = parts.iter().map(|(_, items, _)| items).sum();
    assert_eq!(plan.items(), items + plan.dropped().without_key);
    (parts, plan.dropped())
}

/// No two wrappers in one group have the same fields.
fn assert_distinct(part: &[u8]) {
    let part = naive::request(part);
    let mut resources = BTreeSet::new();
    for resource in &part.children {
        assert!(resources.insert(&resource.own), "resource twice");
        let mut scopes = BTreeSet::new();
        for scope in &resource.children {
            assert!(scopes.insert(&scope.own), "scope twice");
            let mut metrics = BTreeSet::new();
            for item in &scope.children {
                let metric = naive::metric(item);
                let data = metric.data.map(|(tag, data)| (tag, data.own));
                assert!(metrics.insert((metric.own, data)), "metric twice");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    // Scenario: any valid request under any key and policy, at both levels.
    // Guarantees: every point is in one part or counted as dropped, byte for byte, with the fields of its metric and of the
    // groups around it; metrics without points are in a part or counted; each wrapper once; both levels agree.
    #[test]
    fn parts_hold_the_bytes_of_their_points(payload in request(), key in routing_key()) {
        let (parts, dropped) = split(&payload, &key, Validation::Structure);
        let (full, _) = split(&payload, &key, Validation::Full);
        prop_assert_eq!(&parts, &full);

        let mut expect = points(&payload);
        let mut found: Vec<Point> = parts.iter().flat_map(|(.., part)| points(part)).collect();
        expect.sort_unstable();
        found.sort_unstable();
        if dropped.without_key == 0 {
            prop_assert_eq!(&found, &expect);
        } else {
            prop_assert_eq!(found.len() + dropped.without_key, expect.len());
            let mut left = expect.iter();
            prop_assert!(found.iter().all(|point| left.any(|other| other == point)));
        }
        let may_vanish = key.missing != MissingKey::Compatible || key.key == Key::ServiceName;
        let request = naive::request(&payload);
        for (.., part) in &parts {
            prop_assert_eq!(naive::request(part).own.concat(), request.own.concat());
            if *part != payload {
                assert_distinct(part);
            }
        }
        let empties: usize = parts.iter().map(|(.., part)| empty_metrics(part)).sum();
        let before = empty_metrics(&payload);
        prop_assert!(empties + dropped.empty_metrics <= before);
        if !may_vanish && parts.iter().all(|(.., part)| *part == payload) && !parts.is_empty() {
            prop_assert_eq!(empties, before);
        }
    }

    // Scenario: each part planned again with the same slots.
    // Guarantees: it is one part, equal to itself byte for byte: re-routing over an unchanged table changes nothing.
    #[test]
    fn parts_split_into_themselves(payload in request(), key in routing_key()) {
        for (slot, items, part) in split(&payload, &key, Validation::Structure).0 {
            let (again, dropped) = split(&part, &key, Validation::Structure);
            prop_assert_eq!(dropped, Dropped::default());
            prop_assert_eq!(again, [(slot, items, part)]);
        }
    }

    // Scenario: any valid request cut to any size.
    // Guarantees: no part exceeds the limits unless it is one point; all points are there, in order, with everything around
    // them; parts are as full as the limit allows.
    #[test]
    fn cuts_fall_between_points(payload in request(), divisor in 1_usize..9, max_items in 1_usize..7) {
        let max_bytes = payload.len() / divisor;
        let mut splitter = Splitter::new(0);
        let plan = splitter.plan_by_size(Signal::Metrics, &payload, max_bytes, max_items).unwrap();
        let mut together = Vec::new();
        for (number, (slot, items, bytes)) in plan.parts().enumerate() {
            prop_assert_eq!(slot, number);
            prop_assert!(items <= max_items && (bytes <= max_bytes || items == 1));
            let mut part = Vec::new();
            plan.append(slot, &mut part);
            prop_assert_eq!(part.len(), bytes);
            let inside = points(&part);
            prop_assert_eq!(inside.len(), items);
            together.extend(inside);
        }
        prop_assert_eq!(plan.items(), together.len());
        prop_assert_eq!(together, points(&payload));
    }

    // Scenario: any bytes, and valid requests with some bytes changed and cut at any length.
    // Guarantees: no panic; `Full` accepts nothing that `Structure` refuses; what a cut accepts does not depend on the key.
    #[test]
    fn any_bytes_are_split_or_refused(
        bytes in prop_oneof![vec(any::<u8>(), 0..200), request()],
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut: prop::sample::Index,
        key in routing_key(),
    ) {
        let mut payload = bytes;
        for (at, byte) in changes {
            if !payload.is_empty() {
                let at = at.index(payload.len());
                payload[at] = byte;
            }
        }
        payload.truncate(cut.index(2 * payload.len() + 1));
        let mut splitter = Splitter::new(0);
        let mut accepts = |key: &RoutingKey, validation| {
            let slot_of = |key: &[u8]| traces::slot_of(key, SLOTS);
            splitter.plan(Signal::Metrics, &payload, key, validation, SLOTS, slot_of).is_ok()
        };
        let structure = accepts(&RoutingKey::compatible(Key::None), Validation::Structure);
        // A key may need attributes that the level does not look into.
        prop_assert!(structure || !accepts(&key, Validation::Structure));
        if accepts(&key, Validation::Full) {
            prop_assert!(accepts(&key, Validation::Structure));
            split(&payload, &key, Validation::Full);
        }
        let by_size = Splitter::new(0).plan_by_size(Signal::Metrics, &payload, 50, 3).is_ok();
        prop_assert_eq!(by_size, structure);
    }
}

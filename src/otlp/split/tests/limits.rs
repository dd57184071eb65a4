//! The edges of the splitter: nothing to send, everything to one slot, groups that merge, fields without an owner.

use std::{cell::Cell, collections::HashMap};

use super::naive::{self, Group};
use crate::{
    model::{
        Signal,
        settings::{Key, RoutingKey, Validation},
    },
    otlp::{
        Malformed, Splitter,
        split::{Plan, groups::DISTINCT},
        wire::{Tag, put_bytes, put_len_prefix, put_message, put_uint},
    },
};

const RESOURCES: Tag = Tag::len(1);
const SCOPES: Tag = Tag::len(2);
const LIBRARIES: Tag = Tag::len(1000);
const ITEMS: Tag = Tag::len(2);

/// A span of trace `trace`, tag and length included.
fn span(trace: u8) -> Vec<u8> {
    let mut out = Vec::new();
    put_message(&mut out, ITEMS, |span| put_bytes(span, Tag::len(1), &[trace; 16]));
    out
}

/// A scope group with a scope of that name, tag and length included.
fn scope(tag: Tag, name: &str, traces: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_message(&mut out, tag, |group| {
        put_message(group, Tag::len(1), |scope| put_bytes(scope, Tag::len(1), name.as_bytes()));
        traces.iter().for_each(|&trace| group.extend(span(trace)));
    });
    out
}

/// A resource group with a resource of that many dropped attributes, tag and length included.
fn resource(number: u64, scopes: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    put_message(&mut out, RESOURCES, |group| {
        put_message(group, Tag::len(1), |resource| put_uint(resource, Tag::varint(2), number));
        scopes.iter().for_each(|scope| group.extend_from_slice(scope));
    });
    out
}

fn plan<'a>(splitter: &'a mut Splitter, payload: &'a [u8]) -> Result<Plan<'a>, Malformed> {
    let slot_of = |key: &[u8]| usize::from(key[0]);
    splitter.plan(
        Signal::Traces,
        payload,
        &RoutingKey::compatible(Key::TraceId),
        Validation::Full,
        256,
        slot_of,
    )
}

/// The parts of a request; a span of trace `n` goes to slot `n`.
fn parts(payload: &[u8]) -> Vec<(usize, Vec<u8>)> {
    let mut splitter = Splitter::new(0);
    let plan = plan(&mut splitter, payload).unwrap();
    let part = |slot| {
        let mut out = Vec::new();
        plan.append(slot, &mut out);
        out
    };
    plan.parts().map(|(slot, ..)| (slot, part(slot))).collect()
}

#[track_caller]
fn check(payload: &[&[u8]], expect: &[(usize, &[&[u8]])]) {
    let expect: Vec<_> = expect.iter().map(|(slot, part)| (*slot, part.concat())).collect();
    assert_eq!(parts(&payload.concat()), expect);
}

// Scenario: requests without items: empty, with empty groups, with unknown fields only.
// Guarantees: no items and no parts, so nothing is sent; appending any slot appends nothing.
#[test]
fn requests_without_items_have_no_parts() {
    let unknown = [0x7a, 2, 1, 2];
    for payload in [&[][..], &[0x0a, 0], &resource(1, &[scope(SCOPES, "a", &[])]), &unknown] {
        let mut splitter = Splitter::new(0);
        let plan = plan(&mut splitter, payload).unwrap();
        assert_eq!((plan.items(), plan.parts().count()), (0, 0));
        let mut out = Vec::new();
        plan.append(0, &mut out);
        assert!(out.is_empty());
        drop(plan);
        let plan = splitter.plan_by_size(Signal::Traces, payload, 0, 0).unwrap();
        assert_eq!((plan.items(), plan.parts().count()), (0, 0));
    }
}

// Scenario: one trace in groups that could be merged or left out, with over-long lengths and unknown fields.
// Guarantees: a request for one slot is copied as it came.
#[test]
fn request_for_one_slot_is_copied_whole() {
    let group = resource(1, &[scope(SCOPES, "a", &[7])]);
    let payload = [&group[..], &group, &[0x0a, 0x80, 0x00, 0x7a, 1, 9]].concat();
    check(&[&payload], &[(7, &[&payload])]);
}

// Scenario: equal resources and scopes, adjacent and apart; a scope of the same name in another resource.
// Guarantees: one wrapper for each distinct resource, and in it one for each distinct scope; empty groups vanish.
#[test]
fn equal_groups_are_merged() {
    check(
        &[
            &resource(1, &[scope(SCOPES, "a", &[3, 4]), scope(SCOPES, "b", &[3]), scope(SCOPES, "a", &[3])]),
            &resource(2, &[scope(SCOPES, "a", &[3, 3]), scope(SCOPES, "empty", &[])]),
            &resource(1, &[scope(SCOPES, "b", &[4]), scope(SCOPES, "a", &[4])]),
            &resource(9, &[]),
        ],
        &[
            (
                3,
                &[
                    &resource(1, &[scope(SCOPES, "a", &[3, 3]), scope(SCOPES, "b", &[3])]),
                    &resource(2, &[scope(SCOPES, "a", &[3, 3])]),
                ],
            ),
            (4, &[&resource(1, &[scope(SCOPES, "a", &[4, 4]), scope(SCOPES, "b", &[4])])]),
        ],
    );
}

// Scenario: more distinct resources than are remembered, each twice.
// Guarantees: those beyond are repeated, none is lost, and the table stays bounded.
#[test]
fn merging_has_a_limit() {
    let resources: Vec<_> =
        (0..DISTINCT as u64).map(|n| resource(n, &[scope(SCOPES, "a", &[1, 2])])).collect();
    let payload = [resources.concat(), resources.concat()].concat();
    let parts = parts(&payload);
    assert_eq!(parts.len(), 2);
    for (_, part) in parts {
        let part = naive::request(&part);
        assert_eq!(naive::items(&part).len(), 2 * DISTINCT);
        // One entry for the resource and one for its scope.
        assert_eq!(part.children.len(), 2 * DISTINCT - DISTINCT / 2);
    }
}

// Scenario: two schema URLs with one checksum.
// Guarantees: equality is decided on the bytes: their resource groups are not merged.
#[test]
fn equal_checksums_do_not_merge() {
    let with_url = |number: u64, traces: &[u8]| {
        let mut out = Vec::new();
        put_message(&mut out, RESOURCES, |group| {
            put_bytes(group, Tag::len(3), format!("{number:016x}").as_bytes());
            group.extend(scope(SCOPES, "a", traces));
        });
        out
    };
    let mut seen = HashMap::new();
    let (one, two) = (0_u64..)
        .map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .find_map(|number| {
            let own = [b"\x1a\x10", format!("{number:016x}").as_bytes()].concat();
            seen.insert(crc32fast::hash(&own), number).map(|before| (before, number))
        })
        .unwrap();
    check(
        &[&with_url(one, &[1, 2]), &with_url(two, &[1, 2])],
        &[
            (1, &[&with_url(one, &[1]), &with_url(two, &[1])]),
            (2, &[&with_url(one, &[2]), &with_url(two, &[2])]),
        ],
    );
}

// Scenario: unknown fields in the request, a resource group and a scope group, before and behind the children.
// Guarantees: every part has them all, in their order, in front of the items.
#[test]
fn unknown_fields_of_wrappers_are_in_every_part() {
    let mut payload = vec![0x7a, 1, 1];
    put_message(&mut payload, RESOURCES, |group| {
        group.extend([0x7a, 1, 2]);
        put_message(group, SCOPES, |group| {
            group.extend([0x7a, 1, 3]);
            group.extend(span(1));
            group.extend([0x1a, 1, b's']);
            group.extend(span(2));
            group.extend([0x7a, 1, 4]);
        });
        group.extend([0x1a, 1, b'r', 0x7a, 1, 5]);
    });
    payload.extend([0x7a, 1, 6]);
    let part = |trace| {
        let mut part = vec![0x7a, 1, 1, 0x7a, 1, 6];
        put_message(&mut part, RESOURCES, |group| {
            group.extend([0x7a, 1, 2, 0x1a, 1, b'r', 0x7a, 1, 5]);
            put_message(group, SCOPES, |group| {
                group.extend([0x7a, 1, 3, 0x1a, 1, b's', 0x7a, 1, 4]);
                group.extend(span(trace));
            });
        });
        part
    };
    check(&[&payload], &[(1, &[&part(1)]), (2, &[&part(2)])]);
}

// Scenario: field 1000 of a resource group, alone, and beside scope groups with and without items.
// Guarantees: alone it holds the items, which leave in scope groups, also if all go to one slot; beside scope groups
// it holds none and is passed on.
#[test]
fn deprecated_field_is_read_where_it_counts() {
    let old = |traces| scope(LIBRARIES, "old", traces);
    let new = |traces| scope(SCOPES, "old", traces);
    check(
        &[&resource(1, &[old(&[5, 6]), old(&[5])])],
        &[(5, &[&resource(1, &[new(&[5, 5])])]), (6, &[&resource(1, &[new(&[6])])])],
    );
    check(&[&resource(1, &[old(&[5])])], &[(5, &[&resource(1, &[new(&[5])])])]);
    check(
        &[&resource(1, &[old(&[5]), new(&[6, 7])])],
        &[(6, &[&resource(1, &[old(&[5]), new(&[6])])]), (7, &[&resource(1, &[old(&[5]), new(&[7])])])],
    );
    check(&[&resource(1, &[old(&[5]), new(&[])])], &[]);
    check(
        &[&resource(2, &[old(&[5])]), &resource(2, &[new(&[5])])],
        &[(5, &[&resource(2, &[new(&[5, 5])])])],
    );
}

// Scenario: a request with its items in field 1000 that fits into one message.
// Guarantees: a request is never passed on with items where newer receivers do not look.
#[test]
fn deprecated_field_is_not_copied_whole() {
    let payload = resource(1, &[scope(LIBRARIES, "old", &[5, 6])]);
    let mut splitter = Splitter::new(0);
    let plan = splitter.plan_by_size(Signal::Traces, &payload, usize::MAX, usize::MAX).unwrap();
    let mut out = Vec::new();
    plan.append(0, &mut out);
    assert_eq!(out, resource(1, &[scope(SCOPES, "old", &[5, 6])]));
}

// Scenario: a span with two trace ids, one whose second is empty, one without any.
// Guarantees: the last value counts, as in every protobuf implementation; no id is the id of zeros.
#[test]
fn last_trace_id_counts() {
    let with_ids = |ids: &[&[u8]]| {
        let mut out = Vec::new();
        put_message(&mut out, ITEMS, |span| ids.iter().for_each(|id| put_bytes(span, Tag::len(1), id)));
        let mut request = Vec::new();
        put_message(&mut request, RESOURCES, |group| put_bytes(group, SCOPES, &out));
        request
    };
    for (ids, slot) in
        [(&[&[1; 16][..], &[2; 16]][..], 2), (&[&[1; 16], &[]], 0), (&[], 0), (&[&[], &[3; 16]], 3)]
    {
        let payload = with_ids(ids);
        assert_eq!(parts(&payload), [(slot, payload)]);
    }
}

// Scenario: runs of spans of one trace.
// Guarantees: `slot_of` is asked once for each run, with 16 bytes.
#[test]
fn runs_of_a_trace_are_looked_up_once() {
    let payload = resource(1, &[scope(SCOPES, "a", &[1, 1, 1, 2, 2]), scope(SCOPES, "b", &[2, 1])]);
    let asked = Cell::new(0);
    let mut splitter = Splitter::new(0);
    let slot_of = |key: &[u8]| {
        assert_eq!(key.len(), 16);
        asked.set(asked.get() + 1);
        0
    };
    let plan = splitter.plan(
        Signal::Traces,
        &payload,
        &RoutingKey::compatible(Key::TraceId),
        Validation::Structure,
        1,
        slot_of,
    );
    assert_eq!(plan.unwrap().items(), 7);
    assert_eq!(asked.get(), 3);
}

// Scenario: a slot beyond the number of slots; keys that the signal does not have.
// Guarantees: refused and named, never sent elsewhere.
#[test]
fn what_cannot_be_routed_is_refused() {
    let payload = resource(1, &[scope(SCOPES, "a", &[1])]);
    let mut splitter = Splitter::new(0);
    let error = splitter
        .plan(
            Signal::Traces,
            &payload,
            &RoutingKey::compatible(Key::TraceId),
            Validation::Structure,
            3,
            |_| 3,
        )
        .map(|plan| plan.items())
        .unwrap_err();
    assert_eq!(error.what, "slot out of range");
    for (signal, key) in [(Signal::Traces, Key::Metric), (Signal::Metrics, Key::TraceId)] {
        let key = RoutingKey::compatible(key);
        let refused = splitter.plan(signal, &payload, &key, Validation::Structure, 3, |_| 0);
        assert!(refused.is_err(), "{signal:?}");
    }
    assert_eq!(plan(&mut splitter, &payload).unwrap().items(), 1);
}

// Scenario: malformed bytes deep in a request.
// Guarantees: the offset counts from the first byte of the request.
#[test]
fn offsets_count_from_the_request() {
    let mut payload = resource(1, &[scope(SCOPES, "a", &[1])]);
    let before = payload.len();
    put_message(&mut payload, RESOURCES, |group| {
        put_message(group, SCOPES, |group| put_bytes(group, ITEMS, &[0x0a, 2, 1, 2]));
    });
    let mut splitter = Splitter::new(0);
    let error = plan(&mut splitter, &payload).map(|plan| plan.items()).unwrap_err();
    assert_eq!(error, Malformed { offset: before + 7, what: "trace id is not 16 bytes" });
    assert_eq!(error.to_string(), format!("trace id is not 16 bytes at byte {}", before + 7));
}

// Scenario: a request of 200,000 spans, each with another slot than the one before, then a small one.
// Guarantees: the scratch space of the large one is given back when its plan is dropped, or refused.
#[test]
fn scratch_space_shrinks_after_a_large_request() {
    let traces: Vec<u8> = (0..200_000).map(|n| (n % 250) as u8).collect();
    let mut payload = resource(1, &[scope(SCOPES, "a", &traces)]);
    let mut splitter = Splitter::new(0);
    let before = splitter.index.runs.capacity();
    let large = plan(&mut splitter, &payload).unwrap();
    assert_eq!(large.items(), 200_000);
    assert!(large.index.runs.capacity() >= 200_000);
    drop(large);
    assert!(splitter.index.runs.capacity() <= 16_384 && before == 0);
    payload.push(0x0a);
    assert!(plan(&mut splitter, &payload).is_err());
    assert!(splitter.index.runs.capacity() <= 16_384);
    let small = resource(1, &[scope(SCOPES, "a", &[1, 2])]);
    assert_eq!(plan(&mut splitter, &small).unwrap().parts().count(), 2);
}

// Scenario: the same request planned three times.
// Guarantees: from the second time on no table grows, so nothing is allocated.
#[test]
fn warm_scratch_space_is_reused() {
    let traces: Vec<u8> = (0..3000).map(|n| (n % 200) as u8).collect();
    let payload = resource(1, &[scope(SCOPES, "a", &traces), scope(SCOPES, "b", &traces)]).repeat(2);
    let mut splitter = Splitter::new(0);
    let mut capacities = Vec::new();
    for _ in 0..3 {
        let plan = plan(&mut splitter, &payload).unwrap();
        let table = [plan.index.runs.capacity(), plan.index.shares.capacity(), plan.index.touched.capacity()];
        capacities.push((table, plan.layout.capacities()));
    }
    assert!(capacities[0].0.iter().chain(&capacities[0].1).all(|capacity| *capacity > 0));
    assert_eq!(capacities[1], capacities[0]);
    assert_eq!(capacities[2], capacities[0]);
}

// Scenario: a request cut to chunks, with groups whose own fields stand behind their items and lengths that cross the
// step from one to two bytes.
// Guarantees: sizes count what is behind the items; every chunk is as full as the limit allows.
#[test]
fn chunks_are_filled_to_the_limit() {
    let mut payload = Vec::new();
    put_message(&mut payload, RESOURCES, |group| {
        put_message(group, SCOPES, |group| {
            (0..40).for_each(|trace| group.extend(span(trace)));
            put_len_prefix(group, Tag::len(3), 5);
            group.extend(*b"later");
        });
    });
    let mut splitter = Splitter::new(0);
    for limit in 0..400 {
        let plan = splitter.plan_by_size(Signal::Traces, &payload, limit, usize::MAX).unwrap();
        let parts: Vec<_> = plan.parts().collect();
        for pair in parts.windows(2) {
            let [(_, items, bytes), _] = pair else { unreachable!() };
            // One more span of 20 bytes makes each of the two lengths at most one byte longer.
            assert!(*items == 1 || *bytes <= limit);
            assert!(bytes + 22 > limit, "{bytes} of {limit}");
        }
        assert_eq!(parts.iter().map(|(_, items, _)| items).sum::<usize>(), 40);
        let mut all = Vec::new();
        parts.iter().for_each(|(slot, ..)| plan.append(*slot, &mut all));
        let Group { own, children } = naive::request(&all);
        assert!(own.is_empty());
        assert!(children.iter().all(|group| group.children[0].own == [b"\x1a\x05later"]));
    }
}

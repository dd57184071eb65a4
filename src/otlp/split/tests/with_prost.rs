//! The splitter against prost: decode, regroup, encode; compared after decoding.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    trace::v1::{ResourceSpans, ScopeSpans},
};
use proptest::prelude::*;
use prost::Message;

use super::traces::{self, Shape, regroup, slot_of};
use crate::{
    model::{
        Signal,
        settings::{Key, RoutingKey, Validation},
    },
    otlp::Splitter,
};

/// (resource, scope) as encoded without their items, and the encoded items.
type Groups = BTreeMap<(Vec<u8>, Vec<u8>), Vec<Vec<u8>>>;

/// A request without its order: what is in which resource and scope.
fn groups(request: &ExportTraceServiceRequest) -> Groups {
    let mut groups = Groups::new();
    for group in &request.resource_spans {
        let resource = ResourceSpans { scope_spans: Vec::new(), ..group.clone() }.encode_to_vec();
        for scope in &group.scope_spans {
            let own = ScopeSpans { spans: Vec::new(), ..scope.clone() }.encode_to_vec();
            let items = scope.spans.iter().map(Message::encode_to_vec);
            if scope.spans.is_empty() {
                continue;
            }
            groups.entry((resource.clone(), own)).or_default().extend(items);
        }
    }
    groups.values_mut().for_each(|items| items.sort_unstable());
    groups
}

/// Splits both ways and compares; returns the parts of the wire splitter.
#[track_caller]
fn check(splitter: &mut Splitter, payload: &[u8], slots: usize, validation: Validation) -> Vec<Vec<u8>> {
    let request = ExportTraceServiceRequest::decode(payload).unwrap();
    let mut expect = regroup(request, |key| slot_of(key, slots));
    let plan = splitter
        .plan(Signal::Traces, payload, &RoutingKey::compatible(Key::TraceId), validation, slots, |key| {
            slot_of(key, slots)
        })
        .unwrap();
    let mut items_left = plan.items();
    let mut parts = Vec::new();
    for (slot, items, bytes) in plan.parts() {
        let mut out = b"kept".to_vec();
        plan.append(slot, &mut out);
        let part = out.split_off(4);
        assert_eq!(out, b"kept");
        assert_eq!(part.len(), bytes, "exact size of slot {slot}");
        let decoded = ExportTraceServiceRequest::decode(part.as_slice()).unwrap();
        let decoded = groups(&decoded);
        assert_eq!(decoded.values().map(Vec::len).sum::<usize>(), items);
        assert_eq!(decoded, groups(&expect.remove(&slot).unwrap()), "slot {slot}");
        items_left -= items;
        parts.push(part);
    }
    assert_eq!(items_left, 0);
    assert!(expect.is_empty(), "slots without a part: {:?}", expect.keys());
    parts
}

// Scenario: realistic requests over pools of 1 to 300 backends, both levels, one splitter for all.
// Guarantees: parts hold what prost finds for each slot, at exactly the announced size, whatever was planned before.
#[test]
fn realistic_requests_split_as_prost_splits_them() {
    let mut splitter = Splitter::new(0);
    for (seed, shape) in [
        (1, Shape::SMALL),
        (2, Shape { spans: 1, resources: 1, spans_per_trace: 1 }),
        (3, Shape { spans: 100, resources: 50, spans_per_trace: 2 }),
        (4, Shape { spans: 3, resources: 5, spans_per_trace: 1 }),
        (5, Shape::LARGE),
        (6, Shape { spans: 40, resources: 1, spans_per_trace: 40 }),
    ] {
        let payload = traces::request(seed, shape).encode_to_vec();
        let pools: &[usize] = if shape.spans > 1000 { &[5] } else { &[1, 2, 5, 20, 300] };
        for &slots in pools {
            for validation in [Validation::Structure, Validation::Full] {
                let parts = check(&mut splitter, &payload, slots, validation);
                assert!(parts.len() <= slots);
            }
        }
    }
}

// Scenario: two requests concatenated, which is how batches are made.
// Guarantees: the whole splits as its halves do, and a resource that both hold appears once in each part.
#[test]
fn concatenated_requests_split_like_their_halves() {
    let mut splitter = Splitter::new(0);
    let one = traces::request(7, Shape::SMALL);
    let mut two = traces::request(8, Shape::SMALL);
    two.resource_spans[0].resource.clone_from(&one.resource_spans[2].resource);
    let both = [one.encode_to_vec(), two.encode_to_vec()].concat();
    for part in check(&mut splitter, &both, 5, Validation::Structure) {
        let part = ExportTraceServiceRequest::decode(part.as_slice()).unwrap();
        let mut resources: Vec<_> = part
            .resource_spans
            .iter()
            .map(|group| group.resource.as_ref().unwrap().encode_to_vec())
            .collect();
        assert_eq!(resources.len(), 7);
        resources.sort_unstable();
        resources.dedup();
        assert_eq!(resources.len(), 7);
    }
}

/// Splits by size and compares with the request.
#[track_caller]
fn check_by_size(request: &ExportTraceServiceRequest, max_bytes: usize, max_items: usize) {
    let payload = request.encode_to_vec();
    let mut splitter = Splitter::new(0);
    let plan = splitter.plan_by_size(Signal::Traces, &payload, max_bytes, max_items).unwrap();
    let mut together = Vec::new();
    let sizes: Vec<_> = plan.parts().collect();
    for (number, &(slot, items, bytes)) in sizes.iter().enumerate() {
        assert_eq!(slot, number);
        assert!((1..=max_items).contains(&items));
        assert!(bytes <= max_bytes || items == 1, "{items} items in {bytes} bytes, limit {max_bytes}");
        let before = together.len();
        plan.append(slot, &mut together);
        assert_eq!(together.len() - before, bytes);
        let part = ExportTraceServiceRequest::decode(&together[before..]).unwrap();
        let spans =
            part.resource_spans.iter().flat_map(|group| &group.scope_spans).map(|scope| scope.spans.len());
        assert_eq!(spans.sum::<usize>(), items);
    }
    let together = ExportTraceServiceRequest::decode(together.as_slice()).unwrap();
    let order = |request: &ExportTraceServiceRequest| {
        let scopes = request.resource_spans.iter().flat_map(|group| &group.scope_spans);
        scopes.flat_map(|scope| &scope.spans).map(Message::encode_to_vec).collect::<Vec<_>>()
    };
    assert_eq!(groups(&together), groups(request));
    assert_eq!(order(&together), order(request));
    assert_eq!(sizes.iter().map(|(_, items, _)| items).sum::<usize>(), plan.items());
    if payload.len() <= max_bytes && (1..=max_items).contains(&plan.items()) {
        assert_eq!(sizes, [(0, plan.items(), payload.len())]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    // Scenario: requests of random shape, pools of random size.
    // Guarantees: the same as for the realistic ones.
    #[test]
    fn any_shape_splits_as_prost_splits_it(
        seed: u64, spans in 0_usize..60, resources in 1_usize..12, spans_per_trace in 1_usize..6, slots in 1_usize..9,
    ) {
        let payload = traces::request(seed, Shape { spans, resources, spans_per_trace }).encode_to_vec();
        check(&mut Splitter::new(0), &payload, slots, Validation::Full);
    }

    // Scenario: requests of random shape cut to random sizes, down to less than one item.
    // Guarantees: no part above the limit holds more than one item; items keep their groups and their order.
    #[test]
    fn chunks_keep_the_limit_and_the_order(
        seed: u64, spans in 0_usize..60, resources in 1_usize..12, max_bytes in 0_usize..30_000, max_items in 1_usize..70,
    ) {
        let request = traces::request(seed, Shape { spans, resources, spans_per_trace: 3 });
        check_by_size(&request, max_bytes, max_items);
    }
}

//! The edges of splitting metrics: many points, many metrics, what stays allocated.

use super::naive;
use crate::{
    model::{
        Signal,
        settings::{Key, RoutingKey, Validation},
    },
    otlp::{
        Malformed, Splitter,
        split::{Plan, groups::DISTINCT},
        wire::{Tag, put_bytes, put_fixed64, put_message},
    },
};

/// A request of one resource and one scope.
fn request(metrics: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    put_message(&mut out, Tag::len(1), |resource| {
        put_message(resource, Tag::len(2), |scope| metrics.iter().for_each(|metric| scope.extend(metric)));
    });
    out
}

/// A gauge of that name with points at these times, tag and length included. Its description stands behind them.
fn gauge(name: &str, times: impl IntoIterator<Item = u64>) -> Vec<u8> {
    let mut out = Vec::new();
    put_message(&mut out, Tag::len(2), |metric| {
        put_bytes(metric, Tag::len(1), name.as_bytes());
        put_message(metric, Tag::len(5), |gauge| {
            for time in times {
                put_message(gauge, Tag::len(1), |point| put_fixed64(point, Tag::fixed64(3), time));
            }
        });
        put_bytes(metric, Tag::len(2), b"what it means");
    });
    out
}

fn by<'a>(splitter: &'a mut Splitter, payload: &'a [u8], key: Key) -> Result<Plan<'a>, Malformed> {
    let key = RoutingKey::compatible(key);
    let slot_of = |key: &[u8]| key.last().map_or(0, |last| usize::from(*last % 8));
    splitter.plan(Signal::Metrics, payload, &key, Validation::Structure, 8, slot_of)
}

/// Metrics of a part with the number of their points.
fn metrics(part: &[u8]) -> Vec<(Vec<u8>, usize)> {
    let items = naive::items(&naive::request(part)).into_iter().map(|(.., item)| naive::metric(&item));
    items
        .map(|metric| (metric.own.concat(), metric.data.map_or(0, |(_, data)| data.children.len())))
        .collect()
}

// Scenario: a metric of 100,000 points, in a message that is to have 4,096 bytes at most.
// Guarantees: each part is a metric of that name with its description, as full as the limit allows, and no larger.
#[test]
fn one_metric_is_cut_into_many() {
    let payload = request(&[gauge("large", 0..100_000)]);
    let mut splitter = Splitter::new(0);
    let plan = splitter.plan_by_size(Signal::Metrics, &payload, 4096, usize::MAX).unwrap();
    let parts: Vec<_> = plan.parts().collect();
    assert_eq!(parts.iter().map(|(_, items, _)| items).sum::<usize>(), 100_000);
    let (last, full) = parts.split_last().unwrap();
    assert!(last.2 <= 4096);
    // A point has 11 bytes.
    assert!(full.iter().all(|(.., bytes)| (4096 - 10..=4096).contains(bytes)));
    let own = b"\x0a\x05large\x12\x0dwhat it means".to_vec();
    for (slot, items, _) in parts {
        let mut part = Vec::new();
        plan.append(slot, &mut part);
        assert_eq!(metrics(&part), [(own.clone(), items)]);
    }
}

// Scenario: more distinct metrics than are remembered, each twice.
// Guarantees: those beyond are repeated, none is lost, and the table stays bounded.
#[test]
fn merging_metrics_has_a_limit() {
    let distinct = 2 * DISTINCT;
    let all: Vec<_> = (0..distinct).map(|name| gauge(&format!("{name:05}"), [1])).collect();
    let payload = request(&[all.concat(), all.concat()]);
    let mut splitter = Splitter::new(0);
    let plan = by(&mut splitter, &payload, Key::Metric).unwrap();
    let mut found = Vec::new();
    for (slot, ..) in plan.parts() {
        let mut part = Vec::new();
        plan.append(slot, &mut part);
        found.extend(metrics(&part));
    }
    assert_eq!(found.iter().map(|(_, points)| points).sum::<usize>(), 2 * distinct);
    assert_eq!(found.len(), 2 * distinct - DISTINCT);
}

// Scenario: a request of 40,000 metrics, split by name and by point, then refused ones.
// Guarantees: the scratch space of the large one is given back when its plan is dropped, or refused.
#[test]
fn scratch_space_shrinks_after_a_large_request() {
    let all: Vec<_> = (0..40_000).map(|name| gauge(&format!("{}", name % 30_000), [1, 2])).collect();
    let mut payload = request(&all);
    let mut splitter = Splitter::new(0);
    let largest = |splitter: &Splitter| splitter.index.capacities().into_iter().max().unwrap();
    for key in [Key::Metric, Key::Stream] {
        let large = by(&mut splitter, &payload, key).unwrap();
        assert_eq!(large.items(), 80_000);
        assert!(large.index.capacities().into_iter().max().unwrap() >= 40_000);
        drop(large);
        assert!(largest(&splitter) <= 16_384);
    }
    payload.push(0x0a);
    assert!(by(&mut splitter, &payload, Key::Stream).is_err());
    assert!(largest(&splitter) <= 16_384);
}

// Scenario: the same request planned three times under each key; some metrics repeat.
// Guarantees: from the second time on no table grows, so nothing is allocated.
#[test]
fn warm_scratch_space_is_reused() {
    let all: Vec<_> = (0..500).map(|name| gauge(&format!("{}", name % 450), [1, 2, 3])).collect();
    let payload = request(&all);
    for key in [Key::Metric, Key::Stream] {
        let mut splitter = Splitter::new(0);
        let mut capacities = Vec::new();
        for _ in 0..3 {
            let plan = by(&mut splitter, &payload, key.clone()).unwrap();
            capacities.push((plan.index.capacities(), plan.layout.capacities()));
        }
        assert!(capacities[0].0.iter().chain(&capacities[0].1).all(|capacity| *capacity > 0));
        assert_eq!(capacities[1], capacities[0]);
        assert_eq!(capacities[2], capacities[0]);
    }
}

// Scenario: a slot beyond the number of slots, for whole metrics, for points and for metrics without points.
// Guarantees: refused and named, never sent elsewhere.
#[test]
fn slots_beyond_the_range_are_refused() {
    let with_points = request(&[gauge("m", [1]), gauge("m", [2])]);
    let without = request(&[gauge("m", [])]);
    for (payload, key) in [(&with_points, Key::Metric), (&with_points, Key::Stream), (&without, Key::Metric)]
    {
        let mut splitter = Splitter::new(0);
        let key = RoutingKey::compatible(key);
        let refused = splitter.plan(Signal::Metrics, payload, &key, Validation::Structure, 3, |_| 3);
        assert_eq!(refused.map(|plan| plan.items()).unwrap_err().what, "slot out of range");
    }
}

// Scenario: a point with a value that ends early.
// Guarantees: the offset counts from the first byte of the request.
#[test]
fn offsets_count_from_the_request() {
    let mut payload = request(&[gauge("m", [1])]);
    let length = payload.len();
    let broken = request(&[gauge("m", [1, 2])]);
    let tail = broken.len() - b"\x12\x0dwhat it means".len();
    payload.extend(broken);
    // The last point says that it has two bytes; its first field wants nine.
    let point = length + tail - 10;
    payload[point] = 0x1b;
    let mut splitter = Splitter::new(0);
    let error = by(&mut splitter, &payload, Key::Stream).map(|plan| plan.items()).unwrap_err();
    assert!(error.offset > point && error.offset < length + tail, "{error:?}");
}

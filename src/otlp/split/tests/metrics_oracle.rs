//! Metrics against prost and the oracle of routing: decode, look every point up, compare with the parts after decoding.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    metrics::v1::{Metric, ResourceMetrics, ScopeMetrics, metric::Data},
};
use proptest::prelude::*;
use prost::Message;

use super::{
    adversarial::{Generator, ROUTING_ATTRIBUTES},
    oracle::{self, Missing, Routed},
    traces::slot_of,
};
use crate::{
    model::{
        Signal,
        settings::{Key, MissingKey, RoutingKey, Validation},
    },
    otlp::Splitter,
};

/// Both spellings of every key and policy.
fn keys() -> Vec<(RoutingKey, oracle::Key<'static>, Missing<'static>)> {
    let plain = [
        (Key::ServiceName, oracle::Key::ServiceName),
        (Key::Resource, oracle::Key::Resource),
        (Key::Metric, oracle::Key::Metric),
        (Key::Stream, oracle::Key::Stream),
    ];
    const MORE: &[&[&str]] = &[&["service.name"], &["of.scope"]];
    let attributes = ROUTING_ATTRIBUTES.iter().chain(MORE).map(|names| {
        let ours = names.iter().map(|name| Arc::from(*name)).collect();
        (Key::Attributes(ours), oracle::Key::Attributes(names))
    });
    let policies = [
        (MissingKey::Compatible, Missing::Compatible),
        (MissingKey::Resource, Missing::Resource),
        (MissingKey::Fixed("fixed".into()), Missing::Fixed("fixed")),
        (MissingKey::Drop, Missing::Drop),
    ];
    let mut all = Vec::new();
    for (key, theirs) in plain.into_iter().chain(attributes) {
        for (missing, policy) in policies.clone() {
            all.push((RoutingKey { key: key.clone(), missing }, theirs, policy));
        }
    }
    all
}

fn clear_points(metric: &mut Metric) {
    match &mut metric.data {
        None => {}
        Some(Data::Gauge(data)) => data.data_points.clear(),
        Some(Data::Sum(data)) => data.data_points.clear(),
        Some(Data::Histogram(data)) => data.data_points.clear(),
        Some(Data::ExponentialHistogram(data)) => data.data_points.clear(),
        Some(Data::Summary(data)) => data.data_points.clear(),
    }
}

fn encoded_points(metric: &Metric) -> Vec<Vec<u8>> {
    match &metric.data {
        None => Vec::new(),
        Some(Data::Gauge(data)) => data.data_points.iter().map(Message::encode_to_vec).collect(),
        Some(Data::Sum(data)) => data.data_points.iter().map(Message::encode_to_vec).collect(),
        Some(Data::Histogram(data)) => data.data_points.iter().map(Message::encode_to_vec).collect(),
        Some(Data::ExponentialHistogram(data)) => {
            data.data_points.iter().map(Message::encode_to_vec).collect()
        }
        Some(Data::Summary(data)) => data.data_points.iter().map(Message::encode_to_vec).collect(),
    }
}

/// Resource group, scope group and metric, encoded without what is inside.
type Around = [Vec<u8>; 3];

/// Every wrapper of a metric, in order, with the metric itself.
fn wrappers(request: &ExportMetricsServiceRequest) -> Vec<(Around, Metric)> {
    let mut all = Vec::new();
    for resource in &request.resource_metrics {
        let own = ResourceMetrics { scope_metrics: Vec::new(), ..resource.clone() }.encode_to_vec();
        for scope in &resource.scope_metrics {
            let scope_own = ScopeMetrics { metrics: Vec::new(), ..scope.clone() }.encode_to_vec();
            for metric in &scope.metrics {
                let mut bare = metric.clone();
                clear_points(&mut bare);
                all.push(([own.clone(), scope_own.clone(), bare.encode_to_vec()], metric.clone()));
            }
        }
    }
    all
}

/// Every point by its number, with all around it.
fn points(request: &ExportMetricsServiceRequest) -> BTreeMap<u64, (Around, Vec<u8>)> {
    let mut points = BTreeMap::new();
    for (around, metric) in wrappers(request) {
        for ((number, _), bytes) in oracle::points(&metric).into_iter().zip(encoded_points(&metric)) {
            assert!(points.insert(number, (around.clone(), bytes)).is_none());
        }
    }
    points
}

/// Metrics without points, with all around them.
fn empty_metrics(request: &ExportMetricsServiceRequest) -> Vec<(Around, u64)> {
    let empty = wrappers(request).into_iter().filter(|(_, metric)| oracle::points(metric).is_empty());
    empty.map(|(around, metric)| (around, oracle::metric_number(&metric))).collect()
}

/// Splits both ways and compares.
#[track_caller]
fn check(splitter: &mut Splitter, payload: &[u8], slots: usize, validation: Validation) {
    let request = ExportMetricsServiceRequest::decode(payload).unwrap();
    let expect = points(&request);
    let empties = empty_metrics(&request).len();
    for (key, theirs, missing) in keys() {
        let routes = oracle::metrics(&request, theirs, missing);
        let asked = RefCell::new(BTreeSet::new());
        let plan = splitter
            .plan(Signal::Metrics, payload, &key, validation, slots, |key| {
                asked.borrow_mut().insert(key.to_vec());
                slot_of(key, slots)
            })
            .unwrap();
        let right_slot = |number: u64| match routes.get(&number).unwrap() {
            Routed::By(key) => Some(slot_of(key, slots)),
            Routed::Dropped => None,
            Routed::Random => panic!("metrics have no random keys"),
        };
        // The very keys, not only the slots they fall into.
        for number in expect.keys() {
            if let Routed::By(bytes) = routes.get(number).unwrap() {
                assert!(asked.borrow().contains(bytes), "{key:?}: {:?}", String::from_utf8_lossy(bytes));
            }
        }
        let mut left = expect.clone();
        let mut carried = BTreeSet::new();
        for (slot, items, bytes) in plan.parts() {
            let mut part = Vec::new();
            plan.append(slot, &mut part);
            assert_eq!(part.len(), bytes, "exact size of slot {slot}");
            let is_whole = part == payload;
            let part = ExportMetricsServiceRequest::decode(part.as_slice()).unwrap();
            let inside = points(&part);
            assert_eq!(inside.len(), items);
            for (number, point) in inside {
                assert_eq!(right_slot(number), Some(slot), "{key:?}");
                assert_eq!(left.remove(&number), Some(point));
            }
            for (_, number) in empty_metrics(&part) {
                assert!(is_whole || right_slot(number) == Some(slot), "{key:?}: metric {number}");
            }
            let mut around: Vec<_> = wrappers(&part).into_iter().map(|(around, _)| around).collect();
            carried.extend(around.iter().cloned());
            if !is_whole {
                let before = around.len();
                around.sort_unstable();
                around.dedup();
                assert_eq!(around.len(), before, "{key:?}: a wrapper occurs twice");
            }
        }
        assert!(left.keys().all(|number| right_slot(*number).is_none()), "{key:?}: points are lost");
        assert_eq!(plan.dropped().without_key, left.len());
        // A metric without points may have been merged with one that has some. Those of a resource that is dropped
        // vanish with it; all others are counted.
        let lost = empty_metrics(&request).into_iter().filter(|(around, _)| !carried.contains(around));
        let lost: Vec<_> = lost.map(|(_, number)| right_slot(number)).collect();
        let unroutable = lost.iter().filter(|slot| slot.is_none()).count();
        let counted = plan.dropped().empty_metrics;
        assert!((lost.len() - unroutable..=empties).contains(&counted), "{key:?}: {counted} of {lost:?}");
        assert!(plan.parts().count() <= slots);
    }
}

// Scenario: adversarial requests of several sizes under every key and policy, over pools of 1 to 20 backends.
// Guarantees: every point is hashed by the bytes that the oracle finds for it and goes there, unchanged, with its resource,
// scope and metric unchanged; the others are counted; every wrapper occurs once in each part.
#[test]
fn adversarial_requests_split_as_the_oracle_says() {
    let mut splitter = Splitter::new(0);
    for seed in 0..8 {
        let mut generator = Generator::new(seed);
        for (size, slots) in [(0, 3), (1, 3), (7, 1), (30, 2), (90, 20)] {
            let request = generator.metrics(size).encode_to_vec();
            let validation = if seed % 2 == 0 { Validation::Structure } else { Validation::Full };
            check(&mut splitter, &request, slots, validation);
        }
    }
}

// Scenario: adversarial requests with the same groups and metrics again behind them, as batches have.
// Guarantees: the same.
#[test]
fn concatenated_requests_split_as_the_oracle_says() {
    let mut splitter = Splitter::new(0);
    for seed in 100..104 {
        let mut generator = Generator::new(seed);
        let one = generator.metrics(25);
        let mut two = one.clone();
        // The same wrappers with points of other numbers.
        let mut number = 1 << 40;
        for metric in two.resource_metrics.iter_mut().flat_map(|group| &mut group.scope_metrics) {
            for metric in &mut metric.metrics {
                renumber(metric, &mut number);
            }
        }
        let both = [one.encode_to_vec(), two.encode_to_vec()].concat();
        check(&mut splitter, &both, 4, Validation::Structure);
    }
}

fn renumber(metric: &mut Metric, number: &mut u64) {
    let mut next = || {
        *number += 1;
        *number
    };
    if oracle::points(metric).is_empty() {
        metric.name = format!("no-points-{}", next());
    }
    match &mut metric.data {
        None => {}
        Some(Data::Gauge(data)) => {
            data.data_points.iter_mut().for_each(|point| point.time_unix_nano = next())
        }
        Some(Data::Sum(data)) => data.data_points.iter_mut().for_each(|point| point.time_unix_nano = next()),
        Some(Data::Histogram(data)) => {
            data.data_points.iter_mut().for_each(|point| point.time_unix_nano = next())
        }
        Some(Data::ExponentialHistogram(data)) => {
            data.data_points.iter_mut().for_each(|point| point.time_unix_nano = next());
        }
        Some(Data::Summary(data)) => {
            data.data_points.iter_mut().for_each(|point| point.time_unix_nano = next())
        }
    }
}

/// Splits by size and compares with the request.
#[track_caller]
fn check_by_size(request: &ExportMetricsServiceRequest, max_bytes: usize, max_items: usize) {
    let payload = request.encode_to_vec();
    let mut splitter = Splitter::new(0);
    let plan = splitter.plan_by_size(Signal::Metrics, &payload, max_bytes, max_items).unwrap();
    let mut left = points(request);
    let mut carried = 0;
    for (number, (slot, items, bytes)) in plan.parts().enumerate() {
        assert_eq!(slot, number);
        assert!((1..=max_items).contains(&items));
        assert!(bytes <= max_bytes || items == 1, "{items} points in {bytes} bytes, limit {max_bytes}");
        let mut part = Vec::new();
        plan.append(slot, &mut part);
        assert_eq!(part.len(), bytes);
        let part = ExportMetricsServiceRequest::decode(part.as_slice()).unwrap();
        let inside = points(&part);
        assert_eq!(inside.len(), items);
        for (number, point) in inside {
            assert_eq!(left.remove(&number), Some(point));
        }
        carried += empty_metrics(&part).len();
    }
    assert!(left.is_empty());
    assert_eq!(carried + plan.dropped().empty_metrics, empty_metrics(request).len());
    if payload.len() <= max_bytes && (1..=max_items).contains(&plan.items()) {
        assert_eq!(plan.parts().collect::<Vec<_>>(), [(0, plan.items(), payload.len())]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    // Scenario: adversarial requests with up to three bytes changed.
    // Guarantees: whatever is accepted in depth, prost accepts too, and the oracle routes it alike.
    #[test]
    fn mutated_requests_split_as_the_oracle_says(
        seed: u64, size in 1_usize..20, changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut payload = Generator::new(seed).metrics(size).encode_to_vec();
        for (at, byte) in changes {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        let mut splitter = Splitter::new(0);
        let key = RoutingKey::compatible(Key::None);
        let accepted = splitter.plan(Signal::Metrics, &payload, &key, Validation::Full, 1, |_| 0).map(|plan| plan.items());
        let Ok(items) = accepted else { return Ok(()) };
        let request = ExportMetricsServiceRequest::decode(payload.as_slice());
        prop_assert!(request.is_ok());
        let request = request.unwrap();
        // Numbers may have become equal, or the data of a metric doubled, which prost merges: nothing to compare then.
        let found: Vec<_> = wrappers(&request).into_iter().map(|(_, metric)| metric).collect();
        let mut numbers: Vec<_> = found.iter().flat_map(oracle::points).map(|(number, _)| number).collect();
        let is_countable = numbers.len() == items
            && found.iter().all(|metric| {
                let number = metric.name.rsplit('-').next().and_then(|digits| digits.parse::<u64>().ok());
                !oracle::points(metric).is_empty() || number.is_some_and(|number| { numbers.push(number); true })
            });
        numbers.sort_unstable();
        if is_countable && numbers.windows(2).all(|pair| pair[0] != pair[1]) {
            check(&mut splitter, &payload, 3, Validation::Full);
        }
    }

    // Scenario: adversarial requests cut to random sizes, down to less than one point.
    // Guarantees: no part above the limit holds more than one point; points keep everything around them; metrics without
    // points are carried or counted.
    #[test]
    fn cuts_keep_the_limit(seed: u64, size in 0_usize..60, max_bytes in 0_usize..20_000, max_items in 1_usize..70) {
        check_by_size(&Generator::new(seed).metrics(size), max_bytes, max_items);
    }
}

//! Which key each data point has, what is dropped, and what parts look like: one table for each rule.

use std::{cell::RefCell, sync::Arc};

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    metrics::v1::{
        ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
        NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, metric::Data,
    },
    resource::v1::Resource,
};
use prost::Message;

use crate::{
    model::{
        Signal,
        settings::{Key, MissingKey, RoutingKey, Validation},
    },
    otlp::{Dropped, Malformed, Splitter},
};

fn attributes(pairs: &[(&str, Value)]) -> Vec<KeyValue> {
    let attribute = |(key, value): &(&str, Value)| KeyValue {
        key: (*key).to_owned(),
        value: Some(AnyValue { value: Some(value.clone()) }),
        ..KeyValue::default()
    };
    pairs.iter().map(attribute).collect()
}

fn text(value: &str) -> Value {
    Value::StringValue(value.to_owned())
}

/// A point; its time tells it apart.
fn number(time: u64, pairs: &[(&str, Value)]) -> NumberDataPoint {
    NumberDataPoint { time_unix_nano: time, attributes: attributes(pairs), ..NumberDataPoint::default() }
}

fn metric(name: &str, data: Option<Data>) -> Metric {
    Metric { name: name.to_owned(), unit: "By".to_owned(), data, ..Metric::default() }
}

fn gauge(name: &str, points: Vec<NumberDataPoint>) -> Metric {
    metric(name, Some(Data::Gauge(Gauge { data_points: points })))
}

fn scope(pairs: &[(&str, Value)], metrics: Vec<Metric>) -> ScopeMetrics {
    let scope = InstrumentationScope {
        name: "scope".to_owned(),
        version: "v1".to_owned(),
        attributes: attributes(pairs),
        ..InstrumentationScope::default()
    };
    ScopeMetrics { scope: Some(scope), metrics, schema_url: String::new() }
}

fn resource(pairs: &[(&str, Value)], scopes: Vec<ScopeMetrics>) -> ResourceMetrics {
    let resource = Resource { attributes: attributes(pairs), ..Resource::default() };
    ResourceMetrics { resource: Some(resource), scope_metrics: scopes, schema_url: String::new() }
}

fn request(resources: Vec<ResourceMetrics>) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest { resource_metrics: resources }
}

/// The times of all points, in order.
fn times(request: &ExportMetricsServiceRequest) -> Vec<u64> {
    let scopes = request.resource_metrics.iter().flat_map(|group| &group.scope_metrics);
    let mut times = Vec::new();
    for metric in scopes.flat_map(|scope| &scope.metrics) {
        match &metric.data {
            None => {}
            Some(Data::Gauge(data)) => {
                times.extend(data.data_points.iter().map(|point| point.time_unix_nano))
            }
            Some(Data::Sum(data)) => times.extend(data.data_points.iter().map(|point| point.time_unix_nano)),
            Some(Data::Histogram(data)) => {
                times.extend(data.data_points.iter().map(|point| point.time_unix_nano))
            }
            Some(Data::ExponentialHistogram(data)) => {
                times.extend(data.data_points.iter().map(|point| point.time_unix_nano));
            }
            Some(Data::Summary(data)) => {
                times.extend(data.data_points.iter().map(|point| point.time_unix_nano))
            }
        }
    }
    times
}

/// A request split with a slot for each distinct key.
struct Split {
    /// (key, part), in the order in which the keys were asked for.
    parts: Vec<(String, ExportMetricsServiceRequest)>,
    items: usize,
    dropped: Dropped,
}

fn split(payload: &[u8], key: &RoutingKey) -> Result<Split, Malformed> {
    let keys = RefCell::new(Vec::<Vec<u8>>::new());
    let mut splitter = Splitter::new(0);
    let plan = splitter.plan(Signal::Metrics, payload, key, Validation::Full, 64, |key| {
        let mut keys = keys.borrow_mut();
        keys.iter().position(|known| known == key).unwrap_or_else(|| {
            keys.push(key.to_vec());
            keys.len() - 1
        })
    })?;
    let mut parts = Vec::new();
    for (slot, items, bytes) in plan.parts() {
        let mut part = Vec::new();
        plan.append(slot, &mut part);
        assert_eq!(part.len(), bytes);
        let part = ExportMetricsServiceRequest::decode(part.as_slice()).unwrap();
        assert_eq!(times(&part).len(), items);
        let key = keys.borrow().get(slot).cloned().unwrap_or_default();
        parts.push((String::from_utf8(key).unwrap(), part));
    }
    Ok(Split { parts, items: plan.items(), dropped: plan.dropped() })
}

/// Each key with the times of its points; items that have no key.
#[track_caller]
fn check(
    key: Key,
    missing: MissingKey,
    request: &ExportMetricsServiceRequest,
    expect: &[(&str, &[u64])],
    without_key: usize,
) {
    let split = split(&request.encode_to_vec(), &RoutingKey { key, missing }).unwrap();
    let found: Vec<_> = split.parts.iter().map(|(key, part)| (key.clone(), times(part))).collect();
    let expect: Vec<_> = expect.iter().map(|(key, times)| ((*key).to_owned(), times.to_vec())).collect();
    assert_eq!(found, expect);
    assert_eq!(split.dropped.without_key, without_key);
    assert_eq!(split.items, times(request).len());
}

fn one_point(time: u64) -> Vec<ScopeMetrics> {
    vec![scope(&[], vec![gauge("m", vec![number(time, &[])])])]
}

fn names(names: &[&str]) -> Key {
    Key::Attributes(names.iter().map(|name| Arc::from(*name)).collect())
}

const COMPATIBLE: MissingKey = MissingKey::Compatible;

fn fixed() -> MissingKey {
    MissingKey::Fixed("fixed".into())
}

// Scenario: resources with a service name, without one, with an empty one, with one that is no string, with two.
// Guarantees: the bare name is the key; without one the points are dropped and counted; an empty or non-string one is the
// empty key; the first of two counts. Policies of ours take all that have no name.
#[test]
fn service_is_the_name_of_the_resource() {
    let name = |value| ("service.name", value);
    let request = request(vec![
        resource(&[("a", text("b")), name(text("checkout"))], one_point(1)),
        resource(
            &[],
            vec![scope(&[name(text("no"))], vec![gauge("m", vec![number(2, &[name(text("no"))])])])],
        ),
        resource(&[name(text(""))], one_point(3)),
        resource(&[name(Value::IntValue(7))], one_point(4)),
        resource(&[name(text("cart")), name(text("checkout"))], one_point(5)),
        resource(&[name(text("checkout"))], vec![scope(&[], vec![]), one_point(6).remove(0)]),
    ]);
    let named: [(&str, &[u64]); 2] = [("checkout", &[1, 6]), ("cart", &[5])];
    let [checkout, cart] = named;
    check(Key::ServiceName, COMPATIBLE, &request, &[checkout, ("", &[3, 4]), cart], 1);
    check(Key::ServiceName, fixed(), &request, &[checkout, ("fixed", &[2, 3, 4]), cart], 0);
    check(Key::ServiceName, MissingKey::Drop, &request, &named, 3);
    let ids =
        split(&request.encode_to_vec(), &RoutingKey { key: Key::ServiceName, missing: MissingKey::Resource });
    let ids: Vec<_> = ids.unwrap().parts.into_iter().map(|(key, part)| (key, times(&part))).collect();
    assert_eq!(ids[0], ("checkout".to_owned(), vec![1, 6]));
    assert_eq!(ids[1], ("resource/88201fb960ff6465".to_owned(), vec![2]));
    assert!(ids[2].0.starts_with("resource/") && ids[2].1 == [3]);
}

// Scenario: a resource without a name, alone, and one whose metrics have no points.
// Guarantees: nothing is left to send, and what was dropped is counted as items.
#[test]
fn everything_may_be_dropped() {
    let request = request(vec![
        resource(&[], one_point(1)),
        resource(&[], vec![scope(&[], vec![gauge("empty", vec![]), metric("untyped", None)])]),
    ]);
    check(Key::ServiceName, COMPATIBLE, &request, &[], 1);
}

// Scenario: two resources with equal attributes in another order and with other dropped counts, and one without any.
// Guarantees: the identity of the attributes is the key.
#[test]
fn resource_is_the_identity_of_its_attributes() {
    let mut counted = resource(&[("k", text("7"))], one_point(3));
    counted.resource.as_mut().unwrap().dropped_attributes_count = 9;
    let request = request(vec![
        resource(&[("k", text("7"))], one_point(1)),
        resource(&[], one_point(2)),
        counted,
        ResourceMetrics { scope_metrics: one_point(4), ..ResourceMetrics::default() },
        resource(&[("k", text("9"))], one_point(5)),
    ]);
    for missing in [COMPATIBLE, fixed(), MissingKey::Drop, MissingKey::Resource] {
        let expect: [(&str, &[u64]); 3] = [
            ("resource/8d4b7afd2c00f8f", &[1, 3]),
            ("resource/88201fb960ff6465", &[2, 4]),
            ("resource/3c54105c2694a7", &[5]),
        ];
        check(Key::Resource, missing, &request, &expect, 0);
    }
}

// Scenario: metrics of the same and of other names, in several scopes and resources, one without a name.
// Guarantees: the name alone is the key.
#[test]
fn metric_is_its_name() {
    let points = |time| vec![number(time, &[("k", text("v"))]), number(time + 1, &[])];
    let request = request(vec![
        resource(
            &[("service.name", text("a"))],
            vec![
                scope(&[], vec![gauge("cpu", points(10)), gauge("mem", points(20))]),
                scope(&[("s", text("x"))], vec![gauge("cpu", points(30)), gauge("", points(40))]),
            ],
        ),
        resource(&[], vec![scope(&[], vec![gauge("mem", points(50))])]),
    ]);
    for missing in [COMPATIBLE, fixed(), MissingKey::Drop, MissingKey::Resource] {
        let expect: [(&str, &[u64]); 3] =
            [("cpu", &[10, 11, 30, 31]), ("mem", &[20, 21, 50, 51]), ("", &[40, 41])];
        check(Key::Metric, missing, &request, &expect, 0);
    }
}

/// One metric of each kind with one point, and the identity of its stream: in a resource and scope with attributes, and
/// without any.
fn kinds(pairs: &[(&str, Value)]) -> Vec<(Metric, &'static str, &'static str)> {
    let sum = |temporality, is_monotonic| {
        Data::Sum(Sum {
            data_points: vec![number(1, pairs)],
            aggregation_temporality: temporality,
            is_monotonic,
        })
    };
    let histogram = HistogramDataPoint {
        time_unix_nano: 1,
        attributes: attributes(pairs),
        bucket_counts: vec![1, 2],
        explicit_bounds: vec![0.5],
        ..HistogramDataPoint::default()
    };
    let exponential = ExponentialHistogramDataPoint {
        time_unix_nano: 1,
        attributes: attributes(pairs),
        ..ExponentialHistogramDataPoint::default()
    };
    let summary =
        SummaryDataPoint { time_unix_nano: 1, attributes: attributes(pairs), ..SummaryDataPoint::default() };
    vec![
        (gauge("m.name", vec![number(1, pairs)]), "stream/849d4f29f8baf540", "stream/c69b0c79cca7f973"),
        (metric("m.name", Some(sum(2, true))), "stream/d3f4e2f62ec70f82", "stream/7035d892d8b9d2d"),
        (metric("m.name", Some(sum(1, false))), "stream/d4c2de6a226703ae", "stream/e82d276fcd4ee151"),
        (
            metric(
                "m.name",
                Some(Data::Histogram(Histogram { data_points: vec![histogram], aggregation_temporality: 1 })),
            ),
            "stream/8e4b2ae7956d8820",
            "stream/eae90c4c6db90d53",
        ),
        (
            metric(
                "m.name",
                Some(Data::ExponentialHistogram(ExponentialHistogram {
                    data_points: vec![exponential],
                    aggregation_temporality: 2,
                })),
            ),
            "stream/7cc8f0947a6d4f2c",
            "stream/711bfba2a1c82637",
        ),
        (
            metric("m.name", Some(Data::Summary(Summary { data_points: vec![summary] }))),
            "stream/216f87050db02fe4",
            "stream/118668701be2bf1f",
        ),
    ]
}

// Scenario: a point of each kind of data, with and without attributes around it.
// Guarantees: the keys are the Collector's (computed with its code at v0.161.0).
#[test]
fn stream_is_the_identity_of_a_series() {
    let pairs = [("aaa", text("bbb"))];
    let around = [("resource_key", text("foo"))];
    let scope_pairs = [("scope_key", text("foo"))];
    for ((full, id, _), (bare, _, bare_id)) in kinds(&pairs).into_iter().zip(kinds(&[])) {
        let mut scope = scope(&scope_pairs, vec![full]);
        let named = scope.scope.as_mut().unwrap();
        (named.name, named.version) = ("MyTestInstrument".to_owned(), "1.2.3".to_owned());
        let request_full = request(vec![resource(&around, vec![scope])]);
        check(Key::Stream, COMPATIBLE, &request_full, &[(id, &[1])], 0);
        let group = ResourceMetrics {
            scope_metrics: vec![ScopeMetrics { metrics: vec![bare], ..ScopeMetrics::default() }],
            ..ResourceMetrics::default()
        };
        check(Key::Stream, fixed(), &request(vec![group]), &[(bare_id, &[1])], 0);
    }
}

// Scenario: names found on the resource, the scope, the points and nowhere.
// Guarantees: segments stand level by level; whole resources and scopes move together where they have all names, points
// without any routed alone.
#[test]
fn attributes_are_looked_up_level_by_level() {
    let point = |time, value| number(time, &[("p", text(value)), ("r", text("shadowed"))]);
    let request_with = |resource_pairs: &[(&str, Value)], scope_pairs: &[(&str, Value)]| {
        let points = vec![point(1, "x"), point(2, "y"), number(3, &[]), point(4, "x")];
        request(vec![resource(resource_pairs, vec![scope(scope_pairs, vec![gauge("m", points)])])])
    };
    let (r, s) = (("r", text("1")), ("s", Value::BoolValue(true)));
    let on_both = request_with(std::slice::from_ref(&r), std::slice::from_ref(&s));
    check(names(&["r"]), COMPATIBLE, &on_both, &[("r=1|", &[1, 2, 3, 4])], 0);
    check(names(&["s", "r"]), COMPATIBLE, &on_both, &[("r=1|s=true|", &[1, 2, 3, 4])], 0);
    let expect: [(&str, &[u64]); 3] =
        [("r=1|s=true|p=x|", &[1, 4]), ("r=1|s=true|p=y|", &[2]), ("r=1|s=true|p=|", &[3])];
    for missing in [COMPATIBLE, fixed(), MissingKey::Drop, MissingKey::Resource] {
        check(names(&["p", "s", "r"]), missing, &on_both, &expect, 0);
    }
    let bare = request_with(&[], &[]);
    let expect: [(&str, &[u64]); 3] = [("q=|p=x|", &[1, 4]), ("q=|p=y|", &[2]), ("q=|p=|", &[3])];
    check(names(&["q", "p"]), COMPATIBLE, &bare, &expect, 0);
    check(names(&["q", "p"]), fixed(), &bare, &[("q=|p=x|", &[1, 4]), ("q=|p=y|", &[2]), ("fixed", &[3])], 0);
    check(names(&["q", "p"]), MissingKey::Drop, &bare, &expect[..2], 1);
    let identity: [(&str, &[u64]); 3] =
        [("q=|p=x|", &[1, 4]), ("q=|p=y|", &[2]), ("resource/88201fb960ff6465", &[3])];
    check(names(&["q", "p"]), MissingKey::Resource, &bare, &identity, 0);
    check(names(&["q"]), MissingKey::Drop, &bare, &[], 4);
}

// Scenario: resources and scopes that resolve at different levels, in one request.
// Guarantees: whole groups and single points stand in one part together.
#[test]
fn levels_meet_in_one_part() {
    let p = |value| ("p", text(value));
    let points = || vec![number(1, &[p("x")]), number(2, &[p("y")])];
    let whole_scope = scope(&[p("x")], vec![gauge("m", points()), gauge("n", points())]);
    let request = request(vec![
        resource(&[p("x")], vec![scope(&[], vec![gauge("m", points())])]),
        resource(&[("z", text(""))], vec![whole_scope, scope(&[], vec![gauge("m", points())])]),
        resource(&[p("x")], vec![scope(&[], vec![gauge("m", points())])]),
    ]);
    let expect: [(&str, &[u64]); 2] = [("p=x|", &[1, 2, 1, 2, 1, 2, 1, 2, 1]), ("p=y|", &[2])];
    check(names(&["p"]), COMPATIBLE, &request, &expect, 0);
}

// Scenario: metrics without points and without a type beside others, under every kind of key.
// Guarantees: where groups or metrics are routed they travel along; where points are they are left out and counted; a
// part never consists of them alone.
#[test]
fn metrics_without_points_are_carried_or_counted() {
    let empties = || vec![gauge("empty", vec![]), metric("untyped", None)];
    let with_point = |name, time| {
        let mut metrics = empties();
        metrics.push(gauge(name, vec![number(time, &[])]));
        metrics
    };
    let group =
        |service: &str, metrics| resource(&[("service.name", text(service))], vec![scope(&[], metrics)]);
    let request =
        request(vec![group("a", with_point("m", 1)), group("b", with_point("n", 2)), group("c", empties())]);
    let payload = request.encode_to_vec();
    let found = |key| {
        let split = split(&payload, &RoutingKey::compatible(key)).unwrap();
        assert_eq!((split.items, split.dropped.without_key), (2, 0));
        let metrics = split.parts.iter().map(|(key, part)| {
            let groups = part.resource_metrics.iter().flat_map(|group| &group.scope_metrics);
            (key.clone(), groups.map(|scope| scope.metrics.len()).sum::<usize>())
        });
        (metrics.collect::<Vec<_>>(), split.dropped.empty_metrics)
    };
    let keys =
        |keys: &[(&str, usize)]| keys.iter().map(|(key, n)| ((*key).to_owned(), *n)).collect::<Vec<_>>();
    assert_eq!(found(Key::ServiceName), (keys(&[("a", 3), ("b", 3)]), 2));
    assert_eq!(found(names(&["service.name"])).1, 2);
    assert_eq!(found(Key::Metric), (keys(&[("m", 1), ("n", 1)]), 6));
    assert_eq!(found(Key::Stream).1, 6);
    assert_eq!(found(names(&["service.name", "p"])).1, 6);
    let whole = split(&payload, &RoutingKey::compatible(Key::None)).unwrap();
    assert_eq!((whole.items, whole.dropped, &whole.parts[0].1), (2, Dropped::default(), &request));
}

// Scenario: a request whose metrics have no points at all.
// Guarantees: no items and no parts, so nothing is sent, whatever the key; what is lost is counted.
#[test]
fn requests_without_points_have_no_parts() {
    let metrics = || vec![gauge("empty", vec![]), metric("untyped", None)];
    let named = [("service.name", text("a")), ("p", text("b"))];
    let request = request(vec![resource(&named, vec![scope(&[], metrics()), scope(&[], vec![])])]);
    let payload = request.encode_to_vec();
    for key in
        [Key::None, Key::ServiceName, Key::Resource, Key::Metric, Key::Stream, names(&["p"]), names(&["q"])]
    {
        let split = split(&payload, &RoutingKey::compatible(key.clone())).unwrap();
        assert_eq!((split.items, split.parts.len()), (0, 0));
        assert_eq!(split.dropped, Dropped { without_key: 0, empty_metrics: 2 }, "{key:?}");
    }
    let mut splitter = Splitter::new(0);
    let plan = splitter.plan_by_size(Signal::Metrics, &payload, 10, 1).unwrap();
    assert_eq!((plan.items(), plan.parts().count(), plan.dropped().empty_metrics), (0, 0, 2));
}

// Scenario: keys of other signals.
// Guarantees: refused, never routed by something else.
#[test]
fn keys_of_other_signals_are_refused() {
    let payload = request(vec![resource(&[], one_point(1))]).encode_to_vec();
    for key in [Key::TraceId, Key::TraceIdHex, Key::ServiceSegment] {
        assert!(split(&payload, &RoutingKey::compatible(key)).is_err());
    }
}

fn describe(mut metric: Metric, description: &str) -> Metric {
    metric.description = description.to_owned();
    metric.metadata = attributes(&[("kept", text("yes"))]);
    metric
}

// Scenario: metrics that are equal but for their points, next to each other and apart, in one scope and in equal ones;
// metrics that differ in their description, their unit, their temporality or their kind only.
// Guarantees: one wrapper for each distinct metric with its metadata in each part, under every key that is not for whole
// requests; points keep their order.
#[test]
fn equal_metrics_are_merged() {
    let sum = |time, temporality| {
        let data_points = vec![number(time, &[]), number(time + 1, &[("k", text("v"))])];
        let data = Sum { data_points, aggregation_temporality: temporality, is_monotonic: true };
        describe(metric("m", Some(Data::Sum(data))), "d")
    };
    let points = |time| vec![number(time, &[]), number(time + 1, &[("k", text("v"))])];
    let group = |service: &str, scopes| resource(&[("service.name", text(service))], scopes);
    let request = request(vec![
        group(
            "a",
            vec![
                scope(&[], vec![sum(10, 2), sum(20, 2), describe(gauge("m", points(30)), "d"), sum(40, 2)]),
                scope(&[("x", text("y"))], vec![sum(50, 2)]),
                scope(&[], vec![sum(60, 1), sum(70, 2), describe(gauge("m", points(80)), "other")]),
            ],
        ),
        group("b", vec![scope(&[], vec![sum(90, 2)])]),
        group("a", vec![scope(&[], vec![gauge("n", points(100)), sum(110, 2)])]),
    ]);
    let payload = request.encode_to_vec();
    for key in [
        Key::ServiceName,
        Key::Resource,
        Key::Metric,
        Key::Stream,
        names(&["k"]),
        names(&["service.name", "k"]),
    ] {
        let split = split(&payload, &RoutingKey::compatible(key.clone())).unwrap();
        assert!(split.parts.len() > 1, "{key:?}");
        let mut seen = 0;
        for (_, part) in &split.parts {
            let mut wrappers = Vec::new();
            for resource in &part.resource_metrics {
                for scope in &resource.scope_metrics {
                    for metric in &scope.metrics {
                        let times = times(&self::request(vec![ResourceMetrics {
                            scope_metrics: vec![ScopeMetrics {
                                metrics: vec![metric.clone()],
                                ..ScopeMetrics::default()
                            }],
                            ..ResourceMetrics::default()
                        }]));
                        assert!(times.is_sorted(), "{key:?} {times:?}");
                        seen += times.len();
                        let mut own = metric.clone();
                        match own.data.as_mut().unwrap() {
                            Data::Gauge(gauge) => gauge.data_points.clear(),
                            Data::Sum(sum) => sum.data_points.clear(),
                            other => panic!("{other:?}"),
                        }
                        assert!(own.name != "m" || own.metadata.len() == 1);
                        wrappers.push((resource.resource.clone(), scope.scope.clone(), own));
                    }
                }
            }
            for (at, wrapper) in wrappers.iter().enumerate() {
                assert!(!wrappers[..at].contains(wrapper), "{key:?} {wrapper:?}");
            }
        }
        assert_eq!(seen, 22, "{key:?}");
    }
}

// Scenario: metrics with two members of the oneof `data`: of the same kind, of two kinds, the last one without points.
// Guarantees: only the last one counts and only it goes out, also if everything goes to one slot.
#[test]
fn last_data_of_a_metric_counts() {
    let data = |data| Metric { data: Some(data), ..Metric::default() }.encode_to_vec();
    let one = data(Data::Gauge(Gauge { data_points: vec![number(1, &[]), number(2, &[])] }));
    let two = data(Data::Gauge(Gauge { data_points: vec![number(3, &[])] }));
    let sum = Sum { data_points: vec![number(4, &[]), number(5, &[])], ..Sum::default() };
    let three = data(Data::Sum(sum));
    let none = data(Data::Summary(Summary::default()));
    let name = Metric { name: "m".to_owned(), ..Metric::default() }.encode_to_vec();
    let around = |metric: &[u8]| {
        let metric = bytes::Bytes::copy_from_slice(metric);
        let mut group = Vec::new();
        prost::encoding::bytes::encode(2, &metric, &mut group);
        let mut scopes = Vec::new();
        prost::encoding::bytes::encode(2, &group, &mut scopes);
        let mut named = resource(&[("service.name", text("a"))], vec![]).encode_to_vec();
        named.extend(scopes);
        let mut request = Vec::new();
        prost::encoding::bytes::encode(1, &named, &mut request);
        request
    };
    for (members, expect) in [
        (vec![&one, &two], vec![3]),
        (vec![&two, &three, &one], vec![1, 2]),
        (vec![&one, &three], vec![4, 5]),
        (vec![&one, &none], vec![]),
    ] {
        let metric = [name.clone(), members.into_iter().flatten().copied().collect()].concat();
        let payload = around(&metric);
        for key in [Key::ServiceName, Key::Metric, Key::Stream, names(&["service.name"]), names(&["k"])] {
            let split = split(&payload, &RoutingKey::compatible(key)).unwrap();
            assert_eq!(split.items, expect.len());
            let found: Vec<_> = split.parts.iter().flat_map(|(_, part)| times(part)).collect();
            assert_eq!(found, expect);
        }
        let mut splitter = Splitter::new(0);
        let plan = splitter.plan_by_size(Signal::Metrics, &payload, usize::MAX, usize::MAX).unwrap();
        let mut part = Vec::new();
        plan.append(0, &mut part);
        assert_eq!(times(&ExportMetricsServiceRequest::decode(part.as_slice()).unwrap()), expect);
    }
}

//! Tests of `config/exporter/routing`.

use crate::{
    config::tests::{Fake, show},
    config::{Loaded, load},
    model::settings::{Destination, Key, MissingKey, RoutingKey},
};

/// An exporter with these keys, used by these pipelines.
fn run(keys: &str, pipelines: &str) -> Loaded {
    let pipelines: String = pipelines
        .split(' ')
        .map(|id| format!("    {id}: {{receivers: [otlp], exporters: [load_balancing]}}\n"))
        .collect();
    let text = format!(
        "receivers: {{otlp: {{protocols: {{grpc: }}}}}}\n\
         exporters:\n  load_balancing:\n    protocol: {{otlp: {{tls: {{insecure: true}}}}}}\n    \
         resolver: {{static: {{hostnames: [a]}}}}\n    {keys}\n\
         service:\n  pipelines:\n{pipelines}"
    );
    let mut fake = Fake::default();
    fake.files.insert("f".to_owned(), text);
    load(&["f".to_owned()], &[], &fake)
}

#[track_caller]
fn keys_of(loaded: &Loaded) -> [Option<RoutingKey>; 3] {
    let settings = loaded.settings.as_ref().unwrap_or_else(|| panic!("{}", show(loaded)));
    match &settings.exporters[0].destination {
        Destination::Pool { keys, .. } => keys.clone(),
        Destination::Single { .. } => panic!("a pool is expected"),
    }
}

const ALL: &str = "traces metrics logs";

/// The keys of traces, metrics and logs, and no warning.
#[track_caller]
fn check(keys: &str, pipelines: &str, expect: [Option<Key>; 3]) {
    let loaded = run(keys, pipelines);
    assert_eq!(keys_of(&loaded), expect.map(|key| key.map(RoutingKey::compatible)), "{keys} {pipelines}");
    assert!(loaded.warnings.is_empty(), "{keys} {pipelines}: {}", show(&loaded));
}

#[track_caller]
fn check_refused(keys: &str, pipelines: &str, errors: &[&str]) {
    let loaded = run(keys, pipelines);
    let got: Vec<String> = loaded.errors.iter().map(ToString::to_string).collect();
    let prefix = "f:6: exporters::load_balancing::routing_key: ";
    let expect: Vec<String> = errors.iter().map(|error| format!("{prefix}{error}")).collect();
    assert_eq!(got, expect, "{keys} {pipelines}");
}

/// What becomes of items without key, for traces, metrics and logs; and the warnings.
#[track_caller]
fn check_missing(
    keys: &str,
    policy: &str,
    pipelines: &str,
    expect: [Option<MissingKey>; 3],
    warnings: &[&str],
) {
    let loaded = run(&format!("{keys}\n    ringway: {policy}"), pipelines);
    assert_eq!(keys_of(&loaded).map(|key| key.map(|key| key.missing)), expect, "{keys} {policy}");
    let got: Vec<&str> = loaded.warnings.iter().map(|warning| warning.message.as_str()).collect();
    assert_eq!(got, warnings, "{keys} {policy}");
}

fn names(names: &[&str]) -> Key {
    Key::Attributes(names.iter().map(|name| (*name).into()).collect())
}

// Scenario: every key with the signals that have it, alone and together.
// Guarantees: each signal gets the key bytes that the Collector's exporter hashes; a signal without pipeline has none.
#[test]
fn each_signal_has_its_own_key() {
    use Key::{Metric, Resource, ServiceName, ServiceSegment, Stream, TraceId, TraceIdHex};
    check("", ALL, [Some(TraceId), Some(ServiceName), Some(ServiceName)]);
    check("routing_key: \"\"", ALL, [Some(TraceId), Some(ServiceName), Some(ServiceName)]);
    check("routing_key: traceID", "traces logs", [Some(TraceId), None, Some(TraceIdHex)]);
    check("routing_key: service", ALL, [Some(ServiceSegment), Some(ServiceName), Some(ServiceName)]);
    check("routing_key: resource", "metrics logs", [None, Some(Resource), Some(Resource)]);
    check("routing_key: metric", "metrics", [None, Some(Metric), None]);
    check("routing_key: metric_name", "metrics metrics/b", [None, Some(Metric), None]);
    check("routing_key: streamID", "metrics", [None, Some(Stream), None]);
    check("", "logs/a logs", [None, None, Some(ServiceName)]);
    check(
        "routing_key: attributes\n    routing_attributes: [b, a, b]",
        ALL,
        [Some(names(&["b", "a", "b"])), Some(names(&["b", "a", "b"])), Some(names(&["b", "a", "b"]))],
    );
}

// Scenario: keys with signals that do not have them.
// Guarantees: each pair is refused with pipelines, value and the values that are allowed, at the line of the key.
#[test]
fn pairs_that_the_collector_refuses_are_refused() {
    const TRACES: &str = "(allowed for traces: traceID, service, attributes)";
    const METRICS: &str = "(allowed for metrics: service, resource, metric, streamID, attributes)";
    const LOGS: &str = "(allowed for logs: service, resource, traceID, attributes)";
    let error = |pipelines: &str, word: &str, allowed: &str| {
        format!("{pipelines}: unsupported routing_key: {word} {allowed}")
    };
    for word in ["resource", "metric", "streamID"] {
        let keys = format!("routing_key: {word}");
        check_refused(&keys, "traces metrics", &[&error("pipeline \"traces\"", word, TRACES)]);
    }
    for word in ["metric_name", "streamID"] {
        let keys = format!("routing_key: {word}");
        check_refused(&keys, "logs/x metrics", &[&error("pipeline \"logs/x\"", &format!("{word:?}"), LOGS)]);
    }
    check_refused(
        "routing_key: traceID",
        "traces metrics metrics/b",
        &[&error("pipelines \"metrics\", \"metrics/b\"", "\"traceID\"", METRICS)],
    );
    check_refused(
        "routing_key: metric",
        ALL,
        &[&error("pipeline \"traces\"", "metric", TRACES), &error("pipeline \"logs\"", "\"metric\"", LOGS)],
    );
}

// Scenario: our own policies, each with and without a signal that makes use of it.
// Guarantees: they change the key they name and no other; one that changes nothing is named in a warning.
#[test]
fn policies_change_only_what_they_name() {
    use Key::{Resource, ServiceName, ServiceSegment, TraceId, TraceIdHex};
    let policy = |keys: &str, policy: &str| format!("{keys}\n    ringway: {policy}");
    let (by_id, by_service) = ("routing_key: traceID", "routing_key: service");
    check(&policy(by_id, "{log_trace_id: raw}"), "traces logs", [Some(TraceId), None, Some(TraceId)]);
    check(&policy(by_id, "{log_trace_id: hex}"), "logs", [None, None, Some(TraceIdHex)]);
    check(
        &policy(by_service, "{trace_service: bare}"),
        "traces metrics",
        [Some(ServiceName), Some(ServiceName), None],
    );
    check(&policy(by_service, "{trace_service: segment}"), "traces", [Some(ServiceSegment), None, None]);
    check(
        &policy("routing_key: resource", "{missing_key: compatible}"),
        "logs",
        [None, None, Some(Resource)],
    );

    let unused_id =
        "`log_trace_id` has no effect: no logs pipeline names this exporter with routing_key \"traceID\"";
    let unused_service =
        "`trace_service` has no effect: no traces pipeline names this exporter with routing_key \"service\"";
    let unused_missing =
        "`missing_key` has no effect: no item of the pipelines that name this exporter is without its key";
    let compatible = || Some(MissingKey::Compatible);
    check_missing(by_id, "{log_trace_id: raw}", "traces", [compatible(), None, None], &[unused_id]);
    check_missing("", "{log_trace_id: raw}", "logs", [None, None, compatible()], &[unused_id]);
    check_missing("", "{trace_service: bare}", "traces", [compatible(), None, None], &[unused_service]);
    check_missing(by_service, "{trace_service: bare}", "logs", [None, None, compatible()], &[unused_service]);

    let fixed = || Some(MissingKey::Fixed("x".into()));
    check_missing(by_service, "{missing_key: fixed, fixed_key: x}", ALL, [fixed(), fixed(), fixed()], &[]);
    check_missing(by_id, "{missing_key: drop}", "logs", [None, None, Some(MissingKey::Drop)], &[]);
    check_missing(
        "routing_key: attributes\n    routing_attributes: [a]",
        "{missing_key: resource}",
        "metrics",
        [None, Some(MissingKey::Resource), None],
        &[],
    );
    check_missing(
        "routing_key: resource",
        "{missing_key: drop}",
        "metrics logs",
        [None, compatible(), compatible()],
        &[unused_missing],
    );
}

// Scenario: wrong values of our own keys.
// Guarantees: each is refused with what is allowed.
#[test]
fn wrong_policies_are_refused() {
    for (policy, expect) in [
        ("{log_trace_id: text}", "invalid log_trace_id: \"text\" (allowed: hex, raw)"),
        ("{trace_service: \"\"}", "invalid trace_service: \"\" (allowed: segment, bare)"),
        (
            "{missing_key: random}",
            "invalid missing_key: \"random\" (allowed: compatible, resource, fixed, drop)",
        ),
        ("{missing_key: fixed}", "fixed_key must be specified when missing_key is \"fixed\""),
        ("{fixed_key: x}", "fixed_key can only be used when missing_key is \"fixed\"; got \"compatible\""),
        (
            "{missing_key: drop, fixed_key: x}",
            "fixed_key can only be used when missing_key is \"fixed\"; got \"drop\"",
        ),
    ] {
        let loaded = run(&format!("ringway: {policy}"), "traces");
        let got: Vec<&str> = loaded.errors.iter().map(|error| error.message.as_str()).collect();
        assert_eq!(got, [expect], "{policy}");
    }
}

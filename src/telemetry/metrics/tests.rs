//! The catalogue: its names, and how long its series live.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

// Scenario: every handle is made and the text is rendered.
// Guarantees: names are distinct, none ends in `_total` or a unit (the Collector's default), counters keep their type.
#[test]
fn catalogue_renders_with_the_collectors_names() {
    let metrics = Metrics::new();
    let mut backends = Vec::new();
    for signal in Signal::ALL {
        metrics.receiver("otlp", "grpc", signal).refused_request(Code::Malformed);
        let backend = metrics.backend("load_balancing", "b:4317", signal);
        backend.dropped(Code::Timeout, 3);
        assert_eq!(backend.dropped_so_far(Code::Timeout), 3);
        backends.push(backend);
    }
    metrics.resolver("load_balancing", "static").updates.inc();
    metrics.set_process(Duration::from_secs(2), Some(Duration::from_millis(500)), Some(4096));
    metrics.set_process(Duration::from_secs(3), Some(Duration::from_millis(400)), None);
    let text = metrics.text();
    for name in [
        "otelcol_receiver_accepted_spans",
        "otelcol_exporter_send_failed_log_records",
        "otelcol_exporter_queue_size",
        "otelcol_loadbalancer_backend_outcome",
    ] {
        assert!(text.contains(&format!("# TYPE {name} ")), "{name} is missing in\n{text}");
    }
    assert!(!text.contains("_total"), "{text}");
    assert!(
        text.contains("otelcol_receiver_accepted_spans{receiver=\"otlp\",transport=\"grpc\"} 0"),
        "{text}"
    );
    for line in
        ["otelcol_process_uptime 3", "otelcol_process_cpu_seconds 0.5", "otelcol_process_memory_rss 4096"]
    {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
}

// Scenario: two backends of one pool with two handles each; all handles are dropped, one after another; one comes back.
// Guarantees: the series of a removed backend disappear with its last handle, those of others stay; what was counted is
// still in the sums.
#[test]
fn series_of_removed_backends_disappear() {
    let metrics = Metrics::new();
    let [one, again, other] =
        ["a:1", "a:1", "b:1"].map(|endpoint| metrics.backend("load_balancing", endpoint, Signal::Logs));
    one.dropped(Code::Timeout, 3);
    again.delivered.inc_by(5);
    other.delivered.inc();
    let before = metrics.text();
    drop(one);
    assert_eq!(metrics.text(), before);
    drop(again);
    let text = metrics.text();
    assert!(!text.contains("endpoint=\"a:1\"") && text.contains("endpoint=\"b:1\""), "{text}");
    for line in [
        "ringway_backend_delivered_items{endpoint=\"removed\",exporter=\"load_balancing\",signal=\"logs\"} 5",
        "ringway_backend_dropped_items{endpoint=\"removed\",exporter=\"load_balancing\",reason=\"timeout\",signal=\"logs\"} 3",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
    let back = metrics.backend("load_balancing", "a:1", Signal::Logs);
    assert_eq!(back.delivered.get(), 0);
    drop((other, back));
    assert!(!metrics.text().contains(":1\""));
    assert_eq!(metrics.dropped_items(Code::Timeout), 3);
}

// Scenario: an exporter with one backend, whose router leaves out items and metrics.
// Guarantees: it counts as every exporter does, without a series of the load-balancing one; what is left out is counted
// by reason, items also as failed to send.
#[test]
fn an_exporter_with_one_backend_has_no_pool() {
    let metrics = Metrics::new();
    let backend = metrics.only_backend("otlp_http", "http://b/v1/metrics", Signal::Metrics);
    backend.exporter.dropped_without_key(3);
    backend.exporter.dropped_empty_metrics(2);
    let text = metrics.text();
    assert!(!text.contains("loadbalancer"), "{text}");
    for line in [
        "otelcol_exporter_sent_metric_points{exporter=\"otlp_http\"} 0",
        "otelcol_exporter_send_failed_metric_points{exporter=\"otlp_http\"} 3",
        "ringway_router_dropped_items{exporter=\"otlp_http\",reason=\"no_key\",signal=\"metrics\"} 3",
        "ringway_router_dropped_metrics{exporter=\"otlp_http\",reason=\"no_data_points\",signal=\"metrics\"} 2",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
    assert_eq!(metrics.dropped_items(Code::NoKey), 3);
}

// Scenario: a resolver that has never answered, then has, then falls silent, without telling anybody.
// Guarantees: each scrape shows the state and the age of that moment, one state at a time; there is no age before an answer.
#[test]
fn resolvers_are_looked_at_when_metrics_are_scraped() {
    let (metrics, looks) = (Metrics::new(), AtomicUsize::new(0));
    metrics.follow_resolver("lb", "dns", &["waiting", "current", "stale"], move || {
        match looks.fetch_add(1, Ordering::Relaxed) {
            0 => ("waiting", None),
            1 => ("current", Some(Duration::from_millis(250))),
            _ => ("stale", Some(Duration::from_secs(60))),
        }
    });
    for (current, age) in [("waiting", None), ("current", Some("0.25")), ("stale", Some("60"))] {
        let text = metrics.text();
        for state in ["waiting", "current", "stale"] {
            let value = u8::from(state == current);
            let line = format!(
                "ringway_resolver_state{{exporter=\"lb\",resolver=\"dns\",state=\"{state}\"}} {value}"
            );
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        let name = "ringway_resolver_set_age_seconds{exporter=\"lb\",resolver=\"dns\"} ";
        assert_eq!(text.lines().find_map(|line| line.strip_prefix(name)), age);
    }
}

// Scenario: a resolver counts answers, failures and sets, and the text is rendered.
// Guarantees: the Collector's three metrics have its names, types and labels, without suffixes (contrib v0.161.0,
// `exporter/loadbalancingexporter/metadata.yaml`).
#[test]
fn the_collectors_resolver_metrics_are_exact() {
    let metrics = Metrics::new();
    let resolver = metrics.resolver("load_balancing/a", "k8s");
    resolver.answered();
    resolver.failed("forbidden");
    resolver.updates.inc();
    resolver.backends.set(3);
    let text = metrics.text();
    for line in [
        "# TYPE otelcol_loadbalancer_num_backends gauge",
        "otelcol_loadbalancer_num_backends{resolver=\"k8s\"} 3",
        "# TYPE otelcol_loadbalancer_num_backend_updates counter",
        "otelcol_loadbalancer_num_backend_updates{resolver=\"k8s\"} 1",
        "# TYPE otelcol_loadbalancer_num_resolutions counter",
        "otelcol_loadbalancer_num_resolutions{resolver=\"k8s\",success=\"true\"} 1",
        "otelcol_loadbalancer_num_resolutions{resolver=\"k8s\",success=\"false\"} 1",
        "ringway_resolver_failures{code=\"forbidden\",exporter=\"load_balancing/a\",resolver=\"k8s\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
}

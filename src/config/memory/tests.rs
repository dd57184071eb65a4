//! Tests of `config/memory`.

use super::MIB;
use crate::{
    config::{load, tests::Fake},
    model::settings::Memory,
};

/// A gateway with these memory limiters, one pipeline for each, and this block `service.ringway`.
#[track_caller]
fn check(limiters: &[&str], ringway: &str, expect: Memory) {
    let mut text = String::from(
        "receivers: {otlp: {protocols: {grpc: }}}\n\
         exporters: {otlp_grpc: {endpoint: \"a:1\", tls: {insecure: true}}}\n\
         processors:\n  memory_limiter/unused: {check_interval: 1s, limit_mib: 1}\n",
    );
    for (index, limiter) in limiters.iter().enumerate() {
        text.push_str(&format!("  memory_limiter/{index}: {{check_interval: 1s, {limiter}}}\n"));
    }
    text.push_str(&format!("service:\n  ringway: {{{ringway}}}\n  pipelines:\n    traces: {{receivers: [otlp], exporters: [otlp_grpc]}}\n"));
    for index in 0..limiters.len() {
        text.push_str(&format!(
            "    traces/{index}: {{receivers: [otlp], processors: [memory_limiter/{index}], exporters: [otlp_grpc]}}\n"
        ));
    }
    let mut fake = Fake::default();
    fake.files.insert("f".to_owned(), text);
    let loaded = load(&["f".to_owned()], &[], &fake);
    assert_eq!(loaded.errors, [], "{limiters:?} {ringway:?}");
    assert_eq!(loaded.settings.unwrap().memory, expect, "{limiters:?} {ringway:?}");
    // Each limiter that is used says once what it comes to.
    let of_limiters = loaded.warnings.iter().filter(|problem| problem.path.starts_with("processors::"));
    assert_eq!(of_limiters.count(), limiters.len(), "{limiters:?} {ringway:?}: {:?}", loaded.warnings);
}

// Scenario: no memory limiter, one, or several, with and without a spike, and a budget of ours.
// Guarantees: what may be held is where the Collector begins to refuse: the limit less its spike or a fifth, MiB before per cent;
// the smallest limiter that a pipeline names holds; a budget of ours goes before all of them; else it is half of the memory.
#[test]
fn the_smallest_soft_limit_is_the_budget() {
    check(&[], "", Memory::Percent(50.0));
    check(&["limit_mib: 1000"], "", Memory::Bytes(1000 * MIB - 200 * MIB));
    check(&["limit_mib: 1000, spike_limit_mib: 1"], "", Memory::Bytes(999 * MIB));
    // A fifth is cut off at bytes, not at MiB.
    check(&["limit_mib: 1"], "", Memory::Bytes(1_048_576 - 209_715));
    check(&["limit_percentage: 80, spike_limit_percentage: 25"], "", Memory::Percent(55.0));
    check(&["limit_percentage: 75"], "", Memory::Percent(60.0));
    check(&["limit_percentage: 1"], "", Memory::Percent(0.8));
    check(&["limit_mib: 10, limit_percentage: 80, spike_limit_percentage: 25"], "", Memory::Bytes(8 * MIB));
    check(&["limit_mib: 30", "limit_mib: 20", "limit_mib: 40"], "", Memory::Bytes(16 * MIB));
    check(&["limit_percentage: 80", "limit_percentage: 50"], "", Memory::Percent(40.0));
    check(&["limit_percentage: 5", "limit_mib: 5000"], "", Memory::Bytes(4000 * MIB));
    check(&["limit_mib: 10"], "memory_budget_mib: 0", Memory::Bytes(8 * MIB));
    check(&["limit_mib: 10"], "memory_budget_mib: 8", Memory::Bytes(8 * MIB));
    check(&["limit_mib: 10", "limit_percentage: 3"], "memory_budget_mib: 300", Memory::Bytes(300 * MIB));
    check(&[], "memory_budget_mib: 300", Memory::Bytes(300 * MIB));
}

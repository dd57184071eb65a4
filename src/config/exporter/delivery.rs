//! What is ours in delivery: ambiguous failures, the end of a leaving backend's attempts, health.
//!
//! Stage: engine. Keys of the block `ringway`; all of them are additions to the Collector's configuration.

use std::time::Duration;

use crate::{
    config::{
        decode::Fields,
        net::std_duration,
        report::{At, Report},
        schema::{Key, Section, any, duration, int, on_until_disabled},
        tree::Value,
    },
    model::{
        Signal,
        settings::{Ambiguous, HealthPolicy},
    },
};

/// `retry` or `drop`, for all signals or for each (`{traces: drop}`).
pub(super) const AMBIGUOUS: Key = any("ambiguous");
/// How long attempts under way may go on at a backend that has left.
pub(super) const DRAIN_TIMEOUT: Key = duration("drain_timeout", 10_000);
/// When a backend of a pool is skipped. On by default: see ARCHITECTURE.md, "Health".
pub(super) const HEALTH: Key = on_until_disabled("health", &HEALTH_SECTION);

static HEALTH_SECTION: Section = Section::strict(&[
    int("consecutive_failures", 5),
    duration("no_success", 10_000),
    duration("hold", 10_000),
    duration("probe_interval", 5_000),
    int("max_ejected_percent", 50),
]);

/// Reads `ambiguous`, in the order of [`Signal::ALL`].
pub(super) fn ambiguous(ringway: &Fields, report: &mut Report) -> [Ambiguous; 3] {
    let mut policies = [Ambiguous::Retry; 3];
    let Some(node) = ringway.any("ambiguous") else { return policies };
    let at = ringway.at("ambiguous");
    let Value::Map(entries) = &node.value else {
        if let Some(policy) = policy(&node.value, at, report) {
            policies = [policy; 3];
        }
        return policies;
    };
    for entry in entries {
        let place = at.key(&entry.key, &entry.place);
        let Some(signal) = Signal::ALL.into_iter().find(|signal| signal.as_str() == &*entry.key) else {
            report.error(&place, format!("unknown signal {:?} (allowed: traces, metrics, logs)", entry.key));
            continue;
        };
        if let (Some(policy), Some(slot)) =
            (policy(&entry.node.value, &place, report), policies.get_mut(signal.index()))
        {
            *slot = policy;
        }
    }
    policies
}

fn policy(value: &Value, at: &At, report: &mut Report) -> Option<Ambiguous> {
    match value {
        Value::Text(text) if &**text == "retry" => Some(Ambiguous::Retry),
        Value::Text(text) if &**text == "drop" => Some(Ambiguous::Drop),
        Value::Text(text) => {
            report.error(at, format!("invalid ambiguous: {text:?} (allowed: retry, drop)"));
            None
        }
        other => {
            let message = format!(
                "ambiguous must be retry, drop, or a map of these by signal, found {:?}",
                other.type_name()
            );
            report.error(at, message);
            None
        }
    }
}

/// Reads `drain_timeout`.
pub(super) fn drain_timeout(ringway: &Fields, report: &mut Report) -> Duration {
    positive(ringway, "drain_timeout", report)
}

/// Reads `health`.
pub(super) fn health(ringway: &Fields, report: &mut Report) -> Option<HealthPolicy> {
    let fields = ringway.optional("health")?;
    let failures = fields.int("consecutive_failures");
    let failures = u32::try_from(failures).ok().filter(|failures| *failures > 0).unwrap_or_else(|| {
        let message = format!("`consecutive_failures` must be positive, found {failures}");
        report.error(fields.at("consecutive_failures"), message);
        1
    });
    let percent = fields.int("max_ejected_percent");
    let max_ejected_percent =
        u8::try_from(percent).ok().filter(|percent| *percent <= 100).unwrap_or_else(|| {
            let message = format!("`max_ejected_percent` must be between 0 and 100, found {percent}");
            report.error(fields.at("max_ejected_percent"), message);
            0
        });
    Some(HealthPolicy {
        consecutive_failures: failures,
        no_success: positive(fields, "no_success", report),
        hold: positive(fields, "hold", report),
        probe_interval: positive(fields, "probe_interval", report),
        max_ejected_percent,
    })
}

pub(super) fn positive(fields: &Fields, name: &str, report: &mut Report) -> Duration {
    let value = fields.duration(name);
    if value <= 0 && !fields.is_failed(name) {
        report.error(fields.at(name), format!("`{name}` must be positive, found {value}"));
    }
    std_duration(value)
}

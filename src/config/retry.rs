//! `retry_on_failure`, at both of its levels.
//!
//! Stage: engine. Keys, defaults and texts: Collector `config/configretry` v1.67.0 `backoff.go`.

use super::{
    decode::Fields,
    net::std_duration,
    report::Report,
    schema::{Key, Kind, Section, boolean, duration, float},
    units::format_duration,
};
use crate::model::settings::RetryPolicy;

/// The block of the OTLP exporters: `NewDefaultBackOffConfig`.
pub(super) static RETRY: Section = Section::strict(&RETRY_KEYS);
/// The same below a section that lets unknown keys pass.
pub(super) static RETRY_LENIENT: Section = Section::lenient(&RETRY_KEYS);

static RETRY_KEYS: [Key; 6] = [
    boolean("enabled", true),
    duration("initial_interval", 5_000),
    float("randomization_factor", 0.5),
    float("multiplier", 1.5),
    duration("max_interval", 30_000),
    duration("max_elapsed_time", 300_000),
];

/// The load-balancing exporter's own block, which has no defaults. Source: contrib `loadbalancingexporter` v0.161.0
/// `factory.go`, `createDefaultConfig`.
pub(super) static RETRY_WITHOUT_DEFAULTS: Section = Section::strict(&[
    boolean("enabled", false),
    duration("initial_interval", 0),
    float("randomization_factor", 0.0),
    float("multiplier", 0.0),
    duration("max_interval", 0),
    duration("max_elapsed_time", 0),
]);

/// Checks a block, also when it is off, and gives what it means if it is on.
pub(super) fn read(fields: &Fields, report: &mut Report) -> Option<RetryPolicy> {
    validate(fields, report);
    fields.bool("enabled").then(|| RetryPolicy {
        initial_interval: std_duration(fields.duration("initial_interval")),
        randomization_factor: fields.float("randomization_factor"),
        multiplier: fields.float("multiplier"),
        max_interval: std_duration(fields.duration("max_interval")),
        max_elapsed_time: elapsed(fields.duration("max_elapsed_time")),
    })
}

/// As [`read`], for the block without defaults: what is not written is taken from the block that has them, because the
/// zeros would retry without any pause, for ever.
pub(super) fn read_without_defaults(fields: &Fields, report: &mut Report) -> Option<RetryPolicy> {
    let mut policy = read(fields, report)?;
    let missing: Vec<&str> =
        ["initial_interval", "randomization_factor", "multiplier", "max_interval", "max_elapsed_time"]
            .into_iter()
            .filter(|name| !fields.is_written(name))
            .collect();
    for name in &missing {
        match *name {
            "initial_interval" => policy.initial_interval = std_duration(default_nanos(name)),
            "randomization_factor" => policy.randomization_factor = default_float(name),
            "multiplier" => policy.multiplier = default_float(name),
            "max_interval" => policy.max_interval = std_duration(default_nanos(name)),
            _ => policy.max_elapsed_time = elapsed(default_nanos(name)),
        }
    }
    if !missing.is_empty() {
        let values: Vec<String> =
            missing.iter().map(|name| format!("{name} {}", default_text(name))).collect();
        let consequence = if fields.is_written("initial_interval") {
            "without growth or jitter between retries"
        } else {
            "in a loop without any pause"
        };
        report.warn(
            fields.at("enabled"),
            format!(
                "what is not written takes exporterhelper's defaults: {}; the Collector takes zeros and would retry \
                 {consequence}",
                values.join(", ")
            ),
        );
    }
    Some(policy)
}

fn elapsed(nanos: i64) -> Option<std::time::Duration> {
    (nanos > 0).then(|| std_duration(nanos))
}

fn validate(fields: &Fields, report: &mut Report) {
    for name in ["initial_interval", "max_interval", "max_elapsed_time"] {
        if fields.duration(name) < 0 {
            report.error(fields.at(name), format!("{name} value must be greater than or equal to 0"));
        }
    }
    for name in ["multiplier", "randomization_factor"] {
        if fields.float(name) < 0.0 {
            report.error(fields.at(name), format!("{name} value must be greater than or equal to 0"));
        }
    }
    if fields.float("randomization_factor") > 1.0 {
        let at = fields.at("randomization_factor");
        report.error(at, "randomization_factor value must be less than or equal to 1");
    }
    let most = fields.duration("max_elapsed_time");
    for name in ["initial_interval", "max_interval"] {
        let least = fields.duration(name);
        if most > 0 && most < least {
            let (most, least) = (format_duration(most), format_duration(least));
            let message = format!("'max_elapsed_time' must not be less than '{name}' ({most} < {least})");
            report.error(fields.at("max_elapsed_time"), message);
        }
    }
}

fn default_nanos(name: &str) -> i64 {
    match RETRY.kind_of(name) {
        Some(Kind::Duration(nanos)) => *nanos,
        _ => 0,
    }
}

fn default_float(name: &str) -> f64 {
    match RETRY.kind_of(name) {
        Some(Kind::Float(value)) => *value,
        _ => 0.0,
    }
}

fn default_text(name: &str) -> String {
    match RETRY.kind_of(name) {
        Some(Kind::Duration(nanos)) => format_duration(*nanos),
        Some(Kind::Float(value)) => value.to_string(),
        _ => String::new(),
    }
}

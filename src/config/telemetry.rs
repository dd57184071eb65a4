//! `service.telemetry`: the gateway's own logs and metrics.
//!
//! Stage: engine. Keys and defaults: Collector `service` v0.161.0 `telemetry/otelconftelemetry`. The readers follow otelconf 0.3.

use std::sync::Arc;

use super::{
    decode::{Fields, decode},
    report::{At, Report},
    schema::{Section, any, boolean, duration, int, pointer, section, text, texts},
    tree::{Node, Value},
};
use crate::model::settings::{LogLevel, Telemetry};

pub(super) static TELEMETRY: Section = Section::strict(&[
    section("logs", &LOGS),
    section("metrics", &METRICS),
    any("traces").no_effect(),
    any("resource").no_effect(),
]);

static LOGS: Section = Section::strict(&[
    text("level", "info"),
    text("encoding", "console"),
    boolean("development", false).no_effect(),
    boolean("disable_caller", false).no_effect(),
    boolean("disable_stacktrace", false).no_effect(),
    section("sampling", &SAMPLING).no_effect(),
    texts("output_paths", &["stderr"]).no_effect(),
    texts("error_output_paths", &["stderr"]).no_effect(),
    any("initial_fields").no_effect(),
    any("processors").no_effect(),
    boolean("disable_zap_resource", false).no_effect(),
]);

static SAMPLING: Section = Section::strict(&[
    boolean("enabled", true),
    duration("tick", 10_000),
    int("initial", 10),
    int("thereafter", 100),
]);

static METRICS: Section =
    Section::strict(&[text("level", "normal"), any("readers"), any("views").no_effect()]);

pub(super) static READER: Section = Section::strict(&[pointer("pull", &PULL), any("periodic").no_effect()]);

static PULL: Section = Section::strict(&[
    section("exporter", &PULL_EXPORTER),
    any("producers").no_effect(),
    any("cardinality_limits").no_effect(),
]);

static PULL_EXPORTER: Section = Section::strict(&[pointer("prometheus", &PROMETHEUS)]);

static PROMETHEUS: Section = Section::strict(&[
    text("host", ""),
    int("port", 0),
    boolean("without_scope_info", true).no_effect(),
    boolean("without_units", true).no_effect(),
    boolean("without_type_suffix", true).no_effect(),
    any("with_resource_constant_labels").no_effect(),
]);

/// Where metrics are served when `readers` is not written. Source: `otelconftelemetry/factory.go`.
const DEFAULT_READER: &str = "localhost:8888";

/// Reads the section.
pub(super) fn read(fields: &Fields, report: &mut Report) -> Telemetry {
    let logs = fields.plain("logs");
    Telemetry {
        log_level: level(logs, report),
        log_json: is_json(logs, report),
        metrics: metrics(fields.plain("metrics"), report),
    }
}

/// Source: zap `zapcore/level.go`.
fn level(fields: &Fields, report: &mut Report) -> LogLevel {
    match fields.text("level").to_lowercase().as_str() {
        "debug" => LogLevel::Debug,
        "info" | "" => LogLevel::Info,
        "warn" | "warning" => LogLevel::Warn,
        "error" => LogLevel::Error,
        level @ ("dpanic" | "panic" | "fatal") => {
            report
                .warn(fields.at("level"), format!("level {level:?} is read as \"error\", the highest here"));
            LogLevel::Error
        }
        other => {
            let message = format!("unrecognized level: {other:?} (allowed: debug, info, warn, error)");
            report.error(fields.at("level"), message);
            LogLevel::Info
        }
    }
}

fn is_json(fields: &Fields, report: &mut Report) -> bool {
    match fields.text("encoding") {
        "json" => true,
        "console" | "" => false,
        other => {
            let message = format!("unknown encoding: {other:?} (allowed: console, json)");
            report.error(fields.at("encoding"), message);
            false
        }
    }
}

fn metrics(fields: &Fields, report: &mut Report) -> Vec<Arc<str>> {
    let level = fields.text("level").to_lowercase();
    if !matches!(level.as_str(), "" | "none" | "basic" | "normal" | "detailed") {
        let message = format!("unknown metrics level {level:?} (allowed: none, basic, normal, detailed)");
        report.error(fields.at("level"), message);
    }
    let is_none = level == "none";
    if fields.any("views").is_some() && level != "detailed" {
        report.error(
            fields.at("views"),
            "service::telemetry::metrics::views can only be set when service::telemetry::metrics::level is detailed",
        );
    }
    let at = fields.at("readers");
    let readers = match fields.any("readers") {
        None if fields.is_failed("readers") => return Vec::new(),
        None => vec![DEFAULT_READER.into()],
        Some(node) => match &node.value {
            Value::List(readers) => {
                if readers.is_empty() && !is_none {
                    report.error(
                        at,
                        "collector telemetry metrics reader should exist when metric level is not none",
                    );
                }
                readers
                    .iter()
                    .enumerate()
                    .filter_map(|(index, node)| reader(node, at.element(index, &node.place), report))
                    .collect()
            }
            other => {
                let message = format!("source data must be an array or slice, got {}", other.type_name());
                report.error(at, message);
                Vec::new()
            }
        },
    };
    if is_none { Vec::new() } else { readers }
}

/// Host and port of a pull reader; other readers have no effect and have been reported.
fn reader(node: &Node, at: At, report: &mut Report) -> Option<Arc<str>> {
    let fields = decode(&READER, Some(node), at, report);
    let prometheus = fields.optional("pull")?.plain("exporter").optional("prometheus")?;
    let (host, port) = (prometheus.text("host"), prometheus.int("port"));
    for name in ["host", "port"] {
        if !prometheus.is_written(name) {
            report.error(prometheus.at(name), format!("{name} must be specified"));
        }
    }
    if !(0..=i64::from(u16::MAX)).contains(&port) {
        report.error(prometheus.at("port"), format!("port must be between 0 and 65535, found {port}"));
    }
    let is_bare_v6 = host.contains(':') && !host.starts_with('[');
    Some(if is_bare_v6 { format!("[{host}]:{port}") } else { format!("{host}:{port}") }.into())
}

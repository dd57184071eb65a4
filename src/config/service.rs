//! The root of the file and `service`: which components run, and what feeds what.
//!
//! Stage: engine. Keys and texts: Collector `otelcol` v0.161.0 `config.go`, `service` v0.161.0 `config.go` and
//! `pipelines/config.go`. Our own block of `service` is `ringway`.

use super::{
    components::{Category, Components},
    decode::{Fields, decode},
    exporter, extensions, memory,
    net::std_duration,
    pipelines,
    processors::{self, Processor},
    receiver,
    report::{At, Report},
    schema::{Section, any, duration, ids, section},
    telemetry::{self, TELEMETRY},
    tree::{Node, Value},
};
use crate::model::settings::{Settings, Shutdown};

pub(super) static ROOT: Section = Section::strict(&[
    any("receivers"),
    any("processors"),
    any("exporters"),
    any("connectors"),
    any("extensions"),
    section("service", &SERVICE),
]);

static SERVICE: Section = Section::strict(&[
    section("telemetry", &TELEMETRY),
    ids("extensions"),
    any("pipelines"),
    section("ringway", &RINGWAY),
]);

/// Ours. `shutdown_timeout`: how long draining may take after the signal; 0: no limit, as the Collector. The default ends
/// before Kubernetes' 30 s (`terminationGracePeriodSeconds`) do.
static RINGWAY: Section = Section::strict(&[duration("shutdown_timeout", 25_000), memory::BUDGET_MIB]);

static RECEIVERS: Category =
    Category { section: "receivers", one: "receiver", types: &["otlp"], aliases: &[] };
static PROCESSORS: Category =
    Category { section: "processors", one: "processor", types: &["batch", "memory_limiter"], aliases: &[] };
static EXPORTERS: Category = Category {
    section: "exporters",
    one: "exporter",
    types: &["load_balancing", "otlp_grpc", "otlp_http"],
    aliases: &[("loadbalancing", "load_balancing"), ("otlp", "otlp_grpc"), ("otlphttp", "otlp_http")],
};
static CONNECTORS: Category = Category { section: "connectors", one: "connector", types: &[], aliases: &[] };
static EXTENSIONS: Category = Category {
    section: "extensions",
    one: "extension",
    types: &["file_storage", "health_check", "headers_setter"],
    aliases: &[],
};

/// Checks the whole configuration. The settings are good only if `report` has no errors afterwards.
pub(super) fn read(root: &Node, report: &mut Report) -> Settings {
    let at = At { path: String::new(), place: Some(root.place.clone()) };
    if matches!(&root.value, Value::Map(entries) if entries.is_empty()) {
        report.error(&at, "empty configuration file");
    }
    let fields = decode(&ROOT, Some(root), at, report);
    let receivers = components(&RECEIVERS, &fields, report, |_, id, node, at, report| {
        Some(receiver::read(id, node, at, report))
    });
    let processors = components(&PROCESSORS, &fields, report, |kind, _, node, at, report| match kind {
        "batch" => Some(processors::read_batch(node, at, report)),
        _ => Some(Processor::MemoryLimiter(memory::read_limiter(node, at, report))),
    });
    let exporters = components(&EXPORTERS, &fields, report, |kind, id, node, at, report| {
        Some(exporter::read(kind, id, node, at, report))
    });
    components::<()>(&CONNECTORS, &fields, report, |_, _, _, _, _| None);
    let extensions = components(&EXTENSIONS, &fields, report, |kind, id, node, at, report| {
        Some(extensions::read(kind, id, node, at, report))
    });
    for (components_are_empty, one) in
        [(receivers.is_empty(), "receiver"), (exporters.is_empty(), "exporter")]
    {
        if components_are_empty {
            report.error(&fields.at, format!("no {one} configuration specified in config"));
        }
    }

    let service = fields.plain("service");
    let running =
        extensions::Running::of(service.texts("extensions"), extensions, service.at("extensions"), report);
    let telemetry = telemetry::read(service.plain("telemetry"), report);
    let shutdown = Shutdown { timeout: shutdown_timeout(service, report) };
    let wired = pipelines::read(service, receivers, &processors, exporters, &running, report);
    let memory = memory::budget(service, &wired.limiters, report);
    Settings {
        receivers: wired.receivers,
        exporters: wired.exporters,
        pipelines: wired.pipelines,
        health_check: running.health_check,
        telemetry,
        shutdown,
        memory,
    }
}

fn components<T>(
    category: &'static Category,
    fields: &Fields,
    report: &mut Report,
    read: impl FnMut(&str, std::sync::Arc<str>, &Node, At, &mut Report) -> Option<T>,
) -> Components<T> {
    Components::read(category, fields.any(category.section), fields.at(category.section), report, read)
}

fn shutdown_timeout(service: &Fields, report: &mut Report) -> Option<std::time::Duration> {
    let fields = service.plain("ringway");
    let nanos = fields.duration("shutdown_timeout");
    if nanos < 0 {
        let message = "shutdown_timeout value must be greater than or equal to 0";
        report.error(fields.at("shutdown_timeout"), message);
    }
    (nanos > 0).then(|| std_duration(nanos))
}

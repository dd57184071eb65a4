//! `exporters.load_balancing`, alias `loadbalancing`.
//!
//! Stage: engine. Keys, defaults and texts: contrib `exporter/loadbalancingexporter` v0.161.0 `config.go`, `factory.go` and
//! `loadbalancer.go`. Our own block is `ringway`. What is hashed is in `routing`, what becomes of the two levels of queue and
//! retry in `levels`.

use std::{sync::Arc, time::Duration};

use super::{
    Read, client, delivery, levels, otlp_grpc,
    routing::{self, POLICIES},
};
use crate::{
    config::{
        decode::{Fields, Text, decode},
        net::std_duration,
        queue::QUEUE,
        report::{At, Report},
        retry::RETRY_WITHOUT_DEFAULTS,
        schema::{
            Section, any, boolean, duration, int, off_until_a_map, off_until_written, section, text, texts,
        },
        tree::Node,
    },
    model::settings::{Destination, Exporter, Resolver, RingGeneration},
};

pub(super) static EXPORTER: Section = Section::strict(&[
    text("routing_key", ""),
    texts("routing_attributes", &[]),
    section("protocol", &PROTOCOL),
    section("resolver", &RESOLVER),
    duration("timeout", 0),
    section("retry_on_failure", &RETRY_WITHOUT_DEFAULTS),
    off_until_written("sending_queue", &QUEUE),
    section("ringway", &RINGWAY),
]);

static PROTOCOL: Section = Section::strict(&[section("otlp", &otlp_grpc::BACKEND)]);

static RESOLVER: Section = Section::strict(&[
    off_until_a_map("static", &STATIC),
    off_until_a_map("dns", &DNS).refused(STATIC_ONLY),
    off_until_a_map("k8s", &K8S).refused(STATIC_ONLY),
    off_until_a_map("aws_cloud_map", &AWS_CLOUD_MAP).refused(STATIC_ONLY),
    off_until_a_map("file", &FILE),
]);
const STATIC_ONLY: &str = "`static` and our own `file` are";

/// Ours: a text file with one endpoint in each line.
static FILE: Section = Section::strict(&[text("path", ""), duration("interval", 5_000)]);
/// The least time between two looks at a file.
const FILE_INTERVAL_MIN: Duration = Duration::from_millis(50);

static STATIC: Section = Section::strict(&[texts("hostnames", &[])]);

static DNS: Section = Section::strict(&[
    text("hostname", ""),
    text("port", ""),
    duration("interval", 5_000),
    duration("timeout", 1_000),
]);

static K8S: Section = Section::strict(&[
    text("service", ""),
    any("ports"),
    duration("timeout", 60_000),
    boolean("return_hostnames", false),
]);

static AWS_CLOUD_MAP: Section = Section::strict(&[
    text("namespace", ""),
    text("service_name", ""),
    text("health_status", "HEALTHY"),
    duration("interval", 30_000),
    duration("timeout", 5_000),
    int("port", 0),
    text("owner_account", ""),
]);

/// Ours. `ring_generation`: which of the Collector's rings. The others: [`client::message_limit`], [`routing`].
static RINGWAY: Section = Section::strict(&[
    text("ring_generation", "G3"),
    client::GRPC_MESSAGE_MIB,
    delivery::AMBIGUOUS,
    delivery::DRAIN_TIMEOUT,
    delivery::HEALTH,
])
.with(&POLICIES);

/// Reads one load-balancing exporter.
pub(super) fn read(id: Arc<str>, node: &Node, at: At, report: &mut Report) -> Read {
    let fields = decode(&EXPORTER, Some(node), at, report);
    let ringway = fields.plain("ringway");
    let routing = routing::read(&fields, ringway, report);
    let resolver = resolver(&fields, report);
    let ring = ring_generation(ringway, report);
    let max_message_bytes = client::message_limit(ringway, report);
    let timeout = fields.duration("timeout");
    if timeout < 0 {
        report.error(fields.at("timeout"), "timeout value must be greater than or equal to 0");
    }
    let mut levels = levels::both(&fields, report);
    let otlp = fields.plain("protocol").plain("otlp");
    otlp_grpc::check_unused_endpoint(otlp, report);
    let has_batch = levels.batch.is_some();
    let metadata_keys = std::mem::take(&mut levels.metadata_keys);
    let storage = levels.storage.take();
    let authenticator = client::authenticator(otlp, report);
    let mut backend = otlp_grpc::backend(otlp, levels, max_message_bytes, report);
    backend.ambiguous = delivery::ambiguous(ringway, report);
    backend.drain_timeout = delivery::drain_timeout(ringway, report);
    backend.health = delivery::health(ringway, report);
    let exporter = Exporter {
        id,
        destination: Destination::Pool { keys: [const { None }; 3], ring, resolver },
        backend,
        timeout: (timeout > 0).then(|| std_duration(timeout)),
    };
    Read {
        exporter,
        has_batch,
        at: fields.at,
        routing: Some(routing),
        authenticator,
        storage,
        metadata_keys,
        has_bad_endpoint: false,
    }
}

fn resolver(exporter: &Fields, report: &mut Report) -> Resolver {
    let fields = exporter.plain("resolver");
    let names = ["static", "dns", "k8s", "aws_cloud_map", "file"];
    match names.iter().filter(|name| fields.optional(name).is_some()).count() {
        _ if exporter.is_failed("resolver") || names.iter().any(|name| fields.is_failed(name)) => {}
        0 => report.error(&fields.at, "no resolvers specified for the exporter"),
        1 => {}
        _ => report.error(&fields.at, "only one resolver should be specified"),
    }
    if let Some(fields) = fields.optional("file") {
        return file(fields, report);
    }
    let hostnames = fields.optional("static").map_or_else(Vec::new, |fields| hostnames(fields, report));
    Resolver::Static { hostnames }
}

fn file(fields: &Fields, report: &mut Report) -> Resolver {
    let path = fields.text("path");
    if path.is_empty() && !fields.is_failed("path") {
        report.error(fields.at("path"), "no path specified for the file resolver");
    }
    let interval = fields.duration("interval");
    if interval <= 0 && !fields.is_failed("interval") {
        report.error(fields.at("interval"), format!("`interval` must be positive, found {interval}"));
    }
    let interval = std_duration(interval);
    if interval < FILE_INTERVAL_MIN && !interval.is_zero() {
        let message = format!("`interval` is raised to {FILE_INTERVAL_MIN:?}");
        report.warn(fields.at("interval"), message);
    }
    Resolver::File { path: path.into(), interval: interval.max(FILE_INTERVAL_MIN) }
}

/// The texts as written, in the order of their bytes: the order is part of what the ring is made of.
fn hostnames(fields: &Fields, report: &mut Report) -> Vec<Arc<str>> {
    let mut list: Vec<&Text> = fields.texts("hostnames").iter().collect();
    if list.is_empty() && !fields.is_failed("hostnames") {
        report.error(fields.at("hostnames"), "no endpoints specified for the static resolver");
    }
    list.sort_by(|left, right| left.text.as_bytes().cmp(right.text.as_bytes()));
    for text in &list {
        hostname(text, report);
    }
    let mut reported: Option<&Arc<str>> = None;
    for pair in list.windows(2) {
        if let [first, second] = pair
            && first.text == second.text
            && reported != Some(&second.text)
        {
            reported = Some(&second.text);
            report.warn(
                &second.at,
                format!(
                    "hostname {:?} is listed more than once; duplicates stay on the ring, as in the Collector, \
                     and distort the shares",
                    second.text
                ),
            );
        }
    }
    list.into_iter().map(|text| Arc::clone(&text.text)).collect()
}

fn hostname(text: &Text, report: &mut Report) {
    let name: &str = &text.text;
    if name.trim().is_empty() {
        report.error(&text.at, "a hostname is empty");
    } else if name.trim().len() < name.len() {
        let message =
            format!("hostname {name:?} begins or ends with white space, which is hashed and dialled too");
        report.warn(&text.at, message);
    } else if name.starts_with("https://") {
        let message =
            format!("hostname {name:?} asks for TLS, which is not supported by this version of ringway");
        report.error(&text.at, message);
    } else if name.contains("://") || name.starts_with("unix:") {
        let message =
            format!("hostname {name:?} is not supported by this version of ringway: host or host:port is");
        report.error(&text.at, message);
    }
}

fn ring_generation(fields: &Fields, report: &mut Report) -> RingGeneration {
    match fields.text("ring_generation") {
        "G1" => RingGeneration::G1,
        "G2" => RingGeneration::G2,
        "G3" => RingGeneration::G3,
        other => {
            let message = format!(
                "invalid ring_generation: {other:?} (allowed: G1 for Collectors up to v0.129, G2 for v0.130.0 to \
                 v0.156.0, G3 for v0.157.0 and later)"
            );
            report.error(fields.at("ring_generation"), message);
            RingGeneration::G3
        }
    }
}

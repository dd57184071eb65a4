//! `exporters.load_balancing`, alias `loadbalancing`.
//!
//! Stage: engine. Keys, defaults and texts: contrib `exporter/loadbalancingexporter` v0.161.0 `config.go`, `factory.go` and
//! `loadbalancer.go`. Our own block is `ringway`. What becomes of the two levels of queue and retry is in `levels`.

use std::sync::Arc;

use super::{
    decode::{Fields, Text, decode},
    net::{std_duration, unsigned},
    queue::QUEUE,
    report::{At, Report},
    retry::RETRY_WITHOUT_DEFAULTS,
    schema::{
        Section, any, boolean, duration, int, off_until_a_map, off_until_written, section, text, texts,
    },
    tree::Node,
};
use crate::model::settings::{Destination, Exporter, Key, Resolver, RingGeneration, RoutingKey};

mod levels;
mod otlp;

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

static PROTOCOL: Section = Section::strict(&[section("otlp", &otlp::OTLP)]);

static RESOLVER: Section = Section::strict(&[
    off_until_a_map("static", &STATIC),
    off_until_a_map("dns", &DNS).refused(STATIC_ONLY),
    off_until_a_map("k8s", &K8S).refused(STATIC_ONLY),
    off_until_a_map("aws_cloud_map", &AWS_CLOUD_MAP).refused(STATIC_ONLY),
]);
const STATIC_ONLY: &str = "`static` is";

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

/// Ours. `ring_generation`: which of the Collector's rings. `max_message_size_mib`: limit of one message to a backend before
/// compression; the default is what a Collector's OTLP receiver takes (grpc-go `defaultServerMaxReceiveMessageSize`).
static RINGWAY: Section = Section::strict(&[text("ring_generation", "G3"), int("max_message_size_mib", 4)]);

/// The largest `max_message_size_mib`: gRPC writes the length of a message in four bytes.
const MESSAGE_MIB_MAX: i64 = 4095;
/// Keys of the Collector that this version does not hash by.
const OTHER_KEYS: [&str; 5] = ["service", "metric", "resource", "streamID", "attributes"];

/// An exporter, and whether its own configuration says how it batches.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) exporter: Exporter,
    pub(super) has_batch: bool,
}

/// Reads one load-balancing exporter.
pub(super) fn read(id: Arc<str>, node: &Node, at: At, report: &mut Report) -> Read {
    let fields = decode(&EXPORTER, Some(node), at, report);
    routing_key(&fields, report);
    let resolver = resolver(&fields, report);
    let (ring, max_message_bytes) = ringway(fields.plain("ringway"), report);
    let timeout = fields.duration("timeout");
    if timeout < 0 {
        report.error(fields.at("timeout"), "timeout value must be greater than or equal to 0");
    }
    let combined = levels::read(&fields, report);
    let otlp = fields.plain("protocol").plain("otlp");
    let backend = otlp::backend(otlp, &combined, max_message_bytes, report);
    Read {
        has_batch: combined.batch.is_some(),
        exporter: Exporter {
            id,
            destination: Destination::Pool {
                keys: [Some(RoutingKey::compatible(Key::TraceId)), None, None],
                ring,
                resolver,
            },
            backend,
            timeout: (timeout > 0).then(|| std_duration(timeout)),
        },
    }
}

fn routing_key(fields: &Fields, report: &mut Report) {
    let key = fields.text("routing_key");
    let attributes = fields.texts("routing_attributes");
    if key == "attributes" && attributes.is_empty() {
        let message = "routing_attributes must be specified when routing_key is \"attributes\"";
        report.error(fields.at("routing_key"), message);
    }
    if key != "attributes" && !attributes.is_empty() {
        report.error(
            fields.at("routing_attributes"),
            format!(
                "routing_attributes can only be used when routing_key is \"attributes\"; got {key:?}. \
                 Remove routing_attributes or set routing_key to \"attributes\""
            ),
        );
    }
    if OTHER_KEYS.contains(&key) {
        let message =
            format!("routing_key {key:?} is not supported by this version of ringway: \"traceID\" is");
        report.error(fields.at("routing_key"), message);
    } else if !matches!(key, "" | "traceID") {
        let message = format!("unsupported routing_key: {key}");
        let hint = super::suggest::nearest(key, &["traceID"]).map_or("", |_| "; did you mean \"traceID\"?");
        report.error(fields.at("routing_key"), format!("{message}{hint} (allowed in this version: traceID)"));
    }
}

fn resolver(exporter: &Fields, report: &mut Report) -> Resolver {
    let fields = exporter.plain("resolver");
    let names = ["static", "dns", "k8s", "aws_cloud_map"];
    match names.iter().filter(|name| fields.optional(name).is_some()).count() {
        _ if exporter.is_failed("resolver") || names.iter().any(|name| fields.is_failed(name)) => {}
        0 => report.error(&fields.at, "no resolvers specified for the exporter"),
        1 => {}
        _ => report.error(&fields.at, "only one resolver should be specified"),
    }
    let hostnames = fields.optional("static").map_or_else(Vec::new, |fields| hostnames(fields, report));
    Resolver::Static { hostnames }
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

fn ringway(fields: &Fields, report: &mut Report) -> (RingGeneration, usize) {
    let ring = match fields.text("ring_generation") {
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
    };
    let mib = fields.int("max_message_size_mib");
    if !(1..=MESSAGE_MIB_MAX).contains(&mib) {
        let message = format!("max_message_size_mib must be between 1 and {MESSAGE_MIB_MAX}, found {mib}");
        report.error(fields.at("max_message_size_mib"), message);
    }
    (ring, unsigned(mib).saturating_mul(1 << 20))
}

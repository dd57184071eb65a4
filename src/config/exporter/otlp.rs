//! `protocol.otlp`: the OTLP gRPC exporter that is made for each backend.
//!
//! Stage: engine. Keys, defaults and texts: Collector `exporter/otlpexporter` v0.161.0 `config.go` and `factory.go`,
//! `config/configgrpc` v1.67.0; the endpoint's default is that of contrib `loadbalancingexporter` v0.161.0 `factory.go`.

use std::{sync::Arc, time::Duration};

use super::levels::Combined;
use crate::{
    config::{
        decode::{Fields, Pair},
        net::{AUTH, TLS_CLIENT, split_host_port, std_duration},
        queue::QUEUE,
        report::Report,
        retry::RETRY,
        schema::{
            Section, any, boolean, duration, int, off_until_a_map, on_until_disabled, pairs, section, text,
        },
    },
    model::settings::{Backend, Batch, Compression, Protocol, Secret, Sizer},
};

pub(super) static OTLP: Section = Section::strict(&[
    text("endpoint", "placeholder:4317"),
    text("compression", "gzip"),
    section("tls", &TLS_CLIENT),
    off_until_a_map("keepalive", &KEEPALIVE).no_effect(),
    int("read_buffer_size", 0).no_effect(),
    int("write_buffer_size", 524_288).no_effect(),
    boolean("wait_for_ready", false).no_effect(),
    pairs("headers"),
    text("user_agent", "").no_effect(),
    text("balancer_name", "round_robin").no_effect(),
    text("authority", "").refused("backends see the address that is dialled"),
    off_until_a_map("auth", &AUTH).refused("send credentials with `headers`"),
    any("middlewares").refused(""),
    duration("timeout", 5_000),
    on_until_disabled("sending_queue", &QUEUE),
    section("retry_on_failure", &RETRY),
]);

static KEEPALIVE: Section =
    Section::strict(&[duration("time", 0), duration("timeout", 0), boolean("permit_without_stream", false)]);

/// Metadata that grpc-go sets itself and drops without a word. Source: grpc-go `internal/transport/http_util.go`,
/// `isReservedHeader`.
const RESERVED: [&str; 8] = [
    "content-type",
    "user-agent",
    "grpc-message-type",
    "grpc-encoding",
    "grpc-message",
    "grpc-status",
    "grpc-timeout",
    "te",
];
/// What grpc-go v1.83 registers in a Collector. One address has one connection here, so none of them matters.
const BALANCERS: [&str; 3] = ["", "round_robin", "pick_first"];
/// Compressions that the Collector knows and whose exporter does not start with them.
const NOT_FOR_GRPC: [&str; 4] = ["zlib", "deflate", "lz4", "x-snappy-framed"];

/// Checks the section and makes the settings of each backend.
pub(super) fn backend(
    fields: &Fields,
    combined: &Combined,
    max_message_bytes: usize,
    report: &mut Report,
) -> Backend {
    endpoint(fields, report);
    if !BALANCERS.contains(&fields.text("balancer_name")) {
        let name = fields.text("balancer_name");
        report.error(fields.at("balancer_name"), format!("invalid balancer_name: {name}"));
    }
    tls(fields, report);
    let timeout = fields.duration("timeout");
    if timeout < 0 {
        report.error(fields.at("timeout"), "timeout value must be greater than or equal to 0");
    }
    Backend {
        timeout: (timeout > 0).then(|| std_duration(timeout)),
        compression: compression(fields, report),
        protocol: Protocol::Grpc,
        headers: headers(fields, report),
        forwarded: Vec::new(),
        retry: combined.retry,
        queue: combined.queue,
        batch: combined.batch.unwrap_or(NO_BATCH),
        max_message_bytes,
    }
}

/// Without `batch`, parts merge only while they wait anyway.
pub(super) const NO_BATCH: Batch =
    Batch { min_size: 0, max_size: 0, flush_timeout: Duration::ZERO, sizer: Sizer::Items };

/// The Collector validates the endpoint and then never uses it.
fn endpoint(fields: &Fields, report: &mut Report) {
    let at = fields.at("endpoint");
    let endpoint = fields.text("endpoint");
    let address = endpoint.split_once("://").map_or(endpoint, |(_, address)| address);
    if endpoint.is_empty() {
        report.error(at, "requires a non-empty \"endpoint\"");
    } else if endpoint.starts_with("unix://") {
        if address.is_empty() {
            report.error(at, "unix socket path cannot be empty");
        }
    } else {
        match split_host_port(address.rsplit('/').next().unwrap_or(address)) {
            Err(message) => report.error(at, message),
            Ok((_, port)) if port.parse::<i64>().is_err() => {
                report.error(at, format!("invalid port {port:?}"))
            }
            Ok(_) => {}
        }
    }
    if endpoint != "placeholder:4317" {
        report.warn(at, "`endpoint` has no effect here: data go to the endpoints of the resolver");
    }
}

fn tls(fields: &Fields, report: &mut Report) {
    if !fields.plain("tls").bool("insecure") && !fields.is_failed("tls") {
        report.error(
            fields.at("tls"),
            "TLS to backends is not supported by this version of ringway, and it is on unless `tls` has \
             `insecure: true`",
        );
    }
}

fn compression(fields: &Fields, report: &mut Report) -> Compression {
    match fields.text("compression") {
        "" | "none" => Compression::None,
        "gzip" => Compression::Gzip,
        "snappy" => Compression::Snappy,
        "zstd" => Compression::Zstd,
        other => {
            let hint = if NOT_FOR_GRPC.contains(&other) { " for gRPC" } else { "" };
            let message =
                format!("unsupported compression type {other:?}{hint} (allowed: none, gzip, snappy, zstd)");
            report.error(fields.at("compression"), message);
            Compression::None
        }
    }
}

fn headers(fields: &Fields, report: &mut Report) -> Vec<(Arc<str>, Secret)> {
    let pairs = fields.pairs("headers");
    let mut duplicates: Vec<&str> = Vec::new();
    for (index, pair) in pairs.iter().enumerate() {
        let name: &str = &pair.name;
        if pairs.iter().take(index).any(|earlier| *earlier.name == *name) && !duplicates.contains(&name) {
            duplicates.push(name);
        }
    }
    if !duplicates.is_empty() {
        duplicates.sort_unstable();
        let message = format!("duplicate keys in map-style list: [{}]", duplicates.join(" "));
        report.error(fields.at("headers"), message);
    }
    pairs.iter().filter_map(|pair| header(pair, report)).collect()
}

/// One header; its value never becomes part of a message.
fn header(pair: &Pair, report: &mut Report) -> Option<(Arc<str>, Secret)> {
    let name = pair.name.to_lowercase();
    if RESERVED.contains(&name.as_str()) {
        report.warn(&pair.at, format!("header {name:?} has no effect: gRPC sets it itself"));
        return None;
    }
    if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
        report.error(&pair.at, format!("{name:?} is not the name of a header"));
    } else if name.ends_with("-bin") {
        report.error(
            &pair.at,
            format!("header {name:?}: binary metadata is not supported by this version of ringway"),
        );
    } else if http::HeaderValue::from_str(&pair.value).is_err() {
        let hint =
            if pair.value.ends_with('\n') { "; it ends with a line break, which a file keeps" } else { "" };
        let message = format!("the value of header {name:?} has characters that a header cannot carry{hint}");
        report.error(&pair.at, message);
    }
    Some((name.into(), Secret::new(&pair.value)))
}

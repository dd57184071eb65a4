//! `exporters.otlp_grpc`, alias `otlp`; and `protocol.otlp`, the same exporter made for each backend of a pool.
//!
//! Stage: engine. Keys, defaults and texts: Collector `exporter/otlpexporter` v0.161.0 `config.go` and `factory.go`,
//! `config/configgrpc` v1.67.0; the endpoint's default in a pool is that of contrib `loadbalancingexporter` v0.161.0
//! `factory.go`. Our own block is `ringway`; below `protocol.otlp` there is none.

use std::sync::Arc;

use super::{
    Read,
    client::{self, NO_BATCH},
    delivery,
    levels::{self, Levels},
};
use crate::{
    config::{
        decode::{Fields, decode},
        headers,
        net::{AUTH, TLS_CLIENT, split_host_port, std_duration},
        queue::QUEUE,
        report::{At, Report},
        retry::RETRY,
        schema::{
            Key, Section, any, boolean, duration, int, off_until_a_map, on_until_disabled, pairs, section,
            text,
        },
        tree::Node,
    },
    model::settings::{Ambiguous, Backend, Compression, Destination, Exporter, Protocol},
};

/// The exporter by itself.
pub(super) static EXPORTER: Section =
    Section::strict(&[text("endpoint", ""), section("ringway", &RINGWAY)]).with(&CLIENT);

/// `protocol.otlp`.
pub(super) static BACKEND: Section = Section::strict(&[text("endpoint", PLACEHOLDER)]).with(&CLIENT);
const PLACEHOLDER: &str = "placeholder:4317";

/// Ours: [`client::message_limit`].
static RINGWAY: Section = Section::strict(&[client::GRPC_MESSAGE_MIB, delivery::AMBIGUOUS]);

static CLIENT: [Key; 15] = [
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
    off_until_a_map("auth", &AUTH),
    any("middlewares").refused(""),
    duration("timeout", 5_000),
    on_until_disabled("sending_queue", &QUEUE),
    section("retry_on_failure", &RETRY),
];

static KEEPALIVE: Section =
    Section::strict(&[duration("time", 0), duration("timeout", 0), boolean("permit_without_stream", false)]);

/// What grpc-go v1.83 registers in a Collector. One address has one connection here, so none of them matters.
const BALANCERS: [&str; 3] = ["", "round_robin", "pick_first"];
/// Compressions that the Collector knows and whose exporter does not start with them.
const NOT_FOR_GRPC: [&str; 4] = ["zlib", "deflate", "lz4", "x-snappy-framed"];

/// Reads one exporter.
pub(super) fn read(id: Arc<str>, node: &Node, at: At, report: &mut Report) -> Read {
    let fields = decode(&EXPORTER, Some(node), at, report);
    let endpoint = endpoint(&fields, report);
    let has_bad_endpoint = endpoint.is_none();
    let max_message_bytes = client::message_limit(fields.plain("ringway"), report);
    let mut levels = levels::single(&fields, report);
    let has_batch = levels.batch.is_some();
    let metadata_keys = std::mem::take(&mut levels.metadata_keys);
    let storage = levels.storage.take();
    let authenticator = client::authenticator(&fields, report);
    let mut backend = backend(&fields, levels, max_message_bytes, report);
    backend.ambiguous = delivery::ambiguous(fields.plain("ringway"), report);
    let exporter = Exporter {
        id,
        destination: Destination::Single { endpoints: std::array::from_fn(|_| endpoint.clone()) },
        backend,
        timeout: None,
    };
    Read {
        exporter,
        has_batch,
        at: fields.at,
        routing: None,
        authenticator,
        storage,
        metadata_keys,
        has_bad_endpoint,
    }
}

/// Checks what both uses share and makes the settings of a backend.
pub(super) fn backend(
    fields: &Fields,
    levels: Levels,
    max_message_bytes: usize,
    report: &mut Report,
) -> Backend {
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
        headers: headers::read(fields, "headers", &headers::GRPC, report),
        forwarded: Vec::new(),
        retry: levels.retry,
        queue: levels.queue,
        batch: levels.batch.unwrap_or(NO_BATCH),
        max_message_bytes,
        ambiguous: [Ambiguous::Retry; 3],
        drain_timeout: std::time::Duration::from_secs(10),
        health: None,
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

// === endpoints ===

/// The Collector validates the endpoint of `protocol.otlp` and then never uses it.
pub(super) fn check_unused_endpoint(fields: &Fields, report: &mut Report) {
    let (at, endpoint) = (fields.at("endpoint"), fields.text("endpoint"));
    if let Err(message) = validate(endpoint) {
        report.error(at, message);
    }
    if endpoint != PLACEHOLDER {
        report.warn(at, "`endpoint` has no effect here: data go to the endpoints of the resolver");
    }
}

/// What is dialled: `host:port` or `unix:///path`.
fn endpoint(fields: &Fields, report: &mut Report) -> Option<Arc<str>> {
    if fields.is_failed("endpoint") {
        return None;
    }
    let endpoint = fields.text("endpoint");
    match validate(endpoint).and_then(|()| dial_target(endpoint)) {
        Ok(target) => Some(target.into()),
        Err(message) => {
            report.error(fields.at("endpoint"), message);
            None
        }
    }
}

/// The Collector's own checks. Source: `configgrpc.go` `Validate` and `sanitizedEndpoint`, `otlpexporter/config.go`.
fn validate(endpoint: &str) -> Result<(), String> {
    let address = match endpoint.split_once("://") {
        Some(("unix", "")) => return Err("unix socket path cannot be empty".to_owned()),
        Some(("unix", _)) => return Ok(()),
        Some(("http" | "https", address)) => address,
        // scheme://[authority]/address, of which an empty address passes.
        Some((_, rest)) => match rest.split_once('/') {
            None | Some((_, "")) => return Ok(()),
            Some((_, address)) => address,
        },
        None => endpoint,
    };
    if address.is_empty() {
        return Err("requires a non-empty \"endpoint\"".to_owned());
    }
    let (_, port) = split_host_port(address)?;
    match port.parse::<i64>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("invalid port {port:?}")),
    }
}

/// The address within an endpoint that has been validated. `dns:///` and `passthrough:///` are what grpc-go does with an
/// address without a scheme, as far as one connection goes.
fn dial_target(endpoint: &str) -> Result<String, String> {
    let address = match endpoint.split_once("://") {
        None => endpoint,
        Some(("unix", path)) if path.starts_with('/') => return Ok(endpoint.to_owned()),
        Some(("unix", path)) => {
            return Err(format!("a unix socket needs an absolute path: write unix:///{path}"));
        }
        Some(("http", address)) => address,
        Some(("https", address)) => {
            return Err(format!(
                "https:// asks for TLS, which is not supported by this version of ringway: write {address:?} and \
                 `tls: {{insecure: true}}` for plaintext"
            ));
        }
        Some((scheme @ ("dns" | "passthrough"), rest)) => {
            rest.strip_prefix('/').filter(|address| !address.is_empty()).ok_or_else(|| unsupported(scheme))?
        }
        Some((scheme, _)) => return Err(unsupported(scheme)),
    };
    let (host, port) = split_host_port(address)?;
    if port.parse::<u16>().is_err() {
        return Err(format!("invalid port {port:?}"));
    }
    Ok(if host.is_empty() { format!("localhost:{port}") } else { address.to_owned() })
}

fn unsupported(scheme: &str) -> String {
    format!(
        "this {scheme:?} endpoint is not supported by this version of ringway: host:port, http://host:port, \
         dns:///host:port and unix:///path are"
    )
}

#[cfg(test)]
mod tests {
    use super::{dial_target, validate};

    #[track_caller]
    fn check(endpoint: &str, expect: Result<&str, &str>) {
        let got = validate(endpoint).and_then(|()| dial_target(endpoint));
        match expect {
            Ok(target) => assert_eq!(got, Ok(target.to_owned()), "{endpoint:?}"),
            Err(part) => {
                let message = got.expect_err(endpoint);
                assert!(message.contains(part), "{endpoint:?}: {message}");
            }
        }
    }

    // Scenario: endpoints in every form that the Collector documents, and broken ones.
    // Guarantees: the address that is dialled is the one behind scheme and authority; TLS and unknown schemes are named.
    #[test]
    fn endpoints_give_what_is_dialled() {
        check("backend:4317", Ok("backend:4317"));
        check("http://backend:4317", Ok("backend:4317"));
        check("[::1]:4317", Ok("[::1]:4317"));
        check(":4317", Ok("localhost:4317"));
        check("dns:///backend:4317", Ok("backend:4317"));
        check("passthrough:///10.0.0.7:4317", Ok("10.0.0.7:4317"));
        check("unix:///run/otlp.sock", Ok("unix:///run/otlp.sock"));
        check("unix://run/otlp.sock", Err("write unix:///run/otlp.sock"));
        check("unix://", Err("unix socket path cannot be empty"));
        check("unix:run", Err("invalid port \"run\""));
        check("", Err("requires a non-empty \"endpoint\""));
        check("http://", Err("requires a non-empty \"endpoint\""));
        check("https://backend:4317", Err("https:// asks for TLS"));
        check("dns://10.0.0.53/backend:4317", Err("this \"dns\" endpoint"));
        check("dns://backend:4317", Err("this \"dns\" endpoint"));
        check("xds:///backend:4317", Err("this \"xds\" endpoint"));
        check("backend", Err("missing port in address"));
        check("dns:backend:4317", Err("too many colons in address"));
        check("backend:otlp", Err("invalid port \"otlp\""));
        check("backend:99999", Err("invalid port \"99999\""));
        check("http://backend:4317/", Err("invalid port \"4317/\""));
    }
}

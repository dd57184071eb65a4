//! `receivers.otlp`.
//!
//! Stage: engine. Keys and defaults: Collector `receiver/otlpreceiver` v0.161.0 `config.go` and `factory.go`, `config/configgrpc`
//! v1.67.0, `config/confighttp` v0.161.0. Our own block is `ringway`.

use std::sync::Arc;

use super::{
    decode::{Fields, decode},
    net::{
        GRPC_AUTH, GRPC_TRANSPORT, HTTP_AUTH, HTTP_CORS, HTTP_DIALER, HTTP_KEEPALIVE, HTTP_TRANSPORT,
        MIDDLEWARES, RESPONSE_HEADERS, TLS, listen_endpoint, unsigned,
    },
    report::{At, Report},
    schema::{
        Section, boolean, duration, int, off_until_written, on_until_disabled, section, text, texts, uint32,
    },
    tree::Node,
};
use crate::model::settings::{Encodings, GrpcServer, HttpServer, Keepalive, Listen, Receiver, Validation};

pub(super) static RECEIVER: Section =
    Section::strict(&[section("protocols", &PROTOCOLS), section("ringway", &RINGWAY)]);

static PROTOCOLS: Section =
    Section::strict(&[off_until_written("grpc", &GRPC), off_until_written("http", &HTTP)]);

/// Ours. `validation`: how deeply a request is checked while it is split.
static RINGWAY: Section = Section::strict(&[text("validation", "structure")]);

static GRPC: Section = Section::strict(&[
    text("endpoint", "localhost:4317"),
    GRPC_TRANSPORT,
    section("dialer", &super::net::DIALER).no_effect(),
    TLS,
    int("max_recv_msg_size_mib", 0),
    uint32("max_concurrent_streams", 0),
    int("read_buffer_size", 524_288),
    int("write_buffer_size", 0).no_effect(),
    on_until_disabled("keepalive", &KEEPALIVE).no_effect(),
    GRPC_AUTH,
    boolean("include_metadata", false).no_effect(),
    MIDDLEWARES,
]);

static KEEPALIVE: Section = Section::strict(&[
    on_until_disabled("server_parameters", &SERVER_PARAMETERS),
    on_until_disabled("enforcement_policy", &ENFORCEMENT_POLICY),
]);

static SERVER_PARAMETERS: Section = Section::strict(&[
    duration("max_connection_idle", 0),
    duration("max_connection_age", 0),
    duration("max_connection_age_grace", 0),
    duration("time", 0),
    duration("timeout", 0),
]);

static ENFORCEMENT_POLICY: Section =
    Section::strict(&[duration("min_time", 0), boolean("permit_without_stream", false)]);

static HTTP: Section = Section::lenient(&[
    text("endpoint", "localhost:4318"),
    HTTP_TRANSPORT,
    HTTP_DIALER,
    text("traces_url_path", "/v1/traces"),
    text("metrics_url_path", "/v1/metrics").no_effect(),
    text("logs_url_path", "/v1/logs").no_effect(),
    TLS,
    HTTP_CORS.refused("browsers would be turned away"),
    HTTP_AUTH.refused("every client is accepted; authenticate in front of it"),
    int("max_request_body_size", 0),
    boolean("include_metadata", false).no_effect(),
    RESPONSE_HEADERS,
    texts("compression_algorithms", &[]),
    duration("read_timeout", 0).no_effect(),
    duration("read_header_timeout", 0).no_effect(),
    duration("write_timeout", 0).no_effect(),
    HTTP_KEEPALIVE,
    boolean("keep_alives_enabled", true).no_effect(),
    duration("idle_timeout", 0).no_effect(),
    MIDDLEWARES,
]);

/// Limit of one gRPC message where `max_recv_msg_size_mib` is 0. Source: grpc-go `defaultServerMaxReceiveMessageSize`.
const GRPC_MESSAGE_MAX: usize = 4 << 20;
/// Read buffer where `read_buffer_size` is 0. Source: grpc-go `defaultReadBufSize`.
const READ_BUFFER: usize = 32 << 10;
/// Limit of one HTTP body where `max_request_body_size` is 0. Source: `confighttp` `defaultMaxRequestBodySize`.
const HTTP_BODY_MAX: usize = 20 << 20;
/// What `compression_algorithms` may name. Source: `confighttp` `compression.go`, `availableDecoders`.
const ENCODINGS: [&str; 8] = ["", "gzip", "zstd", "zlib", "snappy", "deflate", "lz4", "x-snappy-framed"];

/// Reads one OTLP receiver.
pub(super) fn read(id: Arc<str>, node: &Node, at: At, report: &mut Report) -> Receiver {
    let fields = decode(&RECEIVER, Some(node), at, report);
    let protocols = fields.plain("protocols");
    let (grpc, http) = (protocols.optional("grpc"), protocols.optional("http"));
    let is_failed =
        fields.is_failed("protocols") || protocols.is_failed("grpc") || protocols.is_failed("http");
    if grpc.is_none() && http.is_none() && !is_failed {
        let at = fields.at("protocols");
        report.error(at, "must specify at least one protocol when using the OTLP receiver");
    }
    Receiver {
        id,
        grpc: grpc.map(|fields| self::grpc(fields, report)),
        http: http.map(|fields| self::http(fields, report)),
        validation: validation(fields.plain("ringway"), report),
    }
}

fn grpc(fields: &Fields, report: &mut Report) -> GrpcServer {
    let mib = fields.int("max_recv_msg_size_mib");
    if !(0..=i64::MAX >> 20).contains(&mib) {
        let most = i64::MAX >> 20;
        let at = fields.at("max_recv_msg_size_mib");
        report.error(at, format!("invalid max_recv_msg_size_mib value, must be between 1 and {most}: {mib}"));
    }
    let read_buffer = fields.int("read_buffer_size");
    if read_buffer < 0 {
        report.error(fields.at("read_buffer_size"), format!("invalid read_buffer_size value: {read_buffer}"));
    }
    let write_buffer = fields.int("write_buffer_size");
    if write_buffer < 0 {
        report.error(
            fields.at("write_buffer_size"),
            format!("invalid write_buffer_size value: {write_buffer}"),
        );
    }
    let streams = u32::try_from(fields.int("max_concurrent_streams")).unwrap_or_default();
    GrpcServer {
        listen: Listen::Tcp(listen_endpoint(fields, "endpoint", report)),
        max_message_bytes: if mib <= 0 { GRPC_MESSAGE_MAX } else { unsigned(mib).saturating_mul(1 << 20) },
        max_concurrent_streams: (streams > 0).then_some(streams),
        read_buffer_bytes: if read_buffer <= 0 { READ_BUFFER } else { unsigned(read_buffer) },
        keepalive: Keepalive {
            max_idle: None,
            max_age: None,
            max_age_grace: None,
            time: std::time::Duration::from_secs(7200),
            timeout: std::time::Duration::from_secs(20),
            min_time: std::time::Duration::from_secs(300),
            permit_without_stream: false,
        },
        include_metadata: false,
    }
}

fn http(fields: &Fields, report: &mut Report) -> HttpServer {
    let path = fields.text("traces_url_path");
    if !is_plain_path(path) {
        let message = format!("invalid HTTP URL path set for signal: {path:?}; a plain path is expected");
        report.error(fields.at("traces_url_path"), message);
    }
    let is_flat_keepalive = fields.duration("idle_timeout") != 0 || !fields.bool("keep_alives_enabled");
    if fields.is_written("keepalive") && is_flat_keepalive {
        report.error(
            fields.at("keepalive"),
            "confighttp.ServerConfig: cannot use deprecated keepalive fields (idle_timeout, keep_alives_enabled) \
             alongside the 'keepalive' section; migrate to the 'keepalive' section",
        );
    }
    encodings(fields, report);
    let body = fields.int("max_request_body_size");
    HttpServer {
        listen: Listen::Tcp(listen_endpoint(fields, "endpoint", report)),
        paths: [
            if path.starts_with('/') { path.into() } else { format!("/{path}").into() },
            "/v1/metrics".into(),
            "/v1/logs".into(),
        ],
        cors: None,
        include_metadata: false,
        encodings: Encodings::Known,
        response_headers: Vec::new(),
        keep_alive: true,
        idle_timeout: None,
        read_header_timeout: None,
        max_body_bytes: if body <= 0 { HTTP_BODY_MAX } else { unsigned(body) },
    }
}

/// Whether the path means the same whoever reads it: no query, no fragment, no wildcard, every `%` before two hex digits.
fn is_plain_path(path: &str) -> bool {
    let is_escaped = |rest: &str| {
        let digits = rest.as_bytes().first_chunk::<2>();
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let is_special = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#' | '{' | '}');
    !path.contains(is_special) && path.split('%').skip(1).all(is_escaped)
}

/// A list that only narrows what is accepted has no effect; one that turns decoding off would.
fn encodings(fields: &Fields, report: &mut Report) {
    let list = fields.texts("compression_algorithms");
    let at = fields.at("compression_algorithms");
    if list.is_empty() {
        // A null list is the default; an empty one is not.
        if fields.is_empty_list("compression_algorithms") {
            report.error(
                at,
                "an empty `compression_algorithms` is not supported by this version of ringway: bodies are decoded",
            );
        }
        return;
    }
    for unknown in list.iter().filter(|name| !ENCODINGS.contains(&&*name.text)) {
        let message = format!(
            "unknown compression algorithm {:?} (known: {})",
            unknown.text,
            ENCODINGS[1..].join(", ")
        );
        report.error(&unknown.at, message);
    }
    report.warn(at, "`compression_algorithms` has no effect in this version of ringway: every encoding that it knows is decoded");
}

fn validation(fields: &Fields, report: &mut Report) -> Validation {
    match fields.text("validation") {
        "structure" | "" => Validation::Structure,
        "full" => Validation::Full,
        other => {
            report.error(
                fields.at("validation"),
                format!("invalid validation: {other:?} (allowed: structure, full)"),
            );
            Validation::Structure
        }
    }
}

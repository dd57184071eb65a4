//! `receivers.otlp.protocols.grpc`.
//!
//! Stage: engine. Keys, defaults and texts: Collector `config/configgrpc` v1.67.0; what zero means is grpc-go v1.83.2's.

use std::time::Duration;

use crate::{
    config::{
        decode::Fields,
        net::{DIALER, GRPC_AUTH, MIDDLEWARES, TLS, listen, std_duration, unsigned},
        report::Report,
        schema::{Section, boolean, duration, int, on_until_disabled, section, text, uint32},
        units::format_duration,
    },
    model::settings::{GrpcServer, Keepalive},
};

pub(super) static GRPC: Section = Section::strict(&[
    text("endpoint", "localhost:4317"),
    text("transport", "tcp"),
    section("dialer", &DIALER).no_effect(),
    TLS,
    int("max_recv_msg_size_mib", 0),
    uint32("max_concurrent_streams", 0),
    int("read_buffer_size", 524_288),
    int("write_buffer_size", 0).no_effect(),
    on_until_disabled("keepalive", &KEEPALIVE),
    GRPC_AUTH,
    boolean("include_metadata", false),
    MIDDLEWARES,
]);

static KEEPALIVE: Section = Section::strict(&[
    on_until_disabled("server_parameters", &SERVER_PARAMETERS),
    // PINGs of a client are answered; nobody is sent away for sending too many.
    on_until_disabled("enforcement_policy", &ENFORCEMENT_POLICY).no_effect(),
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

/// Limit of one message where `max_recv_msg_size_mib` is 0. Source: grpc-go `defaultServerMaxReceiveMessageSize`.
const MESSAGE_MAX: usize = 4 << 20;
/// Read buffer where `read_buffer_size` is 0. Source: grpc-go `defaultReadBufSize`.
const READ_BUFFER: usize = 32 << 10;
/// Where `time` is 0. Source: grpc-go `internal/transport/defaults.go`, `defaultServerKeepaliveTime`.
const PING_TIME: Duration = Duration::from_secs(2 * 60 * 60);
/// The least `time`. Source: grpc-go `internal/internal.go`, `KeepaliveMinServerPingTime`.
const PING_TIME_MIN: Duration = Duration::from_secs(1);
/// Where `timeout` is 0. Source: grpc-go `defaultServerKeepaliveTimeout`.
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Where `min_time` is 0. Source: grpc-go `defaultKeepalivePolicyMinTime`.
const MIN_TIME: Duration = Duration::from_secs(5 * 60);

/// Checks the section.
pub(super) fn read(fields: &Fields, report: &mut Report) -> GrpcServer {
    let mib = fields.int("max_recv_msg_size_mib");
    if !(0..=i64::MAX >> 20).contains(&mib) {
        let most = i64::MAX >> 20;
        let at = fields.at("max_recv_msg_size_mib");
        report.error(at, format!("invalid max_recv_msg_size_mib value, must be between 1 and {most}: {mib}"));
    }
    for name in ["read_buffer_size", "write_buffer_size"] {
        let size = fields.int(name);
        if size < 0 {
            report.error(fields.at(name), format!("invalid {name} value: {size}"));
        }
    }
    let read_buffer = fields.int("read_buffer_size");
    let streams = u32::try_from(fields.int("max_concurrent_streams")).unwrap_or_default();
    GrpcServer {
        listen: listen(fields, report),
        max_message_bytes: if mib <= 0 { MESSAGE_MAX } else { unsigned(mib).saturating_mul(1 << 20) },
        max_concurrent_streams: (streams > 0).then_some(streams),
        read_buffer_bytes: if read_buffer <= 0 { READ_BUFFER } else { unsigned(read_buffer) },
        keepalive: keepalive(fields.optional("keepalive"), report),
        include_metadata: fields.bool("include_metadata"),
    }
}

/// What is off or zero has grpc-go's default.
fn keepalive(fields: Option<&Fields>, report: &mut Report) -> Keepalive {
    let parameters = fields.and_then(|fields| fields.optional("server_parameters"));
    let policy = fields.and_then(|fields| fields.optional("enforcement_policy"));
    let mut nanos = |section: Option<&Fields>, name: &str| {
        let fields = section?;
        let nanos = fields.duration(name);
        if nanos < 0 {
            // The Collector lets it pass and then closes each connection at once.
            report.error(
                fields.at(name),
                format!("{name} must not be negative, found {}", format_duration(nanos)),
            );
        }
        (nanos > 0).then(|| std_duration(nanos))
    };
    let time = nanos(parameters, "time").unwrap_or(PING_TIME);
    let keepalive = Keepalive {
        max_idle: nanos(parameters, "max_connection_idle"),
        max_age: nanos(parameters, "max_connection_age"),
        max_age_grace: nanos(parameters, "max_connection_age_grace"),
        time: time.max(PING_TIME_MIN),
        timeout: nanos(parameters, "timeout").unwrap_or(PING_TIMEOUT),
        min_time: nanos(policy, "min_time").unwrap_or(MIN_TIME),
        permit_without_stream: policy.is_some_and(|policy| policy.bool("permit_without_stream")),
    };
    if let Some(parameters) = parameters
        && time < PING_TIME_MIN
    {
        report.warn(parameters.at("time"), "time is raised to 1s, the least that gRPC servers take");
    }
    keepalive
}

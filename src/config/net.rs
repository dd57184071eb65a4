//! Sections that receivers, extensions and exporters share: addresses, TLS, authentication, the generic HTTP server.
//!
//! Stage: engine. Sources: Collector `config/confignet`, `configtls`, `configauth`, `configgrpc` v1.67.0, `confighttp` v0.161.0.

use std::{net::IpAddr, sync::Arc};

use super::{
    decode::Fields,
    report::Report,
    schema::{Key, Section, any, boolean, duration, id, int, off_until_a_map, section, text, texts},
};
use crate::model::settings::Listen;

const PLAINTEXT_ONLY: &str = "it listens without TLS only; terminate TLS in front of it";
const NO_AUTH: &str = "every client is accepted; authenticate in front of it";

/// `dialer`: without meaning for a listener.
pub(super) static DIALER: Section = Section::strict(&[duration("timeout", 0)]);
/// The same below a section that lets unknown keys pass.
static DIALER_LENIENT: Section = Section::lenient(&[duration("timeout", 0)]);

static TPM: Section =
    Section::strict(&[boolean("enabled", false), text("path", ""), text("owner_auth", ""), text("auth", "")]);

pub(super) static TLS_SERVER: Section = Section::strict(&[
    text("ca_file", ""),
    text("ca_pem", ""),
    text("cert_file", ""),
    text("cert_pem", ""),
    text("key_file", ""),
    text("key_pem", ""),
    text("min_version", ""),
    text("max_version", ""),
    texts("cipher_suites", &[]),
    texts("curve_preferences", &[]),
    boolean("include_insecure_cipher_suites", false),
    boolean("include_system_ca_certs_pool", false),
    duration("reload_interval", 0),
    section("tpm", &TPM),
    text("client_ca_file", ""),
    boolean("client_ca_file_reload", false),
]);

/// A gRPC client's `tls`. What only matters with TLS on has no effect, as TLS is refused altogether; a CA turns it on.
pub(super) static TLS_CLIENT: Section = Section::strict(&[
    boolean("insecure", false),
    text("ca_file", "").refused(CA_TURNS_TLS_ON),
    text("ca_pem", "").refused(CA_TURNS_TLS_ON),
])
.with(&TLS_CLIENT_KEYS);

/// An HTTP client's `tls`: the URL's scheme decides, and `https://` is refused.
pub(super) static TLS_CLIENT_HTTP: Section = Section::lenient(&[
    boolean("insecure", false),
    text("ca_file", "").no_effect(),
    text("ca_pem", "").no_effect(),
])
.with(&TLS_CLIENT_KEYS);

static TLS_CLIENT_KEYS: [Key; 14] = [
    text("cert_file", "").no_effect(),
    text("cert_pem", "").no_effect(),
    text("key_file", "").no_effect(),
    text("key_pem", "").no_effect(),
    text("min_version", "").no_effect(),
    text("max_version", "").no_effect(),
    texts("cipher_suites", &[]).no_effect(),
    texts("curve_preferences", &[]).no_effect(),
    boolean("include_insecure_cipher_suites", false).no_effect(),
    boolean("include_system_ca_certs_pool", false).no_effect(),
    duration("reload_interval", 0).no_effect(),
    section("tpm", &TPM).no_effect(),
    boolean("insecure_skip_verify", false).no_effect(),
    text("server_name_override", "").no_effect(),
];
const CA_TURNS_TLS_ON: &str =
    "with a CA the Collector uses TLS even if `insecure` is true; remove it for plaintext";

pub(super) static AUTH: Section = Section::strict(&[id("authenticator")]);
static AUTH_HTTP: Section = Section::strict(&[id("authenticator"), texts("request_params", &[])]);

pub(super) static CORS: Section = Section::strict(&[
    texts("allowed_origins", &[]),
    texts("allowed_headers", &[]),
    texts("exposed_headers", &[]),
    int("max_age", 0),
]);

pub(super) static HTTP_KEEPALIVE: Section = Section::strict(&[duration("idle_timeout", 0)]);

// Keys that several components have alike.
pub(super) const HTTP_DIALER: Key = section("dialer", &DIALER_LENIENT).no_effect();
pub(super) const TLS: Key = off_until_a_map("tls", &TLS_SERVER).refused(PLAINTEXT_ONLY);
pub(super) const GRPC_AUTH: Key = off_until_a_map("auth", &AUTH).refused(NO_AUTH);
pub(super) const HTTP_AUTH: Key = off_until_a_map("auth", &AUTH_HTTP);
pub(super) const MIDDLEWARES: Key =
    any("middlewares").refused("no extension of this version can stand in a request's way");

/// Checks `endpoint` as `host:port` and gives it as written; an empty host means every interface.
///
/// The Collector fails at start where this fails.
pub(super) fn listen_endpoint(fields: &Fields, report: &mut Report) -> Arc<str> {
    let endpoint = fields.text("endpoint");
    if let Err(message) = host_and_port(endpoint) {
        report.error(fields.at("endpoint"), format!("{message}; host:port is expected"));
    }
    endpoint.into()
}

fn host_and_port(endpoint: &str) -> Result<(&str, u16), String> {
    let (host, port) = split_host_port(endpoint)?;
    let port = port.parse().map_err(|_| format!("address {endpoint}: invalid port {port:?}"))?;
    Ok((host, port))
}

/// What `transport` and `endpoint` name together. Source: `confignet.go`; of its transports these four can listen for
/// connections.
pub(super) fn listen(fields: &Fields, report: &mut Report) -> Listen {
    let at = fields.at("transport");
    match fields.text("transport") {
        "tcp" => return Listen::Tcp(listen_endpoint(fields, report)),
        "tcp4" => return tcp_of_family(fields, Family::V4, report),
        "tcp6" => return tcp_of_family(fields, Family::V6, report),
        "unix" => return unix(fields, report),
        "" => report.error(at, "invalid transport type \"\" (allowed: tcp, tcp4, tcp6, unix)"),
        other if CANNOT_LISTEN.contains(&other) => report.error(
            at,
            format!(
                "transport type {other:?} cannot listen for connections (allowed: tcp, tcp4, tcp6, unix)"
            ),
        ),
        other => {
            report.error(at, format!("unsupported transport type {other:?} (allowed: tcp, tcp4, tcp6, unix)"))
        }
    }
    Listen::Tcp(fields.text("endpoint").into())
}

const CANNOT_LISTEN: [&str; 9] =
    ["udp", "udp4", "udp6", "ip", "ip4", "ip6", "unixgram", "unixpacket", "npipe"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

/// One family of addresses: what is not an address of it already becomes one. A name other than `localhost` stays as it
/// is, since names are resolved at start.
fn tcp_of_family(fields: &Fields, family: Family, report: &mut Report) -> Listen {
    let endpoint = listen_endpoint(fields, report);
    let Ok((host, port)) = host_and_port(&endpoint) else { return Listen::Tcp(endpoint) };
    let found = match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => Some(Family::V4),
        Ok(IpAddr::V6(_)) => Some(Family::V6),
        Err(_) => None,
    };
    if found.is_some_and(|found| found != family) {
        let message = format!("address {host}: no suitable address for this transport");
        report.error(fields.at("endpoint"), message);
    }
    match (host, family) {
        ("", Family::V4) => Listen::Tcp(format!("0.0.0.0:{port}").into()),
        ("", Family::V6) => Listen::Tcp(format!("[::]:{port}").into()),
        ("localhost", Family::V4) => Listen::Tcp(format!("127.0.0.1:{port}").into()),
        ("localhost", Family::V6) => Listen::Tcp(format!("[::1]:{port}").into()),
        _ => {
            if found.is_none() {
                let message = "`transport` chooses among addresses, not among those of a host name: the first that can be bound is";
                report.warn(fields.at("transport"), message);
            }
            Listen::Tcp(endpoint)
        }
    }
}

fn unix(fields: &Fields, report: &mut Report) -> Listen {
    let path = fields.text("endpoint");
    if path.is_empty() {
        report.error(fields.at("endpoint"), "unix socket path cannot be empty");
    } else if path.starts_with('@') {
        report.error(
            fields.at("endpoint"),
            format!("{path:?} names an abstract socket, which is not supported by this version of ringway: a path is"),
        );
    }
    Listen::Unix(path.into())
}

/// Host and port of `host:port` or `[v6]:port`, with the sentences of Go's `net.SplitHostPort`.
pub(super) fn split_host_port(address: &str) -> Result<(&str, &str), String> {
    let Some((host, port)) = address.rsplit_once(':') else {
        return Err(format!("address {address}: missing port in address"));
    };
    if let Some(inside) = host.strip_prefix('[') {
        return match inside.strip_suffix(']') {
            Some(host) => Ok((host, port)),
            None => Err(format!("address {address}: missing port in address")),
        };
    }
    if host.contains(':') {
        return Err(format!("address {address}: too many colons in address"));
    }
    Ok((host, port))
}

/// A number that validation has found not to be negative.
pub(super) fn unsigned(value: i64) -> usize {
    usize::try_from(value).unwrap_or_default()
}

/// Nanoseconds that validation has found not to be negative.
pub(super) const fn std_duration(nanos: i64) -> std::time::Duration {
    std::time::Duration::from_nanos(if nanos < 0 { 0 } else { nanos.unsigned_abs() })
}

#[cfg(test)]
mod tests {
    use super::split_host_port;

    #[track_caller]
    fn check(address: &str, expect: Result<(&str, &str), &str>) {
        assert_eq!(split_host_port(address), expect.map_err(str::to_owned), "{address:?}");
    }

    // Scenario: addresses of all forms.
    // Guarantees: host and port are separated as Go does, IPv6 included.
    #[test]
    fn addresses_split_as_in_go() {
        check("localhost:4317", Ok(("localhost", "4317")));
        check(":4317", Ok(("", "4317")));
        check("[::1]:4317", Ok(("::1", "4317")));
        check("localhost", Err("address localhost: missing port in address"));
        check("", Err("address : missing port in address"));
        check("::1:4317", Err("address ::1:4317: too many colons in address"));
        check("[::1]", Err("address [::1]: missing port in address"));
    }
}

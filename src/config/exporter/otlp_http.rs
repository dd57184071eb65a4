//! `exporters.otlp_http`, alias `otlphttp`.
//!
//! Stage: engine. Keys, defaults and texts: Collector `exporter/otlphttpexporter` v0.161.0 `config.go` and `factory.go`,
//! `config/confighttp` v0.161.0 `client.go`. Our own block is `ringway`. As in the Collector since v0.160, an unknown key
//! passes; here with a warning.

use std::sync::Arc;

use super::{
    Read,
    client::{self, NO_BATCH},
    delivery, levels,
};
use crate::{
    config::{
        decode::{Fields, decode},
        headers,
        net::{AUTH, TLS_CLIENT_HTTP, std_duration},
        queue::QUEUE,
        report::{At, Report},
        retry::RETRY_LENIENT,
        schema::{
            Section, any, boolean, duration, int, off_until_a_map, on_until_disabled, pairs, section, text,
        },
        tree::Node,
    },
    model::{
        Signal,
        settings::{Backend, Compression, Destination, Exporter, HttpClient, Protocol},
    },
};

pub(super) static EXPORTER: Section = Section::lenient(&[
    text("endpoint", ""),
    text("traces_endpoint", ""),
    text("metrics_endpoint", ""),
    text("logs_endpoint", ""),
    text("profiles_endpoint", "").no_effect(),
    text("encoding", "proto"),
    text("proxy_url", "").refused("backends are dialled directly"),
    section("tls", &TLS_CLIENT_HTTP),
    int("read_buffer_size", 0).no_effect(),
    int("write_buffer_size", 524_288).no_effect(),
    duration("timeout", 30_000),
    pairs("headers"),
    off_until_a_map("auth", &AUTH),
    text("compression", "gzip"),
    section("compression_params", &COMPRESSION_PARAMS).no_effect(),
    int("max_conns_per_host", 0),
    // HTTP/2 is for TLS only, in the Collector too.
    boolean("force_attempt_http2", true),
    duration("http2_read_idle_timeout", 0),
    duration("http2_ping_timeout", 0),
    off_until_a_map("cookies", &COOKIES).refused("cookies of a backend are not kept"),
    any("middlewares").refused(""),
    on_until_disabled("keepalive", &KEEPALIVE),
    duration("idle_conn_timeout", IDLE_TIMEOUT_MS),
    int("max_idle_conns", 100).no_effect(),
    int("max_idle_conns_per_host", 0).no_effect(),
    boolean("disable_keep_alives", false),
    on_until_disabled("sending_queue", &QUEUE),
    section("retry_on_failure", &RETRY_LENIENT),
    section("ringway", &RINGWAY),
]);

static COMPRESSION_PARAMS: Section = Section::lenient(&[int("level", 0)]);
static COOKIES: Section = Section::strict(&[]);

static KEEPALIVE: Section = Section::strict(&[
    duration("idle_conn_timeout", IDLE_TIMEOUT_MS),
    int("max_idle_conns", 100).no_effect(),
    int("max_idle_conns_per_host", 0).no_effect(),
]);

/// Ours: [`client::message_limit`].
static RINGWAY: Section = Section::strict(&[client::HTTP_MESSAGE_MIB, delivery::AMBIGUOUS]);

/// Source: Go `net/http` `DefaultTransport`.
const IDLE_TIMEOUT_MS: i64 = 90_000;
/// The older names of what `keepalive` holds, and the newer ones.
const DEPRECATED: [(&str, &str); 4] = [
    ("idle_conn_timeout", "use 'keepalive::idle_conn_timeout' instead"),
    ("max_idle_conns", "use 'keepalive::max_idle_conns' instead"),
    ("max_idle_conns_per_host", "use 'keepalive::max_idle_conns_per_host' instead"),
    ("disable_keep_alives", "set 'keepalive::enabled' to false to disable keep-alives"),
];

/// Reads one exporter.
pub(super) fn read(id: Arc<str>, node: &Node, at: At, report: &mut Report) -> Read {
    let fields = decode(&EXPORTER, Some(node), at, report);
    encoding(&fields, report);
    let max_message_bytes = client::message_limit(fields.plain("ringway"), report);
    let mut levels = levels::single(&fields, report);
    let timeout = fields.duration("timeout");
    let has_batch = levels.batch.is_some();
    let metadata_keys = std::mem::take(&mut levels.metadata_keys);
    let storage = levels.storage.take();
    let authenticator = client::authenticator(&fields, report);
    let endpoints = endpoints(&fields, report);
    let has_bad_endpoint = endpoints.is_none();
    let endpoints = endpoints.unwrap_or_default();
    let exporter = Exporter {
        id,
        destination: Destination::Single { endpoints },
        backend: Backend {
            timeout: (timeout > 0).then(|| std_duration(timeout)),
            compression: compression(&fields, report),
            protocol: Protocol::Http(client(&fields, report)),
            headers: headers::read(&fields, "headers", &headers::HTTP, report),
            forwarded: Vec::new(),
            retry: levels.retry,
            queue: levels.queue,
            batch: levels.batch.unwrap_or(NO_BATCH),
            max_message_bytes,
            ambiguous: delivery::ambiguous(fields.plain("ringway"), report),
            drain_timeout: std::time::Duration::from_secs(10),
            health: None,
        },
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

fn encoding(fields: &Fields, report: &mut Report) {
    match fields.text("encoding") {
        "proto" => {}
        "json" => report.error(
            fields.at("encoding"),
            "encoding \"json\" is not supported by this version of ringway: remove it; every OTLP receiver takes protobuf",
        ),
        other => report.error(
            fields.at("encoding"),
            format!("invalid encoding type: {other:?} (allowed: proto)"),
        ),
    }
}

fn compression(fields: &Fields, report: &mut Report) -> Compression {
    let name = fields.text("compression");
    let compression = match name {
        "" | "none" => return Compression::None,
        "gzip" => Compression::Gzip,
        "zlib" => Compression::Zlib,
        "deflate" => Compression::Deflate,
        "snappy" => Compression::SnappyBlock,
        "x-snappy-framed" => Compression::Snappy,
        "zstd" => Compression::Zstd,
        "lz4" => Compression::Lz4,
        other => {
            let message = format!(
                "unsupported compression type {other:?} (allowed: none, gzip, zlib, deflate, snappy, \
                 x-snappy-framed, zstd, lz4)"
            );
            report.error(fields.at("compression"), message);
            return Compression::None;
        }
    };
    let params = fields.plain("compression_params");
    let level = params.int("level");
    let is_valid = match compression {
        Compression::Gzip | Compression::Zlib | Compression::Deflate => (-2..=9).contains(&level),
        Compression::Zstd => true,
        _ => level == 0,
    };
    if !is_valid {
        let message = format!("unsupported parameters {{Level:{level}}} for compression type {name:?}");
        report.error(params.at("level"), message);
    }
    compression
}

/// Connections and how long they are kept. The section and its older names exclude each other.
fn client(fields: &Fields, report: &mut Report) -> HttpClient {
    let is_used = |name: &str| fields.is_written(name) && !fields.is_zero(name);
    let has_section = fields.is_written("keepalive") && !fields.is_null("keepalive");
    let mut has_deprecated = false;
    for (name, advice) in DEPRECATED.iter().filter(|(name, _)| is_used(name)) {
        has_deprecated = true;
        report.warn(fields.at(name), format!("'{name}' is deprecated; {advice}"));
    }
    if has_section && has_deprecated {
        report.error(
            fields.at("keepalive"),
            "confighttp.ClientConfig: cannot use deprecated keepalive fields (idle_conn_timeout, max_idle_conns, \
             max_idle_conns_per_host, disable_keep_alives) alongside the 'keepalive' section; migrate to the \
             'keepalive' section",
        );
    }
    let section = fields.optional("keepalive");
    let idle = match section {
        Some(section) if section.is_written("idle_conn_timeout") => section.duration("idle_conn_timeout"),
        _ => fields.duration("idle_conn_timeout"),
    };
    let connections = fields.int("max_conns_per_host");
    HttpClient {
        max_connections: usize::try_from(connections).ok().filter(|connections| *connections > 0),
        keep_alive: section.is_some() && (has_section || !fields.bool("disable_keep_alives")),
        idle_timeout: (idle > 0).then(|| std_duration(idle)),
    }
}

// === endpoints ===

/// The URL of each signal that has one; `None` if one is wrong.
fn endpoints(fields: &Fields, report: &mut Report) -> Option<[Option<Arc<str>>; 3]> {
    const OWN: [&str; 3] = ["traces_endpoint", "metrics_endpoint", "logs_endpoint"];
    let names = ["endpoint", "profiles_endpoint"].into_iter().chain(OWN);
    if names.clone().any(|name| fields.is_failed(name)) {
        return None;
    }
    if names.clone().all(|name| fields.text(name).is_empty()) {
        report.error(&fields.at, "at least one endpoint must be specified");
        return None;
    }
    let bad = names.filter(|name| !is_good(fields, name, report)).count();
    let written = |name: &str| Some(fields.text(name)).filter(|url| !url.is_empty());
    (bad == 0).then(|| {
        Signal::ALL.map(|signal| {
            let own = OWN.get(signal.index()).and_then(|name| written(name));
            let base = || written("endpoint").map(|base| joined(base, signal));
            own.map(str::to_owned).or_else(base).map(Into::into)
        })
    })
}

/// The base URL and the signal's path, with one slash between them.
fn joined(base: &str, signal: Signal) -> String {
    let slash = if base.ends_with('/') { "" } else { "/" };
    format!("{base}{slash}v1/{}", signal.as_str())
}

/// Whether an endpoint is good or not written; reports one that is wrong.
fn is_good(fields: &Fields, name: &str, report: &mut Report) -> bool {
    let url = fields.text(name);
    if url.is_empty() || name == "profiles_endpoint" {
        return true;
    }
    check_url(url)
        .map_err(|message| report.error(fields.at(name), format!("{name} must be a valid URL: {message}")))
        .is_ok()
}

/// The Collector notices a missing scheme with the first request only, which then fails.
fn check_url(url: &str) -> Result<(), String> {
    let (scheme, rest) = url.split_once("://").map_or((None, url), |(scheme, rest)| (Some(scheme), rest));
    if rest.split(['/', '?', '#']).next().unwrap_or_default().contains('@') {
        // Its text is no part of the message: it may hold a password.
        return Err("it holds a user name; send credentials with `headers`".to_owned());
    }
    match scheme.map(str::to_ascii_lowercase).as_deref() {
        Some("http") => {}
        Some("https") => {
            return Err(
                "https:// asks for TLS, which is not supported by this version of ringway; http:// is"
                    .to_owned(),
            );
        }
        Some(other) => return Err(format!("the scheme {other:?} is not supported; http:// is")),
        None => return Err(format!("{url:?} has no scheme; write \"http://{url}\"")),
    }
    let uri: http::Uri = url.parse().map_err(|error| format!("{url:?}: {error}"))?;
    let authority = uri.authority().ok_or_else(|| format!("{url:?} names no host"))?;
    let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
    if authority.host().is_empty() {
        return Err(format!("{url:?} names no host"));
    }
    if !port.is_empty() && authority.port_u16().is_none() {
        return Err(format!("{url:?} has a bad port"));
    }
    if rest.contains('#') {
        return Err(format!("{url:?} has a fragment, which is never sent"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{check_url, joined};
    use crate::model::Signal;

    #[track_caller]
    fn check(url: &str, expect: Result<(), &str>) {
        match (check_url(url), expect) {
            (Ok(()), Ok(())) => {}
            (Err(message), Err(part)) => assert!(message.contains(part), "{url:?}: {message}"),
            (got, _) => panic!("{url:?}: {got:?}"),
        }
    }

    // Scenario: URLs as users write them, good ones and bad ones.
    // Guarantees: a plain http URL passes; what could never be reached is refused by name, and a password is not shown.
    #[test]
    fn urls_are_checked() {
        check("http://backend:4318", Ok(()));
        check("HTTP://backend:4318/otlp/", Ok(()));
        check("http://backend/otlp?tenant=a", Ok(()));
        check("http://[::1]:4318", Ok(()));
        check("https://backend:4318", Err("https:// asks for TLS"));
        check("ftp://backend", Err("the scheme \"ftp\""));
        check("backend:4318", Err("write \"http://backend:4318\""));
        check("http://user:s3cr3t@backend:4318", Err("it holds a user name"));
        check("user:s3cr3t@backend:4318", Err("it holds a user name"));
        check("http://", Err("http://"));
        check("http://:4318", Err("names no host"));
        check("http://backend:99999", Err("backend:99999"));
        check("http://backend:x", Err("backend:x"));
        check("http://backend/a b", Err("a b"));
        check("http://backend/#x", Err("has a fragment"));
    }

    // Scenario: base URLs with and without a slash at the end.
    // Guarantees: exactly one slash joins them with the signal's path, as `composeSignalURL` does.
    #[test]
    fn one_slash_joins_base_and_path() {
        assert_eq!(joined("http://b", Signal::Traces), "http://b/v1/traces");
        assert_eq!(joined("http://b/", Signal::Metrics), "http://b/v1/metrics");
        assert_eq!(joined("http://b/otlp", Signal::Logs), "http://b/otlp/v1/logs");
        assert_eq!(joined("http://b//", Signal::Logs), "http://b//v1/logs");
    }
}

//! `receivers.otlp.protocols.http`.
//!
//! Stage: engine. Keys, defaults and texts: Collector `config/confighttp` v0.161.0 `server.go`, `receiver/otlpreceiver` v0.161.0
//! `config.go`; origins follow rs/cors v1.11.1. As in the Collector since v0.160, an unknown key passes; here with a warning.

use std::sync::Arc;

use percent_encoding::percent_decode_str;

use crate::{
    config::{
        decode::{Fields, Text},
        headers,
        net::{
            CORS, HTTP_AUTH, HTTP_DIALER, HTTP_KEEPALIVE, MIDDLEWARES, TLS, listen, std_duration, unsigned,
        },
        report::Report,
        schema::{Section, boolean, duration, int, off_until_a_map, on_until_disabled, pairs, text, texts},
    },
    model::settings::{Cors, Encodings, HttpServer},
};

pub(super) static HTTP: Section = Section::lenient(&[
    text("endpoint", "localhost:4318"),
    text("transport", "tcp"),
    HTTP_DIALER,
    text("traces_url_path", "/v1/traces"),
    text("metrics_url_path", "/v1/metrics"),
    text("logs_url_path", "/v1/logs"),
    TLS,
    off_until_a_map("cors", &CORS),
    HTTP_AUTH.refused("every client is accepted; authenticate in front of it"),
    int("max_request_body_size", 0),
    boolean("include_metadata", false),
    pairs("response_headers"),
    texts("compression_algorithms", &[]),
    duration("read_timeout", 0),
    duration("read_header_timeout", 0),
    duration("write_timeout", 0).no_effect(),
    on_until_disabled("keepalive", &HTTP_KEEPALIVE),
    boolean("keep_alives_enabled", true),
    duration("idle_timeout", 0),
    MIDDLEWARES,
]);

/// The keys of the signals' paths, in the order of [`Signal::ALL`](crate::model::Signal::ALL).
pub(super) const PATHS: [&str; 3] = ["traces_url_path", "metrics_url_path", "logs_url_path"];

/// Limit of one body where `max_request_body_size` is 0. Source: `confighttp` `defaultMaxRequestBodySize`.
const BODY_MAX: usize = 20 << 20;
/// What `compression_algorithms` may name. Source: `confighttp` `compression.go`, `availableDecoders`.
const ENCODINGS: [&str; 8] = ["", "gzip", "zstd", "zlib", "snappy", "deflate", "lz4", "x-snappy-framed"];

/// Checks the section.
pub(super) fn read(fields: &Fields, report: &mut Report) -> HttpServer {
    let body = fields.int("max_request_body_size");
    let timeouts = Timeouts::read(fields, report);
    HttpServer {
        listen: listen(fields, report),
        paths: PATHS.map(|name| path(fields, name, report)),
        max_body_bytes: if body <= 0 { BODY_MAX } else { unsigned(body) },
        cors: fields.optional("cors").and_then(|fields| cors(fields, report)),
        include_metadata: fields.bool("include_metadata"),
        encodings: encodings(fields, report),
        response_headers: headers::read(fields, "response_headers", &headers::HTTP, report),
        keep_alive: timeouts.keep_alive,
        idle_timeout: positive(timeouts.idle),
        read_header_timeout: positive(timeouts.head),
    }
}

// === paths ===

/// The path of a signal, percent-decoded, with a slash at its begin.
fn path(fields: &Fields, name: &str, report: &mut Report) -> Arc<str> {
    let written = fields.text(name);
    plain_path(written).unwrap_or_else(|| {
        let message = format!("invalid HTTP URL path set for signal: {written:?}; a plain path is expected");
        report.error(fields.at(name), message);
        "/".into()
    })
}

/// A path that means the same whoever reads it: no query, no fragment, every `%` before two hex digits; and one that Go's
/// `ServeMux` can serve: no white space or wildcard, no empty, `.` or `..` segments.
fn plain_path(written: &str) -> Option<Arc<str>> {
    let is_escaped = |rest: &str| {
        let digits = rest.as_bytes().first_chunk::<2>();
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if written.contains(['?', '#']) || !written.split('%').skip(1).all(is_escaped) {
        return None;
    }
    let decoded = percent_decode_str(written).decode_utf8().ok()?;
    if decoded.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '{' | '}')) {
        return None;
    }
    let path = if decoded.starts_with('/') { decoded.into_owned() } else { format!("/{decoded}") };
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        if matches!(segment, "." | "..") || segment.is_empty() && !is_last {
            return None;
        }
    }
    Some(path.into())
}

// === web pages ===

fn cors(fields: &Fields, report: &mut Report) -> Option<Cors> {
    let (origins, headers) = (fields.texts("allowed_origins"), fields.texts("allowed_headers"));
    if origins.is_empty() {
        if !headers.is_empty() {
            report.warn(
                fields.at("allowed_headers"),
                "The CORS configuration specifies allowed headers but no allowed origins, and is therefore ignored.",
            );
        }
        return None;
    }
    for origin in origins.iter().filter(|origin| origin.text.matches('*').count() > 1) {
        report.error(
            &origin.at,
            format!("origin {:?} has more than one `*`, so that no origin would match", origin.text),
        );
    }
    let mut names = |list: &[Text]| -> Vec<Arc<str>> {
        for name in list.iter().filter(|name| http::HeaderName::from_bytes(name.text.as_bytes()).is_err()) {
            report.error(&name.at, format!("{:?} is not the name of a header", name.text));
        }
        list.iter().map(|name| Arc::clone(&name.text)).collect()
    };
    Some(Cors {
        allowed_origins: origins.iter().map(|origin| origin.text.to_lowercase().into()).collect(),
        allowed_headers: names(headers),
        exposed_headers: names(fields.texts("exposed_headers")),
        max_age_seconds: fields.int("max_age"),
    })
}

// === bodies ===

/// A list that is not written or null is the default; an empty one turns decoding off.
fn encodings(fields: &Fields, report: &mut Report) -> Encodings {
    const KEY: &str = "compression_algorithms";
    let list = fields.texts(KEY);
    if list.is_empty() {
        return if fields.is_empty_list(KEY) { Encodings::Off } else { Encodings::Known };
    }
    for unknown in list.iter().filter(|name| !ENCODINGS.contains(&&*name.text)) {
        let message = format!(
            "unknown compression algorithm {:?} (known: {})",
            unknown.text,
            ENCODINGS[1..].join(", ")
        );
        report.error(&unknown.at, message);
    }
    Encodings::Only(list.iter().map(|name| Arc::clone(&name.text)).collect())
}

// === connections ===

/// Nanoseconds; zero and less: none.
struct Timeouts {
    keep_alive: bool,
    idle: i64,
    head: i64,
}

impl Timeouts {
    /// The section `keepalive` and its older names exclude each other; `read_timeout` holds where nothing nearer does (Go
    /// `net/http` `Server`).
    fn read(fields: &Fields, report: &mut Report) -> Self {
        let has_section = fields.is_written("keepalive") && !fields.is_null("keepalive");
        let mut has_deprecated = false;
        for (name, is_used, advice) in [
            ("idle_timeout", fields.duration("idle_timeout") != 0, "use 'keepalive::idle_timeout' instead"),
            (
                "keep_alives_enabled",
                !fields.bool("keep_alives_enabled"),
                "set 'keepalive::enabled' to false to disable keep-alives",
            ),
        ] {
            if is_used {
                has_deprecated = true;
                report.warn(fields.at(name), format!("'{name}' is deprecated; {advice}"));
            }
        }
        if has_section && has_deprecated {
            report.error(
                fields.at("keepalive"),
                "confighttp.ServerConfig: cannot use deprecated keepalive fields (idle_timeout, keep_alives_enabled) \
                 alongside the 'keepalive' section; migrate to the 'keepalive' section",
            );
        }
        let read = fields.duration("read_timeout");
        if read != 0 {
            report.warn(
                fields.at("read_timeout"),
                "`read_timeout` holds for the head of a request and for idle connections only; a body has the receiver's \
                 own limit of time without progress",
            );
        }
        let section = fields.optional("keepalive");
        let idle = match section {
            Some(section) if section.is_written("idle_timeout") => section.duration("idle_timeout"),
            _ => fields.duration("idle_timeout"),
        };
        let head = fields.duration("read_header_timeout");
        Self {
            keep_alive: section.is_some() && (has_section || fields.bool("keep_alives_enabled")),
            idle: if idle == 0 { read } else { idle },
            head: if head == 0 { read } else { head },
        }
    }
}

fn positive(nanos: i64) -> Option<std::time::Duration> {
    (nanos > 0).then(|| std_duration(nanos))
}

#[cfg(test)]
mod tests {
    use super::plain_path;

    #[track_caller]
    fn check(written: &str, expect: Option<&str>) {
        assert_eq!(plain_path(written).as_deref(), expect, "{written:?}");
    }

    // Scenario: paths as users write them, good ones and bad ones.
    // Guarantees: a good path is decoded and absolute; one that no request could reach, or that would make the Collector panic, is
    // refused.
    #[test]
    fn paths_are_plain() {
        check("/v1/traces", Some("/v1/traces"));
        check("custom", Some("/custom"));
        check("", Some("/"));
        check("/below/", Some("/below/"));
        check("/a%2Db%C3%A9", Some("/a-bé"));
        check("/a%3Fb", Some("/a?b"));
        for bad in [
            "/a?b", "/a#b", "/a b", "/a%20b", "/{x}", "/%7Bx", "/a%", "/a%g0", "/%FF", "//a", "/a//",
            "/a/../b", "/.",
        ] {
            check(bad, None);
        }
    }
}

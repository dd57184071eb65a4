//! `extensions.health_check`.
//!
//! Stage: engine. Keys, defaults and texts: contrib `extension/healthcheckextension` v0.161.0 `config.go` and `factory.go`. It
//! embeds the Collector's HTTP server, of which only the address matters; cors, auth and response headers have no
//! effect in the Collector either.

use crate::config::{
    decode::decode,
    net::{CORS, HTTP_AUTH, HTTP_DIALER, HTTP_KEEPALIVE, MIDDLEWARES, TLS, listen_endpoint},
    report::{At, Report},
    schema::{
        Section, any, boolean, duration, int, off_until_a_map, on_until_disabled, pairs, pointer, section,
        text, texts,
    },
    tree::Node,
};
use crate::model::settings::HealthCheck;

pub(super) static HEALTH_CHECK: Section = Section::strict(&[
    text("endpoint", "localhost:13133"),
    text("path", "/"),
    pointer("response_body", &RESPONSE_BODY),
    section("check_collector_pipeline", &CHECK_PIPELINE).no_effect(),
    text("transport", "tcp").refused("only `tcp` is"),
    HTTP_DIALER,
    TLS,
    off_until_a_map("cors", &CORS).no_effect(),
    HTTP_AUTH.no_effect(),
    pairs("response_headers").no_effect(),
    int("max_request_body_size", 0).no_effect(),
    boolean("include_metadata", false).no_effect(),
    texts("compression_algorithms", &[]).no_effect(),
    duration("read_timeout", 0).no_effect(),
    duration("read_header_timeout", 0).no_effect(),
    duration("write_timeout", 0).no_effect(),
    on_until_disabled("keepalive", &HTTP_KEEPALIVE).no_effect(),
    boolean("keep_alives_enabled", false).no_effect(),
    duration("idle_timeout", 0).no_effect(),
    MIDDLEWARES,
    boolean("use_v2", false).refused(V1_ONLY),
    any("http").refused(V1_ONLY),
    any("grpc").refused(V1_ONLY),
    any("component_health").refused(V1_ONLY),
]);
const V1_ONLY: &str = "it answers at `endpoint` and `path`";

static RESPONSE_BODY: Section = Section::strict(&[text("healthy", ""), text("unhealthy", "")]);

static CHECK_PIPELINE: Section = Section::strict(&[
    boolean("enabled", false),
    text("interval", "5m"),
    int("exporter_failure_threshold", 5),
]);

/// Reads one health check.
pub(super) fn read(node: &Node, at: At, report: &mut Report) -> HealthCheck {
    let fields = decode(&HEALTH_CHECK, Some(node), at, report);
    let path = fields.text("path");
    if !path.starts_with('/') {
        report.error(fields.at("path"), format!("path must start with /, found {path:?}"));
    }
    HealthCheck {
        endpoint: listen_endpoint(&fields, report),
        path: path.into(),
        response_body: fields
            .optional("response_body")
            .map(|body| (body.text("healthy").into(), body.text("unhealthy").into())),
    }
}

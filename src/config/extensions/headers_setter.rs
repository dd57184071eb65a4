//! `extensions.headers_setter`: headers that are set on requests to backends, some of them taken from the client's request.
//!
//! Stage: engine. Keys and texts: contrib `extension/headerssetterextension`, `config.go` and `extension.go`. An exporter names it
//! as `auth.authenticator`. Its list is worked off here, as what it comes to does not depend on the request: of several entries
//! for one header an `upsert` replaces those before it and an `insert` gives way to them. Over HTTP that holds for the
//! exporter's own `headers` too; over gRPC both are sent, as grpc-go does with the metadata of credentials.
//!
//! Differs from the Collector: a header that the client did not send, without `default_value`, is not sent, instead of sent
//! empty; and of one that the client sent several times every value is sent on, instead of failing the export.

use std::sync::Arc;

use crate::{
    config::{
        decode::{Fields, decode},
        headers::{self, HeaderRules},
        report::{At, Report},
        schema::{Section, any, id, secret, text},
        tree::{Node, Value},
    },
    model::settings::{Backend, Forwarded, Protocol, Secret},
};

pub(super) static HEADERS_SETTER: Section = Section::strict(&[
    any("headers"),
    id("additional_auth").refused("one authenticator sets all headers; write them here"),
]);

pub(super) static HEADER: Section = Section::strict(&[
    text("action", ""),
    text("key", ""),
    secret("value"),
    text("from_context", ""),
    secret("default_value"),
    text("from_attribute", ""),
    text("value_file", ""),
]);

/// One extension.
#[derive(Debug)]
pub(in crate::config) struct HeadersSetter {
    pub(super) id: Arc<str>,
    headers: Vec<Header>,
}

#[derive(Debug)]
struct Header {
    /// As written.
    name: Arc<str>,
    /// Whether it gives way to what is set already.
    gives_way: bool,
    source: Source,
    at: At,
}

#[derive(Clone, Debug)]
enum Source {
    Value(Secret),
    Context { from: Arc<str>, default: Option<Secret> },
}

/// Reads one extension.
pub(super) fn read(id: Arc<str>, node: &Node, at: At, report: &mut Report) -> HeadersSetter {
    let fields = decode(&HEADERS_SETTER, Some(node), at, report);
    let at = fields.at("headers");
    let items = match fields.any("headers").map(|node| &node.value) {
        None => &[],
        Some(Value::List(items)) => items.as_slice(),
        Some(other) => {
            report.error(at, format!("source data must be an array or slice, got {}", other.type_name()));
            return HeadersSetter { id, headers: Vec::new() };
        }
    };
    if items.is_empty() && !fields.is_failed("headers") {
        report.error(at, "missing headers configuration");
    }
    let headers = items
        .iter()
        .enumerate()
        .filter(|(_, node)| node.value != Value::Failed)
        .filter_map(|(index, node)| header(node, at.element(index, &node.place), report))
        .collect();
    HeadersSetter { id, headers }
}

fn header(node: &Node, at: At, report: &mut Report) -> Option<Header> {
    let fields = decode(&HEADER, Some(node), at, report);
    let name = fields.text("key");
    if name.is_empty() {
        report.error(&fields.at, "missing header name");
        return None;
    }
    let gives_way = gives_way(&fields, report)?;
    let source = source(&fields, report)?;
    for key in ["value", "default_value"] {
        headers::check_value(name, fields.text(key), fields.at(key), report);
    }
    Some(Header { name: name.into(), gives_way, source, at: fields.at })
}

/// `None` for an action that is refused. A missing or unknown one is read as `upsert`, as the Collector reads it.
fn gives_way(fields: &Fields, report: &mut Report) -> Option<bool> {
    let at = fields.at("action");
    match fields.text("action") {
        "insert" => return Some(true),
        "upsert" | "" => {}
        refused @ ("update" | "delete") => {
            let message = format!(
                "action {refused:?} is not supported by this version of ringway: insert and upsert are"
            );
            report.error(at, message);
            return None;
        }
        other => {
            report.warn(
                at,
                format!("unknown action {other:?} is read as \"upsert\", as the Collector reads it"),
            );
        }
    }
    Some(false)
}

fn source(fields: &Fields, report: &mut Report) -> Option<Source> {
    const SOURCES: [&str; 4] = ["from_context", "from_attribute", "value", "value_file"];
    let is_set = |name: &&str| fields.is_written(name) && !fields.is_null(name);
    let mut set = SOURCES.into_iter().filter(is_set);
    let (source, second) = (set.next(), set.next());
    if second.is_some() {
        let message = "invalid header source, must be only one of 'from_context', 'from_attribute', 'value', or 'value_file'";
        report.error(&fields.at, message);
        return None;
    }
    let default = Some("default_value").filter(is_set);
    if default.is_some() && source != Some("from_context") {
        report.warn(fields.at("default_value"), "`default_value` has no effect without `from_context`");
    }
    let refused = |advice: &str, name: &str, report: &mut Report| {
        let message = format!("`{name}` is not supported by this version of ringway: {advice}");
        report.error(fields.at(name), message);
        None
    };
    match source {
        Some("value") => Some(Source::Value(Secret::new(fields.text("value")))),
        Some("from_context") => Some(Source::Context {
            from: fields.text("from_context").to_lowercase().into(),
            default: default.map(|name| Secret::new(fields.text(name))),
        }),
        Some(name @ "value_file") => {
            refused("write `value: ${file:…}`, which is read at start", name, report)
        }
        Some(name) => refused("no authenticator of a receiver gives attributes", name, report),
        None => {
            let message =
                "missing header source, must be 'from_context', 'from_attribute', 'value', or 'value_file'";
            report.error(&fields.at, message);
            None
        }
    }
}

impl HeadersSetter {
    /// Sets the headers of a backend.
    pub(in crate::config) fn apply(&self, backend: &mut Backend, report: &mut Report) {
        let rules = rules(&backend.protocol);
        let mut set: Vec<(Arc<str>, &Source)> = Vec::new();
        for header in &self.headers {
            let Some(name) = headers::check_name(&header.name, &header.at, rules, report) else { continue };
            let is_http = backend.protocol != Protocol::Grpc;
            let is_own = |(own, value): &(Arc<str>, Secret)| *own == name && !value.is_empty();
            let is_taken = set.iter().any(|(earlier, _)| *earlier == name)
                || is_http && backend.headers.iter().any(is_own);
            if header.gives_way && is_taken {
                report.warn(&header.at, format!("it has no effect: header {name:?} is set already"));
                continue;
            }
            set.retain(|(earlier, _)| *earlier != name);
            if is_http {
                backend.headers.retain(|(own, _)| *own != name);
            }
            set.push((name, &header.source));
        }
        for (name, source) in set {
            match source.clone() {
                Source::Value(value) => backend.headers.push((name, value)),
                Source::Context { from, default } => {
                    backend.forwarded.push(Forwarded { name, from, default })
                }
            }
        }
    }
}

const fn rules(protocol: &Protocol) -> &'static HeaderRules {
    match protocol {
        Protocol::Grpc => &headers::GRPC,
        Protocol::Http(_) => &headers::HTTP,
    }
}

//! Names and values of headers that a configuration sets.
//!
//! Stage: engine. The two forms of writing them are the Collector's `config/configopaque` v1.67.0 `MapList`. A value may be a
//! secret and is no part of any message.

use std::sync::Arc;

use super::{
    decode::Fields,
    report::{At, Report},
};
use crate::model::settings::Secret;

/// Which headers a protocol lets one set.
#[derive(Debug)]
pub(super) struct HeaderRules {
    /// Its name, for messages.
    pub(super) protocol: &'static str,
    /// Headers that it sets itself, in lower case.
    pub(super) reserved: &'static [&'static str],
    /// Whether names may end in `-bin`.
    pub(super) takes_binary: bool,
}

/// HTTP/1.1. What frames a message is not a user's to set; Go's client leaves most of it out too (Go `net/http` `request.go`,
/// `reqWriteExcludeHeader`).
pub(super) static HTTP: HeaderRules = HeaderRules {
    protocol: "HTTP",
    reserved: &["content-length", "transfer-encoding", "trailer", "connection"],
    takes_binary: true,
};

/// gRPC. These are set by grpc-go itself and dropped without a word (grpc-go `internal/transport/http_util.go`,
/// `isReservedHeader`). Binary metadata would have to be encoded.
pub(super) static GRPC: HeaderRules = HeaderRules {
    protocol: "gRPC",
    reserved: &[
        "content-type",
        "user-agent",
        "grpc-message-type",
        "grpc-encoding",
        "grpc-message",
        "grpc-status",
        "grpc-timeout",
        "te",
    ],
    takes_binary: false,
};

/// Checks the pairs of `key` and gives them with names in lower case. Reserved ones are left out with a warning.
pub(super) fn read(
    fields: &Fields,
    key: &str,
    rules: &HeaderRules,
    report: &mut Report,
) -> Vec<(Arc<str>, Secret)> {
    let pairs = fields.pairs(key);
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
        report.error(fields.at(key), message);
    }
    pairs
        .iter()
        .filter_map(|pair| {
            check_value(&pair.name, &pair.value, &pair.at, report);
            check_name(&pair.name, &pair.at, rules, report).map(|name| (name, Secret::new(&pair.value)))
        })
        .collect()
}

/// The name in lower case; `None` if the protocol does not take it.
pub(super) fn check_name(name: &str, at: &At, rules: &HeaderRules, report: &mut Report) -> Option<Arc<str>> {
    let name = name.to_lowercase();
    if rules.reserved.contains(&name.as_str()) {
        report.warn(at, format!("header {name:?} has no effect: {} sets it itself", rules.protocol));
        return None;
    }
    if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
        report.error(at, format!("{name:?} is not the name of a header"));
        return None;
    }
    if name.ends_with("-bin") && !rules.takes_binary {
        report.error(
            at,
            format!("header {name:?}: binary metadata is not supported by this version of ringway"),
        );
        return None;
    }
    Some(name.into())
}

/// Reports a value that no header can carry.
pub(super) fn check_value(name: &str, value: &str, at: &At, report: &mut Report) {
    if http::HeaderValue::from_str(value).is_err() {
        let hint = if value.ends_with('\n') { "; it ends with a line break, which a file keeps" } else { "" };
        let name = name.to_lowercase();
        let message = format!("the value of header {name:?} has characters that a header cannot carry{hint}");
        report.error(at, message);
    }
}

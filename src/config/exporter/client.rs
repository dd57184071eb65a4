//! What the clients of both protocols share: headers and the size of a message.
//!
//! Stage: engine. Headers are the Collector's `config/configopaque` v1.67.0 `MapList`; the message limit is ours.

use std::{sync::Arc, time::Duration};

use crate::{
    config::{
        decode::{Fields, Pair},
        net::unsigned,
        report::Report,
        schema::{Key, int},
    },
    model::settings::{Batch, Secret, Sizer},
};

/// `max_message_size_mib` of a block `ringway`: limit of one message to a backend before compression. The default is what
/// a Collector's receiver takes (grpc-go `defaultServerMaxReceiveMessageSize`).
pub(super) const GRPC_MESSAGE_MIB: Key = int("max_message_size_mib", 4);
/// The same for HTTP (`confighttp` v0.161.0 `defaultMaxRequestBodySize`).
pub(super) const HTTP_MESSAGE_MIB: Key = int("max_message_size_mib", 20);
/// The largest `max_message_size_mib`: gRPC writes the length of a message in four bytes.
const MESSAGE_MIB_MAX: i64 = 4095;

/// Without `batch`, parts merge only while they wait anyway.
pub(super) const NO_BATCH: Batch =
    Batch { min_size: 0, max_size: 0, flush_timeout: Duration::ZERO, sizer: Sizer::Items };

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

/// Checks `max_message_size_mib` and gives it in bytes.
pub(super) fn message_limit(ringway: &Fields, report: &mut Report) -> usize {
    let mib = ringway.int("max_message_size_mib");
    if !(1..=MESSAGE_MIB_MAX).contains(&mib) {
        let message = format!("max_message_size_mib must be between 1 and {MESSAGE_MIB_MAX}, found {mib}");
        report.error(ringway.at("max_message_size_mib"), message);
    }
    unsigned(mib).saturating_mul(1 << 20)
}

/// Checks `headers` and gives them with names in lower case. Reserved ones are left out with a warning.
pub(super) fn headers(fields: &Fields, rules: &HeaderRules, report: &mut Report) -> Vec<(Arc<str>, Secret)> {
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
    pairs.iter().filter_map(|pair| header(pair, rules, report)).collect()
}

/// One header; its value never becomes part of a message.
fn header(pair: &Pair, rules: &HeaderRules, report: &mut Report) -> Option<(Arc<str>, Secret)> {
    let name = pair.name.to_lowercase();
    if rules.reserved.contains(&name.as_str()) {
        report.warn(&pair.at, format!("header {name:?} has no effect: {} sets it itself", rules.protocol));
        return None;
    }
    if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
        report.error(&pair.at, format!("{name:?} is not the name of a header"));
    } else if name.ends_with("-bin") && !rules.takes_binary {
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

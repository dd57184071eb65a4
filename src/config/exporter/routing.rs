//! `routing_key`: which key each signal has, and our own policies.
//!
//! Stage: engine. Rules and texts: contrib `exporter/loadbalancingexporter` v0.161.0 `config.go`, `trace_exporter.go`,
//! `log_exporter.go` and `metrics_exporter.go`.
//!
//! | `routing_key` | traces | metrics | logs |
//! |---|---|---|---|
//! | none | trace id | service | service |
//! | `traceID` | trace id | – | trace id as hex text |
//! | `service` | segment `service.name=…` | bare `service.name` | bare `service.name` |
//! | `resource` | – | yes | yes |
//! | `metric` (`metric_name`), `streamID` | – | yes | – |
//! | `attributes` | yes | yes | yes |
//!
//! What is refused (–) is refused for signals that some pipeline brings, as the Collector refuses it when it builds the
//! pipeline. Our own policies leave this table as long as they are not written.

use std::sync::Arc;

use super::{User, names};
use crate::{
    config::{
        decode::Fields,
        report::{At, Report},
        schema::{Key as TableKey, text},
        suggest,
    },
    model::{
        Signal,
        settings::{Key, MissingKey, RoutingKey},
    },
};

/// Ours, in the exporter's block `ringway`; what each does is in the documentation of [`config`](crate::config).
pub(super) static POLICIES: [TableKey; 4] = [
    text("log_trace_id", "hex"),
    text("trace_service", "segment"),
    text("missing_key", "compatible"),
    text("fixed_key", ""),
];

/// The values of `routing_key`, for suggestions.
const WORDS: [&str; 7] =
    ["traceID", "service", "resource", "metric", "metric_name", "streamID", "attributes"];

/// What one exporter's configuration says about keys.
#[derive(Debug)]
pub(super) struct Routing {
    /// `None` for a word that has been refused.
    chosen: Option<Chosen>,
    /// As written.
    word: Arc<str>,
    /// Where `routing_key` stands.
    at: At,
    attributes: Arc<[Arc<str>]>,
    policies: Policies,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chosen {
    Default,
    TraceId,
    Service,
    Resource,
    Metric,
    Stream,
    Attributes,
}

/// Each with its place, if it is written and differs from what the Collector does.
#[derive(Debug)]
struct Policies {
    raw_log_trace_id: Option<At>,
    bare_trace_service: Option<At>,
    missing: Option<(MissingKey, At)>,
}

/// Reads `routing_key`, `routing_attributes` and the policies.
pub(super) fn read(fields: &Fields, ringway: &Fields, report: &mut Report) -> Routing {
    let word = fields.text("routing_key");
    let chosen = Chosen::parse(word);
    if chosen.is_none() {
        let hint = suggest::nearest(word, &WORDS)
            .map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
        let allowed: Vec<String> = Signal::ALL
            .into_iter()
            .map(|signal| format!("for {}: {}", signal.as_str(), allowed(signal).join(", ")))
            .collect();
        let message = format!("unsupported routing_key: {word}{hint} (allowed {})", allowed.join("; "));
        report.error(fields.at("routing_key"), message);
    }
    check_attributes(fields, report);
    Routing {
        chosen,
        word: word.into(),
        at: fields.at("routing_key").clone(),
        attributes: fields.texts("routing_attributes").iter().map(|name| Arc::clone(&name.text)).collect(),
        policies: Policies::read(ringway, report),
    }
}

fn check_attributes(fields: &Fields, report: &mut Report) {
    let (word, attributes) = (fields.text("routing_key"), fields.texts("routing_attributes"));
    if word == "attributes" && attributes.is_empty() && !fields.is_failed("routing_attributes") {
        let message = "routing_attributes must be specified when routing_key is \"attributes\"";
        report.error(fields.at("routing_key"), message);
    }
    if word != "attributes" && !attributes.is_empty() {
        report.error(
            fields.at("routing_attributes"),
            format!(
                "routing_attributes can only be used when routing_key is \"attributes\"; got {word:?}. \
                 Remove routing_attributes or set routing_key to \"attributes\""
            ),
        );
    }
}

/// The words for which a signal has a key.
const fn allowed(signal: Signal) -> &'static [&'static str] {
    match signal {
        Signal::Traces => &["traceID", "service", "attributes"],
        Signal::Metrics => &["service", "resource", "metric", "streamID", "attributes"],
        Signal::Logs => &["service", "resource", "traceID", "attributes"],
    }
}

impl Chosen {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "" => Self::Default,
            "traceID" => Self::TraceId,
            "service" => Self::Service,
            "resource" => Self::Resource,
            "metric" | "metric_name" => Self::Metric,
            "streamID" => Self::Stream,
            "attributes" => Self::Attributes,
            _ => return None,
        })
    }
}

impl Routing {
    /// The key of each signal that some user brings. Reports what a signal cannot have, and policies that nothing makes use
    /// of.
    pub(super) fn keys(&self, users: &[User<'_>], report: &mut Report) -> [Option<RoutingKey>; 3] {
        let Some(chosen) = self.chosen else { return [const { None }; 3] };
        let keys = Signal::ALL.map(|signal| {
            if users.iter().all(|user| user.signal != signal) {
                return None;
            }
            let key = self.key(signal, chosen);
            if key.is_none() {
                self.refuse(users, signal, report);
            }
            key.map(|key| RoutingKey { missing: self.policies.missing(&key), key })
        });
        self.policies.explain(&keys, report);
        keys
    }

    fn key(&self, signal: Signal, chosen: Chosen) -> Option<Key> {
        Some(match (signal, chosen) {
            (Signal::Traces, Chosen::Default | Chosen::TraceId) => Key::TraceId,
            (Signal::Traces, Chosen::Service) if self.policies.bare_trace_service.is_some() => {
                Key::ServiceName
            }
            (Signal::Traces, Chosen::Service) => Key::ServiceSegment,
            (Signal::Logs, Chosen::TraceId) if self.policies.raw_log_trace_id.is_some() => Key::TraceId,
            (Signal::Logs, Chosen::TraceId) => Key::TraceIdHex,
            (Signal::Metrics | Signal::Logs, Chosen::Default | Chosen::Service) => Key::ServiceName,
            (Signal::Metrics | Signal::Logs, Chosen::Resource) => Key::Resource,
            (Signal::Metrics, Chosen::Metric) => Key::Metric,
            (Signal::Metrics, Chosen::Stream) => Key::Stream,
            (_, Chosen::Attributes) => Key::Attributes(Arc::clone(&self.attributes)),
            (Signal::Traces, Chosen::Resource | Chosen::Metric | Chosen::Stream)
            | (Signal::Metrics, Chosen::TraceId)
            | (Signal::Logs, Chosen::Metric | Chosen::Stream) => return None,
        })
    }

    /// The Collector quotes the word for metrics and logs, not for traces.
    fn refuse(&self, users: &[User<'_>], signal: Signal, report: &mut Report) {
        let word =
            if signal == Signal::Traces { self.word.to_string() } else { format!("{:?}", &*self.word) };
        let message = format!(
            "{}: unsupported routing_key: {word} (allowed for {}: {})",
            names(users, signal),
            signal.as_str(),
            allowed(signal).join(", ")
        );
        report.error(&self.at, message);
    }
}

// === our own policies ===

impl Policies {
    fn read(fields: &Fields, report: &mut Report) -> Self {
        Self {
            raw_log_trace_id: is_second(fields, "log_trace_id", ["hex", "raw"], report),
            bare_trace_service: is_second(fields, "trace_service", ["segment", "bare"], report),
            missing: missing(fields, report),
        }
    }

    fn missing(&self, key: &Key) -> MissingKey {
        match &self.missing {
            Some((missing, _)) if can_miss(key) => missing.clone(),
            _ => MissingKey::Compatible,
        }
    }

    /// Warns of policies that change nothing.
    fn explain(&self, keys: &[Option<RoutingKey>; 3], report: &mut Report) {
        let [traces, _, logs] = keys.each_ref().map(|key| key.as_ref().map(|key| &key.key));
        if let Some(at) = &self.raw_log_trace_id
            && logs != Some(&Key::TraceId)
        {
            report.warn(
                at,
                "`log_trace_id` has no effect: no logs pipeline names this exporter with routing_key \"traceID\"",
            );
        }
        if let Some(at) = &self.bare_trace_service
            && traces != Some(&Key::ServiceName)
        {
            report.warn(
                at,
                "`trace_service` has no effect: no traces pipeline names this exporter with routing_key \"service\"",
            );
        }
        if let Some((_, at)) = &self.missing
            && !keys.iter().flatten().any(|key| can_miss(&key.key))
        {
            report.warn(at, "`missing_key` has no effect: no item of the pipelines that name this exporter is without its key");
        }
    }
}

/// Whether an item may be without this key.
const fn can_miss(key: &Key) -> bool {
    match key {
        Key::TraceId | Key::TraceIdHex | Key::ServiceSegment | Key::ServiceName | Key::Attributes(_) => true,
        Key::None | Key::Resource | Key::Metric | Key::Stream => false,
    }
}

/// The place of a key that has the second of two values.
fn is_second(fields: &Fields, name: &str, words: [&str; 2], report: &mut Report) -> Option<At> {
    let found = fields.text(name);
    if !words.contains(&found) {
        let message = format!("invalid {name}: {found:?} (allowed: {})", words.join(", "));
        report.error(fields.at(name), message);
    }
    (found == words[1]).then(|| fields.at(name).clone())
}

fn missing(fields: &Fields, report: &mut Report) -> Option<(MissingKey, At)> {
    let (word, fixed) = (fields.text("missing_key"), fields.text("fixed_key"));
    if word != "fixed" && fields.is_written("fixed_key") {
        let message = format!("fixed_key can only be used when missing_key is \"fixed\"; got {word:?}");
        report.error(fields.at("fixed_key"), message);
    }
    let missing = match word {
        "compatible" => return None,
        "resource" => MissingKey::Resource,
        "drop" => MissingKey::Drop,
        "fixed" => {
            if fixed.is_empty() && !fields.is_failed("fixed_key") {
                report.error(
                    fields.at("missing_key"),
                    "fixed_key must be specified when missing_key is \"fixed\"",
                );
            }
            MissingKey::Fixed(fixed.into())
        }
        other => {
            let message =
                format!("invalid missing_key: {other:?} (allowed: compatible, resource, fixed, drop)");
            report.error(fields.at("missing_key"), message);
            return None;
        }
    };
    Some((missing, fields.at("missing_key").clone()))
}

#[cfg(test)]
mod tests;

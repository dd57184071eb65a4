//! Collector YAML to [`Settings`]: all problems at once, each with its path and line.
//!
//! Stage: engine. The only module that knows YAML. Files and the environment are passed in through [`Sources`]; nothing
//! here touches the network, the clock or the process.
//!
//! ```text
//! --config, --set ─ providers ─▶ tree ─ merge ─▶ one tree ─ expand ─▶ values ─ decode by table ─▶ checks ─▶ Settings
//! ```
//!
//! | file | what it knows |
//! |---|---|
//! | `providers` | URIs, `file:`, `env:`, `yaml:` |
//! | `tree`, `scalar` | YAML, with the line of every key and value |
//! | `merge` | later sources win; `a::b` is a path |
//! | `expand` | `${env:NAME:-default}` and its relatives |
//! | `schema`, `decode`, `suggest`, `units`, `ids` | sections as tables of keys; types, defaults, unknown and unsupported keys |
//! | `net`, `headers`, `retry`, `queue` | sections that several components share |
//! | `receiver`, `exporter`, `processors`, `extensions`, `telemetry` | one component each: its table and its checks |
//! | `memory` | the memory limiter, and what may be held in all |
//! | `components`, `service`, `pipelines` | ids, references, what feeds what |
//!
//! The meaning of every key is that of the OpenTelemetry Collector v0.161.0; each file names its source. Keys of the Collector that
//! ringway does not honour are either accepted with a warning, where that cannot change which data arrive where, or
//! refused.
//!
//! # Our own keys
//!
//! They live in blocks called `ringway`, with one exception, so that nobody takes them for the Collector's:
//!
//! | key | default | meaning |
//! |---|---|---|
//! | `receivers.otlp.ringway.validation` | `structure` | how deeply a request is checked: `structure` or `full` |
//! | `exporters.load_balancing.ringway.ring_generation` | `G3` | whose ring: `G1` up to v0.129, `G2` v0.130.0 to v0.156.0, `G3` later |
//! | `exporters.load_balancing.ringway.max_message_size_mib` | 4 | limit of one message to a backend, before compression |
//! | `exporters.load_balancing.ringway.log_trace_id` | `hex` | logs by `traceID` hash the hex text; `raw`: the bytes, as spans do |
//! | `exporters.load_balancing.ringway.trace_service` | `segment` | traces by `service` hash `service.name=…\|`; `bare`: the name, as metrics and logs do |
//! | `exporters.load_balancing.ringway.missing_key` | `compatible` | items without their key: as the Collector does; `resource`: hash the resource's identity; `fixed`: hash `fixed_key`; `drop` |
//! | `exporters.load_balancing.ringway.fixed_key` | | the text of `missing_key: fixed` |
//! | `exporters.load_balancing.ringway.ambiguous` | `retry` | data whose attempt ended without an answer after it may have arrived: `retry` or `drop`, also as a map by signal |
//! | `exporters.load_balancing.ringway.drain_timeout` | `10s` | how long attempts under way may go on at a backend that has left |
//! | `exporters.load_balancing.ringway.health` | on | when a backend is skipped: `consecutive_failures` 5, `no_success` 10s, `hold` 10s, `probe_interval` 5s, `max_ejected_percent` 50; `enabled: false`: never |
//! | `exporters.load_balancing.resolver.file` | | endpoints from the lines of the file `path`, looked at every `interval` (5s) |
//! | `exporters.otlp_grpc.ringway.max_message_size_mib` | 4 | as above |
//! | `exporters.otlp_http.ringway.max_message_size_mib` | 20 | as above |
//! | `exporters.otlp_grpc.ringway.ambiguous`, `exporters.otlp_http.ringway.ambiguous` | `retry` | as above |
//! | `service.ringway.shutdown_timeout` | `25s` | how long draining may take; 0: no limit |
//! | `service.ringway.memory_budget_mib` | 0 | what may be held in all; 0: the soft limit of the smallest `memory_limiter`, else half of the memory that the process may have |
//!
//! While `log_trace_id`, `trace_service` or `missing_key` is not at its default, a Collector on the same backends disagrees
//! about the owners of the data it concerns. One that no used signal and key make use of gets a warning.

use std::{fmt, path::Path};

use crate::model::settings::Settings;

mod components;
mod decode;
mod expand;
mod exporter;
mod extensions;
mod headers;
mod ids;
mod memory;
mod merge;
mod net;
mod pipelines;
mod processors;
mod providers;
mod queue;
mod receiver;
mod report;
mod retry;
mod scalar;
mod schema;
mod service;
mod suggest;
mod telemetry;
mod tree;
mod units;

use report::Report;

/// Where configuration text comes from; the composition root passes the real ones.
pub trait Sources {
    /// An environment variable, `None` if unset.
    fn env(&self, name: &str) -> Option<String>;
    /// The text of a file.
    ///
    /// # Errors
    ///
    /// A sentence for the user.
    fn file(&self, path: &Path) -> Result<String, String>;
}

/// One thing to tell the user about the configuration.
///
/// Displayed as `gateway.yaml:12: exporters::load_balancing::protocol::otlp: unknown key …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path of the key, parts joined with `::` as the Collector does; empty for the whole. An unknown key is named by
    /// the message, and the path is that of its section.
    pub path: String,
    /// File (or other source) and line, where known. Line 0: a source without lines, such as `--set`.
    pub place: Option<(String, usize)>,
    /// What was found and what is allowed.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some((source, 0)) => write!(f, "{source}: ")?,
            Some((source, line)) => write!(f, "{source}:{line}: ")?,
            None => {}
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// What loading gave. Settings are absent if and only if there are errors.
#[derive(Debug)]
pub struct Loaded {
    /// The checked settings.
    pub settings: Option<Settings>,
    /// Why there are no settings, in the order of the text.
    pub errors: Vec<Problem>,
    /// What works, but not as one might think, in the order of the text.
    pub warnings: Vec<Problem>,
}

/// Reads, merges, expands and checks the configuration that `--config` (`uris`, in order) and `--set` (`sets`) name.
///
/// Cost: linear in the size of the text, apart from maps with thousands of keys; what aliases and references expand
/// to is limited.
pub fn load(uris: &[String], sets: &[String], sources: &dyn Sources) -> Loaded {
    let mut report = Report::default();
    let settings = providers::read_all(uris, sets, sources, &mut report)
        .map(|root| expand::expand(root, sources, &mut report))
        .map(|root| service::read(&root, &mut report));
    let settings = settings.filter(|_| !report.has_errors());
    let (errors, warnings) = report.finish();
    Loaded { settings, errors, warnings }
}

#[cfg(test)]
mod tests;

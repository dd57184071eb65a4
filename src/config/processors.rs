//! `processors.batch` and `processors.memory_limiter`.
//!
//! Stage: engine. Keys, defaults and texts: Collector `processor/batchprocessor` v0.161.0 `config.go` and `factory.go`,
//! `internal/memorylimiter` v0.161.0 `config.go`. Requests are merged for each backend after the split, so what `batch` asks
//! for becomes the batch of the exporters of its pipeline.

use super::{
    decode::{Fields, Text, decode},
    net::{std_duration, unsigned},
    queue::metadata_keys,
    report::{At, Report},
    schema::{Section, duration, texts, uint32},
    tree::Node,
};
use crate::model::settings::{Batch, Sizer};

pub(super) static BATCH: Section = Section::strict(&[
    duration("timeout", 200),
    uint32("send_batch_size", 8192),
    uint32("send_batch_max_size", 0),
    texts("metadata_keys", &[]),
    uint32("metadata_cardinality_limit", 1000).no_effect(),
]);

pub(super) static MEMORY_LIMITER: Section = Section::strict(&[
    duration("check_interval", 0),
    uint32("limit_mib", 0),
    uint32("spike_limit_mib", 0),
    uint32("limit_percentage", 0),
    uint32("spike_limit_percentage", 0),
    duration("min_gc_interval_when_soft_limited", 10_000),
    duration("min_gc_interval_when_hard_limited", 0),
    duration("max_gc_interval_when_soft_limited", 30_000),
    duration("max_gc_interval_when_hard_limited", 30_000),
]);

/// What a processor asks of its pipelines.
#[derive(Debug)]
pub(super) enum Processor {
    Batch {
        batch: Batch,
        /// Headers of the client by which batches are kept apart.
        metadata_keys: Vec<Text>,
    },
    MemoryLimiter,
}

/// Reads one `batch`.
pub(super) fn read_batch(node: &Node, at: At, report: &mut Report) -> Processor {
    let fields = decode(&BATCH, Some(node), at, report);
    let (size, max) = (fields.int("send_batch_size"), fields.int("send_batch_max_size"));
    if max > 0 && max < size {
        let message = "send_batch_max_size must be greater or equal to send_batch_size";
        report.error(fields.at("send_batch_max_size"), format!("{message} ({max} < {size})"));
    }
    metadata_keys(fields.texts("metadata_keys"), report);
    let timeout = fields.duration("timeout");
    if timeout < 0 {
        report.error(fields.at("timeout"), "timeout must be greater or equal to 0");
    }
    // Without a timeout, or without a size to wait for, nothing waits.
    let min_size = if timeout <= 0 { 0 } else { unsigned(size) };
    Processor::Batch {
        batch: Batch {
            min_size,
            max_size: unsigned(max),
            flush_timeout: if min_size == 0 { std::time::Duration::ZERO } else { std_duration(timeout) },
            sizer: Sizer::Items,
        },
        metadata_keys: fields.texts("metadata_keys").to_vec(),
    }
}

/// Checks one `memory_limiter`.
pub(super) fn read_memory_limiter(node: &Node, at: At, report: &mut Report) -> Processor {
    let fields = decode(&MEMORY_LIMITER, Some(node), at, report);
    if fields.duration("check_interval") <= 0 {
        report.error(fields.at("check_interval"), "'check_interval' must be greater than zero");
    }
    limits(&fields, report);
    intervals(&fields, report);
    Processor::MemoryLimiter
}

fn limits(fields: &Fields, report: &mut Report) {
    let (mib, percentage) = (fields.int("limit_mib"), fields.int("limit_percentage"));
    if mib == 0 && percentage == 0 {
        report.error(&fields.at, "'limit_mib' or 'limit_percentage' must be greater than zero");
    }
    for name in ["limit_percentage", "spike_limit_percentage"] {
        if fields.int(name) > 100 {
            report.error(
                fields.at(name),
                "'limit_percentage' and 'spike_limit_percentage' must be greater than zero and less than or equal to \
                 hundred",
            );
        }
    }
    if mib > 0 && mib <= fields.int("spike_limit_mib") {
        report.error(fields.at("spike_limit_mib"), "'spike_limit_mib' must be smaller than 'limit_mib'");
    }
    if percentage > 0 && percentage <= fields.int("spike_limit_percentage") {
        let message = "'spike_limit_percentage' must be smaller than 'limit_percentage'";
        report.error(fields.at("spike_limit_percentage"), message);
    }
}

/// Intervals of forced garbage collections, of which there are none here; a bad one is refused all the same.
fn intervals(fields: &Fields, report: &mut Report) {
    const MIN_SOFT: &str = "min_gc_interval_when_soft_limited";
    const MIN_HARD: &str = "min_gc_interval_when_hard_limited";
    const MAX_SOFT: &str = "max_gc_interval_when_soft_limited";
    const MAX_HARD: &str = "max_gc_interval_when_hard_limited";
    if fields.duration(MIN_SOFT) < fields.duration(MIN_HARD) {
        report.error(fields.at(MIN_SOFT), format!("'{MIN_SOFT}' should be larger than '{MIN_HARD}'"));
    }
    for (max, min) in [(MAX_SOFT, MIN_SOFT), (MAX_HARD, MIN_HARD)] {
        let value = fields.duration(max);
        if value < 0 {
            report.error(fields.at(max), format!("'{max}' must be non-negative"));
        } else if value > 0 && value < fields.duration(min) {
            let message = format!("'{max}' must be greater than or equal to '{min}' (or 0 to disable)");
            report.error(fields.at(max), message);
        }
    }
    let (soft, hard) = (fields.duration(MAX_SOFT), fields.duration(MAX_HARD));
    if soft > 0 && hard > 0 && soft < hard {
        let message =
            format!("'{MAX_SOFT}' should be larger than or equal to '{MAX_HARD}' (when both are set)");
        report.error(fields.at(MAX_SOFT), message);
    }
}

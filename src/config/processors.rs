//! `processors`: the types there are, and `processors.batch`. The other, `memory_limiter`, is in `memory`.
//!
//! Stage: engine. Keys, defaults and texts: Collector `processor/batchprocessor` v0.161.0 `config.go` and `factory.go`.
//! Requests are merged for each backend after the split, so what `batch` asks for becomes the batch of the exporters of its
//! pipeline.

use super::{
    decode::{Text, decode},
    net::{std_duration, unsigned},
    queue::metadata_keys,
    report::{At, Report},
    schema::{Section, duration, texts, uint32},
    tree::Node,
};
use crate::model::settings::{Batch, Memory, Sizer};

pub(super) static BATCH: Section = Section::strict(&[
    duration("timeout", 200),
    uint32("send_batch_size", 8192),
    uint32("send_batch_max_size", 0),
    texts("metadata_keys", &[]),
    uint32("metadata_cardinality_limit", 1000).no_effect(),
]);

/// What a processor asks of its pipelines.
#[derive(Debug)]
pub(super) enum Processor {
    Batch {
        batch: Batch,
        /// Headers of the client by which batches are kept apart.
        metadata_keys: Vec<Text>,
    },
    /// What is held at most.
    MemoryLimiter(Memory),
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

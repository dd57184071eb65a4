//! `sending_queue` and its `batch`, at both of their levels.
//!
//! Stage: engine. Keys, defaults and texts: Collector `exporter/exporterhelper` v0.161.0 `internal/queuebatch/config.go`.

use super::{
    decode::{Fields, Text},
    net::{std_duration, unsigned},
    report::Report,
    schema::{Section, boolean, duration, id, int, off_until_written, section, text, texts},
};
use crate::model::settings::{Acknowledge, Batch, Queue, Sizer};

pub(super) static QUEUE: Section = Section::strict(&[
    int("num_consumers", 10),
    int("queue_size", 1000),
    text("sizer", "requests"),
    boolean("block_on_overflow", false),
    boolean("wait_for_result", false),
    id("storage"),
    off_until_written("batch", &BATCH),
]);

static BATCH: Section = Section::strict(&[
    duration("flush_timeout", 200),
    text("sizer", "items"),
    int("min_size", 8192),
    int("max_size", 0),
    section("partition", &PARTITION),
]);

static PARTITION: Section = Section::strict(&[texts("metadata_keys", &[])]);

/// One `sending_queue` that is on.
#[derive(Debug)]
pub(super) struct Level {
    /// Without its storage, which is known once the extensions are.
    pub(super) queue: Queue,
    /// The extension that keeps what is queued.
    pub(super) storage: Option<Text>,
    pub(super) batch: Option<Batch>,
    /// Headers of the client by which batches are kept apart.
    pub(super) metadata_keys: Vec<Text>,
}

/// Checks one block that is on.
pub(super) fn read(fields: &Fields, report: &mut Report) -> Level {
    for name in ["num_consumers", "queue_size"] {
        let value = fields.int(name);
        if value <= 0 {
            report.error(fields.at(name), format!("`{name}` must be positive, found {value}"));
        }
    }
    let acknowledge = acknowledge(fields, report);
    let sizer = sizer(fields, report).unwrap_or(Sizer::Requests);
    let size = fields.int("queue_size");
    let batch = fields.optional("batch").map(|batch| {
        // The queue's sizer is the batch's too, but only where `batch` is a map.
        let inherited = fields.is_written("sizer") && fields.is_map("batch") && !batch.is_written("sizer");
        self::batch(batch, inherited.then_some(sizer), (sizer, size), report)
    });
    let queue = Queue {
        acknowledge,
        block_on_overflow: fields.bool("block_on_overflow"),
        storage: None,
        num_consumers: unsigned(fields.int("num_consumers")),
        size: unsigned(size),
        sizer,
    };
    let partition = fields.optional("batch").map(|batch| batch.plain("partition"));
    let metadata_keys = partition.map_or(&[][..], |partition| partition.texts("metadata_keys")).to_vec();
    Level { queue, storage: fields.id("storage").cloned(), batch, metadata_keys }
}

fn acknowledge(fields: &Fields, report: &mut Report) -> Acknowledge {
    match (fields.id("storage"), fields.bool("wait_for_result")) {
        (None, false) => Acknowledge::Enqueued,
        (None, true) => Acknowledge::Delivered,
        (Some(_), false) => Acknowledge::Persisted,
        (Some(_), true) => {
            let message =
                "`wait_for_result` is not supported with a persistent queue configured with `storage`";
            report.error(fields.at("wait_for_result"), message);
            Acknowledge::Persisted
        }
    }
}

fn batch(fields: &Fields, inherited: Option<Sizer>, queue: (Sizer, i64), report: &mut Report) -> Batch {
    let (min, max) = (fields.int("min_size"), fields.int("max_size"));
    let timeout = fields.duration("flush_timeout");
    let sizer = inherited.or_else(|| sizer(fields, report)).unwrap_or(Sizer::Items);
    if sizer == Sizer::Requests {
        let hint = if inherited.is_some() { "; it is taken from the queue's `sizer`" } else { "" };
        let message = format!("`batch` supports only `items` or `bytes` sizer, found \"requests\"{hint}");
        report.error(fields.at("sizer"), message);
    }
    if timeout <= 0 {
        report
            .error(fields.at("flush_timeout"), format!("`flush_timeout` must be positive, found {timeout}"));
    }
    for (name, value) in [("min_size", min), ("max_size", max)] {
        if value < 0 {
            report.error(fields.at(name), format!("`{name}` must be non-negative, found {value}"));
        }
    }
    if max > 0 && max < min {
        let message = format!("`max_size` ({max}) must be greater or equal to `min_size` ({min})");
        report.error(fields.at("max_size"), message);
    }
    if queue.0 == sizer && min > queue.1 {
        let message = format!("`min_size` must be less than or equal to `queue_size` ({min} > {})", queue.1);
        report.error(fields.at("min_size"), message);
    }
    metadata_keys(fields.plain("partition").texts("metadata_keys"), report);
    Batch { min_size: unsigned(min), max_size: unsigned(max), flush_timeout: std_duration(timeout), sizer }
}

fn sizer(fields: &Fields, report: &mut Report) -> Option<Sizer> {
    match fields.text("sizer") {
        "requests" => Some(Sizer::Requests),
        "items" => Some(Sizer::Items),
        "bytes" => Some(Sizer::Bytes),
        "" if fields.is_null("sizer") => None,
        other => {
            let message = format!("invalid sizer: {other:?} (allowed: requests, items, bytes)");
            report.error(fields.at("sizer"), message);
            None
        }
    }
}

/// Warns of keys that have no effect. Data with different values of a header that some exporter sends on never share a request,
/// with or without such a key; other headers of a client are not kept.
pub(super) fn unused_metadata_keys(keys: &[Text], is_forwarded: impl Fn(&str) -> bool, report: &mut Report) {
    for key in keys.iter().filter(|key| !is_forwarded(&key.text.to_lowercase())) {
        let message =
            format!("metadata key {:?} has no effect: no `headers_setter` sends this header on", key.text);
        report.warn(&key.at, message);
    }
}

/// Refuses a name that is listed twice, letter case apart.
pub(super) fn metadata_keys(keys: &[Text], report: &mut Report) {
    for (index, key) in keys.iter().enumerate() {
        let name = key.text.to_lowercase();
        if keys.iter().take(index).any(|earlier| earlier.text.to_lowercase() == name) {
            report.error(&key.at, format!("duplicate entry in metadata_keys: {name:?} (case-insensitive)"));
        }
    }
}

//! Two levels of queue and retry become one.
//!
//! Stage: engine. The Collector's exporter has `retry_on_failure` and `sending_queue` twice: around the whole fan-out, and for
//! each backend below `protocol.otlp`. Here there is one queue and one retry for each backend:
//!
//! | the Collector | here |
//! |---|---|
//! | outer queue on | its sizes and `block_on_overflow`, for each backend |
//! | only the inner queue on (default) | its sizes and `block_on_overflow` |
//! | outer queue with `storage` | one queue of its sizes in front of all backends; a client is answered when its data is on disk, whatever the inner queue says |
//! | a queue that is on and does not `wait_for_result` | a client is answered when its data is queued |
//! | none such | a client is answered when its data is delivered |
//! | `batch` of either | the inner one, else the outer one |
//! | inner retry on (default) | its numbers, for one backend's part |
//! | only outer retry on | its numbers, for one backend's part |
//!
//! A part that fails is sent again alone, never the whole request, so the outer retry has nothing left to do.

use crate::{
    config::{
        decode::{Fields, Text},
        queue::{self, Level, QUEUE},
        report::Report,
        retry,
        schema::Kind,
    },
    model::settings::{Acknowledge, Batch, Queue, RetryPolicy, Sizer},
};

/// Source: `exporterhelper` v0.161.0 `toStorageClient` names the client by the exporter, which all backends share.
const INNER_STORAGE: &str = "`storage` belongs in the exporter's own `sending_queue`: move it there. The queues of all backends \
                             would share one storage client, which only the first can open, and what waits for one \
                             backend could never go to another";

/// What holds for each backend.
#[derive(Debug)]
pub(super) struct Levels {
    pub(super) retry: Option<RetryPolicy>,
    pub(super) queue: Queue,
    pub(super) batch: Option<Batch>,
    /// The extension that keeps what is queued.
    pub(super) storage: Option<Text>,
    /// Headers of the client by which its batches are kept apart.
    pub(super) metadata_keys: Vec<Text>,
}

/// Reads the only level that an exporter to one backend has.
pub(super) fn single(fields: &Fields, report: &mut Report) -> Levels {
    let level = fields.optional("sending_queue").map(|fields| queue::read(fields, report));
    let retry = retry::read(fields.plain("retry_on_failure"), report);
    match level {
        Some(Level { queue, storage, batch, metadata_keys }) => {
            Levels { retry, queue, storage, batch, metadata_keys }
        }
        None => Levels { retry, queue: no_queue(), storage: None, batch: None, metadata_keys: Vec::new() },
    }
}

/// Reads both levels of a load-balancing exporter.
pub(super) fn both(fields: &Fields, report: &mut Report) -> Levels {
    let inner = fields.plain("protocol").plain("otlp");
    let outer_queue = fields.optional("sending_queue").map(|fields| queue::read(fields, report));
    let inner_queue = inner.optional("sending_queue").map(|fields| {
        if fields.id("storage").is_some() {
            report.error(fields.at("storage"), INNER_STORAGE);
        }
        queue::read(fields, report)
    });
    let outer_retry = retry::read_without_defaults(fields.plain("retry_on_failure"), report);
    let inner_retry = retry::read(inner.plain("retry_on_failure"), report);

    explain_queues(fields, outer_queue.as_ref(), inner_queue.as_ref(), report);
    if outer_retry.is_some() {
        let numbers = if inner_retry.is_some() { "`protocol.otlp.retry_on_failure`" } else { "this block" };
        report.warn(
            fields.at("retry_on_failure"),
            format!(
                "a part that fails at its backend is sent again alone, by the numbers of {numbers}; the whole \
                 request is never sent again"
            ),
        );
    }
    let storage = outer_queue.as_ref().and_then(|level| level.storage.clone());
    let levels = [outer_queue, inner_queue];
    let mut queue = levels.iter().flatten().next().map_or_else(no_queue, |level| level.queue.clone());
    let is_early = |level: &Level| level.queue.acknowledge == Acknowledge::Enqueued;
    if storage.is_none() && levels.iter().flatten().any(is_early) {
        queue.acknowledge = Acknowledge::Enqueued;
    }
    // The inner batch, else the outer one.
    let batching = levels.into_iter().rev().flatten().find(|level| level.batch.is_some());
    let (batch, metadata_keys) =
        batching.map_or((None, Vec::new()), |level| (level.batch, level.metadata_keys));
    Levels { retry: inner_retry.or(outer_retry), queue, storage, batch, metadata_keys }
}

/// Says once what becomes of two levels.
fn explain_queues(fields: &Fields, outer: Option<&Level>, inner: Option<&Level>, report: &mut Report) {
    let at = fields.at("sending_queue");
    let stored = outer.is_some_and(|level| level.storage.is_some());
    let place =
        if stored { "one queue on disk in front of all backends" } else { "one queue for each backend" };
    match (outer, inner) {
        (Some(_), Some(_)) => report.warn(
            at,
            format!(
                "there is {place}: its sizes are taken from here, and those of `protocol.otlp.sending_queue` have no effect"
            ),
        ),
        (Some(_), None) => report.warn(at, format!("there is {place}, of this size")),
        (None, _) => {}
    }
    let waits =
        |level: Option<&Level>| level.is_some_and(|level| level.queue.acknowledge == Acknowledge::Delivered);
    if waits(outer) || waits(inner) {
        let answered = if stored {
            "it has no effect: a client is answered when its data is on disk"
        } else if [outer, inner].into_iter().any(|level| level.is_some() && !waits(level)) {
            "it has no effect: the other `sending_queue` answers a client when its data is queued"
        } else {
            "a client is answered when its data is delivered"
        };
        report.warn(at, format!("`wait_for_result`: {answered}"));
    }
}

/// Sizes where every queue is off: the defaults.
fn no_queue() -> Queue {
    let default = |name: &str| match QUEUE.kind_of(name) {
        Some(Kind::Int { default, .. }) => usize::try_from(*default).unwrap_or_default(),
        _ => 0,
    };
    Queue {
        acknowledge: Acknowledge::Delivered,
        block_on_overflow: false,
        storage: None,
        num_consumers: default("num_consumers"),
        size: default("queue_size"),
        sizer: Sizer::Requests,
    }
}

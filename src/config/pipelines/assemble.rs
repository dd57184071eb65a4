//! Drafts of pipelines and what they name become settings.
//!
//! Stage: engine. Components that no pipeline names are left out; the others learn who uses them.

use std::sync::Arc;

use super::{Draft, Wired};
use crate::{
    config::{
        components::Components,
        exporter::{self, User},
        extensions::Running,
        queue, receiver,
        report::Report,
    },
    model::{
        Signal,
        settings::{Batch, Exporter, Pipeline},
    },
};

/// The smaller of each value. A size of 0 means "does not wait" for `min_size` and "no limit" for `max_size`.
pub(super) fn smaller(left: Batch, right: Batch) -> Batch {
    let max_size = match (left.max_size, right.max_size) {
        (0, other) | (other, 0) => other,
        (left, right) => left.min(right),
    };
    Batch {
        min_size: left.min_size.min(right.min_size),
        max_size,
        flush_timeout: left.flush_timeout.min(right.flush_timeout),
        sizer: left.sizer,
    }
}

pub(super) fn assemble(
    drafts: &[Draft],
    receivers: Components<receiver::Read>,
    exporters: Components<exporter::Read>,
    running: &Running,
    report: &mut Report,
) -> Wired {
    let (receivers, receiver_at) =
        used(receivers, |index| drafts.iter().any(|draft| draft.receivers.contains(&index)));
    let receivers = receivers
        .into_iter()
        .zip(&receiver_at)
        .map(|(read, index)| {
            let users = drafts.iter().filter(|draft| draft.receivers.contains(index));
            let signals: Vec<Signal> = users.map(|draft| draft.signal).collect();
            read.settle(&signals, report)
        })
        .collect();
    let (exporters, exporter_at) =
        used(exporters, |index| drafts.iter().any(|draft| draft.exporters.contains(&index)));
    let exporters: Vec<Exporter> = exporters
        .into_iter()
        .zip(&exporter_at)
        .map(|(read, index)| {
            let users: Vec<&Draft> = drafts.iter().filter(|draft| draft.exporters.contains(index)).collect();
            let mut read = with_batch(read, &users, report);
            bound_batch(&mut read, report);
            let users: Vec<User<'_>> = users.iter().map(|draft| draft.as_user()).collect();
            read.settle(&users, running, report)
        })
        .collect();
    let renumber = |old: &[usize], kept: &[usize]| -> Vec<usize> {
        old.iter().filter_map(|index| kept.iter().position(|kept| kept == index)).collect()
    };
    let pipelines = drafts
        .iter()
        .map(|draft| Pipeline {
            id: Arc::clone(&draft.id),
            signal: draft.signal,
            receivers: renumber(&draft.receivers, &receiver_at),
            exporters: renumber(&draft.exporters, &exporter_at),
        })
        .collect();
    unused_metadata_keys(drafts, &exporters, &exporter_at, report);
    let limiters = drafts.iter().flat_map(|draft| draft.asked.limiters.iter().cloned()).collect();
    Wired { receivers, exporters, pipelines, limiters }
}

/// Warns of keys of batch processors that no exporter behind them sends on.
fn unused_metadata_keys(
    drafts: &[Draft],
    exporters: &[Exporter],
    exporter_at: &[usize],
    report: &mut Report,
) {
    for draft in drafts {
        let forwarded = || {
            let fed = exporter_at.iter().zip(exporters).filter(|(index, _)| draft.exporters.contains(index));
            fed.flat_map(|(_, exporter)| &exporter.backend.forwarded)
        };
        let is_forwarded = |name: &str| forwarded().any(|header| *header.from == *name);
        queue::unused_metadata_keys(&draft.asked.metadata_keys, is_forwarded, report);
    }
}

impl Draft {
    fn as_user(&self) -> User<'_> {
        User { pipeline: &self.id, signal: self.signal, has_metadata: self.has_metadata }
    }
}

/// The components that are used, and their indices among all.
fn used<T>(components: Components<T>, is_used: impl Fn(usize) -> bool) -> (Vec<T>, Vec<usize>) {
    let (indices, values): (Vec<usize>, Vec<T>) = components.into_used(is_used).unzip();
    (values, indices)
}

/// Keeps a batch from waiting for more than the queue can hold. One `sending_queue` with both is refused; here they come from
/// two places, of which each is good by itself. In the Collector a batch of the processor would be too large for the queue.
fn bound_batch(read: &mut exporter::Read, report: &mut Report) {
    let (batch, queue) = (read.exporter.backend.batch, &read.exporter.backend.queue);
    // A size of 0 has been refused.
    if batch.sizer == queue.sizer && queue.size > 0 && batch.min_size > queue.size {
        let (size, wanted) = (queue.size, batch.min_size);
        report.warn(
            read.at(),
            format!("its batches wait for a size of {size} instead of {wanted}: its queue holds no more"),
        );
        read.exporter.backend.batch.min_size = size;
    }
}

/// Gives an exporter the batch of the pipelines that lead to it.
fn with_batch(mut read: exporter::Read, users: &[&Draft], report: &mut Report) -> exporter::Read {
    let Some((first, rest)) = users.split_first() else { return read };
    let exporter = &mut read.exporter;
    if read.has_batch {
        if let Some(user) = users.iter().find(|user| user.asked.batch.is_some()) {
            report.warn(
                &user.at,
                format!(
                    "its batch processor has no effect: exporter {:?} has a `batch` of its own",
                    exporter.id
                ),
            );
        }
        return read;
    }
    let none = exporter.backend.batch;
    let mut batch = first.asked.batch.unwrap_or(none);
    for user in rest {
        let next = user.asked.batch.unwrap_or(none);
        if next != batch {
            report.warn(
                &user.at,
                format!(
                    "exporter {:?} is shared with pipeline {:?}, which batches differently: the smaller values hold",
                    exporter.id, first.id
                ),
            );
            batch = smaller(batch, next);
        }
    }
    exporter.backend.batch = batch;
    read
}

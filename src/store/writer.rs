//! The thread of a queue: takes what callers want, in large portions, to the log.
//!
//! Stage: edge, below `store`. While one write or sync runs, the next appends gather: that is the group commit.

use std::{io, time::Duration};

use tokio::{sync::oneshot, time::Instant};

use super::{
    AppendError, OpenError, Record, RecordId, format,
    log::{Log, Took},
    shared::{MARKS_WAIT, Pending, Settled, Shared},
};
use crate::telemetry::logs::LineLimit;

/// Bytes of one write, unless one record is larger. 1 MiB takes a few hundred microseconds to the page cache; larger ones only
/// make the first record of a group wait for the last.
const GROUP_BYTES: usize = 1 << 20;

/// How long after a failure marks and reads are tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Answers whether the queue is open, and then runs it until it is closed.
pub(super) fn run(
    log: Result<Log, OpenError>,
    shared: &Shared,
    opened: oneshot::Sender<Result<(), OpenError>>,
) {
    // Also if something below panics: callers must not wait for ever.
    let _end = End(shared);
    let (log, answer) = match log {
        Ok(log) => (Some(log), Ok(())),
        Err(error) => (None, Err(error)),
    };
    if let Some(log) = &log {
        let (records, items, bytes) = log.undone();
        shared.count(records, items, bytes);
        log.metrics.recovered_records.inc_by(records as u64);
        if records > 0 {
            tracing::info!(path = %log.path().display(), records, items, bytes, "records found in the persistent queue");
        }
    }
    // Whoever opened it may be gone; then the queue is closed at once.
    let is_wanted = opened.send(answer).is_ok();
    if let Some(log) = log
        && is_wanted
    {
        let limits = [LineLimit::new(), LineLimit::new(), LineLimit::new()];
        Writer { log, shared, limits, marks_due: None, reads_due: None }.run();
    }
}

struct End<'a>(&'a Shared);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.ended();
    }
}

struct Writer<'a> {
    log: Log,
    shared: &'a Shared,
    /// Of failed appends, marks and reads.
    limits: [LineLimit; 3],
    /// When marks are to be written.
    marks_due: Option<Instant>,
    /// When reading is to be tried again.
    reads_due: Option<Instant>,
}

impl Writer<'_> {
    fn run(mut self) {
        self.read_ahead();
        loop {
            self.show();
            if self.log.is_dirty() && self.marks_due.is_none() {
                self.marks_due = Some(Instant::now() + MARKS_WAIT);
            }
            let work = self.shared.wait(&mut self.marks_due, self.reads_due);
            for settled in work.settled {
                match settled {
                    Settled::Done(sequence) => self.log.done(sequence),
                    Settled::PutBack(sequence) => self.log.put_back(sequence),
                }
            }
            self.append(work.pending);
            let is_past = |due: Option<Instant>| due.is_some_and(|due| due <= Instant::now());
            if work.is_closing || is_past(self.marks_due) {
                self.flush();
            }
            if work.is_closing {
                self.log.seal_if_done();
                self.show();
                return;
            }
            if self.reads_due.is_none() || is_past(self.reads_due) {
                self.read_ahead();
            }
        }
    }

    /// Appends in groups, each with one write.
    fn append(&mut self, mut pending: Vec<Pending>) {
        while !pending.is_empty() {
            let mut bytes = 0;
            let fits = |one: &Pending| {
                bytes += format::body_bytes(&one.record);
                bytes <= GROUP_BYTES
            };
            let count = pending.iter().map(fits).take_while(|fits| *fits).count().max(1);
            let rest = pending.split_off(count);
            self.append_group(std::mem::replace(&mut pending, rest));
        }
    }

    fn append_group(&mut self, group: Vec<Pending>) {
        let records: Vec<&Record> = group.iter().map(|pending| &pending.record).collect();
        let results = self.log.append(&records);
        for (Pending { record, is_taken, reply }, result) in group.into_iter().zip(results) {
            let result = result.map(|sequence| self.appended(sequence, record, is_taken));
            if let Err(error) = &result {
                self.warn_of_append(error);
            }
            // A caller that has gone has no use for the answer.
            let _gone = reply.send(result);
        }
        let has_waiting = self.log.has_waiting();
        self.shared.set_backlog(has_waiting);
    }

    /// Counts a record, and hands it out at once if nothing waits before it.
    fn appended(&mut self, sequence: u64, record: Record, is_taken: bool) -> RecordId {
        let items = u64::try_from(record.items).unwrap_or(u64::MAX);
        let bytes = format::body_bytes(&record);
        self.shared.count(1, items, bytes as u64);
        let id = RecordId::new(sequence, record.items, bytes);
        if is_taken {
            self.log.take_whatever(sequence);
        } else if self.shared.has_room() && self.log.take_appended(sequence) {
            self.shared.push(sequence, record);
        }
        id
    }

    fn warn_of_append(&self, error: &AppendError) {
        let [limit, ..] = &self.limits;
        if let Some(suppressed) = limit.allow() {
            tracing::warn!(path = %self.log.path().display(), %error, suppressed, "a record was not appended");
        }
    }

    fn flush(&mut self) {
        let [_, limit, _] = &self.limits;
        self.marks_due = None;
        if let Err(error) = self.log.flush() {
            self.marks_due = Some(Instant::now() + AGAIN);
            self.warn(
                limit,
                &error,
                "marks of done records cannot be written: they come again after a restart",
            );
        }
    }

    fn read_ahead(&mut self) {
        self.reads_due = None;
        while self.shared.has_room() {
            match self.log.take() {
                None => break,
                Some(Ok(Took::Record { sequence, record })) => self.shared.push(sequence, record),
                Some(Ok(Took::Damaged { items, bytes })) => self.shared.uncount(items, bytes),
                Some(Err(error)) => {
                    self.reads_due = Some(Instant::now() + AGAIN);
                    let [_, _, limit] = &self.limits;
                    self.warn(limit, &error, "a record cannot be read: tried again later");
                    break;
                }
            }
        }
        let has_waiting = self.log.has_waiting();
        self.shared.set_backlog(has_waiting);
    }

    fn warn(&self, limit: &LineLimit, error: &io::Error, message: &'static str) {
        if let Some(suppressed) = limit.allow() {
            tracing::warn!(path = %self.log.path().display(), %error, suppressed, message);
        }
    }

    fn show(&self) {
        let (records, _, _) = self.shared.counts();
        self.log.metrics.records.set(i64::try_from(records).unwrap_or(i64::MAX));
        self.log.metrics.bytes.set(i64::try_from(self.log.disk_bytes()).unwrap_or(i64::MAX));
    }
}

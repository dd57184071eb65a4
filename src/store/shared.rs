//! What the callers and the thread of a queue share: one lock, never held over a file operation.
//!
//! Stage: edge, below `store`. Three lists, each with a limit: appends that wait for the disk (their callers wait too), records
//! read ahead, and settled records, of which there are no more than were taken.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prometheus::IntCounter;
use tokio::{
    sync::{Semaphore, oneshot},
    time::Instant,
};

use super::{AppendError, Record, RecordId, Taken, format};

/// Appends under way.
const APPENDS_MAX: usize = 1024;

/// Records read ahead.
const AHEAD_RECORDS_MAX: usize = 64;
const AHEAD_BYTES_MAX: u64 = 4 << 20;

/// How long a mark waits for others.
pub(super) const MARKS_WAIT: Duration = Duration::from_millis(50);

/// So many settled records wake the thread before their time.
const SETTLED_MAX: usize = 4096;

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// For the thread: there may be work.
    work: Condvar,
    /// One permit for each record read ahead; closed with the queue.
    ready: Semaphore,
    /// One permit for each append that may be under way; closed with the queue.
    room: Semaphore,
    append_failed: IntCounter,
}

#[derive(Debug, Default)]
struct State {
    pending: VecDeque<Pending>,
    settled: Vec<Settled>,
    /// A record was put back: the thread should not wait.
    is_urgent: bool,
    ahead: VecDeque<Taken>,
    ahead_bytes: u64,
    /// Records wait that are not read ahead.
    has_backlog: bool,
    is_closing: bool,
    records: usize,
    items: u64,
    bytes: u64,
}

/// An append that waits for the disk.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) record: Record,
    /// Whether it is the caller's at once, and not to be handed out.
    pub(super) is_taken: bool,
    pub(super) reply: oneshot::Sender<Result<RecordId, AppendError>>,
}

/// A record that its taker is through with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Settled {
    Done(u64),
    PutBack(u64),
}

/// What the thread is to do.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) pending: Vec<Pending>,
    pub(super) settled: Vec<Settled>,
    pub(super) is_closing: bool,
}

impl Shared {
    pub(super) fn new(append_failed: IntCounter) -> Self {
        Self {
            state: Mutex::default(),
            work: Condvar::new(),
            ready: Semaphore::new(0),
            room: Semaphore::new(APPENDS_MAX),
            append_failed,
        }
    }

    // === For callers ===

    pub(super) async fn append(&self, record: Record, is_taken: bool) -> Result<RecordId, AppendError> {
        let Ok(_room) = self.room.acquire().await else { return Err(AppendError::Closed) };
        let (reply, answer) = oneshot::channel();
        {
            let mut state = self.lock();
            if state.is_closing {
                return Err(AppendError::Closed);
            }
            state.pending.push_back(Pending { record, is_taken, reply });
            // The thread takes all that is there at once.
            if state.pending.len() == 1 {
                self.work.notify_one();
            }
        }
        let result = answer.await.unwrap_or(Err(AppendError::Closed));
        if result.is_err() {
            self.append_failed.inc();
        }
        result
    }

    pub(super) async fn next(&self) -> Option<Taken> {
        self.ready.acquire().await.ok()?.forget();
        let mut state = self.lock();
        let taken = state.ahead.pop_front()?;
        state.ahead_bytes -= u64::from(taken.id.bytes);
        if state.wants_more() {
            self.work.notify_one();
        }
        Some(taken)
    }

    pub(super) fn done(&self, id: &RecordId) {
        let mut state = self.lock();
        state.uncount(id.items, id.bytes);
        self.settle(state, Settled::Done(id.sequence));
    }

    pub(super) fn put_back(&self, id: &RecordId) {
        let mut state = self.lock();
        state.is_urgent = true;
        self.settle(state, Settled::PutBack(id.sequence));
    }

    fn settle(&self, mut state: MutexGuard<'_, State>, settled: Settled) {
        state.settled.push(settled);
        // With the first one the thread begins to measure the time.
        if state.is_urgent || state.settled.len() == 1 || state.settled.len() >= SETTLED_MAX {
            self.work.notify_one();
        }
    }

    /// Records, items and bytes that are not done.
    pub(super) fn counts(&self) -> (usize, u64, u64) {
        let state = self.lock();
        (state.records, state.items, state.bytes)
    }

    pub(super) fn close(&self) {
        self.lock().is_closing = true;
        self.ready.close();
        self.room.close();
        self.work.notify_one();
    }

    // === For the thread ===

    /// Waits for something to do: until marks are to be written, which begins to count with the first of them, or reading is
    /// to be tried again, or a caller wants something.
    pub(super) fn wait(&self, marks_due: &mut Option<Instant>, reads_due: Option<Instant>) -> Work {
        let mut state = self.lock();
        loop {
            if !state.settled.is_empty() && marks_due.is_none() {
                *marks_due = Some(Instant::now() + MARKS_WAIT);
            }
            let due = [*marks_due, reads_due].into_iter().flatten().min();
            let left = due.map(|due| due.saturating_duration_since(Instant::now()));
            let reads = state.wants_more() && reads_due.is_none();
            let settled = state.is_urgent || state.settled.len() >= SETTLED_MAX;
            if reads
                || settled
                || state.is_closing
                || !state.pending.is_empty()
                || left == Some(Duration::ZERO)
            {
                break;
            }
            state = match left {
                None => self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) => self.work.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
        state.is_urgent = false;
        Work {
            pending: state.pending.drain(..).collect(),
            settled: std::mem::take(&mut state.settled),
            is_closing: state.is_closing,
        }
    }

    /// Counts records that are not done.
    pub(super) fn count(&self, records: usize, items: u64, bytes: u64) {
        let mut state = self.lock();
        state.records += records;
        state.items += items;
        state.bytes += bytes;
    }

    /// A record is gone without having been handed out.
    pub(super) fn uncount(&self, items: u32, bytes: u32) {
        self.lock().uncount(items, bytes);
    }

    /// Whether one more record may be read ahead.
    pub(super) fn has_room(&self) -> bool {
        let state = self.lock();
        state.ahead.is_empty()
            || (state.ahead.len() < AHEAD_RECORDS_MAX && state.ahead_bytes < AHEAD_BYTES_MAX)
    }

    /// A record to hand out.
    pub(super) fn push(&self, sequence: u64, record: Record) {
        let id = RecordId::new(sequence, record.items, format::body_bytes(&record));
        let mut state = self.lock();
        state.ahead_bytes += u64::from(id.bytes);
        state.ahead.push_back(Taken { record, id });
        self.ready.add_permits(1);
    }

    /// Whether records wait that are not read ahead.
    pub(super) fn set_backlog(&self, has_backlog: bool) {
        self.lock().has_backlog = has_backlog;
    }

    /// The thread has ended: nobody waits for it any more.
    pub(super) fn ended(&self) {
        self.close();
        let mut state = self.lock();
        state.pending.clear();
        state.ahead.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock panics between two values that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Half of what may be read ahead is gone, and there is more.
    fn wants_more(&self) -> bool {
        self.has_backlog
            && self.ahead.len() <= AHEAD_RECORDS_MAX / 2
            && self.ahead_bytes <= AHEAD_BYTES_MAX / 2
    }

    fn uncount(&mut self, items: u32, bytes: u32) {
        self.records = self.records.saturating_sub(1);
        self.items = self.items.saturating_sub(u64::from(items));
        self.bytes = self.bytes.saturating_sub(u64::from(bytes));
    }
}

//! A persistent queue of opaque records: `sending_queue.storage`.
//!
//! Stage: edge, used by `router`. Knows nothing of OTLP: a record is bytes, the client headers that go along, and a number of
//! items.
//!
//! An append-only log in segments (`segment`), each with a file of marks for the records that are done; a segment is deleted
//! when all of its records are. One thread (`writer`) does everything that touches the disk: it writes what has come together
//! meanwhile in one go (**group commit**), and reads ahead a bounded number of bytes for [`Store::next`]. Memory does not grow
//! with the backlog but for 24 bytes a record.
//!
//! **What a crash does.** A record is durable when [`Store::append`] returns: against a crash of the process always, against one
//! of the machine with `fsync`. Marks are written within some milliseconds; a record whose mark was not comes again. A record
//! that was not written to its end is cut off when the queue is opened; one that is damaged is counted, skipped, and its
//! file set aside as `.corrupt` instead of being deleted.

mod record;
mod segment;
mod writer;

use std::{
    collections::VecDeque,
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, oneshot};

use self::{segment::Place, writer::Writer};

use crate::{model::Metadata, tasks::Tasks, telemetry::StoreMetrics};

/// What is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whatever it is.
    pub payload: Bytes,
    /// Client headers that go along.
    pub metadata: Metadata,
    /// Items inside; only added up here.
    pub items: usize,
}

/// A record handed out, until [`Store::done`] or [`Store::put_back`].
#[derive(Debug)]
pub struct Taken {
    /// What was appended.
    pub record: Record,
    /// What to settle it with.
    pub id: RecordId,
}

/// The name of one record that was handed out. There is one for each, so that a record is settled once. If it is dropped, the
/// record stays taken until the store is opened again.
#[derive(Debug)]
#[must_use = "a record that is never settled is handed out again only after a restart"]
pub struct RecordId {
    place: Place,
}

/// How a queue is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directory of this queue alone. It is made if its parent exists.
    pub directory: PathBuf,
    /// Make the parents too.
    pub create_directory: bool,
    /// Survive a crash of the machine, not only of the process.
    pub fsync: bool,
    /// Bytes of the files of this queue; no limit but the disk's without.
    pub max_bytes: Option<u64>,
    /// Size at which a new file is begun.
    pub segment_bytes: u64,
}

impl Options {
    /// Size at which a new file is begun, unless something else is wanted.
    pub const SEGMENT_BYTES: u64 = 8 << 20;
}

/// Why a queue cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no such directory and none was to be made.
    #[error("directory must exist: {}", .0.display())]
    Missing(PathBuf),
    /// Another process, or another queue of this one, has it open.
    #[error("{} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// A file was written by another version.
    #[error("{}: format {found} is not known, only {known} is", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// What this build reads.
        known: u32,
    },
    /// The file system refuses.
    #[error("{}: {source}", path.display())]
    Io {
        /// File or directory.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// Why a record was not appended. Nothing of it is kept then.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// `max_bytes` (given) is reached, or the disk is full. Works again when there is room.
    #[error("the persistent queue is full: {}", reason(*.0))]
    Full(Option<u64>),
    /// No record may be so large (bytes given).
    #[error("a record of {0} bytes is too large for the persistent queue")]
    TooLarge(usize),
    /// The file system refuses for another reason.
    #[error("the persistent queue cannot be written: {0}")]
    Io(#[source] Arc<io::Error>),
    /// The store is closed.
    #[error("the persistent queue is closed")]
    Closed,
}

fn reason(limit: Option<u64>) -> String {
    limit.map_or_else(
        || "no space on the disk".to_owned(),
        |limit| format!("it has the {limit} bytes it may have"),
    )
}

/// Requests to the thread that may wait: appends of so many callers become one write.
const INBOX: usize = 1024;

/// A persistent queue. Clones are the same queue.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
    inbox: mpsc::Sender<Request>,
}

/// What the thread is asked for.
#[derive(Debug)]
enum Request {
    /// Write this, and say when it is durable.
    Append(Record, oneshot::Sender<Result<(), AppendError>>),
    /// Look at what is done, and at what may be read ahead.
    Look,
    /// Write what is left, and end.
    Close(oneshot::Sender<()>),
}

/// What callers and the thread share.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// There is something to take, or the end.
    ready: Notify,
    /// A [`Request::Look`] is on its way.
    looking: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// Read ahead.
    ready: VecDeque<Taken>,
    ready_bytes: usize,
    /// Done and not marked yet.
    done: Vec<Place>,
    /// Given back and not waiting yet.
    returned: Vec<Place>,
    /// Records that are not done, and what they hold.
    records: usize,
    items: usize,
    bytes: u64,
    is_closed: bool,
}

impl Store {
    /// Opens a queue or makes a new one. Reads all of what a process left behind, on the thread that will serve it.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub async fn open(options: Options, metrics: StoreMetrics, tasks: &Tasks) -> Result<Self, OpenError> {
        let (inbox, requests) = mpsc::channel(INBOX);
        let (opened, result) = oneshot::channel();
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            ready: Notify::new(),
            looking: AtomicBool::new(false),
        });
        let path = options.directory.clone();
        let io = |source| OpenError::Io { path, source };
        let its = Arc::clone(&shared);
        let work = move || match Writer::open(options, metrics, its) {
            Ok(writer) => {
                if opened.send(Ok(())).is_ok() {
                    writer.run(requests);
                }
            }
            Err(error) => drop(opened.send(Err(error))),
        };
        if let Err(error) = tasks.thread("store", work) {
            return Err(io(error));
        }
        match result.await {
            Ok(opened) => opened.map(|()| Self { shared, inbox }),
            Err(_ended) => Err(io(io::Error::other("the thread that opens it has ended"))),
        }
    }

    /// Appends a record; it is durable when this returns.
    ///
    /// # Errors
    ///
    /// [`AppendError`].
    pub async fn append(&self, record: Record) -> Result<(), AppendError> {
        let (answer, written) = oneshot::channel();
        self.inbox.send(Request::Append(record, answer)).await.map_err(|_| AppendError::Closed)?;
        written.await.unwrap_or(Err(AppendError::Closed))
    }

    /// The next record; waits for one. `None` after [`Store::close`]. For one caller at a time.
    ///
    /// Cancel safe: a record is taken only when this returns.
    pub async fn next(&self) -> Option<Taken> {
        loop {
            {
                let mut state = self.shared.lock();
                if state.is_closed {
                    return None;
                }
                if let Some(taken) = state.ready.pop_front() {
                    state.ready_bytes = state.ready_bytes.saturating_sub(taken.record.payload.len());
                    drop(state);
                    self.look();
                    return Some(taken);
                }
            }
            self.shared.ready.notified().await;
        }
    }

    /// The record is delivered or given up.
    pub fn done(&self, id: RecordId) {
        let place = id.place;
        let mut state = self.shared.lock();
        state.done.push(place);
        state.records = state.records.saturating_sub(1);
        state.items = state.items.saturating_sub(place.items as usize);
        state.bytes = state.bytes.saturating_sub(u64::from(place.bytes));
        drop(state);
        self.look();
    }

    /// The record is to be handed out again, after others.
    pub fn put_back(&self, id: RecordId) {
        self.shared.lock().returned.push(id.place);
        self.look();
    }

    /// Records that are not done.
    pub fn len(&self) -> usize {
        self.shared.lock().records
    }

    /// Whether every record is done.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Items of the records that are not done.
    pub fn items(&self) -> usize {
        self.shared.lock().items
    }

    /// Bytes of the records that are not done.
    pub fn bytes(&self) -> u64 {
        self.shared.lock().bytes
    }

    /// Writes down what is done, and ends. What is not done comes again when the queue is opened.
    pub async fn close(&self) {
        let (ended, end) = oneshot::channel();
        if self.inbox.send(Request::Close(ended)).await.is_ok() {
            // An error says that the thread has ended, too.
            drop(end.await);
        }
    }

    fn look(&self) {
        if !self.shared.looking.swap(true, Ordering::AcqRel) && self.inbox.try_send(Request::Look).is_err() {
            // The thread has other requests, and looks after each of them.
            self.shared.looking.store(false, Ordering::Release);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

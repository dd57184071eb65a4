//! A persistent queue of opaque records: `sending_queue.storage`.
//!
//! Stage: edge, used by `router`. Knows nothing of OTLP: a record is bytes, the client headers that go along, and a number of
//! items. Owns the files of one directory, and a thread that alone touches them.
//!
//! ```text
//! append ─▶ pending ─▶ thread: one write, one sync for all ─▶ segment files ─▶ read ahead ─▶ next
//!                        marks of done records, every 50 ms ─▶ .done files ◀── done, put_back
//! ```
//!
//! **A plain log.** Records are appended to segment files (`store/format` has the layout) and never changed; a record that is
//! done gets a mark in a file beside its segment, and a segment whose records are all done is removed: that is all there is to
//! freeing room. `benches/README.md` has the figures beside two embedded stores.
//!
//! **At least once.** What was acknowledged and is not done comes again after a restart, taken or not. Without `fsync` that
//! holds for a killed process; with it for a machine without power as well. A record comes twice if the process is killed
//! within 50 ms after it was done.
//!
//! **Memory does not grow with the backlog**, but for 16 bytes for each record (32 while it is put back): payloads are read back
//! when it is their turn, at most 64 records or 4 MiB ahead. A record that is taken at once is never read.
//!
//! **Nothing in a file stops the gateway.** Unfinished writes are cut off, damaged records are set aside as `.corrupt` files
//! (sixteen at most), counted and logged; only files of a format that is not known refuse to be opened.

mod disk;
mod format;
mod log;
mod open;
mod segment;
mod shared;
#[cfg(test)]
mod tests;
mod writer;

use std::{io, path::PathBuf, sync::Arc};

use bytes::Bytes;
use tokio::sync::{oneshot, watch};

use crate::{model::Metadata, tasks::Tasks, telemetry::StoreMetrics};
use disk::{Directory, Disk};
use log::Limits;
use shared::Shared;

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
    sequence: u64,
    items: u32,
    bytes: u32,
}

impl RecordId {
    /// Both are below 4 GiB; `items` are only added up.
    fn new(sequence: u64, items: usize, bytes: usize) -> Self {
        let clamp = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Self { sequence, items: clamp(items), bytes: clamp(bytes) }
    }
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

/// A persistent queue. Clones are the same queue; it is closed with the last of them, or by [`Store::close`].
#[derive(Clone, Debug)]
pub struct Store {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    /// Closed when the thread has ended.
    ended: watch::Receiver<()>,
}

impl Store {
    /// Opens a queue or makes a new one, takes the lock on its directory, and starts its thread in `tasks`. Records that were
    /// not done come again, those that were taken too.
    ///
    /// Reads the headers of the whole backlog: about a microsecond for each record.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub async fn open(options: Options, metrics: StoreMetrics, tasks: &Tasks) -> Result<Self, OpenError> {
        let limits = Limits {
            fsync: options.fsync,
            max_bytes: options.max_bytes,
            segment_bytes: options.segment_bytes,
        };
        let directory = options.directory.clone();
        let disk = move || Directory::open(&options).map(|directory| Box::new(directory) as Box<dyn Disk>);
        Self::start(directory, disk, limits, metrics, tasks).await
    }

    async fn start(
        directory: PathBuf,
        disk: impl FnOnce() -> Result<Box<dyn Disk>, OpenError> + Send + 'static,
        limits: Limits,
        metrics: StoreMetrics,
        tasks: &Tasks,
    ) -> Result<Self, OpenError> {
        let shared = Arc::new(Shared::new(metrics.append_failed.clone()));
        let (running, ended) = watch::channel(());
        let (reply, opened) = oneshot::channel();
        let failed = |source| OpenError::Io { path: directory, source };
        let work = {
            let shared = shared.clone();
            move || {
                let _running = running;
                let log = disk().and_then(|disk| open::open(disk, limits, metrics));
                writer::run(log, &shared, reply);
            }
        };
        if let Err(error) = tasks.thread("store", work) {
            return Err(failed(error));
        }
        match opened.await {
            Ok(opened) => opened.map(|()| Self { handle: Arc::new(Handle { shared, ended }) }),
            Err(_) => Err(failed(io::Error::other("its thread has ended"))),
        }
    }

    /// Appends a record. When this returns it is written to the file, and synced if so configured; appends at the same time
    /// share the write and the sync. At most 1,024 are under way, others wait.
    ///
    /// If the future is dropped before it ends, the record may be kept or not.
    ///
    /// # Errors
    ///
    /// [`AppendError`].
    pub async fn append(&self, record: Record) -> Result<(), AppendError> {
        self.handle.shared.append(record, false).await.map(drop)
    }

    /// Appends a record that the caller has in hand already: it is not handed out, but comes again after a restart unless it is
    /// settled before. For what is left of a record.
    ///
    /// # Errors
    ///
    /// [`AppendError`].
    pub async fn append_taken(&self, record: Record) -> Result<RecordId, AppendError> {
        self.handle.shared.append(record, true).await
    }

    /// The next record that has not been handed out; waits for one. The oldest comes first, what was put back after what was
    /// there at that time. `None` once the queue is closed. Nothing is lost if the future is dropped.
    pub async fn next(&self) -> Option<Taken> {
        self.handle.shared.next().await
    }

    /// The record is delivered or given up: it does not come again. The mark is written within 50 ms, or when the queue is
    /// closed; if the process is killed before, the record comes again.
    pub fn done(&self, id: RecordId) {
        self.handle.shared.done(&id);
    }

    /// The record is to be handed out again, after what waits now.
    pub fn put_back(&self, id: RecordId) {
        self.handle.shared.put_back(&id);
    }

    /// Records that are not done, waiting and taken.
    pub fn len(&self) -> usize {
        self.handle.shared.counts().0
    }

    /// Whether every record is done.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Items of the records that are not done.
    pub fn items(&self) -> u64 {
        self.handle.shared.counts().1
    }

    /// Bytes of the records that are not done: payloads and metadata.
    pub fn bytes(&self) -> u64 {
        self.handle.shared.counts().2
    }

    /// Ends it: appends that are under way are carried out, marks are written, the lock is released. What is taken and not
    /// settled by then comes again when the queue is opened the next time.
    ///
    /// Waits for the disk, without a time limit of its own.
    pub async fn close(&self) {
        self.handle.shared.close();
        // The thread never sends: this is its end.
        let _ended = self.handle.ended.clone().changed().await;
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close();
    }
}

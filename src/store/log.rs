//! The queue on one disk: append, take, settle, mark, remove. Synchronous, for one thread.
//!
//! Stage: edge, below `store`. Owns every file of the directory. Segments are written once, from front to back; only the last
//! one grows, and never again after a restart or a failure that leaves its end in doubt.
//!
//! **Failures of the disk.** What a failed write left behind is cut off; where that fails too, or where a sync failed (after
//! which the kernel may believe that lost pages are written), the next record goes into a new segment. A record that stands
//! behind the base of the next segment was never acknowledged: opening ignores it. Marks that cannot be written are kept and
//! tried again; a full disk does not need them, since a segment whose records are all done is removed without.

mod append;
mod marks;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    path::PathBuf,
};

use bytes::Bytes;

use super::{
    Record,
    disk::{Disk, Handles},
    format::{self, Kind, RECORD_HEADER_BYTES, RecordHeader},
    segment::{Entry, Segment, State},
};
use crate::telemetry::StoreMetrics;

/// Files of damaged bytes that are kept; what is found beyond that is counted and logged only.
const CORRUPT_FILES_MAX: usize = 16;

/// Segments of no more than this are begun whatever `max_bytes` is.
const SEGMENT_BYTES_MIN: u64 = 64 << 10;
const SEGMENT_BYTES_MAX: u64 = 1 << 30;

/// Of a queue with a limit, at least so many segments: the room of done records comes back in portions of one.
const SEGMENTS_IN_LIMIT: u64 = 8;

/// Larger buffers are given back after the write.
const BUFFER_KEPT_BYTES: usize = 2 << 20;

/// Limits of a queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) fsync: bool,
    pub(super) max_bytes: Option<u64>,
    pub(super) segment_bytes: u64,
}

/// The queue.
pub(super) struct Log {
    pub(super) disk: Box<dyn Disk>,
    pub(super) handles: Handles,
    pub(super) limits: Limits,
    pub(super) metrics: StoreMetrics,
    /// By their bases.
    pub(super) segments: BTreeMap<u64, Segment>,
    /// The segment that grows, if there is one.
    active: Option<u64>,
    /// The sequence number of the next record.
    pub(super) next: u64,
    /// Where to look for the next record that was never handed out.
    cursor: u64,
    /// Records given back, and the sequence number that each of them comes before.
    returned: VecDeque<(u64, u64)>,
    /// Segments with marks to write, or to remove.
    dirty: BTreeSet<u64>,
    pub(super) corrupt_files: usize,
    disk_bytes: u64,
    buffer: Vec<u8>,
}

/// What has become of the record whose turn it was.
#[derive(Debug)]
pub(super) enum Took {
    /// It was read back.
    Record {
        /// Its name.
        sequence: u64,
        /// What was appended.
        record: Record,
    },
    /// It is damaged; it was set aside and is done.
    Damaged {
        /// That it had.
        items: u32,
        /// Of its body.
        bytes: u32,
    },
}

impl Log {
    /// A queue without segments; `open` fills it.
    pub(super) fn new(disk: Box<dyn Disk>, mut limits: Limits, metrics: StoreMetrics) -> Self {
        let share = limits.max_bytes.map_or(u64::MAX, |max| max / SEGMENTS_IN_LIMIT);
        limits.segment_bytes = limits.segment_bytes.min(share).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
        Self {
            disk,
            handles: Handles::new(),
            limits,
            metrics,
            segments: BTreeMap::new(),
            active: None,
            next: 0,
            cursor: 0,
            returned: VecDeque::new(),
            dirty: BTreeSet::new(),
            corrupt_files: 0,
            disk_bytes: 0,
            buffer: Vec::new(),
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.disk.path().to_owned()
    }

    /// Bytes of all files, but for what was set aside.
    pub(super) const fn disk_bytes(&self) -> u64 {
        self.disk_bytes
    }

    /// Records that are not done: how many, their items and their bytes. Looks at every entry.
    pub(super) fn undone(&self) -> (usize, u64, u64) {
        let of_each = self.segments.values().map(Segment::undone);
        of_each.fold((0, 0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1, sum.2 + one.2))
    }

    // === Take ===

    /// Whether a record waits.
    pub(super) fn has_waiting(&mut self) -> bool {
        self.advance();
        !self.returned.is_empty() || self.cursor < self.next
    }

    /// The next record: what was given back in its turn, else the oldest. `None` if nothing waits.
    ///
    /// # Errors
    ///
    /// If it cannot be read now; it has gone to the end.
    pub(super) fn take(&mut self) -> Option<io::Result<Took>> {
        let sequence = self.take_sequence()?;
        let (base, entry) = self.find(sequence)?;
        Some(match self.read(base, sequence, entry) {
            Ok(Some(record)) => Ok(Took::Record { sequence, record }),
            Ok(None) => {
                self.done(sequence);
                Ok(Took::Damaged { items: entry.items, bytes: entry.length })
            }
            Err(error) => {
                self.put_back(sequence);
                Err(error)
            }
        })
    }

    /// Hands out a record that was appended last, without reading it, if it is its turn.
    pub(super) fn take_appended(&mut self, sequence: u64) -> bool {
        self.advance();
        let is_next =
            self.cursor == sequence && self.returned.front().is_none_or(|&(_, before)| before > sequence);
        if is_next {
            self.set(sequence, State::Taken);
        }
        is_next
    }

    /// Hands out a record that was appended last, whatever waits before it.
    pub(super) fn take_whatever(&mut self, sequence: u64) {
        self.set(sequence, State::Taken);
    }

    fn take_sequence(&mut self) -> Option<u64> {
        self.advance();
        let sequence = match self.returned.front() {
            Some(&(sequence, before)) if before <= self.cursor => {
                self.returned.pop_front();
                sequence
            }
            _ if self.cursor < self.next => self.cursor,
            _ => self.returned.pop_front()?.0,
        };
        self.set(sequence, State::Taken);
        Some(sequence)
    }

    /// Moves the cursor to the oldest record that was never handed out, or to the end.
    fn advance(&mut self) {
        while let Some(segment) = self.segment_from(self.cursor) {
            if let Some(sequence) = segment.first_waiting(self.cursor) {
                self.cursor = sequence;
                return;
            }
            self.cursor = segment.end();
        }
        self.cursor = self.next;
    }

    /// The segment that has a sequence number, or the first one behind it.
    fn segment_from(&self, sequence: u64) -> Option<&Segment> {
        let at = self.segments.range(..=sequence).next_back().map(|(_, segment)| segment);
        let at = at.filter(|segment| sequence < segment.end());
        at.or_else(|| {
            self.segments.range(sequence..).map(|(_, segment)| segment).find(|one| one.end() > sequence)
        })
    }

    /// Reads a record; `None` if it is damaged and has been set aside.
    fn read(&mut self, base: u64, sequence: u64, entry: Entry) -> io::Result<Option<Record>> {
        let bytes = RECORD_HEADER_BYTES + entry.length as usize;
        let file = self.handles.get(&*self.disk, &Kind::Log.name(base))?;
        let mut raw = vec![0; bytes];
        file.read_at(&mut raw, u64::from(entry.offset))?;
        let raw = Bytes::from(raw);
        let header =
            raw.first_chunk().and_then(RecordHeader::decode).filter(|header| header.sequence == sequence);
        let record = header.and_then(|header| header.body(raw.slice(RECORD_HEADER_BYTES..)));
        if record.is_none() {
            self.set_aside(base, u64::from(entry.offset), &raw)?;
        }
        Ok(record)
    }

    /// Keeps damaged bytes in a file of their own, counts and logs them.
    pub(super) fn set_aside(&mut self, base: u64, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let kept = self.corrupt_files < CORRUPT_FILES_MAX;
        if kept {
            let name = format::corrupt_name(base, offset);
            // It is there already if the process ended before the mark was written.
            let file = match self.disk.create(&name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.disk.open(&name),
                file => file,
            };
            if let Err(error) = file.and_then(|file| file.write_at(bytes, 0)) {
                let _unfinished = self.disk.remove(&name);
                return Err(error);
            }
            self.corrupt_files += 1;
        }
        self.count_corrupt(base, offset, bytes.len() as u64, kept);
        Ok(())
    }

    pub(super) fn count_corrupt(&self, base: u64, offset: u64, bytes: u64, kept: bool) {
        self.metrics.corrupt_records.inc();
        self.metrics.corrupt_bytes.inc_by(bytes);
        let file = self.disk.path().join(Kind::Log.name(base));
        tracing::error!(file = %file.display(), offset, bytes, kept, "damaged record in the persistent queue");
    }

    // === Settle ===

    /// A record is done; the mark is written by [`Log::flush`].
    pub(super) fn done(&mut self, sequence: u64) {
        if let Some(segment) = self.holder(sequence)
            && segment.set(sequence, State::Done)
        {
            segment.want_mark(sequence);
            let base = segment.base();
            self.dirty.insert(base);
        }
    }

    /// A record comes again after everything that is there now.
    pub(super) fn put_back(&mut self, sequence: u64) {
        // It stays taken for the cursor, which passes each record once.
        if self.find(sequence).is_some_and(|(_, entry)| entry.state == State::Taken) {
            self.returned.push_back((sequence, self.next));
        }
    }

    /// Whether [`Log::flush`] has anything to do.
    pub(super) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Everything that opening has found is in place.
    pub(super) fn start(&mut self) {
        self.disk_bytes = self.segments.values().map(Segment::disk_bytes).sum();
        self.cursor = self.segments.keys().next().copied().unwrap_or(self.next);
        self.dirty.extend(self.segments.values().filter(|segment| segment.is_done()).map(Segment::base));
    }

    // === Look up ===

    fn set(&mut self, sequence: u64, state: State) {
        if let Some(segment) = self.holder(sequence) {
            segment.set(sequence, state);
        }
    }

    fn holder(&mut self, sequence: u64) -> Option<&mut Segment> {
        self.segments.range_mut(..=sequence).next_back().map(|(_, segment)| segment)
    }

    fn find(&self, sequence: u64) -> Option<(u64, Entry)> {
        let (&base, segment) = self.segments.range(..=sequence).next_back()?;
        Some((base, segment.entry(sequence)?))
    }
}

//! The thread that owns the files of one queue.
//!
//! Stage: edge, part of `store`. Appends, marks, reading ahead, deleting, and what happens when the disk fails.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::{self, File, TryLockError},
    io,
    sync::{Arc, atomic::Ordering},
};

use tokio::sync::{mpsc, oneshot};

use super::{
    AppendError, OpenError, Options, Record, RecordId, Request, Shared, Taken, record,
    segment::{self, Place, Segment, SegmentError, VERSION},
};
use crate::{
    model::Metadata,
    telemetry::{StoreMetrics, logs::LineLimit},
};

/// What one write may gather.
const GROUP_BYTES: usize = 8 << 20;
/// What may be read ahead.
const AHEAD_BYTES: usize = 4 << 20;
const AHEAD_RECORDS: usize = 256;

/// See the module.
#[derive(Debug)]
pub(super) struct Writer {
    options: Options,
    metrics: StoreMetrics,
    shared: Arc<Shared>,
    /// By number; the last one is written to.
    segments: BTreeMap<u64, Segment>,
    /// What is neither read ahead nor taken, the oldest first.
    waiting: VecDeque<Place>,
    failures: LineLimit,
    /// Held as long as the queue is open.
    _lock: File,
}

/// One append of a group.
struct Pending {
    bytes: usize,
    items: usize,
    record: Record,
    answer: oneshot::Sender<Result<(), AppendError>>,
}

impl Writer {
    /// Finds what is there, and begins a segment.
    pub(super) fn open(
        options: Options,
        metrics: StoreMetrics,
        shared: Arc<Shared>,
    ) -> Result<Self, OpenError> {
        let directory = options.directory.clone();
        let io = |source| OpenError::Io { path: directory.clone(), source };
        let parent = directory.parent().unwrap_or(&directory);
        if options.create_directory {
            fs::create_dir_all(&directory).map_err(io)?;
        } else if !parent.is_dir() {
            return Err(OpenError::Missing(parent.to_owned()));
        } else if let Err(error) = fs::create_dir(&directory)
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(io(error));
        }
        let lock = File::create(directory.join("lock")).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::Locked(directory)),
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        let mut writer = Self {
            options,
            metrics,
            shared,
            segments: BTreeMap::new(),
            waiting: VecDeque::new(),
            failures: LineLimit::new(),
            _lock: lock,
        };
        writer.recover()?;
        Ok(writer)
    }

    fn recover(&mut self) -> Result<(), OpenError> {
        let directory = self.options.directory.clone();
        let at = |number: Option<u64>, source| {
            let path = number
                .map_or_else(|| directory.clone(), |number| directory.join(format!("{number:010}.log")));
            OpenError::Io { path, source }
        };
        let numbers = segment::list(&directory).map_err(|error| at(None, error))?;
        let last = numbers.last().copied();
        for number in numbers {
            let (segment, found) = match Segment::open(&directory, number, Some(number) == last) {
                Ok(opened) => opened,
                Err(SegmentError::Io(error)) => return Err(at(Some(number), error)),
                Err(SegmentError::Version(found)) => {
                    let path = directory.join(format!("{number:010}.log"));
                    return Err(OpenError::Version { path, found, known: VERSION });
                }
            };
            self.metrics.recovered_records.inc_by(found.live.len() as u64);
            if found.corrupt_records > 0 {
                self.count_corrupt(&segment, found.corrupt_records, found.corrupt_bytes);
            }
            if found.torn_bytes > 0 {
                tracing::info!(
                    file = %segment.path().display(),
                    bytes = found.torn_bytes,
                    "the end of the persistent queue was not written completely, it is cut off"
                );
            }
            self.waiting.extend(found.live);
            self.segments.insert(number, segment);
        }
        let next = last.map_or(0, |last| last.saturating_add(1));
        let active =
            Segment::create(&directory, next, self.options.fsync).map_err(|error| at(Some(next), error))?;
        self.segments.insert(next, active);
        let mut state = self.shared.lock();
        state.records = self.waiting.len();
        state.items = self.waiting.iter().map(|place| place.items as usize).sum();
        state.bytes = self.waiting.iter().map(|place| u64::from(place.bytes)).sum();
        drop(state);
        self.remove_finished();
        self.read_ahead();
        self.show();
        Ok(())
    }

    /// Serves requests until the queue is closed or nobody can ask any more.
    pub(super) fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut closing = None;
        while closing.is_none() {
            let Some(first) = requests.blocking_recv() else { break };
            let mut appends = Vec::new();
            let mut bytes = 0;
            let mut next = Some(first);
            while let Some(request) = next.take() {
                match request {
                    Request::Append(record, answer) => {
                        bytes += record.payload.len();
                        appends.push((record, answer));
                    }
                    Request::Look => self.shared.looking.store(false, Ordering::Release),
                    Request::Close(ended) => {
                        closing = Some(ended);
                        break;
                    }
                }
                if bytes < GROUP_BYTES {
                    next = requests.try_recv().ok();
                }
            }
            if !appends.is_empty() {
                self.append(appends);
            }
            self.settle();
            self.read_ahead();
            self.show();
        }
        self.shared.lock().is_closed = true;
        self.shared.ready.notify_waiters();
        self.shared.ready.notify_one();
        self.settle();
        if let Some(ended) = closing {
            // Whoever asked may be gone.
            let _gone = ended.send(()).is_err();
        }
    }

    /// Writes a group with one write, and one sync if that is asked for.
    fn append(&mut self, appends: Vec<(Record, oneshot::Sender<Result<(), AppendError>>)>) {
        let mut bytes = Vec::new();
        let mut group = Vec::new();
        for (record, answer) in appends {
            match record::write(&record, &mut bytes) {
                Some(length) => group.push(Pending { bytes: length, items: record.items, record, answer }),
                None => drop(answer.send(Err(AppendError::TooLarge(record.payload.len())))),
            }
        }
        let written = self.write(&bytes);
        match written {
            Ok(place) => self.appended(place, group),
            Err(error) => {
                self.metrics.append_failed.inc_by(group.len() as u64);
                if let Some(suppressed) = self.failures.allow() {
                    tracing::error!(
                        directory = %self.options.directory.display(),
                        %error,
                        suppressed,
                        "requests cannot be stored, they are refused"
                    );
                }
                for pending in group {
                    drop(pending.answer.send(Err(error.clone())));
                }
            }
        }
    }

    /// Where the first of the records went.
    fn write(&mut self, records: &[u8]) -> Result<(u64, u64), AppendError> {
        if let Some(limit) = self.options.max_bytes
            && self.disk_bytes().saturating_add(records.len() as u64) > limit
        {
            return Err(AppendError::Full(Some(limit)));
        }
        if self.segments.values().next_back().is_none_or(|active| active.bytes >= self.options.segment_bytes)
        {
            self.begin_segment().map_err(append_error)?;
        }
        let Some(active) = self.segments.values_mut().next_back() else {
            return Err(AppendError::Closed);
        };
        let place = (active.number, active.bytes);
        let written = active.append(records, self.options.fsync);
        if let Err(error) = written {
            // What a file holds after a failed sync is not known: nothing more is written to it.
            if self.options.fsync {
                drop(self.begin_segment());
            }
            return Err(append_error(error));
        }
        Ok(place)
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        let number = self.segments.keys().next_back().map_or(0, |last| last.saturating_add(1));
        let segment = Segment::create(&self.options.directory, number, self.options.fsync)?;
        self.segments.insert(number, segment);
        self.remove_finished();
        Ok(())
    }

    fn appended(&mut self, (segment, mut offset): (u64, u64), group: Vec<Pending>) {
        if let Some(active) = self.segments.get_mut(&segment) {
            active.live += group.len();
        }
        let mut state = self.shared.lock();
        for Pending { bytes, items, record, answer } in group {
            let place = Place {
                segment,
                offset,
                bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
                items: u32::try_from(items).unwrap_or(u32::MAX),
            };
            offset += bytes as u64;
            state.records += 1;
            state.items += items;
            state.bytes += bytes as u64;
            let payload = record.payload.len();
            let fits = state.ready_bytes + payload <= AHEAD_BYTES && state.ready.len() < AHEAD_RECORDS;
            if self.waiting.is_empty() && fits {
                // The one who takes it is near: it does not have to be read again.
                state.ready_bytes += payload;
                let metadata = Metadata::new(record.metadata.pairs().to_vec());
                let record = Record { metadata, ..record };
                state.ready.push_back(Taken { record, id: RecordId { place } });
            } else {
                self.waiting.push_back(place);
            }
            // Whoever asked may be gone; the record is kept, since it was accepted.
            drop(answer.send(Ok(())));
        }
        drop(state);
        self.shared.ready.notify_one();
    }

    /// Marks what is done, and takes back what was given back.
    fn settle(&mut self) {
        let mut state = self.shared.lock();
        let done = std::mem::take(&mut state.done);
        self.waiting.extend(state.returned.drain(..));
        drop(state);
        if done.is_empty() {
            return;
        }
        let mut by_segment: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for place in done {
            by_segment.entry(place.segment).or_default().push(place.offset);
        }
        for (number, offsets) in by_segment {
            let Some(segment) = self.segments.get_mut(&number) else { continue };
            segment.live = segment.live.saturating_sub(offsets.len());
            // Not needed for a file that is deleted next.
            if segment.live == 0 && Some(&number) != self.segments.keys().next_back() {
                continue;
            }
            if let Some(segment) = self.segments.get_mut(&number)
                && let Err(error) = segment.mark(&offsets)
                && let Some(suppressed) = self.failures.allow()
            {
                tracing::warn!(
                    directory = %self.options.directory.display(),
                    %error,
                    suppressed,
                    "what is done cannot be written down, it comes again after a restart"
                );
            }
        }
        self.remove_finished();
    }

    /// Deletes segments whose records are all done, but for the one that is written to.
    fn remove_finished(&mut self) {
        let Some(active) = self.segments.keys().next_back().copied() else { return };
        let finished: Vec<u64> = self
            .segments
            .iter()
            .filter(|(number, one)| one.live == 0 && **number != active)
            .map(|(number, _)| *number)
            .collect();
        for number in finished {
            if let Some(segment) = self.segments.remove(&number)
                && let Err(error) = segment.remove()
            {
                tracing::warn!(
                    directory = %self.options.directory.display(),
                    segment = number,
                    %error,
                    "a file of the persistent queue cannot be deleted"
                );
            }
        }
    }

    fn read_ahead(&mut self) {
        loop {
            let state = self.shared.lock();
            let has_room = state.ready_bytes < AHEAD_BYTES && state.ready.len() < AHEAD_RECORDS;
            drop(state);
            let Some(place) = (if has_room { self.waiting.pop_front() } else { None }) else { return };
            let read = self
                .segments
                .get(&place.segment)
                .map(|segment| segment.read_at(place.offset, place.bytes as usize));
            let record = match read {
                Some(Ok(bytes)) => record::read(&bytes).ok(),
                Some(Err(_)) | None => None,
            };
            let mut state = self.shared.lock();
            match record {
                Some(record) => {
                    state.ready_bytes += record.payload.len();
                    state.ready.push_back(Taken { record, id: RecordId { place } });
                    drop(state);
                    self.shared.ready.notify_one();
                }
                None => {
                    state.records = state.records.saturating_sub(1);
                    state.items = state.items.saturating_sub(place.items as usize);
                    state.bytes = state.bytes.saturating_sub(u64::from(place.bytes));
                    drop(state);
                    self.unreadable(place);
                }
            }
        }
    }

    /// A record that was good has become unreadable.
    fn unreadable(&mut self, place: Place) {
        let bytes = u64::from(place.bytes);
        if let Some(segment) = self.segments.get_mut(&place.segment) {
            segment.damaged();
            segment.live = segment.live.saturating_sub(1);
        }
        if let Some(segment) = self.segments.get(&place.segment) {
            self.count_corrupt(segment, 1, bytes);
        }
        self.remove_finished();
    }

    fn count_corrupt(&self, segment: &Segment, records: u64, bytes: u64) {
        self.metrics.corrupt_records.inc_by(records);
        self.metrics.corrupt_bytes.inc_by(bytes);
        tracing::error!(
            file = %segment.path().display(),
            records,
            bytes,
            "the persistent queue is damaged: what cannot be read is lost, the file is set aside as .corrupt"
        );
    }

    fn disk_bytes(&self) -> u64 {
        self.segments.values().map(Segment::disk_bytes).sum()
    }

    fn show(&self) {
        let records = self.shared.lock().records;
        self.metrics.records.set(i64::try_from(records).unwrap_or(i64::MAX));
        self.metrics.bytes.set(i64::try_from(self.disk_bytes()).unwrap_or(i64::MAX));
    }
}

fn append_error(error: io::Error) -> AppendError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            AppendError::Full(None)
        }
        _ => AppendError::Io(Arc::new(error)),
    }
}

//! Appending: into the segment that grows, in one write for each group.
//!
//! Stage: edge, below `store`. Owns the end of the log: what a failed write or sync leaves there never counts.

use std::{io, sync::Arc};

use super::{
    super::{
        AppendError, Record,
        format::{self, BODY_BYTES_MAX, FILE_HEADER_BYTES, Kind, RECORD_HEADER_BYTES},
        segment::Segment,
    },
    BUFFER_KEPT_BYTES, Log,
};

impl Log {
    /// Appends records with one write and, if configured, one sync. For each its sequence number, or why it is not kept;
    /// a failure of the disk is that of all.
    pub(in crate::store) fn append(&mut self, records: &[&Record]) -> Vec<Result<u64, AppendError>> {
        let mut room = self.room();
        if records.iter().any(|record| encoded(record) > room) {
            // The room of a segment that is done but for being the one that grows.
            self.seal_if_done();
            room = self.room();
        }
        let mut admitted = Vec::with_capacity(records.len());
        let mut results: Vec<Result<u64, AppendError>> = Vec::with_capacity(records.len());
        for &record in records {
            let body = format::body_bytes(record);
            results.push(if body > BODY_BYTES_MAX {
                Err(AppendError::TooLarge(body))
            } else if encoded(record) > room {
                Err(AppendError::Full(self.limits.max_bytes))
            } else {
                room -= encoded(record);
                admitted.push(record);
                Ok(self.next + admitted.len() as u64 - 1)
            });
        }
        if !admitted.is_empty()
            && let Err(error) = self.write_or_make_room(&admitted)
        {
            results
                .iter_mut()
                .filter(|result| result.is_ok())
                .for_each(|result| *result = Err(error.clone()));
        }
        results
    }

    /// Writes; on a full disk, removes what is done and tries once more.
    fn write_or_make_room(&mut self, records: &[&Record]) -> Result<(), AppendError> {
        let Err(error) = self.write(records).map_err(append_error) else { return Ok(()) };
        let before = self.disk_bytes;
        if matches!(error, AppendError::Full(_)) {
            self.seal_if_done();
        }
        if self.disk_bytes < before { self.write(records).map_err(append_error) } else { Err(error) }
    }

    /// Bytes that records may still take.
    fn room(&self) -> u64 {
        let header = if self.active.is_some() { 0 } else { FILE_HEADER_BYTES as u64 };
        self.limits.max_bytes.map_or(u64::MAX, |max| max.saturating_sub(self.disk_bytes + header))
    }

    /// Removes the segment that grows if nothing in it is wanted any more.
    pub(in crate::store) fn seal_if_done(&mut self) {
        let Some(base) = self.active else { return };
        if self.segments.get(&base).is_some_and(Segment::is_done) {
            self.seal();
        }
        // What cannot be written now is tried again.
        let _later = self.flush();
    }

    fn write(&mut self, records: &[&Record]) -> io::Result<()> {
        let base = self.segment_to_append()?;
        let mut buffer = std::mem::take(&mut self.buffer);
        let start = self.segments.get(&base).map_or(0, |segment| segment.log_bytes);
        if start == 0 {
            format::write_file_header(&mut buffer, Kind::Log, base);
        }
        let mut entries = Vec::with_capacity(records.len());
        for (sequence, record) in (self.next..).zip(records) {
            let offset = start + buffer.len() as u64;
            let length = format::write_record(&mut buffer, record, sequence);
            entries.push((offset as u32, length, u32::try_from(record.items).unwrap_or(u32::MAX)));
        }
        let written = self.write_at_end(base, start, &buffer);
        let end = start + buffer.len() as u64;
        buffer.clear();
        buffer.shrink_to(BUFFER_KEPT_BYTES);
        self.buffer = buffer;
        written?;
        if let Some(segment) = self.segments.get_mut(&base) {
            segment.log_bytes = end;
            self.disk_bytes += end - start;
            entries.iter().for_each(|&(offset, length, items)| segment.push(offset, length, items));
            self.next = segment.end();
        }
        Ok(())
    }

    /// The segment that grows, or a new one if there is none or it is large enough.
    fn segment_to_append(&mut self) -> io::Result<u64> {
        if let Some(base) = self.active {
            if self.segments.get(&base).is_some_and(|segment| segment.log_bytes < self.limits.segment_bytes) {
                return Ok(base);
            }
            self.seal();
        }
        let base = self.next;
        let name = Kind::Log.name(base);
        self.handles.create(&*self.disk, &name)?;
        if self.limits.fsync
            && let Err(error) = self.disk.sync()
        {
            self.handles.close(&name);
            // If it stays, it is empty: opening removes it. Until then its name is taken.
            if self.disk.remove(&name).is_err() {
                self.next += 1;
            }
            return Err(error);
        }
        self.segments.insert(base, Segment::new(base));
        self.active = Some(base);
        Ok(base)
    }

    /// No more records into the segment that grows.
    fn seal(&mut self) {
        if let Some(base) = self.active.take()
            && self.segments.get(&base).is_some_and(Segment::is_done)
        {
            self.dirty.insert(base);
        }
    }

    fn write_at_end(&mut self, base: u64, start: u64, bytes: &[u8]) -> io::Result<()> {
        let fsync = self.limits.fsync;
        let file = self.handles.get(&*self.disk, &Kind::Log.name(base))?;
        let (error, in_doubt) = match file.write_at(bytes, start) {
            Err(error) => (error, false),
            Ok(()) if !fsync => return Ok(()),
            Ok(()) => match file.sync() {
                Ok(()) => return Ok(()),
                Err(error) => (error, true),
            },
        };
        if file.set_len(start).is_err() || in_doubt {
            self.abandon_end(base);
        }
        Err(error)
    }

    /// What stands behind the last good record of the segment that grows is in doubt: the next one goes elsewhere.
    fn abandon_end(&mut self, base: u64) {
        if self.segments.get(&base).is_some_and(|segment| segment.end() > base) {
            self.seal();
            return;
        }
        self.active = None;
        // Nothing good in it, and the next segment would have its name.
        self.segments.remove(&base);
        let name = Kind::Log.name(base);
        self.handles.close(&name);
        if let Err(error) = self.disk.remove(&name) {
            tracing::warn!(path = %self.disk.path().display(), name, %error, "an unfinished file cannot be removed");
            self.next += 1;
        }
    }
}

/// Bytes that a record takes in a file.
fn encoded(record: &Record) -> u64 {
    (RECORD_HEADER_BYTES + format::body_bytes(record)) as u64
}

fn append_error(error: io::Error) -> AppendError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => AppendError::Full(None),
        _ => AppendError::Io(Arc::new(error)),
    }
}

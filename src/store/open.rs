//! What a directory holds, after any end: orderly, killed, or without power.
//!
//! Stage: edge, below `store`. Reads the headers of all records and all marks, not the bodies: those are checked when they are
//! taken. About a microsecond for each record.
//!
//! A killed process leaves the front of its last write: an unfinished header, or a good one whose body is not all there. A
//! machine without power may also leave zeros. Both are cut off with a line at info level. Everything else is damage.

use std::{collections::BTreeSet, io};

use super::{
    OpenError,
    disk::Disk,
    format::{
        self, BadHeader, FILE_HEADER_BYTES, Kind, MARK_BYTES, Name, RECORD_HEADER_BYTES, RecordHeader,
        VERSION,
    },
    log::{Limits, Log},
    segment::{Segment, State},
};
use crate::telemetry::StoreMetrics;

/// How the good records of a segment end.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// With the file.
    Whole,
    /// Where a write did not finish.
    Torn,
    /// Where a header is damaged.
    Damaged,
}

/// Reads what is there.
pub(super) fn open(disk: Box<dyn Disk>, limits: Limits, metrics: StoreMetrics) -> Result<Log, OpenError> {
    let mut log = Log::new(disk, limits, metrics);
    let names = log.disk.list().map_err(|source| OpenError::Io { path: log.path(), source })?;
    let names: Vec<Name> = names.iter().filter_map(|text| format::name(text)).collect();
    let bases = |kind: Kind| {
        names.iter().filter_map(move |name| match name {
            Name::Segment(found, base) if *found == kind => Some(*base),
            _ => None,
        })
    };
    let logs: BTreeSet<u64> = bases(Kind::Log).collect();
    let dones: BTreeSet<u64> = bases(Kind::Done).collect();
    log.corrupt_files = names.iter().filter(|name| matches!(name, Name::Corrupt(_))).count();
    let used = names.iter().map(|(Name::Segment(_, base) | Name::Corrupt(base))| base.saturating_add(1));
    log.next = used.max().unwrap_or(0);

    let mut following = logs.iter().skip(1).copied().chain([u64::MAX]);
    for &base in &logs {
        let at = |kind: Kind, log: &Log| log.path().join(kind.name(base));
        let end = following.next().unwrap_or(u64::MAX);
        match read_records(&mut log, base, end) {
            Ok(Some(mut segment)) => {
                if dones.contains(&base) {
                    read_marks(&mut log, &mut segment)?;
                }
                log.next = log.next.max(segment.end());
                log.segments.insert(base, segment);
            }
            Ok(None) => {}
            Err(Failure::Version(found)) => {
                return Err(OpenError::Version { path: at(Kind::Log, &log), found, known: VERSION });
            }
            Err(Failure::Io(source)) => return Err(OpenError::Io { path: at(Kind::Log, &log), source }),
        }
    }
    for base in dones.iter().filter(|base| !log.segments.contains_key(base)) {
        // Its records went first.
        if let Err(error) = log.disk.remove(&Kind::Done.name(*base)) {
            tracing::warn!(path = %log.path().display(), base, %error, "marks without records cannot be removed");
        }
    }
    log.start();
    Ok(log)
}

enum Failure {
    Version(u32),
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The index of a segment's records below the base of the next one, or nothing if it never got as far as one.
fn read_records(log: &mut Log, base: u64, end: u64) -> Result<Option<Segment>, Failure> {
    let name = Kind::Log.name(base);
    let file = log.handles.get(&*log.disk, &name)?;
    let bytes = file.len()?;
    if bytes < FILE_HEADER_BYTES as u64 {
        log.handles.close(&name);
        log.disk.remove(&name)?;
        return Ok(None);
    }
    let mut header = [0; FILE_HEADER_BYTES];
    file.read_at(&mut header, 0)?;
    match format::check_file_header(&header, Kind::Log, base) {
        Ok(()) => {}
        Err(BadHeader::Version(found)) => return Err(Failure::Version(found)),
        Err(BadHeader::Damaged) => {
            log.handles.close(&name);
            log.disk.rename(&name, &format::corrupt_name(base, 0))?;
            log.corrupt_files += 1;
            log.count_corrupt(base, 0, bytes, true);
            return Ok(None);
        }
    }
    let mut segment = Segment::new(base);
    segment.log_bytes = FILE_HEADER_BYTES as u64;
    let found = loop {
        let at = segment.log_bytes;
        let left = bytes.saturating_sub(at);
        let mut header = [0; RECORD_HEADER_BYTES];
        if left < RECORD_HEADER_BYTES as u64 {
            break if left == 0 { End::Whole } else { End::Torn };
        }
        file.read_at(&mut header, at)?;
        let Some(record) = RecordHeader::decode(&header).filter(|record| record.sequence == segment.end())
        else {
            break if header == [0; RECORD_HEADER_BYTES] { End::Torn } else { End::Damaged };
        };
        let after = at + RECORD_HEADER_BYTES as u64 + u64::from(record.length);
        // What stands behind the base of the next segment was written there in place of this.
        if after > bytes || segment.end() >= end {
            break End::Torn;
        }
        let Ok(offset) = u32::try_from(at) else { break End::Damaged };
        segment.push(offset, record.length, record.items);
        segment.log_bytes = after;
    };
    cut(log, &segment, bytes, &found)?;
    Ok(Some(segment))
}

/// Cuts off what follows the good records, so that it is found once.
fn cut(log: &mut Log, segment: &Segment, bytes: u64, found: &End) -> io::Result<()> {
    let (base, at) = (segment.base(), segment.log_bytes);
    let left = bytes.saturating_sub(at);
    let name = Kind::Log.name(base);
    match found {
        End::Whole => return Ok(()),
        End::Torn => {
            let file = log.disk.path().join(&name);
            tracing::info!(file = %file.display(), offset = at, bytes = left, "cutting off an unfinished write");
        }
        End::Damaged => {
            let mut rest = vec![0; usize::try_from(left).unwrap_or(0)];
            log.handles.get(&*log.disk, &name)?.read_at(&mut rest, at)?;
            if let Err(error) = log.set_aside(base, at, &rest) {
                // Not cut off, so that it is not lost; found again when the queue is opened the next time.
                tracing::warn!(path = %log.path().display(), name, %error, "damaged records cannot be set aside");
                log.count_corrupt(base, at, left, false);
                return Ok(());
            }
        }
    }
    if let Err(error) = log.handles.get(&*log.disk, &name)?.set_len(at) {
        tracing::warn!(path = %log.path().display(), name, %error, "the end of a file cannot be cut off");
    }
    Ok(())
}

/// Takes over the marks of a segment. Damaged ones are left out: their records come again.
fn read_marks(log: &mut Log, segment: &mut Segment) -> Result<(), OpenError> {
    let base = segment.base();
    let name = Kind::Done.name(base);
    let path = log.path().join(&name);
    let mut read = || -> io::Result<Vec<u8>> {
        let file = log.handles.get(&*log.disk, &name)?;
        let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or(usize::MAX)];
        file.read_at(&mut bytes, 0)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|source| OpenError::Io { path: path.clone(), source })?;
    match format::check_file_header(&bytes, Kind::Done, base) {
        Ok(()) => {}
        Err(BadHeader::Version(found)) => return Err(OpenError::Version { path, found, known: VERSION }),
        Err(BadHeader::Damaged) => {
            // Written over with the next mark.
            if bytes.len() >= FILE_HEADER_BYTES {
                tracing::error!(file = %path.display(), "damaged marks: records that were done come again");
            }
            return Ok(());
        }
    }
    let marks = bytes.get(FILE_HEADER_BYTES..).unwrap_or_default();
    let mut damaged = 0_usize;
    for mark in format::marks(marks) {
        match mark {
            Some(sequence) => {
                segment.set(sequence, State::Done);
            }
            None => damaged += 1,
        }
    }
    if damaged > 0 {
        tracing::error!(file = %path.display(), damaged, "damaged marks: records that were done may come again");
    }
    segment.done_bytes = (FILE_HEADER_BYTES + marks.len() / MARK_BYTES * MARK_BYTES) as u64;
    Ok(())
}

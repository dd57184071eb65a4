//! One file of records and the file of its done marks.
//!
//! Stage: edge, part of `store`. `NNNNNNNNNN.log` begins with [`MAGIC`] and the version of the format; records follow.
//! `NNNNNNNNNN.done` holds 12 bytes for each record that is done: where it begins in the log (u64) and a checksum of that (u32).

use std::{
    collections::HashSet,
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::record::{self, Fault, HEADER_BYTES};

const MAGIC: [u8; 8] = *b"ringwayq";
/// The version of the format that is written and read.
pub(super) const VERSION: u32 = 1;
/// Magic, version, and four bytes for later.
const FILE_HEADER_BYTES: u64 = 16;
const MARK_BYTES: usize = 12;

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// The number of its segment.
    pub(super) segment: u64,
    /// Its first byte in the log.
    pub(super) offset: u64,
    /// With its header.
    pub(super) bytes: u32,
    pub(super) items: u32,
}

/// An open segment.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    path: PathBuf,
    log: File,
    /// Bytes of the log that are good.
    pub(super) bytes: u64,
    marks: Option<File>,
    marks_bytes: u64,
    /// Records that are not done.
    pub(super) live: usize,
    /// Whether something in it could not be read: then it is set aside instead of deleted.
    is_damaged: bool,
}

/// What was found in a segment.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Records that are not done, in order.
    pub(super) live: Vec<Place>,
    pub(super) corrupt_records: u64,
    pub(super) corrupt_bytes: u64,
    /// Bytes of a record that was not written to its end.
    pub(super) torn_bytes: u64,
}

/// Why a segment cannot be opened.
#[derive(Debug)]
pub(super) enum SegmentError {
    Version(u32),
    Io(io::Error),
}

impl From<io::Error> for SegmentError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Segment {
    /// Makes an empty one.
    pub(super) fn create(directory: &Path, number: u64, fsync: bool) -> io::Result<Self> {
        let path = log_path(directory, number);
        let mut log = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        let mut header = MAGIC.to_vec();
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&[0; 4]);
        if let Err(error) = log.write_all(&header) {
            // Half a header is none.
            drop(std::fs::remove_file(&path));
            return Err(error);
        }
        if fsync {
            log.sync_all()?;
            File::open(directory)?.sync_all()?;
        }
        Ok(Self::new(number, path, log, FILE_HEADER_BYTES))
    }

    fn new(number: u64, path: PathBuf, log: File, bytes: u64) -> Self {
        Self { number, path, log, bytes, marks: None, marks_bytes: 0, live: 0, is_damaged: false }
    }

    /// Opens one that a process left behind. `is_last`: an incomplete record at its end was being written then.
    pub(super) fn open(directory: &Path, number: u64, is_last: bool) -> Result<(Self, Found), SegmentError> {
        let path = log_path(directory, number);
        let log = OpenOptions::new().read(true).write(true).open(&path)?;
        let length = log.metadata()?.len();
        let mut header = [0; FILE_HEADER_BYTES as usize];
        let has_header = length >= FILE_HEADER_BYTES;
        if has_header {
            log.read_exact_at(&mut header, 0)?;
        }
        let mut segment = Self::new(number, path, log, FILE_HEADER_BYTES);
        let mut found = Found::default();
        if !has_header && is_last {
            found.torn_bytes = length;
            segment.bytes = length;
            return Ok((segment, found));
        }
        if !has_header || header.get(..8) != Some(&MAGIC) {
            found.corrupt_records = 1;
            found.corrupt_bytes = length;
            segment.is_damaged = true;
            segment.bytes = length;
            return Ok((segment, found));
        }
        let version = header.get(8..12).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes);
        if version != VERSION {
            return Err(SegmentError::Version(version));
        }
        let done = segment.read_marks()?;
        segment.scan(length, is_last, &done, &mut found)?;
        segment.live = found.live.len();
        Ok((segment, found))
    }

    /// Walks all records. Reads each whole, because only its checksum tells whether it is good.
    fn scan(&mut self, length: u64, is_last: bool, done: &HashSet<u64>, found: &mut Found) -> io::Result<()> {
        let mut offset = FILE_HEADER_BYTES;
        while offset < length {
            let left = length - offset;
            let mut header = [0; HEADER_BYTES];
            let size = if left < HEADER_BYTES as u64 {
                Err(Fault::Length)
            } else {
                self.log.read_exact_at(&mut header, offset)?;
                record::length(&header)
                    .and_then(|size| if size as u64 <= left { Ok(size) } else { Err(Fault::Length) })
            };
            let Ok(size) = size else {
                if is_last {
                    found.torn_bytes = left;
                    self.log.set_len(offset)?;
                } else {
                    found.corrupt_records += 1;
                    found.corrupt_bytes += left;
                    self.is_damaged = true;
                }
                break;
            };
            match record::read(&self.read_at(offset, size)?) {
                Ok(_) if done.contains(&offset) => {}
                Ok(record) => found.live.push(Place {
                    segment: self.number,
                    offset,
                    bytes: u32::try_from(size).unwrap_or(u32::MAX),
                    items: u32::try_from(record.items).unwrap_or(u32::MAX),
                }),
                // Blocks that the machine lost before it had written them are the end of what was written.
                Err(_) if is_last && offset + size as u64 == length => {
                    found.torn_bytes = left;
                    self.log.set_len(offset)?;
                    break;
                }
                Err(_) => {
                    found.corrupt_records += 1;
                    found.corrupt_bytes += size as u64;
                    self.is_damaged = true;
                }
            }
            offset += size as u64;
        }
        self.bytes = offset.min(self.log.metadata()?.len());
        Ok(())
    }

    fn read_marks(&mut self) -> io::Result<HashSet<u64>> {
        let mut done = HashSet::new();
        let path = self.path.with_extension("done");
        let mut file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(done),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut good = 0;
        for mark in bytes.chunks_exact(MARK_BYTES) {
            let (Some(offset), Some(crc)) = (mark.first_chunk::<8>(), mark.last_chunk::<4>()) else { break };
            // A mark that is wrong, and those behind it, only make records come again.
            if crc32fast::hash(offset).to_le_bytes() != *crc {
                break;
            }
            done.insert(u64::from_le_bytes(*offset));
            good += MARK_BYTES as u64;
        }
        file.set_len(good)?;
        self.marks_bytes = good;
        self.marks = Some(file);
        Ok(done)
    }

    /// Appends whole records; on failure nothing of them stays.
    pub(super) fn append(&mut self, records: &[u8], fsync: bool) -> io::Result<()> {
        let written = self.write_log(records).and_then(|()| if fsync { self.sync() } else { Ok(()) });
        if let Err(error) = written {
            // If that fails too the file is cut when it is opened again.
            drop(self.log.set_len(self.bytes));
            return Err(error);
        }
        self.bytes += records.len() as u64;
        Ok(())
    }

    fn write_log(&mut self, records: &[u8]) -> io::Result<()> {
        self.log.seek(SeekFrom::Start(self.bytes))?;
        self.log.write_all(records)
    }

    fn sync(&self) -> io::Result<()> {
        self.log.sync_data()
    }

    /// Reads the bytes of one record.
    pub(super) fn read_at(&self, offset: u64, bytes: usize) -> io::Result<Bytes> {
        let mut buffer = vec![0; bytes];
        self.log.read_exact_at(&mut buffer, offset)?;
        Ok(buffer.into())
    }

    /// Writes down that the records at these offsets are done.
    pub(super) fn mark(&mut self, offsets: &[u64]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(offsets.len() * MARK_BYTES);
        for offset in offsets {
            let offset = offset.to_le_bytes();
            bytes.extend_from_slice(&offset);
            bytes.extend_from_slice(&crc32fast::hash(&offset).to_le_bytes());
        }
        if self.marks.is_none() {
            let path = self.path.with_extension("done");
            self.marks =
                Some(OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?);
        }
        if let Some(file) = &mut self.marks {
            file.seek(SeekFrom::Start(self.marks_bytes))?;
            if let Err(error) = file.write_all(&bytes) {
                drop(file.set_len(self.marks_bytes));
                return Err(error);
            }
            self.marks_bytes += bytes.len() as u64;
        }
        Ok(())
    }

    /// A record turned out to be unreadable.
    pub(super) const fn damaged(&mut self) {
        self.is_damaged = true;
    }

    /// Bytes of both files.
    pub(super) const fn disk_bytes(&self) -> u64 {
        self.bytes + self.marks_bytes
    }

    /// Deletes the files; a damaged log is set aside.
    pub(super) fn remove(self) -> io::Result<()> {
        if self.is_damaged {
            std::fs::rename(&self.path, self.path.with_extension("corrupt"))?;
        } else {
            std::fs::remove_file(&self.path)?;
        }
        match std::fs::remove_file(self.path.with_extension("done")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn log_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:010}.log"))
}

/// The numbers of the segments in a directory, ascending.
pub(super) fn list(directory: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".log")).map(str::parse);
        if let Some(Ok(number)) = number {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

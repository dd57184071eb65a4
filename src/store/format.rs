//! What stands in the files; the only place that knows.
//!
//! Stage: edge, below `store`. Pure: bytes in, values out. All numbers are little-endian, all checksums CRC-32 (IEEE).
//!
//! ```text
//! BASE.log   [magic 8][version u32][base u64][crc u32 of these], then records
//! record     [length u32][items u32][sequence u64][crc u32 of the body][crc u32 of these 20 bytes][body: length bytes]
//! body       [length u32 of the metadata][metadata][payload]
//! metadata   for each pair [length u32][name][length u32][value]
//! BASE.done  [magic 8][version u32][base u64][crc u32 of these], then marks
//! mark       [sequence u64][crc u32 of it]
//! ```
//!
//! BASE is the sequence number of the first record, in twenty digits; that of the others counts up. The header of a record
//! has a checksum of its own: its length can be trusted or is known to be wrong, so one bad body costs one record.

use bytes::Bytes;

use super::Record;
use crate::model::Metadata;

/// Bytes at the start of both kinds of file.
pub(super) const FILE_HEADER_BYTES: usize = 24;
/// Bytes in front of each body.
pub(super) const RECORD_HEADER_BYTES: usize = 24;
/// Bytes of one mark.
pub(super) const MARK_BYTES: usize = 12;
/// The only version there is.
pub(super) const VERSION: u32 = 1;

/// Larger records are refused. Far above what a receiver takes, far below what 32 bits hold.
pub(super) const BODY_BYTES_MAX: usize = 1 << 30;

/// Suffix of what was set aside because it is damaged.
pub(super) const CORRUPT: &str = ".corrupt";

/// The two kinds of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Records.
    Log,
    /// Marks of records that are done.
    Done,
}

impl Kind {
    const fn magic(self) -> [u8; 8] {
        match self {
            Self::Log => *b"rwqueue\n",
            Self::Done => *b"rwqdone\n",
        }
    }

    /// Name of the file of this kind for a segment.
    pub(super) fn name(self, base: u64) -> String {
        match self {
            Self::Log => format!("{base:020}.log"),
            Self::Done => format!("{base:020}.done"),
        }
    }
}

/// What a name in the directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// A file of a segment.
    Segment(Kind, u64),
    /// Damaged bytes of that segment.
    Corrupt(u64),
}

/// Reads a name; `None` if it is none of ours.
pub(super) fn name(text: &str) -> Option<Name> {
    let (digits, rest) = text.split_at_checked(20)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let base = digits.parse().ok()?;
    match rest {
        ".log" => Some(Name::Segment(Kind::Log, base)),
        ".done" => Some(Name::Segment(Kind::Done, base)),
        _ => rest.ends_with(CORRUPT).then_some(Name::Corrupt(base)),
    }
}

/// Name of the file for damaged bytes that stood at an offset of a segment.
pub(super) fn corrupt_name(base: u64, offset: u64) -> String {
    format!("{base:020}-{offset:010}{CORRUPT}")
}

// === File header ===

/// Why a file header is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadHeader {
    /// It is damaged, or that of something else.
    Damaged,
    /// It is good, but of a version that is not known.
    Version(u32),
}

pub(super) fn write_file_header(out: &mut Vec<u8>, kind: Kind, base: u64) {
    let start = out.len();
    out.extend_from_slice(&kind.magic());
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&base.to_le_bytes());
    let crc = crc32fast::hash(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&crc.to_le_bytes());
}

pub(super) fn check_file_header(bytes: &[u8], kind: Kind, base: u64) -> Result<(), BadHeader> {
    let mut fields = Fields(bytes.get(..FILE_HEADER_BYTES).ok_or(BadHeader::Damaged)?);
    let covered = bytes.get(..FILE_HEADER_BYTES - 4).ok_or(BadHeader::Damaged)?;
    let read = (|| Some((fields.take::<8>()?, fields.u32()?, fields.u64()?, fields.u32()?)))();
    let (magic, version, found_base, crc) = read.ok_or(BadHeader::Damaged)?;
    if magic != kind.magic() || crc != crc32fast::hash(covered) {
        return Err(BadHeader::Damaged);
    }
    if version != VERSION {
        return Err(BadHeader::Version(version));
    }
    if found_base == base { Ok(()) } else { Err(BadHeader::Damaged) }
}

// === Records ===

/// What stands in front of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordHeader {
    /// Bytes of the body.
    pub(super) length: u32,
    /// Items of the record.
    pub(super) items: u32,
    /// Counts up from the segment's base.
    pub(super) sequence: u64,
    /// Of the body.
    pub(super) crc: u32,
}

/// Bytes of a record's body.
pub(super) fn body_bytes(record: &Record) -> usize {
    let pairs = record.metadata.pairs().iter().map(|(name, value)| 8 + name.len() + value.len());
    4 + pairs.sum::<usize>() + record.payload.len()
}

/// Appends a record, and gives the bytes of its body. The body must not be longer than [`BODY_BYTES_MAX`].
pub(super) fn write_record(out: &mut Vec<u8>, record: &Record, sequence: u64) -> u32 {
    let length = body_bytes(record) as u32;
    let start = out.len();
    out.extend_from_slice(&[0; RECORD_HEADER_BYTES]);
    out.extend_from_slice(&(length - 4 - record.payload.len() as u32).to_le_bytes());
    for (name, value) in record.metadata.pairs() {
        for bytes in [name.as_bytes(), value] {
            out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            out.extend_from_slice(bytes);
        }
    }
    out.extend_from_slice(&record.payload);
    let crc = crc32fast::hash(out.get(start + RECORD_HEADER_BYTES..).unwrap_or_default());
    let items = u32::try_from(record.items).unwrap_or(u32::MAX);
    let header = RecordHeader { length, items, sequence, crc }.encode();
    if let Some(room) = out.get_mut(start..start + RECORD_HEADER_BYTES) {
        room.copy_from_slice(&header);
    }
    length
}

impl RecordHeader {
    fn encode(self) -> [u8; RECORD_HEADER_BYTES] {
        let mut bytes = [0; RECORD_HEADER_BYTES];
        let (fields, crc) = bytes.split_at_mut(RECORD_HEADER_BYTES - 4);
        fields[..4].copy_from_slice(&self.length.to_le_bytes());
        fields[4..8].copy_from_slice(&self.items.to_le_bytes());
        fields[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        fields[16..].copy_from_slice(&self.crc.to_le_bytes());
        crc.copy_from_slice(&crc32fast::hash(fields).to_le_bytes());
        bytes
    }

    /// Reads a header; `None` if it is damaged.
    pub(super) fn decode(bytes: &[u8; RECORD_HEADER_BYTES]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let header =
            Self { length: fields.u32()?, items: fields.u32()?, sequence: fields.u64()?, crc: fields.u32()? };
        let is_good = header.encode() == *bytes && header.length as usize <= BODY_BYTES_MAX;
        is_good.then_some(header)
    }

    /// Reads the body that belongs to this header; `None` if it is damaged. Copies the metadata, not the payload.
    pub(super) fn body(&self, body: Bytes) -> Option<Record> {
        if crc32fast::hash(&body) != self.crc {
            return None;
        }
        let mut fields = Fields(&body);
        let metadata_bytes = fields.u32()? as usize;
        let mut metadata = Fields(fields.bytes(metadata_bytes)?);
        let mut pairs = Vec::new();
        while !metadata.0.is_empty() {
            let [name, value] = [metadata.prefixed()?, metadata.prefixed()?];
            pairs.push((std::str::from_utf8(name).ok()?.into(), value.into()));
        }
        let payload = body.slice(4 + metadata_bytes..);
        Some(Record { payload, metadata: Metadata::new(pairs), items: self.items as usize })
    }
}

// === Marks ===

pub(super) fn write_mark(out: &mut Vec<u8>, sequence: u64) {
    let sequence = sequence.to_le_bytes();
    out.extend_from_slice(&sequence);
    out.extend_from_slice(&crc32fast::hash(&sequence).to_le_bytes());
}

/// Reads marks; one that is damaged is `None`. An unfinished one at the end is left out.
pub(super) fn marks(bytes: &[u8]) -> impl Iterator<Item = Option<u64>> {
    bytes.chunks_exact(MARK_BYTES).map(|mark| {
        let mut fields = Fields(mark);
        let (sequence, crc) = (fields.u64()?, fields.u32()?);
        (crc32fast::hash(&sequence.to_le_bytes()) == crc).then_some(sequence)
    })
}

/// Reads numbers off the front of bytes.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn prefixed(&mut self) -> Option<&'a [u8]> {
        let count = self.u32()? as usize;
        self.bytes(count)
    }
}

//! A record as bytes.
//!
//! Stage: edge, part of `store`. All numbers are little-endian:
//!
//! ```text
//! length u32 ─ of all that follows the checksum
//! crc32  u32 ─ of all that follows it
//! items  u32 │ metadata: pairs u32, then for each: length u32, name, length u32, value │ payload
//! ```

use std::sync::Arc;

use bytes::Bytes;

use super::Record;
use crate::model::Metadata;

/// Length and checksum.
pub(super) const HEADER_BYTES: usize = 8;

/// What stands in front of metadata and payload.
const FIXED_BYTES: usize = 8;

/// The largest record that is written or believed, header included.
pub(super) const RECORD_BYTES_MAX: usize = 1 << 30;

/// What is wrong with the bytes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The length cannot be true: nothing behind it can be found.
    Length,
    /// The checksum or what it covers is wrong: the next record is where the length says.
    Content,
}

/// Appends a record to `out`. `None`: it is too large.
pub(super) fn write(record: &Record, out: &mut Vec<u8>) -> Option<usize> {
    let metadata: usize =
        record.metadata.pairs().iter().map(|(name, value)| 8 + name.len() + value.len()).sum();
    let total = HEADER_BYTES.checked_add(FIXED_BYTES + metadata)?.checked_add(record.payload.len())?;
    if total > RECORD_BYTES_MAX {
        return None;
    }
    let start = out.len();
    out.extend_from_slice(&number(total - HEADER_BYTES));
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&number(record.items));
    out.extend_from_slice(&number(record.metadata.pairs().len()));
    for (name, value) in record.metadata.pairs() {
        for part in [name.as_bytes(), value] {
            out.extend_from_slice(&number(part.len()));
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(&record.payload);
    let crc = crc32fast::hash(out.get(start + HEADER_BYTES..).unwrap_or_default());
    if let Some(place) = out.get_mut(start + 4..start + HEADER_BYTES) {
        place.copy_from_slice(&crc.to_le_bytes());
    }
    Some(total)
}

/// The length of the record that begins here, header included.
///
/// # Errors
///
/// [`Fault::Length`] if there is no header or it cannot be true.
pub(super) fn length(bytes: &[u8]) -> Result<usize, Fault> {
    let length = read_number(&mut { bytes }).ok_or(Fault::Length)?.saturating_add(HEADER_BYTES);
    let is_plausible = (HEADER_BYTES + FIXED_BYTES..=RECORD_BYTES_MAX).contains(&length);
    if is_plausible && bytes.len() >= HEADER_BYTES { Ok(length) } else { Err(Fault::Length) }
}

/// Reads one record, header included; `bytes` is exactly it.
///
/// # Errors
///
/// [`Fault`].
pub(super) fn read(bytes: &Bytes) -> Result<Record, Fault> {
    if length(bytes)? != bytes.len() {
        return Err(Fault::Length);
    }
    let mut rest = bytes.get(4..).unwrap_or_default();
    let crc = read_number(&mut rest).ok_or(Fault::Content)?;
    if usize::try_from(crc32fast::hash(rest)) != Ok(crc) {
        return Err(Fault::Content);
    }
    let items = read_number(&mut rest).ok_or(Fault::Content)?;
    let pairs = read_number(&mut rest).ok_or(Fault::Content)?;
    let mut metadata = Vec::new();
    for _ in 0..pairs {
        let name = read_part(&mut rest).ok_or(Fault::Content)?;
        let value = read_part(&mut rest).ok_or(Fault::Content)?;
        let name = std::str::from_utf8(name).map_err(|_| Fault::Content)?;
        metadata.push((Arc::from(name), Arc::from(value)));
    }
    let payload = bytes.slice(bytes.len() - rest.len()..);
    Ok(Record { payload, metadata: Metadata::new(metadata), items })
}

/// Lengths and counts here are below [`RECORD_BYTES_MAX`] or are counts of what is.
fn number(value: usize) -> [u8; 4] {
    u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes()
}

fn read_number(bytes: &mut &[u8]) -> Option<usize> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    *bytes = rest;
    usize::try_from(u32::from_le_bytes(*number)).ok()
}

fn read_part<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = read_number(bytes)?;
    let (part, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(part)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        // Scenario: records with any metadata and payload are written behind each other, read, and damaged in one byte.
        // Guarantees: what was written is read; one changed byte is always noticed.
        #[test]
        fn damage_is_noticed(
            payload in prop::collection::vec(any::<u8>(), 0..300),
            pairs in prop::collection::vec(("[a-z-]{0,12}", prop::collection::vec(any::<u8>(), 0..20)), 0..4),
            items in 0..1_000_000_usize,
            at in any::<prop::sample::Index>(),
            bit in 0..8_u32,
        ) {
            let pairs = pairs.iter().map(|(name, value)| (Arc::from(name.as_str()), Arc::from(&value[..]))).collect();
            let record = Record { payload: payload.into(), metadata: Metadata::new(pairs), items };
            let mut bytes = b"before".to_vec();
            let written = write(&record, &mut bytes).unwrap();
            let mut bytes = bytes.split_off(6);
            prop_assert_eq!((written, length(&bytes)), (bytes.len(), Ok(bytes.len())));
            prop_assert_eq!(read(&Bytes::from(bytes.clone())), Ok(record));
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(read(&Bytes::from(bytes)).is_err());
        }

        // Scenario: any bytes at all.
        // Guarantees: nothing panics.
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let bytes = Bytes::from(bytes);
            drop((length(&bytes), read(&bytes)));
        }
    }
}

//! Appends protobuf to a vector.
//!
//! Assumes that the caller writes valid values: a writer has nothing to check and no error to return. The functions
//! that write a length take it from the caller, so that bodies need not be held anywhere else first.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use super::Tag;

/// Bytes of a varint: 1 to 10.
#[inline]
pub const fn varint_len(mut value: u64) -> usize {
    let mut bytes = 1_usize;
    while value >= 0x80 {
        value >>= 7;
        bytes = bytes.saturating_add(1);
    }
    bytes
}

/// Bytes of a length-delimited field whose value has `body` bytes: tag, length and value.
#[inline]
pub fn framed_len(tag: Tag, body: usize) -> usize {
    varint_len(u64::from(tag.0)).saturating_add(varint_len(wide(body))).saturating_add(body)
}

/// Appends a bare varint.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        let [low, ..] = value.to_le_bytes();
        out.push(low | 0x80);
        value >>= 7;
    }
    let [low, ..] = value.to_le_bytes();
    out.push(low);
}

/// Appends a tag. The value, of the tag's wire type, is the caller's.
#[inline]
pub fn put_tag(out: &mut Vec<u8>, tag: Tag) {
    put_varint(out, u64::from(tag.0));
}

/// Appends tag and length of a length-delimited field. The `body` bytes of the value are the caller's.
#[inline]
pub fn put_len_prefix(out: &mut Vec<u8>, tag: Tag, body: usize) {
    put_tag(out, tag);
    put_varint(out, wide(body));
}

/// Appends a string or bytes field, empty ones too.
pub fn put_bytes(out: &mut Vec<u8>, tag: Tag, value: &[u8]) {
    put_len_prefix(out, tag, value.len());
    out.extend_from_slice(value);
}

/// Appends a varint field, zeros too. Negative int32, int64 and enum values are written as their 64-bit two's
/// complement.
pub fn put_uint(out: &mut Vec<u8>, tag: Tag, value: u64) {
    put_tag(out, tag);
    put_varint(out, value);
}

/// Appends a fixed64 field; a double is written as its bits.
pub fn put_fixed64(out: &mut Vec<u8>, tag: Tag, value: u64) {
    put_tag(out, tag);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a fixed32 field; a float is written as its bits.
pub fn put_fixed32(out: &mut Vec<u8>, tag: Tag, value: u32) {
    put_tag(out, tag);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a message field whose length is not known before `body` has written it.
///
/// The body moves once to make room for its length: meant for small messages and for those outside the data path.
pub fn put_message(out: &mut Vec<u8>, tag: Tag, body: impl FnOnce(&mut Vec<u8>)) {
    put_tag(out, tag);
    let start = out.len();
    body(out);
    let end = out.len();
    put_varint(out, wide(end.saturating_sub(start)));
    let prefix = out.len().saturating_sub(end);
    if let Some(message) = out.get_mut(start..) {
        message.rotate_right(prefix);
    }
}

/// A length in the type that goes on the wire. No slice is longer than 2^64-1 bytes, so nothing is cut off.
#[inline]
fn wide(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

//! The protobuf wire format: a reader over a slice, a small writer, and OTLP's field numbers.
//!
//! Stage: engine, below `split` and `check`; the receiver and the backend also write small messages with it.
//! Owns what a byte may mean; knows no signal. Nothing here allocates but what the writer appends.
//!
//! **What is refused**, the same at every level of every message:
//!
//! | input | here | Collector (`pdata/internal/proto/unmarshal.go`, v1.67.0) | prost 0.14 |
//! |---|---|---|---|
//! | value that ends after its message | refused | refused | refused |
//! | known field with another wire type | refused | refused | refused |
//! | field number 0 | refused | refused | refused |
//! | field number above 2^29-1 | refused | taken modulo 2^32 | refused |
//! | varint longer than 10 bytes | refused | refused | refused |
//! | varint of 10 bytes above 2^64-1 | refused | high bits dropped | refused |
//! | wire types 6 and 7, a lone end of group | refused | refused | refused |
//! | group in an unknown field | refused | refused unless it holds only groups | skipped, 100 deep |
//! | tag or length in more bytes than needed | read | read | read |
//!
//! Groups are refused at their first tag, so no input makes the reader recurse or keep a stack. OTLP has never used
//! them, and a Collector that received one would refuse the whole message it is in.

pub mod field;
mod messages;
mod reader;
mod writer;

#[cfg(test)]
mod tests;

use std::fmt;

pub use messages::Messages;
pub use reader::Reader;
pub use writer::{
    framed_len, put_bytes, put_fixed32, put_fixed64, put_len_prefix, put_message, put_tag, put_uint,
    put_varint, varint_len,
};

/// Bytes that are not valid OTLP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Byte offset, in the message that was read, at which it was noticed.
    pub offset: usize,
    /// What is wrong there.
    pub what: &'static str,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.offset)
    }
}

impl std::error::Error for Malformed {}

/// How the value behind a tag is delimited. The numbers are the low three bits of the tag.
///
/// Source: <https://protobuf.dev/programming-guides/encoding/#structure>. Groups (3, 4) are left out: see above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireType {
    /// 0: 1 to 10 bytes, the last one below 0x80.
    Varint,
    /// 1: 8 bytes, little-endian.
    Fixed64,
    /// 2: a varint length and that many bytes: strings, bytes, messages, packed numbers.
    Len,
    /// 5: 4 bytes, little-endian.
    Fixed32,
}

/// Field number and wire type in one number, as they stand in front of a value.
///
/// A tag that was read may carry any wire type; [`Reader::skip_unknown`] refuses those that are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag(u32);

impl Tag {
    /// The tag of a field. `number` is 1 to 2^29-1; the rest of a larger number is cut off.
    pub const fn new(number: u32, wire: WireType) -> Self {
        let wire = match wire {
            WireType::Varint => 0,
            WireType::Fixed64 => 1,
            WireType::Len => 2,
            WireType::Fixed32 => 5,
        };
        Self(number << 3 | wire)
    }

    /// The tag of a varint field.
    pub const fn varint(number: u32) -> Self {
        Self::new(number, WireType::Varint)
    }

    /// The tag of a fixed64, sfixed64 or double field.
    pub const fn fixed64(number: u32) -> Self {
        Self::new(number, WireType::Fixed64)
    }

    /// The tag of a string, bytes or message field.
    pub const fn len(number: u32) -> Self {
        Self::new(number, WireType::Len)
    }

    /// The tag of a fixed32, sfixed32 or float field.
    pub const fn fixed32(number: u32) -> Self {
        Self::new(number, WireType::Fixed32)
    }

    /// The field number.
    pub const fn number(self) -> u32 {
        self.0 >> 3
    }

    /// The wire type; `None` for groups and for the two unused values.
    pub const fn wire(self) -> Option<WireType> {
        match self.0 & 7 {
            0 => Some(WireType::Varint),
            1 => Some(WireType::Fixed64),
            2 => Some(WireType::Len),
            5 => Some(WireType::Fixed32),
            _ => None,
        }
    }
}

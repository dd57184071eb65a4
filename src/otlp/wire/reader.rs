//! Reads one message field by field, without copying and without recursion.
//!
//! Assumes nothing about the bytes. A child reader is bounded by its message: a length can never reach into what
//! follows the message it is in. The caller owns the nesting, and with it the limit of depth.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::ops::RangeInclusive;

use super::{Malformed, Tag, WireType};

const TRUNCATED: &str = "message ends inside a field";

/// A position in one message.
///
/// Reading is tag, value, tag, value: each tag that [`tag`](Self::tag) returns must be followed by exactly one call
/// that takes its value. After an error the position is undefined.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    /// Offset of the end of this message in the outermost one. The position is this less what is left, which costs
    /// nothing to keep up to date.
    end: usize,
}

impl<'a> Reader<'a> {
    /// A reader of the outermost message. Offsets count from its first byte.
    pub const fn new(message: &'a [u8]) -> Self {
        Self { rest: message, end: message.len() }
    }

    /// Offset of the next byte in the outermost message.
    #[inline]
    pub const fn offset(&self) -> usize {
        self.end.saturating_sub(self.rest.len())
    }

    /// A reader of the same message at an [`offset`](Self::offset) that it has or will have; at the end, if there is none.
    #[inline]
    pub fn at(mut self, offset: usize) -> Self {
        let skipped = offset.saturating_sub(self.offset());
        self.rest = self.rest.get(skipped..).unwrap_or_default();
        self
    }

    /// What has not been read.
    #[inline]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next tag; `None` at the end of the message.
    ///
    /// # Errors
    ///
    /// A truncated or over-long tag, and a field number that is 0 or above 2^29-1.
    #[inline]
    pub fn tag(&mut self) -> Result<Option<Tag>, Malformed> {
        match *self.rest {
            [] => Ok(None),
            [first @ 0x08..0x80, ref rest @ ..] => {
                self.rest = rest;
                Ok(Some(Tag(u32::from(first))))
            }
            // Fields 16 to 2047.
            [first, second @ 1..0x80, ref rest @ ..] if first >= 0x80 => {
                self.rest = rest;
                Ok(Some(Tag(u32::from(first & 0x7f) | u32::from(second) << 7)))
            }
            _ => {
                let (tag, reader) = self.long_tag()?;
                *self = reader;
                Ok(Some(tag))
            }
        }
    }

    // The rare paths take and return the reader by value: a reference would keep it in memory on the frequent ones,
    // where each field then waits for the store of the one before.
    #[inline(never)]
    fn long_tag(mut self) -> Result<(Tag, Self), Malformed> {
        let at = self.offset();
        match u32::try_from(self.varint()?) {
            Ok(tag @ 8..) => Ok((Tag(tag), self)),
            _ => Err(Malformed { offset: at, what: "field number out of range" }),
        }
    }

    /// A varint value.
    ///
    /// # Errors
    ///
    /// It is truncated, longer than 10 bytes or above 2^64-1.
    #[inline]
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        match *self.rest {
            [first @ ..0x80, ref rest @ ..] => {
                self.rest = rest;
                Ok(u64::from(first))
            }
            [first, second @ ..0x80, ref rest @ ..] => {
                self.rest = rest;
                Ok(u64::from(first & 0x7f) | u64::from(second) << 7)
            }
            _ => {
                let (value, reader) = self.long_varint()?;
                *self = reader;
                Ok(value)
            }
        }
    }

    #[inline(never)]
    fn long_varint(mut self) -> Result<(u64, Self), Malformed> {
        let mut value = 0_u64;
        for shift in (0_u32..64).step_by(7) {
            let Some((&byte, rest)) = self.rest.split_first() else { return Err(self.malformed(TRUNCATED)) };
            if shift == 63 && byte > 1 {
                break;
            }
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok((value, self));
            }
        }
        Err(self.malformed("varint longer than 64 bits"))
    }

    /// The bytes of a length-delimited value.
    ///
    /// # Errors
    ///
    /// The length is malformed or reaches beyond this message.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.varint()?;
        if let Ok(length) = usize::try_from(length)
            && let Some((value, rest)) = self.rest.split_at_checked(length)
        {
            self.rest = rest;
            return Ok(value);
        }
        Err(self.malformed("length reaches beyond its message"))
    }

    /// A reader of the message that is the next value.
    ///
    /// # Errors
    ///
    /// As for [`bytes`](Self::bytes).
    #[inline]
    pub fn message(&mut self) -> Result<Self, Malformed> {
        let rest = self.bytes()?;
        Ok(Self { rest, end: self.offset() })
    }

    /// An identifier: `N` bytes, or none.
    ///
    /// # Errors
    ///
    /// As for [`bytes`](Self::bytes), and any other length. Source: Collector `pdata/internal/traceid.go`,
    /// `spanid.go` (v1.67.0), which refuse the same.
    #[inline]
    pub fn id<const N: usize>(&mut self, what: &'static str) -> Result<Option<&'a [u8; N]>, Malformed> {
        let at = self.offset();
        let id = self.bytes()?;
        match id.first_chunk() {
            Some(full) if id.len() == N => Ok(Some(full)),
            _ if id.is_empty() => Ok(None),
            _ => Err(Malformed { offset: at, what }),
        }
    }

    /// A fixed64 value.
    ///
    /// # Errors
    ///
    /// Fewer than 8 bytes are left.
    #[inline]
    pub fn fixed64(&mut self) -> Result<u64, Malformed> {
        match self.rest.split_first_chunk() {
            Some((value, rest)) => {
                self.rest = rest;
                Ok(u64::from_le_bytes(*value))
            }
            None => Err(self.malformed(TRUNCATED)),
        }
    }

    /// A fixed32 value.
    ///
    /// # Errors
    ///
    /// Fewer than 4 bytes are left.
    #[inline]
    pub fn fixed32(&mut self) -> Result<u32, Malformed> {
        match self.rest.split_first_chunk() {
            Some((value, rest)) => {
                self.rest = rest;
                Ok(u32::from_le_bytes(*value))
            }
            None => Err(self.malformed(TRUNCATED)),
        }
    }

    /// Passes over a value.
    ///
    /// # Errors
    ///
    /// As for the value itself.
    #[inline]
    pub fn skip(&mut self, wire: WireType) -> Result<(), Malformed> {
        match wire {
            WireType::Varint => self.varint().map(|_| ()),
            WireType::Fixed64 => self.fixed64().map(|_| ()),
            WireType::Len => self.bytes().map(|_| ()),
            WireType::Fixed32 => self.fixed32().map(|_| ()),
        }
    }

    /// Passes over a length-delimited value and over all that follow it directly with the same tag, which must be one
    /// byte long: the elements of a repeated field stand together.
    ///
    /// # Errors
    ///
    /// As for each value.
    #[inline]
    pub fn skip_repeated(&mut self, tag: Tag) -> Result<(), Malformed> {
        loop {
            self.skip(WireType::Len)?;
            match self.rest.split_first() {
                Some((&next, rest)) if u32::from(next) == tag.0 => self.rest = rest,
                _ => return Ok(()),
            }
        }
    }

    /// Passes over the value of a tag that the caller does not know.
    ///
    /// `known` are the field numbers of the message: a tag among them that the caller did not match has the wrong
    /// wire type.
    ///
    /// # Errors
    ///
    /// A known number, a wire type that is a group or unused, and a malformed value.
    #[inline]
    pub fn skip_unknown(&mut self, tag: Tag, known: &RangeInclusive<u32>) -> Result<(), Malformed> {
        *self = self.behind_unknown(tag, known)?;
        Ok(())
    }

    #[inline(never)]
    fn behind_unknown(mut self, tag: Tag, known: &RangeInclusive<u32>) -> Result<Self, Malformed> {
        if known.contains(&tag.number()) {
            return Err(self.malformed("known field has the wrong wire type"));
        }
        let Some(wire) = tag.wire() else { return Err(self.malformed("group or unused wire type")) };
        self.skip(wire)?;
        Ok(self)
    }

    #[cold]
    const fn malformed(self, what: &'static str) -> Malformed {
        Malformed { offset: self.offset(), what }
    }
}

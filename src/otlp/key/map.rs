//! The entries of a map in the order of their keys.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use super::value::{self, Name, Value, to_field};
use crate::otlp::wire::{Malformed, Reader, Tag};

/// Where an entry of a map stands: positions, so that one table without lifetime serves every map.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    name: u32,
    name_len: u32,
    /// Of its length, which stands in front of the message.
    key_value: u32,
}

/// A message with a repeated `KeyValue` field, whose entries [`sort`](Self::sort) has put into a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Map<'a> {
    message: Reader<'a>,
    attributes: Tag,
}

impl<'a> Map<'a> {
    pub(super) const fn new(message: Reader<'a>, attributes: Tag) -> Self {
        Self { message, attributes }
    }

    /// Appends the entries to a table in bytewise order of their names, those of one name in the order of the wire.
    /// Senders often sort already; then this is one pass over the names.
    pub(super) fn sort(&self, entries: &mut Vec<Entry>) -> Result<(), Malformed> {
        let from = entries.len();
        let mut sorted = true;
        let mut last: &[u8] = &[];
        let mut reader = self.message;
        while to_field(&mut reader, self.attributes)? {
            let at = reader.offset();
            let name = Name::read(reader.message()?)?;
            sorted = sorted && last <= name.text;
            last = name.text;
            entries.push(Entry {
                name: short(name.end.saturating_sub(name.text.len()))?,
                name_len: short(name.text.len())?,
                key_value: short(at)?,
            });
        }
        if !sorted && let Some(entries) = entries.get_mut(from..) {
            entries
                .sort_unstable_by(|a, b| self.name(a).cmp(self.name(b)).then(a.key_value.cmp(&b.key_value)));
        }
        Ok(())
    }

    /// The name of an entry of this map.
    #[inline]
    pub(super) fn name(&self, entry: &Entry) -> &'a [u8] {
        let at = self.message.at(wide(entry.name));
        at.rest().get(..wide(entry.name_len)).unwrap_or_default()
    }

    /// The value of an entry of this map.
    #[inline]
    pub(super) fn value(&self, entry: &Entry) -> Result<Value<'a>, Malformed> {
        value::value(self.message.at(wide(entry.key_value)).message()?)
    }
}

/// A position in a request, which is never longer than 4 GiB.
#[inline]
fn short(position: usize) -> Result<u32, Malformed> {
    u32::try_from(position).map_err(|_| Malformed { offset: position, what: "attribute beyond 4 GiB" })
}

/// The way back.
#[inline]
#[expect(clippy::as_conversions, reason = "widening; the crate does not build for 16-bit targets")]
const fn wide(position: u32) -> usize {
    position as usize
}

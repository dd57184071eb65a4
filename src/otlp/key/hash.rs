//! The 16-byte hash of an attribute map: XXH64 over a canonical form, twice.
//!
//! Source: contrib `pkg/pdatautil/hash.go` (v0.161.0), `MapHash`. The canonical form has the entries in bytewise order of
//! their names. A name that occurs several times is written that often, each time with its *first* value, because pdata
//! looks values up by name.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::hash::Hasher;

use twox_hash::XxHash64;

use super::{
    map::{Entry, Map},
    texts::Texts,
    value::{Value, next},
};
use crate::otlp::{
    check::{DEPTH, too_deep},
    wire::{Malformed, Messages, Reader, Tag, field::list},
};

// Bytes that never occur in UTF-8 tell the parts of the canonical form apart.
const EXTRA: u8 = 0xf3;
pub(super) const NAME: u8 = 0xf4;
const EMPTY: u8 = 0xf5;
const BYTES: u8 = 0xf6;
pub(super) const STRING: u8 = 0xf7;
const TRUE: u8 = 0xf8;
const FALSE: u8 = 0xf9;
const INT: u8 = 0xfa;
const DOUBLE: u8 = 0xfb;
const MAP: u8 = 0xfc;
const MAP_END: u8 = 0xfd;
const SLICE: u8 = 0xfe;
const SLICE_END: u8 = 0xff;

/// Of XXH64.
const SEED: u64 = 0;

/// The canonical form is handed to XXH64 in blocks of about this many bytes: attributes are rarely longer, and memory
/// stays bounded where they are.
const BLOCK: usize = 16 * 1024;

/// The canonical form of attributes with distinct names is at most 2.25 times as long as they are on the wire. Repeated
/// names multiply it, by two and more for each level of nesting at little cost to the sender, so there is an end to that.
const GROWTH: usize = 64;

/// Entries of the table that an idle hasher keeps.
const KEEP: usize = 4096;

/// Hashes attribute maps; holds scratch space. Allocates nothing once warm, as long as a map has at most 4096 entries
/// and stands in one message.
#[derive(Debug, Default)]
pub(in crate::otlp) struct MapHasher {
    entries: Vec<Entry>,
    canonical: Canonical,
}

/// The canonical form on its way into the hash.
#[derive(Debug, Default)]
struct Canonical {
    block: Vec<u8>,
    /// Of the blocks before this one, if there are any.
    hash: Option<XxHash64>,
    /// How much longer it may grow.
    left: usize,
}

impl MapHasher {
    /// The hash of the repeated `KeyValue` field `attributes` of the messages; 16 zero bytes if it is empty.
    ///
    /// Time is linear in the length of the attributes, and n log n in their number where they are not sorted.
    ///
    /// # Errors
    ///
    /// Attributes that are malformed, nested deeper than [`DEPTH`], or so often repeated that their canonical form is
    /// [`GROWTH`] times as long as they are. Offsets count from the first message where there are several.
    pub(in crate::otlp) fn hash(
        &mut self,
        messages: &Messages<'_>,
        attributes: Tag,
    ) -> Result<[u8; 16], Malformed> {
        let mut parts = messages.iter();
        let Some(first) = parts.next() else { return Ok([0; 16]) };
        if parts.next().is_none() {
            return self.message(first, attributes);
        }
        // Messages behind each other are one message.
        let whole: Vec<u8> = messages.iter().flat_map(|part| part.rest()).copied().collect();
        self.message(Reader::new(&whole), attributes)
    }

    /// Gives back what an unusually long map needed.
    pub(in crate::otlp) fn trim(&mut self) {
        if self.entries.capacity() > KEEP {
            self.entries = Vec::new();
        }
    }

    fn message(&mut self, message: Reader<'_>, attributes: Tag) -> Result<[u8; 16], Malformed> {
        if let Some(texts) = Texts::read(message, attributes)? {
            return Ok(texts.hash(&mut self.canonical.block));
        }
        self.entries.clear();
        self.canonical.begin(message.rest().len().saturating_mul(GROWTH));
        let map = Map::new(message, attributes);
        map.sort(&mut self.entries)?;
        if self.entries.is_empty() {
            return Ok([0; 16]);
        }
        self.entries_from(0, &map, DEPTH)?;
        Ok(self.canonical.finish())
    }

    fn map(&mut self, message: Reader<'_>, depth: usize) -> Result<(), Malformed> {
        let from = self.entries.len();
        let map = Map::new(message, list::VALUES);
        map.sort(&mut self.entries)?;
        self.entries_from(from, &map, depth)
    }

    /// Writes a map whose sorted entries are the last ones of the table, and takes them off it.
    fn entries_from(&mut self, from: usize, map: &Map<'_>, depth: usize) -> Result<(), Malformed> {
        let mut first: Option<(&[u8], Entry)> = None;
        for at in from..self.entries.len() {
            let Some(&entry) = self.entries.get(at) else { break };
            let name = map.name(&entry);
            let (name, entry) = match first {
                Some(first) if first.0 == name => first,
                _ => (name, entry),
            };
            first = Some((name, entry));
            let value = map.value(&entry)?;
            self.canonical.put(NAME, name)?;
            self.value(&value, depth)?;
        }
        self.entries.truncate(from);
        Ok(())
    }

    fn value(&mut self, value: &Value<'_>, depth: usize) -> Result<(), Malformed> {
        let canonical = &mut self.canonical;
        match *value {
            Value::Empty => canonical.put(EMPTY, &[]),
            Value::String(text) => canonical.put(STRING, text),
            Value::Bool(true) => canonical.put(TRUE, &[]),
            Value::Bool(false) => canonical.put(FALSE, &[]),
            Value::Int(number) => canonical.put(INT, &number.to_le_bytes()),
            Value::Double(number) => canonical.put(DOUBLE, &number.to_bits().to_le_bytes()),
            Value::Bytes(bytes) => canonical.put(BYTES, bytes),
            Value::Array(mut values) => {
                let Some(depth) = depth.checked_sub(2) else { return Err(too_deep(values.offset())) };
                canonical.put(SLICE, &[])?;
                while let Some(value) = next(&mut values, list::VALUES)? {
                    self.value(&Value::read(value)?, depth)?;
                }
                self.canonical.put(SLICE_END, &[])
            }
            Value::Map(entries) => {
                let Some(depth) = depth.checked_sub(3) else { return Err(too_deep(entries.offset())) };
                canonical.put(MAP, &[])?;
                self.map(entries, depth)?;
                self.canonical.put(MAP_END, &[])
            }
        }
    }
}

// === impl Canonical ===

impl Canonical {
    fn begin(&mut self, limit: usize) {
        self.block.clear();
        self.hash = None;
        self.left = limit;
    }

    #[inline]
    fn put(&mut self, mark: u8, bytes: &[u8]) -> Result<(), Malformed> {
        let Some(left) = self.left.checked_sub(bytes.len().saturating_add(1)) else {
            return Err(Malformed { offset: 0, what: "attributes repeat their names too often" });
        };
        self.left = left;
        self.block.push(mark);
        if bytes.len() >= BLOCK {
            self.flush().write(bytes);
            return Ok(());
        }
        self.block.extend_from_slice(bytes);
        if self.block.len() >= BLOCK {
            self.flush();
        }
        Ok(())
    }

    fn flush(&mut self) -> &mut XxHash64 {
        let hash = self.hash.get_or_insert_with(|| XxHash64::with_seed(SEED));
        hash.write(&self.block);
        self.block.clear();
        hash
    }

    fn finish(&mut self) -> [u8; 16] {
        let (low, high) = if self.hash.is_some() {
            let hash = self.flush();
            let low = hash.finish();
            hash.write(&[EXTRA]);
            (low, hash.finish())
        } else {
            // One block, as nearly always.
            return hash(&mut self.block);
        };
        joined(low, high)
    }
}

/// The hash of a whole canonical form: at once is faster than through a state.
pub(super) fn hash(canonical: &mut Vec<u8>) -> [u8; 16] {
    let low = XxHash64::oneshot(SEED, canonical);
    canonical.push(EXTRA);
    joined(low, XxHash64::oneshot(SEED, canonical))
}

fn joined(low: u64, high: u64) -> [u8; 16] {
    (u128::from(high) << 64 | u128::from(low)).to_le_bytes()
}

//! Key bytes: the texts and identities that the Collector's `load_balancing` exporter hashes, out of bytes on the wire.
//!
//! Stage: engine, called by `split`. Owns what a key is made of: attribute values and their texts ([`value`], [`text`]),
//! the order of segments ([`levels`], [`ordered`]), the hash of an attribute map ([`hash`]) and the identities of resources and metric
//! streams ([`identity`]). Which item has which key is the affair of `split`.
//!
//! Reads bytes as pdata v1.67.0 does: the first attribute of a name counts for look-ups, a later `value` of the same
//! `KeyValue` replaces an earlier one, names and strings are never checked for UTF-8, references into a string table
//! (`key_strindex`, `string_value_strindex`) are not resolved.
//!
//! Only what a key needs is read. Nesting is bounded by [`check::DEPTH`](super::check::DEPTH), at which the level `Full`
//! refuses too.

mod hash;
mod identity;
mod levels;
mod map;
mod ordered;
mod text;
mod texts;
mod value;

#[cfg(test)]
mod tests;

use self::text::put_segment;
pub(super) use self::{
    hash::MapHasher,
    identity::{StreamId, put_resource},
    levels::Levels,
    ordered::Ordered,
    value::{Value, find, last, to_field},
};
use super::wire::Malformed;

/// What may still be put together of keys of several attributes in one request.
///
/// A long attribute of a resource is part of the key of every item below it, so keys can be longer than the request by the
/// number of its items: 4 MB could ask for 200 GB to be hashed. Keys of everyday requests are shorter than the items they are
/// of; the limit allows 25 kB of shared attributes on items of 100 bytes.
#[derive(Debug, Default)]
struct Budget(usize);

impl Budget {
    /// Bytes of keys for each byte of the request.
    const GROWTH: usize = 256;
    /// Bytes of keys for a short one.
    const LEAST: usize = 1 << 20;

    const fn of(request: usize) -> Self {
        Self(request.saturating_mul(Self::GROWTH).saturating_add(Self::LEAST))
    }

    fn take(&mut self, key: usize) -> Result<(), Malformed> {
        match self.0.checked_sub(key) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => Err(Malformed { offset: 0, what: "routing attributes are too long for so many items" }),
        }
    }
}

/// Bytes that an idle buffer of key bytes keeps.
const KEEP: usize = 16 * 1024;

/// Empties a buffer of key bytes that has grown beyond [`KEEP`].
pub(super) fn trim(key: &mut Vec<u8>) {
    if key.capacity() > KEEP {
        *key = Vec::new();
    }
}

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

pub(super) use hash::MapHasher;
pub(super) use identity::{StreamId, put_resource};
pub(super) use levels::Levels;
pub(super) use ordered::Ordered;
use text::put_segment;
pub(super) use value::{Value, find, last, to_field};

/// Bytes that an idle buffer of key bytes keeps.
const KEEP: usize = 16 * 1024;

/// Empties a buffer of key bytes that has grown beyond [`KEEP`].
pub(super) fn trim(key: &mut Vec<u8>) {
    if key.capacity() > KEEP {
        *key = Vec::new();
    }
}

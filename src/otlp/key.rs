//! Key bytes: the texts and identities that the Collector's `load_balancing` exporter hashes, out of bytes on the wire.
//!
//! Skeleton: signatures.

mod hash;
mod identity;
mod value;

pub(super) use hash::MapHasher;
pub(super) use identity::{StreamId, put_resource};
pub(super) use value::{Value, find, put_segment};

//! The 16-byte hash of an attribute map (contrib `pkg/pdatautil`).
//!
//! Skeleton: signatures.

use crate::otlp::wire::{Malformed, Messages, Tag};

/// Hashes attribute maps; holds scratch space.
#[derive(Debug, Default)]
pub(in crate::otlp) struct MapHasher {}

impl MapHasher {
    /// The hash of the repeated `KeyValue` field `attributes` of the messages; 16 zero bytes if it is empty.
    #[expect(clippy::needless_pass_by_ref_mut, reason = "skeleton")]
    pub(in crate::otlp) fn hash(
        &mut self,
        _messages: &Messages<'_>,
        _attributes: Tag,
    ) -> Result<[u8; 16], Malformed> {
        Ok([0; 16])
    }
}

//! The items of a logs request: log records, their checks and their routing key.
//!
//! Skeleton: signatures.

use super::{NOT_SPLIT, Scratch, index::Index};
use crate::{model::settings::RoutingKey, otlp::wire::Malformed};

/// Indexes a logs request.
pub(super) fn index<const FULL: bool>(
    _payload: &[u8],
    _index: &mut Index,
    _key: &RoutingKey,
    _scratch: &mut Scratch,
    _slot_of: &mut impl FnMut(&[u8]) -> usize,
) -> Result<(), Malformed> {
    Err(NOT_SPLIT)
}

//! The consistent-hash ring: key bytes to slot.
//!
//! Stage: engine. Skeleton: signatures.

use crate::model::settings::RingGeneration;

/// An immutable ring over a list of endpoint texts. A slot is an index into that list.
#[derive(Debug)]
pub struct Ring {}

impl Ring {
    /// Builds the ring of a generation. Duplicates in `endpoints` count twice, as in the Collector; G1 and G2 depend on
    /// the order of the list.
    pub fn new(_generation: RingGeneration, _endpoints: &[&str]) -> Self {
        Self {}
    }

    /// The slot that owns a key; `None` on an empty ring.
    pub fn slot_of(&self, _key: &[u8]) -> Option<usize> {
        None
    }

    /// Share of the positions that a slot owns, 0 to 1.
    pub fn share(&self, _slot: usize) -> f64 {
        0.0
    }
}

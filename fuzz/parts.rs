//! The parts of a plan, with what holds for those of every plan.
//!
//! The including module brings `ringway` into its own scope.
#![allow(dead_code, unreachable_pub, reason = "included by tests and fuzz targets")]

use super::ringway::otlp::Plan;

/// (slot, items, bytes of the part).
pub type Parts = Vec<(usize, usize, Vec<u8>)>;

/// Appends every part.
pub fn of(plan: &Plan<'_>) -> Parts {
    let mut parts = Parts::new();
    for (slot, items, bytes) in plan.parts() {
        let mut part = Vec::new();
        plan.append(slot, &mut part);
        assert_eq!(part.len(), bytes, "announced size");
        assert!(items > 0);
        assert!(parts.last().is_none_or(|(before, ..)| *before < slot));
        parts.push((slot, items, part));
    }
    parts
}

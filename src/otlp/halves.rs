//! Cuts a request into two, to find the item that a backend does not take.
//!
//! Stage: engine, used by `backend`, which sends the halves of a rejected message by themselves, and theirs, until what is
//! rejected is one item. Owns where the cut falls: between resource groups as long as there are several with items, because
//! two requests behind each other are one and so a request may be cut between any two of its fields; then between items,
//! which [`Splitter::plan_by_size`] knows how to.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

#[cfg(test)]
mod tests;

use super::{
    split::Splitter,
    wire::{Malformed, Reader, field::request},
};
use crate::model::Signal;

/// Items of a request, and the request.
pub type Half = (usize, Vec<u8>);

/// Cuts an `Export…ServiceRequest` into two requests of fewer items each. `None`: it has at most one item.
///
/// `payload` is uncompressed. Items are spans, log records and data points; those of the halves add up to those of the
/// request, in their order. The halves are as equal as the border that is cut at allows:
///
/// - *between resource groups*, if two or more of them have items: at the border that is nearest to the middle of the items.
///   The halves behind each other are the request, byte for byte, unknown fields included;
/// - *between items* otherwise, in the middle: each half gets its own resource group, scope group and metric around its items,
///   with all their other fields, and what the request itself has of unknown fields. Groups without items vanish.
///
/// Metrics without points go along with their neighbours. Cutting the halves again and again comes down to single items
/// after at most log2(items) + 3 cuts, however the groups are filled.
///
/// Reads the request twice and copies it once; allocates two vectors and the scratch space of a [`Splitter`]. Meant for
/// messages that have been rejected, not for the data path.
///
/// # Errors
///
/// [`Malformed`] if the request is not valid at the structure level or is longer than 4 GiB.
pub fn halves(signal: Signal, payload: &[u8]) -> Result<Option<[Half; 2]>, Malformed> {
    // The seed is of random keys, which are not asked for here.
    let mut splitter = Splitter::new(0);
    let plan = splitter.plan_by_size(signal, payload, usize::MAX, usize::MAX)?;
    let (items, groups) = (plan.items(), plan.items_by_resource_group());
    drop(plan);
    if items < 2 {
        return Ok(None);
    }
    if let Some(cut) = Cut::find(payload, &groups, items)?
        && let Some((first, second)) = payload.split_at_checked(cut.at)
    {
        let rest = items.saturating_sub(cut.items);
        return Ok(Some([(cut.items, first.to_vec()), (rest, second.to_vec())]));
    }
    between_items(&mut splitter, signal, payload, items)
}

/// A border between two resource groups.
#[derive(Clone, Copy, Debug)]
struct Cut {
    /// Offset of the second half.
    at: usize,
    /// Items of the first half.
    items: usize,
}

impl Cut {
    /// The border nearest to the middle that has items on both sides; of two that are equally near, the first.
    ///
    /// `groups` has the items of each resource group, `items` is their sum.
    fn find(payload: &[u8], groups: &[usize], items: usize) -> Result<Option<Self>, Malformed> {
        let mut reader = Reader::new(payload);
        let mut groups = groups.iter();
        let mut best: Option<(usize, Self)> = None;
        let mut before = 0_usize;
        loop {
            let at = reader.offset();
            let Some(tag) = reader.tag()? else { break };
            if tag != request::RESOURCES {
                reader.skip_unknown(tag, &request::KNOWN)?;
                continue;
            }
            reader.message()?;
            let inside = groups.next().copied().unwrap_or(0);
            let distance = before.saturating_mul(2).abs_diff(items);
            if before > 0 && inside > 0 && best.is_none_or(|(least, _)| distance < least) {
                best = Some((distance, Self { at, items: before }));
            }
            before = before.saturating_add(inside);
        }
        Ok(best.map(|(_, cut)| cut))
    }
}

/// The halves of a request that has its items, two or more, in one resource group.
fn between_items(
    splitter: &mut Splitter,
    signal: Signal,
    payload: &[u8],
    items: usize,
) -> Result<Option<[Half; 2]>, Malformed> {
    let plan = splitter.plan_by_size(signal, payload, usize::MAX, items.div_ceil(2))?;
    let mut halves = plan.parts().map(|(slot, items, bytes)| {
        let mut half = Vec::with_capacity(bytes);
        plan.append(slot, &mut half);
        (items, half)
    });
    // Two or more items make exactly two parts of at most half of them, rounded up.
    Ok(halves.next().zip(halves.next()).map(|(first, second)| [first, second]))
}

//! Splits one serialized export request into one part for each slot, in two passes.
//!
//! Stage: engine, called by `router`. Skeleton: the signatures that the other stages build against.

use crate::model::{
    Signal,
    settings::{RoutingKey, Validation},
};

/// A request is not valid OTLP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Byte offset in the request at which it was noticed.
    pub offset: usize,
    /// What is wrong there.
    pub what: &'static str,
}

/// Reusable scratch space of the two passes. One for each thread; a plan borrows it.
#[derive(Debug)]
pub struct Splitter {}

/// The result of the index pass: which bytes go to which slot.
#[derive(Debug)]
pub struct Plan<'a> {
    _payload: &'a [u8],
}

impl Splitter {
    /// Empty scratch space.
    pub fn new() -> Self {
        Self {}
    }

    /// Index pass: checks the request and assigns every item to a slot.
    ///
    /// `slot_of` maps key bytes to a slot below `slots`.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if the request is not valid at the given level.
    pub fn plan<'a>(
        &'a mut self,
        _signal: Signal,
        payload: &'a [u8],
        _key: RoutingKey,
        _validation: Validation,
        _slots: usize,
        _slot_of: impl FnMut(&[u8]) -> usize,
    ) -> Result<Plan<'a>, Malformed> {
        Ok(Plan { _payload: payload })
    }

    /// Index pass for a request that is too large for one message: consecutive items into as many slots as are
    /// needed so that no part exceeds `max_bytes`. An item that alone does not fit gets a slot of its own whose
    /// part exceeds the limit; the caller drops it.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if the request is not valid at the structure level.
    pub fn plan_by_size<'a>(
        &'a mut self,
        _signal: Signal,
        payload: &'a [u8],
        _max_bytes: usize,
        _max_items: usize,
    ) -> Result<Plan<'a>, Malformed> {
        Ok(Plan { _payload: payload })
    }
}

impl Plan<'_> {
    /// Items in the whole request.
    pub fn items(&self) -> usize {
        0
    }

    /// Slots that get something: (slot, items, exact bytes of the part), ascending by slot.
    pub fn parts(&self) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
        std::iter::empty()
    }

    /// Append pass: writes the part of one slot, a complete serialized request, behind what `out` holds.
    /// A request whose items all go to one slot is copied whole, unknown fields of the request included.
    pub fn append(&self, _slot: usize, _out: &mut Vec<u8>) {}
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at byte {}", self.what, self.offset)
    }
}
/// stub
///
/// # Errors
///
/// stub
pub fn partial_success(_m: &[u8]) -> Result<(u64, String), Malformed> {
    Ok((0, String::new()))
}

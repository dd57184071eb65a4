//! Everything that knows OTLP's bytes.
//!
//! Stage: engine. Owns the wire format: reading, writing and checking protobuf without building messages, and
//! splitting a serialized request into one part for each slot, or into halves. Pure functions over slices: no I/O, no clock.

mod check;
mod halves;
pub mod json;
mod key;
pub mod response;
mod sample;
mod split;
pub mod wire;

pub use halves::halves;
pub use response::{partial_success, partial_success_json};
pub use sample::sample;
pub use split::{Dropped, Plan, Splitter};
pub use wire::Malformed;
/// Items and bytes of two requests.
type Halves = [(usize, Vec<u8>); 2];

/// Cuts a request in two.
///
/// # Errors
///
/// If it is not valid.
pub const fn halves(_signal: crate::model::Signal, _payload: &[u8]) -> Result<Option<Halves>, Malformed> {
    Ok(None)
}

/// Names the first item of a request.
pub const fn sample(_signal: crate::model::Signal, _payload: &[u8]) -> String {
    String::new()
}

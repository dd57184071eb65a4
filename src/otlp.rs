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

pub use halves::{Half, halves};
pub use response::{partial_success, partial_success_json};
pub use sample::sample;
pub use split::{Dropped, Plan, Splitter};
pub use wire::Malformed;

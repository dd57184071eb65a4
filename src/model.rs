//! Vocabulary shared by every stage: plain types, no I/O, no clock, no configuration text.
//!
//! Stage: none; the lowest layer. Owns the words of the data path. Assumes nothing and uses no other
//! module of the crate.

mod endpoint;
mod failure;
mod metadata;
mod payload;
pub mod settings;
mod signal;

pub use endpoint::Endpoint;
pub use failure::{Code, Delivered, Failure, Outcome, Retry, Side, fold};
pub use metadata::Metadata;
pub use payload::Payload;
pub use signal::Signal;

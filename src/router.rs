//! Splits each request over the backends of one snapshot and hands every part to its backend's queue.
//!
//! Stage: router, after `receiver`, before `backend`.

mod dispatch;

pub use dispatch::{Dispatched, Dispatcher};

//! Splits each request over the backends of one snapshot and hands every part to its backend's queue.
//!
//! Stage: router, after `receiver`, before `backend`. A [`Router`] is one exporter for one signal; a [`Dispatcher`] is
//! what a receiver sees: every exporter of every pipeline that names it. Nothing here waits for a lock while routing:
//! a request reads one [`Table`] and uses it to its end.

mod dispatch;
mod keeper;
mod offer;
mod reroute;
mod spool;
mod table;

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use dispatch::Seen;
pub use dispatch::{Dispatched, Dispatcher};
pub use keeper::{EndpointSets, Keeper, StartBackend};
pub use spool::{Spool, Spooler};
pub use table::{Members, Reason, Router, Table};

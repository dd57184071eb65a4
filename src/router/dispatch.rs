//! One request: split, reserve room at every backend it touches, append, and wait if delivery was asked for.
//!
//! Stage: router. Skeleton: signatures.

use bytes::Bytes;

use crate::model::{Delivered, Outcome, Signal};

/// The end of a request as the receiver needs it.
#[derive(Clone, Debug)]
pub struct Dispatched {
    /// Items in the request; 0 if it could not be read, or held none.
    pub items: usize,
    /// What to answer.
    pub outcome: Outcome,
}

/// What a receiver hands requests of one signal to: every exporter of every pipeline that names the receiver.
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Dispatcher {
    #[cfg(test)]
    fixed: Option<Dispatched>,
}

impl Dispatcher {
    /// A dispatcher that answers every request alike, for tests of the stage before it.
    #[cfg(test)]
    pub(crate) fn fixed(items: usize, outcome: Outcome) -> Self {
        Self { fixed: Some(Dispatched { items, outcome }) }
    }

    /// Takes one serialized, uncompressed export request to the backends that own its items.
    ///
    /// Returns when every part is queued, or delivered if the sending queue is off. A malformed request, and
    /// one for which some queue has no room, is refused whole: nothing of it has been sent then.
    pub async fn dispatch(&self, _signal: Signal, _body: Bytes) -> Dispatched {
        #[cfg(test)]
        if let Some(fixed) = &self.fixed {
            return fixed.clone();
        }
        Dispatched { items: 0, outcome: Ok(Delivered::default()) }
    }
}

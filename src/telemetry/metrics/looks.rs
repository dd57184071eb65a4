//! Metrics of what changes by itself, such as an age: taken when somebody looks.
//!
//! Stage: edge.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// Takes one measurement. Runs at every scrape, so it is short and waits for nothing.
pub(super) type Look = Box<dyn Fn() + Send + Sync>;

/// Everything that is measured at a scrape. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Looks(Arc<Mutex<Vec<Look>>>);

impl fmt::Debug for Looks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Looks").finish()
    }
}

impl Looks {
    /// Adds one, for the life of the metrics.
    pub(super) fn add(&self, look: Look) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(look);
    }

    /// Takes them all.
    pub(super) fn look(&self) {
        for look in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            look();
        }
    }
}

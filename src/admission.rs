//! The memory budget: everything that is held (bodies, queues, batches) has a permit for its bytes.
//!
//! Stage: edge, used by `receiver`, `router` and `backend`. Memory is bounded by configuration, not by hope: what has no permit
//! is refused before it is allocated.
//!
//! **One budget, shared fairly.** Each holder (a backend of one exporter and signal, the receivers together) has an
//! [`Account`]. Half of the budget is divided into equal shares that nobody else can use up; the other half is lent. An account
//! uses its own share first, then borrows, as long as what it has borrowed does not exceed what is left to borrow afterwards:
//! one greedy account gets at most half of the loans, two get a third each, and there is always something left for the next.
//! (Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches", 1998, with alpha 1.) So one dead
//! backend cannot starve the rest, and a busy one can use what idle ones do not.
//!
//! **Data that is accepted already is never refused** ([`Account::force`]): it may bring an account, and the sum, above its
//! limit; new data waits until that is over.

mod available;
mod state;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use available::memory;

use crate::telemetry::MemoryMetrics;
use state::{Holder, State};

/// Why there is no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// There is no room now.
    Busy,
    /// There never will be: an account alone does not get so much.
    TooLarge,
}

/// What the process may hold at a time. Clones share it.
#[derive(Clone, Debug)]
pub struct Budget {
    state: Arc<Mutex<State>>,
    metrics: Option<MemoryMetrics>,
}

/// One holder. Clones are the same holder; it gives its share back to the others when the last clone and the last permit are
/// gone.
#[derive(Clone, Debug)]
pub struct Account {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    budget: Budget,
    /// Locked only together with, and after, the state of the budget.
    holder: Mutex<Holder>,
}

/// Bytes that an account holds, released when this is dropped.
#[derive(Debug)]
pub struct Permit {
    account: Account,
    bytes: usize,
}

impl Budget {
    /// A budget of so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self { state: Arc::new(Mutex::new(State::new(bytes))), metrics: None }
    }

    /// A budget that shows itself in the metrics.
    pub fn reporting(bytes: usize, metrics: MemoryMetrics) -> Self {
        metrics.budget.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        Self { metrics: Some(metrics), ..Self::new(bytes) }
    }

    /// One more holder; the shares of the others shrink.
    pub fn account(&self) -> Account {
        self.lock().accounts += 1;
        Account { shared: Arc::new(Shared { budget: self.clone(), holder: Mutex::default() }) }
    }

    /// Bytes that are held.
    pub fn held(&self) -> usize {
        self.lock().held
    }

    /// Bytes that may be held.
    pub fn limit(&self) -> usize {
        self.lock().limit
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under this lock leaves sums that are still consistent: nothing in it can panic between two of them.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    /// A permit for so many bytes: one short lock, no allocation.
    ///
    /// # Errors
    ///
    /// [`Full`].
    pub fn take(&self, bytes: usize) -> Result<Permit, Full> {
        self.with(|state, holder| state.take(holder, bytes))?;
        Ok(Permit { account: self.clone(), bytes })
    }

    /// A permit for data that is accepted already.
    pub fn force(&self, bytes: usize) -> Permit {
        self.with(|state, holder| state.force(holder, bytes));
        Permit { account: self.clone(), bytes }
    }

    /// Bytes that this account holds.
    pub fn held(&self) -> usize {
        self.with(|_, holder| holder.held())
    }

    fn with<T>(&self, act: impl FnOnce(&mut State, &mut Holder) -> T) -> T {
        let mut state = self.shared.budget.lock();
        let mut holder = self.shared.holder.lock().unwrap_or_else(PoisonError::into_inner);
        let done = act(&mut state, &mut holder);
        if let Some(metrics) = &self.shared.budget.metrics {
            metrics.held.set(i64::try_from(state.held).unwrap_or(i64::MAX));
        }
        done
    }
}

impl Permit {
    /// Bytes that it stands for.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a part of it as a permit of its own: so many bytes, or all there are.
    pub fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { account: self.account.clone(), bytes }
    }

    /// Gives back what is more than so many bytes.
    pub fn shrink_to(&mut self, bytes: usize) {
        drop(self.split(self.bytes.saturating_sub(bytes)));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.account.with(|state, holder| state.release(holder, self.bytes));
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Every permit holds the account, so nothing is held here any more.
        let mut state = self.budget.lock();
        state.accounts = state.accounts.saturating_sub(1);
    }
}

//! The memory budget: everything that is held (bodies, queues, batches) has a permit for its bytes.
//!
//! Stage: edge, used by `receiver`, `router` and `backend`. Memory is bounded by configuration, not by hope: what has no permit
//! is refused before it is allocated.
//!
//! **One budget, shared fairly.** Each holder (a backend of one exporter and signal, the receivers together) has an
//! [`Account`]. Half of the budget is divided into equal shares that nobody else can use up; the other half is lent. An account
//! uses its own share first, then borrows, as long as what it has borrowed does not exceed what is left to borrow afterwards:
//! one greedy account gets at most half of the loans, two get a third each, and there is always something left for the next.
//! (Choudhury and Hahne, "Dynamic queue length thresholds for multiple loss priorities" and "… in a shared memory packet
//! switch", IEEE/ACM Transactions on Networking 6(2), 1998, with alpha 1.) So one dead backend cannot starve the rest, and a busy
//! one can use what idle ones do not.
//!
//! **Accounts come and go**, and shares with them. Nothing is taken back: what an account holds above a share that has
//! shrunk counts as its loan. Only if such loans and others add up to more than the loans there are, newer accounts find less
//! than their whole share until something is given back.
//!
//! **Data that is accepted already is never refused** ([`Account::force`], [`Permit::move_to`]): it may bring an account, and the
//! sum, above its limit; new data of that account waits until that is over, others still have their shares.
//!
//! Cost: one short lock for each permit and one for its end, about 30 ns for both where no other thread wants it
//! (`benches/admission.rs`).

mod available;
mod state;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

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
    pool: Arc<Pool>,
}

#[derive(Debug)]
struct Pool {
    state: Mutex<State>,
    /// Told when something is given back while somebody waits.
    room: Arc<Notify>,
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
    pool: Arc<Pool>,
    holder: Holder,
}

/// Bytes that an account holds, released when this is dropped.
#[derive(Debug)]
pub struct Permit {
    account: Account,
    bytes: usize,
}

/// Counts one that waits for room.
struct Waiting(Arc<Pool>);

// === impl Budget ===

impl Budget {
    /// A budget of so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self::with(bytes, None)
    }

    /// A budget that shows itself in the metrics.
    pub fn reporting(bytes: usize, metrics: MemoryMetrics) -> Self {
        metrics.budget.set(as_gauge(bytes));
        Self::with(bytes, Some(metrics))
    }

    fn with(bytes: usize, metrics: Option<MemoryMetrics>) -> Self {
        Self { pool: Arc::new(Pool { state: Mutex::new(State::new(bytes)), room: Arc::default(), metrics }) }
    }

    /// One more holder; the shares of the others shrink.
    pub fn account(&self) -> Account {
        self.pool.lock().open();
        Account { shared: Arc::new(Shared { pool: Arc::clone(&self.pool), holder: Holder::default() }) }
    }

    /// Bytes that are held.
    pub fn held(&self) -> usize {
        self.pool.lock().held
    }

    /// Bytes that may be held.
    pub fn limit(&self) -> usize {
        self.pool.lock().limit
    }
}

// === impl Pool ===

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under this lock leaves sums that are still consistent: nothing in it can panic between two of them.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is held. The gauge is set under the lock, so that it ends at the last value.
    fn change<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let done = act(&mut state);
        if let Some(metrics) = &self.metrics {
            metrics.held.set(as_gauge(state.held));
        }
        done
    }

    /// A change after which others may have more room.
    fn give_back(&self, act: impl FnOnce(&mut State)) {
        let waiting = self.change(|state| {
            act(state);
            state.waiting
        });
        if waiting > 0 {
            self.room.notify_waiters();
        }
    }
}

// === impl Account ===

impl Account {
    /// A permit for so many bytes.
    ///
    /// # Errors
    ///
    /// [`Full`]; nothing is held then.
    pub fn take(&self, bytes: usize) -> Result<Permit, Full> {
        self.shared.pool.change(|state| state.take(&self.shared.holder, bytes))?;
        Ok(Permit { account: self.clone(), bytes })
    }

    /// Whether so many bytes would get a permit now. They get none.
    ///
    /// # Errors
    ///
    /// [`Full`].
    pub fn admits(&self, bytes: usize) -> Result<(), Full> {
        self.shared.pool.lock().parts(&self.shared.holder, bytes).map(drop)
    }

    /// A permit for data that is accepted already.
    pub fn force(&self, bytes: usize) -> Permit {
        self.shared.pool.change(|state| state.force(&self.shared.holder, bytes));
        Permit { account: self.clone(), bytes }
    }

    /// Bytes that this account holds.
    pub fn held(&self) -> usize {
        self.shared.holder.held()
    }

    /// Ends when something has been given back, by any account, since this was called. No such event is lost between the call
    /// and the first poll, so: call this, then [`take`](Self::take), then wait if that was refused as [`Full::Busy`].
    ///
    /// Everybody who waits is told of everything that is given back, since nobody knows for whom it is enough. As long as one
    /// waits, giving back costs one call more; otherwise nothing.
    pub fn freed(&self) -> impl Future<Output = ()> + Send + 'static {
        let pool = Arc::clone(&self.shared.pool);
        // Before it is counted, or what is given back in between would be announced to nobody.
        let told = Arc::clone(&pool.room).notified_owned();
        pool.lock().waiting += 1;
        let waiting = Waiting(pool);
        async move {
            told.await;
            drop(waiting);
        }
    }
}

// === impl Permit ===

impl Permit {
    /// Bytes that it stands for.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Lets another account hold it, as where data that is accepted goes elsewhere. Never refused; the sum stays as it is at
    /// every moment.
    pub fn move_to(&mut self, account: &Account) {
        let (from, to) = (&self.account.shared, &account.shared);
        if Arc::ptr_eq(&from.pool, &to.pool) {
            from.pool.give_back(|state| state.shift(&from.holder, &to.holder, self.bytes));
            self.account = account.clone();
        } else {
            // Of another budget: nothing is uncovered in between.
            *self = account.force(self.bytes);
        }
    }

    /// Holds so many bytes more, or as many as before.
    ///
    /// # Errors
    ///
    /// [`Full`], of the sum: what one account never gets in one piece it does not get in several.
    pub fn grow_by(&mut self, bytes: usize) -> Result<(), Full> {
        let sum = self.bytes.saturating_add(bytes);
        let shared = &self.account.shared;
        shared.pool.change(|state| match sum > state.most() {
            true => Err(Full::TooLarge),
            false => state.take(&shared.holder, bytes),
        })?;
        self.bytes = sum;
        Ok(())
    }

    /// Takes a part of it as a permit of its own: so many bytes, or all there are.
    #[must_use = "dropping a part gives it back"]
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
            let shared = &self.account.shared;
            shared.pool.give_back(|state| state.release(&shared.holder, self.bytes));
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Every permit holds the account, so nothing is held here any more; the others' shares grow.
        self.pool.give_back(State::close);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.waiting = state.waiting.saturating_sub(1);
    }
}

fn as_gauge(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

//! The arithmetic of the budget: who may hold how much.
//!
//! Stage: edge, part of `admission`. Pure.

use super::Full;

/// The sums over all accounts.
#[derive(Debug)]
pub(super) struct State {
    pub(super) limit: usize,
    /// Accounts that have a share.
    pub(super) accounts: usize,
    pub(super) held: usize,
    /// Of that, what is borrowed.
    lent: usize,
}

/// What one account holds.
#[derive(Debug, Default)]
pub(super) struct Holder {
    own: usize,
    borrowed: usize,
}

impl Holder {
    pub(super) const fn held(&self) -> usize {
        self.own.saturating_add(self.borrowed)
    }
}

impl State {
    pub(super) const fn new(limit: usize) -> Self {
        Self { limit, accounts: 0, held: 0, lent: 0 }
    }

    /// What an account may hold whatever the others do.
    pub(super) fn share(&self) -> usize {
        self.limit / 2 / self.accounts.max(1)
    }

    /// What may be lent.
    const fn loans(&self) -> usize {
        self.limit - self.limit / 2
    }

    pub(super) fn take(&mut self, holder: &mut Holder, bytes: usize) -> Result<(), Full> {
        let borrow = bytes.saturating_sub(self.share().saturating_sub(holder.own));
        if borrow > 0 {
            // Both sides grow with what is borrowed: half of the pool is the most that one account ever gets.
            if borrow > self.loans() / 2 {
                return Err(Full::TooLarge);
            }
            let left = self.loans().saturating_sub(self.lent.saturating_add(borrow));
            if holder.borrowed.saturating_add(borrow) > left {
                return Err(Full::Busy);
            }
        }
        self.add(holder, bytes.saturating_sub(borrow), borrow);
        Ok(())
    }

    pub(super) fn force(&mut self, holder: &mut Holder, bytes: usize) {
        let own = bytes.min(self.share().saturating_sub(holder.own));
        self.add(holder, own, bytes.saturating_sub(own));
    }

    /// Loans are given back first.
    pub(super) fn release(&mut self, holder: &mut Holder, bytes: usize) {
        let borrowed = bytes.min(holder.borrowed);
        holder.borrowed -= borrowed;
        holder.own = holder.own.saturating_sub(bytes - borrowed);
        self.lent = self.lent.saturating_sub(borrowed);
        self.held = self.held.saturating_sub(bytes);
    }

    fn add(&mut self, holder: &mut Holder, own: usize, borrowed: usize) {
        holder.own = holder.own.saturating_add(own);
        holder.borrowed = holder.borrowed.saturating_add(borrowed);
        self.lent = self.lent.saturating_add(borrowed);
        self.held = self.held.saturating_add(own).saturating_add(borrowed);
    }
}

//! The arithmetic of the budget: who may hold how much.
//!
//! Stage: edge, part of `admission`. Pure but for [`Holder`]'s cells. Two sums never exceed their half of the limit, whatever
//! the order of calls: what is held of shares, and (but for what was forced) what is lent. So the whole never exceeds the limit
//! either, also while shares shrink because accounts were added.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::Full;

/// The sums over all accounts.
#[derive(Debug)]
pub(super) struct State {
    pub(super) limit: usize,
    /// Accounts that have a share.
    accounts: usize,
    /// What an account may hold whatever the others do.
    share: usize,
    pub(super) held: usize,
    /// Of that, what is borrowed.
    lent: usize,
    /// Who wants to hear that something was given back.
    pub(super) waiting: usize,
}

/// What one account holds. Written under the lock of [`State`] only; atomic because it lives outside of it, beside the permits
/// that lead to it.
#[derive(Debug, Default)]
pub(super) struct Holder {
    own: AtomicUsize,
    borrowed: AtomicUsize,
}

impl Holder {
    pub(super) fn held(&self) -> usize {
        self.own.load(Relaxed).saturating_add(self.borrowed.load(Relaxed))
    }

    fn set(&self, own: usize, borrowed: usize) {
        self.own.store(own, Relaxed);
        self.borrowed.store(borrowed, Relaxed);
    }
}

impl State {
    pub(super) const fn new(limit: usize) -> Self {
        Self { limit, accounts: 0, share: limit / 2, held: 0, lent: 0, waiting: 0 }
    }

    pub(super) fn open(&mut self) {
        self.count(self.accounts.saturating_add(1));
    }

    pub(super) fn close(&mut self) {
        self.count(self.accounts.saturating_sub(1));
    }

    fn count(&mut self, accounts: usize) {
        self.accounts = accounts;
        self.share = self.limit / 2 / accounts.max(1);
    }

    /// What may be lent.
    const fn loans(&self) -> usize {
        self.limit - self.limit / 2
    }

    /// The most that an account gets when nobody else holds anything. Half of the loans, because both sides of the rule grow
    /// with what is borrowed.
    pub(super) const fn most(&self) -> usize {
        self.share.saturating_add(self.loans() / 2)
    }

    pub(super) fn take(&mut self, holder: &Holder, bytes: usize) -> Result<(), Full> {
        let (own, borrow) = self.parts(holder, bytes)?;
        self.add(holder, own, borrow);
        Ok(())
    }

    /// How much of so many bytes the share would cover, and how much a loan.
    pub(super) fn parts(&self, holder: &Holder, bytes: usize) -> Result<(usize, usize), Full> {
        if bytes > self.most() {
            return Err(Full::TooLarge);
        }
        let own = bytes.min(self.room_of_share(holder));
        let borrow = bytes.saturating_sub(own);
        // What it then holds above its share, be that borrowed or older than a share that has shrunk. Within the share it is
        // nothing, and whatever is left of the pool will do.
        let loan = holder.held().saturating_add(bytes).saturating_sub(self.share);
        if borrow > 0 && self.lent.saturating_add(borrow).saturating_add(loan) > self.loans() {
            return Err(Full::Busy);
        }
        Ok((own, borrow))
    }

    pub(super) fn force(&mut self, holder: &Holder, bytes: usize) {
        let own = bytes.min(self.room_of_share(holder));
        self.add(holder, own, bytes.saturating_sub(own));
    }

    /// What is above a share that has shrunk goes first, then loans, since others wait for these.
    pub(super) fn release(&mut self, holder: &Holder, bytes: usize) {
        let (own, borrowed) = (holder.own.load(Relaxed), holder.borrowed.load(Relaxed));
        let above = bytes.min(own.saturating_sub(self.share));
        let repaid = bytes.saturating_sub(above).min(borrowed);
        let returned = bytes.saturating_sub(repaid);
        holder.set(own.saturating_sub(returned), borrowed.saturating_sub(repaid));
        self.lent = self.lent.saturating_sub(repaid);
        self.held = self.held.saturating_sub(bytes);
    }

    pub(super) fn shift(&mut self, from: &Holder, to: &Holder, bytes: usize) {
        self.release(from, bytes);
        self.force(to, bytes);
    }

    /// What is left of an account's share; less than that while accounts whose share has shrunk hold more than theirs.
    fn room_of_share(&self, holder: &Holder) -> usize {
        let reserved = self.held.saturating_sub(self.lent);
        let share = self.share.saturating_sub(holder.own.load(Relaxed));
        share.min((self.limit / 2).saturating_sub(reserved))
    }

    fn add(&mut self, holder: &Holder, own: usize, borrow: usize) {
        holder.set(
            holder.own.load(Relaxed).saturating_add(own),
            holder.borrowed.load(Relaxed).saturating_add(borrow),
        );
        self.lent = self.lent.saturating_add(borrow);
        self.held = self.held.saturating_add(own).saturating_add(borrow);
    }
}

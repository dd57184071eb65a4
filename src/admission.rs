//! The memory budget: what every part that is held must have a permit for.
//!
//! Stage: edge. Does not limit anything yet.

use std::sync::Arc;

/// What may be held at a time.
#[derive(Clone, Debug)]
pub struct Budget {
    _state: Arc<()>,
}

/// One holder.
#[derive(Clone, Debug)]
pub struct Account(Budget);

/// Why there is no permit.
#[derive(Debug)]
pub enum Full {
    /// There is no room now.
    Busy,
    /// There never will be.
    TooLarge,
}

/// Bytes held by one account, until it is dropped.
#[derive(Debug)]
pub struct Permit(usize, Budget);

impl Budget {
    /// A budget of so many bytes.
    pub fn new(_bytes: usize) -> Self {
        Self { _state: Arc::new(()) }
    }

    /// One more holder.
    pub fn account(&self) -> Account {
        Account(self.clone())
    }
}

impl Account {
    /// A permit for so many bytes.
    ///
    /// # Errors
    ///
    /// [`Full`].
    pub fn take(&self, bytes: usize) -> Result<Permit, Full> {
        Ok(self.force(bytes))
    }

    /// A permit for what is held already.
    pub fn force(&self, bytes: usize) -> Permit {
        Permit(bytes, self.0.clone())
    }
}

impl Permit {
    /// Takes some of it apart.
    pub fn split(&mut self, bytes: usize) -> Self {
        let taken = bytes.min(self.0);
        self.0 -= taken;
        Self(taken, self.1.clone())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0 = 0;
    }
}

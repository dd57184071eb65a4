//! What happened in a run: one list of events in simulated time, written by everybody, judged by `laws`.
//!
//! Two witnesses stand at the network: the backends say what they processed, and [`crate::witness`] says what the gateway was
//! told, attempt by attempt. Neither asks the gateway what it thinks.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use twox_hash::XxHash64;

use crate::items::{Id, Item, Kind};

/// Time since the start of the simulation.
pub(crate) type At = Duration;

/// How an attempt ended, as the gateway was told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum End {
    /// Taken, but for so many.
    Taken { rejected: u64 },
    /// Without an answer, certainly not processed.
    Safe(String),
    /// Without an answer, perhaps processed.
    Ambiguous(String),
    /// The backend answered with this code.
    Answered { code: u32, retryable: bool, ambiguous: bool },
    /// The gateway dropped the attempt: it was cut off by a drain deadline or an abort.
    Dropped,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Event {
    /// A client handed a request over, for the nth time.
    Offered { signal: usize, request: u64, time: u32, items: Vec<Id> },
    /// The request was taken.
    Accepted { request: u64, items: Vec<Id> },
    /// The request was refused. `whole`: nothing of it was taken.
    Refused { request: u64, code: &'static str, retryable: bool, whole: bool },
    /// The gateway began an attempt at a backend; without items it is a probe.
    Began { attempt: u64, signal: usize, backend: usize, items: Vec<Id> },
    /// The attempt ended.
    Ended { attempt: u64, end: End },
    /// A backend processed items: they are in its books.
    Processed { backend: usize, items: Vec<Id> },
    /// A backend refused items for good, by partial success or by a permanent code, each for itself or all alike.
    Condemned { backend: usize, items: Vec<Id>, why: Why },
    /// The endpoint set changed.
    Set { backends: Vec<usize> },
    /// A backend, or its link, stopped to work as it should; the text says how.
    Fault { backend: usize, what: String },
    /// Everything works from now on.
    Healed,
    /// The gateway was told to end.
    Drain,
}

/// Why a backend does not take an item, ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Why {
    /// The message contains a poison item.
    Poison,
    /// The message is above the limit.
    TooLarge,
    /// Partial success.
    Partial,
    /// Scripted: whatever it is.
    Code,
}

/// Everything that was written down. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    book: Arc<Mutex<Book>>,
}

/// The pages of a [`Ledger`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    pub(crate) events: Vec<(At, Event)>,
    /// By number, from 1.
    pub(crate) items: Vec<Item>,
    requests: u64,
    attempts: u64,
}

impl Ledger {
    /// Writes down what happens now, inside the simulation.
    pub(crate) fn write(&self, event: Event) {
        self.write_at(now(), event);
    }

    pub(crate) fn write_at(&self, at: At, event: Event) {
        self.book().events.push((at, event));
    }

    /// New items.
    pub(crate) fn make(&self, signal: usize, like: impl IntoIterator<Item = (u32, Kind)>) -> Vec<Item> {
        let mut book = self.book();
        let from = book.items.len();
        for (key, kind) in like {
            let id = book.items.len() as u64 + 1;
            book.items.push(Item { id, signal, key, kind });
        }
        book.items[from..].to_vec()
    }

    /// Number of a new request.
    pub(crate) fn request(&self) -> u64 {
        let mut book = self.book();
        book.requests += 1;
        book.requests
    }

    /// Number of a new attempt.
    pub(crate) fn attempt(&self) -> u64 {
        let mut book = self.book();
        book.attempts += 1;
        book.attempts
    }

    /// What kind of item it is.
    pub(crate) fn kind(&self, id: Id) -> Kind {
        self.book().item(id).kind
    }

    /// A copy of everything.
    pub(crate) fn read(&self) -> Book {
        self.book().clone()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// An item by its number.
    pub(crate) fn item(&self, id: Id) -> Item {
        self.items[id as usize - 1]
    }

    /// The same for two runs in which the same happened at the same times in the same order.
    pub(crate) fn trace_hash(&self) -> u64 {
        XxHash64::oneshot(0, format!("{:?}", self.events).as_bytes())
    }
}

/// The time in the simulation.
pub(crate) fn now() -> At {
    turmoil::sim_elapsed().unwrap_or_default()
}

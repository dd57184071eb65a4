//! The persistent queue of one router: requests are written to disk as they come, and split when they are taken out.
//!
//! Stage: router; the disk is `store`'s. Stands in front of the split, so that the owner of an item is decided when it is sent:
//! a restart with other backends finds the right ones. A record is one inbound request, or what is left of one.
//!
//! A record is done when each of its parts has an outcome: delivered, or given up for a reason that is counted. What has no
//! outcome when the process ends, whatever the error, comes again after the next start: at least once, so what was in flight
//! may be delivered twice.
//!
//! **One dead backend does not fill the window.** What is taken out is bounded ([`WINDOW_BYTES`]). Parts for a backend that
//! already holds its share of that while it fails are written back as records of their own, behind what waits.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::time::{Instant, sleep};

use super::{Router, Table, offer};
use crate::{
    admission::Account,
    backend::{Ack, Backend, Stop, Verdict, Wait, unanswered},
    model::{
        Code, Failure, Outcome, Retry, Side,
        settings::{self, Sizer, Validation},
    },
    otlp::Splitter,
    store::{AppendError, Record, Store, Taken},
};

/// What may be taken out of the store at a time.
const WINDOW_BYTES: usize = 32 << 20;

/// Records that may be taken out at a time.
const WINDOW_RECORDS: usize = 512;

/// Items that a failing backend holds before further parts for it are written back: about its share of the window.
const CLOGGED_ITEMS: usize = 20_000;

/// How long a record waits that can go nowhere now.
const NOWHERE: Duration = Duration::from_millis(250);

/// The queue as requests see it.
#[derive(Debug)]
pub struct Spool {
    store: Store,
    capacity: usize,
    sizer: Sizer,
    /// Occupied in the unit of the sizer.
    used: AtomicUsize,
}

/// Room for one record; given back when it is dropped.
struct Room<'a> {
    spool: &'a Spool,
    cost: usize,
}

impl Spool {
    /// A queue over an open store, with what the store holds already.
    pub fn new(store: Store, queue: &settings::Queue) -> Self {
        let used = match queue.sizer {
            Sizer::Requests => store.len(),
            Sizer::Items => usize::try_from(store.items()).unwrap_or(usize::MAX),
            Sizer::Bytes => usize::try_from(store.bytes()).unwrap_or(usize::MAX),
        };
        Self { store, capacity: queue.size, sizer: queue.sizer, used: AtomicUsize::new(used) }
    }

    fn cost(&self, items: usize, bytes: usize) -> usize {
        match self.sizer {
            Sizer::Requests => 1,
            Sizer::Items => items,
            Sizer::Bytes => bytes,
        }
    }

    /// Writes one request. When this returns, a crash of the process does not lose it.
    ///
    /// # Errors
    ///
    /// `QueueFull` (retryable) if the queue or the disk has no room now; `TooLarge` (permanent) if the queue never will;
    /// `Unavailable` (retryable) if the disk fails. Nothing of it is kept then.
    pub(super) async fn append(&self, record: Record) -> Result<(), Failure> {
        let room = self.reserve(record.items, record.payload.len())?;
        self.store.append(record).await.map_err(refused)?;
        // Occupied until the record is done.
        std::mem::forget(room);
        Ok(())
    }

    fn reserve(&self, items: usize, bytes: usize) -> Result<Room<'_>, Failure> {
        let cost = self.cost(items, bytes);
        if cost > self.capacity {
            let message = format!("element size too large: {cost} of at most {}", self.capacity);
            return Err(Failure::new(Side::Client, Code::TooLarge, Retry::Never, message));
        }
        let grow = |used: usize| used.checked_add(cost).filter(|used| *used <= self.capacity);
        match self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, grow) {
            Ok(_) => Ok(Room { spool: self, cost }),
            Err(_) => Err(Failure::busy(Code::QueueFull, "sending queue is full")),
        }
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        let shrink = |used: usize| Some(used.saturating_sub(self.cost));
        let _changed = self.spool.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, shrink);
    }
}

/// Takes records out and sees to their delivery.
#[derive(Debug)]
pub struct Spooler {
    router: Arc<Router>,
    spool: Arc<Spool>,
    account: Account,
    stop: Stop,
}

/// A part that is to be written back.
struct Deferred {
    /// Who owns it now.
    backend: Backend,
    record: Record,
}

/// What becomes of a record.
enum End {
    Done,
    /// It stays for the next start.
    Kept,
}

impl Spooler {
    /// `account` is charged for what is taken out.
    pub fn new(router: Arc<Router>, spool: Arc<Spool>, account: Account, stop: Stop) -> Self {
        Self { router, spool, account, stop }
    }

    /// Runs until the process ends. After the signal to drain nothing more is taken out: it is safe where it is.
    pub async fn run(self) {
        let mut deliveries = FuturesUnordered::new();
        let mut held = 0;
        let mut next = std::pin::pin!(self.spool.store.next());
        loop {
            let is_draining = self.stop.drain.is_cancelled();
            if is_draining && deliveries.is_empty() {
                break;
            }
            let has_room = held < WINDOW_BYTES && deliveries.len() < WINDOW_RECORDS && !is_draining;
            tokio::select! {
                biased;
                () = self.stop.abort.cancelled() => break,
                () = self.stop.drain.cancelled(), if !is_draining => {}
                Some(bytes) = deliveries.next() => held -= bytes,
                // Kept from turn to turn: one that is dropped half-way would take a record with it.
                taken = &mut next, if has_room => {
                    let Some(taken) = taken else { break };
                    held += taken.record.payload.len();
                    // Until it is settled the keeper stays, whatever is told to stop.
                    self.router.custody.took();
                    deliveries.push(self.deliver(taken));
                    next.set(self.spool.store.next());
                }
            }
        }
        // Sends under way see the same signal and end by themselves; the records stay.
        while deliveries.next().await.is_some() {}
        self.spool.store.close().await;
    }

    /// Delivers one record. Returns its bytes.
    async fn deliver(&self, taken: Taken) -> usize {
        let Taken { record, id } = taken;
        let bytes = record.payload.len();
        let _permit = self.account.force(bytes);
        match self.deliver_record(&record).await {
            End::Done => {
                drop(Room { spool: &self.spool, cost: self.spool.cost(record.items, bytes) });
                self.spool.store.done(id);
                self.router.custody.freed();
            }
            End::Kept => {}
        }
        self.router.custody.settled(1);
        bytes
    }

    async fn deliver_record(&self, record: &Record) -> End {
        loop {
            let table = Arc::clone(&self.router.table());
            if table.backends.is_empty() {
                // Nobody to send it to: it stays here until there is, or for the next start.
                tokio::select! {
                    () = self.stop.drain.cancelled() => return End::Kept,
                    () = sleep(NOWHERE) => continue,
                }
            }
            return match self.offer(&table, record) {
                Ok((waits, deferred)) => self.settle(waits, deferred).await,
                // Checked when it was taken; counted where it is dropped.
                Err(failure) => {
                    tracing::error!(exporter = &*self.router.id, error = %failure, "a stored request is dropped");
                    self.router.metrics.dropped(failure.code, record.items);
                    End::Done
                }
            };
        }
    }

    /// Splits a record over the table and hands out its parts, but for those that are to be written back.
    fn offer(&self, table: &Table, record: &Record) -> Result<(Vec<Wait>, Vec<Deferred>), Failure> {
        let router = &self.router;
        let mut splitter = Splitter::new(fastrand::u64(..));
        let plan =
            offer::plan(router, table, &mut splitter, router.signal, &record.payload, Validation::Structure)?;
        let (mut waits, mut deferred) = (Vec::new(), Vec::new());
        for (slot, items, bytes) in plan.parts() {
            let Some(backend) = table.backends.get(slot) else { continue };
            if is_clogged(backend) {
                let mut part = Vec::with_capacity(bytes);
                plan.append(slot, &mut part);
                let metadata = record.metadata.clone();
                let record = Record { payload: part.into(), metadata, items };
                deferred.push(Deferred { backend: backend.clone(), record });
                continue;
            }
            let (ack, wait) = Ack::new(true);
            waits.push(wait);
            // Accepted already: what is taken out is bounded here. One that is too large is cut by the backend.
            let room = backend.readmit(items, bytes);
            room.fill(Some(ack), &record.metadata, |buffer| plan.append(slot, buffer));
        }
        // Everything may be left out for want of a key; that is counted, and no failure here.
        let _all = offer::settle_dropped(router, router.signal, plan.items(), plan.dropped()).is_err();
        Ok((waits, deferred))
    }

    /// Waits for every part, and writes back what is deferred.
    async fn settle(&self, mut waits: Vec<Wait>, deferred: Vec<Deferred>) -> End {
        let mut is_kept = false;
        if !deferred.is_empty() {
            // So that what can go nowhere does not go round and round.
            tokio::select! {
                () = self.stop.drain.cancelled() => {}
                () = sleep(NOWHERE) => {}
            }
        }
        for Deferred { backend, record } in deferred {
            let cost = self.spool.cost(record.items, record.payload.len());
            if self.spool.store.append(record.clone()).await.is_ok() {
                self.spool.used.fetch_add(cost, Ordering::AcqRel);
                continue;
            }
            // The disk is full: then it waits in memory after all.
            let (ack, wait) = Ack::new(true);
            waits.push(wait);
            let room = backend.readmit(record.items, record.payload.len());
            room.fill(Some(ack), &record.metadata, |buffer| buffer.extend_from_slice(&record.payload));
        }
        for wait in waits {
            let outcome: Outcome = wait.await.unwrap_or_else(|_| Err(unanswered()));
            is_kept |= matches!(outcome, Err(failure) if failure.code == Code::ShuttingDown);
        }
        if is_kept { End::Kept } else { End::Done }
    }
}

/// Whether a backend fails and holds so much that more would only fill the window.
fn is_clogged(backend: &Backend) -> bool {
    backend.queued_items() > CLOGGED_ITEMS && backend.verdict(Instant::now()) != Verdict::Active
}

fn refused(error: AppendError) -> Failure {
    let code = match error {
        AppendError::Full(_) => Code::QueueFull,
        AppendError::Closed => Code::ShuttingDown,
        AppendError::Io(_) => Code::Unavailable,
        AppendError::TooLarge(_) => return Failure::client(Code::TooLarge, error.to_string()),
    };
    Failure::busy(code, error.to_string())
}

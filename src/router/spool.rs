//! The persistent queue of one router: requests are written to disk as they come, and split when they are taken out.
//!
//! Stage: router; the disk is `store`'s. Stands in front of the split, so that the owner of an item is decided when it is sent:
//! a restart with other backends finds the right ones. A record is one inbound request, or what is left of one.
//!
//! A record is done when each of its parts has an outcome: delivered, or given up for a reason that is counted. What has no
//! outcome when the process ends, whatever the error, comes again after the next start: at least once, so what was in flight
//! may be delivered twice. **In flight is short**: when some parts of a record have waited for [`PATIENCE`] while others are
//! through, they become records of their own, and the first one is done; so an outage of one backend does not make
//! what the others have taken meanwhile come again.
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

use futures_util::{StreamExt as _, future::select_all, stream::FuturesUnordered};
use tokio::{
    sync::oneshot::error::RecvError,
    time::{Instant, sleep, timeout},
};

use super::{Router, Table, offer};
use crate::{
    admission::Account,
    backend::{Ack, Backend, Stop, Verdict, Wait, unanswered},
    model::{
        Code, Failure, Outcome, Retry, Side,
        settings::{self, Sizer, Validation},
    },
    otlp::Splitter,
    store::{AppendError, Record, RecordId, Store, Taken},
};

/// What may be taken out of the store at a time.
const WINDOW_BYTES: usize = 32 << 20;

/// Records that may be taken out at a time.
const WINDOW_RECORDS: usize = 512;

/// Items that a failing backend holds before further parts for it are written back: about its share of the window.
const CLOGGED_ITEMS: usize = 20_000;

/// How long parts of a record may keep it whole.
const PATIENCE: Duration = Duration::from_secs(1);

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

/// A part that was handed out.
struct Part {
    /// Its place in the plan.
    slot: usize,
    wait: Wait,
}

/// A part that has become a record of its own.
struct Rest {
    id: RecordId,
    items: usize,
    bytes: usize,
    wait: Wait,
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
        self.deliver_record(&record, id).await;
        self.router.custody.settled(1);
        bytes
    }

    async fn deliver_record(&self, record: &Record, id: RecordId) {
        let table = loop {
            let table = Arc::clone(&self.router.table());
            if !table.backends.is_empty() {
                break table;
            }
            // Nobody to send it to: it stays here until there is, or for the next start.
            tokio::select! {
                () = self.stop.drain.cancelled() => return,
                () = sleep(NOWHERE) => {}
            }
        };
        let seed = fastrand::u64(..);
        let (mut parts, deferred) = match self.offer(&table, record, seed) {
            Ok(offered) => offered,
            // Checked when it was taken; counted where it is dropped.
            Err(failure) => {
                tracing::error!(exporter = &*self.router.id, error = %failure, "a stored request is dropped");
                self.router.metrics.dropped(failure.code, record.items);
                return self.done(id, record.items, record.payload.len());
            }
        };
        self.defer(deferred, &mut parts).await;
        let all = parts.len();
        let mut is_kept = false;
        while !parts.is_empty() {
            let is_patient = timeout(PATIENCE, settled(&mut parts, &mut is_kept)).await.is_ok();
            if is_patient || is_kept || parts.len() == all {
                continue;
            }
            // Some parts are through, others wait for a backend that fails: only these must come again after a crash.
            match self.store_rest(&table, record, seed, &mut parts).await {
                Ok(rest) => {
                    self.done(id, record.items, record.payload.len());
                    return self.settle_rest(rest).await;
                }
                // The disk is full: the whole comes again, then.
                Err(_) => settled(&mut parts, &mut is_kept).await,
            }
        }
        if !is_kept {
            self.done(id, record.items, record.payload.len());
        }
    }

    /// A record needs nothing any more.
    fn done(&self, id: RecordId, items: usize, bytes: usize) {
        drop(Room { spool: &self.spool, cost: self.spool.cost(items, bytes) });
        self.spool.store.done(id);
        self.router.custody.freed();
    }

    /// Splits a record over the table and hands out its parts, but for those that are to be written back. Splits alike for
    /// the same seed.
    fn offer(
        &self,
        table: &Table,
        record: &Record,
        seed: u64,
    ) -> Result<(Vec<Part>, Vec<Deferred>), Failure> {
        let router = &self.router;
        let mut splitter = Splitter::new(seed);
        let plan =
            offer::plan(router, table, &mut splitter, router.signal, &record.payload, Validation::Structure)?;
        let (mut parts, mut deferred) = (Vec::new(), Vec::new());
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
            parts.push(Part { slot, wait });
            // Accepted already: what is taken out is bounded here. One that is too large is cut by the backend.
            let room = backend.readmit(items, bytes);
            room.fill(Some(ack), &record.metadata, |buffer| plan.append(slot, buffer));
        }
        // Everything may be left out for want of a key; that is counted, and no failure here.
        let _all = offer::settle_dropped(router, router.signal, plan.items(), plan.dropped()).is_err();
        Ok((parts, deferred))
    }

    /// Writes parts back, behind what waits.
    async fn defer(&self, deferred: Vec<Deferred>, parts: &mut Vec<Part>) {
        if deferred.is_empty() {
            return;
        }
        // So that what can go nowhere does not go round and round.
        tokio::select! {
            () = self.stop.drain.cancelled() => {}
            () = sleep(NOWHERE) => {}
        }
        for Deferred { backend, record } in deferred {
            let cost = self.spool.cost(record.items, record.payload.len());
            if self.spool.store.append(record.clone()).await.is_ok() {
                self.spool.used.fetch_add(cost, Ordering::AcqRel);
                continue;
            }
            // The disk is full: then it waits in memory after all.
            let (ack, wait) = Ack::new(true);
            parts.push(Part { slot: usize::MAX, wait });
            let room = backend.readmit(record.items, record.payload.len());
            room.fill(Some(ack), &record.metadata, |buffer| buffer.extend_from_slice(&record.payload));
        }
    }

    /// Stores the parts that still wait as records of their own.
    async fn store_rest(
        &self,
        table: &Table,
        record: &Record,
        seed: u64,
        parts: &mut Vec<Part>,
    ) -> Result<Vec<Rest>, ()> {
        let records = self.rest(table, record, seed, parts).ok_or(())?;
        let mut ids = Vec::new();
        for record in &records {
            match self.spool.store.append_taken(record.clone()).await {
                Ok(id) => ids.push(id),
                Err(_) => {
                    // Their whole is kept, so that these must not come again.
                    for id in ids {
                        self.spool.store.done(id);
                    }
                    return Err(());
                }
            }
        }
        let rests = ids.into_iter().zip(records).zip(parts.drain(..)).map(|((id, record), part)| {
            let (items, bytes) = (record.items, record.payload.len());
            self.spool.used.fetch_add(self.spool.cost(items, bytes), Ordering::AcqRel);
            Rest { id, items, bytes, wait: part.wait }
        });
        Ok(rests.collect())
    }

    /// The parts as they were handed out. `None` if one cannot be made again.
    fn rest(&self, table: &Table, record: &Record, seed: u64, parts: &[Part]) -> Option<Vec<Record>> {
        let router = &self.router;
        let mut splitter = Splitter::new(seed);
        let level = Validation::Structure;
        let plan = offer::plan(router, table, &mut splitter, router.signal, &record.payload, level).ok()?;
        let part = |part: &Part| {
            let (slot, items, bytes) = plan.parts().find(|(slot, ..)| *slot == part.slot)?;
            let mut payload = Vec::with_capacity(bytes);
            plan.append(slot, &mut payload);
            Some(Record { payload: payload.into(), metadata: record.metadata.clone(), items })
        };
        parts.iter().map(part).collect()
    }

    async fn settle_rest(&self, rests: Vec<Rest>) {
        for Rest { id, items, bytes, wait } in rests {
            if !is_kept(wait.await) {
                self.done(id, items, bytes);
            }
        }
    }
}

/// Waits until every part has its outcome. Those that have are removed as they come, also if this is dropped.
async fn settled(parts: &mut Vec<Part>, is_any_kept: &mut bool) {
    while !parts.is_empty() {
        let (outcome, at, _) = select_all(parts.iter_mut().map(|part| &mut part.wait)).await;
        parts.remove(at);
        *is_any_kept |= is_kept(outcome);
    }
}

/// Whether a part was given up only because the process ends, so that it must come again.
fn is_kept(outcome: Result<Outcome, RecvError>) -> bool {
    matches!(outcome.unwrap_or_else(|_| Err(unanswered())), Err(failure) if failure.code == Code::ShuttingDown)
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

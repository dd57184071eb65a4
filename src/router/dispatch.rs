//! One request: split, reserve room at every backend it touches, append, and wait if delivery was asked for.
//!
//! Stage: router. All rooms are reserved before anything is appended: a request that some queue has no room for is
//! refused whole and nothing of it has been sent, so that the client's retry doubles nothing.

use std::{cell::RefCell, iter::zip, sync::Arc};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{Router, Table};
use crate::{
    backend::Reservation,
    model::{Code, Delivered, Failure, Metadata, Outcome, Retry, Side, Signal, fold, settings::Validation},
    otlp::{Malformed, Plan, Splitter},
};

/// What all parts of one request may add up to. Resources, scopes and unknown fields are repeated in every part, so a
/// hostile request with a resource of megabytes could grow without bound when it is cut; a real one grows by a few per
/// cent. Above the largest body that a receiver takes by default (20 MiB).
const PARTS_BYTES_MAX: usize = 64 << 20;

thread_local! {
    /// Scratch space of the split, one for each exporter that a request goes to. Used without waiting in between.
    static SPLITTERS: RefCell<Vec<Splitter>> = const { RefCell::new(Vec::new()) };
}

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
    routers: Arc<[Arc<Router>]>,
    validation: Validation,
    #[cfg(test)]
    fixed: Option<Fixed>,
}

/// What a dispatcher of tests answers, what it asks for, and where it keeps what it was given.
#[cfg(test)]
#[derive(Clone, Debug)]
struct Fixed {
    dispatched: Dispatched,
    forwarded: Vec<Arc<str>>,
    seen: Arc<std::sync::Mutex<Vec<Seen>>>,
}

/// One request as it came from the receiver.
#[cfg(test)]
pub(crate) type Seen = (Signal, Bytes, Metadata);

/// Where one part of a request waits for its outcome.
type Wait = oneshot::Receiver<Outcome>;

/// A plan of one request for one exporter, with the table it was made over.
struct Offer<'a> {
    router: &'a Router,
    table: Arc<Table>,
    plan: Plan<'a>,
    rooms: Vec<(usize, Room)>,
}

/// Room for one slot's part.
enum Room {
    /// The part fits one message.
    One(Reservation),
    /// The part is cut; a piece that exceeds the message limit by itself has no room and is dropped.
    Cut { part: Vec<u8>, rooms: Vec<Option<Reservation>> },
}

impl Dispatcher {
    /// Requests are checked at the given level and go to each of the routers, independently.
    pub fn new(routers: Vec<Arc<Router>>, validation: Validation) -> Self {
        Self {
            routers: routers.into(),
            validation,
            #[cfg(test)]
            fixed: None,
        }
    }

    /// A dispatcher that answers every request alike, for tests of the stage before it.
    #[cfg(test)]
    pub(crate) fn fixed(items: usize, outcome: Outcome) -> Self {
        Self::recording(items, outcome, &[], &Arc::default())
    }

    /// One that also asks for headers, and keeps every request.
    #[cfg(test)]
    pub(crate) fn recording(
        items: usize,
        outcome: Outcome,
        forwarded: &[&str],
        seen: &Arc<std::sync::Mutex<Vec<Seen>>>,
    ) -> Self {
        let fixed = Fixed {
            dispatched: Dispatched { items, outcome },
            forwarded: forwarded.iter().copied().map(Arc::from).collect(),
            seen: Arc::clone(seen),
        };
        Self { routers: Arc::new([]), validation: Validation::Structure, fixed: Some(fixed) }
    }

    /// Names of the request headers, in lower case, that some exporter sends on: what `metadata` may hold.
    pub fn forwarded_headers(&self) -> Vec<Arc<str>> {
        #[cfg(test)]
        if let Some(fixed) = &self.fixed {
            return fixed.forwarded.clone();
        }
        let mut names: Vec<Arc<str>> =
            self.routers.iter().flat_map(|router| router.forwarded.iter().cloned()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Takes one serialized, uncompressed export request to the backends that own its items.
    ///
    /// Returns when every part is queued, or delivered if the sending queue is off. A malformed request, and
    /// one for which some queue has no room, is refused whole: nothing of it has been sent then. Dropping the future
    /// ends the waiting; parts that are not being sent are then given up.
    pub async fn dispatch(&self, signal: Signal, body: Bytes, metadata: &Metadata) -> Dispatched {
        #[cfg(test)]
        if let Some(fixed) = &self.fixed {
            fixed.seen.lock().unwrap().push((signal, body, metadata.clone()));
            return fixed.dispatched.clone();
        }
        let (items, offered) = self.offer(signal, &body, metadata);
        drop(body);
        let outcome = match offered {
            Ok(waits) if waits.is_empty() => Ok(Delivered::default()),
            Ok(waits) => self.wait(waits).await,
            Err(failure) => Err(failure),
        };
        Dispatched { items, outcome }
    }

    /// Splits, reserves and appends, without waiting. Returns the items of the request and who to wait for.
    fn offer(&self, signal: Signal, body: &[u8], metadata: &Metadata) -> (usize, Result<Vec<Wait>, Failure>) {
        SPLITTERS.with_borrow_mut(|splitters| {
            while splitters.len() < self.routers.len() {
                splitters.push(Splitter::new(fastrand::u64(..)));
            }
            let mut offers = Vec::with_capacity(self.routers.len());
            for (router, splitter) in zip(&*self.routers, splitters) {
                match Offer::new(router, splitter, signal, body, self.validation) {
                    Ok(offer) => offers.push(offer),
                    Err(failure) => return (0, Err(failure)),
                }
            }
            let items = offers.first().map_or(0, |offer| offer.plan.items());
            for offer in &mut offers {
                if let Err(failure) = offer.reserve(signal) {
                    offer.router.metrics.enqueue_failed.inc_by(items as u64);
                    return (items, Err(failure));
                }
            }
            let mut waits = Vec::new();
            for offer in offers {
                offer.fill(signal, metadata, &mut waits);
            }
            (items, Ok(waits))
        })
    }

    /// Waits for every part. The shortest `timeout` of the exporters bounds the whole.
    async fn wait(&self, waits: Vec<Wait>) -> Outcome {
        let all = async {
            let mut outcomes = Vec::with_capacity(waits.len());
            for wait in waits {
                outcomes.push(wait.await.unwrap_or_else(|_| {
                    Err(Failure::busy(Code::ShuttingDown, "the gateway is shutting down"))
                }));
            }
            fold(outcomes)
        };
        match self.routers.iter().filter_map(|router| router.timeout).min() {
            None => all.await,
            Some(limit) => tokio::time::timeout(limit, all).await.unwrap_or_else(|_| {
                let message = format!("not delivered within {limit:?}");
                Err(Failure::new(Side::Gateway, Code::Timeout, Retry::After(None), message))
            }),
        }
    }
}

impl<'a> Offer<'a> {
    fn new(
        router: &'a Router,
        splitter: &'a mut Splitter,
        signal: Signal,
        body: &'a [u8],
        validation: Validation,
    ) -> Result<Self, Failure> {
        let table = Arc::clone(&router.table());
        let ring = &table.ring;
        // Without backends every item goes to slot 0, which does not exist: the request is refused, with its items
        // counted, when room is reserved.
        let slots = table.backends.len().max(1);
        let plan = splitter
            .plan(signal, body, &router.key, validation, slots, |key| ring.slot_of(key).unwrap_or_default())
            .map_err(malformed)?;
        Ok(Self { router, table, plan, rooms: Vec::new() })
    }

    /// Reserves room for every part, or for none.
    fn reserve(&mut self, signal: Signal) -> Result<(), Failure> {
        let Self { router, table, plan, rooms } = self;
        let mut budget = Budget(PARTS_BYTES_MAX);
        for (slot, items, bytes) in plan.parts() {
            budget.spend(bytes)?;
            let Some(backend) = table.backends.get(slot) else {
                let message =
                    format!("exporter {} has no backend: the resolver has not reported any", router.id);
                return Err(Failure::busy(Code::NoBackend, message));
            };
            let fits = bytes <= router.max_message_bytes
                && router.max_message_items.is_none_or(|limit| items <= limit);
            let room = if fits {
                Room::One(backend.reserve(items, bytes)?)
            } else {
                let mut part = Vec::with_capacity(bytes);
                plan.append(slot, &mut part);
                let rooms = cut(router, signal, &part, |items, bytes| {
                    budget.spend(bytes)?;
                    backend.reserve(items, bytes)
                })?;
                Room::Cut { part, rooms }
            };
            rooms.push((slot, room));
        }
        Ok(())
    }

    /// Appends every part to its backend's open batch.
    fn fill(self, signal: Signal, metadata: &Metadata, waits: &mut Vec<Wait>) {
        let Self { router, plan, rooms, .. } = self;
        let mut ack = || {
            router.wait_for_delivery.then(|| {
                let (ack, wait) = oneshot::channel();
                waits.push(wait);
                ack
            })
        };
        for (slot, room) in rooms {
            match room {
                Room::One(reservation) => {
                    reservation.fill(ack(), metadata, |buffer| plan.append(slot, buffer))
                }
                Room::Cut { part, rooms } => fill_cut(router, signal, metadata, &part, rooms, &mut ack),
            }
        }
    }
}

/// Bytes that the parts of one request may still take.
struct Budget(usize);

impl Budget {
    fn spend(&mut self, bytes: usize) -> Result<(), Failure> {
        let left = self.0.checked_sub(bytes).ok_or_else(|| {
            let message = format!("the request grows beyond {PARTS_BYTES_MAX} bytes when it is split");
            Failure::client(Code::TooLarge, message)
        })?;
        self.0 = left;
        Ok(())
    }
}

/// Plans a part that exceeds the limits of one message as several pieces and reserves room for each.
fn cut(
    router: &Router,
    signal: Signal,
    part: &[u8],
    mut reserve: impl FnMut(usize, usize) -> Result<Reservation, Failure>,
) -> Result<Vec<Option<Reservation>>, Failure> {
    let mut splitter = Splitter::new(0);
    let plan = plan_pieces(router, signal, &mut splitter, part)?;
    plan.parts()
        .map(
            |(_, items, bytes)| {
                if bytes > router.max_message_bytes { Ok(None) } else { reserve(items, bytes).map(Some) }
            },
        )
        .collect()
}

fn fill_cut(
    router: &Router,
    signal: Signal,
    metadata: &Metadata,
    part: &[u8],
    rooms: Vec<Option<Reservation>>,
    ack: &mut impl FnMut() -> Option<oneshot::Sender<Outcome>>,
) {
    let mut splitter = Splitter::new(0);
    // The same pure function over the same bytes: it succeeded a moment ago, with the same pieces.
    let Ok(plan) = plan_pieces(router, signal, &mut splitter, part) else { return };
    for ((piece, items, bytes), room) in zip(plan.parts(), rooms) {
        match room {
            Some(reservation) => reservation.fill(ack(), metadata, |buffer| plan.append(piece, buffer)),
            None => drop_too_large(router, items, bytes, ack()),
        }
    }
}

/// Gives up an item that no message can hold: a retry could not help.
fn drop_too_large(router: &Router, items: usize, bytes: usize, ack: Option<oneshot::Sender<Outcome>>) {
    router.metrics.dropped_too_large(items);
    tracing::warn!(
        exporter = &*router.id,
        items,
        bytes,
        limit_bytes = router.max_message_bytes,
        reason = Code::TooLarge.as_str(),
        "an item alone exceeds the message limit and is dropped"
    );
    if let Some(ack) = ack {
        let message =
            format!("an item of {bytes} bytes exceeds the message limit of {}", router.max_message_bytes);
        // A client that is gone does not hear it.
        drop(ack.send(Err(Failure::client(Code::TooLarge, message))));
    }
}

fn plan_pieces<'a>(
    router: &Router,
    signal: Signal,
    splitter: &'a mut Splitter,
    part: &'a [u8],
) -> Result<Plan<'a>, Failure> {
    let max_items = router.max_message_items.unwrap_or(usize::MAX);
    splitter.plan_by_size(signal, part, router.max_message_bytes, max_items).map_err(malformed)
}

fn malformed(error: Malformed) -> Failure {
    Failure::client(Code::Malformed, error.to_string())
}

//! One request for one exporter: room at every backend that gets a part, then the parts themselves.
//!
//! Stage: router, part of `dispatch`. Owns what a part may grow to, parts that no message can hold, and what is left out
//! because it belongs to no backend. Counts only what is settled: a request that is refused may come again.

use std::{ops::Range, sync::Arc};

use super::{Router, Table};
use crate::{
    backend::{Ack, Backend, Reservation, Wait},
    model::{
        Code, Failure, Metadata, Signal,
        settings::{Acknowledge, Key, Validation},
    },
    otlp::{Dropped, Malformed, Plan, Splitter},
};

/// What all parts of one request may add up to. Resources, scopes and unknown fields are repeated in every part, so a
/// hostile request with a resource of megabytes could grow without bound when it is cut; a real one grows by a few per
/// cent. Above the largest body that a receiver takes by default (20 MiB).
const PARTS_BYTES_MAX: usize = 64 << 20;

/// What one exporter is offered, over the table that the plan was made for.
pub(super) struct Offer<'a> {
    pub(super) router: &'a Arc<Router>,
    /// Which of the request's plans is this exporter's.
    pub(super) plan: usize,
    table: Arc<Table>,
    rooms: Vec<(usize, Room)>,
    /// Why this exporter will never take the request.
    refused: Option<Failure>,
    /// Of the whole request; known once it is planned.
    items: usize,
    left_out: Dropped,
}

/// Room for one slot's part.
enum Room {
    /// The part fits one message.
    One(Reservation),
    /// It does not, and is cut.
    Cut(Cut),
}

/// A part in pieces, each a complete request.
#[derive(Default)]
struct Cut {
    /// All pieces that have room, one behind the other.
    bytes: Vec<u8>,
    pieces: Vec<Piece>,
    dropped: Dropped,
    /// What one message may hold.
    max_bytes: usize,
}

struct Piece {
    items: usize,
    bytes: usize,
    /// `None`: no message can hold it.
    room: Option<(Reservation, Range<usize>)>,
}

/// Makes the plan of a request for one exporter.
///
/// # Errors
///
/// `Malformed`, for good.
pub(super) fn plan<'a>(
    router: &Router,
    table: &Table,
    splitter: &'a mut Splitter,
    signal: Signal,
    body: &'a [u8],
    validation: Validation,
) -> Result<Plan<'a>, Failure> {
    // Without backends every item goes to slot 0, which does not exist: the request is refused, with its items
    // counted, when room is reserved.
    let slots = table.backends.len().max(1);
    let slot_of = |key: &[u8]| table.ring.slot_of(key).unwrap_or_default();
    splitter.plan(signal, body, &router.key, validation, slots, slot_of).map_err(malformed)
}

impl<'a> Offer<'a> {
    pub(super) fn new(router: &'a Arc<Router>, table: Arc<Table>, plan: usize) -> Self {
        Self { router, plan, table, rooms: Vec::new(), refused: None, items: 0, left_out: Dropped::default() }
    }

    /// Reserves room for every part, or for none.
    ///
    /// # Errors
    ///
    /// That of [`Backend::reserve`]; `NoBackend` (retryable); `TooLarge` (permanent) if the parts grow beyond all bounds.
    pub(super) fn reserve(&mut self, plan: &Plan<'_>, signal: Signal) -> Result<(), Failure> {
        self.items = plan.items();
        self.left_out = plan.dropped();
        let Self { router, table, rooms, .. } = self;
        let mut budget = Budget(PARTS_BYTES_MAX);
        for (slot, items, bytes) in plan.parts() {
            budget.spend(bytes)?;
            let Some(backend) = table.backends.get(slot) else {
                return Err(Failure::busy(Code::NoBackend, router.no_backend()));
            };
            let limit = router.max_message_bytes.min(backend.max_message_bytes());
            let fits = bytes <= limit && router.max_message_items.is_none_or(|limit| items <= limit);
            let room = if fits {
                Room::One(backend.reserve(items, bytes)?)
            } else {
                let mut part = Vec::with_capacity(bytes);
                plan.append(slot, &mut part);
                Room::Cut(Cut::reserve(router, backend, limit, signal, &part, &mut budget)?)
            };
            rooms.push((slot, room));
        }
        Ok(())
    }

    /// Writes every part aside, so that the plan and the request are not needed any more. For requests that have to wait, with
    /// their rooms reserved, until others have stored them.
    pub(super) fn prepare(&mut self, plan: &Plan<'_>) {
        let max_bytes = self.router.max_message_bytes;
        for (slot, room) in &mut self.rooms {
            let Room::One(_) = room else { continue };
            let mut bytes = Vec::new();
            plan.append(*slot, &mut bytes);
            let items = plan.parts().find(|part| part.0 == *slot).map_or(0, |part| part.1);
            let aside = Room::Cut(Cut { max_bytes, ..Cut::default() });
            if let (Room::One(reservation), Room::Cut(cut)) = (std::mem::replace(room, aside), room) {
                let room = Some((reservation, 0..bytes.len()));
                cut.pieces.push(Piece { items, bytes: bytes.len(), room });
                cut.bytes = bytes;
            }
        }
    }

    /// Gives up for this exporter alone, for good.
    pub(super) fn refuse(&mut self, failure: Failure) {
        self.rooms.clear();
        self.refused = Some(failure);
    }

    /// Appends every part to its backend's open batch, and counts what is left out.
    ///
    /// # Errors
    ///
    /// The permanent failure of an exporter that took nothing.
    pub(super) fn fill(
        &mut self,
        plan: Option<&Plan<'_>>,
        signal: Signal,
        metadata: &Metadata,
        waits: &mut Vec<Wait>,
    ) -> Result<(), Failure> {
        let router = self.router;
        if let Some(failure) = self.refused.take() {
            router.metrics.enqueue_failed.inc_by(self.items as u64);
            return Err(failure);
        }
        let metadata = metadata.only(&router.forwarded);
        let mut ack = || {
            (router.acknowledge == Acknowledge::Delivered).then(|| {
                let (ack, wait) = Ack::new(false);
                waits.push(wait);
                ack
            })
        };
        let mut dropped = self.left_out;
        for (slot, room) in self.rooms.drain(..) {
            match room {
                Room::One(reservation) => {
                    if let Some(plan) = plan {
                        reservation.fill(ack(), &metadata, |buffer| plan.append(slot, buffer));
                    }
                }
                Room::Cut(cut) => {
                    dropped.empty_metrics += cut.dropped.empty_metrics;
                    cut.fill(router, &metadata, &mut ack);
                }
            }
        }
        settle_dropped(router, signal, self.items, dropped)
    }
}

// === impl Cut ===

impl Cut {
    /// Cuts a part that exceeds the limits of one message and reserves room for each piece.
    fn reserve(
        router: &Router,
        backend: &Backend,
        max_bytes: usize,
        signal: Signal,
        part: &[u8],
        budget: &mut Budget,
    ) -> Result<Self, Failure> {
        let max_items = router.max_message_items.unwrap_or(usize::MAX);
        let mut splitter = Splitter::new(0);
        let plan = splitter.plan_by_size(signal, part, max_bytes, max_items).map_err(malformed)?;
        let mut cut = Self { dropped: plan.dropped(), max_bytes, ..Self::default() };
        for (slot, items, bytes) in plan.parts() {
            let room = if bytes > max_bytes {
                None
            } else {
                budget.spend(bytes)?;
                let reservation = backend.reserve(items, bytes)?;
                // Written now, not when all rooms are there: a plan cannot be kept beside the part that it is of.
                let start = cut.bytes.len();
                plan.append(slot, &mut cut.bytes);
                Some((reservation, start..cut.bytes.len()))
            };
            cut.pieces.push(Piece { items, bytes, room });
        }
        Ok(cut)
    }

    fn fill(self, router: &Router, metadata: &Metadata, ack: &mut impl FnMut() -> Option<Ack>) {
        let Self { bytes: all, pieces, max_bytes, .. } = self;
        for Piece { items, bytes, room } in pieces {
            match room {
                Some((reservation, range)) => {
                    let piece = all.get(range).unwrap_or_default();
                    reservation.fill(ack(), metadata, |buffer| buffer.extend_from_slice(piece));
                }
                None => drop_too_large(router, items, bytes, max_bytes, ack()),
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

/// Gives up an item that no message can hold: a retry could not help.
fn drop_too_large(router: &Router, items: usize, bytes: usize, limit: usize, ack: Option<Ack>) {
    router.metrics.dropped_too_large(items);
    if let Some(suppressed) = router.lines.too_large.allow() {
        tracing::warn!(
            exporter = &*router.id,
            items,
            bytes,
            limit_bytes = limit,
            reason = Code::TooLarge.as_str(),
            suppressed,
            "an item alone exceeds the message limit and is dropped"
        );
    }
    if let Some(ack) = ack {
        let message = format!("an item of {bytes} bytes exceeds the message limit of {limit}");
        ack.send(Err(Failure::client(Code::TooLarge, message)));
    }
}

/// Counts and names what a plan left out. The request as a whole is a success as long as something of it is left, as in
/// the Collector's exporter.
///
/// # Errors
///
/// `NoKey`, permanent, if nothing is left.
pub(super) fn settle_dropped(
    router: &Router,
    signal: Signal,
    items: usize,
    dropped: Dropped,
) -> Result<(), Failure> {
    let Dropped { without_key, empty_metrics } = dropped;
    let word = signal.items_word();
    if empty_metrics > 0 {
        router.metrics.dropped_empty_metrics(empty_metrics);
        if let Some(suppressed) = router.lines.empty_metrics.allow() {
            tracing::warn!(
                exporter = &*router.id,
                metrics = empty_metrics,
                suppressed,
                "metrics without data points are left out"
            );
        }
    }
    if without_key == 0 {
        return Ok(());
    }
    router.metrics.dropped_without_key(without_key);
    let what = match router.key.key {
        // The words of the Collector's exporter, which people search for.
        Key::ServiceName | Key::ServiceSegment => "unable to get service name from resource",
        _ => "no routing key found",
    };
    if let Some(suppressed) = router.lines.without_key.allow() {
        tracing::warn!(
            exporter = &*router.id,
            signal = signal.as_str(),
            dropped_items = without_key,
            of_items = items,
            reason = Code::NoKey.as_str(),
            suppressed,
            "{what}, data is dropped"
        );
    }
    if without_key < items {
        return Ok(());
    }
    let message = format!("{what}: exporter {} drops all {items} {word} of the request", router.id);
    Err(Failure::client(Code::NoKey, message))
}

fn malformed(error: Malformed) -> Failure {
    Failure::client(Code::Malformed, error.to_string())
}

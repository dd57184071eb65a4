//! Another way for parts that a backend handed back: each is split again, over the current table.
//!
//! Stage: router, part of the keeper's task. Nothing is refused here: what was accepted is ours to deliver, so the new owner
//! takes it beyond the capacity of its queue. While there is no backend at all, parts wait here, within the memory that they
//! already hold.

use std::sync::Arc;

use super::{Router, Table};
use crate::{
    backend::{Ack, Backend, Parcel, unanswered},
    model::{Code, Failure, settings::Validation},
    otlp::Splitter,
};

/// Parcels between two chances for other tasks: some milliseconds of work.
const PARCELS_AT_ONCE: usize = 64;

/// Splits what was handed back.
#[derive(Debug)]
pub(super) struct Rerouter {
    router: Arc<Router>,
    splitter: Splitter,
    /// What waits for a table with backends.
    homeless: Vec<Parcel>,
}

/// One piece of a parcel at its new owner.
struct Piece {
    backend: Backend,
    items: usize,
    payload: Vec<u8>,
}

impl Rerouter {
    pub(super) fn new(router: Arc<Router>) -> Self {
        Self { router, splitter: Splitter::new(0), homeless: Vec::new() }
    }

    /// Finds another way for everything that was handed back.
    pub(super) async fn reroute_all(&mut self) {
        if !self.router.table().backends.is_empty() {
            for parcel in std::mem::take(&mut self.homeless) {
                self.reroute(parcel);
            }
        }
        let mut done = 0;
        while let Some(parcel) = self.router.custody.take() {
            self.reroute(parcel);
            done += 1;
            if done % PARCELS_AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Gives up everything that was handed back, because the process ends.
    pub(super) fn give_up_all(&mut self) {
        let custody = self.router.custody.clone();
        let returned = std::iter::from_fn(|| custody.take());
        for parcel in std::mem::take(&mut self.homeless).into_iter().chain(returned) {
            if !parcel.ack.as_ref().is_some_and(Ack::keeps) {
                self.router.metrics.dropped(Code::ShuttingDown, parcel.items);
            }
            self.settle(parcel, Err(unanswered()));
        }
    }

    fn reroute(&mut self, parcel: Parcel) {
        let table = Arc::clone(&self.router.table());
        if table.backends.is_empty() {
            self.homeless.push(parcel);
            return;
        }
        if parcel.ack.as_ref().is_some_and(Ack::is_closed) {
            self.router.metrics.dropped(Code::Cancelled, parcel.items);
            self.settle(parcel, Err(Failure::busy(Code::Cancelled, "every client of the request went away")));
            return;
        }
        let pieces = match self.split(&table, &parcel.payload) {
            Ok(pieces) => pieces,
            // It was valid when it was taken.
            Err(error) => {
                tracing::error!(exporter = &*self.router.id, %error, "a queued part cannot be read, it is dropped");
                self.router.metrics.dropped(Code::Internal, parcel.items);
                self.settle(parcel, Err(Failure::client(Code::Internal, error)));
                return;
            }
        };
        let Parcel { metadata, ack, permit, .. } = parcel;
        let mut acks = ack.map(|ack| ack.split(pieces.len())).unwrap_or_default();
        // New room is counted before the old one is given back, so that nobody takes it in between.
        for Piece { backend, items, payload } in pieces {
            let room = backend.readmit(items, payload.len());
            room.fill(acks.pop(), &metadata, |buffer| buffer.extend_from_slice(&payload));
        }
        drop(permit);
        self.router.custody.settled(1);
    }

    /// The pieces of a part by owner. What is too large for one message is cut by the backend, which knows its limit.
    fn split(&mut self, table: &Table, payload: &[u8]) -> Result<Vec<Piece>, String> {
        let Self { router, splitter, .. } = self;
        let slot_of = |key: &[u8]| table.ring.slot_of(key).unwrap_or_default();
        let plan = splitter
            .plan(router.signal, payload, &router.key, Validation::Structure, table.backends.len(), slot_of)
            .map_err(|error| error.to_string())?;
        let mut pieces = Vec::new();
        for (slot, items, bytes) in plan.parts() {
            let Some(backend) = table.backends.get(slot) else { continue };
            let mut piece = Vec::with_capacity(bytes);
            plan.append(slot, &mut piece);
            pieces.push(Piece { backend: backend.clone(), items, payload: piece });
        }
        Ok(pieces)
    }

    fn settle(&self, parcel: Parcel, outcome: crate::model::Outcome) {
        if let Some(ack) = parcel.ack {
            ack.send(outcome);
        }
        self.router.custody.settled(1);
    }
}

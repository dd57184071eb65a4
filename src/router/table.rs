//! The routing table: ring and backends of one endpoint set as one immutable snapshot, swapped whole.
//!
//! Stage: router. Ring and backends can never disagree, because there is no state in which only one of them is new. The keeper
//! installs tables; requests read them.

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::{ArcSwap, Guard};

use super::Spool;
use crate::{
    backend::{Backend, Custody},
    model::{
        Endpoint, Signal,
        settings::{self, Acknowledge, Destination, Key, RingGeneration, RoutingKey},
    },
    ring::{Digest, Ring},
    telemetry::{ExporterMetrics, RingMetrics, logs::LineLimit},
};

/// A ring, and the backend of each of its slots.
#[derive(Debug)]
pub struct Table {
    /// Key bytes to slot. Its lookups step over the slots that are skipped.
    pub ring: Ring,
    /// Slot to backend. An endpoint that is listed twice has two slots with one backend.
    pub backends: Vec<Backend>,
    /// The members that `ring` is made of.
    pub members: Arc<Members>,
    /// Slots that lookups step over.
    pub skipped: usize,
    /// Number of this table, counted from 0 (the empty one before the first resolution).
    pub generation: u64,
}

/// What a ring is made of, whatever the health of it.
#[derive(Debug)]
pub struct Members {
    /// By slot, as the resolver gave them.
    pub endpoints: Vec<Endpoint>,
    /// Equal on every replica that has the same members.
    pub digest: Digest,
}

impl Members {
    /// Takes a copy of a set.
    pub(super) fn new(generation: RingGeneration, endpoints: &[Endpoint]) -> Self {
        let identities: Vec<&str> = endpoints.iter().map(Endpoint::identity).collect();
        Self { endpoints: endpoints.to_vec(), digest: Digest::of(generation, &identities) }
    }
}

/// Brakes for lines that every request could cause.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) without_key: LineLimit,
    pub(super) empty_metrics: LineLimit,
    pub(super) too_large: LineLimit,
}

/// One exporter for one signal.
pub struct Router {
    /// The exporter's id as configured.
    pub(super) id: Arc<str>,
    pub(super) signal: Signal,
    pub(super) key: RoutingKey,
    /// Request headers that are sent on.
    pub(super) forwarded: Vec<Arc<str>>,
    /// Deadline of one request's whole fan-out when it waits for delivery.
    pub(super) timeout: Option<Duration>,
    /// When a client is answered.
    pub(super) acknowledge: Acknowledge,
    /// Whether a request waits for room.
    pub(super) block_on_overflow: bool,
    pub(super) max_message_bytes: usize,
    /// Items that one message may hold; `None`: any number.
    pub(super) max_message_items: Option<usize>,
    pub(super) metrics: ExporterMetrics,
    pub(super) lines: Lines,
    pub(super) generation: RingGeneration,
    /// What its backends hold.
    pub(super) custody: Custody,
    /// Where requests are stored before they are split, if they are.
    pub(super) spool: Option<Arc<Spool>>,
    /// Of a pool's ring.
    ring_metrics: Option<RingMetrics>,
    /// Why there is no backend, when there is none.
    reason: Option<Reason>,
    table: ArcSwap<Table>,
}

/// Says why a pool has no backend. The composition root knows.
pub type Reason = Box<dyn Fn() -> String + Send + Sync>;

impl fmt::Debug for Router {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Router")
            .field("id", &self.id)
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}

impl Router {
    /// A router without backends: every request is refused as retryable until a [`Keeper`](super::Keeper) installs a table.
    /// `custody` is what its backends are given.
    pub fn new(
        settings: &settings::Exporter,
        signal: Signal,
        metrics: ExporterMetrics,
        custody: Custody,
    ) -> Self {
        let (key, generation) = match &settings.destination {
            Destination::Pool { keys, ring, .. } => (keys.get(signal.index()).cloned().flatten(), *ring),
            Destination::Single { .. } => (None, RingGeneration::G3),
        };
        let empty = Table {
            ring: Ring::new(generation, &[]),
            backends: Vec::new(),
            members: Arc::new(Members::new(generation, &[])),
            skipped: 0,
            generation: 0,
        };
        let batch = settings.backend.batch;
        let limits_items = batch.max_size > 0 && batch.sizer == settings::Sizer::Items;
        Self {
            id: Arc::clone(&settings.id),
            signal,
            key: key.unwrap_or(RoutingKey::compatible(Key::None)),
            forwarded: settings.backend.forwarded.iter().map(|one| Arc::clone(&one.from)).collect(),
            timeout: settings.timeout,
            acknowledge: settings.backend.queue.acknowledge,
            block_on_overflow: settings.backend.queue.block_on_overflow,
            max_message_bytes: settings.backend.max_message_bytes,
            max_message_items: limits_items.then_some(batch.max_size),
            metrics,
            lines: Lines {
                without_key: LineLimit::new(),
                empty_metrics: LineLimit::new(),
                too_large: LineLimit::new(),
            },
            generation,
            custody,
            spool: None,
            ring_metrics: None,
            reason: None,
            table: ArcSwap::from_pointee(empty),
        }
    }

    /// Stores requests in `spool` from now on; a [`Spooler`](super::Spooler) takes them out.
    #[must_use]
    pub fn with_spool(self, spool: Arc<Spool>) -> Self {
        Self { spool: Some(spool), ..self }
    }

    /// Has `reason` tell refused clients why there is no backend.
    #[must_use]
    pub fn with_reason(self, reason: Reason) -> Self {
        Self { reason: Some(reason), ..self }
    }

    /// Shows its ring in `metrics`, from the empty one on.
    #[must_use]
    pub fn with_ring_metrics(self, metrics: RingMetrics) -> Self {
        metrics.digest.set(self.table.load().members.digest.metric());
        Self { ring_metrics: Some(metrics), ..self }
    }

    /// The sentence for a request that finds no backend.
    pub(super) fn no_backend(&self) -> String {
        match &self.reason {
            Some(reason) => format!("exporter {} has no backend: {}", self.id, reason()),
            None => format!("exporter {} has no backend", self.id),
        }
    }

    /// Publishes a table; `skip` says of each slot whether lookups step over it. Requests that hold the table before use it to
    /// their end.
    pub(super) fn publish(&self, ring: &Ring, skip: &[bool], backends: Vec<Backend>, members: &Arc<Members>) {
        let before = self.table.load();
        let (generation, skipped) = (before.generation + 1, skip.iter().filter(|&&skip| skip).count());
        self.metrics.table_changes.inc();
        if let Some(metrics) = &self.ring_metrics {
            let number = |count| i64::try_from(count).unwrap_or(i64::MAX);
            if before.members.digest != members.digest {
                metrics.changes.inc();
            }
            metrics.digest.set(members.digest.metric());
            metrics.members.set(number(members.endpoints.len()));
            metrics.skipped.set(number(skipped));
        }
        let (ring, members) = (ring.skipping(skip), Arc::clone(members));
        self.table.store(Arc::new(Table { ring, backends, members, skipped, generation }));
    }

    /// The current snapshot. Cheap; hold it for one request only.
    pub fn table(&self) -> Guard<Arc<Table>> {
        self.table.load()
    }

    /// Which of the Collector's rings it has.
    pub const fn ring_generation(&self) -> RingGeneration {
        self.generation
    }

    /// What it routes.
    pub const fn signal(&self) -> Signal {
        self.signal
    }

    /// The exporter's id as configured.
    pub fn id(&self) -> &str {
        &self.id
    }
}

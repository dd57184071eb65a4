//! The routing table: ring and backends of one endpoint set as one immutable snapshot, swapped whole.
//!
//! Stage: router. Ring and backends can never disagree, because there is no state in which only one of them is new.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use arc_swap::{ArcSwap, Guard};

use crate::{
    backend::Backend,
    model::{
        Endpoint, Signal,
        settings::{self, Destination, Key, RingGeneration, RoutingKey},
    },
    ring::Ring,
    telemetry::{ExporterMetrics, logs::LineLimit},
};

/// A ring, and the backend of each of its slots.
#[derive(Debug)]
pub struct Table {
    /// Key bytes to slot.
    pub ring: Ring,
    /// Slot to backend. An endpoint that is listed twice has two slots with one backend.
    pub backends: Vec<Backend>,
    /// Number of this table, counted from 0 (the empty one before the first resolution).
    pub generation: u64,
}

/// Makes the running backend of an endpoint; the composition root decides how.
pub type StartBackend = Box<dyn Fn(&Endpoint) -> Backend + Send + Sync>;

/// Brakes for lines that every request could cause.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) without_key: LineLimit,
    pub(super) empty_metrics: LineLimit,
}

/// One exporter for one signal.
pub struct Router {
    /// The exporter's id as configured.
    pub(super) id: Arc<str>,
    pub(super) key: RoutingKey,
    /// Request headers that are sent on.
    pub(super) forwarded: Vec<Arc<str>>,
    /// Deadline of one request's whole fan-out when it waits for delivery.
    pub(super) timeout: Option<Duration>,
    /// Whether a request is answered when it is queued, or when it is delivered.
    pub(super) wait_for_delivery: bool,
    pub(super) max_message_bytes: usize,
    /// Items that one message may hold; `None`: any number.
    pub(super) max_message_items: Option<usize>,
    pub(super) metrics: ExporterMetrics,
    pub(super) lines: Lines,
    generation: RingGeneration,
    table: ArcSwap<Table>,
    start_backend: StartBackend,
}

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
    /// A router without backends: every request is refused as retryable until [`Router::install`].
    pub fn new(
        settings: &settings::Exporter,
        signal: Signal,
        metrics: ExporterMetrics,
        start_backend: StartBackend,
    ) -> Self {
        let (key, generation) = match &settings.destination {
            Destination::Pool { keys, ring, .. } => (keys.get(signal.index()).cloned().flatten(), *ring),
            Destination::Single { .. } => (None, RingGeneration::G3),
        };
        let empty = Table { ring: Ring::new(generation, &[]), backends: Vec::new(), generation: 0 };
        let batch = settings.backend.batch;
        let limits_items = batch.max_size > 0 && batch.sizer == settings::Sizer::Items;
        Self {
            id: Arc::clone(&settings.id),
            key: key.unwrap_or(RoutingKey::compatible(Key::None)),
            forwarded: settings.backend.forwarded.iter().map(|one| Arc::clone(&one.from)).collect(),
            timeout: settings.timeout,
            wait_for_delivery: settings.backend.queue.acknowledge == settings::Acknowledge::Delivered,
            max_message_bytes: settings.backend.max_message_bytes,
            max_message_items: limits_items.then_some(batch.max_size),
            metrics,
            lines: Lines { without_key: LineLimit::new(), empty_metrics: LineLimit::new() },
            generation,
            table: ArcSwap::from_pointee(empty),
            start_backend,
        }
    }

    /// Publishes the table of an endpoint set. Backends of endpoints that stay are kept, with their queues.
    ///
    /// Called by one task at a time. Builds the ring aside (some milliseconds for hundreds of endpoints); requests go
    /// on over the old table meanwhile.
    pub fn install(&self, endpoints: &[Endpoint]) {
        let current = self.table.load();
        let mut by_address: HashMap<&str, Backend> =
            current.backends.iter().map(|backend| (backend.endpoint().dial(), backend.clone())).collect();
        let backends = endpoints
            .iter()
            .map(|endpoint| {
                by_address.entry(endpoint.dial()).or_insert_with(|| (self.start_backend)(endpoint)).clone()
            })
            .collect();
        let identities: Vec<&str> = endpoints.iter().map(Endpoint::identity).collect();
        let ring = Ring::new(self.generation, &identities);
        let generation = current.generation + 1;
        self.table.store(Arc::new(Table { ring, backends, generation }));
        tracing::info!(
            exporter = &*self.id,
            backends = endpoints.len(),
            generation,
            "routing table installed"
        );
    }

    /// The current snapshot. Cheap; hold it for one request only.
    pub fn table(&self) -> Guard<Arc<Table>> {
        self.table.load()
    }

    /// The exporter's id as configured.
    pub fn id(&self) -> &str {
        &self.id
    }
}

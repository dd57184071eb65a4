//! `routing_key`: what is hashed, and onto which ring.

use std::sync::Arc;

/// What is hashed for one signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutingKey {
    /// Which bytes.
    pub key: Key,
    /// What becomes of an item that has none.
    pub missing: MissingKey,
}

impl RoutingKey {
    /// The key in force where nothing of ours is configured.
    pub const fn compatible(key: Key) -> Self {
        Self { key, missing: MissingKey::Compatible }
    }
}

/// The kinds of key bytes. What they are made of is in `otlp::key`; which signal may have which is checked by `config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// Nothing is hashed: everything goes to one backend. Exporters without a ring.
    None,
    /// The 16 raw bytes of the trace id. Traces; logs under our own `log_trace_id: raw`.
    TraceId,
    /// The trace id as 32 lower-case hex digits. Logs.
    TraceIdHex,
    /// The segment `service.name=<value>|`, looked up like an attribute. Traces.
    ServiceSegment,
    /// The bare text of the resource's `service.name`. Logs and metrics; traces under our own `trace_service: bare`.
    ServiceName,
    /// `resource/<hex>`: an identity of all attributes of the resource. Logs and metrics.
    Resource,
    /// The name of the metric. Metrics.
    Metric,
    /// `stream/<hex>`: an identity of resource, scope, metric and data point attributes. Metrics.
    Stream,
    /// One segment `<name>=<value>|` for each of these names, in the order of the signal's rule. Every signal.
    Attributes(Arc<[Arc<str>]>),
}

/// What becomes of an item without its key: without trace id, without a `service.name` that is a non-empty text, or without any of
/// the routing attributes. Keys of the other kinds are never missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MissingKey {
    /// What the Collector's exporter does: traces and attributes are hashed with what there is; logs by service have the
    /// empty key, logs by trace id a random one; metrics without `service.name` are dropped.
    Compatible,
    /// The identity of the resource takes the key's place.
    Resource,
    /// This text takes the key's place, so that all of them go to one backend.
    Fixed(Arc<str>),
    /// They are dropped, and counted.
    Drop,
}

/// The Collector's hash rings; the constants are in `ring`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingGeneration {
    /// Up to v0.129.
    G1,
    /// v0.130.0 to v0.156.0.
    G2,
    /// v0.157.0 and later.
    G3,
}

impl RingGeneration {
    /// Its name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::G1 => "G1",
            Self::G2 => "G2",
            Self::G3 => "G3",
        }
    }
}

//! What every part of the gateway takes: checked values, no strings that mean durations, no file positions.
//!
//! Stage: vocabulary. `config` makes these from a Collector configuration and spells out every default; no type
//! here has a `Default`, so that a value that is in force can always be found in one place.

mod discovery;
mod exporter;
mod receiver;
mod routing;

use std::{sync::Arc, time::Duration};

use super::Signal;
pub use discovery::{CloudMap, Dns, Family, Identity, K8s, Membership, Resolver, ServicePort};
pub use exporter::{
    Acknowledge, Ambiguous, Backend, Batch, Compression, Destination, Exporter, Forwarded, HealthPolicy,
    HttpClient, Protocol, Queue, RetryPolicy, Secret, Sizer, Storage,
};
pub use receiver::{Cors, Encodings, GrpcServer, HttpServer, Keepalive, Listen, Receiver, Validation};
pub use routing::{Key, MissingKey, RingGeneration, RoutingKey};

/// One running gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// OTLP receivers that some pipeline names. Each binds its sockets once.
    pub receivers: Vec<Receiver>,
    /// Exporters that some pipeline names.
    pub exporters: Vec<Exporter>,
    /// `service.pipelines`, in the order of the file.
    pub pipelines: Vec<Pipeline>,
    /// `extensions.health_check`, if `service.extensions` names one.
    pub health_check: Option<HealthCheck>,
    /// `service.telemetry`.
    pub telemetry: Telemetry,
    /// How the process ends.
    pub shutdown: Shutdown,
    /// What may be held in memory: bodies, queues and batches of all exporters together.
    pub memory: Memory,
}

/// A limit of what is held in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Memory {
    /// So many bytes.
    Bytes(usize),
    /// A share of what the process may have (its control group's limit, else the machine's memory), in per cent.
    Percent(f64),
}

/// One entry of `service.pipelines`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipeline {
    /// The id as written, e.g. `traces/tail`.
    pub id: Arc<str>,
    /// What it carries.
    pub signal: Signal,
    /// Indices into [`Settings::receivers`].
    pub receivers: Vec<usize>,
    /// Indices into [`Settings::exporters`].
    pub exporters: Vec<usize>,
}

/// `extensions.health_check`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// Host and port to listen on.
    pub endpoint: Arc<str>,
    /// Path that answers; one that ends in `/` answers for everything below it.
    pub path: Arc<str>,
    /// `response_body`: replaces the JSON body; the two texts are (healthy, unhealthy).
    pub response_body: Option<(Arc<str>, Arc<str>)>,
}

/// `service.telemetry`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// `logs.level`.
    pub log_level: LogLevel,
    /// `logs.encoding: json`.
    pub log_json: bool,
    /// Host and port of each pull reader of `/metrics`; empty: metrics are off.
    pub metrics: Vec<Arc<str>>,
}

/// `service.telemetry.logs.level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// The default.
    Info,
    /// Warnings and errors.
    Warn,
    /// Errors.
    Error,
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// From the signal to the end of draining; what is left then is dropped, logged and counted. `None`: no limit.
    pub timeout: Option<Duration>,
}

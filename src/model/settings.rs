//! What every part of the gateway takes: checked values, no strings that mean durations, no file positions.
//!
//! Stage: vocabulary. `config` makes these from a Collector configuration and spells out every default; no type
//! here has a `Default`, so that a value that is in force can always be found in one place.

use std::{sync::Arc, time::Duration};

use super::Signal;

/// One running gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// OTLP receivers that some pipeline names. Each binds its sockets once.
    pub receivers: Vec<Receiver>,
    /// Load-balancing exporters that some pipeline names.
    pub exporters: Vec<Exporter>,
    /// `service.pipelines`, in the order of the file.
    pub pipelines: Vec<Pipeline>,
    /// `extensions.health_check`, if `service.extensions` names one.
    pub health_check: Option<HealthCheck>,
    /// `service.telemetry`.
    pub telemetry: Telemetry,
    /// How the process ends.
    pub shutdown: Shutdown,
}

/// `receivers.otlp[/name]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Receiver {
    /// The component id as written, e.g. `otlp/internal`: the metric label `receiver`.
    pub id: Arc<str>,
    /// `protocols.grpc`.
    pub grpc: Option<GrpcServer>,
    /// `protocols.http`.
    pub http: Option<HttpServer>,
    /// How deeply requests are checked while they are split.
    pub validation: Validation,
}

/// `protocols.grpc` of a receiver.
#[derive(Clone, Debug, PartialEq)]
pub struct GrpcServer {
    /// Host and port to listen on.
    pub endpoint: Arc<str>,
    /// Limit of one message, both as it arrives and after decompression.
    pub max_message_bytes: usize,
    /// Concurrent streams for each connection; `None`: no limit.
    pub max_concurrent_streams: Option<u32>,
    /// Buffer in front of the socket, for each connection.
    pub read_buffer_bytes: usize,
}

/// `protocols.http` of a receiver.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpServer {
    /// Host and port to listen on.
    pub endpoint: Arc<str>,
    /// Path of traces requests.
    pub traces_path: Arc<str>,
    /// Limit of one body, both as it arrives and after decompression.
    pub max_body_bytes: usize,
}

/// How deeply a request is checked before anything of it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validation {
    /// Every request, resource, scope and item field is walked: tags, wire types, lengths, id lengths.
    Structure,
    /// Also attributes, events, links and the UTF-8 of every string.
    Full,
}

/// `exporters.load_balancing[/name]` (or the alias `loadbalancing`).
#[derive(Clone, Debug, PartialEq)]
pub struct Exporter {
    /// The component id as written: the metric label `exporter`.
    pub id: Arc<str>,
    /// What is hashed.
    pub routing_key: RoutingKey,
    /// Which of the Collector's hash rings.
    pub ring: RingGeneration,
    /// Where endpoints come from.
    pub resolver: Resolver,
    /// `protocol.otlp`.
    pub backend: Backend,
    /// Deadline of one inbound request's whole fan-out when the sending queue is off; `None`: none.
    pub timeout: Option<Duration>,
}

/// `routing_key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoutingKey {
    /// The 16 raw bytes of the trace id.
    TraceId,
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

/// `resolver`.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolver {
    /// `resolver.static`: the texts as written, sorted bytewise, duplicates kept.
    Static {
        /// `hostnames`.
        hostnames: Vec<Arc<str>>,
    },
}

impl Resolver {
    /// The value of the metric label `resolver`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Static { .. } => "static",
        }
    }
}

/// How data is queued for and sent to each backend of an exporter.
#[derive(Clone, Debug, PartialEq)]
pub struct Backend {
    /// Time limit of one attempt; `None`: none.
    pub timeout: Option<Duration>,
    /// Compression of requests.
    pub compression: Compression,
    /// Metadata sent with every request; names in lower case, both parts valid in HTTP.
    pub headers: Vec<(Arc<str>, Secret)>,
    /// `None`: the first failure is final.
    pub retry: Option<RetryPolicy>,
    /// What happens between acceptance and sending.
    pub queue: Queue,
    /// When data is merged before it is sent.
    pub batch: Batch,
    /// Limit of one outgoing message before compression.
    pub max_message_bytes: usize,
}

/// A text that is never printed: `{:?}` gives `[REDACTED]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Keeps `text` from being printed.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }
}

impl std::ops::Deref for Secret {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[REDACTED]")
    }
}

/// Compression of an outgoing request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Bytes as they are.
    None,
    /// gzip.
    Gzip,
    /// Framed snappy, as gRPC carries it.
    Snappy,
    /// Zstandard.
    Zstd,
}

impl Compression {
    /// The value of `grpc-encoding`; `None` sends no such header.
    pub const fn encoding(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gzip => Some("gzip"),
            Self::Snappy => Some("snappy"),
            Self::Zstd => Some("zstd"),
        }
    }
}

/// `retry_on_failure`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Middle of the first wait.
    pub initial_interval: Duration,
    /// Each wait is drawn from interval · (1 ± this); 0 to 1.
    pub randomization_factor: f64,
    /// Growth from one wait to the next.
    pub multiplier: f64,
    /// Limit of the interval, before randomization.
    pub max_interval: Duration,
    /// Time after the first attempt at which no further wait begins; `None`: never.
    pub max_elapsed_time: Option<Duration>,
}

/// `sending_queue`, for each backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// On: a client is answered when its data is queued. Off: when it is delivered.
    pub enabled: bool,
    /// Requests in flight to one backend.
    pub num_consumers: usize,
    /// Capacity for each backend: waiting and in flight, in the unit of the sizer.
    pub size: usize,
    /// What `size` counts.
    pub sizer: Sizer,
}

/// The unit of a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizer {
    /// Inbound requests (their parts).
    Requests,
    /// Spans, data points or log records.
    Items,
    /// Serialized bytes.
    Bytes,
}

/// Merging of waiting parts into one outgoing request.
///
/// Parts always merge while the backend is busy; these settings add delay to reach a size, or limit it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Size up to which a batch waits for more, for at most `flush_timeout`; 0: it never waits.
    pub min_size: usize,
    /// Size that a batch does not exceed; 0: only the message limit applies.
    pub max_size: usize,
    /// The longest wait for `min_size`.
    pub flush_timeout: Duration,
    /// Unit of the two sizes: items or bytes.
    pub sizer: Sizer,
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

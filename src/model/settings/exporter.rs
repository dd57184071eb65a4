//! `exporters`: where data goes, and how it is queued and sent.

use std::{path::PathBuf, sync::Arc, time::Duration};

use super::{Membership, Resolver, RingGeneration, RoutingKey};

/// An exporter of any type.
#[derive(Clone, Debug, PartialEq)]
pub struct Exporter {
    /// The component id as written: the metric label `exporter`.
    pub id: Arc<str>,
    /// Where data goes.
    pub destination: Destination,
    /// How it gets there.
    pub backend: Backend,
    /// Deadline of one inbound request's whole fan-out when the sending queue is off; `None`: none.
    pub timeout: Option<Duration>,
}

/// One backend or many.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there is one for each exporter")]
pub enum Destination {
    /// `load_balancing` (or the alias `loadbalancing`): each item goes to the backend that owns its key.
    Pool {
        /// What is hashed, in the order of [`Signal::ALL`](crate::model::Signal::ALL); `None`: no pipeline of that signal
        /// names the exporter.
        keys: [Option<RoutingKey>; 3],
        /// Which of the Collector's hash rings.
        ring: RingGeneration,
        /// Where endpoints come from.
        resolver: Resolver,
        /// How calmly the ring follows them.
        membership: Membership,
    },
    /// `otlp_grpc` and `otlp_http` (or the aliases `otlp` and `otlphttp`): everything goes to one backend.
    Single {
        /// What is dialled, in the order of [`Signal::ALL`](crate::model::Signal::ALL): `host:port` or `unix:///path` for
        /// gRPC, a whole URL for HTTP. `None`: no endpoint is configured for that signal, and no pipeline of it names
        /// the exporter.
        endpoints: [Option<Arc<str>>; 3],
    },
}

/// The protocol of an exporter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP with protobuf bodies.
    Http(HttpClient),
}

/// What only OTLP/HTTP has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpClient {
    /// Connections to the host, busy and idle; `None`: no limit but that of requests in flight.
    pub max_connections: Option<usize>,
    /// Whether a connection carries more than one request.
    pub keep_alive: bool,
    /// How long an idle connection is kept; `None`: as long as the server keeps it.
    pub idle_timeout: Option<Duration>,
}

/// One header that `headers_setter` takes from the client's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// Its name towards the backend, in lower case.
    pub name: Arc<str>,
    /// Its name in the client's request, in lower case.
    pub from: Arc<str>,
    /// Sent where the client's request has none; `None`: then nothing is sent.
    pub default: Option<Secret>,
}

/// How data is queued for and sent to each backend of an exporter.
#[derive(Clone, Debug, PartialEq)]
pub struct Backend {
    /// Time limit of one attempt; `None`: none.
    pub timeout: Option<Duration>,
    /// Compression of requests.
    pub compression: Compression,
    /// How requests are sent.
    pub protocol: Protocol,
    /// Metadata sent with every request; names in lower case, both parts valid in HTTP.
    pub headers: Vec<(Arc<str>, Secret)>,
    /// Metadata of the client's request that is sent on. Data with different values never share a request.
    pub forwarded: Vec<Forwarded>,
    /// `None`: the first failure is final.
    pub retry: Option<RetryPolicy>,
    /// What happens between acceptance and sending.
    pub queue: Queue,
    /// When data is merged before it is sent.
    pub batch: Batch,
    /// Limit of one outgoing message before compression.
    pub max_message_bytes: usize,
    /// What becomes of data whose attempt ended without an answer after it may have arrived, in the order of
    /// [`Signal::ALL`](crate::model::Signal::ALL).
    pub ambiguous: [Ambiguous; 3],
    /// How long attempts under way may go on at a backend that has left the set.
    pub drain_timeout: Duration,
    /// When a backend is skipped; `None`: never, as the Collector.
    pub health: Option<HealthPolicy>,
}

/// What becomes of data that a backend may or may not have taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ambiguous {
    /// It is sent again: never lost, perhaps delivered twice. What the Collector does.
    Retry,
    /// It is given up: never delivered twice, perhaps lost.
    Drop,
}

/// When a backend of a pool is skipped by lookups although the resolver lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthPolicy {
    /// Attempts in a row without any answer after which a backend is suspect.
    pub consecutive_failures: u32,
    /// Time without a success, while there was something to send, after which a backend is suspect.
    pub no_success: Duration,
    /// How long it stays suspect before its keys go to the ring successor.
    pub hold: Duration,
    /// The longest wait between two probes of a skipped backend, before jitter.
    pub probe_interval: Duration,
    /// Share of the pool that may be skipped at a time, in per cent; a backend beyond that keeps its keys.
    pub max_ejected_percent: u8,
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
    /// Snappy's block format, as OTLP/HTTP carries it under the name `snappy`. HTTP only.
    SnappyBlock,
    /// zlib. HTTP only.
    Zlib,
    /// zlib under the name `deflate`. HTTP only.
    Deflate,
    /// LZ4 frames. HTTP only.
    Lz4,
}

impl Compression {
    /// The value of `grpc-encoding`; `None` sends no such header.
    pub const fn encoding(self) -> Option<&'static str> {
        match self {
            Self::Gzip => Some("gzip"),
            Self::Snappy => Some("snappy"),
            Self::Zstd => Some("zstd"),
            Self::None | Self::SnappyBlock | Self::Zlib | Self::Deflate | Self::Lz4 => None,
        }
    }

    /// The value of `Content-Encoding`; `None` sends no such header.
    pub const fn content_encoding(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
            Self::SnappyBlock => Some("snappy"),
            Self::Snappy => Some("x-snappy-framed"),
            Self::Zlib => Some("zlib"),
            Self::Deflate => Some("deflate"),
            Self::Lz4 => Some("lz4"),
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// When a client is answered.
    pub acknowledge: Acknowledge,
    /// Whether a request waits for room in a full queue instead of being refused.
    pub block_on_overflow: bool,
    /// Where data is kept until it is delivered; present if and only if it is acknowledged as persisted.
    pub storage: Option<Storage>,
    /// Requests in flight to one backend.
    pub num_consumers: usize,
    /// Capacity for each backend: waiting and in flight, in the unit of the sizer.
    pub size: usize,
    /// What `size` counts.
    pub sizer: Sizer,
}

/// When a client is told that its data is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledge {
    /// When it is queued in memory. A crash loses what is queued.
    Enqueued,
    /// When it is on disk. A crash loses nothing that was acknowledged.
    Persisted,
    /// When a backend has taken it. A crash loses nothing that was acknowledged.
    Delivered,
}

/// A `file_storage` extension as a queue uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// The extension's id as written.
    pub id: Arc<str>,
    /// `directory`; each queue has one of its own in it.
    pub directory: PathBuf,
    /// `fsync`: also survive a crash of the machine.
    pub fsync: bool,
    /// `create_directory`.
    pub create_directory: bool,
    /// `max_size` of all files of one queue; `None`: no limit but that of the queue.
    pub max_bytes: Option<u64>,
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

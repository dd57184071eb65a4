//! `receivers.otlp`: what is listened on, and the limits of what a client may do.

use std::{sync::Arc, time::Duration};

use super::Secret;

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

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// `host:port`; an empty host means every interface.
    Tcp(Arc<str>),
    /// The path of a Unix domain socket.
    Unix(Arc<str>),
}

/// `protocols.grpc` of a receiver.
#[derive(Clone, Debug, PartialEq)]
pub struct GrpcServer {
    /// Where it listens.
    pub listen: Listen,
    /// Limit of one message, both as it arrives and after decompression.
    pub max_message_bytes: usize,
    /// Concurrent streams for each connection; `None`: no limit.
    pub max_concurrent_streams: Option<u32>,
    /// Buffer in front of the socket, for each connection.
    pub read_buffer_bytes: usize,
    /// Life of connections.
    pub keepalive: Keepalive,
    /// Whether a request's headers are kept for the exporters that forward some of them.
    pub include_metadata: bool,
}

/// `keepalive.server_parameters` and `keepalive.enforcement_policy`; the meanings are grpc-go's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// A connection without calls for this long gets a GOAWAY; `None`: never.
    pub max_idle: Option<Duration>,
    /// A connection this old (± 10 %) gets a GOAWAY; `None`: never.
    pub max_age: Option<Duration>,
    /// How long calls on such a connection may still take; `None`: no limit.
    pub max_age_grace: Option<Duration>,
    /// A client that was silent for this long is sent a PING, …
    pub time: Duration,
    /// … and is cut if nothing comes within this.
    pub timeout: Duration,
    /// A client that sends PINGs more often than this is sent GOAWAY ENHANCE_YOUR_CALM.
    pub min_time: Duration,
    /// Whether a client may send PINGs while it has no call.
    pub permit_without_stream: bool,
}

/// `protocols.http` of a receiver.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpServer {
    /// Where it listens.
    pub listen: Listen,
    /// Path of each signal's requests, in the order of [`Signal::ALL`](crate::model::Signal::ALL).
    pub paths: [Arc<str>; 3],
    /// Limit of one body, both as it arrives and after decompression.
    pub max_body_bytes: usize,
    /// Which web pages may send; `None`: no page of another origin.
    pub cors: Option<Cors>,
    /// Whether a request's headers are kept for the exporters that forward some of them.
    pub include_metadata: bool,
    /// `compression_algorithms`.
    pub encodings: Encodings,
    /// Set on every response, errors too.
    pub response_headers: Vec<(Arc<str>, Secret)>,
    /// Whether a connection serves more than one request.
    pub keep_alive: bool,
    /// How long an idle connection is kept; `None`: the server's own limit.
    pub idle_timeout: Option<Duration>,
    /// Time for the head of a request to arrive; `None`: the server's own limit.
    pub read_header_timeout: Option<Duration>,
}

/// `cors` with at least one allowed origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// In lower case, each with at most one `*`.
    pub allowed_origins: Vec<Arc<str>>,
    /// Empty: accept, content-type, x-requested-with. `*`: any.
    pub allowed_headers: Vec<Arc<str>>,
    /// Response headers that a page may read.
    pub exposed_headers: Vec<Arc<str>>,
    /// Seconds, as written: below 0 the header says "0", at 0 there is none.
    pub max_age_seconds: i64,
}

/// Which values of `Content-Encoding` are decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encodings {
    /// All that are known.
    Known,
    /// None: the header is ignored and bodies are taken as they are.
    Off,
    /// These; the empty name stands for a body without the header.
    Only(Vec<Arc<str>>),
}

/// How deeply a request is checked before anything of it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validation {
    /// Every request, resource, scope and item field is walked: tags, wire types, lengths, id lengths.
    Structure,
    /// Also attributes, events, links and the UTF-8 of every string.
    Full,
}

//! Sends requests to a gateway at a given pace and keeps count of what was acknowledged.
//!
//! Two paces: an *open loop* sends at fixed times, whatever the gateway does, and measures latency from those times, so
//! that a stall is seen by every request that it delays; a *closed loop* keeps a fixed number of requests in flight.
//! A request that the gateway refuses is sent again until it is taken: "acknowledged" then is what the gateway owes
//! its backends, span for span. A request whose answer never came is not sent again, and counted apart.

mod client;
mod latency;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use self::client::{CallError, Client};
use super::generator::Request;
use crate::{
    model::{Signal, settings::Compression},
    net::{
        compression::Compressor,
        grpc::{Code, PREFIX_LEN},
    },
    tasks::Tasks,
};

pub use latency::Latencies;

/// Time limit of one attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// Wait before a refused request is sent again, unless the gateway asked for a longer one.
const REFUSED_PAUSE: Duration = Duration::from_millis(20);
/// The longest wait that a gateway may ask for.
const REFUSED_PAUSE_MAX: Duration = Duration::from_secs(1);
/// How long after [`Load::stop`] a refused request is still sent again.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// One request ready to be sent.
#[derive(Clone, Debug)]
pub struct Message {
    path: &'static str,
    /// With the gRPC prefix.
    body: Bytes,
    encoding: Option<&'static str>,
    spans: u64,
}

/// When requests are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// At fixed times.
    Open {
        /// Requests per second.
        rate: f64,
        /// Connections, used in turn.
        connections: usize,
        /// Requests in flight at most, over all connections. When they are, the next ones are late.
        in_flight_max: usize,
    },
    /// As fast as answers come.
    Closed {
        /// Connections.
        connections: usize,
        /// Requests in flight on each.
        in_flight: usize,
    },
}

/// What became of the requests so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that the gateway acknowledged.
    pub acknowledged_requests: u64,
    /// Spans in them.
    pub acknowledged_spans: u64,
    /// Attempts that were answered with a failure, or could not be sent.
    pub refused_attempts: u64,
    /// Spans of requests that were given up after refusals.
    pub refused_spans: u64,
    /// Spans of requests whose answer never came: they may or may not have been taken.
    pub unanswered_spans: u64,
}

/// A running load.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    tasks: Tasks,
}

/// What every sending task needs.
struct Shared {
    counters: Counters,
    latencies: Mutex<Latencies>,
    source: Mutex<Box<dyn FnMut() -> Option<Message> + Send>>,
    stopping: CancellationToken,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shared").field("counters", &self.counters).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Counters {
    acknowledged_requests: AtomicU64,
    acknowledged_spans: AtomicU64,
    refused_attempts: AtomicU64,
    refused_spans: AtomicU64,
    unanswered_spans: AtomicU64,
}

// === impl Message ===

impl Message {
    /// A request as it is.
    pub fn plain(request: &Request) -> Self {
        Self::compressed(request, Compression::None)
    }

    /// A compressed request.
    pub fn compressed(request: &Request, compression: Compression) -> Self {
        Self::new(Signal::Traces, &request.bytes, request.spans.len(), compression)
    }

    /// A serialized request of any signal, with so many items.
    pub fn new(signal: Signal, request: &[u8], items: usize, compression: Compression) -> Self {
        let Some(encoding) = compression.encoding() else {
            return Self::framed(signal, request, 0, None, items);
        };
        let mut body = Vec::new();
        Compressor::new(compression).compress(request, &mut body);
        Self::framed(signal, &body, 1, Some(encoding), items)
    }

    /// Bytes on the wire, prefix included, HTTP/2 framing not.
    pub fn wire_bytes(&self) -> usize {
        self.body.len()
    }

    /// Spans in the request; or data points, or log records.
    pub const fn spans(&self) -> u64 {
        self.spans
    }

    fn framed(
        signal: Signal,
        message: &[u8],
        flag: u8,
        encoding: Option<&'static str>,
        spans: usize,
    ) -> Self {
        let mut body = Vec::with_capacity(message.len() + PREFIX_LEN);
        body.push(flag);
        body.extend_from_slice(&(message.len() as u32).to_be_bytes());
        body.extend_from_slice(message);
        Self { path: signal.grpc_path(), body: body.into(), encoding, spans: spans as u64 }
    }
}

// === impl Load ===

impl Load {
    /// Begins to send what `source` gives to `address` (`host:port`), until it gives nothing more or
    /// [`Load::stop`].
    pub fn start(
        address: &str,
        pace: Pace,
        source: impl FnMut() -> Option<Message> + Send + 'static,
    ) -> Self {
        let tasks = Tasks::new();
        let shared = Arc::new(Shared {
            counters: Counters::default(),
            latencies: Mutex::new(Latencies::new()),
            source: Mutex::new(Box::new(source)),
            stopping: CancellationToken::new(),
        });
        match pace {
            Pace::Open { rate, connections, in_flight_max } => {
                let clients = clients(address, connections, &tasks);
                let task = open(rate, in_flight_max, clients, Arc::clone(&shared), tasks.clone());
                tasks.spawn("load", task);
            }
            Pace::Closed { connections, in_flight } => {
                for client in clients(address, connections, &tasks) {
                    for _ in 0..in_flight {
                        tasks.spawn("load", closed(client.clone(), Arc::clone(&shared)));
                    }
                }
            }
        }
        Self { shared, tasks }
    }

    /// The counts so far.
    pub fn counts(&self) -> Counts {
        let counters = &self.shared.counters;
        Counts {
            acknowledged_requests: counters.acknowledged_requests.load(Relaxed),
            acknowledged_spans: counters.acknowledged_spans.load(Relaxed),
            refused_attempts: counters.refused_attempts.load(Relaxed),
            refused_spans: counters.refused_spans.load(Relaxed),
            unanswered_spans: counters.unanswered_spans.load(Relaxed),
        }
    }

    /// Waits until the source gave nothing more and everything is answered. Never ends with an endless source.
    pub async fn ended(self) -> Counts {
        self.tasks.ended().await;
        self.counts()
    }

    /// Sends nothing new, waits for what is in flight, and says what came out of it.
    pub async fn stop(self) -> (Counts, Latencies) {
        self.shared.stopping.cancel();
        self.tasks.ended().await;
        let latencies = self.shared.latencies.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (self.counts(), latencies)
    }
}

fn clients(address: &str, connections: usize, tasks: &Tasks) -> Vec<Client> {
    (0..connections.max(1)).map(|_| Client::new(address, tasks.clone())).collect()
}

async fn closed(client: Client, shared: Arc<Shared>) {
    while !shared.stopping.is_cancelled() {
        let Some(message) = shared.next() else { return };
        shared.send(&client, &message, Instant::now()).await;
    }
}

async fn open(rate: f64, in_flight_max: usize, clients: Vec<Client>, shared: Arc<Shared>, tasks: Tasks) {
    let start = Instant::now();
    let permits = Arc::new(Semaphore::new(in_flight_max.max(1)));
    for (number, client) in clients.iter().cycle().enumerate() {
        let due = start + Duration::from_secs_f64(number as f64 / rate.max(0.001));
        let permit = tokio::select! {
            () = shared.stopping.cancelled() => return,
            permit = turn(due, &permits) => permit,
        };
        // The semaphore is never closed; if it were, there would be nothing more to send.
        let (Some(permit), Some(message)) = (permit, shared.next()) else { return };
        let (client, shared) = (client.clone(), Arc::clone(&shared));
        tasks.spawn("load request", async move {
            shared.send(&client, &message, due).await;
            drop(permit);
        });
    }
}

/// Waits for a request's time and for room in flight.
async fn turn(due: Instant, permits: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    sleep_until(due).await;
    Arc::clone(permits).acquire_owned().await.ok()
}

// === impl Shared ===

impl Shared {
    fn next(&self) -> Option<Message> {
        (*self.source.lock().unwrap_or_else(PoisonError::into_inner))()
    }

    /// Sends one request until it is acknowledged, its answer is lost, or the load has stopped for a while.
    async fn send(&self, client: &Client, message: &Message, due: Instant) {
        let counters = &self.counters;
        let mut give_up: Option<Instant> = None;
        loop {
            let pause = match attempt(client, message).await {
                Attempt::Acknowledged => {
                    counters.acknowledged_requests.fetch_add(1, Relaxed);
                    counters.acknowledged_spans.fetch_add(message.spans, Relaxed);
                    self.latencies.lock().unwrap_or_else(PoisonError::into_inner).record(due.elapsed());
                    return;
                }
                Attempt::Unanswered => {
                    counters.unanswered_spans.fetch_add(message.spans, Relaxed);
                    return;
                }
                Attempt::Refused(pause) => pause,
            };
            counters.refused_attempts.fetch_add(1, Relaxed);
            let now = Instant::now();
            if self.stopping.is_cancelled() && now >= *give_up.get_or_insert(now + STOP_TIMEOUT) {
                counters.refused_spans.fetch_add(message.spans, Relaxed);
                return;
            }
            sleep_until(now + pause).await;
        }
    }
}

enum Attempt {
    Acknowledged,
    /// May be sent again after a pause; certainly not taken.
    Refused(Duration),
    Unanswered,
}

async fn attempt(client: &Client, message: &Message) -> Attempt {
    match client.call(message.path, message.encoding, message.body.clone(), ATTEMPT_TIMEOUT).await {
        Ok(status) if status.code == Code::Ok => Attempt::Acknowledged,
        Ok(status) => {
            tracing::debug!(?status, "a request was refused");
            let pause = status.retry_delay.unwrap_or(REFUSED_PAUSE);
            Attempt::Refused(pause.clamp(REFUSED_PAUSE, REFUSED_PAUSE_MAX))
        }
        Err(CallError::NotSent(reason)) => {
            tracing::debug!(reason, "a request could not be sent");
            Attempt::Refused(REFUSED_PAUSE)
        }
        Err(CallError::Unanswered(reason)) => {
            tracing::debug!(reason, "a request was not answered");
            Attempt::Unanswered
        }
    }
}

#[cfg(test)]
mod tests;

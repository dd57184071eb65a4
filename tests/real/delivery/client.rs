//! A client with a pace that behaves as OpenTelemetry's exporters do: what may be sent again is sent again.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message as _;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::script::Script;

/// Limit of one attempt: the default of OpenTelemetry's exporters.
const ATTEMPT: Duration = Duration::from_secs(10);
/// The first wait before a request is sent again; each next is 1.5 times as long, up to [`WAIT_MAX`], and the real one is
/// up to a fifth shorter or longer. (The Java SDK's defaults.)
const WAIT: Duration = Duration::from_secs(1);
/// The longest wait.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// When a request is given up: the Go SDK's default.
const GIVE_UP: Duration = Duration::from_secs(60);
/// Requests that may be without an answer at once; beyond that the load falls behind its pace, and the test says so.
const IN_FLIGHT: usize = 512;

/// A load and its pace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client {
    /// Where to.
    pub(crate) gateway: SocketAddr,
    /// What.
    pub(crate) script: Script,
    /// Time between two requests.
    pub(crate) pace: Duration,
}

/// What became of the requests, as the client sees it.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    /// What was sent.
    pub(crate) script: Script,
    /// By request.
    pub(crate) requests: Vec<Answered>,
    /// Failed attempts by status, those of this client's own deadline included.
    pub(crate) errors: BTreeMap<String, usize>,
    /// Bytes of the messages that were acknowledged, each counted once.
    pub(crate) bytes: u64,
    /// Requests that were begun late because too many were without an answer.
    pub(crate) late: usize,
}

/// What became of one request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Answered {
    /// When the first attempt began.
    pub(crate) began: Option<Instant>,
    /// When it was acknowledged.
    pub(crate) acknowledged: Option<Instant>,
    /// How many attempts failed.
    pub(crate) failed: usize,
}

impl Answered {
    /// From the first attempt to the acknowledgement.
    pub(crate) fn latency(&self) -> Option<Duration> {
        Some(self.acknowledged?.duration_since(self.began?))
    }
}

impl Sent {
    /// Nothing yet.
    pub(crate) fn new(script: Script) -> Self {
        let requests = vec![Answered::default(); script.requests];
        Self { script, requests, errors: BTreeMap::new(), bytes: 0, late: 0 }
    }

    /// Failed attempts.
    pub(crate) fn errors(&self) -> usize {
        self.errors.values().sum()
    }

    /// Requests that were never acknowledged.
    pub(crate) fn given_up(&self) -> usize {
        self.requests.iter().filter(|request| request.acknowledged.is_none()).count()
    }

    /// The numbers of all acknowledged spans.
    pub(crate) fn acknowledged(&self) -> impl Iterator<Item = usize> {
        self.acknowledged_since(None)
    }

    /// The numbers of spans that were acknowledged after that time.
    pub(crate) fn acknowledged_since(&self, since: Option<Instant>) -> impl Iterator<Item = usize> {
        let counts =
            move |request: &usize| self.requests[*request].acknowledged.is_some_and(|at| Some(at) > since);
        (0..self.requests.len()).filter(counts).flat_map(|request| self.script.numbers(request))
    }
}

impl Client {
    /// Sends everything. `progress` counts requests that were acknowledged.
    ///
    /// # Errors
    ///
    /// When a request fails in a way that a client does not repeat; every other failure is in the result.
    pub(crate) async fn run(self, progress: watch::Sender<usize>) -> anyhow::Result<Sent> {
        self.run_until(progress, std::future::pending()).await
    }

    /// As [`Client::run`], but begins no more requests once `enough` has ended; what was begun is what was scripted.
    ///
    /// # Errors
    ///
    /// As there.
    pub(crate) async fn run_until(
        self,
        progress: watch::Sender<usize>,
        enough: impl Future<Output = ()>,
    ) -> anyhow::Result<Sent> {
        let Self { gateway, script, pace } = self;
        let channel = Endpoint::from_shared(format!("http://{gateway}"))?.connect_lazy();
        let room = Arc::new(Semaphore::new(IN_FLIGHT));
        let mut sent = Sent::new(script);
        let mut clock = tokio::time::interval(pace);
        clock.set_missed_tick_behavior(MissedTickBehavior::Burst); // the pace is kept on the whole
        let mut exports = JoinSet::new();
        let mut enough = std::pin::pin!(enough);
        for request in 0..script.requests {
            tokio::select! {
                _ = clock.tick() => {}
                () = &mut enough => {
                    sent.script.requests = request;
                    sent.requests.truncate(request);
                    break;
                }
            }
            sent.late += usize::from(room.available_permits() == 0);
            let permit = Arc::clone(&room).acquire_owned().await?;
            let channel = channel.clone();
            exports.spawn(async move {
                let export = export(channel, script, request).await;
                drop(permit);
                (request, export)
            });
            while let Some(done) = exports.try_join_next() {
                let acknowledged = sent.enter(done?)?;
                progress.send_modify(|count| *count += usize::from(acknowledged));
            }
        }
        while let Some(done) = exports.join_next().await {
            let acknowledged = sent.enter(done?)?;
            progress.send_modify(|count| *count += usize::from(acknowledged));
        }
        Ok(sent)
    }
}

impl Sent {
    /// Enters what became of a request; says whether it was acknowledged.
    fn enter(&mut self, (request, export): (usize, Export)) -> anyhow::Result<bool> {
        for status in &export.errors {
            *self.errors.entry(format!("{:?}", status.code())).or_default() += 1;
        }
        self.requests[request] = export.answered;
        let acknowledged = export.answered.acknowledged.is_some();
        if acknowledged {
            self.bytes += export.bytes;
        }
        match export.refused {
            Some(status) => Err(status).with_context(|| format!("request {request} was refused for good")),
            None => Ok(acknowledged),
        }
    }
}

/// What became of one request, in full.
struct Export {
    answered: Answered,
    bytes: u64,
    errors: Vec<Status>,
    refused: Option<Status>,
}

/// Sends a request until it is acknowledged, refused for good or given up.
async fn export(channel: Channel, script: Script, request: usize) -> Export {
    let began = Instant::now();
    let message = script.request(request);
    let mut export = Export {
        answered: Answered { began: Some(began), ..Answered::default() },
        bytes: message.encoded_len() as u64,
        errors: Vec::new(),
        refused: None,
    };
    let mut wait = WAIT;
    loop {
        let mut client = TraceServiceClient::new(channel.clone());
        let answer = tokio::time::timeout(ATTEMPT, client.export(message.clone())).await;
        let status = match answer {
            Ok(Ok(_)) => {
                export.answered.acknowledged = Some(Instant::now());
                return export;
            }
            Ok(Err(status)) => status,
            Err(_) => Status::deadline_exceeded("no answer in time"),
        };
        export.answered.failed += 1;
        let again = repeatable(&status);
        export.errors.push(status.clone());
        if !again {
            export.refused = Some(status);
            return export;
        }
        let jittered = wait.mul_f64(0.8 + 0.4 * fastrand::f64());
        if began.elapsed() + jittered > GIVE_UP {
            return export;
        }
        tokio::time::sleep(jittered).await;
        wait = wait.mul_f64(1.5).min(WAIT_MAX);
    }
}

/// Whether OTLP lets a client send the request again.
///
/// Source: OTLP 1.9, "Failures"; RESOURCE_EXHAUSTED only with RetryInfo, which is the one detail that is used with it.
/// A connection that broke is no answer of the server's; tonic gives it a status of many codes, and a source.
fn repeatable(status: &Status) -> bool {
    if std::error::Error::source(status).is_some() {
        return true;
    }
    match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => true,
        Code::ResourceExhausted => !status.details().is_empty(),
        _ => false,
    }
}

/// The latency that `per_mille` of 1,000 are at or below; `None` without any.
pub(crate) fn percentile(latencies: &mut [Duration], per_mille: usize) -> Option<Duration> {
    latencies.sort_unstable();
    let rank = (latencies.len() * per_mille).div_ceil(1000).max(1) - 1;
    latencies.get(rank).copied()
}

#[test]
fn percentiles_are_ranks() {
    // Scenario: 1 to 100 ms in disorder, and nothing.
    // Guarantees: the 99th is 99 ms, the median 50 ms, the highest the last; nothing has none.
    let mut latencies: Vec<Duration> = (1..=100).rev().map(Duration::from_millis).collect();
    let mut at = |per_mille| percentile(&mut latencies, per_mille).map(|found| found.as_millis());
    assert_eq!([at(990), at(500), at(1000), at(0)], [Some(99), Some(50), Some(100), Some(1)]);
    assert_eq!(percentile(&mut [], 500), None);
}

#[test]
fn only_what_otlp_allows_is_sent_again() {
    // Scenario: statuses that OTLP lets clients repeat, and others.
    // Guarantees: RESOURCE_EXHAUSTED counts only with a detail.
    let with_details =
        Status::with_details(Code::ResourceExhausted, "", bytes::Bytes::from_static(b"RetryInfo"));
    for (status, again) in [
        (Status::unavailable(""), true),
        (Status::deadline_exceeded(""), true),
        (Status::resource_exhausted(""), false),
        (with_details, true),
        (Status::invalid_argument(""), false),
        (Status::internal(""), false),
        (Status::unknown(""), false),
    ] {
        assert_eq!(repeatable(&status), again, "{status:?}");
    }
}

//! The receiver over real sockets: raw HTTP/2 and raw HTTP/1.1 clients against one that listens on a free port.

mod dialects;
mod grpc;
mod http;
mod http_options;
mod keepalive;
mod memory;
mod stop;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{Receiver, Routes};
use crate::{
    admission::{Account, Budget},
    model::{Code, Delivered, Failure, Outcome, Signal, settings},
    net::compression::Compressor,
    router::{Dispatcher, Seen},
    tasks::Tasks,
    telemetry::Metrics,
};

/// No answer of a receiver on loopback takes this long; a test that waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Limit of a message and of a body in these tests.
const LIMIT: usize = 64 * 1024;

/// A receiver on two free ports.
struct Running {
    grpc: SocketAddr,
    http: SocketAddr,
    metrics: Metrics,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

/// The Collector's defaults.
const KEEPALIVE: settings::Keepalive = settings::Keepalive {
    max_idle: None,
    max_age: None,
    max_age_grace: None,
    time: Duration::from_secs(7200),
    timeout: Duration::from_secs(20),
    min_time: Duration::from_secs(300),
    permit_without_stream: false,
};

/// More memory than any of these tests holds.
fn plenty() -> Account {
    Budget::new(1 << 30).account()
}

/// Every protocol with the Collector's defaults, but for the limits, on free ports.
fn settings() -> settings::Receiver {
    settings::Receiver {
        id: Arc::from("otlp"),
        grpc: Some(settings::GrpcServer {
            listen: settings::Listen::Tcp(Arc::from("127.0.0.1:0")),
            max_message_bytes: LIMIT,
            max_concurrent_streams: None,
            read_buffer_bytes: 512 * 1024,
            keepalive: KEEPALIVE,
            include_metadata: false,
        }),
        http: Some(settings::HttpServer {
            listen: settings::Listen::Tcp(Arc::from("127.0.0.1:0")),
            paths: Signal::ALL.map(|signal| Arc::from(signal.http_path())),
            max_body_bytes: LIMIT,
            cors: None,
            include_metadata: false,
            encodings: settings::Encodings::Known,
            response_headers: Vec::new(),
            keep_alive: true,
            idle_timeout: None,
            read_header_timeout: None,
        }),
        validation: settings::Validation::Structure,
    }
}

/// Every signal served by a dispatcher that accepts, asks for headers, and keeps what it was given.
fn recorded(forwarded: &[&str]) -> (Routes, Arc<Mutex<Vec<Seen>>>) {
    let seen = Arc::default();
    let dispatcher = Dispatcher::recording(1, Ok(Delivered::default()), forwarded, &seen);
    (every_signal(&dispatcher), seen)
}

fn every_signal(dispatcher: &Dispatcher) -> Routes {
    Signal::ALL.into_iter().fold(Routes::new(), |routes, signal| routes.with(signal, dispatcher.clone()))
}

impl Running {
    /// Answers every traces request alike and cuts what is left `drain` after the stop.
    async fn start(items: usize, outcome: Outcome, drain: Duration) -> Self {
        let routes = Routes::new().with(Signal::Traces, Dispatcher::fixed(items, outcome));
        Self::with(&settings(), &routes, drain).await
    }

    /// Serves these routes; both protocols must be on and listen on TCP.
    async fn with(settings: &settings::Receiver, routes: &Routes, drain: Duration) -> Self {
        Self::holding(settings, routes, drain, &plenty()).await
    }

    /// Holds bodies in this account.
    async fn holding(
        settings: &settings::Receiver,
        routes: &Routes,
        drain: Duration,
        account: &Account,
    ) -> Self {
        let metrics = Metrics::new();
        let receiver = Receiver::bind(settings, routes, &metrics, account).await.unwrap();
        let [grpc, http] =
            [receiver.grpc_address(), receiver.http_address()].map(|address| address.unwrap().tcp().unwrap());
        let stop = CancellationToken::new();
        let serving = Tasks::new().spawn("receiver", receiver.serve(stop.clone(), drain));
        Self { grpc, http, metrics, stop, serving }
    }

    /// Serves every signal with HTTP settings that were changed.
    async fn http_with(change: impl FnOnce(&mut settings::HttpServer)) -> Self {
        let mut settings = settings();
        change(settings.http.as_mut().unwrap());
        let routes = every_signal(&Dispatcher::fixed(1, Ok(Delivered::default())));
        Self::with(&settings, &routes, PATIENCE).await
    }

    /// Serves every signal with gRPC settings that were changed.
    async fn grpc_with(change: impl FnOnce(&mut settings::GrpcServer)) -> Self {
        let mut settings = settings();
        change(settings.grpc.as_mut().unwrap());
        let routes = every_signal(&Dispatcher::fixed(1, Ok(Delivered::default())));
        Self::with(&settings, &routes, PATIENCE).await
    }

    async fn accepting(items: usize) -> Self {
        Self::start(items, Ok(Delivered::default()), PATIENCE).await
    }

    async fn refusing(items: usize, failure: Failure) -> Self {
        Self::start(items, Err(failure), PATIENCE).await
    }

    /// Spans counted as (accepted, refused).
    fn items(&self, transport: &'static str) -> (u64, u64) {
        self.items_of(transport, Signal::Traces)
    }

    /// Items of a signal counted as (accepted, refused).
    fn items_of(&self, transport: &'static str, signal: Signal) -> (u64, u64) {
        let metrics = self.metrics.receiver("otlp", transport, signal);
        (metrics.accepted.get(), metrics.refused.get())
    }

    /// Requests counted as refused, by reason, without those that are 0.
    fn refusals(&self, transport: &str) -> Vec<(String, u64)> {
        let label = format!("receiver=\"otlp\",transport=\"{transport}\"");
        // `name{reason="malformed",receiver="otlp",transport="grpc"} 1`
        let text = self.metrics.text();
        text.lines()
            .filter(|line| line.starts_with("ringway_receiver_refused_requests{") && line.contains(&label))
            .filter_map(|line| {
                let (_, rest) = line.split_once("reason=\"")?;
                let (reason, rest) = rest.split_once('"')?;
                Some((reason.to_owned(), rest.rsplit_once(' ')?.1.parse().ok()?))
            })
            .collect()
    }

    #[track_caller]
    fn assert_refused(&self, transport: &str, reason: Code) {
        assert_eq!(self.refusals(transport), [(reason.as_str().to_owned(), 1)]);
    }

    /// Stops and waits for the end of every task.
    async fn end(self) {
        self.stop.cancel();
        within(self.serving).await.unwrap();
    }
}

/// What the future gives, or the failure of the test.
async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("took too long")
}

/// Compressed in one go.
fn compressed(compression: settings::Compression, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Compressor::new(compression).compress(data, &mut out);
    out
}

/// gzip of `megabytes` of zeros, about a thousandth of that, made without the zeros: one member for each megabyte.
fn bomb(megabytes: usize) -> Bytes {
    Bytes::from(compressed(settings::Compression::Gzip, &vec![0; 1024 * 1024]).repeat(megabytes))
}

//! Light backends in the test's own process, for tests that need many, or ones that misbehave on command.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use super::arrival::Arrivals;
use super::tally::Tally;
use crate::loopback;

/// The port of every backend: where addresses come from DNS or Kubernetes, ports do not.
pub(crate) const PORT: u16 = 4317;

/// How a sink answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// At once.
    Answer,
    /// After a while; what it took is counted at once.
    After(Duration),
    /// Not, and it takes nothing, until the mode changes.
    Never,
}

/// A backend that can refuse connections ([`Sink::close`]), hang and be slow.
#[derive(Debug)]
pub(crate) struct Sink {
    /// Where it is, on port [`PORT`].
    pub(crate) address: Ipv4Addr,
    recorder: Recorder,
    mode: watch::Sender<Mode>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    stop: oneshot::Sender<()>,
    server: JoinSet<Result<(), tonic::transport::Error>>,
}

impl Sink {
    /// Starts a sink on an address of its own.
    ///
    /// # Errors
    ///
    /// When the port is taken.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let mut sink = Self::closed();
        sink.open().await?;
        Ok(sink)
    }

    /// A sink that refuses connections until it is opened, on an address of its own.
    pub(crate) fn closed() -> Self {
        Self::closed_at(loopback::address())
    }

    /// A sink that refuses connections until it is opened, on this address.
    pub(crate) fn closed_at(address: Ipv4Addr) -> Self {
        let mode = watch::channel(Mode::Answer).0;
        let recorder = Recorder { began: Instant::now(), received: Arc::default(), mode: mode.subscribe() };
        Self { address, recorder, mode, open: None }
    }

    /// Accepts connections.
    ///
    /// # Errors
    ///
    /// When the port is taken.
    pub(crate) async fn open(&mut self) -> anyhow::Result<()> {
        let at = (self.address, PORT);
        let listener = TcpListener::bind(at).await.with_context(|| format!("a sink on {at:?}"))?;
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let service = TraceServiceServer::new(self.recorder.clone()).max_decoding_message_size(64 << 20);
        let (stop, stopped) = oneshot::channel();
        let mut server = JoinSet::new();
        server.spawn(Server::builder().add_service(service).serve_with_incoming_shutdown(incoming, async {
            // A sender that is gone means the same.
            drop(stopped.await);
        }));
        self.open = Some(Open { stop, server });
        Ok(())
    }

    /// Ends its connections in an orderly way, after answering what is under way, and refuses new ones.
    ///
    /// # Errors
    ///
    /// When a connection ended badly.
    pub(crate) async fn close(&mut self) -> anyhow::Result<()> {
        if let Some(Open { stop, mut server }) = self.open.take() {
            drop(stop);
            while let Some(ended) = server.join_next().await {
                ended??;
            }
        }
        Ok(())
    }

    /// Changes how it answers, also what is waiting for an answer.
    pub(crate) fn answer(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// What it has received so far.
    pub(crate) fn tally(&self) -> Tally {
        self.recorder.received().tally.clone()
    }

    /// Spans received so far, copies included.
    pub(crate) fn spans(&self) -> usize {
        self.recorder.received().tally.spans
    }

    /// Requests received so far.
    pub(crate) fn messages(&self) -> usize {
        self.recorder.received().tally.messages
    }

    /// When the first copy of a span came.
    pub(crate) fn arrived(&self, number: usize) -> Option<Instant> {
        let millisecond = self.recorder.received().first.get(number).copied().filter(|first| *first > 0)?;
        Some(self.recorder.began + Duration::from_millis(u64::from(millisecond) - 1))
    }
}

impl Arrivals for Sink {
    fn mark(&mut self, arrived: &mut [bool]) -> anyhow::Result<usize> {
        let received = self.recorder.received();
        received.tally.mark(arrived);
        Ok(received.tally.spans)
    }
}

#[derive(Debug, Default)]
struct Received {
    tally: Tally,
    /// By span number: the millisecond of this sink's life in which the first copy came, counted from 1; 0 for none. Hundreds of
    /// sinks keep one for each of hundreds of thousands of spans.
    first: Vec<u32>,
}

#[derive(Debug, Clone)]
struct Recorder {
    began: Instant,
    received: Arc<Mutex<Received>>,
    mode: watch::Receiver<Mode>,
}

impl Recorder {
    fn received(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[tonic::async_trait]
impl TraceService for Recorder {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut modes = self.mode.clone();
        let mode = modes.wait_for(|mode| *mode != Mode::Never).await.map(|mode| *mode);
        let mode = mode.map_err(|_gone| Status::unavailable("the test is over"))?;
        let now = u32::try_from(self.began.elapsed().as_millis()).unwrap_or(u32::MAX - 1) + 1;
        {
            let Received { tally, first } = &mut *self.received();
            let entered = tally.enter_request(request.get_ref(), |number| {
                if first.len() <= number {
                    first.resize(number + 1, 0);
                }
                if first[number] == 0 {
                    first[number] = now;
                }
            });
            entered.map_err(|error| Status::invalid_argument(format!("{error:#}")))?;
        }
        if let Mode::After(delay) = mode {
            tokio::time::sleep(delay).await;
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Accepts connections, reads and never says a word: a process that hangs behind a kernel that does not.
#[derive(Debug)]
pub(crate) struct Mute {
    heard: Arc<Heard>,
    _server: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Heard {
    connections: AtomicUsize,
    bytes: AtomicU64,
}

impl Mute {
    /// Starts on port [`PORT`] of `address`.
    ///
    /// # Errors
    ///
    /// When the port is taken.
    pub(crate) async fn start(address: Ipv4Addr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((address, PORT)).await.context("a mute backend")?;
        let heard = Arc::<Heard>::default();
        let mut server = JoinSet::new();
        server.spawn(listen(listener, Arc::clone(&heard)));
        Ok(Self { heard, _server: server })
    }

    /// Connections and bytes so far.
    pub(crate) fn heard(&self) -> (usize, u64) {
        (self.heard.connections.load(Relaxed), self.heard.bytes.load(Relaxed))
    }
}

async fn listen(listener: TcpListener, heard: Arc<Heard>) {
    let mut connections = JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        heard.connections.fetch_add(1, Relaxed);
        let heard = Arc::clone(&heard);
        connections.spawn(async move {
            let mut buffer = vec![0; 64 << 10];
            while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                heard.bytes.fetch_add(read as u64, Relaxed);
            }
        });
    }
}

/// An address whose connections are never established: a listener whose queue is full, so that the kernel drops every
/// further SYN, as a network does in front of a host that is gone.
#[derive(Debug)]
pub(crate) struct BlackHole {
    /// Where it is, on port [`PORT`].
    pub(crate) address: Ipv4Addr,
    _listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl BlackHole {
    /// Makes one, and proves it: the last attempt to connect has to time out.
    ///
    /// # Errors
    ///
    /// When the port is taken, or the queue does not fill up.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let address = loopback::address();
        let at = (address, PORT).into();
        let socket = TcpSocket::new_v4()?;
        socket.bind(at)?;
        let listener = socket.listen(1)?;
        let mut queued = Vec::new();
        // A queue of one takes two in Linux; some more may be half open for a moment.
        for _ in 0..8 {
            match tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(at)).await {
                Ok(stream) => queued.push(stream?),
                Err(_) => return Ok(Self { address, _listener: listener, _queued: queued }),
            }
        }
        anyhow::bail!("{at} still accepts connections")
    }
}

#[tokio::test]
async fn sinks_misbehave_on_command() {
    // Scenario: a sink answers, is slow, hangs and comes to, refuses and opens again; a mute backend; a black hole.
    // Guarantees: each does what a test that uses it relies on.
    use super::script::{Script, Traces};

    let script = Script { seed: 1, first: 0, requests: 5, request_spans: 3, traces: Traces::Small };
    let mut sink = Sink::start().await.unwrap();
    let send = async |request: usize, address: Ipv4Addr| {
        let mut client = crate::load::connect((address, PORT).into()).await?;
        tokio::time::timeout(Duration::from_millis(300), client.export(script.request(request))).await??;
        anyhow::Ok(())
    };
    send(0, sink.address).await.unwrap();
    sink.answer(Mode::After(Duration::from_millis(100)));
    send(1, sink.address).await.unwrap();
    sink.answer(Mode::Never);
    assert!(send(4, sink.address).await.is_err()); // it may be taken when the sink comes to
    assert_eq!((sink.messages(), sink.spans()), (2, 6));
    sink.answer(Mode::Answer);
    send(2, sink.address).await.unwrap();
    sink.close().await.unwrap();
    assert!(send(3, sink.address).await.is_err());
    sink.open().await.unwrap();
    send(3, sink.address).await.unwrap();
    let tally = sink.tally();
    assert_eq!((0..12).filter(|number| tally.copies(*number) == 1).count(), 12);
    assert!(sink.arrived(0).is_some() && sink.arrived(0) < sink.arrived(11));

    let address = loopback::address();
    let mute = Mute::start(address).await.unwrap();
    assert!(send(4, address).await.is_err());
    assert!(mute.heard() > (1, 24), "a preface is 24 bytes: {:?}", mute.heard());

    let hole = BlackHole::start().await.unwrap();
    let at = (hole.address, PORT);
    assert!(tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(at)).await.is_err());
}

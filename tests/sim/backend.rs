//! A backend: an OTLP/gRPC server on a simulated host, which does what its script says and writes down what it processed.
//!
//! Written on h2, so that streams and connections can be broken at any point of a call. **Processed** means that the items
//! are in the backend's books, whether or not anybody hears of it: that is what loss and duplication are measured by.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use h2::{Reason, RecvStream, SendStream, server::SendResponse};
use http::{Request, Response, header};
use ringway::{
    model::Signal,
    net::{
        compression::{Encoding, inflate},
        grpc::{self, Code, PREFIX_LEN, Status},
    },
    tasks::Tasks,
};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use turmoil::net::{TcpListener, TcpStream};

use crate::{
    items::{self, Id, Kind},
    ledger::{Event, Ledger, Why},
};

/// Where every backend listens.
pub(crate) const PORT: u16 = 4317;

/// What a backend does with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Processes it and answers OK, with waits before and after.
    Serve { before: Duration, after: Duration },
    /// Answers with a code; does not process it.
    Refuse { code: Code, retry: Option<Duration> },
    /// Takes all but some items, and says so.
    Partly,
    /// Never answers; processes it or not.
    Hang { processes: bool },
    /// Resets the stream; processes the call first or not.
    Reset { processes: bool, reason: Reason },
    /// Closes the connection; processes the call first or not.
    Cut { processes: bool },
    /// Serves the call and asks for another connection (GOAWAY).
    GoAway,
}

impl Act {
    /// As it should be.
    pub(crate) const OK: Self = Self::Serve { before: Duration::ZERO, after: Duration::ZERO };
}

/// What a backend does from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    /// Nobody listens, and connections are closed.
    Down,
    /// One call in `one_in` gets `act`, the others are served.
    Up { act: Act, one_in: u32 },
}

impl Script {
    /// Everything is served.
    pub(crate) const OK: Self = Self::Up { act: Act::OK, one_in: 1 };
}

/// One backend, for as long as the simulation lasts: it survives crashes of its host, as its books do.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) number: usize,
    script: watch::Sender<Script>,
    /// Largest message that it takes, bytes before compression.
    limit: Option<usize>,
    random: Mutex<fastrand::Rng>,
    ledger: Ledger,
}

/// What every call of one connection needs.
#[derive(Clone, Debug)]
struct Connection {
    /// Ends the connection at once.
    cut: CancellationToken,
    /// Ends it after the calls that are under way.
    go_away: Arc<Notify>,
}

/// A call that was read.
struct Call {
    items: Vec<Id>,
    bytes: usize,
}

impl Backend {
    pub(crate) fn new(number: usize, seed: u64, limit: Option<usize>, ledger: Ledger) -> Arc<Self> {
        Arc::new(Self {
            number,
            script: watch::channel(Script::OK).0,
            limit,
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            ledger,
        })
    }

    /// Changes what it does.
    pub(crate) fn script(&self, script: Script) {
        self.script.send_replace(script);
    }

    /// The software of its host; runs until the host crashes.
    pub(crate) async fn serve(self: Arc<Self>) -> turmoil::Result {
        let tasks = Tasks::new();
        let mut script = self.script.subscribe();
        loop {
            drop(script.wait_for(|script| *script != Script::Down).await?);
            let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT))).await?;
            let all = CancellationToken::new();
            loop {
                let (stream, _) = tokio::select! {
                    biased;
                    down = script.wait_for(|script| *script == Script::Down) => {
                        drop(down?);
                        break;
                    }
                    accepted = listener.accept() => accepted?,
                };
                let connection = Connection { cut: all.child_token(), go_away: Arc::default() };
                tasks.spawn("sim", Arc::clone(&self).connection(stream, connection, tasks.clone()));
            }
            all.cancel();
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, connection: Connection, tasks: Tasks) {
        let serve = async {
            let mut http2 = h2::server::handshake(stream).await?;
            loop {
                let accepted = tokio::select! {
                    biased;
                    () = connection.go_away.notified() => {
                        http2.graceful_shutdown();
                        continue;
                    }
                    accepted = http2.accept() => accepted,
                };
                let Some(accepted) = accepted else { return Ok::<(), h2::Error>(()) };
                let (request, respond) = accepted?;
                tasks.spawn("sim", Arc::clone(&self).call(request, respond, connection.clone()));
            }
        };
        tokio::select! {
            biased;
            // Drops the connection and with it the socket, in the middle of whatever it does.
            () = connection.cut.cancelled() => {}
            // What breaks a connection here was scripted, or is the gateway's right.
            _end = serve => {}
        }
    }

    async fn call(
        self: Arc<Self>,
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
        connection: Connection,
    ) {
        // A call that the peer gives up is read no further.
        let Ok(call) = read(request).await else { return };
        let act = self.act();
        let given_up = tokio::select! {
            biased;
            () = connection.cut.cancelled() => return,
            _reset = std::future::poll_fn(|context| respond.poll_reset(context)) => true,
            () = self.wait_before(&act) => false,
        };
        if given_up {
            return;
        }
        let (processes, answers) = match &act {
            Act::Serve { .. } | Act::Partly | Act::GoAway => (true, true),
            Act::Refuse { .. } => (false, true),
            Act::Hang { processes } | Act::Reset { processes, .. } | Act::Cut { processes } => {
                (*processes, false)
            }
        };
        let status = match &act {
            Act::Refuse { code, retry } => self.refuse(&call, *code, *retry),
            _ if processes => self.process(&call, act == Act::Partly),
            _ => Ok(0),
        };
        match &act {
            Act::Reset { reason, .. } => return respond.send_reset(*reason),
            Act::Cut { .. } => return connection.cut.cancel(),
            Act::GoAway => connection.go_away.notify_one(),
            Act::Serve { after, .. } => {
                tokio::select! {
                    biased;
                    () = connection.cut.cancelled() => return,
                    _reset = std::future::poll_fn(|context| respond.poll_reset(context)) => return,
                    () = tokio::time::sleep(*after) => {}
                }
            }
            _ if answers => {}
            // Until the caller gives up.
            _ => {
                tokio::select! {
                    biased;
                    () = connection.cut.cancelled() => {}
                    _reset = std::future::poll_fn(|context| respond.poll_reset(context)) => {}
                }
                return;
            }
        }
        // A caller that is gone does not hear it.
        let _gone = answer(&mut respond, &status);
    }

    async fn wait_before(&self, act: &Act) {
        if let Act::Serve { before, .. } = act {
            tokio::time::sleep(*before).await;
        }
    }

    fn act(&self) -> Act {
        match &*self.script.borrow() {
            Script::Up { act, one_in } if self.chance(*one_in) => act.clone(),
            Script::Up { .. } | Script::Down => Act::OK,
        }
    }

    fn chance(&self, one_in: u32) -> bool {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).u32(..one_in) == 0
    }

    fn refuse(&self, call: &Call, code: Code, retry: Option<Duration>) -> Result<u64, Status> {
        let is_retryable = match code {
            Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss => true,
            Code::ResourceExhausted => retry.is_some(),
            _ => false,
        };
        if !is_retryable {
            self.condemn(call.items.clone(), Why::Code);
        }
        Err(Status { retry_delay: retry, ..Status::new(code, "scripted") })
    }

    /// Takes what can be taken. Gives the number of items rejected, or the status if all are.
    fn process(&self, call: &Call, partly: bool) -> Result<u64, Status> {
        if let Some(limit) = self.limit.filter(|limit| call.bytes > *limit) {
            self.condemn(call.items.clone(), Why::TooLarge);
            // As grpc-go says it (`rpc_util.go`), and as tonic does (`codec/decode.rs`).
            let (code, text) = if self.number.is_multiple_of(2) {
                let text = format!("grpc: received message larger than max ({} vs. {limit})", call.bytes);
                (Code::ResourceExhausted, text)
            } else {
                let text = format!(
                    "Error, decoded message length too large: found {} bytes, the limit is: {limit} bytes",
                    call.bytes
                );
                (Code::OutOfRange, text)
            };
            return Err(Status::new(code, text));
        }
        if call.items.iter().any(|id| self.ledger.kind(*id) == Kind::Poison) {
            self.condemn(call.items.clone(), Why::Poison);
            return Err(Status::new(Code::InvalidArgument, "a poison item"));
        }
        let (rejected, taken): (Vec<Id>, Vec<Id>) = call.items.iter().partition(|_| partly && self.chance(3));
        let count = rejected.len() as u64;
        if !rejected.is_empty() {
            self.condemn(rejected, Why::Partial);
        }
        if !taken.is_empty() {
            self.ledger.write(Event::Processed { backend: self.number, items: taken });
        }
        Ok(count)
    }

    fn condemn(&self, items: Vec<Id>, why: Why) {
        if !items.is_empty() {
            self.ledger.write(Event::Condemned { backend: self.number, items, why });
        }
    }
}

/// Reads a whole call. An error if the caller gave it up.
async fn read(request: Request<RecvStream>) -> Result<Call, h2::Error> {
    let (head, mut body) = request.into_parts();
    let mut message = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        message.extend_from_slice(&data);
    }
    let encoding = head.headers.get(grpc::ENCODING).and_then(|value| value.to_str().ok());
    let plain = unframe(&message, encoding);
    let signal = Signal::ALL.into_iter().find(|signal| signal.grpc_path() == head.uri.path());
    let signal = signal.expect("an Export path");
    Ok(Call { items: items::ids(signal, &plain), bytes: plain.len() })
}

/// The message behind its prefix, decompressed.
///
/// # Panics
///
/// If it is not framed as gRPC frames: the gateway sends no such thing.
pub(crate) fn unframe(framed: &[u8], encoding: Option<&str>) -> Vec<u8> {
    let (prefix, message) = framed.split_first_chunk::<PREFIX_LEN>().expect("a prefix");
    let prefix = grpc::Prefix::parse(*prefix).expect("a flag of 0 or 1");
    assert_eq!(prefix.len as usize, message.len(), "one message");
    if !prefix.compressed {
        return message.to_vec();
    }
    let encoding = encoding.and_then(Encoding::from_grpc).expect("a compression with a name");
    inflate(encoding, message, 64 << 20).expect("a compressed message")
}

/// Answers with OK (and the number of items rejected), or with a status.
fn answer(respond: &mut SendResponse<Bytes>, status: &Result<u64, Status>) -> Result<(), h2::Error> {
    let mut head = Response::new(());
    head.headers_mut().insert(header::CONTENT_TYPE, grpc::CONTENT_TYPE);
    match status {
        Err(status) => {
            head.headers_mut().extend(status.to_headers());
            respond.send_response(head, true)?;
        }
        Ok(rejected) => {
            let mut send: SendStream<Bytes> = respond.send_response(head, false)?;
            send.send_data(framed(&partial_success(*rejected)), false)?;
            send.send_trailers(Status::ok().to_headers())?;
        }
    }
    Ok(())
}

/// A response with a partial success, which has the same fields for each signal; empty if nothing was rejected.
fn partial_success(rejected: u64) -> Vec<u8> {
    use opentelemetry_proto::tonic::collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceResponse,
    };
    use prost::Message as _;
    let partial_success = (rejected > 0).then(|| ExportTracePartialSuccess {
        rejected_spans: i64::try_from(rejected).unwrap_or(i64::MAX),
        error_message: "scripted".to_owned(),
    });
    ExportTraceServiceResponse { partial_success }.encode_to_vec()
}

fn framed(message: &[u8]) -> Bytes {
    let prefix = grpc::Prefix::new(false, message.len()).expect("a short message");
    [&prefix.to_bytes()[..], message].concat().into()
}

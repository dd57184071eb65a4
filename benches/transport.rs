//! What one gRPC message costs in transport: tonic's server and channel beside hyper and h2 as ringway uses them.
//!
//! `cargo bench --bench transport`. A unary call with a message of the given size and an empty reply, over loopback,
//! four connections with four calls in flight each. The message's bytes are handled the same way everywhere (copied once
//! into a contiguous buffer, no decoding), so only the transport differs. Each server has a thread with a runtime of
//! its own, all clients share another one; the figures are CPU nanoseconds of these threads for each message, kernel
//! included, as the lower quartile of interleaved rounds, since what disturbs a round only adds to it. **Compare the
//! ratios**: absolute figures vary by 10 % and more, and on loopback the sender also pays for the receiver's part of
//! TCP.
//!
//! glibc gives the memory of large messages back to the system and takes it again, page by page, which costs two to
//! three times as much as everything else and hits one variant or the other by chance. The benchmark therefore starts
//! itself again with thresholds that stop this; with `GLIBC_TUNABLES=` in the environment it runs as it is.
//!
//! Without `--bench`, as under `cargo test
//! --benches`, each pair exchanges a few messages, to see that it works.
#![allow(missing_docs, clippy::expect_used, clippy::print_stdout, reason = "a benchmark")]

use std::{
    convert::Infallible,
    future::{Future, poll_fn, ready},
    net::SocketAddr,
    pin::Pin,
    sync::mpsc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, Request, Response, Uri, header};
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use ringway::{
    net::{
        client::Channel,
        dial::Dialer,
        grpc::{self, Code, Prefix, Status},
        listen,
    },
    tasks::Tasks,
};
use tokio::{io::BufReader, net::TcpListener, net::TcpStream, runtime::Runtime};
use tonic::{
    codegen::Service,
    server::NamedService,
    transport::{Endpoint, server::TcpIncoming},
};

#[path = "support/cpu.rs"]
mod cpu;

const PATH: &str = "/bench.Sink/Export";
const CONNECTIONS: usize = 4;
/// Calls in flight on each connection.
const IN_FLIGHT: usize = 4;
const ROUNDS: usize = 31;

const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 2 << 20;
const LARGE: usize = 64 * 1024;

/// Message sizes, as 23, 100 and 512 spans make, and messages of one slice.
const SIZES: [(usize, usize); 3] = [(10_000, 1600), (44_000, 800), (225_000, 240)];

/// How a server reads.
#[derive(Clone, Copy, PartialEq)]
struct Reading {
    frame: usize,
    buffer: Option<usize>,
}

const DEFAULT: Reading = Reading { frame: 16 * 1024, buffer: None };
const BUFFERED: Reading = Reading { buffer: Some(LARGE), ..DEFAULT };

#[derive(Clone, Copy, PartialEq)]
enum ServerKind {
    Tonic(Reading),
    Hyper(Reading),
}

const SERVERS: [(&str, ServerKind); 5] = [
    ("tonic", ServerKind::Tonic(DEFAULT)),
    ("hyper", ServerKind::Hyper(DEFAULT)),
    ("hyper, 64 KiB read buffer", ServerKind::Hyper(BUFFERED)),
    ("hyper, 64 KiB frames", ServerKind::Hyper(Reading { frame: LARGE, ..DEFAULT })),
    ("hyper, both", ServerKind::Hyper(Reading { frame: LARGE, ..BUFFERED })),
];

const CLIENTS: [&str; 3] = ["tonic", "hyper", "ringway (h2)"];

/// The server that clients are compared with.
const CLIENTS_SERVER: usize = 4;
/// The client that servers are compared with.
const SERVERS_CLIENT: usize = 2;

struct Server {
    address: SocketAddr,
    thread: cpu::Thread,
}

#[derive(Clone)]
enum Client {
    Tonic(tonic::transport::Channel),
    Hyper(hyper::client::conn::http2::SendRequest<Full<Bytes>>, Uri),
    Ringway(Channel),
}

/// CPU nanoseconds for each message.
#[derive(Default)]
struct Samples {
    server: Vec<f64>,
    client: Vec<f64>,
}

/// See the file's head; glibc manual, "Memory Allocation Tunables".
const TUNABLES: &str = "glibc.malloc.mmap_threshold=16777216:glibc.malloc.trim_threshold=134217728";

fn main() {
    if std::env::var_os("GLIBC_TUNABLES").is_none() {
        let this = std::env::current_exe().expect("the path of this program");
        let again = std::process::Command::new(this)
            .args(std::env::args_os().skip(1))
            .env("GLIBC_TUNABLES", TUNABLES)
            .status();
        assert!(again.expect("this program starts").success());
        return;
    }
    let measure = std::env::args().any(|arg| arg == "--bench");
    let servers: Vec<_> = SERVERS.iter().map(|(_, kind)| start(*kind)).collect();
    let runtime = runtime();
    println!(
        "CPU ns a message, lower quartile of {ROUNDS} rounds; as a ratio to the first line of its block"
    );
    for (size, messages) in SIZES {
        let (rounds, messages) = if measure { (ROUNDS, messages) } else { (1, CONNECTIONS * IN_FLIGHT) };
        runtime.block_on(compare(&servers, size, messages, rounds));
    }
}

/// Measures one message size and prints its block.
async fn compare(servers: &[Server], size: usize, messages: usize, rounds: usize) {
    let body = message(size);
    let mut by_server: Vec<(Vec<Client>, &Server, Samples)> = Vec::new();
    for server in servers {
        by_server.push((connect_all(SERVERS_CLIENT, server).await, server, Samples::default()));
    }
    let mut by_client: Vec<(Vec<Client>, &Server, Samples)> = Vec::new();
    for client in 0..CLIENTS.len() {
        let server = &servers[CLIENTS_SERVER];
        by_client.push((connect_all(client, server).await, server, Samples::default()));
    }
    let here = cpu::Thread::current();
    for round in 0..=rounds {
        for (clients, server, samples) in by_server.iter_mut().chain(&mut by_client) {
            let before = (server.thread.cpu_nanos(), here.cpu_nanos());
            exchange(clients, &body, messages).await;
            // The first round warms up.
            if round > 0 {
                samples.server.push((server.thread.cpu_nanos() - before.0) as f64 / messages as f64);
                samples.client.push((here.cpu_nanos() - before.1) as f64 / messages as f64);
            }
        }
    }
    println!("\n{size} bytes\n  server ({} client)", CLIENTS[SERVERS_CLIENT]);
    let names = SERVERS.iter().map(|(name, _)| *name);
    print(names.zip(by_server.iter_mut().map(|(_, _, samples)| cpu::lower_quartile(&mut samples.server))));
    println!("  client ({} server)", SERVERS[CLIENTS_SERVER].0);
    let quartiles = by_client.iter_mut().map(|(_, _, samples)| cpu::lower_quartile(&mut samples.client));
    print(CLIENTS.into_iter().zip(quartiles));
}

fn print<'a>(rows: impl Iterator<Item = (&'a str, f64)>) {
    let mut first = None;
    for (name, nanos) in rows {
        let base = *first.get_or_insert(nanos);
        println!("    {name:<28}{nanos:>9.0}  ({:.2})", nanos / base);
    }
}

/// Sends that many messages over all connections.
async fn exchange(clients: &[Client], body: &Bytes, messages: usize) {
    let lanes = clients.iter().cycle().take(CONNECTIONS * IN_FLIGHT).map(|client| async {
        for _ in 0..messages / (CONNECTIONS * IN_FLIGHT) {
            client.clone().call(body.clone()).await;
        }
    });
    join_all(lanes).await;
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A framed message of pseudo-random bytes.
fn message(size: usize) -> Bytes {
    let mut random = fastrand::Rng::with_seed(7);
    let prefix = Prefix::new(false, size).expect("below 4 GiB").to_bytes();
    prefix.into_iter().chain(std::iter::repeat_with(|| random.u8(..)).take(size)).collect()
}

// === servers ===

/// Starts a server on a thread of its own; it ends with the process.
fn start(kind: ServerKind) -> Server {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        runtime().block_on(async {
            let listener = listen::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("bound");
            sender.send(Server { address, thread: cpu::Thread::current() }).expect("the main thread waits");
            match kind {
                ServerKind::Tonic(reading) => serve_tonic(listener, reading).await,
                ServerKind::Hyper(reading) => serve_hyper(listener, reading).await,
            }
        });
    });
    receiver.recv().expect("the server starts")
}

async fn serve_tonic(listener: TcpListener, reading: Reading) {
    tonic::transport::Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(reading.frame as u32)
        .add_service(Sink)
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await
        .expect("serving");
}

async fn serve_hyper(listener: TcpListener, reading: Reading) {
    let tasks = Tasks::new();
    loop {
        let (socket, _) = listen::accept(&listener).await;
        match reading.buffer {
            Some(size) => {
                let socket = TokioIo::new(BufReader::with_capacity(size, socket));
                tasks.spawn("connection", serve_connection(socket, reading))
            }
            None => tasks.spawn("connection", serve_connection(TokioIo::new(socket), reading)),
        };
    }
}

async fn serve_connection<I>(socket: I, reading: Reading)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let service =
        service_fn(|request: Request<Incoming>| async { Ok::<_, Infallible>(answer(request).await) });
    let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(reading.frame as u32)
        .auto_date_header(false)
        .serve_connection(socket, service)
        .await;
    drop(served);
}

/// Takes the message into one buffer, as the receiver does, and answers with an empty one.
async fn answer<B>(request: Request<B>) -> Response<impl Body<Data = Bytes, Error = Infallible>>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Debug,
{
    let mut body = request.into_body();
    let mut message: Vec<u8> = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.expect("the client sends").into_data() else { continue };
        if message.is_empty() {
            let prefix = data.first_chunk().and_then(|prefix| Prefix::parse(*prefix).ok());
            message.reserve_exact(grpc::PREFIX_LEN + prefix.map_or(0, |prefix| prefix.len as usize));
        }
        message.extend_from_slice(&data);
    }
    std::hint::black_box(message);
    let trailers: Option<Result<HeaderMap, Infallible>> = Some(Ok(Status::ok().to_headers()));
    let reply = Full::new(Bytes::from_static(&[0; grpc::PREFIX_LEN])).with_trailers(ready(trailers));
    let mut response = Response::new(reply);
    response.headers_mut().insert(header::CONTENT_TYPE, grpc::CONTENT_TYPE);
    response
}

/// [`answer`] as a tower service, which is how tonic takes requests without a codec.
#[derive(Clone)]
struct Sink;

impl NamedService for Sink {
    const NAME: &'static str = "bench.Sink";
}

impl Service<Request<tonic::body::Body>> for Sink {
    type Response = Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        Box::pin(async { Ok(answer(request).await.map(tonic::body::Body::new)) })
    }
}

// === clients ===

async fn connect_all(client: usize, server: &Server) -> Vec<Client> {
    join_all((0..CONNECTIONS).map(|_| connect(client, server))).await
}

/// A client by its place in [`CLIENTS`].
async fn connect(client: usize, server: &Server) -> Client {
    let address = server.address;
    match client {
        0 => {
            let endpoint = Endpoint::from_shared(format!("http://{address}"))
                .expect("a URL")
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW);
            Client::Tonic(endpoint.connect().await.expect("connected"))
        }
        1 => {
            let socket = TcpStream::connect(address).await.expect("connected");
            socket.set_nodelay(true).expect("a socket");
            let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .handshake(TokioIo::new(socket))
                .await
                .expect("HTTP/2");
            Tasks::new().spawn("connection", connection);
            Client::Hyper(sender, format!("http://{address}{PATH}").parse().expect("a URL"))
        }
        _ => Client::Ringway(Channel::new(
            &address.to_string(),
            HeaderMap::new(),
            Dialer::default(),
            Tasks::new(),
        )),
    }
}

impl Client {
    async fn call(self, body: Bytes) {
        match self {
            Self::Tonic(mut channel) => {
                poll_fn(|cx| channel.poll_ready(cx)).await.expect("connected");
                let request = request(Uri::from_static(PATH), tonic::body::Body::new(Full::new(body)));
                check(channel.call(request).await.expect("a response")).await;
            }
            Self::Hyper(mut sender, uri) => {
                let request = request(uri, Full::new(body));
                check(sender.send_request(request).await.expect("a response")).await;
            }
            Self::Ringway(channel) => {
                let reply = channel.unary(PATH, None, body, None, None).await.expect("a reply");
                assert_eq!(reply.status.code, Code::Ok);
            }
        }
    }
}

fn request<B>(uri: Uri, body: B) -> Request<B> {
    let mut request = Request::new(body);
    *request.method_mut() = http::Method::POST;
    *request.version_mut() = http::Version::HTTP_2;
    *request.uri_mut() = uri;
    request.headers_mut().insert(header::CONTENT_TYPE, grpc::CONTENT_TYPE);
    request.headers_mut().insert(header::TE, header::HeaderValue::from_static("trailers"));
    request
}

async fn check<B: Body>(response: Response<B>)
where
    B::Error: std::fmt::Debug,
{
    let body = response.into_body().collect().await.expect("a body");
    let status = body.trailers().and_then(Status::from_headers).expect("a status");
    assert_eq!(status.code, Code::Ok);
}

//! Calls against scripted HTTP/2 servers on loopback: `server` answers through h2, `raw` writes frames itself to do
//! what h2's server would not.
//!
//! Clocks are paused only while nothing has to arrive over a socket: the paused clock jumps as soon as all tasks wait.

mod raw;
mod server;

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use tokio::net::TcpListener;

use self::{
    raw::raw_server,
    server::{Call, Server, framed},
};
use super::*;
use crate::{
    model::settings::Compression,
    net::{compression::Compressor, grpc::Code},
};

const PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// Longer than any test takes, so that it never decides one.
const LONG: Option<Duration> = Some(Duration::from_secs(60));

fn channel(address: &str) -> Channel {
    Channel::new(address, HeaderMap::new(), Dialer::default(), Tasks::new())
}

async fn call(channel: &Channel, timeout: Option<Duration>) -> Result<Reply, CallError> {
    channel.unary(PATH, None, framed(false, b"request"), None, timeout).await
}

#[track_caller]
fn check_ok(reply: Result<Reply, CallError>, message: &[u8]) {
    let reply = reply.unwrap();
    assert_eq!((reply.status, reply.message.as_ref()), (Status::ok(), message));
}

#[track_caller]
fn check_status(reply: Result<Reply, CallError>, code: Code, message: &str) {
    let reply = reply.unwrap();
    assert_eq!((reply.status.code, reply.status.message.as_str()), (code, message));
    assert!(reply.message.is_empty());
}

#[track_caller]
fn check_not_sent(reply: Result<Reply, CallError>, text: &str) {
    match reply {
        Err(CallError::NotSent(error)) => assert!(error.contains(text), "{error:?}, expected {text:?}"),
        other => panic!("{other:?}, expected not sent: {text}"),
    }
}

#[track_caller]
fn check_broken(reply: Result<Reply, CallError>) {
    assert!(matches!(reply, Err(CallError::Broken(_))), "{reply:?}");
}

// === requests and replies ===

// Scenario: a call with headers of its own, some of which gRPC or HTTP/2 owns.
// Guarantees: the peer sees a valid gRPC request with exactly one value each, the message whole, and the time left.
#[tokio::test]
async fn request_is_grpc() {
    let server = Server::start(async |mut call: Call| {
        let (head, body) = call.read().await;
        let text = |name: &str| {
            let values: Vec<_> =
                head.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect();
            values.join("+")
        };
        assert_eq!(head.method, Method::POST);
        assert_eq!(head.uri.path(), PATH);
        assert_eq!(head.uri.authority().unwrap().as_str(), text("x-address"));
        assert_eq!(text("content-type"), "application/grpc");
        assert_eq!(text("te"), "trailers");
        assert_eq!(text("user-agent"), concat!("ringway/", env!("CARGO_PKG_VERSION")));
        assert_eq!(text("grpc-encoding"), "gzip");
        assert_eq!(text("grpc-accept-encoding"), "gzip,zstd,snappy");
        assert_eq!(text("x-tenant"), "a+b");
        let left = grpc::parse_timeout(&head.headers["grpc-timeout"]).unwrap();
        assert!(left <= Duration::from_secs(60) && left > Duration::from_secs(30), "{left:?}");
        call.ok(&body).await;
    })
    .await;
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("x-tenant", "a"),
        ("x-tenant", "b"),
        ("x-address", server.address()),
        ("user-agent", "mine"),
        ("grpc-encoding", "none"),
        ("connection", "close"),
        ("content-length", "3"),
    ] {
        headers.append(name, value.parse().unwrap());
    }
    let channel = Channel::new(server.address(), headers, Dialer::default(), Tasks::new());
    let body = framed(true, b"compressed elsewhere");
    check_ok(channel.unary(PATH, Some("gzip"), body.clone(), None, LONG).await, &body);
}

// Scenario: a message of 4 MiB, far above every initial window, to a peer that reads it slowly in small pieces.
// Guarantees: flow control is obeyed and every byte arrives in order.
#[tokio::test]
async fn large_messages_are_paced() {
    let server = Server::start(async |mut call: Call| {
        let (_, body) = call.read().await;
        call.ok(&crc32fast::hash(&body).to_le_bytes()).await;
    })
    .await;
    let message: Vec<u8> = (0..4_u32 << 20).map(|at| ((at * 31) >> 8) as u8).collect();
    let body = framed(false, &message);
    let reply = channel(server.address()).unary(PATH, None, body.clone(), None, LONG).await;
    check_ok(reply, &crc32fast::hash(&body).to_le_bytes());
}

// Scenario: the peer refuses with a status in the headers, and a delay in its details; it does not read the message.
// Guarantees: status and delay are read; the connection stays usable for the next call.
#[tokio::test]
async fn trailers_only_status_is_read() {
    let status = Status {
        retry_delay: Some(Duration::from_millis(1500)),
        ..Status::new(Code::ResourceExhausted, "queue is full: 100%")
    };
    let expect = status.clone();
    let server = Server::start(move |mut call: Call| {
        let status = status.clone();
        async move { call.trailers_only(&status) }
    })
    .await;
    let channel = channel(server.address());
    for len in [7, 1 << 20] {
        let reply = channel.unary(PATH, None, framed(false, &vec![0; len]), None, LONG).await.unwrap();
        assert_eq!(reply.status, expect);
    }
    assert_eq!(server.connections(), 1);
}

// Scenario: replies compressed with each algorithm that the request offered.
// Guarantees: the message comes back plain.
#[tokio::test]
async fn replies_are_decompressed() {
    for compression in [Compression::Gzip, Compression::Zstd, Compression::Snappy] {
        let plain = b"partial success ".repeat(100);
        let mut message = Vec::new();
        Compressor::new(compression).compress(&plain, &mut message);
        let encoding = compression.encoding().unwrap();
        let message = framed(true, &message);
        let server = Server::start(move |mut call: Call| {
            let frames = [message.clone()];
            async move { call.reply(&[("grpc-encoding", encoding)], &frames, Some(Status::ok())).await }
        })
        .await;
        check_ok(call(&channel(server.address()), LONG).await, &plain);
    }
}

/// One call to a server that replies with these headers, frames and trailers.
async fn reply_of(
    headers: &'static [(&'static str, &'static str)],
    frames: Vec<Bytes>,
    trailers: Option<Status>,
) -> Result<Reply, CallError> {
    let server = Server::start(move |mut call: Call| {
        let (frames, trailers) = (frames.clone(), trailers.clone());
        async move { call.reply(headers, &frames, trailers).await }
    })
    .await;
    call(&channel(server.address()), LONG).await
}

// Scenario: replies in pieces, without a message, and with an error after a message.
// Guarantees: pieces are joined; no message is an empty one; the trailers decide.
#[tokio::test]
async fn replies_are_put_together() {
    let whole = framed(false, b"0123456789");
    let pieces = whole.chunks(4).map(Bytes::copy_from_slice).collect();
    check_ok(reply_of(&[], pieces, Some(Status::ok())).await, b"0123456789");
    check_ok(reply_of(&[], vec![], Some(Status::ok())).await, b"");
    check_ok(reply_of(&[("content-type", "application/grpc+proto")], vec![], Some(Status::ok())).await, b"");
    let failed = Status::new(Code::Aborted, "after the message");
    check_status(reply_of(&[], vec![whole], Some(failed)).await, Code::Aborted, "after the message");
}

// Scenario: replies that are not gRPC, break its framing, or are too large.
// Guarantees: each gets the code that grpc-go gives; nothing grows above the limit.
#[tokio::test]
async fn unusable_replies_have_a_code() {
    let ok = || Some(Status::ok());
    let page = || vec![Bytes::from_static(b"<html>")];
    check_status(
        reply_of(&[(":status", "503")], page(), None).await,
        Code::Unavailable,
        "unexpected HTTP status code 503 Service Unavailable",
    );
    check_status(
        reply_of(&[("content-type", "text/html")], page(), None).await,
        Code::Unknown,
        "unexpected content type \"text/html\"",
    );
    check_status(
        reply_of(&[], vec![Bytes::from_static(&[0, 0, 0])], ok()).await,
        Code::Internal,
        "unexpected EOF",
    );
    check_status(
        reply_of(&[], vec![Bytes::from_static(&[7, 0, 0, 0, 0])], ok()).await,
        Code::Internal,
        "received unexpected payload format 7",
    );
    check_status(
        reply_of(&[], vec![framed(false, b"one"), framed(false, b"two")], ok()).await,
        Code::Internal,
        "expected one message of 3 bytes, got 11",
    );
    check_status(
        reply_of(&[], vec![framed(true, b"one")], ok()).await,
        Code::Internal,
        "compressed flag set with encoding \"identity\"",
    );
    check_status(
        reply_of(&[("grpc-encoding", "gzip")], vec![framed(true, b"no gzip at all")], ok()).await,
        Code::Internal,
        "failed to decompress the message: gzip: invalid header",
    );
    check_status(
        reply_of(&[], vec![framed(false, &vec![0; (4 << 20) + 1])], ok()).await,
        Code::ResourceExhausted,
        "received message larger than max 4194304",
    );
}

// Scenario: the stream ends properly, but without a status.
// Guarantees: an unknown outcome is not taken for an answer.
#[tokio::test]
async fn missing_status_is_ambiguous() {
    check_broken(reply_of(&[], vec![framed(false, b"x")], None).await);
}

// === safe or ambiguous ===

// Scenario: the peer resets the stream, for each of several reasons.
// Guarantees: only REFUSED_STREAM says that nothing was processed.
#[tokio::test]
async fn resets_are_sorted() {
    for (reason, safe) in [
        (Reason::REFUSED_STREAM, true),
        (Reason::CANCEL, false),
        (Reason::INTERNAL_ERROR, false),
        (Reason::ENHANCE_YOUR_CALM, false),
        (Reason::NO_ERROR, false),
    ] {
        let server = Server::start(move |mut call: Call| async move { call.reset(reason) }).await;
        let reply = call(&channel(server.address()), LONG).await;
        if safe { check_not_sent(reply, "refused") } else { check_broken(reply) }
    }
}

// Scenario: the peer says GOAWAY with a last stream below the call's, or at it and then closes; or just closes.
// Guarantees: only a call above the last stream is safe to repeat.
#[tokio::test]
async fn goaway_is_sorted() {
    for (goaway, safe) in [(Some(0), true), (Some(1), false), (None, false)] {
        let address = raw_server(goaway).await;
        let reply = call(&channel(&address), LONG).await;
        if safe { check_not_sent(reply, "") } else { check_broken(reply) }
    }
}

// Scenario: the peer shuts down gracefully while a call is in flight.
// Guarantees: the call ends well on its connection; the next one gets a new connection.
#[tokio::test]
async fn graceful_shutdown_finishes_calls() {
    let server = Server::start(async |mut call: Call| {
        call.shut_down_first().await;
        let connection = call.connection;
        call.ok(&[connection]).await;
    })
    .await;
    let channel = channel(server.address());
    check_ok(call(&channel, LONG).await, &[1]);
    check_ok(call(&channel, LONG).await, &[2]);
    check_ok(call(&channel, LONG).await, &[3]);
}

// Scenario: nobody listens; then someone does.
// Guarantees: the failure is safe and names the address; the next call connects.
#[tokio::test]
async fn refused_connections_are_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let channel = channel(&address.to_string());
    check_not_sent(call(&channel, LONG).await, &format!("cannot connect to {address}: Connection refused"));

    let listener = TcpListener::bind(address).await.unwrap();
    let _server = Server::on(listener, async |mut call: Call| call.ok(b"up").await);
    check_ok(call(&channel, LONG).await, b"up");
}

// Scenario: the peer goes away between two calls and comes back on the same port.
// Guarantees: the next call uses a new connection, the caller notices nothing.
#[tokio::test]
async fn restarted_peers_are_found_again() {
    let server = Server::start(async |mut call: Call| call.ok(b"first").await).await;
    let address = server.address().to_owned();
    let tasks = Tasks::new();
    let channel = Channel::new(&address, HeaderMap::new(), Dialer::default(), tasks.clone());
    check_ok(call(&channel, LONG).await, b"first");
    server.stop().await;
    while tasks.running() > 0 {
        // The end of the connection is on its way to the task that reads it.
        tokio::task::yield_now().await;
    }
    let _server = Server::on(TcpListener::bind(&address).await.unwrap(), async |mut call: Call| {
        call.ok(b"second").await
    });
    check_ok(call(&channel, LONG).await, b"second");
}

// Scenario: peers that accept the connection and then close it, or answer in HTTP/1.
// Guarantees: no request is given to them.
#[tokio::test]
async fn peers_without_http2_get_nothing() {
    for answer in [&b""[..], b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let tasks = Tasks::new();
        tasks.spawn("peer", async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut socket, answer).await.unwrap();
        });
        check_not_sent(call(&channel(&address), LONG).await, "cannot connect to 127.0.0.1:");
    }
}

// Scenario: addresses that this client does not serve, or that are none.
// Guarantees: a safe failure that says what is wrong; `http://` is taken off.
#[tokio::test]
async fn unusable_addresses_say_so() {
    for (address, text) in [
        ("https://h:1", "cannot connect to https://h:1: TLS is not supported yet"),
        ("unix:relative", "not of the form host:port or unix:///path"),
        ("h", "cannot connect to h: not of the form host:port"),
        ("", "not of the form host:port"),
        ("host.invalid:1", "cannot resolve host.invalid:1: "),
    ] {
        check_not_sent(call(&channel(address), LONG).await, text);
    }
    let server = Server::start(async |mut call: Call| call.ok(b"").await).await;
    check_ok(call(&channel(&format!("http://{}", server.address())), LONG).await, b"");
}

// Scenario: a name that may have several addresses, of which only the IPv4 one listens.
// Guarantees: addresses are tried one after the other.
#[tokio::test]
async fn every_address_is_tried() {
    let server = Server::start(async |mut call: Call| call.ok(b"").await).await;
    let port = server.address().rsplit(':').next().unwrap().to_owned();
    check_ok(call(&channel(&format!("localhost:{port}")), LONG).await, b"");
}

// === time ===

// Scenario: the peer takes the request and never answers.
// Guarantees: the deadline ends the call as ambiguous; the next call does not trust that connection.
#[tokio::test]
async fn silent_peers_run_into_the_deadline() {
    let server = Server::start(async |mut call: Call| {
        // Each connection answers its first call only.
        let connection = call.connection;
        if call.number == 1 { call.ok(&[connection]).await } else { std::future::pending().await }
    })
    .await;
    let channel = channel(server.address());
    check_ok(call(&channel, LONG).await, &[1]);
    tokio::time::pause();
    let start = Instant::now();
    let reply = call(&channel, Some(Duration::from_secs(5))).await;
    assert!(matches!(reply, Err(CallError::Deadline)), "{reply:?}");
    assert_eq!(start.elapsed().as_secs(), 5);
    tokio::time::resume();
    check_ok(call(&channel, LONG).await, &[2]);
}

// Scenario: one call gets no answer while another one on the connection does.
// Guarantees: a slow answer is no reason to leave a connection that works.
#[tokio::test]
async fn slow_answers_keep_the_connection() {
    let server = Server::start(async |mut call: Call| {
        let connection = call.connection;
        if call.number == 2 { std::future::pending().await } else { call.ok(&[connection]).await }
    })
    .await;
    let channel = channel(server.address());
    check_ok(call(&channel, LONG).await, &[1]);
    let (slow, other) = tokio::join!(call(&channel, Some(Duration::from_millis(200))), call(&channel, LONG));
    assert!(matches!(slow, Err(CallError::Deadline)), "{slow:?}");
    check_ok(other, &[1]);
    check_ok(call(&channel, LONG).await, &[1]);
}

// Scenario: a socket that the kernel accepts, behind which nobody speaks.
// Guarantees: the deadline passes while nothing was sent, so the call is safe to repeat elsewhere.
#[tokio::test(start_paused = true)]
async fn mute_sockets_get_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let channel = channel(&address);
    check_not_sent(call(&channel, Some(Duration::from_secs(1))).await, "while waiting for a connection");
    // Without a deadline of the call, the attempt's own limit ends the wait.
    let start = Instant::now();
    check_not_sent(call(&channel, None).await, "timed out");
    assert!(start.elapsed() <= Duration::from_secs(20), "{:?}", start.elapsed());
}

// Scenario: the peer allows one stream, which a call without an answer holds.
// Guarantees: another call waits, and its deadline finds it unsent; the first one is ambiguous.
#[tokio::test]
async fn calls_wait_for_free_streams() {
    let server = Server::with_streams(1, async |mut call: Call| {
        if call.number == 1 { call.ok(b"").await } else { std::future::pending().await }
    })
    .await;
    let channel = channel(server.address());
    check_ok(call(&channel, LONG).await, b"");
    tokio::time::pause();
    let (first, second) = tokio::join!(
        call(&channel, Some(Duration::from_secs(5))),
        call(&channel, Some(Duration::from_secs(2)))
    );
    assert!(matches!(first, Err(CallError::Deadline)), "{first:?}");
    check_not_sent(second, "while waiting for a free stream");
}

// Scenario: more calls at once than the peer allows streams.
// Guarantees: all of them end well.
#[tokio::test]
async fn calls_above_the_stream_limit_are_served() {
    let server = Server::with_streams(2, async |mut call: Call| call.ok(b"").await).await;
    let channel = channel(server.address());
    for reply in join_all((0..20).map(|_| call(&channel, LONG))).await {
        check_ok(reply, b"");
    }
}

// === sharing ===

// Scenario: many calls find no connection at once; clones of the channel are among the callers.
// Guarantees: one connection is made for all.
#[tokio::test]
async fn callers_share_one_connection() {
    let server = Server::start(async |mut call: Call| call.ok(b"").await).await;
    let channel = channel(server.address());
    let clones: Vec<_> = (0..50).map(|_| channel.clone()).collect();
    for reply in join_all(clones.iter().map(|channel| call(channel, LONG))).await {
        check_ok(reply, b"");
    }
    assert_eq!(server.connections(), 1);
}

// Scenario: many calls wait for a connection that fails.
// Guarantees: one attempt fails all of them; it is not repeated for each.
#[tokio::test]
async fn callers_share_a_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let attempts = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&attempts);
    let tasks = Tasks::new();
    tasks.spawn("peer", async move {
        while let Ok((socket, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::Relaxed);
            drop(socket);
        }
    });
    let channel = channel(&address);
    for reply in join_all((0..20).map(|_| call(&channel, LONG))).await {
        check_not_sent(reply, "cannot connect");
    }
    assert_eq!(attempts.load(Ordering::Relaxed), 1);
}

// Scenario: a caller gives up while its request is in flight.
// Guarantees: the peer is told (CANCEL), and the channel goes on.
#[tokio::test]
async fn dropped_calls_are_reset() {
    let (seen, mut reset) = tokio::sync::mpsc::channel(1);
    let server = Server::start(move |mut call: Call| {
        let seen = seen.clone();
        async move {
            if call.number == 1 {
                seen.send(None).await.unwrap();
                seen.send(Some(call.wait_for_reset().await)).await.unwrap();
            } else {
                call.ok(b"next").await;
            }
        }
    })
    .await;
    let channel = channel(server.address());
    let arrived = tokio::select! {
        reply = call(&channel, LONG) => panic!("{reply:?}"),
        arrived = reset.recv() => arrived,
    };
    assert_eq!(arrived, Some(None));
    assert_eq!(reset.recv().await, Some(Some(Reason::CANCEL)));
    check_ok(call(&channel, LONG).await, b"next");
}

// Scenario: the last clone of a channel is dropped.
// Guarantees: its tasks end, so that a drain that waits for them ends too.
#[tokio::test]
async fn dropped_channels_leave_no_task() {
    let server = Server::start(async |mut call: Call| call.ok(b"").await).await;
    let tasks = Tasks::new();
    let channel = Channel::new(server.address(), HeaderMap::new(), Dialer::default(), tasks.clone());
    check_ok(call(&channel, LONG).await, b"");
    assert_eq!(tasks.running(), 1);
    drop(channel);
    tokio::time::timeout(Duration::from_secs(60), tasks.ended()).await.unwrap();
}

// Scenario: a server behind a Unix socket; then nobody behind one.
// Guarantees: a call reaches it, for the authority that grpc-go names there; a missing socket is a call that was not sent.
#[tokio::test]
async fn a_unix_socket_is_called() {
    let path = std::env::temp_dir().join(format!("ringway-client-{}.sock", std::process::id()));
    // The name is ours alone; what is there is left from a run that was killed.
    drop(std::fs::remove_file(&path));
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let address = format!("unix://{}", path.display());
    let serve = async {
        let (socket, _) = listener.accept().await.unwrap();
        let mut http2 = h2::server::handshake(socket).await.unwrap();
        let (request, mut respond) = http2.accept().await.unwrap().unwrap();
        let mut head = http::Response::new(());
        *head.headers_mut() = Status::ok().to_headers();
        head.headers_mut().insert(header::CONTENT_TYPE, grpc::CONTENT_TYPE);
        respond.send_response(head, true).unwrap();
        let authority = request.uri().authority().unwrap().to_string();
        // A connection stays open for as long as somebody holds a stream of it.
        drop((request, respond));
        while http2.accept().await.is_some() {}
        authority
    };
    let call = async {
        let channel = channel(&address);
        check_ok(call(&channel, LONG).await, b"");
    };
    let (authority, ()) = tokio::join!(serve, call);
    assert_eq!(authority, "localhost");
    std::fs::remove_file(&path).unwrap();
    check_not_sent(call_once(&address).await, &format!("cannot connect to unix:{}", path.display()));
}

async fn call_once(address: &str) -> Result<Reply, CallError> {
    call(&channel(address), LONG).await
}

// Scenario: headers of one call, over those of its channel.
// Guarantees: they replace the channel's of the same name, all of their values, and touch no other.
#[tokio::test]
async fn a_call_has_headers_of_its_own() {
    let (seen, mut heads) = tokio::sync::mpsc::channel(2);
    let server = Server::start(move |mut call: Call| {
        let seen = seen.clone();
        async move {
            let (head, _) = call.read().await;
            seen.send(head.headers).await.unwrap();
            call.ok(b"").await;
        }
    })
    .await;
    let mut usual = HeaderMap::new();
    usual.insert("tenant", HeaderValue::from_static("usual"));
    usual.insert("zone", HeaderValue::from_static("eu"));
    let channel = Channel::new(server.address(), usual, Dialer::default(), Tasks::new());
    let mut own = HeaderMap::new();
    own.append("tenant", HeaderValue::from_static("a"));
    own.append("tenant", HeaderValue::from_static("b"));
    for (headers, tenants) in [(Some(&own), vec!["a", "b"]), (None, vec!["usual"])] {
        check_ok(channel.unary(PATH, None, framed(false, b"request"), headers, LONG).await, b"");
        let head = heads.recv().await.unwrap();
        assert_eq!(head.get_all("tenant").iter().collect::<Vec<_>>(), tenants);
        assert_eq!(head.get("zone").unwrap(), "eu");
    }
}

//! The life of gRPC connections: probes, idleness, age; and gRPC over a Unix socket.

use std::time::Duration;

use ::http::Request;
use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
    time::Instant,
};

use super::{PATIENCE, Running, plenty, recorded, settings, within};
use crate::{
    model::{Signal, settings::Listen},
    receiver::Receiver,
    tasks::Tasks,
    telemetry::Metrics,
};

const PING: u8 = 6;
const GOAWAY: u8 = 7;

/// A client that greets and says nothing more.
async fn greet(running: &Running) -> TcpStream {
    let mut stream = TcpStream::connect(running.grpc).await.unwrap();
    // The preface and empty SETTINGS, then the acknowledgement of the server's.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    stream.write_all(b"\0\0\0\x04\x01\0\0\0\0").await.unwrap();
    stream
}

/// The next frame of a kind: its payload. `None`: the connection ended before.
async fn frame(stream: &mut TcpStream, wanted: u8) -> Option<Vec<u8>> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.ok()?;
        let [a, b, c, kind, ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload).await.ok()?;
        if kind == wanted {
            return Some(payload);
        }
    }
}

// Scenario: a client that answers nothing, with the clock paused.
// Guarantees: it is probed after the configured silence, and cut after the configured wait; 0 means a second.
#[tokio::test(start_paused = true)]
async fn silent_clients_are_probed_and_cut() {
    for (time, expect) in [(100, 100), (0, 1)] {
        let change = |grpc: &mut settings::GrpcServer| {
            grpc.keepalive.time = Duration::from_secs(time);
            grpc.keepalive.timeout = Duration::from_secs(7);
        };
        let running = Running::grpc_with(change).await;
        let mut stream = greet(&running).await;
        let started = Instant::now();
        assert!(frame(&mut stream, PING).await.is_some());
        assert_eq!(started.elapsed().as_secs(), expect);
        while frame(&mut stream, PING).await.is_some() {}
        assert_eq!(started.elapsed().as_secs(), expect + 7);
        running.end().await;
    }
}

// Scenario: a connection without calls under a limit of idleness, with the clock paused.
// Guarantees: a GOAWAY without an error at the limit, then the end.
#[tokio::test(start_paused = true)]
async fn idle_connections_are_ended() {
    let running = Running::grpc_with(|grpc| grpc.keepalive.max_idle = Some(Duration::from_secs(300))).await;
    let mut stream = greet(&running).await;
    let started = Instant::now();
    let goaway = frame(&mut stream, GOAWAY).await.unwrap();
    assert_eq!((&goaway[4..8], started.elapsed().as_secs()), (&[0; 4][..], 300));
    drop(stream);
    running.end().await;
}

fn export() -> Request<()> {
    Request::post(format!("http://g{}", Signal::Logs.grpc_path()))
        .header("content-type", "application/grpc")
        .header("x-tenant", "a")
        .body(())
        .unwrap()
}

// Scenario: a call takes longer than the age limit of its connection; with a grace that it keeps, and one that it does
// not. The clock is paused.
// Guarantees: no new call is taken after the age; the running one finishes within the grace and is cut after it.
#[tokio::test(start_paused = true)]
async fn old_connections_are_ended() {
    for (grace, finishes) in [(None, true), (Some(50), true), (Some(5), false)] {
        let change = |grpc: &mut settings::GrpcServer| {
            grpc.keepalive.max_age = Some(Duration::from_secs(100));
            grpc.keepalive.max_age_grace = grace.map(Duration::from_secs);
        };
        let running = Running::grpc_with(change).await;
        let stream = TcpStream::connect(running.grpc).await.unwrap();
        // A paused clock does not wait for the kernel's timers.
        stream.set_nodelay(true).unwrap();
        let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
        let connection = Tasks::new().spawn("client", connection);
        let (response, mut body) = sender.send_request(export(), false).unwrap();
        // A byte every 5 s, far below the limit of silence: a paused clock may run ahead of what is on the wire.
        body.send_data(Bytes::from_static(b"\0\0\0\0\x19"), false).unwrap();
        for _ in 0..24 {
            tokio::time::sleep(Duration::from_secs(5)).await;
            body.send_data(Bytes::from_static(b"x"), false).unwrap_or_default();
        }
        // 120 s: above the age with its jitter.
        let refused = match sender.send_request(export(), true) {
            Ok((late, _)) => within(late).await.is_err(),
            Err(_) => true,
        };
        assert!(refused, "the server takes no more calls");
        body.send_data(Bytes::from_static(b"x"), true).unwrap_or_default();
        let answered = match within(response).await {
            Err(_) => false,
            Ok(mut response) => {
                while response.body_mut().data().await.is_some() {}
                let trailers = response.body_mut().trailers().await.unwrap();
                assert_eq!(trailers.unwrap()["grpc-status"], "0");
                true
            }
        };
        assert_eq!(answered, finishes, "{grace:?}");
        within(connection).await.unwrap().unwrap_or_default();
        running.end().await;
    }
}

// Scenario: a gRPC call over a Unix socket, with a header that an exporter forwards.
// Guarantees: it is served, and the header kept; the host is the authority.
#[tokio::test]
async fn unix_sockets_are_served() {
    let path = std::env::temp_dir().join(format!("ringway-grpc-{}.sock", std::process::id()));
    let mut settings = settings();
    settings.http = None;
    let grpc = settings.grpc.as_mut().unwrap();
    grpc.listen = Listen::Unix(path.to_str().unwrap().into());
    grpc.include_metadata = true;
    let (routes, seen) = recorded(&["host", "x-tenant"]);
    let receiver = Receiver::bind(&settings, &routes, &Metrics::new(), &plenty()).await.unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let serving = Tasks::new().spawn("receiver", receiver.serve(stop.clone(), PATIENCE));

    let stream = UnixStream::connect(&path).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = Tasks::new().spawn("client", connection);
    let (response, mut body) = sender.send_request(export(), false).unwrap();
    body.send_data(Bytes::from_static(b"\0\0\0\0\x02ab"), true).unwrap();
    assert_eq!(within(response).await.unwrap().status(), 200);
    let (signal, body, metadata) = seen.lock().unwrap().pop().unwrap();
    assert_eq!((signal, &*body), (Signal::Logs, &b"ab"[..]));
    let kept: Vec<_> = metadata.pairs().iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(kept, [("host", &b"g"[..]), ("x-tenant", b"a")]);

    stop.cancel();
    within(serving).await.unwrap();
    within(connection).await.unwrap().unwrap_or_default();
    assert!(!path.exists());
}

//! How a receiver stops.

use std::time::Duration;

use ::http::Request;
use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{Running, within};
use crate::{
    model::{Code, Delivered, Signal},
    tasks::Tasks,
};

const HALF_REQUEST: &[u8] =
    b"POST /v1/traces HTTP/1.1\r\nHost: g\r\nContent-Type: application/x-protobuf\r\nContent-Length: 4\r\n\r\nab";

/// Reads frames until a GOAWAY comes, and gives its payload. Frames have a head of nine bytes: length, type, flags,
/// stream (RFC 9113, section 4.1).
async fn read_goaway(stream: &mut TcpStream) -> Vec<u8> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let [a, b, c, kind, ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload).await.unwrap();
        if kind == 7 {
            return payload;
        }
    }
}

// Scenario: a stop while a request is half sent over HTTP/1.1, with an idle and an unused connection beside it.
// Guarantees: new connections are refused, the idle ones are closed, the request is answered with `Connection: close`,
// and the receiver ends by itself.
#[tokio::test]
async fn http_requests_in_flight_finish() {
    let running = Running::accepting(1).await;
    let mut busy = TcpStream::connect(running.http).await.unwrap();
    busy.write_all(HALF_REQUEST).await.unwrap();
    let mut idle = TcpStream::connect(running.http).await.unwrap();
    idle.write_all(HALF_REQUEST).await.unwrap();
    idle.write_all(b"cd").await.unwrap();
    let mut answer = [0; 15];
    within(idle.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    let mut unused = TcpStream::connect(running.http).await.unwrap();

    running.stop.cancel();
    let mut rest = Vec::new();
    within(idle.read_to_end(&mut rest)).await.unwrap();
    // Closed, or reset if it was never accepted.
    within(unused.read_to_end(&mut rest)).await.unwrap_or_default();
    while TcpStream::connect(running.http).await.is_ok() {
        within(tokio::task::yield_now()).await;
    }
    busy.write_all(b"cd").await.unwrap();
    let mut answer = String::new();
    within(busy.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.to_lowercase().contains("\r\nconnection: close\r\n"), "{answer}");
    assert_eq!(running.items("http"), (2, 0));
    running.end().await;
}

// Scenario: a stop while a call is half sent over HTTP/2.
// Guarantees: new connections are refused, the call is answered, the connection then ends, and the receiver too.
#[tokio::test]
async fn grpc_calls_in_flight_finish() {
    let running = Running::accepting(1).await;
    let stream = TcpStream::connect(running.grpc).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = Tasks::new().spawn("client", connection);
    let request = Request::post(format!("http://g{}", Signal::Traces.grpc_path()))
        .header("content-type", "application/grpc")
        .body(())
        .unwrap();
    let (response, mut body) = sender.send_request(request, false).unwrap();
    body.send_data(Bytes::from_static(b"\0\0\0\0\x04ab"), false).unwrap();
    // The server takes streams in their order: an answer to a later one shows that it has this one.
    let other = Request::get("http://g/").body(()).unwrap();
    let (answered, _) = sender.send_request(other, true).unwrap();
    assert_eq!(within(answered).await.unwrap().status(), 415);

    running.stop.cancel();
    while TcpStream::connect(running.grpc).await.is_ok() {
        within(tokio::task::yield_now()).await;
    }
    body.send_data(Bytes::from_static(b"cd"), true).unwrap();
    let mut response = within(response).await.unwrap();
    while let Some(chunk) = within(response.body_mut().data()).await {
        chunk.unwrap();
    }
    let trailers = within(response.body_mut().trailers()).await.unwrap().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
    within(connection).await.unwrap().unwrap();
    assert_eq!(running.items("grpc"), (1, 0));
    running.end().await;
}

// Scenario: a stop with an idle HTTP/2 connection.
// Guarantees: the client is told by a GOAWAY without an error, and the connection is closed.
#[tokio::test]
async fn idle_grpc_connections_get_a_goaway() {
    let running = Running::accepting(1).await;
    let mut stream = TcpStream::connect(running.grpc).await.unwrap();
    // The preface and empty SETTINGS, then the acknowledgement of the server's.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut head = [0; 9];
    within(stream.read_exact(&mut head)).await.unwrap();
    assert_eq!(head[3], 4, "SETTINGS come first");
    let mut settings = vec![0; usize::from(head[2])];
    within(stream.read_exact(&mut settings)).await.unwrap();
    stream.write_all(b"\0\0\0\x04\x01\0\0\0\0").await.unwrap();

    running.stop.cancel();
    let goaway = within(read_goaway(&mut stream)).await;
    assert_eq!(&goaway[4..8], &[0; 4], "no error");
    drop(stream);
    running.end().await;
}

// Scenario: a stop with requests that never finish, on both transports, a connection without a preface, and a short
// drain deadline.
// Guarantees: everything is cut at the deadline; the requests count as cancelled, not as accepted.
#[tokio::test]
async fn the_drain_has_a_deadline() {
    let mut running = Running::start(1, Ok(Delivered::default()), Duration::from_millis(50)).await;
    let mut half = TcpStream::connect(running.http).await.unwrap();
    half.write_all(HALF_REQUEST).await.unwrap();
    let silent = TcpStream::connect(running.grpc).await.unwrap();
    let stream = TcpStream::connect(running.grpc).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = Tasks::new().spawn("client", connection);
    let request = Request::post(format!("http://g{}", Signal::Traces.grpc_path()))
        .header("content-type", "application/grpc")
        .body(())
        .unwrap();
    let (response, mut body) = sender.send_request(request, false).unwrap();
    body.send_data(Bytes::from_static(b"\0\0\0\0\x04ab"), false).unwrap();
    let other = Request::get("http://g/").body(()).unwrap();
    let (answered, _) = sender.send_request(other, true).unwrap();
    assert_eq!(within(answered).await.unwrap().status(), 415);
    // An interim answer shows that the request has arrived.
    let mut expecting = TcpStream::connect(running.http).await.unwrap();
    expecting
        .write_all(
            b"POST /v1/traces HTTP/1.1\r\nHost: g\r\nContent-Type: application/x-protobuf\r\nExpect: 100-continue\r\n\
              Content-Length: 4\r\n\r\n",
        )
        .await
        .unwrap();
    let mut interim = [0; 25];
    within(expecting.read_exact(&mut interim)).await.unwrap();

    running.stop.cancel();
    assert!(within(response).await.is_err());
    drop((body, sender));
    within(connection).await.unwrap().unwrap_or_default();
    let mut rest = Vec::new();
    // A reset or an end, but no answer.
    within(expecting.read_to_end(&mut rest)).await.unwrap_or_default();
    assert_eq!(rest, b"");
    within(&mut running.serving).await.unwrap();
    assert_eq!((running.items("grpc"), running.items("http")), ((0, 0), (0, 0)));
    // The other one is the call that was to be answered.
    let expect = [Code::Cancelled, Code::Unsupported].map(|code| (code.as_str().to_owned(), 1));
    assert_eq!(running.refusals("grpc"), expect);
    let refusals = running.refusals("http");
    // The first of the two may have been cut before its headers were read.
    assert!(matches!(&*refusals, [(reason, 1..=2)] if reason == "cancelled"), "{refusals:?}");
    drop((silent, half));
}

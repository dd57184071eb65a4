//! Every signal in every encoding over both transports.

use ::http::Request;
use bytes::Bytes;
use tokio::net::TcpStream;

use super::{
    LIMIT, PATIENCE, Running, compressed, every_signal,
    http::{PROTOBUF, exchange, request},
    recorded, settings, within,
};
use crate::{
    model::{Code, Delivered, Failure, Signal, settings::Compression},
    otlp::json,
    router::Dispatcher,
    tasks::Tasks,
};

const JSON: &str = "Content-Type: application/json";

const COMPRESSIONS: [Compression; 8] = [
    Compression::None,
    Compression::Gzip,
    Compression::Zstd,
    Compression::Snappy,
    Compression::SnappyBlock,
    Compression::Zlib,
    Compression::Deflate,
    Compression::Lz4,
];

/// A request of one item.
fn json_request(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => {
            r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"0102030405060708","name":"s"}]}]}]}"#
        }
        Signal::Metrics => {
            r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","gauge":{"dataPoints":[{"asInt":"7"}]}}]}]}]}"#
        }
        Signal::Logs => r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"l"}}]}]}]}"#,
    }
}

// Scenario: a request of each signal, as protobuf and as JSON, in each encoding, over one connection.
// Guarantees: the router gets the same bytes whatever the encoding, JSON as protobuf; the answer is in the format of the
// request; each signal is counted as itself.
#[tokio::test]
async fn every_http_dialect_is_taken() {
    let (routes, seen) = recorded(&[]);
    let running = Running::with(&settings(), &routes, PATIENCE).await;
    let mut stream = TcpStream::connect(running.http).await.unwrap();
    for signal in Signal::ALL {
        let text = json_request(signal).as_bytes();
        let protobuf = json::to_protobuf(signal, text).unwrap();
        for (content_type, body, answer) in
            [(PROTOBUF, &protobuf[..], &b"\x0a\x00"[..]), (JSON, text, br#"{"partialSuccess":{}}"#)]
        {
            for compression in COMPRESSIONS {
                let encoding = compression.content_encoding().map(|name| format!("Content-Encoding: {name}"));
                let headers: Vec<_> = [content_type].into_iter().chain(encoding.as_deref()).collect();
                let request = request("POST", signal.http_path(), &headers, &compressed(compression, body));
                let response = exchange(&mut stream, &request).await;
                assert_eq!(
                    (response.status, response.body.as_slice()),
                    (200, answer),
                    "{signal:?} {headers:?} {response:?}"
                );
                assert!(content_type.ends_with(response.header("content-type")), "{response:?}");
                let (found, body, metadata) = seen.lock().unwrap().pop().unwrap();
                assert_eq!((found, &*body), (signal, &*protobuf), "{headers:?}");
                assert!(metadata.is_empty());
            }
        }
        assert_eq!(running.items_of("http", signal), (16, 0));
    }
    running.end().await;
}

// Scenario: a call of each signal in each compression of gRPC.
// Guarantees: the router gets the message; each signal is counted as itself.
#[tokio::test]
async fn every_grpc_service_is_served() {
    let (routes, seen) = recorded(&[]);
    let running = Running::with(&settings(), &routes, PATIENCE).await;
    let stream = TcpStream::connect(running.grpc).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    drop(Tasks::new().spawn("client", connection));
    for signal in Signal::ALL {
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd, Compression::Snappy] {
            let request = Request::post(format!("http://g{}", signal.grpc_path()))
                .header("content-type", "application/grpc")
                .header("grpc-encoding", compression.encoding().unwrap_or("identity"))
                .body(())
                .unwrap();
            let message = compressed(compression, b"message");
            let mut framed = vec![u8::from(compression != Compression::None), 0, 0, 0, message.len() as u8];
            framed.extend_from_slice(&message);
            let (response, mut body) = sender.send_request(request, false).unwrap();
            body.send_data(Bytes::from(framed), true).unwrap();
            let mut response = within(response).await.unwrap();
            while response.body_mut().data().await.is_some() {}
            let trailers = response.body_mut().trailers().await.unwrap().unwrap();
            assert_eq!(trailers["grpc-status"], "0", "{signal:?} {compression:?}");
            let (found, body, _) = seen.lock().unwrap().pop().unwrap();
            assert_eq!((found, &*body), (signal, &b"message"[..]));
        }
        assert_eq!(running.items_of("grpc", signal), (4, 0));
    }
    running.end().await;
}

/// Sends JSON to a receiver that answers `outcome`; status and text of the answer.
async fn send_json(
    outcome: crate::model::Outcome,
    signal: Signal,
    headers: &[&str],
    body: &[u8],
) -> (u16, String) {
    let routes = every_signal(&Dispatcher::fixed(2, outcome));
    let running = Running::with(&settings(), &routes, PATIENCE).await;
    let mut stream = TcpStream::connect(running.http).await.unwrap();
    let headers: Vec<_> = [JSON].into_iter().chain(headers.iter().copied()).collect();
    let response = exchange(&mut stream, &request("POST", signal.http_path(), &headers, body)).await;
    assert_eq!(response.header("content-type"), "application/json");
    running.end().await;
    (response.status, String::from_utf8(response.body).unwrap())
}

// Scenario: backends took a part of JSON requests of each signal only.
// Guarantees: the client is told how many items of which kind were not taken, as a string, and why.
#[tokio::test]
async fn partial_success_is_said_in_json() {
    for (signal, field) in [
        (Signal::Traces, "rejectedSpans"),
        (Signal::Metrics, "rejectedDataPoints"),
        (Signal::Logs, "rejectedLogRecords"),
    ] {
        let delivered = Delivered { rejected: 2, message: "too old".to_owned() };
        let answer = send_json(Ok(delivered), signal, &[], json_request(signal).as_bytes()).await;
        let expect = format!(r#"{{"partialSuccess":{{"{field}":"2","errorMessage":"too old"}}}}"#);
        assert_eq!(answer, (200, expect));
    }
}

// Scenario: JSON that is none, too large, corrupt when decompressed, or refused by the pipeline.
// Guarantees: a Status in JSON with the code, the text and the delay of the rules.
#[tokio::test]
async fn json_requests_are_refused_in_json() {
    let ok = || Ok(Delivered::default());
    for body in [&b""[..], b"[]", b"{\"resourceLogs\":", b"\x0a\x00"] {
        let text = json::to_protobuf(Signal::Logs, body).unwrap_err().to_string();
        let (status, answer) = send_json(ok(), Signal::Logs, &[], body).await;
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert_eq!((status, &answer["code"], answer["message"].as_str()), (400, &3.into(), Some(&*text)));
    }
    let bad_request = |text: &str| (400, format!(r#"{{"code":3,"message":"{text}"}}"#));
    assert_eq!(
        send_json(ok(), Signal::Logs, &[], &vec![b' '; LIMIT + 1]).await,
        bad_request("http: request body too large")
    );
    let bomb = compressed(Compression::Gzip, &vec![b' '; LIMIT + 1]);
    assert_eq!(
        send_json(ok(), Signal::Logs, &["Content-Encoding: gzip"], &bomb).await,
        bad_request("http: request body too large")
    );
    assert_eq!(
        send_json(ok(), Signal::Logs, &["Content-Encoding: zstd"], b"{}").await,
        bad_request("unexpected EOF")
    );
    assert_eq!(
        send_json(Err(Failure::client(Code::Malformed, "bad tag")), Signal::Logs, &[], b"{}").await,
        bad_request("bad tag")
    );
    let details = r#""details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"1s"}]"#;
    assert_eq!(
        send_json(Err(Failure::busy(Code::QueueFull, "q")), Signal::Logs, &[], b"{}").await,
        (503, format!(r#"{{"code":14,"message":"sending queue is full",{details}}}"#))
    );
    let permanent = Failure::new(
        crate::model::Side::Client,
        Code::NoKey,
        crate::model::Retry::Never,
        "nothing to route by",
    );
    assert_eq!(
        send_json(Err(permanent), Signal::Logs, &[], b"{}").await,
        (500, r#"{"code":13,"message":"Permanent error: nothing to route by"}"#.to_owned())
    );
}

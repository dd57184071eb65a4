//! Each row of what grpc-go answers, over a raw HTTP/2 connection.

use ::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use h2::client::SendRequest;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{LIMIT, Running, bomb, compressed, within};
use crate::{
    model::{Code, Delivered, Failure, Retry, Side, Signal, settings::Compression},
    net::grpc::{self, Prefix, Status},
    tasks::Tasks,
};

/// The end of a call as it was on the wire.
#[derive(Debug)]
pub(super) struct Ended {
    http: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    pub(super) status: Status,
}

/// A raw HTTP/2 client.
pub(super) struct Client {
    pub(super) sender: SendRequest<Bytes>,
}

impl Client {
    pub(super) async fn connect(running: &Running) -> Self {
        let stream = TcpStream::connect(running.grpc).await.unwrap();
        let (sender, connection) = h2::client::handshake(stream).await.unwrap();
        drop(Tasks::new().spawn("client", connection));
        Self { sender }
    }

    /// One call whose body is the given chunks, each a DATA frame of its own.
    pub(super) async fn call(&self, request: Request<()>, chunks: &[&[u8]]) -> Ended {
        let mut sender = self.sender.clone().ready().await.unwrap();
        let (response, mut body) = sender.send_request(request, chunks.is_empty()).unwrap();
        for (index, chunk) in chunks.iter().enumerate() {
            // A stream that was answered already takes no more data; the answer is what matters.
            if body.send_data(Bytes::copy_from_slice(chunk), index + 1 == chunks.len()).is_err() {
                break;
            }
        }
        within(ended(response)).await
    }
}

/// Reads a response to its end.
async fn ended(response: h2::client::ResponseFuture) -> Ended {
    let (head, mut stream) = response.await.unwrap().into_parts();
    let mut body = Vec::new();
    while let Some(chunk) = stream.data().await {
        body.extend_from_slice(&chunk.unwrap());
    }
    let trailers = stream.trailers().await.unwrap();
    let status = Status::from_headers(trailers.as_ref().unwrap_or(&head.headers)).unwrap();
    Ended { http: head.status, headers: head.headers, body, status }
}

/// A call of the traces method with some headers changed; an empty value removes one.
pub(super) fn request(changes: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::post(format!("http://gateway{}", Signal::Traces.grpc_path()))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    for (name, value) in changes {
        match *name {
            ":method" => *request.method_mut() = value.parse().unwrap(),
            ":path" => *request.uri_mut() = format!("http://gateway{value}").parse().unwrap(),
            name => {
                let name: ::http::HeaderName = name.parse().unwrap();
                request.headers_mut().remove(&name);
                if !value.is_empty() {
                    request.headers_mut().insert(name, value.parse().unwrap());
                }
            }
        }
    }
    request
}

/// A message behind its prefix.
pub(super) fn framed(is_compressed: bool, message: &[u8]) -> Vec<u8> {
    let mut framed = Prefix::new(is_compressed, message.len()).unwrap().to_bytes().to_vec();
    framed.extend_from_slice(message);
    framed
}

/// Makes a call that must be refused with a code, a text and an HTTP status, and counted for a reason.
async fn check(
    changes: &[(&str, &str)],
    chunks: &[&[u8]],
    expect: (StatusCode, grpc::Code, &str),
    reason: Code,
) {
    let running = Running::accepting(1).await;
    let ended = Client::connect(&running).await.call(request(changes), chunks).await;
    assert_eq!((ended.http, ended.status.code, ended.status.message.as_str()), expect);
    assert_eq!(ended.body, b"");
    assert_eq!(running.items("grpc"), (0, 0));
    running.assert_refused("grpc", reason);
    running.end().await;
}

// Scenario: messages in every compression the Collector takes, compressed or not within one, empty, or with a prefix
// in pieces.
// Guarantees: success with the Collector's response, in the encoding of the request; items are counted once.
#[tokio::test]
async fn requests_are_accepted() {
    const RESPONSE: &[u8] = &[0x0a, 0x00];
    let running = Running::accepting(3).await;
    let client = Client::connect(&running).await;
    let mut calls = 0;
    let mut accept = async |headers: &[(&str, &str)], chunks: &[&[u8]], encoding: Option<&str>| {
        let ended = client.call(request(headers), chunks).await;
        assert_eq!((ended.http, ended.status.code), (StatusCode::OK, grpc::Code::Ok), "{ended:?}");
        let sent = ended.headers.get("grpc-encoding").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(sent.as_deref(), encoding);
        let (prefix, message) = ended.body.split_at(grpc::PREFIX_LEN);
        let prefix = Prefix::parse(prefix.try_into().unwrap()).unwrap();
        assert_eq!(prefix, Prefix::new(encoding.is_some(), message.len()).unwrap());
        let compression = match encoding {
            None => Compression::None,
            Some("gzip") => Compression::Gzip,
            Some("snappy") => Compression::Snappy,
            Some("zstd") => Compression::Zstd,
            other => panic!("{other:?}"),
        };
        assert_eq!(message, compressed(compression, RESPONSE));
        calls += 1;
        assert_eq!(running.items("grpc"), (3 * calls, 0));
    };

    let message = vec![7; LIMIT];
    let plain = framed(false, &message);
    accept(&[], &[&plain], None).await;
    accept(&[("grpc-encoding", "identity"), ("grpc-timeout", "9S")], &[&plain], None).await;
    accept(&[], &[&framed(false, b"")], None).await;
    accept(&[], &[&plain[..1], &plain[1..3], &plain[3..6], b"", &plain[6..], b""], None).await;
    for (name, compression) in
        [("gzip", Compression::Gzip), ("snappy", Compression::Snappy), ("zstd", Compression::Zstd)]
    {
        let packed = framed(true, &compressed(compression, &message));
        accept(&[("grpc-encoding", name)], &[&packed], Some(name)).await;
        accept(&[("grpc-encoding", name)], &[&plain], Some(name)).await;
    }
    assert_eq!(running.refusals("grpc"), []);
    running.end().await;
}

// Scenario: a client with another subtype of the media type, and one with parameters.
// Guarantees: both are gRPC; the subtype is echoed.
#[tokio::test]
async fn subtypes_are_accepted() {
    let running = Running::accepting(1).await;
    let client = Client::connect(&running).await;
    for (sent, answered) in [
        ("application/grpc+proto", "application/grpc+proto"),
        ("application/grpc+x", "application/grpc+x"),
        ("application/grpc;a=b", "application/grpc"),
    ] {
        let ended = client.call(request(&[("content-type", sent)]), &[&framed(false, b"")]).await;
        assert_eq!(
            (ended.status.code, ended.headers["content-type"].to_str().unwrap()),
            (grpc::Code::Ok, answered)
        );
    }
    running.end().await;
}

// Scenario: calls that are no gRPC or no method of ours.
// Guarantees: grpc-go's HTTP status, code and text; refused before the pipeline, counted as unsupported or malformed.
#[tokio::test]
async fn heads_are_refused() {
    use StatusCode as Http;
    use grpc::Code::{Internal, InvalidArgument, Unimplemented};
    let message = framed(false, b"");
    let refuse = async |headers: &[(&str, &str)], expect: (StatusCode, grpc::Code, &str), reason| {
        check(headers, &[&message], expect, reason).await;
    };

    for content_type in ["application/json", "application/grpcx", "application/grpc-web"] {
        let text = format!("invalid gRPC request content-type {content_type:?}");
        refuse(
            &[("content-type", content_type)],
            (Http::UNSUPPORTED_MEDIA_TYPE, InvalidArgument, &text),
            Code::Unsupported,
        )
        .await;
    }
    refuse(
        &[("content-type", "")],
        (Http::UNSUPPORTED_MEDIA_TYPE, InvalidArgument, "invalid gRPC request content-type \"\""),
        Code::Unsupported,
    )
    .await;
    refuse(
        &[(":method", "GET")],
        (
            Http::METHOD_NOT_ALLOWED,
            Internal,
            "Received a HEADERS frame with :method \"GET\" which should be POST",
        ),
        Code::Unsupported,
    )
    .await;
    for (timeout, fault) in [
        ("9", "transport: timeout string is too short: \"9\""),
        ("123456789S", "transport: timeout string is too long: \"123456789S\""),
        ("9x", "transport: timeout unit is not recognized: \"9x\""),
        ("-1S", "strconv.ParseUint: parsing \"-1\": invalid syntax"),
    ] {
        let text = format!("malformed grpc-timeout: {fault}");
        refuse(&[("grpc-timeout", timeout)], (Http::BAD_REQUEST, Internal, &text), Code::Malformed).await;
    }
    refuse(
        &[(":path", "/nothing")],
        (Http::OK, Unimplemented, "malformed method name: \"/nothing\""),
        Code::Unsupported,
    )
    .await;
    refuse(
        &[(":path", Signal::Logs.grpc_path())],
        (Http::OK, Unimplemented, "unknown service opentelemetry.proto.collector.logs.v1.LogsService"),
        Code::Unsupported,
    )
    .await;
    refuse(
        &[(":path", "/opentelemetry.proto.collector.trace.v1.TraceService/Import")],
        (
            Http::OK,
            Unimplemented,
            "unknown method Import for service opentelemetry.proto.collector.trace.v1.TraceService",
        ),
        Code::Unsupported,
    )
    .await;
    for encoding in ["br", "GZIP", "deflate"] {
        let text = format!("grpc: Decompressor is not installed for grpc-encoding {encoding:?}");
        refuse(&[("grpc-encoding", encoding)], (Http::OK, Unimplemented, &text), Code::Unsupported).await;
    }
}

// Scenario: a call names an encoding that is not served.
// Guarantees: the answer lists those that are, as the gRPC specification asks.
#[tokio::test]
async fn known_encodings_are_listed() {
    let running = Running::accepting(1).await;
    let ended = Client::connect(&running).await.call(request(&[("grpc-encoding", "br")]), &[b""]).await;
    assert_eq!(ended.headers["grpc-accept-encoding"], "gzip,snappy,zstd");
    running.end().await;
}

// Scenario: bodies that are not one message, or one that cannot be used.
// Guarantees: grpc-go's code and text for each; 4 GiB are refused by their prefix alone.
#[tokio::test]
async fn messages_are_refused() {
    use grpc::Code::{Internal, ResourceExhausted, Unknown};
    let refuse = async |headers: &[(&str, &str)], chunks: &[&[u8]], code, text: &str, reason| {
        check(headers, chunks, (StatusCode::OK, code, text), reason).await;
    };
    let gzip: &[(&str, &str)] = &[("grpc-encoding", "gzip")];

    refuse(&[], &[], Unknown, "EOF", Code::Malformed).await;
    refuse(&[], &[b""], Unknown, "EOF", Code::Malformed).await;
    refuse(&[], &[b"\0\0\0"], Unknown, "EOF", Code::Malformed).await;
    refuse(&[], &[b"\0\0\0\0\x03ab"], Unknown, "unexpected EOF", Code::Malformed).await;
    refuse(
        &[],
        &[b"\0\xff\xff\xff\xff"],
        ResourceExhausted,
        "grpc: received message larger than max (4294967295 vs. 65536)",
        Code::TooLarge,
    )
    .await;
    refuse(
        &[],
        &[&framed(false, &vec![0; LIMIT + 1])],
        ResourceExhausted,
        "grpc: received message larger than max (65537 vs. 65536)",
        Code::TooLarge,
    )
    .await;
    refuse(
        gzip,
        &[&framed(true, &compressed(Compression::Gzip, &vec![0; LIMIT + 1]))],
        ResourceExhausted,
        "grpc: received message after decompression larger than max 65536",
        Code::TooLarge,
    )
    .await;
    refuse(
        gzip,
        &[&framed(true, &bomb(40))],
        ResourceExhausted,
        "grpc: received message after decompression larger than max 65536",
        Code::TooLarge,
    )
    .await;
    refuse(&[], &[b"\x02\0\0\0\0"], Internal, "grpc: received unexpected payload format 2", Code::Malformed)
        .await;
    for headers in [&[][..], &[("grpc-encoding", "identity")][..]] {
        refuse(
            headers,
            &[&framed(true, b"x")],
            Internal,
            "grpc: compressed flag set with identity or empty encoding",
            Code::Malformed,
        )
        .await;
    }
    for chunks in [&[&framed(false, b"a")[..], b"b"][..], &[b"\0\0\0\0\x01ab"], &[b"\0\0\0\0\0\0\0\0\0\0"]] {
        refuse(
            &[],
            chunks,
            Internal,
            "cardinality violation: received multiple request messages for non-client-streaming RPC",
            Code::Malformed,
        )
        .await;
    }
    refuse(
        &[("grpc-timeout", "0n")],
        &[b"\0\0\0\0\0"],
        grpc::Code::DeadlineExceeded,
        "context deadline exceeded",
        Code::Timeout,
    )
    .await;
}

// Scenario: messages that do not decompress, in each encoding.
// Guarantees: INTERNAL with grpc-go's text; counted as malformed.
#[tokio::test]
async fn corrupt_messages_are_refused() {
    for (name, text) in [
        ("gzip", "grpc: failed to decompress the message: gzip: invalid header"),
        ("zstd", "grpc: failed to read decompressed data: invalid input: magic number mismatch"),
        ("snappy", "grpc: failed to read decompressed data: snappy: corrupt input"),
    ] {
        let chunk = framed(true, b"this is not compressed");
        let expect = (StatusCode::OK, grpc::Code::Internal, text);
        check(&[("grpc-encoding", name)], &[&chunk], expect, Code::Malformed).await;
    }
    let text = "grpc: failed to decompress the message: EOF";
    let expect = (StatusCode::OK, grpc::Code::Internal, text);
    check(&[("grpc-encoding", "gzip")], &[&framed(true, b"")], expect, Code::Malformed).await;
}

// Scenario: a client with a deadline sends half a message and stops.
// Guarantees: the call ends at the deadline, not at the limit of silence; nothing reaches the pipeline.
#[tokio::test]
async fn deadline_ends_a_call() {
    let running = Running::accepting(1).await;
    let client = Client::connect(&running).await;
    let mut sender = client.sender.clone().ready().await.unwrap();
    let (response, mut body) = sender.send_request(request(&[("grpc-timeout", "50m")]), false).unwrap();
    body.send_data(Bytes::from_static(b"\0\0\0\0\x09half"), false).unwrap();
    let ended = within(ended(response)).await;
    assert_eq!(ended.status, Status::new(grpc::Code::DeadlineExceeded, "context deadline exceeded"));
    assert_eq!(running.items("grpc"), (0, 0));
    running.assert_refused("grpc", Code::Timeout);
    running.end().await;
}

// Scenario: a client resets its stream in the middle of a message, then makes another call.
// Guarantees: the request counts as cancelled, and the connection goes on.
#[tokio::test]
async fn reset_counts_as_cancelled() {
    let running = Running::accepting(1).await;
    let client = Client::connect(&running).await;
    let mut sender = client.sender.clone().ready().await.unwrap();
    let (response, mut body) = sender.send_request(request(&[]), false).unwrap();
    body.send_data(Bytes::from_static(b"\0\0\0\0\x09half"), false).unwrap();
    body.send_reset(h2::Reason::CANCEL);
    drop(response);
    let ended = client.call(request(&[]), &[&framed(false, b"")]).await;
    assert_eq!(ended.status.code, grpc::Code::Ok);
    while running.refusals("grpc").is_empty() {
        // The stream's task may end after the next call; it is waited for, within the test's patience.
        within(tokio::task::yield_now()).await;
    }
    running.assert_refused("grpc", Code::Cancelled);
    running.end().await;
}

// Scenario: the pipeline refuses: for now, for ever, and with a backend's own status.
// Guarantees: the client gets code, text and delay; refused items and the reason are counted.
#[tokio::test]
async fn failures_are_passed_on() {
    let mut backend = Failure::new(Side::Backend, Code::Rejected, Retry::Never, "no such tenant");
    backend.grpc_status = Some(grpc::Code::PermissionDenied.number());
    let delay = Some(std::time::Duration::from_secs(1));
    for (failure, expect) in [
        (
            Failure::busy(Code::QueueFull, "queue of b:4317"),
            Status {
                code: grpc::Code::Unavailable,
                message: "sending queue is full".to_owned(),
                retry_delay: delay,
            },
        ),
        (
            Failure::client(Code::Malformed, "bad tag"),
            Status::new(grpc::Code::Internal, "grpc: error unmarshalling request: bad tag"),
        ),
        (backend, Status::new(grpc::Code::PermissionDenied, "no such tenant")),
    ] {
        let running = Running::refusing(2, failure.clone()).await;
        let ended = Client::connect(&running).await.call(request(&[]), &[&framed(false, b"x")]).await;
        assert_eq!((ended.http, ended.status), (StatusCode::OK, expect));
        assert_eq!(running.items("grpc"), (0, 2));
        running.assert_refused("grpc", failure.code);
        running.end().await;
    }
}

// Scenario: a backend took some items only, with and without compression.
// Guarantees: the client is told how many were not taken, and why; the items count as accepted.
#[tokio::test]
async fn partial_success_is_passed_on() {
    let delivered = Delivered { rejected: 2, message: "too old".to_owned() };
    let running = Running::start(3, Ok(delivered), super::PATIENCE).await;
    let client = Client::connect(&running).await;
    for (encoding, compression) in [("identity", Compression::None), ("zstd", Compression::Zstd)] {
        let ended = client.call(request(&[("grpc-encoding", encoding)]), &[&framed(false, b"x")]).await;
        assert_eq!(ended.status.code, grpc::Code::Ok);
        let message = compressed(compression, b"\x0a\x0b\x08\x02\x12\x07too old");
        assert_eq!(ended.body, framed(compression != Compression::None, &message));
    }
    assert_eq!(running.items("grpc"), (6, 0));
    running.end().await;
}

// Scenario: a request without items.
// Guarantees: success, and nothing is counted.
#[tokio::test]
async fn requests_without_items_count_nothing() {
    let running = Running::start(0, Ok(Delivered::default()), super::PATIENCE).await;
    let ended = Client::connect(&running).await.call(request(&[]), &[&framed(false, b"")]).await;
    assert_eq!(ended.status.code, grpc::Code::Ok);
    assert_eq!((running.items("grpc"), running.refusals("grpc")), ((0, 0), vec![]));
    running.end().await;
}

// Scenario: a hundred calls are open on one connection at once, each with half its message sent, and finished in the
// reverse order.
// Guarantees: calls of one connection do not wait for each other.
#[tokio::test]
async fn calls_run_side_by_side() {
    let running = Running::accepting(1).await;
    let client = Client::connect(&running).await;
    let mut open = Vec::new();
    for _ in 0..100 {
        let mut sender = client.sender.clone().ready().await.unwrap();
        let (response, mut body) = sender.send_request(request(&[]), false).unwrap();
        body.send_data(Bytes::from_static(b"\0\0\0\0\x04ab"), false).unwrap();
        open.push((response, body));
    }
    while let Some((response, mut body)) = open.pop() {
        body.send_data(Bytes::from_static(b"cd"), true).unwrap();
        assert_eq!(within(ended(response)).await.status.code, grpc::Code::Ok);
    }
    assert_eq!(running.items("grpc"), (100, 0));
    running.end().await;
}

// Scenario: a client connects and sends part of the HTTP/2 preface only, with the clock paused.
// Guarantees: the connection is closed at grpc-go's time limit.
#[tokio::test(start_paused = true)]
async fn slow_handshakes_are_cut() {
    let running = Running::accepting(1).await;
    let mut stream = TcpStream::connect(running.grpc).await.unwrap();
    let started = tokio::time::Instant::now();
    stream.write_all(b"PRI * HTTP/2.0\r\n").await.unwrap();
    let mut answer = Vec::new();
    // An end, or a reset since bytes were left unread.
    stream.read_to_end(&mut answer).await.unwrap_or_default();
    assert_eq!((answer.as_slice(), started.elapsed().as_secs()), (&b""[..], 120));
    running.end().await;
}

// Scenario: HTTP/1.1 and noise on the gRPC port.
// Guarantees: the connection ends without a success, and the listener goes on.
#[tokio::test]
async fn other_protocols_are_refused() {
    let running = Running::accepting(1).await;
    for bytes in [&b"POST /v1/traces HTTP/1.1\r\nHost: gateway\r\n\r\n"[..], &[0xff; 64]] {
        let mut stream = TcpStream::connect(running.grpc).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        within(stream.read_to_end(&mut answer)).await.unwrap_or_default();
        assert!(!answer.starts_with(b"HTTP/1.1 2"));
    }
    let ended = Client::connect(&running).await.call(request(&[]), &[&framed(false, b"")]).await;
    assert_eq!(ended.status.code, grpc::Code::Ok);
    running.end().await;
}

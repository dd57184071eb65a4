//! The sink as a client sees it, over a real socket.

use std::io::Write as _;

use hyper::client::conn::http2 as client;

use super::{record::keys, *};
use crate::cli::demo::{generator::Generator, ids::SpanKey};

/// What came back: `grpc-status` wherever it stood, all headers and trailers, the message with its prefix.
struct Reply {
    status: Option<u32>,
    headers: HeaderMap,
    body: Bytes,
}

#[derive(Clone)]
struct Client(client::SendRequest<Full<Bytes>>);

impl Client {
    async fn connect(sink: &Sink) -> Self {
        let stream = TcpStream::connect(sink.address()).await.unwrap();
        let (sender, connection) = client::handshake(Tasks::new(), TokioIo::new(stream)).await.unwrap();
        Tasks::new().spawn("client", async { connection.await.map_err(|error| error.to_string()) });
        Self(sender)
    }

    async fn call(&self, path: &str, encoding: &str, body: Vec<u8>) -> Result<Reply, hyper::Error> {
        let request = Request::post(format!("http://sink{path}"))
            .header("grpc-encoding", encoding)
            .header(CONTENT_TYPE, "application/grpc")
            .body(Full::from(body))
            .unwrap();
        let response = self.0.clone().send_request(request).await?;
        let mut headers = response.headers().clone();
        let body = response.into_body().collect().await?;
        headers.extend(body.trailers().cloned().unwrap_or_default());
        let status = headers.get("grpc-status").and_then(|status| status.to_str().ok()?.parse().ok());
        Ok(Reply { status, headers, body: body.to_bytes() })
    }

    async fn send(&self, message: &[u8]) -> Result<Reply, hyper::Error> {
        self.call(Signal::Traces.grpc_path(), "identity", framed(0, message)).await
    }

    async fn status(&self, message: &[u8]) -> Option<u32> {
        self.send(message).await.unwrap().status
    }
}

fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let mut body = vec![flag];
    body.extend_from_slice(&(message.len() as u32).to_be_bytes());
    body.extend_from_slice(message);
    body
}

async fn sink(mode: Mode) -> (Sink, Client) {
    let sink = Sink::start("127.0.0.1:0", mode).await.unwrap();
    let client = Client::connect(&sink).await;
    (sink, client)
}

fn generator() -> Generator {
    Generator::new(20, 1, 1_760_000_000_000_000_000)
}

// Scenario: three requests to a recording sink, one of them twice, one never sent.
// Guarantees: totals and record agree with what was sent, and the audit names the duplicate and the missing span.
#[tokio::test]
async fn a_record_is_what_arrived() {
    let (sink, client) = sink(Mode::Record).await;
    let mut generator = generator();
    let requests: Vec<_> = (0..3).map(|_| generator.request()).collect();
    for request in &requests {
        assert_eq!(client.status(&request.bytes).await, Some(0));
        assert_eq!(keys(&request.bytes).unwrap(), request.spans);
    }
    assert_eq!(client.status(&requests[0].bytes).await, Some(0));
    let totals = sink.until(|totals| totals.requests == 4).await;
    let message_bytes =
        (requests.iter().map(|request| request.bytes.len()).sum::<usize>() + requests[0].bytes.len()) as u64;
    assert_eq!(
        totals,
        Totals {
            requests: 4,
            spans: 80,
            wire_bytes: message_bytes + 4 * 5,
            message_bytes,
            refused_requests: 0
        }
    );
    let never_sent = SpanKey { trace: [1; 16], span: [1; 8] };
    let sent: Vec<_> = requests.iter().flat_map(|request| &request.spans).copied().collect();
    let (_, record) = sink.kill().await;
    let found = audit(sent.iter().copied().chain([never_sent]), std::slice::from_ref(&record));
    assert_eq!(found, Audit { missing: vec![never_sent], duplicates: 20, split_traces: 0, unknown: 0 });
    let split = audit(sent.iter().copied().skip(1), &[record.clone(), record]);
    assert_eq!((split.unknown, split.split_traces), (1, generator.traces()));
}

// Scenario: the same request as gzip, zstd and framed snappy, and in an encoding that does not exist.
// Guarantees: the three are counted with both sizes; the fourth is refused as unimplemented and counts nothing.
#[tokio::test]
async fn compressed_requests_are_taken() {
    let (sink, client) = sink(Mode::Count).await;
    let request = generator().request();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&request.bytes).unwrap();
    let mut snappy = snap::write::FrameEncoder::new(Vec::new());
    snappy.write_all(&request.bytes).unwrap();
    let bodies = [
        ("gzip", gzip.finish().unwrap()),
        ("zstd", zstd::bulk::compress(&request.bytes, 1).unwrap()),
        ("snappy", snappy.into_inner().unwrap()),
    ];
    let mut wire_bytes = 0;
    for (encoding, body) in bodies {
        let body = framed(1, &body);
        wire_bytes += body.len() as u64;
        let reply = client.call(Signal::Traces.grpc_path(), encoding, body).await.unwrap();
        assert_eq!(reply.status, Some(0), "{encoding}: {:?}", reply.headers);
    }
    let reply = client.call(Signal::Traces.grpc_path(), "br", framed(1, b"abc")).await.unwrap();
    assert_eq!(reply.status, Some(12));
    let totals = sink.totals();
    assert_eq!((totals.spans, totals.wire_bytes), (60, wire_bytes));
    assert_eq!(totals.message_bytes, 3 * request.bytes.len() as u64);
    sink.stop().await;
}

// Scenario: bodies that are no gRPC message, no protobuf, a span with a short id; another service.
// Guarantees: a permanent status for each, and nothing is counted as taken.
#[tokio::test]
async fn what_is_no_export_request_is_refused() {
    let (sink, client) = sink(Mode::Record).await;
    let path = Signal::Traces.grpc_path();
    let short_id = [0x0a, 6, 0x12, 4, 0x12, 2, 0x0a, 0];
    for body in [vec![], vec![0, 0, 0, 0, 9, 1], framed(0, &[0x0a, 5]), framed(0, &short_id)] {
        assert_eq!(client.call(path, "identity", body).await.unwrap().status, Some(3));
    }
    let reply = client
        .call("/opentelemetry.proto.collector.trace.v1.TraceService/Import", "identity", framed(0, &[]))
        .await
        .unwrap();
    assert_eq!(reply.status, Some(12));
    assert_eq!(sink.totals().requests, 0);
    assert_eq!(sink.totals().refused_requests, 4);
    sink.stop().await;
}

// Scenario: a script of two refusals with a delay, a partial success, a reset before and one after taking.
// Guarantees: each request meets its action in order, what the action says is counted, then all is well again.
#[tokio::test]
async fn a_script_is_followed_in_order() {
    let (sink, client) = sink(Mode::Count).await;
    let message = generator().request().bytes;
    let busy = Status {
        code: Code::Unavailable,
        message: "busy".to_owned(),
        retry_delay: Some(Duration::from_secs(2)),
    };
    sink.script().next(2, Action::Answer(busy.clone()));
    sink.script().next(1, Action::Partial { rejected: 3, message: "three too old".to_owned() });
    sink.script().next(1, Action::Reset { reason: h2::Reason::REFUSED_STREAM, take: false });
    sink.script().next(1, Action::Reset { reason: h2::Reason::INTERNAL_ERROR, take: true });
    for _ in 0..2 {
        let reply = client.send(&message).await.unwrap();
        assert_eq!(Status::from_headers(&reply.headers), Some(busy.clone()));
    }
    let partial = client.send(&message).await.unwrap();
    assert_eq!(partial.status, Some(0));
    assert_eq!(&partial.body[..], b"\x00\x00\x00\x00\x13\x0a\x11\x08\x03\x12\x0dthree too old");
    for _ in 0..2 {
        assert!(client.send(&message).await.is_err());
    }
    assert_eq!(client.status(&message).await, Some(0));
    let totals = sink.totals();
    assert_eq!((totals.requests, totals.spans, totals.refused_requests), (3, 60, 4));
    sink.stop().await;
}

// Scenario: a held sink with two requests waiting, released; then a request that hangs while the sink is killed.
// Guarantees: held requests are neither taken nor answered until the release; a kill cuts what hangs, keeps the
// totals readable and frees the port.
#[tokio::test]
async fn requests_can_be_held_and_hung() {
    let (sink, client) = sink(Mode::Count).await;
    let message = generator().request().bytes;
    sink.script().hold();
    let mut held = std::pin::pin!(async { tokio::join!(client.send(&message), client.send(&message)) });
    tokio::select! {
        _ = held.as_mut() => panic!("a held request was answered"),
        () = sink.script().waiting(2) => {}
    }
    assert_eq!(sink.totals().requests, 0);
    sink.script().release();
    let (first, second) = held.await;
    assert_eq!((first.unwrap().status, second.unwrap().status), (Some(0), Some(0)));

    sink.script().then(Action::Hang { take: true });
    let address = sink.address();
    let mut hung = std::pin::pin!(client.send(&message));
    tokio::select! {
        _ = hung.as_mut() => panic!("a hung request was answered"),
        totals = sink.until(|totals| totals.requests == 3) => assert_eq!(totals.spans, 60),
    }
    let (killed, hung) = tokio::join!(sink.kill(), hung);
    assert!(hung.is_err());
    assert_eq!(killed.0.requests, 3);
    let again = Sink::start(&address.to_string(), Mode::Count).await.unwrap();
    assert_eq!(again.address(), address);
    again.stop().await;
}

//! Each row of what the Collector answers over HTTP, over a raw HTTP/1.1 connection.

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{LIMIT, Running, bomb, compressed, within};
use crate::{
    model::{Code, Delivered, Failure, Retry, Side, settings::Compression},
    net::grpc::{self, Status},
};

/// A response as it was on the wire.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Response {
    /// The value of a header, or nothing.
    pub(super) fn header(&self, name: &str) -> &str {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map_or("", |(_, value)| value)
    }
}

/// Sends bytes and reads one response, by its Content-Length.
pub(super) async fn exchange(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &[u8]) -> Response {
    // A refused request may be answered before it is sent whole: the answer is what matters.
    let (mut reader, mut writer) = tokio::io::split(stream);
    let (sent, response) = tokio::join!(writer.write_all(request), within(read_response(&mut reader)));
    drop(sent);
    response
}

pub(super) async fn read_response(reader: &mut (impl AsyncRead + Unpin)) -> Response {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(reader.read_u8().await.expect("a response"));
    }
    let head = String::from_utf8(head).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut response = Response { status, head, body: Vec::new() };
    // A 204 has no body, nor a length.
    response.body = vec![0; response.header("content-length").parse().unwrap_or_default()];
    reader.read_exact(&mut response.body).await.unwrap();
    response
}

/// A request with a Content-Length.
pub(super) fn request(method: &str, path: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: gateway\r\n");
    for header in headers {
        request.push_str(header);
        request.push_str("\r\n");
    }
    request.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    let mut request = request.into_bytes();
    request.extend_from_slice(body);
    request
}

pub(super) const PROTOBUF: &str = "Content-Type: application/x-protobuf";

/// What is expected of a response: status, Content-Type, body.
type Expect<'a> = (u16, &'a str, &'a [u8]);

/// Sends a request that must be refused and counted for a reason.
async fn check(request: Vec<u8>, expect: Expect<'_>, reason: Code) -> Response {
    let running = Running::accepting(1).await;
    let mut stream = TcpStream::connect(running.http).await.unwrap();
    let response = exchange(&mut stream, &request).await;
    assert_eq!(
        (response.status, response.header("content-type"), response.body.as_slice()),
        expect,
        "{response:?}"
    );
    assert_eq!(running.items("http"), (0, 0));
    running.assert_refused("http", reason);
    drop(stream);
    running.end().await;
    response
}

/// The protobuf Status of a 400.
pub(super) fn bad_request(text: &str) -> Vec<u8> {
    Status::new(grpc::Code::InvalidArgument, text).to_rpc_status()
}

// Scenario: bodies in every encoding, of the largest allowed size, in pieces, and under other spellings of the media
// type and the path, all over one connection.
// Guarantees: success with the Collector's response; the connection is kept; items are counted once.
#[tokio::test]
async fn requests_are_accepted() {
    let running = Running::accepting(3).await;
    let mut stream = TcpStream::connect(running.http).await.unwrap();
    let body = vec![7; LIMIT];
    let encoded = |compression| compressed(compression, &body);
    let block = snap::raw::Encoder::new().compress_vec(&body).unwrap();
    let zlib = zlib(&body);
    let stored = lz4_stored(&body[..1000]);
    let mut requests = vec![
        request("POST", "/v1/traces", &[PROTOBUF], &body),
        request("POST", "/v1/traces", &["content-type: Application/X-Protobuf; charset=utf-8"], b""),
        request("POST", "/v1/%74races?a=b", &[PROTOBUF], b"x"),
        b"POST /v1/traces HTTP/1.1\r\nHost: g\r\nContent-Type: application/x-protobuf\r\nTransfer-Encoding: chunked\
          \r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"
            .to_vec(),
    ];
    for (name, body) in [
        ("identity", body.clone()),
        ("gzip", encoded(Compression::Gzip)),
        ("zstd", encoded(Compression::Zstd)),
        ("snappy", block),
        ("snappy", encoded(Compression::Snappy)),
        ("x-snappy-framed", encoded(Compression::Snappy)),
        ("zlib", zlib.clone()),
        ("deflate", zlib),
        ("lz4", encoded(Compression::Lz4)),
        ("lz4", stored),
    ] {
        let header = format!("Content-Encoding: {name}");
        requests.push(request("POST", "/v1/traces", &[PROTOBUF, &header], &body));
    }
    for (index, request) in requests.iter().enumerate() {
        let response = exchange(&mut stream, request).await;
        assert_eq!(
            (response.status, response.header("content-type"), response.body.as_slice()),
            (200, "application/x-protobuf", &b"\x0a\x00"[..]),
            "request {index}: {response:?}"
        );
    }
    assert_eq!(running.items("http"), (3 * requests.len() as u64, 0));
    assert_eq!(running.refusals("http"), []);
    running.end().await;
}

/// An LZ4 frame of one stored block, written by hand; the length must be below 64 KiB + 1.
fn lz4_stored(data: &[u8]) -> Vec<u8> {
    let size = u32::try_from(data.len()).unwrap() | 1 << 31;
    [b"\x04\x22\x4d\x18\x60\x40\x82", &size.to_le_bytes()[..], data, &[0; 4]].concat()
}

fn zlib(data: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

// Scenario: a client that waits for "100 Continue" before it sends its body.
// Guarantees: it is told to go on, and not when the declared body is above the limit.
#[tokio::test]
async fn continue_is_said_only_for_bodies_within_the_limit() {
    let running = Running::accepting(1).await;
    let head = |length: usize| {
        format!(
            "POST /v1/traces HTTP/1.1\r\nHost: g\r\n{PROTOBUF}\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    let mut stream = TcpStream::connect(running.http).await.unwrap();
    stream.write_all(head(2).as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    within(stream.read_exact(&mut interim)).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(exchange(&mut stream, b"ab").await.status, 200);

    let mut stream = TcpStream::connect(running.http).await.unwrap();
    assert_eq!(exchange(&mut stream, head(LIMIT + 1).as_bytes()).await.status, 400);
    running.end().await;
}

// Scenario: wrong methods on a known path.
// Guarantees: 405 with the Collector's text, and an Allow header; a HEAD has no body.
#[tokio::test]
async fn methods_are_refused() {
    let text: &[u8] = b"405 method not allowed, supported: [POST]";
    for method in ["GET", "PUT", "OPTIONS", "DELETE"] {
        let response =
            check(request(method, "/v1/traces", &[], b""), (405, "text/plain", text), Code::Unsupported)
                .await;
        assert_eq!(response.header("allow"), "POST");
    }

    let running = Running::accepting(1).await;
    let mut stream = TcpStream::connect(running.http).await.unwrap();
    stream.write_all(b"HEAD /v1/traces HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 405 ") && answer.ends_with("\r\n\r\n"), "{answer}");
    running.end().await;
}

// Scenario: paths that are not served, among them those of signals without a pipeline.
// Guarantees: Go's 404, letter for letter.
#[tokio::test]
async fn paths_are_refused() {
    for path in ["/", "/v1/traces/", "/V1/traces", "/v1/logs", "/v1/metrics", "/v1development/profiles"] {
        let expect = (404, "text/plain; charset=utf-8", &b"404 page not found\n"[..]);
        let response = check(request("POST", path, &[PROTOBUF], b""), expect, Code::Unsupported).await;
        assert_eq!(response.header("x-content-type-options"), "nosniff");
    }
}

// Scenario: paths that are not clean, asked for by several methods.
// Guarantees: Go's 307 to the clean one, with a body for GET only.
#[tokio::test]
async fn unclean_paths_are_redirected() {
    let html = b"<a href=\"/v1/traces?a=b&amp;c=%27\">Temporary Redirect</a>.\n\n";
    for (method, content_type, body) in
        [("POST", "", &b""[..]), ("GET", "text/html; charset=utf-8", &html[..]), ("PUT", "", b"")]
    {
        let request = request(method, "//v1/x/../traces?a=b&c=%27", &[PROTOBUF], b"");
        let response = check(request, (307, content_type, body), Code::Unsupported).await;
        assert_eq!(response.header("location"), "/v1/traces?a=b&c=%27");
    }
}

// Scenario: media types that are not served, or not well-formed.
// Guarantees: the Collector's 415, byte for byte.
#[tokio::test]
async fn media_types_are_refused() {
    let text: &[u8] = b"415 unsupported media type, supported: [application/json, application/x-protobuf]";
    for headers in [
        &[][..],
        &["Content-Type:"],
        &["Content-Type: application/json; charset"],
        &["Content-Type: text/plain"],
        &["Content-Type: application/x-protobuf2"],
    ] {
        check(request("POST", "/v1/traces", headers, b"x"), (415, "text/plain", text), Code::Unsupported)
            .await;
    }
}

// Scenario: encodings without a decompressor, on requests of each media type and on paths that are not served.
// Guarantees: 400 wins over 404, 405 and 415; the Status is in the encoding of the request, JSON without one.
#[tokio::test]
async fn encodings_are_refused() {
    for encoding in ["br", "GZIP", "gzip, zstd", "none", "lz4f"] {
        let header = format!("Content-Encoding: {encoding}");
        let text = format!("unsupported Content-Encoding: {encoding}");
        let protobuf = bad_request(&text);
        let expect: Expect<'_> = (400, "application/x-protobuf", &protobuf);
        check(request("POST", "/v1/traces", &[PROTOBUF, &header], b"x"), expect, Code::Unsupported).await;
        check(request("GET", "/nothing", &[PROTOBUF, &header], b"x"), expect, Code::Unsupported).await;

        let json = format!(r#"{{"code":3,"message":"{text}"}}"#);
        let expect: Expect<'_> = (400, "application/json", json.as_bytes());
        for content_type in [&[][..], &["Content-Type: application/json"], &["Content-Type: text/plain"]] {
            let headers: Vec<&str> = content_type.iter().copied().chain([header.as_str()]).collect();
            check(request("POST", "/v1/traces", &headers, b"x"), expect, Code::Unsupported).await;
        }
    }
}

// Scenario: a text that goes into JSON holds quotes, backslashes and a tab.
// Guarantees: the JSON stays valid.
#[tokio::test]
async fn json_texts_are_escaped() {
    let request = request("POST", "/v1/traces", &["Content-Encoding: \"\\\t\u{e9}"], b"");
    let json = "{\"code\":3,\"message\":\"unsupported Content-Encoding: \\\"\\\\\\t\u{e9}\"}";
    let response = check(request, (400, "application/json", json.as_bytes()), Code::Unsupported).await;
    let parsed: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(parsed["message"], "unsupported Content-Encoding: \"\\\t\u{e9}");
}

// Scenario: bodies above the limit: as declared, in chunks, and after decompression, a bomb of 40 MiB among them.
// Guarantees: 400 with the Collector's texts, also while the client is still sending.
#[tokio::test]
async fn large_bodies_are_refused() {
    let too_large = bad_request("http: request body too large");
    let snappy_too_large = bad_request("snappy: decoded size exceeds max request body size");
    let large = vec![0; LIMIT + 1];
    let refuse = async |request: Vec<u8>, body: &[u8]| {
        check(request, (400, "application/x-protobuf", body), Code::TooLarge).await;
    };
    let encoded = |name: &str, body: &[u8]| {
        request("POST", "/v1/traces", &[PROTOBUF, &format!("Content-Encoding: {name}")], body)
    };

    refuse(request("POST", "/v1/traces", &[PROTOBUF], &large), &too_large).await;
    refuse(request("POST", "/v1/traces", &[PROTOBUF], &vec![0; 8 * 1024 * 1024]), &too_large).await;
    let endless =
        format!("POST /v1/traces HTTP/1.1\r\nHost: g\r\n{PROTOBUF}\r\nContent-Length: 99999999999\r\n\r\n");
    refuse(endless.into_bytes(), &too_large).await;
    let mut chunked = format!(
        "POST /v1/traces HTTP/1.1\r\nHost: g\r\n{PROTOBUF}\r\nTransfer-Encoding: chunked\r\n\r\n10001\r\n"
    )
    .into_bytes();
    chunked.extend_from_slice(&large);
    refuse(chunked, &too_large).await;
    for (name, compression) in [
        ("gzip", Compression::Gzip),
        ("zstd", Compression::Zstd),
        ("snappy", Compression::Snappy),
        ("x-snappy-framed", Compression::Snappy),
        ("lz4", Compression::Lz4),
    ] {
        refuse(encoded(name, &compressed(compression, &large)), &too_large).await;
    }
    refuse(encoded("zlib", &zlib(&large)), &too_large).await;
    refuse(encoded("gzip", &bomb(40)), &too_large).await;
    let block = snap::raw::Encoder::new().compress_vec(&large).unwrap();
    refuse(encoded("snappy", &block), &snappy_too_large).await;
}

// Scenario: a client goes on sending a body that was refused by its declared length, with the clock paused.
// Guarantees: its connection is not reset under it, which could take the answer from it; it is closed in the end.
#[tokio::test(start_paused = true)]
async fn refused_clients_may_finish_a_write() {
    let running = Running::accepting(1).await;
    let mut stream = TcpStream::connect(running.http).await.unwrap();
    let head =
        format!("POST /v1/traces HTTP/1.1\r\nHost: g\r\n{PROTOBUF}\r\nContent-Length: 99999999\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(read_response(&mut stream).await.status, 400);
    for _ in 0..100 {
        stream.write_all(&[0; 1024]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"");
    running.end().await;
}

// Scenario: bodies that do not decompress.
// Guarantees: 400 with a Status whose text is the decoder's; counted as malformed.
#[tokio::test]
async fn corrupt_bodies_are_refused() {
    for (encoding, text) in [
        ("gzip", "gzip: invalid header"),
        ("zlib", "zlib: invalid header"),
        ("deflate", "zlib: invalid header"),
        ("zstd", "invalid input: magic number mismatch"),
        ("snappy", "snappy: corrupt input"),
        ("x-snappy-framed", "snappy: corrupt input"),
        ("lz4", "lz4: bad magic number"),
    ] {
        let header = format!("Content-Encoding: {encoding}");
        let status = bad_request(text);
        // A block of snappy begins with its length: five bytes here.
        let body: &[u8] = if encoding == "snappy" { b"\x05abc" } else { b"\xf0\xf0 this is not compressed" };
        let expect: Expect<'_> = (400, "application/x-protobuf", &status);
        check(request("POST", "/v1/traces", &[PROTOBUF, &header], body), expect, Code::Malformed).await;
    }
}

// Scenario: a chunked body whose framing is wrong, and one that ends with the connection.
// Guarantees: nothing reaches the pipeline; the request is counted.
#[tokio::test]
async fn broken_bodies_are_refused() {
    let head =
        format!("POST /v1/traces HTTP/1.1\r\nHost: g\r\n{PROTOBUF}\r\nTransfer-Encoding: chunked\r\n\r\n");
    for body in ["xyz\r\n", "5\r\nab"] {
        let running = Running::accepting(1).await;
        let mut stream = TcpStream::connect(running.http).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        within(stream.read_to_end(&mut answer)).await.unwrap();
        assert!(!answer.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&answer));
        assert_eq!(running.items("http"), (0, 0));
        running.assert_refused("http", Code::Cancelled);
        running.end().await;
    }
}

// Scenario: requests that are no HTTP, and HTTP/2 with prior knowledge.
// Guarantees: the connection ends without a success, and the listener goes on.
#[tokio::test]
async fn other_protocols_are_refused() {
    let running = Running::accepting(1).await;
    for bytes in [&b"\x16\x03\x01\x02\x00\x01\x00"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET\r\n\r\n"] {
        let mut stream = TcpStream::connect(running.http).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        within(stream.read_to_end(&mut answer)).await.unwrap();
        assert!(!answer.starts_with(b"HTTP/1.1 2"));
    }
    let mut stream = TcpStream::connect(running.http).await.unwrap();
    assert_eq!(exchange(&mut stream, &request("POST", "/v1/traces", &[PROTOBUF], b"")).await.status, 200);
    running.end().await;
}

// Scenario: the pipeline refuses: for now, for now with a delay, for ever, and with a backend's own status.
// Guarantees: status, Status body and Retry-After of the reply rules; refused items and the reason are counted.
#[tokio::test]
async fn failures_are_passed_on() {
    let after = |millis| Retry::After(Some(std::time::Duration::from_millis(millis)));
    let mut backend = Failure::new(Side::Backend, Code::Rejected, Retry::Never, "no such tenant");
    backend.grpc_status = Some(grpc::Code::PermissionDenied.number());
    for (failure, status, retry_after, code, text) in [
        (
            Failure::busy(Code::QueueFull, "queue of b:4317"),
            503,
            "1",
            grpc::Code::Unavailable,
            "sending queue is full",
        ),
        (
            Failure::new(Side::Gateway, Code::NoBackend, after(2_100), "no backend"),
            503,
            "3",
            grpc::Code::Unavailable,
            "no backend",
        ),
        (Failure::client(Code::Malformed, "bad tag"), 400, "", grpc::Code::InvalidArgument, "bad tag"),
        (backend, 403, "", grpc::Code::PermissionDenied, "no such tenant"),
    ] {
        let running = Running::refusing(2, failure.clone()).await;
        let mut stream = TcpStream::connect(running.http).await.unwrap();
        let response = exchange(&mut stream, &request("POST", "/v1/traces", &[PROTOBUF], b"x")).await;
        assert_eq!((response.status, response.header("retry-after")), (status, retry_after), "{response:?}");
        let retry_delay = match failure.retry {
            Retry::Never => None,
            Retry::After(delay) => Some(delay.unwrap_or(std::time::Duration::from_secs(1))),
        };
        let expect = Status { code, message: text.to_owned(), retry_delay };
        assert_eq!(response.body, expect.to_rpc_status());
        assert_eq!(running.items("http"), (0, 2));
        running.assert_refused("http", failure.code);
        running.end().await;
    }
}

// Scenario: a backend took some items only.
// Guarantees: the client is told how many were not taken, and why.
#[tokio::test]
async fn partial_success_is_passed_on() {
    let delivered = Delivered { rejected: 2, message: "too old".to_owned() };
    let running = Running::start(3, Ok(delivered), super::PATIENCE).await;
    let mut stream = TcpStream::connect(running.http).await.unwrap();
    let response = exchange(&mut stream, &request("POST", "/v1/traces", &[PROTOBUF], b"x")).await;
    assert_eq!((response.status, &*response.body), (200, &b"\x0a\x0b\x08\x02\x12\x07too old"[..]));
    running.end().await;
}

// Scenario: a client sends half its headers and stops, with the clock paused.
// Guarantees: the connection is closed at the time limit for headers.
#[tokio::test(start_paused = true)]
async fn slow_headers_are_cut() {
    let running = Running::accepting(1).await;
    let mut stream = TcpStream::connect(running.http).await.unwrap();
    let started = tokio::time::Instant::now();
    stream.write_all(b"POST /v1/traces HTTP/1.1\r\nHost:").await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(!answer.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(started.elapsed().as_secs(), 120);
    running.end().await;
}

// Scenario: a client falls silent in the middle of its body, with the clock paused.
// Guarantees: it is told to try again within twice the limit of silence, and the connection is closed.
#[tokio::test(start_paused = true)]
async fn silent_bodies_are_refused() {
    let running = Running::accepting(1).await;
    let mut stream = TcpStream::connect(running.http).await.unwrap();
    let started = tokio::time::Instant::now();
    let request = request("POST", "/v1/traces", &[PROTOBUF], b"abcd");
    let (half, _) = request.split_at(request.len() - 2);
    stream.write_all(half).await.unwrap();
    let response = read_response(&mut stream).await;
    assert_eq!((response.status, response.header("retry-after")), (503, "1"));
    assert!((30..=61).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    running.assert_refused("http", Code::Timeout);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    running.end().await;
}

//! What the settings of the HTTP server change: encodings, CORS, headers, paths, connections, metadata, Unix sockets.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
    time::Instant,
};

use super::{
    PATIENCE, Running, compressed,
    http::{PROTOBUF, bad_request, exchange, read_response, request},
    plenty, recorded, settings, within,
};
use crate::{
    model::{
        Signal,
        settings::{Compression, Cors, Encodings, HttpServer, Listen, Secret},
    },
    receiver::Receiver,
    telemetry::Metrics,
};

fn texts<const N: usize>(texts: [&str; N]) -> Vec<std::sync::Arc<str>> {
    texts.map(Into::into).into()
}

/// Sends one request to a receiver with changed settings.
async fn ask(change: impl FnOnce(&mut HttpServer), request: &[u8]) -> super::http::Response {
    let running = Running::http_with(change).await;
    let mut stream = TcpStream::connect(running.http).await.unwrap();
    let response = exchange(&mut stream, request).await;
    drop(stream);
    running.end().await;
    response
}

// Scenario: `compression_algorithms` that name some encodings, the empty one among them or not, or none at all.
// Guarantees: what is not listed is refused with the Collector's text; with no list nothing is decoded.
#[tokio::test]
async fn only_listed_encodings_are_decoded() {
    let gzip = compressed(Compression::Gzip, b"x");
    let check = async |encodings: Encodings, header: &str, expect: Option<&str>| {
        let headers = match header {
            "" => vec![PROTOBUF],
            header => vec![PROTOBUF, header],
        };
        let body = if header.ends_with("gzip") { &gzip[..] } else { b"x" };
        let request = request("POST", "/v1/logs", &headers, body);
        let response = ask(|http| http.encodings = encodings.clone(), &request).await;
        let expect = match expect {
            None => (200, vec![0x0a, 0]),
            Some(text) => (400, bad_request(text)),
        };
        assert_eq!((response.status, response.body), expect, "{encodings:?} {header}");
    };
    let (gzip, identity) = ("Content-Encoding: gzip", "Content-Encoding: identity");
    let only = |names: &[&str]| Encodings::Only(names.iter().copied().map(Into::into).collect());
    check(only(&["", "gzip"]), gzip, None).await;
    check(only(&["", "gzip"]), "", None).await;
    check(only(&["", "gzip"]), identity, None).await;
    check(only(&["", "zstd"]), gzip, Some("unsupported Content-Encoding: gzip")).await;
    check(only(&["gzip"]), "", Some("unsupported Content-Encoding: ")).await;
    check(only(&["gzip"]), identity, Some("unsupported Content-Encoding: identity")).await;
    check(only(&["zlib"]), "Content-Encoding: deflate", Some("unsupported Content-Encoding: deflate")).await;
    check(Encodings::Off, gzip, None).await;
    check(Encodings::Off, "Content-Encoding: anything", None).await;
}

fn cors(http: &mut HttpServer) {
    http.cors = Some(Cors {
        allowed_origins: texts(["https://page.example"]),
        allowed_headers: Vec::new(),
        exposed_headers: texts(["retry-after"]),
        max_age_seconds: 7200,
    });
}

// Scenario: a browser's preflight, on a served path and on another, then requests that succeed and fail.
// Guarantees: a preflight is 204 before anything else is checked, and no refusal; errors can be read by the page too.
#[tokio::test]
async fn pages_are_answered() {
    let running = Running::http_with(cors).await;
    let mut stream = TcpStream::connect(running.http).await.unwrap();
    let origin = "Origin: https://page.example";
    for path in ["/v1/traces", "/nothing"] {
        let preflight = [
            origin,
            "Access-Control-Request-Method: POST",
            "Access-Control-Request-Headers: content-type",
            "Content-Encoding: unknown",
        ];
        let response = exchange(&mut stream, &request("OPTIONS", path, &preflight, b"")).await;
        assert_eq!((response.status, response.header("content-type")), (204, ""), "{response:?}");
        for (name, value) in [
            ("access-control-allow-origin", "https://page.example"),
            ("access-control-allow-methods", "POST"),
            ("access-control-allow-headers", "content-type"),
            ("access-control-allow-credentials", "true"),
            ("access-control-max-age", "7200"),
            ("vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
        ] {
            assert_eq!(response.header(name), value, "{response:?}");
        }
    }
    assert_eq!(running.refusals("http"), []);

    for (method, path, status) in [
        ("POST", "/v1/traces", 200),
        ("POST", "/nothing", 404),
        ("GET", "/v1/traces", 405),
        ("POST", "//", 307),
    ] {
        let response = exchange(&mut stream, &request(method, path, &[PROTOBUF, origin], b"")).await;
        assert_eq!(
            (
                response.status,
                response.header("access-control-allow-origin"),
                response.header("access-control-expose-headers"),
                response.header("vary"),
            ),
            (status, "https://page.example", "Retry-After", "Origin"),
            "{response:?}"
        );
    }
    running.end().await;
}

// Scenario: headers for every response, among them some that answers have themselves and some that are none.
// Guarantees: every answer has them, errors and preflights too; an answer's own headers win; Vary adds up.
#[tokio::test]
async fn response_headers_are_on_every_answer() {
    let change = |http: &mut HttpServer| {
        cors(http);
        http.response_headers = [
            ("X-Site", "a"),
            ("x-site", "b"),
            ("content-type", "text/x"),
            ("vary", "X-Site"),
            ("no header", "x"),
            ("x-bad", "a\nb"),
        ]
        .map(|(name, value)| (name.into(), Secret::new(value)))
        .into();
    };
    let running = Running::http_with(change).await;
    let mut stream = TcpStream::connect(running.http).await.unwrap();
    let preflight = ["Access-Control-Request-Method: POST"];
    for (request, status, content_type) in [
        (request("POST", "/v1/traces", &[PROTOBUF], b""), 200, "application/x-protobuf"),
        (request("POST", "/nothing", &[PROTOBUF], b""), 404, "text/plain; charset=utf-8"),
        (request("OPTIONS", "/v1/traces", &preflight, b""), 204, "text/x"),
    ] {
        let response = exchange(&mut stream, &request).await;
        assert_eq!((response.status, response.header("content-type")), (status, content_type));
        assert_eq!((response.header("x-site"), response.header("x-bad")), ("b", ""), "{response:?}");
        let vary = response.head.lines().filter(|line| line.to_lowercase().starts_with("vary: "));
        assert_eq!(vary.count(), 2, "{response:?}");
    }
    running.end().await;
}

// Scenario: a path of one's own for each signal.
// Guarantees: each signal is served there and counted as itself, and no longer under its usual path.
#[tokio::test]
async fn paths_are_configurable() {
    let running = Running::http_with(|http| http.paths = ["/t", "/m/", "/l"].map(Into::into)).await;
    let mut stream = TcpStream::connect(running.http).await.unwrap();
    for (path, status) in [("/t", 200), ("/m/x", 200), ("/m/", 200), ("/l", 200), ("/v1/traces", 404)] {
        let response = exchange(&mut stream, &request("POST", path, &[PROTOBUF], b"")).await;
        assert_eq!(response.status, status, "{path}");
    }
    let counted = Signal::ALL.map(|signal| running.items_of("http", signal));
    assert_eq!(counted, [(1, 0), (2, 0), (1, 0)]);
    running.end().await;
}

// Scenario: connections that are not to be kept.
// Guarantees: the first answer says so, and the connection is closed.
#[tokio::test]
async fn connections_are_not_kept_if_off() {
    let running = Running::http_with(|http| http.keep_alive = false).await;
    let mut stream = TcpStream::connect(running.http).await.unwrap();
    let response = exchange(&mut stream, &request("POST", "/v1/traces", &[PROTOBUF], b"")).await;
    assert_eq!((response.status, response.header("connection")), (200, "close"));
    let mut rest = Vec::new();
    within(stream.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, b"");
    running.end().await;
}

/// Time until the connection is closed, and whether anything came before.
async fn closed(stream: &mut TcpStream) -> (Duration, usize) {
    let started = Instant::now();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    (started.elapsed(), rest.len())
}

// Scenario: time limits for idle connections and for heads, apart from each other, with the clock paused.
// Guarantees: a pause between requests has the one limit and a slow head the other; neither counts while a request is
// served.
#[tokio::test(start_paused = true)]
async fn idle_connections_and_heads_have_limits() {
    let change = |http: &mut HttpServer| {
        http.idle_timeout = Some(Duration::from_secs(90));
        http.read_header_timeout = Some(Duration::from_secs(5));
    };
    let running = Running::http_with(change).await;
    let whole = request("POST", "/v1/traces", &[PROTOBUF], b"ab");

    let mut idle = TcpStream::connect(running.http).await.unwrap();
    assert_eq!(exchange(&mut idle, &whole).await.status, 200);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(exchange(&mut idle, &whole).await.status, 200);
    assert_eq!(closed(&mut idle).await, (Duration::from_secs(90), 0));

    let mut slow = TcpStream::connect(running.http).await.unwrap();
    assert_eq!(exchange(&mut slow, &whole).await.status, 200);
    tokio::time::sleep(Duration::from_secs(60)).await;
    slow.write_all(b"POST /v1/tra").await.unwrap();
    assert_eq!(closed(&mut slow).await, (Duration::from_secs(5), 0));

    // A body that takes longer than either, but is never silent.
    let mut body = TcpStream::connect(running.http).await.unwrap();
    // A paused clock does not wait for the kernel's timers.
    body.set_nodelay(true).unwrap();
    let head = format!("POST /v1/traces HTTP/1.1\r\nHost: g\r\n{PROTOBUF}\r\nContent-Length: 8\r\n\r\n");
    body.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_secs(20)).await;
        body.write_all(b"x").await.unwrap();
    }
    assert_eq!(read_response(&mut body).await.status, 200);

    // From the connection's start, no byte at all.
    let mut unused = TcpStream::connect(running.http).await.unwrap();
    assert_eq!(closed(&mut unused).await, (Duration::from_secs(90), 0));
    running.end().await;
}

// Scenario: two exporters' headers are asked for, with `include_metadata` and without.
// Guarantees: just these go to the router, with it; without it nothing does.
#[tokio::test]
async fn forwarded_headers_are_kept() {
    for include_metadata in [true, false] {
        let mut settings = settings();
        settings.http.as_mut().unwrap().include_metadata = include_metadata;
        let (routes, seen) = recorded(&["host", "x-tenant"]);
        let running = Running::with(&settings, &routes, PATIENCE).await;
        let mut stream = TcpStream::connect(running.http).await.unwrap();
        let headers = [PROTOBUF, "X-Tenant: a", "X-Other: o", "x-tenant: b"];
        assert_eq!(exchange(&mut stream, &request("POST", "/v1/metrics", &headers, b"m")).await.status, 200);
        let (signal, body, metadata) = seen.lock().unwrap().pop().unwrap();
        assert_eq!((signal, &*body), (Signal::Metrics, &b"m"[..]));
        let kept: Vec<_> = metadata.pairs().iter().map(|(name, value)| (&**name, &**value)).collect();
        let expect: &[(&str, &[u8])] = &[("host", b"gateway"), ("x-tenant", b"a"), ("x-tenant", b"b")];
        assert_eq!(kept, if include_metadata { expect } else { &[] });
        running.end().await;
    }
}

// Scenario: HTTP over a Unix socket, and a second receiver on the same path.
// Guarantees: it is served and drained like any other, its file is removed, and a path in use is an error.
#[tokio::test]
async fn unix_sockets_are_served() {
    let path = std::env::temp_dir().join(format!("ringway-http-{}.sock", std::process::id()));
    let mut settings = settings();
    settings.grpc = None;
    settings.http.as_mut().unwrap().listen = Listen::Unix(path.to_str().unwrap().into());
    let (routes, _) = recorded(&[]);
    let metrics = Metrics::new();
    let receiver = Receiver::bind(&settings, &routes, &metrics, &plenty()).await.unwrap();
    assert_eq!(receiver.grpc_address(), None);
    let taken = Receiver::bind(&settings, &routes, &metrics, &plenty()).await.unwrap_err();
    assert_eq!(taken.to_string(), format!("cannot listen on {}", path.display()));

    let stop = tokio_util::sync::CancellationToken::new();
    let serving = crate::tasks::Tasks::new().spawn("receiver", receiver.serve(stop.clone(), PATIENCE));
    let mut stream = UnixStream::connect(&path).await.unwrap();
    let (half, rest) = b"POST /v1/logs HTTP/1.1\r\nHost: g\r\nContent-Type: application/x-protobuf\r\n\
                         Expect: 100-continue\r\nContent-Length: 2\r\n\r\nab"
        .split_last_chunk::<2>()
        .unwrap();
    stream.write_all(half).await.unwrap();
    let mut interim = [0; 25];
    within(stream.read_exact(&mut interim)).await.unwrap();
    stop.cancel();
    while path.exists() {
        within(tokio::task::yield_now()).await;
    }
    stream.write_all(rest).await.unwrap();
    assert_eq!(within(read_response(&mut stream)).await.status, 200);
    within(serving).await.unwrap();
    assert_eq!(metrics.receiver("otlp", "http", Signal::Logs).accepted.get(), 1);
}

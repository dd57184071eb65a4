//! Requests against peers on loopback that read and write HTTP/1.1 as bytes, to end connections where a server would not.
//!
//! Clocks are paused only while nothing has to arrive over a socket: the paused clock jumps as soon as all tasks wait.

mod peer;

use futures_util::future::join_all;
use tokio::net::TcpListener;

use self::peer::{Act, Peer};
use super::*;

/// Longer than any test takes, so that it never decides one.
const LONG: Option<Duration> = Some(Duration::from_secs(60));

const OK: Act = Act::Reply("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");

const KEPT: settings::HttpClient =
    settings::HttpClient { max_connections: None, keep_alive: true, idle_timeout: None };

fn client(address: &str, settings: &settings::HttpClient) -> HttpClient {
    let url = format!("http://{address}/v1/traces?a=b");
    HttpClient::new(&url, HeaderMap::new(), settings, Tasks::new())
}

async fn post(client: &HttpClient, timeout: Option<Duration>) -> Result<Response, CallError> {
    client.post(Bytes::from_static(b"request"), None, timeout).await
}

#[track_caller]
fn check_ok(answer: Result<Response, CallError>, body: &str) {
    let response = answer.unwrap();
    assert_eq!((response.status, response.body.as_deref()), (StatusCode::OK, Ok(body.as_bytes())));
}

#[track_caller]
fn check_not_sent(answer: Result<Response, CallError>, text: &str) {
    match answer {
        Err(CallError::NotSent(error)) => assert!(error.contains(text), "{error:?}, expected {text:?}"),
        other => panic!("{other:?}, expected not sent: {text}"),
    }
}

#[track_caller]
fn check_broken(answer: &Result<Response, CallError>) {
    assert!(matches!(answer, Err(CallError::Broken(_))), "{answer:?}");
}

// Scenario: a request with headers of the client and of its own, some of which frame it or are the client's already.
// Guarantees: the bytes on the wire: origin form, Host, Content-Length; the caller's headers win, those that frame are left out.
#[tokio::test]
async fn a_request_on_the_wire() {
    let peer = Peer::start([vec![OK]]).await;
    let mut headers = HeaderMap::new();
    for (name, value) in
        [("content-type", "x/y"), ("tenant", "usual"), ("content-length", "99"), ("connection", "close")]
    {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let url = format!("http://{}/otlp?key=k", peer.address());
    let client = HttpClient::new(&url, headers, &KEPT, Tasks::new());
    let mut own = HeaderMap::new();
    own.append("tenant", HeaderValue::from_static("a"));
    own.append("tenant", HeaderValue::from_static("b"));
    check_ok(client.post(Bytes::from_static(b"request"), Some(&own), LONG).await, "ok");
    let seen = peer.requests();
    let (head, body) = &seen[0];
    assert_eq!(body, b"request");
    let mut lines: Vec<_> = head.trim_end().split("\r\n").collect();
    assert_eq!(lines.remove(0), "POST /otlp?key=k HTTP/1.1");
    lines.sort_unstable();
    let host = format!("host: {}", peer.address());
    let agent = concat!("user-agent: ringway/", env!("CARGO_PKG_VERSION"));
    let expect = ["content-length: 7", "content-type: x/y", host.as_str(), "tenant: a", "tenant: b", agent];
    assert_eq!(lines, expect);
}

// Scenario: configured Host and User-Agent; keep-alive off.
// Guarantees: both replace ours; each request says `Connection: close` and has its own connection.
#[tokio::test]
async fn configured_headers_replace_ours() {
    let peer = Peer::start([vec![OK, OK], vec![OK]]).await;
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static("virtual"));
    headers.insert("user-agent", HeaderValue::from_static("me"));
    let url = format!("http://{}", peer.address());
    let client =
        HttpClient::new(&url, headers, &settings::HttpClient { keep_alive: false, ..KEPT }, Tasks::new());
    for _ in 0..2 {
        check_ok(post(&client, LONG).await, "ok");
    }
    assert_eq!(peer.connections(), 2);
    for (head, _) in peer.requests() {
        assert!(head.starts_with("POST / HTTP/1.1\r\n"), "{head}");
        for line in ["host: virtual", "user-agent: me", "connection: close"] {
            assert!(head.split("\r\n").any(|found| found == line), "{line} is missing in {head}");
        }
    }
}

// Scenario: requests one after the other; then three at once; then one after the other again.
// Guarantees: one connection serves what comes in turn; more are made only while none is idle, and all are kept.
#[tokio::test]
async fn connections_are_used_again() {
    let peer = Peer::start(vec![vec![OK; 20]; 3]).await;
    let client = client(peer.address(), &KEPT);
    for _ in 0..5 {
        check_ok(post(&client, LONG).await, "ok");
    }
    assert_eq!(peer.connections(), 1);
    for answer in join_all((0..3).map(|_| post(&client, LONG))).await {
        check_ok(answer, "ok");
    }
    for _ in 0..5 {
        check_ok(post(&client, LONG).await, "ok");
    }
    assert_eq!(peer.connections(), 3);
}

// Scenario: at most two connections and five requests at once; then one request that hangs with one place only.
// Guarantees: never more connections than allowed; who waits for a place in vain was certainly not sent.
#[tokio::test]
async fn connections_are_limited() {
    let peer = Peer::start(vec![vec![OK; 20]; 5]).await;
    let two = client(peer.address(), &settings::HttpClient { max_connections: Some(2), ..KEPT });
    for answer in join_all((0..5).map(|_| post(&two, LONG))).await {
        check_ok(answer, "ok");
    }
    assert!(peer.connections() <= 2);

    let peer = Peer::start([vec![Act::Hang]]).await;
    let one = client(peer.address(), &settings::HttpClient { max_connections: Some(1), ..KEPT });
    let (first, second) = tokio::join!(
        biased;
        post(&one, Some(Duration::from_millis(200))),
        post(&one, Some(Duration::from_millis(50))),
    );
    assert_eq!(first.unwrap_err(), CallError::Deadline);
    check_not_sent(second, "waiting for a free connection");
}

// Scenario: the peer closes a kept connection while it is idle, with and without time to notice.
// Guarantees: the next request goes out on a new connection and is answered; the peer sees it once.
#[tokio::test]
async fn a_connection_closed_while_idle_costs_nothing() {
    let peer = Peer::start([vec![OK, Act::CloseIdle], vec![OK]]).await;
    let client = client(peer.address(), &KEPT);
    check_ok(post(&client, LONG).await, "ok");
    peer.closed().await;
    check_ok(post(&client, LONG).await, "ok");
    assert_eq!((peer.connections(), peer.requests().len()), (2, 2));
}

// Scenario: a reset arrives on a kept connection together with a request that is larger than any socket buffer.
// Guarantees: what the peer cannot have had whole is sent again at once; the second peer gets all of it.
#[tokio::test]
async fn half_a_request_is_sent_again() {
    let peer = Peer::start([vec![OK, Act::ResetWhileReading], vec![OK]]).await;
    let client = client(peer.address(), &KEPT);
    check_ok(post(&client, LONG).await, "ok");
    let large = Bytes::from(vec![7; 64 << 20]);
    check_ok(client.post(large.clone(), None, LONG).await, "ok");
    let seen = peer.requests();
    assert_eq!((peer.connections(), seen.len()), (2, 2));
    assert_eq!(seen[1].1.len(), large.len());
}

// Scenario: a peer takes a request whole, on a kept connection and on a new one, and closes without an answer.
// Guarantees: it may have been processed, so it is not sent again and the caller is told.
#[tokio::test]
async fn a_request_without_an_answer_is_ambiguous() {
    let peer = Peer::start([vec![OK, Act::CloseUnanswered], vec![Act::CloseUnanswered]]).await;
    let client = client(peer.address(), &KEPT);
    check_ok(post(&client, LONG).await, "ok");
    check_broken(&post(&client, LONG).await);
    check_broken(&post(&client, LONG).await);
    assert_eq!((peer.connections(), peer.requests().len()), (2, 3));
}

// Scenario: nobody listens; the name does not exist; URLs that are not served.
// Guarantees: not sent, and the text says why without the query, which may hold a key.
#[tokio::test]
async fn what_cannot_be_reached_was_not_sent() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    check_not_sent(post(&client(&free.to_string(), &KEPT), LONG).await, "cannot connect to 127.0.0.1");
    check_not_sent(post(&client("ringway.invalid:1", &KEPT), LONG).await, "cannot resolve ringway.invalid:1");
    for (url, text) in [
        ("https://h:1/x?key=secret", "cannot connect to https://h:1/x: TLS is not supported yet"),
        ("h:1", "not an http:// URL"),
        ("http://a b", "not a URL"),
        ("http://user@h:1", "not of the form"),
    ] {
        let client = HttpClient::new(url, HeaderMap::new(), &KEPT, Tasks::new());
        let answer = post(&client, LONG).await;
        assert!(!format!("{answer:?}").contains("secret"));
        check_not_sent(answer, text);
    }
}

// Scenario: the peer does not answer; does not read; answers slowly behind a head that came in time.
// Guarantees: the timeout ends each; after the whole request it is ambiguous, before that it is not; a late body is its own error.
#[tokio::test]
async fn the_timeout_bounds_everything() {
    let limit = Some(Duration::from_millis(100));
    let hangs = Peer::start([vec![Act::Hang]]).await;
    assert_eq!(post(&client(hangs.address(), &KEPT), limit).await.unwrap_err(), CallError::Deadline);

    let deaf = Peer::start([vec![Act::Deaf]]).await;
    let large = Bytes::from(vec![7; 64 << 20]);
    let answer = client(deaf.address(), &KEPT).post(large, None, limit).await;
    check_not_sent(answer, "deadline exceeded before the request was sent");

    let slow =
        Peer::start([vec![Act::ReplyAndHang("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")]]).await;
    let response = post(&client(slow.address(), &KEPT), limit).await.unwrap();
    assert_eq!(response.body, Err("deadline exceeded".to_owned()));
}

// Scenario: answers without a length, chunked, informational ones in front, above the limit, broken off, and garbage.
// Guarantees: bodies are read to their end or the limit; a connection whose answer was not read whole is not used again.
#[tokio::test]
async fn answers_in_every_form() {
    let forms = [
        ("HTTP/1.1 200 OK\r\n\r\nuntil the end", "until the end"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", "abc"),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx", "x"),
        ("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx", "x"),
    ];
    for (answer, body) in forms {
        let peer = Peer::start([vec![Act::ReplyAndClose(answer)]]).await;
        check_ok(post(&client(peer.address(), &KEPT), LONG).await, body);
    }
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n";
    let long: &'static str = Box::leak(format!("{head}{}", "x".repeat(100_000)).into_boxed_str());
    let peer = Peer::start([vec![Act::Reply(long), OK], vec![OK]]).await;
    let kept = client(peer.address(), &KEPT);
    assert_eq!(post(&kept, LONG).await.unwrap().body.unwrap().len(), RESPONSE_LIMIT_BYTES);
    check_ok(post(&kept, LONG).await, "ok");
    assert_eq!(peer.connections(), 2);

    let cut = "HTTP/1.1 503 Busy\r\ncontent-length: 9\r\n\r\nhalf";
    let peer = Peer::start([vec![Act::ReplyAndClose(cut)]]).await;
    let response = post(&client(peer.address(), &KEPT), LONG).await.unwrap();
    assert!(response.status == StatusCode::SERVICE_UNAVAILABLE && response.body.is_err());

    let garbage = Peer::start([vec![Act::ReplyAndClose("hello\r\n\r\n")]]).await;
    check_broken(&post(&client(garbage.address(), &KEPT), LONG).await);
}

// Scenario: connections are idle for less and for more than the limit; then the client is dropped.
// Guarantees: an old one is closed without a request asking for it, a younger one is kept; none outlives the client.
#[tokio::test]
async fn idle_connections_end() {
    let peer = Peer::start(vec![vec![OK; 3]; 3]).await;
    let limit = Duration::from_millis(150);
    let tasks = Tasks::new();
    let settings = settings::HttpClient { idle_timeout: Some(limit), ..KEPT };
    let url = format!("http://{}/", peer.address());
    let client = HttpClient::new(&url, HeaderMap::new(), &settings, tasks.clone());
    check_ok(post(&client, LONG).await, "ok");
    check_ok(post(&client, LONG).await, "ok");
    let before = Instant::now();
    peer.closed().await;
    assert!(before.elapsed() >= limit / 2, "closed after {:?}", before.elapsed());
    check_ok(post(&client, LONG).await, "ok");
    assert_eq!(peer.connections(), 2);
    drop(client);
    tasks.ended().await;
}

// Scenario: the caller gives up while it waits for an answer.
// Guarantees: the connection is closed, and not kept for the next request.
#[tokio::test]
async fn a_dropped_request_closes_its_connection() {
    let peer = Peer::start([vec![Act::Hang], vec![OK]]).await;
    let client = client(peer.address(), &KEPT);
    tokio::select! {
        biased;
        answer = post(&client, LONG) => panic!("{answer:?}"),
        () = peer.requested() => {}
    }
    peer.closed().await;
    check_ok(post(&client, LONG).await, "ok");
}

//! The memory budget over real sockets: what bodies hold, and what a client hears when there is no room.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    LIMIT, PATIENCE, Running, compressed,
    grpc::{Client, framed, request as call},
    http::{PROTOBUF, Response, exchange, request},
    recorded, settings, within,
};
use crate::{
    admission::{Account, Budget, Permit},
    model::{Code, settings::Compression},
    net::grpc::{self, Status},
    receiver::memory::STEP_BYTES,
    router::Seen,
};

/// What the Collector's memory limiter says.
const REFUSED: &str = "data refused due to high memory usage";

/// A receiver that accepts everything, on a budget of its own, and what it has accepted.
struct Scene {
    running: Running,
    budget: Budget,
    account: Account,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Scene {
    async fn start(bytes: usize, settings: &settings::Receiver) -> Self {
        let budget = Budget::new(bytes);
        let account = budget.account();
        let (routes, seen) = recorded(&[]);
        let running = Running::holding(settings, &routes, PATIENCE, &account).await;
        Self { running, budget, account, seen }
    }

    /// What is held once the router has done with everything.
    fn held_afterwards(&self) -> usize {
        self.seen.lock().unwrap().clear();
        self.budget.held()
    }
}

/// Everything that one account can have now.
fn take_all(account: &Account) -> Vec<Permit> {
    std::iter::from_fn(|| account.take(1024).ok())
        .chain(std::iter::from_fn(|| account.take(1).ok()))
        .collect()
}

async fn over_grpc(running: &Running, message: &[u8]) -> Status {
    Client::connect(running).await.call(call(&[]), &[&framed(false, message)]).await.status
}

async fn over_http(running: &Running, headers: &[&str], body: &[u8]) -> Response {
    let mut stream = TcpStream::connect(running.http).await.unwrap();
    exchange(&mut stream, &request("POST", "/v1/traces", headers, body)).await
}

/// Waits until the budget holds what it should.
async fn held(budget: &Budget, expect: impl Fn(usize) -> bool) -> usize {
    within(async {
        loop {
            let held = budget.held();
            if expect(held) {
                return held;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

// Scenario: the budget is held by others when requests come over both transports; then it is free again.
// Guarantees: UNAVAILABLE with RetryInfo, or 503 with Retry-After, in the Collector's words, counted as refused for memory;
// nothing is held for them; the same requests are accepted once there is room, and hold nothing when answered.
#[tokio::test]
async fn without_room_requests_are_refused_as_retryable() {
    let scene = Scene::start(1 << 20, &settings()).await;
    let Scene { running, budget, account, .. } = &scene;
    let taken = take_all(account);
    let full = budget.held();

    let status = over_grpc(running, b"body").await;
    assert_eq!((status.code, status.message.as_str()), (grpc::Code::Unavailable, REFUSED));
    assert_eq!(status.retry_delay, Some(Duration::from_secs(1)));
    let response = over_http(running, &[PROTOBUF], b"body").await;
    assert_eq!((response.status, response.header("retry-after")), (503, "1"));
    assert_eq!(response.body, status.to_rpc_status());

    running.assert_refused("grpc", Code::MemoryFull);
    running.assert_refused("http", Code::MemoryFull);
    assert_eq!(running.metrics.memory().refused.get(), 2);
    assert_eq!((running.items("grpc"), running.items("http")), ((0, 0), (0, 0)));
    assert_eq!(budget.held(), full);

    drop(taken);
    assert_eq!(over_grpc(running, b"body").await.code, grpc::Code::Ok);
    assert_eq!(over_http(running, &[PROTOBUF], b"body").await.status, 200);
    assert_eq!(scene.held_afterwards(), 0);
    scene.running.end().await;
}

// Scenario: a body has room, what it decompresses to has not.
// Guarantees: refused as any body without room, and what was held is given back.
#[tokio::test]
async fn what_a_body_becomes_needs_room_too() {
    let scene = Scene::start(1 << 20, &settings()).await;
    let Scene { running, budget, account, .. } = &scene;
    let mut taken = take_all(account);
    // Room for the compressed body and its step, not for the rest.
    let full = budget.held();
    while full - budget.held() < LIMIT / 2 {
        taken.pop();
    }
    let (left, packed) = (budget.held(), compressed(Compression::Gzip, &vec![0; LIMIT]));
    let encoding = [("grpc-encoding", "gzip")];
    let client = Client::connect(running).await;
    let status = client.call(call(&encoding), &[&framed(true, &packed)]).await.status;
    assert_eq!((status.code, status.message.as_str()), (grpc::Code::Unavailable, REFUSED));
    let response = over_http(running, &[PROTOBUF, "Content-Encoding: gzip"], &packed).await;
    assert_eq!((response.status, response.header("retry-after")), (503, "1"));
    assert_eq!(budget.held(), left);
    drop(taken);
    assert_eq!(client.call(call(&encoding), &[&framed(true, &packed)]).await.status.code, grpc::Code::Ok);
    assert_eq!(scene.held_afterwards(), 0);
    scene.running.end().await;
}

// Scenario: limits of 2 GiB; 1 GiB is declared over both transports, on a small budget, and on one that has room for it.
// Guarantees: what the budget never allows is refused for good, before it is read or held; what it allows holds a step until it
// comes, and nothing when its client is gone.
#[tokio::test]
async fn declared_lengths_hold_nothing() {
    const GIB: usize = 1 << 30;
    let mut settings = settings();
    settings.grpc.as_mut().unwrap().max_message_bytes = 2 * GIB;
    settings.http.as_mut().unwrap().max_body_bytes = 2 * GIB;
    let prefix = grpc::Prefix::new(false, GIB).unwrap().to_bytes();
    let head =
        format!("POST /v1/traces HTTP/1.1\r\nHost: g\r\n{PROTOBUF}\r\nContent-Length: {GIB}\r\n\r\nbody");
    for (bytes, fits) in [(GIB, false), (8 * GIB, true)] {
        let Scene { running, budget, .. } = Scene::start(bytes, &settings).await;
        let client = Client::connect(&running).await;
        let (response, stream) = open(&client.sender, &prefix).await;
        if fits {
            held(&budget, |held| held == STEP_BYTES).await;
            drop((response, stream, client));
        } else {
            let status = Status::from_headers(within(response).await.unwrap().headers()).unwrap();
            assert_eq!((status.code, status.retry_delay), (grpc::Code::InvalidArgument, None));
            running.assert_refused("grpc", Code::TooLarge);
        }
        held(&budget, |held| held == 0).await;

        let mut stream = TcpStream::connect(running.http).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        if fits {
            held(&budget, |held| held == STEP_BYTES).await;
            drop(stream);
        } else {
            let mut answer = [0; 12];
            within(stream.read_exact(&mut answer)).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 400");
            running.assert_refused("http", Code::TooLarge);
        }
        held(&budget, |held| held == 0).await;
        running.end().await;
    }
}

// Scenario: plain, compressed and JSON requests whose bodies the router keeps.
// Guarantees: what is held is what the router has, to the byte: not what it was made of; it is given back with the last reference.
#[tokio::test]
async fn permits_end_with_the_last_reference() {
    let scene = Scene::start(1 << 20, &settings()).await;
    let Scene { running, budget, seen, .. } = &scene;
    let (body, json) = (vec![7; 1000], br#"{"resourceSpans":[{"schemaUrl":"s"}]}"#);
    let packed = compressed(Compression::Gzip, &body);
    let gzip = "Content-Encoding: gzip";
    let client = Client::connect(running).await;

    assert_eq!(client.call(call(&[]), &[&framed(false, &body)]).await.status.code, grpc::Code::Ok);
    let message = framed(true, &packed);
    assert_eq!(
        client.call(call(&[("grpc-encoding", "gzip")]), &[&message]).await.status.code,
        grpc::Code::Ok
    );
    assert_eq!(over_http(running, &[PROTOBUF], &body).await.status, 200);
    assert_eq!(over_http(running, &[PROTOBUF, gzip], &packed).await.status, 200);
    let chunked = format!(
        "POST /v1/traces HTTP/1.1\r\nHost: g\r\n{PROTOBUF}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    );
    let mut stream = TcpStream::connect(running.http).await.unwrap();
    assert_eq!(exchange(&mut stream, chunked.as_bytes()).await.status, 200);
    assert_eq!(over_http(running, &["Content-Type: application/json"], json).await.status, 200);

    let kept: Vec<usize> = seen.lock().unwrap().iter().map(|(_, body, _)| body.len()).collect();
    assert_eq!((kept.len(), &kept[..5]), (6, &[1000, 1000, 1000, 1000, 3][..]));
    assert!((1..json.len()).contains(&kept[5]), "{kept:?}");
    assert_eq!(budget.held(), kept.iter().sum::<usize>());
    assert_eq!(scene.held_afterwards(), 0);
    scene.running.end().await;
}

/// Begins a call whose message does not end.
async fn open(
    sender: &SendRequest<Bytes>,
    start: &[u8],
) -> (h2::client::ResponseFuture, h2::SendStream<Bytes>) {
    let mut sender = sender.clone().ready().await.unwrap();
    let (response, mut stream) = sender.send_request(call(&[]), false).unwrap();
    stream.send_data(Bytes::copy_from_slice(start), false).unwrap();
    (response, stream)
}

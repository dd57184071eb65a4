//! The admin listeners over real sockets.

use std::time::{Duration, UNIX_EPOCH};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};

use super::*;
use crate::{model::Signal, tasks::Tasks};

/// No answer on loopback takes this long.
const PATIENCE: Duration = Duration::from_secs(20);

struct Running {
    health_address: SocketAddr,
    metrics_address: SocketAddr,
    health: Health,
    metrics: Metrics,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Running {
    async fn start(path: &str, response_body: Option<(&str, &str)>) -> Self {
        let settings = settings::HealthCheck {
            endpoint: Arc::from("127.0.0.1:0"),
            path: Arc::from(path),
            response_body: response_body
                .map(|(healthy, unhealthy)| (Arc::from(healthy), Arc::from(unhealthy))),
        };
        let (health, metrics) = (Health::new(), Metrics::new());
        let readers = [Arc::from("127.0.0.1:0")];
        let admin = Admin::bind(Some(&settings), &readers, &health, &Views::new(), &metrics).await.unwrap();
        let (health_address, metrics_address) =
            (admin.health_address().unwrap(), *admin.metrics_addresses().first().unwrap());
        let stop = CancellationToken::new();
        let serving = Tasks::new().spawn("admin", admin.serve(stop.clone()));
        Self { health_address, metrics_address, health, metrics, stop, serving }
    }

    async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.serving).await.unwrap().unwrap();
    }
}

/// One request on a connection of its own: (status, Content-Type, body). Reads to the end, so it also shows that
/// the connection is closed.
async fn get(address: SocketAddr, method: &str, path: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: gateway\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let content_type = head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap_or_default();
    (status, content_type.to_owned(), body.to_owned())
}

/// What a path answers.
async fn check(address: SocketAddr, path: &str, expect: (u16, &str, &str)) {
    let (status, content_type, body) = get(address, "GET", path).await;
    assert_eq!((status, content_type.as_str(), body.as_str()), expect, "{path}");
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const UNAVAILABLE: &str = r#"{"status":"Server not available","upSince":"0001-01-01T00:00:00Z","uptime":""}"#;

// Scenario: probes at every stage of the process's life, on the Collector's path and on the separate ones.
// Guarantees: the Collector's statuses and bodies; the process is alive throughout, and ready only between the two
// changes; a stop is never taken back.
#[tokio::test]
async fn probes_follow_the_state() {
    let running = Running::start("/", None).await;
    let address = running.health_address;
    for (stage, ready) in [("starting", false), ("ready", true), ("stopping", false), ("stopping", false)] {
        if ready {
            let (status, content_type, body) = get(address, "POST", "/below/it?verbose").await;
            assert_eq!((status, content_type.as_str()), (200, "application/json"));
            let body: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(body["status"], "Server available");
            assert_eq!(body["upSince"], "2024-02-29T12:34:56.5Z");
            assert!(body["uptime"].as_str().unwrap().ends_with('s'), "{body}");
            check(
                address,
                "/readyz",
                (200, JSON, "{\"status\":\"ready\",\"reason\":\"\",\"resolvers\":[]}\n"),
            )
            .await;
        } else {
            check(address, "/", (503, "application/json", UNAVAILABLE)).await;
            let body = format!("{{\"status\":\"not ready\",\"reason\":\"{stage}\",\"resolvers\":[]}}\n");
            check(address, "/readyz", (503, JSON, &body)).await;
        }
        check(address, "/livez", (200, TEXT, "alive\n")).await;
        check(address, "/ringz", (200, JSON, "{\"rings\":[]}\n")).await;
        match stage {
            "starting" => running.health.ready(UNIX_EPOCH + Duration::from_millis(1_709_210_096_500)),
            "ready" => running.health.stopping(),
            _ => running.health.ready(UNIX_EPOCH),
        }
    }
    running.end().await;
}

// Scenario: a path of the user's own, without and with a slash at its end, and a HEAD request.
// Guarantees: only that path answers, or all below it; HEAD has no body.
#[tokio::test]
async fn the_path_is_configurable() {
    let running = Running::start("/health", None).await;
    check(running.health_address, "/health", (503, "application/json", UNAVAILABLE)).await;
    check(running.health_address, "/health/x", (404, TEXT, "404 page not found\n")).await;
    check(running.health_address, "/", (404, TEXT, "404 page not found\n")).await;
    assert_eq!(
        get(running.health_address, "HEAD", "/health").await,
        (503, "application/json".to_owned(), String::new())
    );
    running.end().await;

    let running = Running::start("/a/", None).await;
    check(running.health_address, "/a/b", (503, "application/json", UNAVAILABLE)).await;
    check(running.health_address, "/a", (404, TEXT, "404 page not found\n")).await;
    running.end().await;
}

// Scenario: response bodies of the user's own.
// Guarantees: they replace the JSON, by state.
#[tokio::test]
async fn the_body_is_configurable() {
    let running = Running::start("/", Some(("fine", ""))).await;
    check(running.health_address, "/", (503, TEXT, "")).await;
    running.health.ready(UNIX_EPOCH);
    check(running.health_address, "/", (200, TEXT, "fine")).await;
    running.end().await;
}

// Scenario: a scrape, and a look at another path.
// Guarantees: text format 0.0.4 with what was counted and what the process uses; elsewhere a hint.
#[tokio::test]
async fn metrics_are_scraped() {
    let running = Running::start("/", None).await;
    running.metrics.receiver("otlp", "grpc", Signal::Traces).accepted.inc_by(7);
    let (status, content_type, body) = get(running.metrics_address, "GET", "/metrics").await;
    assert_eq!((status, content_type.as_str()), (200, "text/plain; version=0.0.4; charset=utf-8"));
    assert!(
        body.contains("\notelcol_receiver_accepted_spans{receiver=\"otlp\",transport=\"grpc\"} 7\n"),
        "{body}"
    );
    assert!(body.contains("\notelcol_process_uptime "), "{body}");
    if cfg!(target_os = "linux") {
        assert!(body.contains("\notelcol_process_cpu_seconds "), "{body}");
        let resident =
            body.lines().find_map(|line| line.strip_prefix("otelcol_process_memory_rss ")).unwrap();
        assert!(resident.parse::<f64>().unwrap() > 1e6, "{resident}");
    }
    check(running.metrics_address, "/", (404, TEXT, "404 page not found; metrics are at /metrics\n")).await;
    running.end().await;
}

// Scenario: a client connects and says nothing, with the clock paused.
// Guarantees: it is cut at the time limit for headers; a stop does not wait for another one.
#[tokio::test(start_paused = true)]
async fn silent_clients_are_cut() {
    let running = Running::start("/", None).await;
    let started = tokio::time::Instant::now();
    let mut stream = TcpStream::connect(running.health_address).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(started.elapsed().as_secs(), 5);

    let another = TcpStream::connect(running.metrics_address).await.unwrap();
    running.end().await;
    drop(another);
}

// Scenario: nothing to serve.
// Guarantees: serving still lasts until the stop, so that its end means the same in every configuration.
#[tokio::test]
async fn nothing_to_serve_waits_for_the_stop() {
    let admin = Admin::bind(None, &[], &Health::new(), &Views::new(), &Metrics::new()).await.unwrap();
    assert_eq!((admin.health_address(), admin.metrics_addresses()), (None, &[][..]));
    let stop = CancellationToken::new();
    let mut serving = std::pin::pin!(admin.serve(stop.clone()));
    assert!(futures_util::poll!(serving.as_mut()).is_pending());
    stop.cancel();
    tokio::time::timeout(PATIENCE, serving).await.unwrap();
}

// Scenario: an address that is taken.
// Guarantees: the error names it.
#[tokio::test]
async fn a_taken_address_is_named() {
    let running = Running::start("/", None).await;
    let taken = running.metrics_address.to_string();
    let error =
        Admin::bind(None, &[Arc::from(taken.as_str())], &running.health, &Views::new(), &running.metrics)
            .await
            .unwrap_err();
    assert_eq!(error.endpoint, taken);
    running.end().await;
}

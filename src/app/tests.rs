//! Whole gateways in this process: what their admin pages, metrics and refusals say while endpoints come and go.

use std::{
    fs,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::*;
use crate::{
    config,
    model::Signal,
    net::{
        client::Channel,
        dial::Dialer,
        grpc::{self, PREFIX_LEN},
    },
};

/// Nothing in this process takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// One resource with one scope with one span of trace 1.
const SPAN: &[u8] =
    b"\x0a\x20\x12\x1e\x12\x1c\x0a\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x12\x08\0\0\0\0\0\0\0\x02";

/// The one file there is.
struct Text(String);

impl config::Sources for Text {
    fn env(&self, _name: &str) -> Option<String> {
        None
    }

    fn file(&self, _path: &Path) -> Result<String, String> {
        Ok(self.0.clone())
    }
}

/// A gateway with free ports and one resolver, which is given as YAML in one line.
async fn gateway(resolver: &str) -> Gateway {
    let text = format!(
        "
receivers:
  otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:0'}}, http: {{endpoint: '127.0.0.1:0'}}}}}}
exporters:
  load_balancing:
    routing_key: traceID
    protocol: {{otlp: {{tls: {{insecure: true}}}}}}
    resolver: {resolver}
extensions:
  health_check: {{endpoint: '127.0.0.1:0'}}
service:
  ringway: {{shutdown_timeout: 1h}}
  extensions: [health_check]
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [otlp], exporters: [load_balancing]}}
    logs: {{receivers: [otlp], exporters: [load_balancing]}}
"
    );
    let loaded = config::load(&["file:gateway.yaml".to_owned()], &[], &Text(text));
    let settings = loaded.settings.unwrap_or_else(|| panic!("{:?}", loaded.errors));
    Gateway::start(settings, Metrics::new()).await.unwrap()
}

/// A file that is looked at all the time, and the resolver that follows it. It does not exist yet.
fn followed(name: &str) -> (PathBuf, String) {
    let path = std::env::temp_dir().join(format!("ringway-app-{name}-{}", std::process::id()));
    drop(fs::remove_file(&path));
    let resolver = format!("{{file: {{path: '{}', interval: 10ms}}}}", path.display());
    (path, resolver)
}

/// Status, head and body of one HTTP/1.1 exchange on a connection of its own.
async fn exchange(address: SocketAddr, request: &str, body: &[u8]) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head = format!("{request}\r\nHost: gateway\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_ascii_lowercase(), body.to_owned())
}

/// Ends a gateway, whose deadline for that is longer than anybody's patience.
async fn stop(gateway: Gateway) {
    tokio::time::timeout(PATIENCE, gateway.stop()).await.unwrap();
}

async fn page(gateway: &Gateway, path: &str) -> (u16, Value) {
    let address = gateway.health_address().unwrap();
    let (status, _, body) = exchange(address, &format!("GET {path} HTTP/1.1"), b"").await;
    (status, serde_json::from_str(&body).unwrap_or(Value::Null))
}

/// Asks for `/readyz` until its answer is as wished.
async fn readiness(gateway: &Gateway, is_wished: impl Fn(u16, &Value) -> bool) -> Value {
    let wait = async {
        loop {
            let (status, body) = page(gateway, "/readyz").await;
            if is_wished(status, &body) {
                return body;
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap()
}

/// The first resolver's state.
fn state(body: &Value) -> &str {
    body["resolvers"][0]["state"].as_str().unwrap()
}

/// The value of a series.
#[track_caller]
fn series(gateway: &Gateway, name: &str) -> f64 {
    let text = gateway.metrics().text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
}

/// Sends a span over both protocols, which are refused for now, with this text.
async fn refused(gateway: &Gateway, parts: &[&str]) {
    let (grpc, http) = gateway.addresses().first().unwrap();
    let (grpc, http) =
        (grpc.as_ref().and_then(Address::tcp).unwrap(), http.as_ref().and_then(Address::tcp).unwrap());

    let channel = Channel::new(&grpc.to_string(), HeaderMap::new(), Dialer::default(), Tasks::new());
    let message = [&grpc::Prefix::new(false, SPAN.len()).unwrap().to_bytes()[..], SPAN].concat();
    assert_eq!(message.len(), PREFIX_LEN + SPAN.len());
    let call = channel.unary(Signal::Traces.grpc_path(), None, Bytes::from(message), None, Some(PATIENCE));
    let status = call.await.unwrap().status;
    assert_eq!(status.code, grpc::Code::Unavailable, "{status:?}");
    assert!(status.retry_delay.is_some_and(|delay| !delay.is_zero()), "{status:?}");

    let (code, head, body) =
        exchange(http, "POST /v1/traces HTTP/1.1\r\nContent-Type: application/x-protobuf", SPAN).await;
    assert_eq!(code, 503, "{head}");
    assert!(head.contains("\r\nretry-after: "), "{head}");
    for part in parts {
        assert!(status.message.contains(part), "{part:?} is not in {:?}", status.message);
        assert!(body.contains(part), "{part:?} is not in {body:?}");
    }
}

fn fields(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

// Scenario: a gateway whose endpoints stand in a file that is not there, appears, and is damaged; then the gateway stops.
// Guarantees: not ready, with the resolver, the file and the reason, to probes and clients alike, until the file is there; ready from
// then on, with the set in force, although the answers fail; alive throughout; not ready from the moment of the stop.
#[tokio::test]
async fn ready_with_the_first_answer_and_from_then_on() {
    let (path, resolver) = followed("ready");
    let gateway = gateway(&resolver).await;
    let what = format!("resolver file, file {}: no answer yet, for ", path.display());

    let (status, body) = page(&gateway, "/readyz").await;
    assert_eq!((status, body["status"].as_str()), (503, Some("not ready")));
    let reason = body["reason"].as_str().unwrap();
    assert!(reason.starts_with(&format!("load_balancing: {what}")), "{reason}");
    assert!(reason.contains(" s: No such file"), "{reason}");
    assert_eq!(fields(&body), ["reason", "resolvers", "status"]);
    let view = &body["resolvers"][0];
    assert_eq!(
        fields(view),
        ["age_seconds", "endpoints", "error", "exporter", "resolver", "state", "target"]
    );
    assert_eq!((state(&body), view["error"]["code"].as_str()), ("waiting", Some("unusable")));
    assert_eq!((page(&gateway, "/").await.0, page(&gateway, "/livez").await.0), (503, 200));
    let labels = |state| {
        format!("ringway_resolver_state{{exporter=\"load_balancing\",resolver=\"file\",state=\"{state}\"}}")
    };
    assert_eq!((series(&gateway, &labels("waiting")), series(&gateway, &labels("current"))), (1.0, 0.0));
    refused(&gateway, &["exporter load_balancing has no backend: ", &what, "No such file"]).await;

    fs::write(&path, "b:1\na:1\n").unwrap();
    let body = readiness(&gateway, |status, _| status == 200).await;
    assert_eq!((body["status"].as_str(), body["reason"].as_str()), (Some("ready"), Some("")));
    assert_eq!(page(&gateway, "/").await.0, 200);

    fs::write(&path, "a b\n").unwrap();
    let body = readiness(&gateway, |_, body| state(body) == "stale").await;
    assert_eq!(body["resolvers"][0]["endpoints"], 2);
    assert!(body["resolvers"][0]["age_seconds"].is_number());
    assert_eq!(page(&gateway, "/readyz").await.0, 200);
    assert_eq!((series(&gateway, &labels("stale")), series(&gateway, &labels("current"))), (1.0, 0.0));
    assert!(
        series(&gateway, "ringway_resolver_set_age_seconds{exporter=\"load_balancing\",resolver=\"file\"}")
            >= 0.0
    );

    gateway.health.stopping();
    let (status, body) = page(&gateway, "/readyz").await;
    assert_eq!((status, body["reason"].as_str()), (503, Some("stopping")));
    assert_eq!(page(&gateway, "/livez").await.0, 200);
    drop(fs::remove_file(&path));
    stop(gateway).await;
}

// Scenario: a resolver that says that there is nothing.
// Guarantees: the gateway is not ready, and refuses for now; both say who says so, of what and for how long. It ends when it is
// told to, although it was never ready.
#[tokio::test]
async fn nothing_to_send_to_is_said() {
    let (path, resolver) = followed("empty");
    fs::write(&path, "none\n").unwrap();
    let gateway = gateway(&resolver).await;
    let what = format!("resolver file, file {}: no usable endpoint for ", path.display());
    let body = readiness(&gateway, |_, body| state(body) == "empty").await;
    assert!(body["reason"].as_str().unwrap().starts_with(&format!("load_balancing: {what}")), "{body}");
    assert_eq!(
        (&body["resolvers"][0]["endpoints"], &body["resolvers"][0]["error"]),
        (&Value::from(0), &Value::Null)
    );
    refused(&gateway, &["exporter load_balancing has no backend: ", &what]).await;
    drop(fs::remove_file(&path));
    stop(gateway).await;
}

// Scenario: two gateways that find the same members, in another order and in another way; one of them gets one more.
// Guarantees: their digests are equal on the page and in the metrics, of every signal, for as long as the members are; the page has
// exactly its fields; the members' change is counted once for each signal.
#[tokio::test]
async fn gateways_with_the_same_members_agree() {
    let (path, resolver) = followed("agree");
    fs::write(&path, "a:1\nb:1\nc:1\n").unwrap();
    let [one, other] =
        [gateway(&resolver).await, gateway("{static: {hostnames: ['c:1', 'b:1', 'a:1']}}").await];
    let digest = "ringway_ring_digest{exporter=\"load_balancing\",signal=\"logs\"}";

    let [mine, theirs] = [page(&one, "/ringz").await.1, page(&other, "/ringz").await.1];
    assert_eq!(fields(&mine), ["rings"]);
    assert_eq!(mine["rings"].as_array().unwrap().len(), 2);
    for (ring, signal) in mine["rings"].as_array().unwrap().iter().zip(["traces", "logs"]) {
        assert_eq!(
            fields(ring),
            [
                "digest",
                "exporter",
                "members",
                "ring_generation",
                "signal",
                "size",
                "skipped",
                "table_generation"
            ]
        );
        assert_eq!((ring["signal"].as_str(), ring["ring_generation"].as_str()), (Some(signal), Some("G3")));
        assert_eq!(
            (&ring["size"], &ring["skipped"], &ring["table_generation"]),
            (&3.into(), &0.into(), &1.into())
        );
        let members: Vec<_> = ring["members"].as_array().unwrap().iter().collect();
        assert_eq!(fields(members[0]), ["address", "identity", "state"]);
        assert_eq!(
            (members[2]["identity"].as_str(), members[2]["state"].as_str()),
            (Some("c:1"), Some("active"))
        );
    }
    assert_eq!(mine, theirs);
    assert_eq!(series(&one, digest), series(&other, digest));
    let hex = mine["rings"][0]["digest"].as_str().unwrap();
    assert_eq!(format!("{:013x}", series(&one, digest) as u64), hex[3..]);

    fs::write(&path, "a:1\nb:1\nc:1\nd:1\n").unwrap();
    readiness(&one, |_, body| body["resolvers"][0]["endpoints"] == 4).await;
    let changes = "ringway_ring_changes{exporter=\"load_balancing\",signal=\"logs\"}";
    let wait = async {
        while series(&one, changes) < 2.0 {
            tokio::task::yield_now().await
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
    assert_ne!(series(&one, digest), series(&other, digest));
    assert_eq!((series(&one, changes), series(&other, changes)), (2.0, 1.0));
    assert_eq!(series(&one, "ringway_ring_members{exporter=\"load_balancing\",signal=\"traces\"}"), 4.0);
    drop(fs::remove_file(&path));
    stop(one).await;
    stop(other).await;
}

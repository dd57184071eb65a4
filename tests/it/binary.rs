//! The binary as a user meets it: exit codes, what is printed, signals.
//!
//! Every gateway here listens on ports that the kernel chose and writes to its log.

#![expect(clippy::unwrap_used, reason = "helpers of tests: what cannot happen fails the test")]

use std::{
    fs,
    io::{BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, ChildStderr, Command, Output, Stdio},
};

use ringway::cli::demo::generator::Generator;

use crate::blocks::{Kind, blocks};
use crate::log::line_with;

/// A gateway on free ports with one backend that refuses connections.
const CONFIG: &str = "
receivers: {otlp: {protocols: {grpc: {endpoint: '127.0.0.1:0'}, http: {endpoint: '127.0.0.1:0'}}}}
exporters:
  load_balancing:
    protocol: {otlp: {tls: {insecure: true}}}
    resolver: {static: {hostnames: ['127.0.0.1:1']}}
service:
  ringway: {shutdown_timeout: TIMEOUT}
  telemetry: {metrics: {level: none}}
  pipelines: {traces: {receivers: [otlp], exporters: [load_balancing]}}
";

fn ringway(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringway")).args(args).output().unwrap()
}

#[track_caller]
fn check(args: &[&str], code: i32, stderr: &[&str]) {
    let output = ringway(args);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
    assert_eq!(text.is_empty(), stderr.is_empty(), "{args:?}: {text}");
    for part in stderr {
        assert!(text.contains(part), "{args:?}: {part:?} is missing in {text}");
    }
}

/// A running gateway; killed when dropped.
struct Gateway {
    child: Child,
    log: BufReader<ChildStderr>,
    http: String,
}

impl Gateway {
    fn start(shutdown_timeout: &str) -> Self {
        let config = format!("yaml:{}", CONFIG.replace("TIMEOUT", shutdown_timeout));
        let mut child = Command::new(env!("CARGO_BIN_EXE_ringway"))
            .args(["--config", &config])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let line = line_with(&mut log, "receiving OTLP");
        let http = line.split("http=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        line_with(&mut log, "everything is ready");
        Self { child, log, http }
    }

    /// Posts ten spans and returns the status line.
    fn post(&self) -> String {
        let body = Generator::new(10, 1, 0).request().bytes;
        let mut stream = TcpStream::connect(&self.http).unwrap();
        let head = format!(
            "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It has usually ended already.
        let _ended = self.child.kill().is_err();
        let _reaped = self.child.wait().is_ok();
    }
}

// Scenario: validate over good, wrong and missing configurations; wrong usage.
// Guarantees: 0 and silence; 1 with path, line and the nearest key, all problems at once; 2 for usage.
#[test]
fn exit_codes_and_messages() {
    let good = format!("yaml:{}", CONFIG.replace("TIMEOUT", "1s"));
    check(&["validate", "--config", &good], 0, &[]);
    let bad = good.replace("hostnames", "hostname").replace("insecure", "insecur");
    let expected = [
        "did you mean \"hostnames\"",
        "did you mean \"insecure\"",
        "exporters::load_balancing::resolver::static",
    ];
    check(&["validate", "--config", &bad], 1, &expected);
    check(&["--config", &bad], 1, &expected);
    check(&["validate", "--config", "does-not-exist.yaml"], 1, &["does-not-exist.yaml"]);
    check(&["validate"], 1, &["at least one config flag must be provided"]);
    check(&["--no-such-option"], 2, &["--no-such-option"]);
}

// Scenario: every YAML block of the READMEs and of docs/ that is a configuration goes through validate. The others are values of the
// chart and objects for Kubernetes, and the business of tests/chart.
// Guarantees: what a newcomer copies runs, without a warning.
#[test]
fn documented_configurations_are_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut count = 0;
    for path in docs.chain(["README.md", "helm/README.md"].map(|path| root.join(path))) {
        let text = fs::read_to_string(&path).unwrap();
        for block in blocks(&text).iter().filter(|block| block.kind == Kind::Configuration) {
            let Output { status, stderr, .. } =
                ringway(&["validate", "--config", &format!("yaml:{}", block.text)]);
            let said = String::from_utf8(stderr).unwrap();
            assert!(status.success() && said.is_empty(), "{}:{}: {said}", path.display(), block.line);
            count += 1;
        }
    }
    assert!(count >= 2, "{count} configurations");
}

// Scenario: the port of a receiver is taken.
// Guarantees: exit code 1 and a message that names the address.
#[test]
fn a_busy_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let config = format!(
        "yaml:{}",
        CONFIG
            .replace("TIMEOUT", "1s")
            .replace("grpc: {endpoint: '127.0.0.1:0'", &format!("grpc: {{endpoint: '{address}'"))
    );
    check(&["--config", &config], 1, &[&format!("cannot listen on {address}")]);
    let demo = [
        "demo",
        "--for",
        "1s",
        "--grpc-endpoint",
        &address,
        "--http-endpoint",
        "127.0.0.1:0",
        "--metrics-endpoint",
        "127.0.0.1:0",
    ];
    check(&demo, 1, &[&address, "--grpc-endpoint"]);
}

// Scenario: SIGTERM with data queued for a backend that is down, and a deadline of one second.
// Guarantees: exit code 0 after the deadline; what was left is counted in the log.
#[test]
fn a_drain_ends_at_its_deadline() {
    let mut gateway = Gateway::start("1s");
    assert_eq!(gateway.post(), "HTTP/1.1 200 OK");
    gateway.signal("TERM");
    line_with(&mut gateway.log, "starting shutdown");
    line_with(&mut gateway.log, "shutdown deadline passed");
    let last = line_with(&mut gateway.log, "shutdown complete");
    assert!(last.contains("dropped_items=10"), "{last}");
    assert_eq!(gateway.exit_code(), Some(0));
}

// Scenario: SIGINT with an hour to drain and data that cannot be delivered; then a second signal.
// Guarantees: the first drains, the second ends at once with exit code 1 and says what was left.
#[test]
fn a_second_signal_ends_at_once() {
    let mut gateway = Gateway::start("1h");
    assert_eq!(gateway.post(), "HTTP/1.1 200 OK");
    gateway.signal("INT");
    line_with(&mut gateway.log, "starting shutdown");
    gateway.signal("INT");
    let last = line_with(&mut gateway.log, "second signal");
    assert!(last.contains("queued_items=10"), "{last}");
    assert_eq!(gateway.exit_code(), Some(1));
}

// Scenario: the demo for one second on free ports, its output in a pipe.
// Guarantees: a clean verdict and exit code 0.
#[test]
fn the_demo_is_clean() {
    let free = "127.0.0.1:0";
    let output = ringway(&[
        "demo",
        "--for",
        "1s",
        "--grpc-endpoint",
        free,
        "--http-endpoint",
        free,
        "--metrics-endpoint",
        free,
    ]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("clean: ") && text.contains("0 traces split"), "{text}");
}

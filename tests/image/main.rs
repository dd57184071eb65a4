//! The image's file system, and ringway run from it: in a chroot, as the image's user, with nothing else in reach.
//!
//! `make image-test` builds the tree and runs this binary as root with `RINGWAY_IMAGE_ROOTFS` naming it; plain `cargo test` leaves it
//! alone. What it cannot prove is what a container runtime adds (`/etc/hosts`, `/etc/resolv.conf`, `/proc`); the two files are put
//! there by hand.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests: what cannot happen, or must not, fails the test"
)]

#[path = "../support/log.rs"]
mod log;

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use log::line_with;

/// User and group of the image.
const NOBODY: &str = "65532:65532";
const LIMIT_BYTES: u64 = 25 << 20;
/// Anything that takes longer has failed.
const DEADLINE: Duration = Duration::from_secs(30);
/// Where the name server of the test listens. Its port is given by the protocol; the address keeps it apart from others.
const NAME_SERVER: &str = "127.65.53.2";

fn rootfs() -> PathBuf {
    let path = std::env::var_os("RINGWAY_IMAGE_ROOTFS").expect(
        "RINGWAY_IMAGE_ROOTFS is not set: run `make image-test`, or set it to what `make image-rootfs` made",
    );
    let path = PathBuf::from(path);
    assert!(
        path.join("usr/bin/ringway").exists(),
        "{} has no ringway: run `make image-rootfs`",
        path.display()
    );
    path
}

/// ringway in the tree, as the image's user.
fn ringway(root: &Path) -> Command {
    let mut command = Command::new("chroot");
    command.arg(format!("--userspec={NOBODY}")).arg("--groups=").arg(root).arg("/usr/bin/ringway");
    command.env_clear().env("PATH", "/usr/bin:/usr/sbin:/bin:/sbin");
    command
}

fn output(command: &mut Command) -> (bool, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.success(), String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap())
}

/// Every file below a directory, by its path in it, with its size.
fn files(directory: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(next).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                waiting.push(entry.path());
            } else {
                let path = entry.path();
                let name = path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned();
                found.push((name, entry.metadata().unwrap().len()));
            }
        }
    }
    found.sort();
    found
}

// Scenario: the tree as it was built.
// Guarantees: the binary and what name lookup reads, nothing else; not larger than 25 MiB.
#[test]
fn it_is_small() {
    let files = files(&rootfs());
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["etc/group", "etc/nsswitch.conf", "etc/passwd", "usr/bin/ringway"]);
    let bytes: u64 = files.iter().map(|(_, bytes)| bytes).sum();
    assert!(bytes <= LIMIT_BYTES, "{} MiB", bytes >> 20);
}

// Scenario: `--version`, and `validate` of a good and a bad configuration, in the chroot.
// Guarantees: the binary needs no loader and no library.
#[test]
fn it_runs_alone() {
    let root = rootfs();
    let (is_good, said) = output(ringway(&root).arg("--version"));
    assert!(is_good && said == format!("ringway {}\n", env!("CARGO_PKG_VERSION")), "{said}");
    let (is_good, said) = output(ringway(&root).args(["validate", "--config", &configuration("a:1", "b:1")]));
    assert!(is_good && said.is_empty(), "{said}");
    let (is_good, said) = output(ringway(&root).args(["validate", "--config", "/etc/ringway/ringway.yaml"]));
    assert!(!is_good && said.contains("/etc/ringway/ringway.yaml"), "{said}");
}

// Scenario: a gateway in the chroot with two backends, one by a name in /etc/hosts, one by a name that a DNS server knows; a trace
// is sent to it; then SIGTERM.
// Guarantees: it runs as nobody, is alive and ready, looks names up in both ways, and ends in order.
#[test]
fn it_serves() {
    let (by_file, by_dns) = (listener(), listener());
    let root = tree_with_names();
    name_server("backend.dns.test");
    let backends = configuration(
        &format!("backend.file.test:{}", by_file.0.port()),
        &format!("backend.dns.test:{}", by_dns.0.port()),
    );
    let mut gateway =
        Gateway(ringway(&root.0).args(["--config", &backends]).stderr(Stdio::piped()).spawn().unwrap());
    let mut log = BufReader::new(gateway.0.stderr.take().unwrap());
    let http = between(&line_with(&mut log, "receiving OTLP"), "http=\"", "\"");
    let health = between(&line_with(&mut log, "serving the health check"), "address=", "\n");
    line_with(&mut log, "everything is ready");

    let status = fs::read_to_string(format!("/proc/{}/status", gateway.0.id())).unwrap();
    assert!(status.contains("\nUid:\t65532\t65532\t65532\t65532\n"), "{status}");
    for path in ["/livez", "/readyz", "/"] {
        let answer =
            request(&health, &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
    }

    let body = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0123456789abcdef0123456789abcdef",
        "spanId":"0123456789abcdef","name":"a"}]}]}]}"#;
    let answer = request(
        &http,
        &format!(
            "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: \
             close\r\n\r\n{body}",
            body.len()
        ),
    );
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    for (name, (_, connected)) in [("/etc/hosts", by_file), ("DNS", by_dns)] {
        connected
            .recv_timeout(DEADLINE)
            .unwrap_or_else(|_| panic!("no connection to the backend known by {name}"));
    }

    assert!(Command::new("kill").arg(gateway.0.id().to_string()).status().unwrap().success());
    line_with(&mut log, "shutdown complete");
    assert_eq!(gateway.0.wait().unwrap().code(), Some(0));
}

/// A gateway with two backends, each of which gets everything.
fn configuration(one: &str, other: &str) -> String {
    let exporter = |backend: &str| {
        format!(
            "{{protocol: {{otlp: {{tls: {{insecure: true}}}}}}, resolver: {{static: {{hostnames: ['{backend}']}}}}}}"
        )
    };
    format!(
        "yaml:
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:0'}}}}}}}}
exporters: {{load_balancing/one: {}, load_balancing/other: {}}}
extensions: {{health_check: {{endpoint: '127.0.0.1:0'}}}}
service:
  extensions: [health_check]
  ringway: {{shutdown_timeout: 1s}}
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{traces: {{receivers: [otlp], exporters: [load_balancing/one, load_balancing/other]}}}}
",
        exporter(one),
        exporter(other)
    )
}

/// A copy of the tree with what a container runtime adds; removed when dropped.
struct Tree(PathBuf);

fn tree_with_names() -> Tree {
    let root = rootfs();
    let copy = root.with_file_name(format!("image-test-{}", std::process::id()));
    assert!(Command::new("cp").arg("-a").args([&root, &copy]).status().unwrap().success());
    fs::write(copy.join("etc/hosts"), "127.0.0.1 localhost backend.file.test\n").unwrap();
    fs::write(copy.join("etc/resolv.conf"), format!("nameserver {NAME_SERVER}\noptions ndots:1\n")).unwrap();
    Tree(copy)
}

impl Drop for Tree {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Ended when dropped, if it has not ended already.
struct Gateway(Child);

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ended = self.0.kill().is_err();
        let _reaped = self.0.wait().is_ok();
    }
}

/// A port that says when somebody connects. A gateway that finds it shut again tries anew, which is no matter here.
fn listener() -> (SocketAddr, mpsc::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::spawn(move || {
        for _connection in listener.incoming() {
            let _full = sender.try_send(()).is_err();
        }
    });
    (address, receiver)
}

/// Answers questions for the address of one name with 127.0.0.1, for anything else about it with nothing, and all others with
/// "no such name". Source of the layout: RFC 1035, 4.1.
fn name_server(name: &'static str) {
    let socket =
        UdpSocket::bind((NAME_SERVER, 53)).expect("the name server of the test needs port 53, hence root");
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut buffer) {
            let Some(reply) = reply(&buffer[..length], name) else { continue };
            let _gone = socket.send_to(&reply, client).is_err();
        }
    });
}

fn reply(query: &[u8], known: &str) -> Option<Vec<u8>> {
    let mut rest = query.get(12..)?;
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*rest.first()?);
        let label = rest.get(1..=length)?;
        rest = rest.get(1 + length..)?;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(label).to_lowercase());
    }
    let kind = rest.get(..2)?;
    let question = query.get(12..query.len() - rest.len() + 4)?;
    let is_known = labels.join(".") == known;
    let answers = is_known && kind == [0, 1];
    let mut reply = query.get(..2)?.to_vec();
    // A response to a recursive question; 3 is "no such name". One question, no more than one answer.
    reply.extend([0x81, if is_known { 0x80 } else { 0x83 }, 0, 1, 0, u8::from(answers), 0, 0, 0, 0]);
    reply.extend(question);
    if answers {
        // The name of the question, type A, class IN, a minute, four bytes.
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    Some(reply)
}

fn request(address: &str, text: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn between(line: &str, before: &str, after: &str) -> String {
    line.split(before)
        .nth(1)
        .and_then(|rest| rest.split(after).next())
        .unwrap_or_else(|| panic!("{line}"))
        .to_owned()
}

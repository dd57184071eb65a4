//! ringway as in a pod: the files of its service account where a pod has them, and the API server in its environment.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokio::process::Command;

use crate::account::{Account, Files};
use crate::control_plane::ControlPlane;
use crate::process::{Process, command};
use crate::workspace::Workspace;
use crate::{http, loopback, parts, poll};

/// How long a ring may take to follow a change, unless a test says otherwise: controllers of a busy machine, and what the
/// gateway itself waits.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// What a gateway is started with.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    /// The name of its files.
    pub(crate) name: &'static str,
    /// Its service account.
    pub(crate) account: Account,
    /// `resolver.k8s`, in YAML's flow style.
    pub(crate) resolver: String,
    /// The exporter's `ringway` block, in YAML's flow style.
    pub(crate) ours: String,
    /// Where it finds the API server, if not where it is.
    pub(crate) through: Option<SocketAddr>,
    /// Whether it is the real Collector, with the same configuration but for `ringway`.
    pub(crate) collector: bool,
}

/// A running gateway.
#[derive(Debug)]
pub(crate) struct Gateway {
    /// Where it takes OTLP over gRPC.
    pub(crate) grpc: SocketAddr,
    /// The files of its service account.
    pub(crate) files: Files,
    health: SocketAddr,
    metrics: SocketAddr,
    process: Process,
}

/// Where a gateway listens.
#[derive(Debug, Clone, Copy)]
struct At {
    grpc: SocketAddr,
    health: SocketAddr,
    metrics: SocketAddr,
}

impl At {
    /// Tells a gateway of `gateway.yaml`.
    fn join(self, command: &mut Command) {
        command
            .env("GRPC", self.grpc.to_string())
            .env("HEALTH", self.health.to_string())
            .env("METRICS_HOST", self.metrics.ip().to_string())
            .env("METRICS_PORT", self.metrics.port().to_string());
    }
}

/// Tells a gateway where the API server is, as a kubelet does.
fn reach(command: &mut Command, server: SocketAddr) {
    command
        .env("KUBERNETES_SERVICE_HOST", server.ip().to_string())
        .env("KUBERNETES_SERVICE_PORT", server.port().to_string());
}

/// What `/ringz` shows of the only ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ring {
    pub(crate) generation: u64,
    pub(crate) digest: String,
    /// Sorted.
    pub(crate) members: Vec<String>,
}

impl Gateway {
    /// Starts a gateway and waits until it is alive; it need not be ready.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub(crate) async fn start(
        launch: &Launch,
        plane: &ControlPlane,
        workspace: &Workspace,
    ) -> anyhow::Result<Self> {
        let Launch { name, account, resolver, ours, through, collector } = launch;
        let files = Files::write(name, account, plane, workspace).await?;
        let config = workspace.path(&format!("{name}.yaml"));
        let ours = if *collector { String::new() } else { format!(", ringway: {ours}") };
        let block = format!("{{resolver: {{k8s: {resolver}}}{ours}}}");
        fs::write(&config, format!("exporters: {{load_balancing: {block}}}\n"))?;
        let program =
            if *collector { parts::collector()? } else { PathBuf::from(env!("CARGO_BIN_EXE_ringway")) };
        let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/gateway.yaml");
        let at =
            At { grpc: loopback::endpoint()?, health: loopback::endpoint()?, metrics: loopback::endpoint()? };
        let mut command = in_pod(&program, &files);
        command.arg("--config").arg(base).arg("--config").arg(config);
        at.join(&mut command);
        reach(&mut command, through.unwrap_or(plane.server));
        let alive = if *collector { "/" } else { "/livez" };
        Self::run(name, command, files, at, alive, workspace).await
    }

    async fn run(
        name: &str,
        mut command: Command,
        files: Files,
        at: At,
        alive: &str,
        workspace: &Workspace,
    ) -> anyhow::Result<Self> {
        let At { grpc, health, metrics } = at;
        let mut process = Process::spawn(name, &mut command, workspace)?;
        process.ready(async || http::get(health, alive).await.is_ok()).await?;
        Ok(Self { grpc, files, health, metrics, process })
    }

    /// Its process id.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub(crate) fn id(&self) -> anyhow::Result<u32> {
        self.process.id()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub(crate) async fn signal(&self, signal: &str) -> anyhow::Result<()> {
        self.process.signal(signal).await
    }

    /// Stops it; afterwards nothing more reaches a backend.
    ///
    /// # Errors
    ///
    /// When it does not end in time or not cleanly.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.process.stop().await
    }

    /// What `/readyz` says, and whether it is a yes.
    ///
    /// # Errors
    ///
    /// When it is not JSON.
    pub(crate) async fn readiness(&self) -> anyhow::Result<(bool, Value)> {
        let (head, body) = http::fetch(self.health, "/readyz").await?;
        Ok((head.starts_with("HTTP/1.1 200"), serde_json::from_str(&body).with_context(|| body.clone())?))
    }

    /// Its ring.
    ///
    /// # Errors
    ///
    /// When there is not exactly one.
    pub(crate) async fn ring(&self) -> anyhow::Result<Ring> {
        Ring::of(self.health).await
    }

    /// Waits until these are the members, and returns the ring.
    ///
    /// # Errors
    ///
    /// When they are not in time.
    pub(crate) async fn follows(&self, members: &[String]) -> anyhow::Result<Ring> {
        self.follows_within(LIMIT, members).await
    }

    /// As [`Gateway::follows`], with a limit.
    ///
    /// # Errors
    ///
    /// As there.
    pub(crate) async fn follows_within(&self, limit: Duration, members: &[String]) -> anyhow::Result<Ring> {
        let mut last = None;
        let followed = poll::until("the ring follows", limit, async || {
            let ring = self.ring().await?;
            last = Some(ring.clone());
            Ok((ring.members == members).then_some(ring))
        })
        .await;
        followed.with_context(|| match last {
            None => "no ring".to_owned(),
            Some(ring) => {
                let without = |all: &[String], some: &[String]| -> Vec<String> {
                    all.iter().filter(|member| !some.contains(member)).cloned().collect()
                };
                let (missing, more) = (without(members, &ring.members), without(&ring.members, members));
                format!("of {} members {missing:?} are missing, and {more:?} are too many", members.len())
            }
        })
    }

    /// The sum of all series of a metric whose labels contain this text.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub(crate) async fn metric(&self, name: &str, labels: &str) -> anyhow::Result<f64> {
        let metrics = http::get(self.metrics, "/metrics").await?;
        let mut sum = 0.0;
        for line in metrics.lines().filter(|line| line.contains(labels)) {
            if line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])) {
                sum += line.rsplit(' ').next().context("no value")?.parse::<f64>()?;
            }
        }
        Ok(sum)
    }

    /// Resident memory in KiB.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub(crate) fn resident_kib(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()?))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }
}

impl Ring {
    /// The ring that a gateway shows here.
    ///
    /// # Errors
    ///
    /// When there is not exactly one.
    pub(crate) async fn of(health: SocketAddr) -> anyhow::Result<Self> {
        let (_, body) = http::fetch(health, "/ringz").await?;
        Self::read(&body).with_context(|| format!("/ringz: {body}"))
    }

    fn read(page: &str) -> anyhow::Result<Self> {
        let page: Value = serde_json::from_str(page)?;
        let [ring] = page["rings"].as_array().context("no rings")?.as_slice() else {
            anyhow::bail!("not one ring");
        };
        let text = |value: &Value| value.as_str().map(str::to_owned).context("not a text");
        let members = ring["members"].as_array().context("no members")?;
        Ok(Self {
            generation: ring["table_generation"].as_u64().context("no generation")?,
            digest: text(&ring["digest"])?,
            members: members.iter().map(|member| text(&member["identity"])).collect::<anyhow::Result<_>>()?,
        })
    }
}

/// A command in a mount namespace of its own, which ends with the process and shows it an account's files.
pub(crate) fn in_pod(program: &Path, files: &Files) -> Command {
    let mut command = command("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c"]);
    let mounts = "mount --bind \"$1\" /run/secrets/kubernetes.io/serviceaccount && shift && exec \"$@\"";
    command.arg(mounts).arg("sh").arg(files.path()).arg(program);
    command
}

//! What stands between clients and backends: ringway, or the real Collector with `load_balancing`.
//!
//! Both are given the same file. `RINGWAY_REAL_GATEWAY=collector` puts the Collector where a test wants ringway: it shows
//! that a test is right about the world, and what the Collector does where ringway is meant to be better.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tokio::process::Command;

use crate::process::{Process, command};
use crate::workspace::Workspace;
use crate::{loopback, parts};

/// Which program is the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The one under test.
    Ringway,
    /// The Collector with the `load_balancing` exporter.
    Collector,
}

impl Kind {
    /// ringway, unless `RINGWAY_REAL_GATEWAY` says `collector`.
    ///
    /// # Errors
    ///
    /// When the variable says anything else.
    pub(crate) fn under_test() -> anyhow::Result<Self> {
        match std::env::var("RINGWAY_REAL_GATEWAY").as_deref() {
            Err(_) | Ok("ringway") => Ok(Self::Ringway),
            Ok("collector") => Ok(Self::Collector),
            Ok(other) => {
                anyhow::bail!("RINGWAY_REAL_GATEWAY is `{other}`; it can be `ringway` or `collector`")
            }
        }
    }
}

/// Where a gateway listens.
#[derive(Debug, Clone, Copy)]
struct Ports {
    grpc: SocketAddr,
    http: SocketAddr,
    health: SocketAddr,
    metrics: SocketAddr,
}

impl Ports {
    fn free() -> anyhow::Result<Self> {
        Ok(Self {
            grpc: loopback::endpoint()?,
            http: loopback::endpoint()?,
            health: loopback::endpoint()?,
            metrics: loopback::endpoint()?,
        })
    }
}

/// What a gateway is started with.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    /// The name of its log.
    pub(crate) name: &'static str,
    /// Which program.
    pub(crate) kind: Kind,
    /// Its configuration: files of `collector/`, or absolute paths. Later ones win.
    pub(crate) configs: Vec<PathBuf>,
    /// Variables for the configuration.
    pub(crate) variables: Vec<(&'static str, String)>,
    /// A file that takes the place of `/etc/hosts`, for this process only. Needs root.
    pub(crate) hosts: Option<PathBuf>,
}

/// A running gateway.
#[derive(Debug)]
pub(crate) struct Gateway {
    /// Where it takes OTLP over gRPC.
    pub(crate) grpc: SocketAddr,
    /// Where it takes OTLP over HTTP.
    pub(crate) http: SocketAddr,
    /// Where it serves its metrics.
    pub(crate) metrics: SocketAddr,
    ports: Ports,
    process: Process,
}

/// Where a gateway was that has been killed.
#[derive(Debug)]
pub(crate) struct Killed(Ports);

impl Killed {
    /// Starts a gateway there, as a supervisor does after a crash.
    ///
    /// # Errors
    ///
    /// When it does not start or does not become ready.
    pub(crate) async fn again(self, launch: &Launch, workspace: &Workspace) -> anyhow::Result<Gateway> {
        Gateway::launch_on(self.0, launch, workspace).await
    }
}

impl Gateway {
    /// Starts a gateway with a configuration of `collector/` (or an absolute path) and these static endpoints, and waits
    /// until it is ready.
    ///
    /// # Errors
    ///
    /// When it does not start or does not become ready.
    pub(crate) async fn start(
        kind: Kind,
        config: &str,
        backends: &[String],
        workspace: &Workspace,
    ) -> anyhow::Result<Self> {
        Self::start_with(kind, config, backends, &[], workspace).await
    }

    /// As [`Gateway::start`], with more variables for the configuration.
    ///
    /// # Errors
    ///
    /// When it does not start or does not become ready.
    pub(crate) async fn start_with(
        kind: Kind,
        config: &str,
        backends: &[String],
        variables: &[(&'static str, &str)],
        workspace: &Workspace,
    ) -> anyhow::Result<Self> {
        let variables = variables.iter().map(|(name, value)| (*name, (*value).to_owned()));
        let launch = Launch {
            name: match kind {
                Kind::Ringway => "ringway",
                Kind::Collector => "collector-gateway",
            },
            kind,
            configs: vec![config.into()],
            variables: variables.chain([("BACKENDS", list(backends))]).collect(),
            hosts: None,
        };
        Self::launch(&launch, workspace).await
    }

    /// Starts a gateway on ports of its own and waits until it is ready.
    ///
    /// # Errors
    ///
    /// When it does not start or does not become ready.
    pub(crate) async fn launch(launch: &Launch, workspace: &Workspace) -> anyhow::Result<Self> {
        Self::launch_on(Ports::free()?, launch, workspace).await
    }

    /// Ends the gateway with SIGKILL.
    ///
    /// # Errors
    ///
    /// When it had ended before.
    pub(crate) async fn kill(self) -> anyhow::Result<Killed> {
        self.process.kill().await?;
        Ok(Killed(self.ports))
    }

    async fn launch_on(ports: Ports, launch: &Launch, workspace: &Workspace) -> anyhow::Result<Self> {
        let program = match launch.kind {
            Kind::Ringway => env!("CARGO_BIN_EXE_ringway").into(),
            Kind::Collector => parts::collector()?,
        };
        let mut command = match &launch.hosts {
            None => command(program),
            Some(hosts) => with_hosts(program, hosts),
        };
        for config in &launch.configs {
            command.arg("--config").arg(parts::source("collector").join(config));
        }
        command
            .env("GRPC", ports.grpc.to_string())
            .env("HTTP", ports.http.to_string())
            .env("HEALTH", ports.health.to_string())
            .env("METRICS_HOST", ports.metrics.ip().to_string())
            .env("METRICS_PORT", ports.metrics.port().to_string())
            .envs(launch.variables.iter().map(|(name, value)| (name, value)));
        let process = Process::start(launch.name, &mut command, ports.health, workspace)
            .await
            .context("the gateway did not start")?;
        Ok(Self { grpc: ports.grpc, http: ports.http, metrics: ports.metrics, ports, process })
    }

    /// Its process id.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub(crate) fn id(&self) -> anyhow::Result<u32> {
        self.process.id()
    }

    /// Tells the gateway to stop and waits until it has drained and ended. Afterwards nothing more reaches a backend.
    ///
    /// # Errors
    ///
    /// When it does not end in time or not cleanly.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.process.stop().await
    }
}

/// A list in YAML's flow style.
pub(crate) fn list(texts: &[String]) -> String {
    format!("{texts:?}") // a YAML list, as Rust prints it
}

/// A command with its own `/etc/hosts`: a mount namespace that ends with the process, which is the one that is started.
fn with_hosts(program: PathBuf, hosts: &Path) -> Command {
    let mut command = command("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c"]);
    command.arg("mount --bind \"$1\" /etc/hosts && shift && exec \"$@\"").arg("sh").arg(hosts).arg(program);
    command
}

//! What stands between clients and backends: ringway, or the real Collector with `load_balancing`.
//!
//! Both are given the same file. `RINGWAY_REAL_GATEWAY=collector` puts the Collector where a test wants ringway: it shows
//! that a test is right about the world, and what the Collector does where ringway is meant to be better.

use std::net::SocketAddr;

use anyhow::Context as _;

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

/// A running gateway.
#[derive(Debug)]
pub(crate) struct Gateway {
    /// Where it takes OTLP over gRPC.
    pub(crate) grpc: SocketAddr,
    /// Where it takes OTLP over HTTP.
    pub(crate) http: SocketAddr,
    process: Process,
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
        variables: &[(&str, &str)],
        workspace: &Workspace,
    ) -> anyhow::Result<Self> {
        let (name, program) = match kind {
            Kind::Ringway => ("ringway", env!("CARGO_BIN_EXE_ringway").into()),
            Kind::Collector => ("collector-gateway", parts::collector()?),
        };
        let (grpc, http) = (loopback::endpoint()?, loopback::endpoint()?);
        let (health, metrics) = (loopback::endpoint()?, loopback::endpoint()?);
        let process = Process::start(
            name,
            command(program)
                .arg("--config")
                .arg(parts::source("collector").join(config))
                .env("GRPC", grpc.to_string())
                .env("HTTP", http.to_string())
                .env("HEALTH", health.to_string())
                .env("METRICS_HOST", metrics.ip().to_string())
                .env("METRICS_PORT", metrics.port().to_string())
                .env("BACKENDS", format!("{backends:?}")) // a YAML list, as Rust prints it
                .envs(variables.iter().copied()),
            health,
            workspace,
        )
        .await
        .context("the gateway did not start")?;
        Ok(Self { grpc, http, process })
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

//! Real Collectors as backends: OTLP in, a file of spans out.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::process::{Process, command};
use crate::spans::SpanFile;
use crate::workspace::Workspace;
use crate::{loopback, parts};

/// A running Collector and the file it writes.
#[derive(Debug)]
pub(crate) struct Collector {
    /// Where it takes OTLP over gRPC.
    pub(crate) endpoint: SocketAddr,
    file: PathBuf,
    process: Process,
}

impl Collector {
    /// Starts a Collector on an endpoint of its own, with a configuration of `collector/` and `policies` as its sampling
    /// policies (a YAML list; ignored by a configuration that does not sample).
    ///
    /// # Errors
    ///
    /// When it does not start or does not become ready.
    pub(crate) async fn start(
        name: &str,
        config: &str,
        policies: &str,
        workspace: &Workspace,
    ) -> anyhow::Result<Self> {
        Self::start_on(loopback::endpoint()?, name, config, policies, workspace).await
    }

    /// As [`Collector::start`], on a given endpoint: where another one had been killed.
    ///
    /// # Errors
    ///
    /// When it does not start or does not become ready.
    pub(crate) async fn start_on(
        endpoint: SocketAddr,
        name: &str,
        config: &str,
        policies: &str,
        workspace: &Workspace,
    ) -> anyhow::Result<Self> {
        let file = workspace.path(&format!("{name}.json"));
        let health = loopback::endpoint()?;
        let process = Process::start(
            name,
            command(parts::collector()?)
                .arg("--config")
                .arg(parts::source("collector").join(config))
                .env("GRPC", endpoint.to_string())
                .env("HEALTH", health.to_string())
                .env("FILE", &file)
                .env("POLICIES", policies),
            health,
            workspace,
        )
        .await?;
        Ok(Self { endpoint, file, process })
    }

    /// A reader over what the Collector writes, from the start of its file.
    pub(crate) fn spans(&self) -> SpanFile {
        SpanFile::new(&self.file)
    }

    /// The file that the Collector writes.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Sends the Collector a signal: see [`Process::signal`].
    ///
    /// # Errors
    ///
    /// When it had ended before.
    pub(crate) async fn signal(&self, signal: &str) -> anyhow::Result<()> {
        self.process.signal(signal).await
    }

    /// Ends the Collector with SIGKILL.
    ///
    /// # Errors
    ///
    /// When it had ended before.
    pub(crate) async fn kill(self) -> anyhow::Result<()> {
        self.process.kill().await
    }

    /// Stops the Collector; what it held is in its file then.
    ///
    /// # Errors
    ///
    /// When it does not end in time or not cleanly.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.process.stop().await
    }
}

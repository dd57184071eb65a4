//! A Collector with many lanes side by side: lane after lane an OTLP receiver on a port of its own and one exporter, for
//! all signals.
//!
//! As a client, its exporters are the dialects under test; as a backend, each lane is a mailbox with a file.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crate::process::{Process, command};
use crate::workspace::Workspace;
use crate::{loopback, parts};

/// Ports of the first lane: gRPC, and HTTP behind it. The address is the Collector's alone, so they are free.
const FIRST_PORT: u16 = 20_000;

/// A Collector with a lane for each exporter that it was given.
#[derive(Debug)]
pub(crate) struct Lanes {
    address: Ipv4Addr,
    log: PathBuf,
    process: Process,
}

impl Lanes {
    /// Starts a Collector. An exporter is its type and its settings, in YAML's flow style.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub(crate) async fn start(
        name: &str,
        exporters: &[(&str, String)],
        workspace: &Workspace,
    ) -> anyhow::Result<Self> {
        let address = loopback::address();
        let health = loopback::endpoint()?;
        let file = workspace.path(&format!("{name}.yaml"));
        std::fs::write(&file, config(address, health, exporters)?)?;
        let process =
            Process::start(name, command(parts::collector()?).arg("--config").arg(&file), health, workspace)
                .await?;
        Ok(Self { address, log: workspace.path(&format!("{name}.log")), process })
    }

    /// Where a lane takes OTLP over gRPC.
    pub(crate) fn grpc(&self, lane: usize) -> SocketAddr {
        (self.address, port(lane)).into()
    }

    /// Where a lane takes OTLP over HTTP.
    pub(crate) fn http(&self, lane: usize) -> SocketAddr {
        (self.address, port(lane) + 1).into()
    }

    /// Stops the Collector; what it held has been sent then.
    ///
    /// # Errors
    ///
    /// When it does not end in time or not cleanly, or when it logged a warning: a refused request, a reply that it
    /// did not understand, a retry.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.process.stop().await?;
        let log = std::fs::read_to_string(&self.log)?;
        anyhow::ensure!(log.is_empty(), "the Collector complains in {}:\n{log}", self.log.display());
        Ok(())
    }
}

/// Exporters for [`Lanes::start`] that write files, and the files.
pub(crate) fn files(number: usize, workspace: &Workspace) -> (Vec<(&'static str, String)>, Vec<PathBuf>) {
    let files: Vec<PathBuf> =
        (0..number).map(|lane| workspace.path(&format!("mailbox-{lane}.json"))).collect();
    let exporter = |file: &PathBuf| {
        // A rotating file is not buffered: see collector/record.yaml.
        ("file", format!("{{path: {}, rotation: {{max_megabytes: 2000}}}}", file.display()))
    };
    (files.iter().map(exporter).collect(), files)
}

fn port(lane: usize) -> u16 {
    u16::try_from(lane).map_or(u16::MAX - 1, |lane| FIRST_PORT + 2 * lane)
}

fn config(
    address: Ipv4Addr,
    health: SocketAddr,
    exporters: &[(&str, String)],
) -> Result<String, std::fmt::Error> {
    let (mut receivers, mut senders, mut pipelines) = (String::new(), String::new(), String::new());
    for (lane, (kind, settings)) in exporters.iter().enumerate() {
        let (grpc, http) = (port(lane), port(lane) + 1);
        writeln!(
            receivers,
            "  otlp/{lane}: {{protocols: {{grpc: {{endpoint: '{address}:{grpc}'}}, http: {{endpoint: '{address}:{http}'}}}}}}"
        )?;
        writeln!(senders, "  {kind}/{lane}: {settings}")?;
        for signal in ["traces", "metrics", "logs"] {
            writeln!(
                pipelines,
                "    {signal}/{lane}: {{receivers: [otlp/{lane}], exporters: [{kind}/{lane}]}}"
            )?;
        }
    }
    Ok(format!(
        "extensions:\n  health_check: {{endpoint: '{health}'}}\n\
         receivers:\n{receivers}exporters:\n{senders}\
         service:\n  extensions: [health_check]\n  telemetry: {{metrics: {{level: none}}, logs: {{level: warn}}}}\n  \
         pipelines:\n{pipelines}"
    ))
}

//! telemetrygen, the Collector project's load generator.

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};

use super::{KEEP, LIMIT};
use crate::parts;
use crate::process::command;

/// Its SDK drops spans beyond a queue of this size without saying so.
const QUEUE: usize = 2048;

/// A run of telemetrygen: `traces` traces of a root and `children` children each, with random ids.
#[derive(Debug)]
pub(crate) struct Telemetrygen {
    /// `service.name` of its spans: how they are told apart, since telemetrygen does not print ids.
    pub(crate) service: &'static str,
    /// Number of traces.
    pub(crate) traces: usize,
    /// Spans of each trace besides its root.
    pub(crate) children: usize,
    /// OTLP over HTTP instead of gRPC.
    pub(crate) http: bool,
    /// Whether all spans are marked with [`KEEP`].
    pub(crate) keep: bool,
}

impl Telemetrygen {
    /// Sends the traces and waits until telemetrygen has ended.
    ///
    /// # Errors
    ///
    /// When it takes too long or an export fails.
    pub(crate) async fn run(&self, gateway: SocketAddr) -> anyhow::Result<()> {
        ensure!(self.traces * (self.children + 1) <= QUEUE, "telemetrygen would drop spans");
        let mut arguments = vec![
            "traces".to_owned(),
            format!("--traces={}", self.traces),
            format!("--child-spans={}", self.children),
            format!("--service={}", self.service),
        ];
        arguments.extend(self.http.then(|| "--otlp-http".to_owned()));
        arguments.extend(self.keep.then(|| format!("--telemetry-attributes={KEEP}=\"yes\"")));
        generate(gateway, &arguments).await
    }
}

/// A run of telemetrygen for one signal: the same span tree, data point or log record again and again.
#[derive(Debug)]
pub(crate) struct Stream {
    /// `traces`, `metrics` or `logs`.
    pub(crate) signal: &'static str,
    /// OTLP over HTTP instead of gRPC.
    pub(crate) http: bool,
    /// Traces of a root and a child, data points or log records.
    pub(crate) number: usize,
}

impl Stream {
    /// `service.name` of what it sends.
    pub(crate) fn service(&self) -> String {
        format!("telemetrygen-{}-{}", self.signal, if self.http { "http" } else { "grpc" })
    }

    /// Sends everything, with `text` in an attribute of each resource and each item, and waits until telemetrygen has
    /// ended.
    ///
    /// # Errors
    ///
    /// When it takes too long or an export fails.
    pub(crate) async fn run(&self, gateway: SocketAddr, text: &str) -> anyhow::Result<()> {
        ensure!(2 * self.number <= QUEUE, "telemetrygen would drop spans");
        let mut arguments = vec![
            self.signal.to_owned(),
            format!("--{}={}", self.signal, self.number),
            format!("--service={}", self.service()),
            format!("--otlp-attributes=note=\"{text}\""),
            format!("--telemetry-attributes=text=\"{text}\""),
        ];
        arguments.extend(self.http.then(|| "--otlp-http".to_owned()));
        generate(gateway, &arguments).await
    }
}

/// Runs telemetrygen with one worker, without a pause between items and in small batches.
async fn generate(gateway: SocketAddr, arguments: &[String]) -> anyhow::Result<()> {
    let run = command(parts::telemetrygen()?)
        .args(arguments)
        .args(["--workers=1", "--rate=0", "--otlp-insecure", "--batch-size=20"])
        .arg(format!("--otlp-endpoint={gateway}"))
        .kill_on_drop(true)
        .output();
    let output =
        tokio::time::timeout(LIMIT, run).await.with_context(|| format!("telemetrygen {arguments:?}"))??;
    ensure!(
        output.status.success(),
        "telemetrygen {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

//! ringway with an `/etc/resolv.conf` of its own, and exporters that resolve names.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::LIMIT;
use crate::process::{Process, command};
use crate::workspace::Workspace;
use crate::{http, loopback, poll};

/// How names are resolved.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resolves {
    /// The name server.
    pub(super) server: Ipv4Addr,
    /// More lines of `/etc/resolv.conf`.
    pub(super) search: &'static str,
    /// The upper bound of the time between two lookups; the lower one is 100 ms.
    pub(super) max_ttl: &'static str,
}

/// A running gateway.
#[derive(Debug)]
pub(super) struct Gateway {
    /// Where it takes OTLP over gRPC.
    pub(super) grpc: SocketAddr,
    health: SocketAddr,
    metrics: SocketAddr,
    configuration: PathBuf,
    process: Process,
}

impl Resolves {
    fn text(&self) -> String {
        format!("nameserver {}\n{}", self.server, self.search)
    }
}

impl Gateway {
    /// Starts a gateway with one exporter for each name, and waits until it is alive. The exporters' ids are `load_balancing` and
    /// what stands beside the name.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub(super) async fn start(
        name: &str,
        exporters: &[(&str, &str)],
        resolves: &Resolves,
        workspace: &Workspace,
    ) -> anyhow::Result<Self> {
        let mut blocks = String::new();
        for (id, hostname) in exporters {
            let max_ttl = resolves.max_ttl;
            write!(
                blocks,
                "  load_balancing{id}:\n    protocol: {{otlp: {{tls: {{insecure: true}}}}}}\n    \
                 resolver: {{dns: {{hostname: {hostname}, port: \"4317\", timeout: 1s}}}}\n    \
                 ringway: {{dns: {{min_ttl: 100ms, max_ttl: {max_ttl}}}}}\n"
            )?;
        }
        let ids: Vec<String> = exporters.iter().map(|(id, _)| format!("load_balancing{id}")).collect();
        Self::launch(name, &blocks, &ids.join(", "), resolves, workspace).await
    }

    /// Starts a gateway with one static host name, and waits until it is alive.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub(super) async fn start_static(
        name: &str,
        hostname: &str,
        resolves: &Resolves,
        workspace: &Workspace,
    ) -> anyhow::Result<Self> {
        let block = format!(
            "  load_balancing:\n    protocol: {{otlp: {{tls: {{insecure: true}}, compression: none, retry_on_failure: \
             {{initial_interval: 200ms}}}}}}\n    resolver: {{static: {{hostnames: [{hostname}]}}}}\n"
        );
        Self::launch(name, &block, "load_balancing", resolves, workspace).await
    }

    async fn launch(
        name: &str,
        exporters: &str,
        ids: &str,
        resolves: &Resolves,
        workspace: &Workspace,
    ) -> anyhow::Result<Self> {
        let configuration = workspace.path(&format!("{name}.resolv.conf"));
        fs::write(&configuration, resolves.text())?;
        let [grpc, health, metrics] = [loopback::endpoint()?, loopback::endpoint()?, loopback::endpoint()?];
        let config = workspace.path(&format!("{name}.yaml"));
        let text = format!(
            "extensions: {{health_check: {{endpoint: \"{health}\"}}}}\n\
             receivers: {{otlp: {{protocols: {{grpc: {{endpoint: \"{grpc}\"}}}}}}}}\n\
             exporters:\n{exporters}\
             service:\n  extensions: [health_check]\n  telemetry: {{metrics: {{readers: [{{pull: {{exporter: {{prometheus: \
             {{host: {}, port: {}}}}}}}}}]}}}}\n  pipelines: {{traces: {{receivers: [otlp], exporters: [{ids}]}}}}\n",
            metrics.ip(),
            metrics.port()
        );
        fs::write(&config, text)?;
        let program = Path::new(env!("CARGO_BIN_EXE_ringway"));
        let mut command = command("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c"]);
        // The file that is bound is written in place, so that the process sees what a test writes later.
        command.arg("mount --bind \"$1\" /etc/resolv.conf && shift && exec \"$@\"");
        command.arg("sh").arg(&configuration).arg(program).arg("--config").arg(config);
        let mut process = Process::spawn(name, &mut command, workspace)?;
        process.ready(async || http::fetch(health, "/livez").await.is_ok()).await?;
        Ok(Self { grpc, health, metrics, configuration, process })
    }

    /// Changes how names are resolved, while it runs.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub(super) fn configure(&self, resolves: &Resolves) -> anyhow::Result<()> {
        fs::write(&self.configuration, resolves.text()).context("writing resolv.conf")
    }

    /// Waits until the name has so many members.
    ///
    /// # Errors
    ///
    /// When it has not in time.
    pub(super) async fn has(&self, members: usize) -> anyhow::Result<()> {
        let what = format!("there are {members} members");
        poll::until(&what, LIMIT, async || Ok((self.members().await? == members.to_string()).then_some(())))
            .await
    }

    /// Makes sure that the name has so many members now.
    ///
    /// # Errors
    ///
    /// When it has not.
    pub(super) async fn has_still(&self, members: usize) -> anyhow::Result<()> {
        let now = self.members().await?;
        anyhow::ensure!(now == members.to_string(), "{now} members, {members} expected");
        Ok(())
    }

    /// Waits until so many failures of this kind have come to those that were there.
    ///
    /// # Errors
    ///
    /// When they do not in time.
    pub(super) async fn counts(&self, code: &str, more: f64) -> anyhow::Result<()> {
        self.counts_for("", code, more).await
    }

    /// The same for an exporter.
    ///
    /// # Errors
    ///
    /// When they do not in time.
    pub(super) async fn counts_for(&self, exporter: &str, code: &str, more: f64) -> anyhow::Result<()> {
        let (what, before) = (format!("{more} failures {code:?}"), self.failures(exporter, code).await?);
        poll::until(&what, LIMIT, async || {
            Ok((self.failures(exporter, code).await? >= before + more).then_some(()))
        })
        .await
    }

    /// Failures of an exporter so far.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub(super) async fn failures(&self, exporter: &str, code: &str) -> anyhow::Result<f64> {
        let labels = [
            format!("exporter=\"load_balancing{exporter}\""),
            format!("code=\"{code}\""),
            "resolver=\"dns\"".to_owned(),
        ];
        self.sum("ringway_resolver_failures", &labels).await
    }

    /// Lookups that gave an answer, of all exporters.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub(super) async fn lookups(&self) -> anyhow::Result<f64> {
        let labels = ["resolver=\"dns\"".to_owned(), "success=\"true\"".to_owned()];
        self.sum("otelcol_loadbalancer_num_resolutions", &labels).await
    }

    /// Changes of the set.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub(super) async fn updates(&self) -> anyhow::Result<f64> {
        self.sum("otelcol_loadbalancer_num_backend_updates", &[]).await
    }

    /// Whether `/readyz` says yes.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub(super) async fn is_ready(&self) -> anyhow::Result<bool> {
        Ok(http::fetch(self.health, "/readyz").await?.0.starts_with("HTTP/1.1 200"))
    }

    /// Stops it; afterwards nothing more reaches a backend.
    ///
    /// # Errors
    ///
    /// When it does not end in time or not cleanly.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.process.stop().await
    }

    /// As it is written, so that an empty set and none are not the same.
    async fn members(&self) -> anyhow::Result<String> {
        let metrics = http::get(self.metrics, "/metrics").await?;
        let line = metrics.lines().find(|line| line.starts_with("otelcol_loadbalancer_num_backends{"));
        Ok(line.and_then(|line| line.rsplit(' ').next()).unwrap_or("no").to_owned())
    }

    /// The sum of all series whose labels contain each of these texts.
    async fn sum(&self, name: &str, labels: &[String]) -> anyhow::Result<f64> {
        let metrics = http::get(self.metrics, "/metrics").await?;
        let mut sum = 0.0;
        for line in metrics.lines().filter(|line| labels.iter().all(|label| line.contains(label.as_str()))) {
            // Whether a counter's name ends with `_total` is the format's business.
            let rest = line.strip_prefix(name);
            if rest.is_some_and(|rest| rest.trim_start_matches("_total").starts_with(['{', ' '])) {
                sum += line.rsplit(' ').next().context("no value")?.parse::<f64>()?;
            }
        }
        Ok(sum)
    }
}

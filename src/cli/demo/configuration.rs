//! The demo's gateway configuration: Collector YAML with the sinks as static hostnames.

use std::{fmt::Write as _, net::SocketAddr, path::Path};

use anyhow::{Context as _, bail};

use super::DemoArgs;
use crate::{
    config::{self, Sources},
    model::settings::Settings,
};

/// The id of the receiver.
pub(super) const RECEIVER: &str = "otlp";
/// The name under which the text is loaded; it appears in messages.
const NAME: &str = "demo.yaml";

/// The text that `--print-config` prints and the gateway is started from.
///
/// # Errors
///
/// If the metrics endpoint is not `HOST:PORT`: the Collector wants the two apart.
pub(super) fn text(args: &DemoArgs, sinks: &[SocketAddr]) -> anyhow::Result<String> {
    let DemoArgs { grpc_endpoint, http_endpoint, metrics_endpoint, .. } = args;
    let (host, port) = metrics_endpoint
        .rsplit_once(':')
        .with_context(|| format!("--metrics-endpoint {metrics_endpoint}: it needs a host and a port"))?;
    let mut hostnames = String::new();
    for sink in sinks {
        writeln!(hostnames, "          - {sink}")?;
    }
    Ok(format!(
        "\
receivers:
  {RECEIVER}:
    protocols:
      grpc:
        endpoint: {grpc_endpoint:?}
      http:
        endpoint: {http_endpoint:?}

exporters:
  load_balancing:
    routing_key: traceID
    protocol:
      otlp:
        tls:
          insecure: true
    resolver:
      static:
        hostnames:
{hostnames}
service:
  telemetry:
    logs:
      level: warn
    metrics:
      readers:
        - pull:
            exporter:
              prometheus:
                host: {host:?}
                port: {port}
  pipelines:
    traces:
      receivers: [{RECEIVER}]
      exporters: [load_balancing]
"
    ))
}

/// Loads the text as a user's file is loaded.
///
/// # Errors
///
/// Every problem, one a line.
pub(super) fn load(text: &str) -> anyhow::Result<Settings> {
    let loaded = config::load(&[format!("file:{NAME}")], &[], &Embedded(text));
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let Some(settings) = loaded.settings else {
        let problems: Vec<_> = loaded.errors.iter().map(ToString::to_string).collect();
        bail!("the demo's configuration is not valid:\n{}", problems.join("\n"));
    };
    Ok(settings)
}

/// The one file there is.
struct Embedded<'a>(&'a str);

impl Sources for Embedded<'_> {
    fn env(&self, _name: &str) -> Option<String> {
        None
    }

    fn file(&self, path: &Path) -> Result<String, String> {
        if path == Path::new(NAME) { Ok(self.0.to_owned()) } else { Err("no such file".to_owned()) }
    }
}

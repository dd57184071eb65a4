//! The OTLP exporters of a real Collector as clients: one lane for each way that they can be told to send.

use std::net::SocketAddr;

use anyhow::Context as _;

use crate::http;
use crate::lanes::Lanes;
use crate::signals::everything;
use crate::workspace::Workspace;

/// What `otlp_http` compresses with. `zlib` and `deflate` are the same bytes under two names.
pub(crate) const HTTP_COMPRESSIONS: [&str; 8] =
    ["none", "gzip", "zstd", "zlib", "deflate", "snappy", "x-snappy-framed", "lz4"];

/// What `otlp_grpc` compresses with.
pub(crate) const GRPC_COMPRESSIONS: [&str; 4] = ["none", "gzip", "zstd", "snappy"];

/// A Collector that passes on what it gets.
#[derive(Debug)]
pub(crate) struct Exporters {
    names: Vec<String>,
    lanes: Lanes,
}

impl Exporters {
    /// Starts a Collector with `otlp_http` and `otlp_grpc` exporters in each compression, and `otlp_http` with JSON in
    /// none and gzip. They neither queue nor try again, so whoever sends to it learns what the gateway said.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub(crate) async fn start(
        grpc: SocketAddr,
        http: SocketAddr,
        workspace: &Workspace,
    ) -> anyhow::Result<Self> {
        const AT_ONCE: &str = "sending_queue: {enabled: false}, retry_on_failure: {enabled: false}";
        let (mut names, mut exporters) = (Vec::new(), Vec::new());
        for compression in HTTP_COMPRESSIONS {
            names.push(format!("otlp-http-{compression}"));
            exporters.push((
                "otlp_http",
                format!("{{endpoint: 'http://{http}', compression: {compression}, {AT_ONCE}}}"),
            ));
        }
        for compression in ["none", "gzip"] {
            names.push(format!("otlp-http-json-{compression}"));
            exporters.push((
                "otlp_http",
                format!(
                    "{{endpoint: 'http://{http}', encoding: json, compression: {compression}, {AT_ONCE}}}"
                ),
            ));
        }
        for compression in GRPC_COMPRESSIONS {
            names.push(format!("otlp-grpc-{compression}"));
            exporters.push((
                "otlp_grpc",
                format!(
                    "{{endpoint: '{grpc}', tls: {{insecure: true}}, compression: {compression}, {AT_ONCE}}}"
                ),
            ));
        }
        let lanes = Lanes::start("client", &exporters, workspace).await?;
        Ok(Self { names, lanes })
    }

    /// Sends one request of each signal through each exporter and stops the Collector. Returns the requests.
    ///
    /// # Errors
    ///
    /// When the gateway did not take one, or the Collector had something to complain about.
    pub(crate) async fn send(self) -> anyhow::Result<Vec<serde_json::Value>> {
        let mut sent = Vec::new();
        for (lane, name) in self.names.iter().enumerate() {
            for (signal, request) in everything::requests(name)? {
                http::post_json(self.lanes.http(lane), &format!("/v1/{signal}"), &request.to_string())
                    .await
                    .with_context(|| format!("through {name}"))?;
                sent.push(request);
            }
        }
        self.lanes.stop().await?;
        Ok(sent)
    }
}

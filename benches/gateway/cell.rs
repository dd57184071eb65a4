//! The loads that are compared, and the configuration file that both gateways get.

use std::net::SocketAddr;

use ringway::model::settings::Compression;

/// One row of the tables.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) name: String,
    /// Spans in each request.
    pub(crate) spans: usize,
    /// Of the requests in and of the requests out.
    pub(crate) compression: Compression,
    /// `sending_queue.enabled`; off: a client is answered when its data is delivered.
    pub(crate) queue: bool,
    pub(crate) offered: Offered,
    /// Whether the open loop takes its rate from what B reached here.
    pub(crate) gives_rate: bool,
}

/// How the load is paced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offered {
    /// As fast as answers come.
    Closed,
    /// At half of the rate that B sustained in the row that gives the rate.
    HalfOfB,
}

// === impl Cell ===

impl Cell {
    /// Every row, in the order in which they run.
    pub(crate) fn all() -> Vec<Self> {
        let mut cells = Vec::new();
        for (spans, compression) in [
            (512, Compression::None),
            (100, Compression::None),
            (8192, Compression::None),
            (512, Compression::Gzip),
        ] {
            for queue in [true, false] {
                cells.push(Self::closed(spans, compression, queue));
            }
        }
        let sync = Self::closed(512, Compression::None, false);
        cells.push(Self {
            name: format!("{}, open loop", sync.name),
            offered: Offered::HalfOfB,
            gives_rate: false,
            ..sync
        });
        cells
    }

    fn closed(spans: usize, compression: Compression, queue: bool) -> Self {
        let encoding = compression.encoding().unwrap_or("none");
        Self {
            name: format!("{spans} {}, {encoding} → {encoding}", if queue { "queue" } else { "sync" }),
            spans,
            compression,
            queue,
            offered: Offered::Closed,
            gives_rate: spans == 512 && !queue && compression == Compression::None,
        }
    }

    /// A Collector configuration. What it does not name has its default; *sync* turns queue and retry off, as
    /// people do who want to be told of a failure.
    pub(crate) fn configuration(
        &self,
        listen: SocketAddr,
        metrics: SocketAddr,
        sinks: &[SocketAddr],
    ) -> String {
        let hostnames: String = sinks.iter().map(|sink| format!("\n          - {sink}")).collect();
        let (queue, encoding) = (self.queue, self.compression.encoding().unwrap_or("none"));
        format!(
            "\
receivers:
  otlp:
    protocols:
      grpc:
        endpoint: {listen}
exporters:
  load_balancing:
    routing_key: traceID
    resolver:
      static:
        hostnames:{hostnames}
    protocol:
      otlp:
        compression: {encoding}
        tls:
          insecure: true
        sending_queue:
          enabled: {queue}
        retry_on_failure:
          enabled: {queue}
service:
  telemetry:
    metrics:
      readers:
        - pull:
            exporter:
              prometheus:
                host: {}
                port: {}
  pipelines:
    traces:
      receivers: [otlp]
      exporters: [load_balancing]
",
            metrics.ip(),
            metrics.port()
        )
    }
}

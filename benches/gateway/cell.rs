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
    /// Every row, in the order in which they run: each size without compression, then the first size with gzip and
    /// in an open loop.
    pub(crate) fn all(sizes: &[usize]) -> Vec<Self> {
        let mut loads: Vec<_> = sizes.iter().map(|spans| (*spans, Compression::None)).collect();
        loads.extend(sizes.first().map(|spans| (*spans, Compression::Gzip)));
        let mut cells = Vec::new();
        for (spans, compression) in loads {
            for queue in [true, false] {
                cells.push(Self::closed(spans, compression, queue));
            }
        }
        if let Some(spans) = sizes.first() {
            let sync = Self { gives_rate: false, ..Self::closed(*spans, Compression::None, false) };
            cells.iter_mut().for_each(|cell| cell.gives_rate = cell.name == sync.name);
            let name = format!("{}, open loop", sync.name);
            cells.push(Self { name, offered: Offered::HalfOfB, ..sync });
        }
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
            gives_rate: false,
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

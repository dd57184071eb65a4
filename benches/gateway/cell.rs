//! The loads that are compared, and the configuration file that both gateways get.

use std::net::SocketAddr;

use ringway::model::{Signal, settings::Compression};

/// One row of the tables.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) name: String,
    pub(crate) route: Route,
    /// Spans, data points or log records in each request.
    pub(crate) items: usize,
    /// Of the requests in and of the requests out.
    pub(crate) compression: Compression,
    /// `sending_queue.enabled`; off: a client is answered when its data is delivered.
    pub(crate) queue: bool,
    pub(crate) offered: Offered,
    /// Whether the open loop takes its rate from what B reached here.
    pub(crate) gives_rate: bool,
}

/// What is sent, and how it is routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) signal: Signal,
    /// `routing_key`.
    key: &'static str,
    /// `routing_attributes`, as YAML.
    attributes: &'static str,
}

/// Traces by trace id: the rows of every size and compression.
const TRACE_ID: Route = Route { signal: Signal::Traces, key: "traceID", attributes: "" };

/// Every other signal and key. The attributes are such that the item has to be looked into, which costs most.
const ROUTES: [Route; 11] = [
    Route { signal: Signal::Traces, key: "service", attributes: "" },
    Route { signal: Signal::Traces, key: "attributes", attributes: "[service.name, http.route]" },
    Route { signal: Signal::Logs, key: "service", attributes: "" },
    Route { signal: Signal::Logs, key: "resource", attributes: "" },
    Route { signal: Signal::Logs, key: "traceID", attributes: "" },
    Route { signal: Signal::Logs, key: "attributes", attributes: "[service.name, http.route]" },
    Route { signal: Signal::Metrics, key: "service", attributes: "" },
    Route { signal: Signal::Metrics, key: "resource", attributes: "" },
    Route { signal: Signal::Metrics, key: "metric", attributes: "" },
    Route { signal: Signal::Metrics, key: "streamID", attributes: "" },
    Route { signal: Signal::Metrics, key: "attributes", attributes: "[service.name, http.route]" },
];

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
    /// Every row, in the order in which they run: traces by trace id in each size without compression, then the first
    /// size with gzip and in an open loop; then the first size by every other signal and key.
    pub(crate) fn all(sizes: &[usize]) -> Vec<Self> {
        let mut loads: Vec<_> = sizes.iter().map(|items| (*items, Compression::None)).collect();
        loads.extend(sizes.first().map(|items| (*items, Compression::Gzip)));
        let mut cells = Vec::new();
        for (items, compression) in loads {
            for queue in [true, false] {
                cells.push(Self::closed(TRACE_ID, items, compression, queue));
            }
        }
        if let Some(items) = sizes.first() {
            let sync = Self { gives_rate: false, ..Self::closed(TRACE_ID, *items, Compression::None, false) };
            cells.iter_mut().for_each(|cell| cell.gives_rate = cell.name == sync.name);
            let name = format!("{}, open loop", sync.name);
            cells.push(Self { name, offered: Offered::HalfOfB, ..sync });
            cells.extend(ROUTES.map(|route| Self::closed(route, *items, Compression::None, true)));
        }
        cells
    }

    fn closed(route: Route, items: usize, compression: Compression, queue: bool) -> Self {
        let encoding = compression.encoding().unwrap_or("none");
        let Route { signal, key, .. } = route;
        Self {
            name: format!(
                "{} by {key}, {items} {}, {encoding} → {encoding}",
                signal.as_str(),
                if queue { "queue" } else { "sync" }
            ),
            route,
            items,
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
        let Route { signal, key, attributes } = self.route;
        let attributes = match attributes {
            "" => String::new(),
            list => format!("\n    routing_attributes: {list}"),
        };
        let signal = signal.as_str();
        format!(
            "\
receivers:
  otlp:
    protocols:
      grpc:
        endpoint: {listen}
exporters:
  load_balancing:
    routing_key: {key}{attributes}
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
    {signal}:
      receivers: [otlp]
      exporters: [load_balancing]
",
            metrics.ip(),
            metrics.port()
        )
    }
}

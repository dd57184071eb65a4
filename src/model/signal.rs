//! The three signals of OTLP and the words that depend on them.
//!
//! Stage: vocabulary. Owns the gRPC and HTTP paths of the Export methods. `Signal` is an enum so that every
//! match on it is exhaustive: no copied condition can forget one.

/// A kind of telemetry that is received, routed and sent by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Data points.
    Metrics,
    /// Log records.
    Logs,
}

impl Signal {
    /// All signals, in the order in which OTLP names them.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    /// Its place in [`ALL`](Self::ALL), and in every array that is kept by signal.
    pub const fn index(self) -> usize {
        match self {
            Self::Traces => 0,
            Self::Metrics => 1,
            Self::Logs => 2,
        }
    }

    /// The name used in configuration (`service.pipelines`) and in the label `data_type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }

    /// The path of the gRPC Export method.
    ///
    /// Source: opentelemetry-proto `collector/{trace,metrics,logs}/v1/*_service.proto`.
    pub const fn grpc_path(self) -> &'static str {
        match self {
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            Self::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        }
    }

    /// The default path of OTLP/HTTP.
    pub const fn http_path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Metrics => "/v1/metrics",
            Self::Logs => "/v1/logs",
        }
    }

    /// What one item of this signal is called in metric names: `otelcol_receiver_accepted_<word>`.
    pub const fn items_word(self) -> &'static str {
        match self {
            Self::Traces => "spans",
            Self::Metrics => "metric_points",
            Self::Logs => "log_records",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Signal;

    // Scenario: the signals are listed.
    // Guarantees: paths and words are pairwise distinct, so no signal can be taken for another.
    #[test]
    fn words_are_distinct() {
        for (index, left) in Signal::ALL.iter().enumerate() {
            for right in &Signal::ALL[index + 1..] {
                assert_ne!(left.as_str(), right.as_str());
                assert_ne!(left.grpc_path(), right.grpc_path());
                assert_ne!(left.http_path(), right.http_path());
                assert_ne!(left.items_word(), right.items_word());
            }
        }
    }
}

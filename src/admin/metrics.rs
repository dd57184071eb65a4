//! The page that Prometheus scrapes.
//!
//! Stage: admin.

use http::StatusCode;
use tokio::time::Instant;

use super::{process, server::Page};
use crate::telemetry::Metrics;

/// The pages of a metrics listener.
#[derive(Debug)]
pub(super) struct MetricsPages {
    metrics: Metrics,
    started: Instant,
}

impl MetricsPages {
    pub(super) const fn new(metrics: Metrics, started: Instant) -> Self {
        Self { metrics, started }
    }

    pub(super) fn page(&self, path: &str) -> Page {
        if path != "/metrics" {
            return Page::text(StatusCode::NOT_FOUND, "404 page not found; metrics are at /metrics");
        }
        self.metrics.set_process(self.started.elapsed(), process::cpu_time(), process::resident_bytes());
        Page {
            status: StatusCode::OK,
            content_type: "text/plain; version=0.0.4; charset=utf-8",
            body: self.metrics.text(),
        }
    }
}

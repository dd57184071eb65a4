//! How long the series of a backend live.
//!
//! Stage: edge.

use std::sync::PoisonError;

use super::Metrics;
use crate::model::Code;

/// The series of one backend. They disappear with the last handle, so that pools whose members come and go do not pile up
/// series; what was delivered and dropped is added to the series of the endpoint `removed`, so that sums stay right.
pub(super) struct Series {
    pub(super) metrics: Metrics,
    pub(super) labels: [String; 3],
}

/// The label `endpoint` of what removed backends have counted.
const REMOVED: &str = "removed";

impl std::fmt::Debug for Series {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Series").field(&self.labels).finish()
    }
}

impl Drop for Series {
    fn drop(&mut self) {
        let metrics = &self.metrics;
        let mut all = metrics.series.lock().unwrap_or_else(PoisonError::into_inner);
        // A new backend of the same labels has taken its place already.
        if all.get(&self.labels).is_some_and(|series| series.strong_count() > 0) {
            return;
        }
        all.remove(&self.labels);
        let [exporter, endpoint, signal] = self.labels.each_ref().map(String::as_str);
        if endpoint == REMOVED {
            return;
        }
        for counters in [
            &metrics.delivered,
            &metrics.ambiguous,
            &metrics.rerouted,
            &metrics.retries,
            &metrics.omitted_headers,
        ] {
            let gone = counters.with_label_values(&[exporter, endpoint, signal]).get();
            if gone > 0 {
                counters.with_label_values(&[exporter, REMOVED, signal]).inc_by(gone);
            }
            remove(counters.remove_label_values(&[exporter, endpoint, signal]));
        }
        for code in Code::ALL {
            let labels = [exporter, endpoint, signal, code.as_str()];
            // Only the reasons that have a series.
            let gone = metrics.dropped.with_label_values(&labels).get();
            if gone > 0 {
                metrics.dropped.with_label_values(&[exporter, REMOVED, signal, code.as_str()]).inc_by(gone);
            }
            remove(metrics.dropped.remove_label_values(&labels));
        }
        remove(metrics.queued.remove_label_values(&[exporter, endpoint, signal]));
        remove(metrics.state.remove_label_values(&[exporter, endpoint, signal]));
        // These have no label but the endpoint, and are shared by all exporters and signals.
        if !all.keys().any(|[_, other, _]| other == endpoint) {
            remove(metrics.latency.remove_label_values(&[endpoint]));
            for succeeded in ["true", "false"] {
                remove(metrics.outcome.remove_label_values(&[endpoint, succeeded]));
            }
        }
    }
}

/// Exporters with one backend have no series of the pool's metrics; that there is nothing to remove is no error.
fn remove(removed: prometheus::Result<()>) {
    drop(removed);
}

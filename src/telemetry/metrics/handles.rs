//! Handles to metrics: what each part of the process counts.
//!
//! Stage: edge. Made by the catalogue; the data path touches atomics only.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prometheus::{Gauge, Histogram, IntCounter, IntCounterVec, IntGauge};

use super::series::Series;
use crate::model::Code;

/// What one transport of one receiver counts, for one signal.
#[derive(Clone, Debug)]
pub struct ReceiverMetrics {
    /// Items that the pipeline took.
    pub accepted: IntCounter,
    /// Items that the pipeline did not take.
    pub refused: IntCounter,
    pub(super) refused_requests: IntCounterVec,
    pub(super) refused_for_memory: IntCounter,
    pub(super) receiver: String,
    pub(super) transport: &'static str,
}

impl ReceiverMetrics {
    /// Counts one request that was answered with a failure, whether or not its items could be counted.
    pub fn refused_request(&self, reason: Code) {
        self.refused_requests.with_label_values(&[&self.receiver, self.transport, reason.as_str()]).inc();
        if reason == Code::MemoryFull {
            self.refused_for_memory.inc();
        }
    }
}

/// What one exporter counts for one signal, over all its backends.
#[derive(Clone, Debug)]
pub struct ExporterMetrics {
    /// Items that a backend took; counted on its reply only.
    pub sent: IntCounter,
    /// Items given up after they had been taken into a queue, or refused when there is none.
    pub send_failed: IntCounter,
    /// Items that a queue had no room for.
    pub enqueue_failed: IntCounter,
    /// Waiting and in flight, in the queue's unit, over all backends.
    pub queue_size: IntGauge,
    /// Capacity in the queue's unit, over all backends.
    pub queue_capacity: IntGauge,
    /// Requests being sent, waits between attempts included.
    pub in_flight: IntGauge,
    pub(super) dropped: IntCounterVec,
    pub(super) labels: [String; 2],
    /// Times that a failing backend's keys went elsewhere.
    pub ejections: IntCounter,
    /// Times that a backend got its keys back.
    pub recoveries: IntCounter,
    /// Routing tables installed.
    pub table_changes: IntCounter,
    pub(super) no_key: IntCounter,
    pub(super) no_data_points: IntCounter,
}

impl ExporterMetrics {
    /// Counts items that were accepted and given up before they reached a backend, because no message can hold them.
    pub fn dropped_too_large(&self, items: usize) {
        self.dropped(Code::TooLarge, items);
    }

    /// Counts items that were accepted and given up while no backend held them.
    pub fn dropped(&self, reason: Code, items: usize) {
        let [exporter, signal] = &self.labels;
        self.dropped.with_label_values(&[exporter, "", signal, reason.as_str()]).inc_by(items as u64);
        self.send_failed.inc_by(items as u64);
    }

    /// Counts items that the router left out because they have no routing key. Also as `send_failed`, where the Collector
    /// has them only if nothing of the request is left; otherwise it counts them as sent.
    pub fn dropped_without_key(&self, items: usize) {
        self.no_key.inc_by(items as u64);
        self.send_failed.inc_by(items as u64);
    }

    /// Counts metrics that the router left out because they have no data points. They are no items: nothing else counts
    /// them.
    pub fn dropped_empty_metrics(&self, metrics: usize) {
        self.no_data_points.inc_by(metrics as u64);
    }
}

/// What one backend counts for one signal.
#[derive(Clone, Debug)]
pub struct BackendMetrics {
    /// The exporter's totals.
    pub exporter: ExporterMetrics,
    /// Attempts, if the backend is one of a pool.
    pub attempts: Option<AttemptMetrics>,
    /// Items that the backend took.
    pub delivered: IntCounter,
    /// Items waiting or in flight.
    pub queued: IntGauge,
    /// Items whose attempt ended without an answer after they may have arrived; once for each such attempt.
    pub ambiguous: IntCounter,
    /// Items that were handed back because the backend left or is skipped: neither delivered nor dropped here.
    pub rerouted: IntCounter,
    /// 0 active, 1 suspect, 2 skipped, 3 draining.
    pub state: IntGauge,
    /// Attempts after the first.
    pub retries: IntCounter,
    /// Values of the client's headers that could not be sent on.
    pub omitted_headers: IntCounter,
    pub(super) dropped: IntCounterVec,
    pub(super) labels: [String; 3],
    pub(super) _series: Arc<Series>,
}

/// What the load-balancing exporter counts for each of its backends, and other exporters do not.
#[derive(Clone, Debug)]
pub struct AttemptMetrics {
    /// Time from the start of an attempt to its reply, milliseconds.
    pub latency_ms: Histogram,
    /// Attempts that the backend answered with OK.
    pub succeeded: IntCounter,
    /// Attempts that failed.
    pub failed: IntCounter,
}

impl AttemptMetrics {
    /// Counts one attempt.
    pub fn ended(&self, took: Duration, succeeded: bool) {
        self.latency_ms.observe(took.as_secs_f64() * 1000.0);
        if succeeded { self.succeeded.inc() } else { self.failed.inc() }
    }
}

impl BackendMetrics {
    /// Counts items that were accepted and then given up.
    pub fn dropped(&self, reason: Code, items: usize) {
        let [exporter, endpoint, signal] = &self.labels;
        self.dropped.with_label_values(&[exporter, endpoint, signal, reason.as_str()]).inc_by(items as u64);
        self.exporter.send_failed.inc_by(items as u64);
    }

    /// Items dropped so far for a reason.
    pub fn dropped_so_far(&self, reason: Code) -> u64 {
        let [exporter, endpoint, signal] = &self.labels;
        self.dropped.with_label_values(&[exporter, endpoint, signal, reason.as_str()]).get()
    }
}

/// What is held in memory.
#[derive(Clone, Debug)]
pub struct MemoryMetrics {
    /// Bytes that may be held.
    pub budget: IntGauge,
    /// Bytes that are held: bodies, queues and batches.
    pub held: IntGauge,
    /// Requests that were answered with "not now" because there was no room for their body or a part. Those of one receiver are
    /// among its refused requests too; this one exists from the start, for alerts.
    pub refused: IntCounter,
}

/// What one persistent queue counts.
#[derive(Clone, Debug)]
pub struct StoreMetrics {
    /// Records that are not done: waiting and taken.
    pub records: IntGauge,
    /// Bytes of its files, but for what was set aside as corrupt.
    pub bytes: IntGauge,
    /// Records that could not be appended.
    pub append_failed: IntCounter,
    /// Records that could not be read any more. What follows an unreadable record header counts as one.
    pub corrupt_records: IntCounter,
    /// Bytes of these.
    pub corrupt_bytes: IntCounter,
    /// Records that were found when the queue was opened.
    pub recovered_records: IntCounter,
}

/// What is seen of the ring of one exporter for one signal.
#[derive(Clone, Debug)]
pub struct RingMetrics {
    /// Changes of its members.
    pub changes: IntCounter,
    /// What a metric can hold of the digest of its members.
    pub digest: IntGauge,
    /// Its members, duplicates included.
    pub members: IntGauge,
    /// Those of them whose keys are elsewhere because they fail.
    pub skipped: IntGauge,
}

/// What one resolver counts.
#[derive(Clone, Debug)]
pub struct ResolverMetrics {
    /// Endpoints in the current set, duplicates included.
    pub backends: IntGauge,
    /// Changes of the set.
    pub updates: IntCounter,
    /// Resolutions that gave an answer.
    pub succeeded: IntCounter,
    pub(super) failed: IntCounter,
    pub(super) failures: IntCounterVec,
    /// Unix time of the last answer, in seconds.
    pub(super) last_answer: Gauge,
    pub(super) labels: [String; 2],
}

impl ResolverMetrics {
    /// The exporter's id.
    pub fn exporter(&self) -> &str {
        let [exporter, _] = &self.labels;
        exporter
    }

    /// Counts a good answer.
    pub fn answered(&self) {
        self.succeeded.inc();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last_answer.set(now.as_secs_f64());
    }

    /// Counts a resolution that failed, and why.
    pub fn failed(&self, code: &str) {
        self.failed.inc();
        self.failed_in_part(code);
    }

    /// Counts why a part of an answer could not be learnt. The resolution as a whole is counted by itself.
    pub fn failed_in_part(&self, code: &str) {
        let [exporter, resolver] = &self.labels;
        self.failures.with_label_values(&[exporter.as_str(), resolver, code]).inc();
    }

    /// Resolutions that failed for one reason.
    pub fn failures(&self, code: &str) -> u64 {
        let [exporter, resolver] = &self.labels;
        self.failures.with_label_values(&[exporter.as_str(), resolver, code]).get()
    }
}

//! The catalogue of every metric and typed handles to them; the only file that names metrics.
//!
//! Stage: edge. Names, label names and units are the Collector's (v0.161.0) wherever it has the metric; what it
//! does not have begins with `ringway_`. Handles are looked up once, when a component is built; the data path
//! touches atomics only.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prometheus::{
    Counter, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder, core::Collector,
};

use crate::model::{Code, Signal};

/// Bounds of `otelcol_loadbalancer_backend_latency`, milliseconds, as the Collector's.
const LATENCY_BOUNDS_MS: [f64; 10] = [5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0];

/// Every metric of the process. Cheap to clone; clones share the values.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    signals: [SignalMetrics; Signal::ALL.len()],
    queue_size: IntGaugeVec,
    queue_capacity: IntGaugeVec,
    in_flight: IntGaugeVec,
    latency: HistogramVec,
    outcome: IntCounterVec,
    backends: IntGaugeVec,
    backend_updates: IntCounterVec,
    resolutions: IntCounterVec,
    resolver_failures: IntCounterVec,
    resolver_last_answer: GaugeVec,
    delivered: IntCounterVec,
    dropped: IntCounterVec,
    queued: IntGaugeVec,
    memory: MemoryMetrics,
    store: StoreFamilies,
    ambiguous: IntCounterVec,
    rerouted: IntCounterVec,
    state: IntGaugeVec,
    ejections: IntCounterVec,
    recoveries: IntCounterVec,
    table_changes: IntCounterVec,
    series: Arc<Mutex<HashMap<[String; 3], Weak<Series>>>>,
    retries: IntCounterVec,
    omitted_headers: IntCounterVec,
    router_dropped_items: IntCounterVec,
    router_dropped_metrics: IntCounterVec,
    requests_refused: IntCounterVec,
    process: Arc<Mutex<ProcessMetrics>>,
}

/// What the process as a whole uses. A metric is registered with its first value, since some systems have none.
#[derive(Debug, Default)]
struct ProcessMetrics {
    uptime: Option<Counter>,
    cpu: Option<Counter>,
    resident: Option<Gauge>,
}

/// The metrics whose names hold the signal's word for its items.
#[derive(Clone, Debug)]
struct SignalMetrics {
    receiver_accepted: IntCounterVec,
    receiver_refused: IntCounterVec,
    sent: IntCounterVec,
    send_failed: IntCounterVec,
    enqueue_failed: IntCounterVec,
}

/// What one transport of one receiver counts, for one signal.
#[derive(Clone, Debug)]
pub struct ReceiverMetrics {
    /// Items that the pipeline took.
    pub accepted: IntCounter,
    /// Items that the pipeline did not take.
    pub refused: IntCounter,
    refused_requests: IntCounterVec,
    refused_for_memory: IntCounter,
    receiver: String,
    transport: &'static str,
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
    dropped: IntCounterVec,
    labels: [String; 2],
    /// Times that a failing backend's keys went elsewhere.
    pub ejections: IntCounter,
    /// Times that a backend got its keys back.
    pub recoveries: IntCounter,
    /// Routing tables installed.
    pub table_changes: IntCounter,
    no_key: IntCounter,
    no_data_points: IntCounter,
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
    dropped: IntCounterVec,
    labels: [String; 3],
    _series: Arc<Series>,
}

/// The series of one backend. They disappear with the last handle, so that pools whose members come and go do not pile up
/// series; what was delivered and dropped is added to the series of the endpoint `removed`, so that sums stay right.
struct Series {
    metrics: Metrics,
    labels: [String; 3],
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

/// The families behind [`StoreMetrics`].
#[derive(Clone, Debug)]
struct StoreFamilies {
    records: IntGaugeVec,
    bytes: IntGaugeVec,
    append_failed: IntCounterVec,
    corrupt_records: IntCounterVec,
    corrupt_bytes: IntCounterVec,
    recovered_records: IntCounterVec,
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
    failed: IntCounter,
    failures: IntCounterVec,
    /// Unix time of the last answer, in seconds.
    last_answer: Gauge,
    labels: [String; 2],
}

impl ResolverMetrics {
    /// Counts a good answer.
    pub fn answered(&self) {
        self.succeeded.inc();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last_answer.set(now.as_secs_f64());
    }

    /// Counts a resolution that failed, and why.
    pub fn failed(&self, code: &str) {
        self.failed.inc();
        let [exporter, resolver] = &self.labels;
        self.failures.with_label_values(&[exporter.as_str(), resolver, code]).inc();
    }

    /// Resolutions that failed for one reason.
    pub fn failures(&self, code: &str) -> u64 {
        let [exporter, resolver] = &self.labels;
        self.failures.with_label_values(&[exporter.as_str(), resolver, code]).get()
    }
}

impl Metrics {
    /// Makes and registers every metric.
    ///
    /// # Panics
    ///
    /// If two metrics have one name; a test covers that.
    #[expect(clippy::expect_used, reason = "names are constants; the catalogue test registers them all")]
    pub fn new() -> Self {
        let registry = Registry::new();
        let register = Register { registry: &registry };
        let signals = Signal::ALL.map(|signal| {
            let word = signal.items_word();
            SignalMetrics {
                receiver_accepted: register.counters(
                    &format!("otelcol_receiver_accepted_{word}"),
                    "Number of items successfully pushed into the pipeline.",
                    &["receiver", "transport"],
                ),
                receiver_refused: register.counters(
                    &format!("otelcol_receiver_refused_{word}"),
                    "Number of items that could not be pushed into the pipeline.",
                    &["receiver", "transport"],
                ),
                sent: register.counters(
                    &format!("otelcol_exporter_sent_{word}"),
                    "Number of items successfully sent to a destination.",
                    &["exporter"],
                ),
                send_failed: register.counters(
                    &format!("otelcol_exporter_send_failed_{word}"),
                    "Number of items in failed attempts to send to a destination.",
                    &["exporter"],
                ),
                enqueue_failed: register.counters(
                    &format!("otelcol_exporter_enqueue_failed_{word}"),
                    "Number of items failed to be added to the sending queue.",
                    &["exporter"],
                ),
            }
        });
        let backend_items = ["exporter", "endpoint", "signal"];
        let latency = HistogramVec::new(
            HistogramOpts::new(
                "otelcol_loadbalancer_backend_latency",
                "Response latency of a backend in milliseconds, measured on its reply.",
            )
            .buckets(LATENCY_BOUNDS_MS.to_vec()),
            &["endpoint"],
        )
        .expect("the metric's name and labels are valid");
        registry.register(Box::new(latency.clone())).expect("metric names are distinct");
        Self {
            signals,
            queue_size: register.gauges(
                "otelcol_exporter_queue_size",
                "Current size of the sending queue, waiting and in flight.",
                &["exporter", "data_type"],
            ),
            queue_capacity: register.gauges(
                "otelcol_exporter_queue_capacity",
                "Fixed capacity of the sending queue, over all backends.",
                &["exporter", "data_type"],
            ),
            in_flight: register.gauges(
                "otelcol_exporter_in_flight_requests",
                "Number of requests being sent, waits between attempts included.",
                &["exporter", "data_type"],
            ),
            latency,
            outcome: register.counters(
                "otelcol_loadbalancer_backend_outcome",
                "Number of attempts by outcome for each backend.",
                &["endpoint", "success"],
            ),
            backends: register.gauges(
                "otelcol_loadbalancer_num_backends",
                "Current number of backends in use.",
                &["resolver"],
            ),
            backend_updates: register.counters(
                "otelcol_loadbalancer_num_backend_updates",
                "Number of times the list of backends was updated.",
                &["resolver"],
            ),
            resolutions: register.counters(
                "otelcol_loadbalancer_num_resolutions",
                "Number of times the resolver resolved, by outcome.",
                &["resolver", "success"],
            ),
            resolver_failures: register.counters(
                "ringway_resolver_failures",
                "Number of times a resolver had no answer, by reason.",
                &["exporter", "resolver", "code"],
            ),
            resolver_last_answer: register.float_gauges(
                "ringway_resolver_last_answer_timestamp_seconds",
                "Unix time of the last good answer of a resolver.",
                &["exporter", "resolver"],
            ),
            delivered: register.counters(
                "ringway_backend_delivered_items",
                "Items that a backend took, counted on its reply.",
                &backend_items,
            ),
            dropped: register.counters(
                "ringway_backend_dropped_items",
                "Items that were accepted and then given up, by reason.",
                &["exporter", "endpoint", "signal", "reason"],
            ),
            queued: register.gauges(
                "ringway_backend_queued_items",
                "Items waiting for or being sent to a backend.",
                &backend_items,
            ),
            memory: MemoryMetrics {
                budget: register.int_gauge(
                    "ringway_memory_budget_bytes",
                    "Bytes of bodies, queues and batches that may be held in memory.",
                ),
                held: register.int_gauge(
                    "ringway_memory_held_bytes",
                    "Bytes of bodies, queues and batches that are held in memory.",
                ),
                refused: register.int_counter(
                    "ringway_memory_refused_requests",
                    "Requests refused because the memory budget had no room for their body or a part of it.",
                ),
            },
            store: StoreFamilies {
                records: register.gauges(
                    "ringway_store_records",
                    "Requests in the persistent queue, waiting and taken.",
                    &["exporter", "signal"],
                ),
                bytes: register.gauges(
                    "ringway_store_bytes",
                    "Bytes of the files of the persistent queue.",
                    &["exporter", "signal"],
                ),
                append_failed: register.counters(
                    "ringway_store_append_failed",
                    "Requests that could not be written to the persistent queue.",
                    &["exporter", "signal"],
                ),
                corrupt_records: register.counters(
                    "ringway_store_corrupt_records",
                    "Records of the persistent queue that could not be read any more.",
                    &["exporter", "signal"],
                ),
                corrupt_bytes: register.counters(
                    "ringway_store_corrupt_bytes",
                    "Bytes of the persistent queue that could not be read any more.",
                    &["exporter", "signal"],
                ),
                recovered_records: register.counters(
                    "ringway_store_recovered_records",
                    "Requests found in the persistent queue when it was opened.",
                    &["exporter", "signal"],
                ),
            },
            ambiguous: register.counters(
                "ringway_backend_ambiguous_items",
                "Items in attempts that ended without an answer after they may have arrived.",
                &backend_items,
            ),
            rerouted: register.counters(
                "ringway_backend_rerouted_items",
                "Items handed back to the router because the backend left the set or is skipped.",
                &backend_items,
            ),
            state: register.gauges(
                "ringway_backend_state",
                "State of a backend: 0 active, 1 suspect, 2 skipped, 3 draining.",
                &backend_items,
            ),
            ejections: register.counters(
                "ringway_router_ejections",
                "Times that a failing backend's keys went to its successors on the ring.",
                &["exporter", "signal"],
            ),
            recoveries: register.counters(
                "ringway_router_recoveries",
                "Times that a backend got its keys back.",
                &["exporter", "signal"],
            ),
            table_changes: register.counters(
                "ringway_router_table_changes",
                "Routing tables installed.",
                &["exporter", "signal"],
            ),
            series: Arc::default(),
            retries: register.counters(
                "ringway_backend_retries",
                "Attempts after the first.",
                &backend_items,
            ),
            omitted_headers: register.counters(
                "ringway_backend_omitted_headers",
                "Values of client headers that could not be sent on to a backend.",
                &backend_items,
            ),
            router_dropped_items: register.counters(
                "ringway_router_dropped_items",
                "Items that were accepted and belong to no backend, by reason.",
                &["exporter", "signal", "reason"],
            ),
            router_dropped_metrics: register.counters(
                "ringway_router_dropped_metrics",
                "Metrics without items that were left out, by reason.",
                &["exporter", "signal", "reason"],
            ),
            requests_refused: register.counters(
                "ringway_receiver_refused_requests",
                "Requests answered with a failure, by reason; also those whose items could not be counted.",
                &["receiver", "transport", "reason"],
            ),
            process: Arc::default(),
            registry,
        }
    }

    /// Handles of one transport (`grpc` or `http`) of a receiver.
    pub fn receiver(&self, receiver: &str, transport: &'static str, signal: Signal) -> ReceiverMetrics {
        let metrics = self.signal(signal);
        let labels = [receiver, transport];
        ReceiverMetrics {
            accepted: metrics.receiver_accepted.with_label_values(&labels),
            refused: metrics.receiver_refused.with_label_values(&labels),
            refused_requests: self.requests_refused.clone(),
            refused_for_memory: self.memory.refused.clone(),
            receiver: receiver.to_owned(),
            transport,
        }
    }

    /// Handles of an exporter.
    pub fn exporter(&self, exporter: &str, signal: Signal) -> ExporterMetrics {
        let metrics = self.signal(signal);
        let labels = [exporter, signal.as_str()];
        let left_out = |reason| [exporter, signal.as_str(), reason];
        ExporterMetrics {
            sent: metrics.sent.with_label_values(&[exporter]),
            send_failed: metrics.send_failed.with_label_values(&[exporter]),
            enqueue_failed: metrics.enqueue_failed.with_label_values(&[exporter]),
            queue_size: self.queue_size.with_label_values(&labels),
            queue_capacity: self.queue_capacity.with_label_values(&labels),
            in_flight: self.in_flight.with_label_values(&labels),
            dropped: self.dropped.clone(),
            labels: labels.map(str::to_owned),
            ejections: self.ejections.with_label_values(&labels),
            recoveries: self.recoveries.with_label_values(&labels),
            table_changes: self.table_changes.with_label_values(&labels),
            no_key: self.router_dropped_items.with_label_values(&left_out(Code::NoKey.as_str())),
            no_data_points: self.router_dropped_metrics.with_label_values(&left_out("no_data_points")),
        }
    }

    /// Handles of one backend of a pool. `endpoint` is the address with its port.
    pub fn backend(&self, exporter: &str, endpoint: &str, signal: Signal) -> BackendMetrics {
        // Its lifetime begins before the series of the endpoint are made.
        let backend = self.only_backend(exporter, endpoint, signal);
        let attempts = AttemptMetrics {
            latency_ms: self.latency.with_label_values(&[endpoint]),
            succeeded: self.outcome.with_label_values(&[endpoint, "true"]),
            failed: self.outcome.with_label_values(&[endpoint, "false"]),
        };
        BackendMetrics { attempts: Some(attempts), ..backend }
    }

    /// Handles of the backend of an exporter that has one. The series of the load-balancing exporter do not appear.
    pub fn only_backend(&self, exporter: &str, endpoint: &str, signal: Signal) -> BackendMetrics {
        let labels = [exporter, endpoint, signal.as_str()];
        let series = self.series_of(labels.map(str::to_owned));
        BackendMetrics {
            exporter: self.exporter(exporter, signal),
            attempts: None,
            delivered: self.delivered.with_label_values(&labels),
            queued: self.queued.with_label_values(&labels),
            ambiguous: self.ambiguous.with_label_values(&labels),
            rerouted: self.rerouted.with_label_values(&labels),
            state: self.state.with_label_values(&labels),
            retries: self.retries.with_label_values(&labels),
            omitted_headers: self.omitted_headers.with_label_values(&labels),
            dropped: self.dropped.clone(),
            labels: labels.map(str::to_owned),
            _series: series,
        }
    }

    /// The lifetime of the series of a backend: that of the last handle to it.
    fn series_of(&self, labels: [String; 3]) -> Arc<Series> {
        let mut all = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(series) = all.get(&labels).and_then(Weak::upgrade) {
            return series;
        }
        let series = Arc::new(Series { metrics: self.clone(), labels: labels.clone() });
        all.insert(labels, Arc::downgrade(&series));
        series
    }

    /// Handles of the memory budget.
    pub fn memory(&self) -> MemoryMetrics {
        self.memory.clone()
    }

    /// Handles of the persistent queue of an exporter.
    pub fn store(&self, exporter: &str, signal: Signal) -> StoreMetrics {
        let labels = [exporter, signal.as_str()];
        StoreMetrics {
            records: self.store.records.with_label_values(&labels),
            bytes: self.store.bytes.with_label_values(&labels),
            append_failed: self.store.append_failed.with_label_values(&labels),
            corrupt_records: self.store.corrupt_records.with_label_values(&labels),
            corrupt_bytes: self.store.corrupt_bytes.with_label_values(&labels),
            recovered_records: self.store.recovered_records.with_label_values(&labels),
        }
    }

    /// Handles of the resolver of an exporter. The Collector's metrics have the kind of resolver (`static`) alone.
    pub fn resolver(&self, exporter: &str, resolver: &str) -> ResolverMetrics {
        ResolverMetrics {
            backends: self.backends.with_label_values(&[resolver]),
            updates: self.backend_updates.with_label_values(&[resolver]),
            succeeded: self.resolutions.with_label_values(&[resolver, "true"]),
            failed: self.resolutions.with_label_values(&[resolver, "false"]),
            failures: self.resolver_failures.clone(),
            last_answer: self.resolver_last_answer.with_label_values(&[exporter, resolver]),
            labels: [exporter, resolver].map(str::to_owned),
        }
    }

    /// Sets what the process as a whole uses: time since its start, CPU time of all threads, resident memory in
    /// bytes. `None`: not known on this system. Times that go backwards are ignored.
    pub fn set_process(&self, uptime: Duration, cpu: Option<Duration>, resident_bytes: Option<u64>) {
        let register = Register { registry: &self.registry };
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let uptime_metric = process.uptime.get_or_insert_with(|| {
            register.counter("otelcol_process_uptime", "Uptime of the process in seconds.")
        });
        raise(uptime_metric, uptime);
        if let Some(cpu) = cpu {
            let metric = process.cpu.get_or_insert_with(|| {
                register.counter("otelcol_process_cpu_seconds", "Total CPU user and system time in seconds.")
            });
            raise(metric, cpu);
        }
        if let Some(bytes) = resident_bytes {
            let metric = process.resident.get_or_insert_with(|| {
                register.gauge("otelcol_process_memory_rss", "Total physical memory (resident set size).")
            });
            metric.set(bytes as f64);
        }
    }

    /// Every metric that has a series, in the Prometheus text format 0.0.4.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if let Err(error) = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "metrics could not be rendered");
        }
        text
    }

    /// Items that wait for or are being sent to a backend, over everything.
    pub fn queued_items(&self) -> i64 {
        sum(&self.queued, None, |metric| metric.get_gauge().get_value()) as i64
    }

    /// Items accepted and then given up for one reason, over everything.
    pub fn dropped_items(&self, reason: Code) -> u64 {
        let label = Some(("reason", reason.as_str()));
        let of = |metric| sum(metric, label, |metric| metric.get_counter().get_value()) as u64;
        of(&self.dropped) + of(&self.router_dropped_items)
    }

    fn signal(&self, signal: Signal) -> &SignalMetrics {
        let [traces, metrics, logs] = &self.signals;
        match signal {
            Signal::Traces => traces,
            Signal::Metrics => metrics,
            Signal::Logs => logs,
        }
    }
}

/// Moves a counter of seconds up to a total that is measured elsewhere.
fn raise(counter: &Counter, total: Duration) {
    counter.inc_by((total.as_secs_f64() - counter.get()).max(0.0));
}

/// Adds up the series of a metric, or those with one label's value.
fn sum(
    metric: &impl Collector,
    label: Option<(&str, &str)>,
    value: impl Fn(&prometheus::proto::Metric) -> f64,
) -> f64 {
    let families = metric.collect();
    let series = families.iter().flat_map(|family| family.get_metric());
    let chosen = series.filter(|series| {
        label.is_none_or(|(name, value)| {
            series.get_label().iter().any(|pair| pair.name() == name && pair.value() == value)
        })
    });
    chosen.map(value).sum()
}

/// Makes a metric and registers it.
struct Register<'a> {
    registry: &'a Registry,
}

#[expect(clippy::expect_used, reason = "names are constants; the catalogue test registers them all")]
impl Register<'_> {
    fn counter(&self, name: &str, help: &str) -> Counter {
        let metric = Counter::new(name, help).expect("the metric's name is valid");
        self.registry.register(Box::new(metric.clone())).expect("metric names are distinct");
        metric
    }

    fn gauge(&self, name: &str, help: &str) -> Gauge {
        let metric = Gauge::new(name, help).expect("the metric's name is valid");
        self.registry.register(Box::new(metric.clone())).expect("metric names are distinct");
        metric
    }

    fn float_gauges(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        let metric =
            GaugeVec::new(Opts::new(name, help), labels).expect("the metric's name and labels are valid");
        self.registry.register(Box::new(metric.clone())).expect("metric names are distinct");
        metric
    }

    fn int_counter(&self, name: &str, help: &str) -> IntCounter {
        let metric = IntCounter::new(name, help).expect("the metric's name is valid");
        self.registry.register(Box::new(metric.clone())).expect("metric names are distinct");
        metric
    }

    fn int_gauge(&self, name: &str, help: &str) -> IntGauge {
        let metric = IntGauge::new(name, help).expect("the metric's name is valid");
        self.registry.register(Box::new(metric.clone())).expect("metric names are distinct");
        metric
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        let metric = IntCounterVec::new(Opts::new(name, help), labels)
            .expect("the metric's name and labels are valid");
        self.registry.register(Box::new(metric.clone())).expect("metric names are distinct");
        metric
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        let metric =
            IntGaugeVec::new(Opts::new(name, help), labels).expect("the metric's name and labels are valid");
        self.registry.register(Box::new(metric.clone())).expect("metric names are distinct");
        metric
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Scenario: every handle is made and the text is rendered.
    // Guarantees: names are distinct, none ends in `_total` or a unit (the Collector's default), counters keep their type.
    #[test]
    fn catalogue_renders_with_the_collectors_names() {
        let metrics = Metrics::new();
        let mut backends = Vec::new();
        for signal in Signal::ALL {
            metrics.receiver("otlp", "grpc", signal).refused_request(Code::Malformed);
            let backend = metrics.backend("load_balancing", "b:4317", signal);
            backend.dropped(Code::Timeout, 3);
            assert_eq!(backend.dropped_so_far(Code::Timeout), 3);
            backends.push(backend);
        }
        metrics.resolver("load_balancing", "static").updates.inc();
        metrics.set_process(Duration::from_secs(2), Some(Duration::from_millis(500)), Some(4096));
        metrics.set_process(Duration::from_secs(3), Some(Duration::from_millis(400)), None);
        let text = metrics.text();
        for name in [
            "otelcol_receiver_accepted_spans",
            "otelcol_exporter_send_failed_log_records",
            "otelcol_exporter_queue_size",
            "otelcol_loadbalancer_backend_outcome",
        ] {
            assert!(text.contains(&format!("# TYPE {name} ")), "{name} is missing in\n{text}");
        }
        assert!(!text.contains("_total"), "{text}");
        assert!(
            text.contains("otelcol_receiver_accepted_spans{receiver=\"otlp\",transport=\"grpc\"} 0"),
            "{text}"
        );
        for line in
            ["otelcol_process_uptime 3", "otelcol_process_cpu_seconds 0.5", "otelcol_process_memory_rss 4096"]
        {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }

    // Scenario: two backends of one pool with two handles each; all handles are dropped, one after another; one comes back.
    // Guarantees: the series of a removed backend disappear with its last handle, those of others stay; what was counted is
    // still in the sums.
    #[test]
    fn series_of_removed_backends_disappear() {
        let metrics = Metrics::new();
        let [one, again, other] =
            ["a:1", "a:1", "b:1"].map(|endpoint| metrics.backend("load_balancing", endpoint, Signal::Logs));
        one.dropped(Code::Timeout, 3);
        again.delivered.inc_by(5);
        other.delivered.inc();
        let before = metrics.text();
        drop(one);
        assert_eq!(metrics.text(), before);
        drop(again);
        let text = metrics.text();
        assert!(!text.contains("endpoint=\"a:1\"") && text.contains("endpoint=\"b:1\""), "{text}");
        for line in [
            "ringway_backend_delivered_items{endpoint=\"removed\",exporter=\"load_balancing\",signal=\"logs\"} 5",
            "ringway_backend_dropped_items{endpoint=\"removed\",exporter=\"load_balancing\",reason=\"timeout\",signal=\"logs\"} 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        let back = metrics.backend("load_balancing", "a:1", Signal::Logs);
        assert_eq!(back.delivered.get(), 0);
        drop((other, back));
        assert!(!metrics.text().contains(":1\""));
        assert_eq!(metrics.dropped_items(Code::Timeout), 3);
    }

    // Scenario: an exporter with one backend, whose router leaves out items and metrics.
    // Guarantees: it counts as every exporter does, without a series of the load-balancing one; what is left out is counted
    // by reason, items also as failed to send.
    #[test]
    fn an_exporter_with_one_backend_has_no_pool() {
        let metrics = Metrics::new();
        let backend = metrics.only_backend("otlp_http", "http://b/v1/metrics", Signal::Metrics);
        backend.exporter.dropped_without_key(3);
        backend.exporter.dropped_empty_metrics(2);
        let text = metrics.text();
        assert!(!text.contains("loadbalancer"), "{text}");
        for line in [
            "otelcol_exporter_sent_metric_points{exporter=\"otlp_http\"} 0",
            "otelcol_exporter_send_failed_metric_points{exporter=\"otlp_http\"} 3",
            "ringway_router_dropped_items{exporter=\"otlp_http\",reason=\"no_key\",signal=\"metrics\"} 3",
            "ringway_router_dropped_metrics{exporter=\"otlp_http\",reason=\"no_data_points\",signal=\"metrics\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        assert_eq!(metrics.dropped_items(Code::NoKey), 3);
    }
}

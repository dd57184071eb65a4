//! The catalogue of every metric and typed handles to them; the only file that names metrics.
//!
//! Stage: edge. Names, label names and units are the Collector's (v0.161.0) wherever it has the metric; what it
//! does not have begins with `ringway_`. Handles are looked up once, when a component is built; the data path
//! touches atomics only.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use prometheus::{
    Counter, Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Registry, TextEncoder,
    core::Collector,
};

pub use self::handles::{
    AttemptMetrics, BackendMetrics, ExporterMetrics, MemoryMetrics, ReceiverMetrics, ResolverMetrics,
    RingMetrics, StoreMetrics,
};
use self::{
    looks::Looks,
    register::{Register, raise},
    series::Series,
};
use crate::model::{Code, Signal};

mod handles;
mod looks;
mod register;
mod series;
#[cfg(test)]
mod tests;

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
    resolver_state: IntGaugeVec,
    resolver_set_age: GaugeVec,
    looks: Looks,
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
    ring: RingFamilies,
    series: Arc<Mutex<HashMap<[String; 3], Weak<Series>>>>,
    retries: IntCounterVec,
    omitted_headers: IntCounterVec,
    router_dropped_items: IntCounterVec,
    router_dropped_metrics: IntCounterVec,
    requests_refused: IntCounterVec,
    process: Arc<Mutex<ProcessMetrics>>,
}

/// The families behind [`RingMetrics`].
#[derive(Clone, Debug)]
struct RingFamilies {
    changes: IntCounterVec,
    digest: IntGaugeVec,
    members: IntGaugeVec,
    skipped: IntGaugeVec,
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
            resolver_state: register.gauges(
                "ringway_resolver_state",
                "1 for the state that a resolver is in: waiting, current, stale, held or empty; 0 for the others.",
                &["exporter", "resolver", "state"],
            ),
            resolver_set_age: register.float_gauges(
                "ringway_resolver_set_age_seconds",
                "Time since the last good answer of a resolver.",
                &["exporter", "resolver"],
            ),
            looks: Looks::default(),
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
            ring: RingFamilies {
                changes: register.counters(
                    "ringway_ring_changes",
                    "Times that the members of the ring changed; failing ones that are skipped stay members.",
                    &["exporter", "signal"],
                ),
                digest: register.gauges(
                    "ringway_ring_digest",
                    "Low 52 bits of the digest of the members of the ring: equal on replicas that agree about them.",
                    &["exporter", "signal"],
                ),
                members: register.gauges(
                    "ringway_ring_members",
                    "Members of the ring, duplicates included.",
                    &["exporter", "signal"],
                ),
                skipped: register.gauges(
                    "ringway_ring_skipped_members",
                    "Members whose keys go to their successors on the ring because they fail.",
                    &["exporter", "signal"],
                ),
            },
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

    /// Handles of the ring of an exporter. Its series appear here: exporters with one backend have none.
    pub fn ring(&self, exporter: &str, signal: Signal) -> RingMetrics {
        let labels = [exporter, signal.as_str()];
        RingMetrics {
            changes: self.ring.changes.with_label_values(&labels),
            digest: self.ring.digest.with_label_values(&labels),
            members: self.ring.members.with_label_values(&labels),
            skipped: self.ring.skipped.with_label_values(&labels),
        }
    }

    /// Has `look` say at every scrape how the resolver of an exporter stands: its state, one of `states`, and the time since
    /// its last good answer, if there was one. Both change by themselves as time passes.
    pub fn follow_resolver(
        &self,
        exporter: &str,
        resolver: &str,
        states: &[&'static str],
        look: impl Fn() -> (&'static str, Option<Duration>) + Send + Sync + 'static,
    ) {
        let gauge = |&state| (state, self.resolver_state.with_label_values(&[exporter, resolver, state]));
        let gauges: Vec<_> = states.iter().map(gauge).collect();
        let (ages, labels) = (self.resolver_set_age.clone(), [exporter, resolver].map(str::to_owned));
        self.looks.add(Box::new(move || {
            let (current, age) = look();
            for (state, gauge) in &gauges {
                gauge.set(i64::from(*state == current));
            }
            // Without an answer there is no age, and so no series.
            if let Some(age) = age {
                ages.with_label_values(&labels.each_ref()).set(age.as_secs_f64());
            }
        }));
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
        self.looks.look();
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

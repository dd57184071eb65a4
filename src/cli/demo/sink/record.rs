//! What a sink remembers, from a few counters to every span.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;

use crate::{
    cli::demo::{
        ids::SpanKey,
        ledger::Ledger,
        protobuf::{Fields, Malformed, Value, bytes_of},
    },
    model::Signal,
};

/// How much a sink remembers.
#[derive(Clone, Debug)]
pub enum Mode {
    /// Totals only: the cheapest, for benchmarks.
    Count,
    /// Totals and every span: memory grows with what arrives, for tests.
    Record,
    /// Totals, and every span is reported to a ledger that several sinks share: a few bits for each span, for
    /// the demo.
    Report(Arc<Ledger>, usize),
}

/// What a sink has counted since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests that it took.
    pub requests: u64,
    /// Spans in them; or data points, or log records.
    pub spans: u64,
    /// Their bytes as they arrived, prefixes included.
    pub wire_bytes: u64,
    /// Their bytes when decompressed.
    pub message_bytes: u64,
    /// Requests that did not get an OK.
    pub refused_requests: u64,
}

/// How often each span arrived, by trace.
pub type Record = HashMap<[u8; 16], HashMap<[u8; 8], u32>>;

#[derive(Debug)]
pub(super) struct Recorder {
    mode: Mode,
    totals: watch::Sender<Totals>,
    record: Mutex<Record>,
}

// === impl Recorder ===

impl Recorder {
    pub(super) fn new(mode: Mode) -> Self {
        Self { mode, totals: watch::Sender::new(Totals::default()), record: Mutex::default() }
    }

    pub(super) fn totals(&self) -> Totals {
        *self.totals.borrow()
    }

    pub(super) fn record(&self) -> Record {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) async fn until(&self, condition: impl Fn(&Totals) -> bool) -> Totals {
        let mut totals = self.totals.subscribe();
        match totals.wait_for(condition).await {
            Ok(totals) => *totals,
            // Only without a sender, and `self` is the sender.
            Err(_) => self.totals(),
        }
    }

    pub(super) fn refused(&self) {
        self.totals.send_modify(|totals| totals.refused_requests += 1);
    }

    /// Counts one request. Nothing of a malformed one is counted.
    pub(super) fn request(&self, signal: Signal, message: &[u8], wire_bytes: usize) -> Result<(), Malformed> {
        let spans = match &self.mode {
            _ if signal != Signal::Traces => count(signal, message)?,
            Mode::Count => count(signal, message)?,
            Mode::Record => {
                let keys = keys(message)?;
                let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
                for key in &keys {
                    *record.entry(key.trace).or_default().entry(key.span).or_default() += 1;
                }
                keys.len()
            }
            Mode::Report(ledger, sink) => {
                let keys = keys(message)?;
                ledger.arrived(*sink, &keys);
                keys.len()
            }
        };
        self.totals.send_modify(|totals| {
            totals.requests += 1;
            totals.spans += spans as u64;
            totals.wire_bytes += wire_bytes as u64;
            totals.message_bytes += message.len() as u64;
        });
        Ok(())
    }
}

/// Every serialized span, metric or log record of an export request: the three are alike down to there.
fn items<T>(message: &[u8], mut each: impl FnMut(&[u8]) -> Result<T, Malformed>) -> Result<(), Malformed> {
    for resource in bytes_of(message, 1) {
        for scope in bytes_of(resource?, 2) {
            for item in bytes_of(scope?, 2) {
                each(item?)?;
            }
        }
    }
    Ok(())
}

fn count(signal: Signal, message: &[u8]) -> Result<usize, Malformed> {
    let mut count = 0;
    items(message, |item| {
        count += match signal {
            Signal::Traces | Signal::Logs => 1,
            Signal::Metrics => points(item)?,
        };
        Ok(())
    })?;
    Ok(count)
}

/// Data points of a serialized metric: gauge, sum, both histograms and summary (fields 5, 7, 9, 10, 11 of
/// `metrics/v1/metrics.proto`) all have them in field 1.
fn points(metric: &[u8]) -> Result<usize, Malformed> {
    let mut count = 0;
    for field in Fields::new(metric) {
        if let (5 | 7 | 9..=11, Value::Bytes(data)) = field? {
            for point in bytes_of(data, 1) {
                point?;
                count += 1;
            }
        }
    }
    Ok(count)
}

pub(super) fn keys(message: &[u8]) -> Result<Vec<SpanKey>, Malformed> {
    let mut keys = Vec::new();
    items(message, |span| {
        let (mut trace, mut id) = ([0; 16], [0; 8]);
        for field in Fields::new(span) {
            match field? {
                (1, Value::Bytes(bytes)) => trace = bytes.try_into().map_err(|_| Malformed)?,
                (2, Value::Bytes(bytes)) => id = bytes.try_into().map_err(|_| Malformed)?,
                _ => {}
            }
        }
        keys.push(SpanKey { trace, span: id });
        Ok(())
    })?;
    Ok(keys)
}

/// What the records of a pool of sinks say about the spans that were sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Spans that were sent and arrived nowhere.
    pub missing: Vec<SpanKey>,
    /// Arrivals of a span beyond its first, at whichever sink.
    pub duplicates: u64,
    /// Traces of which more than one sink has spans.
    pub split_traces: u64,
    /// Spans that arrived and were not sent.
    pub unknown: u64,
}

/// Compares what was sent with what a pool of sinks recorded.
pub fn audit(sent: impl IntoIterator<Item = SpanKey>, records: &[Record]) -> Audit {
    let mut arrived: HashMap<SpanKey, u32> = HashMap::new();
    let mut sinks_of: HashMap<[u8; 16], u64> = HashMap::new();
    for record in records {
        for (trace, spans) in record {
            *sinks_of.entry(*trace).or_default() += 1;
            for (span, times) in spans {
                *arrived.entry(SpanKey { trace: *trace, span: *span }).or_default() += times;
            }
        }
    }
    let mut audit = Audit {
        duplicates: arrived.values().map(|times| u64::from(times.saturating_sub(1))).sum(),
        split_traces: sinks_of.values().filter(|sinks| **sinks > 1).count() as u64,
        ..Audit::default()
    };
    for key in sent {
        if arrived.remove(&key).is_none() {
            audit.missing.push(key);
        }
    }
    audit.unknown = arrived.len() as u64;
    audit
}

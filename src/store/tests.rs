//! Tests of the persistent queue: a disk that fails on purpose, damaged files, a model, and the queue as its callers see it.

mod damage;
mod fake;
mod faults;
mod model;
mod queue;

use std::sync::Arc;

use bytes::Bytes;

use super::{
    Record,
    log::{Limits, Log, Took},
    open,
};
use crate::{
    model::{Metadata, Signal},
    telemetry::{Metrics, StoreMetrics},
};
use fake::FakeDisk;

/// No sync, no limit, segments of the least size.
const LIMITS: Limits = Limits { fsync: false, max_bytes: None, segment_bytes: 1 };

fn metrics() -> StoreMetrics {
    Metrics::new().store("load_balancing", Signal::Traces)
}

/// A record that says which it is, of about so many bytes.
fn record(id: u64, bytes: usize) -> Record {
    let mut payload = vec![id as u8; bytes.max(8)];
    payload[..8].copy_from_slice(&id.to_le_bytes());
    let pairs = [("tenant", format!("tenant {id}")), ("tenant", String::new())];
    let pairs = pairs.map(|(name, value)| (name.into(), value.as_bytes().into()));
    let metadata = Metadata::new(if id.is_multiple_of(3) { pairs.to_vec() } else { Vec::new() });
    Record { payload: Bytes::from(payload), metadata, items: id as usize % 7 }
}

fn id_of(record: &Record) -> u64 {
    record.payload.first_chunk().map_or(u64::MAX, |bytes| u64::from_le_bytes(*bytes))
}

fn open_fake(disk: &FakeDisk, limits: Limits) -> Log {
    open::open(Box::new(disk.clone()), limits, metrics()).unwrap()
}

/// Appends records of so many bytes with these names, one after another.
fn append(log: &mut Log, ids: impl IntoIterator<Item = u64>, bytes: usize) {
    for id in ids {
        log.append(&[&record(id, bytes)]).remove(0).unwrap();
    }
}

/// Takes everything that waits: names of the records with their sequence numbers. Damaged ones are left out.
fn drain(log: &mut Log) -> Vec<(u64, u64)> {
    let mut taken = Vec::new();
    while let Some(took) = log.take() {
        if let Took::Record { sequence, record: got } = took.unwrap() {
            assert_eq!(got, record(id_of(&got), got.payload.len()), "a record comes as it was");
            taken.push((id_of(&got), sequence));
        }
    }
    taken
}

fn ids(taken: &[(u64, u64)]) -> Vec<u64> {
    taken.iter().map(|(id, _)| *id).collect()
}

/// What a disk says once, kept by name.
fn shared<T>(value: T) -> Arc<std::sync::Mutex<T>> {
    Arc::new(std::sync::Mutex::new(value))
}

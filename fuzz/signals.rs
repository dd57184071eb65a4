//! What the fuzz targets of logs and metrics check, in functions that an ordinary test runs over the committed corpus too.
//!
//! The first byte of an input picks routing key and policy, the rest is the request. The including module brings
//! `parts`, `ringway` and `traces` into its own scope.
#![allow(
    dead_code,
    clippy::disallowed_methods,
    clippy::expect_used,
    unreachable_pub,
    reason = "prost is the oracle; included by tests and fuzz targets"
)]

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
};
use prost::Message;

use super::{
    parts::{self, Parts},
    ringway::{
        model::{
            Signal,
            settings::{Key, MissingKey, RoutingKey, Validation},
        },
        otlp::{Dropped, Splitter},
    },
    traces,
};

const SLOTS: usize = 3;
/// Items of a part that is cut by size, at most.
const CUT_ITEMS: usize = 5;

/// Any bytes as a logs request.
pub fn split_logs(data: &[u8]) {
    let keys = [Key::ServiceName, Key::Resource, Key::TraceIdHex, Key::TraceId, attributes(), Key::None];
    let Some((payload, parts)) = split(Signal::Logs, &keys, data) else { return };
    let records = |payload: &[u8]| {
        let request = ExportLogsServiceRequest::decode(payload).expect("what full accepts, prost accepts");
        request
            .resource_logs
            .iter()
            .flat_map(|group| &group.scope_logs)
            .map(|scope| scope.log_records.len())
            .sum()
    };
    let whole: usize = records(payload);
    for (_, items, part) in &parts {
        // prost does not know the deprecated field 1000: there are none of its records in `whole` then.
        assert!(records(part) == *items && (whole == 0 || *items <= whole));
    }
}

/// Any bytes as a metrics request.
pub fn split_metrics(data: &[u8]) {
    let keys = [Key::ServiceName, Key::Resource, Key::Metric, Key::Stream, attributes(), Key::None];
    let Some((_, parts)) = split(Signal::Metrics, &keys, data) else { return };
    for (_, _, part) in &parts {
        ExportMetricsServiceRequest::decode(part.as_slice()).expect("what full accepts, prost accepts");
    }
}

/// Names that the seeds have on every level.
fn attributes() -> Key {
    Key::Attributes(["of.item", "shared", "log.severity", "service.name"].map(Into::into).into())
}

/// Checks what holds for every request; the parts of one that is accepted in full.
fn split<'a>(signal: Signal, keys: &[Key], data: &'a [u8]) -> Option<(&'a [u8], Parts)> {
    let (pick, payload) = data.split_first()?;
    let pick = usize::from(*pick);
    let policies =
        [MissingKey::Compatible, MissingKey::Resource, MissingKey::Fixed("fixed".into()), MissingKey::Drop];
    let key = RoutingKey {
        key: keys[pick % keys.len()].clone(),
        missing: policies[pick / keys.len() % policies.len()].clone(),
    };
    let full = plan(signal, payload, &key, Validation::Full);
    let structure = plan(signal, payload, &key, Validation::Structure);
    let Some((items, dropped, parts)) = structure else {
        assert!(full.is_none(), "full accepts what structure refuses");
        return None;
    };
    assert_eq!(cut(signal, payload), items, "a cut sees other items");
    // Random keys are drawn anew; every other part is of one slot, and nothing more is dropped of it.
    let is_random =
        matches!(key.key, Key::TraceIdHex | Key::TraceId) && key.missing == MissingKey::Compatible;
    if !is_random {
        for (slot, items, part) in &parts {
            let (_, again, parts) =
                plan(signal, part, &key, Validation::Structure).expect("a part is a valid request");
            assert_eq!(
                (parts.len(), parts[0].0, parts[0].1),
                (1, *slot, *items),
                "a part splits into itself"
            );
            assert_eq!(again, Dropped::default());
        }
    }
    let full = full?;
    assert_eq!(full, (items, dropped, parts));
    Some((payload, full.2))
}

/// Plans and appends. `None`: refused.
fn plan(
    signal: Signal,
    payload: &[u8],
    key: &RoutingKey,
    validation: Validation,
) -> Option<(usize, Dropped, Parts)> {
    let mut splitter = Splitter::new(0);
    let slot_of = |key: &[u8]| traces::slot_of(key, SLOTS);
    let plan = splitter.plan(signal, payload, key, validation, SLOTS, slot_of).ok()?;
    let parts = parts::of(&plan);
    assert!(parts.iter().all(|(slot, ..)| *slot < SLOTS));
    let sent: usize = parts.iter().map(|(_, items, _)| items).sum();
    assert_eq!(plan.items(), sent + plan.dropped().without_key);
    Some((plan.items(), plan.dropped(), parts))
}

/// Cuts to a third of the size; the number of items.
fn cut(signal: Signal, payload: &[u8]) -> usize {
    let limit = payload.len() / 3;
    let mut splitter = Splitter::new(0);
    let plan = splitter.plan_by_size(signal, payload, limit, CUT_ITEMS).expect("a split accepts it");
    let mut sent = 0;
    for (_, items, part) in parts::of(&plan) {
        assert!(items == 1 || (items <= CUT_ITEMS && part.len() <= limit));
        sent += items;
    }
    assert_eq!(plan.items(), sent);
    sent
}

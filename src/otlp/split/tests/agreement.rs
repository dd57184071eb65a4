//! Traces and logs by every key and policy, against an oracle that decodes: where every item goes, on requests full of
//! what is unusual, as encoded, with fields in other orders, and with bytes changed.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
};

use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
    logs::v1::{ResourceLogs, ScopeLogs},
    trace::v1::{ResourceSpans, ScopeSpans},
};
use prost::Message;

use super::{
    adversarial::{Generator, ROUTING_ATTRIBUTES},
    keys,
    oracle::{self, Key, Missing, Routed, Routes},
    rewrite::{Schema, rewrite},
};
use crate::{
    model::{
        Signal,
        settings::{self, MissingKey, RoutingKey, Validation},
    },
    otlp::{Splitter, wire::Malformed},
};

/// Items by number: where it stands and what it is.
type Items = BTreeMap<u64, (Vec<u8>, Vec<u8>)>;

const POLICIES: [Missing<'_>; 4] =
    [Missing::Compatible, Missing::Resource, Missing::Fixed("instead"), Missing::Drop];

const TRACES: [Key<'_>; 3] = [Key::TraceId, Key::ServiceSegment, Key::ServiceName];
const LOGS: [Key<'_>; 4] = [Key::ServiceName, Key::Resource, Key::TraceId, Key::TraceIdHex];

/// Every key of a signal.
fn keys(signal: Signal) -> impl Iterator<Item = Key<'static>> {
    let keys: &[Key<'_>] = if signal == Signal::Traces { &TRACES } else { &LOGS };
    keys.iter().copied().chain(ROUTING_ATTRIBUTES.iter().map(|names| Key::Attributes(names)))
}

fn setting(key: Key<'_>, missing: Missing<'_>) -> RoutingKey {
    let key = match key {
        Key::TraceId => settings::Key::TraceId,
        Key::TraceIdHex => settings::Key::TraceIdHex,
        Key::ServiceSegment => settings::Key::ServiceSegment,
        Key::ServiceName => settings::Key::ServiceName,
        Key::Resource => settings::Key::Resource,
        Key::Metric => settings::Key::Metric,
        Key::Stream => settings::Key::Stream,
        Key::Attributes(names) => keys::attributes(names),
    };
    let missing = match missing {
        Missing::Compatible => MissingKey::Compatible,
        Missing::Resource => MissingKey::Resource,
        Missing::Fixed(text) => MissingKey::Fixed(text.into()),
        Missing::Drop => MissingKey::Drop,
    };
    RoutingKey { key, missing }
}

/// The items of a request with all that is above them; `None` if prost refuses it, or if numbers are not what they were.
fn items(signal: Signal, payload: &[u8]) -> Option<Items> {
    let mut items = Items::new();
    let mut insert = |number, above: &[Vec<u8>], item| {
        let above = above.concat();
        items.insert(number, (above, item)).is_none().then_some(())
    };
    if signal == Signal::Traces {
        for group in ExportTraceServiceRequest::decode(payload).ok()?.resource_spans {
            let above = ResourceSpans { scope_spans: Vec::new(), ..group.clone() }.encode_to_vec();
            for scope in group.scope_spans {
                let own = ScopeSpans { spans: Vec::new(), ..scope.clone() }.encode_to_vec();
                for span in scope.spans {
                    let number = u64::from_be_bytes(span.span_id.as_slice().try_into().ok()?);
                    insert(number, &[above.clone(), own.clone()], span.encode_to_vec())?;
                }
            }
        }
    } else {
        for group in ExportLogsServiceRequest::decode(payload).ok()?.resource_logs {
            let above = ResourceLogs { scope_logs: Vec::new(), ..group.clone() }.encode_to_vec();
            for scope in group.scope_logs {
                let own = ScopeLogs { log_records: Vec::new(), ..scope.clone() }.encode_to_vec();
                for record in scope.log_records {
                    insert(record.time_unix_nano, &[above.clone(), own.clone()], record.encode_to_vec())?;
                }
            }
        }
    }
    Some(items)
}

fn expect(signal: Signal, payload: &[u8], key: Key<'_>, missing: Missing<'_>) -> Routes {
    if signal == Signal::Traces {
        oracle::traces(&ExportTraceServiceRequest::decode(payload).unwrap(), key, missing)
    } else {
        oracle::logs(&ExportLogsServiceRequest::decode(payload).unwrap(), key, missing)
    }
}

/// Splits a request and compares: every item goes by the key that the oracle has for it, unchanged, with its resource and
/// its scope. `Err`: refused.
#[track_caller]
fn check(
    splitter: &mut Splitter,
    signal: Signal,
    payload: &[u8],
    key: Key<'_>,
    missing: Missing<'_>,
    validation: Validation,
) -> Result<(), Malformed> {
    // Keys in the order in which they were first asked for, and the slot of each.
    let (keys, slots) = (Vec::<Vec<u8>>::new(), HashMap::<Vec<u8>, usize>::new());
    let asked = RefCell::new((keys, slots));
    let slot_of = |key: &[u8]| {
        let (keys, slots) = &mut *asked.borrow_mut();
        *slots.entry(key.to_vec()).or_insert_with(|| {
            keys.push(key.to_vec());
            keys.len() - 1
        })
    };
    let plan = splitter.plan(signal, payload, &setting(key, missing), validation, 4096, slot_of)?;
    let parts = plan.parts().map(|(slot, count, bytes)| {
        let mut part = Vec::new();
        plan.append(slot, &mut part);
        assert_eq!(part.len(), bytes);
        (asked.borrow().0[slot].clone(), count, part)
    });
    let parts: Vec<(Vec<u8>, usize, Vec<u8>)> = parts.collect();
    // After a change of bytes there may be nothing to compare with.
    let Some(before) = items(signal, payload) else { return Ok(()) };
    assert_eq!(plan.items(), before.len());
    let mut expect = expect(signal, payload, key, missing);
    let mut total = plan.dropped().without_key;
    for (by, count, part) in parts {
        let items = items(signal, &part).expect("parts are like the whole");
        assert_eq!(items.len(), count);
        total += count;
        for (number, item) in items {
            assert_eq!(before.get(&number), Some(&item), "item {number} has changed, {key:?} {missing:?}");
            match expect.remove(&number) {
                Some(Routed::By(key)) => assert_eq!(
                    by.escape_ascii().to_string(),
                    key.escape_ascii().to_string(),
                    "item {number}, {missing:?}"
                ),
                Some(Routed::Random) => assert!(
                    by.ends_with(&[0; 12]) && by.len() == 16 || by.ends_with(&[b'0'; 24]) && by.len() == 32
                ),
                other => panic!("item {number} is sent, {key:?} {missing:?}: {other:?}"),
            }
        }
    }
    assert_eq!(total, plan.items());
    assert!(expect.values().all(|routed| *routed == Routed::Dropped), "{key:?} {missing:?}: {expect:?}");
    Ok(())
}

/// A request of that many items.
fn request(signal: Signal, seed: u64, items: usize) -> Vec<u8> {
    let mut generator = Generator::new(seed);
    match signal {
        Signal::Traces => generator.traces(items).encode_to_vec(),
        _ => generator.logs(items).encode_to_vec(),
    }
}

const SIGNALS: [Signal; 2] = [Signal::Traces, Signal::Logs];

#[test]
fn every_key_and_policy() {
    // Scenario: generated requests of 1 to 59 items, as prost encodes them, by every key and policy, at both levels in turn.
    // Guarantees: the routes are the oracle's; items, their resources and scopes stay what they are; one splitter serves
    // one request after the other.
    let mut splitter = Splitter::new(1);
    for signal in SIGNALS {
        for seed in 0..30 {
            let payload = request(signal, seed, 2 * seed as usize + 1);
            let validation = if seed % 2 == 0 { Validation::Structure } else { Validation::Full };
            for key in keys(signal) {
                for missing in POLICIES {
                    check(&mut splitter, signal, &payload, key, missing, validation).unwrap();
                }
            }
        }
    }
}

#[test]
fn other_orders_of_fields() {
    // Scenario: the same with the fields of every message in another order, unknown fields among them, over-long lengths,
    // and resource and scope written in two pieces.
    // Guarantees: the same as before.
    let mut splitter = Splitter::new(2);
    let mut random = fastrand::Rng::with_seed(3);
    for signal in SIGNALS {
        let schema = if signal == Signal::Traces { Schema::TRACES } else { Schema::LOGS };
        for seed in 100..140 {
            let payload = request(signal, seed, 20);
            let rewritten = rewrite(&payload, schema, &mut random);
            assert_eq!(items(signal, &payload), items(signal, &rewritten), "the rewriting itself is right");
            for key in keys(signal) {
                for missing in POLICIES {
                    check(&mut splitter, signal, &rewritten, key, missing, Validation::Full).unwrap();
                }
            }
        }
    }
}

#[test]
fn changed_bytes() {
    // Scenario: generated requests with up to four bytes replaced, inserted or removed, or cut off.
    // Guarantees: no panic; what is accepted at the level `Full` and is intact enough to be compared goes where the oracle
    // says. Some is accepted, some is refused.
    let mut splitter = Splitter::new(4);
    let mut random = fastrand::Rng::with_seed(5);
    for signal in SIGNALS {
        let (mut accepted, mut refused) = (0, 0);
        for seed in 200..320 {
            let mut payload = request(signal, seed, 8);
            for _ in 0..random.usize(1..5) {
                let at = random.usize(..payload.len());
                match random.u8(..16) {
                    0..12 => payload[at] = random.u8(..),
                    12 | 13 => payload.insert(at, random.u8(..)),
                    14 => drop(payload.remove(at)),
                    _ => payload.truncate(at + 1),
                }
            }
            for key in keys(signal) {
                for missing in POLICIES {
                    for validation in [Validation::Structure, Validation::Full] {
                        match check(&mut splitter, signal, &payload, key, missing, validation) {
                            Ok(()) => accepted += 1,
                            Err(_) => refused += 1,
                        }
                    }
                }
            }
        }
        assert!(accepted > 500 && refused > 500, "{signal:?}: {accepted} accepted, {refused} refused");
    }
}

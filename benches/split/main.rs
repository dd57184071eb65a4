//! What splitting a request over five backends costs, for every signal and routing key, and what cutting it into halves
//! costs, beside decoding, regrouping and encoding it with prost.
//!
//! `cargo bench --bench split`. Every variant runs over the same pool of requests, larger than the second-level
//! cache; variants take turns, and the figure is the median of the passes, so that a busy machine slows all of them
//! alike. Compare the ratios: absolute figures vary by 10 % and more between runs. Without `--bench`, as under
//! `cargo test --benches`, each variant runs once, to see that it works, and what goes where is compared with the
//! baseline.
#![allow(missing_docs, clippy::expect_used, clippy::print_stdout, clippy::panic, reason = "a benchmark")]
#![expect(clippy::disallowed_methods, reason = "reads the real clock; decodes, because that is the baseline")]

use std::{hint::black_box, time::Instant};

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use ringway::{
    model::{
        Signal,
        settings::{Key, RingGeneration, RoutingKey, Validation},
    },
    otlp::{Splitter, halves},
    ring::Ring,
};

mod naive;
#[path = "../support/payload.rs"]
mod payload;
#[path = "../../tests/support/routing.rs"]
mod routing;

use payload::Requests;

const PASSES: usize = 31;
const SLOTS: usize = 5;
const SEED: u64 = 1;
const START_UNIX_NANOS: u64 = 1_760_000_000_000_000_000;

struct Pool {
    signal: Signal,
    items: usize,
    payloads: Vec<Vec<u8>>,
}

/// One way to do the job; takes a request, leaves the parts in the buffers.
type Run<'a> = Box<dyn FnMut(&[u8], &mut [Vec<u8>]) + 'a>;

type Variant<'a> = (&'static str, Run<'a>);

fn main() {
    let measure = std::env::args().any(|arg| arg == "--bench");
    let pool = |signal, items, requests| Pool::new(signal, items, if measure { requests } else { 1 });
    let hosts = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"];
    let ring = Ring::new(RingGeneration::G3, &hosts);
    let slot_of = |key: &[u8]| ring.slot_of(key).expect("there are backends");
    println!("{:44} {:>9} {:>9} {:>12}", "", "ns/item", "MB/s", "prost / this");
    for (pool, keys) in [
        (pool(Signal::Traces, 512, 64), keys(Signal::Traces)),
        (pool(Signal::Traces, 8192, 8), vec![Key::TraceId]),
        (pool(Signal::Logs, 512, 64), keys(Signal::Logs)),
        (pool(Signal::Metrics, 512, 128), keys(Signal::Metrics)),
    ] {
        for key in keys {
            let mut variants: Vec<Variant<'_>> = vec![
                ("prost: decode, regroup, encode", baseline(pool.signal, &key, &slot_of)),
                ("split, structure", split(pool.signal, &key, Validation::Structure, &slot_of)),
                ("split, full", split(pool.signal, &key, Validation::Full, &slot_of)),
                ("index pass, structure", index(pool.signal, &key, &slot_of)),
                ("copy of the request", Box::new(|payload, out| out[0].extend_from_slice(payload))),
            ];
            // It has no key, so once for each pool is enough.
            if matches!(key, Key::TraceId | Key::ServiceName) {
                variants.push(("halves of the request", in_halves(pool.signal)));
            }
            println!("{}, {} items, by {}", pool.signal.as_str(), pool.items, name(&key));
            if !measure {
                agree(&pool, &mut variants);
            }
            report(&pool, &mut variants, if measure { PASSES } else { 1 });
        }
    }
}

/// Every key of a signal, as the Collector spells it. The attributes are such that the item has to be looked into.
fn keys(signal: Signal) -> Vec<Key> {
    let attributes = Key::Attributes(["service.name".into(), "http.route".into()].into());
    match signal {
        Signal::Traces => vec![Key::TraceId, Key::ServiceSegment, attributes],
        Signal::Logs => vec![Key::ServiceName, Key::Resource, Key::TraceIdHex, attributes],
        Signal::Metrics => vec![Key::ServiceName, Key::Resource, Key::Metric, Key::Stream, attributes],
    }
}

const fn name(key: &Key) -> &'static str {
    match key {
        Key::TraceId | Key::TraceIdHex => "traceID",
        Key::ServiceSegment | Key::ServiceName => "service",
        Key::Resource => "resource",
        Key::Metric => "metric",
        Key::Stream => "streamID",
        Key::Attributes(_) => "attributes",
        Key::None => "nothing",
    }
}

impl Pool {
    fn new(signal: Signal, items: usize, requests: usize) -> Self {
        let mut source = Requests::new(signal, items, SEED, START_UNIX_NANOS);
        Self { signal, items, payloads: (0..requests).map(|_| source.next().0).collect() }
    }

    fn items(&self) -> usize {
        self.payloads.len() * self.items
    }

    fn bytes(&self) -> usize {
        self.payloads.iter().map(Vec::len).sum()
    }
}

fn baseline<'a>(signal: Signal, key: &'a Key, slot_of: &'a dyn Fn(&[u8]) -> usize) -> Run<'a> {
    match signal {
        Signal::Traces => {
            Box::new(move |payload, out| naive::run::<ExportTraceServiceRequest>(payload, key, out, slot_of))
        }
        Signal::Logs => {
            Box::new(move |payload, out| naive::run::<ExportLogsServiceRequest>(payload, key, out, slot_of))
        }
        Signal::Metrics => Box::new(move |payload, out| {
            naive::run::<ExportMetricsServiceRequest>(payload, key, out, slot_of)
        }),
    }
}

fn split<'a>(
    signal: Signal,
    key: &Key,
    validation: Validation,
    slot_of: &'a dyn Fn(&[u8]) -> usize,
) -> Run<'a> {
    let (mut splitter, key) = (Splitter::new(SEED), RoutingKey::compatible(key.clone()));
    Box::new(move |payload, out| {
        let plan = splitter.plan(signal, payload, &key, validation, out.len(), slot_of).expect("generated");
        for (slot, _, _) in plan.parts() {
            plan.append(slot, &mut out[slot]);
        }
    })
}

fn index<'a>(signal: Signal, key: &Key, slot_of: &'a dyn Fn(&[u8]) -> usize) -> Run<'a> {
    let (mut splitter, key) = (Splitter::new(SEED), RoutingKey::compatible(key.clone()));
    Box::new(move |payload, out| {
        let plan = splitter
            .plan(signal, payload, &key, Validation::Structure, out.len(), slot_of)
            .expect("generated");
        black_box(plan.items());
    })
}

fn in_halves<'a>(signal: Signal) -> Run<'a> {
    Box::new(move |payload, out| {
        let halves = halves(signal, payload).expect("generated").expect("more than one item");
        for ((_, half), out) in halves.into_iter().zip(out) {
            *out = half;
        }
    })
}

/// The splitter and the baseline send as many items to each slot.
fn agree(pool: &Pool, variants: &mut [Variant<'_>]) {
    for payload in &pool.payloads {
        let counts = |(_, run): &mut Variant<'_>| {
            let mut out = vec![Vec::new(); SLOTS];
            run(payload, &mut out);
            out.iter().map(|part| items(pool.signal, part)).collect::<Vec<_>>()
        };
        let expected = counts(&mut variants[0]);
        assert_eq!(counts(&mut variants[1]), expected);
        assert!(expected.iter().filter(|count| **count > 0).count() > 1, "everything goes to one slot");
    }
}

fn items(signal: Signal, payload: &[u8]) -> usize {
    Splitter::new(SEED).plan_by_size(signal, payload, usize::MAX, usize::MAX).expect("encoded").items()
}

/// Runs all variants in turn, `passes` times, and prints the median of each and its ratio to the first.
fn report(pool: &Pool, variants: &mut [Variant<'_>], passes: usize) {
    let mut out = vec![Vec::new(); SLOTS];
    let mut nanos = vec![Vec::new(); variants.len()];
    for pass in 0..=passes {
        for ((_, run), nanos) in variants.iter_mut().zip(&mut nanos) {
            let start = Instant::now();
            for payload in &pool.payloads {
                out.iter_mut().for_each(Vec::clear);
                run(payload, &mut out);
            }
            black_box(&out);
            // The first pass warms buffers and scratch space.
            if pass > 0 || passes == 1 {
                nanos.push(start.elapsed().as_nanos() as f64 / pool.items() as f64);
            }
        }
    }
    let mut baseline = None;
    for ((name, _), nanos) in variants.iter().zip(&mut nanos) {
        nanos.sort_unstable_by(f64::total_cmp);
        let median = nanos[nanos.len() / 2];
        let ratio = *baseline.get_or_insert(median) / median;
        let rate = pool.bytes() as f64 / pool.items() as f64 / median * 1000.0;
        println!("  {name:42} {median:9.1} {rate:9.0} {ratio:11.1}x");
    }
}

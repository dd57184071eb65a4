//! What splitting a traces request over five backends costs, beside decoding, regrouping and encoding it with prost.
//!
//! `cargo bench --bench split`. Every variant runs over the same pool of requests, larger than the second-level
//! cache; variants take turns, and the figure is the median of the passes, so that a busy machine slows all of them
//! alike. Compare the ratios: absolute figures vary by 10 % and more between runs. Without `--bench`, as under
//! `cargo test --benches`, each variant runs once, to see that it works.
#![allow(missing_docs, clippy::expect_used, clippy::print_stdout, reason = "a benchmark")]
#![expect(clippy::disallowed_methods, reason = "reads the real clock; decodes, because that is the baseline")]

use std::{hint::black_box, time::Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use ringway::{
    model::{
        Signal,
        settings::{Key, RingGeneration, RoutingKey, Validation},
    },
    otlp::Splitter,
    ring::Ring,
};

#[path = "../tests/support/traces.rs"]
mod traces;

use traces::Shape;

const PASSES: usize = 31;

struct Pool {
    name: &'static str,
    shape: Shape,
    payloads: Vec<Vec<u8>>,
}

impl Pool {
    fn new(name: &'static str, shape: Shape, requests: u64) -> Self {
        let payloads = (0..requests).map(|seed| traces::request(seed, shape).encode_to_vec()).collect();
        Self { name, shape, payloads }
    }

    fn spans(&self) -> usize {
        self.payloads.len() * self.shape.spans
    }

    fn bytes(&self) -> usize {
        self.payloads.iter().map(Vec::len).sum()
    }
}

/// One way to do the job; takes a request, leaves the parts in the buffers.
type Run<'a> = Box<dyn FnMut(&[u8], &mut [Vec<u8>]) + 'a>;

type Variant<'a> = (&'static str, Run<'a>);

fn main() {
    let measure = std::env::args().any(|arg| arg == "--bench");
    let pools = if measure {
        vec![Pool::new("512 spans", Shape::SMALL, 64), Pool::new("8192 spans", Shape::LARGE, 8)]
    } else {
        vec![Pool::new("512 spans", Shape::SMALL, 1)]
    };
    let hosts = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"];
    let ring = Ring::new(RingGeneration::G3, &hosts);
    let slot_of = |key: &[u8]| ring.slot_of(key).unwrap_or_else(|| traces::slot_of(key, hosts.len()));
    for pool in &pools {
        let mut variants: Vec<Variant<'_>> = vec![
            ("prost: decode, regroup, encode", Box::new(|payload, out| naive(payload, out, slot_of))),
            ("prost: decode", Box::new(|payload, _| drop(black_box(decode(payload))))),
            ("split, structure", split(Validation::Structure, slot_of)),
            ("split, full", split(Validation::Full, slot_of)),
            ("index pass, structure", index(Validation::Structure, slot_of)),
            ("index pass, full", index(Validation::Full, slot_of)),
            ("hash and look up each key", Box::new(|_, _| hash(pool.shape.spans, slot_of))),
            ("copy of the request", Box::new(|payload, out| out[0].extend_from_slice(payload))),
        ];
        report(pool, &mut variants, if measure { PASSES } else { 1 });
    }
}

fn decode(payload: &[u8]) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest::decode(payload).expect("generated")
}

fn naive(payload: &[u8], out: &mut [Vec<u8>], slot_of: impl FnMut(&[u8]) -> usize) {
    for (slot, part) in traces::regroup(decode(payload), slot_of) {
        part.encode(&mut out[slot]).expect("vectors grow");
    }
}

fn split<'a>(validation: Validation, slot_of: impl Fn(&[u8]) -> usize + 'a) -> Run<'a> {
    let mut splitter = Splitter::new(0);
    Box::new(move |payload, out| {
        let plan = splitter
            .plan(
                Signal::Traces,
                payload,
                &RoutingKey::compatible(Key::TraceId),
                validation,
                out.len(),
                &slot_of,
            )
            .expect("generated");
        for (slot, _, _) in plan.parts() {
            plan.append(slot, &mut out[slot]);
        }
    })
}

fn index<'a>(validation: Validation, slot_of: impl Fn(&[u8]) -> usize + 'a) -> Run<'a> {
    let mut splitter = Splitter::new(0);
    Box::new(move |payload, out| {
        let plan = splitter
            .plan(
                Signal::Traces,
                payload,
                &RoutingKey::compatible(Key::TraceId),
                validation,
                out.len(),
                &slot_of,
            )
            .expect("generated");
        black_box(plan.items());
    })
}

fn hash(keys: usize, slot_of: impl Fn(&[u8]) -> usize) {
    for key in 0..keys as u128 {
        black_box(slot_of(&key.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes()));
    }
}

/// Runs all variants in turn, `passes` times, and prints the median of each and its ratio to the first.
fn report(pool: &Pool, variants: &mut [Variant<'_>], passes: usize) {
    println!(
        "\n{}: {} requests, {} bytes a span",
        pool.name,
        pool.payloads.len(),
        pool.bytes() / pool.spans()
    );
    let mut out = vec![Vec::new(); 5];
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
                nanos.push(start.elapsed().as_nanos() as f64 / pool.spans() as f64);
            }
        }
    }
    println!("{:32} {:>9} {:>9} {:>12}", "", "ns/span", "MB/s", "prost / this");
    let mut baseline = None;
    for ((name, _), nanos) in variants.iter().zip(&mut nanos) {
        nanos.sort_unstable_by(f64::total_cmp);
        let median = nanos[nanos.len() / 2];
        let ratio = *baseline.get_or_insert(median) / median;
        let rate = pool.bytes() as f64 / pool.spans() as f64 / median * 1000.0;
        println!("{name:32} {median:9.1} {rate:9.0} {ratio:11.1}x");
    }
}

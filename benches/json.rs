//! What OTLP/JSON costs: `cargo bench --bench json`.
//!
//! Beside it, in the same run: serde_json into the structs of opentelemetry-proto and prost out of them, which is what a
//! gateway that decodes would do; and reading the text without keeping anything of it. The requests are those of the
//! generator that tests and the split benchmark use, written by opentelemetry-proto; the pool is larger than the
//! second-level cache.
#![allow(missing_docs, clippy::expect_used, reason = "a benchmark")]

use divan::{
    Bencher, black_box,
    counter::{BytesCount, ItemsCount},
};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use ringway::{model::Signal, otlp::json::to_protobuf};
use serde::de::IgnoredAny;

#[path = "../tests/support/traces.rs"]
mod traces;

use traces::Shape;

fn main() {
    divan::main();
}

/// About 7 MB in requests of 512 spans.
fn texts() -> Vec<Vec<u8>> {
    (0..16).map(|seed| serde_json::to_vec(&traces::request(seed, Shape::SMALL)).expect("valid")).collect()
}

fn run<T>(bencher: Bencher<'_, '_>, read: impl Fn(&[u8]) -> T + Sync) {
    let texts = texts();
    bencher
        .counter(ItemsCount::new(texts.len() * Shape::SMALL.spans))
        .counter(BytesCount::new(texts.iter().map(Vec::len).sum::<usize>()))
        .bench(|| {
            for text in &texts {
                drop(black_box(read(black_box(text))));
            }
        });
}

#[divan::bench(sample_count = 20)]
fn traces_to_protobuf(bencher: Bencher<'_, '_>) {
    run(bencher, |text| to_protobuf(Signal::Traces, text).expect("valid"));
}

#[divan::bench(sample_count = 20)]
fn traces_through_structs(bencher: Bencher<'_, '_>) {
    run(bencher, |text| {
        let request: ExportTraceServiceRequest = serde_json::from_slice(text).expect("valid");
        request.encode_to_vec()
    });
}

#[divan::bench(sample_count = 20)]
fn traces_read_only(bencher: Bencher<'_, '_>) {
    run(bencher, |text| serde_json::from_slice::<IgnoredAny>(text).expect("valid"));
}

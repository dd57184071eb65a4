//! What reading and writing protobuf costs, without splitting: `cargo bench --bench wire`.
//!
//! prost stands beside each, in the same run. The items are spans of the generator that tests and the split benchmark
//! use; the pool is larger than the second-level cache.
#![allow(missing_docs, clippy::expect_used, reason = "a benchmark")]
#![expect(clippy::disallowed_methods, reason = "decodes, because that is the baseline")]

use divan::{Bencher, black_box, counter::ItemsCount};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::{Message, encoding};
use ringway::otlp::wire::{Reader, Tag, put_bytes, put_varint};

#[path = "../tests/support/traces.rs"]
mod traces;

use traces::Shape;

fn main() {
    divan::main();
}

/// About 7 MB of encoded spans.
fn spans() -> Vec<Vec<u8>> {
    (0..32)
        .flat_map(|seed| traces::request(seed, Shape::SMALL).resource_spans)
        .flat_map(|group| group.scope_spans)
        .flat_map(|scope| scope.spans)
        .map(|span| span.encode_to_vec())
        .collect()
}

/// 1- to 10-byte varints, short ones more often, as on the wire.
fn varints() -> (Vec<u8>, usize) {
    let mut random = fastrand::Rng::with_seed(1);
    let mut out = Vec::new();
    let values = 100_000;
    for _ in 0..values {
        let bits = if random.u8(..) < 230 { 7 } else { random.u32(8..=64) };
        put_varint(&mut out, random.u64(..) >> (64 - bits));
    }
    (out, values)
}

#[divan::bench]
fn span_fields_reader(bencher: Bencher<'_, '_>) {
    let spans = spans();
    bencher.counter(ItemsCount::new(spans.len())).bench(|| {
        for span in &spans {
            let mut reader = Reader::new(black_box(span));
            while let Some(tag) = reader.tag().expect("valid") {
                reader.skip(tag.wire().expect("valid")).expect("valid");
            }
        }
    });
}

#[divan::bench]
fn span_fields_prost(bencher: Bencher<'_, '_>) {
    let spans = spans();
    bencher.counter(ItemsCount::new(spans.len())).bench(|| {
        for span in &spans {
            let mut rest = black_box(span.as_slice());
            while !rest.is_empty() {
                let (number, wire) = encoding::decode_key(&mut rest).expect("valid");
                encoding::skip_field(wire, number, &mut rest, encoding::DecodeContext::default())
                    .expect("valid");
            }
        }
    });
}

#[divan::bench(sample_count = 20)]
fn span_decode_prost(bencher: Bencher<'_, '_>) {
    let spans = spans();
    bencher.counter(ItemsCount::new(spans.len())).bench(|| {
        for span in &spans {
            drop(black_box(Span::decode(span.as_slice()).expect("valid")));
        }
    });
}

#[divan::bench]
fn varint_reader(bencher: Bencher<'_, '_>) {
    let (bytes, values) = varints();
    bencher.counter(ItemsCount::new(values)).bench(|| {
        let mut reader = Reader::new(&bytes);
        let mut sum = 0_u64;
        while !reader.rest().is_empty() {
            sum = sum.wrapping_add(reader.varint().expect("valid"));
        }
        sum
    });
}

#[divan::bench]
fn varint_prost(bencher: Bencher<'_, '_>) {
    let (bytes, values) = varints();
    bencher.counter(ItemsCount::new(values)).bench(|| {
        let mut rest = bytes.as_slice();
        let mut sum = 0_u64;
        while !rest.is_empty() {
            sum = sum.wrapping_add(encoding::decode_varint(&mut rest).expect("valid"));
        }
        sum
    });
}

#[divan::bench]
fn bytes_writer(bencher: Bencher<'_, '_>) {
    let mut out = Vec::with_capacity(64_000);
    bencher.counter(ItemsCount::new(1000_usize)).bench_local(|| {
        out.clear();
        for _ in 0..1000 {
            put_bytes(&mut out, Tag::len(2), black_box(b"a value of thirty bytes or so"));
        }
        out.len()
    });
}

#[divan::bench]
fn bytes_prost(bencher: Bencher<'_, '_>) {
    let value = b"a value of thirty bytes or so".to_vec();
    let mut out = Vec::with_capacity(64_000);
    bencher.counter(ItemsCount::new(1000_usize)).bench_local(|| {
        out.clear();
        for _ in 0..1000 {
            encoding::bytes::encode(2, black_box(&value), &mut out);
        }
        out.len()
    });
}

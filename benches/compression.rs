//! What each compression costs and saves on OTLP traces, both ways: ringway's beside other libraries, levels and ways
//! to call them.
//!
//! `cargo bench --bench compression`. Payloads of 512 spans, about 440 bytes a span, larger together than the
//! second-level cache. Figures are CPU time of the thread, the lower quartile of interleaved passes, since what
//! disturbs a pass only adds to it; MB are 10^6 plain bytes. Compare the ratios: absolute figures vary by 10 % and more.
//! Without `--bench`, as under `cargo test --benches`, every variant runs once, to see that it works.
#![allow(missing_docs, clippy::expect_used, clippy::print_stdout, reason = "a benchmark")]
#![expect(clippy::disallowed_types, reason = "decoders to compare with, on data made here")]

use std::io::Write as _;

use flate2::{Compress, Decompress, FlushCompress, FlushDecompress, Status};
use libdeflater::{CompressionLvl, Decompressor};
use prost::Message as _;
use ringway::{
    model::settings::Compression,
    net::compression::{Compressor, Encoding, inflate},
};

#[path = "support/cpu.rs"]
mod cpu;
#[path = "../tests/support/traces.rs"]
mod traces;

const PASSES: usize = 21;
const LIMIT: usize = 64 << 20;

/// Takes a payload, plain or compressed, and leaves the result in the buffer.
type Run<'a> = Box<dyn FnMut(&[u8], &mut Vec<u8>) + 'a>;

struct Variant<'a> {
    name: &'static str,
    /// What it works on, for each payload of the pool.
    input: Vec<Vec<u8>>,
    run: Run<'a>,
    nanos: Vec<f64>,
}

fn main() {
    let measure = std::env::args().any(|arg| arg == "--bench");
    let (requests, passes) = if measure { (32, PASSES) } else { (1, 1) };
    let shape = traces::Shape::SMALL;
    let plain: Vec<_> = (0..requests).map(|seed| traces::request(seed, shape).encode_to_vec()).collect();
    let spans = plain.len() * shape.spans;
    compress(&plain, spans, passes);
    decompress(&plain, spans, passes);
}

fn compress(plain: &[Vec<u8>], spans: usize, passes: usize) {
    let variant = |name, run| Variant { name, input: plain.to_vec(), run, nanos: Vec::new() };
    let mut variants = vec![
        variant("ringway gzip (libdeflate 1)", ringway_out(Compression::Gzip)),
        variant("libdeflate 2", libdeflate(2)),
        variant("libdeflate 3", libdeflate(3)),
        variant("libdeflate 6", libdeflate(6)),
        variant("zlib-rs 1, state reused", zlib_rs(1)),
        variant("zlib-rs 2, state reused", zlib_rs(2)),
        variant("zlib-rs 6, state reused", zlib_rs(6)),
        variant("ringway zstd (level 1)", ringway_out(Compression::Zstd)),
        variant(
            "zstd 1, new context",
            Box::new(|input, out| *out = zstd::bulk::compress(input, 1).expect("valid")),
        ),
        variant("zstd 3, context reused", zstd_reused(3)),
        variant("ringway snappy (framed)", ringway_out(Compression::Snappy)),
        variant("ringway snappy block", ringway_out(Compression::SnappyBlock)),
        variant("ringway zlib (libdeflate 1)", ringway_out(Compression::Zlib)),
        variant("ringway lz4", ringway_out(Compression::Lz4)),
        variant("lz4 block, new table", Box::new(|input, out| *out = lz4_flex::block::compress(input))),
    ];
    measure("compress", plain, spans, passes, &mut variants);
}

fn decompress(plain: &[Vec<u8>], spans: usize, passes: usize) {
    let each = |run: &dyn Fn(&[u8]) -> Vec<u8>| plain.iter().map(|plain| run(plain)).collect::<Vec<_>>();
    let gzip = each(&|plain| once(zlib_rs(6), plain));
    let zstd = each(&|plain| once(ringway_out(Compression::Zstd), plain));
    let zstd_stream = each(&zstd_streamed);
    let framed = each(&|plain| once(ringway_out(Compression::Snappy), plain));
    let block = each(&|plain| once(ringway_out(Compression::SnappyBlock), plain));
    let zlib = each(&|plain| once(ringway_out(Compression::Zlib), plain));
    let lz4 = each(&|plain| once(ringway_out(Compression::Lz4), plain));
    let lz4_block = each(&|plain| lz4_flex::block::compress(plain));
    let variant =
        |name, input: &[Vec<u8>], run| Variant { name, input: input.to_vec(), run, nanos: Vec::new() };
    let mut variants = vec![
        variant("ringway gzip", &gzip, ringway_in(Encoding::Gzip)),
        variant(
            "zlib-rs, streamed, new state",
            &gzip,
            Box::new(|input, out| read(flate2::read::MultiGzDecoder::new(input), out)),
        ),
        variant("zlib-rs, one shot, state reused", &gzip, zlib_rs_in()),
        variant("libdeflate, buffer zeroed", &gzip, libdeflate_in()),
        variant("ringway zstd, size known", &zstd, ringway_in(Encoding::Zstd)),
        variant("ringway zstd, size unknown", &zstd_stream, ringway_in(Encoding::Zstd)),
        variant(
            "zstd, streamed, new state",
            &zstd_stream,
            Box::new(|input, out| {
                read(zstd::stream::read::Decoder::new(input).expect("a context"), out);
            }),
        ),
        variant("ringway snappy framed", &framed, ringway_in(Encoding::SnappyFramed)),
        variant("ringway snappy block", &block, ringway_in(Encoding::SnappyBlock)),
        variant("ringway zlib", &zlib, ringway_in(Encoding::Zlib)),
        variant("ringway lz4", &lz4, ringway_in(Encoding::Lz4)),
        variant("lz4 block, size known", &lz4_block, lz4_known(plain)),
    ];
    measure("decompress", plain, spans, passes, &mut variants);
}

fn measure(title: &str, plain: &[Vec<u8>], spans: usize, passes: usize, variants: &mut [Variant<'_>]) {
    let here = cpu::Thread::current();
    let mut out = Vec::new();
    for _ in 0..passes {
        for variant in &mut *variants {
            let before = here.cpu_nanos();
            for input in &variant.input {
                out.clear();
                (variant.run)(input, &mut out);
                std::hint::black_box(&out);
            }
            variant.nanos.push((here.cpu_nanos() - before) as f64);
        }
    }
    let bytes: usize = plain.iter().map(Vec::len).sum();
    println!("\n{title:<32}{:>7}{:>9}{:>9}", "ratio", "MB/s", "ns/span");
    for variant in variants {
        let nanos = cpu::lower_quartile(&mut variant.nanos);
        let packed: usize = match title {
            "compress" => plain.iter().map(|plain| once(&mut variant.run, plain).len()).sum(),
            _ => variant.input.iter().map(Vec::len).sum(),
        };
        println!(
            "{:<32}{:>7.2}{:>9.0}{:>9.0}",
            variant.name,
            bytes as f64 / packed as f64,
            bytes as f64 * 1e3 / nanos,
            nanos / spans as f64,
        );
    }
}

fn once(mut run: impl FnMut(&[u8], &mut Vec<u8>), input: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    run(input, &mut out);
    out
}

fn ringway_out<'a>(compression: Compression) -> Run<'a> {
    let mut compressor = Compressor::new(compression);
    Box::new(move |input, out| compressor.compress(input, out))
}

fn ringway_in<'a>(encoding: Encoding) -> Run<'a> {
    Box::new(move |input, out| *out = inflate(encoding, input, LIMIT).expect("valid"))
}

fn read(mut from: impl std::io::Read, out: &mut Vec<u8>) {
    from.read_to_end(out).expect("valid");
}

fn libdeflate<'a>(level: i32) -> Run<'a> {
    let mut compressor = libdeflater::Compressor::new(CompressionLvl::new(level).expect("a level"));
    Box::new(move |input, out| {
        out.resize(compressor.gzip_compress_bound(input.len()), 0);
        let len = compressor.gzip_compress(input, out).expect("the bound holds");
        out.truncate(len);
    })
}

/// What ringway does with bodies that may have several members.
fn zlib_rs_in<'a>() -> Run<'a> {
    let mut state = Decompress::new(false);
    Box::new(move |input, out| {
        let len = input.last_chunk().map_or(0, |len| u32::from_le_bytes(*len));
        *out = Vec::with_capacity(len as usize);
        state.reset(false);
        let status = state.decompress_vec(&input[10..], out, FlushDecompress::Finish).expect("valid");
        assert_eq!(status, Status::StreamEnd);
        std::hint::black_box(crc32fast::hash(out));
    })
}

/// What a frame that had its blocks' sizes would allow.
fn lz4_known<'a>(plain: &[Vec<u8>]) -> Run<'a> {
    let most = plain.iter().map(Vec::len).max().unwrap_or_default();
    #[expect(clippy::disallowed_methods, reason = "to compare with, on data made here")]
    Box::new(move |input, out| *out = lz4_flex::block::decompress(input, most).expect("valid"))
}

/// Loses members behind the first; see the compression module.
fn libdeflate_in<'a>() -> Run<'a> {
    let mut decompressor = Decompressor::new();
    Box::new(move |input, out| {
        let len = input.last_chunk().map_or(0, |len| u32::from_le_bytes(*len));
        *out = vec![0; len as usize];
        decompressor.gzip_decompress(input, out).expect("valid");
    })
}

/// A gzip member around a deflate stream whose state is kept.
fn zlib_rs<'a>(level: u32) -> Run<'a> {
    let mut state = Compress::new(flate2::Compression::new(level), false);
    Box::new(move |input, out| {
        state.reset();
        out.reserve(input.len() + 64);
        out.extend_from_slice(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
        let status = state.compress_vec(input, out, FlushCompress::Finish).expect("valid");
        assert_eq!(status, Status::StreamEnd);
        out.extend_from_slice(&crc32fast::hash(input).to_le_bytes());
        out.extend_from_slice(&(input.len() as u32).to_le_bytes());
    })
}

fn zstd_reused<'a>(level: i32) -> Run<'a> {
    let mut compressor = zstd::bulk::Compressor::new(level).expect("a level");
    Box::new(move |input, out| {
        out.reserve(zstd::zstd_safe::compress_bound(input.len()));
        compressor.compress_to_buffer(input, out).expect("the bound holds");
    })
}

/// A frame that does not record its size, as streaming encoders write it.
fn zstd_streamed(plain: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).expect("a level");
    plain.chunks(10_000).for_each(|part| encoder.write_all(part).expect("a vector"));
    encoder.finish().expect("a vector")
}

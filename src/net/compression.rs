//! Compression both ways; the only module that may use a decoder of a compression crate.
//!
//! Stage: edge. Knows codecs, not what the bytes mean. What comes in is hostile until it is decoded: an announced
//! size is a hint and never a promise, so nothing larger than a small multiple of the *input* is reserved on its
//! word, and no buffer grows above the caller's limit. Decoding is one shot from a slice into a contiguous buffer, with
//! decoder state that each thread keeps (`benches/compression.rs`: gzip takes half the time of a stream with a new
//! state). Error texts follow the Collector's (v0.161.0: Go's `compress/gzip` and `compress/zlib`,
//! klauspost/compress, golang/snappy, pierrec/lz4).
//!
//! | encoding | decoder | why |
//! |---|---|---|
//! | gzip, one member | libdeflate | a quarter faster than zlib-rs |
//! | gzip otherwise, zlib | flate2 on zlib-rs | libdeflate's binding does not say where a member ended, and needs the size of the result |
//! | zstd | libzstd, whole frames at once | writes into the final buffer: no window to allocate, whatever size a frame asks for |
//! | snappy | snap | |
//! | lz4 | lz4_flex, block by block | its frame decoder reserves what a header asks for |
//!
//! | compression | encoder | why |
//! |---|---|---|
//! | gzip | libdeflate, level 1 | 6 % larger than Go's default level (zlib-rs 1: 18 % larger, a fifth faster; level 6 of either: at most 3 % smaller than Go's, 2.5 to 3 times slower) |
//! | zstd | libzstd, level 1 | level 3 is 5 % smaller and takes 1.6 times as long |
//! | zlib, under both of its names | libdeflate, level 1 | as gzip |
//! | snappy | snap, framed or as a block | the first as gRPC carries it, the second as HTTP does |
//! | lz4 | lz4_flex | |

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

mod gzip;
mod lz4;
mod snappy;
mod zstandard;

#[cfg(test)]
mod tests;

use std::{cell::RefCell, fmt};

use lz4_flex::block::CompressTable;

use crate::model::settings::Compression;

/// How a body is encoded, as named by `grpc-encoding` or `content-encoding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// gzip, several members allowed.
    Gzip,
    /// zlib-wrapped deflate (`zlib`, `deflate`).
    Zlib,
    /// Zstandard, several frames allowed.
    Zstd,
    /// Block snappy.
    SnappyBlock,
    /// Framed snappy.
    SnappyFramed,
    /// LZ4 frames, several allowed.
    Lz4,
}

/// Why a body could not be decompressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InflateError {
    /// The decompressed body would exceed the limit.
    TooLarge,
    /// The data is not what its encoding says; the text is for the client.
    Corrupt(String),
}

thread_local! {
    /// Compressors of this thread, one for each algorithm that it has used: at most as many as there are algorithms.
    static COMPRESSORS: RefCell<Vec<(Compression, Compressor)>> = const { RefCell::new(Vec::new()) };
}

/// Appends the compressed form of `input` to `out`, as [`Compressor::compress`], with state that each thread keeps. State of each
/// caller's own would be 200 KB for every backend with gzip.
pub fn compress(compression: Compression, input: &[u8], out: &mut Vec<u8>) {
    COMPRESSORS.with_borrow_mut(|kept| {
        if let Some((_, compressor)) = kept.iter_mut().find(|(one, _)| *one == compression) {
            return compressor.compress(input, out);
        }
        let mut compressor = Compressor::new(compression);
        compressor.compress(input, out);
        kept.push((compression, compressor));
    });
}

/// Reusable compressor state, for one caller at a time.
///
/// Holds up to about 1 MB of tables (libdeflate, libzstd; snappy and lz4 16 KB) and a scratch buffer of up to 1 MiB.
pub struct Compressor {
    encoder: Encoder,
    /// Where all but framed snappy write before the result is appended: what a caller keeps is exactly the compressed
    /// size, not the worst case that has to be reserved while compressing.
    scratch: Vec<u8>,
}

enum Encoder {
    None,
    Gzip(libdeflater::Compressor),
    Zlib(libdeflater::Compressor),
    Zstd(Box<zstd::bulk::Compressor<'static>>),
    Snappy,
    SnappyBlock(Box<snap::raw::Encoder>),
    Lz4(CompressTable),
}

/// Bytes that the first buffer may have for each byte of input, whatever size is announced. OTLP has ratios of 4 to
/// 6; what is above this factor is legitimate too and only costs a buffer that grows.
const FIRST_EXPANSION: usize = 16;

/// Bytes that the first buffer may have however small the input is.
const FIRST_MINIMUM: usize = 4 * 1024;

/// Factor by which a buffer that was too small grows.
const GROWTH: usize = 4;

/// Scratch space that a [`Compressor`] keeps between calls.
const SCRATCH_KEPT_BYTES: usize = 1024 * 1024;

/// libdeflate's level for gzip and zlib, see the module's table.
const DEFLATE_LEVEL: i32 = 1;

/// libzstd's level, see the module's table.
const ZSTD_LEVEL: i32 = 1;

/// Decompresses `input` into a new contiguous buffer of at most `limit` bytes.
///
/// Concatenated gzip members, zstd and lz4 frames (skippable ones too) and snappy streams are one body. Bytes behind the end
/// that are neither are an error, but ignored behind zlib, as in the Collector. Empty input is an error in gzip, zlib
/// and block snappy, and an empty body in the others.
///
/// Takes memory for the result only, at most `limit` and a few bytes, in steps of at most 16 times the input or 4
/// times what was decoded so far; the result's capacity is at most a quarter above its length. Takes at most
/// twice as long as decoding `limit` bytes once.
///
/// # Errors
///
/// [`InflateError`].
pub fn inflate(encoding: Encoding, input: &[u8], limit: usize) -> Result<Vec<u8>, InflateError> {
    let mut body = match encoding {
        Encoding::Gzip => gzip::gunzip(input, limit),
        Encoding::Zlib => gzip::unzlib(input, limit),
        Encoding::Zstd => zstandard::decompress(input, limit),
        Encoding::SnappyBlock => snappy::decompress_block(input, limit),
        Encoding::SnappyFramed => snappy::decompress_framed(input, limit),
        Encoding::Lz4 => lz4::decompress(input, limit),
    }?;
    // Memory is accounted by length, so a buffer must not hold much more.
    if body.capacity().saturating_sub(body.len()) > body.len() / 4 {
        body.shrink_to_fit();
    }
    Ok(body)
}

// === impl Encoding ===

impl Encoding {
    /// The encoding of a gRPC message, by the value of `grpc-encoding`. `None`: not known here; `identity`, which is
    /// no encoding, is not either.
    pub fn from_grpc(name: &str) -> Option<Self> {
        match name {
            "gzip" => Some(Self::Gzip),
            "zstd" => Some(Self::Zstd),
            "snappy" => Some(Self::SnappyFramed),
            _ => None,
        }
    }

    /// Which snappy an HTTP body of `content-encoding: snappy` is: framed if it begins with the magic of a stream,
    /// else a block (Collector `config/confighttp/compression.go`, v0.161.0).
    pub fn of_http_snappy(body: &[u8]) -> Self {
        if body.starts_with(snappy::STREAM_MAGIC) { Self::SnappyFramed } else { Self::SnappyBlock }
    }
}

// === impl InflateError ===

impl InflateError {
    fn corrupt(text: impl Into<String>) -> Self {
        Self::Corrupt(text.into())
    }

    fn truncated() -> Self {
        Self::corrupt("unexpected EOF")
    }
}

impl fmt::Display for InflateError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => formatter.write_str("decompressed body too large"),
            Self::Corrupt(text) => formatter.write_str(text),
        }
    }
}

impl std::error::Error for InflateError {}

// === impl Compressor ===

impl Compressor {
    /// State for one algorithm.
    pub fn new(compression: Compression) -> Self {
        Self { encoder: Encoder::new(compression), scratch: Vec::new() }
    }

    /// Appends the compressed form of `input` to `out`. Cannot fail: memory is bounded by the input's size.
    ///
    /// Only a snappy block has a largest input, 4 GiB - 1: above it nothing is appended, which no receiver takes for a
    /// block.
    pub fn compress(&mut self, input: &[u8], out: &mut Vec<u8>) {
        match &mut self.encoder {
            Encoder::None => out.extend_from_slice(input),
            Encoder::Gzip(encoder) => out.extend_from_slice(gzip::gzip(encoder, input, &mut self.scratch)),
            Encoder::Zstd(encoder) => {
                out.extend_from_slice(zstandard::compress(encoder, input, &mut self.scratch));
            }
            Encoder::Zlib(encoder) => out.extend_from_slice(gzip::zlib(encoder, input, &mut self.scratch)),
            Encoder::Snappy => snappy::compress_framed(input, out),
            Encoder::SnappyBlock(encoder) => {
                out.extend_from_slice(snappy::compress_block(encoder, input, &mut self.scratch));
            }
            Encoder::Lz4(table) => lz4::compress(table, input, &mut self.scratch, out),
        }
        if self.scratch.capacity() > SCRATCH_KEPT_BYTES {
            self.scratch = Vec::new();
        }
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoder = match self.encoder {
            Encoder::None => "none",
            Encoder::Gzip(_) => "gzip",
            Encoder::Zstd(_) => "zstd",
            Encoder::Zlib(_) => "zlib",
            Encoder::Snappy => "framed snappy",
            Encoder::SnappyBlock(_) => "snappy",
            Encoder::Lz4(_) => "lz4",
        };
        formatter.debug_struct("Compressor").field("encoder", &encoder).finish_non_exhaustive()
    }
}

impl Encoder {
    #[expect(clippy::expect_used, reason = "the levels are constants that the libraries know")]
    fn new(compression: Compression) -> Self {
        let deflate = || {
            let level = libdeflater::CompressionLvl::new(DEFLATE_LEVEL).expect("0 to 12 are valid");
            libdeflater::Compressor::new(level)
        };
        match compression {
            Compression::None => Self::None,
            Compression::Gzip => Self::Gzip(deflate()),
            Compression::Zlib | Compression::Deflate => Self::Zlib(deflate()),
            Compression::Zstd => {
                let encoder = zstd::bulk::Compressor::new(ZSTD_LEVEL).expect("1 to 22 are valid");
                Self::Zstd(Box::new(encoder))
            }
            Compression::Snappy => Self::Snappy,
            Compression::SnappyBlock => Self::SnappyBlock(Box::new(snap::raw::Encoder::new())),
            Compression::Lz4 => Self::Lz4(CompressTable::default()),
        }
    }
}

/// The capacity of the first buffer when `hint` bytes are expected.
fn first_capacity(hint: usize, input: usize, limit: usize) -> usize {
    let trusted = input.saturating_mul(FIRST_EXPANSION).max(FIRST_MINIMUM);
    hint.min(trusted).min(limit)
}

/// Makes a scratch buffer long enough. Grows only: what an earlier message left behind is overwritten, not cleared
/// again.
fn grow_to(scratch: &mut Vec<u8>, len: usize) {
    if scratch.len() < len {
        scratch.resize(len, 0);
    }
}

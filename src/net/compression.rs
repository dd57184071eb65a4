//! Compression both ways; the only file that may use a decoder of a compression crate.
//!
//! Stage: edge. Skeleton: signatures.

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
}

/// Why a body could not be decompressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InflateError {
    /// The decompressed body would exceed the limit.
    TooLarge,
    /// The data is not what its encoding says; the text is for the client.
    Corrupt(String),
}

/// Decompresses `input` into a new contiguous buffer of at most `limit` bytes.
///
/// # Errors
///
/// [`InflateError`].
pub fn inflate(_encoding: Encoding, _input: &[u8], _limit: usize) -> Result<Vec<u8>, InflateError> {
    Err(InflateError::Corrupt(String::new()))
}

/// Reusable compressor state.
#[derive(Debug)]
pub struct Compressor {}

impl Compressor {
    /// State for one algorithm.
    pub fn new(_compression: Compression) -> Self {
        Self {}
    }

    /// Appends the compressed form of `input` to `out`. Cannot fail: memory is bounded by the input's size.
    pub fn compress(&mut self, input: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(input);
    }
}

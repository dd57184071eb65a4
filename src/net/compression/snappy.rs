//! Snappy, as a block (OTLP/HTTP) and framed (gRPC).
//!
//! Stage: edge, part of `compression`. Source: google/snappy `format_description.txt`, `framing_format.txt`.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]
#![expect(clippy::disallowed_types, reason = "part of the compression module: output is bounded below")]

use std::io::{Read, Write as _};

use super::{InflateError, first_capacity};

/// The chunk that every framed stream begins with.
pub(super) const STREAM_MAGIC: &[u8] = b"\xff\x06\x00\x00sNaPpY";

/// The most bytes that a byte of a block can stand for: a copy of 64 bytes takes three, so 22 is never reached.
const BLOCK_EXPANSION: usize = 22;

fn corrupt() -> InflateError {
    InflateError::corrupt("snappy: corrupt input")
}

/// Decompresses a block. Its announced length is checked against the limit, and against what the input could possibly
/// expand to, before anything is reserved.
pub(super) fn decompress_block(input: &[u8], limit: usize) -> Result<Vec<u8>, InflateError> {
    let len = snap::raw::decompress_len(input).map_err(|_| corrupt())?;
    // First, as in the Collector: what is not snappy at all often announces gigabytes.
    if len > limit {
        return Err(InflateError::TooLarge);
    }
    if input.is_empty() || len > input.len().saturating_mul(BLOCK_EXPANSION) {
        return Err(corrupt());
    }
    let mut out = vec![0; len];
    match snap::raw::Decoder::new().decompress(input, &mut out) {
        Ok(written) if written == len => Ok(out),
        _ => Err(corrupt()),
    }
}

/// Decompresses a framed stream.
pub(super) fn decompress_framed(input: &[u8], limit: usize) -> Result<Vec<u8>, InflateError> {
    let mut out = Vec::with_capacity(first_capacity(input.len().saturating_mul(4), input.len(), limit));
    // One byte above the limit shows that the limit was passed.
    let above = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let read = snap::read::FrameDecoder::new(input).take(above).read_to_end(&mut out);
    match read {
        Ok(len) if len > limit => Err(InflateError::TooLarge),
        Ok(_) => Ok(out),
        // golang/snappy tells chunks of a kind or size that it does not know from what is wrong, or cut off.
        Err(error) => match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(snap::Error::UnsupportedChunkType { .. } | snap::Error::UnsupportedChunkLength { .. }) => {
                Err(InflateError::corrupt("snappy: unsupported input"))
            }
            _ => Err(corrupt()),
        },
    }
}

/// Appends a framed stream to `out`.
#[expect(clippy::expect_used, reason = "writing to a vector does not fail")]
pub(super) fn compress_framed(input: &[u8], out: &mut Vec<u8>) {
    let mut encoder = snap::write::FrameEncoder::new(out);
    encoder.write_all(input).expect("a vector takes every byte");
    encoder.flush().expect("a vector takes every byte");
}

/// Compresses into a block; the result lies in `scratch`. Nothing if the input is too large for the format's length.
pub(super) fn compress_block<'a>(
    encoder: &mut snap::raw::Encoder,
    input: &[u8],
    scratch: &'a mut Vec<u8>,
) -> &'a [u8] {
    // 0 for an input that is too large; the encoder then says so.
    super::grow_to(scratch, snap::raw::max_compress_len(input.len()));
    let len = encoder.compress(input, scratch).unwrap_or_default();
    scratch.get(..len).unwrap_or_default()
}

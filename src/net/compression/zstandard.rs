//! Zstandard, whole bodies at once.
//!
//! Stage: edge, part of `compression`. A streaming decoder allocates the window that a frame's header asks for, up to
//! 128 MiB, before it has seen any data. Decoding whole frames uses the result as its window instead, so memory is the
//! result's; frames with windows of any size can be read. Frames without their size, as streaming encoders write
//! them (the Collector's does), are decoded into a buffer that was guessed, and again into a larger one if it was too
//! small. Source: RFC 8878; facebook/zstd `lib/zstd.h` (1.5.7).

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]
#![expect(clippy::disallowed_types, reason = "part of the compression module: output is bounded below")]

use std::cell::Cell;

use zstd::zstd_safe::{
    DCtx, compress_bound, find_frame_compressed_size, get_error_name, get_frame_content_size, is_error_kind,
    zstd_sys::ZSTD_ErrorCode,
};

use super::{GROWTH, InflateError, first_capacity};

/// Expected ratio of frames that do not record their size: OTLP has 5 to 6.
const GUESSED_RATIO: usize = 8;

/// How a frame begins, if it is not a skippable one.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

thread_local! {
    /// Decoder of this thread, about 100 KB; taken while it is used.
    static DECODER: Cell<Option<DCtx<'static>>> = const { Cell::new(None) };
}

/// Decompresses all frames.
pub(super) fn decompress(input: &[u8], limit: usize) -> Result<Vec<u8>, InflateError> {
    let expected = match content_size(input) {
        Some(size) if size > limit => return Err(InflateError::TooLarge),
        Some(size) => size,
        None => input.len().saturating_mul(GUESSED_RATIO),
    };
    let mut decoder = DECODER.take().unwrap_or_default();
    let result = decompress_growing(&mut decoder, input, expected, limit);
    DECODER.set(Some(decoder));
    result
}

fn decompress_growing(
    decoder: &mut DCtx<'_>,
    input: &[u8],
    expected: usize,
    limit: usize,
) -> Result<Vec<u8>, InflateError> {
    let mut capacity = first_capacity(expected, input.len(), limit);
    loop {
        let mut out = Vec::with_capacity(capacity);
        match decoder.decompress(&mut out, input) {
            // The allocator may give more than was asked for.
            Ok(_) if out.len() > limit => return Err(InflateError::TooLarge),
            Ok(_) => return Ok(out),
            Err(code) if is_error_kind(code, ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall) => {
                if capacity >= limit {
                    return Err(InflateError::TooLarge);
                }
                capacity = capacity.saturating_mul(GROWTH).max(super::FIRST_MINIMUM).min(limit);
            }
            Err(code) => return Err(corrupt(code, input)),
        }
    }
}

/// The decompressed size of all frames as their headers have it. `None`: some frame does not say, or is malformed.
fn content_size(mut input: &[u8]) -> Option<usize> {
    let mut total = 0_u64;
    while !input.is_empty() {
        let len = find_frame_compressed_size(input).ok()?;
        total = total.saturating_add(get_frame_content_size(input).ok()??);
        input = input.get(len..)?;
    }
    Some(usize::try_from(total).unwrap_or(usize::MAX))
}

/// What follows the last whole frame, if it does not begin another one. For libzstd it is a frame that was cut off.
fn behind_frames(mut input: &[u8]) -> Option<&[u8]> {
    while let Ok(len @ 1..) = find_frame_compressed_size(input) {
        input = input.get(len..)?;
    }
    let begins_frame = input.starts_with(&MAGIC) || matches!(input, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]);
    (!begins_frame).then_some(input)
}

fn corrupt(code: usize, input: &[u8]) -> InflateError {
    let is_mismatch = || matches!(behind_frames(input), Some([_, _, _, _, ..]));
    if is_error_kind(code, ZSTD_ErrorCode::ZSTD_error_prefix_unknown) || is_mismatch() {
        InflateError::corrupt("invalid input: magic number mismatch")
    } else if is_error_kind(code, ZSTD_ErrorCode::ZSTD_error_srcSize_wrong) {
        InflateError::truncated()
    } else {
        InflateError::corrupt(format!("zstd: {}", get_error_name(code)))
    }
}

/// Compresses into one frame that records its size; the result lies in `scratch`.
#[expect(clippy::expect_used, reason = "the buffer has the size that the library asks for")]
pub(super) fn compress<'a>(
    encoder: &mut zstd::bulk::Compressor<'_>,
    input: &[u8],
    scratch: &'a mut Vec<u8>,
) -> &'a [u8] {
    scratch.clear();
    scratch.reserve(compress_bound(input.len()));
    encoder.compress_to_buffer(input, scratch).expect("the bound holds for every input");
    scratch
}

//! gzip and zlib: members and headers here, deflate by libdeflate and zlib-rs.
//!
//! Stage: edge, part of `compression`. Nearly every body is one plain member that tells its length, which libdeflate
//! decodes a quarter faster than zlib-rs. Its binding does not say where a member ended, so it only gets bodies in which
//! no second one can begin; everything else, errors too, is left to zlib-rs. There the header is read here, not by the
//! library: state for raw deflate can be reset in place, state for gzip is made anew, and the texts are the
//! Collector's. Sources: RFC 1950, RFC 1952; Go
//! `compress/gzip/gunzip.go`, `compress/zlib/reader.go` (1.26).

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]
#![expect(clippy::disallowed_types, reason = "part of the compression module: output is bounded below")]

use std::cell::Cell;

use flate2::{Decompress, FlushDecompress, Status};

use super::{GROWTH, InflateError, first_capacity, grow_to};

thread_local! {
    /// Decoders of this thread, 10 KB of libdeflate and 40 KB of zlib-rs; taken while they are used.
    static WHOLE: Cell<Option<libdeflater::Decompressor>> = const { Cell::new(None) };
    static RAW: Cell<Option<Decompress>> = const { Cell::new(None) };
    static ZLIB: Cell<Option<Decompress>> = const { Cell::new(None) };
}

/// How a member begins: the magic and the method, deflate.
const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];

/// Flags of a gzip header (RFC 1952, 2.3.1).
const FHCRC: u8 = 1 << 1;
const FEXTRA: u8 = 1 << 2;
const FNAME: u8 = 1 << 3;
const FCOMMENT: u8 = 1 << 4;

/// Bytes behind the deflated data: CRC-32 and length of the plain data, little-endian.
const TRAILER_LEN: usize = 8;

/// Decompresses all members of a gzip file.
pub(super) fn gunzip(input: &[u8], limit: usize) -> Result<Vec<u8>, InflateError> {
    if input.is_empty() {
        return Err(InflateError::corrupt("EOF"));
    }
    // The length in the last trailer is that of the body if there is one member, as nearly always.
    let hint = input.last_chunk().map_or(0, |len| u32::from_le_bytes(*len));
    let hint = usize::try_from(hint).unwrap_or(limit);
    if let Some(out) = gunzip_one(input, hint, limit) {
        return Ok(out);
    }
    let mut out = Vec::with_capacity(first_capacity(hint, input.len(), limit));
    let mut state = RAW.take().unwrap_or_else(|| Decompress::new(false));
    let result = members(&mut state, input, &mut out, limit);
    RAW.set(Some(state));
    result.map(|()| out)
}

/// Decompresses a body that is one member of `len` bytes, with a header of no optional parts. `None`: it is not, or is
/// corrupt, or its length is not believed.
fn gunzip_one(input: &[u8], len: usize, limit: usize) -> Option<Vec<u8>> {
    let (start, behind) = input.split_first_chunk::<4>()?;
    let plain_header = matches!(start, [a, b, c, 0] if [*a, *b, *c] == MAGIC);
    if !plain_header || len == 0 || len > first_capacity(len, input.len(), limit) || may_begin(behind) {
        return None;
    }
    let mut out = vec![0; len];
    let mut decoder = WHOLE.take().unwrap_or_default();
    let written = decoder.gzip_decompress(input, &mut out);
    WHOLE.set(Some(decoder));
    // The last four bytes of the body are this member's length, and it may only end where they say so: a member that
    // ends before bytes of another kind has another length, or the same by a chance that harms nobody.
    (written == Ok(len)).then_some(out)
}

/// Whether a member could begin somewhere in `bytes`. Without a branch for each byte, so that it is vectorized.
fn may_begin(bytes: &[u8]) -> bool {
    let [a, b, c] = MAGIC;
    let second = bytes.iter().skip(1);
    let third = bytes.iter().skip(2);
    bytes.iter().zip(second).zip(third).fold(false, |found, ((first, second), third)| {
        found | ((*first == a) & (*second == b) & (*third == c))
    })
}

fn members(
    state: &mut Decompress,
    mut input: &[u8],
    out: &mut Vec<u8>,
    limit: usize,
) -> Result<(), InflateError> {
    while !input.is_empty() {
        let start = out.len();
        state.reset(false);
        let deflated = skip_header(input)?;
        let rest = inflate_stream(state, deflated, out, limit)?;
        let (trailer, rest) = rest.split_at_checked(TRAILER_LEN).ok_or_else(InflateError::truncated)?;
        if !trailer_matches(trailer, out.get(start..).unwrap_or_default()) {
            return Err(InflateError::corrupt("gzip: invalid checksum"));
        }
        input = rest;
    }
    Ok(())
}

fn trailer_matches(trailer: &[u8], plain: &[u8]) -> bool {
    let Some((crc, len)) = trailer.split_first_chunk::<4>() else { return false };
    // The length is modulo 2^32.
    let [a, b, c, d, ..] = plain.len().to_le_bytes();
    *crc == crc32fast::hash(plain).to_le_bytes() && len == [a, b, c, d]
}

/// Decompresses a zlib stream; bytes behind it are ignored.
pub(super) fn unzlib(input: &[u8], limit: usize) -> Result<Vec<u8>, InflateError> {
    let [method, flags, ..] = *input else { return Err(InflateError::truncated()) };
    // RFC 1950, 2.2: deflate, a window of at most 32 KiB, a check over both bytes. A dictionary cannot be known here.
    let valid = method & 0x0f == 8
        && method >> 4 <= 7
        && u16::from_be_bytes([method, flags]).is_multiple_of(31)
        && flags & 0x20 == 0;
    if !valid {
        return Err(InflateError::corrupt("zlib: invalid header"));
    }
    let mut out = Vec::with_capacity(first_capacity(input.len().saturating_mul(8), input.len(), limit));
    let mut state = ZLIB.take().unwrap_or_else(|| Decompress::new(true));
    state.reset(true);
    let result = inflate_stream(&mut state, input, &mut out, limit).map(drop);
    ZLIB.set(Some(state));
    result.map(|()| out)
}

/// Inflates one stream onto `out` and returns the input behind it.
fn inflate_stream<'a>(
    state: &mut Decompress,
    mut input: &'a [u8],
    out: &mut Vec<u8>,
    limit: usize,
) -> Result<&'a [u8], InflateError> {
    loop {
        let consumed_before = state.total_in();
        // All input is here. Told so, the decoder does not copy its window when the buffer has room for everything;
        // when it has not, it goes on where it stopped.
        let status = state.decompress_vec(input, out, FlushDecompress::Finish).map_err(|error| {
            let offset = state.total_in();
            match error.message() {
                Some("incorrect data check") => InflateError::corrupt("zlib: invalid checksum"),
                _ => InflateError::corrupt(format!("flate: corrupt input before offset {offset}")),
            }
        })?;
        let consumed = state.total_in().saturating_sub(consumed_before);
        input = usize::try_from(consumed).ok().and_then(|len| input.get(len..)).unwrap_or_default();
        if out.len() > limit {
            return Err(InflateError::TooLarge);
        }
        match status {
            Status::StreamEnd => return Ok(input),
            Status::Ok | Status::BufError if out.len() == out.capacity() => grow(out, limit),
            Status::Ok | Status::BufError => return Err(InflateError::truncated()),
        }
    }
}

/// Makes room for more, up to one byte above the limit: the byte that shows that the limit was passed.
fn grow(out: &mut Vec<u8>, limit: usize) {
    let larger = out.len().saturating_mul(GROWTH).max(super::FIRST_MINIMUM).min(limit.saturating_add(1));
    out.reserve_exact(larger.saturating_sub(out.len()));
}

/// Checks the header of a gzip member and returns what is behind it.
fn skip_header(input: &[u8]) -> Result<&[u8], InflateError> {
    let invalid = || InflateError::corrupt("gzip: invalid header");
    let Some(([a, b, c, flags, ..], mut rest)) = input.split_first_chunk::<10>() else {
        return Err(InflateError::truncated());
    };
    if [*a, *b, *c] != MAGIC {
        return Err(invalid());
    }
    if flags & FEXTRA != 0 {
        let (len, after) = rest.split_first_chunk().ok_or_else(InflateError::truncated)?;
        rest = after.get(u16::from_le_bytes(*len).into()..).ok_or_else(InflateError::truncated)?;
    }
    for text in [FNAME, FCOMMENT] {
        if flags & text != 0 {
            let end = rest.iter().position(|byte| *byte == 0).ok_or_else(InflateError::truncated)?;
            rest = rest.get(end.saturating_add(1)..).unwrap_or_default();
        }
    }
    if flags & FHCRC != 0 {
        let header = input.get(..input.len().saturating_sub(rest.len())).unwrap_or_default();
        let (crc, after) = rest.split_first_chunk().ok_or_else(InflateError::truncated)?;
        let [a, b, ..] = crc32fast::hash(header).to_le_bytes();
        if *crc != [a, b] {
            return Err(invalid());
        }
        rest = after;
    }
    Ok(rest)
}

/// Compresses into one member; the result lies in `scratch`.
#[expect(clippy::expect_used, reason = "the buffer has the size that the library asks for")]
pub(super) fn gzip<'a>(
    encoder: &mut libdeflater::Compressor,
    input: &[u8],
    scratch: &'a mut Vec<u8>,
) -> &'a [u8] {
    let bound = encoder.gzip_compress_bound(input.len());
    grow_to(scratch, bound);
    let len = encoder.gzip_compress(input, scratch).expect("the bound holds for every input");
    scratch.get(..len).unwrap_or_default()
}

/// Compresses into one zlib stream; the result lies in `scratch`.
#[expect(clippy::expect_used, reason = "the buffer has the size that the library asks for")]
pub(super) fn zlib<'a>(
    encoder: &mut libdeflater::Compressor,
    input: &[u8],
    scratch: &'a mut Vec<u8>,
) -> &'a [u8] {
    let bound = encoder.zlib_compress_bound(input.len());
    grow_to(scratch, bound);
    let len = encoder.zlib_compress(input, scratch).expect("the bound holds for every input");
    scratch.get(..len).unwrap_or_default()
}

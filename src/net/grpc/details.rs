//! `google.rpc.Status` as bytes: written, and searched for the one detail that matters here.
//!
//! Stage: edge, part of `grpc`.
//!
//! ```text
//! Status    { int32 code = 1; string message = 2; repeated Any details = 3; }
//! Any       { string type_url = 1; bytes value = 2; }
//! RetryInfo { Duration retry_delay = 1; }
//! Duration  { int64 seconds = 1; int32 nanos = 2; }
//! ```
//!
//! Sources: googleapis/googleapis `google/rpc/status.proto`, `google/rpc/error_details.proto`;
//! protocolbuffers/protobuf `google/protobuf/any.proto`, `duration.proto`.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::time::Duration;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// Values of `-bin` headers: written without padding, read with or without (grpc/grpc `doc/PROTOCOL-HTTP2.md`).
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// One field of a message.
enum Field<'a> {
    Varint(u32, u64),
    Bytes(u32, &'a [u8]),
}

/// The value of a `-bin` header.
pub(super) fn to_base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// Reads the value of a `-bin` header. Of several values, which may be joined with commas, the first counts.
pub(super) fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    let first = text.split(|byte| *byte == b',').next()?;
    BASE64.decode(first.trim_ascii()).ok()
}

/// A serialized `google.rpc.Status`.
pub(super) fn write_status(code: u32, message: &str, retry_delay: Option<Duration>) -> Vec<u8> {
    let mut status = Vec::new();
    put_number(&mut status, 1, code.into());
    put_bytes(&mut status, 2, message.as_bytes());
    if let Some(delay) = retry_delay {
        let mut duration = Vec::new();
        // Beyond what the type holds (10,000 years) every delay is the same.
        put_number(&mut duration, 1, delay.as_secs().min(315_576_000_000));
        put_number(&mut duration, 2, delay.subsec_nanos().into());
        // Unlike the others this field is written even if empty: a delay of zero is not the absence of one.
        let mut retry_info = Vec::new();
        put_present(&mut retry_info, 1, &duration);
        let mut any = Vec::new();
        put_bytes(&mut any, 1, RETRY_INFO.as_bytes());
        put_bytes(&mut any, 2, &retry_info);
        put_bytes(&mut status, 3, &any);
    }
    status
}

/// Message and type URLs of the details of a serialized `google.rpc.Status`; `None` if the bytes are something else.
///
/// All of it must parse and texts must be UTF-8, since anything may stand in its place. A field of a wrong type is an
/// unknown one, as in Go.
pub(super) fn read_status(status: &[u8]) -> Option<(String, Vec<String>)> {
    let (mut message, mut details) = (String::new(), Vec::new());
    let mut rest = status;
    while !rest.is_empty() {
        match take_field(&mut rest)? {
            Some(Field::Bytes(2, text)) => text_of(text)?.clone_into(&mut message),
            Some(Field::Bytes(3, any)) => {
                details.push(text_of(last_bytes(any, 1).unwrap_or_default())?.to_owned());
            }
            _ => {}
        }
    }
    Some((message, details))
}

fn text_of(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// The delay of the first RetryInfo among the details of a serialized `google.rpc.Status`.
///
/// A negative delay, and anything that does not parse, counts as none.
pub(super) fn read_retry_delay(status: &[u8]) -> Option<Duration> {
    let retry_info = fields(status).find_map(|field| match field {
        Field::Bytes(3, any) => retry_info(any),
        _ => None,
    })?;
    let duration = last_bytes(retry_info, 1)?;
    let seconds = last_varint(duration, 1);
    let nanos = last_varint(duration, 2);
    // Both are two's complement: as unsigned numbers, negative ones are above every legal value.
    let nanos = u32::try_from(nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    i64::try_from(seconds).ok()?;
    Some(Duration::new(seconds, nanos))
}

/// The value of a `google.protobuf.Any` if it is a RetryInfo. Only the part behind the last slash names the type.
fn retry_info(any: &[u8]) -> Option<&[u8]> {
    let type_url = last_bytes(any, 1)?;
    let name = type_url.rsplit(|byte| *byte == b'/').next()?;
    (name == b"google.rpc.RetryInfo").then(|| last_bytes(any, 2).unwrap_or_default())
}

fn last_bytes(message: &[u8], number: u32) -> Option<&[u8]> {
    fields(message)
        .filter_map(|field| match field {
            Field::Bytes(found, bytes) if found == number => Some(bytes),
            _ => None,
        })
        .last()
}

fn last_varint(message: &[u8], number: u32) -> u64 {
    fields(message)
        .filter_map(|field| match field {
            Field::Varint(found, value) if found == number => Some(value),
            _ => None,
        })
        .last()
        .unwrap_or(0)
}

/// Walks the fields of a message up to its end or to the first that is malformed. Fixed-width fields are skipped.
fn fields(mut rest: &[u8]) -> impl Iterator<Item = Field<'_>> {
    std::iter::from_fn(move || {
        loop {
            if let Some(field) = take_field(&mut rest)? {
                return Some(field);
            }
        }
    })
}

/// One field; `Some(None)`: one of a fixed width. `None`: the end, or malformed.
fn take_field<'a>(rest: &mut &'a [u8]) -> Option<Option<Field<'a>>> {
    let tag = take_varint(rest)?;
    let number = u32::try_from(tag >> 3).ok().filter(|number| *number > 0)?;
    match tag & 7 {
        0 => Some(Some(Field::Varint(number, take_varint(rest)?))),
        1 => take(rest, 8).map(|_| None),
        2 => {
            let len = usize::try_from(take_varint(rest)?).ok()?;
            Some(Some(Field::Bytes(number, take(rest, len)?)))
        }
        5 => take(rest, 4).map(|_| None),
        _ => None,
    }
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(len)?;
    *rest = after;
    Some(taken)
}

fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f).wrapping_shl(shift);
        if *byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn put_number(out: &mut Vec<u8>, number: u8, value: u64) {
    if value != 0 {
        out.push(number << 3);
        put_varint(out, value);
    }
}

fn put_bytes(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    if !bytes.is_empty() {
        put_present(out, number, bytes);
    }
}

fn put_present(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    put_varint(out, u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    out.extend_from_slice(bytes);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            return out.push(low & 0x7f);
        }
        out.push(low | 0x80);
    }
}

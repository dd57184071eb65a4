//! OTLP/JSON into protobuf bytes.
//!
//! Stage: engine, called by the receiver. The one place where a message is built, and it is built as bytes: serde_json reads
//! the text token by token, static tables (`tables`) say what each name means, and `transcode` writes its value. There is no
//! tree in between.
//!
//! **What is accepted** is protobuf's JSON mapping with OTLP's exceptions (<https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>),
//! and beyond that what the Collector takes (`pdata/internal/json`, v1.67.0):
//!
//! - names in lowerCamelCase and as in the proto file; unknown ones are passed over, whatever their value;
//! - every number as number or string, `NaN`, `Infinity` and `-Infinity` as strings; integers without fraction or exponent;
//! - enums as numbers, any of them, and as names; ids in hex of either case, 16 and 8 bytes or none; bytes in base64, either
//!   alphabet, padded or not;
//! - `null` is a field that was not sent, and an empty message in a list;
//! - of a repeated name the last single value counts, lists append and messages merge, as protobuf has it for repeated fields;
//!   of two members of a oneof the last counts;
//! - text behind the first value is ignored, and `null` alone is an empty request, as in the Collector.
//!
//! **Differences from the Collector**, each because protobuf's mapping says so or to stay within limits: `null` is accepted
//! for numbers, enums, booleans, ids and bytes too; base64 may be URL-safe and unpadded; a lone surrogate (`\ud800`) and invalid UTF-8
//! are refused; nesting is limited to 128 JSON values, of which one level of an attribute's value takes three; unknown
//! values may nest as they like.
//!
//! **Cost.** About as fast as serde_json reads (`benches/json.rs`). The output has at most four times the bytes of the text:
//! the worst are lists of one-digit numbers that protobuf holds in eight bytes. A message moves once when its length is
//! known, so a byte moves as often as it is nested, 128 times at most.

mod tables;
mod transcode;

#[cfg(test)]
mod tests;

use std::fmt;

use serde::de::DeserializeSeed as _;

use self::transcode::{Path, Transcode};
use crate::model::Signal;

/// Why a text is not an export request of a signal: where, what was found and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError(String);

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for JsonError {}

/// Reads an `Export…ServiceRequest` of a signal in OTLP/JSON and writes it as protobuf.
///
/// # Errors
///
/// [`JsonError`]; its text names the field, as in `resourceSpans[0].scopeSpans[2].spans[5].traceId`, and line and column.
pub fn to_protobuf(signal: Signal, json: &[u8]) -> Result<Vec<u8>, JsonError> {
    let message = match signal {
        Signal::Traces => &tables::TRACES,
        Signal::Metrics => &tables::METRICS,
        Signal::Logs => &tables::LOGS,
    };
    // Protobuf is smaller than JSON but for odd requests, which pay with growth.
    let mut out = Vec::with_capacity(json.len() / 2);
    let mut path = Path::default();
    let mut reader = serde_json::Deserializer::from_slice(json);
    match Transcode::new(message, &mut out, &mut path).deserialize(&mut reader) {
        Ok(_) => Ok(out),
        Err(error) => Err(JsonError(format!("{path}{error}"))),
    }
}

//! The texts of attribute values, and the segments made of them.
//!
//! Source: pdata v1.67.0 `pcommon/value.go` (`AsString`), which hands maps and slices to Go's `encoding/json`; contrib
//! `exporter/loadbalancingexporter/attribute_routing.go` (v0.161.0).

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::io::Write;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    map::{Entry, Map},
    value::{Value, next},
};
use crate::otlp::{
    check::{DEPTH, too_deep},
    wire::{Malformed, Reader, field::list},
};

/// Appends `name=<text>|`; of a missing value, `name=|`. Nothing is escaped.
#[inline]
pub(super) fn put_segment(out: &mut Vec<u8>, name: &str, value: Option<&Value<'_>>) -> Result<(), Malformed> {
    out.extend_from_slice(name.as_bytes());
    out.push(b'=');
    if let Some(value) = value {
        value.put_text(out)?;
    }
    out.push(b'|');
    Ok(())
}

impl Value<'_> {
    /// Appends the value's text: a string as it is, valid UTF-8 or not; numbers in decimal; bytes as base64; maps and
    /// slices as JSON without spaces.
    ///
    /// The text of a map or slice that holds a NaN or an infinity anywhere is empty. At most 6 times as long as the
    /// value on the wire.
    ///
    /// # Errors
    ///
    /// A map or slice that is malformed, or nested deeper than [`DEPTH`].
    #[inline]
    pub(in crate::otlp) fn put_text(&self, out: &mut Vec<u8>) -> Result<(), Malformed> {
        match *self {
            Self::Empty => {}
            Self::String(text) => out.extend_from_slice(text),
            Self::Bool(bool) => out.extend_from_slice(bool_text(bool)),
            Self::Int(number) => put_int(out, number),
            Self::Double(number) => put_double(out, number),
            Self::Bytes(bytes) => put_base64(out, bytes),
            Self::Array(_) | Self::Map(_) => {
                let start = out.len();
                let mut json = Json { out, entries: Vec::new(), finite: true };
                json.value(self, DEPTH)?;
                if !json.finite {
                    // `encoding/json` refuses such numbers, and `AsString` passes over the error.
                    out.truncate(start);
                }
            }
        }
        Ok(())
    }
}

const fn bool_text(bool: bool) -> &'static [u8] {
    if bool { b"true" } else { b"false" }
}

fn put_int(out: &mut Vec<u8>, number: i64) {
    // Writing into a vector cannot fail.
    write!(out, "{number}").ok();
}

/// As ECMAScript writes numbers: the shortest digits that are read back as the same number, with an exponent below 1e-6
/// and from 1e21 on. Unlike there, zero keeps its sign.
///
/// Not with the standard library's digits: where two shortest forms are equally close, it takes the larger, and Go, like
/// ECMAScript, the even one (712059019011557.25 is `712059019011557.2`).
fn put_double(out: &mut Vec<u8>, number: f64) {
    if number.is_nan() {
        return out.extend_from_slice(b"NaN");
    }
    if number.is_sign_negative() {
        out.push(b'-');
    }
    let size = number.abs();
    if size.is_infinite() {
        return out.extend_from_slice(b"Infinity");
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(size);
    let (digits, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    // 17 digits at most, and the zeros in front of and behind them.
    let mut digits = [b'0'; 32];
    for (digit, from) in digits.iter_mut().zip(whole.bytes().chain(fraction.bytes())) {
        *digit = from;
    }
    let mut digits = digits.as_slice();
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let mut point = exponent.saturating_add_unsigned(u32::try_from(whole.len()).unwrap_or_default());
    while let [b'0', rest @ ..] = digits {
        (digits, point) = (rest, point.saturating_sub(1));
    }
    while let [rest @ .., b'0'] = digits {
        digits = rest;
    }
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        put_plain(out, digits, point);
    } else {
        put_with_exponent(out, digits, point);
    }
}

/// `digits` without zeros at either end; none if the number is zero. `point` of them stand in front of the decimal point:
/// zeros follow if that is more than there are, and precede them behind the point if it is negative.
fn put_plain(out: &mut Vec<u8>, digits: &[u8], point: i32) {
    let zeros = |count: usize| std::iter::repeat_n(b'0', count);
    let in_front = usize::try_from(point).unwrap_or_default();
    let (whole, fraction) = digits.split_at_checked(in_front).unwrap_or((digits, &[]));
    out.extend_from_slice(whole);
    out.extend(zeros(in_front.saturating_sub(digits.len())));
    if whole.is_empty() {
        out.push(b'0');
    }
    if !fraction.is_empty() {
        out.push(b'.');
        out.extend(zeros(usize::try_from(point.saturating_neg()).unwrap_or_default()));
        out.extend_from_slice(fraction);
    }
}

/// As [`put_plain`], with one digit in front of the point.
fn put_with_exponent(out: &mut Vec<u8>, digits: &[u8], point: i32) {
    let (whole, fraction) = digits.split_at_checked(1).unwrap_or_default();
    out.extend_from_slice(whole);
    if !fraction.is_empty() {
        out.push(b'.');
        out.extend_from_slice(fraction);
    }
    // Writing into a vector cannot fail.
    write!(out, "e{:+}", point.saturating_sub(1)).ok();
}

fn put_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
}

/// Writes a map or slice as `encoding/json` does with HTML escapes off.
struct Json<'o> {
    out: &'o mut Vec<u8>,
    /// Of the maps around the current place, innermost last.
    entries: Vec<Entry>,
    /// No NaN and no infinity so far.
    finite: bool,
}

impl Json<'_> {
    fn value(&mut self, value: &Value<'_>, depth: usize) -> Result<(), Malformed> {
        match *value {
            Value::Empty | Value::Bytes([]) => self.out.extend_from_slice(b"null"),
            Value::String(text) => self.string(text),
            Value::Bool(bool) => self.out.extend_from_slice(bool_text(bool)),
            Value::Int(number) => put_int(self.out, number),
            Value::Double(number) => {
                self.finite &= number.is_finite();
                put_double(self.out, number);
            }
            Value::Bytes(bytes) => {
                self.out.push(b'"');
                put_base64(self.out, bytes);
                self.out.push(b'"');
            }
            Value::Array(values) => {
                let Some(depth) = depth.checked_sub(2) else { return Err(too_deep(values.offset())) };
                self.array(values, depth)?;
            }
            Value::Map(entries) => {
                let Some(depth) = depth.checked_sub(3) else { return Err(too_deep(entries.offset())) };
                self.map(entries, depth)?;
            }
        }
        Ok(())
    }

    fn array(&mut self, mut values: Reader<'_>, depth: usize) -> Result<(), Malformed> {
        self.out.push(b'[');
        let mut comma = false;
        while let Some(value) = next(&mut values, list::VALUES)? {
            self.comma(&mut comma);
            self.value(&Value::read(value)?, depth)?;
        }
        self.out.push(b']');
        Ok(())
    }

    /// Keys in bytewise order; of several values of one key the last.
    fn map(&mut self, message: Reader<'_>, depth: usize) -> Result<(), Malformed> {
        let from = self.entries.len();
        let map = Map::new(message, list::VALUES);
        map.sort(&mut self.entries)?;
        let to = self.entries.len();
        self.out.push(b'{');
        let mut comma = false;
        for at in from..to {
            let Some(&entry) = self.entries.get(at) else { break };
            let name = map.name(&entry);
            let next = self.entries.get(at.saturating_add(1)..to).and_then(<[Entry]>::first);
            if next.is_some_and(|next| map.name(next) == name) {
                continue;
            }
            self.comma(&mut comma);
            self.string(name);
            self.out.push(b':');
            self.value(&map.value(&entry)?, depth)?;
        }
        self.entries.truncate(from);
        self.out.push(b'}');
        Ok(())
    }

    fn comma(&mut self, comma: &mut bool) {
        if std::mem::replace(comma, true) {
            self.out.push(b',');
        }
    }

    fn string(&mut self, text: &[u8]) {
        self.out.push(b'"');
        for chunk in text.utf8_chunks() {
            chunk.valid().chars().for_each(|char| self.char(char));
            // One escape for each byte of a broken sequence, as Go decodes it.
            chunk.invalid().iter().for_each(|_| self.out.extend_from_slice(br"\ufffd"));
        }
        self.out.push(b'"');
    }

    fn char(&mut self, char: char) {
        match char {
            '"' => self.out.extend_from_slice(br#"\""#),
            '\\' => self.out.extend_from_slice(br"\\"),
            '\u{8}' => self.out.extend_from_slice(br"\b"),
            '\u{c}' => self.out.extend_from_slice(br"\f"),
            '\n' => self.out.extend_from_slice(br"\n"),
            '\r' => self.out.extend_from_slice(br"\r"),
            '\t' => self.out.extend_from_slice(br"\t"),
            '\0'..' ' | '\u{2028}' | '\u{2029}' => {
                write!(self.out, "\\u{:04x}", u32::from(char)).ok();
            }
            plain => self.out.extend_from_slice(plain.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

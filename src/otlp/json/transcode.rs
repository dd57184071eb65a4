//! Writes protobuf while serde_json reads.
//!
//! One seed for each thing that can stand in the text: a message, the value of a field, the elements of a list. Each writes
//! what it reads behind what is there. Recursion follows the nesting of the text, which serde_json limits.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::{borrow::Cow, fmt};

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::de::{
    DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor,
};

use super::tables::{Field, Kind, Message};
use crate::otlp::wire::{Tag, WireType, put_bytes, put_tag, put_varint};

/// Padding may be missing, as protobuf's JSON mapping allows. Bits of the last digit that belong to no byte do not count, as
/// in Go.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// What Go's `math.NaN` is: the bits count where a value is part of a stream's identity.
const NAN: u64 = 0x7ff8_0000_0000_0001;

/// Characters of a refused text that an error repeats.
const SHOWN: usize = 64;

/// Where the reader is, for errors. Left as it is when one occurs.
#[derive(Debug, Default)]
pub(super) struct Path(Vec<Step>);

#[derive(Debug)]
enum Step {
    Field(&'static str),
    Element(usize),
}

/// A message, without tag and length.
pub(super) struct Transcode<'o> {
    message: &'static Message,
    out: &'o mut Vec<u8>,
    path: &'o mut Path,
}

/// The value of a field: one, or a list of them.
struct FieldValue<'o> {
    field: &'static Field,
    out: &'o mut Vec<u8>,
    path: &'o mut Path,
}

/// One value, with tag and length unless it is an element of a packed list.
struct Single<'o> {
    field: &'static Field,
    is_packed: bool,
    /// Whether it is an element of a list: then null is an empty value, else no value.
    is_element: bool,
    out: &'o mut Vec<u8>,
    path: &'o mut Path,
}

/// The name of a field.
struct Name(&'static Message);

// === impl Path ===

impl fmt::Display for Path {
    /// `a[0].b: `; nothing at the top.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            match step {
                Step::Field(name) if index == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Element(at) => write!(f, "[{at}]")?,
            }
        }
        if self.0.is_empty() { Ok(()) } else { f.write_str(": ") }
    }
}

// === impl Transcode ===

impl<'o> Transcode<'o> {
    pub(super) fn new(message: &'static Message, out: &'o mut Vec<u8>, path: &'o mut Path) -> Self {
        Self { message, out, path }
    }
}

impl<'de> DeserializeSeed<'de> for Transcode<'_> {
    /// Whether there was a message; null is none.
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<bool, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Transcode<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<bool, E> {
        Err(E::invalid_type(Unexpected::Str(&head(text)), &self))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        while let Some(found) = map.next_key_seed(Name(self.message))? {
            let Some(field) = found else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            self.path.0.push(Step::Field(field.name));
            map.next_value_seed(FieldValue { field, out: &mut *self.out, path: &mut *self.path })?;
            self.path.0.pop();
        }
        Ok(true)
    }
}

// === impl Name ===

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        // Not as a text: it does not matter what unknown names are made of.
        reader.deserialize_bytes(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<&'static Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_bytes<E: Error>(self, name: &[u8]) -> Result<Self::Value, E> {
        Ok(self.0.field(name))
    }
}

// === impl FieldValue ===

impl<'de> DeserializeSeed<'de> for FieldValue<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        if self.field.repeated {
            reader.deserialize_any(self)
        } else {
            let Self { field, out, path } = self;
            Single { field, is_packed: false, is_element: false, out, path }.deserialize(reader)
        }
    }
}

impl<'de> Visitor<'de> for FieldValue<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        Err(E::invalid_type(Unexpected::Str(&head(text)), &self))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let Self { field, out, path } = self;
        let is_packed = field.kind.wire() != WireType::Len;
        let mut read = |out: &mut Vec<u8>| {
            let mut at = 0_usize;
            loop {
                path.0.push(Step::Element(at));
                let element = Single { field, is_packed, is_element: true, out, path };
                if elements.next_element_seed(element)?.is_none() {
                    path.0.pop();
                    return Ok(());
                }
                path.0.pop();
                at = at.saturating_add(1);
            }
        };
        if is_packed { framed(out, Tag::len(field.number), read) } else { read(out) }
    }
}

// === impl Single ===

impl<'de> DeserializeSeed<'de> for Single<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        let message = match self.field.kind {
            Kind::Message(message) => message,
            // An optional byte string: serde_json then leaves halves of surrogate pairs to us.
            Kind::String => return reader.deserialize_option(self),
            _ => return reader.deserialize_any(self),
        };
        let Self { field, is_element, out, path, .. } = self;
        let start = out.len();
        let was_sent = framed(out, Tag::len(field.number), |out| {
            Transcode::new(message, out, path).deserialize(reader)
        })?;
        if !was_sent && !is_element {
            out.truncate(start);
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Single<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.kind {
            Kind::Message(_) => f.write_str("an object"),
            Kind::String => f.write_str("a string"),
            Kind::Bytes => f.write_str("a string in base64"),
            Kind::Id(bytes) => {
                write!(f, "a string of {} hex digits, or an empty one", bytes.saturating_mul(2))
            }
            Kind::Bool => f.write_str("true or false"),
            Kind::Double => f.write_str("a number, or a string with one, NaN, Infinity or -Infinity"),
            Kind::Int32 | Kind::Sint32 => f.write_str("a 32-bit integer, as number or string"),
            Kind::Int64 | Kind::Sfixed64 => f.write_str("a 64-bit integer, as number or string"),
            Kind::Uint32 | Kind::Fixed32 => f.write_str("an unsigned 32-bit integer, as number or string"),
            Kind::Uint64 | Kind::Fixed64 => f.write_str("an unsigned 64-bit integer, as number or string"),
            Kind::Enum(names) => {
                f.write_str("a 32-bit integer or one of ")?;
                for (index, (name, _)) in names.iter().enumerate() {
                    write!(f, "{}{name}", if index == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
        }
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        match self.field.kind {
            _ if !self.is_element => Ok(()),
            Kind::String => self.visit_bytes(b""),
            _ => Err(E::invalid_type(Unexpected::Unit, &self)),
        }
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_bytes(self)
    }

    fn visit_bytes<E: Error>(self, raw: &[u8]) -> Result<(), E> {
        let text = text(raw).ok_or_else(|| E::custom("invalid UTF-8 in a string"))?;
        put_bytes(self.out, self.tag(), text.as_bytes());
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        match self.field.kind {
            Kind::Bool => self.put(u64::from(value)),
            _ => return Err(E::invalid_type(Unexpected::Bool(value), &self)),
        }
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.number(i128::from(value), Unexpected::Unsigned(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.number(i128::from(value), Unexpected::Signed(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        match self.field.kind {
            Kind::Double => self.put(value.to_bits()),
            // What serde_json makes of `-0`.
            _ if value == 0.0 && value.is_sign_negative() => return self.number(0, Unexpected::Float(value)),
            _ => return Err(E::invalid_type(Unexpected::Float(value), &self)),
        }
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let refused = || E::invalid_value(Unexpected::Str(&head(text)), &self);
        match self.field.kind {
            Kind::Bytes => {
                let bytes = base64(text).ok_or_else(refused)?;
                put_bytes(self.out, self.tag(), &bytes);
            }
            Kind::Id(length) => {
                let id = hex(text).filter(|id| id.is_empty() || id.len() == length);
                let id = id.ok_or_else(refused)?;
                put_bytes(self.out, self.tag(), &id);
            }
            Kind::Double => {
                let bits = double(text).ok_or_else(refused)?;
                self.put(bits);
            }
            Kind::Enum(names) => {
                let found = names.iter().find(|(name, _)| *name == text);
                let (_, value) = found.ok_or_else(refused)?;
                return self.number(i128::from(*value), Unexpected::Str(text));
            }
            Kind::Message(_) | Kind::String | Kind::Bool => {
                return Err(E::invalid_type(Unexpected::Str(&head(text)), &self));
            }
            _ => {
                let value = text.parse().map_err(|_| refused())?;
                return self.number(value, Unexpected::Str(&head(text)));
            }
        }
        Ok(())
    }
}

impl Single<'_> {
    fn tag(&self) -> Tag {
        Tag::new(self.field.number, self.field.kind.wire())
    }

    /// Writes an integer, or a double without fraction.
    fn number<E: Error>(self, value: i128, found: Unexpected<'_>) -> Result<(), E> {
        let bits = match self.field.kind {
            Kind::Double => Some(nearest(value).to_bits()),
            Kind::Int32 | Kind::Enum(_) => {
                i32::try_from(value).ok().map(|value| i64::from(value).cast_unsigned())
            }
            Kind::Sint32 => i32::try_from(value).ok().map(|value| u64::from(zigzag(value))),
            Kind::Int64 | Kind::Sfixed64 => i64::try_from(value).ok().map(i64::cast_unsigned),
            Kind::Uint32 | Kind::Fixed32 => u32::try_from(value).ok().map(u64::from),
            Kind::Uint64 | Kind::Fixed64 => u64::try_from(value).ok(),
            Kind::Message(_) | Kind::String | Kind::Bytes | Kind::Id(_) | Kind::Bool => {
                return Err(E::invalid_type(found, &self));
            }
        };
        let bits = bits.ok_or_else(|| E::invalid_value(found, &self))?;
        self.put(bits);
        Ok(())
    }

    /// Writes the bits of a number or boolean as the field's wire type has them.
    fn put(self, bits: u64) {
        if !self.is_packed {
            put_tag(self.out, self.tag());
        }
        match self.field.kind.wire() {
            WireType::Varint => put_varint(self.out, bits),
            WireType::Fixed64 => self.out.extend_from_slice(&bits.to_le_bytes()),
            WireType::Fixed32 => {
                let [a, b, c, d, ..] = bits.to_le_bytes();
                self.out.extend_from_slice(&[a, b, c, d]);
            }
            // Texts, bytes and messages are written elsewhere.
            WireType::Len => {}
        }
    }
}

// === impl Kind ===

impl Kind {
    const fn wire(self) -> WireType {
        match self {
            Self::Message(_) | Self::String | Self::Bytes | Self::Id(_) => WireType::Len,
            Self::Bool
            | Self::Int32
            | Self::Int64
            | Self::Uint32
            | Self::Uint64
            | Self::Sint32
            | Self::Enum(_) => WireType::Varint,
            Self::Double | Self::Fixed64 | Self::Sfixed64 => WireType::Fixed64,
            Self::Fixed32 => WireType::Fixed32,
        }
    }
}

/// Writes a length-delimited field whose length is known when `body` has written it: the body moves by the length's
/// bytes beyond the first.
fn framed<T, E>(
    out: &mut Vec<u8>,
    tag: Tag,
    body: impl FnOnce(&mut Vec<u8>) -> Result<T, E>,
) -> Result<T, E> {
    put_tag(out, tag);
    let at = out.len();
    out.push(0);
    let start = out.len();
    let value = body(out)?;
    let length = out.len().saturating_sub(start);
    match (u8::try_from(length), out.get_mut(at)) {
        (Ok(short @ ..0x80), Some(byte)) => *byte = short,
        _ => {
            let mut prefix = Vec::new();
            put_varint(&mut prefix, u64::try_from(length).unwrap_or(u64::MAX));
            out.splice(at..start, prefix);
        }
    }
    Ok(value)
}

/// The nearest double. Every integer of JSON that serde_json does not take for a double has at most 64 bits.
#[expect(clippy::as_conversions, reason = "there is no other conversion that rounds")]
const fn nearest(value: i128) -> f64 {
    value as f64
}

/// Small numbers of either sign to small unsigned ones. Source: <https://protobuf.dev/programming-guides/encoding/#signed-ints>.
const fn zigzag(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)).cast_unsigned()
}

/// The bits of a number in a string; `None` if it is none, or too large for a double.
fn double(text: &str) -> Option<u64> {
    let value: f64 = text.parse().ok()?;
    if value.is_nan() {
        return text.eq_ignore_ascii_case("nan").then_some(NAN);
    }
    let is_word = !text.bytes().any(|byte| byte.is_ascii_digit());
    (value.is_finite() || is_word).then_some(value.to_bits())
}

/// The text of a string in JSON. Halves of surrogate pairs, which JSON can escape and which JavaScript leaves where it cuts a
/// text, become U+FFFD. `None`: other bytes that are no UTF-8.
fn text(raw: &[u8]) -> Option<Cow<'_, str>> {
    let mut text = String::new();
    let mut rest = raw;
    loop {
        let error = match std::str::from_utf8(rest) {
            Ok(whole) if text.is_empty() => return Some(whole.into()),
            Ok(last) => return Some((text + last).into()),
            Err(error) => error,
        };
        let (valid, invalid) = rest.split_at_checked(error.valid_up_to())?;
        // How UTF-8 would write U+D800 to U+DFFF.
        let [0xed, 0xa0..=0xbf, 0x80..=0xbf, behind @ ..] = invalid else { return None };
        text.push_str(std::str::from_utf8(valid).ok()?);
        text.push(char::REPLACEMENT_CHARACTER);
        rest = behind;
    }
}

/// The beginning of a refused text.
fn head(text: &str) -> Cow<'_, str> {
    if text.len() <= SHOWN {
        return text.into();
    }
    (text.chars().take(SHOWN).collect::<String>() + "…").into()
}

fn base64(text: &str) -> Option<Vec<u8>> {
    if text.contains(['-', '_']) {
        return BASE64.decode(text.replace('-', "+").replace('_', "/")).ok();
    }
    BASE64.decode(text).ok()
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    });
    pairs.collect()
}

//! Just enough protobuf to write the generator's requests and to read them back in a sink.
//!
//! Demo and test tooling, not on the gateway's data path. It shares nothing with `otlp` on purpose: what the
//! gateway did to a request is judged here, and a judge that uses the same reader would agree with its mistakes.
//!
//! Source: protobuf encoding guide; field numbers are those of opentelemetry-proto `{trace,metrics,logs}/v1/*.proto`.

/// Bytes that are not a protobuf message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid protobuf message")]
pub(super) struct Malformed;

/// The value of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 2.
    Bytes(&'a [u8]),
    /// Wire types 1 and 5, which nobody here looks into.
    Fixed,
}

/// The fields of one message in the order of the bytes; ends after the first error.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

// === impl Fields ===

impl<'a> Fields<'a> {
    pub(super) const fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn field(&mut self) -> Result<(u64, Value<'a>), Malformed> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let len = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                Value::Bytes(self.take(len)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return Err(Malformed),
        };
        Ok((tag >> 3, value))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or(Malformed)?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// Every value of a repeated message field, or of a bytes field where the caller takes the last.
pub(super) fn bytes_of(message: &[u8], number: u64) -> impl Iterator<Item = Result<&[u8], Malformed>> {
    Fields::new(message).filter_map(move |field| match field {
        Ok((found, Value::Bytes(bytes))) if found == number => Some(Ok(bytes)),
        Ok(_) => None,
        Err(malformed) => Some(Err(malformed)),
    })
}

/// Appends an unsigned varint.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a varint field.
pub(super) fn put_uint(out: &mut Vec<u8>, number: u64, value: u64) {
    put_varint(out, number << 3);
    put_varint(out, value);
}

/// Appends a `fixed64` field.
pub(super) fn put_fixed64(out: &mut Vec<u8>, number: u64, value: u64) {
    put_varint(out, number << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a `fixed32` field.
pub(super) fn put_fixed32(out: &mut Vec<u8>, number: u64, value: u32) {
    put_varint(out, number << 3 | 5);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a string, bytes or finished message field.
pub(super) fn put_bytes(out: &mut Vec<u8>, number: u64, value: &[u8]) {
    put_varint(out, number << 3 | 2);
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Appends a message field whose content `body` writes. The length goes in front afterwards, which moves the
/// content once for each level of nesting: cheap enough for a generator, and lengths stay minimal.
pub(super) fn put_message(out: &mut Vec<u8>, number: u64, body: impl FnOnce(&mut Vec<u8>)) {
    put_varint(out, number << 3 | 2);
    let start = out.len();
    body(out);
    let mut len = Vec::with_capacity(10);
    put_varint(&mut len, (out.len() - start) as u64);
    out.splice(start..start, len);
}

#[cfg(test)]
mod tests {
    use super::*;

    // Scenario: one field of every kind is written, one nested message longer than 127 bytes among them.
    // Guarantees: reading gives back the same fields in the same order.
    #[test]
    fn what_is_written_is_read() {
        let long = [7_u8; 300];
        let mut message = Vec::new();
        put_uint(&mut message, 1, u64::MAX);
        put_fixed64(&mut message, 2, 3);
        put_fixed32(&mut message, 16, 4);
        put_message(&mut message, 3, |inner| put_bytes(inner, 1, &long));
        let mut inner = Vec::new();
        put_bytes(&mut inner, 1, &long);
        let fields: Result<Vec<_>, _> = Fields::new(&message).collect();
        assert_eq!(
            fields,
            Ok(vec![
                (1, Value::Varint(u64::MAX)),
                (2, Value::Fixed),
                (16, Value::Fixed),
                (3, Value::Bytes(&inner))
            ])
        );
        assert_eq!(bytes_of(&message, 3).collect::<Vec<_>>(), vec![Ok(inner.as_slice())]);
    }

    // Scenario: truncated fields, an endless varint, a group, a length beyond the end.
    // Guarantees: an error, once, and never a panic.
    #[test]
    fn bad_bytes_end_with_one_error() {
        #[track_caller]
        fn check(message: &[u8]) {
            assert_eq!(Fields::new(message).collect::<Vec<_>>(), vec![Err(Malformed)]);
        }
        check(&[0x08]);
        check(&[0x09, 1, 2]);
        check(&[0x0b]);
        check(&[0x0a, 5, 1]);
        check(&[0xff; 11]);
        check(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
    }
}

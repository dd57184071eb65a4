//! Writes a request anew as protobuf allows and no library does.

use crate::otlp::wire::{Reader, Tag, WireType, put_len_prefix, put_tag, put_varint};

/// Which fields of a message are messages.
#[derive(Clone, Copy)]
pub(super) struct Schema {
    children: &'static [(u32, Self)],
    /// The field may be written in several pieces, which are merged.
    splits: bool,
}

impl Schema {
    const fn of(children: &'static [(u32, Self)]) -> Self {
        Self { children, splits: false }
    }

    const fn in_pieces(mut self) -> Self {
        self.splits = true;
        self
    }

    const VALUE: Self = Self::of(&[]);
    const ATTRIBUTE: Self = Self::of(&[(2, Self::VALUE)]);
    const RESOURCE: Self = Self::of(&[(1, Self::ATTRIBUTE)]).in_pieces();
    const SCOPE: Self = Self::of(&[(3, Self::ATTRIBUTE)]).in_pieces();
    const SPAN: Self = Self::of(&[(9, Self::ATTRIBUTE)]);
    const RECORD: Self = Self::of(&[(5, Self::VALUE), (6, Self::ATTRIBUTE)]);
    const SPANS: Self = Self::of(&[(1, Self::SCOPE), (2, Self::SPAN)]);
    const RECORDS: Self = Self::of(&[(1, Self::SCOPE), (2, Self::RECORD)]);
    const RESOURCE_SPANS: Self = Self::of(&[(1, Self::RESOURCE), (2, Self::SPANS)]);
    const RESOURCE_LOGS: Self = Self::of(&[(1, Self::RESOURCE), (2, Self::RECORDS)]);

    /// `ExportTraceServiceRequest`.
    pub(super) const TRACES: Self = Self::of(&[(1, Self::RESOURCE_SPANS)]);
    /// `ExportLogsServiceRequest`.
    pub(super) const LOGS: Self = Self::of(&[(1, Self::RESOURCE_LOGS)]);
}

/// The same message: fields in another order, though not those of one number; unknown fields; lengths in more bytes than
/// they need; messages in pieces.
pub(super) fn rewrite(message: &[u8], schema: Schema, random: &mut fastrand::Rng) -> Vec<u8> {
    let mut fields: Vec<(u32, Vec<u8>)> = Vec::new();
    let mut reader = Reader::new(message);
    while let Some(tag) = reader.tag().unwrap() {
        let number = tag.number();
        let child = schema.children.iter().find(|(child, _)| *child == number);
        let Some(&(_, child)) = child else {
            let start = message.len() - reader.rest().len();
            reader.skip(tag.wire().unwrap()).unwrap();
            let mut field = Vec::new();
            put_tag(&mut field, tag);
            field.extend_from_slice(&message[start..message.len() - reader.rest().len()]);
            fields.push((number, field));
            continue;
        };
        let body = rewrite(reader.bytes().unwrap(), child, random);
        let cut = if child.splits { boundary(&body, random) } else { 0 };
        for piece in [&body[..cut], &body[cut..]].into_iter().skip(usize::from(cut == 0)) {
            fields.push((number, framed(tag, piece, random)));
        }
    }
    if random.u8(..4) == 0 {
        let mut field = Vec::new();
        put_len_prefix(&mut field, Tag::len(500), 3);
        field.extend_from_slice(b"new");
        fields.push((500, field));
    }
    // A random order of numbers; those of one number stay as they are.
    let mut order: Vec<u32> = fields.iter().map(|(number, _)| *number).collect();
    random.shuffle(&mut order);
    let mut out = Vec::new();
    for number in order {
        let next = fields.iter().position(|(of, _)| *of == number).unwrap();
        out.extend(fields.remove(next).1);
    }
    out
}

/// A length-delimited field, its length sometimes in one byte too many.
fn framed(tag: Tag, body: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut field = Vec::new();
    put_tag(&mut field, tag);
    put_varint(&mut field, body.len() as u64);
    if random.u8(..4) == 0 {
        *field.last_mut().unwrap() |= 0x80;
        field.push(0);
    }
    field.extend_from_slice(body);
    field
}

/// An offset between two fields, or 0.
fn boundary(message: &[u8], random: &mut fastrand::Rng) -> usize {
    let mut reader = Reader::new(message);
    let mut boundaries = vec![0];
    while let Some(tag) = reader.tag().unwrap() {
        reader.skip(tag.wire().unwrap_or(WireType::Len)).unwrap();
        boundaries.push(message.len() - reader.rest().len());
    }
    boundaries[random.usize(..boundaries.len())]
}

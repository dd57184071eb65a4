//! Tests of the reader and the writer against each other and against known bytes.

use super::{
    Malformed, Reader, Tag, WireType, framed_len, put_bytes, put_fixed32, put_fixed64, put_len_prefix,
    put_message, put_tag, put_uint, put_varint, varint_len,
};

#[track_caller]
fn check_varint(value: u64, bytes: &[u8]) {
    let mut out = Vec::new();
    put_varint(&mut out, value);
    assert_eq!(out, bytes);
    assert_eq!(varint_len(value), bytes.len());
    assert_eq!(Reader::new(bytes).varint(), Ok(value));
    for cut in 0..bytes.len() {
        assert!(Reader::new(&bytes[..cut]).varint().is_err(), "cut at {cut}");
    }
}

// Scenario: values at every step of the length, up to the largest.
// Guarantees: written in the shortest form, measured exactly, read back, refused when cut.
#[test]
fn varints_round_trip() {
    check_varint(0, &[0]);
    check_varint(1, &[1]);
    check_varint(127, &[0x7f]);
    check_varint(128, &[0x80, 0x01]);
    check_varint(300, &[0xac, 0x02]);
    check_varint(u64::MAX, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
    for bits in 1..64 {
        for value in [(1 << bits) - 1, 1 << bits, (1 << bits) + 1] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            check_varint(value, &out);
        }
    }
}

// Scenario: tags of every wire type and of one, two and five bytes.
// Guarantees: number and wire type come back; the bytes are protobuf's.
#[test]
fn tags_round_trip() {
    for (tag, bytes) in [
        (Tag::varint(1), &[0x08][..]),
        (Tag::fixed64(7), &[0x39]),
        (Tag::len(15), &[0x7a]),
        (Tag::fixed32(16), &[0x85, 0x01]),
        (Tag::len(1000), &[0xc2, 0x3e]),
        (Tag::varint(2047), &[0xf8, 0x7f]),
        (Tag::varint(2048), &[0x80, 0x80, 0x01]),
        (Tag::len((1 << 29) - 1), &[0xfa, 0xff, 0xff, 0xff, 0x0f]),
    ] {
        let mut out = Vec::new();
        put_tag(&mut out, tag);
        assert_eq!(out, bytes);
        let read = Reader::new(bytes).tag().unwrap().unwrap();
        assert_eq!((read, read.number(), read.wire()), (tag, tag.number(), tag.wire()));
    }
    assert_eq!(Tag::new(3, WireType::Fixed32), Tag::fixed32(3));
    assert_eq!(Reader::new(&[]).tag(), Ok(None));
}

// Scenario: a message with a field of each kind, one of them a message written before its length is known.
// Guarantees: the reader returns what was written, a child ends where its message ends, and offsets are absolute.
#[test]
fn messages_round_trip() {
    let mut out = Vec::new();
    put_uint(&mut out, Tag::varint(1), 150);
    put_fixed64(&mut out, Tag::fixed64(2), 1.5_f64.to_bits());
    put_bytes(&mut out, Tag::len(3), b"text");
    put_message(&mut out, Tag::len(4), |inner| put_bytes(inner, Tag::len(1), &[7; 200]));
    put_fixed32(&mut out, Tag::fixed32(5), 9);
    put_len_prefix(&mut out, Tag::len(6), 0);

    let mut reader = Reader::new(&out);
    let mut tags = Vec::new();
    while let Some(tag) = reader.tag().unwrap() {
        tags.push(tag.number());
        match tag.number() {
            1 => assert_eq!(reader.varint(), Ok(150)),
            2 => assert_eq!(reader.fixed64(), Ok(1.5_f64.to_bits())),
            3 => assert_eq!(reader.bytes(), Ok(&b"text"[..])),
            4 => {
                let mut inner = reader.message().unwrap();
                assert_eq!(inner.offset() + 3 + 200, reader.offset());
                assert_eq!(inner.tag(), Ok(Some(Tag::len(1))));
                assert_eq!(inner.bytes(), Ok(&[7; 200][..]));
                assert_eq!((inner.tag(), inner.rest()), (Ok(None), &[][..]));
            }
            5 => assert_eq!(reader.fixed32(), Ok(9)),
            _ => assert_eq!(reader.id::<8>("id"), Ok(None)),
        }
    }
    assert_eq!(tags, [1, 2, 3, 4, 5, 6]);
    assert_eq!(reader.offset(), out.len());
}

// Scenario: elements of a repeated field, passed over at once.
// Guarantees: stops in front of another field, at the end, and at a malformed element.
#[test]
fn repeated_fields_are_passed_over_at_once() {
    let tag = Tag::len(9);
    let mut out = Vec::new();
    for element in [&b"a"[..], &[b'b'; 300], b""] {
        put_bytes(&mut out, tag, element);
    }
    let end = out.len();
    put_bytes(&mut out, Tag::len(10), b"c");
    for (message, offset) in [(&out[..], end), (&out[..end], end)] {
        let mut reader = Reader::new(message);
        assert_eq!(reader.tag(), Ok(Some(tag)));
        reader.skip_repeated(tag).unwrap();
        assert_eq!(reader.offset(), offset);
    }
    let mut reader = Reader::new(&out[..20]);
    assert_eq!(reader.tag(), Ok(Some(tag)));
    assert!(reader.skip_repeated(tag).is_err());
}

// Scenario: lengths around the steps of the length prefix.
// Guarantees: the announced length of a field is the one that is written.
#[test]
fn framed_lengths_are_exact() {
    for body in [0, 1, 127, 128, 16_383, 16_384] {
        for tag in [Tag::len(1), Tag::len(1000)] {
            let mut out = Vec::new();
            put_bytes(&mut out, tag, &vec![0; body]);
            assert_eq!(out.len(), framed_len(tag, body));
        }
    }
}

// Scenario: an error is shown to a person.
// Guarantees: it names what and where.
#[test]
fn errors_name_the_offset() {
    let error = Malformed { offset: 12, what: "message ends inside a field" };
    assert_eq!(error.to_string(), "message ends inside a field at byte 12");
}

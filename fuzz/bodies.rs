//! What the fuzz targets check, in functions that an ordinary test runs over the committed corpus too.
//!
//! The including module brings `naive`, `parts`, `ringway` and `traces` into its own scope.
#![allow(
    dead_code,
    clippy::disallowed_methods,
    clippy::expect_used,
    unreachable_pub,
    reason = "prost is the oracle; included by tests and fuzz targets"
)]

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::{
    Message,
    encoding::{decode_key, decode_varint},
};

use super::{
    naive,
    parts::{self, Parts},
    ringway::{
        model::{
            Signal,
            settings::{Key, RoutingKey, Validation},
        },
        otlp::{
            Splitter, partial_success,
            wire::{self, Reader, WireType},
        },
    },
    traces,
};

/// Plans and appends; checks what holds for every accepted request. `None`: refused.
fn split(
    splitter: &mut Splitter,
    payload: &[u8],
    slots: usize,
    validation: Validation,
) -> Option<(usize, Parts)> {
    let slot_of = |key: &[u8]| {
        assert_eq!(key.len(), 16);
        traces::slot_of(key, slots)
    };
    let plan = splitter
        .plan(Signal::Traces, payload, &RoutingKey::compatible(Key::TraceId), validation, slots, slot_of)
        .ok()?;
    let parts = parts::of(&plan);
    assert!(parts.iter().all(|(slot, ..)| *slot < slots));
    assert_eq!(plan.items(), parts.iter().map(|(_, items, _)| items).sum::<usize>());
    Some((plan.items(), parts))
}

/// Every item, with the fields of its groups, sorted.
fn contents<'a>(requests: impl IntoIterator<Item = &'a [u8]>) -> Vec<(Vec<u8>, Vec<u8>, Vec<u8>)> {
    let mut all: Vec<_> =
        requests.into_iter().flat_map(|request| naive::items(&naive::request(request))).collect();
    all.sort_unstable();
    all
}

/// Any bytes as a traces request.
pub fn split_traces(payload: &[u8]) {
    let mut splitter = Splitter::new(0);
    let full = split(&mut splitter, payload, 3, Validation::Full);
    let structure = split(&mut splitter, payload, 3, Validation::Structure);
    let by_size = by_size(&mut splitter, payload);
    let Some((items, parts)) = structure else {
        assert!(full.is_none(), "full accepts what structure refuses");
        assert!(by_size.is_none(), "a cut accepts what a split refuses");
        return;
    };
    assert_eq!(by_size, Some(items));

    // Conservation: every item is in one part, byte for byte, in groups with the same fields.
    assert_eq!(contents([payload]), contents(parts.iter().map(|(.., part)| part.as_slice())));
    for (slot, items, part) in &parts {
        let again = split(&mut splitter, part, 3, Validation::Structure).expect("a part is a valid request");
        assert_eq!((again.0, again.1.len(), again.1[0].0), (*items, 1, *slot), "a part splits into itself");
    }

    if let Some(full) = full {
        assert_eq!(full, (items, parts));
        let decoded = ExportTraceServiceRequest::decode(payload).expect("what full accepts, prost accepts");
        // prost does not know the deprecated field 1000.
        if spans(&decoded) == items {
            let mut expect = traces::regroup(decoded, |key| traces::slot_of(key, 3));
            for (slot, items, part) in &full.1 {
                let part = ExportTraceServiceRequest::decode(part.as_slice()).expect("parts are as valid");
                assert_eq!(spans(&part), *items);
                assert_eq!(spans(&expect.remove(slot).expect("prost has this slot")), *items);
            }
            assert!(expect.is_empty());
        }
    }
}

fn spans(request: &ExportTraceServiceRequest) -> usize {
    request.resource_spans.iter().flat_map(|group| &group.scope_spans).map(|scope| scope.spans.len()).sum()
}

/// Cuts to a third of the size; returns the number of items.
fn by_size(splitter: &mut Splitter, payload: &[u8]) -> Option<usize> {
    let limit = payload.len() / 3;
    let plan = splitter.plan_by_size(Signal::Traces, payload, limit, 5).ok()?;
    let mut order = Vec::new();
    for (_, items, part) in parts::of(&plan) {
        assert!(items == 1 || (items <= 5 && part.len() <= limit));
        let inside = naive::items(&naive::request(&part));
        assert_eq!(inside.len(), items);
        order.extend(inside);
    }
    assert_eq!(order, naive::items(&naive::request(payload)));
    Some(plan.items())
}

/// Any bytes as one message of unknown fields, and as a response.
pub fn wire(message: &[u8]) {
    if let Some(written) = read_fields(message) {
        // What was read and written again reads the same, in the shortest form.
        assert!(written.len() <= message.len());
        assert_eq!(read_fields(&written).as_deref(), Some(written.as_slice()));
    }

    let mut left = message;
    assert_eq!(Reader::new(message).varint().ok(), decode_varint(&mut left).ok(), "varint");

    let ours = partial_success(message);
    if let Ok(theirs) = ExportTraceServiceResponse::decode(message)
        && let Ok((rejected, text)) = &ours
    {
        let theirs = theirs.partial_success.unwrap_or_default();
        assert_eq!(u64::try_from(theirs.rejected_spans).unwrap_or(0), *rejected);
        assert_eq!(theirs.error_message, *text);
    }
}

/// Reads all fields and writes them again; `None`: refused.
fn read_fields(message: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader::new(message);
    let mut out = Vec::new();
    loop {
        let at = reader.offset();
        let mut theirs = &message[at..];
        let Some(tag) = reader.tag().ok()? else { return Some(out) };
        let (number, _) = decode_key(&mut theirs).ok().or_else(|| {
            assert!(tag.wire().is_none(), "prost refuses a tag with a valid wire type");
            None
        })?;
        assert_eq!(number, tag.number());
        assert_eq!(message.len() - theirs.len(), reader.offset(), "tag length");
        let before = out.len();
        match tag.wire()? {
            WireType::Varint => wire::put_uint(&mut out, tag, reader.varint().ok()?),
            WireType::Fixed64 => wire::put_fixed64(&mut out, tag, reader.fixed64().ok()?),
            WireType::Fixed32 => wire::put_fixed32(&mut out, tag, reader.fixed32().ok()?),
            WireType::Len => {
                let value = reader.bytes().ok()?;
                wire::put_bytes(&mut out, tag, value);
                assert_eq!(out.len() - before, wire::framed_len(tag, value.len()));
                let mut nested = Vec::new();
                wire::put_message(&mut nested, tag, |body| body.extend_from_slice(value));
                assert_eq!(nested, out[before..]);
            }
        }
        assert!(reader.offset() > at && reader.offset() <= message.len());
    }
}

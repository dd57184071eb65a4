//! Inputs that the fuzzer starts from: valid requests and one of each way in which bytes go wrong.
#![allow(unreachable_pub, reason = "included by tests and by the program that writes the corpus")]

use prost::Message;

use super::{
    adversarial::Generator,
    traces::{self, Shape},
};

/// (fuzz target, name, bytes).
pub fn seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let small = Shape { spans: 6, resources: 2, spans_per_trace: 2 };
    let mut request = traces::request(1, small);
    let valid = request.encode_to_vec();
    let first = request.resource_spans[0].resource.clone();
    request.resource_spans[1].resource = first;
    let span = &mut request.resource_spans[0].scope_spans[0].spans[0];
    span.trace_state = "vendor=t61rcWkgMzE".to_owned();
    span.attributes.push(traces::attribute("nested", traces::nested(4)));
    span.links.push(opentelemetry_proto::tonic::trace::v1::span::Link {
        trace_id: vec![7; 16],
        span_id: vec![8; 8],
        ..Default::default()
    });
    let rich = request.encode_to_vec();
    request.resource_spans[0].scope_spans[0].spans[0].attributes =
        vec![traces::attribute("deep", traces::nested(60))];
    let deep = request.encode_to_vec();

    let mut mutated = valid.clone();
    for at in (7..mutated.len()).step_by(97) {
        mutated[at] ^= 0x5a;
    }
    let span = |body: &[u8]| wrap(&[0x0a, 0x12, 0x12], body);
    let id = |byte: u8| [&[0x0a, 16][..], &[byte; 16]].concat();
    let mut seeds = of_logs_and_metrics();
    seeds.extend([
        ("split_traces", "valid", valid.clone()),
        ("split_traces", "rich", rich),
        ("split_traces", "deep-value", deep),
        ("split_traces", "concatenated", [span(&id(1)), span(&id(2)), span(&id(1))].concat()),
        ("split_traces", "truncated", valid[..valid.len() * 2 / 3].to_vec()),
        ("split_traces", "mutated", mutated),
        ("split_traces", "two-trace-ids", span(&[id(1), id(2)].concat())),
        ("split_traces", "empty-trace-id", [span(&[]), span(&[0x0a, 0])].concat()),
        ("split_traces", "short-trace-id", span(&[0x0a, 3, 1, 2, 3])),
        ("split_traces", "wrong-wire-type", span(&[0x08, 1])),
        ("split_traces", "overlong-length", [&[0x0a, 0x80, 0x80, 0x80, 0][..], &span(&id(3))].concat()),
        ("split_traces", "overlong-varint", span(&[&[0x30][..], &[0xff; 10], &[1]].concat())),
        ("split_traces", "length-of-4-gib", vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        ("split_traces", "nested-groups", span(&[0xfb, 0x07].repeat(200))),
        (
            "split_traces",
            "unknown-fields",
            [
                &[0x92, 0x7d, 2, 1, 2][..],
                &span(&[&id(1)[..], &[0xc9, 0x7e, 1, 2, 3, 4, 5, 6, 7, 8]].concat()),
                &span(&[&id(2)[..], &[0xf8, 0x07, 0x96, 1]].concat()),
            ]
            .concat(),
        ),
        (
            "split_traces",
            "deprecated-field",
            [wrap(&[0x0a], &library(&[&id(1)[..]])), wrap(&[0x0a], &library(&[&id(2)[..], &id(1)]))].concat(),
        ),
        (
            "wire",
            "varints",
            vec![8, 1, 16, 0x96, 1, 24, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
        ),
        ("wire", "all-types", vec![8, 1, 0x11, 1, 2, 3, 4, 5, 6, 7, 8, 0x1a, 1, 9, 0x25, 1, 2, 3, 4]),
        ("wire", "partial-success", b"\x0a\x09\x08\x07\x12\x05quota".to_vec()),
        ("wire", "overlong-tag", vec![0x88, 0x80, 0x80, 0, 1]),
        ("wire", "field-0", vec![0, 1]),
        ("wire", "field-2-pow-29", vec![0x80, 0x80, 0x80, 0x80, 0x10, 1]),
        ("wire", "groups", [0x0b].repeat(64)),
    ]);
    seeds
}

/// Adversarial requests of some items, each behind the byte that picks key and policy; one cut off, one damaged.
fn of_logs_and_metrics() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let mut generator = Generator::new(7);
    let mut seed = |pick: u8, is_metrics: bool, items: usize| {
        let mut bytes = vec![pick];
        bytes.extend(match is_metrics {
            true => generator.metrics(items).encode_to_vec(),
            false => generator.logs(items).encode_to_vec(),
        });
        bytes
    };
    let damaged = |mut bytes: Vec<u8>| {
        for at in (7..bytes.len()).step_by(97) {
            bytes[at] ^= 0x5a;
        }
        bytes
    };
    let cut = |bytes: Vec<u8>| bytes[..bytes.len() * 2 / 3].to_vec();
    vec![
        ("split_logs", "service", seed(0, false, 12)),
        ("split_logs", "resource", seed(1, false, 12)),
        ("split_logs", "trace-id-or-random", seed(2, false, 12)),
        ("split_logs", "raw-trace-id-or-resource", seed(9, false, 12)),
        ("split_logs", "attributes", seed(4, false, 12)),
        ("split_logs", "service-or-dropped", seed(18, false, 12)),
        ("split_logs", "cut", cut(seed(4, false, 8))),
        ("split_logs", "damaged", damaged(seed(4, false, 8))),
        ("split_metrics", "service", seed(0, true, 16)),
        ("split_metrics", "resource", seed(1, true, 16)),
        ("split_metrics", "metric", seed(2, true, 16)),
        ("split_metrics", "stream", seed(3, true, 16)),
        ("split_metrics", "attributes", seed(4, true, 16)),
        ("split_metrics", "attributes-or-dropped", seed(22, true, 16)),
        ("split_metrics", "cut", cut(seed(3, true, 8))),
        ("split_metrics", "damaged", damaged(seed(3, true, 8))),
    ]
}

/// Puts a body into one message field inside the next, outermost first.
fn wrap(tags: &[u8], body: &[u8]) -> Vec<u8> {
    tags.iter().rev().fold(body.to_vec(), |mut body, &tag| {
        let mut message = vec![tag];
        prost::encoding::encode_varint(body.len() as u64, &mut message);
        message.append(&mut body);
        message
    })
}

/// Spans in an `InstrumentationLibrarySpans`, field 1000 of a resource group.
fn library(spans: &[&[u8]]) -> Vec<u8> {
    let spans: Vec<u8> = spans.iter().flat_map(|span| wrap(&[0x12], span)).collect();
    let mut message = vec![0xc2, 0x3e];
    prost::encoding::encode_varint(spans.len() as u64, &mut message);
    message.extend(spans);
    message
}

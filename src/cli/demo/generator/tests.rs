//! The generator against prost: what it writes is OTLP, and what it says about it is true.

use std::collections::{HashMap, HashSet};

use opentelemetry_proto::tonic::{collector::trace::v1::ExportTraceServiceRequest, trace::v1::Span};
use prost::Message as _;

use super::*;

const START: u64 = 1_760_000_000_000_000_000;

#[expect(clippy::disallowed_methods, reason = "prost is the oracle")]
fn decode(request: &Request) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest::decode(request.bytes.clone()).unwrap()
}

fn spans(message: &ExportTraceServiceRequest) -> impl Iterator<Item = &Span> {
    message.resource_spans.iter().flat_map(|resource| &resource.scope_spans).flat_map(|scope| &scope.spans)
}

#[track_caller]
fn check(spans_per_request: usize, resources: usize) {
    let request = Generator::new(spans_per_request, 3, START).request();
    let message = decode(&request);
    let keys: Vec<_> = spans(&message)
        .map(|span| SpanKey {
            trace: span.trace_id.as_slice().try_into().unwrap(),
            span: span.span_id.as_slice().try_into().unwrap(),
        })
        .collect();
    assert_eq!(keys.len(), spans_per_request);
    assert_eq!(keys, request.spans, "the keys are those of the bytes, in their order");
    assert_eq!(message.resource_spans.len(), resources);
    assert_eq!(message.encoded_len(), request.bytes.len(), "lengths are minimal and every field is known");
    for resource in &message.resource_spans {
        assert_eq!(resource.resource.as_ref().unwrap().attributes.len(), 13);
        assert_eq!(resource.scope_spans.len(), 2);
    }
    for span in spans(&message) {
        assert_eq!(span.attributes.len(), 10);
        assert!(span.start_time_unix_nano < span.end_time_unix_nano && span.end_time_unix_nano >= START);
    }
}

// Scenario: requests of every size that the demo and the benchmark use, and the smallest one.
// Guarantees: valid OTLP of the promised shape, and a list of spans that agrees with the bytes.
#[test]
fn requests_have_the_promised_shape() {
    check(1, 1);
    check(2, 2);
    check(100, 2);
    check(512, 4);
    check(8192, 32);
}

// Scenario: clocks at both ends of what the field can hold.
// Guarantees: times stop there; nothing wraps or panics.
#[test]
fn no_clock_is_too_early_or_too_late() {
    for start in [0, 1, u64::MAX - 1, u64::MAX] {
        let mut generator = Generator::new(50, 4, start);
        for _ in 0..3 {
            let message = decode(&generator.request());
            assert!(spans(&message).all(|span| span.start_time_unix_nano <= span.end_time_unix_nano));
        }
    }
}

// Scenario: forty requests of 512 spans.
// Guarantees: five spans for each trace, ids never repeat, parents exist, some traces lie in two requests and in
// several resources, one span in eight has an event, and a span weighs what the benchmark says.
#[test]
fn traces_look_like_traces() {
    let mut generator = Generator::new(512, 9, START);
    let mut seen = HashSet::new();
    let mut roots = HashMap::new();
    let mut requests_of: HashMap<Vec<u8>, HashSet<usize>> = HashMap::new();
    let mut resources_of: HashMap<Vec<u8>, HashSet<usize>> = HashMap::new();
    let (mut bytes, mut events) = (0, 0);
    for number in 0..40 {
        let request = generator.request();
        bytes += request.bytes.len();
        let message = decode(&request);
        for span in spans(&message).filter(|span| span.parent_span_id.is_empty()) {
            assert_eq!(roots.insert(span.trace_id.clone(), span.span_id.clone()), None, "one root");
        }
        for (index, resource) in message.resource_spans.iter().enumerate() {
            for span in resource.scope_spans.iter().flat_map(|scope| &scope.spans) {
                assert!(seen.insert(span.span_id.clone()), "an id came twice");
                requests_of.entry(span.trace_id.clone()).or_default().insert(number);
                resources_of.entry(span.trace_id.clone()).or_default().insert(index);
                events += span.events.len();
                if !span.parent_span_id.is_empty() {
                    assert_eq!(roots.get(&span.trace_id), Some(&span.parent_span_id));
                }
            }
        }
    }
    assert_eq!(seen.len() as u64, generator.spans());
    assert_eq!(requests_of.len() as u64, generator.traces());
    let per_span = |value: usize| value as f64 / seen.len() as f64;
    assert!((4.9..5.1).contains(&(seen.len() as f64 / requests_of.len() as f64)));
    assert!((425.0..455.0).contains(&per_span(bytes)), "{} bytes", per_span(bytes));
    assert!((0.11..0.14).contains(&per_span(events)), "{} events", per_span(events));
    let share = |sets: &HashMap<Vec<u8>, HashSet<usize>>| {
        sets.values().filter(|set| set.len() > 1).count() as f64 / sets.len() as f64
    };
    assert!(share(&requests_of) > 0.25, "{} in several requests", share(&requests_of));
    assert!(share(&resources_of) > 0.7, "{} in several resources", share(&resources_of));
}

// Scenario: two generators with the same arguments, one with another seed.
// Guarantees: the same bytes from the same arguments; other ids from another seed.
#[test]
fn seeds_decide_everything() {
    let stream = |seed| {
        let mut generator = Generator::new(50, seed, START);
        (0..5).map(|_| generator.request()).collect::<Vec<_>>()
    };
    let bytes = |requests: &[Request]| requests.iter().map(|one| one.bytes.clone()).collect::<Vec<_>>();
    assert_eq!(bytes(&stream(1)), bytes(&stream(1)));
    let ids: HashSet<_> = stream(1).into_iter().flat_map(|request| request.spans).collect();
    assert!(stream(2).iter().flat_map(|request| &request.spans).all(|key| !ids.contains(key)));
}

//! What a client sends: numbered spans, made when they are sent and never kept.
//!
//! A span's id is its number, so what became of each of a million spans is one byte in a table ([`super::tally`]).

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

use crate::load::text;

/// Spans of a trace where a request has several traces.
const TRACE_SPANS: usize = 4;

/// Resources of a request, each with one scope. Few and small, as they are copied to every backend that gets a part:
/// that is no duplication, and has to be small beside what would be.
const RESOURCES: usize = 2;

/// A load, complete before it begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Script {
    /// Seed of the trace ids.
    pub(crate) seed: u64,
    /// How many requests.
    pub(crate) requests: usize,
    /// Spans in each.
    pub(crate) request_spans: usize,
    /// Whether a request is one trace, which means one backend.
    pub(crate) one_trace: bool,
}

impl Script {
    /// All spans.
    pub(crate) fn spans(&self) -> usize {
        self.requests * self.request_spans
    }

    /// The numbers of a request's spans.
    pub(crate) fn numbers(&self, request: usize) -> std::ops::Range<usize> {
        request * self.request_spans..(request + 1) * self.request_spans
    }

    /// Makes a request.
    pub(crate) fn request(&self, request: usize) -> ExportTraceServiceRequest {
        let mut resources: Vec<ResourceSpans> =
            (0..RESOURCES.min(self.request_spans)).map(resource).collect();
        for number in self.numbers(request) {
            let trace = if self.one_trace { request } else { number / TRACE_SPANS };
            let into = number % resources.len();
            resources[into].scope_spans[0].spans.push(span(number, self.trace_id(trace)));
        }
        ExportTraceServiceRequest { resource_spans: resources }
    }

    /// Random, but the same in every run.
    pub(crate) fn trace_id(&self, trace: usize) -> [u8; 16] {
        let mut rng =
            fastrand::Rng::with_seed(self.seed.wrapping_add((trace as u64).wrapping_mul(0x9E37_79B9)));
        rng.u128(1..).to_be_bytes()
    }
}

/// The number of a span, from its id; `None` for one that is not ours.
pub(crate) fn number(span_id: &[u8]) -> Option<usize> {
    let id = u64::from_be_bytes(span_id.try_into().ok()?);
    usize::try_from(id.checked_sub(1)?).ok()
}

fn resource(number: usize) -> ResourceSpans {
    ResourceSpans {
        resource: Some(Resource {
            attributes: vec![text("service.name", &format!("shop-{number}"))],
            ..Resource::default()
        }),
        scope_spans: vec![ScopeSpans {
            scope: Some(InstrumentationScope {
                name: "library".to_owned(),
                ..InstrumentationScope::default()
            }),
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    }
}

/// About 250 bytes.
fn span(number: usize, trace_id: [u8; 16]) -> Span {
    const START: u64 = 1_760_000_000_000_000_000;
    let start = START + number as u64 * 1000;
    Span {
        trace_id: trace_id.to_vec(),
        span_id: (number as u64 + 1).to_be_bytes().to_vec(), // an id of zeros is none
        name: format!("operation-{}", number % 50),
        kind: 2,
        start_time_unix_nano: start,
        end_time_unix_nano: start + 750,
        attributes: vec![
            text("http.request.method", "GET"),
            text("http.route", "/items/{item}/reviews/{review}"),
            text("url.path", &format!("/items/{number}/reviews/{number}")),
            text("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101"),
        ],
        ..Span::default()
    }
}

#[test]
fn spans_are_numbered_and_traces_are_what_the_script_says() {
    // Scenario: two requests of eight spans, as traces of four spans and as one trace each.
    // Guarantees: every span has the id of its number; the numbers go through without a gap; traces are as said and differ.
    use crate::load::{spans, trace_id};
    for (one_trace, traces) in [(false, 4), (true, 2)] {
        let script = Script { seed: 1, requests: 2, request_spans: 8, one_trace };
        let requests = [script.request(0), script.request(1)];
        let mut numbers: Vec<usize> =
            requests.iter().flat_map(spans).filter_map(|span| number(&span.span_id)).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..script.spans()).collect::<Vec<_>>());
        let ids: std::collections::HashSet<_> = requests.iter().flat_map(spans).map(trace_id).collect();
        assert_eq!(ids.len(), traces);
    }
    assert_eq!([number(&[0; 8]), number(b"short")], [None, None]);
}

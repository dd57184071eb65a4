//! What a client sends: numbered spans, made when they are sent and never kept.
//!
//! A span's id is its number, so what became of each of a million spans is one byte in a table ([`super::tally`]).

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use crate::load::text;

/// Spans of a small trace.
pub(crate) const TRACE_SPANS: usize = 4;

/// Resources of a request, each with one scope. Few and small, as they are copied to every backend that gets a part:
/// that is no duplication, and has to be small beside what would be.
const RESOURCES: usize = 2;

/// A load, complete before it begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Script {
    /// Seed of the trace ids.
    pub(crate) seed: u64,
    /// The number of the first span: scripts that meet at a backend are told apart by it.
    pub(crate) first: usize,
    /// How many requests.
    pub(crate) requests: usize,
    /// Spans in each.
    pub(crate) request_spans: usize,
    /// How they belong together.
    pub(crate) traces: Traces,
}

/// How the spans of a request belong together.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Traces {
    /// Traces of [`TRACE_SPANS`] spans: every backend gets a part of every request.
    Small,
    /// A request is one trace, which means one backend; so many traces take turns.
    OfOne(usize),
}

impl Script {
    /// All spans.
    pub(crate) fn spans(&self) -> usize {
        self.requests * self.request_spans
    }

    /// The numbers of all spans.
    pub(crate) fn all(&self) -> std::ops::Range<usize> {
        self.first..self.first + self.spans()
    }

    /// The numbers of a request's spans.
    pub(crate) fn numbers(&self, request: usize) -> std::ops::Range<usize> {
        let first = self.first + request * self.request_spans;
        first..first + self.request_spans
    }

    /// Makes a request.
    pub(crate) fn request(&self, request: usize) -> ExportTraceServiceRequest {
        let mut resources: Vec<ResourceSpans> =
            (0..RESOURCES.min(self.request_spans)).map(resource).collect();
        for number in self.numbers(request) {
            let trace = match self.traces {
                Traces::Small => number / TRACE_SPANS,
                Traces::OfOne(traces) => request % traces,
            };
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

/// About 270 bytes, with everything that a Collector writes whether it is there or not: so what it recorded is, to the
/// byte, what it was sent.
fn span(number: usize, trace_id: [u8; 16]) -> Span {
    const START: u64 = 1_760_000_000_000_000_000;
    let start = START + number as u64 * 1000;
    Span {
        trace_id: trace_id.to_vec(),
        span_id: (number as u64 + 1).to_be_bytes().to_vec(), // an id of zeros is none
        parent_span_id: trace_id[..8].to_vec(),
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
        status: Some(Status { code: 1, ..Status::default() }),
        ..Span::default()
    }
}

#[test]
fn spans_are_numbered_and_traces_are_what_the_script_says() {
    // Scenario: two requests of eight spans, as traces of four spans, as one trace each and as one trace together.
    // Guarantees: every span has the id of its number; the numbers go through without a gap; traces are as said and differ.
    use crate::load::{spans, trace_id};
    for (traces, number_of) in [(Traces::Small, 4), (Traces::OfOne(9), 2), (Traces::OfOne(1), 1)] {
        let script = Script { seed: 1, first: 0, requests: 2, request_spans: 8, traces };
        let requests = [script.request(0), script.request(1)];
        let mut numbers: Vec<usize> =
            requests.iter().flat_map(spans).filter_map(|span| number(&span.span_id)).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..script.spans()).collect::<Vec<_>>());
        let ids: std::collections::HashSet<_> = requests.iter().flat_map(spans).map(trace_id).collect();
        assert_eq!(ids.len(), number_of);
    }
    assert_eq!([number(&[0; 8]), number(b"short")], [None, None]);
}

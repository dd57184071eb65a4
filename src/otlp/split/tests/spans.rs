//! Traces by other keys than the trace id.

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValueList, any_value::Value},
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message;

use super::keys::{
    attributes, check, compatible, key_values, or_drop, or_fixed, or_resource, resource, routes, scope,
    string,
};
use crate::{
    model::{
        Signal,
        settings::{Key, Validation},
    },
    otlp::{
        Splitter,
        wire::{Tag, put_bytes, put_uint},
    },
};

/// Groups of one scope each: (resource, scope, spans).
type Group<'a> = (&'a [(&'a str, Value)], &'a [(&'a str, Value)], Vec<Span>);

fn group((resource, scope, spans): Group<'_>) -> ResourceSpans {
    let scope_spans = vec![ScopeSpans { scope: self::scope(scope), spans, ..ScopeSpans::default() }];
    ResourceSpans { resource: self::resource(resource), scope_spans, ..ResourceSpans::default() }
}

fn request<const N: usize>(groups: [Group<'_>; N]) -> Vec<u8> {
    ExportTraceServiceRequest { resource_spans: groups.into_iter().map(group).collect() }.encode_to_vec()
}

/// A span of that name; of no trace if `trace` is 0.
fn span(name: &str, trace: u8, attributes: &[(&str, Value)]) -> Span {
    let trace_id = if trace == 0 { Vec::new() } else { vec![trace; 16] };
    Span { name: name.into(), trace_id, attributes: key_values(attributes), ..Span::default() }
}

#[test]
fn service() {
    // Scenario: a service name on resource, scope, first span of a trace, only on a later one, and nowhere; a name that
    // is no text, one that is empty.
    // Guarantees: the segment has what is found first; our own policies take the last three for missing.
    let named = |value: &str| [("service.name", string(value))];
    let payload = request([
        (&named("shop"), &named("?"), vec![span("1", 1, &named("?")), span("2", 2, &[])]),
        (&[], &named("shop"), vec![span("3", 1, &named("?")), span("4", 2, &[])]),
        (
            &[],
            &[],
            vec![
                span("5", 1, &named("shop")),
                span("6", 2, &[]),
                span("7", 1, &named("?")),
                span("8", 2, &named("?")),
            ],
        ),
        (&[("service.name", Value::IntValue(7))], &named("?"), vec![span("9", 1, &named("?"))]),
        (&named(""), &[], vec![span("10", 1, &named("?"))]),
    ]);
    let shop: (&str, &[&str]) = ("service.name=shop|", &["1", "2", "3", "4", "5", "7"]);
    let check =
        |key, expect: &[(&str, &[&str])], dropped| check(Signal::Traces, &payload, &key, expect, dropped);
    check(
        compatible(Key::ServiceSegment),
        &[shop, ("service.name=|", &["6", "8", "10"]), ("service.name=7|", &["9"])],
        0,
    );
    check(or_fixed(Key::ServiceSegment), &[shop, ("fixed", &["6", "8", "9", "10"])], 0);
    check(or_drop(Key::ServiceSegment), &[shop], 4);
    let bare: (&str, &[&str]) = ("shop", &["1", "2"]);
    check(compatible(Key::ServiceName), &[bare, ("", &["3", "4", "5", "6", "7", "8", "9", "10"])], 0);
    check(or_drop(Key::ServiceName), &[bare], 8);
    check(or_fixed(Key::ServiceName), &[bare, ("fixed", &["3", "4", "5", "6", "7", "8", "9", "10"])], 0);
}

#[test]
fn first_span_of_a_trace() {
    // Scenario: spans of two traces mixed, in two scope groups of one resource group, with different attributes.
    // Guarantees: in each scope group the first span of a trace decides for all; the next scope group begins anew.
    let own = |name: &str, trace, value: &str| span(name, trace, &[("a", string(value))]);
    let scopes = [
        vec![own("1", 1, "x"), own("2", 2, "y"), own("3", 1, "z"), span("4", 2, &[]), own("5", 1, "y")],
        vec![own("6", 1, "y"), own("7", 2, "y"), own("8", 1, "x")],
        vec![
            span("9", 0, &[("a", string("x"))]),
            span("10", 0, &[]),
            Span { trace_id: vec![0; 16], ..own("11", 0, "z") },
        ],
    ];
    let scope_spans = scopes.map(|spans| ScopeSpans { spans, ..ScopeSpans::default() }).to_vec();
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    let payload = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
    let expect: [(&str, &[&str]); 2] =
        [("a=x|", &["1", "3", "5", "9", "10", "11"]), ("a=y|", &["2", "4", "6", "7", "8"])];
    check(Signal::Traces, &payload, &compatible(attributes(&["a"])), &expect, 0);
}

#[test]
fn configured_order() {
    // Scenario: names that different levels have, in an order that is not the levels', one of them twice, one nowhere.
    // Guarantees: segments stand in the configured order; what a scope has is gone in the next scope and the next resource.
    let names = ["own", "scoped", "none", "res", "own"];
    let own = |name: &str| {
        span(name, 1, &[("own", string("o")), ("res", string("hidden")), ("scoped", string("own"))])
    };
    let payload = request([
        (&[("res", string("r"))], &[("scoped", string("s")), ("res", string("hidden"))], vec![own("1")]),
        (&[("res", string("r"))], &[], vec![own("2")]),
        (&[], &[("own", Value::BoolValue(true))], vec![own("3")]),
        (
            &[("scoped", string("longer")), ("own", string("r"))],
            &[("none", string("n")), ("res", string("s"))],
            vec![own("4")],
        ),
    ]);
    check(
        Signal::Traces,
        &payload,
        &compatible(attributes(&names)),
        &[
            ("own=o|scoped=s|none=|res=r|own=o|", &["1"]),
            ("own=o|scoped=own|none=|res=r|own=o|", &["2"]),
            ("own=true|scoped=own|none=|res=hidden|own=true|", &["3"]),
            ("own=r|scoped=longer|none=n|res=s|own=r|", &["4"]),
        ],
        0,
    );
}

#[test]
fn pseudo_attributes() {
    // Scenario: kind and name as names, with attributes of the same names at every level; kinds of every number.
    // Guarantees: the field comes before the span's attribute and behind the other levels, and is never missing.
    let kinds = ["Unspecified", "Internal", "Server", "Client", "Producer", "Consumer", "", ""];
    let spans = |hidden: &[(&str, Value)]| -> Vec<Span> {
        let span = |(kind, name): (i32, u8)| Span { kind, ..span(&name.to_string(), name, hidden) };
        [0, 1, 2, 3, 4, 5, 6, -1].into_iter().zip(1..).map(span).collect()
    };
    let hidden = [("span.kind", string("hidden")), ("span.name", string("hidden"))];
    let payload = request([(&[], &[], spans(&hidden)), (&hidden[..1], &hidden[1..], spans(&hidden))]);
    let keys: Vec<_> =
        kinds.iter().zip(1..).map(|(kind, name)| format!("span.kind={kind}|span.name={name}|")).collect();
    let names: Vec<_> = (1..9).map(|name| name.to_string()).collect();
    let one: Vec<_> = names.iter().map(|name| [name.as_str()]).collect();
    let all: Vec<_> = names.iter().map(String::as_str).collect();
    let mut expect: Vec<(&str, &[&str])> =
        keys.iter().map(String::as_str).zip(one.iter().map(|one| &one[..])).collect();
    expect.push(("span.kind=hidden|span.name=hidden|", &all));
    for key in [compatible, or_drop] {
        check(Signal::Traces, &payload, &key(attributes(&["span.kind", "span.name"])), &expect, 0);
    }
}

#[test]
fn repeated_fields_of_a_span() {
    // Scenario: a span with two kinds, the second in ten bytes with bits above the 32nd, and two names.
    // Guarantees: the last of each counts, and of the kind its low 32 bits, as in pdata.
    let mut bytes = Vec::new();
    put_uint(&mut bytes, Tag::varint(6), 3);
    put_bytes(&mut bytes, Tag::len(5), b"old");
    put_uint(&mut bytes, Tag::varint(6), 0xffff_ffff_0000_0002);
    put_bytes(&mut bytes, Tag::len(5), b"new");
    let inside = |number, body: &[u8]| {
        let mut out = Vec::new();
        put_bytes(&mut out, Tag::len(number), body);
        out
    };
    let payload = inside(1, &inside(2, &inside(2, &bytes)));
    let key = compatible(attributes(&["span.kind", "span.name"]));
    check(Signal::Traces, &payload, &key, &[("span.kind=Server|span.name=new|", &["new"])], 0);
}

#[test]
fn attributes_that_are_missing() {
    // Scenario: traces of which the first span has none of the names though a later one does, an empty value, a map.
    // Guarantees: the Collector's key has empty segments; our own policies catch the first of them alone.
    let map = Value::KvlistValue(KeyValueList {
        values: key_values(&[("y", Value::IntValue(1)), ("x", string("|"))]),
    });
    let payload = request([
        (
            &[],
            &[],
            vec![
                span("1", 1, &[]),
                span("2", 2, &[("a", string(""))]),
                span("3", 3, &[("b", map)]),
                span("4", 1, &[("a", string("x"))]),
            ],
        ),
        (&[], &[("b", string(""))], vec![span("5", 1, &[])]),
    ]);
    let key = || attributes(&["a", "b"]);
    let map: (&str, &[&str]) = (r#"a=|b={\"x\":\"|\",\"y\":1}|"#, &["3"]);
    let check =
        |key, expect: &[(&str, &[&str])], dropped| check(Signal::Traces, &payload, &key, expect, dropped);
    check(compatible(key()), &[("a=|b=|", &["1", "2", "4", "5"]), map], 0);
    check(or_drop(key()), &[("a=|b=|", &["2", "5"]), map], 2);
    check(or_fixed(key()), &[("fixed", &["1", "4"]), ("a=|b=|", &["2", "5"]), map], 0);
}

#[test]
fn spans_without_trace() {
    // Scenario: spans without trace id and with one of zeros, by trace id.
    // Guarantees: they share the key of sixteen zero bytes; policies catch both.
    let zeros = Span { trace_id: vec![0; 16], ..span("2", 0, &[]) };
    let payload = request([
        (&[("resource_key", string("foo"))], &[], vec![span("1", 0, &[]), zeros, span("3", 0x41, &[])]),
        (&[("resource_key", string("bar"))], &[], vec![span("4", 0, &[])]),
    ]);
    let zeros = r"\x00".repeat(16);
    let third: (&str, &[&str]) = ("AAAAAAAAAAAAAAAA", &["3"]);
    let check =
        |key, expect: &[(&str, &[&str])], dropped| check(Signal::Traces, &payload, &key, expect, dropped);
    check(compatible(Key::TraceId), &[(&zeros, &["1", "2", "4"]), third], 0);
    check(or_drop(Key::TraceId), &[third], 3);
    check(or_fixed(Key::TraceId), &[("fixed", &["1", "2", "4"]), third], 0);
    let foo: (&str, &[&str]) = ("resource/99d9e3f8e25dd8f6", &["1", "2"]);
    check(or_resource(Key::TraceId), &[foo, third, ("resource/561be85f9d0f9beb", &["4"])], 0);
}

#[test]
fn resource_as_fallback() {
    // Scenario: two resources without any key, by each key that can be missing.
    // Guarantees: the identity of the resource takes its place.
    let payload = request([
        (&[("resource_key", string("foo"))], &[], vec![span("1", 0, &[])]),
        (&[("resource_key", string("bar"))], &[], vec![span("2", 0, &[]), span("3", 0, &[])]),
    ]);
    let expect: [(&str, &[&str]); 2] =
        [("resource/99d9e3f8e25dd8f6", &["1"]), ("resource/561be85f9d0f9beb", &["2", "3"])];
    for key in [Key::TraceId, Key::ServiceName, Key::ServiceSegment, attributes(&["none"])] {
        check(Signal::Traces, &payload, &or_resource(key), &expect, 0);
    }
}

#[test]
fn everything_dropped() {
    // Scenario: a request of which nothing has a key, under a policy that drops.
    // Guarantees: no part, and a count.
    let payload = request([(&[], &[], vec![span("1", 0, &[]), span("2", 0, &[])])]);
    let routes = routes(Signal::Traces, &payload, &or_drop(Key::TraceId), Validation::Full);
    assert_eq!(routes, (Vec::new(), 2));
}

#[test]
fn keys_of_other_signals() {
    // Scenario: keys that traces do not have.
    // Guarantees: refused, not a panic and not a guess.
    let payload = request([(&[], &[], vec![span("1", 1, &[])])]);
    for key in [Key::TraceIdHex, Key::Resource, Key::Metric, Key::Stream] {
        let mut splitter = Splitter::new(0);
        assert!(
            splitter.plan(Signal::Traces, &payload, &compatible(key), Validation::Full, 1, |_| 0).is_err()
        );
    }
}

#[test]
fn many_traces() {
    // Scenario: requests of 40,000 traces in one scope group and then of two, by one splitter.
    // Guarantees: what the large request needed is not in the way of the small one.
    let spans = |count: u32| {
        let span = |n: u32| Span {
            trace_id: u128::from(n + 1).to_le_bytes().to_vec(),
            ..span("", 1, &[("a", Value::IntValue(n.into()))])
        };
        request([(&[], &[], (0..count).map(span).collect())])
    };
    let mut splitter = Splitter::new(0);
    for count in [40_000, 2, 40_000] {
        let payload = spans(count);
        let mut asked = 0;
        let plan = splitter.plan(
            Signal::Traces,
            &payload,
            &compatible(attributes(&["a"])),
            Validation::Full,
            2,
            |key| {
                asked += 1;
                usize::from(key.ends_with(b"1|"))
            },
        );
        let parts: Vec<_> = plan.unwrap().parts().map(|(_, items, _)| items).collect();
        let ones = (0..count).filter(|n| n % 10 == 1).count();
        assert_eq!(parts, [count as usize - ones, ones]);
        assert_eq!(asked, count);
    }
}

//! Segments level by level.

use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use prost::Message;

use super::build::{attributes, field, int, messages, resource, string};
use crate::otlp::{
    key::{Levels, Value},
    wire::Messages,
};

fn names(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|name| Arc::from(*name)).collect()
}

fn levels() -> Levels {
    let mut levels = Levels::default();
    levels.begin(0);
    levels
}

fn scope(entries: &[(&str, &str)]) -> Vec<u8> {
    let attributes = attributes(entries.iter().map(|(name, value)| (*name, string(value))));
    InstrumentationScope { attributes, name: "a=b".into(), ..InstrumentationScope::default() }.encode_to_vec()
}

/// The key so far, and whether any name was found.
fn key(levels: &Levels) -> (&str, bool) {
    (str::from_utf8(levels.key()).unwrap(), levels.found())
}

#[test]
fn level_by_level() {
    // Scenario: five names: two on the resource, one on one of two scopes, one on one of two items, one nowhere.
    // Guarantees: segments of the resource first, then of the scope, then of the item, each in configured order; what
    // one scope or item has does not reach the next.
    let names = names(&["item", "r2", "scoped", "r1", "none"]);
    let mut levels = levels();
    let on_resource = resource([("r1", string("1")), ("r2", int(2)), ("x", string("y"))]);
    let on_scope = scope(&[("scoped", "s"), ("r1", "hidden")]);
    assert_eq!(levels.resource(&names, &messages(&[&on_resource])), Ok(false));
    assert_eq!(key(&levels), ("r2=2|r1=1|", true));
    for _ in 0..2 {
        assert_eq!(levels.scope(&names, &messages(&[&on_scope])), Ok(false));
        assert_eq!(key(&levels), ("r2=2|r1=1|scoped=s|", true));
        levels.item(&names, |name| Ok((name == "item").then_some(Value::Bool(true)))).unwrap();
        assert_eq!(key(&levels), ("r2=2|r1=1|scoped=s|item=true|none=|", true));
        levels.item(&names, |_| Ok(None)).unwrap();
        assert_eq!(key(&levels), ("r2=2|r1=1|scoped=s|item=|none=|", true));
        assert_eq!(levels.scope(&names, &Messages::default()), Ok(false));
        levels.item(&names, |_| Ok(None)).unwrap();
        assert_eq!(key(&levels), ("r2=2|r1=1|item=|scoped=|none=|", true));
    }
}

#[test]
fn complete_keys() {
    // Scenario: names that resource, or resource and scope together, have; a name listed twice; the next resource.
    // Guarantees: the level that completes the key says so, and nothing is left of the group before.
    let names = names(&["a", "b", "a"]);
    let mut levels = levels();
    let both = resource([("b", int(2)), ("a", int(1))]);
    let one = resource([("a", int(3))]);
    let other = scope(&[("b", "s")]);
    assert_eq!(levels.resource(&names, &messages(&[&both])), Ok(true));
    assert_eq!(key(&levels), ("a=1|b=2|a=1|", true));
    assert_eq!(levels.resource(&names, &messages(&[&one])), Ok(false));
    assert_eq!(key(&levels), ("a=3|a=3|", true));
    assert_eq!(levels.scope(&names, &messages(&[&other])), Ok(true));
    assert_eq!(key(&levels), ("a=3|a=3|b=s|", true));
    assert_eq!(levels.resource(&names, &Messages::default()), Ok(false));
    assert_eq!(key(&levels), ("", false));
    assert_eq!(levels.scope(&names, &messages(&[&other])), Ok(false));
    assert_eq!(key(&levels), ("b=s|", true));
}

#[test]
fn nothing_found() {
    // Scenario: items of which the first has one of the names, the second none, and the third is malformed.
    // Guarantees: `found` tells them apart, though keys of empty and missing attributes are alike; errors come through.
    let names = names(&["a", "b"]);
    let mut levels = levels();
    assert_eq!(levels.resource(&names, &Messages::default()), Ok(false));
    assert_eq!(levels.scope(&names, &Messages::default()), Ok(false));
    levels.item(&names, |name| Ok((name == "b").then_some(Value::Empty))).unwrap();
    assert_eq!(key(&levels), ("a=|b=|", true));
    levels.item(&names, |_| Ok(None)).unwrap();
    assert_eq!(key(&levels), ("a=|b=|", false));
    let bad = field(1, "?");
    assert!(levels.resource(&names, &messages(&[&bad])).is_err());
    assert_eq!(levels.resource(&names, &Messages::default()), Ok(false));
    assert!(levels.scope(&names, &messages(&[b"\x1a\x01?"])).is_err());
}

#[test]
fn keys_have_a_limit() {
    // Scenario: a resource with an attribute of 100 kB, and items below it that are not alike.
    // Guarantees: as many keys as 1 MiB and 256 times the request allow, then an error; a new request begins anew.
    let names = names(&["long", "own"]);
    let long = resource([("long", string(&"x".repeat(100_000)))]);
    let mut levels = Levels::default();
    for (request, expect) in [(0, 10), (10_000, 36), (0, 10)] {
        levels.begin(request);
        levels.resource(&names, &messages(&[&long])).unwrap();
        levels.scope(&names, &Messages::default()).unwrap();
        let mut keys = 2;
        let end = loop {
            match levels.item(&names, |_| Ok(Some(Value::Int(keys)))) {
                Ok(()) => keys += 1,
                Err(end) => break end.what,
            }
        };
        assert_eq!((keys, end), (expect, "routing attributes are too long for so many items"));
    }
}

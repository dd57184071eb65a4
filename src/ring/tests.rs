//! Tests of the ring: what upstream's own tests fix, the golden file, and properties.

mod digest;
mod golden;
mod properties;
mod skipping;
mod upstream;

use super::scheme::{G1, G2, G3, Scheme};
use super::{ENDPOINTS_MAX, Ring};
use crate::model::settings::RingGeneration;

fn ring(scheme: &Scheme, endpoints: &[&str]) -> Ring {
    Ring::build(scheme, endpoints)
}

/// `prefix` followed by 0, 1, … up to `count`.
fn numbered(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{prefix}{i}")).collect()
}

fn texts(endpoints: &[String]) -> Vec<&str> {
    endpoints.iter().map(String::as_str).collect()
}

/// The text of the endpoint that owns a key; empty on an empty ring, as upstream answers.
fn owner<'a>(ring: &Ring, endpoints: &[&'a str], key: &[u8]) -> &'a str {
    ring.slot_of(key).map_or("", |slot| endpoints[slot])
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("two hexadecimal digits");
    (0..hex.len()).step_by(2).map(digit).collect()
}

// Scenario: rings of the three generations by their public names.
// Guarantees: each name builds the ring of its own rules.
#[test]
fn names_select_their_scheme() {
    for (generation, scheme) in [(RingGeneration::G1, G1), (RingGeneration::G2, G2), (RingGeneration::G3, G3)]
    {
        let endpoints = ["backend-1:4317", "backend-2:4317", "backend-3:4317"];
        let named = Ring::new(generation, &endpoints);
        assert_eq!(named.digest(), ring(&scheme, &endpoints).digest(), "{generation:?}");
    }
}

// Scenario: no endpoint at all.
// Guarantees: every question has an answer and none is an owner.
#[test]
fn empty_list_owns_nothing() {
    for scheme in [G1, G2, G3] {
        let ring = ring(&scheme, &[]);
        assert_eq!(ring.slot_of(b"key"), None);
        assert_eq!(ring.position_of(b"key"), None);
        assert_eq!(ring.points().next(), None);
        assert_eq!(ring.share(0), 0.0);
        assert_eq!(ring.digest(), 0);
    }
}

// Scenario: one endpoint more than slots can name.
// Guarantees: the last slot within the limit owns keys, the one past it none; nothing panics.
#[test]
fn endpoints_past_the_limit_own_nothing() {
    let endpoints = numbered("e", ENDPOINTS_MAX + 1);
    let sparse = Scheme { points: 1, positions: 1 << 18, ..G3 };
    let ring = ring(&sparse, &texts(&endpoints));
    assert!(ring.share(ENDPOINTS_MAX - 1) > 0.0);
    assert_eq!(ring.share(ENDPOINTS_MAX), 0.0);
}

// Scenario: a text listed twice, between and before others.
// Guarantees: all its points belong to its first slot; the other slot has no share; the whole is still 1.
#[test]
fn duplicates_belong_to_the_first_slot() {
    let endpoints = ["b:1", "a:1", "b:1", "c:1"];
    for scheme in [G1, G2, G3] {
        let ring = ring(&scheme, &endpoints);
        assert!(ring.points().all(|(_, slot)| slot != 2));
        assert_eq!(ring.share(2), 0.0);
        let whole: f64 = (0..endpoints.len()).map(|slot| ring.share(slot)).sum();
        assert!((whole - 1.0).abs() < 1e-9, "{whole}");
    }
}

// Scenario: two names of equal length whose points mostly have equal hashes.
// Guarantees: the smaller name wins the ties, and the other's share shows it: below half the mean.
#[test]
fn share_shows_colliding_names() {
    let ring = ring(&G3, &["gateway-jl48p.otel:4317", "gateway-qc942.otel:4317"]);
    assert!((0.16..0.18).contains(&ring.share(1)), "{}", ring.share(1));
    assert!((ring.share(0) + ring.share(1) - 1.0).abs() < 1e-9);
}

// Scenario: a ring in a log line.
// Guarantees: sizes and digest instead of 131,071 entries.
#[test]
fn debug_is_a_summary() {
    let text = format!("{:?}", ring(&G3, &["endpoint-1", "endpoint-2"]));
    assert_eq!(text, "Ring { slots: 2, points: 400, positions: 131071, digest: d20dd035 }");
}

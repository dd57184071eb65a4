//! The golden file: owners, checksums and regression keys from the Collector's ring code.
//!
//! `tests/golden/ring/README.md` says where the values come from. The file names the generations `v0.130`, `v0.131` and
//! `v0.157`: G1, G2 and G3.

use serde_json::Value;

use super::{bytes, owner, ring, texts};
use crate::ring::Ring;
use crate::ring::scheme::{G1, G2, G3, Scheme};

const FILE: &str = include_str!("../../../tests/golden/ring/ring.json");
const GENERATIONS: [(&str, &Scheme); 3] = [("v0.130", &G1), ("v0.131", &G2), ("v0.157", &G3)];

fn file() -> Value {
    serde_json::from_str(FILE).expect("the golden file is JSON")
}

#[track_caller]
fn list(value: &Value) -> &[Value] {
    let list = value.as_array().expect("a list");
    assert!(!list.is_empty(), "an empty list proves nothing");
    list
}

#[track_caller]
fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

#[track_caller]
fn number(value: &Value) -> usize {
    value.as_u64().and_then(|number| usize::try_from(number).ok()).expect("a number")
}

fn endpoints_of(case: &Value) -> Vec<&str> {
    list(&case["endpoints"]).iter().map(text).collect()
}

#[track_caller]
fn check_ring(ring: &Ring, points: &Value, crc: &Value, name: &str) {
    let found = (ring.points().count(), format!("{:08x}", ring.digest()));
    assert_eq!(found, (number(points), text(crc).to_owned()), "{name}");
}

// Scenario: twelve endpoint lists of 1 to 300 entries: addresses, names, IPv6, with and without ports, a duplicate.
// Guarantees: for each generation the points, the digest, and the owners of 40 keys, 50 trace ids and their log texts.
#[test]
fn cases() {
    let file = file();
    let trace_ids: Vec<_> = list(&file["trace_ids"]).iter().map(text).collect();
    for case in list(&file["cases"]) {
        let endpoints = endpoints_of(case);
        for (generation, scheme) in GENERATIONS {
            let ring = ring(scheme, &endpoints);
            let name = format!("{generation}, {} endpoints from {}", endpoints.len(), endpoints[0]);
            check_ring(&ring, &case["points_kept"][generation], &case["ring_crc"][generation], &name);
            for key in list(&case["keys"]) {
                let hex = text(&key["key_hex"]);
                assert_eq!(owner(&ring, &endpoints, &bytes(hex)), text(&key[generation]), "{name}, {hex}");
            }
            let raw = trace_ids.iter().map(|hex| bytes(hex));
            let log = trace_ids.iter().map(|hex| hex.as_bytes().to_vec());
            check_slots(&ring, raw, &case["trace_id_owners"][generation], &name);
            check_slots(&ring, log, &case["log_text_owners"][generation], &name);
        }
    }
}

#[track_caller]
fn check_slots(ring: &Ring, keys: impl Iterator<Item = Vec<u8>>, expect: &Value, name: &str) {
    let expect: Vec<_> = list(expect).iter().map(|slot| Some(number(slot))).collect();
    let found: Vec<_> = keys.map(|key| ring.slot_of(&key)).collect();
    assert_eq!(found, expect, "{name}");
}

// Scenario: keys whose owner shows in which order points that want one position were placed.
// Guarantees: the true owner, which differs from the owner under each wrong order named in the file.
#[test]
fn tie_regressions() {
    for case in list(&file()["tie_regressions"]) {
        let endpoints = endpoints_of(case);
        let ring = ring(&G3, &endpoints);
        for key in list(&case["keys"]) {
            let bytes = bytes(text(&key["key_hex"]));
            assert_eq!(ring.position_of(&bytes).map(u64::from), key["position"].as_u64(), "{key}");
            assert_eq!(owner(&ring, &endpoints, &bytes), text(&key["owner"]), "{key}");
        }
    }
}

// Scenario: keys of a crowded ring whose owner shows how many steps a point may make.
// Guarantees: the ninth step places a point, the tenth does not; a limit that is one too large would be seen.
#[test]
fn probe_regressions() {
    let file = file();
    let case = &file["probe_regressions"];
    let endpoints = family(text(&case["family"]), number(&case["n"]));
    let endpoints = texts(&endpoints);
    let exact = ring(&G3, &endpoints);
    let one_more = ring(&Scheme { steps_max: G3.steps_max + 1, ..G3 }, &endpoints);
    for key in list(&case["keys"]) {
        let bytes = bytes(text(&key["key_hex"]));
        assert_eq!(owner(&exact, &endpoints, &bytes), text(&key["owner"]), "{key}");
        assert_eq!(owner(&one_more, &endpoints, &bytes), text(&key["wrong_10"]), "{key}");
    }
}

// Scenario: rings of 0 to 200 items, each asked before, on and after its items and at both ends.
// Guarantees: table and `hashring` search both return the item the file names.
#[test]
fn lookups() {
    for case in list(&file()["lookup"]) {
        let positions: Vec<_> = case["positions"].as_array().expect("a list").iter().map(number).collect();
        let mut marks = vec![None; 131_071];
        (0..).zip(&positions).for_each(|(slot, &position)| marks[position] = Some(slot));
        let ring = Ring::from_marks(&marks, &vec!["endpoint"; positions.len()]);
        for query in list(&case["queries"]) {
            let position = u32::try_from(number(&query[0])).expect("a position");
            let expect = query[1].as_u64().map(|slot| number(&slot.into()));
            assert_eq!(ring.slot_at(position), expect, "{query} of {positions:?}");
            let searched = ring.points.get(&position).map(|point| usize::from(point.slot));
            assert_eq!(searched, expect, "{query} of {positions:?}");
        }
    }
}

// Scenario: the ring of one endpoint.
// Guarantees: every position, for each generation.
#[test]
fn single() {
    let file = file();
    let single = &file["single"];
    for (generation, scheme) in GENERATIONS {
        let expect: Vec<_> = list(&single["positions"][generation]).iter().map(number).collect();
        let ring = ring(scheme, &[text(&single["endpoint"])]);
        assert!(ring.points().map(|(position, _)| position as usize).eq(expect), "{generation}");
    }
}

// Scenario: families of endpoint names, up to 600 of them, sorted as a resolver sorts.
// Guarantees: points kept and digest, for each generation.
#[test]
fn checksums() {
    for case in list(&file()["checksums"]) {
        let mut endpoints = family(text(&case["family"]), number(&case["n"]));
        endpoints.sort_unstable();
        for (generation, scheme) in GENERATIONS {
            let [points, crc] = list(&case[generation]) else { panic!("points and checksum: {case}") };
            check_ring(&ring(scheme, &texts(&endpoints)), points, crc, &format!("{generation} {case}"));
        }
    }
}

/// The first `count` endpoints of a family as the file spells it.
#[track_caller]
fn family(spelling: &str, count: usize) -> Vec<String> {
    let endpoint = |i: usize| match spelling {
        "endpoint-{i}" => format!("endpoint-{i}"),
        "10.9.{i div 250}.{i mod 250}:4317" => format!("10.9.{}.{}:4317", i / 250, i % 250),
        "10.9.{i div 250}.{i mod 250}" => format!("10.9.{}.{}", i / 250, i % 250),
        "[fd00::{i as lower-case hex}]:4317" => format!("[fd00::{i:x}]:4317"),
        _ => panic!("unknown family {spelling}"),
    };
    (0..count).map(endpoint).collect()
}

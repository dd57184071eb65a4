//! Values fixed by the tests of the Collector's exporter, and values computed with its code.
//!
//! Source: opentelemetry-collector-contrib `exporter/loadbalancingexporter/consistent_hashing_test.go`: v0.161.0 (G3),
//! v0.152.0 (G2), v0.129.0 (G1). Digests and the tables of owners were computed with the ring code of those versions.

use super::{bytes, numbered, owner, ring, texts};
use crate::ring::Ring;
use crate::ring::scheme::{G1, G2, G3, Scheme};

const S3: [&str; 3] = ["backend-1:4317", "backend-2:4317", "backend-3:4317"];

/// A small ring with 5 points for each endpoint: positions and slots in order.
#[track_caller]
fn check_points(scheme: Scheme, endpoints: &[&str], expect: &[(u32, usize)]) {
    let ring = ring(&Scheme { points: 5, ..scheme }, endpoints);
    assert_eq!(ring.points().collect::<Vec<_>>(), expect);
}

/// A full ring: number of points, digest, and some points by their index.
#[track_caller]
fn check_full(scheme: &Scheme, endpoints: &[&str], points: usize, digest: u32, some: &[(usize, u32, &str)]) {
    let ring = ring(scheme, endpoints);
    let all: Vec<_> = ring.points().collect();
    assert_eq!((all.len(), format!("{:08x}", ring.digest())), (points, format!("{digest:08x}")));
    for &(index, position, endpoint) in some {
        assert_eq!((all[index].0, endpoints[all[index].1]), (position, endpoint), "point {index}");
    }
}

#[track_caller]
fn check_owner(scheme: &Scheme, endpoints: &[&str], key: &[u8], position: u32, expect: &str) {
    let ring = ring(scheme, endpoints);
    assert_eq!((ring.position_of(key), owner(&ring, endpoints, key)), (Some(position), expect));
}

// Scenario: rings of 5 points an endpoint, with one endpoint, the same twice, and two.
// Guarantees: the positions and owners of G3 that upstream's tests fix.
#[test]
fn g3_small_rings() {
    let once = [(0x4be4, 0), (0x666a, 0), (0xad6f, 0), (0x1a4c1, 0), (0x1bae2, 0)];
    check_points(G3, &["endpoint-1"], &once);

    let twice: Vec<_> =
        once.iter().flat_map(|&(position, slot)| [(position, slot), (position + 1, slot)]).collect();
    check_points(G3, &["endpoint-1", "endpoint-1"], &twice);

    let (a, b) = (0, 1);
    check_points(
        G3,
        &["endpoint-A", "endpoint-B"],
        &[
            (0x61a4, b),
            (0xca91, a),
            (0x10b72, a),
            (0x11372, b),
            (0x116b1, b),
            (0x11801, a),
            (0x18a36, b),
            (0x1af01, b),
            (0x1af16, a),
            (0x1e723, a),
        ],
    );
}

// Scenario: the same for the two older generations.
// Guarantees: the positions and owners of G2 and G1 that upstream's tests fixed in their time.
#[test]
fn g2_and_g1_small_rings() {
    check_points(G2, &["endpoint-1"], &[(0x21ca, 0), (0x29d3, 0), (0x3984, 0), (0x5eaf, 0), (0x8bc1, 0)]);
    let (a, b) = (0, 1);
    check_points(
        G2,
        &["endpoint-A", "endpoint-B"],
        &[
            (0xdde, b),
            (0x162e, a),
            (0x21f5, b),
            (0x34e5, a),
            (0x61fb, b),
            (0x6910, b),
            (0x76a0, a),
            (0x7e2b, a),
            (0x7f7c, a),
            (0x85ac, b),
        ],
    );

    let one = [(1401, 0), (4175, 0), (14133, 0), (17836, 0), (21667, 0)];
    check_points(G1, &["endpoint-1"], &one);
    check_points(G1, &["endpoint-1", "endpoint-1"], &one);
    let mut two = [&one[..], &[(10240, 1), (15002, 1), (21263, 1), (26806, 1), (27020, 1)]].concat();
    two.sort_unstable();
    check_points(G1, &["endpoint-1", "endpoint-2"], &two);
}

// Scenario: the full rings of two and of three endpoints.
// Guarantees: number of points, first and last points and the digest of the whole, for each generation.
#[test]
fn full_rings() {
    let (one, two) = ("endpoint-1", "endpoint-2");
    let s2 = [one, two];
    check_full(
        &G3,
        &s2,
        400,
        0xd20d_d035,
        &[(0, 78, two), (1, 274, two), (2, 445, one), (3, 616, two), (399, 130_703, one)],
    );
    check_full(&G2, &s2, 200, 0x0a7a_0466, &[(0, 673, one), (1, 695, two), (199, 35_777, one)]);
    check_full(&G1, &s2, 200, 0x3012_3853, &[(0, 33, two), (1, 56, one), (199, 35_601, two)]);

    // 3b18074a or 26419f80 for G3 would be ties by endpoint text or by point number.
    check_full(&G3, &S3, 600, 0xef77_2c5a, &[(0, 23, S3[0]), (599, 130_166, S3[2])]);
    check_full(&G2, &S3, 300, 0x7018_c6d5, &[]);
    check_full(&G1, &S3, 297, 0xe1c8_433d, &[]);
}

// Scenario: G3 rings of many endpoints, some of them too full for every point.
// Guarantees: the number of points that find a position, and the digest.
#[test]
fn large_g3_rings() {
    for (count, points, digest) in [
        (10, 2_000, 0xced5_29f0),
        (100, 20_000, 0x5ebc_015b),
        (300, 60_000, 0x8ecd_e9a7),
        (500, 99_939, 0x3bf0_7193),
        (600, 118_462, 0xa6c3_dea4),
    ] {
        check_full(&G3, &texts(&numbered("endpoint-", count)), points, digest, &[]);
    }
    for (count, points, digest) in [(100, 20_000, 0x1b0f_338b), (300, 59_997, 0xdcaa_509c)] {
        let endpoints: Vec<_> = (0..count).map(|i| format!("10.9.{}.{}:4317", i / 250, i % 250)).collect();
        check_full(&G3, &texts(&endpoints), points, digest, &[]);
    }
}

// Scenario: 300 endpoints in order and reversed.
// Guarantees: all 200 points of each endpoint are placed, and the order does not matter.
#[test]
fn g3_places_all_points_of_300_endpoints_in_any_order() {
    let endpoints = numbered("endpoint-", 300);
    let forward = ring(&G3, &texts(&endpoints));
    let mut points_of = vec![0; endpoints.len()];
    forward.points().for_each(|(_, slot)| points_of[slot] += 1);
    assert_eq!(points_of, vec![200; 300]);

    let reversed: Vec<_> = endpoints.iter().rev().map(String::as_str).collect();
    let backward = ring(&G3, &reversed);
    assert!(forward.points().eq(backward.points().map(|(position, slot)| (position, 299 - slot))));
}

// Scenario: more points than positions and no step left to make.
// Guarantees: the first point stays, the others are dropped.
#[test]
fn a_point_without_a_free_position_is_dropped() {
    let crowded = Scheme { points: 2, positions: 1, steps_max: 0, ..G3 };
    let ring = ring(&crowded, &["endpoint-1", "endpoint-2", "endpoint-3"]);
    assert_eq!(ring.points().map(|(position, _)| position).collect::<Vec<_>>(), [0]);
}

// Scenario: lookups before, on, between and after the points of a ring.
// Guarantees: the first point at or after the position owns it, and the ring is closed.
#[test]
fn lookup_takes_the_next_point_and_wraps() {
    let positions = [14, 25, 33, 47, 56, 121, 134, 158, 240, 270, 350];
    let mut marks = vec![None; 360];
    (0..).zip(positions).for_each(|(slot, position)| marks[position] = Some(slot));
    let ring = Ring::from_marks(&marks, &texts(&numbered("endpoint-", positions.len())));
    for (position, expect) in [(85, 121), (14, 14), (351, 14), (270, 270), (271, 350)] {
        assert_eq!(ring.slot_at(position).map(|slot| positions[slot]), Some(expect), "{position}");
    }
}

// Scenario: keys of two and four bytes and words, on the full ring of two endpoints.
// Guarantees: the owners that upstream's tests fix, for each generation.
#[test]
fn keys_on_two_endpoints() {
    let s2 = ["endpoint-1", "endpoint-2"];
    let keys: [&[u8]; 4] = [&[1, 2, 0, 0], &[0x80, 0x80, 0, 0], b"ad-service-7", b"get-recommendations-1"];
    for (scheme, slots) in [(&G3, [1, 0, 1, 1]), (&G2, [1, 0, 1, 0]), (&G1, [0, 1, 0, 1])] {
        let ring = ring(scheme, &s2);
        assert_eq!(keys.map(|key| ring.slot_of(key)), slots.map(Some), "{scheme:?}");
    }
}

// Scenario: keys of every kind on three endpoints: trace ids raw and as hexadecimal text, attribute texts, identities,
// the empty key, one past the last point of G3 and one that hits a point exactly.
// Guarantees: position and owner of each, for each generation.
#[test]
fn keys_on_three_endpoints() {
    // Key, position and backend under G3, position under G2 and G1, backend under G2, backend under G1.
    let raw = |hex| (bytes(hex), hex);
    let text = |text: &'static str| (text.as_bytes().to_vec(), text);
    for ((key, name), position, g3, older_position, g2, g1) in [
        (raw("000102030405060708090a0b0c0d0e0f"), 84_463, 1, 20_904, 1, 1),
        (raw("4bf92f3577b34da6a3ce929d0e0e4736"), 99_306, 2, 4_869, 2, 1),
        (raw("0af7651916cd43dd8448eb211c80319c"), 58_042, 1, 25_813, 3, 1),
        (raw("5b8efff798038103d269b633813fc60c"), 109_249, 3, 11_896, 1, 3),
        (raw("ffffffffffffffffffffffffffffffff"), 124_403, 3, 14_266, 3, 1),
        (text("4bf92f3577b34da6a3ce929d0e0e4736"), 36_868, 3, 3_732, 2, 2),
        (text("5b8efff798038103d269b633813fc60c"), 18_226, 1, 31_713, 3, 3),
        (text("service.name=checkout|"), 80_009, 2, 31_453, 1, 2),
        (text("checkout"), 34_026, 3, 6_414, 2, 2),
        (text(""), 0, 1, 0, 2, 2),
        (text("service.name=|"), 102_463, 1, 2_465, 1, 1),
        (text("resource/99d9e3f8e25dd8f6"), 51_590, 3, 19_191, 3, 1),
        (text("stream/c7006b564eec22c9"), 78_255, 2, 26_343, 3, 2),
        (text("wrap-44"), 130_328, 1, 33_249, 1, 3),
        (text("exact-344"), 29_898, 2, 24_866, 1, 1),
    ] {
        for (scheme, position, backend) in
            [(&G3, position, g3), (&G2, older_position, g2), (&G1, older_position, g1)]
        {
            let ring = ring(scheme, &S3);
            let found = (ring.position_of(&key), ring.slot_of(&key));
            assert_eq!(found, (Some(position), Some(backend - 1)), "{name} with {scheme:?}");
        }
    }
    assert!(ring(&G3, &S3).points().any(|(position, slot)| (position, slot) == (29_898, 1)));
}

// Scenario: the same trace ids with endpoints that carry no port.
// Guarantees: the text as it is counts, not the address it stands for.
#[test]
fn the_port_is_part_of_the_text() {
    let bare = ["backend-1", "backend-2", "backend-3"];
    for hex in ["4bf92f3577b34da6a3ce929d0e0e4736", "0af7651916cd43dd8448eb211c80319c"] {
        assert_eq!(owner(&ring(&G3, &bare), &bare, &bytes(hex)), "backend-3");
    }
}

// Scenario: points of two endpoints that want the same position, where each wrong order gives another owner.
// Guarantees: the smaller hash keeps the position, then the bytewise smaller text; point numbers play no part.
#[test]
fn ties_are_settled_by_hash_then_text() {
    check_owner(&G3, &["10.1.0.7:4317", "10.1.1.7:4317"], b"key-538", 90_203, "10.1.1.7:4317");
    check_owner(&G3, &["endpoint-0", "endpoint-1"], b"key-199", 30_187, "endpoint-1");
    let ten = numbered("endpoint-", 10);
    check_owner(&G3, &texts(&ten), b"key-687", 24_288, "endpoint-1");
    check_owner(&G3, &texts(&ten), b"key-378", 76_257, "endpoint-9");
    let equal_hashes = ["gateway-qc942.otel:4317", "gateway-jl48p.otel:4317"];
    check_owner(&G3, &equal_hashes, b"tie-1", 46_176, "gateway-jl48p.otel:4317");
}

// Scenario: 200,000 random 16-byte keys on 10, 100 and 300 endpoints.
// Guarantees: upstream's bounds for the spread of the load: coefficient of variation and busiest over idlest.
#[test]
fn load_is_spread() {
    for (count, variation_max, ratio_max) in [(10, 0.10, 1.35), (100, 0.10, 1.70), (300, 0.12, 1.95)] {
        let ring = ring(&G3, &texts(&numbered("endpoint-", count)));
        let mut random = fastrand::Rng::with_seed(7);
        let mut load = vec![0.0_f64; count];
        for _ in 0..200_000 {
            let key = random.u128(..).to_le_bytes();
            load[ring.slot_of(&key).expect("not empty")] += 1.0;
        }
        let mean = load.iter().sum::<f64>() / count as f64;
        let variance = load.iter().map(|items| (items - mean).powi(2)).sum::<f64>() / count as f64;
        let most = load.iter().copied().fold(0.0, f64::max);
        let least = load.iter().copied().fold(f64::MAX, f64::min);
        let (variation, ratio) = (variance.sqrt() / mean, most / least);
        assert!(variation <= variation_max && ratio <= ratio_max, "{count}: {variation} {ratio}");
    }
}

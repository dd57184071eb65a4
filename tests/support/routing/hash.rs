//! Hashes of attribute maps, and the identities of resources and metric streams.

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    metrics::v1::{Metric, metric::Data},
};

/// `resource/<hex>`.
pub fn resource_identity(attributes: &[KeyValue]) -> String {
    format!("resource/{:x}", fnv1a(&map(attributes)))
}

/// `stream/<hex>` of a data point.
pub fn stream_identity(
    resource: &[KeyValue],
    scope: Option<&InstrumentationScope>,
    metric: &Metric,
    point: &[KeyValue],
) -> String {
    let scope = scope.cloned().unwrap_or_default();
    let (kind, monotonic, temporality) = match &metric.data {
        None => (0, false, 0),
        Some(Data::Gauge(_)) => (1, false, 0),
        Some(Data::Sum(sum)) => (2, sum.is_monotonic, sum.aggregation_temporality),
        Some(Data::Histogram(histogram)) => (3, true, histogram.aggregation_temporality),
        Some(Data::ExponentialHistogram(histogram)) => (4, true, histogram.aggregation_temporality),
        Some(Data::Summary(_)) => (5, false, 0),
    };
    let mut bytes = map(resource).to_vec();
    bytes.extend(scope.name.as_bytes());
    bytes.extend(scope.version.as_bytes());
    bytes.extend(map(&scope.attributes));
    bytes.extend(metric.name.as_bytes());
    bytes.extend(metric.unit.as_bytes());
    bytes.extend([kind, u8::from(monotonic), temporality.to_le_bytes()[0]]);
    bytes.extend(map(point));
    format!("stream/{:x}", fnv1a(&bytes))
}

/// The 16-byte hash of an attribute map.
pub fn map(attributes: &[KeyValue]) -> [u8; 16] {
    if attributes.is_empty() {
        return [0; 16];
    }
    let mut bytes = Vec::new();
    put_map(&mut bytes, attributes);
    let low = xxh64(&bytes);
    bytes.push(0xf3);
    let mut hash = [0; 16];
    hash[..8].copy_from_slice(&low.to_le_bytes());
    hash[8..].copy_from_slice(&xxh64(&bytes).to_le_bytes());
    hash
}

fn put_map(bytes: &mut Vec<u8>, attributes: &[KeyValue]) {
    let mut keys: Vec<&str> = attributes.iter().map(|attribute| attribute.key.as_str()).collect();
    keys.sort_unstable();
    for key in keys {
        bytes.push(0xf4);
        bytes.extend(key.as_bytes());
        // A key that comes twice is written twice, with its first value.
        let first = attributes.iter().find(|attribute| attribute.key == key).expect("its key is listed");
        put_value(bytes, first.value.as_ref());
    }
}

fn put_value(bytes: &mut Vec<u8>, value: Option<&AnyValue>) {
    match value.and_then(|value| value.value.as_ref()) {
        None | Some(Value::StringValueStrindex(_)) => bytes.push(0xf5),
        Some(Value::BytesValue(value)) => {
            bytes.push(0xf6);
            bytes.extend(value);
        }
        Some(Value::StringValue(text)) => {
            bytes.push(0xf7);
            bytes.extend(text.as_bytes());
        }
        Some(Value::BoolValue(true)) => bytes.push(0xf8),
        Some(Value::BoolValue(false)) => bytes.push(0xf9),
        Some(Value::IntValue(value)) => {
            bytes.push(0xfa);
            bytes.extend(value.to_le_bytes());
        }
        Some(Value::DoubleValue(value)) => {
            bytes.push(0xfb);
            bytes.extend(value.to_bits().to_le_bytes());
        }
        Some(Value::KvlistValue(list)) => {
            bytes.push(0xfc);
            put_map(bytes, &list.values);
            bytes.push(0xfd);
        }
        Some(Value::ArrayValue(array)) => {
            bytes.push(0xfe);
            for value in &array.values {
                put_value(bytes, Some(value));
            }
            bytes.push(0xff);
        }
    }
}

/// FNV-1a, 64 bits. Source: draft-eastlake-fnv.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// XXH64 with seed 0. Source: `doc/xxhash_spec.md` of Cyan4973/xxHash.
pub fn xxh64(bytes: &[u8]) -> u64 {
    const P1: u64 = 0x9e37_79b1_85eb_ca87;
    const P2: u64 = 0xc2b2_ae3d_27d4_eb4f;
    const P3: u64 = 0x1656_67b1_9e37_79f9;
    const P4: u64 = 0x85eb_ca77_c2b2_ae63;
    const P5: u64 = 0x27d4_eb2f_1656_67c5;
    let round =
        |lane: u64, word: u64| lane.wrapping_add(word.wrapping_mul(P2)).rotate_left(31).wrapping_mul(P1);
    let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("8 bytes"));

    let (stripes, mut rest) = bytes.split_at(bytes.len() / 32 * 32);
    let mut hash = P5;
    if !stripes.is_empty() {
        let mut lanes = [P1.wrapping_add(P2), P2, 0, 0_u64.wrapping_sub(P1)];
        for stripe in stripes.chunks(32) {
            for (lane, bytes) in lanes.iter_mut().zip(stripe.chunks(8)) {
                *lane = round(*lane, word(bytes));
            }
        }
        let [a, b, c, d] = lanes;
        hash = a
            .rotate_left(1)
            .wrapping_add(b.rotate_left(7))
            .wrapping_add(c.rotate_left(12))
            .wrapping_add(d.rotate_left(18));
        for lane in lanes {
            hash = (hash ^ round(0, lane)).wrapping_mul(P1).wrapping_add(P4);
        }
    }
    hash = hash.wrapping_add(u64::try_from(bytes.len()).expect("a length has 64 bits"));
    while let Some((bytes, behind)) = rest.split_at_checked(8) {
        hash = (hash ^ round(0, word(bytes))).rotate_left(27).wrapping_mul(P1).wrapping_add(P4);
        rest = behind;
    }
    if let Some((bytes, behind)) = rest.split_at_checked(4) {
        let half = u64::from(u32::from_le_bytes(bytes.try_into().expect("4 bytes")));
        hash = (hash ^ half.wrapping_mul(P1)).rotate_left(23).wrapping_mul(P2).wrapping_add(P3);
        rest = behind;
    }
    for byte in rest {
        hash = (hash ^ u64::from(*byte).wrapping_mul(P5)).rotate_left(11).wrapping_mul(P1);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(P2);
    hash = (hash ^ (hash >> 29)).wrapping_mul(P3);
    hash ^ (hash >> 32)
}

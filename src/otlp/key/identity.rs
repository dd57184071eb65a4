//! Identities of resources and metric streams: FNV-1a over hashes and names, as lower-case hex without padding.
//!
//! Source: contrib `internal/exp/metrics/identity` (v0.161.0): `resource.go`, `scope.go`, `metric.go`, `stream.go`.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

/// FNV-1a with 64 bits, of no bytes. Source: <http://www.isthe.com/chongo/tech/comp/fnv/>.
const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

/// Appends `resource/<hex>` for a resource whose attributes have this hash.
pub(in crate::otlp) fn put_resource(out: &mut Vec<u8>, attributes: [u8; 16]) {
    put(out, b"resource/", fnv(OFFSET_BASIS, &attributes));
}

/// A stream's identity while it is put together: resource, scope, metric, data point. `Copy`, so that what streams share
/// is hashed once.
#[derive(Clone, Copy, Debug)]
pub(in crate::otlp) struct StreamId(u64);

impl StreamId {
    /// What all streams of a scope share.
    pub(in crate::otlp) fn of_scope(
        resource_attributes: [u8; 16],
        name: &[u8],
        version: &[u8],
        scope_attributes: [u8; 16],
    ) -> Self {
        let parts: [&[u8]; 4] = [&resource_attributes, name, version, &scope_attributes];
        Self(parts.into_iter().fold(OFFSET_BASIS, fnv))
    }

    /// What all streams of a metric share. `kind`: 1 gauge, 2 sum, 3 histogram, 4 exponential histogram, 5 summary.
    /// `monotonic`: of a sum, true of both kinds of histogram. `temporality`: the enum's low byte, 0 for gauge and summary.
    #[must_use]
    pub(in crate::otlp) fn of_metric(
        self,
        name: &[u8],
        unit: &[u8],
        kind: u8,
        monotonic: bool,
        temporality: u8,
    ) -> Self {
        let kind = [kind, u8::from(monotonic), temporality];
        Self([name, unit, &kind].into_iter().fold(self.0, fnv))
    }

    /// Appends `stream/<hex>` of one data point.
    pub(in crate::otlp) fn put(self, point_attributes: [u8; 16], out: &mut Vec<u8>) {
        put(out, b"stream/", fnv(self.0, &point_attributes));
    }
}

fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

fn put(out: &mut Vec<u8>, kind: &[u8], hash: u64) {
    let digit = |shift: u32| match u8::try_from(hash >> shift & 0xf).unwrap_or_default() {
        low @ 0..=9 => low.wrapping_add(b'0'),
        high => high.wrapping_add(b'a' - 10),
    };
    let digits = (u64::BITS.saturating_sub(hash.leading_zeros())).div_ceil(4).max(1);
    out.extend_from_slice(kind);
    out.extend((0..digits).rev().map(|place| digit(place.saturating_mul(4))));
}

//! Identities of resources and metric streams: FNV-1a over hashes and names, as lower-case hex without padding.
//!
//! Skeleton: signatures.

/// Appends `resource/<hex>` for a resource whose attributes have this hash.
pub(in crate::otlp) fn put_resource(_out: &mut Vec<u8>, _attributes: [u8; 16]) {}

/// A stream's identity while it is put together: resource, scope, metric, data point. `Copy`, so that what streams share
/// is hashed once.
#[derive(Clone, Copy, Debug)]
pub(in crate::otlp) struct StreamId(u64);

impl StreamId {
    /// What all streams of a scope share.
    pub(in crate::otlp) fn of_scope(
        _resource_attributes: [u8; 16],
        _name: &[u8],
        _version: &[u8],
        _scope_attributes: [u8; 16],
    ) -> Self {
        Self(0)
    }

    /// What all streams of a metric share. `kind`: 1 gauge, 2 sum, 3 histogram, 4 exponential histogram, 5 summary.
    /// `monotonic`: of a sum, true of both kinds of histogram. `temporality`: the enum's low byte, 0 for gauge and summary.
    #[must_use]
    pub(in crate::otlp) fn of_metric(
        self,
        _name: &[u8],
        _unit: &[u8],
        _kind: u8,
        _monotonic: bool,
        _temporality: u8,
    ) -> Self {
        self
    }

    /// Appends `stream/<hex>` of one data point.
    pub(in crate::otlp) fn put(self, _point_attributes: [u8; 16], _out: &mut Vec<u8>) {}
}

//! What the level `Full` adds inside data points: exemplars, buckets and quantiles.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use super::attribute;
use crate::otlp::wire::{
    Malformed, Reader, WireType,
    field::{buckets, exemplar, quantile},
};

/// Checks `Exemplar`.
pub(in crate::otlp) fn exemplar(mut reader: Reader<'_>) -> Result<(), Malformed> {
    while let Some(tag) = reader.tag()? {
        match tag {
            exemplar::FILTERED_ATTRIBUTES => attribute(reader.message()?)?,
            exemplar::TIME | exemplar::AS_DOUBLE | exemplar::AS_INT => reader.skip(WireType::Fixed64)?,
            exemplar::SPAN_ID => drop(reader.id::<8>("span id of an exemplar is not 8 bytes")?),
            exemplar::TRACE_ID => drop(reader.id::<16>("trace id of an exemplar is not 16 bytes")?),
            other => reader.skip_unknown(other, &exemplar::KNOWN)?,
        }
    }
    Ok(())
}

/// Checks `ExponentialHistogramDataPoint.Buckets`.
pub(in crate::otlp) fn buckets(mut reader: Reader<'_>) -> Result<(), Malformed> {
    while let Some(tag) = reader.tag()? {
        match tag {
            buckets::BUCKET_COUNTS => varints(reader.message()?)?,
            buckets::OFFSET | buckets::BUCKET_COUNT => reader.skip(WireType::Varint)?,
            other => reader.skip_unknown(other, &buckets::KNOWN)?,
        }
    }
    Ok(())
}

/// Checks `SummaryDataPoint.ValueAtQuantile`.
pub(in crate::otlp) fn quantile(mut reader: Reader<'_>) -> Result<(), Malformed> {
    while let Some(tag) = reader.tag()? {
        match tag {
            quantile::QUANTILE | quantile::VALUE => reader.skip(WireType::Fixed64)?,
            other => reader.skip_unknown(other, &quantile::KNOWN)?,
        }
    }
    Ok(())
}

/// Checks packed varints.
fn varints(mut reader: Reader<'_>) -> Result<(), Malformed> {
    while !reader.rest().is_empty() {
        reader.skip(WireType::Varint)?;
    }
    Ok(())
}

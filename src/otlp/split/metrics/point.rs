//! Walks every field of a data point. At the level `Full` also what is in its messages, which is the affair of [`check`].
//!
//! Repeated numbers may be packed or not, as protobuf has it: a parser takes both.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use crate::otlp::{
    check::{self, metrics},
    wire::{
        Malformed, Reader, WireType,
        field::{exponential_point, histogram_point, number_point, summary_point},
    },
};

/// Checks `NumberDataPoint`.
#[inline]
pub(super) fn number<const FULL: bool>(mut reader: Reader<'_>) -> Result<(), Malformed> {
    while let Some(tag) = reader.tag()? {
        match tag {
            number_point::ATTRIBUTES if FULL => check::attribute(reader.message()?)?,
            number_point::EXEMPLARS if FULL => metrics::exemplar(reader.message()?)?,
            number_point::ATTRIBUTES | number_point::EXEMPLARS => reader.skip_repeated(tag)?,
            number_point::START_TIME
            | number_point::TIME
            | number_point::AS_DOUBLE
            | number_point::AS_INT => reader.skip(WireType::Fixed64)?,
            number_point::FLAGS => reader.skip(WireType::Varint)?,
            other => reader.skip_unknown(other, &number_point::KNOWN)?,
        }
    }
    Ok(())
}

/// Checks `HistogramDataPoint`.
#[inline]
pub(super) fn histogram<const FULL: bool>(mut reader: Reader<'_>) -> Result<(), Malformed> {
    while let Some(tag) = reader.tag()? {
        match tag {
            histogram_point::ATTRIBUTES if FULL => check::attribute(reader.message()?)?,
            histogram_point::EXEMPLARS if FULL => metrics::exemplar(reader.message()?)?,
            histogram_point::ATTRIBUTES | histogram_point::EXEMPLARS => reader.skip_repeated(tag)?,
            histogram_point::BUCKET_COUNTS | histogram_point::EXPLICIT_BOUNDS => packed(&mut reader)?,
            histogram_point::START_TIME
            | histogram_point::TIME
            | histogram_point::COUNT
            | histogram_point::SUM
            | histogram_point::BUCKET_COUNT
            | histogram_point::EXPLICIT_BOUND
            | histogram_point::MIN
            | histogram_point::MAX => reader.skip(WireType::Fixed64)?,
            histogram_point::FLAGS => reader.skip(WireType::Varint)?,
            other => reader.skip_unknown(other, &histogram_point::KNOWN)?,
        }
    }
    Ok(())
}

/// Checks `ExponentialHistogramDataPoint`.
#[inline]
pub(super) fn exponential<const FULL: bool>(mut reader: Reader<'_>) -> Result<(), Malformed> {
    while let Some(tag) = reader.tag()? {
        match tag {
            exponential_point::ATTRIBUTES if FULL => check::attribute(reader.message()?)?,
            exponential_point::EXEMPLARS if FULL => metrics::exemplar(reader.message()?)?,
            exponential_point::POSITIVE | exponential_point::NEGATIVE if FULL => {
                metrics::buckets(reader.message()?)?
            }
            exponential_point::ATTRIBUTES | exponential_point::EXEMPLARS => reader.skip_repeated(tag)?,
            exponential_point::POSITIVE | exponential_point::NEGATIVE => reader.skip(WireType::Len)?,
            exponential_point::START_TIME
            | exponential_point::TIME
            | exponential_point::COUNT
            | exponential_point::SUM
            | exponential_point::ZERO_COUNT
            | exponential_point::MIN
            | exponential_point::MAX
            | exponential_point::ZERO_THRESHOLD => reader.skip(WireType::Fixed64)?,
            exponential_point::SCALE | exponential_point::FLAGS => reader.skip(WireType::Varint)?,
            other => reader.skip_unknown(other, &exponential_point::KNOWN)?,
        }
    }
    Ok(())
}

/// Checks `SummaryDataPoint`.
#[inline]
pub(super) fn summary<const FULL: bool>(mut reader: Reader<'_>) -> Result<(), Malformed> {
    while let Some(tag) = reader.tag()? {
        match tag {
            summary_point::ATTRIBUTES if FULL => check::attribute(reader.message()?)?,
            summary_point::QUANTILES if FULL => metrics::quantile(reader.message()?)?,
            summary_point::ATTRIBUTES | summary_point::QUANTILES => reader.skip_repeated(tag)?,
            summary_point::START_TIME | summary_point::TIME | summary_point::COUNT | summary_point::SUM => {
                reader.skip(WireType::Fixed64)?
            }
            summary_point::FLAGS => reader.skip(WireType::Varint)?,
            other => reader.skip_unknown(other, &summary_point::KNOWN)?,
        }
    }
    Ok(())
}

/// Passes over packed fixed64 or double values.
#[inline]
fn packed(reader: &mut Reader<'_>) -> Result<(), Malformed> {
    let at = reader.offset();
    if reader.bytes()?.len().is_multiple_of(8) {
        Ok(())
    } else {
        Err(Malformed { offset: at, what: "packed numbers are not a multiple of 8 bytes" })
    }
}

//! Reads and checks a metric: what it is called, what kind of data it has, how many points.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use super::point;
use crate::otlp::{
    check,
    wire::{
        Malformed, Reader, Tag,
        field::{data, exponential_point, histogram_point, metric, number_point, summary_point},
    },
};

/// A metric as protobuf reads it: of a field that occurs twice, the last one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Metric<'a> {
    pub(super) name: &'a [u8],
    pub(super) unit: &'a [u8],
    /// `None`: it has no type.
    pub(super) data: Option<Data<'a>>,
    /// It had other data before, which does not count: the Collector replaces members of a oneof
    /// (`pdata/internal/generated_proto_metric.go`, v1.67.0), also by one of the same kind.
    pub(super) has_surplus_data: bool,
}

/// A member of the oneof `data`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Data<'a> {
    pub(super) kind: Kind,
    pub(super) reader: Reader<'a>,
    pub(super) points: usize,
    /// Of a sum; true of both kinds of histogram, as the Collector has it.
    pub(super) is_monotonic: bool,
    /// Low byte of the enum; 0 for gauges and summaries.
    pub(super) temporality: u8,
}

/// The kinds of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Gauge,
    Sum,
    Histogram,
    ExponentialHistogram,
    Summary,
}

// === impl Metric ===

impl<'a> Metric<'a> {
    /// Walks every field of a metric, of its data and of its points; in depth if `FULL`.
    pub(super) fn read<const FULL: bool>(mut reader: Reader<'a>) -> Result<Self, Malformed> {
        let mut read = Self::default();
        while let Some(tag) = reader.tag()? {
            if let Some(kind) = Kind::of(tag) {
                read.has_surplus_data |= read.data.is_some();
                read.data = Some(Data::read::<FULL>(kind, reader.message()?)?);
                continue;
            }
            match tag {
                metric::NAME => read.name = text::<FULL>(&mut reader)?,
                metric::UNIT => read.unit = text::<FULL>(&mut reader)?,
                metric::DESCRIPTION => drop(text::<FULL>(&mut reader)?),
                metric::METADATA if FULL => check::attribute(reader.message()?)?,
                metric::METADATA => reader.skip_repeated(tag)?,
                other if metric::RESERVED.contains(&other.number()) => pass(&mut reader, other)?,
                other => reader.skip_unknown(other, &metric::KNOWN)?,
            }
        }
        Ok(read)
    }

    /// How many data points it has.
    pub(super) fn points(&self) -> usize {
        self.data.map_or(0, |data| data.points)
    }
}

// === impl Data ===

impl<'a> Data<'a> {
    fn read<const FULL: bool>(kind: Kind, reader: Reader<'a>) -> Result<Self, Malformed> {
        let is_histogram = matches!(kind, Kind::Histogram | Kind::ExponentialHistogram);
        let mut read = Self { kind, reader, points: 0, is_monotonic: is_histogram, temporality: 0 };
        match kind {
            Kind::Gauge | Kind::Sum => read.fields(point::number::<FULL>),
            Kind::Histogram => read.fields(point::histogram::<FULL>),
            Kind::ExponentialHistogram => read.fields(point::exponential::<FULL>),
            Kind::Summary => read.fields(point::summary::<FULL>),
        }?;
        Ok(read)
    }

    #[inline]
    fn fields(&mut self, point: impl Fn(Reader<'a>) -> Result<(), Malformed>) -> Result<(), Malformed> {
        let known = match self.kind {
            Kind::Gauge | Kind::Summary => 1..=1,
            Kind::Histogram | Kind::ExponentialHistogram => 1..=2,
            Kind::Sum => 1..=3,
        };
        let mut reader = self.reader;
        while let Some(tag) = reader.tag()? {
            match tag {
                data::POINTS => {
                    point(reader.message()?)?;
                    self.points = self.points.saturating_add(1);
                }
                data::TEMPORALITY if known.contains(&tag.number()) => {
                    [self.temporality, ..] = reader.varint()?.to_le_bytes();
                }
                data::IS_MONOTONIC if known.contains(&tag.number()) => {
                    self.is_monotonic = reader.varint()? != 0;
                }
                other => reader.skip_unknown(other, &known)?,
            }
        }
        Ok(())
    }
}

// === impl Kind ===

impl Kind {
    /// The kind whose data has this tag in a metric.
    #[inline]
    pub(super) const fn of(tag: Tag) -> Option<Self> {
        match tag {
            metric::GAUGE => Some(Self::Gauge),
            metric::SUM => Some(Self::Sum),
            metric::HISTOGRAM => Some(Self::Histogram),
            metric::EXPONENTIAL_HISTOGRAM => Some(Self::ExponentialHistogram),
            metric::SUMMARY => Some(Self::Summary),
            _ => None,
        }
    }

    /// The tag of its data in a metric.
    pub(super) const fn tag(self) -> Tag {
        match self {
            Self::Gauge => metric::GAUGE,
            Self::Sum => metric::SUM,
            Self::Histogram => metric::HISTOGRAM,
            Self::ExponentialHistogram => metric::EXPONENTIAL_HISTOGRAM,
            Self::Summary => metric::SUMMARY,
        }
    }

    /// The tag of a point's attributes.
    pub(super) const fn attributes(self) -> Tag {
        match self {
            Self::Gauge | Self::Sum => number_point::ATTRIBUTES,
            Self::Histogram => histogram_point::ATTRIBUTES,
            Self::ExponentialHistogram => exponential_point::ATTRIBUTES,
            Self::Summary => summary_point::ATTRIBUTES,
        }
    }

    /// The number that stands for it in a stream's identity (`pdata/pmetric/metric_type.go`).
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Gauge => 1,
            Self::Sum => 2,
            Self::Histogram => 3,
            Self::ExponentialHistogram => 4,
            Self::Summary => 5,
        }
    }
}

/// Passes over a value, whatever its tag.
#[inline]
pub(super) fn pass(reader: &mut Reader<'_>, tag: Tag) -> Result<(), Malformed> {
    match tag.wire() {
        Some(wire) => reader.skip(wire),
        // No message has a field 0: what remains to be refused is the wire type.
        None => reader.skip_unknown(tag, &(0..=0)),
    }
}

#[inline]
fn text<'a, const FULL: bool>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let text = reader.bytes()?;
    if FULL {
        check::text(text, reader.offset())?;
    }
    Ok(text)
}

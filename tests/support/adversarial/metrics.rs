//! Metrics of every type, with and without points.

use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
    Metric, NumberDataPoint, Sum, Summary, SummaryDataPoint, exemplar,
    exponential_histogram_data_point::Buckets, metric::Data, number_data_point,
    summary_data_point::ValueAtQuantile,
};

use super::{Generator, values::INTEGERS};

/// Values of the enum, and numbers that it does not have.
const TEMPORALITIES: &[i32] = &[0, 1, 2, 2, 1, 3, 255, 256, 258, -1];

const NO_POINTS: &str = "no-points-";

impl Generator {
    /// Metrics that have this many points together, and some that have none.
    pub(super) fn metrics_with(&mut self, points: usize) -> Vec<Metric> {
        let mut metrics: Vec<Metric> = Vec::new();
        let mut left = points;
        while left > 0 {
            let count = self.random.usize(1..=left.min(5));
            left -= count;
            let metric = match metrics.last() {
                // A name that stands for a metric without points stands for nothing else.
                Some(before) if self.one_in(5) && !before.name.starts_with(NO_POINTS) => {
                    let before = before.clone();
                    self.again(before, count)
                }
                _ => self.metric(count),
            };
            metrics.push(metric);
            if self.one_in(12) {
                metrics.push(self.metric_without_points());
            }
        }
        metrics
    }

    fn metric(&mut self, points: usize) -> Metric {
        let name = match self.random.u8(..8) {
            0 => self.text(),
            _ => format!("metric.{}", self.random.u32(..200)),
        };
        let temporality = *self.one_of(TEMPORALITIES);
        Metric {
            name,
            description: self.text_in(3),
            unit: self.text_in(3),
            metadata: if self.one_in(4) { self.attributes("of.metric") } else { Vec::new() },
            data: Some(match self.random.u8(..6) {
                0 => Data::Gauge(Gauge { data_points: self.many(points, Self::number_point) }),
                1 | 2 => Data::Sum(Sum {
                    data_points: self.many(points, Self::number_point),
                    aggregation_temporality: temporality,
                    is_monotonic: self.random.bool(),
                }),
                3 => Data::Histogram(Histogram {
                    data_points: self.many(points, Self::histogram_point),
                    aggregation_temporality: temporality,
                }),
                4 => Data::ExponentialHistogram(ExponentialHistogram {
                    data_points: self.many(points, Self::exponential_point),
                    aggregation_temporality: temporality,
                }),
                _ => Data::Summary(Summary { data_points: self.many(points, Self::summary_point) }),
            }),
        }
    }

    /// The same metric again with other points; perhaps its description differs, which is no part of its identity.
    fn again(&mut self, mut metric: Metric, points: usize) -> Metric {
        if self.one_in(2) {
            metric.description = self.text();
        }
        match metric.data.as_mut() {
            None => {}
            Some(Data::Gauge(data)) => data.data_points = self.many(points, Self::number_point),
            Some(Data::Sum(data)) => data.data_points = self.many(points, Self::number_point),
            Some(Data::Histogram(data)) => data.data_points = self.many(points, Self::histogram_point),
            Some(Data::ExponentialHistogram(data)) => {
                data.data_points = self.many(points, Self::exponential_point);
            }
            Some(Data::Summary(data)) => data.data_points = self.many(points, Self::summary_point),
        }
        metric
    }

    /// Without points, or without a type; the number that identifies it ends its name.
    fn metric_without_points(&mut self) -> Metric {
        let mut metric = self.metric(0);
        if self.one_in(2) {
            metric.data = None;
        }
        metric.name = format!("{NO_POINTS}{}", self.number());
        metric
    }

    fn many<T>(&mut self, count: usize, one: fn(&mut Self) -> T) -> Vec<T> {
        (0..count).map(|_| one(self)).collect()
    }

    fn number_point(&mut self) -> NumberDataPoint {
        NumberDataPoint {
            attributes: self.attributes("of.item"),
            start_time_unix_nano: self.random.u64(..),
            time_unix_nano: self.number(),
            exemplars: self.exemplars(),
            flags: self.random.u32(..3),
            value: match self.random.u8(..8) {
                0 => None,
                1..=4 => Some(number_data_point::Value::AsInt(*self.one_of(INTEGERS))),
                _ => Some(number_data_point::Value::AsDouble(self.double())),
            },
        }
    }

    fn histogram_point(&mut self) -> HistogramDataPoint {
        HistogramDataPoint {
            attributes: self.attributes("of.item"),
            time_unix_nano: self.number(),
            count: self.random.u64(..100),
            sum: self.one_in(2).then(|| self.double()),
            bucket_counts: vec![1, 0, u64::MAX],
            explicit_bounds: vec![-0.0, 1e21],
            exemplars: self.exemplars(),
            min: self.one_in(2).then(|| self.double()),
            ..HistogramDataPoint::default()
        }
    }

    fn exponential_point(&mut self) -> ExponentialHistogramDataPoint {
        ExponentialHistogramDataPoint {
            attributes: self.attributes("of.item"),
            time_unix_nano: self.number(),
            count: self.random.u64(..100),
            scale: self.random.i32(-10..20),
            positive: self.one_in(2).then(|| Buckets { offset: -3, bucket_counts: vec![0, 1, 300] }),
            negative: self.one_in(2).then(Buckets::default),
            exemplars: self.exemplars(),
            zero_threshold: self.double(),
            ..ExponentialHistogramDataPoint::default()
        }
    }

    fn summary_point(&mut self) -> SummaryDataPoint {
        SummaryDataPoint {
            attributes: self.attributes("of.item"),
            time_unix_nano: self.number(),
            sum: self.double(),
            quantile_values: vec![ValueAtQuantile { quantile: 0.5, value: self.double() }],
            ..SummaryDataPoint::default()
        }
    }

    fn exemplars(&mut self) -> Vec<Exemplar> {
        (0..self.random.usize(..2))
            .map(|_| Exemplar {
                filtered_attributes: self.attributes("of.item"),
                time_unix_nano: self.random.u64(..),
                trace_id: if self.random.bool() { Vec::new() } else { vec![3; 16] },
                span_id: if self.random.bool() { Vec::new() } else { vec![4; 8] },
                value: Some(exemplar::Value::AsInt(-1)),
            })
            .collect()
    }
}

//! Requests with metrics.

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    metrics::v1::{
        AggregationTemporality, Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge,
        Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary,
        SummaryDataPoint, exemplar, exponential_histogram_data_point::Buckets, metric::Data,
        number_data_point, summary_data_point::ValueAtQuantile,
    },
};

use super::{Encoder, Member};

impl Encoder {
    pub(in crate::otlp::json::tests) fn metrics(&mut self, request: &ExportMetricsServiceRequest) -> String {
        let ExportMetricsServiceRequest { resource_metrics } = request;
        let members = vec![("resource_metrics", self.list(resource_metrics, Self::resource_metrics))];
        self.object(members)
    }

    fn resource_metrics(&mut self, group: &ResourceMetrics) -> String {
        let ResourceMetrics { resource, scope_metrics, schema_url } = group;
        let members = vec![
            ("resource", resource.as_ref().map(|resource| self.resource(resource))),
            ("scope_metrics", self.list(scope_metrics, Self::scope_metrics)),
            ("schema_url", self.string(schema_url)),
        ];
        self.object(members)
    }

    fn scope_metrics(&mut self, group: &ScopeMetrics) -> String {
        let ScopeMetrics { scope, metrics, schema_url } = group;
        let members = vec![
            ("scope", scope.as_ref().map(|scope| self.scope(scope))),
            ("metrics", self.list(metrics, Self::metric)),
            ("schema_url", self.string(schema_url)),
        ];
        self.object(members)
    }

    fn metric(&mut self, metric: &Metric) -> String {
        let Metric { name, description, unit, metadata, data } = metric;
        let mut members = vec![
            ("name", self.string(name)),
            ("description", self.string(description)),
            ("unit", self.string(unit)),
            ("metadata", self.list(metadata, Self::key_value)),
        ];
        members.extend(data.as_ref().map(|data| {
            let (name, data) = self.data(data);
            (name, Some(self.object(data)))
        }));
        self.object(members)
    }

    fn data(&mut self, data: &Data) -> (&'static str, Vec<Member>) {
        match data {
            Data::Gauge(Gauge { data_points }) => {
                ("gauge", vec![("data_points", self.list(data_points, Self::number_point))])
            }
            Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic }) => (
                "sum",
                vec![
                    ("data_points", self.list(data_points, Self::number_point)),
                    self.temporality(*aggregation_temporality),
                    ("is_monotonic", self.bool(*is_monotonic)),
                ],
            ),
            Data::Histogram(Histogram { data_points, aggregation_temporality }) => (
                "histogram",
                vec![
                    ("data_points", self.list(data_points, Self::histogram_point)),
                    self.temporality(*aggregation_temporality),
                ],
            ),
            Data::ExponentialHistogram(ExponentialHistogram { data_points, aggregation_temporality }) => (
                "exponential_histogram",
                vec![
                    ("data_points", self.list(data_points, Self::exponential_point)),
                    self.temporality(*aggregation_temporality),
                ],
            ),
            Data::Summary(Summary { data_points }) => {
                ("summary", vec![("data_points", self.list(data_points, Self::summary_point))])
            }
        }
    }

    fn temporality(&mut self, value: i32) -> Member {
        let name = AggregationTemporality::try_from(value).ok().map(|value| value.as_str_name());
        ("aggregation_temporality", self.named(value, name))
    }

    fn number_point(&mut self, point: &NumberDataPoint) -> String {
        let NumberDataPoint { attributes, start_time_unix_nano, time_unix_nano, exemplars, flags, value } =
            point;
        let mut members = vec![
            ("attributes", self.list(attributes, Self::key_value)),
            ("start_time_unix_nano", self.int((*start_time_unix_nano).into())),
            ("time_unix_nano", self.int((*time_unix_nano).into())),
            ("exemplars", self.list(exemplars, Self::exemplar)),
            ("flags", self.int((*flags).into())),
        ];
        members.extend(value.map(|value| match value {
            number_data_point::Value::AsDouble(value) => ("as_double", Some(self.number(value))),
            number_data_point::Value::AsInt(value) => ("as_int", Some(self.quoted(value.to_string()))),
        }));
        self.object(members)
    }

    fn exemplar(&mut self, exemplar: &Exemplar) -> String {
        let Exemplar { filtered_attributes, time_unix_nano, span_id, trace_id, value } = exemplar;
        let mut members = vec![
            ("filtered_attributes", self.list(filtered_attributes, Self::key_value)),
            ("time_unix_nano", self.int((*time_unix_nano).into())),
            ("span_id", self.id(span_id)),
            ("trace_id", self.id(trace_id)),
        ];
        members.extend(value.map(|value| match value {
            exemplar::Value::AsDouble(value) => ("as_double", Some(self.number(value))),
            exemplar::Value::AsInt(value) => ("as_int", Some(self.quoted(value.to_string()))),
        }));
        self.object(members)
    }

    fn histogram_point(&mut self, point: &HistogramDataPoint) -> String {
        let HistogramDataPoint {
            attributes,
            start_time_unix_nano,
            time_unix_nano,
            count,
            sum,
            bucket_counts,
            explicit_bounds,
            exemplars,
            flags,
            min,
            max,
        } = point;
        let members = vec![
            ("attributes", self.list(attributes, Self::key_value)),
            ("start_time_unix_nano", self.int((*start_time_unix_nano).into())),
            ("time_unix_nano", self.int((*time_unix_nano).into())),
            ("count", self.int((*count).into())),
            ("sum", sum.map(|sum| self.number(sum))),
            ("bucket_counts", self.list(bucket_counts, |encoder, count| encoder.quoted(count.to_string()))),
            ("explicit_bounds", self.list(explicit_bounds, |encoder, bound| encoder.number(*bound))),
            ("exemplars", self.list(exemplars, Self::exemplar)),
            ("flags", self.int((*flags).into())),
            ("min", min.map(|min| self.number(min))),
            ("max", max.map(|max| self.number(max))),
        ];
        self.object(members)
    }

    fn exponential_point(&mut self, point: &ExponentialHistogramDataPoint) -> String {
        let ExponentialHistogramDataPoint {
            attributes,
            start_time_unix_nano,
            time_unix_nano,
            count,
            sum,
            scale,
            zero_count,
            positive,
            negative,
            flags,
            exemplars,
            min,
            max,
            zero_threshold,
        } = point;
        let members = vec![
            ("attributes", self.list(attributes, Self::key_value)),
            ("start_time_unix_nano", self.int((*start_time_unix_nano).into())),
            ("time_unix_nano", self.int((*time_unix_nano).into())),
            ("count", self.int((*count).into())),
            ("sum", sum.map(|sum| self.number(sum))),
            ("scale", self.int((*scale).into())),
            ("zero_count", self.int((*zero_count).into())),
            ("positive", positive.as_ref().map(|buckets| self.buckets(buckets))),
            ("negative", negative.as_ref().map(|buckets| self.buckets(buckets))),
            ("flags", self.int((*flags).into())),
            ("exemplars", self.list(exemplars, Self::exemplar)),
            ("min", min.map(|min| self.number(min))),
            ("max", max.map(|max| self.number(max))),
            ("zero_threshold", self.double(*zero_threshold)),
        ];
        self.object(members)
    }

    fn buckets(&mut self, buckets: &Buckets) -> String {
        let Buckets { offset, bucket_counts } = buckets;
        let members = vec![
            ("offset", self.int((*offset).into())),
            ("bucket_counts", self.list(bucket_counts, |encoder, count| encoder.quoted(count.to_string()))),
        ];
        self.object(members)
    }

    fn summary_point(&mut self, point: &SummaryDataPoint) -> String {
        let SummaryDataPoint {
            attributes,
            start_time_unix_nano,
            time_unix_nano,
            count,
            sum,
            quantile_values,
            flags,
        } = point;
        let members = vec![
            ("attributes", self.list(attributes, Self::key_value)),
            ("start_time_unix_nano", self.int((*start_time_unix_nano).into())),
            ("time_unix_nano", self.int((*time_unix_nano).into())),
            ("count", self.int((*count).into())),
            ("sum", self.double(*sum)),
            ("quantile_values", self.list(quantile_values, Self::quantile)),
            ("flags", self.int((*flags).into())),
        ];
        self.object(members)
    }

    fn quantile(&mut self, pair: &ValueAtQuantile) -> String {
        let ValueAtQuantile { quantile, value } = pair;
        let members = vec![("quantile", self.double(*quantile)), ("value", self.double(*value))];
        self.object(members)
    }
}

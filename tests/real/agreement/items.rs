//! The items of requests, each with everything that belongs to it.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};

use crate::load::Export;
use crate::routing;

/// An item of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Item {
    /// Its number, see `routing`.
    pub(super) number: u64,
    /// A hash of its own fields and of those of its resource, scope and metric. A resource or scope that is not there
    /// counts as an empty one.
    pub(super) contents: u64,
}

/// All items of a request, in order.
pub(super) fn of(request: &Export) -> Vec<Item> {
    match request {
        Export::Traces(request) => spans(request),
        Export::Logs(request) => records(request),
        Export::Metrics(request) => points(request),
    }
}

fn spans(request: &ExportTraceServiceRequest) -> Vec<Item> {
    let mut items = Vec::new();
    for resource in &request.resource_spans {
        for scope in &resource.scope_spans {
            for span in &scope.spans {
                let alone = ResourceSpans {
                    resource: Some(resource.resource.clone().unwrap_or_default()),
                    schema_url: resource.schema_url.clone(),
                    scope_spans: vec![ScopeSpans {
                        scope: Some(scope.scope.clone().unwrap_or_default()),
                        schema_url: scope.schema_url.clone(),
                        spans: vec![span.clone()],
                    }],
                };
                items.push(item(routing::span_number(span), &alone));
            }
        }
    }
    items
}

fn records(request: &ExportLogsServiceRequest) -> Vec<Item> {
    let mut items = Vec::new();
    for resource in &request.resource_logs {
        for scope in &resource.scope_logs {
            for record in &scope.log_records {
                let alone = ResourceLogs {
                    resource: Some(resource.resource.clone().unwrap_or_default()),
                    schema_url: resource.schema_url.clone(),
                    scope_logs: vec![ScopeLogs {
                        scope: Some(scope.scope.clone().unwrap_or_default()),
                        schema_url: scope.schema_url.clone(),
                        log_records: vec![record.clone()],
                    }],
                };
                items.push(item(record.time_unix_nano, &alone));
            }
        }
    }
    items
}

fn points(request: &ExportMetricsServiceRequest) -> Vec<Item> {
    let mut items = Vec::new();
    for resource in &request.resource_metrics {
        for scope in &resource.scope_metrics {
            for (number, metric) in scope.metrics.iter().flat_map(apart) {
                let alone = ResourceMetrics {
                    resource: Some(resource.resource.clone().unwrap_or_default()),
                    schema_url: resource.schema_url.clone(),
                    scope_metrics: vec![ScopeMetrics {
                        scope: Some(scope.scope.clone().unwrap_or_default()),
                        schema_url: scope.schema_url.clone(),
                        metrics: vec![metric],
                    }],
                };
                items.push(item(number, &alone));
            }
        }
    }
    items
}

/// A metric once for each of its points, or as it is if it has none.
fn apart(metric: &Metric) -> Vec<(u64, Metric)> {
    let numbers: Vec<u64> = routing::points(metric).into_iter().map(|(number, _)| number).collect();
    if numbers.is_empty() {
        return vec![(routing::metric_number(metric), metric.clone())];
    }
    let only = |number| {
        let mut metric = metric.clone();
        match metric.data.as_mut() {
            None => {}
            Some(Data::Gauge(data)) => data.data_points.retain(|point| point.time_unix_nano == number),
            Some(Data::Sum(data)) => data.data_points.retain(|point| point.time_unix_nano == number),
            Some(Data::Histogram(data)) => data.data_points.retain(|point| point.time_unix_nano == number),
            Some(Data::ExponentialHistogram(data)) => {
                data.data_points.retain(|point| point.time_unix_nano == number);
            }
            Some(Data::Summary(data)) => data.data_points.retain(|point| point.time_unix_nano == number),
        }
        (number, metric)
    };
    numbers.into_iter().map(only).collect()
}

fn item(number: u64, alone: &impl prost::Message) -> Item {
    Item { number, contents: routing::hash::xxh64(&alone.encode_to_vec()) }
}

#[test]
fn an_item_is_the_same_however_it_is_grouped_and_different_if_anything_is() {
    // Scenario: a generated request, its resources apart and in reverse; and the same with other resources.
    // Guarantees: the same items; an item whose resource has changed is another one.
    let mut generator = crate::adversarial::Generator::new(1);
    let request = generator.metrics(50);
    let mut apart: Vec<Item> = Vec::new();
    for resource in request.resource_metrics.iter().rev() {
        let alone = ExportMetricsServiceRequest { resource_metrics: vec![resource.clone()] };
        apart.extend(of(&Export::Metrics(alone)));
    }
    let sorted = |mut items: Vec<Item>| {
        items.sort_by_key(|item| item.number);
        items
    };
    let whole = sorted(of(&Export::Metrics(request.clone())));
    assert_eq!(sorted(apart), whole);
    assert!(whole.len() >= 50, "{} items", whole.len());

    let mut changed = request;
    for resource in &mut changed.resource_metrics {
        resource.resource.get_or_insert_default().dropped_attributes_count += 1;
    }
    let changed = sorted(of(&Export::Metrics(changed)));
    assert!(
        whole
            .iter()
            .zip(&changed)
            .all(|(whole, changed)| { whole.number == changed.number && whole.contents != changed.contents })
    );
}

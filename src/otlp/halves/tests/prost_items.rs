//! Every item of a request as prost reads it, with all that is around it.

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    logs::v1::{ResourceLogs, ScopeLogs},
    metrics::v1::{Metric, ResourceMetrics, ScopeMetrics, metric::Data},
    trace::v1::{ResourceSpans, ScopeSpans},
};
use prost::Message;

use crate::model::Signal;

/// An item, encoded, and the groups around it, encoded without what is inside.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Located {
    around: [Vec<u8>; 3],
    /// `None`: a metric without points.
    item: Option<Vec<u8>>,
}

impl Located {
    pub(super) fn is_item(&self) -> bool {
        self.item.is_some()
    }
}

/// Everything in a request, in its order.
#[track_caller]
pub(super) fn located(signal: Signal, payload: &[u8]) -> Vec<Located> {
    match signal {
        Signal::Traces => spans(ExportTraceServiceRequest::decode(payload).expect("a request")),
        Signal::Metrics => points(ExportMetricsServiceRequest::decode(payload).expect("a request")),
        Signal::Logs => records(ExportLogsServiceRequest::decode(payload).expect("a request")),
    }
}

fn spans(request: ExportTraceServiceRequest) -> Vec<Located> {
    let mut all = Vec::new();
    for group in &request.resource_spans {
        let resource = ResourceSpans { scope_spans: Vec::new(), ..group.clone() }.encode_to_vec();
        for scope in &group.scope_spans {
            let own = ScopeSpans { spans: Vec::new(), ..scope.clone() }.encode_to_vec();
            all.extend(scope.spans.iter().map(|span| Located {
                around: [resource.clone(), own.clone(), Vec::new()],
                item: Some(span.encode_to_vec()),
            }));
        }
    }
    all
}

fn records(request: ExportLogsServiceRequest) -> Vec<Located> {
    let mut all = Vec::new();
    for group in &request.resource_logs {
        let resource = ResourceLogs { scope_logs: Vec::new(), ..group.clone() }.encode_to_vec();
        for scope in &group.scope_logs {
            let own = ScopeLogs { log_records: Vec::new(), ..scope.clone() }.encode_to_vec();
            all.extend(scope.log_records.iter().map(|record| Located {
                around: [resource.clone(), own.clone(), Vec::new()],
                item: Some(record.encode_to_vec()),
            }));
        }
    }
    all
}

fn points(request: ExportMetricsServiceRequest) -> Vec<Located> {
    let mut all = Vec::new();
    for group in &request.resource_metrics {
        let resource = ResourceMetrics { scope_metrics: Vec::new(), ..group.clone() }.encode_to_vec();
        for scope in &group.scope_metrics {
            let own = ScopeMetrics { metrics: Vec::new(), ..scope.clone() }.encode_to_vec();
            for metric in &scope.metrics {
                let mut bare = metric.clone();
                let points = take_points(&mut bare);
                let around = [resource.clone(), own.clone(), bare.encode_to_vec()];
                if points.is_empty() {
                    all.push(Located { around: around.clone(), item: None });
                }
                all.extend(
                    points.into_iter().map(|point| Located { around: around.clone(), item: Some(point) }),
                );
            }
        }
    }
    all
}

fn take_points(metric: &mut Metric) -> Vec<Vec<u8>> {
    fn encoded<T: Message>(points: &mut Vec<T>) -> Vec<Vec<u8>> {
        points.drain(..).map(|point| point.encode_to_vec()).collect()
    }
    match &mut metric.data {
        None => Vec::new(),
        Some(Data::Gauge(data)) => encoded(&mut data.data_points),
        Some(Data::Sum(data)) => encoded(&mut data.data_points),
        Some(Data::Histogram(data)) => encoded(&mut data.data_points),
        Some(Data::ExponentialHistogram(data)) => encoded(&mut data.data_points),
        Some(Data::Summary(data)) => encoded(&mut data.data_points),
    }
}

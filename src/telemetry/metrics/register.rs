//! Makes metrics of every kind and registers them.
//!
//! Stage: edge. Assumes that names are constants of the catalogue: a wrong or repeated one is a panic, which a test covers.

use std::time::Duration;

use prometheus::{
    Counter, Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// Moves a counter of seconds up to a total that is measured elsewhere.
pub(super) fn raise(counter: &Counter, total: Duration) {
    counter.inc_by((total.as_secs_f64() - counter.get()).max(0.0));
}

/// Makes a metric and registers it.
pub(super) struct Register<'a> {
    pub(super) registry: &'a Registry,
}

#[expect(clippy::expect_used, reason = "names are constants; the catalogue test registers them all")]
impl Register<'_> {
    pub(super) fn counter(&self, name: &str, help: &str) -> Counter {
        let metric = Counter::new(name, help).expect("the metric's name is valid");
        self.registry.register(Box::new(metric.clone())).expect("metric names are distinct");
        metric
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> Gauge {
        let metric = Gauge::new(name, help).expect("the metric's name is valid");
        self.registry.register(Box::new(metric.clone())).expect("metric names are distinct");
        metric
    }

    pub(super) fn float_gauges(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        let metric =
            GaugeVec::new(Opts::new(name, help), labels).expect("the metric's name and labels are valid");
        self.registry.register(Box::new(metric.clone())).expect("metric names are distinct");
        metric
    }

    pub(super) fn int_counter(&self, name: &str, help: &str) -> IntCounter {
        let metric = IntCounter::new(name, help).expect("the metric's name is valid");
        self.registry.register(Box::new(metric.clone())).expect("metric names are distinct");
        metric
    }

    pub(super) fn int_gauge(&self, name: &str, help: &str) -> IntGauge {
        let metric = IntGauge::new(name, help).expect("the metric's name is valid");
        self.registry.register(Box::new(metric.clone())).expect("metric names are distinct");
        metric
    }

    pub(super) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        let metric = IntCounterVec::new(Opts::new(name, help), labels)
            .expect("the metric's name and labels are valid");
        self.registry.register(Box::new(metric.clone())).expect("metric names are distinct");
        metric
    }

    pub(super) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        let metric =
            IntGaugeVec::new(Opts::new(name, help), labels).expect("the metric's name and labels are valid");
        self.registry.register(Box::new(metric.clone())).expect("metric names are distinct");
        metric
    }
}

//! The process's own metrics and logs.
//!
//! Stage: edge.

pub mod logs;
mod metrics;

pub use metrics::{
    AttemptMetrics, BackendMetrics, ExporterMetrics, MemoryMetrics, Metrics, ReceiverMetrics,
    ResolverMetrics, RingMetrics, StoreMetrics,
};

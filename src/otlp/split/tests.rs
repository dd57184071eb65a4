//! Tests of the splitter: tables, properties on the wire, prost as the oracle, and the fuzzer's corpus.

#![expect(clippy::disallowed_methods, reason = "prost is the oracle; tests read files")]

mod agreement;
mod corpus;
mod keys;
mod limits;
mod logs;
mod metrics_fields;
mod metrics_limits;
mod metrics_oracle;
mod metrics_rules;
mod metrics_wire;
mod rewrite;
mod spans;
mod tables;
mod wire_model;
mod with_prost;

// What the files below, which fuzz targets and benches include too, find beside them there.
use crate as ringway;

#[path = "../../../tests/support/adversarial.rs"]
pub(in crate::otlp) mod adversarial;
#[path = "../../../fuzz/bodies.rs"]
mod bodies;
#[path = "../../../tests/support/naive.rs"]
mod naive;
#[path = "../../../tests/support/routing.rs"]
mod oracle;
#[path = "../../../fuzz/parts.rs"]
mod parts;
#[path = "../../../fuzz/seeds.rs"]
mod seeds;
#[path = "../../../fuzz/signals.rs"]
mod signals;
#[path = "../../../tests/support/traces.rs"]
pub(in crate::otlp) mod traces;

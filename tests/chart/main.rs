//! The Helm chart, what it renders, and the documentation of both.
//!
//! `make chart-test` builds the tools and runs this binary; plain `cargo test` leaves it alone. A tool that is missing is a failure.
//! `RINGWAY_CLUSTER_PARTS` names the directory that `tests/cluster/build.sh` prints (helm, kubeconform, kubectl, schemas),
//! `RINGWAY_REAL_PARTS` that of `tests/real/build.sh` (the Collector). `make goldens` writes goldens and tables anew.
//!
//! ```text
//! cases/*.yaml      values, each with what it is about     goldens/*.yaml   what they render
//! cases.rs          every case: lint, golden, schemas, configurations, permissions
//! refusals.rs       values that the schema refuses, and values that contradict each other
//! notes.rs          what an installation says
//! documents.rs      the table of values, the blocks of the documentation, versions
//! manifests.rs      the kustomize base is what the chart renders
//! helm.rs           running the tools       rendered.rs      reading what helm wrote
//! ```
//!
//! What this does not prove: that a cluster takes the objects, and that ringway does with them what it should. `tests/cluster` does.

#[path = "../support/blocks.rs"]
mod blocks;
mod cases;
mod documents;
mod helm;
mod manifests;
mod notes;
mod refusals;
mod rendered;

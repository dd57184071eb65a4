//! ringway in a cluster: real etcd, kube-apiserver and kube-controller-manager, real slices, tokens and Roles, and real
//! traffic to backends on the pods' addresses.
//!
//! `make e2e-cluster` builds the parts (`build.sh`) and runs this binary in namespaces of its own (`namespace.sh`); plain
//! `cargo test` leaves it alone. A part that is missing is a failure. What each test proves stands in `README.md`.
//!
//! ```text
//! harness.rs        pods show up in slices as they should        the check of what the others rest on
//!
//! control_plane.rs  etcd, API server, controllers                keys.rs      certificates
//! pods.rs           what a kubelet would do                      api.rs       the API, as the tests speak it
//! delivery.rs       load and backends of tests/real
//! parts.rs  process.rs  loopback.rs  poll.rs  workspace.rs  http.rs  load.rs
//! ```
//!
//! Rules that hold for every test: nothing outside the namespace, waiting means polling a condition until a deadline, and a
//! process is ended through its handle or not at all.

#![expect(
    clippy::disallowed_methods,
    reason = "the bans protect the gateway's own tasks, clock and configuration; this is another program"
)]

mod api;
mod control_plane;
mod delivery;
mod harness;
#[path = "../real/http.rs"]
#[expect(dead_code, reason = "tests/real uses the rest")]
mod http;
mod keys;
#[path = "../real/load.rs"]
#[expect(dead_code, reason = "tests/real uses the rest")]
mod load;
#[path = "../real/loopback.rs"]
mod loopback;
mod parts;
mod pods;
#[path = "../real/poll.rs"]
mod poll;
#[path = "../real/process.rs"]
mod process;
#[path = "../support/routing.rs"]
mod routing;
#[path = "../real/spans.rs"]
mod spans;
#[path = "../real/workspace.rs"]
mod workspace;

/// Prints what a test measured; shown with `--nocapture`, and when a test fails.
#[expect(clippy::print_stdout, reason = "a test's figures belong to its output")]
pub(crate) fn report(line: impl AsRef<str>) {
    println!("{}", line.as_ref());
}

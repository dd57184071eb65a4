//! ringway in a cluster: real etcd, kube-apiserver and kube-controller-manager, real slices, tokens and Roles, and real
//! traffic to backends on the pods' addresses.
//!
//! `make e2e-cluster` builds the parts (`build.sh`) and runs this binary in namespaces of its own (`namespace.sh`); plain
//! `cargo test` leaves it alone. A part that is missing is a failure. What each test proves stands in `README.md`.
//!
//! ```text
//! harness.rs        pods show up in slices as they should: what the others rest on
//! scale.rs          scaling, restarts, readiness, dual stack
//! outage.rs         the API server dies, hangs, forgets
//! access.rs         Roles, tokens, authorities
//! several.rs        several gateways, several Services
//! agreement.rs      ringway routes like the Collector
//! large.rs          many endpoints, and how fast the ring follows
//! dns.rs            names, against a real DNS server (Debian's `knot`)
//! dry_run.rs        the API server takes everything that the chart renders
//! install.rs        the chart installed, its gateways run, traces reach Collectors
//!
//! scene.rs          what most tests begin with                   gateway.rs   ringway in a pod
//! control_plane.rs  etcd, API server, controllers                account.rs   service accounts, Roles, their files
//! pods.rs           what a kubelet would do                      pool.rs      pods that are sinks
//! traffic.rs        load that goes on, and its balance           delay.rs     a slow wire
//! api.rs            the API, as the tests speak it               keys.rs      certificates
//! node.rs           a kubelet            container.rs ringway as its pod says
//! samplers.rs       pods that are Collectors                     helm.rs      the chart, installed
//! delivery.rs  parts.rs  process.rs  loopback.rs  poll.rs  room.rs  workspace.rs  http.rs  load.rs
//! ```
//!
//! Rules that hold for every test: nothing outside the namespace, waiting means polling a condition until a deadline, and a
//! process is ended through its handle or not at all.

#![expect(
    clippy::disallowed_methods,
    reason = "the bans protect the gateway's own tasks, clock and configuration; this is another program"
)]

mod access;
mod account;
mod agreement;
mod api;
#[path = "../chart/helm.rs"]
#[expect(dead_code, clippy::panic, reason = "tests/chart uses the rest, and has it fail as its tests do")]
mod chart;
#[path = "../real/collector.rs"]
#[expect(dead_code, reason = "tests/real uses the rest")]
mod collector;
mod container;
mod control_plane;
mod delay;
mod delivery;
mod dns;
mod dry_run;
mod gateway;
mod harness;
mod helm;
#[path = "../real/http.rs"]
#[expect(dead_code, reason = "tests/real uses the rest")]
mod http;
mod install;
mod keys;
mod large;
#[path = "../real/load.rs"]
#[expect(dead_code, reason = "tests/real uses the rest")]
mod load;
#[path = "../real/loopback.rs"]
mod loopback;
mod node;
mod outage;
mod parts;
mod pods;
#[path = "../real/poll.rs"]
mod poll;
mod pool;
#[path = "../real/process.rs"]
mod process;
#[path = "../real/room.rs"]
mod room;
#[path = "../support/routing.rs"]
mod routing;
mod samplers;
mod scale;
mod scene;
mod several;
#[path = "../real/spans.rs"]
mod spans;
mod traffic;
#[path = "../real/workspace.rs"]
mod workspace;

pub(crate) use room::{alone, report, together};

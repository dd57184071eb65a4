//! End-to-end tests against real parts: OpenTelemetry Collectors as backends and as the peer to agree with, and
//! OpenTelemetry SDKs, telemetrygen, Collectors and a browser as clients.
//!
//! `make e2e` builds the parts (`build.sh`) and runs this binary with `RINGWAY_REAL_PARTS` naming their directory;
//! plain `cargo test` leaves it alone. A part that is missing is a failure. What each test proves, what it does not, and
//! how to run one stands in `README.md`.
//!
//! ```text
//! sampling.rs    every sampled trace is whole       SDKs, telemetrygen → gateway → Collectors with tail_sampling
//! agreement.rs   ringway routes like the Collector  generator → Collector | ringway → recording sinks
//! outcomes.rs    what backends count is the truth   generator → gateway → Collectors with spanmetrics, cumulativetodelta
//! failure.rs     a dead backend costs nothing       generator → gateway → Collectors, one of them killed
//! delivery.rs    failure, removal, crash, churn     generator → gateway → Collectors and sinks that misbehave
//! signals.rs     every dialect of every signal      SDKs, telemetrygen, Collector, browser → gateway → Collectors
//!
//! gateway.rs     what stands in the middle          collector.rs  the Collectors behind it
//! clients.rs     real clients                       load.rs       our generator
//! lanes.rs       a Collector as many                http.rs       a little HTTP
//! sink.rs        backends that remember             spans.rs      spans that a Collector wrote
//! samples.rs     metrics that a Collector wrote
//! parts.rs  process.rs  loopback.rs  poll.rs  room.rs  workspace.rs
//! ```
//!
//! Rules that hold for every test: loopback only, ports from the kernel, waiting means polling a condition until a
//! deadline, every load ends after a count, and a process is ended through its handle or not at all.

#![expect(
    clippy::disallowed_methods,
    reason = "the bans protect the gateway's own tasks, clock and configuration; this is another program"
)]

#[path = "../support/adversarial.rs"]
mod adversarial;
mod agreement;
mod clients;
mod collector;
mod delivery;
mod failure;
mod gateway;
mod http;
mod lanes;
mod load;
mod loopback;
mod outcomes;
mod parts;
mod poll;
mod process;
mod room;
#[path = "../support/routing.rs"]
mod routing;
mod samples;
mod sampling;
mod signals;
mod sink;
mod spans;
mod workspace;

pub(crate) use room::{alone, report, together};

//! ringway: a stateless, trace-aware load-balancing gateway for OpenTelemetry.
//!
//! A request flows in one direction: **receive → split → route → queue → send**. The modules in reading order:
//!
//! | layer | modules |
//! |---|---|
//! | vocabulary | [`model`] |
//! | engines: pure functions | [`config`], [`otlp`], [`ring`], [`retry`] |
//! | edges: shared by stages | [`net`], [`telemetry`], [`tasks`], [`admission`], [`store`] |
//! | stages: asynchronous, each owns its tasks | [`receiver`] → [`router`] → [`backend`]; [`resolver`], [`admin`] |
//! | composition | [`app`], [`cli`] |
//!
//! A module uses layers above it in this table only; a stage uses the *next* stage's handle only. `tests/it/layers.rs`
//! keeps this true.
//!
//! **What must never be true:**
//!
//! 1. A stage decodes an OTLP message into structs. `otlp` alone reads OTLP's bytes.
//! 2. An engine touches the network, a file, the clock or a random source. Each is passed in.
//! 3. The same endpoint set and key give another endpoint on another replica, build or platform.
//! 4. A channel, buffer, body, wait or retry is without a limit from `settings`.
//! 5. An accepted item is counted never, or more than once, as delivered, refused, dropped{reason} or still queued.
//! 6. A resolver's failure empties the ring, or the gateway is ready before the first good resolution.
//! 7. More than one file prints, knows YAML, decompresses, chooses client status codes, names metrics or spawns tasks.
//! 8. Input makes anything panic. Anything but `main` ends the process.

pub mod model;

pub mod config;
pub mod otlp;
pub mod retry;
pub mod ring;

pub mod admission;
pub mod net;
pub mod store;
pub mod tasks;
pub mod telemetry;

pub mod admin;
pub mod backend;
pub mod receiver;
pub mod resolver;
pub mod router;

pub mod app;
pub mod cli;

//! Clients that are not ours.
//!
//! ```text
//! services.rs      the SDKs of Rust and Python as services that make traces together
//! rust_sdk.rs      the SDK of Rust in every dialect, and scripts.rs those of Python and JavaScript: all signals,
//!                  the same items (`../signals/recipe.rs`)
//! telemetrygen.rs  the Collector project's load generator
//! exporters.rs     a Collector that passes on what it gets, once for each compression of its OTLP exporters
//! browser.rs       a page in headless Chromium
//! ```

mod browser;
mod exporters;
mod rust_sdk;
mod scripts;
mod services;
mod telemetrygen;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

pub(crate) use browser::{Page, Site};
pub(crate) use exporters::{Exporters, GRPC_COMPRESSIONS, HTTP_COMPRESSIONS};
pub(crate) use rust_sdk::export as rust_sdk;
pub(crate) use scripts::{javascript_sdk, python_sdk};
pub(crate) use services::{Call, PythonService, RustService, traceparent};
pub(crate) use telemetrygen::{Stream, Telemetrygen};

/// The longest that a client may take with everything it does.
const LIMIT: Duration = Duration::from_secs(60);

/// Key of the attribute that a sampling policy looks for.
pub(crate) const KEEP: &str = "keep";

/// How OTLP is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// gRPC.
    Grpc,
    /// Protobuf over HTTP.
    Proto,
    /// JSON over HTTP.
    Json,
}

impl Protocol {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Grpc, Self::Proto, Self::Json];

    /// A name for services and clients.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Proto => "proto",
            Self::Json => "json",
        }
    }
}

/// One SDK client's task: make so many items of each signal and export them.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// `service.name` of everything it makes; no other run has it.
    pub(crate) service: String,
    /// Dialect.
    pub(crate) protocol: Protocol,
    /// gzip, or none.
    pub(crate) gzip: bool,
    /// Where it sends to.
    pub(crate) endpoint: SocketAddr,
    /// Spans, log records, and data points of each metric.
    pub(crate) items: u64,
}

impl Run {
    /// The task for each protocol, with gzip and without, of a client with this name.
    pub(crate) fn all(client: &str, grpc: SocketAddr, http: SocketAddr, items: u64) -> Vec<Self> {
        let dialects = Protocol::ALL.into_iter().flat_map(|protocol| [(protocol, true), (protocol, false)]);
        let run = |(protocol, gzip): (Protocol, bool)| Self {
            service: format!("{client}-{}-{}", protocol.as_str(), if gzip { "gzip" } else { "none" }),
            protocol,
            gzip,
            endpoint: if protocol == Protocol::Grpc { grpc } else { http },
            items,
        };
        dialects.map(run).collect()
    }
}

/// A span that a client made, and the number that is in everything it made together with the span.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    /// `service.name`.
    pub(crate) service: String,
    /// Its number within the run.
    pub(crate) item: u64,
    /// In hex.
    pub(crate) trace_id: String,
    /// In hex.
    pub(crate) span_id: String,
}

impl Made {
    /// Reads what a client printed.
    ///
    /// # Errors
    ///
    /// When it is something else.
    pub(crate) fn parse(printed: &Value) -> anyhow::Result<Self> {
        let text = |key: &str| {
            printed[key].as_str().map(str::to_owned).with_context(|| format!("{printed} has no {key}"))
        };
        Ok(Self {
            service: text("service")?,
            item: printed["item"].as_u64().with_context(|| format!("{printed} has no number"))?,
            trace_id: text("traceId")?,
            span_id: text("spanId")?,
        })
    }
}

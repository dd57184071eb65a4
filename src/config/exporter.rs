//! `exporters`: the types there are, and what the pipelines that name one make of it.
//!
//! Stage: engine. Each type has a file of its own: its table and its checks. What depends on its users (the key of each signal,
//! whether an endpoint is missing, who sets its headers) is settled here, once all pipelines are known.

use std::sync::Arc;

use super::{
    report::{At, Report},
    tree::Node,
};
use crate::model::{
    Signal,
    settings::{Destination, Exporter},
};
use routing::Routing;

mod client;
mod levels;
mod load_balancing;
mod otlp_grpc;
mod otlp_http;
mod routing;

/// The table of each type.
#[cfg(test)]
pub(super) static TABLES: [&super::schema::Section; 3] =
    [&load_balancing::EXPORTER, &otlp_grpc::EXPORTER, &otlp_http::EXPORTER];

/// An exporter as its own section describes it.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) exporter: Exporter,
    /// Whether its own section says how it batches.
    pub(super) has_batch: bool,
    /// The exporter's own place.
    at: At,
    /// What is hashed; `None` for exporters to one backend.
    routing: Option<Routing>,
    /// Whether something is wrong with its endpoints and has been reported.
    has_bad_endpoint: bool,
}

/// A pipeline that names the exporter.
#[derive(Clone, Copy, Debug)]
pub(super) struct User<'a> {
    pub(super) pipeline: &'a str,
    pub(super) signal: Signal,
}

/// Reads one exporter of the type `kind`.
pub(super) fn read(kind: &str, id: Arc<str>, node: &Node, at: At, report: &mut Report) -> Read {
    match kind {
        "otlp_grpc" => otlp_grpc::read(id, node, at, report),
        "otlp_http" => otlp_http::read(id, node, at, report),
        _ => load_balancing::read(id, node, at, report),
    }
}

impl Read {
    /// Checks and completes the exporter for the pipelines that name it, of which there is at least one.
    pub(super) fn settle(mut self, users: &[User<'_>], report: &mut Report) -> Exporter {
        match &mut self.exporter.destination {
            Destination::Pool { keys, .. } => {
                if let Some(routing) = &self.routing {
                    *keys = routing.keys(users, report);
                }
            }
            Destination::Single { endpoints } if !self.has_bad_endpoint => {
                for (signal, endpoint) in Signal::ALL.into_iter().zip(endpoints) {
                    if endpoint.is_none() && users.iter().any(|user| user.signal == signal) {
                        let pipelines = names(users, signal);
                        let message = format!(
                            "{pipelines}: either endpoint or {}_endpoint must be specified",
                            signal.as_str()
                        );
                        report.error(&self.at, message);
                    }
                }
            }
            Destination::Single { .. } => {}
        }
        self.exporter
    }
}

/// `pipeline "traces", "traces/a"`: the pipelines of one signal.
fn names(users: &[User<'_>], signal: Signal) -> String {
    let names: Vec<String> = users
        .iter()
        .filter(|user| user.signal == signal)
        .map(|user| format!("{:?}", user.pipeline))
        .collect();
    let noun = if names.len() == 1 { "pipeline" } else { "pipelines" };
    format!("{noun} {}", names.join(", "))
}

//! `exporters`: the types there are, and what the pipelines that name one make of it.
//!
//! Stage: engine. Each type has a file of its own: its table and its checks. What depends on its users (the key of each signal,
//! whether an endpoint is missing, who sets its headers) is settled here, once all pipelines are known.

use std::sync::Arc;

use super::{
    decode::Text,
    extensions::Running,
    queue,
    report::{At, Report},
    tree::Node,
};
use crate::model::{
    Signal,
    settings::{Destination, Exporter},
};
use routing::Routing;

mod client;
mod delivery;
mod discovery;
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
    /// The extension that sets its headers.
    authenticator: Option<Text>,
    /// The extension that keeps what is queued.
    storage: Option<Text>,
    /// Headers of the client by which its own batches are kept apart.
    metadata_keys: Vec<Text>,
    /// Whether something is wrong with its endpoints and has been reported.
    has_bad_endpoint: bool,
}

/// A pipeline that names the exporter.
#[derive(Clone, Copy, Debug)]
pub(super) struct User<'a> {
    pub(super) pipeline: &'a str,
    pub(super) signal: Signal,
    /// Whether some receiver of it keeps the headers of requests.
    pub(super) has_metadata: bool,
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
    /// The exporter's own place.
    pub(super) const fn at(&self) -> &At {
        &self.at
    }

    /// Checks and completes the exporter for the pipelines that name it, of which there is at least one.
    pub(super) fn settle(mut self, users: &[User<'_>], running: &Running, report: &mut Report) -> Exporter {
        match &mut self.exporter.destination {
            Destination::Pool { keys, .. } => {
                if let Some(routing) = &self.routing {
                    *keys = routing.keys(users, report);
                }
            }
            Destination::Single { endpoints } if !self.has_bad_endpoint => {
                missing_endpoints(endpoints, users, &self.at, report);
            }
            Destination::Single { .. } => {}
        }
        self.authenticate(users, running, report);
        if let Some(name) = &self.storage {
            self.exporter.backend.queue.storage = running.storage(name, report).cloned();
        }
        let forwarded = &self.exporter.backend.forwarded;
        queue::unused_metadata_keys(
            &self.metadata_keys,
            |name| forwarded.iter().any(|header| *header.from == *name),
            report,
        );
        self.exporter
    }

    fn authenticate(&mut self, users: &[User<'_>], running: &Running, report: &mut Report) {
        let Some(name) = &self.authenticator else { return };
        let Some(setter) = running.authenticator(name, report) else { return };
        let backend = &mut self.exporter.backend;
        setter.apply(backend, report);
        if !backend.forwarded.is_empty() && !users.iter().any(|user| user.has_metadata) {
            report.warn(
                &name.at,
                format!(
                    "{:?} takes headers from the client's request, but no receiver that leads here has \
                     `include_metadata: true`",
                    name.text
                ),
            );
        }
    }
}

fn missing_endpoints(endpoints: &[Option<Arc<str>>; 3], users: &[User<'_>], at: &At, report: &mut Report) {
    for (signal, endpoint) in Signal::ALL.into_iter().zip(endpoints) {
        if endpoint.is_none() && users.iter().any(|user| user.signal == signal) {
            let pipelines = names(users, signal);
            let signal = signal.as_str();
            report.error(at, format!("{pipelines}: either endpoint or {signal}_endpoint must be specified"));
        }
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

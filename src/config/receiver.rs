//! `receivers.otlp`.
//!
//! Stage: engine. Keys and defaults: Collector `receiver/otlpreceiver` v0.161.0 `config.go` and `factory.go`; the two protocols
//! have a file each. Our own block is `ringway`.

use std::sync::Arc;

use super::{
    decode::{Fields, decode},
    report::{At, Report},
    schema::{Section, off_until_written, section, text},
    tree::Node,
};
use crate::model::{
    Signal,
    settings::{Receiver, Validation},
};

mod grpc;
mod http;

pub(super) static RECEIVER: Section =
    Section::strict(&[section("protocols", &PROTOCOLS), section("ringway", &RINGWAY)]);

static PROTOCOLS: Section =
    Section::strict(&[off_until_written("grpc", &grpc::GRPC), off_until_written("http", &http::HTTP)]);

/// Ours. `validation`: how deeply a request is checked while it is split.
static RINGWAY: Section = Section::strict(&[text("validation", "structure")]);

/// A receiver as its own section describes it.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) receiver: Receiver,
    /// Where the HTTP path of each signal stands.
    paths_at: Option<[At; 3]>,
}

/// Reads one OTLP receiver.
pub(super) fn read(id: Arc<str>, node: &Node, at: At, report: &mut Report) -> Read {
    let fields = decode(&RECEIVER, Some(node), at, report);
    let protocols = fields.plain("protocols");
    let (grpc, http) = (protocols.optional("grpc"), protocols.optional("http"));
    let is_failed =
        fields.is_failed("protocols") || protocols.is_failed("grpc") || protocols.is_failed("http");
    if grpc.is_none() && http.is_none() && !is_failed {
        let at = fields.at("protocols");
        report.error(at, "must specify at least one protocol when using the OTLP receiver");
    }
    Read {
        receiver: Receiver {
            id,
            grpc: grpc.map(|fields| grpc::read(fields, report)),
            http: http.map(|fields| http::read(fields, report)),
            validation: validation(fields.plain("ringway"), report),
        },
        paths_at: http.map(|fields| http::PATHS.map(|name| fields.at(name).clone())),
    }
}

impl Read {
    /// Checks the receiver for the signals that its pipelines bring: two of them on one path make the Collector panic at
    /// start.
    pub(super) fn settle(self, signals: &[Signal], report: &mut Report) -> Receiver {
        if let (Some(http), Some(places)) = (&self.receiver.http, &self.paths_at) {
            let served: Vec<_> = Signal::ALL
                .into_iter()
                .zip(http.paths.iter().zip(places))
                .filter(|(signal, _)| signals.contains(signal))
                .collect();
            for (index, (signal, (path, at))) in served.iter().enumerate() {
                if let Some((other, _)) = served.iter().take(index).find(|(_, (earlier, _))| earlier == path)
                {
                    let message =
                        format!("{} and {} cannot share the path {path:?}", other.as_str(), signal.as_str());
                    report.error(at, message);
                }
            }
        }
        self.receiver
    }

    /// Whether a request's headers are kept by any of its protocols.
    pub(super) fn includes_metadata(&self) -> bool {
        let grpc = self.receiver.grpc.as_ref().is_some_and(|grpc| grpc.include_metadata);
        grpc || self.receiver.http.as_ref().is_some_and(|http| http.include_metadata)
    }
}

fn validation(fields: &Fields, report: &mut Report) -> Validation {
    match fields.text("validation") {
        "structure" | "" => Validation::Structure,
        "full" => Validation::Full,
        other => {
            report.error(
                fields.at("validation"),
                format!("invalid validation: {other:?} (allowed: structure, full)"),
            );
            Validation::Structure
        }
    }
}

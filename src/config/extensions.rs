//! `extensions`: the types there are, and which of them `service.extensions` starts.
//!
//! Stage: engine. Texts: Collector `service` v0.161.0 `extensions/config.go`, `config/configauth` v1.67.0,
//! `exporter/exporterhelper` v0.161.0 `internal/queue/persistent_queue.go`.

use std::sync::Arc;

use super::{
    components::Components,
    decode::Text,
    ids::Id,
    report::{At, Report},
    tree::Node,
};
use crate::model::settings::{HealthCheck, Storage};
use headers_setter::HeadersSetter;

mod file_storage;
mod headers_setter;
mod health_check;

/// The tables of all extensions.
#[cfg(test)]
pub(super) static TABLES: [&super::schema::Section; 4] = [
    &file_storage::FILE_STORAGE,
    &health_check::HEALTH_CHECK,
    &headers_setter::HEADERS_SETTER,
    &headers_setter::HEADER,
];

/// An extension of any type.
#[derive(Debug)]
pub(super) enum Extension {
    FileStorage(Storage),
    HealthCheck(HealthCheck),
    HeadersSetter(HeadersSetter),
}

/// The extensions that `service.extensions` names.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) health_check: Option<HealthCheck>,
    setters: Vec<HeadersSetter>,
    storages: Vec<Storage>,
}

/// Reads one extension of the type `kind`.
pub(super) fn read(kind: &str, id: Arc<str>, node: &Node, at: At, report: &mut Report) -> Extension {
    match kind {
        "file_storage" => Extension::FileStorage(file_storage::read(id, node, at, report)),
        "headers_setter" => Extension::HeadersSetter(headers_setter::read(id, node, at, report)),
        _ => Extension::HealthCheck(health_check::read(node, at, report)),
    }
}

impl Running {
    /// Picks what the list `names` at `at` starts.
    pub(super) fn of(
        names: &[Text],
        extensions: Components<Extension>,
        at: &At,
        report: &mut Report,
    ) -> Self {
        let used: Vec<usize> =
            names.iter().filter_map(|name| extensions.find(&name.text, &name.at, at, report)).collect();
        let mut running = Self { health_check: None, setters: Vec::new(), storages: Vec::new() };
        for (_, extension) in extensions.into_used(|index| used.contains(&index)) {
            match extension {
                Extension::FileStorage(storage) => running.storages.push(storage),
                Extension::HeadersSetter(setter) => running.setters.push(setter),
                Extension::HealthCheck(_) if running.health_check.is_some() => {
                    report
                        .error(at, "more than one health_check is not supported by this version of ringway");
                }
                Extension::HealthCheck(check) => running.health_check = Some(check),
            }
        }
        running
    }

    /// The authenticator that an exporter names. The Collector looks for it at start.
    pub(super) fn authenticator(&self, name: &Text, report: &mut Report) -> Option<&HeadersSetter> {
        let id = Id::parse(&name.text).map_err(|message| report.error(&name.at, message)).ok()?;
        if id.kind != "headers_setter" {
            let message = format!(
                "authenticator {:?} is not supported by this version of ringway: headers_setter is",
                id.to_string()
            );
            report.error(&name.at, message);
            return None;
        }
        let id = id.to_string();
        let found = self.setters.iter().find(|setter| *setter.id == *id);
        if found.is_none() {
            let message =
                format!("failed to resolve authenticator {id:?}: it is not in `service.extensions`");
            report.error(&name.at, message);
        }
        found
    }

    /// The storage that a queue names. The Collector looks for it at start.
    pub(super) fn storage(&self, name: &Text, report: &mut Report) -> Option<&Storage> {
        let id = Id::parse(&name.text).map_err(|message| report.error(&name.at, message)).ok()?;
        if ["headers_setter", "health_check"].contains(&id.kind.as_str()) {
            let message = format!("requested extension is not a storage extension: {:?}", id.to_string());
            report.error(&name.at, message);
            return None;
        }
        if id.kind != "file_storage" {
            let message = format!(
                "storage {:?} is not supported by this version of ringway: file_storage is",
                id.to_string()
            );
            report.error(&name.at, message);
            return None;
        }
        let id = id.to_string();
        let found = self.storages.iter().find(|storage| *storage.id == *id);
        if found.is_none() {
            let message = format!("no storage client extension found: {id:?} is not in `service.extensions`");
            report.error(&name.at, message);
        }
        found
    }
}

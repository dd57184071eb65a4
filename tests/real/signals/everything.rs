//! One request of each signal that uses every field of OTLP: `everything.json`.

use anyhow::Context as _;
use serde_json::Value;

/// The requests as JSON text, with the service's name left open.
pub(crate) const TEXT: &str = include_str!("everything.json");

/// The requests, from a service with this name.
///
/// # Errors
///
/// When the file is not what it should be.
pub(crate) fn requests(service: &str) -> anyhow::Result<Vec<(&'static str, Value)>> {
    let mut all: Value = serde_json::from_str(&TEXT.replace("@SERVICE@", service))?;
    let signals = ["traces", "metrics", "logs"];
    signals.into_iter().map(|signal| Ok((signal, all.get_mut(signal).context(signal)?.take()))).collect()
}

//! Headers of clients that are sent on: from the metadata of a batch to the headers of a request.
//!
//! Stage: backend, part of `transport`. Source of the rules: contrib `extension/headerssetterextension` v0.161.0, of which this
//! is `action: upsert` with `from_context`. A header that came several times goes on several times; there it fails the
//! export.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    model::{Metadata, settings::Forwarded},
    telemetry::{BackendMetrics, logs::LineLimit},
};

/// One line at a time, whichever backend it is about: what cannot be sent comes from one client as a rule.
static OMITTED: LineLimit = LineLimit::new();

/// Which headers are sent on, and under which names.
#[derive(Debug)]
pub(super) struct Forwarder {
    headers: Vec<Header>,
    metrics: BackendMetrics,
}

#[derive(Debug)]
struct Header {
    /// Towards the backend.
    name: HeaderName,
    /// In the client's request.
    from: Arc<str>,
    default: Option<HeaderValue>,
}

impl Forwarder {
    /// Sends on what is configured, except under names that the protocol keeps for itself. Such a name, and a default that no
    /// header can have, is left out with a warning.
    pub(super) fn new(
        forwarded: &[Forwarded],
        is_reserved: fn(&HeaderName) -> bool,
        metrics: &BackendMetrics,
    ) -> Self {
        let header = |one: &Forwarded| {
            let name = HeaderName::from_bytes(one.name.as_bytes()).ok().filter(|name| !is_reserved(name));
            let Some(name) = name else {
                tracing::warn!(header = &*one.name, "this header of clients cannot be sent on");
                return None;
            };
            let default = one.default.as_ref().and_then(|text| {
                let value = sensitive(text.as_bytes());
                if value.is_none() {
                    tracing::warn!(header = &*one.name, "the default of this header cannot be sent");
                }
                value
            });
            Some(Header { name, from: Arc::clone(&one.from), default })
        };
        Self { headers: forwarded.iter().filter_map(header).collect(), metrics: metrics.clone() }
    }

    /// Puts defaults in place of what `headers` has under the same names: requests without metadata need nothing more.
    pub(super) fn add_defaults(&self, headers: &mut HeaderMap) {
        for header in &self.headers {
            if let Some(default) = &header.default {
                headers.insert(header.name.clone(), default.clone());
            }
        }
    }

    /// What goes in place of the usual headers with one request. `None`: nothing.
    ///
    /// A value that cannot stand in a header is left out and counted: the data goes on without it.
    pub(super) fn headers(&self, metadata: &Metadata) -> Option<HeaderMap> {
        if metadata.is_empty() || self.headers.is_empty() {
            return None;
        }
        let mut headers = HeaderMap::with_capacity(self.headers.len());
        for header in &self.headers {
            for value in metadata.values(&header.from) {
                match sensitive(value) {
                    Some(value) => drop(headers.append(header.name.clone(), value)),
                    None => self.omit(&header.name),
                }
            }
        }
        Some(headers)
    }

    fn omit(&self, name: &HeaderName) {
        self.metrics.omitted_headers.inc();
        if let Some(suppressed) = OMITTED.allow() {
            tracing::warn!(header = %name, suppressed, "a client's header has a value that cannot be sent on");
        }
    }
}

/// A value that is not printed by whoever logs headers: many are credentials.
fn sensitive(value: &[u8]) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_bytes(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

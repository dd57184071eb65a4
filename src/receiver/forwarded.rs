//! What is kept of a request's headers: those that some exporter of its signal sends on, and nothing else.
//!
//! Stage: receiver. The Collector copies every header of every request with `include_metadata`; here a request costs
//! nothing unless an exporter asks for a header. Values are kept as they were on the wire, those of gRPC's `…-bin`
//! headers in Base64.
//!
//! `host` is what the client called the gateway: `:authority`, or the Host header (Collector
//! `config/confighttp/clientinfohandler.go`, `config/configgrpc/configgrpc.go`, v0.161.0).

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, header::HOST, request::Parts};

use crate::model::Metadata;

/// The headers that are kept, in the order in which they are asked for.
#[derive(Debug)]
pub(super) struct Forwarded(Box<[(Arc<str>, HeaderName)]>);

impl Forwarded {
    /// Keeps the headers of these names, which are in lower case. A name that no header can have is not looked for.
    pub(super) fn new(names: Vec<Arc<str>>) -> Self {
        let header =
            |name: Arc<str>| HeaderName::from_bytes(name.as_bytes()).ok().map(|header| (name, header));
        Self(names.into_iter().filter_map(header).collect())
    }

    /// The kept headers of one request.
    pub(super) fn of(&self, head: &Parts) -> Metadata {
        if self.0.is_empty() {
            return Metadata::default();
        }
        let mut pairs = Vec::new();
        for (name, header) in &self.0 {
            match head.uri.authority().filter(|_| header == HOST) {
                Some(authority) => pairs.push((Arc::clone(name), Arc::from(authority.as_str().as_bytes()))),
                None => pairs.extend(values(&head.headers, header).map(|value| (Arc::clone(name), value))),
            }
        }
        Metadata::new(pairs)
    }
}

fn values(headers: &HeaderMap, name: &HeaderName) -> impl Iterator<Item = Arc<[u8]>> {
    headers.get_all(name).into_iter().map(HeaderValue::as_bytes).map(Arc::from)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    /// What is kept of a request that has every kind of header.
    #[track_caller]
    fn check(uri: &str, names: &[&str], expect: &[(&str, &str)]) {
        let head = Request::post(uri)
            .header("host", "from.header")
            .header("X-Tenant", "a")
            .header("x-tenant", "b")
            .header("x-empty", "")
            .header("authorization", "Bearer s")
            .body(())
            .unwrap()
            .into_parts()
            .0;
        let kept = Forwarded::new(names.iter().copied().map(Arc::from).collect()).of(&head);
        let pairs: Vec<_> =
            kept.pairs().iter().map(|(name, value)| (&**name, std::str::from_utf8(value).unwrap())).collect();
        assert_eq!(pairs, expect);
    }

    // Scenario: exporters ask for headers that are there once, twice, empty or not at all, for the host, for nothing.
    // Guarantees: what was asked for, all its values, in that order, and nothing else.
    #[test]
    fn only_what_is_asked_for_is_kept() {
        check("/v1/traces", &[], &[]);
        check("/v1/traces", &["missing", "no header"], &[]);
        check(
            "/v1/traces",
            &["x-tenant", "x-empty"],
            &[("x-tenant", "a"), ("x-tenant", "b"), ("x-empty", "")],
        );
        check("/v1/traces", &["host"], &[("host", "from.header")]);
        check("http://from.authority:1/x", &["host"], &[("host", "from.authority:1")]);
    }
}

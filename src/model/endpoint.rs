//! One member of a backend pool: the text that is hashed and the address that is dialled.
//!
//! Stage: vocabulary. The two are different on purpose: the ring hashes the text exactly as the resolver
//! produced it, the default port is added for dialling only (the Collector does the same; see
//! `exporter/loadbalancingexporter` v0.161.0, `endpointWithPort`).

use std::sync::Arc;

/// The port that is dialled when an endpoint names none.
const DEFAULT_PORT: &str = "4317";

/// A backend as a resolver reported it, or the one of an exporter without a resolver.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    identity: Arc<str>,
    dial: Arc<str>,
}

impl Endpoint {
    /// Makes an endpoint from a resolver's text, which is kept untouched as the identity.
    pub fn new(identity: &str) -> Self {
        Self { identity: identity.into(), dial: with_port(identity).into() }
    }

    /// Makes an endpoint that is hashed as one text and dialled at another, which gets the default port if it has none.
    pub fn with_dial(identity: &str, dial: &str) -> Self {
        Self { identity: identity.into(), dial: with_port(dial).into() }
    }

    /// The text that is hashed onto the ring, byte for byte what the resolver produced.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// What is connected to: `host:port`, `unix:///path`, or the whole URL of OTLP/HTTP.
    pub fn dial(&self) -> &str {
        &self.dial
    }

    /// Its name in logs and messages, and the value of the metric label `endpoint`: what is dialled, without the query
    /// of a URL, in which some vendors expect a credential.
    pub fn label(&self) -> &str {
        self.dial.split('?').next().unwrap_or_default()
    }
}

/// Adds the default port where none is written.
///
/// A bare IPv6 address contains colons but no port; the Collector leaves it alone and then dials port 443.
/// Here it gets brackets and 4317 like every other address.
fn with_port(text: &str) -> String {
    if text.contains("://") || text.starts_with("unix:") {
        return text.to_owned();
    }
    if text.parse::<std::net::Ipv6Addr>().is_ok() {
        return format!("[{text}]:{DEFAULT_PORT}");
    }
    let has_port = match text.rsplit_once(':') {
        Some((_, tail)) => !tail.ends_with(']'),
        None => false,
    };
    if has_port { text.to_owned() } else { format!("{text}:{DEFAULT_PORT}") }
}

#[cfg(test)]
mod tests {
    use super::Endpoint;

    #[track_caller]
    fn check(identity: &str, dial: &str) {
        let endpoint = Endpoint::new(identity);
        assert_eq!(endpoint.identity(), identity);
        assert_eq!(endpoint.dial(), dial);
    }

    // Scenario: endpoints with and without ports, IPv6 in both spellings, other gRPC targets.
    // Guarantees: the identity never changes; only an address without a port gets 4317 for dialling.
    #[test]
    fn default_port_is_for_dialling_only() {
        check("backend-1", "backend-1:4317");
        check("backend-1:4318", "backend-1:4318");
        check("10.0.0.7", "10.0.0.7:4317");
        check("::1", "[::1]:4317");
        check("fd00::12", "[fd00::12]:4317");
        check("[fd00::12]", "[fd00::12]:4317");
        check("[fd00::12]:55", "[fd00::12]:55");
        check("unix:///run/otlp.sock", "unix:///run/otlp.sock");
        check("https://h:1", "https://h:1");
        check("http://h/v1/traces", "http://h/v1/traces");
        let pod = Endpoint::with_dial("sampler-0", "10.0.0.7");
        assert_eq!((pod.identity(), pod.dial()), ("sampler-0", "10.0.0.7:4317"));
    }

    // Scenario: a URL with a key in its query.
    // Guarantees: the query is dialled and never shown.
    #[test]
    fn a_query_is_not_shown() {
        let endpoint = Endpoint::new("http://h:4318/v1/traces?key=secret");
        assert_eq!(endpoint.dial(), "http://h:4318/v1/traces?key=secret");
        assert_eq!(endpoint.label(), "http://h:4318/v1/traces");
        assert_eq!(Endpoint::new("h").label(), "h:4317");
    }
}

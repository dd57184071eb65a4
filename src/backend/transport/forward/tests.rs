//! Tests of which headers go on, and as what.

use super::*;
use crate::{
    model::{Signal, settings::Secret},
    net::client::owns_header,
    telemetry::Metrics,
};

fn forwarder(list: &[(&str, &str, Option<&str>)], metrics: &Metrics) -> Forwarder {
    let forwarded: Vec<_> = list
        .iter()
        .map(|(name, from, default)| Forwarded {
            name: (*name).into(),
            from: (*from).into(),
            default: default.map(Secret::new),
        })
        .collect();
    Forwarder::new(&forwarded, owns_header, &metrics.only_backend("otlp", "b:1", Signal::Traces))
}

fn metadata(pairs: &[(&str, &[u8])]) -> Metadata {
    Metadata::new(pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
}

fn shown(headers: &HeaderMap) -> Vec<(&str, &[u8])> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
}

// Scenario: headers under the same and another name, one that came twice, one that did not come, one nobody asked for.
// Guarantees: exactly the values that came in go out, under the configured names; nothing is made up for a missing one.
#[test]
fn values_go_on_as_they_came() {
    let forwarder = forwarder(
        &[("x-scope-orgid", "tenant", None), ("zone", "zone", Some("eu")), ("absent", "absent", None)],
        &Metrics::new(),
    );
    let headers =
        forwarder.headers(&metadata(&[("tenant", b"a"), ("other", b"o"), ("tenant", b"b\xe9")])).unwrap();
    assert_eq!(shown(&headers), [("x-scope-orgid", b"a".as_slice()), ("x-scope-orgid", b"b\xe9")]);
    assert!(forwarder.headers(&Metadata::default()).is_none());
    let mut usual = HeaderMap::new();
    usual.insert("zone", HeaderValue::from_static("configured"));
    forwarder.add_defaults(&mut usual);
    assert_eq!(shown(&usual), [("zone", b"eu".as_slice())]);
}

// Scenario: values with a line break and a NUL, beside a good one; names that gRPC and HTTP/2 keep for themselves.
// Guarantees: no value can break out of its header; what is left out is counted, the rest goes on.
#[test]
fn nothing_breaks_out_of_its_header() {
    let metrics = Metrics::new();
    let forwarder = forwarder(
        &[
            ("tenant", "tenant", None),
            ("grpc-timeout", "tenant", None),
            ("te", "tenant", None),
            (":path", "tenant", None),
            ("host", "tenant", None),
            ("a b", "tenant", None),
        ],
        &metrics,
    );
    let pairs: [(&str, &[u8]); 3] =
        [("tenant", b"a\r\nx-admin: 1"), ("tenant", b"good"), ("tenant", b"nul\0")];
    let headers = forwarder.headers(&metadata(&pairs)).unwrap();
    assert_eq!(shown(&headers), [("tenant", b"good".as_slice())]);
    let line = "ringway_backend_omitted_headers{endpoint=\"b:1\",exporter=\"otlp\",signal=\"traces\"} 2";
    assert!(metrics.text().lines().any(|found| found == line), "{}", metrics.text());
}

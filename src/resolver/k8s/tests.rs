//! Tests of the Kubernetes resolver, and the slices they are made of.

mod slices;

use std::time::Duration;

use k8s_openapi::{
    api::{
        core::v1::ObjectReference,
        discovery::v1::{Endpoint as ListedEndpoint, EndpointConditions, EndpointPort, EndpointSlice},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use crate::model::settings::{Family, Identity, K8s, ServicePort};

/// `samplers.observability`, as configured with nothing else.
fn settings() -> K8s {
    K8s {
        service: "samplers".into(),
        namespace: Some("observability".into()),
        ports: Vec::new(),
        timeout: Some(Duration::from_secs(60)),
        return_hostnames: false,
        identity: Identity::Address,
        use_not_ready: false,
        every_address: false,
        family: Family::V4,
        kubeconfig: None,
        resync: Duration::from_secs(600),
    }
}

fn ports(ports: &[&str]) -> Vec<ServicePort> {
    let port =
        |text: &&str| text.parse().map_or_else(|_| ServicePort::Name((*text).into()), ServicePort::Number);
    ports.iter().map(port).collect()
}

/// A slice of addresses that Kubernetes could have written. The family is that of the first address.
fn slice(name: &str, entries: impl IntoIterator<Item = ListedEndpoint>) -> EndpointSlice {
    let endpoints: Vec<_> = entries.into_iter().collect();
    let is_v6 = endpoints.first().is_some_and(|one| one.addresses.iter().any(|text| text.contains(':')));
    EndpointSlice {
        address_type: if is_v6 { "IPv6" } else { "IPv4" }.to_owned(),
        endpoints,
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some([("kubernetes.io/service-name".to_owned(), "samplers".to_owned())].into()),
            ..ObjectMeta::default()
        },
        ports: Some(vec![port("otlp", Some(4317))]),
    }
}

fn port(name: &str, number: Option<i32>) -> EndpointPort {
    EndpointPort { name: Some(name.to_owned()), port: number, ..EndpointPort::default() }
}

/// A ready endpoint: `address`, `address uid` or `address uid hostname`; after it `!` for not ready, `~` for terminating and
/// serving, `x` for terminating and not serving.
#[track_caller]
fn entry(text: &str) -> ListedEndpoint {
    let mark = text.chars().last().filter(|mark| "!~x".contains(*mark));
    let (ready, serving, terminating) = match mark {
        None => (true, true, false),
        Some('!') => (false, false, false),
        Some('~') => (false, true, true),
        Some(_) => (false, false, true),
    };
    let mut words = text.trim_end_matches(['!', '~', 'x']).split(' ');
    let address = words.next().unwrap();
    let target = |uid: &str| ObjectReference { uid: Some(uid.to_owned()), ..ObjectReference::default() };
    ListedEndpoint {
        addresses: vec![address.to_owned()],
        conditions: Some(EndpointConditions {
            ready: Some(ready),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        target_ref: words.next().map(target),
        hostname: words.next().map(str::to_owned),
        ..ListedEndpoint::default()
    }
}

//! Tests of the Kubernetes resolver, and the slices they are made of.

mod api;
mod client;
mod faults;
mod properties;
mod slices;
mod watch;

use std::time::Duration;

use k8s_openapi::{
    api::{
        core::v1::ObjectReference,
        discovery::v1::{Endpoint as ListedEndpoint, EndpointConditions, EndpointPort, EndpointSlice},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use tokio::sync::watch::Receiver;

use super::{client::Place, watch::follow};
use crate::{
    model::settings::{Family, Identity, K8s, ServicePort},
    resolver::{
        State, Status,
        source::{Answer, tests::publisher},
    },
    tasks::Tasks,
    telemetry::ResolverMetrics,
};
use api::Api;

/// A resolver that follows a Service, and what is seen of it.
struct Seen {
    answers: Receiver<Option<Answer>>,
    status: Status,
    metrics: ResolverMetrics,
    tasks: Tasks,
}

impl Seen {
    /// Follows the Service of an API server without sockets.
    fn new(settings: K8s, api: &Api) -> Self {
        Self::at(settings, Place::Given(api.client()))
    }

    fn at(settings: K8s, place: Place) -> Self {
        let (publisher, answers, status, metrics) = publisher("k8s");
        let tasks = Tasks::new();
        tasks.spawn("resolver", follow(settings, place, publisher));
        Self { answers, status, metrics, tasks }
    }

    /// Waits until the endpoints are these.
    async fn set(&mut self, expect: &[&str]) {
        let is_expected =
            |answer: &Option<Answer>| answer.as_ref().is_some_and(|answer| identities(answer) == expect);
        let wait = tokio::time::timeout(Duration::from_secs(900), self.answers.wait_for(is_expected)).await;
        let is_there = wait.is_ok_and(|answer| answer.is_ok());
        assert!(is_there, "{:?}, not {expect:?}; {:?}", self.now(), self.status.snapshot());
    }

    /// The endpoints now.
    fn now(&self) -> Vec<String> {
        self.answers.borrow().as_ref().map_or_else(Vec::new, identities)
    }

    fn state(&self) -> State {
        self.status.snapshot().state
    }

    /// Code and sentence of the present failure.
    fn failure(&self) -> (&'static str, String) {
        self.status.snapshot().failure.unwrap_or_default()
    }
}

fn identities(answer: &Answer) -> Vec<String> {
    answer.endpoints.iter().map(|one| one.identity().to_owned()).collect()
}

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

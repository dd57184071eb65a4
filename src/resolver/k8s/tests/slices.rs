//! What slices mean: tables.

use super::{entry, port, ports, settings, slice};
use crate::{
    model::settings::{Family, Identity, K8s},
    resolver::{
        k8s::slices::{Omitted, Slice, answer},
        source::{Absence, Answer},
    },
};
use k8s_openapi::api::discovery::v1::{EndpointConditions, EndpointSlice};

pub(super) fn read(settings: &K8s, slices: &[EndpointSlice]) -> (Answer, Omitted) {
    let kept: Vec<Slice> = slices.iter().cloned().map(Slice::from).collect();
    answer(settings, "observability", &kept)
}

/// Endpoints as `identity` or `identity>dial`; suspects with `?` in front.
fn texts(answer: &Answer) -> Vec<String> {
    let endpoint = |one: &crate::model::Endpoint| match (one.identity(), one.dial()) {
        (identity, dial) if dial == identity || dial == format!("{identity}:4317") => identity.to_owned(),
        (identity, dial) => format!("{identity}>{dial}"),
    };
    let suspects = answer.suspects.iter().map(|identity| format!("?{identity}"));
    answer.endpoints.iter().map(endpoint).chain(suspects).collect()
}

#[track_caller]
fn check(settings: &K8s, slices: &[EndpointSlice], expect: &[&str]) {
    let (answer, _) = read(settings, slices);
    assert_eq!(texts(&answer), expect);
    assert_eq!(answer.absence, Absence::Deleted);
}

fn of(entries: &[&str]) -> Vec<EndpointSlice> {
    vec![slice("a", entries.iter().map(|text| entry(text)))]
}

// Scenario: one slice with ready, not ready and terminating endpoints; conditions that are not said.
// Guarantees: what is ready and not terminating is used, what is not ready is suspect, what terminates is neither; nil is ready.
#[test]
fn ready_endpoints_are_used() {
    let slices = of(&["10.0.0.3", "10.0.0.1", "10.0.0.2!", "10.0.0.4~", "10.0.0.5x"]);
    check(&settings(), &slices, &["10.0.0.1", "10.0.0.3", "?10.0.0.2"]);
    let mut silent = of(&["10.0.0.1", "10.0.0.2"]);
    silent[0].endpoints[0].conditions = None;
    silent[0].endpoints[1].conditions = Some(EndpointConditions::default());
    check(&settings(), &silent, &["10.0.0.1", "10.0.0.2"]);
}

// Scenario: `publishNotReadyAddresses` forces `ready` on terminating pods too.
// Guarantees: they leave all the same.
#[test]
fn terminating_endpoints_leave_even_if_ready_is_forced() {
    let mut slices = of(&["10.0.0.1", "10.0.0.2~"]);
    slices[0].endpoints[1].conditions.as_mut().unwrap().ready = Some(true);
    check(&settings(), &slices, &["10.0.0.1"]);
}

// Scenario: nothing is ready: some endpoints terminate and still serve; none does; nothing is listed; there is no slice.
// Guarantees: those that serve stand in, only for as long as nothing is ready; otherwise the answer is empty, with the suspects.
#[test]
fn the_ladder_ends_with_nothing() {
    check(&settings(), &of(&["10.0.0.1!", "10.0.0.2~", "10.0.0.3x"]), &["10.0.0.2", "?10.0.0.1"]);
    check(&settings(), &of(&["10.0.0.1!", "10.0.0.3x"]), &["?10.0.0.1"]);
    check(&settings(), &of(&[]), &[]);
    check(&settings(), &[], &[]);
}

// Scenario: `not_ready: use`, as Collectors up to v0.160.0.
// Guarantees: everything that is listed is used; nothing is suspect.
#[test]
fn everything_is_used_if_asked_for() {
    let settings = K8s { use_not_ready: true, ..settings() };
    let slices = of(&["10.0.0.1", "10.0.0.2!", "10.0.0.3~", "10.0.0.4x"]);
    check(&settings, &slices, &["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]);
}

// Scenario: a dual-stack Service; one pod has an IPv6 address only, and one slice is behind the other about readiness.
// Guarantees: one backend for each pod with the address of the preferred family, also while slices disagree; the Collector's
// two for each pod with `dual_stack: all`.
#[test]
fn a_pod_of_two_families_is_one_backend() {
    let slices = [
        slice("v4", ["10.0.0.1 one", "10.0.0.2 two!"].map(entry)),
        slice("v6", ["fd00::1 one", "fd00::2 two", "fd00::3 three"].map(entry)),
    ];
    check(&settings(), &slices, &["10.0.0.1", "10.0.0.2", "fd00::3>[fd00::3]:4317"]);
    let v6 = K8s { family: Family::V6, ports: ports(&["4317"]), ..settings() };
    check(&v6, &slices, &["[fd00::1]:4317", "[fd00::2]:4317", "[fd00::3]:4317"]);
    let all = K8s { every_address: true, ports: ports(&["4317"]), ..settings() };
    let both = ["10.0.0.1:4317", "[fd00::1]:4317", "[fd00::2]:4317", "[fd00::3]:4317", "?10.0.0.2:4317"];
    check(&all, &slices, &both);
}

// Scenario: a hand-written entry with two addresses.
// Guarantees: the first is the endpoint; with `dual_stack: all` each is, as in the Collector.
#[test]
fn the_first_address_counts() {
    let mut slices = of(&["10.0.0.1 one"]);
    slices[0].endpoints[0].addresses.push("10.0.0.9".to_owned());
    check(&settings(), &slices, &["10.0.0.1"]);
    check(&K8s { every_address: true, ..settings() }, &slices, &["10.0.0.1", "10.0.0.9"]);
    slices[0].endpoints[0].addresses.clear();
    check(&settings(), &slices, &[]);
}

// Scenario: no port, several numbers; IPv4 and IPv6.
// Guarantees: the Collector's texts: raw without a port, `ip:port`, `[v6]:port`; what the slice says of ports does not matter.
#[test]
fn texts_are_the_collectors() {
    let slices = [slice("a", [entry("10.0.0.1")]), slice("b", [entry("fd00::1")])];
    check(&settings(), &slices, &["10.0.0.1", "fd00::1>[fd00::1]:4317"]);
    let two = K8s { ports: ports(&["4317", "55690"]), ..settings() };
    check(&two, &slices, &["10.0.0.1:4317", "10.0.0.1:55690", "[fd00::1]:4317", "[fd00::1]:55690"]);
}

// Scenario: a port by name; its number differs from slice to slice; one slice has it without number, one not at all.
// Guarantees: each slice's own number; the default port without one; what does not have the port is left out and counted.
#[test]
fn named_ports_are_read_in_each_slice() {
    let mut slices =
        ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"].map(|address| slice(address, [entry(address)]));
    slices[1].ports = Some(vec![port("other", Some(1)), port("otlp", Some(14317))]);
    slices[2].ports = Some(vec![port("otlp", None)]);
    slices[3].ports = None;
    let named = K8s { ports: ports(&["otlp"]), ..settings() };
    check(&named, &slices, &["10.0.0.1:4317", "10.0.0.2:14317", "10.0.0.3"]);
    assert_eq!(read(&named, &slices).1, Omitted { without_port: 1, ..Omitted::default() });
}

// Scenario: `return_hostnames`, with and without port; a pod in both families, one without hostname, one not ready.
// Guarantees: `<hostname>.<service>.<namespace>[:port]` once for each pod; those without a hostname are left out and counted.
#[test]
fn hostnames_are_the_collectors() {
    let slices = [
        slice("v4", ["10.0.0.1 one s-0", "10.0.0.2 two", "10.0.0.3 three s-1!"].map(entry)),
        slice("v6", ["fd00::1 one s-0"].map(entry)),
    ];
    let names = K8s { return_hostnames: true, ..settings() };
    check(&names, &slices, &["s-0.samplers.observability", "?s-1.samplers.observability"]);
    assert_eq!(read(&names, &slices).1, Omitted { without_hostname: 1, ..Omitted::default() });
    let ported = K8s { ports: ports(&["4317"]), every_address: true, ..names };
    check(&ported, &slices, &["s-0.samplers.observability:4317", "?s-1.samplers.observability:4317"]);
}

// Scenario: `identity: pod` with a StatefulSet's pod, a Deployment's pod and a bare address; then its pod is replaced.
// Guarantees: hostname, else uid, else address is hashed; the address is dialled; a restarted StatefulSet pod keeps its identity,
// and the one that is ready is dialled.
#[test]
fn a_pod_is_known_by_its_name() {
    let pods = K8s { identity: Identity::Pod, ..settings() };
    let slices = of(&["10.0.0.1 one s-0", "10.0.0.2 two", "10.0.0.3"]);
    check(&pods, &slices, &["10.0.0.3", "s-0>10.0.0.1:4317", "two>10.0.0.2:4317"]);
    check(
        &pods,
        &of(&["10.0.0.1 one s-0~", "10.0.0.9 nine s-0", "10.0.0.2 two"]),
        &["s-0>10.0.0.9:4317", "two>10.0.0.2:4317"],
    );
    // The successor is not ready yet: the same member, suspect.
    check(
        &pods,
        &of(&["10.0.0.1 one s-0~", "10.0.0.9 nine s-0!", "10.0.0.2 two"]),
        &["two>10.0.0.2:4317", "?s-0"],
    );
    check(&pods, &of(&["10.0.0.1 one s-0~", "10.0.0.9 nine s-0!"]), &["s-0>10.0.0.1:4317"]);
    let two = K8s { ports: ports(&["4317", "otlp"]), every_address: true, ..pods };
    check(&two, &of(&["10.0.0.1 one s-0"]), &["s-0:4317>10.0.0.1:4317", "s-0:otlp>10.0.0.1:4317"]);
}

// Scenario: a Deployment whose pods all have one hostname, with `identity: pod`.
// Guarantees: they stay backends of their own, known by uid, and that is counted.
#[test]
fn a_shared_hostname_names_nobody() {
    let pods = K8s { identity: Identity::Pod, ..settings() };
    let slices = of(&["10.0.0.1 one web", "10.0.0.2 two web", "10.0.0.3 three web!"]);
    check(&pods, &slices, &["one>10.0.0.1:4317", "two>10.0.0.2:4317", "?three"]);
    assert_eq!(read(&pods, &slices).1.shared_hostname, 2);
}

// Scenario: the same pod in two slices with different conditions; the same address in two pods of the host's network.
// Guarantees: one endpoint; ready beats the rest.
#[test]
fn duplicates_are_one_endpoint() {
    let slices = [slice("a", [entry("10.0.0.1 one!")]), slice("b", [entry("10.0.0.1 one")])];
    check(&settings(), &slices, &["10.0.0.1"]);
    let slices = [slice("a", [entry("10.0.0.1 one~")]), slice("b", [entry("10.0.0.1 one!")])];
    check(&settings(), &slices, &["?10.0.0.1"]);
    check(&settings(), &of(&["10.0.0.1 one", "10.0.0.1 two!"]), &["10.0.0.1"]);
}

// Scenario: a slice of type FQDN, and one of a type that is not known.
// Guarantees: they are left out and counted; the others are used.
#[test]
fn host_names_are_no_addresses() {
    let mut slices = [slice("a", [entry("10.0.0.1")]), slice("b", [entry("backend.example")])];
    slices[1].address_type = "FQDN".to_owned();
    check(&settings(), &slices, &["10.0.0.1"]);
    assert_eq!(read(&settings(), &slices).1, Omitted { fqdn_slices: 1, ..Omitted::default() });
}

// Scenario: 250 pods over three slices.
// Guarantees: all are there.
#[test]
fn all_slices_count() {
    let addresses: Vec<String> =
        (0..250).map(|number| format!("10.0.{}.{}", number / 100, number % 100)).collect();
    let slices: Vec<_> =
        addresses.chunks(100).map(|part| slice("part", part.iter().map(|text| entry(text)))).collect();
    assert_eq!(slices.len(), 3);
    let (answer, _) = read(&settings(), &slices);
    let mut sorted = addresses;
    sorted.sort();
    assert_eq!(texts(&answer), sorted);
}

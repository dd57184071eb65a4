//! What slices mean: properties, against a naive reading of the rules.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::discovery::v1::{Endpoint as ListedEndpoint, EndpointConditions, EndpointSlice};
use proptest::prelude::*;

use super::{entry, port, ports, settings, slice, slices::read};
use crate::model::settings::{Family, Identity, K8s, ServicePort};

/// The rules, read one after the other without regard to cost.
fn naive(settings: &K8s, slices: &[EndpointSlice]) -> (BTreeMap<String, String>, BTreeSet<String>) {
    /// Of one address of one entry: is of the other family, rank, address, ports, hostname.
    type Fact = (bool, u8, String, Vec<Result<u16, ()>>, Option<String>);
    let mut pods: BTreeMap<String, Vec<Fact>> = BTreeMap::new();
    for slice in slices.iter().filter(|slice| slice.address_type != "FQDN") {
        let is_other = (slice.address_type == "IPv6") != (settings.family == Family::V6);
        let named = |name: &str| {
            slice
                .ports
                .iter()
                .flatten()
                .find(|port| port.name.as_deref() == Some(name))
                .and_then(|port| port.port)
        };
        let ports = settings.ports.iter().map(|port| match port {
            ServicePort::Number(number) => Ok(*number),
            ServicePort::Name(name) => named(name).map(|number| u16::try_from(number).unwrap()).ok_or(()),
        });
        let ports: Vec<_> = ports.collect();
        for one in &slice.endpoints {
            let said = one.conditions.clone().unwrap_or_default();
            let rank = if said.terminating == Some(true) {
                if said.serving == Some(false) { 3 } else { 2 }
            } else {
                u8::from(said.ready == Some(false))
            };
            let is_each = settings.every_address && settings.identity == Identity::Address;
            let uid = one.target_ref.as_ref().and_then(|target| target.uid.clone());
            for address in if is_each { &one.addresses[..] } else { &one.addresses[..1] } {
                let pod = if is_each { None } else { uid.clone() }.unwrap_or_else(|| address.clone());
                let fact = (is_other, rank, address.clone(), ports.clone(), one.hostname.clone());
                pods.entry(pod).or_default().push(fact);
            }
        }
    }
    let rank = |facts: &[Fact]| facts.iter().map(|fact| fact.1).min().unwrap();
    let best = |facts: &[Fact]| facts.iter().min().unwrap().clone();
    let host =
        |facts: &[Fact]| best(facts).4.or_else(|| facts.iter().filter_map(|fact| fact.4.clone()).min());
    let usable_rank: Vec<u8> = match () {
        () if settings.use_not_ready => vec![0, 1, 2, 3],
        () if pods.values().any(|facts| rank(facts) == 0) => vec![0],
        () => vec![2],
    };
    let shares = |name: &str| {
        pods.values().filter(|facts| rank(facts) <= 1 && host(facts).as_deref() == Some(name)).count() > 1
    };
    let backends = |pod: &str, facts: &[Fact]| {
        let (_, _, address, ports, _) = best(facts);
        let to = match (settings.return_hostnames, host(facts)) {
            (true, None) => return Vec::new(),
            (true, Some(name)) => format!("{name}.samplers.observability"),
            (false, _) => address,
        };
        let name = host(facts).filter(|name| !shares(name)).unwrap_or_else(|| pod.to_owned());
        let bracketed = |text: &str| if text.contains(':') { format!("[{text}]") } else { text.to_owned() };
        let mut made = Vec::new();
        if settings.ports.is_empty() {
            let identity = if settings.identity == Identity::Pod { name } else { to.clone() };
            return vec![(identity, to)];
        }
        for (port, number) in settings.ports.iter().zip(ports) {
            let Ok(number) = number else { continue };
            let dial = format!("{}:{number}", bracketed(&to));
            let suffix = match port {
                ServicePort::Number(number) => number.to_string(),
                ServicePort::Name(name) => name.to_string(),
            };
            let identity = match settings.identity {
                Identity::Address => dial.clone(),
                Identity::Pod if settings.ports.len() > 1 => format!("{}:{suffix}", bracketed(&name)),
                Identity::Pod => name.clone(),
            };
            made.push((identity, dial));
        }
        made
    };
    let mut ranked: BTreeMap<String, (u8, String)> = BTreeMap::new();
    for (pod, facts) in pods.iter().filter(|(_, facts)| usable_rank.contains(&rank(facts))) {
        for (identity, dial) in backends(pod, facts) {
            let dial = crate::model::Endpoint::with_dial("", &dial).dial().to_owned();
            let candidate = (rank(facts), dial);
            let kept = ranked.entry(identity).or_insert_with(|| candidate.clone());
            *kept = kept.clone().min(candidate);
        }
    }
    let endpoints: BTreeMap<_, _> =
        ranked.into_iter().map(|(identity, (_, dial))| (identity, dial)).collect();
    let suspects = pods.iter().filter(|(_, facts)| rank(facts) == 1 && !usable_rank.contains(&1));
    let suspects = suspects.flat_map(|(pod, facts)| backends(pod, facts)).map(|(identity, _)| identity);
    let suspects = suspects.filter(|identity| !endpoints.contains_key(identity)).collect();
    (endpoints, suspects)
}

fn entries() -> impl Strategy<Value = ListedEndpoint> {
    let said = || prop_oneof![Just(None), Just(Some(true)), Just(Some(false))];
    let conditions = (said(), said(), said()).prop_map(|(ready, serving, terminating)| EndpointConditions {
        ready,
        serving,
        terminating,
    });
    let name =
        |stem: &'static str| prop::option::of((0..4).prop_map(move |number| format!("{stem}{number}")));
    (prop::option::of(conditions), name("uid-"), name("s-"), prop::collection::vec(1..5_u8, 1..3)).prop_map(
        |(conditions, uid, hostname, numbers)| {
            let mut one = entry(&uid.map_or_else(|| "0".to_owned(), |uid| format!("0 {uid}")));
            one.addresses = numbers.iter().map(u8::to_string).collect();
            (one.conditions, one.hostname) = (conditions, hostname);
            one
        },
    )
}

/// Slices of both families, and one in ten that is refused.
fn slices() -> impl Strategy<Value = Vec<EndpointSlice>> {
    let one = (0..10_u8, prop::option::of(4000..4003_i32), prop::collection::vec(entries(), 0..5)).prop_map(
        |(family, number, mut endpoints)| {
            let prefix = if family < 5 { "10.0.0." } else { "fd00::" };
            for one in &mut endpoints {
                one.addresses.iter_mut().for_each(|address| *address = format!("{prefix}{address}"));
            }
            let mut slice = slice("any", endpoints);
            slice.address_type = ["IPv4", "IPv6", "FQDN"][usize::from(family / 5 + family / 9)].to_owned();
            slice.ports = number.map(|number| vec![port("otlp", Some(number))]);
            slice
        },
    );
    prop::collection::vec(one, 0..5)
}

fn any_settings() -> impl Strategy<Value = K8s> {
    let list = prop::sample::select(vec![vec![], vec!["4317"], vec!["otlp"], vec!["4317", "otlp"]]);
    (any::<[bool; 5]>(), list).prop_map(|([names, pods, unready, each, v6], list)| K8s {
        ports: ports(&list),
        return_hostnames: names,
        identity: if pods { Identity::Pod } else { Identity::Address },
        use_not_ready: unready,
        every_address: each,
        family: if v6 { Family::V6 } else { Family::V4 },
        ..settings()
    })
}

proptest! {
    // Scenario: any slices, under any settings.
    // Guarantees: the answer is the one that the rules give when they are followed naively; sorted, each identity once.
    #[test]
    fn the_answer_is_that_of_the_rules(settings in any_settings(), slices in slices()) {
        let (answer, _) = read(&settings, &slices);
        let (endpoints, suspects) = naive(&settings, &slices);
        let got: Vec<_> = answer.endpoints.iter().map(|one| (one.identity().to_owned(), one.dial().to_owned())).collect();
        prop_assert_eq!(got, endpoints.into_iter().collect::<Vec<_>>());
        let got: Vec<_> = answer.suspects.iter().map(|identity| identity.to_string()).collect();
        prop_assert_eq!(got, suspects.into_iter().collect::<Vec<_>>());
    }

    // Scenario: any slices; the same in another order, with their entries in another order.
    // Guarantees: the same answer.
    #[test]
    fn order_does_not_matter(settings in any_settings(), slices in slices(), by in 0..5_usize) {
        let mut other = slices.clone();
        other.reverse();
        other.rotate_left(by.min(slices.len()));
        for slice in &mut other {
            let by = by.min(slice.endpoints.len());
            slice.endpoints.rotate_left(by);
            slice.endpoints.reverse();
        }
        prop_assert_eq!(read(&settings, &slices), read(&settings, &other));
    }

    // Scenario: an endpoint moves to another slice of its kind: it is in both for a moment.
    // Guarantees: the same answer before, meanwhile and afterwards.
    #[test]
    fn moves_between_slices_are_not_seen(settings in any_settings(), slices in slices(), at in any::<prop::sample::Index>()) {
        let filled: Vec<_> = (0..slices.len()).filter(|&at| !slices[at].endpoints.is_empty()).collect();
        if filled.is_empty() {
            return Ok(());
        }
        let from = *at.get(&filled);
        let moving = slices[from].endpoints[at.index(slices[from].endpoints.len())].clone();
        let before = read(&settings, &slices).0;
        let mut steps = slices.clone();
        let new = EndpointSlice { endpoints: vec![moving.clone()], ..slices[from].clone() };
        steps.push(new);
        prop_assert_eq!(&read(&settings, &steps).0, &before);
        steps[from].endpoints.retain(|one| *one != moving);
        prop_assert_eq!(&read(&settings, &steps).0, &before);
    }
}

//! `resolver.dns`: every address of a name, A and AAAA.
//!
//! Stage: resolver. [`Source`] is the task: when to look, what an answer adds up to, and what a failure means; [`lookup`] is one
//! look; [`host`] is how this machine resolves names.
//!
//! **When.** The time to live of an answer decides when to look again, between two bounds. Nothing is kept longer than that, and
//! nothing is cached here: a time to live that counts down in a caching server is taken as it is.
//!
//! **What.** The two families are asked for at once. That a name has no records of one family is an answer. That one family
//! *cannot be asked* is not: its last addresses stay while the other's are followed, and the failure is counted. Otherwise a
//! server that fails for AAAA alone would take every IPv6 member off the ring, or stop IPv4 ones from being followed. Without
//! a single address there is no answer, whatever the reason, as in the Collector: what was known stays.

mod host;
mod lookup;
#[cfg(test)]
mod tests;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{
    EndpointSet,
    pace::Pace,
    source::{Absence, Answer, Failure, Publisher, sorted},
};
use crate::model::{Endpoint, settings};
pub(super) use host::Host;
use lookup::{Found, Names, Records};

/// So many answers in a row with the same single address are no accident.
const LONELY_ANSWERS: u32 = 3;

/// Looks a name up until nobody listens any more.
#[derive(Debug)]
pub(super) struct Source<N> {
    settings: settings::Dns,
    publisher: Publisher,
    names: N,
    last: Last,
    pace: Pace,
    alone: Alone,
}

/// The last good answer.
#[derive(Debug, Default)]
struct Last {
    /// The name of the search list that gave it.
    name: Option<Arc<str>>,
    v4: Vec<Ipv4Addr>,
    v6: Vec<Ipv6Addr>,
}

/// Watches for a Service with an address of its own where one without was meant.
#[derive(Debug, Default)]
struct Alone {
    address: Option<IpAddr>,
    answers: u32,
    is_reported: bool,
}

impl<N: Names> Source<N> {
    pub(super) fn new(settings: settings::Dns, publisher: Publisher, names: N) -> Self {
        let pace = Pace::new(settings.min_interval, settings.max_interval);
        Self { settings, publisher, names, last: Last::default(), pace, alone: Alone::default() }
    }

    pub(super) async fn follow(mut self) {
        loop {
            let deadline = Instant::now() + self.settings.timeout;
            let last = self.last.name.as_deref();
            let looked = tokio::select! {
                // A lookup is dropped half-way: nobody would hear of it.
                () = self.publisher.closed() => return,
                looked = lookup::look(&mut self.names, &self.settings.hostname, last, deadline) => looked,
            };
            let wait = match looked {
                Ok(found) => self.found(found),
                Err(failure) => {
                    self.publisher.failed(failure);
                    self.pace.failed()
                }
            };
            tokio::select! {
                () = self.publisher.closed() => return,
                () = sleep(wait) => {}
            }
        }
    }

    /// Publishes what was found. Returns when to look again.
    fn found(&mut self, found: Found) -> Duration {
        if self.last.name != found.name {
            // Another name's addresses are not this one's.
            self.last = Last { name: found.name.clone(), ..Last::default() };
        }
        let ttl = [ttl(&found.v4), ttl(&found.v6)].into_iter().flatten().min();
        let failed = [keep(&mut self.last.v4, found.v4), keep(&mut self.last.v6, found.v6)];
        let addresses: Vec<IpAddr> = (self.last.v4.iter().copied().map(IpAddr::V4))
            .chain(self.last.v6.iter().copied().map(IpAddr::V6))
            .collect();
        if let Some(name) = &found.name
            && self.alone.is_suspicious(name, &addresses)
        {
            tracing::warn!(
                %name,
                address = ?addresses.first(),
                "the name has one address only, and looks like a Kubernetes Service: if the Service has a cluster IP, its \
                 pods are hidden behind that address, so there is one backend and no balancing by key; make the Service \
                 headless (clusterIP: None), or use the k8s resolver"
            );
        }
        let answer = Answer {
            endpoints: endpoints(&addresses, self.settings.port.as_deref()),
            suspects: Vec::new(),
            absence: Absence::Unexplained,
        };
        match failed.into_iter().flatten().next() {
            Some(failure) => self.publisher.answer_in_part(answer, &failure),
            None => drop(self.publisher.answer(answer)),
        }
        self.pace.answered(ttl)
    }
}

// === impl Alone ===

impl Alone {
    /// Whether this answer is the one to warn of.
    fn is_suspicious(&mut self, name: &str, addresses: &[IpAddr]) -> bool {
        let alone = match addresses {
            [address] if looks_like_a_service(name) => Some(*address),
            _ => None,
        };
        let is_same = alone.is_some() && alone == self.address;
        self.answers = if is_same { self.answers.saturating_add(1) } else { 1 };
        self.address = alone;
        let is_due = alone.is_some() && self.answers >= LONELY_ANSWERS && !self.is_reported;
        self.is_reported |= is_due;
        is_due
    }
}

/// `<service>.<namespace>.svc`, with or without the cluster's domain. Source: Kubernetes, "DNS for Services and Pods".
fn looks_like_a_service(name: &str) -> bool {
    name.split('.').nth(2).is_some_and(|label| label.eq_ignore_ascii_case("svc"))
}

/// How long records are good; those of a family without records say nothing about the others.
fn ttl<T>(records: &Result<Records<T>, Failure>) -> Option<Duration> {
    records.as_ref().ok().filter(|records| !records.addresses.is_empty()).and_then(|records| records.ttl)
}

/// Takes the new addresses of a family, or keeps the last ones and says why.
fn keep<T>(last: &mut Vec<T>, new: Result<Records<T>, Failure>) -> Option<Failure> {
    match new {
        Ok(records) => *last = records.addresses,
        Err(failure) if lookup::is_definite(&failure) => last.clear(),
        Err(failure) => return Some(failure),
    }
    None
}

/// The texts of the Collector, sorted bytewise, duplicates kept. Source: contrib `loadbalancingexporter` v0.161.0,
/// `resolver_dns.go`, `resolve`: IPv6 in brackets; an IPv4 address in IPv6 clothes is IPv4, as for Go's `To4`.
fn endpoints(addresses: &[IpAddr], port: Option<&str>) -> EndpointSet {
    let text = |address: &IpAddr| {
        let host = match address.to_canonical() {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        match port {
            Some(port) => Endpoint::new(&format!("{host}:{port}")),
            None => Endpoint::new(&host),
        }
    };
    sorted(addresses.iter().map(text).collect())
}

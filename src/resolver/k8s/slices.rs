//! EndpointSlices in, one answer out: which endpoints of a Service are backends, and what each is on the ring.
//!
//! Stage: resolver. Pure functions over every slice that is known now; never an edit of the last result, because an endpoint may
//! be in two slices, or move between them. The order of slices, and of endpoints in them, does not matter.
//!
//! A *pod* is what one backend is: all entries with one `targetRef.uid` (a pod has one in the IPv4 slice and one in the IPv6
//! slice), or one address. Readiness belongs to the pod, so its best entry counts; otherwise a pod would change its address for
//! as long as one of the two slices is behind.
//!
//! Sources: Kubernetes 1.37 `discovery/v1` types; the exporter's `resolver_k8s.go` and `resolver_k8s_handler.go` (v0.161.0) for
//! the texts.

use std::{borrow::Cow, cmp::Ordering, collections::HashMap, sync::Arc};

use k8s_openapi::api::discovery::v1::{Endpoint as ListedEndpoint, EndpointPort, EndpointSlice};

use crate::{
    model::{
        Endpoint,
        settings::{Family, Identity, K8s, ServicePort},
    },
    resolver::source::{Absence, Answer},
};

/// What is kept of an EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    /// `None`: of a type whose addresses mean nothing (`FQDN`).
    family: Option<Family>,
    ports: Box<[Port]>,
    entries: Box<[Entry]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Port {
    /// That of the Service's port; empty if it has none.
    name: Box<str>,
    /// What the pods listen on.
    number: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// One, if the slice is Kubernetes' own.
    addresses: Box<[Box<str>]>,
    hostname: Option<Box<str>>,
    uid: Option<Box<str>>,
    condition: Condition,
}

/// What may be done with an endpoint; the first is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Condition {
    Ready,
    NotReady,
    /// Terminating, and still serving.
    Draining,
    Leaving,
}

/// What was left out, for the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Omitted {
    /// Slices with host names in place of addresses.
    pub(super) fqdn_slices: usize,
    /// Usable endpoints without a hostname where `return_hostnames` asks for it.
    pub(super) without_hostname: usize,
    /// Usable endpoints whose slice does not have a port of the configured name.
    pub(super) without_port: usize,
    /// Usable pods that are known by their uid because another one has the same hostname.
    pub(super) shared_hostname: usize,
}

/// One address of one entry. The order decides which of a pod's addresses is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Listed<'a> {
    pod: &'a str,
    is_other_family: bool,
    condition: Condition,
    address: &'a str,
    ports: &'a [SlicePort],
    hostname: Option<&'a str>,
}

/// A configured port, as one slice has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum SlicePort {
    Number(u16),
    /// The slice has its name without a number: the default port.
    Default,
    Missing,
}

// === impl Slice ===

impl From<EndpointSlice> for Slice {
    fn from(slice: EndpointSlice) -> Self {
        let family = match slice.address_type.as_str() {
            "IPv4" => Some(Family::V4),
            "IPv6" => Some(Family::V6),
            _ => None,
        };
        let ports = slice.ports.unwrap_or_default().into_iter().map(Port::from).collect();
        Self { family, ports, entries: slice.endpoints.into_iter().map(Entry::from).collect() }
    }
}

impl Slice {
    /// The configured ports, as this slice has them.
    fn ports(&self, configured: &[ServicePort]) -> Vec<SlicePort> {
        let port = |port: &ServicePort| match port {
            ServicePort::Number(number) => SlicePort::Number(*number),
            ServicePort::Name(name) => {
                self.ports.iter().find(|port| *port.name == **name).map_or(SlicePort::Missing, |port| {
                    port.number.map_or(SlicePort::Default, SlicePort::Number)
                })
            }
        };
        configured.iter().map(port).collect()
    }
}

impl From<EndpointPort> for Port {
    fn from(port: EndpointPort) -> Self {
        let number = port.port.and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0);
        Self { name: port.name.unwrap_or_default().into(), number }
    }
}

impl From<ListedEndpoint> for Entry {
    fn from(endpoint: ListedEndpoint) -> Self {
        // What is not said: ready, serving, not terminating.
        let conditions = endpoint.conditions.unwrap_or_default();
        let is_terminating = conditions.terminating.unwrap_or(false);
        let condition = match (is_terminating, conditions.ready, conditions.serving) {
            (false, Some(false), _) => Condition::NotReady,
            (false, _, _) => Condition::Ready,
            (true, _, Some(false)) => Condition::Leaving,
            (true, _, _) => Condition::Draining,
        };
        Self {
            addresses: endpoint.addresses.into_iter().map(String::into_boxed_str).collect(),
            hostname: endpoint.hostname.filter(|hostname| !hostname.is_empty()).map(Into::into),
            uid: endpoint
                .target_ref
                .and_then(|target| target.uid)
                .filter(|uid| !uid.is_empty())
                .map(Into::into),
            condition,
        }
    }
}

/// The answer that all slices of a Service give together, and what is not in it.
///
/// Usable is what is ready and not terminating (everything, with `use_not_ready`). If nothing is, what is terminating and still
/// serving stands in; if there is no such thing either, the answer is empty. What is listed, neither usable nor terminating, is
/// suspect. What is terminating is neither: it leaves at once.
///
/// Sorts once: n log n in the number of addresses.
pub(super) fn answer<'a>(
    settings: &K8s,
    namespace: &str,
    slices: impl IntoIterator<Item = &'a Slice>,
) -> (Answer, Omitted) {
    let mut omitted = Omitted::default();
    let mut known = Vec::new();
    for slice in slices {
        match slice.family {
            Some(family) => known.push((slice, family != settings.family, slice.ports(&settings.ports))),
            None => omitted.fqdn_slices += 1,
        }
    }
    let mut listed: Vec<Listed<'_>> = Vec::new();
    for (slice, is_other_family, ports) in &known {
        for entry in &slice.entries {
            listed.extend(entry.listed(settings, *is_other_family, ports));
        }
    }
    listed.sort_unstable();
    let pods: Vec<Listed<'_>> =
        listed.chunk_by(|left, right| left.pod == right.pod).filter_map(pod).collect();

    let is_ready = |pod: &Listed<'_>| settings.use_not_ready || pod.condition == Condition::Ready;
    let is_any_ready = pods.iter().any(is_ready);
    let is_usable =
        |pod: &Listed<'_>| if is_any_ready { is_ready(pod) } else { pod.condition == Condition::Draining };
    let texts = Texts { settings, namespace, shared: shared_hostnames(settings, &pods) };

    let mut usable: Vec<(Condition, Endpoint)> = Vec::with_capacity(pods.len());
    for pod in pods.iter().filter(|pod| is_usable(pod)) {
        texts.write(pod, &mut omitted, |endpoint| usable.push((pod.condition, endpoint)));
    }
    // Pods that are one on the ring (a StatefulSet's pod and its successor): the better one is dialled.
    usable.sort_unstable_by(|(left_condition, left), (right_condition, right)| {
        let by_condition = left_condition.cmp(right_condition);
        left.identity().cmp(right.identity()).then(by_condition).then_with(|| left.dial().cmp(right.dial()))
    });
    let mut endpoints: Vec<Endpoint> = usable.into_iter().map(|(_, endpoint)| endpoint).collect();
    endpoints.dedup_by(|later, first| later.identity() == first.identity());

    let mut suspects: Vec<Arc<str>> = Vec::new();
    let is_suspect = |pod: &Listed<'_>| pod.condition == Condition::NotReady && !is_usable(pod);
    for pod in pods.iter().filter(|pod| is_suspect(pod)) {
        texts.write(pod, &mut Omitted::default(), |endpoint| {
            let identity = endpoint.identity();
            if endpoints.binary_search_by(|usable| usable.identity().cmp(identity)).is_err() {
                suspects.push(identity.into());
            }
        });
    }
    suspects.sort_unstable();
    suspects.dedup();
    (Answer { endpoints, suspects, absence: Absence::Deleted }, omitted)
}

/// What all entries of one pod say, best address first: that address, and the best condition of any.
fn pod<'a>(entries: &[Listed<'a>]) -> Option<Listed<'a>> {
    let first = entries.first()?;
    let condition = entries.iter().map(|entry| entry.condition).min()?;
    let hostname = first.hostname.or_else(|| entries.iter().filter_map(|entry| entry.hostname).min());
    Some(Listed { condition, hostname, ..*first })
}

/// How often each hostname stands for a pod that is not on its way out, where hostnames are what is hashed.
///
/// In a StatefulSet each has one such pod. Where a Deployment gives all its pods one hostname, it does not tell them apart.
fn shared_hostnames<'a>(settings: &K8s, pods: &[Listed<'a>]) -> HashMap<&'a str, usize> {
    let mut counts = HashMap::new();
    if settings.identity == Identity::Pod {
        let staying = pods.iter().filter(|pod| pod.condition <= Condition::NotReady);
        for hostname in staying.filter_map(|pod| pod.hostname) {
            *counts.entry(hostname).or_insert(0) += 1;
        }
        counts.retain(|_, count| *count > 1);
    }
    counts
}

// === impl Entry ===

impl Entry {
    /// Its addresses that count.
    fn listed<'a>(
        &'a self,
        settings: &K8s,
        is_other_family: bool,
        ports: &'a [SlicePort],
    ) -> impl Iterator<Item = Listed<'a>> {
        // A pod that is hashed by its name is one backend.
        let is_each = settings.every_address && settings.identity == Identity::Address;
        let addresses = self.addresses.iter().take(if is_each { usize::MAX } else { 1 });
        addresses.map(move |address| Listed {
            pod: self.uid.as_deref().filter(|_| !is_each).unwrap_or(address),
            is_other_family,
            condition: self.condition,
            address,
            ports,
            hostname: self.hostname.as_deref(),
        })
    }
}

/// Writes what is hashed and what is dialled.
#[derive(Debug)]
struct Texts<'a> {
    settings: &'a K8s,
    namespace: &'a str,
    shared: HashMap<&'a str, usize>,
}

impl Texts<'_> {
    /// The endpoints of a pod: one for each configured port, or one.
    fn write(&self, pod: &Listed<'_>, omitted: &mut Omitted, mut put: impl FnMut(Endpoint)) {
        let settings = self.settings;
        let host = match (settings.return_hostnames, pod.hostname) {
            (false, _) => Cow::Borrowed(pod.address),
            (true, Some(hostname)) => {
                Cow::Owned(format!("{hostname}.{}.{}", settings.service, self.namespace))
            }
            (true, None) => {
                omitted.without_hostname += 1;
                return;
            }
        };
        let name = match (settings.identity, pod.hostname) {
            (Identity::Address, _) => None,
            (Identity::Pod, Some(hostname)) if !self.shared.contains_key(hostname) => Some(hostname),
            (Identity::Pod, hostname) => {
                omitted.shared_hostname += usize::from(hostname.is_some());
                Some(pod.pod)
            }
        };
        if settings.ports.is_empty() {
            put(endpoint(name.map(Cow::Borrowed), &host));
        }
        for (port, in_slice) in settings.ports.iter().zip(pod.ports) {
            let dial = match in_slice {
                SlicePort::Number(number) => with_port(&host, number),
                SlicePort::Default => host.clone(),
                SlicePort::Missing => {
                    omitted.without_port += 1;
                    continue;
                }
            };
            let name = name.map(|name| match (settings.ports.len().cmp(&1), port) {
                // Several backends of one pod, told apart by what is configured.
                (Ordering::Greater, ServicePort::Number(number)) => with_port(name, number),
                (Ordering::Greater, ServicePort::Name(port)) => with_port(name, port),
                _ => Cow::Borrowed(name),
            });
            put(endpoint(name, &dial));
        }
    }
}

fn endpoint(name: Option<Cow<'_, str>>, dial: &str) -> Endpoint {
    name.map_or_else(|| Endpoint::new(dial), |name| Endpoint::with_dial(&name, dial))
}

/// As Go's `net.JoinHostPort` does it.
fn with_port(host: &str, port: impl std::fmt::Display) -> Cow<'static, str> {
    Cow::Owned(if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
}

//! What is compared: one case for each signal and key, its requests, and where the oracle says their items go.

use std::collections::{BTreeMap, BTreeSet};

use ringway::ring::Ring;

use super::compare::{Arrivals, Expected};
use crate::adversarial::{Generator, ROUTING_ATTRIBUTES};
use crate::agreement::items;
use crate::load::Export;
use crate::routing::{self, Key, Missing, Routed, Routes};

/// Requests of each case, and items in each of them (metrics without points come on top).
const REQUESTS: usize = 84;
const REQUEST_ITEMS: usize = 60;

/// The items of each case are numbered from a multiple of this.
const NUMBERS: u64 = 1_000_000;

/// A signal of OTLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    Traces,
    Logs,
    Metrics,
}

/// One signal by one key.
#[derive(Debug)]
pub(super) struct Case {
    /// What it sends.
    pub(super) signal: Signal,
    /// `routing_key` in the configuration; the attributes are those of the key.
    pub(super) routing_key: &'static str,
    /// The same for the oracle.
    pub(super) key: Key<'static>,
    /// Where the numbers of its items begin.
    first: u64,
    /// What is sent.
    pub(super) requests: Vec<Export>,
}

/// All pairs of signal and key that the Collector allows.
pub(super) fn all() -> Vec<Case> {
    const BY_KEY: &[(Signal, &str, Key<'static>)] = &[
        (Signal::Traces, "traceID", Key::TraceId),
        (Signal::Traces, "service", Key::ServiceSegment),
        (Signal::Logs, "service", Key::ServiceName),
        (Signal::Logs, "resource", Key::Resource),
        (Signal::Logs, "traceID", Key::TraceIdHex),
        (Signal::Metrics, "service", Key::ServiceName),
        (Signal::Metrics, "resource", Key::Resource),
        (Signal::Metrics, "metric", Key::Metric),
        (Signal::Metrics, "streamID", Key::Stream),
    ];
    let by_attributes = [Signal::Traces, Signal::Logs, Signal::Metrics].into_iter().flat_map(|signal| {
        ROUTING_ATTRIBUTES.iter().map(move |names| (signal, "attributes", Key::Attributes(names)))
    });
    let all = BY_KEY.iter().copied().chain(by_attributes);
    (1_u64..)
        .zip(all)
        .map(|(seed, (signal, routing_key, key))| {
            let first = seed * NUMBERS;
            let mut generator = Generator::numbered_from(first, seed);
            let one = |_| match signal {
                Signal::Traces => Export::Traces(generator.traces(REQUEST_ITEMS)),
                Signal::Logs => Export::Logs(generator.logs(REQUEST_ITEMS)),
                Signal::Metrics => Export::Metrics(generator.metrics(REQUEST_ITEMS)),
            };
            Case { signal, routing_key, key, first, requests: (0..REQUESTS).map(one).collect() }
        })
        .collect()
}

impl Case {
    /// For people.
    pub(super) fn name(&self) -> String {
        match self.key {
            Key::Attributes(names) => format!("{:?} by attributes {names:?}", self.signal),
            _ => format!("{:?} by {}", self.signal, self.routing_key),
        }
    }

    /// What the oracle says of all items of a request.
    pub(super) fn routes(&self, request: &Export) -> Routes {
        match request {
            Export::Traces(request) => routing::traces(request, self.key, Missing::Compatible),
            Export::Logs(request) => routing::logs(request, self.key, Missing::Compatible),
            Export::Metrics(request) => routing::metrics(request, self.key, Missing::Compatible),
        }
    }

    /// The same with backends in place of keys.
    pub(super) fn expected(&self, ring: &Ring) -> BTreeMap<u64, Expected> {
        let mut all = BTreeMap::new();
        for request in &self.requests {
            let mut expected: BTreeMap<u64, Expected> = BTreeMap::new();
            for (number, routed) in self.routes(request) {
                let backend = match routed {
                    Routed::By(key) => Expected::At(ring.slot_of(&key).unwrap_or(usize::MAX), key),
                    Routed::Random => Expected::Anywhere,
                    Routed::Dropped => Expected::Nowhere,
                };
                expected.insert(number, backend);
            }
            let pointless = pointless(request);
            let company: BTreeSet<usize> = expected
                .iter()
                .filter(|(number, _)| !pointless.contains(*number))
                .filter_map(|(_, expected)| expected.owner())
                .collect();
            for number in pointless {
                if let Some(Expected::At(owner, key)) = expected.get(&number)
                    && !company.contains(owner)
                {
                    expected.insert(number, Expected::Hollow(*owner, key.clone()));
                }
            }
            all.extend(expected);
        }
        all
    }

    /// How many spans, records and points have to arrive.
    pub(super) fn delivered(&self) -> usize {
        let routes = self.requests.iter().flat_map(|request| {
            let pointless = pointless(request);
            self.routes(request).into_iter().filter(move |(number, _)| !pointless.contains(number))
        });
        routes.filter(|(_, routed)| *routed != Routed::Dropped).count()
    }

    /// The part of the arrivals that belongs to this case.
    pub(super) fn of(&self, arrivals: &Arrivals) -> Arrivals {
        let numbers = self.first..self.first + NUMBERS;
        arrivals.range(numbers).map(|(number, arrived)| (*number, arrived.clone())).collect()
    }

    /// What every item holds.
    pub(super) fn contents(&self) -> BTreeMap<u64, u64> {
        self.requests.iter().flat_map(items::of).map(|item| (item.number, item.contents)).collect()
    }

    /// One line about what was compared.
    pub(super) fn account(
        &self,
        expected: &BTreeMap<u64, Expected>,
        theirs: &Arrivals,
        ours: &Arrivals,
    ) -> String {
        let backends = |arrivals: &Arrivals, number| -> Vec<usize> {
            arrivals.get(number).into_iter().flatten().map(|(sink, _)| *sink).collect()
        };
        let keyed = expected.iter().filter(|(_, expected)| matches!(expected, Expected::At(..)));
        let (all, same) = keyed.fold((0, 0), |(all, same), (number, _)| {
            let (theirs, ours) = (backends(theirs, number), backends(ours, number));
            (all + 1, same + usize::from(theirs == ours && !ours.is_empty()))
        });
        let mut line = format!("agreement: {}: {same} of {all} items at the same backend", self.name());
        let count = |is: fn(&Expected) -> bool| expected.values().filter(|expected| is(expected)).count();
        let others = [
            (count(|it| *it == Expected::Anywhere), "records without trace id go anywhere and are left out"),
            (
                count(|it| matches!(it, Expected::Hollow(..))),
                "metrics without points or company are sent by the Collector and dropped by ringway",
            ),
            (count(|it| *it == Expected::Nowhere), "dropped by both"),
        ];
        for (count, what) in others.iter().filter(|(count, _)| *count > 0) {
            line += &format!("; {count} {what}");
        }
        line
    }
}

/// Metrics without points.
fn pointless(request: &Export) -> BTreeSet<u64> {
    let Export::Metrics(request) = request else { return BTreeSet::new() };
    let scopes = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    let metrics = scopes.flat_map(|scope| &scope.metrics);
    metrics.filter(|metric| routing::points(metric).is_empty()).map(routing::metric_number).collect()
}

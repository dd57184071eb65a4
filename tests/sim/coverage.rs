//! Whether the seeds reach what they are for: a law that is never tried holds by nothing.

use std::collections::BTreeSet;

use ringway::model::Code;

use crate::{
    ledger::{End, Event, Why},
    run::Run,
};

/// Something that can happen in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Feat {
    /// An attempt ended without an answer, and certainly or perhaps was processed.
    SafeFailure,
    AmbiguousFailure,
    /// A backend said to come again later.
    Busy,
    /// An item was processed twice.
    Double,
    /// An item is nowhere, for a good reason.
    Lost,
    /// A client was refused because a queue or the budget was full, or there was no backend.
    QueueFull,
    MemoryFull,
    NoBackend,
    Poison,
    TooLarge,
    Partial,
    Refused,
    /// Items were handed back by a backend.
    Rerouted,
    /// A backend's keys went elsewhere, and came back.
    Ejection,
    Recovery,
    Probe,
    SetChange,
    /// An attempt was cut off.
    CutOff,
    /// Retries ended.
    GivenUp,
}

/// All of them.
const FEATS: [Feat; 19] = [
    Feat::SafeFailure,
    Feat::AmbiguousFailure,
    Feat::Busy,
    Feat::Double,
    Feat::Lost,
    Feat::QueueFull,
    Feat::MemoryFull,
    Feat::NoBackend,
    Feat::Poison,
    Feat::TooLarge,
    Feat::Partial,
    Feat::Refused,
    Feat::Rerouted,
    Feat::Ejection,
    Feat::Recovery,
    Feat::Probe,
    Feat::SetChange,
    Feat::CutOff,
    Feat::GivenUp,
];

/// What happened in a run.
pub(crate) fn of(run: &Run) -> BTreeSet<Feat> {
    let mut seen = BTreeSet::new();
    let mut processed = BTreeSet::new();
    let mut accepted = BTreeSet::new();
    for (at, event) in &run.book.events {
        match event {
            Event::Began { items, .. } if items.is_empty() => {
                seen.insert(Feat::Probe);
            }
            Event::Ended { end, .. } => seen.extend(of_end(end)),
            Event::Processed { items, .. } => {
                let again = items.iter().filter(|id| !processed.insert(**id)).count();
                seen.extend((again > 0).then_some(Feat::Double));
            }
            Event::Accepted { items, .. } => accepted.extend(items.iter().copied()),
            Event::Refused { code, whole: true, .. } => {
                let feat = match *code {
                    code if code == Code::QueueFull.as_str() => Feat::QueueFull,
                    code if code == Code::MemoryFull.as_str() => Feat::MemoryFull,
                    _ => Feat::NoBackend,
                };
                seen.insert(feat);
            }
            Event::Condemned { why, .. } => {
                let feat = match why {
                    Why::Poison => Feat::Poison,
                    Why::TooLarge => Feat::TooLarge,
                    Why::Partial => Feat::Partial,
                    Why::Code => Feat::Refused,
                };
                seen.insert(feat);
            }
            Event::Set { .. } if !at.is_zero() => {
                seen.insert(Feat::SetChange);
            }
            _ => {}
        }
    }
    if !accepted.is_subset(&processed) {
        seen.insert(Feat::Lost);
    }
    let counted = [
        (Feat::Rerouted, "ringway_backend_rerouted_items", ""),
        (Feat::Ejection, "ringway_router_ejections", ""),
        (Feat::Recovery, "ringway_router_recoveries", ""),
        (Feat::GivenUp, "ringway_backend_dropped_items", "reason=\"unavailable\""),
    ];
    for (feat, name, label) in counted {
        let is_it = |line: &&str| line.starts_with(name) && line.contains(label);
        if run.metrics.lines().filter(is_it).any(|line| !line.ends_with(" 0")) {
            seen.insert(feat);
        }
    }
    seen
}

const fn of_end(end: &End) -> Option<Feat> {
    match end {
        End::Safe(_) => Some(Feat::SafeFailure),
        End::Ambiguous(_) => Some(Feat::AmbiguousFailure),
        End::Answered { retryable: true, .. } => Some(Feat::Busy),
        End::Dropped => Some(Feat::CutOff),
        End::Taken { .. } | End::Answered { .. } => None,
    }
}

/// What never happened.
pub(crate) fn missing(seen: &BTreeSet<Feat>) -> Vec<Feat> {
    FEATS.into_iter().filter(|feat| !seen.contains(feat)).collect()
}

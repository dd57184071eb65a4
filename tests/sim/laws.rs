//! What must be true of every run, whatever its faults. Numbers are those of [`Law`].
//!
//! | law | what |
//! |---|---|
//! | conservation | for each signal: items taken = delivered + dropped + queued, by the gateway's own metrics, in which nothing is queued at the end; the Collector's counters agree; and the gateway counts as delivered exactly what it was told is delivered |
//! | no loss | each acknowledged item was processed by a backend, or a backend refused it for good, or the configuration lets it go (retries that end, `ambiguous: drop`); who is merged with a poisoned or too large item is not lost with it; and exactly the items that are lost are counted as dropped |
//! | no double | an item that was delivered is not sent again, unless its client itself sent it again; it was not processed more often than attempts ended well or ambiguously; what a refused request held was not taken |
//! | survivors | a backend that nothing ever happened to saw every item once, and no attempt at it ended without an answer |
//! | owner | every attempt went to the owner of the keys of all its items, by a ring over an endpoint set that was in force since the item was offered; to a successor only while all before it had failed; none began after the backend had left the set, and none went on beyond the drain timeout |
//! | memory | what is held stays within the budget, and nothing is held at the end |
//! | drain | what is left when everything works again is delivered within the deadline |
//! | tasks | no task and no part is left over |
//! | end | the gateway ends |

mod conservation;
mod items;
mod owner;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt, time::Duration};

use ringway::model::{Code, Signal};

use crate::{
    items::Id,
    ledger::{At, End, Event},
    run::Run,
};

/// A line of the table above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Law {
    Conservation,
    NoLoss,
    NoDouble,
    Survivors,
    Owner,
    Memory,
    Drain,
    Tasks,
    End,
}

/// A law that was broken, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) law: Law,
    pub(crate) what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}: {}", self.law, self.what)
    }
}

/// One attempt, both ends together.
#[derive(Clone, Debug)]
struct Attempt {
    signal: usize,
    backend: usize,
    items: Vec<Id>,
    began: At,
    /// `None`: it has no end.
    ended: Option<(At, End)>,
}

/// What a run's events say, put in order.
struct Facts<'a> {
    run: &'a Run,
    /// By number.
    attempts: BTreeMap<u64, Attempt>,
    /// Attempts with an item, in the order of their beginnings.
    attempts_of: BTreeMap<Id, Vec<u64>>,
    /// Backends that processed an item, in the order of time.
    processed: BTreeMap<Id, Vec<(At, usize)>>,
    /// Items that were acknowledged.
    accepted: BTreeMap<Id, At>,
    /// Offers of an item that may have been taken, and the first one of all.
    offers: BTreeMap<Id, Offers>,
    /// Backends that something was done to.
    struck: Vec<usize>,
    /// Endpoint sets, with the time since when.
    sets: Vec<(At, Vec<usize>)>,
}

#[derive(Clone, Copy, Debug)]
struct Offers {
    first: At,
    /// Not refused as a whole.
    taken: usize,
}

/// The violations of a run, all of them.
pub(crate) fn check(run: &Run) -> Vec<Violation> {
    let facts = Facts::new(run);
    let mut found = Vec::new();
    if let Some(error) = &run.error {
        found.push(Violation { law: Law::End, what: error.clone() });
    }
    let Some(ended) = &run.ended else {
        found.push(Violation { law: Law::End, what: "the gateway did not end".to_owned() });
        return found;
    };
    if !ended.in_time {
        found.push(Violation { law: Law::Drain, what: format!("not drained: {ended:?}") });
    }
    if ended.tasks > 0 || ended.parts > 0 {
        found.push(Violation { law: Law::Tasks, what: format!("left over: {ended:?}") });
    }
    let memory = run.memory;
    if memory.peak > memory.budget || memory.at_end > 0 {
        found.push(Violation { law: Law::Memory, what: format!("{memory:?}") });
    }
    conservation::check(&facts, &mut found);
    items::check(&facts, &mut found);
    owner::check(&facts, &mut found);
    found
}

impl<'a> Facts<'a> {
    fn new(run: &'a Run) -> Self {
        let mut facts = Self {
            run,
            attempts: BTreeMap::new(),
            attempts_of: BTreeMap::new(),
            processed: BTreeMap::new(),
            accepted: BTreeMap::new(),
            offers: BTreeMap::new(),
            struck: Vec::new(),
            sets: Vec::new(),
        };
        let mut requests: BTreeMap<u64, Vec<Id>> = BTreeMap::new();
        for (at, event) in &run.book.events {
            facts.add(*at, event, &mut requests);
        }
        facts
    }

    fn add(&mut self, at: At, event: &Event, requests: &mut BTreeMap<u64, Vec<Id>>) {
        match event {
            Event::Offered { request, items, .. } => {
                for id in items {
                    self.offers.entry(*id).or_insert(Offers { first: at, taken: 0 });
                }
                requests.insert(*request, items.clone());
            }
            Event::Accepted { items, .. } => {
                for id in items {
                    self.accepted.insert(*id, at);
                    self.was_taken(*id);
                }
            }
            Event::Refused { request, whole, .. } => {
                for id in requests.get(request).filter(|_| !whole).into_iter().flatten() {
                    self.was_taken(*id);
                }
            }
            Event::Began { attempt, signal, backend, items } => {
                let one = Attempt {
                    signal: *signal,
                    backend: *backend,
                    items: items.clone(),
                    began: at,
                    ended: None,
                };
                self.attempts.insert(*attempt, one);
                for id in items {
                    self.attempts_of.entry(*id).or_default().push(*attempt);
                }
            }
            Event::Ended { attempt, end } => {
                if let Some(attempt) = self.attempts.get_mut(attempt) {
                    attempt.ended = Some((at, end.clone()));
                }
            }
            Event::Processed { backend, items } => {
                for id in items {
                    self.processed.entry(*id).or_default().push((at, *backend));
                }
            }
            Event::Set { backends } => self.sets.push((at, backends.clone())),
            Event::Fault { backend, .. } => self.struck.push(*backend),
            Event::Condemned { .. } | Event::Healed | Event::Drain => {}
        }
    }

    fn was_taken(&mut self, id: Id) {
        if let Some(offers) = self.offers.get_mut(&id) {
            offers.taken += 1;
        }
    }

    fn attempts_with(&self, id: Id) -> impl Iterator<Item = &Attempt> {
        self.attempts_of.get(&id).into_iter().flatten().filter_map(|number| self.attempts.get(number))
    }

    /// Whether an acknowledgement means delivery; then a failure may come after some of the request was delivered.
    fn waits_for_delivery(&self) -> bool {
        use ringway::model::settings::Acknowledge;
        self.run.exporter.backend.queue.acknowledge == Acknowledge::Delivered
    }
}

impl Attempt {
    /// Whether it may have been processed although nobody was told so.
    const fn is_ambiguous(&self) -> bool {
        matches!(
            self.ended,
            None | Some((_, End::Ambiguous(_) | End::Dropped | End::Answered { ambiguous: true, .. }))
        )
    }

    const fn is_taken(&self) -> bool {
        matches!(self.ended, Some((_, End::Taken { .. })))
    }

    /// When it ended, or never.
    fn end(&self) -> At {
        self.ended.as_ref().map_or(Duration::MAX, |(at, _)| *at)
    }
}

/// Some of many, for a message.
fn some<T: fmt::Debug>(all: &[T]) -> String {
    let few: Vec<&T> = all.iter().take(5).collect();
    format!("{} such, as {few:?}", all.len())
}

/// Every reason for which items are dropped.
fn reasons() -> Vec<&'static str> {
    Code::ALL.iter().map(|code| code.as_str()).collect()
}

fn signal_name(index: usize) -> &'static str {
    Signal::ALL[index].as_str()
}

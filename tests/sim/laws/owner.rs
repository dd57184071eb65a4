//! The law of owners: data goes to nobody but the backend that its key belongs to.
//!
//! A part is queued for the owner by the table of that moment, and stays there until that owner leaves or is skipped. So the
//! owner by any endpoint set that was in force between the offer of the item and the attempt is right. Who may have been
//! skipped is concluded from the attempts alone: a member is in trouble from the beginning of an attempt that does not end
//! well to the end of the next one that does.

use std::{collections::BTreeMap, time::Duration};

use ringway::{
    model::{
        Signal,
        settings::{Destination, RingGeneration},
    },
    ring::Ring,
};

use super::{Attempt, Facts, Law, Violation, some};
use crate::{
    items::key_bytes,
    ledger::{At, End},
};

/// From the change of an endpoint set until the last request by the table before it.
const SWITCH: Duration = Duration::from_millis(100);

/// From the first success until the keys are back, and what is handed back meanwhile has found its way: the keeper looks four
/// times a second.
const RECOVERY: Duration = Duration::from_millis(500);

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Violation>) {
    let mut rings = Rings::new(facts);
    let mut wrong = Vec::new();
    let mut gone = Vec::new();
    let mut late = Vec::new();
    for attempt in facts.attempts.values() {
        for id in &attempt.items {
            let item = facts.run.book.item(*id);
            let offered = facts.offers.get(id).map_or(attempt.began, |offers| offers.first);
            let key = key_bytes(Signal::ALL[attempt.signal], item.key);
            if !rings.may_own(attempt, offered, &key) {
                wrong.push((*id, attempt.backend, attempt.began, offered));
            }
        }
        if !is_member(facts, attempt.backend, attempt.began) {
            gone.push((attempt.backend, attempt.began, attempt.items.len()));
        }
        if outlives_drain(facts, attempt) {
            late.push((attempt.backend, attempt.began, attempt.end()));
        }
    }
    let mut violation = |what| found.push(Violation { law: Law::Owner, what });
    if !wrong.is_empty() {
        violation(format!("sent to another than the owner (item, backend, when, offered): {}", some(&wrong)));
    }
    if !gone.is_empty() {
        violation(format!(
            "an attempt at a backend that is not in the set (backend, when, items): {}",
            some(&gone)
        ));
    }
    if !late.is_empty() {
        violation(format!("an attempt outlived the drain timeout (backend, from, to): {}", some(&late)));
    }
}

/// Whether a backend is in a set that is in force, or was until just now.
fn is_member(facts: &Facts<'_>, backend: usize, at: At) -> bool {
    in_force(facts, at, at).any(|(_, set)| set.contains(&backend))
}

/// Whether an attempt went on for longer than the drain timeout after its backend had left.
fn outlives_drain(facts: &Facts<'_>, attempt: &Attempt) -> bool {
    let limit = facts.run.exporter.backend.drain_timeout + SWITCH;
    let left = facts.sets.iter().find(|(at, set)| *at >= attempt.began && !set.contains(&attempt.backend));
    left.is_some_and(|(at, _)| attempt.end() > *at + limit)
}

/// The sets that were in force at some time of a span, with their numbers.
fn in_force<'f>(facts: &'f Facts<'_>, from: At, to: At) -> impl Iterator<Item = (usize, &'f [usize])> {
    let ends = facts.sets.iter().skip(1).map(|(at, _)| *at + SWITCH).chain([Duration::MAX]);
    facts
        .sets
        .iter()
        .zip(ends)
        .enumerate()
        .filter(move |(_, ((since, _), until))| *since <= to && *until >= from)
        .map(|(number, ((_, set), _))| (number, &**set))
}

/// Rings of our own, and who was in trouble when.
struct Rings<'f, 'a> {
    facts: &'f Facts<'a>,
    generation: RingGeneration,
    /// By the number of the set, with nobody skipped, and the members by slot.
    whole: BTreeMap<usize, (Ring, Vec<usize>)>,
    skipping: BTreeMap<(usize, Vec<bool>), Ring>,
    /// By signal and backend, in the order of time.
    trouble: BTreeMap<(usize, usize), Vec<(At, At)>>,
}

impl<'f, 'a> Rings<'f, 'a> {
    fn new(facts: &'f Facts<'a>) -> Self {
        let Destination::Pool { ring, .. } = &facts.run.exporter.destination else {
            unreachable!("a run has a pool");
        };
        let trouble =
            if facts.run.exporter.backend.health.is_some() { trouble(facts) } else { BTreeMap::new() };
        Self { facts, generation: *ring, whole: BTreeMap::new(), skipping: BTreeMap::new(), trouble }
    }

    /// Whether the attempt's backend owned the key at some time between the offer and the attempt.
    fn may_own(&mut self, attempt: &Attempt, offered: At, key: &[u8]) -> bool {
        let facts = self.facts;
        let mut sets = in_force(facts, offered, attempt.began);
        sets.any(|(number, set)| self.may_own_in(number, set, attempt, offered, key))
    }

    fn may_own_in(
        &mut self,
        number: usize,
        set: &[usize],
        attempt: &Attempt,
        offered: At,
        key: &[u8],
    ) -> bool {
        let (facts, generation) = (self.facts, self.generation);
        let (ring, members) = self.whole.entry(number).or_insert_with(|| {
            let mut members = set.to_vec();
            members.sort_by(|left, right| facts.run.endpoints[*left].cmp(&facts.run.endpoints[*right]));
            let identities: Vec<&str> = members.iter().map(|member| &*facts.run.endpoints[*member]).collect();
            (Ring::new(generation, &identities), members)
        });
        let owner = |ring: &Ring| ring.slot_of(key).and_then(|slot| members.get(slot).copied());
        if owner(ring) == Some(attempt.backend) {
            return true;
        }
        let trouble = &self.trouble;
        let is_skippable = |member: usize| {
            let times = trouble.get(&(attempt.signal, member)).into_iter().flatten();
            member != attempt.backend
                && times.clone().any(|(from, to)| *from <= attempt.began && *to + RECOVERY >= offered)
        };
        let skip: Vec<bool> = members.iter().map(|member| is_skippable(*member)).collect();
        let skipping =
            self.skipping.entry((number, skip)).or_insert_with_key(|(_, skip)| ring.skipping(skip));
        owner(skipping) == Some(attempt.backend)
    }
}

/// When each backend was in trouble, as attempts of a signal saw it.
fn trouble(facts: &Facts<'_>) -> BTreeMap<(usize, usize), Vec<(At, At)>> {
    let mut by_backend: BTreeMap<(usize, usize), Vec<&Attempt>> = BTreeMap::new();
    for attempt in facts.attempts.values() {
        by_backend.entry((attempt.signal, attempt.backend)).or_default().push(attempt);
    }
    let works = |attempt: &&&Attempt| {
        matches!(attempt.ended, Some((_, End::Taken { .. } | End::Answered { retryable: false, .. })))
    };
    let times = |attempts: Vec<&Attempt>| {
        let bad = attempts.iter().filter(|attempt| !works(attempt));
        bad.map(|bad| {
            let ends = attempts.iter().filter(works).map(|good| good.end()).filter(|end| *end >= bad.end());
            (bad.began, ends.min().unwrap_or(Duration::MAX - RECOVERY))
        })
        .collect()
    };
    by_backend.into_iter().map(|(of, attempts)| (of, times(attempts))).collect()
}

//! The laws about each item: none is lost, none comes twice without a reason.

use std::collections::{BTreeMap, BTreeSet};

use ringway::model::settings::Ambiguous;

use super::{Attempt, Facts, Law, Violation, conservation, signal_name, some};
use crate::{
    items::{Id, Kind},
    ledger::{End, Event, Why},
};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Violation>) {
    no_loss(facts, found);
    no_double(facts, found);
    survivors(facts, found);
}

/// Acknowledged items that are nowhere, and why that may be.
fn no_loss(facts: &Facts<'_>, found: &mut Vec<Violation>) {
    let condemned = condemned(facts);
    let mut lost = [0_i64; 3];
    let mut unexplained = Vec::new();
    // Lost for good reasons that only the gateway knows, by signal: retries that have ended.
    let mut exhausted = [0_i64; 3];
    let mut too_large = [0_i64; 3];
    for id in facts.accepted.keys().filter(|id| !facts.processed.contains_key(id)) {
        let item = facts.run.book.item(*id);
        lost[item.signal] += 1;
        if condemned.contains(id) || is_given_up(facts, *id) {
            continue;
        }
        // A limit that is known keeps it from being sent at all.
        if item.kind == Kind::Giant {
            too_large[item.signal] += 1;
            continue;
        }
        if may_exhaust(facts) || conservation::gave_up(facts) {
            exhausted[item.signal] += 1;
        } else {
            unexplained.push(item);
        }
    }
    let mut violation = |what| found.push(Violation { law: Law::NoLoss, what });
    if !unexplained.is_empty() {
        let history: Vec<_> = facts.attempts_with(unexplained[0].id).collect();
        violation(format!(
            "acknowledged and lost: {}; the first one's attempts: {history:?}",
            some(&unexplained)
        ));
    }
    for signal in 0..3 {
        let reasons = ["unavailable", "timeout", "shutting_down", "cancelled"];
        if exhausted[signal] > conservation::dropped(facts, signal, &reasons) {
            violation(format!("{}: {} lost without a count", signal_name(signal), exhausted[signal]));
        }
        if too_large[signal] > conservation::dropped(facts, signal, &["too_large"]) {
            violation(format!("{}: {} giants lost without a count", signal_name(signal), too_large[signal]));
        }
        // With acknowledgement on delivery an item can be dropped and then be delivered when it comes again.
        if facts.waits_for_delivery() {
            continue;
        }
        let dropped = conservation::dropped(facts, signal, &super::reasons());
        let also_processed = dropped_perhaps_processed(facts, signal);
        if !(lost[signal]..=lost[signal] + also_processed).contains(&dropped) {
            let what = format!(
                "{}: {} lost, {also_processed} taken without an answer, but {dropped} counted as dropped",
                signal_name(signal),
                lost[signal]
            );
            violation(what);
        }
    }
}

/// Items that a backend refused for good, for a reason that concerns the item itself.
fn condemned(facts: &Facts<'_>) -> BTreeSet<Id> {
    let mut condemned = BTreeSet::new();
    for (_, event) in &facts.run.book.events {
        let Event::Condemned { items, why, .. } = event else { continue };
        let concerns = |id: &&Id| match (why, facts.run.book.item(**id).kind) {
            (Why::Partial | Why::Code, _) | (Why::Poison, Kind::Poison) | (Why::TooLarge, Kind::Giant) => {
                true
            }
            (Why::Poison | Why::TooLarge, _) => false,
        };
        condemned.extend(items.iter().filter(concerns));
    }
    condemned
}

/// Whether the policy lets an item go after an ambiguous attempt, and there was one.
fn is_given_up(facts: &Facts<'_>, id: Id) -> bool {
    let signal = facts.run.book.item(id).signal;
    facts.run.exporter.backend.ambiguous[signal] == Ambiguous::Drop
        && facts.attempts_with(id).any(Attempt::is_ambiguous)
}

fn may_exhaust(facts: &Facts<'_>) -> bool {
    facts.run.exporter.backend.retry.is_none_or(|retry| retry.max_elapsed_time.is_some())
}

/// Items that some backend took although the attempt did not end well: such a one may be counted as dropped.
fn dropped_perhaps_processed(facts: &Facts<'_>, signal: usize) -> i64 {
    let items = facts.processed.keys().filter(|id| facts.run.book.item(**id).signal == signal);
    items.filter(|id| facts.attempts_with(**id).any(|attempt| !attempt.is_taken())).count() as i64
}

fn no_double(facts: &Facts<'_>, found: &mut Vec<Violation>) {
    let mut again = Vec::new();
    let mut unexplained = Vec::new();
    let mut untaken = Vec::new();
    for (id, attempts) in &facts.attempts_of {
        let taken = facts.offers.get(id).map_or(0, |offers| offers.taken);
        let attempts: Vec<&Attempt> =
            attempts.iter().filter_map(|number| facts.attempts.get(number)).collect();
        if taken == 0 && facts.offers.contains_key(id) {
            untaken.push(*id);
        }
        // Sent again by its client, it is delivered again.
        let done = attempts.iter().filter(|attempt| attempt.is_taken()).map(|attempt| attempt.end()).min();
        let late = done
            .filter(|_| taken <= 1)
            .and_then(|done| attempts.iter().find(|attempt| attempt.began > done).map(|late| (done, late)));
        if let Some((done, late)) = late {
            again.push((*id, done, late.began, late.backend));
        }
        let processed = facts.processed.get(id).map_or(0, Vec::len);
        let may = attempts.iter().filter(|attempt| attempt.is_taken() || attempt.is_ambiguous()).count();
        if processed > may || (taken <= 1 && processed > 1 + ambiguous(&attempts)) {
            unexplained.push((*id, facts.processed.get(id), attempts));
        }
    }
    let mut violation = |what| found.push(Violation { law: Law::NoDouble, what });
    if !again.is_empty() {
        violation(format!("sent again after the end (item, end, again, backend): {}", some(&again)));
    }
    if !unexplained.is_empty() {
        violation(format!("processed more often than attempts explain: {}", some(&unexplained)));
    }
    if !untaken.is_empty() {
        violation(format!("sent although the request was refused: {}", some(&untaken)));
    }
}

fn ambiguous(attempts: &[&Attempt]) -> usize {
    attempts.iter().filter(|attempt| attempt.is_ambiguous()).count()
}

fn survivors(facts: &Facts<'_>, found: &mut Vec<Violation>) {
    let mut violation = |what| found.push(Violation { law: Law::Survivors, what });
    let survivor = |backend: usize| !facts.struck.contains(&backend);
    let mut twice: BTreeMap<(usize, Id), usize> = BTreeMap::new();
    for (id, times) in &facts.processed {
        let taken = facts.offers.get(id).map_or(0, |offers| offers.taken);
        for (_, backend) in times.iter().filter(|(_, backend)| survivor(*backend) && taken <= 1) {
            *twice.entry((*backend, *id)).or_default() += 1;
        }
    }
    let twice: Vec<_> = twice.into_iter().filter(|(_, times)| *times > 1).collect();
    if !twice.is_empty() {
        violation(format!("an item twice at a backend that works: {}", some(&twice)));
    }
    let unanswered: Vec<&Attempt> = facts
        .attempts
        .values()
        .filter(|attempt| survivor(attempt.backend))
        .filter(|attempt| matches!(attempt.ended, Some((_, End::Safe(_) | End::Ambiguous(_)))))
        .collect();
    if !unanswered.is_empty() {
        violation(format!("no answer from a backend that works: {}", some(&unanswered)));
    }
}

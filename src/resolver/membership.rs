//! Damping: when what a source answers becomes the set in force.
//!
//! Stage: resolver, one mechanism for all sources. [`Membership`] decides and knows no clock but the instants that it is given;
//! [`Keeping`] is the task that asks it.
//!
//! Every change of the ring moves keys, and with them traces that are half seen and series that start anew. So:
//!
//! 1. A member that vanished without an explanation, or is listed as not ready, stays for `grace`. One that the source says
//!    was deleted does not: nobody answers there.
//! 2. Of members that are gone without an explanation, no more than `max_shrink_percent` of the set leave in one change; the
//!    next may follow after the grace (at least a second): a fault that hits many at once should not move everything at once.
//! 3. An empty answer keeps the last set for `hold_empty`.
//! 4. A change waits until the set has been the same for `settle`, at most ten times that, and `min_interval` after the last.
//!    The first set waits for nothing, and neither does one after an empty one: there is nothing to be calm about.
//! 5. A source without a good answer for `max_stale` has no set any more.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    EndpointSet, Status,
    source::{Absence, Answer},
};
use crate::{
    model::{Endpoint, settings},
    telemetry::ResolverMetrics,
};

/// A change waits at most so many times `settle`.
const SETTLE_LIMIT: u32 = 10;
/// Least time between two changes of which the first was cut short by `max_shrink_percent`.
const SHRINK_PACE_MIN: Duration = Duration::from_secs(1);

/// What there is to decide from.
#[derive(Debug)]
struct Membership {
    settings: settings::Membership,
    answer: Option<Answer>,
    /// In force; `None` before the first answer.
    current: Option<EndpointSet>,
    /// Members in force that are gone without an explanation, and since when.
    missing: HashMap<Arc<str>, Instant>,
    /// Since when the source answers that there is nothing.
    empty_since: Option<Instant>,
    pending: Option<Pending>,
    changed_at: Option<Instant>,
    /// When a change was cut short.
    cut_at: Option<Instant>,
}

/// A change that waits.
#[derive(Debug)]
struct Pending {
    target: EndpointSet,
    /// Since when the set differs from the one in force.
    first: Instant,
    /// Since when it is this one.
    last: Instant,
}

/// What follows at one moment.
#[derive(Debug, Default, PartialEq, Eq)]
struct Decision {
    /// What is in force from now on, if that changes.
    publish: Option<EndpointSet>,
    /// Members that stay although they are gone for longer than the grace.
    kept_by_shrink: usize,
    /// When to ask again, if no answer comes before.
    next: Option<Instant>,
}

impl Decision {
    /// Asks again at the earliest of the instants that were named.
    fn wake(&mut self, at: Instant) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }
}

impl Membership {
    fn new(settings: settings::Membership) -> Self {
        Self {
            settings,
            answer: None,
            current: None,
            missing: HashMap::new(),
            empty_since: None,
            pending: None,
            changed_at: None,
            cut_at: None,
        }
    }

    fn answer(&mut self, answer: Answer, now: Instant) {
        match answer.endpoints.is_empty() {
            true => drop(self.empty_since.get_or_insert(now)),
            false => self.empty_since = None,
        }
        self.answer = Some(answer);
    }

    /// What follows now. `answered` is when the source last had a good answer, changed or not. Linear in the number of members
    /// but for the sorting of those that stay although they are not in the answer.
    fn decide(&mut self, now: Instant, answered: Option<Instant>) -> Decision {
        let mut decision = Decision::default();
        let target = self.target(now, answered, &mut decision);
        match target {
            None => {}
            Some(target) if self.current.as_ref() == Some(&target) => self.pending = None,
            Some(target) if self.current.as_ref().is_none_or(Vec::is_empty) => {
                self.publish(target, now, &mut decision);
            }
            Some(target) => {
                let due = self.due(target, now);
                match self.pending.take_if(|_| due <= now) {
                    Some(pending) => self.publish(pending.target, now, &mut decision),
                    None => decision.wake(due),
                }
            }
        }
        decision
    }

    fn publish(&mut self, set: EndpointSet, now: Instant, decision: &mut Decision) {
        if decision.kept_by_shrink > 0 {
            self.cut_at = Some(now);
            decision.wake(now + self.pace());
        }
        self.changed_at = Some(now);
        self.pending = None;
        self.current = Some(set.clone());
        decision.publish = Some(set);
    }

    /// When the change to `target` may be made.
    fn due(&mut self, target: EndpointSet, now: Instant) -> Instant {
        let pending = match self.pending.take() {
            Some(pending) if pending.target == target => pending,
            Some(pending) => Pending { target, first: pending.first, last: now },
            None => Pending { target, first: now, last: now },
        };
        let settings::Membership { settle, min_interval, .. } = self.settings;
        let settled = (pending.last + settle).min(pending.first + settle * SETTLE_LIMIT);
        self.pending = Some(pending);
        self.changed_at.map_or(settled, |changed| settled.max(changed + min_interval))
    }

    /// The set that should be in force, if waiting were over. `None` before the first answer.
    fn target(
        &mut self,
        now: Instant,
        answered: Option<Instant>,
        decision: &mut Decision,
    ) -> Option<EndpointSet> {
        let answer = self.answer.take()?;
        let mut target = answer.endpoints.clone();
        let stays = self.stays(&answer, now, decision);
        self.answer = Some(answer);
        if !stays.is_empty() {
            target.extend(stays);
            target.sort();
        }
        if let (Some(limit), Some(answered)) = (self.settings.max_stale, answered) {
            if answered + limit <= now {
                return Some(EndpointSet::new());
            }
            decision.wake(answered + limit);
        }
        if let (true, Some(since), Some(current)) = (target.is_empty(), self.empty_since, &self.current) {
            let until = since + self.settings.hold_empty;
            if now < until && !current.is_empty() {
                decision.wake(until);
                return Some(current.clone());
            }
        }
        Some(target)
    }

    /// The least time between two steps of a shrinking set.
    fn pace(&self) -> Duration {
        self.settings.grace.max(self.settings.min_interval).max(SHRINK_PACE_MIN)
    }

    /// Members in force that the answer does not have, and that stay for now.
    fn stays(&mut self, answer: &Answer, now: Instant, decision: &mut Decision) -> Vec<Endpoint> {
        let settings::Membership { grace, max_shrink_percent, .. } = self.settings;
        let Some(current) = &self.current else { return Vec::new() };
        let present: HashSet<&str> = answer.endpoints.iter().map(Endpoint::identity).collect();
        let suspects: HashSet<&str> = answer.suspects.iter().map(|identity| &**identity).collect();
        let (mut missing, mut stays, mut leave) = (HashMap::new(), Vec::new(), Vec::new());
        for endpoint in current.iter().filter(|endpoint| !present.contains(endpoint.identity())) {
            let identity = endpoint.identity();
            if answer.absence == Absence::Deleted && !suspects.contains(identity) {
                continue;
            }
            let since = self.missing.get(identity).copied().unwrap_or(now);
            missing.insert(Arc::from(identity), since);
            if now < since + grace {
                decision.wake(since + grace);
                stays.push(endpoint.clone());
            } else {
                leave.push((since, endpoint.clone()));
            }
        }
        let pace = self.pace();
        let may_leave = match self.cut_at {
            _ if max_shrink_percent >= 100 => leave.len(),
            Some(cut) if now < cut + pace => {
                decision.wake(cut + pace);
                0
            }
            _ => (current.len() * usize::from(max_shrink_percent) / 100).max(1),
        };
        // Those that have been gone longest leave first.
        leave.sort();
        let kept = leave.split_off(may_leave.min(leave.len()));
        decision.kept_by_shrink = kept.len();
        stays.extend(kept.into_iter().map(|(_, endpoint)| endpoint));
        self.missing = missing;
        stays
    }
}

/// Follows the answers of one source and publishes sets.
#[derive(Debug)]
pub(super) struct Keeping {
    membership: Membership,
    status: Status,
    metrics: ResolverMetrics,
    answers: watch::Receiver<Option<Answer>>,
    sets: watch::Sender<Option<EndpointSet>>,
    next: Option<Instant>,
    /// Whether it was said that members stay because too many are gone.
    is_cut: bool,
}

impl Keeping {
    pub(super) fn new(
        settings: settings::Membership,
        status: Status,
        metrics: ResolverMetrics,
        answers: watch::Receiver<Option<Answer>>,
        sets: watch::Sender<Option<EndpointSet>>,
    ) -> Self {
        let membership = Membership::new(settings);
        Self { membership, status, metrics, answers, sets, next: None, is_cut: false }
    }

    /// Takes the latest answer, and does what is due.
    pub(super) fn look(&mut self) {
        let now = Instant::now();
        let answer = {
            let answer = self.answers.borrow_and_update();
            answer.as_ref().filter(|answer| self.membership.answer.as_ref() != Some(answer)).cloned()
        };
        if let Some(answer) = answer {
            self.membership.answer(answer, now);
        }
        let before = self.membership.current.as_ref().map(Vec::len);
        let decision = self.membership.decide(now, self.status.answered_at());
        self.next = decision.next;
        self.report(&decision, before);
        let in_force = self.membership.current.as_ref().map(Vec::len);
        self.status.in_force(in_force, self.membership.empty_since);
        if let Some(set) = decision.publish {
            self.metrics.backends.set(i64::try_from(set.len()).unwrap_or(i64::MAX));
            self.metrics.updates.inc();
            self.sets.send_replace(Some(set));
        }
    }

    fn report(&mut self, decision: &Decision, before: Option<usize>) {
        let (resolver, target) = (self.status.kind(), self.status.target());
        let is_cut = decision.kept_by_shrink > 0;
        if is_cut && !self.is_cut {
            let kept = decision.kept_by_shrink;
            tracing::warn!(resolver, target, kept, "many endpoints are gone at once: they leave in steps");
        }
        self.is_cut = is_cut;
        match &decision.publish {
            Some(set) if set.is_empty() => {
                let reason = self.status.reason();
                tracing::warn!(resolver, target, before, reason, "no endpoint is left: requests are refused");
            }
            Some(set) => tracing::info!(resolver, target, before, endpoints = set.len(), "endpoints changed"),
            None => {}
        }
    }

    /// Until nobody listens, or the source has ended and nothing waits any more.
    pub(super) async fn run(mut self) {
        let mut has_source = true;
        while has_source || self.next.is_some() {
            let next = self.next;
            tokio::select! {
                () = self.sets.closed() => return,
                changed = self.answers.changed(), if has_source => has_source = changed.is_ok(),
                () = async { sleep_until(next.unwrap_or_else(Instant::now)).await }, if next.is_some() => {}
            }
            self.look();
        }
    }
}

#[cfg(test)]
mod tests;

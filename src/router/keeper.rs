//! The one task that changes a router's table: it follows the endpoint set and the health of its members, and finds another
//! way for what a backend could not deliver.
//!
//! Stage: router, beside the data path. Nothing here is waited for by a request. Order of every change: **first the table,
//! then the backend**, so that what a backend hands back is split over a table without it; and the other way round when a
//! backend comes back.
//!
//! **Health.** Discovered is not usable: the ring is made of what the resolver reports, and a member that has been suspect for
//! the whole hold is skipped by lookups, at most so many at a time, never the last one. Only its keys move, to the ring
//! successor. The first success of a probe or of data that stayed with it brings its keys back.
//!
//! **The end.** After the signal to drain, table changes and re-routing go on as before until nothing is held any more; then
//! every backend is told to leave.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval},
};

use super::{Router, reroute::Rerouter, table::Members};
use crate::{
    backend::{Backend, Pool, Verdict},
    model::{Endpoint, settings::HealthPolicy},
    ring::Ring,
};

/// How often health is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Makes the running backend of an endpoint; the composition root decides how.
pub type StartBackend = Box<dyn Fn(&Endpoint) -> Backend + Send + Sync>;

/// Endpoint sets as a resolver publishes them; `None` before the first one.
pub type EndpointSets = watch::Receiver<Option<Vec<Endpoint>>>;

/// See the module. Made with its router, then run as a task.
pub struct Keeper {
    router: Arc<Router>,
    start_backend: StartBackend,
    pool: Pool,
    health: Option<HealthPolicy>,
    /// Of the whole endpoint set; the one in the table skips some members.
    ring: Ring,
    /// What that is made of.
    set: Arc<Members>,
    /// By slot.
    members: Vec<Member>,
    rerouter: Rerouter,
}

/// One slot of the table.
struct Member {
    backend: Backend,
    is_skipped: bool,
    is_suspect: bool,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Keeper").field("router", &self.router).finish_non_exhaustive()
    }
}

impl Keeper {
    /// The keeper of a router whose backends `start_backend` makes.
    pub fn new(
        router: Arc<Router>,
        health: Option<HealthPolicy>,
        pool: Pool,
        start_backend: StartBackend,
    ) -> Self {
        let rerouter = Rerouter::new(Arc::clone(&router));
        let ring = Ring::new(router.generation, &[]);
        let set = Arc::clone(&router.table().members);
        Self { router, start_backend, pool, health, ring, set, members: Vec::new(), rerouter }
    }

    /// Publishes the table of an endpoint set. Backends of endpoints that stay are kept, with their queues and their
    /// standing; those of endpoints that are gone leave.
    ///
    /// Builds the ring aside (some milliseconds for hundreds of endpoints); requests go on over the old table meanwhile.
    pub fn install(&mut self, endpoints: &[Endpoint]) {
        // By what is dialled: whatever the identity on the ring is now, it is the same endpoint. In an order that does not change
        // from run to run, since those that are left over leave in it.
        let mut known: BTreeMap<String, Member> = BTreeMap::new();
        for member in self.members.drain(..) {
            known.entry(member.backend.endpoint().dial().to_owned()).or_insert(member);
        }
        let mut by_address: HashMap<&str, (Backend, bool, bool)> = HashMap::new();
        for endpoint in endpoints {
            let (backend, is_skipped, is_suspect) = by_address
                .entry(endpoint.dial())
                .or_insert_with(|| match known.remove(endpoint.dial()) {
                    Some(member) => (member.backend, member.is_skipped, member.is_suspect),
                    None => ((self.start_backend)(endpoint), false, false),
                })
                .clone();
            self.members.push(Member { backend, is_skipped, is_suspect });
        }
        // More of a smaller pool may be skipped now than is allowed.
        self.restore_surplus();
        let identities: Vec<&str> = endpoints.iter().map(Endpoint::identity).collect();
        self.ring = Ring::new(self.router.generation, &identities);
        self.set = Arc::new(Members::new(self.router.generation, endpoints));
        self.publish();
        tracing::info!(
            exporter = &*self.router.id,
            signal = self.router.signal.as_str(),
            backends = endpoints.len(),
            leaving = known.len(),
            generation = self.router.table().generation,
            digest = %self.set.digest,
            "routing table installed"
        );
        for member in known.into_values() {
            member.backend.leave();
        }
    }

    /// Follows `sets` until the process ends.
    pub async fn run(mut self, mut sets: Option<EndpointSets>) {
        let (custody, stop) = (self.pool.custody.clone(), self.pool.stop.clone());
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.rerouter.reroute_all().await;
            let is_draining = stop.drain.is_cancelled();
            if is_draining && custody.parts() == 0 {
                break;
            }
            tokio::select! {
                biased;
                () = stop.abort.cancelled() => break,
                () = stop.drain.cancelled(), if !is_draining => {}
                is_open = changed(&mut sets) => match is_open {
                    Some(endpoints) => self.install(&endpoints),
                    None => sets = None,
                },
                () = custody.changed() => self.look_at_health(),
                _tick = look.tick(), if self.health.is_some() => self.look_at_health(),
            }
        }
        for member in &self.members {
            member.backend.leave();
        }
        // What was filled in, or cut off, since.
        while stop.abort.is_cancelled() && custody.parts() > 0 {
            self.rerouter.give_up_all();
            if custody.parts() > 0 {
                custody.changed().await;
            }
        }
    }

    /// Skips members that have been suspect for the whole hold, and restores those that work.
    fn look_at_health(&mut self) {
        let Some(policy) = self.health else { return };
        let now = Instant::now();
        let mut due = Vec::new();
        let mut has_changed = false;
        for (slot, member) in self.members.iter_mut().enumerate() {
            let verdict = member.backend.verdict(now);
            let is_suspect = verdict != Verdict::Active;
            match verdict {
                Verdict::Active if member.is_skipped => {
                    // First the backend, so that the table never sends it what it would hand back.
                    member.backend.restore();
                    (member.is_skipped, member.is_suspect, has_changed) = (false, false, true);
                    self.router.metrics.recoveries.inc();
                    tracing::info!(
                        exporter = &*self.router.id,
                        endpoint = member.backend.endpoint().label(),
                        "backend works again and has its keys back"
                    );
                    continue;
                }
                Verdict::Suspect { skip_at } if skip_at <= now && !member.is_skipped => {
                    due.push((skip_at, slot));
                }
                Verdict::Active | Verdict::Suspect { .. } => {}
            }
            if is_suspect != member.is_suspect && !member.is_skipped {
                member.is_suspect = is_suspect;
                member.backend.show_suspect(is_suspect);
            }
        }
        // Those that have failed longest first.
        due.sort_unstable();
        let mut skipped = Vec::new();
        for (_, slot) in due {
            let address = self.members.get(slot).map(|member| member.backend.endpoint().dial().to_owned());
            if self.skipped_backends() >= self.may_skip(&policy) {
                break;
            }
            for member in &mut self.members {
                if Some(member.backend.endpoint().dial()) == address.as_deref() && !member.is_skipped {
                    member.is_skipped = true;
                    skipped.push(member.backend.clone());
                }
            }
        }
        if !skipped.is_empty() || has_changed {
            self.publish();
        }
        for backend in skipped {
            self.router.metrics.ejections.inc();
            tracing::warn!(
                exporter = &*self.router.id,
                endpoint = backend.endpoint().label(),
                queued_items = backend.queued_items(),
                "backend does not work: its keys go to its successors on the ring until it does"
            );
            backend.skip();
        }
    }

    /// Members that may be skipped at a time.
    fn may_skip(&self, policy: &HealthPolicy) -> usize {
        let all = self.distinct_backends();
        let share = all * usize::from(policy.max_ejected_percent) / 100;
        share.min(all.saturating_sub(1))
    }

    fn distinct_backends(&self) -> usize {
        let mut addresses: Vec<&str> =
            self.members.iter().map(|member| member.backend.endpoint().dial()).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses.len()
    }

    fn skipped_backends(&self) -> usize {
        let skipped = self.members.iter().filter(|member| member.is_skipped);
        let mut addresses: Vec<&str> = skipped.map(|member| member.backend.endpoint().dial()).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses.len()
    }

    /// Gives keys back to skipped members until no more are skipped than may be.
    fn restore_surplus(&mut self) {
        let Some(policy) = self.health else { return };
        let mut surplus = self.skipped_backends().saturating_sub(self.may_skip(&policy));
        for member in &mut self.members {
            if surplus == 0 {
                return;
            }
            if member.is_skipped {
                member.is_skipped = false;
                member.backend.restore();
                surplus -= 1;
            }
        }
    }

    fn publish(&self) {
        let skip: Vec<bool> = self.members.iter().map(|member| member.is_skipped).collect();
        let backends = self.members.iter().map(|member| member.backend.clone()).collect();
        self.router.publish(&self.ring, &skip, backends, &self.set);
    }
}

/// Waits for another endpoint set. `None`: there will be none.
async fn changed(sets: &mut Option<EndpointSets>) -> Option<Vec<Endpoint>> {
    let Some(sets) = sets else { return std::future::pending().await };
    loop {
        sets.changed().await.ok()?;
        let set = sets.borrow_and_update().clone();
        if let Some(endpoints) = set {
            return Some(endpoints);
        }
    }
}

//! One request for every exporter of its pipelines: plan, reserve, append, and wait if delivery was asked for.
//!
//! Stage: router. Exporters are independent of each other but for one thing, admission:
//!
//! - **A request is taken by all of its exporters or by none**, as long as a retry can help. All rooms are reserved, at every
//!   backend of every exporter, before anything is appended; if one queue is full the request is refused as retryable
//!   and nothing of it has been sent, so that the client's retry doubles nothing. (The Collector asks one exporter after
//!   the other, and a retry repeats what the first ones took.) The price: while one exporter's queue is full, the client is
//!   held back for all. That is back-pressure, and the only honest one, since a client cannot send to half of a pipeline.
//! - **What no retry can mend concerns the exporter that says it.** One that cannot ever take its share (an element above the
//!   capacity of its queue; not one item with a routing key) fails for good, the others go on, and the client hears of it as
//!   permanent, which it will not retry. A malformed request is malformed for all.
//! - **An exporter with a persistent queue stores the request before anything else is filled**, while the rooms at the others are
//!   held. So a full disk refuses the request as a full queue does. If two exporters store and the second cannot, the client's
//!   retry is stored twice by the first.
//! - With `block_on_overflow` a full queue holds the request instead, until there is room or the client gives up.
//! - Each exporter's own `timeout` bounds the wait for its own parts; a slow one delays the answer, not the others' deliveries.

use std::{cell::RefCell, iter::zip, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;

use super::{
    Router,
    offer::{self, Offer},
};
use crate::{
    backend::{Wait, unanswered},
    model::{
        Code, Delivered, Failure, Metadata, Outcome, Retry, Side, Signal, fold,
        settings::{Key, Validation},
    },
    otlp::{Plan, Splitter},
    store::Record,
};

thread_local! {
    /// Scratch space of the split, one for each exporter that a request goes to. Used without waiting in between.
    static SPLITTERS: RefCell<Vec<Splitter>> = const { RefCell::new(Vec::new()) };
}

/// How long a request that waits for room may miss that there is some.
const ROOM_LOOK: Duration = Duration::from_millis(50);

/// The end of a request as the receiver needs it.
#[derive(Clone, Debug)]
pub struct Dispatched {
    /// Items in the request; 0 if it could not be read, or held none.
    pub items: usize,
    /// What to answer.
    pub outcome: Outcome,
}

/// What a receiver hands requests of one signal to: every exporter of every pipeline that names the receiver.
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Dispatcher {
    routers: Arc<[Arc<Router>]>,
    validation: Validation,
    #[cfg(test)]
    fixed: Option<Fixed>,
}

/// What a dispatcher of tests answers, what it asks for, and where it keeps what it was given.
#[cfg(test)]
#[derive(Clone, Debug)]
struct Fixed {
    dispatched: Dispatched,
    forwarded: Vec<Arc<str>>,
    seen: Arc<std::sync::Mutex<Vec<Seen>>>,
}

/// One request as it came from the receiver.
#[cfg(test)]
pub(crate) type Seen = (Signal, Bytes, Metadata);

/// Why nothing of a request was taken.
struct Refusal {
    failure: Failure,
    /// The exporter whose queue has no room now, if that is the reason and the request may wait for it.
    waits_for: Option<Arc<Router>>,
}

/// What is known of a request that was not refused.
enum Taken<'a> {
    /// Everything is in its queue.
    Filled(Vec<Pending>),
    /// The rooms are reserved and the parts written aside; some exporters store the request first.
    Reserved(Vec<Offer<'a>>),
}

/// What one exporter has not said yet.
struct Pending {
    /// From now on; parts without an outcome are given up then.
    timeout: Option<Duration>,
    waits: Vec<Wait>,
    /// What is known already.
    failed: Option<Failure>,
}

impl Dispatcher {
    /// Requests are checked at the given level and go to each of the routers, independently.
    pub fn new(routers: Vec<Arc<Router>>, validation: Validation) -> Self {
        Self {
            routers: routers.into(),
            validation,
            #[cfg(test)]
            fixed: None,
        }
    }

    /// A dispatcher that answers every request alike, for tests of the stage before it.
    #[cfg(test)]
    pub(crate) fn fixed(items: usize, outcome: Outcome) -> Self {
        Self::recording(items, outcome, &[], &Arc::default())
    }

    /// One that also asks for headers, and keeps every request.
    #[cfg(test)]
    pub(crate) fn recording(
        items: usize,
        outcome: Outcome,
        forwarded: &[&str],
        seen: &Arc<std::sync::Mutex<Vec<Seen>>>,
    ) -> Self {
        let fixed = Fixed {
            dispatched: Dispatched { items, outcome },
            forwarded: forwarded.iter().copied().map(Arc::from).collect(),
            seen: Arc::clone(seen),
        };
        Self { routers: Arc::new([]), validation: Validation::Structure, fixed: Some(fixed) }
    }

    /// Names of the request headers, in lower case, that some exporter sends on: what `metadata` may hold.
    pub fn forwarded_headers(&self) -> Vec<Arc<str>> {
        #[cfg(test)]
        if let Some(fixed) = &self.fixed {
            return fixed.forwarded.clone();
        }
        let mut names: Vec<Arc<str>> =
            self.routers.iter().flat_map(|router| router.forwarded.iter().cloned()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Takes one serialized, uncompressed export request to the backends that own its items.
    ///
    /// Returns when every part is queued, or delivered if the sending queue is off. A malformed request, and one for which
    /// some queue has no room now, is refused whole: nothing of it has been sent then. A failure that is permanent may be
    /// one exporter's alone. Dropping the future ends the waiting; parts that are not being sent are then given up.
    pub async fn dispatch(&self, signal: Signal, body: Bytes, metadata: &Metadata) -> Dispatched {
        #[cfg(test)]
        if let Some(fixed) = &self.fixed {
            if let Ok(mut seen) = fixed.seen.lock() {
                seen.push((signal, body, metadata.clone()));
            }
            return fixed.dispatched.clone();
        }
        let (items, offered) = self.offer_or_wait(signal, &body, metadata).await;
        drop(body);
        let outcome = match offered {
            Ok(pending) if pending.is_empty() => Ok(Delivered::default()),
            Ok(pending) => {
                let outcomes = join_all(pending.into_iter().map(Pending::outcomes)).await;
                fold(outcomes.into_iter().flatten())
            }
            Err(failure) => Err(failure),
        };
        Dispatched { items, outcome }
    }

    /// Offers the request until it is taken, refused for good, or refused by an exporter that does not let it wait.
    async fn offer_or_wait(
        &self,
        signal: Signal,
        body: &Bytes,
        metadata: &Metadata,
    ) -> (usize, Result<Vec<Pending>, Failure>) {
        let mut full: Option<Arc<Router>> = None;
        loop {
            // Before the offer, so that room that is freed meanwhile is noticed.
            let room = full.as_ref().map(|router| router.custody.room());
            let (items, offered) = self.offer(signal, body, metadata);
            let refusal = match offered {
                Ok(Taken::Filled(pending)) => return (items, Ok(pending)),
                Ok(Taken::Reserved(mut offers)) => match self.store(body, items, metadata).await {
                    Ok(mut pending) => {
                        let filled =
                            offers.iter_mut().filter_map(|offer| fill(offer, None, signal, metadata));
                        pending.extend(filled);
                        return (items, Ok(pending));
                    }
                    Err(refusal) => refusal,
                },
                Err(refusal) => refusal,
            };
            let Some(router) = refusal.waits_for else { return (items, Err(refusal.failure)) };
            match &room {
                Some(room) => drop(tokio::time::timeout(ROOM_LOOK, room.freed()).await),
                None => tokio::task::yield_now().await,
            }
            drop(room);
            full = Some(router);
        }
    }

    /// Stores the request for every exporter that has a persistent queue. Returns what one that will never take it says.
    async fn store(&self, body: &Bytes, items: usize, metadata: &Metadata) -> Result<Vec<Pending>, Refusal> {
        if items == 0 {
            return Ok(Vec::new());
        }
        let appends = self.routers.iter().filter_map(|router| {
            let spool = router.spool.as_ref()?;
            let (payload, metadata) = (body.clone(), metadata.only(&router.forwarded));
            Some(async move {
                match spool.append(Record { payload, metadata, items }).await {
                    Ok(()) => Ok(None),
                    Err(failure) if failure.is_retryable() => Err(refusal(failure, router, items)),
                    Err(failure) => {
                        router.metrics.enqueue_failed.inc_by(items as u64);
                        Ok(Some(Pending { timeout: None, waits: Vec::new(), failed: Some(failure) }))
                    }
                }
            })
        });
        let stored: Result<Vec<_>, Refusal> = join_all(appends).await.into_iter().collect();
        Ok(stored?.into_iter().flatten().collect())
    }

    /// Plans, reserves and appends, without waiting. Returns the items of the request, and what is still to be said.
    ///
    /// # Errors
    ///
    /// Why nothing of the request was taken.
    fn offer(&self, signal: Signal, body: &[u8], metadata: &Metadata) -> (usize, Result<Taken<'_>, Refusal>) {
        SPLITTERS.with_borrow_mut(|splitters| {
            while splitters.len() < self.routers.len() {
                splitters.push(Splitter::new(fastrand::u64(..)));
            }
            let (plans, mut offers) = match self.plan(splitters, signal, body) {
                Ok(planned) => planned,
                Err(failure) => return (0, Err(Refusal { failure, waits_for: None })),
            };
            let items = plans.first().map_or(0, Plan::items);
            for (offer, plan) in with_plans(&mut offers, &plans) {
                match offer.reserve(plan, signal) {
                    Err(failure) if failure.is_retryable() => {
                        return (items, Err(refusal(failure, offer.router, items)));
                    }
                    Err(failure) => offer.refuse(failure),
                    Ok(()) => {}
                }
            }
            if offers.len() < self.routers.len() {
                for (offer, plan) in with_plans(&mut offers, &plans) {
                    offer.prepare(plan);
                }
                return (items, Ok(Taken::Reserved(offers)));
            }
            let pending = with_plans(&mut offers, &plans)
                .filter_map(|(offer, plan)| fill(offer, Some(plan), signal, metadata));
            let pending = pending.collect();
            (items, Ok(Taken::Filled(pending)))
        })
    }

    /// One offer for each exporter, over as few plans as they need: the first one checks the request at the configured
    /// level, further ones need not repeat that; exporters without a key all get the same, so they share a plan. One that stores
    /// the request makes no offer: its plan is a check, and made again when the request is taken out.
    fn plan<'a, 'p>(
        &'a self,
        splitters: &'p mut [Splitter],
        signal: Signal,
        body: &'p [u8],
    ) -> Result<(Vec<Plan<'p>>, Vec<Offer<'a>>), Failure> {
        let mut plans: Vec<Plan<'p>> = Vec::with_capacity(self.routers.len());
        let mut offers = Vec::with_capacity(self.routers.len());
        let mut without_key = None;
        for (router, splitter) in zip(&*self.routers, splitters) {
            let table = Arc::clone(&router.table());
            let has_key = router.key.key != Key::None;
            let plan = match without_key.filter(|_| !has_key) {
                Some(plan) => plan,
                None => {
                    let level = if plans.is_empty() { self.validation } else { Validation::Structure };
                    plans.push(offer::plan(router, &table, splitter, signal, body, level)?);
                    plans.len() - 1
                }
            };
            if !has_key {
                without_key = Some(plan);
            }
            if router.spool.is_none() {
                offers.push(Offer::new(router, table, plan));
            }
        }
        Ok((plans, offers))
    }
}

/// Why a request cannot be taken now, and whether it may wait.
fn refusal(failure: Failure, router: &Arc<Router>, items: usize) -> Refusal {
    let is_full = matches!(failure.code, Code::QueueFull | Code::MemoryFull);
    let waits_for = (is_full && router.block_on_overflow).then(|| Arc::clone(router));
    if waits_for.is_none() {
        router.metrics.enqueue_failed.inc_by(items as u64);
    }
    Refusal { failure, waits_for }
}

/// Fills the rooms of one offer. `None`: there is nothing to wait for.
fn fill(
    offer: &mut Offer<'_>,
    plan: Option<&Plan<'_>>,
    signal: Signal,
    metadata: &Metadata,
) -> Option<Pending> {
    let mut waits = Vec::new();
    let failed = offer.fill(plan, signal, metadata, &mut waits).err();
    let is_settled = failed.is_none() && waits.is_empty();
    (!is_settled).then(|| Pending { timeout: offer.router.timeout, waits, failed })
}

fn with_plans<'o, 'a, 'p>(
    offers: &'o mut [Offer<'a>],
    plans: &'o [Plan<'p>],
) -> impl Iterator<Item = (&'o mut Offer<'a>, &'o Plan<'p>)> {
    offers.iter_mut().filter_map(|offer| plans.get(offer.plan).map(|plan| (offer, plan)))
}

// === impl Pending ===

impl Pending {
    /// Waits for every part, for as long as this exporter allows.
    async fn outcomes(self) -> Vec<Outcome> {
        let Self { timeout, waits, failed } = self;
        let mut outcomes: Vec<Outcome> = failed.map(Err).into_iter().collect();
        let all = async {
            for wait in waits {
                outcomes.push(wait.await.unwrap_or_else(|_| Err(unanswered())));
            }
        };
        let Some(limit) = timeout else {
            all.await;
            return outcomes;
        };
        if tokio::time::timeout(limit, all).await.is_err() {
            let message = format!("not delivered within {limit:?}");
            outcomes.push(Err(Failure::new(Side::Gateway, Code::Timeout, Retry::After(None), message)));
        }
        outcomes
    }
}

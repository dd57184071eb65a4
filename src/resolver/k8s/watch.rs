//! Follows the EndpointSlices of one Service: a list, then watches from it.
//!
//! Stage: resolver. One task owns the slices. After each list and each event everything is computed again ([`slices`]), so a missed
//! or doubled event cannot leave anything behind that the next list does not clear.
//!
//! | what happens | what follows |
//! |---|---|
//! | the server ends a watch, its connection breaks | a new watch from the last version |
//! | a watch cannot be started, is refused, expired (410), silent beyond its limit, unreadable, or goes back in versions | a full list |
//! | `resync` has passed, another token or CA | a full list |
//!
//! A list is small (the slices of one Service), and the only thing that is certainly right when the server may be another one. So
//! a watch is resumed only where nothing has gone wrong. Each failure is followed by a wait ([`Backoff`]); the last good answer
//! stays in force.
//!
//! This is not kube's `watcher`: that one does not tell of bookmarks and of watches that were renewed, which are what says that a
//! quiet set is not a stale one; has no limit on a list that hangs; and writes a line to the log for each refusal.

use std::{collections::HashMap, future::Future, pin::pin, time::Duration};

use futures_util::{Stream, StreamExt as _};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{
    Api,
    api::{ListParams, WatchParams},
    core::WatchEvent,
};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{
    client::{Access, Connection, Place},
    failure::Request,
    slices::{self, Omitted, Slice},
};
use crate::{
    model::settings::K8s,
    resolver::source::{Failure, Publisher, chain},
};

/// What says which Service a slice belongs to. Source: Kubernetes `discovery/v1`, `LabelServiceName`.
const LABEL: &str = "kubernetes.io/service-name";
/// Slices in a page of a list, as client-go asks for.
const PAGE_SLICES: u32 = 500;
/// Limit of a page of a list, and of the start of a watch.
const ANSWER: Duration = Duration::from_secs(30);
/// What the server is asked to end a watch after, if nothing is configured. Source: kube and client-go, about 5 minutes.
const WATCH_SECONDS: u32 = 290;
/// How long after its end a watch may be silent: then its connection is dead.
const SILENCE: Duration = Duration::from_secs(5);
/// A watch that lived so long was good: the next wait is short again.
const GOOD: Duration = Duration::from_secs(10);
/// A watch that ends sooner, without an error, is one of a server that does not want to serve it.
const SHORT: Duration = Duration::from_millis(500);
/// A bookmark, or a new watch, counts as an answer if the last one is older.
const CONFIRM: Duration = Duration::from_secs(30);

/// Follows a Service until nobody listens any more.
pub(super) async fn follow(settings: K8s, place: Place, publisher: Publisher) {
    let mut following = Following::new(settings, place);
    tokio::select! {
        () = publisher.closed() => {}
        () = following.run(&publisher) => {}
    }
}

/// The state of one task.
struct Following {
    settings: K8s,
    access: Access,
    watch_seconds: u32,
    backoff: Backoff,
    /// By name, as the last list and the events after it have them.
    slices: HashMap<String, Slice>,
    namespace: String,
    omitted: Omitted,
    answered: Instant,
    resync: Instant,
}

/// What to begin next.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    List,
    /// From this version of the list.
    Watch(String),
}

/// Waits between attempts: 250 ms, doubled to 5 s, full jitter. Shorter than kube's, because data waits for it.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(250);
    const MAX: Duration = Duration::from_secs(5);

    pub(super) fn next(&mut self) -> Duration {
        let most = Self::FIRST.saturating_mul(1 << self.failures.min(10)).min(Self::MAX);
        self.failures = self.failures.saturating_add(1);
        most.mul_f64(fastrand::f64())
    }

    pub(super) const fn reset(&mut self) {
        self.failures = 0;
    }
}

// === impl Following ===

impl Following {
    fn new(settings: K8s, place: Place) -> Self {
        let seconds = settings.timeout.and_then(|timeout| u32::try_from(timeout.as_secs()).ok());
        let watch_seconds = seconds.unwrap_or(WATCH_SECONDS);
        let silence = silence(watch_seconds);
        let now = Instant::now();
        Self {
            settings,
            access: Access::new(place, silence),
            watch_seconds,
            backoff: Backoff::default(),
            slices: HashMap::new(),
            namespace: String::new(),
            omitted: Omitted::default(),
            answered: now,
            resync: now,
        }
    }

    async fn run(&mut self, publisher: &Publisher) {
        let mut next = Next::List;
        loop {
            let result = match &next {
                Next::List => self.list(publisher).await,
                Next::Watch(version) => self.watch(version, publisher).await,
            };
            next = match result {
                Ok(next) => next,
                Err(failure) => {
                    publisher.failed(failure);
                    self.access.renew();
                    sleep(self.backoff.next()).await;
                    Next::List
                }
            };
        }
    }

    /// Everything, page by page; it replaces what was known only when it is complete.
    async fn list(&mut self, publisher: &Publisher) -> Result<Next, Failure> {
        let (api, _) = self.api()?;
        let namespace = self.namespace.clone();
        let request = Request { verb: "list", namespace: &namespace };
        let mut params = ListParams::default().labels(&self.selector()).limit(PAGE_SLICES);
        let mut listed = HashMap::new();
        let version = loop {
            let page = within(request, api.list(&params)).await?;
            listed.extend(page.items.into_iter().map(named));
            params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
            if params.continue_token.is_none() {
                break page.metadata.resource_version.unwrap_or_default();
            }
        };
        if version.is_empty() {
            return Err(request.unusable("has no resourceVersion to watch from"));
        }
        self.slices = listed;
        // Gateways that were started together do not list together for ever.
        self.resync = Instant::now() + self.settings.resync.mul_f64(1.0 - 0.2 * fastrand::f64());
        self.answer(publisher);
        Ok(Next::Watch(version))
    }

    async fn watch(&mut self, version: &str, publisher: &Publisher) -> Result<Next, Failure> {
        let (api, is_new) = self.api()?;
        if is_new {
            return Ok(Next::List);
        }
        let namespace = self.namespace.clone();
        let request = Request { verb: "watch", namespace: &namespace };
        let params = WatchParams::default().labels(&self.selector()).timeout(self.watch_seconds);
        let events = within(request, api.watch(&params, version)).await?;
        let began = Instant::now();
        // Nothing has changed since: that is an answer, too.
        self.confirm(publisher);
        let result = self.events(events, request, version, publisher).await;
        if began.elapsed() >= GOOD {
            self.backoff.reset();
        }
        if began.elapsed() < SHORT && matches!(result, Ok(Next::Watch(_))) {
            sleep(self.backoff.next()).await;
        }
        result
    }

    /// Takes events until something else is to be done.
    async fn events(
        &mut self,
        events: impl Stream<Item = kube::Result<WatchEvent<EndpointSlice>>>,
        request: Request<'_>,
        version: &str,
        publisher: &Publisher,
    ) -> Result<Next, Failure> {
        let mut events = pin!(events);
        let mut version = version.to_owned();
        let silence = silence(self.watch_seconds);
        loop {
            let event = tokio::select! {
                () = sleep_until(self.resync) => return Ok(Next::List),
                event = timeout(silence, events.next()) => event,
            };
            let (new_version, change) = match event {
                Err(_) => return Err(request.timed_out(silence.as_secs())),
                Ok(None) => return Ok(Next::Watch(version)),
                Ok(Some(Err(error @ (kube::Error::ReadEvents(_) | kube::Error::HyperError(_))))) => {
                    tracing::debug!(error = chain(&error), "a watch was cut off");
                    return Ok(Next::Watch(version));
                }
                Ok(Some(Err(error))) => return Err(request.failed(&error)),
                Ok(Some(Ok(WatchEvent::Error(status)))) => return Err(request.refused(&status)),
                Ok(Some(Ok(WatchEvent::Bookmark(bookmark)))) => (bookmark.metadata.resource_version, None),
                Ok(Some(Ok(WatchEvent::Added(slice) | WatchEvent::Modified(slice)))) => {
                    let new_version = slice.metadata.resource_version.clone();
                    let (name, slice) = named(slice);
                    (new_version.unwrap_or_default(), Some((name, Some(slice))))
                }
                Ok(Some(Ok(WatchEvent::Deleted(slice)))) => {
                    let new_version = slice.metadata.resource_version.clone();
                    (new_version.unwrap_or_default(), Some((named(slice).0, None)))
                }
            };
            if is_before(&new_version, &version) {
                let what = format!(
                    "goes back from version {version:?} to {new_version:?}: its history was replaced"
                );
                return Err(request.unusable(&what));
            }
            version = new_version;
            match change {
                Some((name, Some(slice))) => {
                    self.slices.insert(name, slice);
                }
                Some((name, None)) => {
                    self.slices.remove(&name);
                }
                None => {
                    self.confirm(publisher);
                    continue;
                }
            }
            self.answer(publisher);
        }
    }

    fn api(&mut self) -> Result<(Api<EndpointSlice>, bool), Failure> {
        let Connection { client, namespace, is_new } = self.access.connection()?;
        self.namespace = self.settings.namespace.as_deref().map_or(namespace, str::to_owned);
        Ok((Api::namespaced(client, &self.namespace), is_new))
    }

    fn selector(&self) -> String {
        format!("{LABEL}={}", self.settings.service)
    }

    /// The server is there, and has nothing new.
    fn confirm(&mut self, publisher: &Publisher) {
        if self.answered.elapsed() >= CONFIRM {
            self.answer(publisher);
        }
    }

    /// Says what all slices mean together, and what of them is not used, if that is new.
    fn answer(&mut self, publisher: &Publisher) {
        let (answer, omitted) = slices::answer(&self.settings, &self.namespace, self.slices.values());
        publisher.answer(answer);
        self.answered = Instant::now();
        if std::mem::replace(&mut self.omitted, omitted) != omitted && omitted != Omitted::default() {
            tracing::warn!(
                service = &*self.settings.service,
                namespace = self.namespace,
                fqdn_slices = omitted.fqdn_slices,
                without_hostname = omitted.without_hostname,
                without_port = omitted.without_port,
                shared_hostname = omitted.shared_hostname,
                "not all that the Service's EndpointSlices list can be used as it is configured"
            );
        }
    }
}

/// How long a watch may say nothing.
fn silence(watch_seconds: u32) -> Duration {
    Duration::from_secs(watch_seconds.into()) + SILENCE
}

/// The answer to a request, within its time limit.
async fn within<T>(request: Request<'_>, ask: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
    match timeout(ANSWER, ask).await {
        Ok(result) => result.map_err(|error| request.failed(&error)),
        Err(_) => Err(request.timed_out(ANSWER.as_secs())),
    }
}

fn named(mut slice: EndpointSlice) -> (String, Slice) {
    (slice.metadata.name.take().unwrap_or_default(), slice.into())
}

/// Versions are numbers that grow, where they are numbers. An event without one cannot be followed.
fn is_before(new: &str, last: &str) -> bool {
    match (new.parse::<u64>(), last.parse::<u64>()) {
        (Ok(new), Ok(last)) => new < last,
        _ => new.is_empty(),
    }
}

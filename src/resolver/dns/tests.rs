//! The DNS source over names that a test sets, with a paused clock.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use tokio::sync::watch;

use super::{
    lookup::{EMPTY, NXDOMAIN, REFUSED, SERVFAIL, TIMEOUT},
    *,
};
use crate::{
    resolver::{State, Status, pace::tests::check_waits, source::tests::publisher},
    tasks::Tasks,
    telemetry::ResolverMetrics,
};

/// What a name answers for one family.
#[derive(Clone)]
enum Says {
    /// These addresses, for so many seconds.
    Has(&'static [&'static str], u64),
    Fails(&'static str),
    /// Nothing, ever.
    Hangs,
}

use Says::{Fails, Hangs, Has};

/// Names as a test sets them.
#[derive(Clone, Default)]
struct Fake(Arc<Mutex<World>>);

#[derive(Default)]
struct World {
    hosts: Vec<IpAddr>,
    search: Vec<String>,
    says: HashMap<&'static str, [Says; 2]>,
    /// When A records were asked for, and of which name.
    asked: Vec<(Instant, String)>,
    forgotten: usize,
}

impl Fake {
    fn with<T>(&self, with: impl FnOnce(&mut World) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn say(&self, name: &'static str, v4: Says, v6: Says) {
        self.with(|world| world.says.insert(name, [v4, v6]));
    }

    fn said(&self, name: &str, family: usize) -> Says {
        self.with(|world| world.says.get(name).map_or(Fails(NXDOMAIN), |says| says[family].clone()))
    }

    /// The times between lookups of the name.
    fn gaps(&self) -> Vec<Duration> {
        self.with(|world| world.asked.windows(2).map(|two| two[1].0 - two[0].0).collect())
    }
}

async fn answer<T: std::str::FromStr<Err: std::fmt::Debug>>(says: Says) -> Result<Records<T>, Failure> {
    match says {
        Has(addresses, seconds) => Ok(Records {
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
            ttl: Some(Duration::from_secs(seconds)),
        }),
        Fails(code) => Err(Failure { code, message: format!("scripted {code}") }),
        Hangs => std::future::pending().await,
    }
}

impl Names for Fake {
    fn refresh(&mut self) {}

    fn forget(&mut self) {
        self.with(|world| world.forgotten += 1);
    }

    fn hosts(&self, _: &str) -> Vec<IpAddr> {
        self.with(|world| world.hosts.clone())
    }

    fn search(&self) -> (&[String], usize) {
        // Leaked: the trait lends a list that the real one owns; a test has one.
        let search = self.with(|world| world.search.clone());
        (Vec::leak(search), 1)
    }

    async fn v4(&self, name: &str) -> Result<Records<Ipv4Addr>, Failure> {
        self.with(|world| world.asked.push((Instant::now(), name.to_owned())));
        answer(self.said(name, 0)).await
    }

    async fn v6(&self, name: &str) -> Result<Records<Ipv6Addr>, Failure> {
        answer(self.said(name, 1)).await
    }
}

/// A source that looks `pool.` or what it is told up.
struct Running {
    names: Fake,
    answers: watch::Receiver<Option<Answer>>,
    status: Status,
    metrics: ResolverMetrics,
    tasks: Tasks,
}

impl Running {
    fn start(hostname: &str, names: Fake) -> Self {
        let settings = settings::Dns {
            hostname: hostname.into(),
            port: Some("4317".into()),
            timeout: Duration::from_secs(1),
            min_interval: Duration::from_secs(1),
            max_interval: Duration::from_secs(5),
        };
        let (publisher, answers, status, metrics) = publisher("dns");
        let tasks = Tasks::new();
        tasks.spawn("resolver", Source::new(settings, publisher, names.clone()).follow());
        Self { names, answers, status, metrics, tasks }
    }

    /// Lets so many seconds pass, and returns what is in force then.
    async fn after(&mut self, seconds: u64) -> String {
        sleep(Duration::from_secs(seconds)).await;
        let answer = self.answers.borrow_and_update().clone();
        let endpoints = answer.map(|answer| answer.endpoints).unwrap_or_default();
        endpoints.iter().map(Endpoint::identity).collect::<Vec<_>>().join(" ")
    }
}

const SECOND: Duration = Duration::from_secs(1);

// Scenario: times to live between, below and above the bounds, different ones for the two families, none at all.
// Guarantees: the next lookup follows after the least time to live, within the bounds, up to a tenth later, and not in step.
#[tokio::test(start_paused = true)]
async fn the_time_to_live_decides_within_bounds() {
    for (v4, v6, expect) in [
        (Has(&["10.0.0.1"], 3), Fails(EMPTY), 3 * SECOND),
        (Has(&["10.0.0.1"], 4), Has(&["fd00::1"], 2), 2 * SECOND),
        (Has(&["10.0.0.1"], 0), Fails(EMPTY), SECOND),
        (Has(&["10.0.0.1"], 300), Has(&[], 2), 5 * SECOND),
    ] {
        let names = Fake::default();
        names.say("pool.", v4, v6);
        let mut running = Running::start("pool.", names);
        running.after(200).await;
        check_waits(&running.names.gaps(), expect);
        assert_eq!(running.metrics.failures(EMPTY), 0, "no records of one family is an answer");
    }
}

// Scenario: lookups fail from the start, then one works, then they fail again for every reason, then one works.
// Guarantees: nothing is published before the first answer; later failures keep it; each is counted by its code; the waits
// double from the lower bound to the upper, and start again after an answer; what was read from files is forgotten each time.
#[tokio::test(start_paused = true)]
async fn failures_keep_the_last_good_set() {
    let names = Fake::default();
    names.say("pool.", Fails(SERVFAIL), Fails(SERVFAIL));
    let mut running = Running::start("pool.", names.clone());
    assert_eq!(running.after(30).await, "");
    assert_eq!(running.status.snapshot().state, State::Waiting);
    assert_eq!(running.status.snapshot().failure, Some((SERVFAIL, "scripted servfail".to_owned())));
    let gaps = names.gaps();
    for (gap, expect) in gaps.iter().zip([1, 2, 4, 5, 5]) {
        assert!((expect * SECOND..=expect * SECOND * 12 / 10).contains(gap), "{gaps:?}");
    }
    assert_eq!(names.with(|world| world.forgotten), gaps.len() + 1);
    names.say("pool.", Has(&["10.0.0.2", "10.0.0.1"], 1), Fails(EMPTY));
    assert_eq!(running.after(6).await, "10.0.0.1:4317 10.0.0.2:4317");
    for code in [NXDOMAIN, SERVFAIL, REFUSED, EMPTY] {
        let before = running.metrics.failures(code);
        names.say("pool.", Fails(code), Fails(code));
        assert_eq!(running.after(6).await, "10.0.0.1:4317 10.0.0.2:4317");
        assert!(running.metrics.failures(code) > before, "{code}");
        assert_eq!(running.status.snapshot().failure.map(|(code, _)| code), Some(code));
    }
    names.say("pool.", Has(&["10.0.0.3"], 1), Fails(EMPTY));
    assert_eq!(running.after(6).await, "10.0.0.3:4317");
    assert_eq!(running.status.snapshot().failure, None);
}

// Scenario: AAAA cannot be asked for, or does not answer, while A changes; then AAAA says that there is nothing.
// Guarantees: IPv6 members stay and IPv4 ones are followed; the failure is counted; "nothing" is believed. A family that was never
// known does not keep the other one back.
#[tokio::test(start_paused = true)]
async fn a_family_that_cannot_be_asked_keeps_its_members() {
    let names = Fake::default();
    names.say("pool.", Has(&["10.0.0.1"], 1), Has(&["fd00::1"], 1));
    let mut running = Running::start("pool.", names.clone());
    assert_eq!(running.after(1).await, "10.0.0.1:4317 [fd00::1]:4317");
    for says in [Fails(SERVFAIL), Hangs] {
        names.say("pool.", Has(&["10.0.0.2"], 1), says);
        assert_eq!(running.after(6).await, "10.0.0.2:4317 [fd00::1]:4317");
    }
    assert!(running.metrics.failures(SERVFAIL) > 0);
    assert!(running.metrics.failures(TIMEOUT) > 0);
    names.say("pool.", Fails(REFUSED), Has(&["fd00::2"], 1));
    assert_eq!(running.after(6).await, "10.0.0.2:4317 [fd00::2]:4317");
    names.say("pool.", Has(&["10.0.0.2"], 1), Fails(NXDOMAIN));
    assert_eq!(running.after(6).await, "10.0.0.2:4317");
    let names = Fake::default();
    names.say("pool.", Has(&["10.0.0.1"], 1), Hangs);
    let mut running = Running::start("pool.", names);
    assert_eq!(running.after(2).await, "10.0.0.1:4317");
    assert_eq!(running.status.snapshot().failure, None);
}

// Scenario: a server that says nothing, from the first question on.
// Guarantees: a lookup ends at its limit, the first one too, and is counted as a timeout.
#[tokio::test(start_paused = true)]
async fn a_lookup_is_bounded() {
    let names = Fake::default();
    names.say("pool.", Hangs, Hangs);
    let running = Running::start("pool.", names.clone());
    sleep(Duration::from_millis(999)).await;
    assert_eq!(running.metrics.failures(TIMEOUT), 0);
    sleep(Duration::from_millis(5)).await;
    assert_eq!(running.metrics.failures(TIMEOUT), 1);
    assert_eq!(names.with(|world| world.asked.len()), 1);
}

// Scenario: the same addresses in another order each time.
// Guarantees: listeners hear of it once.
#[tokio::test(start_paused = true)]
async fn order_is_no_change() {
    let names = Fake::default();
    names.say("pool.", Has(&["10.0.0.10", "10.0.0.9"], 1), Fails(EMPTY));
    let mut running = Running::start("pool.", names.clone());
    assert_eq!(running.after(1).await, "10.0.0.10:4317 10.0.0.9:4317", "the order is that of bytes");
    names.say("pool.", Has(&["10.0.0.9", "10.0.0.10"], 1), Fails(EMPTY));
    sleep(10 * SECOND).await;
    assert!(names.gaps().len() > 5);
    assert!(!running.answers.has_changed().unwrap());
}

// Scenario: the name of the search list that answered fails for a moment, while a later one would answer; then it is gone.
// Guarantees: another pool is not taken in its place, unless the name is said not to exist; its addresses do not linger.
#[tokio::test(start_paused = true)]
async fn a_moment_of_failure_does_not_lead_to_another_name() {
    let names = Fake::default();
    names.with(|world| world.search = vec!["near".to_owned(), "far".to_owned()]);
    names.say("pool.near.", Has(&["10.0.0.1"], 1), Has(&["fd00::1"], 1));
    names.say("pool.far.", Has(&["10.9.9.9"], 1), Fails(SERVFAIL));
    let mut running = Running::start("pool", names.clone());
    assert_eq!(running.after(1).await, "10.0.0.1:4317 [fd00::1]:4317");
    names.say("pool.near.", Fails(SERVFAIL), Hangs);
    assert_eq!(running.after(10).await, "10.0.0.1:4317 [fd00::1]:4317");
    assert!(names.with(|world| world.asked.iter().all(|(_, name)| name == "pool.near.")));
    names.say("pool.near.", Fails(NXDOMAIN), Fails(NXDOMAIN));
    assert_eq!(running.after(6).await, "10.9.9.9:4317");
}

// Scenario: a name that the host's file knows, and one that is an address.
// Guarantees: DNS is not asked; the upper bound is the interval.
#[tokio::test(start_paused = true)]
async fn the_hosts_file_comes_first() {
    let names = Fake::default();
    names.with(|world| world.hosts = vec!["10.0.0.1".parse().unwrap(), "::1".parse().unwrap()]);
    let mut running = Running::start("pool", names.clone());
    assert_eq!(running.after(1).await, "10.0.0.1:4317 [::1]:4317");
    names.with(|world| world.hosts = vec!["10.0.0.2".parse().unwrap()]);
    assert_eq!(running.after(3).await, "10.0.0.1:4317 [::1]:4317");
    assert_eq!(running.after(3).await, "10.0.0.2:4317");
    assert_eq!(names.gaps().len(), 0);
    assert_eq!(Running::start("fd00::7", Fake::default()).after(1).await, "[fd00::7]:4317");
}

// Scenario: nobody listens any more, while the source waits and while it asks.
// Guarantees: the task ends.
#[tokio::test(start_paused = true)]
async fn the_source_ends_with_its_last_listener() {
    for says in [Has(&["10.0.0.1"], 60), Hangs] {
        let names = Fake::default();
        names.say("pool.", says.clone(), says);
        let Running { answers, tasks, .. } = Running::start("pool.", names);
        sleep(Duration::from_millis(100)).await;
        drop(answers);
        tokio::time::timeout(Duration::from_millis(1), tasks.ended()).await.unwrap();
    }
}

#[track_caller]
fn check_texts(addresses: &[&str], port: Option<&str>, expect: &[&str]) {
    let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
    let set = endpoints(&addresses, port);
    assert_eq!(set.iter().map(Endpoint::identity).collect::<Vec<_>>(), expect);
}

// Scenario: addresses of both families, with and without port, in special forms, twice.
// Guarantees: the texts that are hashed are those of the Collector, in the order of their bytes.
#[test]
fn endpoints_are_texts_of_the_collector() {
    let both = ["fd00::2", "10.0.0.9", "10.0.0.10", "fd00:0:0::1"];
    check_texts(&both, None, &["10.0.0.10", "10.0.0.9", "[fd00::1]", "[fd00::2]"]);
    check_texts(&both[..2], Some("55690"), &["10.0.0.9:55690", "[fd00::2]:55690"]);
    check_texts(
        &["::ffff:10.0.0.1", "::10.0.0.1", "::1"],
        Some("1"),
        &["10.0.0.1:1", "[::1]:1", "[::a00:1]:1"],
    );
    check_texts(&["10.0.0.1", "10.0.0.1"], Some("1"), &["10.0.0.1:1", "10.0.0.1:1"]);
}

// Scenario: one address again and again under the name of a Service, under other names, with a second one, with changes.
// Guarantees: it is remarked once, after some answers, and only where a Service with a cluster IP is likely.
#[test]
fn a_lonely_address_of_a_service_is_remarked_once() {
    let remarks = |name: &str, answers: &[&[&str]]| {
        let mut alone = Alone::default();
        let of = |texts: &&[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        answers.iter().filter(|texts| alone.is_suspicious(name, &of(texts))).count()
    };
    let service = "samplers.observability.svc.cluster.local.";
    let same: &[&str] = &["10.96.0.7"];
    assert_eq!(remarks(service, &[same; 2]), 0);
    assert_eq!(remarks(service, &[same; 9]), 1);
    assert_eq!(remarks("samplers.observability.svc.", &[same; 9]), 1);
    assert_eq!(remarks("samplers.example.com.", &[same; 9]), 0);
    assert_eq!(remarks("pod-0.samplers.observability.svc.cluster.local.", &[same; 9]), 0);
    let (other, two): (&[&str], &[&str]) = (&["10.0.0.1"], &["10.0.0.1", "10.0.0.2"]);
    assert_eq!(remarks(service, &[two; 9]), 0);
    assert_eq!(remarks(service, &[same, other, same, other, same, other]), 0);
}

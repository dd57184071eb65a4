//! Tests of the keeper: members that leave, fail, come back, and what becomes of what they held. The clock is paused.

use std::collections::BTreeMap;

use tokio::{sync::watch, time::Instant};

use super::*;
use crate::{model::settings::HealthPolicy, ring::Digest, router::keeper::EndpointSets};

/// What a member does with a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Does {
    #[default]
    Take,
    /// Certainly does not process it.
    Refuse,
    /// Takes it, and the answer is lost.
    TakeUnanswered,
    /// Never answers. Does not take it.
    Hang,
    /// Says that it is busy.
    Busy,
}

/// Members whose behaviour can be changed, and what each has taken.
#[derive(Debug, Default)]
pub(super) struct World {
    does: Mutex<BTreeMap<String, Does>>,
    taken: Mutex<Vec<(String, Bytes)>>,
    /// Every attempt with something in it.
    attempts: Mutex<Vec<(String, Instant)>>,
}

#[derive(Debug)]
pub(super) struct Part {
    name: String,
    world: Arc<World>,
}

impl Transport for Part {
    fn send<'a>(
        &'a self,
        message: Bytes,
        _metadata: &'a Metadata,
    ) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>> {
        let payload = message.slice(PREFIX_LEN..);
        Box::pin(async move {
            let does = self.world.does(&self.name);
            if !payload.is_empty() {
                self.world.attempts.lock().unwrap().push((self.name.clone(), Instant::now()));
                if matches!(does, Does::Take | Does::TakeUnanswered) {
                    self.world.taken.lock().unwrap().push((self.name.clone(), payload));
                }
            }
            let failure = |status, ambiguous| {
                let failure = Failure::new(Side::Backend, Code::Unavailable, Retry::After(None), "scripted");
                Err(Failure { grpc_status: status, ambiguous, ..failure })
            };
            match does {
                Does::Take => Ok(Delivered::default()),
                Does::Refuse => failure(None, false),
                Does::TakeUnanswered => failure(None, true),
                Does::Hang => {
                    tokio::time::sleep(Duration::from_secs(5)).await;
                    failure(None, true)
                }
                Does::Busy => failure(Some(14), false),
            }
        })
    }
}

/// The member of that name.
pub(super) fn part_of(world: &Arc<World>, name: &str) -> Part {
    Part { name: name.to_owned(), world: Arc::clone(world) }
}

impl World {
    fn does(&self, name: &str) -> Does {
        self.does.lock().unwrap().get(name).copied().unwrap_or_default()
    }

    pub(super) fn set(&self, name: &str, does: Does) {
        self.does.lock().unwrap().insert(name.to_owned(), does);
    }

    /// How often each trace was taken, and by whom last.
    #[expect(clippy::disallowed_methods, reason = "the oracle of the test decodes")]
    pub(super) fn traces(&self) -> BTreeMap<u8, Vec<String>> {
        let mut traces: BTreeMap<u8, Vec<String>> = BTreeMap::new();
        for (name, body) in self.taken.lock().unwrap().iter() {
            let request = ExportTraceServiceRequest::decode(body.clone()).unwrap();
            let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
            for span in scopes.flat_map(|scope| scope.spans) {
                traces.entry(span.trace_id[0]).or_default().push(name.clone());
            }
        }
        traces
    }

    fn attempts_at(&self, name: &str) -> usize {
        self.attempts.lock().unwrap().iter().filter(|(at, _)| at == name).count()
    }
}

const POLICY: HealthPolicy = HealthPolicy {
    consecutive_failures: 3,
    no_success: Duration::from_secs(10),
    hold: Duration::from_secs(10),
    probe_interval: Duration::from_secs(5),
    max_ejected_percent: 50,
};

/// A router of traces by trace id, its keeper, and members that do what the world says.
struct Bench {
    world: Arc<World>,
    dispatcher: Dispatcher,
    router: Arc<Router>,
    sets: watch::Sender<Option<Vec<Endpoint>>>,
    custody: Custody,
    metrics: Metrics,
    stop: Stop,
    tasks: Tasks,
}

impl Bench {
    fn start(names: &[&str], change: impl FnOnce(&mut settings::Exporter)) -> Self {
        let mut settings = exporter(QUEUE, 4 << 20);
        settings.backend.retry = Some(settings::RetryPolicy {
            initial_interval: Duration::from_secs(1),
            randomization_factor: 0.0,
            multiplier: 1.5,
            max_interval: Duration::from_secs(5),
            max_elapsed_time: Some(Duration::from_secs(300)),
        });
        settings.backend.health = Some(POLICY);
        change(&mut settings);
        let (metrics, stop, tasks) = (Metrics::new(), Stop::default(), Tasks::new());
        let (world, custody) = (Arc::new(World::default()), Custody::new());
        let pool = backend::Pool {
            custody: custody.clone(),
            buffers: Buffers::new(),
            stop: stop.clone(),
            tasks: tasks.clone(),
        };
        let start: StartBackend = {
            let (world, all, pool, budget) =
                (Arc::clone(&world), metrics.clone(), pool.clone(), Budget::new(1 << 30));
            let (id, settings) = (Arc::clone(&settings.id), settings.backend.clone());
            Box::new(move |endpoint| {
                let part = Part { name: endpoint.dial().to_owned(), world: Arc::clone(&world) };
                let metrics = all.backend(&id, endpoint.dial(), Signal::Traces);
                let (part, account) = (Arc::new(part), budget.account());
                Backend::start(endpoint.clone(), Signal::Traces, &settings, metrics, part, account, &pool)
            })
        };
        let exporter_metrics = metrics.exporter(&settings.id, Signal::Traces);
        let router = Router::new(&settings, Signal::Traces, exporter_metrics, custody.clone());
        let router = Arc::new(router.with_ring_metrics(metrics.ring(&settings.id, Signal::Traces)));
        let mut keeper = Keeper::new(Arc::clone(&router), settings.backend.health, pool, start);
        keeper.install(&endpoints(names));
        let (sets, receiver): (_, EndpointSets) = watch::channel(Some(endpoints(names)));
        tasks.spawn("keeper", keeper.run(Some(receiver)));
        let dispatcher = Dispatcher::new(vec![Arc::clone(&router)], Validation::Structure);
        Self { world, dispatcher, router, sets, custody, metrics, stop, tasks }
    }

    async fn send(&self, traces: std::ops::Range<u8>) -> Outcome {
        let body = request(traces, 3).encode_to_vec();
        self.dispatcher.dispatch(Signal::Traces, body.into(), &Metadata::default()).await.outcome
    }

    fn install(&self, names: &[&str]) {
        self.sets.send_replace(Some(endpoints(names)));
    }

    fn owner(&self, trace: u8) -> Option<String> {
        let table = self.router.table();
        table.ring.slot_of(&[trace; 16]).map(|slot| table.backends[slot].endpoint().dial().to_owned())
    }

    fn generation(&self) -> u64 {
        self.router.table().generation
    }

    async fn wait(&self, what: &str, limit: u64, condition: impl Fn(&Self) -> bool) -> Duration {
        let start = Instant::now();
        while !condition(self) {
            assert!(start.elapsed() < Duration::from_secs(limit), "{what}: not within {limit} s");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        start.elapsed()
    }

    async fn drained(self) -> Arc<World> {
        self.stop.drain.cancel();
        self.tasks.ended().await;
        assert_eq!(self.custody.parts(), 0);
        self.world
    }

    /// Ends, and compares what was taken: every trace of `traces` by one member, once, or up to so many times.
    async fn check(self, traces: std::ops::Range<u8>, copies: usize) -> BTreeMap<u8, Vec<String>> {
        let metrics = self.metrics.clone();
        let world = self.drained().await;
        let taken = world.traces();
        for trace in traces {
            let by = taken.get(&trace).cloned().unwrap_or_default();
            assert!((1..=copies).contains(&by.len()), "trace {trace} was taken by {by:?}");
        }
        assert_eq!(metrics.queued_items(), 0);
        taken
    }
}

fn endpoints(names: &[&str]) -> Vec<Endpoint> {
    names.iter().map(|name| Endpoint::new(name)).collect()
}

fn ring_of(names: &[&str]) -> Ring {
    Ring::new(settings::RingGeneration::G3, names)
}

// Scenario: a member leaves the set while it is dead, hangs, or works slowly, with data queued and backing off.
// Guarantees: everything it held is delivered to the owners in the new set, once; nothing is sent to it after the drain
// deadline; its task ends.
#[tokio::test(start_paused = true)]
async fn what_a_leaving_member_held_goes_to_the_new_owners() {
    for does in [Does::Refuse, Does::Hang, Does::Busy] {
        let bench = Bench::start(&NAMES, |settings| settings.backend.health = None);
        bench.world.set("b:1", does);
        for start in (0..240).step_by(20) {
            bench.send(start..start + 20).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let tasks = bench.tasks.running();
        bench.install(&["a:1", "c:1"]);
        let left = Instant::now();
        bench.wait("delivery of all", 20, |bench| bench.custody.parts() == 0).await;
        bench.wait("the end of the task", 20, |bench| bench.tasks.running() == tasks - 1).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        let late = |(at, when): &(String, Instant)| at == "b:1" && *when > left + Duration::from_millis(10);
        assert_eq!(
            bench.world.attempts.lock().unwrap().iter().filter(|one| late(one)).count(),
            0,
            "{does:?}"
        );
        assert!(bench.metrics.text().contains("endpoint=\"removed\""), "{does:?}");
        let ring = ring_of(&["a:1", "c:1"]);
        for (trace, by) in bench.check(0..240, 1).await {
            // Whoever owned it before, if it is there still: removing a member may move a few keys of others.
            let now = ["a:1", "c:1"][ring.slot_of(&[trace; 16]).unwrap()];
            let before = owner(trace);
            assert!(by == [now] || by == [before], "trace {trace} went to {by:?}");
        }
    }
}

// Scenario: a member hangs with attempts under way, leaves, and takes longer than the drain timeout allows.
// Guarantees: the attempts are cut off at the deadline, counted as ambiguous, and their data is delivered elsewhere.
#[tokio::test(start_paused = true)]
async fn attempts_at_a_leaving_member_end_with_the_drain_timeout() {
    let bench = Bench::start(&NAMES, |settings| settings.backend.drain_timeout = Duration::from_secs(2));
    bench.world.set("b:1", Does::Hang);
    bench.send(0..120).await.unwrap();
    bench.wait("the attempt", 1, |bench| bench.world.attempts_at("b:1") > 0).await;
    bench.install(&["a:1", "c:1"]);
    let took = bench.wait("delivery of all", 10, |bench| bench.custody.parts() == 0).await;
    assert!((1900..2200).contains(&took.as_millis()), "{took:?}");
    let mine = (0..120).filter(|trace| owner(*trace) == "b:1").count();
    let line = format!(
        "ringway_backend_ambiguous_items{{endpoint=\"removed\",exporter=\"load_balancing\",signal=\"traces\"}} {mine}"
    );
    let text = bench.metrics.text();
    assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    bench.check(0..120, 1).await;
}

// Scenario: the set shrinks to one, to none, and grows again, with data held by every member.
// Guarantees: what is held waits while there is nobody, and is delivered once to the members that come; new data is refused
// as retryable meanwhile.
#[tokio::test(start_paused = true)]
async fn an_empty_set_loses_nothing() {
    let bench = Bench::start(&NAMES, |_| {});
    for name in NAMES {
        bench.world.set(name, Does::Refuse);
    }
    bench.send(0..120).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    bench.install(&["c:1"]);
    tokio::time::sleep(Duration::from_secs(3)).await;
    bench.install(&[]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let refused = bench.send(120..130).await.unwrap_err();
    assert_eq!((refused.code, refused.is_retryable()), (Code::NoBackend, true));
    assert!(bench.custody.parts() > 0);
    bench.install(&["d:1", "e:1"]);
    bench.wait("delivery of all", 2, |bench| bench.custody.parts() == 0).await;
    let taken = bench.check(0..120, 1).await;
    let ring = ring_of(&["d:1", "e:1"]);
    for (trace, by) in taken {
        assert_eq!(by, [["d:1", "e:1"][ring.slot_of(&[trace; 16]).unwrap()]]);
    }
}

// Scenario: one of four members refuses connections for a minute and then works.
// Guarantees: nobody's keys move before the hold; then only its keys, to their successors; it has them back within one probe
// interval; everything is delivered once.
#[tokio::test(start_paused = true)]
async fn only_the_keys_of_a_dead_member_move() {
    let names = ["a:1", "b:1", "c:1", "d:1"];
    let bench = Bench::start(&names, |_| {});
    let before: Vec<_> = (0..=255).map(|trace| bench.owner(trace).unwrap()).collect();
    bench.world.set("b:1", Does::Refuse);
    bench.send(0..60).await.unwrap();
    let died = Instant::now();
    bench.wait("the ejection", 30, |bench| bench.generation() == 2).await;
    // Three attempts, 1 s and 1.5 s apart, and the hold.
    assert!((12..14).contains(&died.elapsed().as_secs()), "{:?}", died.elapsed());
    let skipped = ring_of(&["a:1", "c:1", "d:1"]);
    let mut moved_otherwise = 0;
    for (trace, before) in (0..=255).zip(&before) {
        let now = bench.owner(trace).unwrap();
        assert_ne!(now, "b:1");
        if before != "b:1" {
            assert_eq!(now, *before, "a key of somebody else moved");
        } else if now != ["a:1", "c:1", "d:1"][skipped.slot_of(&[trace; 16]).unwrap()] {
            moved_otherwise += 1;
        }
    }
    assert!(moved_otherwise <= 1, "collisions are rare");
    bench.wait("delivery of what it held", 1, |bench| bench.custody.parts() == 0).await;
    bench.send(60..120).await.unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(bench.custody.parts(), 0, "its keys are served by others");

    bench.world.set("b:1", Does::Take);
    let back = bench.wait("the recovery", 10, |bench| bench.generation() == 3).await;
    assert!(back <= Duration::from_secs(7), "{back:?}");
    let after: Vec<_> = (0..=255).map(|trace| bench.owner(trace).unwrap()).collect();
    assert_eq!(before, after);
    bench.send(120..180).await.unwrap();
    bench.wait("delivery", 1, |bench| bench.custody.parts() == 0).await;
    bench.check(0..180, 1).await;
}

// Scenario: a member takes data, its answers are lost, and it is skipped; later it answers again.
// Guarantees: what it may have taken is not given to another member, by the policy `retry` it is offered again to it alone.
#[tokio::test(start_paused = true)]
async fn what_may_have_been_taken_stays_with_its_owner() {
    let names = ["a:1", "b:1", "c:1", "d:1"];
    let bench = Bench::start(&names, |_| {});
    let owners: Vec<_> = (0..60).map(|trace| bench.owner(trace).unwrap()).collect();
    bench.world.set("b:1", Does::TakeUnanswered);
    bench.send(0..60).await.unwrap();
    bench.wait("the ejection", 30, |bench| bench.generation() == 2).await;
    bench.send(60..120).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(bench.custody.parts(), 1, "the part in doubt");
    bench.world.set("b:1", Does::Take);
    bench.wait("delivery", 20, |bench| bench.custody.parts() == 0).await;
    let taken = bench.check(0..120, 99).await;
    for (trace, owner) in (0..60).zip(owners) {
        assert!(taken[&trace].iter().all(|by| *by == owner), "{trace} went to {:?}", taken[&trace]);
    }
    for trace in 60..120 {
        assert_eq!(taken[&trace].len(), 1);
    }
}

// Scenario: as above, with `ambiguous: drop`.
// Guarantees: nothing is offered twice; what was in doubt is counted as dropped for that reason.
#[tokio::test(start_paused = true)]
async fn the_policy_drop_never_sends_twice() {
    let bench = Bench::start(&NAMES, |settings| settings.backend.ambiguous = [settings::Ambiguous::Drop; 3]);
    bench.world.set("b:1", Does::TakeUnanswered);
    bench.send(0..60).await.unwrap();
    bench.wait("the end", 30, |bench| bench.custody.parts() == 0).await;
    let mine = (0..60).filter(|trace| owner(*trace) == "b:1").count() as u64;
    assert_eq!(bench.metrics.dropped_items(Code::Ambiguous), mine);
    bench.check(0..60, 1).await;
}

// Scenario: three of four members die; then all four; then all work again.
// Guarantees: no more than half are skipped at a time, and never the last one; nothing is lost.
#[tokio::test(start_paused = true)]
async fn ejection_stops_at_the_limit() {
    let names = ["a:1", "b:1", "c:1", "d:1"];
    let bench = Bench::start(&names, |settings| settings.backend.queue.size = 100_000);
    for name in &names[..3] {
        bench.world.set(name, Does::Refuse);
    }
    bench.send(0..100).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let owners = |bench: &Bench| (0..=255).filter_map(|trace| bench.owner(trace)).collect::<BTreeSet<_>>();
    assert_eq!(owners(&bench).len(), 2, "{:?}", owners(&bench));
    bench.world.set("d:1", Does::Refuse);
    bench.send(100..200).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(owners(&bench).len(), 2);
    for name in names {
        bench.world.set(name, Does::Take);
    }
    bench.wait("recovery of all", 10, |bench| owners(bench).len() == 4).await;
    bench.wait("delivery of all", 10, |bench| bench.custody.parts() == 0).await;
    bench.check(0..200, 1).await;
}

// Scenario: a member works and fails in turns, a second each, for ten minutes under load.
// Guarantees: at most one change of the table for each hold; nothing is lost or doubled.
#[tokio::test(start_paused = true)]
async fn flapping_does_not_move_keys() {
    let bench = Bench::start(&NAMES, |_| {});
    for second in 0..600_u32 {
        bench.world.set("b:1", if second % 2 == 0 { Does::Refuse } else { Does::Take });
        if second % 4 == 0 && second < 800 {
            let start = (second / 4) as u8;
            bench.send(start..start + 1).await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(bench.generation() <= 1 + 600 / 10, "{} tables", bench.generation());
    bench.world.set("b:1", Does::Take);
    bench.wait("delivery of all", 10, |bench| bench.custody.parts() == 0).await;
    bench.check(0..150, 1).await;
}

// Scenario: a member is busy and says so, for longer than the hold, but takes something now and then.
// Guarantees: it keeps its keys: its load would only overload a neighbour.
#[tokio::test(start_paused = true)]
async fn a_busy_member_keeps_its_keys() {
    let bench = Bench::start(&NAMES, |_| {});
    for round in 0..12_u8 {
        bench.world.set("b:1", Does::Busy);
        bench.send(round * 20..round * 20 + 20).await.unwrap();
        tokio::time::sleep(Duration::from_secs(7)).await;
        bench.world.set("b:1", Does::Take);
        tokio::time::sleep(Duration::from_secs(6)).await;
    }
    assert_eq!(bench.generation(), 1);
    bench.check(0..240, 1).await;
}

// Scenario: health is off and a member is dead for four minutes, with more load.
// Guarantees: as in the Collector its keys stay with it, and everything waits for it.
#[tokio::test(start_paused = true)]
async fn without_health_keys_stay() {
    let bench = Bench::start(&NAMES, |settings| settings.backend.health = None);
    bench.world.set("b:1", Does::Refuse);
    bench.send(0..60).await.unwrap();
    tokio::time::sleep(Duration::from_secs(240)).await;
    assert_eq!(bench.generation(), 1);
    assert!(bench.custody.parts() > 0);
    bench.world.set("b:1", Does::Take);
    bench.wait("delivery", 10, |bench| bench.custody.parts() == 0).await;
    let taken = bench.check(0..60, 1).await;
    assert!(taken.iter().all(|(trace, by)| by == &[owner(*trace)]));
}

// Scenario: clients wait for delivery while the owner of some of it dies and is skipped.
// Guarantees: the answer comes when the successor has taken it; nothing is sent twice.
#[tokio::test(start_paused = true)]
async fn a_waiting_client_hears_of_the_successor() {
    let bench = Bench::start(&NAMES, |settings| {
        settings.backend.queue.acknowledge = settings::Acknowledge::Delivered;
    });
    bench.world.set("b:1", Does::Refuse);
    assert_eq!(bench.send(0..60).await, Ok(Delivered::default()));
    assert_eq!(bench.world.traces().len(), 60);
    bench.check(0..60, 1).await;
}

// Scenario: members come and go two hundred times, under load.
// Guarantees: no task, part or metric series is left over; everything is delivered once.
#[tokio::test(start_paused = true)]
async fn many_changes_leave_nothing_behind() {
    let bench = Bench::start(&NAMES, |_| {});
    bench.send(0..1).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let series = |bench: &Bench| {
        let text = bench.metrics.text();
        text.lines().filter(|line| line.contains("endpoint=") && !line.contains("removed")).count()
    };
    let (tasks, before) = (bench.tasks.running(), series(&bench));
    for round in 0..100_u32 {
        let name = format!("x{round}:1");
        bench.install(&["a:1", &name, "c:1"]);
        bench.send(round as u8 + 1..round as u8 + 2).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        bench.install(&NAMES);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bench.wait("the end of all tasks", 30, |bench| bench.tasks.running() == tasks).await;
    assert_eq!(series(&bench), before);
    bench.check(0..101, 1).await;
}

// Scenario: the process is told to stop while one member is dead, and its deadline passes.
// Guarantees: what works is delivered, the dead member's data goes to its successor after the hold if there is time; what is
// left at the deadline is counted as dropped, and every task ends.
#[tokio::test(start_paused = true)]
async fn draining_goes_on_re_routing() {
    let bench = Bench::start(&NAMES, |_| {});
    bench.world.set("b:1", Does::Refuse);
    bench.send(0..60).await.unwrap();
    bench.stop.drain.cancel();
    bench.wait("the end of the drain", 25, |bench| bench.tasks.running() == 0).await;
    bench.check(0..60, 1).await;

    let bench = Bench::start(&NAMES, |settings| settings.backend.health = None);
    bench.world.set("b:1", Does::Refuse);
    bench.send(0..60).await.unwrap();
    bench.stop.drain.cancel();
    tokio::time::sleep(Duration::from_secs(20)).await;
    bench.stop.abort.cancel();
    bench.wait("the end", 2, |bench| bench.tasks.running() == 0).await;
    let mine = (0..60).filter(|trace| owner(*trace) == "b:1").count() as u64;
    assert_eq!(bench.metrics.dropped_items(Code::ShuttingDown), mine);
    assert_eq!((bench.custody.parts(), bench.world.traces().len()), (0, 60 - mine as usize));
}

// Scenario: `block_on_overflow` with room for two requests at each member, one of which hangs; more requests come, one of
// them gives up.
// Guarantees: they wait instead of being refused, nothing of them is sent meanwhile; room that is freed lets one in; who gave up
// has left nothing behind.
#[tokio::test(start_paused = true)]
async fn a_full_queue_can_hold_requests() {
    let bench = Bench::start(&["a:1"], |settings| {
        settings.backend.queue.size = 2;
        settings.backend.queue.block_on_overflow = true;
        settings.backend.health = None;
    });
    bench.world.set("a:1", Does::Refuse);
    bench.send(0..1).await.unwrap();
    bench.send(1..2).await.unwrap();
    let mut waiting = Box::pin(bench.send(2..3));
    let impatient = tokio::time::timeout(Duration::from_secs(2), bench.send(3..4));
    let (waits, gave_up) =
        tokio::join!(tokio::time::timeout(Duration::from_secs(3), waiting.as_mut()), impatient);
    assert!(waits.is_err() && gave_up.is_err(), "both wait");
    assert_eq!(bench.custody.parts(), 2);
    bench.world.set("a:1", Does::Take);
    tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap().unwrap();
    bench.wait("delivery", 10, |bench| bench.custody.parts() == 0).await;
    let taken = bench.check(0..3, 1).await;
    assert!(!taken.contains_key(&3));
}

// Scenario: a member is skipped and comes back; then the same set arrives again, in another order, with a member twice, and empty.
// Guarantees: the digest is of the members alone, and only their changes are counted as changes of the ring; how many are skipped
// is shown beside it, and the member says so itself.
#[tokio::test(start_paused = true)]
async fn the_digest_is_of_the_members_not_of_their_health() {
    let bench = Bench::start(&NAMES, |_| {});
    let ring = bench.metrics.ring("load_balancing", Signal::Traces);
    let of = |names: &[&str]| Digest::of(settings::RingGeneration::G3, names);
    let seen = |bench: &Bench| {
        let table = bench.router.table();
        assert_eq!(ring.digest.get(), table.members.digest.metric());
        assert_eq!(ring.skipped.get(), table.skipped as i64);
        assert_eq!(ring.members.get(), table.members.endpoints.len() as i64);
        (table.members.digest, table.skipped, ring.changes.get())
    };
    assert_eq!(seen(&bench), (of(&NAMES), 0, 1));
    bench.world.set("b:1", Does::Refuse);
    bench.send(0..60).await.unwrap();
    let standing = |bench: &Bench| bench.router.table().backends[1].standing(Instant::now());
    bench.wait("suspicion", 30, |bench| standing(bench) == "suspect").await;
    bench.wait("the ejection", 30, |bench| bench.generation() == 2).await;
    assert_eq!(seen(&bench), (of(&NAMES), 1, 1));
    bench.wait("the skipped member", 1, |bench| standing(bench) == "skipped").await;
    bench.world.set("b:1", Does::Take);
    bench.wait("the return", 30, |bench| bench.generation() == 3).await;
    assert_eq!((seen(&bench), standing(&bench)), ((of(&NAMES), 0, 1), "active"));
    let sets = [(4, &["c:1", "a:1", "b:1"][..], 1), (5, &["a:1", "a:1", "b:1", "c:1"], 2), (6, &[], 3)];
    for (generation, set, changes) in sets {
        bench.install(set);
        bench.wait("the table", 1, |bench| bench.generation() == generation).await;
        assert_eq!(seen(&bench), (of(set), 0, changes));
    }
    bench.install(&NAMES);
    bench.check(0..60, 1).await;
}

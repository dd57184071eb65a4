//! The gateway is killed with SIGKILL under load, while one backend is away, and started again where it was.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::sync::watch;

use super::arrival::arrival_since;
use super::client::{Client, Sent};
use super::launch;
use super::membership;
use super::outcome::Outcome;
use super::script::{Script, Traces};
use super::sinks::Sink;
use super::tally::Tally;
use crate::gateway::{Gateway, Kind};
use crate::workspace::Workspace;
use crate::{http, report, together};

/// From the start of the load to the kill, and to the return of the backend that is away.
const KILL_AT: Duration = Duration::from_secs(8);
const RETURN_AT: Duration = Duration::from_secs(12);
/// How long the load lasts.
const LOAD: Duration = Duration::from_secs(14);
/// How long nobody is there.
const DOWN: Duration = Duration::from_millis(500);

/// What was delivered shortly before the kill may not have been marked as done, and is delivered again: a request keeps what
/// some backends have taken open for a second while others have not. Generous for a busy machine.
const WINDOW: Duration = Duration::from_secs(5);

/// A part that has waited while others of its request are through becomes a record of its own, and the mark that the request is
/// done follows within 50 ms; what a crash finds between the two is there twice. Ten times that, of the quarter of the spans
/// whose backend is away.
const MOVED_MAX: usize = 40 * 250 / 4 / 2;

/// When a client is told that its data is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Enqueued,
    Persisted,
    Delivered,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn enqueued_a_crash_takes_what_was_queued() -> anyhow::Result<()> {
    // Scenario: queues in memory, one backend of four away; the gateway is killed and started again.
    // Guarantees: what is lost was acknowledged before the kill and is no more than what was queued then; nothing that is
    // acknowledged afterwards is lost; a span comes twice only if its client saw no answer and sent it again.
    check("crash-enqueued", Mode::Enqueued, "delivery_inner.yaml").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn persisted_a_crash_takes_nothing_whoever_the_backends_are() -> anyhow::Result<()> {
    // Scenario: one queue on disk; the gateway is killed and started again with two of the four backends replaced, the one
    // that is away among them.
    // Guarantees: every acknowledged span arrives; twice comes only what its client sent again, and what had been delivered of
    // requests that were in flight when the kill came: a request is until all its parts are delivered, and a second longer;
    // and a little that became a record of its own just then.
    check("crash-persisted", Mode::Persisted, "delivery_persisted.yaml").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delivered_a_crash_takes_nothing() -> anyhow::Result<()> {
    // Scenario: no queue, each request for one backend; the gateway is killed and started again.
    // Guarantees: every acknowledged span arrives; twice comes only what its client sent again.
    check("crash-delivered", Mode::Delivered, "delivery_sync.yaml").await
}

async fn check(name: &str, mode: Mode, queue: &str) -> anyhow::Result<()> {
    let _together = together().await;
    let kind = Kind::under_test()?;
    let workspace = Workspace::new(name)?;
    let mut sinks = vec![Sink::closed()];
    for _ in 0..5 {
        sinks.push(Sink::start().await?);
    }
    let addresses: Vec<_> = sinks.iter().map(|sink| sink.address).collect();
    let (before, after) = match mode {
        Mode::Persisted => (&addresses[..4], &addresses[2..]),
        Mode::Enqueued | Mode::Delivered => (&addresses[..4], &addresses[..4]),
    };

    let mut first = launch(kind, &["delivery.yaml", queue], "", &workspace)?;
    first.variables.push(("STORAGE", workspace.path("storage").display().to_string()));
    let mut second = first.clone();
    first.configs.push(membership::fixed("before.yaml", before, &workspace)?);
    second.configs.push(membership::fixed("after.yaml", after, &workspace)?);
    second.name = "gateway-again";
    let gateway = Gateway::launch(&first, &workspace).await?;

    let client = match mode {
        Mode::Enqueued | Mode::Persisted => client(&gateway, 40, 250, Traces::Small)?,
        // A request for the backend that is away waits; whoever waits for it should wait for nobody else.
        Mode::Delivered => client(&gateway, 100, 20, Traces::OfOne(usize::MAX))?,
    };
    let happens = async {
        let began = tokio::time::Instant::now();
        tokio::time::sleep_until(began + KILL_AT).await;
        let asked = Instant::now();
        let queued = queued(&gateway).await?;
        let gateway = gateway.kill().await?;
        let crash = Crash { asked, killed: Instant::now(), queued };
        tokio::time::sleep(DOWN).await;
        // What the killed process had written to its sockets has been taken by now, and counts as delivered by it.
        let before: Vec<_> = sinks.iter().map(Sink::tally).collect();
        let gateway = gateway.again(&second, &workspace).await?;
        tokio::time::sleep_until(began + RETURN_AT).await;
        let [away, ..] = sinks.as_mut_slice() else { unreachable!("six sinks") };
        away.open().await?;
        anyhow::Ok((gateway, crash, before))
    };
    let (sent, (gateway, crash, before)) = tokio::try_join!(client.run(watch::channel(0).0), happens)?;

    // What was only queued when the kill came never arrives.
    let since = (mode == Mode::Enqueued).then_some(crash.killed);
    let waited = arrival_since(since, &sent, &mut sinks).await;
    let stopped = gateway.stop().await;
    let tallies: Vec<_> = sinks.iter().map(Sink::tally).collect();
    let outcome = Outcome::new(&sent, &[], &tallies.iter().collect::<Vec<_>>());
    let copies = |tallies: &[Tally], span| tallies.iter().map(|tally| usize::from(tally.copies(span))).sum();
    let damage = Damage::new(&sent, &crash, |span| Fate {
        before: copies(&before, span),
        copies: copies(&tallies, span),
        first: sinks.iter().filter_map(|sink| sink.arrived(span)).min(),
    });
    let queued = crash.queued.map_or_else(|| "?".to_owned(), |queued| queued.to_string());
    report(format!("{name} | {kind:?} | {outcome} | {queued} queued just before | {damage}"));
    ensure!(outcome.given_up == 0, "the client gave up: {outcome}");
    damage.verdict(mode, crash.queued)?;
    waited?;
    stopped?;
    workspace.remove()
}

fn client(gateway: &Gateway, rate: u32, request_spans: usize, traces: Traces) -> anyhow::Result<Client> {
    let requests = usize::try_from(LOAD.as_secs() * u64::from(rate))?;
    let script = Script { seed: 13, first: 0, requests, request_spans, traces };
    Ok(Client { gateway: gateway.grpc, script, pace: Duration::from_secs(1) / rate })
}

/// Spans that the gateway says are queued; `None` for one that counts something else.
async fn queued(gateway: &Gateway) -> anyhow::Result<Option<usize>> {
    let metrics = http::get(gateway.metrics, "/metrics").await?;
    let of_ours = metrics.lines().filter(|line| line.starts_with("ringway_backend_queued_items"));
    let values = of_ours.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    let values: Vec<f64> = values.collect();
    Ok((!values.is_empty()).then(|| values.iter().sum::<f64>() as usize))
}

/// The kill, and what was queued just before.
#[derive(Debug, Clone, Copy)]
struct Crash {
    asked: Instant,
    killed: Instant,
    queued: Option<usize>,
}

/// What became of a span.
#[derive(Debug, Clone, Copy)]
struct Fate {
    /// Copies that the killed gateway had delivered.
    before: usize,
    /// Copies in the end.
    copies: usize,
    /// When the first copy came.
    first: Option<Instant>,
}

/// What the crash cost, by when and why.
#[derive(Debug, Default, PartialEq, Eq)]
struct Damage {
    /// Lost, and acknowledged before the kill.
    lost_before: usize,
    /// Lost, and acknowledged after it.
    lost_after: usize,
    /// Acknowledged between the look at the queue and the kill.
    unseen: usize,
    /// Further copies of spans whose client sent them again.
    resent: usize,
    /// Second copies of spans that were delivered shortly before the kill.
    in_flight: usize,
    /// Second copies of spans that waited and had never been delivered before.
    moved: usize,
    /// Further copies without an excuse.
    twice: usize,
    /// How long before the kill the first of those that came twice after it had been delivered.
    oldest: Duration,
}

impl Damage {
    fn new(sent: &Sent, crash: &Crash, fate: impl Fn(usize) -> Fate) -> Self {
        let mut damage = Self::default();
        for (number, request) in sent.requests.iter().enumerate() {
            // The only attempt of a request that had no failed one went to the process that it began at, whenever its client got
            // round to reading the answer.
            let only_attempt = if request.failed == 0 { request.began } else { request.acknowledged };
            let before = request.acknowledged.is_some() && only_attempt.is_some_and(|at| at <= crash.killed);
            let unseen = before && request.acknowledged.is_some_and(|at| at >= crash.asked);
            let fates: Vec<Fate> = sent.script.numbers(number).map(&fate).collect();
            for Fate { before: early, copies, first } in fates {
                let in_flight = before && first.is_none_or(|first| first + WINDOW > crash.killed);
                damage.unseen += usize::from(unseen);
                let again = copies.saturating_sub(1);
                match request.acknowledged {
                    Some(_) if copies == 0 && before => damage.lost_before += 1,
                    Some(_) if copies == 0 => damage.lost_after += 1,
                    _ if request.failed > 0 => damage.resent += again,
                    _ if in_flight && (early, copies) == (1, 2) => damage.in_flight += 1,
                    _ if in_flight && (early, copies) == (0, 2) => damage.moved += 1,
                    _ => damage.twice += again,
                }
                if let (true, Some(first)) = (again > 0 && request.failed == 0, first) {
                    damage.oldest = damage.oldest.max(crash.killed.saturating_duration_since(first));
                }
            }
        }
        damage
    }

    /// Fails if more is lost or doubled than the mode admits, or if the scenario was not what it is meant to be.
    fn verdict(&self, mode: Mode, queued: Option<usize>) -> anyhow::Result<()> {
        ensure!(self.twice == 0, "delivered twice without an excuse: {self}");
        ensure!(self.lost_after == 0, "lost although the crash was over: {self}");
        match mode {
            Mode::Enqueued => {
                ensure!(
                    self.in_flight + self.moved == 0,
                    "delivered twice, and no client sent it twice: {self}"
                );
                ensure!(self.lost_before > 0, "nothing was queued, so this proves nothing: {self}");
                let bound = queued.map(|queued| queued + self.unseen);
                ensure!(bound.is_none_or(|bound| self.lost_before <= bound), "more lost than queued: {self}");
            }
            Mode::Persisted => {
                ensure!(self.lost_before == 0, "lost although it was on disk: {self}");
                ensure!(self.moved <= MOVED_MAX, "too much was there as two records: {self}");
            }
            Mode::Delivered => {
                ensure!(self.lost_before == 0, "lost although it was delivered: {self}");
                ensure!(
                    self.in_flight + self.moved == 0,
                    "delivered twice, and no client sent it twice: {self}"
                );
            }
        }
        Ok(())
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lost_before, lost_after, unseen, resent, in_flight, moved, twice, oldest } = self;
        write!(
            f,
            "lost {lost_before} acknowledged before the kill, {lost_after} after | {unseen} acknowledged since the look at \
             the queue | further copies: {resent} sent again, {in_flight} of requests in flight, {moved} that waited, {twice} without \
             excuse; the oldest had been delivered {oldest:?} before the kill"
        )
    }
}

#[test]
fn what_a_crash_may_cost_depends_on_the_mode() {
    // Scenario: a request acknowledged before the kill and one after it; each lost, and each delivered twice: long before the
    // kill, just before it, one span of it never before it, both copies before it, after it, by a client that sent it again.
    // Guarantees: each lands in its count, and each mode admits exactly what it is documented to.
    use super::client::Answered;

    let second = Duration::from_secs(1);
    let began = Instant::now();
    let killed = began + 10 * second;
    let crash = Crash { asked: killed - second / 2, killed, queued: Some(4) };
    let script = Script { seed: 1, first: 0, requests: 2, request_spans: 4, traces: Traces::Small };
    let acknowledged =
        |at: Instant, failed| Answered { began: Some(at - second), acknowledged: Some(at), failed };
    let damage_of = |requests: Vec<Answered>, fates: [Fate; 2], last: Fate| {
        let sent = Sent { requests, ..Sent::new(script) };
        let damage = Damage::new(&sent, &crash, |span| if span == 3 { last } else { fates[span / 4] });
        Damage { oldest: Duration::ZERO, ..damage }
    };
    let damage = |failed, fates, last| {
        let requests =
            vec![acknowledged(began + 2 * second, failed), acknowledged(began + 20 * second, failed)];
        damage_of(requests, fates, last)
    };
    let fate = |before, copies, first| Fate { before, copies, first: Some(first) };
    let (lost, early) = (Fate { before: 0, copies: 0, first: None }, fate(1, 1, began));
    let (just, late) = (fate(1, 2, killed - second / 2), fate(0, 1, killed + second));
    let (done_twice, early_twice) = (fate(1, 2, began), fate(2, 2, began));
    let waited_twice = fate(0, 2, killed + second);
    let all = [Mode::Enqueued, Mode::Persisted, Mode::Delivered];
    let none = Damage::default;
    for (damage, expected, admitted) in [
        (damage(0, [early, late], early), none(), &all[1..]),
        (damage(0, [lost, late], lost), Damage { lost_before: 4, ..none() }, &all[..1]),
        (damage(0, [early, lost], early), Damage { lost_after: 4, ..none() }, &[]),
        (damage(0, [done_twice, late], done_twice), Damage { twice: 4, ..none() }, &[]),
        (damage(0, [just, late], just), Damage { in_flight: 4, ..none() }, &all[1..2]),
        (damage(0, [waited_twice, late], late), Damage { moved: 3, ..none() }, &all[1..2]),
        (damage(0, [done_twice, late], late), Damage { twice: 3, ..none() }, &[]),
        (damage(0, [early_twice, late], late), Damage { twice: 3, ..none() }, &[]),
        (damage(0, [early, Fate { copies: 2, ..late }], early), Damage { twice: 4, ..none() }, &[]),
        (damage(1, [early_twice, late], late), Damage { resent: 3, ..none() }, &all[1..]),
    ] {
        assert_eq!(damage, expected);
        for mode in all {
            assert_eq!(
                damage.verdict(mode, crash.queued).is_ok(),
                admitted.contains(&mode),
                "{mode:?}: {damage}"
            );
        }
    }
    // A client that read its answer after the kill: the answer was that of the killed process.
    let began_before = acknowledged(killed + second / 2, 0);
    let read_late = damage_of(vec![began_before, began_before], [just, just], just);
    assert_eq!(read_late, Damage { in_flight: 8, unseen: 8, ..none() });
    assert!(Damage { moved: MOVED_MAX, ..none() }.verdict(Mode::Persisted, None).is_ok());
    assert!(Damage { moved: MOVED_MAX + 1, ..none() }.verdict(Mode::Persisted, None).is_err());
    let beyond = Damage { lost_before: 5, ..none() };
    assert!(beyond.verdict(Mode::Enqueued, Some(4)).is_err());
    assert!(Damage { unseen: 1, ..beyond }.verdict(Mode::Enqueued, Some(4)).is_ok());
}

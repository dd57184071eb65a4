//! A seeded simulation of delivery: the real routers, keepers, queues, retries and HTTP/2 clients over a simulated network,
//! with a simulated clock, against backends that fail in every way.
//!
//! A seed decides everything: configuration, load, faults, delays. `cargo test --test sim` plays 200 of them.
//!
//! | variable | what |
//! |---|---|
//! | `RINGWAY_SIM_SEEDS=5000` | so many seeds, from 0 |
//! | `RINGWAY_SIM_SEED=17` | this one alone, with its events if it fails |
//!
//! `laws` says what must be true at the end of each. A seed that fails is named with the line that plays it again.
//! What is random inside tokio (the order in which several waiters of one `watch` are woken) has no seed unless the compiler
//! gets `--cfg tokio_unstable`; a seed with more than one consumer may need `RUSTFLAGS="--cfg tokio_unstable"` to fail again.
//!
//! Not simulated: receivers, the resolver itself, the file system, and lost segments within a connection: a partition loses
//! what is sent, and the connection never recovers, as if the other side had restarted.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod backend;
mod client;
mod coverage;
mod gateway;
mod items;
mod laws;
mod ledger;
mod run;
mod scenario;
mod witness;

use std::{
    collections::BTreeSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use coverage::Feat;
use laws::Violation;
use scenario::Scenario;

/// Seeds that are played without a variable.
const SEEDS: u64 = 200;

/// Failing seeds that are shown.
const SHOWN: usize = 10;

// Scenario: many seeds; see the top of this file.
// Guarantees: the laws (`laws`) hold at the end of each run, and together the runs reach everything that the laws are about.
#[test]
fn laws_hold() {
    if let Some(seed) = variable("RINGWAY_SIM_SEED") {
        let scenario = Scenario::new(seed);
        let run = run::run(&scenario);
        let broken = laws::check(&run);
        let events: Vec<String> =
            run.book.events.iter().map(|(at, event)| format!("{at:?} {event:?}")).collect();
        let faults: Vec<String> = scenario.steps.iter().map(|step| format!("{step:?}")).collect();
        assert!(
            broken.is_empty(),
            "{}\n{}\n{}\n{}{}",
            events.join("\n"),
            run.metrics,
            scenario.yaml,
            faults.join("\n"),
            report(seed, &broken)
        );
        return;
    }
    let seeds = variable("RINGWAY_SIM_SEEDS").unwrap_or(SEEDS);
    let Played { seen, mut failed } = play(seeds);
    failed.sort_by_key(|(seed, _)| *seed);
    let shown: String = failed.iter().take(SHOWN).map(|(seed, broken)| report(*seed, broken)).collect();
    assert!(failed.is_empty(), "{} of {seeds} seeds fail:{shown}", failed.len());
    if seeds >= SEEDS {
        assert_eq!(coverage::missing(&seen), [], "never happened in {seeds} seeds");
    }
}

/// What came of many seeds.
#[derive(Debug, Default)]
struct Played {
    seen: BTreeSet<Feat>,
    failed: Vec<(u64, Vec<Violation>)>,
}

/// Plays the first so many seeds on all processors.
fn play(seeds: u64) -> Played {
    let (next, played) = (AtomicU64::new(0), Mutex::new(Played::default()));
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return;
            }
            let run = run::run(&Scenario::new(seed));
            let (seen, broken) = (coverage::of(&run), laws::check(&run));
            let mut played = played.lock().unwrap_or_else(PoisonError::into_inner);
            played.seen.extend(seen);
            if !broken.is_empty() {
                played.failed.push((seed, broken));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    played.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn report(seed: u64, broken: &[Violation]) -> String {
    let broken: Vec<String> = broken.iter().map(|violation| format!("  {violation}")).collect();
    format!("\nRINGWAY_SIM_SEED={seed} cargo test --test sim -- laws_hold\n{}", broken.join("\n"))
}

#[expect(clippy::disallowed_methods, reason = "how a test is told which seeds to play")]
fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

// Scenario: some seeds are played twice.
// Guarantees: the same happens at the same times in the same order, so that a failing seed fails again; other seeds differ.
#[test]
fn a_seed_is_a_run() {
    let exact = (0..).map(Scenario::new).filter(|scenario| scenario.is_exact).take(4);
    let hashes: BTreeSet<u64> = exact
        .map(|scenario| {
            let [first, second] = [(); 2].map(|()| run::run(&scenario).book);
            if let Some((one, other)) =
                first.events.iter().zip(&second.events).find(|(one, other)| one != other)
            {
                panic!("seed {} differs: {one:?} and {other:?}", scenario.seed);
            }
            let [first, second] = [first, second].map(|book| book.trace_hash());
            assert_eq!(first, second, "seed {}", scenario.seed);
            first
        })
        .collect();
    assert_eq!(hashes.len(), 4);
}

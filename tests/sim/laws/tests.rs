//! A law that cannot be broken proves nothing: a small good run, and a falsification of its books for each law.

use std::time::Duration;

use ringway::{
    model::{
        Signal,
        settings::{Acknowledge, Ambiguous, HealthPolicy, RingGeneration},
    },
    ring::Ring,
};

use super::{Law, check};
use crate::{
    gateway::{Ended, settings},
    items::{Id, Kind, key_bytes},
    ledger::{At, Book, End, Event, Why},
    run::{Memory, Run},
    scenario::Scenario,
};

const TRACES: usize = 0;

fn at(ms: u64) -> At {
    Duration::from_millis(ms)
}

/// Three backends, the last of which nothing ever happens to; one request of one span for each of ten keys, each sent once to its
/// owner and taken.
struct Good {
    run: Run,
}

impl Good {
    fn new() -> Self {
        let mut exporter = settings(&Scenario::new(0).yaml).exporters.remove(0);
        exporter.backend.queue.acknowledge = Acknowledge::Enqueued;
        exporter.backend.ambiguous = [Ambiguous::Retry; 3];
        if let Some(retry) = &mut exporter.backend.retry {
            retry.max_elapsed_time = None;
        }
        exporter.backend.health = Some(HealthPolicy {
            consecutive_failures: 3,
            no_success: at(2_000),
            hold: at(1_000),
            probe_interval: at(1_000),
            max_ejected_percent: 50,
        });
        let endpoints: Vec<String> = (1..=3).map(|number| format!("10.0.0.{number}:4317")).collect();
        let run = Run {
            exporter,
            endpoints,
            book: Book::default(),
            metrics: String::new(),
            memory: Memory { budget: 1000, peak: 500, at_end: 0 },
            ended: Some(Ended { took: at(100), in_time: true, tasks: 0, parts: 0 }),
            error: None,
        };
        let mut good = Self { run };
        good.add(0, Event::Set { backends: vec![0, 1, 2] });
        for number in [0, 1] {
            good.add(1, Event::Fault { backend: number, what: "scripted".to_owned() });
        }
        for key in 0..10 {
            let id = good.item(key, Kind::Plain);
            good.offered(100, id, true);
            let owner = good.owner(key);
            good.attempt(200, owner, id, End::Taken { rejected: 0 }, true);
        }
        good.count(10, 0, "");
        good
    }

    fn add(&mut self, ms: u64, event: Event) {
        self.run.book.events.push((at(ms), event));
    }

    fn item(&mut self, key: u32, kind: Kind) -> Id {
        let id = self.run.book.items.len() as u64 + 1;
        self.run.book.items.push(crate::items::Item { id, signal: TRACES, key, kind });
        id
    }

    fn offered(&mut self, ms: u64, id: Id, is_taken: bool) {
        self.add(ms, Event::Offered { signal: TRACES, request: id, time: 1, items: vec![id] });
        if is_taken {
            self.add(ms, Event::Accepted { request: id, items: vec![id] });
        }
    }

    /// An attempt of ten milliseconds.
    fn attempt(&mut self, ms: u64, backend: usize, id: Id, end: End, is_processed: bool) {
        let attempt = self.run.book.events.len() as u64;
        self.add(ms, Event::Began { attempt, signal: TRACES, backend, items: vec![id] });
        if is_processed {
            self.add(ms + 5, Event::Processed { backend, items: vec![id] });
        }
        self.add(ms + 10, Event::Ended { attempt, end });
    }

    fn owner(&self, key: u32) -> usize {
        let identities: Vec<&str> = self.run.endpoints.iter().map(String::as_str).collect();
        let ring = Ring::new(RingGeneration::G3, &identities);
        ring.slot_of(&key_bytes(Signal::Traces, key)).unwrap()
    }

    /// A key of the owner, out of the ten.
    fn key_of(&self, owner: usize) -> u32 {
        (0..10).find(|key| self.owner(*key) == owner).expect("every backend has some of ten keys")
    }

    /// The gateway's metrics.
    fn count(&mut self, delivered: u32, dropped: u32, reason: &str) {
        self.run.metrics = format!(
            "ringway_backend_delivered_items{{signal=\"traces\"}} {delivered}\n\
             otelcol_exporter_sent_spans{{exporter=\"x\"}} {delivered}\n\
             ringway_backend_dropped_items{{reason=\"{reason}\",signal=\"traces\"}} {dropped}\n\
             otelcol_exporter_send_failed_spans{{exporter=\"x\"}} {dropped}\n"
        );
    }

    /// Applies a falsification and compares the laws that are broken then.
    #[track_caller]
    fn check(change: impl FnOnce(&mut Self), expect: &[Law]) {
        let mut good = Self::new();
        change(&mut good);
        let found = check(&good.run);
        let mut laws: Vec<Law> = found.iter().map(|violation| violation.law).collect();
        laws.sort_unstable();
        laws.dedup();
        assert_eq!(laws, expect, "{found:#?}");
    }
}

// Scenario: a run as it should be; then one with retries, re-routes and drops that have their reasons.
// Guarantees: no law is broken by what is allowed.
#[test]
fn what_is_allowed_breaks_no_law() {
    Good::check(|_| {}, &[]);
    // Refused by all and given up by its client.
    Good::check(
        |run| {
            let id = run.item(3, Kind::Plain);
            run.offered(300, id, false);
            run.add(301, Event::Refused { request: id, code: "queue_full", retryable: true, whole: true });
        },
        &[],
    );
    // Not answered by its owner, then taken there twice, as ambiguity has it.
    Good::check(
        |run| {
            let key = run.key_of(0);
            let id = run.item(key, Kind::Plain);
            run.offered(300, id, true);
            run.attempt(310, 0, id, End::Safe("refused".to_owned()), false);
            run.attempt(400, 0, id, End::Ambiguous("reset".to_owned()), true);
            run.attempt(500, 0, id, End::Taken { rejected: 0 }, true);
            run.count(11, 0, "");
        },
        &[],
    );
    // Its owner fails, so the successor takes it.
    Good::check(
        |run| {
            let key = run.key_of(0);
            let id = run.item(key, Kind::Plain);
            run.offered(300, id, true);
            run.attempt(310, 0, id, End::Safe("refused".to_owned()), false);
            let successor = {
                let identities: Vec<&str> = run.run.endpoints.iter().map(String::as_str).collect();
                let ring = Ring::new(RingGeneration::G3, &identities);
                ring.skipping(&[true, false, false]).slot_of(&key_bytes(Signal::Traces, key)).unwrap()
            };
            run.attempt(400, successor, id, End::Taken { rejected: 0 }, true);
            run.count(11, 0, "");
        },
        &[],
    );
    // Poison is refused for good and counted.
    Good::check(
        |run| {
            let key = run.key_of(2);
            let id = run.item(key, Kind::Poison);
            run.offered(300, id, true);
            run.add(315, Event::Condemned { backend: 2, items: vec![id], why: Why::Poison });
            run.attempt(310, 2, id, End::Answered { code: 3, retryable: false, ambiguous: false }, false);
            run.count(10, 1, "rejected");
        },
        &[],
    );
}

// Scenario: the books of a good run are falsified in one point.
// Guarantees: each law can be broken, and is named then.
#[test]
fn each_law_can_be_broken() {
    Good::check(|run| run.count(9, 0, ""), &[Law::Conservation]);
    Good::check(
        |run| run.run.metrics.push_str("ringway_backend_queued_items{signal=\"traces\"} 1\n"),
        &[Law::Conservation],
    );
    Good::check(
        |run| {
            run.run.metrics = run.run.metrics.replace(
                "otelcol_exporter_sent_spans{exporter=\"x\"} 10",
                "otelcol_exporter_sent_spans{exporter=\"x\"} 9",
            )
        },
        &[Law::Conservation],
    );
    // Acknowledged and nowhere; the counters do not even say so.
    Good::check(
        |run| {
            let id = run.item(1, Kind::Plain);
            run.offered(300, id, true);
        },
        &[Law::Conservation, Law::NoLoss],
    );
    // Acknowledged, dropped and counted, without a reason.
    Good::check(
        |run| {
            let id = run.item(1, Kind::Plain);
            run.offered(300, id, true);
            run.count(10, 1, "rejected");
        },
        &[Law::NoLoss],
    );
    // Lost together with the poison that it was merged with.
    Good::check(
        |run| {
            let id = run.item(1, Kind::Plain);
            run.offered(300, id, true);
            run.add(310, Event::Condemned { backend: 0, items: vec![id], why: Why::Poison });
            run.count(10, 1, "rejected");
        },
        &[Law::NoLoss],
    );
    // Counted as dropped although it arrived and everybody knew.
    Good::check(|run| run.count(10, 1, "rejected"), &[Law::Conservation, Law::NoLoss]);
    // Sent again after it was taken.
    Good::check(
        |run| {
            let owner = run.owner(0);
            run.attempt(400, owner, 1, End::Safe("refused".to_owned()), false);
        },
        &[Law::NoDouble],
    );
    // Said to be safe, and processed.
    Good::check(
        |run| {
            let id = run.item(run.key_of(0), Kind::Plain);
            run.offered(300, id, true);
            run.attempt(310, 0, id, End::Safe("refused".to_owned()), true);
            run.attempt(400, 0, id, End::Taken { rejected: 0 }, true);
            run.count(11, 0, "");
        },
        &[Law::NoDouble],
    );
    // Refused as a whole, and sent all the same.
    Good::check(
        |run| {
            let id = run.item(run.key_of(0), Kind::Plain);
            run.offered(300, id, false);
            run.add(301, Event::Refused { request: id, code: "queue_full", retryable: true, whole: true });
            run.attempt(310, 0, id, End::Ambiguous("reset".to_owned()), true);
        },
        &[Law::NoDouble],
    );
    // The backend that works gets an item twice.
    Good::check(
        |run| {
            let id = run.item(run.key_of(2), Kind::Plain);
            run.offered(300, id, true);
            run.attempt(310, 2, id, End::Ambiguous("reset".to_owned()), true);
            run.attempt(400, 2, id, End::Taken { rejected: 0 }, true);
            run.count(11, 0, "");
        },
        &[Law::Survivors],
    );
    // To another than the owner, who has not failed.
    Good::check(
        |run| {
            let id = run.item(run.key_of(0), Kind::Plain);
            run.offered(300, id, true);
            run.attempt(310, 1, id, End::Taken { rejected: 0 }, true);
            run.count(11, 0, "");
        },
        &[Law::Owner],
    );
    // To one that has left the set, even without items.
    Good::check(
        |run| {
            run.add(300, Event::Set { backends: vec![1, 2] });
            let attempt = 1_000;
            run.add(500, Event::Began { attempt, signal: TRACES, backend: 0, items: vec![] });
            run.add(510, Event::Ended { attempt, end: End::Taken { rejected: 0 } });
        },
        &[Law::Owner],
    );
    // Beyond the drain timeout.
    Good::check(
        |run| {
            let attempt = 1_000;
            run.add(290, Event::Began { attempt, signal: TRACES, backend: 0, items: vec![] });
            run.add(300, Event::Set { backends: vec![1, 2] });
            run.add(60_000, Event::Ended { attempt, end: End::Dropped });
        },
        &[Law::Owner],
    );
    Good::check(|run| run.run.memory.peak = 1001, &[Law::Memory]);
    Good::check(|run| run.run.memory.at_end = 1, &[Law::Memory]);
    Good::check(|run| run.run.ended.as_mut().unwrap().in_time = false, &[Law::Drain]);
    Good::check(|run| run.run.ended.as_mut().unwrap().tasks = 1, &[Law::Tasks]);
    Good::check(|run| run.run.ended.as_mut().unwrap().parts = 1, &[Law::Tasks]);
    Good::check(|run| run.run.ended = None, &[Law::End]);
    Good::check(|run| run.run.error = Some("stuck".to_owned()), &[Law::End]);
}

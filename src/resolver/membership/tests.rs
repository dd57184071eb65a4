//! The rules of damping, on instants that the tests make up.

use proptest::prelude::*;

use super::*;
use crate::{tasks::Tasks, telemetry::Metrics};

const SECOND: Duration = Duration::from_secs(1);

/// What the chart renders.
const CHART: settings::Membership = settings::Membership {
    settle: Duration::from_millis(500),
    grace: Duration::from_secs(30),
    max_shrink_percent: 50,
    min_interval: SECOND,
    hold_empty: Duration::from_secs(60),
    max_stale: None,
};

/// One membership on a clock of its own that starts at 0.
struct Scene {
    membership: Membership,
    start: Instant,
    now: Instant,
    changes: usize,
}

fn set(text: &str) -> EndpointSet {
    text.split_whitespace().map(Endpoint::new).collect()
}

fn show(set: &EndpointSet) -> String {
    set.iter().map(Endpoint::identity).collect::<Vec<_>>().join(" ")
}

fn deleted(endpoints: &str, suspects: &str) -> Answer {
    let suspects = suspects.split_whitespace().map(Into::into).collect();
    Answer { endpoints: set(endpoints), suspects, absence: Absence::Deleted }
}

fn unexplained(endpoints: &str) -> Answer {
    Answer { endpoints: set(endpoints), suspects: Vec::new(), absence: Absence::Unexplained }
}

impl Scene {
    fn new(settings: settings::Membership) -> Self {
        let start = Instant::now();
        Self { membership: Membership::new(settings), start, now: start, changes: 0 }
    }

    /// Lets the time pass, waking up whenever the membership asks for it.
    fn until(&mut self, at: Duration) {
        let end = self.start + at;
        for _ in 0..10_000 {
            let decision = self.membership.decide(self.now, Some(self.now));
            self.changes += usize::from(decision.publish.is_some());
            match decision.next {
                Some(next) if next <= end => {
                    assert!(next > self.now, "it asks to be woken at once, again and again: {decision:?}");
                    self.now = next;
                }
                _ => {
                    self.now = end;
                    return;
                }
            }
        }
        panic!("it never comes to rest");
    }

    fn answer(&mut self, at: Duration, answer: Answer) {
        self.until(at);
        self.membership.answer(answer, self.now);
        self.until(at);
    }

    #[track_caller]
    fn check(&mut self, at: Duration, expect: &str) {
        self.until(at);
        let current = self.membership.current.as_ref().map_or_else(|| "nothing".to_owned(), show);
        assert_eq!(current, expect, "after {at:?}");
    }
}

// Scenario: a set that grows, shrinks, vanishes and is back, with a Collector's settings.
// Guarantees: every answer is in force at once.
#[test]
fn neutral_settings_change_nothing() {
    let mut scene = Scene::new(settings::Membership::NEUTRAL);
    scene.check(Duration::ZERO, "nothing");
    for (second, text) in (0..).zip(["a b", "a b c", "c", "", "a", "a a b"]) {
        scene.answer(second * SECOND, unexplained(text));
        scene.check(second * SECOND, text);
    }
    assert_eq!(scene.changes, 6);
}

// Scenario: changes in quick succession, some of which end where they began; then changes that never end.
// Guarantees: one change of the ring for all of them, after a quiet time; none if nothing is left of them; an endless stream
// gets through after ten times the quiet time.
#[test]
fn a_change_waits_until_it_is_settled() {
    let settle = Duration::from_millis(200);
    let mut scene = Scene::new(settings::Membership { settle, ..settings::Membership::NEUTRAL });
    let ms = Duration::from_millis;
    scene.answer(ms(0), deleted("a b", ""));
    scene.check(ms(0), "a b");
    scene.answer(ms(1_000), deleted("a", ""));
    scene.answer(ms(1_100), deleted("a c", ""));
    scene.check(ms(1_299), "a b");
    scene.check(ms(1_300), "a c");
    scene.answer(ms(2_000), deleted("a", ""));
    scene.answer(ms(2_150), deleted("a c", ""));
    scene.check(ms(3_000), "a c");
    assert_eq!(scene.changes, 2);
    for step in 0..30 {
        scene.answer(ms(4_000 + step * 100), deleted(if step % 2 == 0 { "a d" } else { "a e" }, ""));
    }
    assert_eq!(scene.changes, 3, "2 s after the first");
}

// Scenario: a member becomes not ready; another is deleted; another vanishes from answers that explain nothing.
// Guarantees: the first and the last stay for the grace, and for good if they are back in time; the deleted one does not.
#[test]
fn what_is_not_explained_has_a_grace() {
    let mut scene = Scene::new(settings::Membership { grace: 30 * SECOND, ..settings::Membership::NEUTRAL });
    scene.answer(SECOND, deleted("a b c", ""));
    scene.answer(2 * SECOND, deleted("a", "b"));
    scene.check(2 * SECOND, "a b");
    scene.answer(20 * SECOND, deleted("a b", ""));
    scene.answer(31 * SECOND, deleted("a", "b"));
    scene.check(60 * SECOND, "a b");
    scene.check(61 * SECOND, "a");
    scene.answer(70 * SECOND, unexplained("a b"));
    scene.answer(71 * SECOND, unexplained("b"));
    scene.check(100 * SECOND, "a b");
    scene.check(101 * SECOND, "b");
}

// Scenario: a member is not ready every other ten seconds for ten minutes, with the chart's settings.
// Guarantees: the ring never changes.
#[test]
fn a_flapping_member_moves_no_key() {
    let mut scene = Scene::new(CHART);
    scene.answer(SECOND, deleted("a b c d", ""));
    for flap in 0..60 {
        let (ready, suspects) = if flap % 2 == 0 { ("a b d", "c") } else { ("a b c d", "") };
        scene.answer((2 + flap * 10) * SECOND, deleted(ready, suspects));
        scene.check((2 + flap * 10) * SECOND, "a b c d");
    }
    assert_eq!(scene.changes, 1);
}

// Scenario: most of a set becomes not ready at once, and later most of another is deleted.
// Guarantees: the first leave in steps of the limit, a grace apart, in the order in which they went; deleted ones at once.
#[test]
fn a_set_shrinks_in_steps() {
    let settings = settings::Membership {
        grace: 10 * SECOND,
        max_shrink_percent: 50,
        min_interval: SECOND,
        ..settings::Membership::NEUTRAL
    };
    let mut scene = Scene::new(settings);
    scene.answer(SECOND, deleted("a b c d e f", ""));
    scene.answer(2 * SECOND, deleted("a b c d f", "e"));
    scene.answer(3 * SECOND, deleted("a", "b c d e f"));
    scene.check(12 * SECOND, "a b c d f");
    scene.check(13 * SECOND, "a d f");
    scene.check(22 * SECOND, "a d f");
    scene.check(23 * SECOND, "a f");
    scene.check(33 * SECOND, "a");
    scene.answer(40 * SECOND, deleted("a b c d e f", ""));
    scene.answer(41 * SECOND, deleted("a", ""));
    scene.check(41 * SECOND, "a");
}

// Scenario: changes every 100 ms with a least time between two changes.
// Guarantees: the ring changes no more often than that, and ends at the last answer.
#[test]
fn changes_keep_their_distance() {
    let mut scene =
        Scene::new(settings::Membership { min_interval: SECOND, ..settings::Membership::NEUTRAL });
    scene.answer(SECOND, deleted("a", ""));
    for step in 0..30_u32 {
        let text = ["a b", "a c", "a d"].into_iter().cycle().nth(step as usize).unwrap();
        scene.answer(SECOND + (step + 1) * Duration::from_millis(100), deleted(text, ""));
    }
    assert_eq!(scene.changes, 1 + 3);
    scene.check(10 * SECOND, "a d");
}

// Scenario: everything is gone; it comes back before and after the hold; everything was never there.
// Guarantees: the last set stays for the hold, then nothing is left; what comes back is in force at once; a first answer that is
// empty is an answer.
#[test]
fn an_empty_answer_is_held() {
    let settle = Duration::from_millis(500);
    let mut scene =
        Scene::new(settings::Membership { hold_empty: 60 * SECOND, settle, ..settings::Membership::NEUTRAL });
    scene.answer(Duration::ZERO, deleted("", ""));
    scene.check(Duration::ZERO, "");
    scene.answer(SECOND, deleted("a b", ""));
    scene.check(SECOND, "a b");
    scene.answer(2 * SECOND, deleted("", ""));
    scene.check(50 * SECOND, "a b");
    scene.answer(50 * SECOND, deleted("a b", ""));
    scene.answer(70 * SECOND, deleted("", ""));
    scene.check(129 * SECOND, "a b");
    scene.check(131 * SECOND, "");
    scene.answer(140 * SECOND, deleted("c", ""));
    scene.check(140 * SECOND, "c");
}

// Scenario: a source answers, then fails for longer than its answers may be old.
// Guarantees: its set ends then, and not before.
#[test]
fn an_old_answer_ends() {
    let settings = settings::Membership { max_stale: Some(60 * SECOND), ..settings::Membership::NEUTRAL };
    let mut membership = Membership::new(settings);
    let start = Instant::now();
    membership.answer(deleted("a", ""), start);
    assert_eq!(membership.decide(start, Some(start)).publish, Some(set("a")));
    let later = membership.decide(start + 59 * SECOND, Some(start));
    assert_eq!((later.publish, later.next), (None, Some(start + 60 * SECOND)));
    assert_eq!(membership.decide(start + 60 * SECOND, Some(start)).publish, Some(EndpointSet::new()));
    assert_eq!(membership.decide(start + 61 * SECOND, Some(start + 61 * SECOND)).publish, Some(set("a")));
}

// Scenario: a pod of a StatefulSet is back under its name with another address.
// Guarantees: the new address is in force; the name did not vanish.
#[test]
fn an_identity_may_move() {
    let mut scene = Scene::new(settings::Membership { grace: 30 * SECOND, ..settings::Membership::NEUTRAL });
    let at = |address: &str| Answer::from(vec![Endpoint::with_dial("sampler-0", address)]);
    scene.answer(SECOND, at("10.0.0.1"));
    scene.answer(2 * SECOND, at("10.0.0.2"));
    scene.until(2 * SECOND);
    assert_eq!(scene.membership.current, Some(vec![Endpoint::with_dial("sampler-0", "10.0.0.2")]));
}

proptest! {
    // Scenario: any answers at any times with any settings, then quiet for an hour.
    // Guarantees: the set in force ends at the last answer; it is always sorted and never holds what no answer had.
    #[test]
    fn it_ends_where_the_source_ends(
        settle in 0_u64..3_000, grace in 0_u64..60, percent in 1_u8..=100, interval in 0_u64..20, hold in 0_u64..90,
        answers in prop::collection::vec((0_u64..40_000, prop::collection::vec(0_u8..3, 6)), 1..30),
    ) {
        let settings = settings::Membership {
            settle: Duration::from_millis(settle), grace: grace as u32 * SECOND, max_shrink_percent: percent,
            min_interval: interval as u32 * SECOND, hold_empty: hold as u32 * SECOND, max_stale: None,
        };
        let mut scene = Scene::new(settings);
        let (mut at, mut last) = (Duration::ZERO, String::new());
        for (wait, states) in answers {
            at += Duration::from_millis(wait);
            let of = |state| {
                let chosen = "abcdef".chars().zip(&states).filter(|(_, found)| **found == state);
                chosen.map(|(name, _)| name.to_string()).collect::<Vec<_>>().join(" ")
            };
            last = of(0);
            scene.answer(at, deleted(&last, &of(1)));
            let current = scene.membership.current.clone().unwrap();
            prop_assert!(current.is_sorted());
        }
        scene.check(at + 3_600 * SECOND, &last);
    }
}

// Scenario: the task between a source and a listener: a first answer before it runs, later ones, the end of the source with a
// change under way.
// Guarantees: the first set is there before the task runs; a change comes after its quiet time, also when the source has ended;
// then the task ends. Collector's metrics count changes of the set.
#[tokio::test(start_paused = true)]
async fn the_task_publishes_what_is_decided() {
    let metrics = Metrics::new().resolver("lb", "file");
    let status = Status::new("file", "a test".to_owned());
    let (sender, answers) = watch::channel(Some(deleted("a b", "")));
    let (publisher, mut sets) = watch::channel(None);
    let settings = settings::Membership { settle: SECOND, ..settings::Membership::NEUTRAL };
    let mut keeping = Keeping::new(settings, status.clone(), metrics.clone(), answers, publisher);
    keeping.look();
    assert_eq!(sets.borrow_and_update().as_ref().map(show).as_deref(), Some("a b"));
    let tasks = Tasks::new();
    let task = tasks.spawn("membership", keeping.run());
    let began = Instant::now();
    sender.send_replace(Some(deleted("a c", "")));
    drop(sender);
    sets.changed().await.unwrap();
    assert_eq!(
        (sets.borrow_and_update().as_ref().map(show).as_deref(), began.elapsed()),
        (Some("a c"), SECOND)
    );
    task.await.unwrap();
    assert_eq!((metrics.backends.get(), metrics.updates.get()), (2, 2));
    assert_eq!(status.snapshot().endpoints, Some(2));
}

//! Which faults a run has, and when: one to four episodes, each with its beginning and its end.
//!
//! Faults strike some of the backends only, as a rule, so that there are survivors whose delivery must not suffer.

use std::time::Duration;

use h2::Reason;
use ringway::net::grpc::Code;

use super::{Step, Way, choose, one_in};
use crate::{
    backend::{Act, Script},
    ledger::At,
};

/// What faults are drawn for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) members: usize,
    pub(super) backends: usize,
    /// All faults begin before.
    pub(super) lasts: Duration,
    /// Of an attempt.
    pub(super) timeout: Duration,
    pub(super) has_poison: bool,
}

/// Codes that are tried again, with and without a delay.
const RETRYABLE: [Code; 7] = [
    Code::Unavailable,
    Code::Unavailable,
    Code::Cancelled,
    Code::DeadlineExceeded,
    Code::Aborted,
    Code::OutOfRange,
    Code::DataLoss,
];

/// Codes that are final, and blame something else than the content.
const FINAL: [Code; 6] = [
    Code::NotFound,
    Code::AlreadyExists,
    Code::PermissionDenied,
    Code::FailedPrecondition,
    Code::Unimplemented,
    Code::Unauthenticated,
];

/// Codes for which a message is cut to find what is to blame.
const BLAMING: [Code; 4] = [Code::Unknown, Code::InvalidArgument, Code::Internal, Code::ResourceExhausted];

/// Draws the faults of a run, in the order of time.
pub(super) fn draw(random: &mut fastrand::Rng, plan: &Plan) -> Vec<(At, Step)> {
    let mut steps = Vec::new();
    let victims = if one_in(random, 8) { plan.backends } else { random.usize(1..plan.members) };
    for _ in 0..random.usize(1..=4) {
        let backend = random.usize(..victims);
        let latest = plan.lasts.as_millis() as u64 - 3_000;
        let from = Duration::from_millis(random.u64(1_000..latest));
        let until = (from + Duration::from_millis(random.u64(300..=9_000))).min(plan.lasts);
        let (begin, end) = fault(random, plan, backend);
        steps.push((from, begin));
        steps.push((until, end));
    }
    if one_in(random, 4) {
        flap(random, plan, victims, &mut steps);
    }
    if one_in(random, 2) {
        change_sets(random, plan, &mut steps);
    }
    steps.sort_by_key(|(at, _)| *at);
    steps
}

/// The beginning and the end of something that happens to one backend.
fn fault(random: &mut fastrand::Rng, plan: &Plan, backend: usize) -> (Step, Step) {
    let repair = Step::Repair { backend };
    match random.u32(..16) {
        0 | 1 => (
            Step::Cut { backend, way: choose(random, &[Way::Both, Way::ToBackend, Way::FromBackend]) },
            repair,
        ),
        2 => (Step::Hold { backend }, repair),
        3 => {
            let max = Duration::from_millis(random.u64(100..=1_500));
            (Step::Latency { backend, max }, Step::Latency { backend, max: Duration::from_millis(20) })
        }
        4 => (Step::Crash { backend }, Step::Bounce { backend }),
        5 => (Step::Script { backend, script: Script::Down }, Step::Script { backend, script: Script::OK }),
        _ => {
            let act = act(random, plan);
            let script = Script::Up { act, one_in: random.u32(1..=4) };
            (Step::Script { backend, script }, Step::Script { backend, script: Script::OK })
        }
    }
}

fn act(random: &mut fastrand::Rng, plan: &Plan) -> Act {
    let processes = random.bool();
    let soon = Duration::from_millis(random.u64(20..=600));
    match random.u32(..14) {
        0 => Act::Hang { processes },
        1 | 2 => Act::Reset {
            processes,
            reason: choose(random, &[Reason::INTERNAL_ERROR, Reason::CANCEL, Reason::ENHANCE_YOUR_CALM]),
        },
        3 => Act::Reset { processes: false, reason: Reason::REFUSED_STREAM },
        4 | 5 => Act::Cut { processes },
        6 => Act::GoAway,
        7 => Act::Serve { before: soon, after: Duration::ZERO },
        8 => Act::Serve { before: Duration::ZERO, after: plan.timeout + soon },
        9 => Act::Serve { before: plan.timeout + soon, after: Duration::ZERO },
        10 => Act::Partly,
        11 => {
            let retry = random.bool().then_some(Duration::from_millis(random.u64(100..=2_000)));
            Act::Refuse { code: choose(random, &RETRYABLE), retry }
        }
        12 => Act::Refuse { code: Code::ResourceExhausted, retry: Some(soon) },
        // Blaming codes use up what finding poison takes.
        _ if plan.has_poison || random.bool() => Act::Refuse { code: choose(random, &FINAL), retry: None },
        _ => Act::Refuse { code: choose(random, &BLAMING), retry: None },
    }
}

/// A backend that goes and comes back every second.
fn flap(random: &mut fastrand::Rng, plan: &Plan, victims: usize, steps: &mut Vec<(At, Step)>) {
    let backend = random.usize(..victims);
    let times = random.u64(4..=10);
    let latest = (plan.lasts.as_secs() - times).max(2) * 1_000;
    let from = Duration::from_millis(random.u64(1_000..latest));
    for time in 0..times {
        let at = from + Duration::from_secs(time);
        steps.push((at, Step::Script { backend, script: Script::Down }));
        steps.push((at + Duration::from_millis(500), Step::Script { backend, script: Script::OK }));
    }
}

/// One change of the endpoint set that takes some steps.
fn change_sets(random: &mut fastrand::Rng, plan: &Plan, steps: &mut Vec<(At, Step)>) {
    let all: Vec<usize> = (0..plan.members).collect();
    let mut at = Duration::from_millis(random.u64(2_000..plan.lasts.as_millis() as u64 / 2));
    let mut pause = |random: &mut fastrand::Rng, most: u64| {
        let now = at;
        at += Duration::from_millis(random.u64(400..=most));
        now
    };
    match random.u32(..6) {
        // Rolling replacement: each member, as far as there are others, by one that was not there.
        0 | 1 => {
            let mut set = all;
            for (place, new) in (plan.members..plan.backends).enumerate() {
                // As Kubernetes does it: one more, then one less.
                let mut both = set.clone();
                both.push(new);
                steps.push((pause(random, 1_500), Step::Set(both)));
                set[place] = new;
                steps.push((pause(random, 4_000), Step::Set(set.clone())));
            }
        }
        2 => {
            let one = random.usize(..plan.members);
            steps.push((pause(random, 6_000), Step::Set(vec![one])));
            steps.push((pause(random, 6_000), Step::Set(all)));
        }
        3 => {
            steps.push((pause(random, 4_000), Step::Set(Vec::new())));
            steps.push((pause(random, 4_000), Step::Set(all)));
        }
        4 => {
            let without: Vec<usize> = all[1..].to_vec();
            for _ in 0..random.u32(3..=6) {
                steps.push((pause(random, 1_000), Step::Set(without.clone())));
                steps.push((pause(random, 1_000), Step::Set(all.clone())));
            }
        }
        // One that does not work leaves, with what it holds.
        _ => {
            let backend = 0;
            let act = Act::Hang { processes: false };
            let broken = if random.bool() { Script::Down } else { Script::Up { act, one_in: 1 } };
            steps.push((pause(random, 4_000), Step::Script { backend, script: broken }));
            steps.push((pause(random, 4_000), Step::Set(all[1..].to_vec())));
        }
    }
}

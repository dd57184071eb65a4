//! Random use, failures and crashes of a queue, compared with what a queue is.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::{
    super::{AppendError, format::CORRUPT},
    fake::Faults,
    *,
};

#[derive(Clone, Copy, Debug)]
enum Step {
    /// So many records at once, of so many bytes each.
    Append(u8, u16),
    Take,
    /// One of those taken, by its place.
    Done(u8),
    PutBack(u8),
    Flush,
    /// The process is killed after it has written so many bytes more, within an append.
    Kill(u16),
    /// The power fails; a queue without sync is only killed.
    LosePower(u64),
    /// Something of the disk fails until the next fault or crash.
    Fault(u8),
}

/// What a queue must hold.
#[derive(Default)]
struct Model {
    /// Acknowledged and not handed out, in order.
    waiting: VecDeque<u64>,
    /// Handed out, with their sequence numbers.
    taken: Vec<(u64, u64)>,
    /// Done, but the marks may not be on the disk.
    unmarked: BTreeSet<u64>,
    /// May come again after a crash: marks that were lost, appends that were cut short.
    doubtful: BTreeSet<u64>,
    next: u64,
}

struct Run {
    disk: FakeDisk,
    limits: Limits,
    log: Log,
    model: Model,
    faults: Faults,
    sizes: BTreeMap<u64, usize>,
}

impl Run {
    fn new(limits: Limits) -> Self {
        let disk = FakeDisk::default();
        let log = open_fake(&disk, limits);
        let (model, faults) = (Model::default(), Faults::default());
        Self { disk, limits, log, model, faults, sizes: BTreeMap::new() }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Append(count, bytes) => self.append(count, bytes),
            Step::Take => self.take(),
            Step::Done(place) => {
                if let Some((id, sequence)) = self.pick(place) {
                    self.log.done(sequence);
                    self.model.unmarked.insert(id);
                }
            }
            Step::PutBack(place) => {
                if let Some((id, sequence)) = self.pick(place) {
                    self.log.put_back(sequence);
                    self.model.waiting.push_back(id);
                }
            }
            Step::Flush => {
                if self.log.flush().is_ok() {
                    self.model.unmarked.clear();
                }
            }
            Step::Kill(budget) => {
                self.set(Faults { write_budget: Some(budget.into()), ..Faults::default() });
                self.append(3, 9000);
                // Some of it may be on the disk, and if so, in part.
                self.crash(|_| {});
            }
            Step::LosePower(seed) if self.limits.fsync => {
                self.crash(|disk| disk.lose_power(&mut fastrand::Rng::with_seed(seed)));
            }
            Step::LosePower(_) => self.crash(|_| {}),
            Step::Fault(which) => {
                let well = Faults::default();
                let full = self.log.disk_bytes() + 500;
                self.set(match which % 6 {
                    0 => Faults { capacity: Some(full), ..well },
                    1 => Faults { sync: true, ..well },
                    2 => Faults { sync: true, set_len: true, ..well },
                    3 => Faults { capacity: Some(full), set_len: true, remove: true, ..well },
                    _ => well,
                });
            }
        }
        let (records, ..) = self.log.undone();
        assert_eq!(records, self.model.waiting.len() + self.model.taken.len());
    }

    fn set(&mut self, faults: Faults) {
        self.faults = faults;
        self.disk.set(faults);
    }

    fn append(&mut self, count: u8, bytes: u16) {
        let ids: Vec<u64> = (self.model.next..).take(count.into()).collect();
        self.model.next += u64::from(count);
        let records: Vec<Record> = ids.iter().map(|&id| record(id, bytes.into())).collect();
        let results = self.log.append(&records.iter().collect::<Vec<_>>());
        for (id, result) in ids.into_iter().zip(results) {
            self.sizes.insert(id, bytes.into());
            match result {
                Ok(_) => self.model.waiting.push_back(id),
                // Without a crash nothing of it comes. With one it may, if it could not be cut off.
                Err(AppendError::Full(_) | AppendError::Io(_)) => {
                    self.model.doubtful.insert(id);
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn take(&mut self) {
        let expect = self.model.waiting.pop_front();
        let got = self.log.take().map(|took| match took.unwrap() {
            Took::Record { sequence, record } => (id_of(&record), sequence),
            Took::Damaged { .. } => panic!("nothing is damaged"),
        });
        assert_eq!(got.map(|(id, _)| id), expect, "the oldest, or what was put back in its turn");
        self.model.taken.extend(got);
    }

    fn pick(&mut self, place: u8) -> Option<(u64, u64)> {
        let taken = &mut self.model.taken;
        (!taken.is_empty()).then(|| taken.swap_remove(usize::from(place) % taken.len()))
    }

    /// Ends it without a goodbye, opens it again, and compares all that is there.
    fn crash(&mut self, damage: impl FnOnce(&FakeDisk)) {
        damage(&self.disk);
        self.set(Faults::default());
        self.log = open_fake(&self.disk, self.limits);
        let model = &mut self.model;
        model.doubtful.append(&mut model.unmarked);
        let must: BTreeSet<u64> = model
            .waiting
            .drain(..)
            .chain(model.taken.drain(..).map(|(id, _)| id))
            .filter(|id| !model.doubtful.contains(id))
            .collect();

        let there = drain(&mut self.log);
        // Records that a loss of power has damaged are marked.
        self.log.flush().unwrap();
        let came: BTreeSet<u64> = ids(&there).into_iter().collect();
        assert!(came.len() == there.len(), "none comes twice: {there:?}");
        assert!(there.is_sorted(), "oldest first: {there:?}");
        let missing: Vec<_> = must.difference(&came).collect();
        assert!(missing.is_empty(), "acknowledged and not done, but gone: {missing:?}");
        let zombies: Vec<_> = came.difference(&must).filter(|id| !model.doubtful.contains(id)).collect();
        assert!(zombies.is_empty(), "done or refused, but back: {zombies:?}");
        // What was in doubt stays so: it was never synced. Opening once more puts all of it back in order.
        model.waiting.extend(came);
        self.log = open_fake(&self.disk, self.limits);
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (1..4_u8, 0..30_000_u16).prop_map(|(count, bytes)| Step::Append(count, bytes)),
        8 => Just(Step::Take),
        6 => any::<u8>().prop_map(Step::Done),
        2 => any::<u8>().prop_map(Step::PutBack),
        3 => Just(Step::Flush),
        1 => (0..40_000_u16).prop_map(Step::Kill),
        1 => any::<u64>().prop_map(Step::LosePower),
        1 => any::<u8>().prop_map(Step::Fault),
    ];
    prop::collection::vec(step, 1..100)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    // Scenario: random appends, takes, dones, put-backs and flushes; kills within a write, losses of power, full disks, failing
    // syncs, removals and cuts; with and without sync, with and without a limit.
    // Guarantees: what was acknowledged and is not done is never missing; what is done does not come back once its mark is
    // written; what was refused never comes without a crash; oldest first; bytes as they were; nothing counts as damaged
    // after a kill; numbers add up.
    #[test]
    fn never_loses_and_never_revives(steps in steps(), fsync: bool, limited: bool) {
        let max_bytes = limited.then_some(600_000);
        let mut run = Run::new(Limits { fsync, max_bytes, ..LIMITS });
        for step in steps {
            run.step(step);
        }
        run.crash(|_| {});
        if !fsync {
            prop_assert!(!run.disk.names().iter().any(|name| name.ends_with(CORRUPT)));
        }
        for (_, sequence) in drain(&mut run.log) {
            run.log.done(sequence);
        }
        run.log.flush().unwrap();
        run.log.seal_if_done();
        let left = run.disk.names().into_iter().filter(|name| !name.ends_with(CORRUPT)).count();
        prop_assert_eq!((left, run.log.disk_bytes()), (0, 0), "room comes back");
    }
}

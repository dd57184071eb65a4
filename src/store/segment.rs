//! What is known in memory of one segment: where its records stand, and which are done.
//!
//! Stage: edge, below `store`. No I/O. Sixteen bytes for each record, kept until the segment is removed.

/// One segment: a file of records and a file of marks.
#[derive(Debug)]
pub(super) struct Segment {
    /// Sequence number of the first record.
    base: u64,
    entries: Vec<Entry>,
    /// Good bytes of the file of records: where the next one goes. 0: there is not even the header.
    pub(super) log_bytes: u64,
    /// Good bytes of the file of marks: where the next one goes. 0: there is no such file.
    pub(super) done_bytes: u64,
    undone: usize,
    /// Records that are done without a mark in the file.
    unmarked: Vec<u64>,
}

/// Where a record stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Of its header in the file. Segments are far smaller than 4 GiB.
    pub(super) offset: u32,
    /// Bytes of its body.
    pub(super) length: u32,
    /// Items inside.
    pub(super) items: u32,
    pub(super) state: State,
}

/// What has become of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Waiting,
    Taken,
    Done,
}

impl Segment {
    /// One without records and without files.
    pub(super) const fn new(base: u64) -> Self {
        Self { base, entries: Vec::new(), log_bytes: 0, done_bytes: 0, undone: 0, unmarked: Vec::new() }
    }

    pub(super) const fn base(&self) -> u64 {
        self.base
    }

    /// The sequence number of the next record.
    pub(super) const fn end(&self) -> u64 {
        self.base.saturating_add(self.entries.len() as u64)
    }

    /// Whether there is nothing left to hand out.
    pub(super) const fn is_done(&self) -> bool {
        self.undone == 0
    }

    /// Bytes of its files.
    pub(super) const fn disk_bytes(&self) -> u64 {
        self.log_bytes + self.done_bytes
    }

    /// One more record, waiting.
    pub(super) fn push(&mut self, offset: u32, length: u32, items: u32) {
        self.entries.push(Entry { offset, length, items, state: State::Waiting });
        self.undone += 1;
    }

    pub(super) fn entry(&self, sequence: u64) -> Option<Entry> {
        self.entries.get(self.index(sequence)?).copied()
    }

    /// The first record from a sequence number on that waits.
    pub(super) fn first_waiting(&self, from: u64) -> Option<u64> {
        let skip = self.index(from.max(self.base))?;
        let waiting = self.entries.iter().skip(skip).position(|entry| entry.state == State::Waiting)?;
        Some(self.base + (skip + waiting) as u64)
    }

    /// Sets the state of a record that is not done; whether it was one.
    pub(super) fn set(&mut self, sequence: u64, state: State) -> bool {
        let Some(entry) = self.index(sequence).and_then(|index| self.entries.get_mut(index)) else {
            return false;
        };
        if entry.state == State::Done {
            return false;
        }
        entry.state = state;
        if state == State::Done {
            self.undone -= 1;
        }
        true
    }

    /// A record is done and wants a mark.
    pub(super) fn want_mark(&mut self, sequence: u64) {
        self.unmarked.push(sequence);
    }

    /// Records whose marks are to be written.
    pub(super) fn unmarked(&self) -> &[u64] {
        &self.unmarked
    }

    /// They are written.
    pub(super) fn marked(&mut self) {
        self.unmarked = Vec::new();
    }

    /// Records that are not done: how many, their items and their bytes.
    pub(super) fn undone(&self) -> (usize, u64, u64) {
        let undone = self.entries.iter().filter(|entry| entry.state != State::Done);
        undone.fold((0, 0, 0), |(records, items, bytes), entry| {
            (records + 1, items + u64::from(entry.items), bytes + u64::from(entry.length))
        })
    }

    fn index(&self, sequence: u64) -> Option<usize> {
        usize::try_from(sequence.checked_sub(self.base)?).ok()
    }
}

//! A disk that is full or fails: what is refused, what stays, and that it goes on afterwards.

use super::{
    super::{
        AppendError,
        format::{FILE_HEADER_BYTES, Kind},
    },
    fake::Faults,
    *,
};

const SYNCED: Limits = Limits { fsync: true, ..LIMITS };

/// Lets appends of two records together fail in some way, and then lets the disk be well again.
#[track_caller]
fn check(case: &str, limits: Limits, mut faults: Faults, full: bool) {
    for before in [0, 1, 2] {
        let disk = FakeDisk::default();
        let mut log = open_fake(&disk, limits);
        append(&mut log, 0..before, 5000);
        // There is room for a half of the next.
        faults.capacity = full.then_some(log.disk_bytes() + 3000);
        disk.set(faults);
        for _ in 0..3 {
            let results = log.append(&[&record(100, 5000), &record(101, 5000)]);
            for result in results {
                let error = result.unwrap_err();
                assert_eq!(matches!(error, AppendError::Full(None)), full, "{case}: {error}");
            }
        }
        disk.set(Faults::default());
        append(&mut log, 200..203, 5000);
        let expect: Vec<u64> = (0..before).chain(200..203).collect();
        let mut again = open_fake(&disk, limits);
        assert_eq!(ids(&drain(&mut again)), expect, "{case}, {before} before: opened again");
        assert_eq!(again.metrics.corrupt_records.get(), 0, "{case}");
        assert_eq!(ids(&drain(&mut log)), expect, "{case}, {before} before");
    }
}

// Scenario: the disk fills up within a write, a write or sync fails, what is left behind cannot be cut off, a file cannot be made.
// Guarantees: the append says so, also for the others of its group; nothing of them comes later; the next append works.
#[test]
fn failed_appends_leave_nothing_behind() {
    let well = Faults::default();
    for set_len in [false, true] {
        check("full", LIMITS, Faults { set_len, ..well }, true);
        check("full", SYNCED, Faults { set_len, ..well }, true);
        check("sync", SYNCED, Faults { sync: true, set_len, ..well }, false);
        check("write", LIMITS, Faults { write_budget: Some(10), ..well }, false);
    }
    check("removal", SYNCED, Faults { sync: true, set_len: true, remove: true, ..well }, false);
}

// Scenario: no file can be made.
// Guarantees: the append fails, and works when files can be made again.
#[test]
fn a_file_that_cannot_be_made_fails_the_append() {
    let disk = FakeDisk::default();
    let mut log = open_fake(&disk, LIMITS);
    disk.set(Faults { create: true, ..Faults::default() });
    assert!(matches!(log.append(&[&record(1, 10)])[0], Err(AppendError::Io(_))));
    disk.set(Faults::default());
    append(&mut log, [2], 10);
    assert_eq!(ids(&drain(&mut log)), [2]);
}

// Scenario: a full disk and records that are done, in segments of which nothing else is wanted.
// Guarantees: room comes back without room for marks: the next append works.
#[test]
fn a_full_disk_makes_room_by_itself() {
    let disk = FakeDisk::default();
    let mut log = open_fake(&disk, LIMITS);
    append(&mut log, 0..30, 10_000);
    disk.set(Faults { capacity: Some(301_000), ..Faults::default() });
    assert!(matches!(log.append(&[&record(30, 10_000)])[0], Err(AppendError::Full(None))));
    for (_, sequence) in drain(&mut log) {
        log.done(sequence);
    }
    append(&mut log, 31..50, 10_000);
    assert_eq!(ids(&drain(&mut open_fake(&disk, LIMITS))), (31..50).collect::<Vec<_>>());
}

// Scenario: a queue of one MiB takes 10 MB, record by record, each done at once; then it is filled.
// Guarantees: the files never have more than the limit; room of done records is used again; a record too many is refused as full
// and the queue works again when one segment is done.
#[test]
fn max_bytes_limits_the_files() {
    let disk = FakeDisk::default();
    let limits = Limits { max_bytes: Some(1 << 20), segment_bytes: 8 << 20, ..LIMITS };
    let mut log = open_fake(&disk, limits);
    let used = || disk.names().iter().map(|name| disk.read(name).len() as u64).sum::<u64>();
    for id in 0..1000 {
        append(&mut log, [id], 10_000);
        for (_, sequence) in drain(&mut log) {
            log.done(sequence);
        }
        log.flush().unwrap();
        assert!(used() <= 1 << 20 && log.disk_bytes() == used(), "{} of {}", log.disk_bytes(), used());
    }
    let mut appended = 0;
    let error = loop {
        match log.append(&[&record(2000 + appended, 10_000)]).remove(0) {
            Ok(_) => appended += 1,
            Err(error) => break error,
        }
    };
    assert!(used() <= 1 << 20 && used() > 900 << 10, "{}", used());
    assert_eq!(error.to_string(), "the persistent queue is full: it has the 1048576 bytes it may have");
    for (_, sequence) in drain(&mut log).into_iter().take(20) {
        log.done(sequence);
    }
    log.flush().unwrap();
    append(&mut log, [4000], 10_000);
}

// Scenario: marks cannot be written for a while; a segment cannot be removed for a while.
// Guarantees: nothing else suffers, the marks are written later, the segment is removed later.
#[test]
fn marks_and_removals_are_tried_again() {
    let disk = FakeDisk::default();
    let mut log = open_fake(&disk, SYNCED);
    append(&mut log, 0..4, 10_000);
    let taken = drain(&mut log);
    log.done(taken[0].1);
    for faults in [
        Faults { write_budget: Some(20), ..Faults::default() },
        Faults { sync: true, ..Faults::default() },
        Faults { create: true, ..Faults::default() },
    ] {
        disk.set(faults);
        assert!(log.flush().is_err() && log.is_dirty(), "{faults:?}");
    }
    disk.set(Faults::default());
    log.flush().unwrap();
    assert!(!log.is_dirty());
    assert_eq!(ids(&drain(&mut open_fake(&disk, SYNCED))), [1, 2, 3]);

    append(&mut log, 4..20, 10_000);
    let rest: Vec<_> = drain(&mut log).into_iter().chain(taken.into_iter().skip(1)).collect();
    rest.iter().for_each(|(_, sequence)| log.done(*sequence));
    disk.set(Faults { remove: true, ..Faults::default() });
    assert!(log.flush().is_err());
    disk.set(Faults::default());
    log.flush().unwrap();
    log.seal_if_done();
    assert_eq!(disk.names(), Vec::<String>::new());
    assert_eq!(log.disk_bytes(), 0);
}

// Scenario: the disk cannot be read for a while.
// Guarantees: the error is told, the records come afterwards, each once.
#[test]
fn what_cannot_be_read_now_is_read_later() {
    let disk = FakeDisk::default();
    let mut log = open_fake(&disk, LIMITS);
    append(&mut log, 0..3, 100);
    disk.set(Faults { read: true, ..Faults::default() });
    assert!(log.take().unwrap().is_err());
    disk.set(Faults::default());
    assert_eq!(ids(&drain(&mut log)), [1, 2, 0]);
}

// Scenario: a queue in use makes its first segment.
// Guarantees: a queue without records has no files; the header is there before the first record.
#[test]
fn an_empty_queue_has_no_files() {
    let disk = FakeDisk::default();
    let mut log = open_fake(&disk, LIMITS);
    assert_eq!(disk.names(), Vec::<String>::new());
    append(&mut log, [1], 0);
    assert!(disk.read(&Kind::Log.name(0)).len() > FILE_HEADER_BYTES);
}

//! What a directory may look like when a queue is opened.

use super::{
    super::{
        OpenError,
        format::{self, FILE_HEADER_BYTES, Kind, RECORD_HEADER_BYTES},
    },
    *,
};

/// Body bytes of the records of [`three`].
const BODY: usize = 100;
/// Where the records of [`three`] stand.
const RECORD: usize = RECORD_HEADER_BYTES + BODY;

/// A disk with one segment of three records without metadata: 1, 2 and 4.
fn three() -> (FakeDisk, String) {
    let disk = FakeDisk::default();
    let mut log = open_fake(&disk, LIMITS);
    append(&mut log, [1, 2, 4], BODY - 4);
    (disk, Kind::Log.name(0))
}

/// Changes the segment of [`three`], opens and drains it, and opens it again after everything is done.
#[track_caller]
fn check(case: &str, change: impl FnOnce(&mut Vec<u8>), expect: &[u64], corrupt: u64) {
    let (disk, name) = three();
    let mut bytes = disk.read(&name);
    change(&mut bytes);
    disk.write(&name, bytes);
    let mut log = open_fake(&disk, LIMITS);
    let metrics = log.metrics.clone();
    let taken = drain(&mut log);
    assert_eq!(ids(&taken), expect, "{case}");
    assert_eq!(metrics.corrupt_records.get(), corrupt, "{case}");
    assert_eq!(metrics.corrupt_bytes.get() > 0, corrupt > 0, "{case}");
    let aside = disk.names().iter().filter(|name| name.ends_with(format::CORRUPT)).count() as u64;
    assert_eq!(aside, corrupt, "{case}: what is damaged is set aside");

    // Appending goes on, and damage is found once.
    append(&mut log, [50], BODY);
    let after: Vec<u64> = ids(&taken).into_iter().chain([50]).collect();
    log.flush().unwrap();
    let mut log = open_fake(&disk, LIMITS);
    assert_eq!(ids(&drain(&mut log)), after, "{case}: opened again");
    assert_eq!(log.metrics.corrupt_records.get(), 0, "{case}: opened again");
}

// Scenario: a segment that was cut at every byte, as a killed process leaves it, or ends in zeros, as after a loss of power.
// Guarantees: whole records come, unfinished ones are cut off without a complaint, the queue goes on.
#[test]
fn unfinished_writes_are_cut_off() {
    for cut in 0..FILE_HEADER_BYTES + 3 * RECORD {
        let whole = cut.saturating_sub(FILE_HEADER_BYTES) / RECORD;
        check(&format!("cut at {cut}"), |bytes| bytes.truncate(cut), &[1, 2, 4][..whole], 0);
    }
    check("zeros", |bytes| bytes.extend_from_slice(&[0; 4096]), &[1, 2, 4], 0);
}

// Scenario: one byte of every place of a segment is changed.
// Guarantees: nothing crashes, no record comes that was not appended; a bad body costs its record, a bad header the rest; what is
// damaged is counted and set aside, once.
#[test]
fn damage_costs_no_more_than_it_must() {
    for at in 0..FILE_HEADER_BYTES + 3 * RECORD {
        let record = at.saturating_sub(FILE_HEADER_BYTES) / RECORD;
        let in_record = at.saturating_sub(FILE_HEADER_BYTES) % RECORD;
        let expect: Vec<u64> = if at < FILE_HEADER_BYTES {
            Vec::new()
        } else if in_record < RECORD_HEADER_BYTES {
            [1, 2, 4][..record].to_vec()
        } else {
            let others = [1, 2, 4].into_iter().enumerate().filter(|(index, _)| *index != record);
            others.map(|(_, id)| id).collect()
        };
        check(&format!("byte {at}"), |bytes| bytes[at] ^= 0x10, &expect, 1);
    }
}

// Scenario: more damaged records than files that are kept.
// Guarantees: all are counted and passed over, sixteen are kept.
#[test]
fn set_aside_files_have_a_limit() {
    let disk = FakeDisk::default();
    let mut log = open_fake(&disk, LIMITS);
    append(&mut log, 0..40, BODY);
    let name = Kind::Log.name(0);
    let mut bytes = disk.read(&name);
    let mut at = FILE_HEADER_BYTES;
    while at < bytes.len() {
        let length = u32::from_le_bytes(*bytes[at..].first_chunk().unwrap()) as usize;
        bytes[at + RECORD_HEADER_BYTES + length - 1] ^= 1;
        at += RECORD_HEADER_BYTES + length;
    }
    disk.write(&name, bytes);
    let mut log = open_fake(&disk, LIMITS);
    assert_eq!(drain(&mut log), []);
    assert_eq!(log.metrics.corrupt_records.get(), 40);
    assert_eq!(disk.names().iter().filter(|name| name.ends_with(format::CORRUPT)).count(), 16);
    assert_eq!(log.undone(), (0, 0, 0));
}

// Scenario: files whose header has another version, with a good checksum.
// Guarantees: the queue is not opened, the message names the file and both versions, nothing is changed.
#[test]
fn unknown_versions_are_refused() {
    for kind in [Kind::Log, Kind::Done] {
        let (disk, _) = three();
        let mut header = Vec::new();
        format::write_file_header(&mut header, kind, 0);
        header[8] = 2;
        let covered = header.len() - 4;
        let crc = crc32fast::hash(&header[..covered]);
        header[covered..].copy_from_slice(&crc.to_le_bytes());
        disk.write(&kind.name(0), header.clone());
        let error = open::open(Box::new(disk.clone()), LIMITS, metrics()).err().unwrap();
        let expect = format!("fake/{}: format 2 is not known, only 1 is", kind.name(0));
        assert!(
            matches!(error, OpenError::Version { found: 2, .. }) && error.to_string() == expect,
            "{error}"
        );
        assert_eq!(disk.read(&kind.name(0)), header);
    }
}

// Scenario: marks that are cut at every byte or damaged at every byte; marks without records; names that are none of ours.
// Guarantees: a record whose mark is gone comes again, others do not; the next marks hold; strange files stay as they are.
#[test]
fn damaged_marks_bring_records_back() {
    let (disk, _) = three();
    let mut log = open_fake(&disk, LIMITS);
    let taken = drain(&mut log);
    taken.iter().take(2).for_each(|(_, sequence)| log.done(*sequence));
    log.flush().unwrap();
    let name = Kind::Done.name(0);
    let good = disk.read(&name);
    assert_eq!(ids(&drain(&mut open_fake(&disk, LIMITS))), [4]);
    for at in 0..good.len() {
        let mut changed = good.clone();
        changed[at] ^= 1;
        for bytes in [good[..at].to_vec(), changed] {
            disk.write(&name, bytes);
            let mut log = open_fake(&disk, LIMITS);
            let taken = drain(&mut log);
            assert!(taken.iter().any(|(id, _)| *id == 4), "byte {at}");
            taken.iter().filter(|(id, _)| *id != 4).for_each(|(_, sequence)| log.done(*sequence));
            log.flush().unwrap();
            assert_eq!(ids(&drain(&mut open_fake(&disk, LIMITS))), [4], "byte {at}");
        }
    }
    for stranger in ["lost+found", "00000000000000000000.logs", "notes.log"] {
        disk.write(stranger, vec![1]);
    }
    disk.write(&Kind::Done.name(77), vec![1]);
    let mut log = open_fake(&disk, LIMITS);
    assert_eq!(ids(&drain(&mut log)), [4]);
    assert!(!disk.names().contains(&Kind::Done.name(77)));
    for stranger in ["lost+found", "00000000000000000000.logs", "notes.log"] {
        assert_eq!(disk.read(stranger), [1]);
    }
    append(&mut log, [5], 10);
    assert!(disk.names().contains(&Kind::Log.name(78)), "a base that was in use is not used again");
}

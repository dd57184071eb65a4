//! The queue as its callers see it: tasks, a thread, and a directory of a real file system.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{
    super::{AppendError, OpenError, Options, Store, Taken, disk::Disk, format::Kind},
    fake::Faults,
    *,
};
use crate::tasks::Tasks;

/// A directory that is removed with everything in it.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ringway-store-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&path));
        Self(path)
    }

    fn options(&self) -> Options {
        Options {
            directory: self.0.clone(),
            create_directory: false,
            fsync: true,
            max_bytes: None,
            segment_bytes: Options::SEGMENT_BYTES,
        }
    }

    async fn open(&self) -> Result<Store, OpenError> {
        Store::open(self.options(), metrics(), &Tasks::new()).await
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

async fn open_on(disk: &FakeDisk, limits: Limits, metrics: StoreMetrics) -> Store {
    let disk = disk.clone();
    let disk = move || Ok(Box::new(disk) as Box<dyn Disk>);
    Store::start(PathBuf::new(), disk, limits, metrics, &Tasks::new()).await.unwrap()
}

/// The next record, which must come soon.
async fn next(store: &Store) -> Taken {
    tokio::time::timeout(Duration::from_secs(30), store.next()).await.expect("a record in time").unwrap()
}

async fn take_ids(store: &Store, count: usize) -> Vec<u64> {
    let mut ids = Vec::new();
    for _ in 0..count {
        let taken = next(store).await;
        assert_eq!(taken.record, record(id_of(&taken.record), taken.record.payload.len()));
        ids.push(id_of(&taken.record));
    }
    ids
}

// Scenario: a directory of the file system: 200 records of 50 kB, more than is read ahead, half of them done, one put back; closed
// and opened again.
// Guarantees: records come whole and in order; what is done does not come again, everything else does; sums are right; all files
// go with the last record; the lock stays.
#[tokio::test]
async fn records_survive_a_restart() {
    let directory = Directory::new("restart");
    let store = directory.open().await.unwrap();
    for id in 0..200 {
        store.append(record(id, 50_000)).await.unwrap();
    }
    let items = |ids: std::ops::Range<u64>| ids.map(|id| id % 7).sum::<u64>();
    assert_eq!((store.len(), store.items()), (200, items(0..200)));
    assert!(store.bytes() > 200 * 50_000 && store.bytes() < 201 * 50_000);
    for id in 0..100 {
        let taken = next(&store).await;
        assert_eq!(id_of(&taken.record), id);
        store.done(taken.id);
    }
    store.put_back(next(&store).await.id);
    assert_eq!((store.len(), store.items()), (100, items(100..200)));
    store.close().await;
    assert!(store.next().await.is_none());
    assert!(matches!(store.append(record(0, 1)).await, Err(AppendError::Closed)));

    let metrics = metrics();
    let store = Store::open(directory.options(), metrics.clone(), &Tasks::new()).await.unwrap();
    assert_eq!((store.len(), store.items()), (100, items(100..200)));
    assert_eq!((metrics.recovered_records.get(), metrics.records.get() <= 100), (100, true));
    for id in 100..200 {
        let taken = next(&store).await;
        assert_eq!(id_of(&taken.record), id);
        store.done(taken.id);
    }
    assert!(store.is_empty() && store.bytes() == 0);
    store.close().await;
    assert_eq!((metrics.records.get(), metrics.bytes.get()), (0, 0));
    let left: Vec<_> = fs::read_dir(&directory.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["lock"]);
}

// Scenario: 16 tasks append 50 records each while four take; some records are put back once.
// Guarantees: each record comes exactly once, but for those put back, which come once more, after others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_share_a_queue() {
    let store = open_on(&FakeDisk::default(), LIMITS, metrics()).await;
    let tasks = Tasks::new();
    for writer in 0..16 {
        let store = store.clone();
        tasks.spawn("append", async move {
            for id in 0..50 {
                store.append(record(writer * 50 + id, 3000)).await.unwrap();
            }
        });
    }
    let seen = shared(std::collections::BTreeMap::<u64, u32>::new());
    let mut takers = Vec::new();
    for _ in 0..4 {
        let (store, seen) = (store.clone(), seen.clone());
        takers.push(tasks.spawn("take", async move {
            while let Some(taken) = store.next().await {
                let id = id_of(&taken.record);
                let times = {
                    let mut seen = seen.lock().unwrap();
                    let times = seen.entry(id).or_default();
                    *times += 1;
                    *times
                };
                if id.is_multiple_of(10) && times == 1 {
                    store.put_back(taken.id);
                } else {
                    store.done(taken.id);
                }
                if store.is_empty() && seen.lock().unwrap().len() == 800 {
                    store.close().await;
                }
            }
        }));
    }
    tokio::time::timeout(Duration::from_secs(60), tasks.ended()).await.unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 800);
    assert!(seen.iter().all(|(id, times)| *times == if id.is_multiple_of(10) { 2 } else { 1 }), "{seen:?}");
}

// Scenario: a taker that waits and is dropped; one that waits when the queue is closed; a queue of which every handle is dropped.
// Guarantees: the record that comes then goes to another; the waiting one gets none; the thread ends and marks are written.
#[tokio::test]
async fn waiting_takers_end_well() {
    let disk = FakeDisk::default();
    let (start, tasks) = (disk.clone(), Tasks::new());
    let start = move || Ok(Box::new(start) as Box<dyn Disk>);
    let store = Store::start(PathBuf::new(), start, LIMITS, metrics(), &tasks).await.unwrap();
    {
        let mut waiting = std::pin::pin!(store.next());
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        store.append(record(1, 10)).await.unwrap();
    }
    assert_eq!(take_ids(&store, 1).await, [1]);
    let waiting = store.next();
    let (none, ()) = tokio::join!(waiting, store.close());
    assert!(none.is_none());

    let again = open_on(&disk, LIMITS, metrics()).await;
    again.done(next(&again).await.id);
    drop((store, again));
    tokio::time::timeout(Duration::from_secs(30), tasks.ended()).await.unwrap();
}

// Scenario: one record is done, and nothing else happens.
// Guarantees: its mark is written soon, without another call.
#[tokio::test]
async fn marks_are_written_without_being_asked() {
    let disk = FakeDisk::default();
    let store = open_on(&disk, LIMITS, metrics()).await;
    for id in 0..2 {
        store.append(record(id, 10)).await.unwrap();
    }
    store.done(next(&store).await.id);
    let started = tokio::time::Instant::now();
    while !disk.names().contains(&Kind::Done.name(0)) {
        assert!(started.elapsed() < Duration::from_secs(30), "no mark");
        tokio::task::yield_now().await;
    }
    assert_eq!(ids(&drain(&mut open_fake(&disk, LIMITS))), [1]);
}

// Scenario: appends while the disk is full, and after room has come.
// Guarantees: they are refused and counted, the others of the queue are not disturbed, appending works again.
#[tokio::test]
async fn a_full_disk_refuses_and_recovers() {
    let disk = FakeDisk::default();
    let metrics = metrics();
    let store = open_on(&disk, LIMITS, metrics.clone()).await;
    store.append(record(1, 10)).await.unwrap();
    disk.set(Faults { capacity: Some(100), ..Faults::default() });
    let error = store.append(record(2, 1000)).await.unwrap_err();
    assert_eq!(error.to_string(), "the persistent queue is full: no space on the disk");
    assert_eq!((metrics.append_failed.get(), store.len()), (1, 1));
    disk.set(Faults::default());
    store.append(record(3, 1000)).await.unwrap();
    assert_eq!(take_ids(&store, 2).await, [1, 3]);
}

// Scenario: a damaged record in front of a good one.
// Guarantees: the good one comes; the damaged one is counted and is no part of the sums any more.
#[tokio::test]
async fn a_damaged_record_is_passed_over() {
    let disk = FakeDisk::default();
    append(&mut open_fake(&disk, LIMITS), [1, 2], 100);
    let mut bytes = disk.read(&Kind::Log.name(0));
    bytes[100] ^= 1;
    disk.write(&Kind::Log.name(0), bytes);
    let metrics = metrics();
    let store = open_on(&disk, LIMITS, metrics.clone()).await;
    assert_eq!(take_ids(&store, 1).await, [2]);
    assert_eq!((store.len(), store.items(), metrics.corrupt_records.get()), (1, 2, 1));
}

// Scenario: a directory that is in use, whose parent is missing, or that is a file.
// Guarantees: opening fails and names the directory; with `create_directory` the parents are made; after closing it can be opened.
#[tokio::test]
async fn directories_that_cannot_be_used_are_named() {
    let directory = Directory::new("use");
    let path = directory.0.display().to_string();
    let store = directory.open().await.unwrap();
    let error = directory.open().await.unwrap_err();
    assert_eq!(error.to_string(), format!("{path} is in use by another process"));
    store.close().await;
    let _again = directory.open().await.unwrap();

    let below = directory.0.join("a/b");
    let mut options = Options { directory: below.clone(), ..directory.options() };
    let error = Store::open(options.clone(), metrics(), &Tasks::new()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("directory must exist: {path}/a"));
    options.create_directory = true;
    Store::open(options.clone(), metrics(), &Tasks::new()).await.unwrap();
    options.directory = directory.0.join("lock");
    let error = Store::open(options, metrics(), &Tasks::new()).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("{path}/lock: ")), "{error}");
}

/// A file system of its own, unmounted at the end.
struct Mount<'a>(&'a Path);

impl Mount<'_> {
    fn new(path: &Path) -> io::Result<Option<Mount<'_>>> {
        fs::create_dir_all(path)?;
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(path).output()?;
        Ok(mount.status.success().then_some(Mount(path)))
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(self.0).status());
    }
}

// Scenario: a file system of 256 KiB, where one can be mounted: filled to the brim, emptied by taking, filled again.
// Guarantees: the real error of a full disk is told as such; what was appended comes; the room is used again.
#[tokio::test]
async fn a_file_system_that_is_really_full() {
    let directory = Directory::new("tmpfs");
    let Ok(Some(_mount)) = Mount::new(&directory.0) else {
        // Needs the right to mount; `a_full_disk_refuses_and_recovers` has the same with an injected error.
        tracing::warn!("no tmpfs can be mounted here: not tested with a file system that is really full");
        return;
    };
    let mut options = Options { segment_bytes: 1, ..directory.options() };
    options.directory = directory.0.join("queue");
    let store = Store::open(options, metrics(), &Tasks::new()).await.unwrap();
    let mut id = 0;
    for _ in 0..5 {
        let first = id;
        loop {
            match store.append(record(id, 7000)).await {
                Ok(()) => id += 1,
                Err(AppendError::Full(None)) => break,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(id > first + 10, "room for {} records", id - first);
        for expect in first..id {
            let taken = next(&store).await;
            assert_eq!(id_of(&taken.record), expect);
            store.done(taken.id);
        }
    }
    store.close().await;
}

//! What a persistent queue costs: ringway's log beside an embedded store (redb) that does the same work.
//!
//! `cargo bench --bench store`. Two phases for each row: so many tasks **append** (each waits until its record is as durable
//! as configured), then one task **takes** all of them and marks each as done. Both sides have one thread that owns the files
//! and gathers what waits into one write or one transaction, read ahead of the taker by up to 64 records, and mark within 50 ms.
//!
//! Runs alternate; the figures are medians, ratios are within one alternation. CPU time is the process's, kernel included;
//! *written* is what the kernel was given to write for each byte of payload (`write_bytes` of `/proc/self/io`), over both phases.
//! Wall time depends on the disk, and with `fsync` on nothing else: **compare the ratios**.
//!
//! Without `fsync` the two do not promise the same. What ringway has acknowledged survives a killed process; redb's
//! `Durability::None` loses it: nothing is in the file before the next commit that syncs.
//!
//! Without `--bench`, as under `cargo test --benches`, each row handles a few records, to see that it works.
#![allow(missing_docs, clippy::expect_used, clippy::print_stdout, reason = "a benchmark")]
#![allow(clippy::disallowed_methods, reason = "real time is what is measured")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bytes::Bytes;
use redb::{Database, Durability, ReadableDatabase as _, TableDefinition};
use ringway::{
    model::{Metadata, Signal},
    store::{Options, Record, RecordId, Store},
    tasks::Tasks,
    telemetry::Metrics,
};
use tokio::sync::{mpsc, oneshot};

/// Alternations of each row.
const ROUNDS: usize = 5;
/// Records read ahead of the taker, as ringway's own.
const AHEAD: usize = 64;
/// How long marks wait, as ringway's own.
const MARKS_WAIT: Duration = Duration::from_millis(50);
/// Appends in one transaction at most.
const GROUP: usize = 256;

/// One row of the table.
#[derive(Clone, Copy)]
struct Row {
    bytes: usize,
    fsync: bool,
    appenders: usize,
    records: usize,
}

const ROWS: [Row; 8] = [
    Row { bytes: 5_000, fsync: false, appenders: 1, records: 10_000 },
    Row { bytes: 5_000, fsync: false, appenders: 16, records: 20_000 },
    Row { bytes: 100_000, fsync: false, appenders: 1, records: 1_500 },
    Row { bytes: 100_000, fsync: false, appenders: 16, records: 1_500 },
    Row { bytes: 5_000, fsync: true, appenders: 1, records: 300 },
    Row { bytes: 5_000, fsync: true, appenders: 16, records: 3_000 },
    Row { bytes: 100_000, fsync: true, appenders: 1, records: 200 },
    Row { bytes: 100_000, fsync: true, appenders: 16, records: 1_000 },
];

/// What one run came to.
#[derive(Clone, Copy, Debug)]
struct Figures {
    append_per_second: f64,
    append_cpu_micros: f64,
    take_per_second: f64,
    take_cpu_micros: f64,
    written: f64,
}

#[derive(Clone)]
enum Queue {
    Log(Store),
    Redb(Engine),
}

enum Id {
    Log(RecordId),
    Key(u64),
}

impl Queue {
    async fn append(&self, payload: Bytes) {
        match self {
            Self::Log(store) => {
                let record = Record { payload, metadata: Metadata::default(), items: 1 };
                store.append(record).await.expect("there is room");
            }
            Self::Redb(engine) => engine.append(payload).await,
        }
    }

    fn done(&self, id: Id) {
        match (self, id) {
            (Self::Log(store), Id::Log(id)) => store.done(id),
            (Self::Redb(engine), Id::Key(key)) => {
                // As many as were taken at most; the channel is larger than that.
                engine.commands.try_send(Command::Done(key)).expect("room for a mark");
            }
            _ => {}
        }
    }

    async fn close(self) {
        match self {
            Self::Log(store) => store.close().await,
            Self::Redb(engine) => {
                let (reply, closed) = oneshot::channel();
                drop(engine.commands.send(Command::Close(reply)).await);
                closed.await.expect("the thread ends");
            }
        }
    }
}

// === The embedded store ===

const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("queue");

#[derive(Debug)]
enum Command {
    Append(Bytes, oneshot::Sender<()>),
    Done(u64),
    /// From now on records are read ahead.
    Take(mpsc::Sender<(u64, Bytes)>),
    Close(oneshot::Sender<()>),
}

/// The handle of the thread that owns the store.
#[derive(Clone)]
struct Engine {
    commands: mpsc::Sender<Command>,
}

impl Engine {
    fn start(directory: &Path, fsync: bool, tasks: &Tasks) -> Self {
        let database = Database::create(directory.join("queue.redb")).expect("a new database");
        let (commands, receiver) = mpsc::channel(1 << 16);
        let durability = if fsync { Durability::Immediate } else { Durability::None };
        let work =
            move || Owner { database, durability, next: 0, cursor: 0, ahead: BTreeMap::new() }.run(receiver);
        tasks.thread("redb", work).expect("a thread");
        Self { commands }
    }

    async fn append(&self, payload: Bytes) {
        let (reply, appended) = oneshot::channel();
        drop(self.commands.send(Command::Append(payload, reply)).await);
        appended.await.expect("the thread answers");
    }
}

struct Owner {
    database: Database,
    durability: Durability,
    next: u64,
    cursor: u64,
    /// Read and not handed over yet.
    ahead: BTreeMap<u64, Bytes>,
}

impl Owner {
    fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut taker = None;
        let mut marks = Vec::new();
        let mut marked = Instant::now();
        while let Some(first) = commands.blocking_recv() {
            let mut appends = Vec::new();
            let mut replies = Vec::new();
            let mut closing = None;
            let rest = std::iter::from_fn(|| commands.try_recv().ok());
            for command in [first].into_iter().chain(rest.take(GROUP)) {
                match command {
                    Command::Append(payload, reply) => {
                        appends.push(payload);
                        replies.push(reply);
                    }
                    Command::Done(key) => marks.push(key),
                    Command::Take(sender) => taker = Some(sender),
                    Command::Close(reply) => closing = Some(reply),
                }
            }
            if marks.is_empty() {
                marked = Instant::now();
            }
            let due = closing.is_some() || marked.elapsed() >= MARKS_WAIT;
            if !appends.is_empty() || due {
                self.commit(&appends, &std::mem::take(&mut marks));
                marked = Instant::now();
            }
            replies.into_iter().for_each(|reply| reply.send(()).expect("an appender that waits"));
            if let Some(taker) = &taker {
                self.hand_over(taker);
            }
            if let Some(reply) = closing {
                drop(self);
                reply.send(()).expect("the owner that waits");
                return;
            }
        }
    }

    fn commit(&mut self, appends: &[Bytes], marks: &[u64]) {
        let mut transaction = self.database.begin_write().expect("a transaction");
        transaction.set_durability(self.durability).expect("a durability");
        {
            let mut table = transaction.open_table(TABLE).expect("the table");
            for payload in appends {
                drop(table.insert(self.next, &**payload).expect("an insert"));
                self.next += 1;
            }
            for key in marks {
                drop(table.remove(key).expect("a removal"));
            }
        }
        transaction.commit().expect("a commit");
    }

    fn hand_over(&mut self, taker: &mpsc::Sender<(u64, Bytes)>) {
        loop {
            while let Some((key, payload)) = self.ahead.pop_first() {
                if let Err(refused) = taker.try_send((key, payload)) {
                    let (key, payload) = refused.into_inner();
                    self.ahead.insert(key, payload);
                    return;
                }
            }
            let transaction = self.database.begin_read().expect("a transaction");
            let table = transaction.open_table(TABLE).expect("the table");
            for entry in table.range(self.cursor..).expect("a range").take(AHEAD) {
                let (key, value) = entry.expect("an entry");
                self.ahead.insert(key.value(), Bytes::copy_from_slice(value.value()));
                self.cursor = key.value() + 1;
            }
            if self.ahead.is_empty() {
                return;
            }
        }
    }
}

// === Runs ===

#[derive(Clone, Copy)]
enum Kind {
    Log,
    Redb,
}

async fn open(kind: Kind, directory: &Path, fsync: bool, tasks: &Tasks) -> Queue {
    match kind {
        Kind::Log => {
            let options = Options {
                directory: directory.join("queue"),
                create_directory: true,
                fsync,
                max_bytes: None,
                segment_bytes: Options::SEGMENT_BYTES,
            };
            let metrics = Metrics::new().store("bench", Signal::Traces);
            Queue::Log(Store::open(options, metrics, tasks).await.expect("a new queue"))
        }
        Kind::Redb => Queue::Redb(Engine::start(directory, fsync, tasks)),
    }
}

async fn append_all(queue: &Queue, row: Row, payloads: &[Bytes]) {
    let tasks = Tasks::new();
    for appender in 0..row.appenders {
        let (queue, payloads) = (queue.clone(), payloads.to_vec());
        let count = row.records / row.appenders;
        tasks.spawn("append", async move {
            for number in 0..count {
                queue.append(payloads[(appender + number) % payloads.len()].clone()).await;
            }
        });
    }
    tasks.ended().await;
}

async fn take_all(queue: &Queue, records: usize) {
    match queue {
        Queue::Log(store) => {
            for _ in 0..records {
                let taken = store.next().await.expect("a record");
                assert!(!taken.record.payload.is_empty());
                queue.done(Id::Log(taken.id));
            }
        }
        Queue::Redb(engine) => {
            let (sender, mut receiver) = mpsc::channel(AHEAD);
            drop(engine.commands.send(Command::Take(sender)).await);
            for _ in 0..records {
                let (key, payload) = receiver.recv().await.expect("a record");
                assert!(!payload.is_empty());
                queue.done(Id::Key(key));
            }
        }
    }
}

async fn run(kind: Kind, row: Row, payloads: &[Bytes]) -> Figures {
    let directory = Scratch::new();
    let tasks = Tasks::new();
    let queue = open(kind, &directory.0, row.fsync, &tasks).await;
    let records = row.records / row.appenders * row.appenders;
    let written = written_bytes();
    let (append, append_cpu) = measure(append_all(&queue, row, payloads)).await;
    let take = async {
        take_all(&queue, records).await;
        // Marks and the room of what is done are part of it.
        queue.close().await;
    };
    let (take, take_cpu) = measure(take).await;
    tasks.ended().await;
    let payload = (records * row.bytes) as f64;
    let records = records as f64;
    Figures {
        append_per_second: records / append,
        append_cpu_micros: append_cpu * 1e6 / records,
        take_per_second: records / take,
        take_cpu_micros: take_cpu * 1e6 / records,
        written: (written_bytes() - written) as f64 / payload,
    }
}

/// Seconds of wall and CPU time.
async fn measure(work: impl Future<Output = ()>) -> (f64, f64) {
    let (start, cpu) = (Instant::now(), cpu_seconds());
    work.await;
    (start.elapsed().as_secs_f64(), cpu_seconds() - cpu)
}

/// A directory on the disk that `TMPDIR` is on, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("ringway-bench-store-{}", std::process::id()));
        drop(fs::remove_dir_all(&path));
        fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// User and system time of the process, hundredths of a second: proc(5), `/proc/pid/stat`.
fn cpu_seconds() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").expect("Linux with /proc");
    let after_name = text.rsplit(')').next().expect("a name");
    let ticks =
        after_name.split_whitespace().skip(11).take(2).map(|number| number.parse::<f64>().expect("ticks"));
    ticks.sum::<f64>() / 100.0
}

/// What the process gave the kernel to write: proc(5), `/proc/pid/io`. Pages that are dropped before they are written count.
fn written_bytes() -> u64 {
    let text = fs::read_to_string("/proc/self/io").expect("Linux with /proc");
    let line = text.lines().find_map(|line| line.strip_prefix("write_bytes: ")).expect("a line");
    line.parse().expect("a number")
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn payloads(bytes: usize) -> Vec<Bytes> {
    let mut random = fastrand::Rng::with_seed(7);
    let payload = |_| {
        let mut payload = vec![0; bytes];
        random.fill(&mut payload);
        Bytes::from(payload)
    };
    (0..32).map(payload).collect()
}

fn main() {
    let measured = std::env::args().any(|argument| argument == "--bench");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    println!(
        "| record | fsync | appenders | append: ringway /s | redb /s | ratio | CPU µs | CPU µs | ratio \
         | take + done: ringway /s | redb /s | ratio | CPU µs | CPU µs | ratio | written × | written × |"
    );
    println!("|{}", " --- |".repeat(17));
    for row in ROWS {
        let row = if measured { row } else { Row { records: 3 * row.appenders, ..row } };
        let payloads = payloads(row.bytes);
        let rounds: Vec<[Figures; 2]> = (0..if measured { ROUNDS } else { 1 })
            .map(|_| [Kind::Log, Kind::Redb].map(|kind| runtime.block_on(run(kind, row, &payloads))))
            .collect();
        let of =
            |side: usize, value: fn(&Figures) -> f64| median(rounds.iter().map(|round| value(&round[side])));
        let ratio = |value: fn(&Figures) -> f64| {
            median(rounds.iter().map(|round| value(&round[0]) / value(&round[1])))
        };
        let rate = |value: fn(&Figures) -> f64| {
            format!("{:.0} | {:.0} | **{:.1}**", of(0, value), of(1, value), ratio(value))
        };
        let cpu = |value: fn(&Figures) -> f64| {
            format!("{:.0} | {:.0} | **{:.2}**", of(0, value), of(1, value), ratio(value))
        };
        println!(
            "| {} kB | {} | {} | {} | {} | {} | {} | {:.2} | {:.2} |",
            row.bytes / 1000,
            if row.fsync { "yes" } else { "no" },
            row.appenders,
            rate(|figures| figures.append_per_second),
            cpu(|figures| figures.append_cpu_micros),
            rate(|figures| figures.take_per_second),
            cpu(|figures| figures.take_cpu_micros),
            of(0, |figures| figures.written),
            of(1, |figures| figures.written),
        );
    }
}

//! Admission: what a permit and its end cost, `cargo bench --bench admission`.
//!
//! The throughput column counts permits, each taken and dropped. With several threads, each has an account of its own
//! (backends) or all share one (the receivers); a bare mutex around a sum is the floor in the same run. Threads start together
//! and each has [`PERMITS`] to take, some milliseconds, so that they do meet at the lock; with more threads than cores, the
//! figures have what a descheduled holder of the lock costs, too.

use std::{
    hint::black_box,
    sync::{Barrier, Mutex, PoisonError},
    thread,
};

use divan::{Bencher, counter::ItemsCount};
use ringway::{
    admission::{Account, Budget},
    telemetry::Metrics,
};

/// Permits of one thread in one iteration. Starting a thread is lost among them.
const PERMITS: usize = 100_000;
/// Bytes of each.
const BYTES: usize = 4096;
/// Threads at a time.
const THREADS: [usize; 3] = [1, 2, 4];

fn main() {
    divan::main();
}

/// Two locks of nothing but a sum.
#[divan::bench(args = THREADS, sample_count = 20)]
fn floor(bencher: Bencher<'_, '_>, threads: usize) {
    let sum = Mutex::new(0_usize);
    together(bencher, threads, |_| {
        for _ in 0..PERMITS {
            *sum.lock().unwrap_or_else(PoisonError::into_inner) += black_box(BYTES);
            *sum.lock().unwrap_or_else(PoisonError::into_inner) -= black_box(BYTES);
        }
    });
}

/// Within the share of an account.
#[divan::bench(args = THREADS, sample_count = 20)]
fn shared_account(bencher: Bencher<'_, '_>, threads: usize) {
    let account = budget(1 << 30).account();
    together(bencher, threads, |_| take_and_drop(&account));
}

#[divan::bench(args = THREADS, sample_count = 20)]
fn own_accounts(bencher: Bencher<'_, '_>, threads: usize) {
    let budget = budget(1 << 30);
    let accounts: Vec<Account> = (0..threads).map(|_| budget.account()).collect();
    together(bencher, threads, |index| accounts.get(index).into_iter().for_each(take_and_drop));
}

/// Beyond the share, as a backend that is behind.
#[divan::bench(sample_count = 20)]
fn loans(bencher: Bencher<'_, '_>) {
    let account = budget(1 << 20).account();
    let share = account.take(1 << 19);
    bencher.counter(ItemsCount::new(PERMITS)).bench(|| take_and_drop(&account));
    drop(share);
}

/// While a request waits for room, which every permit that ends tells of.
#[divan::bench(sample_count = 20)]
fn awaited(bencher: Bencher<'_, '_>) {
    let account = budget(1 << 30).account();
    let freed = account.freed();
    bencher.counter(ItemsCount::new(PERMITS)).bench(|| take_and_drop(&account));
    drop(freed);
}

/// Runs the work on so many threads at a time.
fn together(bencher: Bencher<'_, '_>, threads: usize, work: impl Fn(usize) + Sync) {
    bencher.counter(ItemsCount::new(threads * PERMITS)).bench(|| {
        let start = Barrier::new(threads);
        thread::scope(|scope| {
            for index in 0..threads {
                let (start, work) = (&start, &work);
                scope.spawn(move || {
                    start.wait();
                    work(index);
                });
            }
        });
    });
}

/// As the gateway's, with its gauge.
fn budget(bytes: usize) -> Budget {
    Budget::reporting(bytes, Metrics::new().memory())
}

fn take_and_drop(account: &Account) {
    for _ in 0..PERMITS {
        drop(black_box(account.take(black_box(BYTES))));
    }
}

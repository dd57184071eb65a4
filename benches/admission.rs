//! Admission: what a permit and its end cost, `cargo bench --bench admission`.
//!
//! One iteration takes and drops [`PERMITS`] permits, and the throughput column counts them. With several threads, each has an
//! account of its own (backends) or all share one (the receivers); a bare mutex around a sum is the floor in the same run. With
//! more threads than cores, figures say what a lock that is held by a descheduled thread costs, too.

use std::{
    hint::black_box,
    sync::{Mutex, PoisonError},
};

use divan::{Bencher, counter::ItemsCount};
use ringway::{
    admission::{Account, Budget},
    telemetry::Metrics,
};

/// Permits of one iteration.
const PERMITS: usize = 1000;
/// Bytes of each.
const BYTES: usize = 4096;
/// Threads at a time.
const THREADS: [usize; 3] = [1, 2, 4];

fn main() {
    divan::main();
}

/// Two locks of nothing but a sum.
#[divan::bench(threads = THREADS)]
fn floor(bencher: Bencher<'_, '_>) {
    let sum = Mutex::new(0_usize);
    bencher.counter(ItemsCount::new(PERMITS)).bench(|| {
        for _ in 0..PERMITS {
            *sum.lock().unwrap_or_else(PoisonError::into_inner) += black_box(BYTES);
            *sum.lock().unwrap_or_else(PoisonError::into_inner) -= black_box(BYTES);
        }
    });
}

/// Within the share of an account.
#[divan::bench(threads = THREADS)]
fn shared_account(bencher: Bencher<'_, '_>) {
    let account = budget(1 << 30).account();
    bencher.counter(ItemsCount::new(PERMITS)).bench(|| take_and_drop(&account));
}

#[divan::bench(threads = THREADS)]
fn own_accounts(bencher: Bencher<'_, '_>) {
    let budget = budget(1 << 30);
    bencher
        .counter(ItemsCount::new(PERMITS))
        .with_inputs(|| budget.account())
        .bench_refs(|account| take_and_drop(account));
}

/// Beyond the share, as a backend that is behind.
#[divan::bench]
fn loans(bencher: Bencher<'_, '_>) {
    let account = budget(1 << 20).account();
    let share = account.take(1 << 19);
    bencher.counter(ItemsCount::new(PERMITS)).bench(|| take_and_drop(&account));
    drop(share);
}

/// While a request waits for room, which every permit that ends tells of.
#[divan::bench]
fn awaited(bencher: Bencher<'_, '_>) {
    let account = budget(1 << 30).account();
    let freed = account.freed();
    bencher.counter(ItemsCount::new(PERMITS)).bench(|| take_and_drop(&account));
    drop(freed);
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

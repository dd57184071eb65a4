//! CPU time of a thread, user and kernel, in nanoseconds; sees nothing of what other threads and processes do.
//!
//! Source: proc(5), `/proc/pid/task/tid/schedstat`: the first number is the time spent on a CPU.

use std::{fs, path::PathBuf};

/// A thread whose time is read.
#[derive(Clone, Debug)]
pub(crate) struct Thread(PathBuf);

impl Thread {
    /// The calling thread.
    pub(crate) fn current() -> Self {
        let this = fs::read_link("/proc/thread-self").expect("Linux with /proc");
        Self(PathBuf::from("/proc").join(this).join("schedstat"))
    }

    /// Nanoseconds on a CPU since the thread began. Exact for the calling thread and for threads that wait.
    pub(crate) fn cpu_nanos(&self) -> u64 {
        // The kernel brings a running thread's figure up to date when it ticks or switches, every few milliseconds;
        // and when the thread yields.
        std::thread::yield_now();
        let text = fs::read_to_string(&self.0).expect("the thread runs");
        text.split(' ').next().and_then(|first| first.parse().ok()).expect("a number comes first")
    }
}

/// The value below which a quarter of the others lie; sorts.
pub(crate) fn lower_quartile(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 4).copied().unwrap_or(f64::NAN)
}

//! `cargo +nightly fuzz run split_metrics`; the checks are in `signals.rs`.
#![no_main]

use ringway;

#[path = "../parts.rs"]
mod parts;
#[path = "../signals.rs"]
mod signals;
#[path = "../../tests/support/traces.rs"]
mod traces;

libfuzzer_sys::fuzz_target!(|data: &[u8]| signals::split_metrics(data));

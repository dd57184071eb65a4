//! `cargo +nightly fuzz run split_traces`; the checks are in `bodies.rs`.
#![no_main]

use ringway;

#[path = "../bodies.rs"]
mod bodies;
#[path = "../../tests/support/naive.rs"]
mod naive;
#[path = "../parts.rs"]
mod parts;
#[path = "../../tests/support/traces.rs"]
mod traces;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::split_traces(data));

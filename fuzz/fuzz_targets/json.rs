//! `cargo +nightly fuzz run json`; the checks are in `json.rs` beside this directory.
#![no_main]

use ringway;

#[path = "../json.rs"]
mod json;

libfuzzer_sys::fuzz_target!(|data: &[u8]| json::json(data));

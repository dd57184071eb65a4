//! Integration tests, in one binary: it links once, and the tests share their helpers.

mod binary;
#[path = "../support/blocks.rs"]
mod blocks;
mod layers;
#[path = "../support/log.rs"]
mod log;
mod routing;
mod rules;
mod source;

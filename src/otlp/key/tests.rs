//! Tests of key bytes: vectors of the Collector's own tests, and tables for every rule.

mod build;
mod golden;
mod hash;
mod levels;
mod text;
mod value;

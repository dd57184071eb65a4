//! The command line. Not built yet.

pub mod demo;

//! Tests of the splitter: tables, properties on the wire, and prost as the oracle.

#![expect(clippy::disallowed_methods, reason = "prost is the oracle")]

mod with_prost;

#[path = "../../../tests/support/traces.rs"]
mod traces;

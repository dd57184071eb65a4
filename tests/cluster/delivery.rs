//! Load whose every span is accounted for, and backends that count: the parts of `tests/real/delivery` that this binary needs.

#[path = "../real/delivery/arrival.rs"]
pub(crate) mod arrival;
#[path = "../real/delivery/client.rs"]
#[expect(dead_code, reason = "tests/real uses the rest")]
pub(crate) mod client;
#[path = "../real/delivery/outcome.rs"]
pub(crate) mod outcome;
#[path = "../real/delivery/script.rs"]
pub(crate) mod script;
#[path = "../real/delivery/sinks.rs"]
pub(crate) mod sinks;
#[path = "../real/delivery/tally.rs"]
pub(crate) mod tally;

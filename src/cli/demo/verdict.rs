//! The end of a demo in one line, from what arrived.

use std::fmt;

use super::table::grouped;

/// What was sent and what became of it, in spans unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Acknowledged by the gateway.
    pub sent: u64,
    /// Arrived, each counted once.
    pub delivered: u64,
    /// Arrivals of a span beyond its first.
    pub duplicates: u64,
    /// Traces that more than one backend has spans of.
    pub split_traces: u64,
    /// Given up by the generator because the gateway kept refusing them.
    pub refused: u64,
    /// Sent without an answer from the gateway.
    pub unanswered: u64,
}

// === impl Verdict ===

impl Verdict {
    /// Everything that was acknowledged arrived once, whole traces at one place, and nothing was refused.
    pub const fn is_clean(&self) -> bool {
        self.sent == self.delivered
            && self.duplicates == 0
            && self.split_traces == 0
            && self.refused == 0
            && self.unanswered == 0
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sent, delivered) = (grouped(self.sent), grouped(self.delivered));
        if self.is_clean() {
            write!(formatter, "clean: {sent} spans sent = {delivered} delivered")?;
        } else {
            write!(formatter, "NOT CLEAN: {sent} spans sent, {delivered} delivered")?;
        }
        let mut part = |number: u64, one: &str, more: &str, always: bool| match number {
            0 if !always => Ok(()),
            1 => write!(formatter, ", 1 {one}"),
            _ => write!(formatter, ", {} {more}", grouped(number)),
        };
        part(self.sent.saturating_sub(self.delivered), "missing", "missing", false)?;
        part(self.split_traces, "trace split", "traces split", true)?;
        part(self.duplicates, "duplicate", "duplicates", true)?;
        part(self.refused, "refused by the gateway", "refused by the gateway", false)?;
        part(self.unanswered, "unanswered by the gateway", "unanswered by the gateway", false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(verdict: Verdict, clean: bool, text: &str) {
        assert_eq!((verdict.is_clean(), verdict.to_string().as_str()), (clean, text));
    }

    // Scenario: a clean demo, and one with each thing that can go wrong.
    // Guarantees: each fault alone makes the verdict unclean and is named.
    #[test]
    fn every_fault_shows() {
        let clean = Verdict { sent: 10_000, delivered: 10_000, ..Verdict::default() };
        let not = "NOT CLEAN: 10,000 spans sent, ";
        check(clean, true, "clean: 10,000 spans sent = 10,000 delivered, 0 traces split, 0 duplicates");
        check(
            Verdict { delivered: 9_000, ..clean },
            false,
            &format!("{not}9,000 delivered, 1,000 missing, 0 traces split, 0 duplicates"),
        );
        check(
            Verdict { delivered: 10_020, unanswered: 20, ..clean },
            false,
            &format!("{not}10,020 delivered, 0 traces split, 0 duplicates, 20 unanswered by the gateway"),
        );
        check(
            Verdict { split_traces: 1, ..clean },
            false,
            &format!("{not}10,000 delivered, 1 trace split, 0 duplicates"),
        );
        check(
            Verdict { duplicates: 1, ..clean },
            false,
            &format!("{not}10,000 delivered, 0 traces split, 1 duplicate"),
        );
        check(
            Verdict { refused: 50, ..clean },
            false,
            &format!("{not}10,000 delivered, 0 traces split, 0 duplicates, 50 refused by the gateway"),
        );
    }
}

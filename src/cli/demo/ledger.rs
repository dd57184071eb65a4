//! Which spans of the demo arrived, how often and where, in a few bits for each.
//!
//! The sinks of a demo share one ledger. The generator's ids lead back to numbers ([`super::ids`]), so its spans are
//! audited exactly for as long as the demo runs: one bit for each span and four bytes for each trace. Spans of other
//! clients have ids of their own; for them the ledger sees whether a trace is split while it is among the latest
//! 250,000.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::ids::{Ids, SpanKey};

/// Sinks that share a ledger at most: the bits of a mask.
pub const SINKS_MAX: usize = 32;
/// Traces of other clients that are remembered, at least; at most twice as many.
const FOREIGN_TRACES_MAX: usize = 250_000;

/// The shared account of a pool of sinks.
#[derive(Debug)]
pub struct Ledger {
    ids: Ids,
    pages: Mutex<Pages>,
}

#[derive(Debug)]
struct Pages {
    /// A bit for each span that the generator made.
    arrived: Vec<u64>,
    /// For each trace that the generator made, a bit for each sink that has spans of it.
    sinks_of: Vec<u32>,
    /// The same for the latest traces of other clients, and for those before.
    foreign: HashMap<[u8; 16], u32>,
    foreign_before: HashMap<[u8; 16], u32>,
    tally: Tally,
}

/// What the ledger says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Spans of the generator that arrived, each counted once.
    pub delivered: u64,
    /// Arrivals of a span of the generator beyond its first.
    pub duplicates: u64,
    /// Spans of other clients that arrived.
    pub foreign: u64,
    /// Traces of which more than one sink has spans.
    pub split_traces: u64,
    /// For each sink: how many of the split traces it has spans of.
    pub split_traces_of: Vec<u64>,
}

// === impl Ledger ===

impl Ledger {
    /// An empty ledger for `sinks` sinks (at most [`SINKS_MAX`]) and a generator with these ids.
    pub fn new(ids: Ids, sinks: usize) -> Self {
        let tally = Tally { split_traces_of: vec![0; sinks.min(SINKS_MAX)], ..Tally::default() };
        let pages = Pages {
            arrived: Vec::new(),
            sinks_of: Vec::new(),
            foreign: HashMap::new(),
            foreign_before: HashMap::new(),
            tally,
        };
        Self { ids, pages: Mutex::new(pages) }
    }

    /// Makes room for the generator's spans and traces below these numbers. Must be called before they are sent:
    /// an id that nobody announced is another client's.
    pub fn announce(&self, spans: u64, traces: u64) {
        let mut pages = self.pages();
        let words = usize::try_from(spans.div_ceil(64)).unwrap_or(usize::MAX);
        if pages.arrived.len() < words {
            pages.arrived.resize(words, 0);
        }
        let traces = usize::try_from(traces).unwrap_or(usize::MAX);
        if pages.sinks_of.len() < traces {
            pages.sinks_of.resize(traces, 0);
        }
    }

    /// Enters spans that a sink took.
    pub fn arrived(&self, sink: usize, keys: &[SpanKey]) {
        let mut pages = self.pages();
        for key in keys {
            let number = |found: Option<u64>| found.and_then(|number| usize::try_from(number).ok());
            let trace = number(self.ids.trace_number(key.trace));
            pages.trace_seen(trace, key.trace, sink);
            pages.span_seen(number(self.ids.span_number(key.span)));
        }
    }

    /// The account so far.
    pub fn tally(&self) -> Tally {
        self.pages().tally.clone()
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Pages ===

impl Pages {
    fn span_seen(&mut self, number: Option<usize>) {
        let word = number.and_then(|number| Some((number, self.arrived.get_mut(number / 64)?)));
        let Some((number, word)) = word else {
            self.tally.foreign += 1;
            return;
        };
        let bit = 1 << (number % 64);
        if *word & bit == 0 {
            *word |= bit;
            self.tally.delivered += 1;
        } else {
            self.tally.duplicates += 1;
        }
    }

    fn trace_seen(&mut self, number: Option<usize>, id: [u8; 16], sink: usize) {
        let announced = number.and_then(|number| self.sinks_of.get_mut(number));
        let sinks = match announced {
            Some(sinks) => sinks,
            None => {
                if self.foreign.len() >= FOREIGN_TRACES_MAX {
                    self.foreign_before = std::mem::take(&mut self.foreign);
                }
                let before = self.foreign_before.get(&id).copied().unwrap_or(0);
                self.foreign.entry(id).or_insert(before)
            }
        };
        let before = *sinks;
        *sinks |= 1_u32.checked_shl(sink as u32).unwrap_or(0);
        if before == 0 || before == *sinks {
            return;
        }
        let newly_split = before.count_ones() == 1;
        self.tally.split_traces += u64::from(newly_split);
        for (other, count) in self.tally.split_traces_of.iter_mut().enumerate() {
            let has_some = before >> other & 1 == 1;
            *count += u64::from(other == sink || (newly_split && has_some));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: Ids = Ids::new(11);

    fn key(trace: u64, span: u64) -> SpanKey {
        SpanKey { trace: IDS.trace(trace), span: IDS.span(span) }
    }

    fn tally(delivered: u64, duplicates: u64, foreign: u64, split_of: &[u64], split: u64) -> Tally {
        Tally { delivered, duplicates, foreign, split_traces: split, split_traces_of: split_of.to_vec() }
    }

    // Scenario: spans arrive once, twice at one sink, twice at two sinks, and a trace reaches all three sinks.
    // Guarantees: each span is delivered once, the rest are duplicates; a split trace counts once in all and once
    // for each sink that has a part of it.
    #[test]
    fn arrivals_are_audited() {
        let ledger = Ledger::new(IDS, 3);
        ledger.announce(100, 20);
        ledger.arrived(0, &[key(0, 0), key(0, 1), key(1, 70)]);
        assert_eq!(ledger.tally(), tally(3, 0, 0, &[0, 0, 0], 0));
        ledger.arrived(0, &[key(0, 1)]);
        assert_eq!(ledger.tally(), tally(3, 1, 0, &[0, 0, 0], 0));
        ledger.arrived(1, &[key(0, 2), key(0, 0)]);
        assert_eq!(ledger.tally(), tally(4, 2, 0, &[1, 1, 0], 1));
        ledger.arrived(2, &[key(0, 3)]);
        ledger.arrived(2, &[key(0, 4)]);
        assert_eq!(ledger.tally(), tally(6, 2, 0, &[1, 1, 1], 1));
    }

    // Scenario: spans whose ids were never announced, of this seed and of others, some of them to two sinks.
    // Guarantees: they never count as delivered and never make the ledger grow beyond its limit, but a split of
    // their traces shows.
    #[test]
    fn other_clients_are_seen_but_not_counted_as_ours() {
        let ledger = Ledger::new(IDS, 2);
        ledger.announce(64, 10);
        let stranger = SpanKey { trace: [7; 16], span: [9; 8] };
        ledger.arrived(0, &[key(11, 64), stranger]);
        assert_eq!(ledger.tally(), tally(0, 0, 2, &[0, 0], 0));
        let others: Vec<_> = (0..FOREIGN_TRACES_MAX as u128)
            .map(|number| SpanKey { trace: number.to_be_bytes(), span: [9; 8] })
            .collect();
        ledger.arrived(0, &others);
        ledger.arrived(1, &[stranger]);
        assert_eq!(ledger.tally().split_traces, 1, "remembered although the latest page began anew");
        ledger.arrived(0, &others);
        let pages = ledger.pages();
        assert!(
            pages.foreign.len() <= FOREIGN_TRACES_MAX && pages.foreign_before.len() <= FOREIGN_TRACES_MAX
        );
    }
}

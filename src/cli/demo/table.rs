//! What the demo shows: numbers in, text out. No clock and no terminal here.

use std::time::Duration;

/// The demo at one moment.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    /// Since the start.
    pub(super) elapsed: Duration,
    /// Spans of the generator that the gateway acknowledged.
    pub(super) sent: u64,
    /// Traces that more than one backend has spans of.
    pub(super) split_traces: u64,
    pub(super) rows: Vec<Row>,
}

/// One backend.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) backend: String,
    /// Of the ring, 0 to 1.
    pub(super) share: f64,
    /// Spans that arrived.
    pub(super) items: u64,
    pub(super) items_per_second: f64,
    /// Spans that wait in the gateway or are under way.
    pub(super) queue: i64,
    pub(super) retries: u64,
    pub(super) split_traces: u64,
}

// === impl Snapshot ===

impl Snapshot {
    /// A table with a line for each backend and one for all, 79 columns wide.
    pub(super) fn table(&self) -> String {
        let mut text = format!(
            "{:<21} {:>8} {:>12} {:>9} {:>8} {:>8} {:>7}\n",
            "backend", "ring", "items", "items/s", "queue", "retries", "split"
        );
        let total = self.total();
        for row in self.rows.iter().chain([&total]) {
            text.push_str(&format!(
                "{:<21} {:>6.1} % {:>12} {:>9} {:>8} {:>8} {:>7}\n",
                row.backend,
                row.share * 100.0,
                grouped(row.items),
                grouped(row.items_per_second.round() as u64),
                row.queue,
                row.retries,
                row.split_traces
            ));
        }
        text.push_str(&format!("{} s, {} spans sent\n", self.elapsed.as_secs(), grouped(self.sent)));
        text
    }

    /// The same in one line, for logs and pipes.
    pub(super) fn line(&self) -> String {
        let total = self.total();
        let items: Vec<_> = self.rows.iter().map(|row| row.items.to_string()).collect();
        format!(
            "{} s: sent {}, delivered {} ({}), {:.0}/s, queue {}, retries {}, split traces {}\n",
            self.elapsed.as_secs(),
            self.sent,
            total.items,
            items.join(" + "),
            total.items_per_second,
            total.queue,
            total.retries,
            total.split_traces
        )
    }

    fn total(&self) -> Row {
        let rows = &self.rows;
        Row {
            backend: "all".to_owned(),
            share: rows.iter().map(|row| row.share).sum(),
            items: rows.iter().map(|row| row.items).sum(),
            items_per_second: rows.iter().map(|row| row.items_per_second).sum(),
            queue: rows.iter().map(|row| row.queue).sum(),
            retries: rows.iter().map(|row| row.retries).sum(),
            split_traces: self.split_traces,
        }
    }
}

/// 1234567 as `1,234,567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(backend: &str, share: f64, items: u64, split_traces: u64) -> Row {
        Row {
            backend: backend.to_owned(),
            share,
            items,
            items_per_second: items as f64 / 10.0,
            queue: 7,
            retries: 2,
            split_traces,
        }
    }

    fn snapshot() -> Snapshot {
        Snapshot {
            elapsed: Duration::from_millis(12_900),
            sent: 1_234_999,
            split_traces: 1,
            rows: vec![row("127.0.0.1:40001", 0.334, 1_234_567, 1), row("127.0.0.1:65535", 0.666, 432, 1)],
        }
    }

    // Scenario: two backends, one of which has over a million spans, and one split trace that both have a part of.
    // Guarantees: aligned columns of at most 79 characters, sums in the last row, the split trace once in it.
    #[test]
    fn the_table_adds_up() {
        assert_eq!(
            snapshot().table(),
            "\
backend                   ring        items   items/s    queue  retries   split
127.0.0.1:40001         33.4 %    1,234,567   123,457        7        2       1
127.0.0.1:65535         66.6 %          432        43        7        2       1
all                    100.0 %    1,234,999   123,500       14        4       1
12 s, 1,234,999 spans sent
"
        );
    }

    // Scenario: the same, where the output is no terminal.
    // Guarantees: one line that says the same.
    #[test]
    fn the_line_says_the_same() {
        assert_eq!(
            snapshot().line(),
            "12 s: sent 1234999, delivered 1234999 (1234567 + 432), 123500/s, queue 14, retries 4, split traces 1\n"
        );
    }

    // Scenario: numbers around each comma.
    // Guarantees: groups of three from the right.
    #[test]
    fn numbers_are_grouped() {
        #[track_caller]
        fn check(number: u64, expect: &str) {
            assert_eq!(grouped(number), expect);
        }
        check(0, "0");
        check(999, "999");
        check(1_000, "1,000");
        check(123_456, "123,456");
        check(1_234_567, "1,234,567");
    }
}

//! The laws of counting: what was taken is what the gateway says became of it.

use ringway::model::Signal;

use super::{Attempt, Facts, Law, Violation};
use crate::ledger::{End, Event};

/// Values of metrics, read from their text.
pub(super) struct Counts<'a>(pub(super) &'a str);

impl Counts<'_> {
    /// The sum over the series of a metric that have all the labels.
    pub(super) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> i64 {
        let series = self.0.lines().filter_map(|line| line.strip_prefix(name));
        let values = series.filter_map(|rest| {
            let (of, value) = rest.rsplit_once(' ')?;
            let is_it = of.is_empty() || of.starts_with('{');
            let has = |(label, text): &(&str, &str)| of.contains(&format!("{label}=\"{text}\""));
            (is_it && labels.iter().all(has)).then(|| value.parse::<f64>().ok()).flatten()
        });
        values.sum::<f64>() as i64
    }
}

/// What the gateway counted for one signal.
#[derive(Debug, PartialEq, Eq)]
struct Balance {
    taken: i64,
    delivered: i64,
    dropped: i64,
    queued: i64,
}

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Violation>) {
    let counts = Counts(&facts.run.metrics);
    for (index, signal) in Signal::ALL.into_iter().enumerate() {
        let labels = [("signal", signal.as_str())];
        let balance = Balance {
            taken: taken(facts, index),
            delivered: counts.sum("ringway_backend_delivered_items", &labels),
            dropped: counts.sum("ringway_backend_dropped_items", &labels)
                + counts.sum("ringway_router_dropped_items", &labels),
            queued: counts.sum("ringway_backend_queued_items", &labels),
        };
        let mut violation = |what: String| {
            found.push(Violation { law: Law::Conservation, what: format!("{}: {what}", signal.as_str()) });
        };
        if balance.taken != balance.delivered + balance.dropped || balance.queued != 0 {
            violation(format!("{balance:?}"));
        }
        let word = match signal {
            Signal::Traces => "spans",
            Signal::Metrics => "metric_points",
            Signal::Logs => "log_records",
        };
        let of_collector = (
            counts.sum(&format!("otelcol_exporter_sent_{word}"), &[]),
            counts.sum(&format!("otelcol_exporter_send_failed_{word}"), &[]),
        );
        if of_collector != (balance.delivered, balance.dropped) {
            violation(format!("sent and send_failed are {of_collector:?}, but {balance:?}"));
        }
        let told = told(facts, index);
        if told != balance.delivered {
            violation(format!("backends said that they took {told}, but {balance:?}"));
        }
    }
}

/// Items that the gateway took, once for each time.
fn taken(facts: &Facts<'_>, signal: usize) -> i64 {
    let of_signal = |id: &u64| facts.run.book.item(*id).signal == signal;
    facts.offers.iter().filter(|(id, _)| of_signal(id)).map(|(_, offers)| offers.taken as i64).sum()
}

/// Items of which backends said that they took them.
fn told(facts: &Facts<'_>, signal: usize) -> i64 {
    let attempts = facts.attempts.values().filter(|attempt| attempt.signal == signal);
    attempts.map(taken_by).sum()
}

fn taken_by(attempt: &Attempt) -> i64 {
    match attempt.ended {
        Some((_, End::Taken { rejected })) => attempt.items.len() as i64 - rejected as i64,
        _ => 0,
    }
}

/// Items dropped for some reason, by the gateway's count.
pub(super) fn dropped(facts: &Facts<'_>, signal: usize, reasons: &[&str]) -> i64 {
    let counts = Counts(&facts.run.metrics);
    let of = |reason: &&str| {
        let labels = [("signal", Signal::ALL[signal].as_str()), ("reason", *reason)];
        counts.sum("ringway_backend_dropped_items", &labels)
    };
    reasons.iter().map(of).sum()
}

/// Whether the gateway was told to end before everything was delivered, and gave up the rest.
pub(super) fn gave_up(facts: &Facts<'_>) -> bool {
    facts.run.ended.as_ref().is_some_and(|ended| !ended.in_time)
        && facts.run.book.events.iter().any(|(_, event)| *event == Event::Drain)
}

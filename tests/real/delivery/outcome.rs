//! What became of the spans, and whether that is right.

use std::fmt;

use anyhow::ensure;

use super::client::Sent;
use super::tally::Tally;

/// The counts of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Outcome {
    /// Spans that the client may forget.
    pub(crate) acknowledged: usize,
    /// Acknowledged and nowhere.
    pub(crate) lost: usize,
    /// Second and further copies of a span, the excused ones not counted.
    pub(crate) twice: usize,
    /// Second copies of spans that a backend may have taken without living to say so.
    pub(crate) excused: usize,
    /// Failed attempts of the client.
    pub(crate) errors: usize,
    /// The same by status, as text.
    pub(crate) statuses: String,
    /// Requests the client gave up.
    pub(crate) given_up: usize,
    /// Bytes of messages at all backends, divided by those of acknowledged requests. More than 1 by the wrappers that
    /// several parts of a request need.
    pub(crate) bytes_ratio: f64,
    /// Requests at all backends.
    pub(crate) messages: usize,
}

impl Outcome {
    /// Counts. `killed` are backends that ended without a chance to answer what they had taken: one copy there, and one
    /// elsewhere, is excused. `alive` are the others.
    pub(crate) fn new(sent: &Sent, killed: &[&Tally], alive: &[&Tally]) -> Self {
        let mut outcome = Self {
            errors: sent.errors(),
            statuses: sent
                .errors
                .iter()
                .map(|(status, count)| format!("{count} {status}"))
                .collect::<Vec<_>>()
                .join(", "),
            given_up: sent.given_up(),
            ..Self::default()
        };
        let copies = |tallies: &[&Tally], number| -> usize {
            tallies.iter().map(|tally| usize::from(tally.copies(number))).sum()
        };
        for number in sent.script.all() {
            let (dead, alive) = (copies(killed, number), copies(alive, number));
            let excused = usize::from(dead > 0 && alive > 0);
            outcome.excused += excused;
            outcome.twice += (dead + alive).saturating_sub(1 + excused);
        }
        for number in sent.acknowledged() {
            outcome.acknowledged += 1;
            outcome.lost += usize::from(copies(killed, number) + copies(alive, number) == 0);
        }
        let all = || killed.iter().chain(alive);
        outcome.messages = all().map(|tally| tally.messages).sum();
        let bytes: u64 = all().map(|tally| tally.bytes).sum();
        outcome.bytes_ratio = bytes as f64 / sent.bytes.max(1) as f64;
        outcome
    }

    /// Fails unless nothing was lost, nothing came twice and the client noticed nothing.
    pub(crate) fn clean(&self) -> anyhow::Result<()> {
        self.complete()?;
        ensure!(self.twice == 0, "spans were delivered twice: {self}");
        ensure!(self.errors == 0, "the client saw errors: {self}");
        ensure!(self.bytes_ratio <= 1.02, "more was sent than a split needs: {self}");
        Ok(())
    }

    /// Fails unless everything acknowledged arrived, and everything was acknowledged in the end.
    pub(crate) fn complete(&self) -> anyhow::Result<()> {
        ensure!(self.acknowledged > 0, "nothing was acknowledged: {self}");
        ensure!(self.lost == 0, "acknowledged spans were lost: {self}");
        ensure!(self.given_up == 0, "the client gave up: {self}");
        Ok(())
    }
}

impl fmt::Display for Outcome {
    /// The cells of a row in `benches/README.md`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let statuses = if self.errors == 0 { "0" } else { &self.statuses };
        write!(
            f,
            "{} acknowledged | {} lost | {} twice | {} excused | {statuses} at the client | {} given up | bytes out / in {:.4} | {} requests out",
            self.acknowledged,
            self.lost,
            self.twice,
            self.excused,
            self.given_up,
            self.bytes_ratio,
            self.messages
        )
    }
}

#[test]
fn loss_duplication_and_errors_are_seen() {
    // Scenario: two requests of two spans; everything once, one span missing, one twice at one backend, one at two, one
    // at a killed backend and at another one, the same three times, a failed attempt, a request given up.
    // Guarantees: the counts tell these apart, the verdicts refuse all but the first and the excused one, and a refused
    // verdict is refused for the right count.
    use std::time::Instant;

    use prost::Message as _;

    use super::client::Answered;
    use super::script::{Script, Traces};

    let script = Script { seed: 1, first: 0, requests: 2, request_spans: 2, traces: Traces::OfOne(2) };
    let answered = Answered { began: Some(Instant::now()), acknowledged: Some(Instant::now()), failed: 0 };
    let bytes = (0..2).map(|request| script.request(request).encoded_len() as u64).sum();
    let sent = Sent { requests: vec![answered; 2], bytes, ..Sent::new(script) };
    let tally = |requests: &[usize]| {
        let mut tally = Tally::default();
        for request in requests {
            tally.enter(&script.request(*request).encode_to_vec()).unwrap();
        }
        tally
    };
    let (none, first, second) = (tally(&[]), tally(&[0]), tally(&[1]));
    let (first_twice, both) = (tally(&[0, 0]), tally(&[0, 1]));
    let counts = |outcome: &Outcome| (outcome.lost, outcome.twice, outcome.excused);

    let right = Outcome::new(&sent, &[&none], &[&first, &second]);
    assert_eq!(counts(&right), (0, 0, 0));
    assert_eq!((right.acknowledged, right.bytes_ratio), (4, 1.0));
    right.clean().unwrap();
    let excused = Outcome { bytes_ratio: 1.0, ..Outcome::new(&sent, &[&first], &[&both]) };
    assert_eq!(counts(&excused), (0, 0, 2));
    excused.clean().unwrap();

    for (expected, killed, alive) in [
        ((2, 0, 0), &none, [&first, &none]),
        ((0, 2, 0), &none, [&first_twice, &second]),
        ((0, 2, 0), &none, [&first, &both]),
        ((0, 2, 2), &first, [&both, &first]),
        ((0, 2, 0), &first_twice, [&second, &none]),
    ] {
        let wrong = Outcome::new(&sent, &[killed], &alive);
        assert_eq!(counts(&wrong), expected);
        assert!(Outcome { bytes_ratio: 1.0, ..wrong.clone() }.clean().is_err(), "{wrong}");
        assert_eq!(wrong.complete().is_err(), expected.0 > 0);
    }
    let doubled = Outcome::new(&sent, &[], &[&both, &both]);
    assert!(doubled.bytes_ratio > 1.9);
    assert!(Outcome { twice: 0, ..doubled }.clean().is_err());

    let mut uneasy = sent.clone();
    uneasy.errors.insert("Unavailable".to_owned(), 1);
    let uneasy = Outcome::new(&uneasy, &[], &[&first, &second]);
    assert!(uneasy.complete().is_ok() && uneasy.clean().is_err(), "{uneasy}");
    let mut given_up = sent;
    given_up.requests[1] = Answered::default();
    let given_up = Outcome::new(&given_up, &[], &[&first]);
    assert_eq!((given_up.acknowledged, given_up.lost), (2, 0));
    assert!(given_up.complete().is_err());
}

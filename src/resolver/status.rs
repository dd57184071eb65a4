//! How a resolver stands: for probes, pages and the texts of refusals.
//!
//! Stage: resolver. Written by the source (answers, failures) and by `membership` (the set in force); read by anyone.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::source::Failure;

/// Longer texts of failures are cut.
const MESSAGE_BYTES_MAX: usize = 1024;

/// The state of one resolver. Clones share it.
#[derive(Clone, Debug)]
pub struct Status {
    kind: &'static str,
    target: Arc<str>,
    view: Arc<Mutex<View>>,
}

#[derive(Debug)]
struct View {
    started: Instant,
    answered: Option<Instant>,
    /// The latest, if nothing was answered since.
    failure: Option<Failure>,
    /// Endpoints in force.
    endpoints: Option<usize>,
    /// Since when the source has answered that there is nothing.
    empty_since: Option<Instant>,
}

/// In a word, how a resolver stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Never answered.
    Waiting,
    /// Its last answer was good, and is in force.
    Current,
    /// Its last answer was good, later ones failed: the last good set is in force.
    Stale,
    /// It answers that there is nothing; the last set is still in force.
    Held,
    /// It answers that there is nothing, or nothing was answered for too long: requests are refused.
    Empty,
}

/// How a resolver stands at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// In a word.
    pub state: State,
    /// Endpoints in force; `None` before the first answer.
    pub endpoints: Option<usize>,
    /// Time since the last good answer.
    pub age: Option<Duration>,
    /// Code and sentence of the failures since then.
    pub failure: Option<(&'static str, String)>,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Waiting, Self::Current, Self::Stale, Self::Held, Self::Empty];

    /// The value of the metric label `state`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Current => "current",
            Self::Stale => "stale",
            Self::Held => "held",
            Self::Empty => "empty",
        }
    }
}

impl Status {
    pub(super) fn new(kind: &'static str, target: String) -> Self {
        let view = View {
            started: Instant::now(),
            answered: None,
            failure: None,
            endpoints: None,
            empty_since: None,
        };
        Self { kind, target: target.into(), view: Arc::new(Mutex::new(view)) }
    }

    /// `static`, `dns`, …
    pub const fn kind(&self) -> &'static str {
        self.kind
    }

    /// What is resolved, for people.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// A good answer. Says whether it ends a time of failures.
    pub(super) fn answered(&self) -> bool {
        self.change(|view| {
            view.answered = Some(Instant::now());
            view.failure.take().is_some()
        })
    }

    /// When the last good answer came.
    pub(super) fn answered_at(&self) -> Option<Instant> {
        self.change(|view| view.answered)
    }

    pub(super) fn failed(&self, mut failure: Failure) {
        // It is part of every refusal: a server's page of HTML does not belong there.
        if failure.message.len() > MESSAGE_BYTES_MAX {
            let end = (0..=MESSAGE_BYTES_MAX).rev().find(|&end| failure.message.is_char_boundary(end));
            failure.message.truncate(end.unwrap_or(0));
            failure.message.push('…');
        }
        self.change(|view| view.failure = Some(failure));
    }

    /// What is in force, and since when the source has nothing.
    pub(super) fn in_force(&self, endpoints: Option<usize>, empty_since: Option<Instant>) {
        self.change(|view| (view.endpoints, view.empty_since) = (endpoints, empty_since));
    }

    /// How it stands now.
    pub fn snapshot(&self) -> Snapshot {
        self.change(|view| {
            let state = match (view.answered, view.endpoints) {
                (None, _) => State::Waiting,
                (Some(_), Some(0) | None) => State::Empty,
                (Some(_), Some(_)) if view.failure.is_some() => State::Stale,
                (Some(_), Some(_)) if view.empty_since.is_some() => State::Held,
                (Some(_), Some(_)) => State::Current,
            };
            Snapshot {
                state,
                endpoints: view.endpoints,
                age: view.answered.map(|at| at.elapsed()),
                failure: view.failure.as_ref().map(|failure| (failure.code, failure.message.clone())),
            }
        })
    }

    /// Why there is no backend, for whoever is refused: names resolver, target and since when.
    pub fn reason(&self) -> String {
        let (started, empty_since) = self.change(|view| (view.started, view.empty_since));
        let snapshot = self.snapshot();
        let failure = snapshot.failure.map_or_else(String::new, |(_, message)| format!(": {message}"));
        let (kind, target) = (self.kind, &self.target);
        match (snapshot.age, empty_since) {
            (None, _) => {
                let seconds = started.elapsed().as_secs();
                format!("resolver {kind}, {target}: no answer yet, for {seconds} s{failure}")
            }
            (Some(_), Some(since)) => {
                let seconds = since.elapsed().as_secs();
                format!("resolver {kind}, {target}: no usable endpoint for {seconds} s{failure}")
            }
            (Some(age), None) => {
                format!("resolver {kind}, {target}: no answer for {} s{failure}", age.as_secs())
            }
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut View) -> T) -> T {
        change(&mut self.view.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Scenario: a source fails with a text as long as it likes, of characters of several bytes.
    // Guarantees: what is kept and shown of it is bounded, whole characters, and says that there was more.
    #[tokio::test]
    async fn long_failures_are_cut() {
        let status = Status::new("dns", "name x".to_owned());
        let shown = |message: &str| {
            status.failed(Failure { code: "refused", message: message.to_owned() });
            status.snapshot().failure.unwrap().1
        };
        assert_eq!(shown("no"), "no");
        assert_eq!(shown(&"x".repeat(MESSAGE_BYTES_MAX)), "x".repeat(MESSAGE_BYTES_MAX));
        assert_eq!(shown(&format!("x{}", "é".repeat(5_000))), format!("x{}…", "é".repeat(511)));
        assert!(status.reason().starts_with("resolver dns, name x: no answer yet, for 0 s: xé"));
    }
}

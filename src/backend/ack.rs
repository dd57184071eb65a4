//! Who waits for the outcome of a part, through every cut of it.
//!
//! Stage: backend; made by the router. A part that is cut (too large for one message, re-routed to several backends, halved
//! after a rejection) has one outcome all the same: [`fold`] of its pieces' outcomes.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::oneshot;

use crate::model::{Code, Delivered, Failure, Outcome, fold};

/// Where one part of a request waits for its outcome.
pub type Wait = oneshot::Receiver<Outcome>;

/// The other end of a [`Wait`]. One that is dropped unanswered counts as given up because the process ends.
#[derive(Debug)]
pub struct Ack(Inner);

#[derive(Debug)]
enum Inner {
    /// Somebody waits for this alone.
    Whole(Whole),
    /// One of several pieces.
    Piece(Arc<Pieces>),
    Answered,
}

#[derive(Debug)]
struct Whole {
    sender: oneshot::Sender<Outcome>,
    keeps: bool,
}

/// The pieces of a part that have no outcome yet.
#[derive(Debug)]
struct Pieces {
    state: Mutex<State>,
    /// A copy of what the whole says, for looking without the lock.
    keeps: bool,
    is_closed: AtomicBool,
}

#[derive(Debug)]
struct State {
    left: usize,
    outcome: Outcome,
    whole: Option<Ack>,
}

impl Ack {
    /// An ack and its other end. `keeps`: whoever waits has the data itself (on disk), so that giving it up because the
    /// process ends loses nothing.
    pub fn new(keeps: bool) -> (Self, Wait) {
        let (sender, wait) = oneshot::channel();
        (Self(Inner::Whole(Whole { sender, keeps })), wait)
    }

    /// Tells the outcome. A client that is gone does not hear it; that is not an error.
    pub fn send(mut self, outcome: Outcome) {
        self.answer(outcome);
    }

    fn answer(&mut self, outcome: Outcome) {
        match std::mem::replace(&mut self.0, Inner::Answered) {
            Inner::Whole(whole) => drop(whole.sender.send(outcome)),
            Inner::Piece(pieces) => pieces.settle(outcome),
            Inner::Answered => {}
        }
    }

    /// Whether whoever waited has gone away.
    pub fn is_closed(&self) -> bool {
        match &self.0 {
            Inner::Whole(whole) => whole.sender.is_closed(),
            Inner::Piece(pieces) => pieces.is_closed(),
            Inner::Answered => true,
        }
    }

    /// Whether whoever waits keeps the data itself.
    pub fn keeps(&self) -> bool {
        match &self.0 {
            Inner::Whole(whole) => whole.keeps,
            Inner::Piece(pieces) => pieces.keeps,
            Inner::Answered => false,
        }
    }

    /// Becomes the acks of `pieces` pieces; the part has an outcome when all of them have.
    pub fn split(self, pieces: usize) -> Vec<Self> {
        match pieces {
            0 => {
                self.send(Ok(Delivered::default()));
                Vec::new()
            }
            1 => vec![self],
            _ => {
                let keeps = self.keeps();
                let state = State { left: pieces, outcome: Ok(Delivered::default()), whole: Some(self) };
                let shared =
                    Arc::new(Pieces { state: Mutex::new(state), keeps, is_closed: AtomicBool::new(false) });
                std::iter::repeat_with(|| Self(Inner::Piece(Arc::clone(&shared)))).take(pieces).collect()
            }
        }
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        // Only a piece has somebody to tell: the other end of a whole sees by itself that it is gone.
        if matches!(self.0, Inner::Piece(_)) {
            self.answer(Err(unanswered()));
        }
    }
}

impl Pieces {
    fn settle(&self, outcome: Outcome) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let so_far = std::mem::replace(&mut state.outcome, Ok(Delivered::default()));
        state.outcome = fold([so_far, outcome]);
        state.left = state.left.saturating_sub(1);
        if state.left > 0 {
            return;
        }
        let outcome = std::mem::replace(&mut state.outcome, Ok(Delivered::default()));
        let whole = state.whole.take();
        drop(state);
        if let Some(whole) = whole {
            whole.send(outcome);
        }
    }

    fn is_closed(&self) -> bool {
        if self.is_closed.load(Ordering::Relaxed) {
            return true;
        }
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_closed = state.whole.as_ref().is_none_or(Ack::is_closed);
        self.is_closed.store(is_closed, Ordering::Relaxed);
        is_closed
    }
}

/// What somebody hears whose part was dropped unanswered.
pub fn unanswered() -> Failure {
    Failure::busy(Code::ShuttingDown, "the gateway is shutting down")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Retry, Side};

    fn rejected(items: u64) -> Outcome {
        Ok(Delivered { rejected: items, message: String::new() })
    }

    fn failed(retry: Retry) -> Outcome {
        Err(Failure::new(Side::Backend, Code::Unavailable, retry, "scripted"))
    }

    /// Cuts an ack as the numbers say, answers the pieces in order, and compares what the waiting side hears.
    #[track_caller]
    fn check(outcomes: Vec<Outcome>, expect: &Outcome) {
        let (ack, mut wait) = Ack::new(true);
        let mut pieces = ack.split(2);
        let last = pieces.pop().unwrap();
        // Cuts of cuts.
        pieces.extend(last.split(outcomes.len() - 1));
        for (ack, outcome) in pieces.into_iter().zip(outcomes) {
            assert!(wait.try_recv().is_err(), "answered before the last piece");
            assert!(ack.keeps() && !ack.is_closed());
            ack.send(outcome);
        }
        assert_eq!(wait.try_recv().unwrap(), *expect);
    }

    // Scenario: a part is cut, and one of its pieces again; the pieces end in every combination.
    // Guarantees: one answer, after the last piece; rejected items add up; a retryable failure speaks for all.
    #[test]
    fn the_pieces_of_a_part_have_one_outcome() {
        check(vec![rejected(1), rejected(2), rejected(0)], &rejected(3));
        check(vec![rejected(1), failed(Retry::Never), rejected(0)], &failed(Retry::Never));
        check(
            vec![failed(Retry::Never), rejected(0), failed(Retry::After(None))],
            &failed(Retry::After(None)),
        );
    }

    // Scenario: the client goes away; a piece is dropped unanswered; a part is cut into nothing.
    // Guarantees: the pieces see that nobody waits; a lost piece is a retryable failure, never a success; nothing is a success.
    #[test]
    fn nobody_waits_and_nobody_answers() {
        let (ack, wait) = Ack::new(false);
        let pieces = ack.split(2);
        drop(wait);
        assert!(pieces.iter().all(Ack::is_closed));

        let (ack, mut wait) = Ack::new(false);
        let mut pieces = ack.split(2);
        pieces.pop().unwrap().send(rejected(0));
        drop(pieces);
        assert_eq!(wait.try_recv().unwrap(), Err(unanswered()));

        let (ack, mut wait) = Ack::new(false);
        assert!(ack.split(0).is_empty());
        assert_eq!(wait.try_recv().unwrap(), rejected(0));
    }
}

//! What a sink does with requests that it should not simply take.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use tokio::sync::watch;

use crate::net::grpc::Status;

/// What happens to one request. "Takes" means that its spans are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Takes the request and says so.
    Take,
    /// Takes the request and answers OK with a partial success.
    Partial {
        /// `rejected_spans`.
        rejected: u32,
        /// `error_message`.
        message: String,
    },
    /// Does not take the request and says why.
    Answer(Status),
    /// Resets the stream.
    Reset {
        /// The code of the RST_STREAM frame. [`h2::Reason::REFUSED_STREAM`] promises that nothing was taken.
        reason: h2::Reason,
        /// Whether the request was taken all the same.
        take: bool,
    },
    /// Never answers, until the sink is killed.
    Hang {
        /// Whether the request was taken all the same.
        take: bool,
    },
}

impl Action {
    pub(super) const fn takes(&self) -> bool {
        match self {
            Self::Take | Self::Partial { .. } => true,
            Self::Answer(_) => false,
            Self::Reset { take, .. } | Self::Hang { take } => *take,
        }
    }
}

/// The queue of actions of one sink. Without any, it takes every request at once.
#[derive(Debug)]
pub struct Script {
    queue: Mutex<Queue>,
    held: watch::Sender<bool>,
    waiting: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Queue {
    next: VecDeque<(usize, Action)>,
    then: Option<Action>,
}

// === impl Script ===

impl Script {
    pub(super) fn new() -> Self {
        Self { queue: Mutex::default(), held: watch::Sender::new(false), waiting: watch::Sender::new(0) }
    }

    /// Lets the next `requests` requests meet `action`, behind what was queued before.
    pub fn next(&self, requests: usize, action: Action) {
        self.queue().next.push_back((requests, action));
    }

    /// Lets every request meet `action` once the queue is empty.
    pub fn then(&self, action: Action) {
        self.queue().then = Some(action);
    }

    /// Forgets everything: requests are taken again.
    pub fn clear(&self) {
        *self.queue() = Queue::default();
    }

    /// Keeps requests that arrive from now on waiting, read but neither taken nor answered.
    pub fn hold(&self) {
        self.held.send_replace(true);
    }

    /// Lets the waiting requests go on, and those to come.
    pub fn release(&self) {
        self.held.send_replace(false);
    }

    /// Waits until so many requests are being held. Has no time limit of its own.
    pub async fn waiting(&self, requests: usize) {
        let mut waiting = self.waiting.subscribe();
        // Fails only without a sender, and `self` is the sender.
        if waiting.wait_for(|waiting| *waiting >= requests).await.is_err() {
            tracing::debug!("a script ended while somebody waited for requests");
        }
    }

    pub(super) async fn released(&self) {
        if !*self.held.borrow() {
            return;
        }
        let mut held = self.held.subscribe();
        let _counted = Waiting::new(&self.waiting);
        if held.wait_for(|held| !held).await.is_err() {
            tracing::debug!("a script ended while it held requests");
        }
    }

    pub(super) fn take(&self) -> Action {
        let mut queue = self.queue();
        while let Some((requests, action)) = queue.next.front_mut() {
            if let Some(left) = requests.checked_sub(1) {
                *requests = left;
                return action.clone();
            }
            queue.next.pop_front();
        }
        queue.then.clone().unwrap_or(Action::Take)
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One held request, counted until it goes on or its client gives up.
struct Waiting<'a>(&'a watch::Sender<usize>);

// === impl Waiting ===

impl<'a> Waiting<'a> {
    fn new(count: &'a watch::Sender<usize>) -> Self {
        count.send_modify(|waiting| *waiting += 1);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

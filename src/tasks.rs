//! Every task and thread of the process: named, counted and waited for.
//!
//! Stage: edge. The only file that may call `tokio::spawn` or start a thread. A task that nobody holds would outlive the
//! drain unseen; here each belongs to a [`Tasks`] group that the composition root waits for.

use std::{future::Future, io, thread};

use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

/// A group of tasks that is waited for together; also the executor of hyper's HTTP/2 connections. Clones share the
/// group.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
}

impl Tasks {
    /// An empty group.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task. `name` appears on the log lines written inside it, at debug level.
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns: every task is tracked here")]
    pub fn spawn<F>(&self, name: &'static str, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        tokio::spawn(self.tracker.track_future(future.instrument(tracing::debug_span!("task", name))))
    }

    /// Starts a thread for work that blocks for as long as its owner lives, such as writing files; [`Tasks::ended`] waits
    /// for it as for a task. (`spawn_blocking` is for calls that end: a call that stays keeps one of the runtime's threads,
    /// and stops the paused clock of tests.)
    ///
    /// # Errors
    ///
    /// If the system has no thread left.
    pub fn thread(&self, name: &'static str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let token = self.tracker.token();
        let work = move || {
            tracing::debug_span!("task", name).in_scope(work);
            drop(token);
        };
        thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
    }

    /// How many tasks of the group are running.
    pub fn running(&self) -> usize {
        self.tracker.len()
    }

    /// Waits until every task of the group has ended; tasks may still be started meanwhile.
    ///
    /// Has no time limit of its own: callers bound it.
    pub async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        drop(self.spawn("http2", future));
    }
}

//! Damping: when what a source answers becomes the set in force.
//!
//! Stage: resolver, one mechanism for all sources. [`Keeping`] is the task.

use tokio::sync::watch;

use super::{EndpointSet, Status, source::Answer};
use crate::{model::settings::Membership, telemetry::ResolverMetrics};

/// Follows the answers of one source and publishes sets.
#[derive(Debug)]
pub(super) struct Keeping {
    _settings: Membership,
    status: Status,
    metrics: ResolverMetrics,
    answers: watch::Receiver<Option<Answer>>,
    sets: watch::Sender<Option<EndpointSet>>,
}

impl Keeping {
    pub(super) fn new(
        settings: Membership,
        status: Status,
        metrics: ResolverMetrics,
        answers: watch::Receiver<Option<Answer>>,
        sets: watch::Sender<Option<EndpointSet>>,
    ) -> Self {
        Self { _settings: settings, status, metrics, answers, sets }
    }

    /// Takes the latest answer.
    pub(super) fn look(&mut self) {
        let Some(answer) = self.answers.borrow_and_update().clone() else { return };
        let set = answer.endpoints;
        self.status.in_force(Some(set.len()), None);
        self.metrics.backends.set(i64::try_from(set.len()).unwrap_or(i64::MAX));
        self.metrics.updates.inc();
        self.sets.send_replace(Some(set));
    }

    /// Until the source has ended, or nobody listens.
    pub(super) async fn run(mut self) {
        loop {
            tokio::select! {
                () = self.sets.closed() => return,
                changed = self.answers.changed() => match changed {
                    Ok(()) => self.look(),
                    Err(_) => return,
                },
            }
        }
    }
}

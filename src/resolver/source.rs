//! What every source of endpoints has in common: how it answers, and how it says that it cannot.
//!
//! Stage: resolver. A source never blocks the start, asks again for as long as somebody listens, and keeps its hands off the set
//! in force: answers go to `membership`, failures to `status`.

use std::{error::Error, sync::Arc};

use tokio::sync::watch;

use super::{EndpointSet, status::Status};
use crate::{
    model::Endpoint,
    telemetry::{ResolverMetrics, logs::LineLimit},
};

/// One good answer of a source: the whole of what it knows now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// What may be used now, sorted bytewise by identity.
    pub(super) endpoints: EndpointSet,
    /// Identities that are still listed, but not to be used now.
    pub(super) suspects: Vec<Arc<str>>,
    /// What it means that a member is in neither list.
    pub(super) absence: Absence,
}

/// What it means that an answer does not name a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absence {
    /// The source says that it is gone.
    Deleted,
    /// It may be back in the next answer.
    Unexplained,
}

/// Why a source has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// The value of the metric label `code`.
    pub(super) code: &'static str,
    /// A sentence for people, without the target and without a full stop.
    pub(super) message: String,
}

/// What a source is given to speak with.
#[derive(Debug)]
pub(super) struct Publisher {
    answers: watch::Sender<Option<Answer>>,
    status: Status,
    metrics: ResolverMetrics,
    warnings: LineLimit,
    recoveries: LineLimit,
}

impl From<EndpointSet> for Answer {
    /// A set from a source that says nothing else: what is not in it was taken out by somebody.
    fn from(endpoints: EndpointSet) -> Self {
        Self { endpoints, suspects: Vec::new(), absence: Absence::Deleted }
    }
}

impl Publisher {
    /// A publisher, and what it publishes: the latest answer.
    pub(super) fn new(status: Status, metrics: ResolverMetrics) -> (Self, watch::Receiver<Option<Answer>>) {
        let (answers, receiver) = watch::channel(None);
        (
            Self { answers, status, metrics, warnings: LineLimit::new(), recoveries: LineLimit::new() },
            receiver,
        )
    }

    /// A good answer. Says whether it differs from the last one.
    pub(super) fn answer(&self, answer: impl Into<Answer>) -> bool {
        let answer = answer.into();
        self.metrics.answered();
        if self.status.answered() && self.recoveries.allow().is_some() {
            tracing::info!(
                exporter = self.metrics.exporter(),
                resolver = self.status.kind(),
                target = self.status.target(),
                "the resolver answers again"
            );
        }
        self.answers.send_if_modified(|current| {
            let has_changed = current.as_ref() != Some(&answer);
            if has_changed {
                *current = Some(answer);
            }
            has_changed
        })
    }

    /// An answer of which a part could not be learnt or cannot be used.
    pub(super) fn answer_in_part(&self, answer: impl Into<Answer>, failure: &Failure) {
        self.metrics.failed_in_part(failure.code);
        self.warn(failure, None, "the resolver's answer is not whole");
        self.answer(answer);
    }

    /// No answer this time: what was last answered stays in force.
    pub(super) fn failed(&self, failure: Failure) {
        self.metrics.failed(failure.code);
        let in_force = self.status.snapshot().endpoints;
        self.warn(&failure, in_force, "the resolver has no answer, what it last answered stays in force");
        self.status.failed(failure);
    }

    fn warn(&self, failure: &Failure, in_force: Option<usize>, what: &str) {
        if let Some(suppressed) = self.warnings.allow() {
            tracing::warn!(
                exporter = self.metrics.exporter(),
                resolver = self.status.kind(),
                target = self.status.target(),
                code = failure.code,
                error = failure.message,
                suppressed,
                in_force,
                "{what}"
            );
        }
    }

    /// Ends when nobody listens any more.
    pub(super) async fn closed(&self) {
        self.answers.closed().await;
    }
}

/// An error and what it comes from, each text once: `client error (Connect): tcp connect error: Connection refused`.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let one = error.to_string();
        if !text.contains(&one) {
            text = format!("{text}: {one}");
        }
        source = error.source();
    }
    text
}

/// As a set: sorted bytewise by identity, duplicates kept, as the Collector's resolvers sort their texts.
pub(super) fn sorted(mut endpoints: Vec<Endpoint>) -> EndpointSet {
    endpoints.sort_by(|left, right| left.identity().cmp(right.identity()));
    endpoints
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    /// A publisher with its answers, status and metrics, for the tests of sources.
    pub(in crate::resolver) fn publisher(
        kind: &'static str,
    ) -> (Publisher, watch::Receiver<Option<Answer>>, Status, ResolverMetrics) {
        let (status, metrics) = (Status::new(kind, "a test".to_owned()), Metrics::new().resolver("lb", kind));
        let (publisher, answers) = Publisher::new(status.clone(), metrics.clone());
        (publisher, answers, status, metrics)
    }
}

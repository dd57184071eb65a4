//! One signal on one transport: who takes its requests, and what is counted.
//!
//! Stage: receiver.

use std::net::IpAddr;

use bytes::Bytes;
use http::request::Parts;

use super::{Routes, forwarded::Forwarded};
use crate::{
    model::{Code, Outcome, Signal},
    router::Dispatcher,
    telemetry::{Metrics, ReceiverMetrics},
};

/// A signal that is served.
#[derive(Debug)]
pub(super) struct Route {
    /// The signal.
    pub(super) signal: Signal,
    /// What is kept of a request's headers.
    forwarded: Forwarded,
    dispatcher: Dispatcher,
    metrics: ReceiverMetrics,
}

/// Counts requests of one transport that were answered with a failure.
#[derive(Debug)]
pub(super) struct Refused {
    metrics: ReceiverMetrics,
}

/// A request that has no answer yet. Dropped without one, it counts as cancelled: its client went away, or its
/// connection was cut.
#[derive(Debug)]
pub(super) struct Unanswered<'a> {
    refused: Option<&'a Refused>,
}

impl Route {
    /// One route for each signal that is served. `include_metadata`: headers that exporters forward are kept.
    pub(super) fn all(
        receiver: &str,
        transport: &'static str,
        routes: &Routes,
        include_metadata: bool,
        metrics: &Metrics,
    ) -> Vec<Self> {
        Signal::ALL
            .into_iter()
            .filter_map(|signal| {
                let dispatcher = routes.get(signal)?.clone();
                let names = if include_metadata { dispatcher.forwarded_headers() } else { Vec::new() };
                Some(Self {
                    signal,
                    forwarded: Forwarded::new(names),
                    dispatcher,
                    metrics: metrics.receiver(receiver, transport, signal),
                })
            })
            .collect()
    }

    /// Hands one uncompressed request to the router, with what is kept of its head, and counts its items by the
    /// answer.
    ///
    /// A request without items succeeds and counts nothing. Dropping the future drops the request where it waits;
    /// how many items it had is then known to the router only, which counts what it gives up.
    pub(super) async fn dispatch(&self, head: &Parts, body: Bytes, client: Option<IpAddr>) -> Outcome {
        let metadata = self.forwarded.of(head).from_client(client);
        let dispatched = self.dispatcher.dispatch(self.signal, body, &metadata).await;
        let counter = match &dispatched.outcome {
            Ok(_) => &self.metrics.accepted,
            Err(_) => &self.metrics.refused,
        };
        counter.inc_by(u64::try_from(dispatched.items).unwrap_or(u64::MAX));
        dispatched.outcome
    }
}

impl Refused {
    /// The counters of a transport. They bear no signal, since a refused request may not have had one.
    pub(super) fn new(receiver: &str, transport: &'static str, metrics: &Metrics) -> Self {
        Self { metrics: metrics.receiver(receiver, transport, Signal::Traces) }
    }

    /// Begins a request.
    pub(super) const fn watch(&self) -> Unanswered<'_> {
        Unanswered { refused: Some(self) }
    }
}

impl Unanswered<'_> {
    /// The answer is a success.
    pub(super) fn accepted(mut self) {
        self.refused = None;
    }

    /// The answer is a failure.
    pub(super) fn refused(mut self, reason: Code) {
        if let Some(refused) = self.refused.take() {
            refused.metrics.refused_request(reason);
        }
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(refused) = self.refused.take() {
            refused.metrics.refused_request(Code::Cancelled);
        }
    }
}

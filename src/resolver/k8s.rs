//! `resolver.k8s`: the endpoints of a Kubernetes Service, followed through its EndpointSlices.
//!
//! Stage: resolver. [`slices`] is what they mean (pure), [`watch`] the task that follows them, [`client`] the way to the API server,
//! [`failure`] what is said when there is none.
//!
//! Needs `list` and `watch` for `endpointslices` in the namespace of the Service, and nothing else.

mod client;
mod failure;
mod slices;
mod watch;

#[cfg(test)]
mod tests;

use super::source::Publisher;
use crate::model::settings::K8s;

/// Follows a Service until nobody listens any more. Never blocks the start, and never ends because it has no answer.
pub(super) async fn follow(settings: K8s, publisher: Publisher) {
    let place = client::Place::new(settings.kubeconfig.as_deref());
    watch::follow(settings, place, publisher).await;
}

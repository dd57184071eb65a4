//! `resolver.static`: a list that never changes.
//!
//! Stage: resolver.

use std::sync::Arc;

use super::EndpointSet;
use crate::model::Endpoint;

/// The list as an endpoint set: texts as written, sorted bytewise.
pub(super) fn resolve(hostnames: &[Arc<str>]) -> EndpointSet {
    let mut set: EndpointSet = hostnames.iter().map(|hostname| Endpoint::new(hostname)).collect();
    set.sort_by(|left, right| left.identity().cmp(right.identity()));
    set
}

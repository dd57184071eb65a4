//! `resolver.static`: a list that never changes.
//!
//! Stage: resolver. A host name in the list is one endpoint, whatever it resolves to: the client resolves it for every connection that it
//! makes (`net/dial`). A connection that works is kept when the name moves to another address, as grpc-go keeps it: whoever is behind
//! it still answers, the key's owner is the name, and an address that is really gone ends the connection.

use std::sync::Arc;

use super::{EndpointSet, source::sorted};
use crate::model::Endpoint;

/// The list as an endpoint set: texts as written, sorted bytewise.
pub(super) fn resolve(hostnames: &[Arc<str>]) -> EndpointSet {
    sorted(hostnames.iter().map(|hostname| Endpoint::new(hostname)).collect())
}

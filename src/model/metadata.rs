//! What is kept of a client's headers: the values that some exporter sends on.
//!
//! Stage: vocabulary. Empty for nearly every request, and then costs nothing.

use std::sync::Arc;

/// Names in lower case with their values, in the order in which the exporters asked for them. Cheap to clone; parts
/// with equal metadata may share a request, others may not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Metadata(Option<Arc<[(Arc<str>, Arc<[u8]>)]>>);

impl Metadata {
    /// Keeps these pairs; a name may come more than once.
    pub fn new(pairs: Vec<(Arc<str>, Arc<[u8]>)>) -> Self {
        Self((!pairs.is_empty()).then(|| pairs.into()))
    }

    /// The pairs.
    pub fn pairs(&self) -> &[(Arc<str>, Arc<[u8]>)] {
        self.0.as_deref().unwrap_or_default()
    }

    /// Whether nothing is kept.
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The values of a name, in the order of the request.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.pairs().iter().filter(move |(key, _)| &**key == name).map(|(_, value)| &**value)
    }
}

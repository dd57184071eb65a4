//! What is kept of a client's request besides its body: the headers that some exporter sends on, and who sent it.
//!
//! Stage: vocabulary. There are no headers for nearly every request, and then they cost nothing.

use std::{
    hash::{Hash, Hasher},
    net::IpAddr,
    sync::Arc,
};

/// Names in lower case with their values, in the order in which the exporters asked for them. Cheap to clone; parts
/// with equal metadata may share a request, others may not. Who sent it is for the log only, and makes no difference.
#[derive(Clone, Debug, Default)]
pub struct Metadata {
    pairs: Option<Arc<[Pair]>>,
    client: Option<IpAddr>,
}

/// A name in lower case and one value.
type Pair = (Arc<str>, Arc<[u8]>);

impl Metadata {
    /// Keeps these pairs; a name may come more than once.
    pub fn new(pairs: Vec<Pair>) -> Self {
        Self { pairs: (!pairs.is_empty()).then(|| pairs.into()), client: None }
    }

    /// The same, and who sent it.
    #[must_use]
    pub fn from_client(self, client: Option<IpAddr>) -> Self {
        Self { client, ..self }
    }

    /// Who sent it, if it came over TCP and not from disk.
    pub const fn client(&self) -> Option<IpAddr> {
        self.client
    }

    /// The pairs.
    pub fn pairs(&self) -> &[Pair] {
        self.pairs.as_deref().unwrap_or_default()
    }

    /// Whether nothing is kept.
    pub const fn is_empty(&self) -> bool {
        self.pairs.is_none()
    }

    /// What is left of it for somebody who asks for these names only. Costs nothing if that is everything or nothing.
    #[must_use]
    pub fn only(&self, names: &[Arc<str>]) -> Self {
        let is_asked_for = |(name, _): &&Pair| names.contains(name);
        match self.pairs().iter().filter(is_asked_for).count() {
            0 => Self { pairs: None, client: self.client },
            kept if kept == self.pairs().len() => self.clone(),
            _ => Self::new(self.pairs().iter().filter(is_asked_for).cloned().collect())
                .from_client(self.client),
        }
    }

    /// The values of a name, in the order of the request.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.pairs().iter().filter(move |(key, _)| &**key == name).map(|(_, value)| &**value)
    }
}

impl PartialEq for Metadata {
    fn eq(&self, other: &Self) -> bool {
        self.pairs() == other.pairs()
    }
}

impl Eq for Metadata {}

impl Hash for Metadata {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.pairs().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(pairs: &[(&str, &str)]) -> Metadata {
        Metadata::new(pairs.iter().map(|(name, value)| ((*name).into(), value.as_bytes().into())).collect())
    }

    #[track_caller]
    fn check(names: &[&str], expect: &[(&str, &str)]) {
        let all = metadata(&[("tenant", "a"), ("zone", "z"), ("tenant", "b")]);
        let names: Vec<Arc<str>> = names.iter().copied().map(Arc::from).collect();
        assert_eq!(all.only(&names), metadata(expect));
    }

    // Scenario: exporters ask for some of the kept names, all of them, none, and one that is not there.
    // Guarantees: each gets its own, all values in order, so that a header of another exporter does not part its data.
    #[test]
    fn each_exporter_gets_its_own() {
        check(&["tenant"], &[("tenant", "a"), ("tenant", "b")]);
        check(&["zone", "missing"], &[("zone", "z")]);
        check(&["zone", "tenant"], &[("tenant", "a"), ("zone", "z"), ("tenant", "b")]);
        check(&[], &[]);
        assert!(metadata(&[]).only(&["tenant".into()]).is_empty());
    }
}

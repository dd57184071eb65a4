//! What the pages show of resolvers and rings, and where it comes from.
//!
//! Stage: admin. This stage knows neither resolvers nor routers: the composition root gives [`Views`] two functions that look at
//! them. Both may run on a probe's connection, so they wait for nothing; the one for resolvers does not walk their members.
//!
//! The fields of the types are those of the JSON, in this order, and every one is always there.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use serde::Serialize;

/// The most members that a page lists of one ring.
pub const MEMBERS_MAX: usize = 10_000;

/// How the resolver of one exporter stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResolverView {
    /// The exporter's id.
    pub exporter: String,
    /// Its kind: `static`, `file`, `dns`, `k8s` or `aws`.
    pub resolver: &'static str,
    /// What is resolved, for people.
    pub target: String,
    /// In a word.
    pub state: &'static str,
    /// Endpoints in force; `None` before the first answer.
    pub endpoints: Option<usize>,
    /// Seconds since the last good answer.
    pub age_seconds: Option<f64>,
    /// Why later questions had no answer.
    pub error: Option<ErrorView>,
    /// Why it gives no backend, if it gives none. Not a field of the JSON.
    #[serde(skip)]
    pub missing: Option<String>,
}

/// Why a resolver has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorView {
    /// The value of the metric label `code`.
    pub code: &'static str,
    /// For people.
    pub message: String,
}

/// The ring of one exporter for one signal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RingView {
    /// The exporter's id.
    pub exporter: String,
    /// `traces`, `metrics` or `logs`.
    pub signal: &'static str,
    /// Which of the Collector's rings it is: `G1`, `G2` or `G3`.
    pub ring_generation: &'static str,
    /// Number of the routing table, counted from 0, the empty one: changes of the members and of what is skipped.
    pub table_generation: u64,
    /// Of the members: 16 hex digits, equal on replicas that agree.
    pub digest: String,
    /// Members, duplicates included.
    pub size: usize,
    /// Those of them whose keys are elsewhere because they fail.
    pub skipped: usize,
    /// The first [`MEMBERS_MAX`] of them, in the order of the ring's slots.
    pub members: Vec<MemberView>,
}

/// One member of a ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberView {
    /// What is hashed.
    pub identity: String,
    /// What is dialled.
    pub address: String,
    /// `active`, `suspect`, `skipped` or `draining`.
    pub state: &'static str,
}

/// Looks at all resolvers, in the order of their exporters.
pub type LookAtResolvers = Box<dyn Fn() -> Vec<ResolverView> + Send + Sync>;

/// Looks at all rings, in the order of exporters and signals.
pub type LookAtRings = Box<dyn Fn() -> Vec<RingView> + Send + Sync>;

/// Where the pages look. Empty until the parts are built; clones share it.
#[derive(Clone, Default)]
pub struct Views {
    looks: Arc<OnceLock<(LookAtResolvers, LookAtRings)>>,
}

impl fmt::Debug for Views {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Views").field("built", &self.looks.get().is_some()).finish()
    }
}

impl Views {
    /// Nothing to see yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything is built: look through these from now on. Only the first call counts.
    pub fn open(&self, resolvers: LookAtResolvers, rings: LookAtRings) {
        drop(self.looks.set((resolvers, rings)));
    }

    pub(super) fn resolvers(&self) -> Vec<ResolverView> {
        self.looks.get().map_or_else(Vec::new, |(resolvers, _)| resolvers())
    }

    pub(super) fn rings(&self) -> Vec<RingView> {
        self.looks.get().map_or_else(Vec::new, |(_, rings)| rings())
    }
}

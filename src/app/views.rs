//! What the admin pages see: resolvers and rings, as the pages' own types.
//!
//! Stage: composition, which alone knows both sides.

use std::sync::{Arc, Weak};

use tokio::time::Instant;

use super::build::{Pooled, Routers};
use crate::{
    admin::{ErrorView, MEMBERS_MAX, MemberView, ResolverView, RingView, Views},
    model::settings::{Destination, Settings},
    resolver::{Snapshot, Status},
    router::Router,
};

/// Lets the pages look at everything that has been built.
pub(super) fn open(views: &Views, settings: &Settings, routers: &[Routers], resolvers: &[Pooled]) {
    let resolvers: Vec<_> =
        resolvers.iter().map(|pooled| (Arc::clone(&pooled.exporter), pooled.resolver.status())).collect();
    let pools = settings.exporters.iter().zip(routers).filter(|(exporter, _)| {
        // An exporter with one backend has a ring in name only.
        matches!(exporter.destination, Destination::Pool { .. })
    });
    // The pages outlive the routers, which close their stores when they are dropped.
    let rings: Vec<Weak<Router>> =
        pools.flat_map(|(_, routers)| routers.iter().flatten().map(Arc::downgrade)).collect();
    views.open(
        Box::new(move || resolvers.iter().map(|(exporter, status)| resolver(exporter, status)).collect()),
        Box::new(move || rings.iter().filter_map(Weak::upgrade).map(|router| ring(&router)).collect()),
    );
}

fn resolver(exporter: &str, status: &Status) -> ResolverView {
    let Snapshot { state, endpoints, age, failure } = status.snapshot();
    ResolverView {
        exporter: exporter.to_string(),
        resolver: status.kind(),
        target: status.target().to_owned(),
        state: state.as_str(),
        endpoints,
        // Milliseconds are enough for people.
        age_seconds: age.map(|age| age.as_millis() as f64 / 1000.0),
        error: failure.map(|(code, message)| ErrorView { code, message }),
        missing: (endpoints.unwrap_or(0) == 0).then(|| status.reason()),
    }
}

fn ring(router: &Router) -> RingView {
    // Of one table throughout, which is held for the time of one page.
    let (table, now) = (router.table(), Instant::now());
    let members = table.members.endpoints.iter().zip(&table.backends).take(MEMBERS_MAX);
    let members = members.map(|(endpoint, backend)| MemberView {
        identity: endpoint.identity().to_owned(),
        address: endpoint.label().to_owned(),
        state: backend.standing(now),
    });
    RingView {
        exporter: router.id().to_owned(),
        signal: router.signal().as_str(),
        ring_generation: router.ring_generation().as_str(),
        table_generation: table.generation,
        digest: table.members.digest.to_string(),
        size: table.members.endpoints.len(),
        skipped: table.skipped,
        members: members.collect(),
    }
}

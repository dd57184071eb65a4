//! Where the endpoints of an exporter come from.
//!
//! Stage: resolver, beside the data path. A *source* (one file for each kind) asks and answers; `membership` decides when an
//! answer becomes the set in force; `status` says how things stand. Publishes complete, sorted endpoint sets; knows nothing of
//! rings or backends: `app` joins the two.
//!
//! Nothing here blocks or ends the start: a source that cannot answer says why and asks again. A failure keeps the last good
//! set, and an empty answer never empties the ring at once.

#[cfg(feature = "aws")]
mod cloud_map;
mod dns;
mod file;
mod fixed;
mod k8s;
mod membership;
mod pace;
mod source;
mod status;

use tokio::sync::watch;

use crate::{
    model::{Endpoint, settings},
    tasks::Tasks,
    telemetry::ResolverMetrics,
};
use file::File;
use membership::Keeping;
use source::Publisher;
pub use status::{Snapshot, State, Status};

/// One resolution: every endpoint, sorted bytewise by identity, duplicates kept as the Collector keeps them.
pub type EndpointSet = Vec<Endpoint>;

/// A running source of endpoint sets.
#[derive(Debug)]
pub struct Resolver {
    sets: watch::Receiver<Option<EndpointSet>>,
    status: Status,
}

impl Resolver {
    /// Starts resolving. A set that is known at once is there when this returns. Tasks run in `tasks` and end when nobody
    /// listens any more.
    pub fn start(
        settings: &settings::Resolver,
        membership: &settings::Membership,
        metrics: &ResolverMetrics,
        tasks: &Tasks,
    ) -> Self {
        let status = Status::new(settings.as_str(), target(settings));
        let (publisher, answers) = Publisher::new(status.clone(), metrics.clone());
        match settings {
            settings::Resolver::Static { hostnames } => {
                publisher.answer(fixed::resolve(hostnames));
            }
            settings::Resolver::File { path, interval } => {
                tasks.spawn("resolver", File::open(path, *interval, publisher).follow());
            }
            settings::Resolver::Dns(dns) => {
                let host = dns::Host::new(dns.timeout);
                tasks.spawn("resolver", dns::Source::new(dns.clone(), publisher, host).follow());
            }
            settings::Resolver::K8s(k8s) => {
                tasks.spawn("resolver", k8s::follow(k8s.clone(), publisher));
            }
            #[cfg(feature = "aws")]
            settings::Resolver::CloudMap(map) => {
                tasks.spawn("resolver", cloud_map::CloudMap::new(map.clone(), publisher).follow());
            }
            // Refused with the configuration.
            #[cfg(not(feature = "aws"))]
            settings::Resolver::CloudMap(_) => {}
        }
        let (sender, sets) = watch::channel(None);
        let mut keeping = Keeping::new(*membership, status.clone(), metrics.clone(), answers, sender);
        keeping.look();
        tasks.spawn("membership", keeping.run());
        Self { sets, status }
    }

    /// The latest endpoint set and every later one; `None` before the first good resolution.
    pub fn sets(&self) -> watch::Receiver<Option<EndpointSet>> {
        self.sets.clone()
    }

    /// How it stands, now and later.
    pub fn status(&self) -> Status {
        self.status.clone()
    }
}

/// What is resolved, for people: the words that follow "resolver".
fn target(settings: &settings::Resolver) -> String {
    match settings {
        settings::Resolver::Static { hostnames } => format!("{} hostnames", hostnames.len()),
        settings::Resolver::File { path, .. } => format!("file {}", path.display()),
        settings::Resolver::Dns(dns) => format!("name {}", dns.hostname),
        settings::Resolver::K8s(k8s) => match &k8s.namespace {
            Some(namespace) => format!("service {}.{namespace}", k8s.service),
            None => format!("service {}", k8s.service),
        },
        settings::Resolver::CloudMap(map) => format!("service {} in {}", map.service_name, map.namespace),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    // Scenario: a static list in any order, with a duplicate.
    // Guarantees: one published set, there at once, sorted, duplicates kept and counted as the Collector counts them.
    #[tokio::test]
    async fn a_static_list_is_published_once() {
        let metrics = Metrics::new().resolver("load_balancing", "static");
        let hostnames = ["b:1", "a:1", "b:1"].map(Into::into).to_vec();
        let settings = settings::Resolver::Static { hostnames };
        let resolver = Resolver::start(&settings, &settings::Membership::NEUTRAL, &metrics, &Tasks::new());
        let set = resolver.sets().borrow().clone().unwrap();
        let identities: Vec<_> = set.iter().map(Endpoint::identity).collect();
        assert_eq!(identities, ["a:1", "b:1", "b:1"]);
        assert_eq!((metrics.backends.get(), metrics.updates.get(), metrics.succeeded.get()), (3, 1, 1));
        assert_eq!(resolver.status().snapshot().state, State::Current);
    }
}

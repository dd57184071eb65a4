//! Where the endpoints of an exporter come from.
//!
//! Stage: resolver, beside the data path. Publishes complete, sorted endpoint sets; knows nothing of rings or backends:
//! `app` joins the two. A resolver that cannot answer publishes nothing, so the last good set stays in force.

mod file;
mod fixed;

use tokio::sync::watch;

use crate::{
    model::{Endpoint, settings},
    tasks::Tasks,
    telemetry::ResolverMetrics,
};
use file::File;

/// One resolution: every endpoint, sorted bytewise by identity, duplicates kept as the Collector keeps them.
pub type EndpointSet = Vec<Endpoint>;

/// A running source of endpoint sets.
#[derive(Debug)]
pub struct Resolver {
    sets: watch::Receiver<Option<EndpointSet>>,
}

impl Resolver {
    /// Starts resolving. A set that is known at once is there when this returns. The task, if there is one, runs in `tasks` and
    /// ends when nobody listens any more.
    pub fn start(settings: &settings::Resolver, metrics: &ResolverMetrics, tasks: &Tasks) -> Self {
        let (sender, sets) = watch::channel(None);
        match settings {
            settings::Resolver::Static { hostnames } => {
                publish(&sender, fixed::resolve(hostnames), metrics);
            }
            settings::Resolver::File { path, interval } => {
                tasks.spawn("resolver", File::open(path, *interval, sender, metrics).follow());
            }
        }
        Self { sets }
    }

    /// The latest endpoint set and every later one; `None` before the first good resolution.
    pub fn sets(&self) -> watch::Receiver<Option<EndpointSet>> {
        self.sets.clone()
    }
}

/// Counts a good resolution and publishes its set if it differs from the last one; says whether it did.
fn publish(sender: &watch::Sender<Option<EndpointSet>>, set: EndpointSet, metrics: &ResolverMetrics) -> bool {
    metrics.succeeded.inc();
    sender.send_if_modified(|current| {
        let changed = current.as_ref() != Some(&set);
        if changed {
            metrics.backends.set(i64::try_from(set.len()).unwrap_or(i64::MAX));
            metrics.updates.inc();
            *current = Some(set);
        }
        changed
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    // Scenario: a static list in any order, with a duplicate.
    // Guarantees: one published set, sorted, duplicates kept and counted as the Collector counts them.
    #[test]
    fn a_static_list_is_published_once() {
        let metrics = Metrics::new().resolver("static");
        let hostnames = ["b:1", "a:1", "b:1"].map(Into::into).to_vec();
        let resolver = Resolver::start(&settings::Resolver::Static { hostnames }, &metrics, &Tasks::new());
        let set = resolver.sets().borrow().clone().unwrap();
        let identities: Vec<_> = set.iter().map(Endpoint::identity).collect();
        assert_eq!(identities, ["a:1", "b:1", "b:1"]);
        assert_eq!((metrics.backends.get(), metrics.updates.get(), metrics.succeeded.get()), (3, 1, 1));
        let (sender, _sets) = watch::channel(Some(set.clone()));
        assert!(!publish(&sender, set, &metrics));
        assert_eq!((metrics.updates.get(), metrics.succeeded.get()), (1, 2));
    }
}

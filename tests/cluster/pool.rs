//! A Service whose pods are sinks: each pod has an address, and a sink listens there.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::delivery::sinks::{PORT, Sink};
use crate::delivery::tally::Tally;
use crate::pods::{Namespace, Pod};
use crate::poll;

/// How long controllers may take to be back after the API server is.
const CONTROLLERS: Duration = Duration::from_secs(150);

/// The pods of one Service.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) namespace: Namespace,
    pub(crate) service: String,
    /// Those that are meant to be in the ring, oldest first.
    pub(crate) pods: Vec<Backend>,
    /// All sinks there ever were.
    pub(crate) sinks: Vec<Sink>,
    made: usize,
}

/// A pod and its sink.
#[derive(Debug, Clone)]
pub(crate) struct Backend {
    pub(crate) pod: Pod,
    /// Where the sink is in [`Pool::sinks`].
    pub(crate) sink: usize,
}

impl Backend {
    /// The text on the ring.
    pub(crate) fn identity(&self) -> String {
        format!("{}:{PORT}", self.pod.v4)
    }
}

impl Pool {
    /// A Service without pods.
    ///
    /// # Errors
    ///
    /// When the API refuses it.
    pub(crate) async fn create(namespace: &Namespace, service: &str, spec: Value) -> anyhow::Result<Self> {
        namespace.service(service, spec).await?;
        Ok(Self::of(namespace, service))
    }

    /// The pods of a Service that exists, or will.
    pub(crate) fn of(namespace: &Namespace, service: &str) -> Self {
        let (namespace, service) = (namespace.clone(), service.to_owned());
        Self { namespace, service, pods: Vec::new(), sinks: Vec::new(), made: 0 }
    }

    /// Makes this many pods more, all of them ready.
    ///
    /// # Errors
    ///
    /// When the API refuses one.
    pub(crate) async fn grow(&mut self, by: usize) -> anyhow::Result<()> {
        for _ in 0..by {
            let name = format!("{}-{}", self.service, self.made);
            self.add(&name, json!({})).await?;
        }
        Ok(())
    }

    /// Makes one pod more, ready, with what its spec has beyond the usual.
    ///
    /// # Errors
    ///
    /// When the API refuses it.
    pub(crate) async fn add(&mut self, name: &str, spec: Value) -> anyhow::Result<&Backend> {
        let pod = self.namespace.pod(&self.service, name, spec).await?;
        self.sinks.push(listening(pod.v4).await?);
        self.namespace.runs(&pod, true).await?;
        self.made += 1;
        self.pods.push(Backend { pod, sink: self.sinks.len() - 1 });
        self.pods.last().context("no pod")
    }

    /// Ends the last pods until so many are left. Each stops in an orderly way: what it has taken it answers, and nothing more.
    ///
    /// # Errors
    ///
    /// When the API refuses it.
    pub(crate) async fn shrink(&mut self, to: usize) -> anyhow::Result<()> {
        let leave: Vec<Backend> = self.pods.drain(to..).collect();
        for backend in &leave {
            self.namespace.terminate(&backend.pod).await?;
        }
        for backend in &leave {
            self.sinks[backend.sink].close().await?;
            self.namespace.gone(&backend.pod).await?;
        }
        Ok(())
    }

    /// Replaces the oldest pod: it is told to end and stops at once, as most programs do, before the gateway can know; a new one
    /// gets ready after that. `name` is the new one's.
    ///
    /// # Errors
    ///
    /// When the API refuses it.
    pub(crate) async fn replace_oldest(&mut self, name: &str, spec: Value) -> anyhow::Result<()> {
        let old = self.pods.remove(0);
        self.namespace.terminate(&old.pod).await?;
        self.sinks[old.sink].close().await?;
        self.namespace.gone(&old.pod).await?;
        self.add(name, spec).await?;
        Ok(())
    }

    /// What is meant to be on the ring, in the ring's order.
    pub(crate) fn identities(&self) -> Vec<String> {
        let mut identities: Vec<String> = self.pods.iter().map(Backend::identity).collect();
        identities.sort_unstable();
        identities
    }

    /// Waits until the API lists exactly these pods as ready: after an outage the controllers have waits of their own, which
    /// double up to half a minute and more.
    ///
    /// # Errors
    ///
    /// When it does not in time.
    pub(crate) async fn listed(&self) -> anyhow::Result<()> {
        let mut expected: Vec<String> = self.pods.iter().map(|backend| backend.pod.v4.to_string()).collect();
        expected.sort_unstable();
        poll::until("the slices have the pods", CONTROLLERS, async || {
            // The API server may still be starting.
            let Ok(listed) = self.namespace.endpoints(&self.service, "IPv4").await else { return Ok(None) };
            let ready = listed.into_iter().filter(|endpoint| endpoint.ready == Some(true));
            let mut ready: Vec<String> = ready.map(|endpoint| endpoint.address).collect();
            ready.sort_unstable();
            Ok((ready == expected).then_some(()))
        })
        .await
    }

    /// What each sink has received, in the order of [`Pool::sinks`].
    pub(crate) fn tallies(&self) -> Vec<Tally> {
        self.sinks.iter().map(Sink::tally).collect()
    }
}

/// A sink on a pod's address.
///
/// # Errors
///
/// When the port is taken.
pub(crate) async fn listening(address: Ipv4Addr) -> anyhow::Result<Sink> {
    let mut sink = Sink::closed_at(address);
    sink.open().await?;
    Ok(sink)
}

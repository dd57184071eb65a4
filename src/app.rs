//! Composition: makes a running gateway of checked settings, and ends it in order.
//!
//! The only place that knows every stage. Sockets are bound front to back by what a failure costs: the admin listeners
//! first, so that a probe finds somebody who says "starting"; the receivers last, when everything behind them stands.
//!
//! **Stop**, within one deadline: not ready → receivers stop accepting and finish what is in flight (GOAWAY, `Connection:
//! close`) → backends drain their queues → what is left is dropped, counted and logged → the admin listeners close.

mod build;
mod views;

#[cfg(test)]
mod tests;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::future::select_ok;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    admin::{Admin, Health, State, Views},
    admission::{self, Budget},
    backend,
    model::{
        Code,
        settings::{Memory, Settings},
    },
    net::listen::{Address, BindError},
    receiver::Receiver,
    store::OpenError,
    tasks::Tasks,
    telemetry::Metrics,
};

use build::Pooled;

/// Stands for "no limit": longer than any drain, short enough for every clock.
const NO_LIMIT: Duration = Duration::from_secs(30 * 24 * 3600);

/// Share of the shutdown deadline that clients may take to finish their requests; the rest is for the queues.
const RECEIVERS_SHARE: u32 = 2;

/// After the deadline every task ends by itself; this bounds the wait for one that does not.
const ABORT_GRACE: Duration = Duration::from_secs(2);

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A socket could not be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A persistent queue could not be opened.
    #[error("exporter {exporter}: persistent queue of {storage}: {error}")]
    Store {
        /// The exporter's id.
        exporter: Arc<str>,
        /// The extension's id.
        storage: Arc<str>,
        /// What is wrong.
        #[source]
        error: OpenError,
    },
    /// A configured header cannot be sent.
    #[error("exporter {exporter}: header {name:?} cannot be sent over HTTP")]
    Header {
        /// The exporter's id.
        exporter: Arc<str>,
        /// The header's name; its value may be a secret.
        name: Arc<str>,
    },
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    settings: Settings,
    metrics: Metrics,
    health: Health,
    /// Of each receiver: gRPC and HTTP.
    addresses: Vec<(Option<Address>, Option<Address>)>,
    health_address: Option<SocketAddr>,
    metrics_addresses: Vec<SocketAddr>,
    receivers: Group,
    backends: Tasks,
    backends_stop: backend::Stop,
    admin: Group,
}

/// Tasks with the signal that ends them.
#[derive(Debug)]
struct Group {
    stop: CancellationToken,
    handles: Vec<JoinHandle<()>>,
}

impl Gateway {
    /// Binds every socket and starts every part. When this returns, clients can connect; the gateway is ready as soon as its
    /// resolvers have answered, which those of lists have.
    ///
    /// # Errors
    ///
    /// [`StartError`]; everything that was started has been told to stop then.
    pub async fn start(settings: Settings, metrics: Metrics) -> Result<Self, StartError> {
        let (tasks, backends, health, views) = (Tasks::new(), Tasks::new(), Health::new(), Views::new());
        let admin = Admin::bind(
            settings.health_check.as_ref(),
            &settings.telemetry.metrics,
            &health,
            &views,
            &metrics,
        )
        .await?;
        let health_address = admin.health_address();
        let metrics_addresses = admin.metrics_addresses().to_vec();

        let backends_stop = backend::Stop::default();
        let budget = match settings.memory {
            Memory::Bytes(bytes) => bytes,
            Memory::Percent(share) => (admission::memory() as f64 * share / 100.0) as usize,
        };
        let budget = Budget::reporting(budget, metrics.memory());

        let common =
            build::Common { metrics: &metrics, budget: &budget, tasks: &backends, stop: &backends_stop };
        let (routers, resolvers) = build::routers(&settings, &common).await?;
        views::open(&views, &settings, &routers, &resolvers);
        let (mut receivers, bodies) = (Vec::new(), budget.account());
        for (index, receiver) in settings.receivers.iter().enumerate() {
            let routes = build::routes(&settings, index, &routers);
            match Receiver::bind(receiver, &routes, &metrics, &bodies).await {
                Ok(receiver) => receivers.push(receiver),
                Err(error) => {
                    backends_stop.abort.cancel();
                    return Err(error.into());
                }
            }
        }

        let admin_stop = CancellationToken::new();
        let admin =
            Group { handles: vec![tasks.spawn("admin", admin.serve(admin_stop.clone()))], stop: admin_stop };
        let addresses = receivers
            .iter()
            .map(|receiver| (receiver.grpc_address().cloned(), receiver.http_address().cloned()))
            .collect();
        let drain = settings.shutdown.timeout.map_or(NO_LIMIT, |timeout| timeout / RECEIVERS_SHARE);
        let receivers_stop = CancellationToken::new();
        let receivers = Group {
            handles: receivers
                .into_iter()
                .map(|receiver| tasks.spawn("receiver", receiver.serve(receivers_stop.clone(), drain)))
                .collect(),
            stop: receivers_stop,
        };
        match has_resolved(&resolvers) {
            true => health.ready(SystemTime::now()),
            false => {
                let drain = backends_stop.drain.clone();
                drop(tasks.spawn("readiness", resolution(resolvers, health.clone(), drain)));
            }
        }
        let gateway = Self {
            settings,
            metrics,
            health,
            addresses,
            health_address,
            metrics_addresses,
            receivers,
            backends,
            backends_stop,
            admin,
        };
        gateway.announce();
        Ok(gateway)
    }

    /// Where the receivers listen: for each, gRPC and HTTP.
    pub fn addresses(&self) -> &[(Option<Address>, Option<Address>)] {
        &self.addresses
    }

    /// Where the health check listens.
    pub const fn health_address(&self) -> Option<SocketAddr> {
        self.health_address
    }

    /// Where metrics are served.
    pub fn metrics_addresses(&self) -> &[SocketAddr] {
        &self.metrics_addresses
    }

    /// The gateway's own metrics.
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Ends in order, within the shutdown deadline. Returns the items that were dropped because it passed.
    pub async fn stop(self) -> u64 {
        self.health.stopping();
        tracing::info!("starting shutdown");
        let deadline = tokio::time::Instant::now() + self.settings.shutdown.timeout.unwrap_or(NO_LIMIT);
        let before = self.metrics.dropped_items(Code::ShuttingDown);

        self.receivers.end().await;
        self.backends_stop.drain.cancel();
        if tokio::time::timeout_at(deadline, self.backends.ended()).await.is_err() {
            let queued_items = self.metrics.queued_items();
            tracing::warn!(queued_items, "shutdown deadline passed, what is left is dropped");
            self.backends_stop.abort.cancel();
            if tokio::time::timeout(ABORT_GRACE, self.backends.ended()).await.is_err() {
                tracing::error!(
                    running = self.backends.running(),
                    "tasks did not end after the shutdown deadline"
                );
            }
        }
        let dropped = self.metrics.dropped_items(Code::ShuttingDown) - before;
        self.admin.end().await;
        tracing::info!(dropped_items = dropped, "shutdown complete");
        dropped
    }

    fn announce(&self) {
        for (receiver, (grpc, http)) in self.settings.receivers.iter().zip(&self.addresses) {
            let show = |address: &Option<Address>| address.as_ref().map(Address::to_string);
            tracing::info!(receiver = &*receiver.id, grpc = show(grpc), http = show(http), "receiving OTLP");
        }
        for address in &self.metrics_addresses {
            tracing::info!(%address, "serving metrics");
        }
        if let Some(address) = self.health_address {
            tracing::info!(%address, "serving the health check");
        }
        match self.health.state() {
            State::Ready { .. } => tracing::info!("everything is ready"),
            State::Starting | State::Stopping => {
                tracing::info!("not ready: waiting for the first answer of a resolver");
            }
        }
    }
}

/// Whether data can go anywhere: every resolver has answered, and some pool, if there is one, has a member.
fn has_resolved(resolvers: &[Pooled]) -> bool {
    let sets: Vec<Option<usize>> =
        resolvers.iter().map(|pooled| pooled.resolver.sets().borrow().as_ref().map(Vec::len)).collect();
    sets.iter().all(Option::is_some) && (sets.is_empty() || sets.iter().any(|set| *set > Some(0)))
}

/// Waits for that. What is lost later does not make a gateway unready: the last good set stays in force, and sending clients
/// away from every replica at once would help nobody.
async fn resolution(resolvers: Vec<Pooled>, health: Health, drain: CancellationToken) {
    let mut sets: Vec<_> = resolvers.iter().map(|pooled| pooled.resolver.sets()).collect();
    while !has_resolved(&resolvers) {
        let changes = sets.iter_mut().map(|sets| Box::pin(sets.changed()));
        tokio::select! {
            () = drain.cancelled() => return,
            // A resolver that has ended answers no more; the others may.
            changed = select_ok(changes) => if changed.is_err() { return },
        }
    }
    health.ready(SystemTime::now());
    let exporters: Vec<&str> = resolvers.iter().map(|pooled| &*pooled.exporter).collect();
    tracing::info!(?exporters, "everything is ready");
}

impl Group {
    async fn end(self) {
        self.stop.cancel();
        for handle in self.handles {
            // A task that panicked has been reported by the panic hook; the others still end.
            if let Err(error) = handle.await {
                tracing::error!(%error, "a task did not end by itself");
            }
        }
    }
}

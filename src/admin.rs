//! What operators and probes look at: health and metrics, on listeners of their own.
//!
//! Stage: admin; beside the data path, so that a probe is answered while receivers drain. Reads [`Health`] and
//! [`Metrics`]; changes nothing.
//!
//! | listener | path | answer |
//! |---|---|---|
//! | `extensions.health_check` | `path` (`/` and everything below by default) | the Collector's: 200 while ready, else 503 |
//! | | `/livez` | 200 while the process works, also while it drains |
//! | | `/readyz` | 200 while ready, else 503; as JSON what is waited for and how every resolver stands |
//! | | `/ringz` | as JSON every ring: digest, and each member with its state |
//! | each reader of `service.telemetry.metrics` | `/metrics` | Prometheus text format 0.0.4 |
//!
//! `/livez`, `/readyz` and `/ringz` are additions: the Collector has one path for both probes, and a liveness probe on it
//! ends a long drain before its time. A gateway that was ready stays so until it stops, whatever its resolvers say:
//! the last good set stays in force, and sending clients away from every replica at once would help nobody.
//!
//! ```json
//! {"status":"not ready","reason":"load_balancing: resolver k8s, service samplers.observability: no answer yet, for 12 s: …",
//!  "resolvers":[{"exporter":"load_balancing","resolver":"k8s","target":"service samplers.observability","state":"waiting",
//!                "endpoints":null,"age_seconds":null,"error":{"code":"forbidden","message":"…"}}]}
//! ```
//! ```json
//! {"rings":[{"exporter":"load_balancing","signal":"traces","ring_generation":"G3","table_generation":4,
//!            "digest":"2a2fee8bd78ddfb1","size":3,"skipped":1,
//!            "members":[{"identity":"10.0.0.1:4317","address":"10.0.0.1:4317","state":"active"}, …]}]}
//! ```
//!
//! Every field is always there. `reason` is empty while ready. `state` of a resolver: `waiting` (never answered), `current`, `stale` (later
//! questions failed, `error` says why), `held` (it says that there is nothing, the last set is still used) or `empty`.
//! `age_seconds` is the time since its last good answer. A ring lists its first 10,000 members; `size` counts all.
//!
//! Every connection serves one request and lives for a limited time.

mod health;
mod metrics;
mod process;
mod server;
mod status;
mod views;

#[cfg(test)]
mod tests;

use std::{net::SocketAddr, sync::Arc};

use futures_util::future::join_all;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::{health::HealthPages, metrics::MetricsPages, server::Pages};
pub use self::{
    health::{Health, State},
    views::{
        ErrorView, LookAtResolvers, LookAtRings, MEMBERS_MAX, MemberView, ResolverView, RingView, Views,
    },
};
use crate::{
    model::settings,
    net::listen::{self, BindError},
    telemetry::Metrics,
};

/// The bound listeners. Bind before anything else: a probe that is refused says less than one that says "starting".
#[derive(Debug)]
pub struct Admin {
    listeners: Vec<Bound>,
    metrics_addresses: Vec<SocketAddr>,
    health_address: Option<SocketAddr>,
}

#[derive(Debug)]
struct Bound {
    listener: TcpListener,
    pages: Arc<Pages>,
}

impl Admin {
    /// Binds the health check, if there is one, and every metrics reader. Port 0 asks for a free port.
    ///
    /// # Errors
    ///
    /// [`BindError`] of the first address that cannot be bound; nothing stays bound then.
    pub async fn bind(
        health_check: Option<&settings::HealthCheck>,
        metrics_readers: &[Arc<str>],
        health: &Health,
        views: &Views,
        metrics: &Metrics,
    ) -> Result<Self, BindError> {
        let mut admin = Self { listeners: Vec::new(), metrics_addresses: Vec::new(), health_address: None };
        for endpoint in metrics_readers {
            let pages = Pages::Metrics(MetricsPages::new(metrics.clone(), health.started()));
            let address = admin.add(endpoint, pages).await?;
            admin.metrics_addresses.push(address);
        }
        if let Some(settings) = health_check {
            let pages = Pages::Health(HealthPages::new(settings, health.clone(), views.clone()));
            admin.health_address = Some(admin.add(&settings.endpoint, pages).await?);
        }
        Ok(admin)
    }

    async fn add(&mut self, endpoint: &str, pages: Pages) -> Result<SocketAddr, BindError> {
        let listener = listen::bind(endpoint).await?;
        let address =
            listener.local_addr().map_err(|source| BindError { endpoint: endpoint.to_owned(), source })?;
        self.listeners.push(Bound { listener, pages: Arc::new(pages) });
        Ok(address)
    }

    /// Where the health check is served.
    pub const fn health_address(&self) -> Option<SocketAddr> {
        self.health_address
    }

    /// Where metrics are served, in the order of the readers.
    pub fn metrics_addresses(&self) -> &[SocketAddr] {
        &self.metrics_addresses
    }

    /// Serves until `stop`, then closes everything at once. Returns when every task that it started has ended.
    ///
    /// To answer probes during a drain, stop this after the drain.
    pub async fn serve(self, stop: CancellationToken) {
        let serving =
            self.listeners.into_iter().map(|bound| server::serve(bound.listener, bound.pages, &stop));
        join_all(serving).await;
        // Without listeners there is still the promise to serve until the stop.
        stop.cancelled().await;
    }
}

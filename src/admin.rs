//! What operators and probes look at: health and metrics, on listeners of their own.
//!
//! Stage: admin; beside the data path, so that a probe is answered while receivers drain. Reads [`Health`] and
//! [`Metrics`]; changes nothing.
//!
//! | listener | path | answer |
//! |---|---|---|
//! | `extensions.health_check` | `path` (`/` and everything below by default) | the Collector's: 200 while ready, else 503 |
//! | | `/livez` | 200 while the process works, also while it drains |
//! | | `/readyz` | 200 while ready, else 503 |
//! | each reader of `service.telemetry.metrics` | `/metrics` | Prometheus text format 0.0.4 |
//!
//! `/livez` and `/readyz` are additions: the Collector has one path for both probes, and a liveness probe on it ends
//! a long drain before its time.
//!
//! Every connection serves one request and lives for a limited time.

mod health;
mod metrics;
mod process;
mod server;

#[cfg(test)]
mod tests;

use std::{net::SocketAddr, sync::Arc};

use futures_util::future::join_all;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use self::health::{Health, State};
use self::{health::HealthPages, metrics::MetricsPages, server::Pages};
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
        metrics: &Metrics,
    ) -> Result<Self, BindError> {
        let mut admin = Self { listeners: Vec::new(), metrics_addresses: Vec::new(), health_address: None };
        for endpoint in metrics_readers {
            let pages = Pages::Metrics(MetricsPages::new(metrics.clone(), health.started()));
            let address = admin.add(endpoint, pages).await?;
            admin.metrics_addresses.push(address);
        }
        if let Some(settings) = health_check {
            let pages = Pages::Health(HealthPages::new(settings, health.clone()));
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

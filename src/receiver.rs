//! OTLP in, over gRPC and HTTP: from an accepted socket to the router's answer.
//!
//! Stage: receiver, the first one; its only neighbour is [`Dispatcher`]. Owns the sockets that clients connect to,
//! the limits of what a client may make the gateway hold, and what a client is told. Knows nothing of OTLP's
//! content: a body is bytes, and whether they are valid is the router's word.
//!
//! | file | what |
//! |---|---|
//! | `grpc` | the Export methods over HTTP/2 with prior knowledge |
//! | `http` | `POST /v1/<signal>`, protobuf or JSON, over HTTP/1.1 |
//! | `reply` | every status code and text that a client can get |
//! | `cors` | which web pages may send |
//! | `body` | a body into one contiguous buffer, bounded in size and in silence |
//! | `memory` | what a body takes of the memory budget |
//! | `inflate` | names of encodings, limits of what they expand to |
//! | `route` | which dispatcher serves a signal, and its counters |
//! | `forwarded` | what is kept of a request's headers |
//! | `connection` | the life of one connection: start, drain, end |
//! | `ageing` | idle and old connections |
//! | `socket` | large reads in front of HTTP/2 |
//!
//! **Stopping.** Listeners close first, so that new connections are refused; HTTP/2 connections get a GOAWAY and
//! HTTP/1.1 ones a `Connection: close`; requests in flight are answered until the drain deadline; what is left then
//! is cut. See [`Receiver::serve`].
//!
//! **Not here yet:** TLS, authentication, a limit on connections. What a connection takes before a body is read is bounded for
//! each only: see `grpc` and `http`.

mod ageing;
mod body;
mod connection;
mod cors;
mod forwarded;
mod grpc;
mod http;
mod inflate;
mod memory;
mod reply;
mod route;
mod socket;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use self::connection::Life;
use crate::{
    admission::Account,
    model::{Signal, settings},
    net::listen::{Address, BindError, Listener, Stream},
    router::Dispatcher,
    tasks::Tasks,
    telemetry::Metrics,
};

/// Which dispatcher serves each signal of a receiver. A signal without one is not served: UNIMPLEMENTED over gRPC,
/// 404 over HTTP, as a signal that no pipeline names is in the Collector.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    traces: Option<Dispatcher>,
    metrics: Option<Dispatcher>,
    logs: Option<Dispatcher>,
}

/// The bound sockets of one `otlp` receiver. Clients can connect from here on; they are served by
/// [`serve`](Self::serve).
#[derive(Debug)]
pub struct Receiver {
    id: Arc<str>,
    grpc: Option<Bound<grpc::Server>>,
    http: Option<Bound<http::Server>>,
}

/// One listener and what serves its connections.
#[derive(Debug)]
struct Bound<S> {
    listener: Listener,
    address: Address,
    server: Arc<S>,
}

// === impl Routes ===

impl Routes {
    /// No signal is served.
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves `signal` with `dispatcher`, in place of an earlier one.
    #[must_use]
    pub fn with(mut self, signal: Signal, dispatcher: Dispatcher) -> Self {
        let slot = match signal {
            Signal::Traces => &mut self.traces,
            Signal::Metrics => &mut self.metrics,
            Signal::Logs => &mut self.logs,
        };
        *slot = Some(dispatcher);
        self
    }

    /// What serves `signal`.
    pub fn get(&self, signal: Signal) -> Option<&Dispatcher> {
        match signal {
            Signal::Traces => self.traces.as_ref(),
            Signal::Metrics => self.metrics.as_ref(),
            Signal::Logs => self.logs.as_ref(),
        }
    }
}

// === impl Receiver ===

impl Receiver {
    /// Binds the sockets of every protocol that the settings name. Port 0 asks for a free port. The file of a Unix
    /// socket is there until it has stopped accepting. Bodies are held in `account`, which receivers share.
    ///
    /// # Errors
    ///
    /// [`BindError`] of the first address that cannot be bound; nothing stays bound then.
    pub async fn bind(
        settings: &settings::Receiver,
        routes: &Routes,
        metrics: &Metrics,
        account: &Account,
    ) -> Result<Self, BindError> {
        let id = &settings.id;
        let grpc = match &settings.grpc {
            Some(grpc) => {
                let server = grpc::Server::new(id, grpc, routes, metrics, account);
                Some(Bound::new(&grpc.listen, server).await?)
            }
            None => None,
        };
        let http = match &settings.http {
            Some(http) => {
                let server = http::Server::new(id, http, routes, metrics, account);
                Some(Bound::new(&http.listen, server).await?)
            }
            None => None,
        };
        Ok(Self { id: Arc::clone(id), grpc, http })
    }

    /// Where gRPC is served.
    pub fn grpc_address(&self) -> Option<&Address> {
        self.grpc.as_ref().map(|bound| &bound.address)
    }

    /// Where HTTP is served.
    pub fn http_address(&self) -> Option<&Address> {
        self.http.as_ref().map(|bound| &bound.address)
    }

    /// Serves until `stop`, then lets requests in flight finish for at most `drain`, then cuts what is left.
    ///
    /// Returns when every task that it started has ended. Cutting a connection drops its requests where they wait:
    /// their clients get no answer and their data is not acknowledged.
    pub async fn serve(self, stop: CancellationToken, drain: Duration) {
        let tasks = Tasks::new();
        let life = Life::new(stop, tasks.clone());
        let grpc = self.grpc.map(|Bound { listener, server, .. }| {
            accept(listener, &life, "grpc connection", move |stream, life| {
                grpc::Server::serve(Arc::clone(&server), stream, life)
            })
        });
        let http = self.http.map(|Bound { listener, server, .. }| {
            accept(listener, &life, "http connection", move |stream, life| {
                http::Server::serve(Arc::clone(&server), stream, life)
            })
        });
        let ((), ()) = tokio::join!(optional(grpc), optional(http));

        if tokio::time::timeout(drain, tasks.ended()).await.is_err() {
            // Connections, and requests on them.
            let running = tasks.running();
            tracing::warn!(receiver = &*self.id, running, "connections cut at the drain deadline");
            life.cut.cancel();
            tasks.ended().await;
        }
    }
}

// === impl Bound ===

impl<S> Bound<S> {
    async fn new(listen: &settings::Listen, server: S) -> Result<Self, BindError> {
        let (listener, address) = Listener::bind(listen).await?;
        Ok(Self { listener, address, server: Arc::new(server) })
    }
}

/// Starts a task for each connection until the receiver stops; the listener is closed on return.
async fn accept<F>(
    listener: Listener,
    life: &Life,
    task: &'static str,
    mut serve: impl FnMut(Stream, Life) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        let (stream, peer) = tokio::select! {
            // Stop wins over a full backlog: what was not accepted yet may go to another replica.
            biased;
            () = life.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        tracing::debug!(?peer, task, "connection accepted");
        drop(life.tasks.spawn(task, serve(stream, life.for_connection(peer.map(|peer| peer.ip())))));
    }
}

async fn optional(future: Option<impl Future<Output = ()>>) {
    if let Some(future) = future {
        future.await;
    }
}

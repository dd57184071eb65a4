//! Makes the parts of a gateway out of its settings, in the order in which data flows back to front.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::StartError;
use crate::{
    admission::Budget,
    backend::{Backend, Buffers, Custody, OtlpGrpc, OtlpHttp, Pool, Stop, Transport},
    model::{
        Endpoint, Signal,
        settings::{Destination, Exporter, Pipeline, Protocol, Settings, Storage},
    },
    net::dial::Dialer,
    receiver::Routes,
    resolver::{Resolver, State},
    router::{Dispatcher, Keeper, Router, Spool, Spooler, StartBackend},
    store::{self, Store},
    tasks::Tasks,
    telemetry::Metrics,
};

/// The routers of one exporter, in the order of [`Signal::ALL`].
pub(super) type Routers = [Option<Arc<Router>>; 3];

/// The resolver of one exporter.
#[derive(Debug)]
pub(super) struct Pooled {
    pub(super) exporter: Arc<str>,
    pub(super) resolver: Resolver,
}

/// What all exporters share.
pub(super) struct Common<'a> {
    pub(super) metrics: &'a Metrics,
    pub(super) budget: &'a Budget,
    /// Where keepers and backends run.
    pub(super) tasks: &'a Tasks,
    pub(super) stop: &'a Stop,
}

/// One router for each exporter and signal that some pipeline joins, with its first table installed and its keeper running. As
/// in the Collector, the signals of one exporter share nothing but its configuration.
///
/// The resolvers of all pools come along, in the order of the exporters: one for each exporter, whatever its signals.
pub(super) async fn routers(
    settings: &Settings,
    common: &Common<'_>,
) -> Result<(Vec<Routers>, Vec<Pooled>), StartError> {
    let (mut all, mut resolvers) = (Vec::new(), Vec::new());
    for (index, exporter) in settings.exporters.iter().enumerate() {
        let resolver = match &exporter.destination {
            Destination::Pool { resolver, membership, .. } => {
                let metrics = common.metrics.resolver(&exporter.id, resolver.as_str());
                let running = Resolver::start(resolver, membership, &metrics, common.tasks);
                let (states, status) = (State::ALL.map(State::as_str), running.status());
                common.metrics.follow_resolver(&exporter.id, resolver.as_str(), &states, move || {
                    let snapshot = status.snapshot();
                    (snapshot.state.as_str(), snapshot.age)
                });
                Some(running)
            }
            Destination::Single { .. } => None,
        };
        let mut routers = Routers::default();
        for (signal, slot) in Signal::ALL.into_iter().zip(&mut routers) {
            let is_used =
                |pipeline: &Pipeline| pipeline.signal == signal && pipeline.exporters.contains(&index);
            if settings.pipelines.iter().any(is_used) {
                *slot = Some(router(exporter, signal, resolver.as_ref(), common).await?);
            }
        }
        all.push(routers);
        resolvers.extend(resolver.map(|resolver| Pooled { exporter: Arc::clone(&exporter.id), resolver }));
    }
    Ok((all, resolvers))
}

async fn router(
    exporter: &Exporter,
    signal: Signal,
    resolver: Option<&Resolver>,
    common: &Common<'_>,
) -> Result<Arc<Router>, StartError> {
    let Common { metrics, tasks, stop, .. } = common;
    let pool = Pool {
        custody: Custody::new(),
        buffers: Buffers::new(),
        stop: (*stop).clone(),
        tasks: (*tasks).clone(),
    };
    let custody = pool.custody.clone();
    let router = Router::new(exporter, signal, metrics.exporter(&exporter.id, signal), custody);
    let spool = match &exporter.backend.queue.storage {
        Some(storage) => Some(spool(storage, exporter, signal, common).await?),
        None => None,
    };
    let router = match &spool {
        Some(spool) => router.with_spool(Arc::clone(spool)),
        None => router,
    };
    let router = Arc::new(match resolver.map(Resolver::status) {
        Some(status) => router
            .with_ring_metrics(metrics.ring(&exporter.id, signal))
            .with_reason(Box::new(move || status.reason())),
        None => router,
    });
    let start = start_backend(exporter, signal, common, pool.clone())?;
    let mut keeper = Keeper::new(Arc::clone(&router), exporter.backend.health, pool, start);
    let mut sets = resolver.map(Resolver::sets);
    // A list that is there at once is in force before the first request.
    if let Some(endpoints) = sets.as_mut().and_then(|sets| sets.borrow_and_update().clone()) {
        keeper.install(&endpoints);
    }
    if let Destination::Single { endpoints } = &exporter.destination
        && let Some(Some(endpoint)) = endpoints.get(signal.index())
    {
        keeper.install(&[Endpoint::new(endpoint)]);
    }
    tasks.spawn("keeper", keeper.run(sets));
    if let Some(spool) = spool {
        let spooler = Spooler::new(Arc::clone(&router), spool, common.budget.account(), (*stop).clone());
        tasks.spawn("spooler", spooler.run());
    }
    Ok(router)
}

/// Opens the persistent queue of one exporter for one signal, in a directory of its own.
async fn spool(
    storage: &Storage,
    exporter: &Exporter,
    signal: Signal,
    common: &Common<'_>,
) -> Result<Arc<Spool>, StartError> {
    let options = store::Options {
        directory: storage.directory.join(directory_name(&exporter.id, signal)),
        create_directory: storage.create_directory,
        fsync: storage.fsync,
        max_bytes: storage.max_bytes,
        segment_bytes: store::Options::SEGMENT_BYTES,
    };
    let metrics = common.metrics.store(&exporter.id, signal);
    let store = Store::open(options, metrics, common.tasks).await.map_err(|error| {
        let (exporter, storage) = (Arc::clone(&exporter.id), Arc::clone(&storage.id));
        StartError::Store { exporter, storage, error }
    })?;
    Ok(Arc::new(Spool::new(store, &exporter.backend.queue)))
}

/// `exporter_<type>_<name>_<signal>`, as the Collector names the file; characters that are not safe in a file name as `~`
/// and their hexadecimal bytes.
fn directory_name(exporter: &str, signal: Signal) -> String {
    let (kind, name) = exporter.split_once('/').unwrap_or((exporter, ""));
    let mut safe = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_') {
            safe.push(char::from(byte));
        } else {
            safe.push_str(&format!("~{byte:02X}"));
        }
    }
    format!("exporter_{kind}_{safe}_{}", signal.as_str())
}

/// How the keeper gets the running backend of an endpoint.
fn start_backend(
    exporter: &Exporter,
    signal: Signal,
    common: &Common<'_>,
    pool: Pool,
) -> Result<StartBackend, StartError> {
    let headers = headers(exporter)?;
    let (id, settings) = (Arc::clone(&exporter.id), exporter.backend.clone());
    let is_pool = matches!(exporter.destination, Destination::Pool { .. });
    let (metrics, budget) = (common.metrics.clone(), common.budget.clone());
    Ok(Box::new(move |endpoint: &Endpoint| {
        let metrics = if is_pool {
            metrics.backend(&id, endpoint.label(), signal)
        } else {
            metrics.only_backend(&id, endpoint.label(), signal)
        };
        let (headers, dialer, tasks) = (headers.clone(), Dialer::default(), pool.tasks.clone());
        let transport: Arc<dyn Transport> = match &settings.protocol {
            Protocol::Grpc => {
                Arc::new(OtlpGrpc::new(endpoint, signal, &settings, headers, &metrics, dialer, tasks))
            }
            Protocol::Http(http) => {
                Arc::new(OtlpHttp::new(endpoint, &settings, http, headers, &metrics, tasks))
            }
        };
        Backend::start(endpoint.clone(), signal, &settings, metrics, transport, budget.account(), &pool)
    }))
}

fn headers(exporter: &Exporter) -> Result<HeaderMap, StartError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &exporter.backend.headers {
        let error = || StartError::Header { exporter: Arc::clone(&exporter.id), name: Arc::clone(name) };
        let mut value = HeaderValue::from_str(value).map_err(|_| error())?;
        value.set_sensitive(true);
        headers.append(HeaderName::from_bytes(name.as_bytes()).map_err(|_| error())?, value);
    }
    Ok(headers)
}

/// What one receiver hands its requests to: every exporter of every pipeline that names it, a pipeline after the other.
pub(super) fn routes(settings: &Settings, receiver: usize, routers: &[Routers]) -> Routes {
    let validation = settings.receivers.get(receiver).map(|receiver| receiver.validation);
    let mut routes = Routes::new();
    for signal in Signal::ALL {
        let exporters: Vec<Arc<Router>> = settings
            .pipelines
            .iter()
            .filter(|pipeline| pipeline.signal == signal && pipeline.receivers.contains(&receiver))
            .flat_map(|pipeline| &pipeline.exporters)
            .filter_map(|exporter| routers.get(*exporter)?.get(signal.index())?.clone())
            .collect();
        if let (Some(validation), false) = (validation, exporters.is_empty()) {
            routes = routes.with(signal, Dispatcher::new(exporters, validation));
        }
    }
    routes
}

//! Makes the parts of a gateway out of its settings, in the order in which data flows back to front.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::StartError;
use crate::{
    backend::{Backend, Buffers, OtlpGrpc, OtlpHttp, Stop, Transport},
    model::{
        Endpoint, Signal,
        settings::{Destination, Exporter, Pipeline, Protocol, Settings},
    },
    receiver::Routes,
    resolver::Resolver,
    router::{Dispatcher, Router, StartBackend},
    tasks::Tasks,
    telemetry::Metrics,
};

/// The routers of one exporter, in the order of [`Signal::ALL`].
pub(super) type Routers = [Option<Arc<Router>>; 3];

/// One router for each exporter and signal that some pipeline joins, with its first table installed. As in the Collector,
/// the signals of one exporter share nothing but its configuration.
pub(super) fn routers(
    settings: &Settings,
    metrics: &Metrics,
    backends: &Tasks,
    stop: &Stop,
) -> Result<Vec<Routers>, StartError> {
    let mut all = Vec::new();
    for (index, exporter) in settings.exporters.iter().enumerate() {
        let mut routers = Routers::default();
        for (signal, slot) in Signal::ALL.into_iter().zip(&mut routers) {
            let is_used =
                |pipeline: &Pipeline| pipeline.signal == signal && pipeline.exporters.contains(&index);
            if settings.pipelines.iter().any(is_used) {
                *slot = Some(router(exporter, signal, metrics, backends, stop)?);
            }
        }
        all.push(routers);
    }
    Ok(all)
}

fn router(
    exporter: &Exporter,
    signal: Signal,
    metrics: &Metrics,
    backends: &Tasks,
    stop: &Stop,
) -> Result<Arc<Router>, StartError> {
    let start = start_backend(exporter, signal, metrics, backends, stop)?;
    let router = Arc::new(Router::new(exporter, signal, metrics.exporter(&exporter.id, signal), start));
    match &exporter.destination {
        Destination::Pool { resolver, .. } => {
            let resolver = Resolver::start(resolver, &metrics.resolver(resolver.as_str()));
            // A static list is there at once; resolvers that change will be followed by a task here.
            if let Some(endpoints) = resolver.sets().borrow().as_deref() {
                router.install(endpoints);
            }
        }
        Destination::Single { endpoints } => {
            if let Some(Some(endpoint)) = endpoints.get(signal.index()) {
                router.install(&[Endpoint::new(endpoint)]);
            }
        }
    }
    Ok(router)
}

/// How the router gets the running backend of an endpoint.
fn start_backend(
    exporter: &Exporter,
    signal: Signal,
    metrics: &Metrics,
    tasks: &Tasks,
    stop: &Stop,
) -> Result<StartBackend, StartError> {
    let headers = headers(exporter)?;
    let buffers = Buffers::new();
    let (id, settings) = (Arc::clone(&exporter.id), exporter.backend.clone());
    let is_pool = matches!(exporter.destination, Destination::Pool { .. });
    let (metrics, tasks, stop) = (metrics.clone(), tasks.clone(), stop.clone());
    Ok(Box::new(move |endpoint: &Endpoint| {
        let metrics = if is_pool {
            metrics.backend(&id, endpoint.label(), signal)
        } else {
            metrics.only_backend(&id, endpoint.label(), signal)
        };
        let headers = headers.clone();
        let transport: Arc<dyn Transport> = match &settings.protocol {
            Protocol::Grpc => {
                Arc::new(OtlpGrpc::new(endpoint, signal, &settings, headers, &metrics, tasks.clone()))
            }
            Protocol::Http(http) => {
                Arc::new(OtlpHttp::new(endpoint, &settings, http, headers, &metrics, tasks.clone()))
            }
        };
        Backend::start(endpoint.clone(), &settings, metrics, transport, buffers.clone(), &stop, &tasks)
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

//! The gateway of a run: real routers, keepers, queues, retries and HTTP/2 clients, joined as the composition root joins them,
//! on one simulated host. Requests are handed to the dispatchers; there are no listeners.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use http::HeaderMap;
use ringway::{
    admission::Budget,
    backend::{Backend, Buffers, Custody, OtlpGrpc, Pool, Stop},
    config::{self, Sources},
    model::{
        Endpoint, Signal,
        settings::{Exporter, Settings, Validation},
    },
    router::{Dispatcher, Keeper, Router, StartBackend},
    tasks::Tasks,
    telemetry::Metrics,
};
use tokio::sync::watch;

use crate::{
    ledger::Ledger,
    witness::{Witness, dialer},
};

/// Endpoint sets as resolvers would publish them, to each signal's router by itself: who waits for one is woken in a fixed order.
#[derive(Clone, Debug)]
pub(crate) struct Sets([watch::Sender<Option<Vec<Endpoint>>>; 3]);

/// What the backends of a run are known by: from what is dialled to the number.
pub(crate) type Names = Arc<BTreeMap<String, usize>>;

/// One dispatcher for each signal, in the order of [`Signal::ALL`], over one pool.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) dispatchers: [Dispatcher; 3],
    pub(crate) metrics: Metrics,
    pub(crate) budget: Budget,
    custodies: [Custody; 3],
    stop: Stop,
    tasks: Tasks,
}

/// How a gateway ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ended {
    /// From the signal to the end of the last task.
    pub(crate) took: Duration,
    /// Whether everything was delivered in time, so that nothing had to be given up.
    pub(crate) in_time: bool,
    /// Tasks that had not ended two seconds after everything was given up.
    pub(crate) tasks: usize,
    /// Parts that nobody has settled.
    pub(crate) parts: usize,
}

impl Sets {
    /// Nothing has been resolved yet.
    pub(crate) fn new() -> Self {
        Self([(); 3].map(|()| watch::channel(None).0))
    }

    pub(crate) fn publish(&self, endpoints: &[Endpoint]) {
        for sender in &self.0 {
            sender.send_replace(Some(endpoints.to_vec()));
        }
    }

    /// Whether there is no endpoint.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().any(|sender| sender.borrow().as_ref().is_none_or(Vec::is_empty))
    }
}

/// Reads a configuration as the gateway reads a file.
///
/// # Panics
///
/// If it has errors.
pub(crate) fn settings(yaml: &str) -> Settings {
    struct Text<'a>(&'a str);
    impl Sources for Text<'_> {
        fn env(&self, _name: &str) -> Option<String> {
            None
        }
        fn file(&self, _path: &std::path::Path) -> Result<String, String> {
            Ok(self.0.to_owned())
        }
    }
    let loaded = config::load(&["sim.yaml".to_owned()], &[], &Text(yaml));
    let errors: Vec<String> = loaded.errors.iter().map(ToString::to_string).collect();
    loaded.settings.unwrap_or_else(|| panic!("{errors:#?}\n{yaml}"))
}

impl Gateway {
    /// Starts one router for each signal, which follow `sets`. Must be called in the simulation.
    pub(crate) fn start(
        exporter: &Exporter,
        memory_bytes: usize,
        sets: &Sets,
        names: &Names,
        ledger: &Ledger,
    ) -> Self {
        let (metrics, stop, tasks) = (Metrics::new(), Stop::default(), Tasks::new());
        let budget = Budget::new(memory_bytes);
        let custodies = [(); 3].map(|()| Custody::new());
        let dispatchers = Signal::ALL.map(|signal| {
            let custody = custodies[signal.index()].clone();
            let pool = Pool {
                custody: custody.clone(),
                buffers: Buffers::new(),
                stop: stop.clone(),
                tasks: tasks.clone(),
            };
            let start = start_backend(exporter, signal, &metrics, &budget, &pool, names, ledger);
            let counts = metrics.exporter(&exporter.id, signal);
            let router = Arc::new(Router::new(exporter, signal, counts, custody));
            let mut keeper = Keeper::new(Arc::clone(&router), exporter.backend.health, pool, start);
            let mut receiver = sets.0[signal.index()].subscribe();
            if let Some(endpoints) = receiver.borrow_and_update().as_deref() {
                keeper.install(endpoints);
            }
            tasks.spawn("keeper", keeper.run(Some(receiver)));
            Dispatcher::new(vec![router], Validation::Structure)
        });
        Self { dispatchers, metrics, budget, custodies, stop, tasks }
    }

    /// Drains, for at most so long; then gives up what is left.
    pub(crate) async fn end(&self, deadline: Duration) -> Ended {
        let began = tokio::time::Instant::now();
        self.stop.drain.cancel();
        let in_time = tokio::time::timeout(deadline, self.tasks.ended()).await.is_ok();
        if !in_time {
            self.stop.abort.cancel();
            // Whether it was enough is seen by the tasks that are left.
            let _ended = tokio::time::timeout(Duration::from_secs(2), self.tasks.ended()).await;
        }
        let parts = self.custodies.iter().map(Custody::parts).sum();
        Ended { took: began.elapsed(), in_time, tasks: self.tasks.running(), parts }
    }
}

fn start_backend(
    exporter: &Exporter,
    signal: Signal,
    metrics: &Metrics,
    budget: &Budget,
    pool: &Pool,
    names: &Names,
    ledger: &Ledger,
) -> StartBackend {
    let (id, settings) = (Arc::clone(&exporter.id), exporter.backend.clone());
    let (metrics, budget, pool) = (metrics.clone(), budget.clone(), pool.clone());
    let (names, ledger) = (Arc::clone(names), ledger.clone());
    Box::new(move |endpoint| {
        let metrics = metrics.backend(&id, endpoint.label(), signal);
        let (headers, tasks) = (HeaderMap::new(), pool.tasks.clone());
        let transport = OtlpGrpc::new(endpoint, signal, &settings, headers, &metrics, dialer(), tasks);
        let witness = Witness {
            transport,
            ledger: ledger.clone(),
            signal,
            backend: names[endpoint.dial()],
            encoding: settings.compression.encoding(),
        };
        let (witness, account) = (Arc::new(witness), budget.account());
        Backend::start(endpoint.clone(), signal, &settings, metrics, witness, account, &pool)
    })
}

//! One run: a scenario is played over a simulated network, and what happened is handed to the laws.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use ringway::{
    model::{
        Endpoint, Signal,
        settings::{Destination, Exporter},
    },
    tasks::Tasks,
};
use tokio::time::{Instant, sleep, sleep_until};
use turmoil::Sim;

use crate::{
    backend::{Backend, PORT, Script},
    client::Client,
    gateway::{Ended, Gateway, Names, Sets, settings},
    ledger::{Book, Event, Ledger},
    scenario::{Scenario, Step, Way},
};

/// How far the simulation goes before the network is looked at again. A compromise: the shorter, the slower the run.
const TICK: Duration = Duration::from_millis(20);

/// How often the memory that is held is looked at.
const SAMPLE: Duration = Duration::from_millis(100);

const GATEWAY: &str = "gateway";

/// What a run has left behind.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) exporter: Exporter,
    /// What is hashed and dialled, by the number of the backend.
    pub(crate) endpoints: Vec<String>,
    pub(crate) book: Book,
    /// The gateway's metrics at the end, as text.
    pub(crate) metrics: String,
    pub(crate) memory: Memory,
    /// `None`: the gateway did not end.
    pub(crate) ended: Option<Ended>,
    /// An error of the simulation itself.
    pub(crate) error: Option<String>,
}

/// Bytes that the gateway had permits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) budget: usize,
    pub(crate) peak: usize,
    pub(crate) at_end: usize,
}

/// What the gateway's host hands out at the end.
#[derive(Clone, Debug)]
struct Left {
    metrics: String,
    memory: Memory,
    ended: Ended,
}

/// Plays a scenario, on a thread of its own: what threads keep (scratch space, random numbers) is new in each run.
pub(crate) fn run(scenario: &Scenario) -> Run {
    let scenario = scenario.clone();
    let run =
        std::thread::Builder::new().name(format!("seed-{}", scenario.seed)).spawn(move || play(&scenario));
    run.expect("a thread").join().expect("a run that does not panic")
}

fn play(scenario: &Scenario) -> Run {
    fastrand::seed(scenario.seed);
    let ledger = Ledger::default();
    let sim = turmoil::Builder::new()
        .rng_seed(scenario.seed)
        .epoch(SystemTime::UNIX_EPOCH)
        .tick_duration(TICK)
        .simulation_duration(scenario.heals_at + scenario.drain_deadline + Duration::from_secs(120))
        .min_message_latency(scenario.latency.0)
        .max_message_latency(scenario.latency.1)
        // Segments and connections that wait: more than any run makes, so that a lost one never blocks a writer.
        .tcp_capacity(1 << 16)
        .build();
    // Addresses are given out in the order of these calls.
    sim.lookup(GATEWAY);
    let backends: Vec<Arc<Backend>> = (0..scenario.backends)
        .map(|number| {
            let seed = scenario.seed ^ (number as u64 + 1) << 32;
            Backend::new(number, seed, scenario.limits[number], ledger.clone())
        })
        .collect();
    let endpoints: Vec<String> =
        (0..scenario.backends).map(|number| format!("{}:{PORT}", sim.lookup(host(number)))).collect();
    let exporter = settings(&scenario.yaml).exporters.remove(0);
    let sets = Sets::new();
    let mut world = World { backends, endpoints, sets, ledger, sim };
    for backend in &world.backends {
        let backend = Arc::clone(backend);
        world.sim.host(host(backend.number), move || Arc::clone(&backend).serve());
    }
    world.set(scenario.initial.clone());
    let left = world.start_gateway(scenario, &exporter);
    let error = world.play(scenario).err();
    let left = left.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let World { ledger, endpoints, .. } = world;
    let (metrics, memory, ended) = match left {
        Some(Left { metrics, memory, ended }) => (metrics, memory, Some(ended)),
        None => (String::new(), Memory::default(), None),
    };
    Run { exporter, endpoints, book: ledger.read(), metrics, memory, ended, error }
}

fn host(backend: usize) -> String {
    format!("backend-{backend}")
}

/// Everything that a scenario can change.
struct World<'a> {
    backends: Vec<Arc<Backend>>,
    endpoints: Vec<String>,
    sets: Sets,
    ledger: Ledger,
    sim: Sim<'a>,
}

impl World<'_> {
    fn start_gateway(&mut self, scenario: &Scenario, exporter: &Exporter) -> Arc<Mutex<Option<Left>>> {
        let left = Arc::<Mutex<Option<Left>>>::default();
        let (result, scenario, exporter) = (Arc::clone(&left), scenario.clone(), exporter.clone());
        let (sets, ledger) = (self.sets.clone(), self.ledger.clone());
        let names: Names = Arc::new(self.endpoints.iter().cloned().zip(0..).collect::<BTreeMap<_, _>>());
        self.sim.client(GATEWAY, async move {
            let left = gateway(&scenario, &exporter, &sets, &names, &ledger).await;
            *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(left);
            Ok(())
        });
        left
    }

    /// Runs until the gateway has ended.
    fn play(&mut self, scenario: &Scenario) -> Result<(), String> {
        let mut steps = scenario.steps.iter().filter(|(at, _)| *at < scenario.heals_at).peekable();
        let mut is_healed = false;
        loop {
            let now = self.sim.elapsed();
            while let Some((_, step)) = steps.next_if(|(at, _)| *at <= now) {
                self.step(step);
            }
            if !is_healed && now >= scenario.heals_at {
                self.heal(scenario);
                is_healed = true;
            }
            if self.sim.step().map_err(|error| error.to_string())? {
                return Ok(());
            }
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Set(backends) => self.set(backends.clone()),
            Step::Script { backend, script } => {
                self.fault(*backend, step, *script == Script::OK);
                self.backends[*backend].script(script.clone());
            }
            Step::Cut { backend, way } => {
                self.fault(*backend, step, false);
                let there = host(*backend);
                match way {
                    Way::Both => self.sim.partition(GATEWAY, there),
                    Way::ToBackend => self.sim.partition_oneway(GATEWAY, there),
                    Way::FromBackend => self.sim.partition_oneway(there, GATEWAY),
                }
            }
            Step::Hold { backend } => {
                self.fault(*backend, step, false);
                self.sim.hold(GATEWAY, host(*backend));
            }
            Step::Repair { backend } => self.repair(*backend),
            Step::Latency { backend, max } => {
                self.fault(*backend, step, false);
                self.sim.set_link_max_message_latency(GATEWAY, host(*backend), *max);
            }
            Step::Crash { backend } => {
                self.fault(*backend, step, false);
                self.sim.crash(host(*backend));
            }
            Step::Bounce { backend } => self.bounce(*backend),
        }
    }

    fn fault(&self, backend: usize, what: &Step, is_end: bool) {
        if !is_end {
            self.write(Event::Fault { backend, what: format!("{what:?}") });
        }
    }

    fn repair(&self, backend: usize) {
        self.sim.repair(GATEWAY, host(backend));
        self.sim.release(GATEWAY, host(backend));
    }

    fn bounce(&mut self, backend: usize) {
        if !self.sim.is_host_running(host(backend)) {
            self.sim.bounce(host(backend));
        }
    }

    /// Nothing is in anybody's way any more. An endpoint set that is empty is filled again.
    fn heal(&mut self, scenario: &Scenario) {
        for backend in 0..self.backends.len() {
            self.repair(backend);
            self.bounce(backend);
            self.sim.set_link_max_message_latency(GATEWAY, host(backend), scenario.latency.1);
            self.backends[backend].script(Script::OK);
        }
        if self.sets.is_empty() {
            self.set(scenario.initial.clone());
        }
        self.write(Event::Healed);
    }

    fn set(&self, backends: Vec<usize>) {
        let mut identities: Vec<&str> = backends.iter().map(|number| &*self.endpoints[*number]).collect();
        // As resolvers publish them.
        identities.sort_unstable();
        self.write(Event::Set { backends });
        let endpoints: Vec<Endpoint> = identities.into_iter().map(Endpoint::new).collect();
        self.sets.publish(&endpoints);
    }

    fn write(&self, event: Event) {
        self.ledger.write_at(self.sim.elapsed(), event);
    }
}

/// What happens on the gateway's host: load, then the end.
async fn gateway(
    scenario: &Scenario,
    exporter: &Exporter,
    sets: &Sets,
    names: &Names,
    ledger: &Ledger,
) -> Left {
    assert!(matches!(exporter.destination, Destination::Pool { .. }), "a pool of backends");
    let heals_at = Instant::now() + scenario.heals_at;
    let gateway = Gateway::start(exporter, scenario.memory_bytes, sets, names, ledger);
    let clients = Tasks::new();
    for (signal, dispatcher) in Signal::ALL.into_iter().zip(&gateway.dispatchers) {
        for number in 0..scenario.clients_of_a_signal {
            let seed = scenario.seed ^ ((signal.index() * 16 + number) as u64 + 1) << 40;
            let client = Client {
                signal,
                dispatcher: dispatcher.clone(),
                load: Arc::clone(&scenario.load),
                ledger: ledger.clone(),
                random: fastrand::Rng::with_seed(seed),
            };
            clients.spawn("client", client.run());
        }
    }
    let mut memory = Memory { budget: scenario.memory_bytes, ..Memory::default() };
    let work = async {
        clients.ended().await;
        sleep_until(heals_at + TICK * 2).await;
        ledger.write(Event::Drain);
        gateway.end(scenario.drain_deadline).await
    };
    let mut work = std::pin::pin!(work);
    let ended = loop {
        tokio::select! {
            biased;
            ended = &mut work => break ended,
            () = sleep(SAMPLE) => memory.peak = memory.peak.max(gateway.budget.held()),
        }
    };
    memory.at_end = gateway.budget.held();
    Left { metrics: gateway.metrics.text(), memory, ended }
}

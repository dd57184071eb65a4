//! Tests of the persistent queue of a router: real files, real time, members that do what the world says.

use std::path::{Path, PathBuf};

use super::{
    keeper::{Does, World, part_of},
    *,
};
use crate::{
    router::{Spool, Spooler},
    store::{Options, Store},
};

/// A directory that is gone with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ringway-spool-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&path));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// One life of a process with a persistent queue.
struct Life {
    world: Arc<World>,
    dispatcher: Dispatcher,
    metrics: Metrics,
    custody: Custody,
    stop: Stop,
    tasks: Tasks,
}

impl Life {
    async fn start(directory: &Path, names: &[&str], queue_size: usize) -> Self {
        let mut settings = exporter(Queue { size: queue_size, ..QUEUE }, 4 << 20);
        settings.backend.retry = Some(settings::RetryPolicy {
            initial_interval: Duration::from_millis(50),
            randomization_factor: 0.0,
            multiplier: 1.0,
            max_interval: Duration::from_millis(50),
            max_elapsed_time: None,
        });
        let (metrics, stop, tasks) = (Metrics::new(), Stop::default(), Tasks::new());
        let (world, custody, budget) = (Arc::new(World::default()), Custody::new(), Budget::new(1 << 30));
        let pool = backend::Pool {
            custody: custody.clone(),
            buffers: Buffers::new(),
            stop: stop.clone(),
            tasks: tasks.clone(),
        };
        let options = Options {
            directory: directory.join("queue"),
            create_directory: false,
            fsync: false,
            max_bytes: None,
            segment_bytes: 4096,
        };
        let store_metrics = metrics.store(&settings.id, Signal::Traces);
        let store = Store::open(options, store_metrics, &tasks).await.unwrap();
        let spool = Arc::new(Spool::new(store, &settings.backend.queue));
        let exporter_metrics = metrics.exporter(&settings.id, Signal::Traces);
        let router = Router::new(&settings, Signal::Traces, exporter_metrics, custody.clone());
        let router = Arc::new(router.with_spool(Arc::clone(&spool)));
        let start: StartBackend = {
            let (world, all, pool, budget) =
                (Arc::clone(&world), metrics.clone(), pool.clone(), budget.clone());
            let (id, settings) = (Arc::clone(&settings.id), settings.backend.clone());
            Box::new(move |endpoint| {
                let part = Arc::new(part_of(&world, endpoint.dial()));
                let metrics = all.backend(&id, endpoint.dial(), Signal::Traces);
                Backend::start(
                    endpoint.clone(),
                    Signal::Traces,
                    &settings,
                    metrics,
                    part,
                    budget.account(),
                    &pool,
                )
            })
        };
        let mut keeper = Keeper::new(Arc::clone(&router), None, pool, start);
        keeper.install(&names.iter().map(|name| Endpoint::new(name)).collect::<Vec<_>>());
        tasks.spawn("keeper", keeper.run(None));
        let spooler = Spooler::new(Arc::clone(&router), spool, budget.account(), stop.clone());
        tasks.spawn("spooler", spooler.run());
        let dispatcher = Dispatcher::new(vec![router], Validation::Structure);
        Self { world, dispatcher, metrics, custody, stop, tasks }
    }

    async fn send(&self, traces: std::ops::Range<u8>) -> Outcome {
        let body = request(traces, 3).encode_to_vec();
        self.dispatcher.dispatch(Signal::Traces, body.into(), &Metadata::default()).await.outcome
    }

    async fn delivered(&self, traces: usize) {
        let all = async {
            while self.world.traces().len() < traces {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), all).await.expect("delivery");
    }

    /// Ends within the deadline of a shutdown that is `patient`, or at once.
    async fn end(self, is_patient: bool) -> Arc<World> {
        self.stop.drain.cancel();
        if !is_patient {
            self.stop.abort.cancel();
        }
        tokio::time::timeout(Duration::from_secs(20), self.tasks.ended()).await.expect("every task ends");
        assert_eq!(self.custody.parts(), 0);
        self.world
    }
}

// Scenario: requests are stored and delivered; the process ends and starts again on the same files.
// Guarantees: each span goes to its owner, once; nothing comes again after the restart, and the files are gone.
#[tokio::test]
async fn what_is_stored_is_delivered_once() {
    let directory = Directory::new("once");
    let life = Life::start(&directory.0, &NAMES, 1000).await;
    for start in (0..200).step_by(20) {
        life.send(start..start + 20).await.unwrap();
    }
    life.delivered(200).await;
    let world = life.end(true).await;
    for (trace, by) in world.traces() {
        assert_eq!(by, [owner(trace)]);
    }
    let life = Life::start(&directory.0, &NAMES, 1000).await;
    life.send(200..201).await.unwrap();
    life.delivered(1).await;
    assert_eq!(life.end(true).await.traces().len(), 1);
    let files = std::fs::read_dir(directory.0.join("queue")).unwrap().count();
    assert!(files <= 4, "{files} files are left");
}

// Scenario: all members are dead when requests come; the process ends at once; the next one has other members.
// Guarantees: nothing that was acknowledged is lost or counted as dropped; it is split over the members of the second life.
#[tokio::test]
async fn a_restart_finds_the_owners_anew() {
    let directory = Directory::new("restart");
    let life = Life::start(&directory.0, &NAMES, 1000).await;
    for name in NAMES {
        life.world.set(name, Does::Refuse);
    }
    for start in (0..200).step_by(20) {
        life.send(start..start + 20).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let metrics = life.metrics.clone();
    assert!(life.end(false).await.traces().is_empty());
    assert_eq!(metrics.dropped_items(Code::ShuttingDown), 0);

    let names = ["d:1", "e:1"];
    let life = Life::start(&directory.0, &names, 1000).await;
    life.delivered(200).await;
    let ring = Ring::new(settings::RingGeneration::G3, &names);
    for (trace, by) in life.end(true).await.traces() {
        assert_eq!(by, [names[ring.slot_of(&[trace; 16]).unwrap()]], "trace {trace}");
    }
}

// Scenario: one of three members is dead, with a queue for ten requests.
// Guarantees: the others' parts are delivered meanwhile; the eleventh request is refused as retryable while ten are not done;
// when the member works again everything arrives, once, and there is room.
#[tokio::test]
async fn the_queue_is_bounded_until_requests_are_done() {
    let directory = Directory::new("bounded");
    let life = Life::start(&directory.0, &NAMES, 10).await;
    life.world.set("b:1", Does::Refuse);
    for start in (0..200).step_by(20) {
        life.send(start..start + 20).await.unwrap();
    }
    let others = (0..200).filter(|trace| owner(*trace) != "b:1").count();
    life.delivered(others).await;
    let refused = life.send(200..220).await.unwrap_err();
    assert_eq!((refused.code, refused.is_retryable()), (Code::QueueFull, true));
    life.world.set("b:1", Does::Take);
    life.delivered(200).await;
    let accepted = async {
        while life.send(200..220).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), accepted).await.expect("room");
    life.delivered(220).await;
    for (trace, by) in life.end(true).await.traces() {
        assert_eq!(by, [owner(trace)]);
    }
}

// Scenario: one of three members is dead while requests with parts for all of them are stored; the process ends without
// warning after a while; in the next life everybody works.
// Guarantees: what the dead member owed comes, and what the others had taken does not come again.
#[tokio::test]
async fn an_outage_does_not_double_what_others_have_taken() {
    let directory = Directory::new("outage");
    let life = Life::start(&directory.0, &NAMES, 1000).await;
    life.world.set("b:1", Does::Refuse);
    for start in (0..200).step_by(20) {
        life.send(start..start + 20).await.unwrap();
    }
    let others = (0..200).filter(|trace| owner(*trace) != "b:1").count();
    life.delivered(others).await;
    // Longer than parts may keep their record whole.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    drop(life.end(false).await);

    let life = Life::start(&directory.0, &NAMES, 1000).await;
    life.delivered(200 - others).await;
    for (trace, by) in life.end(true).await.traces() {
        assert_eq!((owner(trace), by), ("b:1", vec!["b:1".to_owned()]), "trace {trace}");
    }
}

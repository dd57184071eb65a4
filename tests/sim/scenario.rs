//! What one seed stands for: a configuration, a load, and the faults of twenty to twenty-six simulated seconds.

mod faults;

use std::{sync::Arc, time::Duration};

use crate::{backend::Script, client::Load, ledger::At};

/// One thing that is done to the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A backend does something else from now on.
    Script { backend: usize, script: Script },
    /// Nothing passes between the gateway and a backend, or in one direction.
    Cut { backend: usize, way: Way },
    /// What is sent between the gateway and a backend waits.
    Hold { backend: usize },
    /// What is sent from now on passes, and so does what waited.
    Repair { backend: usize },
    /// The longest time that something takes on the way to a backend or back.
    Latency { backend: usize, max: Duration },
    /// The backend's process ends without a word.
    Crash { backend: usize },
    /// It is started again.
    Bounce { backend: usize },
    /// The resolver reports other endpoints.
    Set(Vec<usize>),
}

/// Directions of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Both,
    ToBackend,
    FromBackend,
}

/// What a seed stands for.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    /// Whether there is one request at a time to a backend, and so nothing in the run that has no seed.
    pub(crate) is_exact: bool,
    /// The configuration, as a user would write it, but for the names of the backends.
    pub(crate) yaml: String,
    /// All backends that there ever are.
    pub(crate) backends: usize,
    /// The first endpoint set.
    pub(crate) initial: Vec<usize>,
    /// Largest message of each backend.
    pub(crate) limits: Vec<Option<usize>>,
    pub(crate) memory_bytes: usize,
    pub(crate) clients_of_a_signal: usize,
    pub(crate) load: Arc<Load>,
    /// Shortest and longest time that something takes on the way.
    pub(crate) latency: (Duration, Duration),
    /// In the order of time.
    pub(crate) steps: Vec<(At, Step)>,
    /// When everything works again.
    pub(crate) heals_at: At,
    pub(crate) drain_deadline: Duration,
}

/// The first number of backends in a set; there are up to three more to replace them with.
const MEMBERS: std::ops::RangeInclusive<usize> = 3..=8;

/// The size of a message that a backend with a limit takes: a few dozen items, and no giant.
const LIMIT_BYTES: usize = 3_000;

impl Scenario {
    /// The scenario of a seed. The same one each time.
    pub(crate) fn new(seed: u64) -> Self {
        // Seeds are small numbers: the first draws must not be alike.
        let mut random = fastrand::Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let random = &mut random;
        let members = random.usize(MEMBERS);
        let backends = members + random.usize(1..=3);
        let initial: Vec<usize> = (0..members).collect();
        let lasts = Duration::from_secs(random.u64(20..=26));
        let is_exact = one_in(random, 2);
        let timeout = Duration::from_millis(random.u64(8..=30) * 100);
        let has_limits = one_in(random, 3);
        // Memory that is full when a backend or two fail. Giants would never fit.
        let is_tight = !has_limits && one_in(random, 6);
        let has_poison = one_in(random, 3);
        let plan = faults::Plan { members, backends, lasts, timeout, has_poison };
        Self {
            seed,
            yaml: yaml(random, timeout, is_exact),
            is_exact,
            backends,
            initial,
            limits: (0..backends).map(|_| (has_limits && one_in(random, 2)).then_some(LIMIT_BYTES)).collect(),
            memory_bytes: if is_tight { random.usize(3_000..8_000) } else { 64 << 20 },
            clients_of_a_signal: random.usize(1..=2),
            load: Arc::new(Load {
                lasts,
                pause: if is_tight {
                    Duration::from_millis(150)
                } else {
                    Duration::from_millis(random.u64(200..=700))
                },
                items_max: if is_tight { 5 } else { random.usize(4..=16) },
                keys: random.u32(20..=200),
                timeout: Duration::from_secs(10),
                patience: Duration::from_secs(15),
                poison_in: if has_poison { 200 } else { 0 },
                giant_in: if has_limits { 300 } else { 0 },
            }),
            latency: (Duration::from_millis(1), Duration::from_millis(random.u64(2..=40))),
            steps: faults::draw(random, &plan),
            heals_at: lasts,
            drain_deadline: Duration::from_secs(40),
        }
    }
}

/// A configuration with the values that a run depends on; the rest is what everybody has.
fn yaml(random: &mut fastrand::Rng, timeout: Duration, is_exact: bool) -> String {
    let timeout_ms = timeout.as_millis();
    let compression = choose(random, &["none", "none", "none", "gzip", "zstd", "snappy"]);
    let more = match random.u32(..8) {
        // It has as many consumers as a queue has by default.
        0 if !is_exact => "      enabled: false\n".to_owned(),
        0 | 1 => "      wait_for_result: true\n      queue_size: 200\n".to_owned(),
        // Small enough to be full at times.
        2 | 3 => format!("      queue_size: {}\n", random.u32(5..=30)),
        _ => "      queue_size: 1000\n".to_owned(),
    };
    let consumers = if is_exact { 1 } else { random.u32(2..=10) };
    let queue = format!("    sending_queue:\n      num_consumers: {consumers}\n{more}");
    let max_elapsed = choose(random, &["0s", "0s", "0s", "300s", "4s"]);
    let max_interval = random.u32(1..=4);
    let ambiguous = choose(random, &["retry", "retry", "retry", "drop"]);
    let health = if one_in(random, 4) {
        "        enabled: false\n".to_owned()
    } else {
        format!(
            "        consecutive_failures: {}\n        no_success: {}ms\n        hold: {}ms\n        \
             probe_interval: {}ms\n        max_ejected_percent: {}\n",
            random.u32(2..=5),
            random.u32(20..=60) * 100,
            random.u32(5..=40) * 100,
            random.u32(10..=30) * 100,
            choose(random, &["50", "50", "34", "100"]),
        )
    };
    let drain_timeout = random.u32(5..=40) * 100;
    // The inner level has a queue of its own unless it is off.
    format!(
        "receivers:
  otlp:
    protocols:
      grpc:
        endpoint: 127.0.0.1:0
exporters:
  load_balancing:
    resolver:
      static:
        hostnames: [backend]
    protocol:
      otlp:
        timeout: {timeout_ms}ms
        compression: {compression}
        tls:
          insecure: true
        sending_queue:
          enabled: false
        retry_on_failure:
          initial_interval: 500ms
          max_interval: {max_interval}s
          max_elapsed_time: {max_elapsed}
{queue}    ringway:
      ambiguous: {ambiguous}
      drain_timeout: {drain_timeout}ms
      health:
{health}service:
  pipelines:
    traces:
      receivers: [otlp]
      exporters: [load_balancing]
    metrics:
      receivers: [otlp]
      exporters: [load_balancing]
    logs:
      receivers: [otlp]
      exporters: [load_balancing]
"
    )
}

fn one_in(random: &mut fastrand::Rng, odds: u32) -> bool {
    random.u32(..odds) == 0
}

fn choose<T: Copy>(random: &mut fastrand::Rng, from: &[T]) -> T {
    from[random.usize(..from.len())]
}

// Scenario: the configurations of many seeds.
// Guarantees: each is one that the gateway accepts, and a seed always gives the same one.
#[test]
fn configurations_are_valid() {
    for seed in 0..300 {
        let scenario = Scenario::new(seed);
        assert_eq!(crate::gateway::settings(&scenario.yaml).exporters.len(), 1);
        assert_eq!(format!("{scenario:?}"), format!("{:?}", Scenario::new(seed)));
        assert!(scenario.steps.is_sorted_by_key(|(at, _)| *at), "seed {seed}");
    }
}

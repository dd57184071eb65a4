//! Tests of the backend with a scripted transport and a paused clock.

mod rejections;
mod tenants;

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use super::*;
use crate::{
    admission::Budget,
    model::{
        Code, Delivered, Metadata, Outcome, Retry, Side, Signal,
        settings::{Batch, Compression, Queue as QueueSettings, RetryPolicy, Sizer},
    },
    net::grpc::PREFIX_LEN,
    telemetry::{AttemptMetrics, Metrics},
};

/// How the other side answers one attempt.
#[derive(Clone, Debug)]
enum Step {
    Answer(Outcome),
    /// Answers OK when the permit comes.
    Hold,
    /// Refuses every message that contains this byte as invalid, from here on.
    RefuseContaining(u8),
}

/// A transport that plays a script, then says OK.
#[derive(Debug, Default)]
struct Script {
    steps: Mutex<VecDeque<Step>>,
    /// Body and time of every attempt.
    attempts: Mutex<Vec<(Bytes, Instant)>>,
    /// Tenant of every attempt.
    tenants: Mutex<Vec<String>>,
    release: tokio::sync::Notify,
}

impl Script {
    fn new(steps: impl IntoIterator<Item = Step>) -> Arc<Self> {
        Arc::new(Self { steps: Mutex::new(steps.into_iter().collect()), ..Self::default() })
    }

    fn bodies(&self) -> Vec<Vec<u8>> {
        self.attempts.lock().unwrap().iter().map(|(body, _)| body.to_vec()).collect()
    }

    fn next(&self) -> Step {
        let mut steps = self.steps.lock().unwrap();
        if let Some(Step::RefuseContaining(byte)) = steps.front() {
            return Step::RefuseContaining(*byte);
        }
        steps.pop_front().unwrap_or_else(|| Step::Answer(Ok(Delivered::default())))
    }
}

impl Transport for Script {
    fn send<'a>(
        &'a self,
        message: Bytes,
        metadata: &'a Metadata,
    ) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>> {
        let tenant = metadata.values("tenant").next().unwrap_or_default();
        self.tenants.lock().unwrap().push(String::from_utf8(tenant.to_vec()).unwrap());
        let body = message.slice(PREFIX_LEN..);
        let length = u32::from_be_bytes(message[1..PREFIX_LEN].try_into().unwrap()) as usize;
        assert_eq!(length, body.len(), "the prefix tells the length");
        self.attempts.lock().unwrap().push((body.clone(), Instant::now()));
        Box::pin(async move {
            match self.next() {
                Step::Answer(outcome) => outcome,
                Step::Hold => {
                    self.release.notified().await;
                    Ok(Delivered::default())
                }
                Step::RefuseContaining(byte) if body.contains(&byte) => Err(status(3, Retry::Never)),
                Step::RefuseContaining(_) => Ok(Delivered::default()),
            }
        })
    }
}

fn status(number: u32, retry: Retry) -> Failure {
    let code = if retry == Retry::Never { Code::Rejected } else { Code::Unavailable };
    let mut failure = Failure::new(Side::Backend, code, retry, "scripted");
    failure.grpc_status = Some(number);
    failure
}

fn unavailable() -> Step {
    Step::Answer(Err(status(14, Retry::After(None))))
}

fn settings() -> settings::Backend {
    settings::Backend {
        timeout: Some(Duration::from_secs(5)),
        compression: Compression::None,
        protocol: settings::Protocol::Grpc,
        headers: Vec::new(),
        forwarded: Vec::new(),
        retry: Some(RetryPolicy {
            initial_interval: Duration::from_secs(5),
            randomization_factor: 0.0,
            multiplier: 1.5,
            max_interval: Duration::from_secs(30),
            max_elapsed_time: Some(Duration::from_secs(300)),
        }),
        queue: QueueSettings {
            acknowledge: settings::Acknowledge::Enqueued,
            block_on_overflow: false,
            storage: None,
            num_consumers: 10,
            size: 1000,
            sizer: Sizer::Requests,
        },
        batch: Batch {
            min_size: 0,
            max_size: 0,
            flush_timeout: Duration::from_millis(200),
            sizer: Sizer::Items,
        },
        max_message_bytes: 4 << 20,
        ambiguous: [settings::Ambiguous::Retry; 3],
        drain_timeout: Duration::from_secs(10),
        health: None,
    }
}

/// More memory than any test holds.
fn budget() -> Budget {
    Budget::new(1 << 30)
}

/// One backend under test, and what was offered to it.
struct Bench {
    backend: Backend,
    script: Arc<Script>,
    metrics: BackendMetrics,
    custody: Custody,
    stop: Stop,
    tasks: Tasks,
    offered: usize,
    refused: usize,
}

impl Bench {
    fn start(settings: &settings::Backend, steps: impl IntoIterator<Item = Step>) -> Self {
        let script = Script::new(steps);
        let metrics = Metrics::new().backend("load_balancing", "b:4317", Signal::Traces);
        let (stop, tasks, custody) = (Stop::default(), Tasks::new(), Custody::new());
        let pool = Pool {
            custody: custody.clone(),
            buffers: Buffers::new(),
            stop: stop.clone(),
            tasks: tasks.clone(),
        };
        let backend = Backend::start(
            Endpoint::new("b:4317"),
            Signal::Traces,
            settings,
            metrics.clone(),
            Arc::clone(&script) as Arc<dyn Transport>,
            budget().account(),
            &pool,
        );
        Self { backend, script, metrics, custody, stop, tasks, offered: 0, refused: 0 }
    }

    /// Offers a part whose bytes are its items.
    fn offer(&mut self, part: &[u8]) -> Result<(), Code> {
        self.offer_with(part, None)
    }

    fn offer_with(&mut self, part: &[u8], ack: Option<Ack>) -> Result<(), Code> {
        self.offer_as(part, ack, &Metadata::default())
    }

    fn offer_as(&mut self, part: &[u8], ack: Option<Ack>, metadata: &Metadata) -> Result<(), Code> {
        self.offered += part.len();
        match self.backend.reserve(part.len(), part.len()) {
            Ok(room) => {
                room.fill(ack, metadata, |buffer| buffer.extend_from_slice(part));
                Ok(())
            }
            Err(failure) => {
                self.refused += part.len();
                Err(failure.code)
            }
        }
    }

    fn attempts(&self) -> &AttemptMetrics {
        self.metrics.attempts.as_ref().unwrap()
    }

    /// The conservation law, exact to the item.
    #[track_caller]
    fn law(&self) {
        let dropped: u64 = Code::ALL.iter().map(|code| self.metrics.dropped_so_far(*code)).sum();
        let delivered = self.metrics.delivered.get();
        let queued = self.backend.queued_items();
        assert_eq!(queued as i64, self.metrics.queued.get(), "the gauge is the queue");
        assert_eq!(dropped, self.metrics.exporter.send_failed.get());
        assert_eq!(delivered, self.metrics.exporter.sent.get());
        let rerouted = self.metrics.rerouted.get();
        assert_eq!(
            self.offered,
            self.refused + delivered as usize + dropped as usize + queued + rerouted as usize,
            "offered = refused {} + delivered {delivered} + dropped {dropped} + queued {queued} + rerouted {rerouted}",
            self.refused
        );
    }

    async fn wait_for(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(3600);
        while !condition(self) {
            assert!(Instant::now() < deadline, "{what} did not happen");
            tokio::time::sleep(Duration::from_millis(1)).await;
            self.law();
        }
    }

    async fn drained(&self) {
        self.stop.drain.cancel();
        self.wait_for("the end of the drain", |bench| bench.custody.parts() == 0).await;
        self.backend.leave();
        self.tasks.ended().await;
        self.law();
    }
}

// Scenario: three parts come while nothing is in flight, then more while a send hangs.
// Guarantees: the first goes at once; what comes while the backend is busy goes as one request, in order.
#[tokio::test(start_paused = true)]
async fn waiting_parts_become_one_request() {
    let mut bench = Bench::start(&settings(), [Step::Hold]);
    bench.offer(b"a").unwrap();
    bench.wait_for("the first send", |bench| bench.script.bodies().len() == 1).await;
    for part in [b"b".as_slice(), b"cc", b"ddd"] {
        bench.offer(part).unwrap();
    }
    bench.law();
    bench.script.release.notify_one();
    bench.wait_for("delivery", |bench| bench.backend.queued_items() == 0).await;
    assert_eq!(bench.script.bodies(), [b"a".to_vec(), b"bccddd".to_vec()]);
    bench.drained().await;
}

// Scenario: a send hangs for long; a part waits behind it.
// Guarantees: the part does not wait for the hanging send longer than the hold.
#[tokio::test(start_paused = true)]
async fn a_hanging_send_does_not_hold_the_next_one() {
    let mut bench = Bench::start(&settings(), [Step::Hold]);
    bench.offer(b"a").unwrap();
    bench.wait_for("the first send", |bench| bench.script.bodies().len() == 1).await;
    let before = Instant::now();
    bench.offer(b"b").unwrap();
    bench.wait_for("the second send", |bench| bench.script.bodies().len() == 2).await;
    assert!(before.elapsed() <= Duration::from_millis(10), "{:?}", before.elapsed());
    bench.script.release.notify_one();
    bench.drained().await;
}

// Scenario: capacity of three requests with one in flight, by each sizer.
// Guarantees: what is in flight counts; the refusal is retryable; room comes back with the outcome; an element above the
// capacity is refused for good.
#[tokio::test(start_paused = true)]
async fn capacity_counts_waiting_and_in_flight() {
    for sizer in [Sizer::Requests, Sizer::Items, Sizer::Bytes] {
        let queue = QueueSettings { size: 3, sizer, ..settings().queue };
        let mut bench = Bench::start(&settings::Backend { queue, ..settings() }, [Step::Hold]);
        bench.offer(b"a").unwrap();
        bench.wait_for("the send", |bench| bench.script.bodies().len() == 1).await;
        bench.offer(b"b").unwrap();
        bench.offer(b"c").unwrap();
        assert_eq!(bench.offer(b"d"), Err(Code::QueueFull), "{sizer:?}");
        assert_eq!(bench.metrics.exporter.queue_size.get(), 3);
        if sizer != Sizer::Requests {
            assert_eq!(bench.offer(b"eeee"), Err(Code::TooLarge));
        }
        bench.law();
        bench.script.release.notify_one();
        bench.wait_for("delivery", |bench| bench.backend.queued_items() == 0).await;
        bench.offer(b"d").unwrap();
        bench.drained().await;
        assert_eq!(bench.metrics.exporter.queue_size.get(), 0);
    }
}

// Scenario: a backend is unavailable twice, then takes the data.
// Guarantees: the same bytes are sent again after 5 s and 7.5 s; delivered once; nothing dropped.
#[tokio::test(start_paused = true)]
async fn retries_wait_and_deliver() {
    let mut bench = Bench::start(&settings(), [unavailable(), unavailable()]);
    bench.offer(b"abc").unwrap();
    bench.wait_for("delivery", |bench| bench.backend.queued_items() == 0).await;
    let attempts = bench.script.attempts.lock().unwrap().clone();
    assert_eq!(bench.script.bodies(), vec![b"abc".to_vec(); 3]);
    let waits: Vec<_> = attempts.windows(2).map(|pair| (pair[1].1 - pair[0].1).as_millis()).collect();
    // The timer of tokio rounds up to a millisecond.
    assert!((5000..=5001).contains(&waits[0]) && (7500..=7501).contains(&waits[1]), "{waits:?}");
    assert_eq!(
        (bench.metrics.retries.get(), bench.attempts().failed.get(), bench.attempts().succeeded.get()),
        (2, 2, 1)
    );
    bench.drained().await;
}

// Scenario: the backend stays down beyond max_elapsed_time; another failure is permanent; a partial success.
// Guarantees: given up with the reason of the last failure; rejected items are not counted as delivered.
#[tokio::test(start_paused = true)]
async fn giving_up_is_counted_by_reason() {
    let steps = std::iter::repeat_with(unavailable).take(100);
    let mut bench = Bench::start(&settings(), steps);
    bench.offer(b"abc").unwrap();
    bench.wait_for("the end of retries", |bench| bench.backend.queued_items() == 0).await;
    assert_eq!(bench.metrics.dropped_so_far(Code::Unavailable), 3);

    bench.script.steps.lock().unwrap().clear();
    let partial = Delivered { rejected: 1, message: "one is bad".into() };
    bench
        .script
        .steps
        .lock()
        .unwrap()
        .extend([Step::Answer(Err(status(16, Retry::Never))), Step::Answer(Ok(partial))]);
    bench.offer(b"de").unwrap();
    bench.wait_for("the refusal", |bench| bench.backend.queued_items() == 0).await;
    assert_eq!(bench.metrics.dropped_so_far(Code::Rejected), 2);
    bench.offer(b"fgh").unwrap();
    bench.wait_for("the partial success", |bench| bench.backend.queued_items() == 0).await;
    assert_eq!((bench.metrics.dropped_so_far(Code::Rejected), bench.metrics.delivered.get()), (3, 2));
    bench.drained().await;
}

// Scenario: one of seven sources of a merged batch makes the backend refuse the message.
// Guarantees: only that source is dropped and told; the six others are delivered once.
#[tokio::test(start_paused = true)]
async fn a_bad_source_costs_only_itself() {
    let mut bench = Bench::start(&settings(), [Step::Hold, Step::RefuseContaining(b'x')]);
    bench.offer(b"-").unwrap();
    bench.wait_for("the first send", |bench| bench.script.bodies().len() == 1).await;
    let mut waits = Vec::new();
    for part in [b"a".as_slice(), b"b", b"c", b"dxd", b"e", b"f", b"g"] {
        let (ack, wait) = Ack::new(false);
        bench.offer_with(part, Some(ack)).unwrap();
        waits.push((part, wait));
    }
    bench.script.release.notify_one();
    bench.wait_for("all outcomes", |bench| bench.backend.queued_items() == 0).await;
    assert_eq!(bench.metrics.dropped_so_far(Code::Rejected), 3);
    assert_eq!(bench.metrics.delivered.get(), 7);
    for (part, wait) in waits {
        assert_eq!(wait.await.unwrap().is_err(), part.contains(&b'x'), "{part:?}");
    }
    bench.drained().await;
}

// Scenario: a wrong credential is answered to a merged batch.
// Guarantees: it is not sent again in pieces; halving would not help.
#[tokio::test(start_paused = true)]
async fn a_refusal_that_is_not_about_content_is_final() {
    let mut bench = Bench::start(&settings(), [Step::Hold, Step::Answer(Err(status(16, Retry::Never)))]);
    for part in [b"-", b"a", b"b"] {
        bench.offer(part).unwrap();
        tokio::task::yield_now().await;
    }
    bench.script.release.notify_one();
    bench.wait_for("all outcomes", |bench| bench.backend.queued_items() == 0).await;
    assert_eq!(bench.script.bodies().len(), 2);
    bench.drained().await;
}

// Scenario: a drain begins with data waiting and one send backing off; then the deadline passes.
// Guarantees: draining sends what waits and goes on retrying; the abort drops the rest as shutting_down and the task ends.
#[tokio::test(start_paused = true)]
async fn drain_then_abort() {
    let mut bench = Bench::start(&settings(), std::iter::repeat_with(unavailable).take(100));
    bench.offer(b"abc").unwrap();
    bench.wait_for("a failed attempt", |bench| bench.attempts().failed.get() == 1).await;
    bench.stop.drain.cancel();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(bench.script.bodies().len() > 2 && bench.tasks.running() == 1);
    bench.law();
    bench.stop.abort.cancel();
    bench.tasks.ended().await;
    assert_eq!(bench.metrics.dropped_so_far(Code::ShuttingDown), 3);
    bench.law();
}

// Scenario: the abort comes with batches that were never sent, because one send occupies the only consumer.
// Guarantees: they are counted as shutting_down too, and nothing is sent after the abort.
#[tokio::test(start_paused = true)]
async fn abort_counts_what_was_never_sent() {
    let queue = QueueSettings { num_consumers: 1, ..settings().queue };
    let mut bench = Bench::start(&settings::Backend { queue, ..settings() }, [Step::Hold]);
    bench.offer(b"abc").unwrap();
    bench.wait_for("the send", |bench| bench.script.bodies().len() == 1).await;
    bench.offer(b"de").unwrap();
    let room = bench.backend.reserve(1, 1).unwrap();
    bench.stop.abort.cancel();
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(bench.tasks.running(), 1, "a reservation may still bring data");
    bench.offered += 1;
    room.fill(None, &Metadata::default(), |buffer| buffer.push(b'f'));
    bench.tasks.ended().await;
    assert_eq!(bench.metrics.dropped_so_far(Code::ShuttingDown), 6);
    assert_eq!(bench.script.bodies().len(), 1);
    bench.law();
}

// Scenario: batch {min_size 4, max_size 6 items}: few items, then many.
// Guarantees: fewer wait for flush_timeout; enough go at once; no message exceeds max_size.
#[tokio::test(start_paused = true)]
async fn configured_batches_wait_and_stay_small() {
    let batch = Batch { min_size: 4, max_size: 6, ..settings().batch };
    let mut bench = Bench::start(&settings::Backend { batch, ..settings() }, []);
    let started = Instant::now();
    bench.offer(b"ab").unwrap();
    bench.wait_for("the flush", |bench| bench.script.bodies().len() == 1).await;
    assert!((200..=202).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
    for part in [b"ccc", b"ddd", b"eee", b"fff", b"ggg"] {
        bench.offer(part).unwrap();
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(bench.script.bodies()[1..], [b"cccddd".to_vec(), b"eeefff".to_vec()]);
    bench.drained().await;
    assert_eq!(bench.script.bodies()[3..], [b"ggg".to_vec()]);
}

// Scenario: clients wait for delivery and go away while the backend is down.
// Guarantees: no attempt is made for nobody; it is counted as cancelled; one client that stays keeps the batch alive.
#[tokio::test(start_paused = true)]
async fn abandoned_parts_are_not_sent_again() {
    let mut bench = Bench::start(&settings(), [unavailable()]);
    let (ack, wait) = Ack::new(false);
    bench.offer_with(b"abc", Some(ack)).unwrap();
    bench.wait_for("a failed attempt", |bench| bench.attempts().failed.get() == 1).await;
    drop(wait);
    bench.wait_for("the end", |bench| bench.backend.queued_items() == 0).await;
    assert_eq!(bench.script.bodies().len(), 1);
    assert_eq!(bench.metrics.dropped_so_far(Code::Cancelled), 3);
    bench.drained().await;
}

// Scenario: a scripted failure of every kind under steady offers, with a small queue.
// Guarantees: offered = refused + delivered + dropped{reason} + queued after every millisecond of it.
#[tokio::test(start_paused = true)]
async fn conservation_holds_at_every_step() {
    let mut steps = Vec::new();
    for round in 0..20 {
        steps.push(Step::Answer(Err(status(14, Retry::After(Some(Duration::from_secs(round % 3)))))));
        steps.push(Step::Answer(Err(status(3, Retry::Never))));
        steps.push(Step::Answer(Ok(Delivered { rejected: round % 4, message: String::new() })));
        steps.push(Step::Answer(Err(status(8, Retry::Never))));
        steps.push(Step::Hold);
    }
    let queue = QueueSettings { num_consumers: 3, size: 25, sizer: Sizer::Items, ..settings().queue };
    let mut bench = Bench::start(&settings::Backend { queue, ..settings() }, steps);
    for round in 0..2000_usize {
        let part = vec![b'a'; round % 7 + 1];
        // A refusal is counted by the law.
        let _refused = bench.offer(&part).is_err();
        bench.law();
        tokio::time::sleep(Duration::from_millis((round % 5) as u64)).await;
        bench.law();
        if round % 50 == 0 {
            bench.script.release.notify_waiters();
        }
    }
    assert!(bench.refused > 0 && bench.metrics.delivered.get() > 0);
    bench.stop.drain.cancel();
    tokio::time::sleep(Duration::from_secs(1)).await;
    bench.stop.abort.cancel();
    bench.tasks.ended().await;
    assert_eq!(bench.backend.queued_items(), 0);
    bench.law();
}

// Scenario: the answer to a merged batch is OK with a body that cannot be read.
// Guarantees: the data may have been taken, so it is neither halved nor sent again.
#[tokio::test(start_paused = true)]
async fn an_unreadable_success_is_not_sent_again() {
    let unreadable = Failure { ambiguous: true, ..status(13, Retry::Never) };
    let mut bench = Bench::start(&settings(), [Step::Hold, Step::Answer(Err(unreadable))]);
    bench.offer(b"-").unwrap();
    bench.wait_for("the first send", |bench| bench.script.bodies().len() == 1).await;
    bench.offer(b"a").unwrap();
    bench.offer(b"b").unwrap();
    bench.script.release.notify_one();
    bench.wait_for("all outcomes", |bench| bench.backend.queued_items() == 0).await;
    assert_eq!(bench.script.bodies(), [b"-".to_vec(), b"ab".to_vec()]);
    assert_eq!(bench.metrics.dropped_so_far(Code::Rejected), 2);
    bench.drained().await;
}

// Scenario: a merged batch goes to a URL that is not served.
// Guarantees: it is not sent again in pieces; no other content would be served there.
#[tokio::test(start_paused = true)]
async fn a_wrong_url_is_not_asked_again() {
    let unsupported = Failure { code: Code::Unsupported, ..status(2, Retry::Never) };
    let mut bench = Bench::start(&settings(), [Step::Hold, Step::Answer(Err(unsupported))]);
    bench.offer(b"-").unwrap();
    bench.wait_for("the first send", |bench| bench.script.bodies().len() == 1).await;
    bench.offer(b"a").unwrap();
    bench.offer(b"b").unwrap();
    bench.script.release.notify_one();
    bench.wait_for("all outcomes", |bench| bench.backend.queued_items() == 0).await;
    assert_eq!(bench.script.bodies().len(), 2);
    assert_eq!(bench.metrics.dropped_so_far(Code::Unsupported), 2);
    bench.drained().await;
}

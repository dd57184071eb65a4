//! A client: sends requests one after the other and sends one again, as a Collector would, while the gateway says that a retry
//! may help.

use std::{sync::Arc, time::Duration};

use ringway::{
    model::{Code, Metadata, Signal},
    router::Dispatcher,
};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    items::{self, Item, Kind},
    ledger::{Event, Ledger},
};

/// How the clients of a run behave.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// How long they make new requests.
    pub(crate) lasts: Duration,
    /// Middle of the pause between two requests of a client.
    pub(crate) pause: Duration,
    /// Most items of a request.
    pub(crate) items_max: usize,
    pub(crate) keys: u32,
    /// A client waits so long for an answer.
    pub(crate) timeout: Duration,
    /// A client sends a request again for so long.
    pub(crate) patience: Duration,
    /// One item in so many is poison; 0: none.
    pub(crate) poison_in: u32,
    /// One item in so many is a giant; 0: none.
    pub(crate) giant_in: u32,
}

/// One client of one signal.
pub(crate) struct Client {
    pub(crate) signal: Signal,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) load: Arc<Load>,
    pub(crate) ledger: Ledger,
    pub(crate) random: fastrand::Rng,
}

impl Client {
    /// Sends until the load ends.
    pub(crate) async fn run(mut self) {
        let until = Instant::now() + self.load.lasts;
        while Instant::now() < until {
            sleep(self.load.pause.mul_f64(self.random.f64() * 2.0)).await;
            let items = self.make();
            self.send(&items).await;
        }
    }

    fn make(&mut self) -> Vec<Item> {
        let Load { items_max, keys, poison_in, giant_in, .. } = *self.load;
        let random = &mut self.random;
        let mut one_in = |odds: u32| odds > 0 && random.u32(..odds) == 0;
        let kinds: Vec<Kind> = (0..items_max)
            .map(|_| match (one_in(poison_in), one_in(giant_in)) {
                (true, _) => Kind::Poison,
                (false, true) => Kind::Giant,
                (false, false) => Kind::Plain,
            })
            .collect();
        let count = random.usize(1..=items_max);
        let items = kinds.into_iter().take(count).map(|kind| (random.u32(..keys), kind));
        self.ledger.make(self.signal.index(), items.collect::<Vec<_>>())
    }

    /// Sends one request until it is taken, refused for good, or no longer worth the trouble. The waits are those of the
    /// Collector's `retry_on_failure`, a tenth as long.
    async fn send(&mut self, items: &[Item]) {
        let request = self.ledger.request();
        let signal = self.signal.index();
        let body = items::request(self.signal, items);
        let ids: Vec<_> = items.iter().map(|item| item.id).collect();
        let until = Instant::now() + self.load.patience;
        let mut wait = Duration::from_millis(500);
        for time in 1.. {
            self.ledger.write(Event::Offered { signal, request, time, items: ids.clone() });
            let metadata = Metadata::default();
            let dispatch = self.dispatcher.dispatch(self.signal, body.clone().into(), &metadata);
            let refused = match timeout(self.load.timeout, dispatch).await {
                Ok(dispatched) => match dispatched.outcome {
                    Ok(_) => {
                        self.ledger.write(Event::Accepted { request, items: ids });
                        return;
                    }
                    Err(failure) => {
                        let whole =
                            matches!(failure.code, Code::QueueFull | Code::MemoryFull | Code::NoBackend);
                        (failure.code.as_str(), failure.is_retryable(), whole)
                    }
                },
                Err(_) => ("client_timeout", true, false),
            };
            let (code, retryable, whole) = refused;
            self.ledger.write(Event::Refused { request, code, retryable, whole });
            let pause = wait.mul_f64(0.5 + self.random.f64());
            if !retryable || Instant::now() + pause > until {
                return;
            }
            sleep(pause).await;
            wait = wait.mul_f64(1.5).min(Duration::from_secs(3));
        }
    }
}

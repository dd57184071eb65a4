//! Load against a sink, without a gateway between them: what is acknowledged must be what arrives.

use super::*;
use crate::{
    cli::demo::{
        generator::Generator,
        sink::{Action, Mode, Sink, audit},
    },
    net::grpc::Status,
};

/// A source of `requests` requests of 20 spans that keeps what it sent.
fn source(requests: usize, seed: u64) -> (impl FnMut() -> Option<Message>, Arc<Mutex<Vec<Request>>>) {
    let mut generator = Generator::new(20, seed, 1_760_000_000_000_000_000);
    let sent = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&sent);
    let source = move || {
        let mut kept = kept.lock().unwrap();
        if kept.len() == requests {
            return None;
        }
        let request = generator.request();
        kept.push(request.clone());
        Some(Message::compressed(
            &request,
            if kept.len() % 2 == 0 { Compression::Gzip } else { Compression::None },
        ))
    };
    (source, sent)
}

async fn check(pace: Pace, seed: u64) {
    let sink = Sink::start("127.0.0.1:0", Mode::Record).await.unwrap();
    let busy = Status { code: Code::Unavailable, message: String::new(), retry_delay: None };
    sink.script().next(3, Action::Answer(busy));
    let (source, sent) = source(40, seed);
    let load = Load::start(&sink.address().to_string(), pace, source);
    sink.until(|totals| totals.requests == 40).await;
    let (counts, latencies) = load.stop().await;
    let expect = Counts {
        acknowledged_requests: 40,
        acknowledged_spans: 800,
        refused_attempts: 3,
        ..Counts::default()
    };
    assert_eq!(counts, expect);
    assert!(latencies.quantile(1.0) >= REFUSED_PAUSE, "a refused request counts from its first attempt");
    let keys: Vec<_> = sent.lock().unwrap().iter().flat_map(|request| request.spans.clone()).collect();
    assert_eq!(keys.len(), 800);
    let (_, record) = sink.kill().await;
    assert_eq!(audit(keys, &[record]), crate::cli::demo::sink::Audit::default());
}

// Scenario: forty requests, plain and gzip in turn, in both loops, to a sink that refuses three of them at first.
// Guarantees: every request is acknowledged once and arrives once; refusals are counted and sent again.
#[tokio::test]
async fn what_is_acknowledged_has_arrived() {
    check(Pace::Closed { connections: 2, in_flight: 3 }, 1).await;
    check(Pace::Open { rate: 2_000.0, connections: 2, in_flight_max: 8 }, 2).await;
}

// Scenario: a sink resets one request after taking it; the load is stopped.
// Guarantees: a request without an answer is counted apart and not sent again.
#[tokio::test]
async fn a_lost_answer_is_counted_apart() {
    let sink = Sink::start("127.0.0.1:0", Mode::Record).await.unwrap();
    sink.script().next(1, Action::Reset { reason: h2::Reason::INTERNAL_ERROR, take: true });
    let (source, _) = source(2, 3);
    let load =
        Load::start(&sink.address().to_string(), Pace::Closed { connections: 1, in_flight: 1 }, source);
    sink.until(|totals| totals.requests == 2).await;
    let (counts, _) = load.stop().await;
    let expect = Counts {
        acknowledged_requests: 1,
        acknowledged_spans: 20,
        unanswered_spans: 20,
        ..Counts::default()
    };
    assert_eq!(counts, expect);
    sink.stop().await;
}

// Scenario: an open loop of five requests a second for a paused clock's two seconds.
// Guarantees: requests leave at their times: none early, none missing.
#[tokio::test(start_paused = true)]
async fn an_open_loop_keeps_its_times() {
    let begun = Instant::now();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let times = Arc::clone(&asked);
    let source = move || {
        let mut times = times.lock().unwrap();
        times.push(begun.elapsed().as_millis());
        (times.len() < 11).then(|| Message::framed(Signal::Traces, &[], 0, None, 0))
    };
    // Port 0 cannot be connected to: every attempt is refused at once.
    let pace = Pace::Open { rate: 5.0, connections: 1, in_flight_max: 100 };
    let load = Load::start("127.0.0.1:0", pace, source);
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    load.stop().await;
    assert_eq!(*asked.lock().unwrap(), (0..=2_000).step_by(200).collect::<Vec<_>>());
}

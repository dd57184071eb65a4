//! Real sockets on loopback for binding and options; scripted errors under a paused clock for the rest.

use std::{cell::RefCell, collections::VecDeque};

use super::*;

// Scenario: a client connects to a bound port.
// Guarantees: the accepted socket has TCP_NODELAY; `localhost` is 127.0.0.1.
#[tokio::test]
async fn accepted_sockets_have_nodelay() {
    let listener = bind("localhost:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    assert!(address.is_ipv4(), "{address}");
    let (client, (accepted, peer)) = tokio::join!(TcpStream::connect(address), accept(&listener));
    assert!(accepted.nodelay().unwrap());
    assert_eq!(client.unwrap().local_addr().unwrap(), peer);
}

// Scenario: an endpoint without a host, as Go allows.
// Guarantees: it is reachable over IPv4.
#[tokio::test]
async fn empty_host_listens_on_every_address() {
    let listener = bind(":0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (client, _) = tokio::join!(TcpStream::connect(("127.0.0.1", port)), accept(&listener));
    assert!(client.is_ok(), "{client:?}");
}

// Scenario: a port that is taken, and endpoints that are none.
// Guarantees: an error that names the endpoint as configured.
#[tokio::test]
async fn bind_errors_name_the_endpoint() {
    let taken = bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for endpoint in [address.as_str(), "127.0.0.1", ":port", "127.0.0.1:99999"] {
        let error = bind(endpoint).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot listen on {endpoint}: ")), "{error}");
    }
}

#[track_caller]
fn check(outcome: (u32, Duration), expect: (u32, Duration)) {
    assert_eq!(outcome, expect);
}

/// Runs [`accept_from`] over scripted errors; the accepted value and the time it took on the paused clock.
async fn run(errors: &[io::ErrorKind], raw: &[i32]) -> (u32, Duration) {
    let script: VecDeque<_> = errors
        .iter()
        .map(|kind| Err(io::Error::from(*kind)))
        .chain(raw.iter().map(|code| Err(io::Error::from_raw_os_error(*code))))
        .chain([Ok(7)])
        .collect();
    let script = RefCell::new(script);
    let start = Instant::now();
    let accepted = accept_from(|| std::future::ready(script.borrow_mut().pop_front().unwrap())).await;
    (accepted, start.elapsed())
}

// Scenario: connections that end early, and a process without descriptors (EMFILE 24, ENFILE 23).
// Guarantees: the first cost no time, each of the second one bounded pause; accepting goes on.
#[tokio::test(start_paused = true)]
async fn accept_survives_errors() {
    let passing = [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset];
    check(run(&passing, &[]).await, (7, Duration::ZERO));
    check(run(&[], &[24, 23, 24]).await, (7, EXHAUSTED_PAUSE * 3));
}

// Scenario: accepting fails again and again.
// Guarantees: one log line, and another one only after the interval.
#[tokio::test(start_paused = true)]
async fn log_lines_are_limited() {
    let limit = LogLimit(Mutex::new(None));
    assert!(limit.allows());
    tokio::time::advance(LOG_INTERVAL / 2).await;
    assert!(!limit.allows());
    tokio::time::advance(LOG_INTERVAL).await;
    assert!(limit.allows());
}

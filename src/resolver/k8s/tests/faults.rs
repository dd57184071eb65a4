//! Following a Service whose API server fails in one way or another.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::{Api, Seen, api::Fault, entry, settings, slice};
use crate::resolver::{State, k8s::watch::Backoff};

const FORBIDDEN: &str = "endpointslices.discovery.k8s.io is forbidden: User \"system:serviceaccount:gateways:ringway\" cannot \
     list resource \"endpointslices\" in API group \"discovery.k8s.io\" in the namespace \"observability\"";

async fn started() -> (Api, Seen) {
    let api = Api::new();
    api.put(slice("a", ["10.0.0.1"].map(entry)));
    let mut seen = Seen::new(settings(), &api);
    seen.set(&["10.0.0.1"]).await;
    (api, seen)
}

/// Waits until the resolver says that it fails.
async fn failed(seen: &Seen) -> &'static str {
    let fails = async {
        while seen.failure().0.is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(120), fails).await.unwrap();
    seen.failure().0
}

// Scenario: a running resolver's API server fails for a minute in every way it knows, while the Service changes; then it works.
// Guarantees: the last set stays; the code and the state say what it is; the new set is there 5 s after the end at the latest
// (where requests hang: after the limit of the one under way).
#[tokio::test(start_paused = true)]
async fn every_fault_keeps_the_last_set() {
    let faults = [
        (Fault::Status(401, "Unauthorized"), "unauthorized"),
        (Fault::Status(403, FORBIDDEN), "forbidden"),
        (Fault::Status(404, "the server could not find the requested resource"), "not_found"),
        (Fault::Status(410, "The resourceVersion for the provided list is too old."), "expired"),
        (Fault::Status(429, "Too many requests, please try again later."), "server_error"),
        (Fault::Status(500, "etcdserver: leader changed"), "server_error"),
        (Fault::Status(503, "apiserver is shutting down"), "server_error"),
        (Fault::Status(504, "Too large resource version"), "timeout"),
        (Fault::Body("<html>"), "server_error"),
        (Fault::Body("{\"metadata\":{},\"items\":[]}"), "server_error"),
        (Fault::Refused, "unreachable"),
        (Fault::Hang, "timeout"),
    ];
    for (fault, code) in faults {
        let (api, mut seen) = started().await;
        api.fail(&fault);
        api.put(slice("a", ["10.0.0.2"].map(entry)));
        assert_eq!(failed(&seen).await, code, "{fault:?}");
        let failures = seen.metrics.failures(code);
        sleep(Duration::from_secs(60)).await;
        assert_eq!(seen.now(), ["10.0.0.1"], "{fault:?}");
        assert_eq!(seen.failure().0, code, "{fault:?}");
        assert!(seen.metrics.failures(code) > failures, "{fault:?}");
        api.heal();
        let healed = Instant::now();
        seen.set(&["10.0.0.2"]).await;
        let most = if fault == Fault::Hang { 35 } else { 5 };
        assert!(healed.elapsed() <= Duration::from_secs(most), "{fault:?}: {:?}", healed.elapsed());
        assert_eq!(seen.failure().0, "", "{fault:?}");
    }
}

// Scenario: the API server does not answer at all from the start; then it does.
// Guarantees: the resolver waits, says why, and has the set at last.
#[tokio::test(start_paused = true)]
async fn the_first_answer_may_come_late() {
    let api = Api::new();
    api.fail(&Fault::Hang);
    let mut seen = Seen::new(settings(), &api);
    assert_eq!(failed(&seen).await, "timeout");
    assert_eq!((seen.state(), seen.now()), (State::Waiting, vec![]));
    let expect =
        "no answer to list endpointslices.discovery.k8s.io in namespace \"observability\" within 30 s";
    assert_eq!(seen.failure().1, expect);
    api.put(slice("a", ["10.0.0.1"].map(entry)));
    api.heal();
    seen.set(&["10.0.0.1"]).await;
    assert_eq!(seen.failure().0, "");
}

// Scenario: no permission, as a real API server says it.
// Guarantees: the sentence names verb, resource, namespace and service account, and the Role that it takes.
#[tokio::test(start_paused = true)]
async fn a_missing_role_is_named() {
    let api = Api::new();
    api.fault("list", Fault::Status(403, FORBIDDEN));
    let seen = Seen::new(settings(), &api);
    assert_eq!(failed(&seen).await, "forbidden");
    let expect = "service account gateways/ringway may not list endpointslices.discovery.k8s.io in namespace \"observability\": ";
    let hint = "; it takes a Role in namespace \"observability\" with the verbs get, list and watch for endpointslices in the API \
         group discovery.k8s.io, and a RoleBinding of it to service account gateways/ringway";
    assert_eq!(seen.failure().1, format!("{expect}{FORBIDDEN}{hint}"));
    api.fault("list", Fault::Status(403, ""));
    sleep(Duration::from_secs(6)).await;
    assert!(seen.failure().1.starts_with("its user may not list endpointslices"), "{}", seen.failure().1);
}

// Scenario: for ten minutes lists are answered and watches are refused; or each watch ends at once; or nothing works.
// Guarantees: the server is asked about every 2.5 s in the mean, not more; the set is that of the last list.
#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_is_not_hammered() {
    let (api, mut seen) = started().await;
    for is_list_good in [true, false] {
        api.fail(&Fault::Status(403, FORBIDDEN));
        if is_list_good {
            api.heal();
            api.fault("watch", Fault::Status(403, FORBIDDEN));
        }
        api.requests();
        sleep(Duration::from_secs(600)).await;
        assert_eq!(failed(&seen).await, "forbidden");
        let requests = api.requests().len();
        assert!((120..=600).contains(&requests), "{requests}");
    }
    api.heal();
    api.fault("watch", Fault::Body(""));
    api.put(slice("a", ["10.0.0.2"].map(entry)));
    seen.set(&["10.0.0.2"]).await;
    api.requests();
    sleep(Duration::from_secs(600)).await;
    let requests = api.requests().len();
    assert!((120..=600).contains(&requests), "{requests}");
}

// Scenario: waits of a client that fails again and again, many times over.
// Guarantees: each is between nothing and 250 ms, doubled each time up to 5 s, and uses all of that; a good watch begins again.
#[test]
fn waits_are_jittered_and_bounded() {
    let mut longest = [Duration::ZERO; 8];
    for _ in 0..1000 {
        let mut backoff = Backoff::default();
        for longest in &mut longest {
            *longest = backoff.next().max(*longest);
        }
        backoff.reset();
        assert!(backoff.next() <= Duration::from_millis(250));
    }
    for (longest, most) in longest.into_iter().zip([250, 500, 1000, 2000, 4000, 5000, 5000, 5000]) {
        let most = Duration::from_millis(most);
        assert!(longest <= most && longest > most.mul_f64(0.9), "{longest:?} of {most:?}");
    }
}

// Scenario: history is compacted while a watch is cut off, so that the next one is refused with 410 in the stream.
// Guarantees: a full list follows within the first wait.
#[tokio::test(start_paused = true)]
async fn an_expired_version_is_listed_again() {
    let (api, mut seen) = started().await;
    sleep(Duration::from_secs(20)).await;
    api.put(slice("b", ["10.0.0.2"].map(entry)));
    seen.set(&["10.0.0.1", "10.0.0.2"]).await;
    api.requests();
    api.end_watches(true);
    api.remove("a");
    api.compact();
    let cut = Instant::now();
    seen.set(&["10.0.0.2"]).await;
    assert!(cut.elapsed() <= Duration::from_millis(500), "{:?}", cut.elapsed());
    assert_eq!(api.requests()[..2], ["watch 102", "list"]);
    assert_eq!(seen.metrics.failures("expired"), 1);
}

// Scenario: the server comes back with another history, whose versions are lower: the old one is accepted and hears nothing, or
// events with lower versions, or a bookmark.
// Guarantees: a full list as soon as a version goes back; otherwise at the next resync.
#[tokio::test(start_paused = true)]
async fn a_replaced_history_is_listed_again() {
    for is_told in [true, false] {
        let (api, mut seen) = started().await;
        sleep(Duration::from_secs(20)).await;
        api.end_watches(false);
        api.replace([slice("new", ["10.0.0.7"].map(entry)), slice("new", ["10.0.0.9"].map(entry))]);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(seen.now(), ["10.0.0.1"]);
        if is_told {
            api.bookmark(api.version());
        }
        let began = Instant::now();
        seen.set(&["10.0.0.9"]).await;
        let most = if is_told { 1 } else { 600 };
        assert!(began.elapsed() <= Duration::from_secs(most), "{:?}", began.elapsed());
        api.replace([slice("newer", ["10.0.0.8"].map(entry))]);
        // The running watch is told of an event with a lower version.
        seen.set(&["10.0.0.8"]).await;
        assert_eq!(seen.metrics.failures("server_error"), if is_told { 2 } else { 1 });
    }
}

// Scenario: the connection of a watch is half-open: nothing arrives, not even its end.
// Guarantees: noticed 5 s after the watch should have ended; then a full list.
#[tokio::test(start_paused = true)]
async fn a_half_open_watch_is_noticed() {
    let (api, mut seen) = started().await;
    sleep(Duration::from_secs(1)).await;
    api.forget_watches();
    api.put(slice("a", ["10.0.0.2"].map(entry)));
    let began = Instant::now();
    seen.set(&["10.0.0.2"]).await;
    assert!(began.elapsed() <= Duration::from_secs(66), "{:?}", began.elapsed());
    assert_eq!(seen.metrics.failures("timeout"), 1);
}

// Scenario: a list breaks off between two pages, or its continuation has expired.
// Guarantees: nothing of it is used; the next list is whole.
#[tokio::test(start_paused = true)]
async fn half_a_list_is_no_list() {
    let (api, mut seen) = started().await;
    for fault in [Fault::Refused, Fault::Status(410, "The provided continue parameter is too old")] {
        api.set_page(1);
        api.fault("list more", fault);
        api.end_watches(true);
        api.compact();
        api.put(slice("a", ["10.0.0.3"].map(entry)));
        api.put(slice("b", ["10.0.0.4"].map(entry)));
        api.compact();
        sleep(Duration::from_secs(30)).await;
        assert_eq!(seen.now(), ["10.0.0.1"]);
        api.heal();
        seen.set(&["10.0.0.3", "10.0.0.4"]).await;
        api.put(slice("a", ["10.0.0.1"].map(entry)));
        api.remove("b");
        seen.set(&["10.0.0.1"]).await;
    }
}

// Scenario: a watch says what nobody knows: fields, a slice without endpoints, half a line before its end, an unknown event,
// an error inside the stream.
// Guarantees: what can be understood is used; half a line is asked for again; after anything else there is a full list.
#[tokio::test(start_paused = true)]
async fn strange_lines_do_no_harm() {
    let (api, mut seen) = started().await;
    sleep(Duration::from_secs(1)).await;
    let with = |version: u64, rest: &str| {
        format!(
            "{{\"type\":\"MODIFIED\",\"novel\":1,\"object\":{{\"metadata\":{{\"name\":\"a\",\"novel\":{{}},\
             \"resourceVersion\":\"{version}\"}},\"addressType\":\"IPv4\",\"novel\":[],{rest}}}}}\n"
        )
    };
    api.say(&with(
        102,
        "\"endpoints\":[{\"addresses\":[\"10.0.0.2\"],\"novel\":\"x\",\"conditions\":{}}],\"ports\":null",
    ));
    seen.set(&["10.0.0.2"]).await;
    api.say(&with(103, "\"endpoints\":null"));
    seen.set(&[]).await;
    assert_eq!(seen.failure().0, "");
    api.requests();
    let half = with(104, "\"endpoints\":[]");
    api.say(&half[..half.len() / 2]);
    api.end_watches(false);
    sleep(Duration::from_secs(1)).await;
    assert_eq!((api.requests(), seen.failure().0), (vec!["watch 103".to_owned()], ""));
    for line in [
        "{\"type\":\"NOVEL\",\"object\":{}}\n",
        "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":500,\"message\":\"oh\"}}\n",
        "no JSON\n",
    ] {
        api.say(line);
        sleep(Duration::from_secs(12)).await;
        assert_eq!(api.requests(), ["list", "watch 101"], "{line}");
    }
    assert_eq!((seen.metrics.failures("server_error"), seen.now()), (3, vec!["10.0.0.1".to_owned()]));
}

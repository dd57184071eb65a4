//! Following a Service whose API server works.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Api, Seen, entry, identities, settings, slice};
use crate::{
    model::settings::K8s,
    resolver::{State, k8s::slices},
};

// Scenario: slices are there, one is added, changed and removed; the last listener leaves.
// Guarantees: the set is always that of all slices; the first answer is the list; the task ends with the last listener.
#[tokio::test(start_paused = true)]
async fn the_set_is_that_of_all_slices() {
    let api = Api::new();
    api.put(slice("a", ["10.0.0.1", "10.0.0.2"].map(entry)));
    let mut seen = Seen::new(settings(), &api);
    assert_eq!((seen.state(), seen.now()), (State::Waiting, vec![]));
    seen.set(&["10.0.0.1", "10.0.0.2"]).await;
    assert_eq!(api.last_path(), "/apis/discovery.k8s.io/v1/namespaces/observability/endpointslices");
    api.put(slice("b", ["10.0.0.3"].map(entry)));
    seen.set(&["10.0.0.1", "10.0.0.2", "10.0.0.3"]).await;
    api.put(slice("a", ["10.0.0.2", "10.0.0.4!"].map(entry)));
    seen.set(&["10.0.0.2", "10.0.0.3"]).await;
    assert_eq!(seen.answers.borrow().as_ref().unwrap().suspects, ["10.0.0.4".into()]);
    api.remove("a");
    seen.set(&["10.0.0.3"]).await;
    api.remove("b");
    seen.set(&[]).await;
    assert_eq!(api.requests(), ["list", "watch 101"]);
    drop(seen.answers);
    tokio::time::timeout(Duration::from_secs(1), seen.tasks.ended()).await.unwrap();
}

// Scenario: 250 endpoints in 3 slices; 10,000 in 100, ten slices a page.
// Guarantees: all are in the first answer, which comes after the last page.
#[tokio::test(start_paused = true)]
async fn pools_of_many_slices_are_whole() {
    for (endpoints, pages) in [(250, 1), (10_000, 10)] {
        let api = Api::new();
        api.set_page(10);
        let mut addresses: Vec<_> =
            (0..endpoints).map(|one| format!("10.{}.{}.1", one / 100, one % 100)).collect();
        for (number, part) in addresses.chunks(100).enumerate() {
            api.put(slice(&format!("part-{number}"), part.iter().map(|address| entry(address))));
        }
        let mut seen = Seen::new(settings(), &api);
        seen.answers.changed().await.unwrap();
        addresses.sort();
        assert_eq!(seen.now(), addresses);
        assert_eq!(api.requests().iter().filter(|request| request.starts_with("list")).count(), pages);
    }
}

// Scenario: nothing changes for an hour: watches end after their timeout, and everything is listed again now and then.
// Guarantees: no new answer, no failure; a watch goes on from the last version; the answer is never older than a watch lasts.
#[tokio::test(start_paused = true)]
async fn quiet_hours_change_nothing() {
    let api = Api::new();
    api.put(slice("a", ["10.0.0.1"].map(entry)));
    let mut seen = Seen::new(settings(), &api);
    seen.set(&["10.0.0.1"]).await;
    seen.answers.borrow_and_update();
    let until = Instant::now() + Duration::from_secs(3600);
    while Instant::now() < until {
        sleep(Duration::from_secs(7)).await;
        assert!(seen.status.snapshot().age.unwrap() <= Duration::from_secs(61));
    }
    assert!(!seen.answers.has_changed().unwrap());
    assert_eq!(seen.failure().0, "");
    let requests = api.requests();
    let lists = requests.iter().filter(|request| *request == "list").count();
    // One at the start, then one each 8 to 10 minutes.
    assert!((7..=8).contains(&lists), "{lists}");
    assert!((55..=75).contains(&(requests.len() - lists)), "{requests:?}");
    assert!(requests.iter().all(|request| request == "list" || request == "watch 101"), "{requests:?}");
}

// Scenario: bookmarks carry the version on; then the watch ends in order, or its connection breaks.
// Guarantees: the next watch goes on from the bookmark; what happened meanwhile is seen; nothing is listed, nothing failed.
#[tokio::test(start_paused = true)]
async fn watches_go_on_from_the_last_version() {
    for is_broken in [false, true] {
        let api = Api::new();
        let mut seen = Seen::new(settings(), &api);
        seen.set(&[]).await;
        api.watched().await;
        api.bookmark(107);
        sleep(Duration::from_secs(1)).await;
        api.end_watches(is_broken);
        for _ in 0..10 {
            api.put(slice("a", ["10.0.0.1"].map(entry)));
        }
        seen.set(&["10.0.0.1"]).await;
        let last = api.requests().pop().unwrap();
        assert_eq!(last, "watch 107");
        assert_eq!(seen.failure().0, "");
    }
}

// Scenario: many changes of many slices, seen by two resolvers whose API servers answer at once and after 700 ms.
// Guarantees: both end with the set that all slices give.
#[tokio::test(start_paused = true)]
async fn two_watchers_agree_in_the_end() {
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let api = Api::new();
        let mut quick = Seen::new(settings(), &api);
        quick.set(&[]).await;
        api.set_delay(Duration::from_millis(700));
        let mut slow = Seen::new(settings(), &api);
        let mut truth = std::collections::BTreeMap::new();
        for _ in 0..60 {
            let name = format!("part-{}", random.u8(..4));
            if truth.contains_key(&name) && random.u8(..4) == 0 {
                api.remove(&name);
                truth.remove(&name);
            } else {
                let mark = ["", "", "!", "~"][random.usize(..4)];
                let entries: Vec<_> = (0..random.u8(..6))
                    .map(|_| entry(&format!("10.0.0.{}{mark}", random.u8(1..20))))
                    .collect();
                let slice = slice(&name, entries);
                api.put(slice.clone());
                truth.insert(name, slice);
            }
            match random.u8(..10) {
                0 => api.end_watches(random.bool()),
                1 => sleep(Duration::from_millis(random.u64(..2_000))).await,
                2 => api.compact(),
                _ => {}
            }
        }
        let all: Vec<slices::Slice> = truth.into_values().map(Into::into).collect();
        let (expect, _) = slices::answer(&settings(), "observability", &all);
        let expect = identities(&expect);
        let expect: Vec<&str> = expect.iter().map(String::as_str).collect();
        quick.set(&expect).await;
        slow.set(&expect).await;
    }
}

// Scenario: the namespace is not configured; then it is.
// Guarantees: that of the credentials is asked; a configured one comes first.
#[tokio::test(start_paused = true)]
async fn the_namespace_is_the_configured_one_or_ours() {
    for (namespace, expect) in [(None, "given"), (Some("other".into()), "other")] {
        let api = Api::new();
        let mut seen = Seen::new(K8s { namespace, ..settings() }, &api);
        seen.set(&[]).await;
        assert!(api.last_path().contains(&format!("/namespaces/{expect}/")), "{}", api.last_path());
    }
}

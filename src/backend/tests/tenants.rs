//! Tests of parts that came with different metadata.

use super::*;

/// Metadata as it is made for each request: equal ones share nothing.
fn tenant(name: &str) -> Metadata {
    Metadata::new(vec![("tenant".into(), name.as_bytes().into())])
}

// Scenario: parts of three tenants and of none alternate behind a send that hangs; one tenant's batch is refused and halved.
// Guarantees: parts of equal metadata merge, others never share a request; retries and halves keep theirs.
#[tokio::test(start_paused = true)]
async fn tenants_never_share_a_request() {
    let mut bench = Bench::start(&settings(), [Step::Hold, unavailable(), Step::RefuseContaining(b'x')]);
    bench.offer(b"-").unwrap();
    bench.wait_for("the first send", |bench| bench.script.bodies().len() == 1).await;
    for round in 0..3 {
        for name in ["a", "b", "c"] {
            let part = if (name, round) == ("b", 1) { "x" } else { name };
            bench.offer_as(part.as_bytes(), None, &tenant(name)).unwrap();
        }
        bench.offer(b"n").unwrap();
    }
    bench.script.release.notify_one();
    bench.wait_for("all outcomes", |bench| bench.backend.queued_items() == 0).await;
    assert_eq!((bench.metrics.delivered.get(), bench.metrics.dropped_so_far(Code::Rejected)), (12, 1));
    let bodies = bench.script.bodies();
    let tenants = bench.script.tenants.lock().unwrap().clone();
    for (body, tenant) in bodies.iter().zip(&tenants) {
        let expect: &[u8] = match tenant.as_str() {
            "" => b"-n",
            "b" => b"bx",
            tenant => tenant.as_bytes(),
        };
        assert!(body.iter().all(|byte| expect.contains(byte)), "{body:?} as {tenant:?}");
    }
    // One that is tried again, two that pass, one that is cut until only the bad part is left.
    let count = |name: &str| tenants.iter().filter(|tenant| *tenant == name).count();
    assert_eq!((count("a") + count("c"), count("b"), count("")), (3, 5, 2));
    bench.drained().await;
}

// Scenario: a thousand tenants behind a send that hangs, twice each.
// Guarantees: at most 64 batches grow; what comes with further metadata goes by itself, and everything is delivered.
#[tokio::test(start_paused = true)]
async fn made_up_tenants_do_not_grow_the_queue() {
    let mut bench = Bench::start(&settings(), [Step::Hold]);
    bench.offer(b"-").unwrap();
    bench.wait_for("the first send", |bench| bench.script.bodies().len() == 1).await;
    for _ in 0..2 {
        for number in 0..400 {
            bench.offer_as(b"t", None, &tenant(&number.to_string())).unwrap();
        }
    }
    bench.law();
    bench.script.release.notify_one();
    bench.wait_for("all outcomes", |bench| bench.backend.queued_items() == 0).await;
    let bodies = bench.script.bodies();
    let merged = bodies.iter().filter(|body| body.len() == 2).count();
    // 64 wait for their second part, 336 do not and are sent twice.
    assert_eq!((merged, bodies.len()), (64, 1 + 64 + 2 * 336));
    bench.drained().await;
}

// Scenario: one tenant fills batch after batch while another one's part waits behind a busy backend.
// Guarantees: the waiting part goes in its turn, not when the frequent tenant pauses.
#[tokio::test(start_paused = true)]
async fn a_rare_tenant_is_not_held_up() {
    let queue = QueueSettings { num_consumers: 1, ..settings().queue };
    let batch = Batch { max_size: 2, ..settings().batch };
    let mut bench = Bench::start(&settings::Backend { queue, batch, ..settings() }, [Step::Hold]);
    bench.offer(b"-").unwrap();
    bench.wait_for("the first send", |bench| bench.script.bodies().len() == 1).await;
    bench.offer_as(b"r", None, &tenant("rare")).unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    for _ in 0..20 {
        bench.offer_as(b"f", None, &tenant("frequent")).unwrap();
    }
    tokio::time::sleep(Duration::from_millis(10)).await;
    bench.script.release.notify_one();
    bench.wait_for("all outcomes", |bench| bench.backend.queued_items() == 0).await;
    assert_eq!(bench.script.tenants.lock().unwrap()[1], "rare");
    bench.drained().await;
}

//! The ring is the set of eligible pods, whatever slices do meanwhile.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::json;

use crate::control_plane;
use crate::gateway::Gateway;
use crate::pods::{Endpoint, LIMIT};
use crate::scene::{SERVICE, Scene};
use crate::traffic::{KEYS, Traffic, moved, owners};
use crate::{poll, report, together};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scaling_loses_nothing_and_moves_what_it_must() -> anyhow::Result<()> {
    // Scenario: under load, a Service with no pods gets 3, then 30, then has 3 again; two endpoints to a slice, so that the
    // controller moves endpoints between slices as it goes.
    // Guarantees: without pods requests are refused as retryable and the reason is shown; the ring becomes the set of pods each
    // time; while it grows, no member ever leaves it, and while it shrinks, those that stay never do; a tenth, nine tenths
    // and so on of the keys move and no key moves between two pods that were there all the time; going back restores every
    // owner; every span arrives, once.
    let _together = together().await;
    let plane = control_plane::shared().await?;
    let mut scene = Scene::set(plane, "scale").await?;
    let gateway = scene.gateway(plane, "{}").await?;
    let traffic = Traffic::start(&gateway);
    poll::until("the gateway knows that there are no pods", LIMIT, async || {
        let (ready, page) = gateway.readiness().await?;
        ensure!(!ready, "ready without a backend: {page}");
        Ok(page.to_string().contains(SERVICE).then_some(()))
    })
    .await?;
    // Some requests are refused before there is anything to take them.
    poll::until("requests are refused", LIMIT, async || {
        Ok((gateway.metric("otelcol_receiver_refused_spans", "").await? > 0.0).then_some(()))
    })
    .await?;

    scene.pool.grow(3).await?;
    gateway.follows(&scene.pool.identities()).await?;
    poll::until("ready", LIMIT, async || Ok(gateway.readiness().await?.0.then_some(()))).await?;
    traffic.flows(20).await?;
    let three = owners(0, &gateway, &scene.pool).await?;
    let stay = scene.pool.identities();

    let watched = watch(&gateway, &stay, true);
    let grown = async {
        scene.pool.grow(27).await?;
        let ring = gateway.follows(&scene.pool.identities()).await?;
        anyhow::Ok(ring)
    };
    let sets = beside(watched, grown).await?;
    traffic.flows(20).await?;
    let thirty = owners(1, &gateway, &scene.pool).await?;
    let up = moved(&three, &thirty, &[0, 1, 2])?;
    let slices = scene.namespace.slices(SERVICE).await?;
    ensure!(slices.len() >= 15, "{} slices", slices.len());
    // 27 of 30 pods are new: 270 keys of 300 move on average, with a spread of 16 by the sizes of arcs and 5 by chance.
    ensure!((KEYS * 3 / 4..KEYS).contains(&up), "{up} keys of {KEYS} moved");

    let watched = watch(&gateway, &stay, false);
    let shrunk = async {
        scene.pool.shrink(3).await?;
        gateway.follows(&scene.pool.identities()).await
    };
    let fewer = beside(watched, shrunk).await?;
    traffic.flows(20).await?;
    let back = owners(2, &gateway, &scene.pool).await?;
    ensure!(back == three, "the owners of three pods are others than before");
    report(format!(
        "scale | {} slices at 30 | {up} of {KEYS} keys moved up | rings seen: {sets} up, {fewer} down",
        slices.len()
    ));
    traffic.balance_with_refusals("scale", gateway, &mut scene.pool).await?;
    scene.workspace.remove()
}

/// Looks at the ring all the time: these members never leave it, and while it grows nobody does. Never ends by itself.
async fn watch(gateway: &Gateway, stay: &[String], grows: bool) -> anyhow::Result<std::convert::Infallible> {
    let mut last = gateway.ring().await?;
    loop {
        let ring = gateway.ring().await?;
        let must_stay = if grows { &last.members } else { stay };
        for member in must_stay {
            ensure!(ring.members.contains(member), "{member} left: {ring:?} after {last:?}");
        }
        last = ring;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Runs both until the second ends, and returns by how many generations the ring is ahead then.
async fn beside(
    watch: impl Future<Output = anyhow::Result<std::convert::Infallible>>,
    change: impl Future<Output = anyhow::Result<crate::gateway::Ring>>,
) -> anyhow::Result<u64> {
    tokio::select! {
        failed = watch => match failed? {},
        ring = change => Ok(ring?.generation),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_loses_nothing() -> anyhow::Result<()> {
    // Scenario: under load, every one of four pods is replaced, one after the other; each stops listening before the gateway can
    // know that it is to end.
    // Guarantees: the ring becomes the new set; every span arrives, once, and the client sees no error.
    let _together = together().await;
    let plane = control_plane::shared().await?;
    let mut scene = Scene::set(plane, "rolling").await?;
    scene.pool.grow(4).await?;
    let gateway = scene.gateway(plane, "{}").await?;
    gateway.follows(&scene.pool.identities()).await?;
    let traffic = Traffic::start(&gateway);
    for number in 0..4 {
        traffic.flows(20).await?;
        scene.pool.replace_oldest(&format!("replacement-{number}"), json!({})).await?;
        gateway.follows(&scene.pool.identities()).await?;
    }
    traffic.flows(20).await?;
    traffic.balance("rolling", gateway, &mut scene.pool).await?;
    scene.workspace.remove()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_pod_of_a_stateful_set_keeps_its_keys() -> anyhow::Result<()> {
    // Scenario: `identity: pod`; three pods as a StatefulSet makes them, with hostnames; each is replaced by one of the same name
    // with another address.
    // Guarantees: the ring has the pods' names; when the replacements are there, every key is where it was, by name; every
    // span arrives.
    let _together = together().await;
    let plane = control_plane::shared().await?;
    let mut scene = Scene::with(plane, "stateful", json!({"clusterIP": "None"})).await?;
    let spec = |number: usize| json!({"hostname": format!("sampler-{number}"), "subdomain": SERVICE});
    for number in 0..3 {
        scene.pool.add(&format!("sampler-{number}"), spec(number)).await?;
    }
    let gateway = scene.gateway(plane, "{k8s: {identity: pod}}").await?;
    let first = poll::until("three members", LIMIT, async || {
        let ring = gateway.ring().await?;
        Ok((ring.members.len() == 3).then_some(ring))
    })
    .await?;
    for (number, member) in first.members.iter().enumerate() {
        ensure!(member.contains(&format!("sampler-{number}")), "{first:?}");
    }
    let before = owners(0, &gateway, &scene.pool).await?;
    let traffic = Traffic::start(&gateway);
    for number in 0..3 {
        scene.pool.replace_oldest(&format!("sampler-{number}"), spec(number)).await?;
        let address = scene.pool.pods[2].pod.v4.to_string();
        poll::until("the new address is an endpoint", LIMIT, async || {
            let endpoints = scene.namespace.endpoints(SERVICE, "IPv4").await?;
            Ok((endpoints.len() == 3 && endpoints.iter().any(|endpoint| endpoint.address == address))
                .then_some(()))
        })
        .await?;
        poll::until("it gets traffic", LIMIT, async || {
            Ok((scene.pool.sinks[3 + number].messages() > 0).then_some(()))
        })
        .await?;
    }
    let last = gateway.follows(&first.members).await?;
    ensure!(last.digest == first.digest, "{first:?}, then {last:?}");
    let after = owners(1, &gateway, &scene.pool).await?;
    ensure!(after.iter().zip(&before).all(|(after, before)| *after == before + 3), "keys moved");
    traffic.balance("stateful", gateway, &mut scene.pool).await?;
    scene.workspace.remove()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flapping_pod_stays_for_its_grace() -> anyhow::Result<()> {
    // Scenario: one of three pods is unready for a moment, again and again, with a grace of 10 s; then it stays unready. Beside it
    // a gateway without grace.
    // Guarantees: the ring of the first does not change by flaps, and loses the pod when the grace is over, not before; that
    // of the second follows at once.
    let _together = together().await;
    let plane = control_plane::shared().await?;
    let mut scene = Scene::set(plane, "flap").await?;
    scene.pool.grow(3).await?;
    let calm = scene.gateway(plane, "{membership: {grace: 10s}}").await?;
    scene.launch.name = "eager";
    let eager = scene.gateway(plane, "{membership: {settle: 0s}}").await?;
    let all = scene.pool.identities();
    let before = calm.follows(&all).await?;
    eager.follows(&all).await?;
    let flapping = scene.pool.pods[1].clone();
    let others: Vec<String> = all.iter().filter(|member| **member != flapping.identity()).cloned().collect();
    for _ in 0..3 {
        scene.namespace.runs(&flapping.pod, false).await?;
        eager.follows(&others).await?;
        scene.namespace.runs(&flapping.pod, true).await?;
        eager.follows(&all).await?;
    }
    let after = calm.ring().await?;
    ensure!(after == before, "{before:?}, then {after:?}");

    scene.namespace.runs(&flapping.pod, false).await?;
    let gone = Instant::now();
    eager.follows(&others).await?;
    let noticed = gone.elapsed();
    calm.follows(&others).await?;
    let waited = gone.elapsed();
    // It cannot be shorter: the grace begins when the gateway hears of it.
    ensure!(waited >= Duration::from_secs(10), "gone after {waited:?}");
    report(format!("flap | gone after {noticed:?} without grace, {waited:?} with 10 s"));
    calm.stop().await?;
    eager.stop().await?;
    scene.workspace.remove()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminating_pod_leaves_and_drains() -> anyhow::Result<()> {
    // Scenario: under load, one of three pods is told to end and goes on serving until it is gone, with a long grace for members
    // that merely vanish.
    // Guarantees: it leaves the ring although its slice still has it as serving, and gets nothing new; nothing is lost; that it
    // is gone for good changes nothing.
    let _together = together().await;
    let plane = control_plane::shared().await?;
    let mut scene = Scene::set(plane, "graceful").await?;
    scene.pool.grow(3).await?;
    let gateway = scene.gateway(plane, "{membership: {grace: 10m}}").await?;
    gateway.follows(&scene.pool.identities()).await?;
    let traffic = Traffic::start(&gateway);
    traffic.flows(20).await?;
    let leaving = scene.pool.pods.remove(0);
    scene.namespace.terminate(&leaving.pod).await?;
    let ring = gateway.follows(&scene.pool.identities()).await?;
    let endpoint = Endpoint {
        address: leaving.pod.v4.to_string(),
        ready: Some(false),
        serving: Some(true),
        terminating: Some(true),
        hostname: None,
    };
    ensure!(scene.namespace.endpoints(SERVICE, "IPv4").await?.contains(&endpoint), "it is not terminating");
    // What was under way when it left the ring is not new.
    traffic.flows(20).await?;
    let drained = scene.pool.sinks[leaving.sink].spans();
    traffic.flows(100).await?;
    ensure!(scene.pool.sinks[leaving.sink].spans() == drained, "it still gets spans");
    scene.pool.sinks[leaving.sink].close().await?;
    scene.namespace.gone(&leaving.pod).await?;
    poll::until("its endpoint is gone", LIMIT, async || {
        Ok((scene.namespace.endpoints(SERVICE, "IPv4").await?.len() == 2).then_some(()))
    })
    .await?;
    traffic.flows(50).await?;
    ensure!(gateway.ring().await? == ring, "the ring changed once more");
    traffic.balance("graceful", gateway, &mut scene.pool).await?;
    scene.workspace.remove()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminating_pod_that_is_called_ready() -> anyhow::Result<()> {
    // Scenario: a Service with publishNotReadyAddresses; one of three pods is not ready, one is told to end.
    // Guarantees: the controller calls both ready, the one that ends as well; the ring keeps the first and not the second.
    let _together = together().await;
    let plane = control_plane::shared().await?;
    let spec = json!({"publishNotReadyAddresses": true});
    let mut scene = Scene::with(plane, "published", spec).await?;
    scene.pool.grow(3).await?;
    let gateway = scene.gateway(plane, "{}").await?;
    gateway.follows(&scene.pool.identities()).await?;
    scene.namespace.runs(&scene.pool.pods[0].pod, false).await?;
    let leaving = scene.pool.pods.remove(1);
    scene.namespace.terminate(&leaving.pod).await?;
    let shown = poll::until("both are shown", LIMIT, async || {
        let endpoints = scene.namespace.endpoints(SERVICE, "IPv4").await?;
        Ok(endpoints.iter().any(|endpoint| endpoint.terminating == Some(true)).then_some(endpoints))
    })
    .await?;
    report(format!("publishNotReadyAddresses | {shown:?}"));
    ensure!(shown.len() == 3 && shown.iter().all(|endpoint| endpoint.ready == Some(true)), "{shown:?}");
    gateway.follows(&scene.pool.identities()).await?;
    gateway.stop().await?;
    scene.workspace.remove()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dual_stack_pod_is_one_member() -> anyhow::Result<()> {
    // Scenario: a Service of both families with three pods; gateways with the defaults, with `family: ipv6`, and with
    // `dual_stack: all`. The third pod's IPv6 slice is the only one left for it in a hand-written case.
    // Guarantees: three members, by IPv4; three, by IPv6; six, as the Collector has them.
    let _together = together().await;
    let plane = control_plane::shared().await?;
    let spec = json!({"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv4", "IPv6"]});
    let mut scene = Scene::with(plane, "dual", spec).await?;
    scene.pool.grow(3).await?;
    let v4 = scene.pool.identities();
    let mut v6: Vec<String> =
        scene.pool.pods.iter().map(|backend| format!("[{}]:4317", backend.pod.v6)).collect();
    v6.sort_unstable();
    let mut all = [v4.clone(), v6.clone()].concat();
    all.sort_unstable();
    for (name, ours, members) in [
        ("ipv4", "{}", &v4),
        ("ipv6", "{k8s: {family: ipv6}}", &v6),
        ("all", "{k8s: {dual_stack: all}}", &all),
    ] {
        scene.launch.name = name;
        let gateway = scene.gateway(plane, ours).await?;
        gateway.follows(members).await?;
        gateway.stop().await?;
    }
    let endpoints = scene.namespace.endpoints(SERVICE, "IPv6").await?;
    ensure!(endpoints.len() == 3, "{endpoints:?}");
    scene.workspace.remove()
}

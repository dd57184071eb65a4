//! The API server dies, hangs, forgets: the ring stays, and follows again when it can.
//!
//! Each test has a control plane of its own, as it does bad things to it.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::json;

use crate::control_plane::{ControlPlane, Settings};
use crate::gateway::{Gateway, LIMIT};
use crate::pool::Pool;
use crate::scene::{BARE, SERVICE, Scene};
use crate::traffic::Traffic;
use crate::{poll, report, together};

/// How long the gateway may take to be back after the API server is: its longest wait between two attempts is 5 s.
const BACK: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_api_server() -> anyhow::Result<()> {
    // Scenario: under load, the API server is killed with SIGKILL and started again, first with nothing changing meanwhile; then
    // with pods that come and go right after its start, before the gateway is back.
    // Guarantees: the gateway stays ready with its ring; it follows within seconds of the API's return; an outage without
    // change makes no other ring; nothing is lost, and the client sees no error.
    let _together = together().await;
    let mut plane = ControlPlane::start("killed", Settings::default()).await?;
    let mut scene = Scene::set(&plane, "killed").await?;
    scene.pool.grow(3).await?;
    let gateway = scene.gateway(&plane, BARE).await?;
    let before = gateway.follows(&scene.pool.identities()).await?;
    let traffic = Traffic::start(&gateway);
    traffic.flows(20).await?;

    plane.kill_api_server().await?;
    fails(&gateway).await?;
    ensure!(gateway.readiness().await?.0, "not ready without the API");
    ensure!(gateway.ring().await? == before, "another ring without the API");
    let asked = plane.audit(&scene.account)?.len();
    plane.start_api_server().await?;
    again(&plane, &scene, asked).await?;
    ensure!(gateway.ring().await? == before, "another ring after an outage without change");

    plane.kill_api_server().await?;
    fails(&gateway).await?;
    plane.start_api_server().await?;
    let back = Instant::now();
    scene.pool.grow(2).await?;
    scene.pool.replace_oldest("late", json!({})).await?;
    gateway.follows_within(BACK, &scene.pool.identities()).await?;
    report(format!("killed | followed after {:?}", back.elapsed()));
    traffic.flows(20).await?;
    traffic.balance("killed", gateway, &mut scene.pool).await?;
    scene.workspace.remove()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_that_hangs() -> anyhow::Result<()> {
    // Scenario: under load, the API server is stopped with SIGSTOP for longer than a watch may last (the configuration's 10 s), so
    // that connections are open and say nothing; pods change when it goes on.
    // Guarantees: the gateway notices by itself and shows it, keeps its ring, and follows within seconds of the API's return.
    let _together = together().await;
    let plane = ControlPlane::start("hanging", Settings::default()).await?;
    let mut scene = Scene::set(&plane, "hanging").await?;
    scene.pool.grow(3).await?;
    scene.launch.resolver = "{service: samplers.hanging, ports: [4317], timeout: 10s}".to_owned();
    let gateway = scene.gateway(&plane, BARE).await?;
    let before = gateway.follows(&scene.pool.identities()).await?;
    let traffic = Traffic::start(&gateway);
    traffic.flows(20).await?;
    plane.signal_api_server("STOP").await?;
    let stopped = Instant::now();
    fails(&gateway).await?;
    let noticed = stopped.elapsed();
    ensure!(gateway.readiness().await?.0 && gateway.ring().await? == before, "the ring is lost");
    plane.signal_api_server("CONT").await?;
    let back = Instant::now();
    scene.pool.grow(2).await?;
    gateway.follows_within(BACK, &scene.pool.identities()).await?;
    report(format!("hanging | noticed after {noticed:?}, followed after {:?}", back.elapsed()));
    traffic.flows(20).await?;
    traffic.balance("hanging", gateway, &mut scene.pool).await?;
    scene.workspace.remove()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_was_compacted_away() -> anyhow::Result<()> {
    // Scenario: two gateways, one of them under load, the other stopped with SIGSTOP. The API server, which serves watches from
    // etcd here, is killed and started again; pods come; etcd forgets all versions but the last. The stopped gateway goes on.
    // Guarantees: the version that it wants to watch from is refused (410 Gone), it lists anew, and both have the same ring;
    // nothing is lost.
    let _together = together().await;
    let settings = Settings { watch_cache: false, ..Settings::default() };
    let mut plane = ControlPlane::start("compacted", settings).await?;
    let mut scene = Scene::set(&plane, "compacted").await?;
    scene.pool.grow(3).await?;
    let serving = scene.gateway(&plane, BARE).await?;
    serving.follows(&scene.pool.identities()).await?;
    let traffic = Traffic::start(&serving);
    scene.launch.name = "stopped";
    let stopped = scene.gateway(&plane, BARE).await?;
    let before = stopped.follows(&scene.pool.identities()).await?;
    stopped.signal("STOP").await?;
    plane.kill_api_server().await?;
    plane.start_api_server().await?;
    scene.pool.grow(3).await?;
    let now = serving.follows(&scene.pool.identities()).await?;
    plane.compact().await?;
    stopped.signal("CONT").await?;
    let back = Instant::now();
    let after = stopped.follows_within(BACK, &scene.pool.identities()).await?;
    let followed = back.elapsed();
    ensure!(after.digest == now.digest && after.digest != before.digest, "{before:?}, {now:?}, {after:?}");
    let expired = stopped.metric("ringway_resolver_failures", "code=\"expired\"").await?;
    report(format!("compacted | followed after {followed:?} | {expired} times 410"));
    ensure!(expired >= 1.0, "its version was not refused");
    traffic.flows(20).await?;
    stopped.stop().await?;
    traffic.balance("compacted", serving, &mut scene.pool).await?;
    scene.workspace.remove()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_that_begins_anew() -> anyhow::Result<()> {
    // Scenario: under load, etcd loses everything, and API server and etcd start again with nothing; versions begin at 1 again.
    // The namespace, its account and the Service are made anew, with other pods, while the old ones go on serving.
    // Guarantees: the gateway keeps its ring as long as it is refused; with a new token it has the new set, although its old
    // version may look like one of the new history; nothing is lost.
    let _together = together().await;
    let mut plane = ControlPlane::start("wiped", Settings::default()).await?;
    let mut scene = Scene::set(&plane, "wiped").await?;
    scene.pool.grow(3).await?;
    let gateway = scene.gateway(&plane, BARE).await?;
    let before = gateway.follows(&scene.pool.identities()).await?;
    let traffic = Traffic::start(&gateway);
    traffic.flows(20).await?;
    plane.wipe().await?;
    fails(&gateway).await?;
    ensure!(gateway.ring().await?.members == before.members, "the ring is lost");
    scene.again(plane.api).await?;
    let sinks = std::mem::take(&mut scene.pool.sinks);
    scene.pool = Pool::of(&scene.namespace, SERVICE);
    scene.pool.sinks = sinks;
    scene.pool.grow(2).await?;
    poll::until("slices have them", LIMIT, async || {
        Ok((scene.namespace.endpoints(SERVICE, "IPv4").await?.len() == 2).then_some(()))
    })
    .await?;
    gateway.files.renew_token(&scene.account, &plane).await?;
    let renewed = Instant::now();
    // A token is read again once a minute.
    gateway.follows_within(Duration::from_secs(90), &scene.pool.identities()).await?;
    report(format!("wiped | followed {:?} after the token was renewed", renewed.elapsed()));
    traffic.flows(20).await?;
    traffic.balance("wiped", gateway, &mut scene.pool).await?;
    scene.workspace.remove()
}

/// Waits until the resolver has failed once more.
async fn fails(gateway: &Gateway) -> anyhow::Result<()> {
    let failures = async || gateway.metric("ringway_resolver_failures", "").await;
    let before = failures().await?;
    poll::until("the resolver fails", Duration::from_secs(60), async || {
        Ok((failures().await? > before).then_some(()))
    })
    .await
}

/// Waits until the gateway has a watch or a list again, after so many requests of its account.
async fn again(plane: &ControlPlane, scene: &Scene, asked: usize) -> anyhow::Result<()> {
    poll::until("it asks again", BACK, async || {
        let all = plane.audit(&scene.account)?;
        Ok(all.iter().skip(asked).any(|asked| asked.code == 200).then_some(()))
    })
    .await
}

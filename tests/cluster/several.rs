//! Several gateways, several Services.

use std::time::Duration;

use anyhow::ensure;
use serde_json::json;

use crate::account::Account;
use crate::control_plane;
use crate::delay::Delay;
use crate::gateway::{Gateway, Launch};
use crate::pods::{LIMIT, Namespace};
use crate::pool::Pool;
use crate::scene::{SERVICE, Scene};
use crate::traffic::{Traffic, owners};
use crate::{poll, together};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_that_hear_late_agree_in_the_end() -> anyhow::Result<()> {
    // Scenario: two gateways watch one Service, the second through a wire on which answers take 3 s; pods come, go and flap.
    // Guarantees: meanwhile their digests differ; in the end they are equal, and so is the owner of every key.
    let _together = together().await;
    let plane = control_plane::shared().await?;
    let mut scene = Scene::set(plane, "late").await?;
    scene.pool.grow(3).await?;
    let wire = Delay::start(plane.server, Duration::from_secs(3)).await?;
    let near = scene.gateway(plane, "{}").await?;
    (scene.launch.name, scene.launch.through) = ("far", Some(wire.address));
    let far = scene.gateway(plane, "{}").await?;
    let (a, b) =
        (near.follows(&scene.pool.identities()).await?, far.follows(&scene.pool.identities()).await?);
    ensure!(a.digest == b.digest, "{a:?}, {b:?}");

    scene.pool.grow(4).await?;
    scene.pool.replace_oldest("young", json!({})).await?;
    scene.namespace.runs(&scene.pool.pods[1].pod, false).await?;
    scene.namespace.runs(&scene.pool.pods[1].pod, true).await?;
    let new = near.follows(&scene.pool.identities()).await?;
    let old = far.ring().await?;
    ensure!(new.digest != old.digest, "the far one cannot know yet: {new:?}, {old:?}");
    let new = near.follows(&scene.pool.identities()).await?;
    let late = far.follows(&scene.pool.identities()).await?;
    ensure!(new.digest == late.digest, "{new:?}, {late:?}");
    ensure!(owners(0, &near, &scene.pool).await? == owners(1, &far, &scene.pool).await?, "owners differ");
    near.stop().await?;
    far.stop().await?;
    scene.workspace.remove()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_of_one_name_in_two_namespaces() -> anyhow::Result<()> {
    // Scenario: two Services of one name in two namespaces. The first has a gateway that names no namespace; a third namespace
    // has one for the second Service, whose account may read slices there only. Pods of the second come and go.
    // Guarantees: each ring has the pods of its namespace, where none is named that of the account; the first ring does not
    // change while the second does; traffic of each arrives at its pool, and all of it.
    let _together = together().await;
    let plane = control_plane::shared().await?;
    let mut scene = Scene::set(plane, "two-a").await?;
    let other = Namespace::create(plane.api, "two-b").await?;
    let mut second = Pool::create(&other, SERVICE, json!({})).await?;
    Namespace::create(plane.api, "two-gateways").await?;
    let account = Account::create(plane.api, "two-gateways", "elsewhere").await?;
    account.may_read_slices(plane.api, "two-b").await?;
    scene.pool.grow(2).await?;
    second.grow(3).await?;
    scene.launch.resolver = format!("{{service: {SERVICE}, ports: [4317]}}");
    let here = scene.gateway(plane, "{}").await?;
    let launch = Launch {
        name: "elsewhere",
        account,
        resolver: format!("{{service: {SERVICE}.two-b.svc.cluster.local, ports: [4317]}}"),
        ours: "{}".to_owned(),
        through: None,
        collector: false,
    };
    let there = Gateway::start(&launch, plane, &scene.workspace).await?;
    let first = here.follows(&scene.pool.identities()).await?;
    there.follows(&second.identities()).await?;
    let traffic = [Traffic::start(&here), Traffic::start(&there)];
    second.grow(3).await?;
    there.follows(&second.identities()).await?;
    second.shrink(1).await?;
    there.follows(&second.identities()).await?;
    ensure!(here.ring().await? == first, "the other ring changed");
    let [to_first, to_second] = traffic;
    to_first.flows(20).await?;
    to_second.flows(20).await?;
    to_first.balance("two namespaces, the first", here, &mut scene.pool).await?;
    to_second.balance("two namespaces, the second", there, &mut second).await?;
    scene.workspace.remove()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_deleted_and_made_again() -> anyhow::Result<()> {
    // Scenario: under load, a Service is deleted, and its slices with it, as its pods go on; it is made again under the same name,
    // first within the time that an empty answer is tolerated, then after it.
    // Guarantees: within that time the ring stays and nobody notices; after it requests are refused as retryable, for a reason
    // that names the Service; with the Service the ring is back; every span arrives, once.
    let _together = together().await;
    let plane = control_plane::shared().await?;
    let mut scene = Scene::set(plane, "again").await?;
    scene.pool.grow(3).await?;
    let gateway = scene.gateway(plane, "{membership: {hold_empty: 15s}}").await?;
    let ring = gateway.follows(&scene.pool.identities()).await?;
    let traffic = Traffic::start(&gateway);
    traffic.flows(20).await?;
    let service = scene.namespace.core(&format!("services/{SERVICE}"));
    let refused = async || gateway.metric("otelcol_receiver_refused_spans", "").await;

    for held in [true, false] {
        plane.api.delete(&service).await?;
        // The collector of garbage does not run here: what belonged to the Service goes with it.
        let slices = scene.namespace.slices_path();
        plane.api.delete(&format!("{slices}?labelSelector=kubernetes.io%2Fservice-name%3D{SERVICE}")).await?;
        if !held {
            poll::until("requests are refused", LIMIT, async || Ok((refused().await? > 0.0).then_some(())))
                .await?;
            let (_, page) = gateway.readiness().await?;
            ensure!(page.to_string().contains(SERVICE), "{page}");
        }
        scene.namespace.service(SERVICE, json!({})).await?;
        let members = scene.pool.identities();
        poll::until("its slices are there", LIMIT, async || {
            Ok((scene.namespace.endpoints(SERVICE, "IPv4").await?.len() == members.len()).then_some(()))
        })
        .await?;
        let back = gateway.follows(&members).await?;
        ensure!(back.digest == ring.digest, "{ring:?}, then {back:?}");
        ensure!(!held || refused().await? == 0.0, "requests were refused within the time of grace");
        traffic.flows(100).await?;
    }
    traffic.balance_with_refusals("again", gateway, &mut scene.pool).await?;
    scene.workspace.remove()
}

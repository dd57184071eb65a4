//! The Collector with `resolver: k8s` beside ringway, on one Service: the same owner for every trace.

use serde_json::json;

use anyhow::ensure;

use crate::control_plane;
use crate::gateway::{Gateway, LIMIT};
use crate::scene::{SERVICE, Scene};
use crate::traffic::{KEYS, owners};
use crate::{poll, together};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_trace_goes_where_the_collector_sends_it() -> anyhow::Result<()> {
    // Scenario: five pods of a Service in three slices; then one is not ready and one is told to end, then there are twelve.
    // Guarantees: each of 300 traces goes to the same pod through a Collector (v0.161.0) and through ringway, each time.
    let _together = together().await;
    let plane = control_plane::shared().await?;
    let mut scene = Scene::with(plane, "agreement", json!({"clusterIP": "None"})).await?;
    scene.pool.grow(5).await?;
    let ringway = scene.gateway(plane, "{}").await?;
    scene.launch.name = "collector";
    scene.launch.collector = true;
    let collector = scene.gateway(plane, "").await?;
    agree(0, &ringway, &collector, &scene).await?;

    scene.namespace.runs(&scene.pool.pods.remove(1).pod, false).await?;
    scene.namespace.terminate(&scene.pool.pods.remove(2).pod).await?;
    agree(1, &ringway, &collector, &scene).await?;

    scene.pool.grow(9).await?;
    agree(2, &ringway, &collector, &scene).await?;
    ringway.stop().await?;
    collector.stop().await?;
    scene.workspace.remove()
}

async fn agree(round: usize, ringway: &Gateway, collector: &Gateway, scene: &Scene) -> anyhow::Result<()> {
    let pods = scene.pool.pods.len();
    ringway.follows(&scene.pool.identities()).await?;
    poll::until(&format!("the Collector has {pods} backends of {SERVICE}"), LIMIT, async || {
        let known = collector.metric("otelcol_loadbalancer_num_backends", "").await?;
        Ok((known == pods as f64).then_some(()))
    })
    .await?;
    let theirs = owners(round * 2, collector, &scene.pool).await?;
    let ours = owners(round * 2 + 1, ringway, &scene.pool).await?;
    let other: Vec<usize> = (0..KEYS).filter(|key| ours[*key] != theirs[*key]).collect();
    ensure!(other.is_empty(), "{} traces of {KEYS} go elsewhere with {pods} pods: {other:?}", other.len());
    Ok(())
}

//! What the tests rest on: that slices are the ones a cluster would have.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::json;

use crate::control_plane;
use crate::pods::{Endpoint, LIMIT, Namespace};
use crate::poll;

#[tokio::test]
async fn slices_follow_pods() -> anyhow::Result<()> {
    // Scenario: five pods of a Service become ready, one unready, one is told to end and ends; two endpoints to a slice.
    // Guarantees: endpoints are in slices of at most two, with the conditions that the documentation promises at each step.
    let plane = control_plane::shared().await?;
    let namespace = Namespace::create(plane.api, "harness").await?;
    namespace.service("samplers", json!({})).await?;
    let mut pods = Vec::new();
    for number in 0..5 {
        pods.push(namespace.pod("samplers", &format!("sampler-{number}"), json!({})).await?);
    }
    let shown = |number: usize, ready, serving, terminating| Endpoint {
        address: pods[number].v4.to_string(),
        ready: Some(ready),
        serving: Some(serving),
        terminating: Some(terminating),
        hostname: None,
    };
    let becomes = async |expected: Vec<Endpoint>| {
        let what = format!("{expected:?}");
        poll::until(&what, LIMIT, async || {
            Ok((namespace.endpoints("samplers", "IPv4").await? == expected).then_some(()))
        })
        .await
    };
    becomes(Vec::new()).await?; // without an address there is no endpoint
    for pod in &pods {
        namespace.runs(pod, true).await?;
    }
    becomes((0..5).map(|number| shown(number, true, true, false)).collect()).await?;
    let slices = namespace.slices("samplers").await?;
    let sizes = slices.iter().map(|slice| slice["endpoints"].as_array().map_or(0, Vec::len));
    ensure!(slices.len() >= 3 && sizes.max() == Some(2), "{slices:?}");
    ensure!(slices[0]["ports"][0]["port"] == 4317 && slices[0]["ports"][0]["name"] == "otlp", "{slices:?}");

    namespace.runs(&pods[1], false).await?;
    namespace.terminate(&pods[2]).await?;
    let mut expected: Vec<_> = (0..5).map(|number| shown(number, true, true, false)).collect();
    expected[1] = shown(1, false, false, false);
    expected[2] = shown(2, false, true, true);
    becomes(expected.clone()).await?;
    namespace.gone(&pods[2]).await?;
    expected.remove(2);
    becomes(expected).await
}

#[tokio::test]
async fn a_pod_of_a_node_that_does_not_exist() -> anyhow::Result<()> {
    // Scenario: a ready pod of a node that is not there, and then is.
    // Guarantees: it is an endpoint only then, so a test that makes pods has to make nodes first.
    let plane = control_plane::shared().await?;
    let namespace = Namespace::create(plane.api, "nodeless").await?;
    namespace.service("samplers", json!({})).await?;
    let first = namespace.pod("samplers", "sampler-0", json!({})).await?;
    let second = namespace.pod("samplers", "sampler-1", json!({"nodeName": "node-later"})).await?;
    namespace.runs(&second, true).await?;
    namespace.runs(&first, true).await?;
    let known = async || namespace.endpoints("samplers", "IPv4").await;
    poll::until("the first is known", LIMIT, async || {
        Ok(known().await?.iter().any(|endpoint| endpoint.address == first.v4.to_string()).then_some(()))
    })
    .await?;
    let before = poll::until("the second is known", Duration::from_secs(5), async || {
        Ok((known().await?.len() == 2).then_some(()))
    })
    .await;
    plane.api.create("/api/v1/nodes", &json!({"metadata": {"name": "node-later"}})).await?;
    poll::until("the second is known with its node", LIMIT, async || {
        Ok((known().await?.len() == 2).then_some(()))
    })
    .await
    .context("with its node")?;
    ensure!(before.is_err(), "it was an endpoint before its node existed");
    Ok(())
}

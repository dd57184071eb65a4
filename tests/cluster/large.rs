//! Large Services, and what following them costs.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::control_plane;
use crate::delivery::client::percentile;
use crate::delivery::sinks::{PORT, Sink};
use crate::gateway::Gateway;
use crate::pods::{LIMIT, Namespace, addresses};
use crate::pool::listening;
use crate::scene::{SERVICE, Scene};
use crate::traffic::Traffic;
use crate::{alone, poll, report, together};

/// A slice as a controller of another kind would write it, with these addresses and an annotation.
fn slice(name: &str, addresses: &[String], note: &str) -> Value {
    let endpoints: Vec<Value> = addresses
        .iter()
        .map(|address| json!({"addresses": [address], "conditions": {"ready": true}}))
        .collect();
    json!({
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/service-name": SERVICE},
            "annotations": {"note": note},
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"name": "otlp", "port": PORT, "protocol": "TCP"}],
    })
}

fn identities(addresses: &[String]) -> Vec<String> {
    let mut identities: Vec<String> = addresses.iter().map(|address| format!("{address}:{PORT}")).collect();
    identities.sort_unstable();
    identities
}

/// Waits for a ring of so many members.
async fn members(gateway: &Gateway, number: usize) -> anyhow::Result<()> {
    poll::until(&format!("{number} members"), LIMIT, async || {
        Ok((gateway.ring().await?.members.len() == number).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_and_fifty_endpoints() -> anyhow::Result<()> {
    // Scenario: a Service without selector with 250 endpoints in three slices of 100, 100 and 56, six of them in two slices. One
    // slice gets another annotation, one loses ten endpoints to another, which has them first; then one endpoint goes.
    // Guarantees: the ring has the union, each endpoint once; only the last of these changes is one of the ring.
    let _together = together().await;
    let plane = control_plane::shared().await?;
    let mut scene = Scene::with(plane, "large", json!({"selector": null})).await?;
    let addresses: Vec<String> = (0..250).map(|_| addresses().0.to_string()).collect();
    let path = scene.namespace.slices_path();
    let mut parts = [addresses[..100].to_vec(), addresses[94..194].to_vec(), addresses[194..].to_vec()];
    for (number, part) in parts.iter().enumerate() {
        plane.api.create(&path, &slice(&format!("part-{number}"), part, "")).await?;
    }
    let gateway = scene.gateway(plane, "{}").await?;
    let ring = gateway.follows(&identities(&addresses)).await?;
    // Moved: in both for a moment, as a controller has it that adds before it removes.
    let moved: Vec<String> = parts[0].drain(..10).collect();
    parts[2].extend(moved);
    for number in [1, 2, 0] {
        let new = slice(&format!("part-{number}"), &parts[number], "again");
        plane.api.put(&format!("{path}/part-{number}"), &new).await?;
    }
    // Something that is seen comes after all that must not be.
    let last = addresses.len() - 1;
    parts[2].retain(|address| *address != addresses[last]);
    plane.api.put(&format!("{path}/part-2"), &slice("part-2", &parts[2], "last")).await?;
    let after = gateway.follows(&identities(&addresses[..last])).await?;
    ensure!(
        after.generation == ring.generation + 1,
        "generation {}, then {}",
        ring.generation,
        after.generation
    );
    gateway.stop().await?;
    scene.workspace.remove()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resync_without_change_changes_nothing() -> anyhow::Result<()> {
    // Scenario: under load, everything is listed again (every 30 s, the least that can be configured), with nothing changed.
    // Guarantees: the API server has seen another list; the ring, its generation and the connections to backends are the same.
    let _together = together().await;
    let plane = control_plane::shared().await?;
    let mut scene = Scene::set(plane, "resync").await?;
    scene.pool.grow(4).await?;
    let gateway = scene.gateway(plane, "{k8s: {resync: 30s}}").await?;
    let ring = gateway.follows(&scene.pool.identities()).await?;
    let traffic = Traffic::start(&gateway);
    traffic.flows(20).await?;
    let sockets = connections(&gateway)?;
    ensure!(sockets.len() == 4, "{sockets:?}");
    let lists = || -> anyhow::Result<usize> {
        Ok(plane.audit(&scene.account)?.iter().filter(|asked| asked.verb == "list").count())
    };
    let before = lists()?;
    poll::until("another list", Duration::from_secs(60), async || Ok((lists()? > before).then_some(())))
        .await?;
    traffic.flows(50).await?;
    ensure!(gateway.ring().await? == ring, "another ring");
    ensure!(
        connections(&gateway)? == sockets,
        "other connections: {sockets:?}, then {:?}",
        connections(&gateway)?
    );
    traffic.balance("resync", gateway, &mut scene.pool).await?;
    scene.workspace.remove()
}

/// The gateway's connections to backends: local port and remote address, as the kernel has them.
fn connections(gateway: &Gateway) -> anyhow::Result<Vec<String>> {
    let process = format!("/proc/{}", gateway.id()?);
    let mut inodes = Vec::new();
    for file in std::fs::read_dir(format!("{process}/fd"))? {
        let target = std::fs::read_link(file?.path()).unwrap_or_default();
        let inode = target
            .to_string_lossy()
            .strip_prefix("socket:[")
            .map(|rest| rest.trim_end_matches(']').to_owned());
        inodes.extend(inode);
    }
    let mut connections = Vec::new();
    for line in std::fs::read_to_string(format!("{process}/net/tcp"))?.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, local, remote, state, _, _, _, _, _, inode, ..] = words[..] else { continue };
        let is_backend = remote.ends_with(&format!(":{PORT:04X}")) && state == "01";
        if is_backend && inodes.iter().any(|ours| ours == inode) {
            connections.push(format!("{local} {remote}"));
        }
    }
    connections.sort_unstable();
    Ok(connections)
}

/// Changes that are timed: of so many, the p99 forgives one.
const CHANGES: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_a_slice_to_the_first_request() -> anyhow::Result<()> {
    // Scenario: under load, 100 backends join a Service of two, one after the other, each through a slice of its own; from the answer
    // to that write until its first request; with a settle time of 0 and of the default, 200 ms.
    // Guarantees: the p99 is at most 1 s plus the settle time. The figures are printed.
    let _alone = alone().await;
    let plane = control_plane::shared().await?;
    for (name, settle) in [("quick", Duration::ZERO), ("settled", Duration::from_millis(200))] {
        let mut scene = Scene::with(plane, name, json!({"selector": null})).await?;
        for number in 0..2 {
            joins(&scene.namespace, &format!("first-{number}"), &mut scene.pool.sinks).await?;
        }
        let gateway =
            scene.gateway(plane, &format!("{{membership: {{settle: {}ms}}}}", settle.as_millis())).await?;
        members(&gateway, 2).await?;
        let traffic = Traffic::at(&gateway, 500);
        traffic.flows(200).await?;
        let mut latencies = Vec::new();
        for number in 0..CHANGES {
            let written = joins(&scene.namespace, &format!("next-{number}"), &mut scene.pool.sinks).await?;
            let sink = scene.pool.sinks.last().context("no sink")?;
            latencies.push(first_request(sink).await?.duration_since(written));
            // Few backends, so that each gets a part of nearly every request.
            leaves(&scene.namespace, &format!("next-{number}")).await?;
            members(&gateway, 2).await?;
        }
        let mut at = |per_mille| percentile(&mut latencies, per_mille).unwrap_or_default();
        let (p50, p99, max) = (at(500), at(990), at(1000));
        report(format!(
            "slice to first request | settle {settle:?} | p50 {p50:?} | p99 {p99:?} | max {max:?}"
        ));
        ensure!(p99 <= Duration::from_secs(1) + settle, "p99 {p99:?}");
        traffic.balance(name, gateway, &mut scene.pool).await?;
        scene.workspace.remove()?;
    }
    Ok(())
}

/// Adds a listening backend in a slice of its own; returns when the API had written it.
async fn joins(namespace: &Namespace, name: &str, sinks: &mut Vec<Sink>) -> anyhow::Result<Instant> {
    let address = addresses().0;
    sinks.push(listening(address).await?);
    namespace.api.create(&namespace.slices_path(), &slice(name, &[address.to_string()], "")).await?;
    Ok(Instant::now())
}

async fn leaves(namespace: &Namespace, name: &str) -> anyhow::Result<()> {
    namespace.api.delete(&format!("{}/{name}", namespace.slices_path())).await?;
    Ok(())
}

/// When the first request came to a sink, to a millisecond.
async fn first_request(sink: &Sink) -> anyhow::Result<Instant> {
    let limit = Instant::now() + LIMIT;
    loop {
        if sink.messages() > 0 {
            return Ok(Instant::now());
        }
        ensure!(Instant::now() < limit, "no request came");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Endpoints of the largest Service that is tried.
const MANY: usize = 10_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_endpoints() -> anyhow::Result<()> {
    // Scenario: a Service without selector gets 10,000 endpoints in slices of 100; nothing is sent.
    // Guarantees: the ring has all of them, by a watch and by a list; memory stays below 500 MiB. The figures are printed.
    let _alone = alone().await;
    let plane = control_plane::shared().await?;
    let mut scene = Scene::with(plane, "many", json!({"selector": null})).await?;
    let watching = scene.gateway(plane, "{}").await?;
    let empty = watching.resident_kib()?;
    let path = scene.namespace.slices_path();
    for part in 0..MANY / 100 {
        let [high, low] = u16::try_from(part)?.to_be_bytes();
        let addresses: Vec<String> =
            (0..100).map(|number| format!("10.{}.{low}.{number}", 100 + high)).collect();
        plane.api.create(&path, &slice(&format!("part-{part}"), &addresses, "")).await?;
    }
    let written = Instant::now();
    members(&watching, MANY).await?;
    let followed = written.elapsed();
    scene.launch.name = "listing";
    let started = Instant::now();
    let listing = scene.gateway(plane, "{}").await?;
    members(&listing, MANY).await?;
    let listed = started.elapsed();
    let (by_watch, by_list) = (watching.resident_kib()?, listing.resident_kib()?);
    report(format!(
        "10,000 endpoints | RSS {empty} KiB with none, {by_watch} KiB by watch, {by_list} KiB by list | complete {followed:?} \
         after the last slice, {listed:?} after a start"
    ));
    ensure!(by_watch.max(by_list) < 500 << 10, "{by_watch} KiB, {by_list} KiB");
    watching.stop().await?;
    listing.stop().await?;
    scene.workspace.remove()
}

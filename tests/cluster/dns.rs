//! ringway and names, against a real DNS server (Knot DNS, `knotd` of Debian's `knot`) on port 53 of a loopback address, and with an
//! `/etc/resolv.conf` of the gateway's own. No API server takes part.

mod gateway;
mod server;

use std::time::Duration;

use anyhow::ensure;
use tokio::sync::watch;

use crate::delivery::client::Client;
use crate::delivery::script::{Script, Traces};
use crate::delivery::sinks::Sink;
use crate::workspace::Workspace;
use crate::{poll, together};
use gateway::{Gateway, Resolves};
use server::{Protocol, Server};

/// How long a gateway may take to follow: some lookups of a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// A time to live that no test outlives.
const FOR_EVER: u32 = 3_600;

#[tokio::test]
async fn a_name_is_followed_through_every_failure() -> anyhow::Result<()> {
    // Scenario: a name gets more addresses, vanishes, its zone cannot be served, the server says nothing, and each time comes back.
    // Guarantees: additions and removals are followed; NXDOMAIN, SERVFAIL and silence are counted by their codes and keep the
    // members; after each of them the name is followed again.
    let _room = together().await;
    let workspace = Workspace::new("dns-followed")?;
    let mut server = Server::start(&["pool.test"], &workspace).await?;
    server.records("pool.test", 1, &["all A 10.77.9.1", "all A 10.77.9.2", "all AAAA fd77::9:1"]).await?;
    let gateway = Gateway::start("gateway", &[("", "all.pool.test")], &server.resolves(), &workspace).await?;
    gateway.has(3).await?;

    server.records("pool.test", 1, &["other A 10.77.9.9"]).await?;
    gateway.counts("nxdomain", 2.0).await?;
    gateway.has_still(3).await?;
    server.records("pool.test", 1, &["all A 10.77.9.1", "all A 10.77.9.3"]).await?;
    gateway.has(2).await?;

    server.expire("pool.test").await?;
    gateway.counts("servfail", 2.0).await?;
    gateway.has_still(2).await?;
    server.reload().await?;
    server.records("pool.test", 1, &["all A 10.77.9.1"]).await?;
    gateway.has(1).await?;

    server.signal("STOP").await?;
    gateway.counts("timeout", 2.0).await?;
    gateway.has_still(1).await?;
    server.signal("CONT").await?;
    server.records("pool.test", 1, &["all A 10.77.9.1", "all AAAA fd77::9:1"]).await?;
    gateway.has(2).await?;
    gateway.stop().await?;
    server.stop().await?;
    workspace.remove()
}

#[tokio::test]
async fn failures_are_told_apart_from_the_start() -> anyhow::Result<()> {
    // Scenario: exporters whose names do not exist, have no addresses, are in a zone that is not there, are nobody's business, and
    // one whose name is good.
    // Guarantees: the gateway starts; each failure has its own code, under its exporter; only the good name has a member.
    let _room = together().await;
    let workspace = Workspace::new("dns-apart")?;
    let mut server = Server::start(&["pool.test", "unserved.test"], &workspace).await?;
    server.records("pool.test", 1, &["good A 10.77.9.1", "text TXT nothing"]).await?;
    let exporters = [
        ("/nxdomain", "nobody.pool.test"),
        ("/empty", "text.pool.test"),
        ("/servfail", "all.unserved.test"),
        ("/refused", "all.elsewhere.test"),
    ];
    let gateway = Gateway::start("gateway", &exporters, &server.resolves(), &workspace).await?;
    for (exporter, _) in exporters {
        gateway.counts_for(exporter, exporter.trim_start_matches('/'), 1.0).await?;
    }
    for (exporter, _) in exporters {
        for (other, _) in exporters.iter().filter(|(other, _)| *other != exporter) {
            let code = other.trim_start_matches('/');
            let count = gateway.failures(exporter, code).await?;
            ensure!(count == 0.0, "{exporter} counts {count} of {code}");
        }
    }
    ensure!(!gateway.is_ready().await?, "ready without a member");
    let good = Gateway::start("good", &[("", "good.pool.test")], &server.resolves(), &workspace).await?;
    good.has(1).await?;
    poll::until("the gateway with a member is ready", LIMIT, async || {
        Ok(good.is_ready().await?.then_some(()))
    })
    .await?;
    gateway.stop().await?;
    good.stop().await?;
    server.stop().await?;
    workspace.remove()
}

#[tokio::test]
async fn the_time_to_live_is_respected() -> anyhow::Result<()> {
    // Scenario: two names, one good for a second and one for an hour, and bounds that are wider than both.
    // Guarantees: while the one has been asked for ten times, the other has been asked for once, and has what it had.
    let _room = together().await;
    let workspace = Workspace::new("dns-ttl")?;
    let mut server = Server::start(&["short.test", "long.test"], &workspace).await?;
    server.records("short.test", 1, &["all A 10.77.9.1"]).await?;
    server.records("long.test", FOR_EVER, &["all A 10.77.9.1"]).await?;
    let resolves = Resolves { max_ttl: "2h", ..server.resolves() };
    let short = Gateway::start("short", &[("", "all.short.test")], &resolves, &workspace).await?;
    let long = Gateway::start("long", &[("", "all.long.test")], &resolves, &workspace).await?;
    short.has(1).await?;
    long.has(1).await?;
    server.records("long.test", FOR_EVER, &["all A 10.77.9.1", "all A 10.77.9.2"]).await?;
    poll::until("the short one is asked for ten times", LIMIT, async || {
        Ok((server.questions("short.test", Protocol::Udp).await? >= 20).then_some(()))
    })
    .await?;
    // A and AAAA.
    let questions = server.questions("long.test", Protocol::Udp).await?;
    ensure!(questions == 2, "{questions} questions for a name that is good for an hour");
    long.has_still(1).await?;
    for gateway in [short, long] {
        gateway.stop().await?;
    }
    server.stop().await?;
    workspace.remove()
}

#[tokio::test]
async fn many_addresses_come_over_tcp_and_in_any_order() -> anyhow::Result<()> {
    // Scenario: 60 IPv4 and 60 IPv6 addresses, which the server rotates, and which do not fit a datagram.
    // Guarantees: the server is asked again over TCP, and all 120 are members; after ten more lookups there has been one change.
    let _room = together().await;
    let workspace = Workspace::new("dns-many")?;
    let mut server = Server::start(&["pool.test"], &workspace).await?;
    let records: Vec<String> = (1..=60)
        .flat_map(|number| [format!("all A 10.77.9.{number}"), format!("all AAAA fd77::9:{number}")])
        .collect();
    server.records("pool.test", 1, &records.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let gateway = Gateway::start("gateway", &[("", "all.pool.test")], &server.resolves(), &workspace).await?;
    gateway.has(120).await?;
    let over_tcp = server.questions("pool.test", Protocol::Tcp).await?;
    ensure!(over_tcp > 0, "nothing was asked over TCP");
    let before = gateway.lookups().await?;
    poll::until("ten more lookups", LIMIT, async || {
        Ok((gateway.lookups().await? >= before + 10.0).then_some(()))
    })
    .await?;
    let updates = gateway.updates().await?;
    ensure!(updates == 1.0, "{updates} changes of a set that has not changed");
    gateway.stop().await?;
    server.stop().await?;
    workspace.remove()
}

#[tokio::test]
async fn a_service_with_a_cluster_ip_is_remarked() -> anyhow::Result<()> {
    // Scenario: a short name, with the search list of a pod, of a Service with one address; beside it one with two.
    // Guarantees: the search list leads to both; the log warns of the one, once, and not of the other.
    let _room = together().await;
    let workspace = Workspace::new("dns-cluster-ip")?;
    let mut server = Server::start(&["cluster.local"], &workspace).await?;
    let service = |name: &str, address: &str| format!("{name}.apps.svc A {address}");
    let records =
        [service("hidden", "10.96.0.7"), service("headless", "10.77.9.1"), service("headless", "10.77.9.2")];
    server.records("cluster.local", 1, &records.each_ref().map(String::as_str)).await?;
    let search = "search apps.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n";
    let resolves = Resolves { search, ..server.resolves() };
    let gateway =
        Gateway::start("gateway", &[("/hidden", "hidden"), ("/headless", "headless")], &resolves, &workspace)
            .await?;
    poll::until("ten lookups", LIMIT, async || Ok((gateway.lookups().await? >= 20.0).then_some(()))).await?;
    let log = std::fs::read_to_string(workspace.path("gateway.log"))?;
    let warnings: Vec<&str> = log.lines().filter(|line| line.contains("cluster IP")).collect();
    ensure!(warnings.len() == 1, "{warnings:?}");
    ensure!(
        warnings[0].contains("WARN") && warnings[0].contains("hidden.apps.svc.cluster.local."),
        "{warnings:?}"
    );
    gateway.stop().await?;
    server.stop().await?;
    workspace.remove()
}

#[tokio::test]
async fn another_name_server_is_noticed() -> anyhow::Result<()> {
    // Scenario: `/etc/resolv.conf` names a server that is not there; then it is written anew and names one that is.
    // Guarantees: the gateway starts, says why it has no member, and resolves the name without being started again.
    let _room = together().await;
    let workspace = Workspace::new("dns-configuration")?;
    let mut server = Server::start(&["pool.test"], &workspace).await?;
    server.records("pool.test", 1, &["all A 10.77.9.1"]).await?;
    let nowhere = Resolves { server: crate::loopback::address(), ..server.resolves() };
    let gateway = Gateway::start("gateway", &[("", "all.pool.test")], &nowhere, &workspace).await?;
    poll::until("a failure is counted", LIMIT, async || {
        let (io, timeout) = (gateway.failures("", "io").await?, gateway.failures("", "timeout").await?);
        Ok((io + timeout >= 1.0).then_some(()))
    })
    .await?;
    gateway.configure(&server.resolves())?;
    gateway.has(1).await?;
    gateway.stop().await?;
    server.stop().await?;
    workspace.remove()
}

#[tokio::test]
async fn a_static_name_is_resolved_for_each_connection() -> anyhow::Result<()> {
    // Scenario: a static host name moves from one backend to another, which is the next moment the only one that is there.
    // Guarantees: the connection that works is kept; the next one goes to the address that the name has then, and nothing is lost.
    let _room = together().await;
    let workspace = Workspace::new("dns-static")?;
    let mut server = Server::start(&["pool.test"], &workspace).await?;
    let (mut first, second) = (Sink::start().await?, Sink::start().await?);
    server.records("pool.test", FOR_EVER, &[&format!("sampler-0 A {}", first.address)]).await?;
    let gateway =
        Gateway::start_static("gateway", "sampler-0.pool.test", &server.resolves(), &workspace).await?;
    send(&gateway, 0).await?;
    arrives(&first, SPANS).await?;

    server.records("pool.test", FOR_EVER, &[&format!("sampler-0 A {}", second.address)]).await?;
    send(&gateway, SPANS).await?;
    arrives(&first, 2 * SPANS).await?;
    ensure!(second.spans() == 0, "a connection that works was given up");

    first.close().await?;
    send(&gateway, 2 * SPANS).await?;
    arrives(&second, SPANS).await?;
    gateway.stop().await?;
    ensure!(
        first.spans() == 2 * SPANS && second.spans() == SPANS,
        "{} and {}",
        first.spans(),
        second.spans()
    );
    server.stop().await?;
    workspace.remove()
}

/// What [`send`] sends.
const SPANS: usize = 20;

/// Sends some spans, numbered from `first`.
async fn send(gateway: &Gateway, first: usize) -> anyhow::Result<()> {
    let script = Script { seed: 24, first, requests: 1, request_spans: SPANS, traces: Traces::Small };
    let client = Client { gateway: gateway.grpc, script, pace: Duration::from_millis(1) };
    let sent = client.run(watch::channel(0).0).await?;
    ensure!(sent.given_up() == 0, "not acknowledged: {:?}", sent.errors);
    Ok(())
}

async fn arrives(sink: &Sink, spans: usize) -> anyhow::Result<()> {
    let what = format!("{spans} spans arrive at {}", sink.address);
    poll::until(&what, LIMIT, async || Ok((sink.spans() >= spans).then_some(()))).await
}

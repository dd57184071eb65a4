//! The chart in a cluster: installed, changed, taken back and removed by helm, its gateways run as their pods say, and the traces that they
//! take reach real Collectors whole.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::json;

use crate::access::may_beyond_everyone;
use crate::account::Account;
use crate::control_plane::{self, ControlPlane};
use crate::dry_run::restricted;
use crate::gateway::Ring;
use crate::helm::Helm;
use crate::node::{Node, Running};
use crate::pods::{LIMIT, Namespace};
use crate::samplers::Samplers;
use crate::workspace::Workspace;
use crate::{poll, report, together};

/// What an installation with one pool consists of.
const INSTALLED: [&str; 8] = [
    "ConfigMap edge/ringway",
    "Deployment edge/ringway",
    "PodDisruptionBudget edge/ringway",
    "Role pools/ringway-edge",
    "RoleBinding pools/ringway-edge",
    "Secret edge/sh.helm.release.v1.ringway.v1",
    "Service edge/ringway",
    "ServiceAccount edge/ringway",
];

/// The port of probes.
const HEALTH: u16 = 13133;

/// All that an account may do that has the chart's Role.
const SLICES: [&str; 1] = ["endpointslices.discovery.k8s.io [] [] [get list watch]"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_from_its_installation_to_its_end() -> anyhow::Result<()> {
    // Scenario: `helm install --wait` as the README has it, in a namespace with Pod Security "restricted", in front of two real
    // Collectors; the pods that the controllers make are run with the rendered arguments, environment, files and user, the token of
    // their account, and nothing else. Traces in parts through both gateways; one Collector more; traces again. Then `helm
    // upgrade --wait` with a pool in another namespace, `helm rollback`, `helm uninstall`.
    // Guarantees: exactly the objects that are documented; the account may read slices where pools are, and do nothing else there
    // or elsewhere; both gateways have the ring of the slices, and follow; every trace is kept, by one Collector that had all of
    // it; a change of the configuration rolls out; every gateway ends with success within its grace period; a pool's Role comes and
    // goes with it, and nothing is left at the end.
    let _together = together().await;
    let plane = control_plane::shared().await?;
    let workspace = Workspace::new("install")?;
    let [edge, pools, billing] = namespaces(plane).await?;
    let mut samplers = Samplers::create(&pools, "samplers").await?;
    samplers.grow(2, &workspace).await?;
    billing.service("logs", json!({})).await?;

    let node = Node::start(plane, "edge")?;
    let helm = Helm::new(plane, "edge", &workspace);
    let lived = life(plane, &helm, &node, [&edge, &pools, &billing], &mut samplers, &workspace).await;
    if let Err(error) = lived {
        // A pod that does not run is why helm waits in vain.
        return Err(match node.trouble().await {
            Some(trouble) => error.context(format!("a pod: {trouble:#}")),
            None => error,
        });
    }
    let ended = node.end(plane, "edge").await?;
    ensure!(ended.len() >= 4, "two gateways, and two in their place: {ended:?}");
    let ends: Vec<String> = ended.iter().map(|pod| format!("{} after {:?}", pod.name, pod.took)).collect();
    report(format!("install | ended, counted from SIGTERM: {}", ends.join(", ")));
    ensure!(everything(plane).await?.is_empty(), "left: {:?}", everything(plane).await?);
    samplers.stop().await?;
    workspace.remove()
}

async fn namespaces(plane: &ControlPlane) -> anyhow::Result<[Namespace; 3]> {
    let [edge, pools, billing] = ["edge", "pools", "billing"];
    let made = [
        Namespace::create(plane.api, edge).await?,
        Namespace::create(plane.api, pools).await?,
        Namespace::create(plane.api, billing).await?,
    ];
    plane.api.merge("/api/v1/namespaces/edge", &json!({"metadata": {"labels": restricted()}})).await?;
    Ok(made)
}

async fn life(
    plane: &ControlPlane,
    helm: &Helm,
    node: &Node,
    [edge, pools, billing]: [&Namespace; 3],
    samplers: &mut Samplers,
    workspace: &Workspace,
) -> anyhow::Result<()> {
    let set = ["--create-namespace", "--wait", "--set", "backends.traces.service=samplers.pools"];
    let notes = helm.run("install", &set).await?;
    ensure!(notes.contains("kubectl --namespace edge rollout status deployment/ringway"), "{notes}");
    plane
        .kubectl_says(&["--namespace", "edge", "rollout", "status", "deployment/ringway", "--timeout=5s"])
        .await?;
    let objects = own(plane).await?;
    ensure!(objects == INSTALLED, "{objects:#?}");

    // Exactly the rights that are needed.
    let account = Account { namespace: "edge".to_owned(), name: "ringway".to_owned() };
    let may = async |namespace: &Namespace| may_beyond_everyone(plane, &account, &namespace.name).await;
    let (in_pools, in_edge, in_billing) = (may(pools).await?, may(edge).await?, may(billing).await?);
    ensure!(
        in_pools == SLICES && in_edge.is_empty() && in_billing.is_empty(),
        "{in_pools:?} {in_edge:?} {in_billing:?}"
    );

    // The ring follows, at both gateways, and traces stay whole.
    let gateways = node.ready(2).await?;
    serves(edge, &gateways).await?;
    let before = rings(&gateways, &samplers.identities()).await?;
    samplers.send(&gateways).await?;
    let of_two = samplers.whole().await?;
    samplers.grow(1, workspace).await?;
    let after = rings(&gateways, &samplers.identities()).await?;
    ensure!(after.digest != before.digest, "the same digest with another member");
    samplers.send(&gateways).await?;
    let of_three = samplers.whole().await?;
    ensure!(of_two.iter().chain(&of_three).all(|spans| *spans > 0), "{of_two:?} {of_three:?}");
    report(format!(
        "install | spans of whole traces at two Collectors {of_two:?}, then at three {of_three:?}"
    ));
    for asked in plane.audit(&account)? {
        let slices = asked.uri.starts_with("/apis/discovery.k8s.io/v1/namespaces/pools/endpointslices?");
        ensure!(slices && ["list", "watch"].contains(&asked.verb.as_str()), "{asked:?}");
    }

    // A pool in another namespace comes, and goes.
    let checksum = checksum(plane).await?;
    let more = ["--wait", "--reuse-values", "--set", "backends.logs.service=logs.billing"];
    helm.run("upgrade", &more).await?;
    let new = node.ready(2).await?;
    ensure!(new.iter().all(|pod| !gateways.contains(pod)), "the same pods: {new:?}");
    ensure!(checksum != self::checksum(plane).await?, "the same checksum");
    ensure!(may(billing).await? == SLICES && may(pools).await? == SLICES, "{:?}", may(billing).await?);
    let objects = own(plane).await?;
    ensure!(objects.contains(&"Role billing/ringway-edge".to_owned()), "{objects:#?}");
    helm.run("rollback", &["1"]).await?;
    let mut expected: Vec<String> = INSTALLED.map(str::to_owned).to_vec();
    expected.extend([2, 3].map(|version| format!("Secret edge/sh.helm.release.v1.ringway.v{version}")));
    expected.sort_unstable();
    let objects = own(plane).await?;
    ensure!(objects == expected, "{objects:#?}");
    ensure!(may(billing).await?.is_empty() && may(pools).await? == SLICES, "{:?}", may(billing).await?);
    ensure!(checksum == self::checksum(plane).await?, "another checksum");

    helm.run("uninstall", &["--wait"]).await?;
    let left = poll::until("everything is gone", LIMIT + Duration::from_secs(30), async || {
        let left = everything(plane).await?;
        Ok(left.is_empty().then_some(()))
    });
    left.await.context("after helm uninstall")?;
    ensure!(may(pools).await?.is_empty(), "{:?}", may(pools).await?);
    Ok(())
}

/// The gateways are the endpoints of the chart's Service.
async fn serves(edge: &Namespace, gateways: &[Running]) -> anyhow::Result<()> {
    let mut expected: Vec<String> = gateways.iter().map(|gateway| gateway.address.to_string()).collect();
    expected.sort_unstable();
    poll::until("the gateways are endpoints", LIMIT, async || {
        let endpoints = edge.endpoints("ringway", "IPv4").await?;
        let ready = endpoints.into_iter().filter(|endpoint| endpoint.ready == Some(true));
        Ok((ready.map(|endpoint| endpoint.address).collect::<Vec<_>>() == expected).then_some(()))
    })
    .await
}

/// Waits until all gateways have a ring of these members, the same at each, and returns it.
async fn rings(gateways: &[Running], members: &[String]) -> anyhow::Result<Ring> {
    let mut rings = Vec::new();
    for gateway in gateways {
        let health = SocketAddr::from((gateway.address, HEALTH));
        let ring = poll::until("the ring follows", LIMIT, async || {
            let ring = Ring::of(health).await?;
            Ok((ring.members == members).then_some(ring))
        });
        rings.push(ring.await?);
    }
    let first = rings.pop().context("no gateway")?;
    ensure!(rings.iter().all(|ring| ring.digest == first.digest), "{first:?} and {rings:?}");
    Ok(first)
}

/// The digest of the configuration that pods are made with.
async fn checksum(plane: &ControlPlane) -> anyhow::Result<String> {
    let deployment = plane.api.get("/apis/apps/v1/namespaces/edge/deployments/ringway").await?;
    let annotations = &deployment["spec"]["template"]["metadata"]["annotations"];
    Ok(annotations["checksum/config"].as_str().context("no checksum")?.to_owned())
}

/// Objects of the release that a user would think of as such: `kind namespace/name`, sorted.
async fn own(plane: &ControlPlane) -> anyhow::Result<Vec<String>> {
    let made = ["Pod ", "ReplicaSet ", "EndpointSlice ", "Endpoints ", "PodMetrics ", "Event "];
    let mut objects = everything(plane).await?;
    objects.retain(|object| !made.iter().any(|kind| object.starts_with(kind)));
    Ok(objects)
}

/// Every object of any kind, in any namespace, that is of the release: `kind namespace/name`, sorted.
async fn everything(plane: &ControlPlane) -> anyhow::Result<Vec<String>> {
    let kinds = plane.kubectl_says(&["api-resources", "--verbs=list", "--output=name"]).await?;
    let kinds = kinds.split_whitespace().collect::<Vec<_>>().join(",");
    let shown = "jsonpath={range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name}{\"\\n\"}{end}";
    let mut objects = Vec::new();
    for labels in ["app.kubernetes.io/instance=ringway", "owner=helm,name=ringway"] {
        let ask = ["get", &kinds, "--all-namespaces", "--selector", labels, "--output", shown];
        objects.extend(plane.kubectl_says(&ask).await?.lines().map(str::to_owned));
    }
    objects.sort_unstable();
    Ok(objects)
}

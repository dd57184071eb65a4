//! What the gateway may do: with the Role that is documented everything, with less a reason that can be read.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::json;

use crate::account::Account;
use crate::control_plane::{self, ControlPlane, Settings};
use crate::pods::LIMIT;
use crate::scene::{BARE, SERVICE, Scene};
use crate::traffic::Traffic;
use crate::{poll, report, together};

/// Tokens and certificates are read again about once a minute.
const RELOAD: Duration = Duration::from_secs(100);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_is_taken_and_given_back() -> anyhow::Result<()> {
    // Scenario: a gateway starts without its RoleBinding, gets it, loses it under load, pods change, it gets it back. Its watch
    // lasts 10 s, so that it has to ask again.
    // Guarantees: it starts, is not ready, and says which verb, resource, namespace and account are missing; it is ready
    // within seconds of the binding; without it it keeps ring and readiness; it follows again; nothing is lost.
    let _together = together().await;
    let plane = control_plane::shared().await?;
    let mut scene = Scene::set(plane, "denied").await?;
    scene.pool.grow(3).await?;
    scene.account.unbind(plane.api, "denied", &scene.account.role()).await?;
    scene.launch.resolver = "{service: samplers.denied, ports: [4317], timeout: 10s}".to_owned();
    let gateway = scene.gateway(plane, BARE).await?;
    let said = poll::until("it says why it is not ready", LIMIT, async || {
        let (ready, page) = gateway.readiness().await?;
        ensure!(!ready, "ready without a Role");
        let page = page.to_string();
        Ok(page.contains("forbidden").then_some(page))
    })
    .await?;
    for part in ["list", "endpointslices", "discovery.k8s.io", "denied", &scene.account.user()] {
        ensure!(said.contains(part), "no {part:?}: {said}");
    }
    scene.account.bind(plane.api, "denied", &scene.account.role()).await?;
    let bound = Instant::now();
    let ring = gateway.follows(&scene.pool.identities()).await?;
    let ready = bound.elapsed();

    let traffic = Traffic::start(&gateway);
    let forbidden = gateway.metric("ringway_resolver_failures", "forbidden").await?;
    scene.account.unbind(plane.api, "denied", &scene.account.role()).await?;
    poll::until("it is refused", Duration::from_secs(60), async || {
        Ok((gateway.metric("ringway_resolver_failures", "forbidden").await? > forbidden).then_some(()))
    })
    .await?;
    scene.pool.grow(1).await?;
    ensure!(gateway.readiness().await?.0 && gateway.ring().await? == ring, "the ring is lost");
    scene.account.bind(plane.api, "denied", &scene.account.role()).await?;
    let bound = Instant::now();
    gateway.follows(&scene.pool.identities()).await?;
    report(format!("denied | {said} | ready after {ready:?}, followed after {:?}", bound.elapsed()));
    traffic.flows(20).await?;
    traffic.balance("denied", gateway, &mut scene.pool).await?;
    scene.workspace.remove()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_with_resource_names() -> anyhow::Result<()> {
    // Scenario: a Role that allows to list and watch slices of certain names only, all that there are.
    // Guarantees: a list with a label selector is refused with 403 all the same, so a Role for the gateway cannot be narrowed
    // like this; and the gateway's account, which may read all of them, may do nothing else.
    let _together = together().await;
    let plane = control_plane::shared().await?;
    let mut scene = Scene::set(plane, "narrow").await?;
    scene.pool.grow(2).await?;
    let slices = poll::until("a slice", LIMIT, async || {
        let slices = scene.namespace.slices(SERVICE).await?;
        Ok((!slices.is_empty()).then_some(slices))
    })
    .await?;
    let names: Vec<&str> = slices.iter().filter_map(|slice| slice["metadata"]["name"].as_str()).collect();
    let narrow = Account::create(plane.api, "narrow", "narrow").await?;
    let rule = json!({
        "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"],
        "resourceNames": names,
    });
    narrow.may(plane.api, "narrow", "some-slices", rule).await?;
    let list = async |user: String| {
        let selector = format!("kubernetes.io/service-name={SERVICE}");
        let arguments =
            ["get", "endpointslices", "--namespace", "narrow", "--selector", &selector, "--as", &user];
        plane.kubectl_says(&arguments).await
    };
    let one = ["get", "endpointslice", names[0], "--namespace", "narrow", "--as", &narrow.user()];
    poll::until("the Role is in force", LIMIT, async || Ok(plane.kubectl_says(&one).await.ok())).await?;
    let Err(refused) = list(narrow.user()).await else { anyhow::bail!("it may list them") };
    ensure!(format!("{refused:#}").contains("Forbidden"), "{refused:#}");
    list(scene.account.user()).await?;
    report(format!("narrow | {refused:#}"));
    scene.workspace.remove()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_more_than_slices() -> anyhow::Result<()> {
    // Scenario: what the account of a gateway that has its ring may do in its pool's namespace, as the API server says.
    // Guarantees: beyond what every account may (ask who it is, read the API's description), it may get, list and watch
    // EndpointSlices; and the gateway has asked nothing but to list and to watch them, and was never refused.
    let _together = together().await;
    let plane = control_plane::shared().await?;
    let mut scene = Scene::set(plane, "least").await?;
    scene.pool.grow(2).await?;
    let gateway = scene.gateway(plane, BARE).await?;
    gateway.follows(&scene.pool.identities()).await?;
    let beyond = may_beyond_everyone(plane, &scene.account, "least").await?;
    ensure!(beyond == ["endpointslices.discovery.k8s.io [] [] [get list watch]"], "{beyond:?}");
    let asked = plane.audit(&scene.account)?;
    ensure!(!asked.is_empty(), "it asked nothing");
    for asked in &asked {
        ensure!(["list", "watch"].contains(&asked.verb.as_str()) && asked.code == 200, "{asked:?}");
        ensure!(
            asked.uri.starts_with("/apis/discovery.k8s.io/v1/namespaces/least/endpointslices?"),
            "{asked:?}"
        );
        ensure!(asked.uri.contains("service-name%3Dsamplers"), "{asked:?}");
    }
    gateway.stop().await?;
    scene.workspace.remove()
}

/// What an account may do in a namespace beyond what one without any Role may there.
pub(crate) async fn may_beyond_everyone(
    plane: &ControlPlane,
    account: &Account,
    namespace: &str,
) -> anyhow::Result<Vec<String>> {
    let list = async |user: &str| {
        let user = format!("--as={user}");
        let groups = ["--as-group=system:serviceaccounts", "--as-group=system:authenticated"];
        let ask = [
            "auth",
            "can-i",
            "--list",
            "--no-headers",
            "--namespace",
            namespace,
            &user,
            groups[0],
            groups[1],
        ];
        let said = plane.kubectl_says(&ask).await?;
        let rows = said.lines().map(|row| row.split_whitespace().collect::<Vec<_>>().join(" "));
        anyhow::Ok(rows.collect::<Vec<String>>())
    };
    let everyone = list("system:serviceaccount:nowhere:nobody").await?;
    ensure!(!everyone.is_empty(), "everyone may do nothing, not even ask");
    let mut rows = list(&account.user()).await?;
    rows.retain(|row| !everyone.contains(row));
    Ok(rows)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_worth_nothing_any_more() -> anyhow::Result<()> {
    // Scenario: under load, the ServiceAccount is deleted and made again, so that its token is refused; pods change; a kubelet
    // would write a new token, and after a while the test does. Watches last 10 s.
    // Guarantees: the resolver says `unauthorized`, and keeps ring and readiness; with the new token it follows; nothing is lost.
    let _together = together().await;
    let plane = control_plane::shared().await?;
    let mut scene = Scene::set(plane, "revoked").await?;
    scene.pool.grow(3).await?;
    scene.launch.resolver = "{service: samplers.revoked, ports: [4317], timeout: 10s}".to_owned();
    let gateway = scene.gateway(plane, BARE).await?;
    let ring = gateway.follows(&scene.pool.identities()).await?;
    let traffic = Traffic::start(&gateway);
    scene.account.delete(plane.api).await?;
    Account::create(plane.api, "revoked", "gateway").await?;
    poll::until("it is refused", Duration::from_secs(60), async || {
        Ok((gateway.metric("ringway_resolver_failures", "unauthorized").await? > 0.0).then_some(()))
    })
    .await?;
    scene.pool.grow(1).await?;
    ensure!(gateway.readiness().await?.0 && gateway.ring().await? == ring, "the ring is lost");
    gateway.files.renew_token(&scene.account, plane).await?;
    let renewed = Instant::now();
    gateway.follows_within(RELOAD, &scene.pool.identities()).await?;
    report(format!("revoked | followed {:?} after the token was renewed", renewed.elapsed()));
    traffic.flows(20).await?;
    traffic.balance("revoked", gateway, &mut scene.pool).await?;
    scene.workspace.remove()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_that_is_replaced() -> anyhow::Result<()> {
    // Scenario: under load, the API server comes back with a certificate of another authority; pods change; then the file with
    // the authority's certificate is replaced, as a kubelet would.
    // Guarantees: the gateway does not talk to a server that it has no reason to trust, and keeps its ring; with the new file
    // it follows; nothing is lost.
    let _together = together().await;
    let mut plane = ControlPlane::start("rotated", Settings::default()).await?;
    let mut scene = Scene::set(&plane, "rotated").await?;
    scene.pool.grow(3).await?;
    let gateway = scene.gateway(&plane, BARE).await?;
    let ring = gateway.follows(&scene.pool.identities()).await?;
    let traffic = Traffic::start(&gateway);
    plane.rotate_authority().await?;
    plane.kill_api_server().await?;
    plane.start_api_server().await?;
    scene.pool.grow(1).await?;
    let failures = gateway.metric("ringway_resolver_failures", "").await?;
    poll::until("it goes on refusing", Duration::from_secs(30), async || {
        Ok((gateway.metric("ringway_resolver_failures", "").await? >= failures + 2.0).then_some(()))
    })
    .await?;
    ensure!(gateway.readiness().await?.0 && gateway.ring().await? == ring, "the ring is another");
    gateway.files.renew_authority(&plane)?;
    let renewed = Instant::now();
    gateway.follows_within(RELOAD, &scene.pool.identities()).await?;
    report(format!("rotated | followed {:?} after the file was renewed", renewed.elapsed()));
    traffic.flows(20).await?;
    traffic.balance("rotated", gateway, &mut scene.pool).await?;
    scene.workspace.remove()
}

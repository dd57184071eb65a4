//! The Helm chart in a cluster: what it renders is taken by the API server, and with what it installs ringway works.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use crate::access::may_beyond_everyone;
use crate::account::Account;
use crate::chart_helm::{self, NAMESPACE};
use crate::collector::Collector;
use crate::control_plane::{self, ControlPlane};
use crate::delivery::arrival::arrival;
use crate::delivery::outcome::Outcome;
use crate::delivery::script::TRACE_SPANS;
use crate::delivery::sinks::PORT;
use crate::delivery::tally::Tape;
use crate::gateway::Gateway;
use crate::pods::Namespace;
use crate::pool::Pool;
use crate::process::command;
use crate::scene::SERVICE;
use crate::traffic::Traffic;
use crate::workspace::Workspace;
use crate::{parts, report, together};

/// What Pod Security asks of a namespace.
const RESTRICTED: &str = "pod-security.kubernetes.io/enforce=restricted";
const WARNED: &str = "pod-security.kubernetes.io/warn=restricted";

/// What values ask for by themselves, and what the server says of it.
const ASKED_FOR: [(&str, &str); 3] = [
    ("daemonset", "hostPort"),
    ("everything-extra", "allowPrivilegeEscalation != false (containers \"first\", \"agent\""),
    ("services", "\"PreferClose\" is deprecated"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_server_takes_what_the_chart_renders() -> anyhow::Result<()> {
    // Scenario: every file of tests/chart/cases, rendered, and applied with a dry run on the server; Pod Security is enforced in the
    // gateway's namespace, at the level "restricted". Kinds of the Prometheus operator, which the server does not know, are
    // left out.
    // Guarantees: every object passes the server's validation and admission, without a warning that the values do not ask for.
    let _together = together().await;
    let plane = control_plane::shared().await?;
    let mut cases: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(chart_helm::source("tests/chart/cases"))? {
        cases.push(entry?.path());
    }
    cases.sort();
    ensure!(cases.len() >= 20, "{} cases", cases.len());
    let mut rendered = Vec::new();
    let mut namespaces = vec![NAMESPACE.to_owned()];
    for case in &cases {
        let name = case.file_stem().context("no name")?.to_string_lossy().into_owned();
        let all = chart_helm::render(&name, &fs::read_to_string(case)?);
        let known: Vec<&str> = all
            .split("\n---\n")
            .filter(|object| !object.contains("apiVersion: monitoring.coreos.com/"))
            .collect();
        let all = known.join("\n---\n");
        namespaces.extend(
            all.lines().filter_map(|line| line.trim().strip_prefix("namespace: ")).map(str::to_owned),
        );
        rendered.push((name, all));
    }
    namespaces.sort_unstable();
    namespaces.dedup();
    for namespace in &namespaces {
        let namespace = namespace.trim_matches('"');
        if plane.api.find(&format!("/api/v1/namespaces/{namespace}")).await?.is_none() {
            Namespace::create(plane.api, namespace).await?;
        }
        plane.kubectl_says(&["label", "--overwrite", "namespace", namespace, RESTRICTED, WARNED]).await?;
    }
    let mut wrong = Vec::new();
    for (name, objects) in &rendered {
        let said = dry_run(plane, objects).await?;
        let expected = ASKED_FOR.iter().find(|(case, _)| case == name);
        let is_right = match expected {
            Some((_, warning)) => said.lines().count() == 1 && said.contains(warning),
            None => said.is_empty(),
        };
        if !is_right {
            wrong.push(format!("{name}: {said}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    report(format!("chart | {} sets of values taken by the API server", rendered.len()));
    Ok(())
}

/// What kubectl says on its standard error.
async fn dry_run(plane: &ControlPlane, objects: &str) -> anyhow::Result<String> {
    let mut kubectl = plane.kubectl()?;
    kubectl.args(["apply", "--dry-run=server", "--filename", "-"]);
    let mut child = kubectl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut input = child.stdin.take().context("no input")?;
    input.write_all(objects.as_bytes()).await?;
    drop(input);
    let ended = child.wait_with_output().await?;
    let said = String::from_utf8(ended.stderr)?;
    ensure!(ended.status.success() || !said.is_empty(), "kubectl failed and said nothing");
    Ok(said)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_installed_chart_works_and_leaves_nothing() -> anyhow::Result<()> {
    // Scenario: `helm install` in a namespace with Pod Security "restricted", in front of three Collectors in another; ringway runs
    // with the configuration that was installed (listening on an address of its own, by a value) and a token of the account
    // that was; `helm upgrade` adds a pool in a third namespace, `helm rollback` and `helm uninstall` follow.
    // Guarantees: the Deployment's pods are admitted; the account may read slices where the pools are and nothing else; the ring
    // is the Collectors, and follows when one more comes; every span arrives, once, and every trace whole; what an upgrade
    // gives a rollback takes, and after the uninstallation nothing of the release is left.
    let _together = together().await;
    let plane = control_plane::shared().await?;
    let workspace = Workspace::new("chart")?;
    Namespace::create(plane.api, "chart").await?;
    plane.kubectl_says(&["label", "namespace", "chart", RESTRICTED, WARNED]).await?;
    let pool = Namespace::create(plane.api, "chart-pool").await?;
    Namespace::create(plane.api, "chart-more").await?;
    pool.service(SERVICE, json!({})).await?;
    let helm = Helm { plane, workspace: &workspace };
    let chart = chart_helm::source("helm").display().to_string();
    let listen = Ipv4Addr::new(10, 77, 0, 50);
    let (address, first) =
        (format!("listenAddress={listen}"), format!("backends.traces.service={SERVICE}.chart-pool"));
    let values = ["--set", &address, "--set", &first];
    helm.says(&[["install", "ringway", &chart].as_slice(), &values].concat()).await?;

    // Pod Security refuses pods where a ReplicaSet makes them.
    let replicas = "/apis/apps/v1/namespaces/chart/deployments/ringway";
    crate::poll::until("the Deployment has its pods", crate::pods::LIMIT, async || {
        let deployment = plane.api.get(replicas).await?;
        Ok((deployment["status"]["replicas"] == 2).then_some(()))
    })
    .await?;
    let account = Account { namespace: "chart".to_owned(), name: "ringway".to_owned() };
    let reads = ["endpointslices.discovery.k8s.io [] [] [get list watch]"];
    ensure!(may_beyond_everyone(plane, &account, "chart-pool").await? == reads, "in the pool's namespace");
    for namespace in ["chart", "chart-more", "default"] {
        let beyond = may_beyond_everyone(plane, &account, namespace).await?;
        ensure!(beyond.is_empty(), "in {namespace}: {beyond:?}");
    }

    let (mut collectors, mut identities) = (Vec::new(), Vec::new());
    for number in 0..3 {
        let name = format!("sampler-{number}");
        let pod = pool.pod(SERVICE, &name, json!({})).await?;
        let at = (pod.v4, PORT).into();
        collectors.push(Collector::start_on(at, &name, "record_delivery.yaml", "", &workspace).await?);
        identities.push(format!("{}:{PORT}", pod.v4));
        pool.runs(&pod, true).await?;
    }
    identities.sort_unstable();
    let installed = plane.api.get("/api/v1/namespaces/chart/configmaps/ringway").await?;
    let config = workspace.path("ringway.yaml");
    fs::write(&config, installed["data"]["ringway.yaml"].as_str().context("no configuration")?)?;
    let gateway = Gateway::installed("installed", &account, &config, listen, plane, &workspace).await?;
    gateway.follows(&identities).await?;
    ensure!(gateway.readiness().await?.0, "not ready");
    let traffic = Traffic::start(&gateway);
    traffic.flows(100).await?;
    let sent = traffic.end().await?;
    let mut tapes: Vec<Tape> = collectors.iter().map(|collector| Tape::new(collector.file())).collect();
    arrival(&sent, &mut tapes).await?;
    let mut tallies = Vec::new();
    for tape in &mut tapes {
        tallies.push(tape.read()?.clone());
    }
    let outcome = Outcome::new(&sent, &[], &tallies.iter().collect::<Vec<_>>());
    report(format!("chart | {outcome}"));
    Outcome { bytes_ratio: 1.0, ..outcome }.clean()?;
    let at = |number: usize| tallies.iter().position(|tally| tally.copies(number) > 0);
    let split = sent.acknowledged().filter(|number| at(*number) != at(number - number % TRACE_SPANS)).count();
    ensure!(split == 0, "{split} spans are not where the first of their trace is");
    ensure!(tallies.iter().all(|tally| tally.spans > 0), "a Collector got nothing");

    let mut more = Pool::of(&pool, SERVICE);
    more.grow(1).await?;
    identities.extend(more.identities());
    identities.sort_unstable();
    gateway.follows(&identities).await?;
    gateway.stop().await?;

    let second = format!("backends.logs.service={SERVICE}.chart-more");
    helm.says(&[["upgrade", "ringway", &chart].as_slice(), &values, &["--set", &second]].concat()).await?;
    ensure!(may_beyond_everyone(plane, &account, "chart-more").await? == reads, "after the upgrade");
    helm.says(&["rollback", "ringway", "1"]).await?;
    ensure!(may_beyond_everyone(plane, &account, "chart-more").await?.is_empty(), "after the rollback");
    ensure!(may_beyond_everyone(plane, &account, "chart-pool").await? == reads, "after the rollback");
    helm.says(&["uninstall", "ringway"]).await?;
    let kinds = "deployments,configmaps,services,serviceaccounts,roles,rolebindings,poddisruptionbudgets,networkpolicies,secrets";
    let ask = ["get", kinds, "--all-namespaces", "--output", "name"];
    let ours = ["--selector", "app.kubernetes.io/instance=ringway"];
    let left = plane.kubectl_says(&[ask.as_slice(), &ours].concat()).await?;
    ensure!(left.is_empty(), "left: {left}");
    ensure!(may_beyond_everyone(plane, &account, "chart-pool").await?.is_empty(), "after the uninstallation");
    for collector in collectors {
        collector.stop().await?;
    }
    workspace.remove()
}

/// helm as the administrator, in the namespace of the release.
struct Helm<'a> {
    plane: &'a ControlPlane,
    workspace: &'a Workspace,
}

impl Helm<'_> {
    async fn says(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut helm = command(parts::program("helm")?);
        helm.args(arguments).args(["--namespace", "chart"]).arg("--kubeconfig").arg(self.plane.kubeconfig());
        for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME", "HOME"] {
            helm.env(variable, self.workspace.path("helm"));
        }
        let ended = helm.output().await?;
        let said = String::from_utf8_lossy(&ended.stderr);
        ensure!(ended.status.success(), "helm {}: {said}", arguments.join(" "));
        Ok(String::from_utf8(ended.stdout)?)
    }
}

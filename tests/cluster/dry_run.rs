//! What the chart renders, as a real API server takes it: every key known, and nothing that Pod Security "restricted" forbids.
//!
//! ServiceMonitor and PodMonitor are the Prometheus operator's; here they are custom resources whose spec may be anything.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::OnceCell;

use crate::chart::{self, Options};
use crate::control_plane::{self, ControlPlane};
use crate::pods::LIMIT;
use crate::{poll, report, together};

/// Labels of a namespace in which pods that are not "restricted" are refused, and workloads that would make them are warned of.
pub(crate) fn restricted() -> Value {
    let mut labels = json!({});
    for mode in ["enforce", "warn"] {
        labels[format!("pod-security.kubernetes.io/{mode}")] = json!("restricted");
        labels[format!("pod-security.kubernetes.io/{mode}-version")] = json!("latest");
    }
    labels
}

/// Cases whose values ask for what the API server warns of, and what it says.
const WARNED: [(&str, &str); 3] = [
    // A port on the node: its values say so.
    ("daemonset", "hostPort (container \"ringway\" uses hostPort 4317)"),
    // Containers of the user's own, without a security context.
    (
        "everything-extra",
        "(containers \"first\", \"agent\" must set securityContext.allowPrivilegeEscalation=false)",
    ),
    // The name that older clusters know.
    ("services", "\"PreferClose\" is deprecated"),
];

/// What kubectl said to objects that it was given.
#[derive(Debug)]
struct Said {
    taken: bool,
    /// Lines such as `deployment.apps/ringway created (server dry run)`.
    objects: usize,
    errors: String,
}

/// The control plane with the namespaces that the cases name, and the kinds that they know.
async fn prepared() -> anyhow::Result<&'static ControlPlane> {
    static PREPARED: OnceCell<()> = OnceCell::const_new();
    let plane = control_plane::shared().await?;
    let prepare = async || {
        for name in [chart::NAMESPACE, "observability", "metrics", "telemetry"] {
            let namespace = json!({"metadata": {"name": name, "labels": restricted()}});
            plane.api.create("/api/v1/namespaces", &namespace).await?;
        }
        for (kind, plural) in [("ServiceMonitor", "servicemonitors"), ("PodMonitor", "podmonitors")] {
            define(plane, kind, plural).await?;
        }
        anyhow::Ok(())
    };
    PREPARED.get_or_try_init(prepare).await?;
    Ok(plane)
}

/// Makes a kind of the Prometheus operator known, and waits until it is.
async fn define(plane: &ControlPlane, kind: &str, plural: &str) -> anyhow::Result<()> {
    let group = "monitoring.coreos.com";
    let schema = json!({"type": "object", "properties":
        {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}});
    let definition = json!({
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        },
    });
    plane.api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition).await?;
    let path = format!("/apis/{group}/v1/{plural}");
    // 404 first, then 429 while its storage is made.
    poll::until("the kind is known", LIMIT, async || Ok(plane.api.get(&path).await.ok())).await?;
    Ok(())
}

/// Has kubectl apply objects, without effect: `-f -`, or `-k` and a directory.
async fn apply(plane: &ControlPlane, arguments: &[&str], objects: &str) -> anyhow::Result<Said> {
    let mut kubectl = plane.kubectl()?;
    kubectl.args(["apply", "--dry-run=server", "--validate=strict"]).args(arguments);
    let mut running = kubectl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut stdin = running.stdin.take().context("no standard input")?;
    stdin.write_all(objects.as_bytes()).await?;
    drop(stdin);
    let ended = tokio::time::timeout(Duration::from_secs(60), running.wait_with_output()).await??;
    let said = String::from_utf8(ended.stdout)?;
    Ok(Said {
        taken: ended.status.success(),
        objects: said.lines().filter(|line| line.ends_with("(server dry run)")).count(),
        errors: String::from_utf8(ended.stderr)?,
    })
}

/// Renders a case, by the options in its first lines.
fn render(name: &str, values: &str) -> anyhow::Result<String> {
    let said = chart::template(&Options::of(values), &[], values);
    ensure!(said.is_good, "{name} does not render: {}", said.stderr);
    Ok(said.stdout)
}

/// How many objects there are in a stream.
fn count(objects: &str) -> usize {
    objects.lines().filter(|line| line.starts_with("kind: ")).count()
}

/// What is wrong with what was said to so many objects: they must be taken, with this warning alone or with none.
fn wrong(said: &Said, objects: usize, warning: Option<&str>) -> Option<String> {
    let warnings: Vec<&str> = said.errors.lines().collect();
    let as_expected = match (warnings.as_slice(), warning) {
        ([], None) => true,
        ([said], Some(text)) => said.contains(text),
        _ => false,
    };
    (!(said.taken && as_expected && said.objects == objects)).then(|| format!("{said:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_is_rendered_is_taken() -> anyhow::Result<()> {
    // Scenario: what helm renders for every case of tests/chart, and the kustomize base, applied without effect in namespaces
    // with Pod Security "restricted" and with strict validation.
    // Guarantees: every object is taken, and of nothing is there a warning of any kind, but of what the values of three cases ask
    // for: a port on the node, containers that say nothing of security, a name that is old.
    let _together = together().await;
    let plane = prepared().await?;
    let mut cases: Vec<_> = fs::read_dir(chart::source("tests/chart/cases"))?.collect::<Result<_, _>>()?;
    cases.sort_by_key(fs::DirEntry::file_name);
    let mut problems = Vec::new();
    let mut taken = 0;
    for case in &cases {
        let path = case.path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).context("a name")?;
        let objects = render(name, &fs::read_to_string(&path)?)?;
        let said = apply(plane, &["-f", "-"], &objects).await?;
        let warning = WARNED.iter().find(|(case, _)| *case == name).map(|(_, text)| *text);
        problems.extend(wrong(&said, count(&objects), warning).map(|what| format!("== {name}: {what}")));
        taken += said.objects;
    }
    ensure!(problems.is_empty(), "{} of {} cases:\n{}", problems.len(), cases.len(), problems.join("\n"));
    ensure!(cases.len() >= 20, "only {} cases", cases.len());

    let base = chart::source("manifests");
    let base = base.to_str().context("a path")?;
    let built = plane.kubectl_says(&["kustomize", base]).await?;
    let said = apply(plane, &["--server-side", "-k", base], "").await?;
    ensure!(wrong(&said, count(&built), None).is_none(), "the base: {said:?}");
    report(format!("dry run | {} cases, {taken} objects; the base, {} objects", cases.len(), said.objects));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_must_not_be_taken_is_not() -> anyhow::Result<()> {
    // Scenario: a rendered Deployment with a misspelt key, one that may run as root, and its pod by itself.
    // Guarantees: the key and the pod are refused, the Deployment is warned of, and each counts as wrong: so the test above can fail.
    let _together = together().await;
    let plane = prepared().await?;
    let rendered = render("one-pool", "backends: {traces: {service: samplers.observability}}")?;
    let objects = count(&rendered);
    let said = apply(plane, &["-f", "-"], &rendered).await?;
    ensure!(wrong(&said, objects, None).is_none(), "{said:?}");

    let misspelt = rendered.replace("minReadySeconds:", "minReadySecond:");
    let said = apply(plane, &["-f", "-"], &misspelt).await?;
    ensure!(!said.taken && said.errors.contains("unknown field \"spec.minReadySecond\""), "{said:?}");
    ensure!(wrong(&said, objects, None).is_some(), "{said:?}");

    let root = rendered.replace("runAsNonRoot: true", "runAsNonRoot: false");
    let said = apply(plane, &["-f", "-"], &root).await?;
    ensure!(said.taken && said.errors.contains("Warning: would violate PodSecurity"), "{said:?}");
    ensure!(wrong(&said, objects, None).is_some(), "{said:?}");

    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "root", "namespace": chart::NAMESPACE},
        "spec": {"containers": [{"name": "ringway", "image": "ringway"}]},
    });
    let said = apply(plane, &["-f", "-"], &pod.to_string()).await?;
    ensure!(!said.taken && said.errors.contains("violates PodSecurity \"restricted:latest\""), "{said:?}");
    Ok(())
}

//! The real helm against a control plane, as an administrator runs it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use crate::chart;
use crate::control_plane::ControlPlane;
use crate::parts;
use crate::process::command;
use crate::workspace::Workspace;

/// How long helm may take; what it waits for has a minute of that.
const LIMIT: Duration = Duration::from_secs(90);

/// helm, for one namespace.
#[derive(Debug)]
pub(crate) struct Helm {
    kubeconfig: PathBuf,
    home: PathBuf,
    namespace: String,
}

impl Helm {
    /// helm with caches of its own.
    pub(crate) fn new(plane: &ControlPlane, namespace: &str, workspace: &Workspace) -> Self {
        let home = workspace.path("helm");
        Self { kubeconfig: plane.kubeconfig(), home, namespace: namespace.to_owned() }
    }

    /// Runs `helm <verb> ringway …` and returns what it printed.
    ///
    /// # Errors
    ///
    /// When it fails, with what it said, or does not end in time.
    pub(crate) async fn run(&self, verb: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let mut helm: Command = command(parts::program("helm")?);
        helm.env("HOME", &self.home).arg("--kubeconfig").arg(&self.kubeconfig);
        helm.args([verb, "ringway"]);
        if ["install", "upgrade"].contains(&verb) {
            helm.arg(chart::source("helm"));
        }
        helm.args(arguments).args(["--namespace", &self.namespace, "--timeout", "60s"]);
        let ended = tokio::time::timeout(LIMIT, helm.kill_on_drop(true).output()).await;
        let ended = ended.with_context(|| format!("helm {verb} does not end"))??;
        let said = String::from_utf8_lossy(&ended.stderr);
        ensure!(ended.status.success(), "helm {verb} {}: {said}", arguments.join(" "));
        Ok(String::from_utf8(ended.stdout)?)
    }
}

//! What a scheduler and a kubelet do for the pods of one namespace: they run, are ready as their probes say, and end when they
//! are told to. There are no images: every pod here is ringway's.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::container::{Container, text};
use crate::control_plane::ControlPlane;
use crate::pods::LIMIT;
use crate::poll;
use crate::workspace::Workspace;

/// How often it looks at everything; a kubelet does so less often.
const PERIOD: Duration = Duration::from_millis(200);

/// A node that is at work until it is told to end.
#[derive(Debug)]
pub(crate) struct Node {
    /// Gone means enough.
    enough: oneshot::Sender<()>,
    ready: watch::Receiver<Vec<Running>>,
    task: JoinHandle<anyhow::Result<Vec<Ended>>>,
}

/// A pod whose container is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Running {
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
}

/// A pod that has ended in time and with success.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    pub(crate) name: String,
    /// From SIGTERM on.
    pub(crate) took: Duration,
}

/// What the task owns.
struct Kubelet {
    plane: &'static ControlPlane,
    /// Path of the namespace's pods.
    pods: String,
    workspace: Workspace,
    /// By uid.
    running: BTreeMap<String, (String, Container, Stage)>,
    ending: JoinSet<anyhow::Result<Ended>>,
    ended: Vec<Ended>,
}

/// How far a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The startup probe has not answered yet.
    Starts,
    /// It has; whether it is ready.
    Started(bool),
}

impl Node {
    /// Starts to work for a namespace.
    ///
    /// # Errors
    ///
    /// When there is no workspace.
    pub(crate) fn start(plane: &'static ControlPlane, namespace: &str) -> anyhow::Result<Self> {
        let mut kubelet = Kubelet {
            plane,
            pods: format!("/api/v1/namespaces/{namespace}/pods"),
            workspace: Workspace::new(&format!("node-{namespace}"))?,
            running: BTreeMap::new(),
            ending: JoinSet::new(),
            ended: Vec::new(),
        };
        let (enough, mut told) = oneshot::channel();
        let (show, ready) = watch::channel(Vec::new());
        let task = tokio::spawn(async move {
            loop {
                kubelet.look().await?;
                show.send_replace(kubelet.ready());
                tokio::select! {
                    _ = &mut told => break,
                    () = tokio::time::sleep(PERIOD) => {}
                }
            }
            while let Some(ended) = kubelet.ending.join_next().await {
                kubelet.ended.push(ended??);
            }
            ensure!(kubelet.running.is_empty(), "there are still pods");
            kubelet.workspace.remove()?;
            Ok(kubelet.ended)
        });
        Ok(Self { enough, ready, task })
    }

    /// Waits until so many pods are ready, and returns them.
    ///
    /// # Errors
    ///
    /// When they are not in time.
    pub(crate) async fn ready(&self, pods: usize) -> anyhow::Result<Vec<Running>> {
        let mut shown = self.ready.clone();
        let found = tokio::time::timeout(LIMIT, shown.wait_for(|ready| ready.len() == pods)).await;
        Ok(found.with_context(|| format!("{pods} pods are not ready"))??.clone())
    }

    /// What went wrong with a pod so far, if anything did; ends all of them.
    pub(crate) async fn trouble(self) -> Option<anyhow::Error> {
        if !self.task.is_finished() {
            self.task.abort();
        }
        match self.task.await {
            Ok(Err(error)) => Some(error),
            Ok(Ok(_)) | Err(_) => None,
        }
    }

    /// Waits until no pod is left, and returns those that there were.
    ///
    /// # Errors
    ///
    /// What went wrong with a pod at any time, or that one stays.
    pub(crate) async fn end(self, plane: &ControlPlane, namespace: &str) -> anyhow::Result<Vec<Ended>> {
        let path = format!("/api/v1/namespaces/{namespace}/pods");
        let empty = poll::until("no pod is left", LIMIT, async || {
            if self.task.is_finished() {
                return Ok(Some(())); // with an error, which says more
            }
            let pods = plane.api.get(&path).await?;
            Ok(pods["items"].as_array().is_some_and(Vec::is_empty).then_some(()))
        });
        empty.await?;
        drop(self.enough);
        self.task.await?
    }
}

impl Kubelet {
    /// Does once what there is to do.
    async fn look(&mut self) -> anyhow::Result<()> {
        let pods = self.plane.api.get(&self.pods).await?;
        for pod in pods["items"].as_array().context("no items")? {
            let name = text(&pod["metadata"]["name"])?.to_owned();
            let uid = text(&pod["metadata"]["uid"])?.to_owned();
            let leaves = !pod["metadata"]["deletionTimestamp"].is_null();
            let known = self.running.contains_key(&uid);
            match (known, leaves) {
                (false, false) => self.begin(uid, &name, pod).await.with_context(|| name.clone())?,
                (true, false) => self.observe(&uid).await.with_context(|| name.clone())?,
                (true, true) => self.leave(&uid, pod)?,
                (false, true) => {} // it is ending
            }
        }
        while let Some(ended) = self.ending.try_join_next() {
            self.ended.push(ended??);
        }
        Ok(())
    }

    fn ready(&self) -> Vec<Running> {
        let ready = self.running.values().filter(|(_, _, stage)| *stage == Stage::Started(true));
        ready.map(|(name, container, _)| Running { name: name.clone(), address: container.address }).collect()
    }

    /// Takes a pod to this node and starts it.
    async fn begin(&mut self, uid: String, name: &str, pod: &Value) -> anyhow::Result<()> {
        let binding = json!({"metadata": {"name": name}, "target": {"kind": "Node", "name": "node-a"}});
        self.plane.api.create(&format!("{}/{name}/binding", self.pods), &binding).await?;
        let program = Path::new(env!("CARGO_BIN_EXE_ringway"));
        let container = Container::start(pod, program, self.plane, &self.workspace).await?;
        self.tell(name, container.address, false).await?;
        self.running.insert(uid, (name.to_owned(), container, Stage::Starts));
        Ok(())
    }

    /// Asks the probes of a pod, and tells the API if its readiness has changed.
    async fn observe(&mut self, uid: &str) -> anyhow::Result<()> {
        let (name, container, stage) = self.running.get_mut(uid).context("not running")?;
        if *stage == Stage::Starts {
            if !container.probe("startupProbe").await? {
                return Ok(());
            }
            *stage = Stage::Started(false);
        }
        ensure!(container.probe("livenessProbe").await?, "it would have been restarted: not alive");
        let ready = container.probe("readinessProbe").await?;
        let changed = *stage != Stage::Started(ready);
        *stage = Stage::Started(ready);
        let (name, address) = (name.clone(), container.address);
        if changed { self.tell(&name, address, ready).await } else { Ok(()) }
    }

    /// Ends a pod, beside everything else.
    fn leave(&mut self, uid: &str, pod: &Value) -> anyhow::Result<()> {
        let (name, container, _) = self.running.remove(uid).context("not running")?;
        let grace = pod["metadata"]["deletionGracePeriodSeconds"].as_u64().context("no grace period")?;
        ensure!(Some(grace) == pod["spec"]["terminationGracePeriodSeconds"].as_u64(), "another grace period");
        let (api, path) = (self.plane.api, format!("{}/{name}?gracePeriodSeconds=0", self.pods));
        self.ending.spawn(async move {
            let took = container.end(Duration::from_secs(grace)).await.with_context(|| name.clone())?;
            api.delete(&path).await?;
            Ok(Ended { name, took })
        });
        Ok(())
    }

    async fn tell(&self, name: &str, address: Ipv4Addr, ready: bool) -> anyhow::Result<()> {
        let now = k8s_openapi::jiff::Timestamp::now().to_string();
        let ready = if ready { "True" } else { "False" };
        let status = json!({"status": {
            "phase": "Running",
            "podIP": address.to_string(),
            "podIPs": [{"ip": address.to_string()}],
            "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": now}],
        }});
        self.plane.api.merge(&format!("{}/{name}/status", self.pods), &status).await?;
        Ok(())
    }
}

//! A container as a kubelet starts it: with what its pod's spec says, and nothing else of this machine.
//!
//! Its own network with an address that others reach; a read-only file system of program, volumes and `/proc`; the user and
//! groups of the spec, without a way to become another. The libraries are the machine's, which a static image does not need. Not
//! here: limits of memory and CPU, seccomp.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::account::Account;
use crate::control_plane::ControlPlane;
use crate::process::{Process, command};
use crate::{http, workspace::Workspace};

/// A running container, the only one of its pod.
#[derive(Debug)]
pub(crate) struct Container {
    /// Its pod's address.
    pub(crate) address: Ipv4Addr,
    spec: Value,
    process: Process,
}

/// A pod, as the API has it, that is being made ready to start.
struct Making<'a> {
    pod: &'a Value,
    container: &'a Value,
    plane: &'a ControlPlane,
    address: Ipv4Addr,
    /// Where the container's file system and the volumes are made.
    directory: PathBuf,
    /// The shell's commands that put the file system together.
    mounts: Vec<String>,
}

impl Container {
    /// Starts a pod's container with this program as its image's.
    ///
    /// # Errors
    ///
    /// When the spec has something that is not known here, or it does not start.
    pub(crate) async fn start(
        pod: &Value,
        program: &Path,
        plane: &ControlPlane,
        workspace: &Workspace,
    ) -> anyhow::Result<Self> {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let number = NEXT.fetch_add(1, Relaxed);
        let [container] = pod["spec"]["containers"].as_array().context("no containers")?.as_slice() else {
            anyhow::bail!("not one container");
        };
        let name = text(&pod["metadata"]["name"])?;
        let directory = workspace.path(name);
        let address = Ipv4Addr::new(10, 78, number, 2);
        let mut making = Making { pod, container, plane, address, directory, mounts: Vec::new() };
        let network = network(number).await?;
        making.file_system(program)?;
        making.volumes().await?;
        let mut command = making.command(&network)?;
        let process = Process::spawn(&format!("{name}-log"), &mut command, workspace)?;
        Ok(Self { address, spec: container.clone(), process })
    }

    /// Asks a probe, such as `readinessProbe`: whether it answers with success.
    ///
    /// # Errors
    ///
    /// When the spec has no such probe, or not of HTTP; or the container has ended.
    pub(crate) async fn probe(&self, probe: &str) -> anyhow::Result<bool> {
        self.process.id()?;
        let get = &self.spec[probe]["httpGet"];
        let address = SocketAddr::from((self.address, self.port(&get["port"])?));
        // No answer is a no.
        Ok(http::get(address, text(&get["path"])?).await.is_ok())
    }

    /// Ends the container as a kubelet does that has this long for it: the preStop hook, SIGTERM, and then it must be gone. Returns
    /// how long it took after the signal.
    ///
    /// # Errors
    ///
    /// When a kubelet would have killed it, or it fails, or it is not alive until the signal.
    pub(crate) async fn end(self, grace: Duration) -> anyhow::Result<Duration> {
        let pause =
            Duration::from_secs(self.spec["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().unwrap_or(0));
        tokio::time::sleep(pause).await;
        ensure!(self.probe("livenessProbe").await?, "not alive at the end of its preStop hook");
        let told = std::time::Instant::now();
        let left = grace.checked_sub(pause).context("the preStop hook takes all of the grace period")?;
        tokio::time::timeout(left, self.process.stop())
            .await
            .with_context(|| format!("it would have been killed {left:?} after SIGTERM"))??;
        Ok(told.elapsed())
    }

    fn port(&self, port: &Value) -> anyhow::Result<u16> {
        let number = port.as_u64().or_else(|| {
            let ports = self.spec["ports"].as_array()?;
            ports.iter().find(|declared| declared["name"] == *port)?["containerPort"].as_u64()
        });
        Ok(number.with_context(|| format!("no port {port}"))?.try_into()?)
    }
}

impl Making<'_> {
    fn root(&self) -> PathBuf {
        self.directory.join("root")
    }

    fn file_system(&mut self, program: &Path) -> anyhow::Result<()> {
        let root = self.root();
        fs::create_dir_all(&root)?;
        // A mount of its own, so that it can be read-only.
        self.mounts.push(format!("mount --bind '{0}' '{0}'", root.display()));
        for libraries in ["/lib", "/lib64", "/usr/lib", "/usr/lib64"] {
            if Path::new(libraries).is_dir() {
                self.mount(Path::new(libraries), libraries, true)?;
            }
        }
        fs::create_dir_all(root.join("proc"))?;
        self.mounts.push(format!("mount -t proc proc '{}'", root.join("proc").display()));
        fs::create_dir_all(root.join("usr/bin"))?;
        fs::write(root.join(PROGRAM), "")?;
        self.mounts.push(format!("mount --bind '{}' '{}'", program.display(), root.join(PROGRAM).display()));
        Ok(())
    }

    /// Mounts a directory at a path of the container.
    fn mount(&mut self, from: &Path, at: &str, read_only: bool) -> anyhow::Result<()> {
        let at = self.root().join(at.trim_start_matches('/'));
        fs::create_dir_all(&at)?;
        self.mounts.push(format!("mount --bind '{}' '{}'", from.display(), at.display()));
        if read_only {
            self.mounts.push(format!("mount -o remount,bind,ro '{}'", at.display()));
        }
        Ok(())
    }

    /// Writes the volumes that the container mounts, and mounts them.
    async fn volumes(&mut self) -> anyhow::Result<()> {
        let none = Vec::new();
        let (mounts, volumes) = (&self.container["volumeMounts"], &self.pod["spec"]["volumes"]);
        for mount in mounts.as_array().unwrap_or(&none) {
            let name = text(&mount["name"])?;
            let volume = volumes.as_array().unwrap_or(&none).iter().find(|volume| volume["name"] == name);
            let volume = volume.with_context(|| format!("no volume {name}"))?;
            let directory = self.directory.join(name);
            fs::create_dir_all(&directory)?;
            if let Some(map) = volume["configMap"]["name"].as_str() {
                self.config_map(map, None, &directory).await?;
            } else if let Some(sources) = volume["projected"]["sources"].as_array() {
                for source in sources {
                    self.projected(source, &directory).await?;
                }
            } else {
                anyhow::bail!("a volume of an unknown kind: {volume}");
            }
            let read_only = mount["readOnly"].as_bool().unwrap_or(false);
            self.mount(&directory, text(&mount["mountPath"])?, read_only)?;
        }
        Ok(())
    }

    /// Writes the files of a ConfigMap, or one of them.
    async fn config_map(&self, name: &str, only: Option<&str>, into: &Path) -> anyhow::Result<()> {
        let path = format!("/api/v1/namespaces/{}/configmaps/{name}", self.namespace()?);
        let map = self.plane.api.get(&path).await?;
        for (key, content) in map["data"].as_object().context("no data")? {
            if only.is_none_or(|only| only == key) {
                fs::write(into.join(key), text(content)?)?;
            }
        }
        Ok(())
    }

    /// Writes a file of the service account: what admission has put into the spec.
    async fn projected(&self, source: &Value, into: &Path) -> anyhow::Result<()> {
        if let Some(path) = source["serviceAccountToken"]["path"].as_str() {
            let (namespace, name) =
                (self.namespace()?.to_owned(), text(&self.pod["spec"]["serviceAccountName"])?);
            let token = Account { namespace, name: name.to_owned() }.token(self.plane).await?;
            let file = into.join(path);
            fs::write(&file, token)?;
            // A kubelet gives it to the pod's group alone.
            let group = self.pod["spec"]["securityContext"]["fsGroup"].as_u64().context("no fsGroup")?;
            chown(&file, Some(0), Some(group.try_into()?))?;
            fs::set_permissions(&file, fs::Permissions::from_mode(0o640))?;
        } else if let Some(map) = source["configMap"]["name"].as_str() {
            self.config_map(map, source["configMap"]["items"][0]["key"].as_str(), into).await?;
        } else if let Some(path) = source["downwardAPI"]["items"][0]["path"].as_str() {
            let field = &source["downwardAPI"]["items"][0]["fieldRef"];
            fs::write(into.join(path), self.field(field)?)?;
        } else {
            anyhow::bail!("an unknown part of a projected volume: {source}");
        }
        Ok(())
    }

    fn command(&self, network: &str) -> anyhow::Result<Command> {
        let (pod, container) = (&self.pod["spec"]["securityContext"], &self.container["securityContext"]);
        ensure!(
            container["readOnlyRootFilesystem"] == true
                && container["allowPrivilegeEscalation"] == false
                && container["capabilities"]["drop"][0] == "ALL",
            "not restricted, which is the only way known here: {container}"
        );
        let id = |key: &str| pod[key].as_u64().with_context(|| format!("no {key}"));
        let root = self.root();
        let mut script = vec!["set -e".to_owned()];
        script.extend(self.mounts.iter().cloned());
        script.push(format!("mount -o remount,bind,ro '{}'", root.display()));
        script.push(format!(
            "exec setpriv --no-new-privs chroot --userspec={}:{} --groups={} '{}' /{PROGRAM} \"$@\"",
            id("runAsUser")?,
            id("runAsGroup")?,
            id("fsGroup")?,
            root.display()
        ));
        let mut command = command("nsenter");
        command.arg(format!("--net=/run/netns/{network}"));
        command.args([
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            &script.join("\n"),
            "sh",
        ]);
        for argument in self.container["args"].as_array().into_iter().flatten() {
            command.arg(text(argument)?);
        }
        // What a runtime and a kubelet give every container; in a cluster the address is a Service's, which leads to this one.
        command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("HOSTNAME", text(&self.pod["metadata"]["name"])?);
        command.env("KUBERNETES_SERVICE_HOST", self.plane.server.ip().to_string());
        command.env("KUBERNETES_SERVICE_PORT", self.plane.server.port().to_string());
        ensure!(self.container["envFrom"].is_null(), "envFrom is not known here");
        for variable in self.container["env"].as_array().into_iter().flatten() {
            let value = match variable["value"].as_str() {
                Some(value) => value.to_owned(),
                None => self.field(&variable["valueFrom"]["fieldRef"])?,
            };
            command.env(text(&variable["name"])?, value);
        }
        Ok(command)
    }

    /// A field of the pod, as the downward API shows it.
    fn field(&self, reference: &Value) -> anyhow::Result<String> {
        match text(&reference["fieldPath"])? {
            "status.podIP" => Ok(self.address.to_string()),
            "metadata.namespace" => Ok(self.namespace()?.to_owned()),
            "metadata.name" => Ok(text(&self.pod["metadata"]["name"])?.to_owned()),
            other => anyhow::bail!("the field {other} is not known here"),
        }
    }

    fn namespace(&self) -> anyhow::Result<&str> {
        text(&self.pod["metadata"]["namespace"])
    }
}

/// The image's only program, as in the Dockerfile.
const PROGRAM: &str = "usr/bin/ringway";

/// A network with one address, and a way to everything else in here. It is gone with the namespace that all of this runs in.
async fn network(number: u8) -> anyhow::Result<String> {
    let name = format!("pod-{number}");
    let script = format!(
        "set -e
        ip netns add {name}
        ip link add {name} type veth peer name eth0 netns {name}
        ip addr add 10.78.{number}.1/24 dev {name}
        ip link set {name} up
        ip -n {name} addr add 10.78.{number}.2/24 dev eth0
        ip -n {name} link set lo up
        ip -n {name} link set eth0 up
        ip -n {name} route add default via 10.78.{number}.1"
    );
    let made = Command::new("sh").args(["-c", &script]).output().await?;
    ensure!(made.status.success(), "a network: {}", String::from_utf8_lossy(&made.stderr));
    Ok(name)
}

/// A text of the API.
pub(crate) fn text(value: &Value) -> anyhow::Result<&str> {
    value.as_str().with_context(|| format!("not a text: {value}"))
}

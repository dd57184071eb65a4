//! A control plane of real parts: etcd, kube-apiserver and kube-controller-manager, each of which can be killed, frozen and
//! started again.
//!
//! There is no kubelet and no scheduler: a test is both (`pods.rs`).

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::account::Account;
use crate::api::Api;
use crate::keys::{self, Authority};
use crate::process::{Process, command};
use crate::workspace::Workspace;
use crate::{loopback, parts};

/// The administrator's token.
const TOKEN: &str = "administrator";

/// What every control plane here has.
const CONTROLLERS: &str = "endpointslice-controller,endpoints-controller,endpointslice-mirroring-controller,\
    deployment-controller,replicaset-controller,statefulset-controller,serviceaccount-controller,\
    root-ca-certificate-publisher-controller,namespace-controller";

/// How a control plane differs from others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// Endpoints in one slice. Few make many slices, and moves between them.
    pub(crate) endpoints_per_slice: u32,
    /// Whether watches are served from the API server's memory, as they are in every real cluster. Without, they come
    /// from etcd, which knows no version older than its last compaction.
    pub(crate) watch_cache: bool,
    /// Whether what has no owner any more is deleted. It watches every kind there is, and after an outage of the API server the other
    /// controllers are slower for it than a test of outages waits.
    pub(crate) garbage_collector: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { endpoints_per_slice: 2, watch_cache: true, garbage_collector: false }
    }
}

/// A running control plane. Its processes end when the value is dropped, and with the namespace in any case.
#[derive(Debug)]
pub(crate) struct ControlPlane {
    /// The administrator's way in.
    pub(crate) api: Api,
    /// Where the API server listens; the certificate is also good for 127.0.0.1, where a test may put something in between.
    pub(crate) server: SocketAddr,
    /// Whose certificate the API server shows.
    pub(crate) authority: Authority,
    settings: Settings,
    workspace: Workspace,
    etcd_client: SocketAddr,
    etcd_peer: SocketAddr,
    token_keys: (PathBuf, PathBuf),
    /// Processes started so far, for the names of their logs.
    started: u32,
    etcd: Option<Process>,
    api_server: Option<Process>,
    controllers: Option<Process>,
    _proxy: Option<Process>,
}

/// The control plane of tests that leave it alone: each has namespaces of its own in there.
///
/// # Errors
///
/// When it does not start.
pub(crate) async fn shared() -> anyhow::Result<&'static ControlPlane> {
    static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
    let settings = Settings { garbage_collector: true, ..Settings::default() };
    SHARED.get_or_try_init(|| ControlPlane::start("shared", settings)).await
}

/// An address of the API server's own that pods can reach, also those with a network of their own (`container.rs`).
fn address() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(2);
    (Ipv4Addr::new(10, 77, 0, NEXT.fetch_add(1, Relaxed)), 6443).into()
}

impl ControlPlane {
    /// Starts a control plane and waits until it serves.
    ///
    /// # Errors
    ///
    /// When a part does not start or is not ready in time.
    pub(crate) async fn start(name: &str, settings: Settings) -> anyhow::Result<Self> {
        let workspace = Workspace::new(&format!("control-plane-{name}"))?;
        let server = address();
        let addresses = [server.ip(), IpAddr::V4(Ipv4Addr::LOCALHOST)];
        let authority = Authority::make("authority-0", &addresses, &workspace).await?;
        let token_keys = keys::token_keys(&workspace).await?;
        fs::write(workspace.path("tokens.csv"), format!("{TOKEN},administrator,1,\"system:masters\"\n"))?;
        fs::write(workspace.path("audit.yaml"), AUDIT)?;
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{"name": "it", "cluster":
                {"server": format!("https://{server}"), "insecure-skip-tls-verify": true}}],
            "users": [{"name": "it", "user": {"token": TOKEN}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        });
        fs::write(workspace.path("kubeconfig"), kubeconfig.to_string())?;
        let proxy = loopback::endpoint()?;
        let mut plane = Self {
            api: Api { proxy },
            server,
            authority,
            settings,
            workspace,
            etcd_client: loopback::endpoint()?,
            etcd_peer: loopback::endpoint()?,
            token_keys,
            started: 0,
            etcd: None,
            api_server: None,
            controllers: None,
            _proxy: None,
        };
        let mut proxies = plane.kubectl()?;
        proxies.args(["proxy", "--accept-hosts=.*"]);
        proxies.arg(format!("--address={}", proxy.ip())).arg(format!("--port={}", proxy.port()));
        plane._proxy = Some(Process::spawn("proxy", &mut proxies, &plane.workspace)?);
        plane.start_etcd().await?;
        plane.start_api_server().await?;
        plane.start_controllers()?;
        plane.make_nodes().await?;
        Ok(plane)
    }

    /// Starts etcd, with what it had.
    ///
    /// # Errors
    ///
    /// When it is not ready in time.
    pub(crate) async fn start_etcd(&mut self) -> anyhow::Result<()> {
        let (client, peer) = (format!("http://{}", self.etcd_client), format!("http://{}", self.etcd_peer));
        let mut etcd = command(parts::program("etcd")?);
        etcd.arg("--data-dir").arg(self.workspace.path("etcd"));
        etcd.args(["--unsafe-no-fsync", "--name=it", "--log-level=warn"]);
        etcd.arg(format!("--listen-client-urls={client}")).arg(format!("--advertise-client-urls={client}"));
        etcd.arg(format!("--listen-peer-urls={peer}")).arg(format!("--initial-advertise-peer-urls={peer}"));
        etcd.arg(format!("--initial-cluster=it={peer}"));
        let name = self.log("etcd");
        let mut process = Process::spawn(&name, &mut etcd, &self.workspace)?;
        let address = self.etcd_client;
        process.ready(async || crate::http::get(address, "/health").await.is_ok()).await?;
        self.etcd = Some(process);
        Ok(())
    }

    /// Starts the API server, and waits until it serves.
    ///
    /// # Errors
    ///
    /// When it is not ready in time.
    pub(crate) async fn start_api_server(&mut self) -> anyhow::Result<()> {
        let mut server = command(parts::program("kube-apiserver")?);
        let path = |name: &str| self.workspace.path(name).display().to_string();
        let (private, public) = (self.token_keys.0.display(), self.token_keys.1.display());
        server.args([
            format!("--etcd-servers=http://{}", self.etcd_client),
            format!("--secure-port={}", self.server.port()),
            format!("--bind-address={}", self.server.ip()),
            format!("--advertise-address={}", self.server.ip()),
            format!("--cert-dir={}", path("certs")),
            format!("--tls-cert-file={}", self.authority.certificate.display()),
            format!("--tls-private-key-file={}", self.authority.key.display()),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={public}"),
            format!("--service-account-signing-key-file={private}"),
            "--service-cluster-ip-range=10.96.0.0/16,fd00:96::/112".to_owned(),
            "--authorization-mode=RBAC".to_owned(),
            format!("--token-auth-file={}", path("tokens.csv")),
            "--endpoint-reconciler-type=none".to_owned(),
            "--shutdown-delay-duration=0s".to_owned(),
            format!("--watch-cache={}", self.settings.watch_cache),
            format!("--audit-policy-file={}", path("audit.yaml")),
            format!("--audit-log-path={}", path("audit.log")),
        ]);
        let name = self.log("kube-apiserver");
        let mut process = Process::spawn(&name, &mut server, &self.workspace)?;
        let api = self.api;
        process.ready(async || api.get("/readyz").await.is_ok()).await?;
        self.api_server = Some(process);
        Ok(())
    }

    /// Starts the controllers.
    ///
    /// # Errors
    ///
    /// When they do not start.
    pub(crate) fn start_controllers(&mut self) -> anyhow::Result<()> {
        let mut controllers = command(parts::program("kube-controller-manager")?);
        controllers.arg("--kubeconfig").arg(self.workspace.path("kubeconfig"));
        controllers.arg("--service-account-private-key-file").arg(&self.token_keys.0);
        controllers.arg("--root-ca-file").arg(&self.authority.ca);
        let more = if self.settings.garbage_collector { ",garbage-collector-controller" } else { "" };
        controllers.args([
            &format!("--controllers={CONTROLLERS}{more}"),
            &format!("--max-endpoints-per-slice={}", self.settings.endpoints_per_slice),
            "--use-service-account-credentials=false",
            "--leader-elect=false",
            "--secure-port=0",
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
        ]);
        let name = self.log("kube-controller-manager");
        self.controllers = Some(Process::spawn(&name, &mut controllers, &self.workspace)?);
        Ok(())
    }

    /// Kills etcd and the API server, forgets everything that was stored, and starts them again: another history, whose versions
    /// begin anew. The controllers start again too.
    ///
    /// # Errors
    ///
    /// When a part does not start or is not ready in time.
    pub(crate) async fn wipe(&mut self) -> anyhow::Result<()> {
        self.kill_controllers().await?;
        self.kill_api_server().await?;
        self.etcd.take().context("etcd does not run")?.kill().await?;
        fs::remove_dir_all(self.workspace.path("etcd"))?;
        self.start_etcd().await?;
        self.start_api_server().await?;
        self.start_controllers()?;
        self.make_nodes().await
    }

    /// Ends the API server with SIGKILL.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub(crate) async fn kill_api_server(&mut self) -> anyhow::Result<()> {
        self.api_server.take().context("the API server does not run")?.kill().await
    }

    /// Ends the controllers with SIGKILL.
    ///
    /// # Errors
    ///
    /// When they do not run.
    pub(crate) async fn kill_controllers(&mut self) -> anyhow::Result<()> {
        self.controllers.take().context("the controllers do not run")?.kill().await
    }

    /// Sends the API server a signal.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub(crate) async fn signal_api_server(&self, signal: &str) -> anyhow::Result<()> {
        self.api_server.as_ref().context("the API server does not run")?.signal(signal).await
    }

    /// Makes another authority, whose certificate the API server shows from its next start on.
    ///
    /// # Errors
    ///
    /// When openssl fails.
    pub(crate) async fn rotate_authority(&mut self) -> anyhow::Result<()> {
        let addresses = [self.server.ip(), IpAddr::V4(Ipv4Addr::LOCALHOST)];
        self.authority =
            Authority::make(&format!("authority-{}", self.started), &addresses, &self.workspace).await?;
        Ok(())
    }

    /// Lets etcd forget every version but the last, through its JSON gateway, and returns that version.
    ///
    /// # Errors
    ///
    /// When etcd refuses.
    pub(crate) async fn compact(&self) -> anyhow::Result<u64> {
        let etcd = Api { proxy: self.etcd_client };
        let now = etcd.create("/v3/kv/range", &json!({"key": "AA=="})).await?;
        let revision = now["header"]["revision"].as_str().context("no revision")?.to_owned();
        etcd.create("/v3/kv/compaction", &json!({"revision": revision, "physical": true})).await?;
        Ok(revision.parse()?)
    }

    /// kubectl as the administrator.
    ///
    /// # Errors
    ///
    /// When it was not built.
    pub(crate) fn kubectl(&self) -> anyhow::Result<Command> {
        let mut kubectl = command(parts::program("kubectl")?);
        // The home directory is for caches of discovery.
        kubectl.arg("--kubeconfig").arg(self.kubeconfig()).env("HOME", self.workspace.path("home"));
        kubectl.kill_on_drop(true);
        Ok(kubectl)
    }

    /// The administrator's kubeconfig.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.workspace.path("kubeconfig")
    }

    /// Runs kubectl and returns what it printed.
    ///
    /// # Errors
    ///
    /// When it fails, with what it said.
    pub(crate) async fn kubectl_says(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let ended = self.kubectl()?.args(arguments).output().await?;
        let said = String::from_utf8_lossy(&ended.stderr);
        ensure!(ended.status.success(), "kubectl {}: {said}", arguments.join(" "));
        Ok(String::from_utf8(ended.stdout)?)
    }

    /// What service accounts have asked of EndpointSlices so far, oldest first: the API server's own account.
    ///
    /// # Errors
    ///
    /// When the log cannot be read.
    pub(crate) fn audit(&self, account: &Account) -> anyhow::Result<Vec<Asked>> {
        let user = account.user();
        let log = fs::read_to_string(self.workspace.path("audit.log")).unwrap_or_default();
        let complete = log.rfind('\n').map_or("", |end| &log[..end]);
        let mut asked = Vec::new();
        for line in complete.lines() {
            let event: Value = serde_json::from_str(line)?;
            if event["user"]["username"] == user.as_str() {
                let verb = event["verb"].as_str().context("no verb")?.to_owned();
                let code = event["responseStatus"]["code"].as_u64().unwrap_or_default();
                let uri = event["requestURI"].as_str().unwrap_or_default().to_owned();
                let begun = event["stage"] == "ResponseStarted";
                asked.push(Asked { verb, code, uri, begun });
            }
        }
        Ok(asked)
    }

    async fn make_nodes(&self) -> anyhow::Result<()> {
        for (name, zone) in [("node-a", "zone-a"), ("node-b", "zone-b")] {
            let node = json!({"metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": zone}}});
            self.api.create("/api/v1/nodes", &node).await?;
        }
        Ok(())
    }

    fn log(&mut self, program: &str) -> String {
        self.started += 1;
        format!("{:02}-{program}", self.started)
    }
}

/// A request for EndpointSlices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// `list`, `watch`, `get`.
    pub(crate) verb: String,
    /// The status that it was answered with.
    pub(crate) code: u64,
    /// Path and query.
    pub(crate) uri: String,
    /// Of a watch: it has begun. Otherwise: it has ended.
    pub(crate) begun: bool,
}

/// Who asked for slices; nothing else, as there is much of it.
const AUDIT: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    userGroups: ["system:serviceaccounts"]
    resources: [{group: discovery.k8s.io, resources: [endpointslices]}]
  - level: None
"#;

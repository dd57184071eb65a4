//! What most tests begin with: a namespace with one Service, an account that may read its slices, and a gateway.

use serde_json::{Value, json};

use crate::account::Account;
use crate::api::Api;
use crate::control_plane::ControlPlane;
use crate::gateway::{Gateway, Launch};
use crate::pods::Namespace;
use crate::pool::Pool;
use crate::workspace::Workspace;

/// The Service of a scene.
pub(crate) const SERVICE: &str = "samplers";

/// A gateway that forgives nothing: an empty answer counts at once, so that one that was none shows.
pub(crate) const BARE: &str = "{membership: {hold_empty: 0s}}";

/// A test's surroundings.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) workspace: Workspace,
    pub(crate) namespace: Namespace,
    pub(crate) account: Account,
    pub(crate) pool: Pool,
    pub(crate) launch: Launch,
}

impl Scene {
    /// Sets a scene in a namespace of its own.
    ///
    /// # Errors
    ///
    /// When the API refuses something.
    pub(crate) async fn set(plane: &ControlPlane, name: &'static str) -> anyhow::Result<Self> {
        Self::with(plane, name, json!({})).await
    }

    /// As [`Scene::set`], with what the Service's spec has beyond the usual.
    ///
    /// # Errors
    ///
    /// As there.
    pub(crate) async fn with(plane: &ControlPlane, name: &'static str, spec: Value) -> anyhow::Result<Self> {
        let workspace = Workspace::new(name)?;
        let namespace = Namespace::create(plane.api, name).await?;
        let account = Account::create(plane.api, name, "gateway").await?;
        account.may_read_slices(plane.api, name).await?;
        let pool = Pool::create(&namespace, SERVICE, spec).await?;
        let launch = Launch {
            name: "gateway",
            account: account.clone(),
            resolver: format!("{{service: {SERVICE}.{name}, ports: [4317]}}"),
            ours: "{}".to_owned(),
            through: None,
            collector: false,
        };
        Ok(Self { workspace, namespace, account, pool, launch })
    }

    /// Makes what an empty control plane needs to have the same scene again, without pods.
    ///
    /// # Errors
    ///
    /// When the API refuses something.
    pub(crate) async fn again(&mut self, api: Api) -> anyhow::Result<()> {
        let name = self.namespace.name.clone();
        self.namespace = Namespace::create(api, &name).await?;
        self.account = Account::create(api, &name, "gateway").await?;
        self.account.may_read_slices(api, &name).await?;
        self.namespace.service(SERVICE, json!({})).await
    }

    /// Starts the gateway, with the `ringway` block of its exporter in YAML's flow style.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub(crate) async fn gateway(&mut self, plane: &ControlPlane, ours: &str) -> anyhow::Result<Gateway> {
        self.launch.ours = ours.to_owned();
        Gateway::start(&self.launch, plane, &self.workspace).await
    }
}

//! A service account, what it may do, and its files in a pod.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::api::Api;
use crate::control_plane::ControlPlane;
use crate::workspace::Workspace;

/// A service account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    /// Where it lives.
    pub(crate) namespace: String,
    /// Its name there.
    pub(crate) name: String,
}

impl Account {
    /// Creates an account that may do nothing yet.
    ///
    /// # Errors
    ///
    /// When the API refuses it.
    pub(crate) async fn create(api: Api, namespace: &str, name: &str) -> anyhow::Result<Self> {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
        api.create(&path, &json!({"metadata": {"name": name}})).await?;
        Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }

    /// Deletes the account, and with it the worth of its tokens.
    ///
    /// # Errors
    ///
    /// When the API refuses it.
    pub(crate) async fn delete(&self, api: Api) -> anyhow::Result<()> {
        let Self { namespace, name } = self;
        api.delete(&format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}")).await?;
        Ok(())
    }

    /// A token for it, good for an hour, without a newline: a kubelet writes none.
    ///
    /// # Errors
    ///
    /// When there is none to be had.
    pub(crate) async fn token(&self, plane: &ControlPlane) -> anyhow::Result<String> {
        let Self { namespace, name } = self;
        let ask = ["create", "token", name, "--namespace", namespace, "--duration", "1h"];
        Ok(plane.kubectl_says(&ask).await?.trim().to_owned())
    }

    /// Its name as a user.
    pub(crate) fn user(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.name)
    }

    /// The name of the Role and RoleBinding of [`Account::may_read_slices`].
    pub(crate) fn role(&self) -> String {
        format!("{}-{}-slices", self.namespace, self.name)
    }

    /// Lets it read the slices of a namespace: the Role that the documentation asks for.
    ///
    /// # Errors
    ///
    /// When the API refuses it.
    pub(crate) async fn may_read_slices(&self, api: Api, of: &str) -> anyhow::Result<()> {
        let rule = json!({
            "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"],
        });
        self.may(api, of, &self.role(), rule).await
    }

    /// Makes a Role with this one rule in a namespace, and binds it to the account under the same name.
    ///
    /// # Errors
    ///
    /// When the API refuses it.
    pub(crate) async fn may(&self, api: Api, of: &str, role: &str, rule: Value) -> anyhow::Result<()> {
        let group = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{of}");
        api.create(&format!("{group}/roles"), &json!({"metadata": {"name": role}, "rules": [rule]})).await?;
        self.bind(api, of, role).await
    }

    /// Binds a Role to the account.
    ///
    /// # Errors
    ///
    /// When the API refuses it.
    pub(crate) async fn bind(&self, api: Api, of: &str, role: &str) -> anyhow::Result<()> {
        let binding = json!({
            "metadata": {"name": role},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": self.name, "namespace": self.namespace}],
        });
        let group = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{of}");
        api.create(&format!("{group}/rolebindings"), &binding).await?;
        Ok(())
    }

    /// Takes a Role from the account.
    ///
    /// # Errors
    ///
    /// When the API refuses it.
    pub(crate) async fn unbind(&self, api: Api, of: &str, role: &str) -> anyhow::Result<()> {
        api.delete(&format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{of}/rolebindings/{role}"))
            .await?;
        Ok(())
    }
}

/// What a pod finds under `/var/run/secrets/kubernetes.io/serviceaccount`.
#[derive(Debug)]
pub(crate) struct Files(PathBuf);

impl Files {
    /// Writes the files of an account, with a token from the API.
    ///
    /// # Errors
    ///
    /// When there is no token to be had.
    pub(crate) async fn write(
        name: &str,
        account: &Account,
        plane: &ControlPlane,
        workspace: &Workspace,
    ) -> anyhow::Result<Self> {
        let files = Self(workspace.path(&format!("{name}-account")));
        fs::create_dir_all(&files.0)?;
        files.replace("namespace", account.namespace.as_bytes())?;
        files.renew_authority(plane)?;
        files.renew_token(account, plane).await?;
        Ok(files)
    }

    /// Where they are.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Replaces the token by a new one, as a kubelet does from time to time.
    ///
    /// # Errors
    ///
    /// When there is none to be had.
    pub(crate) async fn renew_token(&self, account: &Account, plane: &ControlPlane) -> anyhow::Result<()> {
        self.replace("token", account.token(plane).await?.as_bytes())
    }

    /// Writes the certificate of the authority that the API server has now.
    ///
    /// # Errors
    ///
    /// When it cannot be read or written.
    pub(crate) fn renew_authority(&self, plane: &ControlPlane) -> anyhow::Result<()> {
        self.replace("ca.crt", &fs::read(&plane.authority.ca)?)
    }

    /// Whole or not at all, as with a kubelet.
    fn replace(&self, file: &str, content: &[u8]) -> anyhow::Result<()> {
        let new = self.0.join(format!(".{file}"));
        fs::write(&new, content)?;
        Ok(fs::rename(new, self.0.join(file))?)
    }
}

//! Certificates and keys of a control plane, made with openssl.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use crate::workspace::Workspace;

/// The files of one authority and of the server that it vouches for.
#[derive(Debug, Clone)]
pub(crate) struct Authority {
    /// The authority's certificate.
    pub(crate) ca: PathBuf,
    /// The server's certificate.
    pub(crate) certificate: PathBuf,
    /// The server's key.
    pub(crate) key: PathBuf,
}

impl Authority {
    /// Makes an authority called `name` and a certificate for these addresses.
    ///
    /// # Errors
    ///
    /// When openssl fails.
    pub(crate) async fn make(
        name: &str,
        addresses: &[IpAddr],
        workspace: &Workspace,
    ) -> anyhow::Result<Self> {
        let path = |what: &str| workspace.path(&format!("{name}-{what}"));
        let made = Self { ca: path("ca.crt"), certificate: path("server.crt"), key: path("server.key") };
        let (ca_key, request, extensions) = (path("ca.key"), path("server.csr"), path("server.ext"));
        let alternatives: Vec<String> = addresses.iter().map(|address| format!("IP:{address}")).collect();
        let text = format!(
            "subjectAltName=DNS:kubernetes.default.svc,{}\nextendedKeyUsage=serverAuth\n\
             basicConstraints=critical,CA:FALSE\n",
            alternatives.join(",")
        );
        fs::write(&extensions, text)?;
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let mut authority = Command::new("openssl");
        authority.args(["req", "-x509", "-days", "2", "-subj", &format!("/CN={name}")]).args(curve);
        run(authority.arg("-keyout").arg(&ca_key).arg("-out").arg(&made.ca)).await?;
        let mut asks = Command::new("openssl");
        asks.args(["req", "-subj", "/CN=kube-apiserver"]).args(curve);
        run(asks.arg("-keyout").arg(&made.key).arg("-out").arg(&request)).await?;
        let mut signs = Command::new("openssl");
        signs.args(["x509", "-req", "-days", "2", "-CAcreateserial", "-in"]).arg(&request);
        signs.arg("-CA").arg(&made.ca).arg("-CAkey").arg(&ca_key).arg("-extfile").arg(&extensions);
        run(signs.arg("-out").arg(&made.certificate)).await?;
        Ok(made)
    }
}

/// Makes the key pair that service-account tokens are signed with; returns the private and the public file.
///
/// # Errors
///
/// When openssl fails.
pub(crate) async fn token_keys(workspace: &Workspace) -> anyhow::Result<(PathBuf, PathBuf)> {
    let (private, public) = (workspace.path("tokens.key"), workspace.path("tokens.pub"));
    run(Command::new("openssl").args(["genrsa", "-out"]).arg(&private).arg("2048")).await?;
    run(Command::new("openssl").args(["rsa", "-pubout", "-in"]).arg(&private).arg("-out").arg(&public))
        .await?;
    Ok((private, public))
}

async fn run(command: &mut Command) -> anyhow::Result<()> {
    let ended = command.output().await.context("openssl")?;
    ensure!(ended.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ended.stderr));
    Ok(())
}

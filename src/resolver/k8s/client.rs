//! A client of the API server, from the files of the pod's service account or from a kubeconfig.
//!
//! Stage: resolver. Explicit: a kubeconfig is used if the configuration names one, and nothing else is looked for, so that a
//! stray file or variable cannot turn the gateway to another cluster. No proxy is used, nor are kube's debug variables.
//!
//! The files are read again before each list and each watch, and the client is made again when they differ: that is how a new
//! token, a new CA and files that appear later are taken. Files that can no longer be read leave the last client.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use http::HeaderValue;
use kube::{
    Client, Config,
    config::{AuthInfo, Kubeconfig},
};

use crate::resolver::source::{Failure, chain};

/// Where every pod finds its service account. Source: client-go `rest/config.go`, `InClusterConfig`.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Limit of connecting, TLS included.
const CONNECT: Duration = Duration::from_secs(5);
/// Where nothing names a namespace, as in the Collector.
const NAMESPACE: &str = "default";

/// Where the API server is, and who we are.
pub(super) enum Place {
    /// In a pod: the folder of the service account, and the URL that the environment gives.
    Pod { folder: PathBuf, url: Option<String> },
    /// The current context of a kubeconfig file.
    Kubeconfig(PathBuf),
    /// A ready client.
    #[cfg(test)]
    Given(Client),
}

/// Makes clients, and makes them again when what they are made of has changed.
pub(super) struct Access {
    place: Place,
    /// The connection says nothing for this long at most.
    read_timeout: Duration,
    current: Option<Current>,
    has_warned: bool,
}

/// A client, and what it was made of.
struct Current {
    seen: Vec<Vec<u8>>,
    client: Client,
    namespace: String,
}

/// What the files say.
struct Found {
    seen: Vec<Vec<u8>>,
    config: Config,
    namespace: Option<String>,
}

/// A client to be used now.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) client: Client,
    /// That of the service account or the context.
    pub(super) namespace: String,
    /// Whether it is another one than last time: what was known may be of another server.
    pub(super) is_new: bool,
}

// === impl Place ===

impl Place {
    /// The configured kubeconfig, or else the pod that we are in.
    #[expect(
        clippy::disallowed_methods,
        reason = "no configuration: Kubernetes tells each container so where the API server is"
    )]
    pub(super) fn new(kubeconfig: Option<&Path>) -> Self {
        if let Some(path) = kubeconfig {
            return Self::Kubeconfig(path.to_owned());
        }
        let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        let url = match (variable("KUBERNETES_SERVICE_HOST"), variable("KUBERNETES_SERVICE_PORT")) {
            (Some(host), Some(port)) if host.contains(':') => Some(format!("https://[{host}]:{port}")),
            (Some(host), Some(port)) => Some(format!("https://{host}:{port}")),
            _ => None,
        };
        Self::Pod { folder: SERVICE_ACCOUNT.into(), url }
    }

    fn find(&self) -> Result<Found, Failure> {
        match self {
            Self::Pod { folder, url } => pod(folder, url.as_deref()),
            Self::Kubeconfig(path) => kubeconfig(path),
            #[cfg(test)]
            Self::Given(_) => Err(missing("a ready client has no files")),
        }
    }
}

fn pod(folder: &Path, url: Option<&str>) -> Result<Found, Failure> {
    let url = url.ok_or_else(|| {
        missing(
            "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: this is no pod (outside of a cluster, \
             `ringway.k8s.kubeconfig` names a file)",
        )
    })?;
    let file = |name| {
        let path = folder.join(name);
        fs::read(&path).map_err(|error| {
            missing(format!(
                "cannot read {}: {error} (does the pod mount its service account, `automountServiceAccountToken`?)",
                path.display()
            ))
        })
    };
    let (token, ca) = (file("token")?, file("ca.crt")?);
    let uri =
        url.parse().map_err(|error| missing(format!("{url:?} is no address of an API server: {error}")))?;
    let mut config = Config::new(uri);
    config.root_cert_file = Some(folder.join("ca.crt"));
    // The file is what decides. Without this kube first asks for the machine's own authorities, and an image may have none.
    config.root_cert = Some(Vec::new());
    config.auth_info.token = Some(bearer(&token, &folder.join("token"))?.into());
    let namespace = file("namespace").ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let namespace = namespace.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let seen = vec![token, ca, namespace.clone().unwrap_or_default().into_bytes()];
    Ok(Found { seen, config, namespace })
}

fn kubeconfig(path: &Path) -> Result<Found, Failure> {
    let unusable = |error: &dyn std::error::Error| {
        missing(format!("cannot use the kubeconfig {}: {}", path.display(), chain(error)))
    };
    let text = fs::read(path).map_err(|error| unusable(&error))?;
    let mut config = Kubeconfig::read_from(path)
        .and_then(|file| Config::try_from(file).map(|config| (config.default_namespace.clone(), config)))
        .map_err(|error| unusable(&error))?;
    let token = token(&mut config.1.auth_info, path)?;
    Ok(Found { seen: vec![text, token], namespace: Some(config.0), config: config.1 })
}

/// Puts the token of a kubeconfig, or of the file that it names, into a shape that can be sent.
fn token(auth: &mut AuthInfo, kubeconfig: &Path) -> Result<Vec<u8>, Failure> {
    let (token, path) = match (&auth.token, &auth.token_file) {
        (None, None) => return Ok(Vec::new()),
        (None, Some(path)) => {
            let path = PathBuf::from(path);
            let bytes = fs::read(&path)
                .map_err(|error| missing(format!("cannot read {}: {error}", path.display())))?;
            (bytes, path)
        }
        (Some(_), _) => {
            // The type of the secret has no way to it but this one.
            let written = serde_json::to_value(&*auth).unwrap_or_default();
            let token = written.get("token").and_then(serde_json::Value::as_str).unwrap_or_default();
            (token.as_bytes().to_vec(), kubeconfig.to_owned())
        }
    };
    auth.token = Some(bearer(&token, &path)?.into());
    auth.token_file = None;
    Ok(token)
}

/// The token without the line ends of hand-written files. Anything else that no header can hold would panic in the client.
fn bearer(token: &[u8], path: &Path) -> Result<String, Failure> {
    let text = token.trim_ascii();
    match (text.is_empty(), HeaderValue::from_bytes(text), std::str::from_utf8(text)) {
        (false, Ok(_), Ok(text)) if text.is_ascii() => Ok(text.to_owned()),
        _ => Err(missing(format!("{} has no usable token", path.display()))),
    }
}

fn missing(message: impl Into<String>) -> Failure {
    Failure { code: "no_credentials", message: message.into() }
}

// === impl Access ===

impl Access {
    /// `watch_timeout`: how long a watch may be silent.
    pub(super) fn new(place: Place, watch_timeout: Duration) -> Self {
        // Two providers in one build would make the choice a panic; one that is installed already is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        Self { place, read_timeout: watch_timeout + CONNECT * 2, current: None, has_warned: false }
    }

    /// The client to be used now.
    ///
    /// # Errors
    ///
    /// `no_credentials`, if there has never been one.
    pub(super) fn connection(&mut self) -> Result<Connection, Failure> {
        #[cfg(test)]
        if let Place::Given(client) = &self.place {
            return Ok(Connection { client: client.clone(), namespace: "given".to_owned(), is_new: false });
        }
        let found = match (self.place.find(), &self.current) {
            (Ok(found), Some(current)) if found.seen == current.seen => return Ok(current.connection(false)),
            (Ok(found), _) => found,
            (Err(failure), Some(current)) => {
                tracing::debug!(
                    error = failure.message,
                    "the credentials cannot be read again, the last ones are used"
                );
                return Ok(current.connection(false));
            }
            (Err(failure), None) => return Err(failure),
        };
        let namespace = found.namespace.unwrap_or_else(|| self.default_namespace());
        let client = client(found.config, self.read_timeout)?;
        let current = self.current.insert(Current { seen: found.seen, client, namespace });
        Ok(current.connection(true))
    }

    /// Makes the next client anew, although its files are the same: those that they name may not be.
    pub(super) fn renew(&mut self) {
        if let (Place::Kubeconfig(_), Some(current)) = (&self.place, &mut self.current) {
            current.seen.clear();
        }
    }

    fn default_namespace(&mut self) -> String {
        if !std::mem::replace(&mut self.has_warned, true) {
            tracing::warn!(
                namespace = NAMESPACE,
                "the service account has no namespace, the Service is looked for elsewhere"
            );
        }
        NAMESPACE.to_owned()
    }
}

fn client(mut config: Config, read_timeout: Duration) -> Result<Client, Failure> {
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(read_timeout);
    // From when a request is sent, not from when the connection became idle.
    config.reset_reader_on_write = true;
    // It hides what the server says for minutes; we have our own.
    config.default_retry = false;
    config.proxy_url = None;
    Client::try_from(config).map_err(|error| missing(format!("cannot make a client: {}", chain(&error))))
}

impl Current {
    fn connection(&self, is_new: bool) -> Connection {
        Connection { client: self.client.clone(), namespace: self.namespace.clone(), is_new }
    }
}

//! The way to the API server: files, tokens, and a server on a port of the loopback.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Api, Seen, entry, settings, slice};
use crate::{
    model::settings::{self, K8s},
    resolver::{
        Resolver, State,
        k8s::client::{Access, Place},
        source::Failure,
    },
    tasks::Tasks,
    telemetry::Metrics,
};

/// A certificate that nobody has the key of. Only read.
const CA: &str = include_str!("ca.crt");

/// A folder of the test's own, removed with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ringway-k8s-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&path));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn kubeconfig(url: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: here\n\
         clusters: [{{name: here, cluster: {{server: \"{url}\"}}}}]\n\
         contexts: [{{name: here, context: {{cluster: here, user: me, namespace: mine}}}}]\n\
         users: [{{name: me, user: {user}}}]\n"
    )
}

fn pod(folder: &Path, url: &str) -> Place {
    Place::Pod { folder: folder.to_owned(), url: Some(url.to_owned()) }
}

/// Namespace of the connection, or what is missing.
fn connect(place: Place) -> Result<String, Failure> {
    Access::new(place, Duration::from_secs(65)).connection().map(|connection| connection.namespace)
}

// Scenario: nothing of a pod is there; then one file after the other; the token with a line end, empty, and with bytes that no
// header can have.
// Guarantees: a failure that names what is missing, never a panic; the namespace is read without its line end, or is `default`.
#[tokio::test]
async fn a_pod_has_three_files() {
    let folder = Folder::new("files");
    let place = || pod(&folder.0, "https://10.0.0.1:443");
    let message = |place| {
        let failure = connect(place).unwrap_err();
        assert_eq!(failure.code, "no_credentials");
        failure.message
    };
    let no_pod = message(Place::Pod { folder: folder.0.clone(), url: None });
    assert!(
        no_pod.starts_with("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: this is no pod"),
        "{no_pod}"
    );
    assert!(message(place()).contains("token: No such file or directory"));
    folder.write("token", "secret\n");
    assert!(message(place()).contains("ca.crt: No such file or directory"));
    folder.write("ca.crt", CA);
    assert_eq!(connect(place()).as_deref(), Ok("default"));
    folder.write("namespace", "gateways\n");
    assert_eq!(connect(place()).as_deref(), Ok("gateways"));
    for token in ["", " \n", "two\nlines", "caf\u{e9}"] {
        folder.write("token", token);
        assert!(message(place()).ends_with("token has no usable token"), "{token:?}");
    }
    folder.write("token", "secret");
    folder.write("ca.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    assert!(message(place()).starts_with("cannot make a client: "));
    assert!(message(pod(&folder.0, "https://[::1")).contains("is no address of an API server"));
}

// Scenario: kubeconfigs: none, broken, without context; with tokens that no header can have; with a token, a file of one.
// Guarantees: each fault is a failure that names the file; the namespace is that of the context.
#[tokio::test]
async fn a_kubeconfig_is_used_if_it_is_named() {
    let folder = Folder::new("kubeconfig");
    let message = |path: &Path| {
        let failure = connect(Place::Kubeconfig(path.to_owned())).unwrap_err();
        assert_eq!(failure.code, "no_credentials");
        failure.message
    };
    let path = folder.0.join("config");
    let expect =
        format!("cannot use the kubeconfig {}: No such file or directory (os error 2)", path.display());
    assert_eq!(message(&path), expect);
    for text in
        ["", "{", "apiVersion: v1\nkind: Config\n", "apiVersion: v1\nkind: Config\ncurrent-context: here\n"]
    {
        folder.write("config", text);
        assert!(message(&path).starts_with("cannot use the kubeconfig "), "{text:?}");
    }
    folder.write("config", &kubeconfig("http://127.0.0.1:1", "{token: \"two\\nlines\"}"));
    assert_eq!(message(&path), format!("{} has no usable token", path.display()));
    folder.write("config", &kubeconfig("http://127.0.0.1:1", "{tokenFile: token}"));
    assert!(message(&path).contains("token: No such file or directory"));
    folder.write("token", "secret\n");
    for user in ["{token: \"secret\\n\"}", "{tokenFile: token}", "{}"] {
        folder.write("config", &kubeconfig("http://127.0.0.1:1", user));
        assert_eq!(connect(Place::Kubeconfig(path.clone())).as_deref(), Ok("mine"), "{user}");
    }
}

// Scenario: files that change, vanish and come back between two requests.
// Guarantees: the same client while they are the same or cannot be read; another one when they differ.
#[tokio::test]
async fn clients_are_made_of_the_present_files() {
    let folder = Folder::new("renewal");
    folder.write("token", "one");
    folder.write("ca.crt", CA);
    folder.write("namespace", "gateways");
    let mut access = Access::new(pod(&folder.0, "https://10.0.0.1"), Duration::from_secs(65));
    let mut is_new = || access.connection().map(|connection| connection.is_new);
    assert_eq!((is_new(), is_new()), (Ok(true), Ok(false)));
    folder.write("token", "two");
    assert_eq!((is_new(), is_new()), (Ok(true), Ok(false)));
    folder.write("ca.crt", &format!("{CA}{CA}"));
    assert_eq!((is_new(), is_new()), (Ok(true), Ok(false)));
    fs::remove_file(folder.0.join("token")).unwrap();
    assert_eq!((is_new(), is_new()), (Ok(false), Ok(false)));
    folder.write("token", "three");
    assert_eq!((is_new(), is_new()), (Ok(true), Ok(false)));
}

// Scenario: a resolver is started as the gateway does it, with a kubeconfig that is not there; then the file appears.
// Guarantees: the start does not wait; the reason is there to be shown; the set follows once the file does.
#[tokio::test]
async fn the_start_does_not_wait() {
    let folder = Folder::new("start");
    let (tasks, api) = (Tasks::new(), Api::new());
    api.put(slice("a", ["10.0.0.1"].map(entry)));
    let url = api.serve(&tasks).await;
    let path = folder.0.join("config");
    let k8s = K8s { namespace: None, kubeconfig: Some(path.clone()), ..settings() };
    let metrics = Metrics::new().resolver("load_balancing", "k8s");
    let resolver =
        Resolver::start(&settings::Resolver::K8s(k8s), &settings::Membership::NEUTRAL, &metrics, &tasks);
    assert_eq!(resolver.status().snapshot().state, State::Waiting);
    while resolver.status().snapshot().failure.is_none() {
        tokio::task::yield_now().await;
    }
    let reason = resolver.status().reason();
    assert!(reason.starts_with("resolver k8s, service samplers: no answer yet, for "), "{reason}");
    assert!(reason.contains(&format!("cannot use the kubeconfig {}", path.display())), "{reason}");
    folder.write("config", &kubeconfig(&url, "{}"));
    let mut sets = resolver.sets();
    let set =
        tokio::time::timeout(Duration::from_secs(30), sets.wait_for(Option::is_some)).await.unwrap().unwrap();
    assert_eq!(set.as_ref().unwrap()[0].identity(), "10.0.0.1");
    assert!(api.last_path().contains("/namespaces/mine/"));
}

// Scenario: over HTTP: the token in the pod's file; the server asks for another one; then that one is in the file.
// Guarantees: the token is sent without its line end; a refused one is a failure that keeps the set; a new one is used at once.
#[tokio::test]
async fn a_new_token_is_used() {
    let folder = Folder::new("token");
    let (tasks, api) = (Tasks::new(), Api::new());
    let url = api.serve(&tasks).await;
    folder.write("token", "one\n");
    folder.write("ca.crt", CA);
    api.set_token("one");
    api.put(slice("a", ["10.0.0.1"].map(entry)));
    let mut seen = Seen::at(settings(), pod(&folder.0, &url));
    seen.set(&["10.0.0.1"]).await;
    api.watched().await;
    api.set_token("two");
    api.put(slice("a", ["10.0.0.2"].map(entry)));
    // The running watch was let in with the old token.
    seen.set(&["10.0.0.2"]).await;
    api.end_watches(true);
    // What the first of two answers was is known when the second is asked for.
    api.served(2).await;
    assert_eq!(seen.failure().0, "unauthorized");
    assert_eq!(seen.now(), ["10.0.0.2"]);
    api.put(slice("a", ["10.0.0.3"].map(entry)));
    folder.write("token", "two\n");
    seen.set(&["10.0.0.3"]).await;
    assert_eq!(seen.failure().0, "");
}

// Scenario: nobody listens where the API server should be.
// Guarantees: the failure says so, and where.
#[tokio::test]
async fn an_address_without_server_is_unreachable() {
    let folder = Folder::new("unreachable");
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let path = folder.write("config", &kubeconfig(&url, "{}"));
    let seen = Seen::at(settings(), Place::Kubeconfig(path));
    while seen.failure().0.is_empty() {
        tokio::task::yield_now().await;
    }
    let (code, message) = seen.failure();
    assert_eq!(code, "unreachable");
    assert!(message.contains("Connection refused"), "{message}");
}

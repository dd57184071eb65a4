//! What users, a scheduler and a kubelet would do: Services, and pods that run because their status says so.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::api::Api;
use crate::poll;

/// How long controllers may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// The next address of the namespace that no pod of this process has had, and the IPv6 one of the same number.
pub(crate) fn addresses() -> (Ipv4Addr, Ipv6Addr) {
    static NEXT: AtomicU16 = AtomicU16::new(0x0101); // 10.77.1.1; the first 256 are for other uses
    let number = NEXT.fetch_add(1, Relaxed);
    let [high, low] = number.to_be_bytes();
    (Ipv4Addr::new(10, 77, high, low), Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, number))
}

/// A namespace with Services and pods.
#[derive(Debug, Clone)]
pub(crate) struct Namespace {
    pub(crate) api: Api,
    /// Its name.
    pub(crate) name: String,
}

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) v4: Ipv4Addr,
    pub(crate) v6: Ipv6Addr,
}

/// An endpoint of a slice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Endpoint {
    pub(crate) address: String,
    pub(crate) ready: Option<bool>,
    pub(crate) serving: Option<bool>,
    pub(crate) terminating: Option<bool>,
    pub(crate) hostname: Option<String>,
}

impl Namespace {
    /// Creates a namespace and waits until it has its service account.
    ///
    /// # Errors
    ///
    /// When it exists or the controllers do not see it in time.
    pub(crate) async fn create(api: Api, name: &str) -> anyhow::Result<Self> {
        api.create("/api/v1/namespaces", &json!({"metadata": {"name": name}})).await?;
        let namespace = Self { api, name: name.to_owned() };
        let account = namespace.core("serviceaccounts/default");
        poll::until("the controllers know the namespace", LIMIT, async || api.find(&account).await).await?;
        Ok(namespace)
    }

    /// A path below the namespace in the core API.
    pub(crate) fn core(&self, rest: &str) -> String {
        format!("/api/v1/namespaces/{}/{rest}", self.name)
    }

    /// The path of the namespace's slices.
    pub(crate) fn slices_path(&self) -> String {
        format!("/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices", self.name)
    }

    /// Creates a Service that selects `app: <name>`; `more` is merged into its spec.
    ///
    /// # Errors
    ///
    /// When the API refuses it.
    pub(crate) async fn service(&self, name: &str, more: Value) -> anyhow::Result<()> {
        let mut spec = json!({
            "selector": {"app": name},
            "ports": [{"name": "otlp", "port": 4317, "targetPort": 4317}],
        });
        merge(&mut spec, more);
        let service = json!({"metadata": {"name": name}, "spec": spec});
        self.api.create(&self.core("services"), &service).await?;
        Ok(())
    }

    /// Creates a pod of a Service on a node; it does not run yet.
    ///
    /// # Errors
    ///
    /// When the API refuses it.
    pub(crate) async fn pod(&self, service: &str, name: &str, more: Value) -> anyhow::Result<Pod> {
        let (v4, v6) = addresses();
        let mut spec = json!({
            "nodeName": if v4.octets()[3] % 2 == 0 { "node-a" } else { "node-b" },
            "terminationGracePeriodSeconds": 3600,
            "containers": [{"name": "collector", "image": "none"}],
        });
        merge(&mut spec, more);
        let pod = json!({"metadata": {"name": name, "labels": {"app": service}}, "spec": spec});
        let created = self.api.create(&self.core("pods"), &pod).await?;
        let uid = created["metadata"]["uid"].as_str().context("no uid")?.to_owned();
        Ok(Pod { name: name.to_owned(), uid, v4, v6 })
    }

    /// Lets a pod run, ready or not.
    ///
    /// # Errors
    ///
    /// When the API refuses it.
    pub(crate) async fn runs(&self, pod: &Pod, ready: bool) -> anyhow::Result<()> {
        let ready = if ready { "True" } else { "False" };
        let status = json!({"status": {
            "phase": "Running",
            "podIP": pod.v4.to_string(),
            "podIPs": [{"ip": pod.v4.to_string()}, {"ip": pod.v6.to_string()}],
            "conditions": [{"type": "Ready", "status": ready}],
        }});
        self.api.merge(&self.core(&format!("pods/{}/status", pod.name)), &status).await?;
        Ok(())
    }

    /// Tells a pod to end. Without a kubelet it goes on until [`Namespace::gone`].
    ///
    /// # Errors
    ///
    /// When the API refuses it.
    pub(crate) async fn terminate(&self, pod: &Pod) -> anyhow::Result<()> {
        self.api.delete(&self.core(&format!("pods/{}", pod.name))).await?;
        Ok(())
    }

    /// A pod has ended.
    ///
    /// # Errors
    ///
    /// When the API refuses it.
    pub(crate) async fn gone(&self, pod: &Pod) -> anyhow::Result<()> {
        self.api.delete(&self.core(&format!("pods/{}?gracePeriodSeconds=0", pod.name))).await?;
        Ok(())
    }

    /// The slices of a Service.
    ///
    /// # Errors
    ///
    /// When the API does not answer.
    pub(crate) async fn slices(&self, service: &str) -> anyhow::Result<Vec<Value>> {
        let path = format!("{}?labelSelector=kubernetes.io%2Fservice-name%3D{service}", self.slices_path());
        let list = self.api.get(&path).await?;
        Ok(list["items"].as_array().context("no items")?.clone())
    }

    /// The endpoints of all slices of a Service with addresses of a type, sorted.
    ///
    /// # Errors
    ///
    /// As [`Namespace::slices`].
    pub(crate) async fn endpoints(&self, service: &str, address_type: &str) -> anyhow::Result<Vec<Endpoint>> {
        let slices = self.slices(service).await?;
        let of_type = slices.iter().filter(|slice| slice["addressType"] == address_type);
        let mut endpoints = Vec::new();
        for endpoint in of_type.filter_map(|slice| slice["endpoints"].as_array()).flatten() {
            let condition = |name: &str| endpoint["conditions"][name].as_bool();
            endpoints.push(Endpoint {
                address: endpoint["addresses"][0].as_str().context("no address")?.to_owned(),
                ready: condition("ready"),
                serving: condition("serving"),
                terminating: condition("terminating"),
                hostname: endpoint["hostname"].as_str().map(str::to_owned),
            });
        }
        endpoints.sort();
        Ok(endpoints)
    }
}

/// Merges an object into another, deeply; what is there is replaced.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) if !from.is_null() => *into = from,
        _ => {}
    }
}

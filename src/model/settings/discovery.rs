//! `resolver`: where the endpoints of a pool come from, and how calmly the ring follows them.

use std::{path::PathBuf, sync::Arc, time::Duration};

/// `resolver`.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolver {
    /// `resolver.static`: the texts as written, sorted bytewise, duplicates kept.
    Static {
        /// `hostnames`.
        hostnames: Vec<Arc<str>>,
    },
    /// Ours: a text file with one endpoint in each line, read again when it has changed.
    File {
        /// Where it is.
        path: PathBuf,
        /// Time between two looks.
        interval: Duration,
    },
    /// `resolver.dns`: every address of a name.
    Dns(Dns),
    /// `resolver.k8s`: the endpoints of a Kubernetes Service.
    K8s(K8s),
    /// `resolver.aws_cloud_map`: the instances of an AWS Cloud Map service.
    CloudMap(CloudMap),
}

impl Resolver {
    /// The value of the metric label `resolver`. Source: the exporter's resolvers (v0.161.0); `file` is ours.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Static { .. } => "static",
            Self::File { .. } => "file",
            Self::Dns(_) => "dns",
            Self::K8s(_) => "k8s",
            Self::CloudMap(_) => "aws",
        }
    }
}

/// `resolver.dns`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// The name whose A and AAAA records are the pool.
    pub hostname: Arc<str>,
    /// Appended to each address; `None`: the default port is dialled, and not hashed.
    pub port: Option<Arc<str>>,
    /// Limit of one lookup, the first one included.
    pub timeout: Duration,
    /// The next lookup follows after the time to live of the answer, but not before this.
    pub min_interval: Duration,
    /// And not after this, whatever the time to live. After failed lookups the time grows from one bound to the other. Each time
    /// is up to a tenth longer, so that nobody asks in step.
    pub max_interval: Duration,
}

/// `resolver.k8s`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct K8s {
    /// Name of the Service.
    pub service: Arc<str>,
    /// Its namespace; `None`: that of the process's service account.
    pub namespace: Option<Arc<str>>,
    /// Which ports of an address are backends; empty: the default port is dialled, and not hashed.
    pub ports: Vec<ServicePort>,
    /// After this time the server ends a watch and a new one begins; whole seconds, `None`: the server decides.
    pub timeout: Option<Duration>,
    /// Whether an endpoint is `<hostname>.<service>.<namespace>`, not an address.
    pub return_hostnames: bool,
    /// What is hashed.
    pub identity: Identity,
    /// Whether endpoints that are explicitly not ready are used, as Collectors up to v0.160.0 do.
    pub use_not_ready: bool,
    /// Whether each address of a pod is a backend of its own, as in the Collector; otherwise a pod is one backend.
    pub every_address: bool,
    /// Which address of a pod is used where it has several and one is.
    pub family: Family,
    /// A kubeconfig file; `None`: the files of the pod's service account.
    pub kubeconfig: Option<PathBuf>,
    /// Everything is listed again after about this time, whatever the watch says.
    pub resync: Duration,
}

/// A port of a Service's endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServicePort {
    /// By number, whatever the slices say.
    Number(u16),
    /// By the name that it has in the Service: the number stands in each slice. Ours.
    Name(Arc<str>),
}

/// What stands for an endpoint on the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Its address, as in the Collector.
    Address,
    /// The pod: its name in a StatefulSet, else its uid, so that a restarted pod of a StatefulSet keeps its keys.
    Pod,
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// `resolver.aws_cloud_map`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudMap {
    /// The HTTP namespace.
    pub namespace: Arc<str>,
    /// The service in it.
    pub service_name: Arc<str>,
    /// Which instances: `HEALTHY`, `UNHEALTHY`, `ALL` or `HEALTHY_OR_ELSE_ALL`.
    pub health_status: Arc<str>,
    /// Time between two questions.
    pub interval: Duration,
    /// Limit of one question.
    pub timeout: Duration,
    /// In place of the port that an instance names.
    pub port: Option<u16>,
    /// The account that owns the namespace, if it is another one.
    pub owner_account: Option<Arc<str>>,
}

/// How calmly the ring follows a resolver. Ours; what a Collector does is every duration zero and 100 per cent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership {
    /// A change waits until the set has not changed for this long, at most ten times that. The first set, and one that follows
    /// an empty one, never waits.
    pub settle: Duration,
    /// How long a member stays that vanished, or is not ready, without the source saying that it was deleted.
    pub grace: Duration,
    /// How much of the set may vanish in one change, in per cent, without the source saying that it was deleted.
    pub max_shrink_percent: u8,
    /// Least time between two changes of the ring.
    pub min_interval: Duration,
    /// How long an empty answer keeps the last set; then requests are refused.
    pub hold_empty: Duration,
    /// After so long without a good answer the set ends, and requests are refused; `None`: never.
    pub max_stale: Option<Duration>,
}

#[cfg(test)]
impl Membership {
    /// What a Collector does.
    pub(crate) const NEUTRAL: Self = Self {
        settle: Duration::ZERO,
        grace: Duration::ZERO,
        max_shrink_percent: 100,
        min_interval: Duration::ZERO,
        hold_empty: Duration::ZERO,
        max_stale: None,
    };
}

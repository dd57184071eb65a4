//! Finds the parts that `build.sh` built, and makes sure that the tests run where they can.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

const HOW: &str = "run `make e2e-cluster`, or see tests/cluster/README.md";

/// A program of the cluster: `etcd`, `kube-apiserver`, `kube-controller-manager`, `kubectl`, `helm`.
///
/// # Errors
///
/// When it was not built, or the test does not run in `namespace.sh`.
pub(crate) fn program(name: &str) -> anyhow::Result<PathBuf> {
    anyhow::ensure!(
        std::env::var_os("RINGWAY_CLUSTER_NAMESPACE").is_some(),
        "not in the namespaces of tests/cluster/namespace.sh: {HOW}"
    );
    part("RINGWAY_CLUSTER_PARTS", &format!("bin/{name}"))
}

/// The Collector that tests/real/build.sh built.
///
/// # Errors
///
/// When it was not built.
pub(crate) fn collector() -> anyhow::Result<PathBuf> {
    part("RINGWAY_REAL_PARTS", "bin/otelcol-real")
}

/// A file of `tests/real/` in this checkout.
pub(crate) fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real").join(path)
}

fn part(variable: &str, path: &str) -> anyhow::Result<PathBuf> {
    let directory = std::env::var_os(variable).with_context(|| format!("{variable} is not set: {HOW}"))?;
    let part = Path::new(&directory).join(path);
    anyhow::ensure!(part.exists(), "{} is missing: {HOW}", part.display());
    Ok(part)
}

//! Finds the real parts that `build.sh` built.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// The Collector of `collector/manifest.yaml`.
pub(crate) fn collector() -> anyhow::Result<PathBuf> {
    part("bin/otelcol-real")
}

/// The OpenTelemetry load generator.
pub(crate) fn telemetrygen() -> anyhow::Result<PathBuf> {
    part("bin/telemetrygen")
}

/// The Python interpreter that has the OpenTelemetry SDK.
pub(crate) fn python() -> anyhow::Result<PathBuf> {
    part("python/bin/python")
}

/// Node.js.
pub(crate) fn node() -> anyhow::Result<PathBuf> {
    part("js/node")
}

/// The directory with the JavaScript SDK's `node_modules`, and `sdk.js`, which is the SDK as one file for a browser.
pub(crate) fn javascript() -> anyhow::Result<PathBuf> {
    part("js")
}

/// Chromium.
pub(crate) fn chromium() -> anyhow::Result<PathBuf> {
    part("bin/chromium")
}

/// A file of `tests/real/` in this checkout.
pub(crate) fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real").join(path)
}

fn part(path: &str) -> anyhow::Result<PathBuf> {
    const HOW: &str = "run `make e2e`, or set it to the directory that tests/real/build.sh prints";
    let directory = std::env::var_os("RINGWAY_REAL_PARTS")
        .with_context(|| format!("RINGWAY_REAL_PARTS is not set: {HOW}"))?;
    let part = Path::new(&directory).join(path);
    anyhow::ensure!(part.exists(), "{} is missing under RINGWAY_REAL_PARTS: {HOW}", part.display());
    Ok(part)
}

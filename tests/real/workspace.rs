//! A directory for one test: logs of the processes it started and files they wrote.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// A new directory below Cargo's target directory. It is kept when the test fails, for whoever has to find out why.
#[derive(Debug)]
pub(crate) struct Workspace(PathBuf);

impl Workspace {
    /// Creates the directory for the test `name`.
    ///
    /// # Errors
    ///
    /// When it cannot be created.
    pub(crate) fn new(name: &str) -> anyhow::Result<Self> {
        let unique = format!("{name}-{}-{:08x}", std::process::id(), fastrand::u32(..));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("real").join(unique);
        std::fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
        Ok(Self(path))
    }

    /// The path of `file` in the directory.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    /// Removes the directory: the test has passed.
    ///
    /// # Errors
    ///
    /// When it cannot be removed.
    pub(crate) fn remove(self) -> anyhow::Result<()> {
        std::fs::remove_dir_all(&self.0).with_context(|| format!("removing {}", self.0.display()))
    }
}

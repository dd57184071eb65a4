//! Collector YAML to [`Settings`]: all problems at once, each with its path and line.
//!
//! Stage: engine. The only module that knows YAML. Files and the environment are passed in. Skeleton: signatures.

use std::path::Path;

use crate::model::settings::Settings;

/// Where configuration text comes from; the composition root passes the real ones.
pub trait Sources {
    /// An environment variable, `None` if unset.
    fn env(&self, name: &str) -> Option<String>;
    /// The text of a file.
    ///
    /// # Errors
    ///
    /// A sentence for the user.
    fn file(&self, path: &Path) -> Result<String, String>;
}

/// One thing to tell the user about the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path of the key, parts joined with `::` as the Collector does.
    pub path: String,
    /// File (or other source) and line, where known.
    pub place: Option<(String, usize)>,
    /// What was found and what is allowed.
    pub message: String,
}

/// What loading gave. Settings are absent if and only if there are errors.
#[derive(Debug)]
pub struct Loaded {
    /// The checked settings.
    pub settings: Option<Settings>,
    /// Why there are no settings.
    pub errors: Vec<Problem>,
    /// What works, but not as one might think.
    pub warnings: Vec<Problem>,
}

/// Reads, merges, expands and checks the configuration that `--config` (`uris`, in order) and `--set` (`sets`) name.
pub fn load(_uris: &[String], _sets: &[String], _sources: &dyn Sources) -> Loaded {
    Loaded { settings: None, errors: Vec::new(), warnings: Vec::new() }
}

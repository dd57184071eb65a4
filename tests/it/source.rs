//! The crate's own source as text, for the tests that read it.

use std::fs;
use std::path::Path;

/// One Rust file.
#[derive(Debug)]
pub(crate) struct File {
    /// Below the crate, with `/`: `src/ring/scheme.rs`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    /// Numbered lines of what ships, without comment lines: nothing of a test file, nothing below a test module's
    /// `#[cfg(test)]`.
    pub(crate) fn production(&self) -> impl Iterator<Item = (usize, &str)> {
        let test_file = self.path.ends_with("/tests.rs") || self.path.contains("/tests/");
        let test_module = self.text.find("#[cfg(test)]\nmod tests {").unwrap_or(self.text.len());
        let text = if test_file { "" } else { &self.text[..test_module] };
        (1..).zip(text.lines()).filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

/// Every Rust file below one of the crate's directories, by path.
///
/// # Panics
///
/// If there is none: a test that reads nothing would pass.
#[track_caller]
pub(crate) fn files(directory: &str) -> Vec<File> {
    let mut files = Vec::new();
    walk(Path::new(env!("CARGO_MANIFEST_DIR")), directory, &mut files);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!files.is_empty(), "no Rust file below {directory}");
    files
}

#[expect(clippy::expect_used, reason = "a file that cannot be read fails the test")]
fn walk(root: &Path, directory: &str, files: &mut Vec<File>) {
    for entry in fs::read_dir(root.join(directory)).expect("a directory of the crate") {
        let entry = entry.expect("an entry of the directory");
        let path = format!("{directory}/{}", entry.file_name().to_str().expect("a name in UTF-8"));
        if entry.file_type().expect("the type of the entry").is_dir() {
            walk(root, &path, files);
        } else if path.ends_with(".rs") {
            let text = fs::read_to_string(root.join(&path)).expect("a source file in UTF-8");
            files.push(File { path, text });
        }
    }
}

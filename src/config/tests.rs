//! Golden tests: `tests/golden/config/NAME.yaml` against `NAME.expect`, the text a user would see and the settings.
//!
//! The first lines of an input may be directives: `#! env NAME=value`, `#! set a.b=v`, `#! config URI` (read after the
//! input), `#! file PATH TEXT` (`\n` for line ends). `RINGWAY_BLESS=1 cargo test golden` writes the expectations anew;
//! look at the difference before you commit it.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path, path::PathBuf};

use super::{Loaded, Sources, load};

/// Files and environment of one test.
#[derive(Default)]
pub(super) struct Fake {
    pub(super) env: BTreeMap<String, String>,
    pub(super) files: BTreeMap<String, String>,
}

impl Sources for Fake {
    fn env(&self, name: &str) -> Option<String> {
        self.env.get(name).cloned()
    }

    fn file(&self, path: &Path) -> Result<String, String> {
        let path = path.to_string_lossy();
        self.files.get(&*path).cloned().ok_or_else(|| format!("open {path}: no such file or directory"))
    }
}

/// What a user sees: errors, warnings, and the settings if there are any.
pub(super) fn show(loaded: &Loaded) -> String {
    let mut text = String::new();
    for (kind, list) in [("error", &loaded.errors), ("warning", &loaded.warnings)] {
        for problem in list {
            writeln!(text, "{kind}: {problem}").unwrap();
        }
    }
    if let Some(settings) = &loaded.settings {
        writeln!(text, "{settings:#?}").unwrap();
    }
    text
}

fn golden(input: &Path) -> Loaded {
    let text = fs::read_to_string(input).unwrap();
    let name = input.file_name().unwrap().to_string_lossy().into_owned();
    let (mut uris, mut sets, mut fake) = (vec![name.clone()], Vec::new(), Fake::default());
    for directive in text.lines().map_while(|line| line.strip_prefix("#! ")) {
        let (word, rest) = directive.split_once(' ').unwrap();
        match word {
            "env" => {
                let (name, value) = rest.split_once('=').unwrap();
                fake.env.insert(name.to_owned(), value.replace("\\n", "\n"));
            }
            "set" => sets.push(rest.to_owned()),
            "config" => uris.push(rest.to_owned()),
            "file" => {
                let (name, text) = rest.split_once(' ').unwrap();
                fake.files.insert(name.to_owned(), text.replace("\\n", "\n"));
            }
            other => panic!("{}: unknown directive {other:?}", input.display()),
        }
    }
    fake.files.insert(name, text);
    load(&uris, &sets, &fake)
}

// Scenario: configurations as users write them, good ones and bad ones.
// Guarantees: the settings, and the full text of every problem, are the ones that were reviewed.
#[test]
fn golden_configurations() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/config");
    let mut inputs: Vec<PathBuf> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    inputs.sort();
    assert!(!inputs.is_empty(), "no inputs in {}", folder.display());
    let is_bless = std::env::var_os("RINGWAY_BLESS").is_some();
    let mut failures = String::new();
    for input in inputs {
        let loaded = golden(&input);
        assert_eq!(loaded.settings.is_none(), !loaded.errors.is_empty(), "{}", input.display());
        let got = show(&loaded);
        let expectation = input.with_extension("expect");
        if is_bless {
            fs::write(&expectation, &got).unwrap();
        }
        let expect = fs::read_to_string(&expectation).unwrap_or_default();
        if got != expect {
            write!(failures, "=== {}\n--- expected\n{expect}--- got\n{got}", input.display()).unwrap();
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

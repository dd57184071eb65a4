//! Golden tests: `tests/golden/config/NAME.yaml` against `NAME.expect`, the text a user would see and the settings.
//!
//! The first lines of an input may be directives: `#! env NAME=value`, `#! set a.b=v`, `#! config URI` (read after the
//! input), `#! file PATH TEXT` (`\n` for line ends). `RINGWAY_BLESS=1 cargo test golden` writes the expectations anew;
//! look at the difference before you commit it.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path, path::PathBuf};

use proptest::prelude::*;

use super::{Loaded, Problem, Sources, load};

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

/// Values that are wrong nearly everywhere, and right somewhere.
const ODD: [&str; 18] = [
    "",
    "5",
    "-1",
    "1.5",
    "true",
    "text",
    "\"\"",
    "[]",
    "[a, 5, ~]",
    "{}",
    "{a: b}",
    "{enabled: false}",
    "{enabled: 5}",
    "99999999999999999999",
    "${env:SET}",
    "${env:UNSET}",
    "x${env:SET}${",
    "&a [*a]",
];

/// Configurations that together write every section of every component.
const FULL: [&str; 6] = [
    include_str!("../../tests/golden/config/full.yaml"),
    include_str!("../../tests/golden/config/receivers.yaml"),
    include_str!("../../tests/golden/config/passes_through.yaml"),
    include_str!("../../tests/golden/config/forwarded.yaml"),
    include_str!("../../tests/golden/config/storage.yaml"),
    include_str!("../../tests/golden/config/discovery.yaml"),
];

fn load_text(text: &str) -> Loaded {
    let mut fake = Fake::default();
    fake.files.insert("f".to_owned(), text.to_owned());
    fake.env.insert("SET".to_owned(), "[1, {a: \"${env:UNSET}\"}]".to_owned());
    let loaded = load(&["f".to_owned()], &["service.telemetry.logs.level=debug".to_owned()], &fake);
    assert_eq!(loaded.settings.is_none(), !loaded.errors.is_empty(), "{text}");
    loaded
}

proptest! {
    // Scenario: any text at all as the configuration.
    // Guarantees: loading ends without a panic, with settings or with errors, never both or neither.
    #[test]
    fn any_text_is_answered(text in "(?s).{0,200}") {
        load_text(&text);
    }

    // Scenario: full configurations in which values of some lines are replaced by odd ones and lines are left out.
    // Guarantees: as above, with all of the checks behind the syntax within reach.
    #[test]
    fn any_damaged_configuration_is_answered(
        full in proptest::sample::select(&FULL[..]),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0..=ODD.len()), 1..6),
    ) {
        let mut lines: Vec<String> = full.lines().map(str::to_owned).collect();
        for (line, odd) in edits {
            let line = line.index(lines.len());
            match (ODD.get(odd), lines[line].split_once(':')) {
                (Some(odd), Some((key, _))) => lines[line] = format!("{key}: {odd}"),
                (Some(odd), None) => lines[line] = (*odd).to_owned(),
                (None, _) => {
                    lines.remove(line);
                }
            }
        }
        load_text(&lines.join("\n"));
    }
}

// Scenario: a secret where a string is expected, and in a place where something else is.
// Guarantees: neither problems nor the debug text of the settings show the value of a header.
#[test]
fn secrets_are_not_shown() {
    let text = include_str!("../../tests/golden/config/minimal.yaml");
    for headers in [
        "{a: s3cr3t-5}",
        "[{name: a, value: s3cr3t-5}]",
        "{a: [s3cr3t-5]}",
        "{a: \"s3cr3t-5\\n\"}",
        "s3cr3t-5 5",
    ] {
        let text = text.replace("tls:\n", &format!("headers: {headers}\n        tls:\n"));
        check_secret(&text, headers.starts_with("{a: s3") || headers.starts_with("[{"));
    }
    check_secret(&text.replace("http:\n", "http: {response_headers: {a: s3cr3t-5}}\n"), true);
    for (header, is_good) in [
        ("{key: a, value: s3cr3t-5}", true),
        ("{key: a, from_context: b, default_value: s3cr3t-5}", true),
        ("{key: a, value: [s3cr3t-5]}", false),
        ("{key: a, from_context: b, default_value: {s3cr3t: 5}}", false),
        ("{key: a, value: \"s3cr3t-5\\n\"}", false),
    ] {
        let text = text.replace("tls:\n", "auth: {authenticator: headers_setter}\n        tls:\n").replace(
            "service:\n",
            &format!("extensions: {{headers_setter: {{headers: [{header}]}}}}\nservice:\n  extensions: [headers_setter]\n"),
        );
        check_secret(&text, is_good);
    }
}

#[track_caller]
fn check_secret(text: &str, is_good: bool) {
    assert!(text.contains("s3cr3t"), "{text}");
    let loaded = load_text(text);
    let shown = format!("{}{loaded:?}", show(&loaded));
    assert!(!shown.contains("s3cr3t"), "{text}: {shown}");
    assert_eq!(loaded.settings.is_some(), is_good, "{text}: {shown}");
}

// Scenario: problems with and without path, file and line.
// Guarantees: each reads as one line that an editor can jump to.
#[test]
fn problems_read_as_one_line() {
    let problem = |path: &str, place: Option<(&str, usize)>| {
        let place = place.map(|(source, line)| (source.to_owned(), line));
        Problem { path: path.to_owned(), place, message: "m".to_owned() }.to_string()
    };
    assert_eq!(problem("a::b", Some(("f.yaml", 12))), "f.yaml:12: a::b: m");
    assert_eq!(problem("a::b", Some(("--set a.b", 0))), "--set a.b: a::b: m");
    assert_eq!(problem("", Some(("f.yaml", 1))), "f.yaml:1: m");
    assert_eq!(problem("", None), "m");
}

//! Rules of the house that can be read off the source: what every file has, and what only one place may do.
//!
//! The compiler and clippy hold most rules (`Cargo.toml`, `.clippy.toml`); these are the rest.

use crate::source::{File, files};

/// Text that may stand in the code of these files and folders only, and why.
const ONE_PLACE: &[(&str, &[&str], &str)] = &[
    ("println!", &["src/main.rs", "src/cli.rs", "src/cli/"], "stdout and stderr belong to the command line"),
    ("saphyr", &["src/config.rs", "src/config/"], "configuration alone knows YAML"),
    ("process::exit", &["src/main.rs"], "only main ends the process"),
    ("tokio::spawn", &["src/tasks.rs"], "a task is named, counted and waited for"),
    ("thread::", &["src/tasks.rs"], "a thread is named, counted and waited for"),
    ("\"otelcol_", &["src/telemetry/metrics.rs"], "the catalogue names every metric"),
    ("flate2::", &["src/net/compression.rs", "src/net/compression/"], "one module inflates, with a limit"),
    ("zstd::", &["src/net/compression.rs", "src/net/compression/"], "one module inflates, with a limit"),
    ("snap::", &["src/net/compression.rs", "src/net/compression/"], "one module inflates, with a limit"),
    (
        "libdeflater::",
        &["src/net/compression.rs", "src/net/compression/"],
        "one module inflates, with a limit",
    ),
    ("hashring::", &["src/ring.rs", "src/ring/"], "lookups go through the ring's table"),
];

// Scenario: every file below src/.
// Guarantees: what only one place may do is done nowhere else.
#[test]
fn one_place_each() {
    let violations: Vec<String> = files("src").iter().flat_map(misplaced).collect();
    assert!(violations.is_empty(), "in the wrong place:\n{}", violations.join("\n"));
}

// Scenario: a forbidden call planted in code, beside one in a comment, in a test module and in the right place.
// Guarantees: the first is named with its line, the others are not.
#[test]
fn planted_call_is_named() {
    let text = "//! tokio::spawn\nfn f() {\n    tokio::spawn(g());\n}\n\n#[cfg(test)]\nmod tests {\n    // tokio::spawn\n    fn t() { tokio::spawn(g()) }\n}\n";
    let file = |path: &str| File { path: path.into(), text: text.into() };
    assert_eq!(
        misplaced(&file("src/a.rs")),
        ["src/a.rs:3: tokio::spawn: a task is named, counted and waited for"]
    );
    assert!(misplaced(&file("src/tasks.rs")).is_empty());
    assert!(misplaced(&file("src/a/tests.rs")).is_empty());
}

fn misplaced(file: &File) -> Vec<String> {
    let mut found = Vec::new();
    for (text, places, reason) in ONE_PLACE {
        if !places.iter().any(|place| file.path.starts_with(place)) {
            let lines = file.production().filter(|(_, line)| line.contains(text));
            found.extend(lines.map(|(number, _)| format!("{}:{number}: {text}: {reason}", file.path)));
        }
    }
    found
}

// Scenario: every file of the receiver but the one that replies.
// Guarantees: what a client is told about a failure is decided in one file; success has one code.
#[test]
fn one_file_answers_failures() {
    let others = files("src").into_iter().filter(|file| file.path.starts_with("src/receiver"));
    let others: Vec<File> = others.filter(|file| file.path != "src/receiver/reply.rs").collect();
    let chosen =
        others.iter().flat_map(|file| file.production().map(move |(number, line)| (file, number, line)));
    let chosen = chosen.filter(|(_, _, line)| line.replace("StatusCode::OK", "").contains("StatusCode::"));
    let chosen: Vec<_> =
        chosen.map(|(file, number, line)| format!("{}:{number}: {line}", file.path)).collect();
    assert!(chosen.is_empty(), "belongs into src/receiver/reply.rs:\n{}", chosen.join("\n"));
}

// Scenario: every Rust file of the repository.
// Guarantees: it opens by saying where it stands and what it owns.
#[test]
fn files_open_with_their_purpose() {
    let all = ["src", "tests", "benches"].into_iter().flat_map(files);
    let silent: Vec<_> = all.filter(|file| !file.text.starts_with("//! ")).map(|file| file.path).collect();
    assert!(silent.is_empty(), "without `//!` at the top: {silent:#?}");
}

// Scenario: every test of the repository.
// Guarantees: it says what it sets up and what it proves, runs always, and fails by an assertion.
#[test]
fn tests_say_what_they_prove() {
    let all: Vec<_> = ["src", "tests"].into_iter().flat_map(files).collect();
    let mute: Vec<_> = all.iter().flat_map(mute_tests).collect();
    assert!(mute.is_empty(), "without `// Scenario:` and `// Guarantees:`:\n{}", mute.join("\n"));

    let (ignored, panicking) = (format!("#[{}", "ignore"), format!("#[{}", "should_panic"));
    let lame = all.iter().filter(|file| file.text.contains(&ignored) || file.text.contains(&panicking));
    let lame: Vec<_> = lame.map(|file| &file.path).collect();
    assert!(lame.is_empty(), "with ignored tests or expected panics: {lame:#?}");
}

// Scenario: a test with both lines, one with the lines inside, one with a line missing.
// Guarantees: the last is named.
#[test]
fn planted_mute_test_is_named() {
    let attribute = format!("#[{}]", "test");
    let text = format!(
        "// Scenario: a.\n// Guarantees: b,\n// and c.\n{attribute}\nfn one() {{}}\n\n\
         {attribute}\nfn two() {{\n    // Scenario: a.\n    // Guarantees: b.\n}}\n\n\
         // Scenario: a.\n{attribute}\nfn three() {{\n    let a = 1;\n}}\n"
    );
    assert_eq!(mute_tests(&File { path: "src/a.rs".into(), text }), ["src/a.rs:14: fn three() {"]);
}

/// Tests that lack the two lines, in the comment above or at the top of their body.
fn mute_tests(file: &File) -> Vec<String> {
    let lines: Vec<&str> = file.text.lines().map(str::trim).collect();
    let starts =
        (0..lines.len()).filter(|&at| lines[at] == "#[test]" || lines[at].starts_with("#[tokio::test"));
    let is_note = |line: &&&str| line.starts_with("//") || line.starts_with("#[");
    let mut mute = Vec::new();
    for start in starts {
        let name = (start..lines.len()).find(|&at| lines[at].contains("fn ")).unwrap_or(start);
        let above = lines[..name].iter().rev().take_while(is_note);
        let inside = lines[name + 1..].iter().take_while(is_note);
        let notes: Vec<_> = above.chain(inside).collect();
        let says = |word: &str| notes.iter().any(|line| line.starts_with(word));
        if !(says("// Scenario:") && says("// Guarantees:")) {
            mute.push(format!("{}:{}: {}", file.path, start + 1, lines[name]));
        }
    }
    mute
}

//! The layers of the crate: who may use whom.
//!
//! [`TABLE`] is the map. The test reads `src/`, takes every module that a file names through `crate::`, and fails once,
//! at the end, with every edge that the map does not have. Where the map and good code disagree, the map is changed in
//! the same commit, which says why.
//!
//! Not seen: names made by macros, and `super` paths that leave a module from inside an inline one.

use crate::source::{File, files};

/// Each top-level module and the modules it may name beside itself.
const TABLE: &[(&str, &[&str])] = &[
    // Vocabulary.
    ("model", &[]),
    // Engines: pure functions.
    ("config", &["model"]),
    ("otlp", &["model"]),
    ("retry", &["model"]),
    ("ring", &["model"]),
    // Edges, shared by stages.
    ("tasks", &["model"]),
    ("telemetry", &["model", "tasks"]),
    ("admission", &["model", "tasks", "telemetry"]),
    ("store", &["model", "tasks", "telemetry"]),
    ("net", &["model", "config", "otlp", "retry", "ring", "tasks", "telemetry"]),
    // Stages: each uses the next one's handle only.
    ("receiver", &["model", "otlp", "net", "tasks", "telemetry", "admission", "router"]),
    ("router", &["model", "otlp", "ring", "tasks", "telemetry", "admission", "store", "backend"]),
    ("backend", &["model", "otlp", "retry", "net", "tasks", "telemetry", "admission"]),
    ("resolver", &["model", "net", "tasks", "telemetry"]),
    ("admin", &["model", "net", "tasks", "telemetry"]),
];

/// Crate root, composition and command line may name everything.
const EXCUSED: &[&str] = &["lib", "main", "app", "cli"];

// Scenario: every file below src/.
// Guarantees: no module names one that its layer may not use, and every module has a place in the table.
#[test]
fn modules_use_only_what_their_layer_may() {
    let violations: Vec<String> = files("src").iter().flat_map(violations).collect();
    assert!(violations.is_empty(), "edges that the table does not have:\n{}", violations.join("\n"));
}

// Scenario: a table row for a module that is gone, or that names one.
// Guarantees: the map has no rooms that the house has not.
#[test]
fn table_names_only_what_exists() {
    let owners: Vec<String> = files("src").iter().map(|file| owner(&file.path).to_owned()).collect();
    let named = TABLE.iter().flat_map(|(module, uses)| [module].into_iter().chain(*uses)).chain(EXCUSED);
    let unknown: Vec<_> = named.filter(|name| !owners.iter().any(|owner| owner == *name)).collect();
    assert!(unknown.is_empty(), "not below src/: {unknown:?}");
}

#[track_caller]
fn check(path: &str, text: &str, expect: &[&str]) {
    assert_eq!(violations(&File { path: path.into(), text: text.into() }), expect);
}

// Scenario: wrong edges planted in every form a path can take, beside right ones and comments.
// Guarantees: each is found and named, and nothing else is.
#[test]
fn planted_edges_are_named() {
    check("src/model/signal.rs", "use crate::ring::Ring;\n", &["src/model/signal.rs: model -> ring"]);
    check(
        "src/router.rs",
        "use crate::{\n    backend::{Backend, net},\n    net::client, // crate::admin\n    ring,\n    receiver::{self, Reply},\n};\n",
        &["src/router.rs: router -> net", "src/router.rs: router -> receiver"],
    );
    check(
        "src/ring/g4.rs",
        "fn f() { crate::telemetry::count(); crate::ring::g() }\n",
        &["src/ring/g4.rs: ring -> telemetry"],
    );
    check("src/ring.rs", "// crate::net\n//! [`crate::net`]\nmod tests {\n    use super::Ring;\n}\n", &[]);
    check("src/ring.rs", "use super::net::dial;\n", &["src/ring.rs: super leaves ring"]);
    check(
        "src/ring/g4.rs",
        "use super::super::net;\nuse super::Ring;\n",
        &["src/ring/g4.rs: super leaves ring"],
    );
    check("src/cache.rs", "", &["src/cache.rs: cache has no place in the table"]);
    check("src/cli/demo.rs", "use crate::{router, net};\n", &[]);
}

fn violations(file: &File) -> Vec<String> {
    let owner = owner(&file.path);
    if EXCUSED.contains(&owner) {
        return Vec::new();
    }
    let Some((_, uses)) = TABLE.iter().find(|(module, _)| *module == owner) else {
        return vec![format!("{}: {owner} has no place in the table", file.path)];
    };
    let code = without_comments(&file.text);
    let named = named_modules(&code).into_iter().filter(|named| *named != owner && !uses.contains(named));
    let mut violations: Vec<String> =
        named.map(|named| format!("{}: {owner} -> {named}", file.path)).collect();
    if leaves_by_super(&file.path, &code) {
        violations.push(format!("{}: super leaves {owner}", file.path));
    }
    violations.dedup();
    violations
}

/// The first segment below `src/`: `foo.rs` and everything in `foo/` belong to `foo`.
fn owner(path: &str) -> &str {
    let below = path.strip_prefix("src/").unwrap_or(path);
    let first = below.split('/').next().unwrap_or(below);
    first.strip_suffix(".rs").unwrap_or(first)
}

/// The text without comments. A `//` inside a string cuts its line too, which hides no path.
fn without_comments(text: &str) -> String {
    let code = text.lines().map(|line| line.split("//").next().unwrap_or(line));
    code.collect::<Vec<_>>().join("\n")
}

/// What follows each `crate::`: an identifier, or the identifier that opens each entry of a brace group.
fn named_modules(code: &str) -> Vec<&str> {
    let mut named = Vec::new();
    for (at, path) in code.match_indices("crate::") {
        let after = &code[at + path.len()..];
        match after.strip_prefix('{') {
            None => named.push(identifier(after)),
            Some(group) => named.extend(entries(group).into_iter().map(identifier)),
        }
    }
    named
}

/// Splits a brace group, given without its opening brace, at the commas that no inner group encloses.
fn entries(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut entries) = (0_usize, 0, Vec::new());
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' | ',' if depth == 0 => {
                entries.push(group[start..at].trim());
                start = at + 1;
                if character == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    entries.retain(|entry| !entry.is_empty());
    entries
}

fn identifier(path: &str) -> &str {
    let end =
        path.find(|character: char| !character.is_alphanumeric() && character != '_').unwrap_or(path.len());
    &path[..end]
}

/// Whether a line that no inline module encloses climbs to the crate root, where it could name any module.
fn leaves_by_super(path: &str, code: &str) -> bool {
    let climb = "super::".repeat(path.split('/').count() - 1);
    code.lines().any(|line| !line.starts_with(' ') && line.contains(&climb))
}

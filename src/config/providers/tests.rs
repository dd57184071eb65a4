//! Tests of `config/providers`.

use super::read_all;
use crate::config::{
    report::Report,
    tests::Fake,
    tree::{Node, Value},
};

/// A tree as flow YAML.
fn show(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Text(value) => value.to_string(),
        Value::List(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) => {
            let entries = entries.iter().map(|entry| format!("{}: {}", entry.key, show(&entry.node)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        Value::Failed => "failed".to_owned(),
    }
}

fn run(uris: &[&str], sets: &[&str]) -> (Option<String>, Vec<String>) {
    let mut fake = Fake::default();
    for (name, text) in [
        ("a.yaml", "x: {y: 1, z: [1, 2]}\nw: text\n"),
        ("b.yaml", "x:\n  y: 2\n  z: [3]\n  n: {}\n"),
        ("null.yaml", "x:\nw: {deep: 1}\n"),
        ("keys.yaml", "x::y: 1\nx::z::a: 2\nx: {q: 3}\n"),
        ("empty.yaml", "# nothing\n"),
        ("list.yaml", "[1]"),
        ("bad.yaml", "ok: 1\nx: [1\ny: 2"),
        ("two.yaml", "x: 1\n---\nx: 2\n"),
    ] {
        fake.files.insert(name.to_owned(), text.to_owned());
    }
    fake.env.insert("CONFIG".to_owned(), "x: {y: 9}".to_owned());
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let mut report = Report::default();
    let root = read_all(&owned(uris), &owned(sets), &fake, &mut report);
    let (errors, warnings) = report.finish();
    (root.as_ref().map(show), errors.iter().chain(&warnings).map(ToString::to_string).collect())
}

#[track_caller]
fn check(uris: &[&str], sets: &[&str], expect: &str) {
    assert_eq!(run(uris, sets), (Some(expect.to_owned()), Vec::new()), "{uris:?} {sets:?}");
}

#[track_caller]
fn check_errors(uris: &[&str], sets: &[&str], expect: &[&str]) {
    let (root, problems) = run(uris, sets);
    assert_eq!(
        (root, problems),
        (None, expect.iter().map(|text| (*text).to_owned()).collect()),
        "{uris:?} {sets:?}"
    );
}

// Scenario: one and several sources, of every scheme, in different orders.
// Guarantees: maps merge deeply, everything else is replaced by the later source, an explicit null included.
#[test]
fn later_sources_win() {
    check(&["a.yaml"], &[], "{x: {y: 1, z: [1, 2]}, w: text}");
    check(&["file:a.yaml"], &[], "{x: {y: 1, z: [1, 2]}, w: text}");
    check(&["a.yaml", "b.yaml"], &[], "{x: {y: 2, z: [3], n: {}}, w: text}");
    check(&["b.yaml", "a.yaml"], &[], "{x: {y: 1, z: [1, 2], n: {}}, w: text}");
    check(&["a.yaml", "null.yaml"], &[], "{x: null, w: {deep: 1}}");
    check(&["null.yaml", "a.yaml"], &[], "{x: {y: 1, z: [1, 2]}, w: text}");
    check(&["a.yaml", "env:CONFIG"], &[], "{x: {y: 9, z: [1, 2]}, w: text}");
    check(&["a.yaml", "env:NO:-x: {y: 8}"], &[], "{x: {y: 8, z: [1, 2]}, w: text}");
    check(&["a.yaml", "yaml:x::y: 7"], &[], "{x: {y: 7, z: [1, 2]}, w: text}");
    check(&["empty.yaml", "empty.yaml"], &[], "{}");
    check(&["keys.yaml"], &[], "{x: {y: 1, z: {a: 2}, q: 3}}");
}

// Scenario: `--set` with blanks, typed values, paths that exist and new ones.
// Guarantees: it is applied last, whatever the order on the command line; every dot separates.
#[test]
fn set_is_applied_last() {
    check(&["a.yaml"], &["x.y=5"], "{x: {y: 5, z: [1, 2]}, w: text}");
    check(&["a.yaml"], &[" x.y = [1, a] "], "{x: {y: [1, a], z: [1, 2]}, w: text}");
    check(&["a.yaml"], &["x.y=1", "x.y="], "{x: {y: null, z: [1, 2]}, w: text}");
    check(&["a.yaml"], &["w=a=b"], "{x: {y: 1, z: [1, 2]}, w: a=b}");
    check(&["empty.yaml"], &["p.q.r=1"], "{p: {q: {r: 1}}}");
}

// Scenario: sources that cannot be used, several at once.
// Guarantees: each is reported with its line, all at once, in the Collector's words where it has some.
#[test]
fn bad_sources_are_reported_at_once() {
    check_errors(&[], &[], &["at least one config flag must be provided"]);
    check_errors(
        &["no.yaml", "list.yaml", "bad.yaml", "foo:x", "1x:y"],
        &["novalue", "x.y=[1"],
        &[
            "--set novalue: missing equal sign",
            "--set x.y: not valid YAML: while parsing a flow sequence, expected ',' or ']'",
            "1x:y: invalid uri: \"1x:y\"",
            "bad.yaml:3: not valid YAML: illegal placement of ':' indicator",
            "foo:x: unsupported scheme on URI \"foo:x\"; known schemes: file, env, yaml",
            "list.yaml:1: retrieved value (type=[]interface {}) cannot be used as a Conf: a map of sections is expected",
            "no.yaml: unable to read the file file:no.yaml: open no.yaml: no such file or directory",
        ],
    );
}

// Scenario: a source that adds nothing, and a file with two documents.
// Guarantees: both are read as the Collector does, and both are said.
#[test]
fn sources_that_surprise_are_said() {
    let (root, problems) = run(&["a.yaml", "env:NO"], &[]);
    assert!(root.is_some());
    assert_eq!(problems, ["env:NO: environment variable \"NO\" is not set: this source adds nothing"]);
    let (root, problems) = run(&["two.yaml"], &[]);
    assert_eq!(root.as_deref(), Some("{x: 1}"));
    assert_eq!(problems, ["two.yaml:2: only the first YAML document is read"]);
}

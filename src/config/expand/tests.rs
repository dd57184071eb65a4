//! Tests of `config/expand`.

use super::{BYTES_MAX, expand};
use crate::config::{
    report::Report,
    tests::Fake,
    tree::{Node, Origin, Value, parse},
};

/// Expands `value` as the value of the key `k`; gives what a typed field sees, what a string field sees, and problems.
fn run(value: &str, env: &[(&str, &str)], files: &[(&str, &str)]) -> (Value, Option<String>, Vec<String>) {
    let mut fake = Fake::default();
    for (name, text) in env {
        fake.env.insert((*name).to_owned(), (*text).to_owned());
    }
    for (name, text) in files {
        fake.files.insert((*name).to_owned(), (*text).to_owned());
    }
    let root = parse(&format!("k: {value}\n"), &Origin::Lines("f".into())).unwrap().root;
    let mut report = Report::default();
    let root = expand(root, &fake, &mut report);
    let node = root.get("k").unwrap();
    let (errors, warnings) = report.finish();
    let problems = errors.iter().chain(&warnings).map(ToString::to_string).collect();
    (node.value.clone(), string(node), problems)
}

/// What a field of type string gets.
fn string(node: &Node) -> Option<String> {
    match (&node.value, &node.expanded) {
        (Value::Text(text), _) => Some(text.to_string()),
        (_, Some(expanded)) => expanded.text.as_deref().map(str::to_owned),
        _ => None,
    }
}

const ENV: [(&str, &str); 16] = [
    ("TEXT", "abc"),
    ("EMPTY", ""),
    ("INT", "0123"),
    ("QUOTED", "\"q\""),
    ("BOOL", "true"),
    ("LIST", "[1, x]"),
    ("MAP", "{a: \"${env:TEXT}\"}"),
    ("BROKEN", "a: ["),
    ("DOLLARS", "p$$q"),
    ("NAME", "TEXT"),
    ("INDIRECT", "${env:INT}"),
    ("EMBEDDING", "<${env:TEXT}>"),
    ("LOOP", "${env:LOOP}"),
    ("GROW", "x${env:GROW}${env:GROW}"),
    ("_1", "u"),
    ("ESCAPED", "$${env:TEXT}"),
];

#[track_caller]
fn check(value: &str, typed: Value, text: Option<&str>) {
    let (got, string, problems) =
        run(value, &ENV, &[("t.txt", "line\n"), ("n.yaml", "n: 1\nm: ${env:INT}\n")]);
    assert_eq!((got, string.as_deref()), (typed, text), "{value}");
    assert_eq!(problems, Vec::<String>::new(), "{value}");
}

#[track_caller]
fn check_text(value: &str, text: &str) {
    check(value, Value::Text(text.into()), Some(text));
}

#[track_caller]
fn check_problem(value: &str, typed: Value, problem: &str) {
    let (got, _, problems) = run(value, &ENV, &[]);
    assert_eq!(got, typed, "{value}");
    assert_eq!(problems, [format!("f:1: k: {problem}")], "{value}");
}

// Scenario: one reference is the whole value.
// Guarantees: it is read as YAML and typed, and a string field gets the original text, quotes included.
#[test]
fn a_whole_value_is_typed_and_keeps_its_text() {
    check_text("${env:TEXT}", "abc");
    check_text("${TEXT}", "abc");
    check_text("'${env:TEXT}'", "abc");
    check("${env:INT}", Value::Int(83), Some("0123"));
    check("${env:BOOL}", Value::Bool(true), Some("true"));
    check_text("${env:QUOTED}", "\"q\"");
    check_text("${env:BROKEN}", "a: [");
    check("${env:INDIRECT}", Value::Int(83), Some("0123"));
    check_text("${env:EMBEDDING}", "<abc>");
    check("${yaml:0123}", Value::Int(83), Some("0123"));
    check_text("${file:t.txt}", "line\n");
    check_text("${env:_1}", "u");
}

// Scenario: a reference gives a list or a map.
// Guarantees: it becomes one, its own references are expanded, and a string field still gets its text.
#[test]
fn a_whole_value_can_be_a_list_or_a_map() {
    let (value, text, problems) = run("${env:LIST}", &ENV, &[]);
    assert!(matches!(&value, Value::List(items) if items.len() == 2), "{value:?}");
    assert_eq!((text.as_deref(), problems.len()), (Some("[1, x]"), 0));

    let (value, text, problems) = run("${env:MAP}", &ENV, &[]);
    let Value::Map(entries) = &value else { panic!("{value:?}") };
    assert_eq!(entries[0].node.value, Value::Text("abc".into()));
    assert_eq!((text.as_deref(), problems.len()), (Some("{a: \"abc\"}"), 0));

    let (value, _, problems) = run("${file:n.yaml}", &ENV, &[("n.yaml", "n: 1\nm: ${env:INT}\na::b: 2\n")]);
    let Value::Map(entries) = &value else { panic!("{value:?}") };
    assert_eq!(entries[1].node.value, Value::Int(83));
    assert_eq!((&*entries[1].node.place.source, entries[1].node.place.line), ("n.yaml", 2));
    assert!(entries[2].node.get("b").is_some(), "{value:?}");
    assert_eq!(problems.len(), 0);
}

// Scenario: references inside other text, nested ones, and defaults.
// Guarantees: they are replaced by the original text, innermost first; a default holds only for an unset variable.
#[test]
fn embedded_references_are_replaced_by_text() {
    check_text("a${env:INT}b", "a0123b");
    check_text("${env:TEXT}${env:TEXT}", "abcabc");
    check_text("${env:${env:NAME}}", "abc");
    check_text("a${file:t.txt}b", "aline\nb");
    check_text("x${env:QUOTED}", "x\"q\"");
    check_text("${env:UNSET:-abc}", "abc");
    check("${env:UNSET:-0123}", Value::Int(83), Some("0123"));
    check_text("${env:UNSET:-}", "");
    check_text("x${env:UNSET:-}y", "xy");
    check_text("x${env:EMPTY:-d}y", "xy");
    check_text("${env:UNSET:-a:-b}", "a:-b");
    check_text("${env:UNSET:-${env:TEXT}}", "abc");
}

// Scenario: dollars and braces that are no references.
// Guarantees: `$$` is a dollar, an odd number of them escapes a reference, and everything else stays.
#[test]
fn dollars_escape() {
    check_text("$TEXT", "$TEXT");
    check_text("a$$b", "a$b");
    check_text("$${env:TEXT}", "${env:TEXT}");
    check_text("$$${env:TEXT}", "$abc");
    check_text("$$$${env:TEXT}", "$${env:TEXT}");
    check_text("${env:DOLLARS}", "p$q");
    check_text("${env:ESCAPED}", "${env:TEXT}");
    check_text("\"${\"", "${");
    check_text("\"}${env:TEXT}\"", "}abc");
    check_text("\"$${env:TEXT} ${env:NAME}\"", "${env:TEXT} TEXT");
    // All occurrences of one text are replaced, the escaped one too; so does the Collector.
    check_text("\"$${TEXT} ${TEXT}\"", "$abc abc");
}

// Scenario: a variable is not set, or empty.
// Guarantees: a whole value is null, with the reason kept; inside text it is nothing, with a warning.
#[test]
fn a_missing_variable_is_null() {
    let (value, text, problems) = run("${env:UNSET}", &ENV, &[]);
    assert_eq!((value, text.as_deref(), problems.len()), (Value::Null, Some(""), 0));
    let (value, text, problems) = run("${env:EMPTY}", &ENV, &[]);
    assert_eq!((value, text.as_deref(), problems.len()), (Value::Null, Some(""), 0));
    check_problem(
        "a${env:UNSET}b",
        Value::Text("ab".into()),
        "environment variable \"UNSET\" is not set: ${env:UNSET} becomes nothing in this text",
    );
}

// Scenario: references that cannot be resolved.
// Guarantees: the Collector's sentence, with a hint where the mistake is a common one, and a value of which nothing is
// concluded.
#[test]
fn bad_references_fail_with_the_collectors_sentence() {
    check_problem(
        "${env:1X}",
        Value::Failed,
        "environment variable \"1X\" has invalid name: must match regex ^[a-zA-Z_][a-zA-Z0-9_]*$",
    );
    check_problem("${X:-d}", Value::Failed, "invalid uri: \"X:-d\"; did you mean ${env:X:-d}?");
    check_problem(
        "${HOST:-d}",
        Value::Failed,
        "scheme \"HOST\" is not supported for uri \"HOST:-d\"; did you mean ${env:HOST:-d}?",
    );
    check_problem("x${http://h}", Value::Failed, "scheme \"http\" is not supported for uri \"http://h\"");
    check_problem("${env:A$B}", Value::Failed, "the uri \"env:A$B\" contains unsupported characters ('$')");
    check_problem(
        "${file:none}",
        Value::Failed,
        "unable to read the file file:none: open none: no such file or directory",
    );
}

// Scenario: a variable that names itself, one that doubles each time, and a file that includes itself twice.
// Guarantees: each ends with an error instead of taking time, memory or stack.
#[test]
fn endless_references_are_refused() {
    check_problem("${env:LOOP}", Value::Failed, "too many recursive expansions");
    let message = format!("references expand to more than {BYTES_MAX} bytes");
    check_problem("${env:GROW}", Value::Failed, &message);
    for text in ["{a: \"${file:f}\"}", "{a: \"${file:f}\", b: \"${file:f}\"}", "[[[[[[\"${file:f}\"]]]]]]"] {
        let (_, _, problems) = run("${file:f}", &[], &[("f", text)]);
        assert!(!problems.is_empty(), "{text}");
    }
}

//! Tests of `config/tree`.

use super::{Node, Origin, Value, parse};

/// A tree as one line: `value@line`, keys without their lines.
fn show(node: &Node) -> String {
    let line = node.place.line;
    match &node.value {
        Value::Null => format!("null@{line}"),
        Value::Bool(value) => format!("{value}@{line}"),
        Value::Int(value) => format!("{value}@{line}"),
        Value::Float(value) => format!("{value:?}@{line}"),
        Value::Text(value) => format!("{value:?}@{line}"),
        Value::List(items) => format!("[{}]@{line}", items.iter().map(show).collect::<Vec<_>>().join(" ")),
        Value::Map(entries) => {
            let entries = entries.iter().map(|entry| format!("{}: {}", entry.key, show(&entry.node)));
            format!("{{{}}}@{line}", entries.collect::<Vec<_>>().join(", "))
        }
        Value::Failed => "failed".to_owned(),
    }
}

#[track_caller]
fn check(text: &str, expect: &str) {
    let document = parse(text, &Origin::Lines("f".into())).unwrap();
    assert_eq!(show(&document.root), expect, "{text:?}");
}

#[track_caller]
fn check_error(text: &str, line: usize, message: &str) {
    let error = parse(text, &Origin::Lines("f".into())).unwrap_err();
    assert_eq!((error.place.line, error.message.as_str()), (line, message), "{text:?}");
}

// Scenario: maps, lists and scalars in every style.
// Guarantees: each value has its type and its line; quotes and `!!str` make text.
#[test]
fn values_know_their_lines() {
    check("", "null@1");
    check("a: 1\nb:\n  - x\n  - 'true'\n", "{a: 1@1, b: [\"x\"@3 \"true\"@4]@3}@1");
    check("a: !!str 5\nb: \"5\"\nc: !!int 5\nd: !x 5", "{a: \"5\"@1, b: \"5\"@2, c: 5@3, d: 5@4}@1");
    check("a: |\n  x\n  y\nb: >-\n  x\n  y\n", "{a: \"x\\ny\\n\"@2, b: \"x y\"@5}@1");
    check("a:\nb: ~\n", "{a: null@1, b: null@2}@1");
    check("{a: {b: [1, 2.5]}}", "{a: {b: [1@1 2.5@1]@1}@1}@1");
    check("a: x\r\nb: y\r\n", "{a: \"x\"@1, b: \"y\"@2}@1");
}

// Scenario: anchors, aliases and merge keys.
// Guarantees: an alias stands for a copy with the lines of the original; keys written in a map win over merged
// ones, and earlier merged maps over later ones.
#[test]
fn aliases_and_merge_keys_are_resolved() {
    check("a: &x [1]\nb: *x\n", "{a: [1@1]@1, b: [1@1]@1}@1");
    check("a: &x {k: 1, l: 2}\nb:\n  <<: *x\n  k: 3\n", "{a: {k: 1@1, l: 2@1}@1, b: {k: 3@4, l: 2@1}@3}@1");
    check("a:\n  <<: [{k: 1}, {k: 2, l: 2}]\n", "{a: {k: 1@2, l: 2@2}@2}@1");
    check("\"<<\": 1", "{<<: 1@1}@1");
    check_error("a:\n  <<: 5", 2, "map merge requires map or sequence of maps as the value");
    check_error("a: &x [*x]", 1, "an alias may not stand inside what it names");
}

// Scenario: texts that are no configuration.
// Guarantees: each is refused with its line.
#[test]
fn bad_texts_are_refused_with_their_line() {
    check_error("a: 1\nb: 2\na: 3\n", 3, "mapping key \"a\" already defined at line 1");
    check_error("a: 1\n? [x]\n: y\n", 2, "a key must be a scalar, not a list or a map");
    check_error("a: &x k\n*x : v\n", 2, "a key must be a scalar, not an alias");
    let error = parse("a:\n\t- b", &Origin::Lines("f".into())).unwrap_err();
    assert_eq!(error.place.line, 2);
    assert!(parse("a: [", &Origin::Lines("f".into())).is_err());
    assert!(parse("a: *unknown", &Origin::Lines("f".into())).is_err());
}

// Scenario: two documents, the second of which is good or broken.
// Guarantees: the first is read, the second is not, and its line is known.
#[test]
fn only_the_first_document_is_read() {
    let document = parse("a: 1\n---\nb: 2\n", &Origin::Lines("f".into())).unwrap();
    assert_eq!(show(&document.root), "{a: 1@1}@1");
    assert_eq!(document.next.map(|place| place.line), Some(2));
    let document = parse("--- \na: 1\n...\n", &Origin::Lines("f".into())).unwrap();
    assert_eq!(show(&document.root), "{a: 1@2}@2");
    assert_eq!(document.next, None);
}

// Scenario: nine aliases of nine aliases of …; nesting a thousand levels deep; a hundred thousand values.
// Guarantees: each is refused before it takes memory or stack.
#[test]
fn explosions_are_refused() {
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        laughs.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    let error = parse(&laughs, &Origin::Lines("f".into())).unwrap_err();
    assert!(error.message.starts_with("aliases expand to more than"), "{error:?}");

    let deep: String = (0..1000).map(|level| format!("{}k:\n", " ".repeat(level))).collect();
    check_error(&deep, 101, "nested deeper than 100 levels");
    assert!(parse(&"[".repeat(100_000), &Origin::Lines("f".into())).is_err());
    check_error(&"- x\n".repeat(100_000), 50_001, "more than 50000 values");
}

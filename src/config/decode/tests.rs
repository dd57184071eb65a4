//! Tests of `config/decode`.

use super::{Fields, decode, is_default};
use crate::config::{
    expand::expand,
    exporter, extensions,
    memory::MEMORY_LIMITER,
    pipelines::PIPELINE,
    processors::BATCH,
    receiver::RECEIVER,
    report::{At, Report},
    schema::{
        Kind, Section, any, boolean, duration, float, id, ids, int, off_until_a_map, off_until_written,
        on_until_disabled, pairs, pointer, secret, section, text, texts, uint32,
    },
    service::ROOT,
    telemetry::READER,
    tests::Fake,
    tree::{Origin, parse},
};

static TABLE: Section = Section::strict(&[
    boolean("bool", true),
    int("int", 7),
    uint32("uint", 7),
    float("float", 1.5),
    duration("duration", 5_000),
    text("text", "default"),
    secret("secret"),
    texts("texts", &["one"]),
    pairs("pairs"),
    id("id"),
    ids("ids"),
    section("plain", &INNER),
    off_until_written("off", &INNER),
    on_until_disabled("on", &INNER),
    off_until_a_map("map", &INNER),
    pointer("pointer", &INNER),
    section("lenient", &LENIENT),
    any("any"),
    text("quiet", "").no_effect(),
    off_until_written("quiet_section", &INNER).no_effect(),
    text("refused", "ok").refused("write ok"),
]);

static INNER: Section = Section::strict(&[int("n", 3), text("t", "x"), int("gone", 0).no_effect()]);
static LENIENT: Section = Section::lenient(&[int("n", 3)]);

fn run(text: &str) -> (Fields, Vec<String>) {
    let mut report = Report::default();
    let root = parse(text, &Origin::Lines("f".into())).unwrap().root;
    let mut fake = Fake::default();
    fake.env.insert("INT".to_owned(), "0123".to_owned());
    fake.env.insert("NULL".to_owned(), "null".to_owned());
    fake.env.insert("LIST".to_owned(), "a,b".to_owned());
    let root = expand(root, &fake, &mut report);
    let fields = decode(&TABLE, Some(&root), At { path: "s".to_owned(), place: None }, &mut report);
    let (errors, warnings) = report.finish();
    (fields, errors.iter().chain(&warnings).map(ToString::to_string).collect())
}

/// What the fields of a section come to, for the kinds that fit into one text.
fn show(fields: &Fields, name: &str) -> String {
    match TABLE.kind_of(name) {
        Some(Kind::Bool(_)) => fields.bool(name).to_string(),
        Some(Kind::Int { .. }) => fields.int(name).to_string(),
        Some(Kind::Float(_)) => fields.float(name).to_string(),
        Some(Kind::Duration(_)) => fields.duration(name).to_string(),
        Some(Kind::Text(_) | Kind::Secret) => format!("{:?}", fields.text(name)),
        Some(Kind::Texts(_) | Kind::Ids) => {
            format!("{:?}", fields.texts(name).iter().map(|text| &*text.text).collect::<Vec<_>>())
        }
        Some(Kind::Pairs) => {
            format!(
                "{:?}",
                fields.pairs(name).iter().map(|pair| (&*pair.name, &*pair.value)).collect::<Vec<_>>()
            )
        }
        Some(Kind::Id) => format!("{:?}", fields.id(name).map(|id| &*id.text)),
        Some(Kind::Section(_)) => inner(fields.plain(name)),
        Some(Kind::Optional(_)) => fields.optional(name).map_or_else(|| "off".to_owned(), inner),
        Some(Kind::Any) => format!("{}", fields.any(name).is_some()),
        None => panic!("no key {name:?}"),
    }
}

fn inner(fields: &Fields) -> String {
    if fields.at.path.ends_with("lenient") {
        return fields.int("n").to_string();
    }
    format!("{} {:?}", fields.int("n"), fields.text("t"))
}

/// `key: value` must come to `expect`, with these problems.
#[track_caller]
fn check(key: &str, value: &str, expect: &str, problems: &[&str]) {
    let (fields, found) = run(&format!("{key}: {value}\n"));
    assert_eq!(show(&fields, key), expect, "{key}: {value}");
    assert_eq!(found, problems, "{key}: {value}");
}

// Scenario: nothing is written.
// Guarantees: every key has its default, and nothing is reported.
#[test]
fn defaults_hold_where_nothing_is_written() {
    let (fields, problems) = run("{}");
    assert_eq!(problems, Vec::<String>::new());
    for (name, expect) in [
        ("bool", "true"),
        ("int", "7"),
        ("float", "1.5"),
        ("duration", "5000000000"),
        ("text", "\"default\""),
        ("secret", "\"\""),
        ("texts", "[\"one\"]"),
        ("pairs", "[]"),
        ("id", "None"),
        ("ids", "[]"),
        ("plain", "3 \"x\""),
        ("off", "off"),
        ("on", "3 \"x\""),
        ("map", "off"),
        ("pointer", "off"),
        ("any", "false"),
    ] {
        assert_eq!(show(&fields, name), expect, "{name}");
        assert!(!fields.is_written(name), "{name}");
    }
}

// Scenario: values of the right type, and those few of another type that the Collector takes.
// Guarantees: each has the Collector's meaning; what surprises is said.
#[test]
fn values_have_the_collectors_meaning() {
    check("bool", "false", "false", &[]);
    check("int", "-0x10", "-16", &[]);
    check("int", "${env:INT}", "83", &[]);
    check("text", "${env:INT}", "\"0123\"", &[]);
    check("secret", "${env:INT}", "\"0123\"", &[]);
    check(
        "text",
        "${env:NULL}",
        "\"null\"",
        &["f:1: s::text: the value is null: it becomes \"null\" instead of its default \"default\""],
    );
    check("float", "2", "2", &[]);
    check("duration", "1m", "60000000000", &[]);
    check("duration", "0", "0", &[]);
    check("texts", "[a, b]", "[\"a\", \"b\"]", &[]);
    check("texts", "a,b", "[\"a\", \"b\"]", &[]);
    check("texts", "${env:LIST}", "[\"a\", \"b\"]", &[]);
    check("texts", "\"\"", "[]", &[]);
    check("texts", "[]", "[]", &[]);
    check("pairs", "{A: x, b: '1'}", "[(\"A\", \"x\"), (\"b\", \"1\")]", &[]);
    check("pairs", "[{name: a, value: x}, {name: b}]", "[(\"a\", \"x\"), (\"b\", \"\")]", &[]);
    check("pairs", "{a: \"${env:INT}\"}", "[(\"a\", \"0123\")]", &[]);
    check("id", "x/y", "Some(\"x/y\")", &[]);
    check("ids", "[x, y]", "[\"x\", \"y\"]", &[]);
    check("int", "1.9", "1", &["f:1: s::int: an integer is expected: 1.9 is read as 1"]);
    check(
        "duration",
        "5",
        "5",
        &["f:1: s::duration: a bare number is nanoseconds: 5 is 5ns; was \"5s\" meant?"],
    );
}

// Scenario: values of the wrong type or out of range.
// Guarantees: the Collector's sentence, what was found, and the default instead.
#[test]
fn wrong_types_are_errors() {
    let wrong =
        |expected: &str, found: &str| format!("expected type '{expected}', got unconvertible type '{found}");
    for (key, value, default, message) in [
        ("bool", "yes", "true", wrong("bool", "string' (\"yes\")")),
        ("bool", "1", "true", wrong("bool", "int' (1)")),
        ("int", "'5'", "7", wrong("int", "string' (\"5\")")),
        ("int", "[5]", "7", wrong("int", "[]interface {}'")),
        (
            "int",
            "9223372036854775808",
            "7",
            "cannot parse value as 'int': 9223372036854775808 overflows".to_owned(),
        ),
        ("uint", "-1", "7", "cannot parse value as 'uint32': -1 overflows".to_owned()),
        ("uint", "4294967296", "7", "cannot parse value as 'uint32': 4294967296 overflows".to_owned()),
        ("float", "x", "1.5", wrong("float64", "string' (\"x\")")),
        ("float", ".inf", "1.5", "a finite number is expected".to_owned()),
        ("duration", "true", "5000000000", wrong("time.Duration", "bool' (true)")),
        ("duration", "5x", "5000000000", "time: unknown unit \"x\" in duration \"5x\"".to_owned()),
        ("text", "5", "\"default\"", format!("{}; put it in quotes", wrong("string", "int' (5)"))),
        ("secret", "5", "\"\"", format!("{}; put it in quotes", wrong("string", "int'"))),
        ("text", "{a: b}", "\"default\"", wrong("string", "map[string]interface {}'")),
        ("texts", "5", "[\"one\"]", "source data must be an array or slice, got int".to_owned()),
        ("id", "5", "None", format!("{}; put it in quotes", wrong("string", "int' (5)"))),
        ("ids", "x", "[]", "source data must be an array or slice, got string; write [x]".to_owned()),
        ("pairs", "x", "[]", "expected a map or a list, got \"string\"".to_owned()),
        ("plain", "x", "3 \"x\"", "expected a map, got \"string\"".to_owned()),
        ("on", "[]", "3 \"x\"", "expected a map, got \"[]interface {}\"".to_owned()),
    ] {
        check(key, value, default, &[&format!("f:1: s::{key}: {message}")]);
    }
    check(
        "texts",
        "[a, 5]",
        "[\"one\"]",
        &["f:1: s::texts[1]: expected type 'string', got unconvertible type 'int' (5); put it in quotes"],
    );
    check("pairs", "[{nam: a}]", "[]", &["f:1: s::pairs[0]: unknown key \"nam\" (known keys: name, value)"]);
    check(
        "pairs",
        "{a: 12345}",
        "[]",
        &["f:1: s::pairs::a: expected type 'string', got unconvertible type 'int'; put it in quotes"],
    );
    check("plain", "{n: x}", "3 \"x\"", &[&format!("f:1: s::plain::n: {}", wrong("int", "string' (\"x\")"))]);
}

// Scenario: nulls, written and from a variable that is not set.
// Guarantees: a scalar becomes zero and the displaced default is named; lists and written-null sections keep their
// defaults; a plain section becomes all zero only by a reference.
#[test]
fn nulls_displace_defaults() {
    let unset = "environment variable \"NO\" is not set";
    check("int", "", "0", &["f:1: s::int: the value is null: it becomes 0 instead of its default 7"]);
    check(
        "int",
        "${env:NO}",
        "0",
        &[&format!("f:1: s::int: {unset}: it becomes 0 instead of its default 7")],
    );
    check(
        "duration",
        "${env:NO}",
        "0",
        &[&format!("f:1: s::duration: {unset}: it becomes 0s instead of its default 5s")],
    );
    check(
        "bool",
        "~",
        "false",
        &["f:1: s::bool: the value is null: it becomes false instead of its default true"],
    );
    check(
        "text",
        "${env:NO}",
        "\"\"",
        &[&format!("f:1: s::text: {unset}: it becomes \"\" instead of its default \"default\"")],
    );
    check("texts", "", "[\"one\"]", &[]);
    check("texts", "${env:NO}", "[\"one\"]", &[&format!("f:1: s::texts: {unset}")]);
    check("pairs", "", "[]", &[]);
    check("plain", "", "3 \"x\"", &[]);
    check(
        "plain",
        "${env:NO}",
        "0 \"\"",
        &[&format!("f:1: s::plain: {unset}: all of its keys become zero or off instead of their defaults")],
    );
    check("off", "${env:NO}", "3 \"x\"", &[&format!("f:1: s::off: {unset}")]);
}

// Scenario: optional sections: not written, null, a map, switched off.
// Guarantees: each is on or off as in the Collector; one that is off is still checked for keys and types, not judged.
#[test]
fn optional_sections_are_on_or_off() {
    check("off", "", "3 \"x\"", &[]);
    check("off", "{}", "3 \"x\"", &[]);
    check("off", "{n: 4}", "4 \"x\"", &[]);
    check("off", "{enabled: true}", "3 \"x\"", &[]);
    check("off", "{enabled: false}", "off", &[]);
    check("on", "", "3 \"x\"", &[]);
    check("on", "{enabled: false, n: 4}", "off", &[]);
    check("map", "", "off", &[]);
    check("map", "{}", "3 \"x\"", &[]);
    check("map", "{enabled: false}", "off", &[]);
    check("pointer", "{n: 1}", "1 \"x\"", &[]);
    check("on", "{enabled: false, gone: 1}", "off", &[]);
    check(
        "on",
        "{enabled: 'x'}",
        "3 \"x\"",
        &["f:1: s::on::enabled: expected type 'bool', got unconvertible type 'string'"],
    );
    check(
        "on",
        "{enabled: false, m: 1}",
        "off",
        &["f:1: s::on: unknown key \"m\" (known keys: n, t, gone, enabled)"],
    );
    check(
        "pointer",
        "{enabled: true}",
        "3 \"x\"",
        &["f:1: s::pointer: unknown key \"enabled\" (known keys: n, t, gone)"],
    );
    let (_, problems) = run("on: {enabled: false, n: x}");
    assert_eq!(problems.len(), 1, "{problems:?}");
}

// Scenario: unknown keys, unsupported ones, and ones without effect.
// Guarantees: each is reported once, at its line, and only if it is not set to its default.
#[test]
fn keys_are_judged() {
    check(
        "plain",
        "{N: 1}",
        "3 \"x\"",
        &["f:1: s::plain: unknown key \"N\"; did you mean \"n\"? (known keys: n, t, gone)"],
    );
    check(
        "lenient",
        "{m: 1}",
        "3",
        &["f:1: s::lenient: unknown key \"m\" (known keys: n); ignored, as the Collector ignores it"],
    );
    check("quiet", "x", "\"x\"", &["f:1: s::quiet: `quiet` has no effect in this version of ringway"]);
    check("quiet", "\"\"", "\"\"", &[]);
    check(
        "quiet_section",
        "{gone: 5}",
        "3 \"x\"",
        &["f:1: s::quiet_section: `quiet_section` has no effect in this version of ringway"],
    );
    check("quiet_section", "{enabled: false}", "off", &[]);
    check(
        "refused",
        "x",
        "\"x\"",
        &["f:1: s::refused: `refused` is not supported by this version of ringway: write ok"],
    );
    check("refused", "ok", "\"ok\"", &[]);
    check(
        "plain",
        "{gone: 1}",
        "3 \"x\"",
        &["f:1: s::plain::gone: `gone` has no effect in this version of ringway"],
    );
}

/// Every section that `table` leads to, itself included.
fn reachable(table: &'static Section, found: &mut Vec<&'static Section>) {
    found.push(table);
    for key in table.keys() {
        match &key.kind {
            Kind::Section(inner) => reachable(inner, found),
            Kind::Optional(optional) => reachable(optional.section, found),
            _ => {}
        }
    }
}

// Scenario: the tables of all components.
// Guarantees: names are unique and legal within a section, a switch is nobody's key, defaults are in range, and an
// empty section is all default and without problems.
#[test]
fn tables_are_sound() {
    let mut all = Vec::new();
    let others = [&ROOT, &RECEIVER, &BATCH, &MEMORY_LIMITER, &PIPELINE, &READER];
    for table in others.into_iter().chain(exporter::TABLES).chain(extensions::TABLES) {
        reachable(table, &mut all);
    }
    assert!(all.len() > 40, "{} sections", all.len());
    for table in all {
        for (index, key) in table.keys().enumerate() {
            assert!(table.keys().take(index).all(|earlier| earlier.name != key.name), "{} twice", key.name);
            let is_legal = key
                .name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
            assert!(is_legal, "{}", key.name);
            match &key.kind {
                Kind::Int { default, min, max, .. } => {
                    assert!((min..=max).contains(&default), "{}", key.name)
                }
                Kind::Optional(optional) if optional.has_switch => {
                    assert!(optional.section.kind_of("enabled").is_none(), "{}", key.name);
                }
                _ => {}
            }
        }
        let mut report = Report::default();
        let fields = decode(table, None, At::root(), &mut report);
        assert_eq!(report.finish(), (Vec::new(), Vec::new()));
        for (key, item) in table.keys().zip(&fields.items) {
            assert!(is_default(&key.kind, &item.value), "{}", key.name);
        }
    }
}

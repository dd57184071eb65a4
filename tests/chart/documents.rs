//! Documentation that can be wrong is tested: the table of values, the versions, and the blocks that are values or objects.

use std::fs;

use crate::{
    blocks::{Kind, blocks},
    helm::{Options, conform, is_updating, source, template, validate},
    rendered::configurations,
};

/// The table stands between these lines of the chart's README.
const BEGIN: &str = "<!-- values: made from values.yaml by `make goldens` -->\n";
const END: &str = "<!-- end of values -->\n";

// Scenario: the tables in helm/README.md beside what the comments in values.yaml say.
// Guarantees: every value is in a table, with its default and its meaning.
#[test]
fn the_tables_of_values_are_true() {
    let values = fs::read_to_string(source("helm/values.yaml")).unwrap();
    let tables = tables(&values).unwrap();
    let path = source("helm/README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(BEGIN).unwrap();
    let (found, after) = rest.split_once(END).unwrap();
    if is_updating() {
        fs::write(&path, format!("{before}{BEGIN}{tables}{END}{after}")).unwrap();
        return;
    }
    let differing = found.lines().zip(tables.lines()).find(|(one, other)| one != other);
    assert!(
        found == tables,
        "helm/README.md is not what values.yaml says (`make goldens` writes it anew): {differing:?}"
    );
}

/// One Markdown table for each `# === section ===`; an error names a value without a comment.
fn tables(values: &str) -> Result<String, String> {
    let mut out = String::new();
    // Keys above the line, each with its indentation.
    let mut above: Vec<(usize, &str)> = Vec::new();
    let mut comment: Option<&str> = None;
    // Indentation of a key whose comment speaks for all that is below it.
    let mut spoken_for: Option<usize> = None;
    for (index, line) in values.lines().enumerate() {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        if let Some(section) = text.strip_prefix("# === ") {
            let section = section.trim_end_matches(" ===");
            out += &format!("\n### {section}\n\n| value | default | meaning |\n|---|---|---|\n");
            continue;
        }
        if let Some(said) = text.strip_prefix("# -- ") {
            comment = Some(said);
            continue;
        }
        let Some((key, rest)) = text.split_once(':') else { continue };
        if text.starts_with('#') || spoken_for.is_some_and(|parent| indent > parent) {
            continue;
        }
        spoken_for = None;
        above.retain(|(parent, _)| *parent < indent);
        above.push((indent, key));
        let name = above.iter().map(|(_, key)| *key).collect::<Vec<_>>().join(".");
        match (comment.take(), rest.trim()) {
            (Some(comment), rest) => {
                let default = if rest.is_empty() { below(values, index, indent) } else { rest.to_owned() };
                spoken_for = Some(indent);
                out += &format!(
                    "| `{name}` | `{}` | {} |\n",
                    default.replace('|', "\\|"),
                    comment.replace('|', "\\|")
                );
            }
            // A map whose keys speak for themselves.
            (None, "") => {}
            (None, _) => {
                return Err(format!("line {}: {name} has no comment that begins with \"# -- \"", index + 1));
            }
        }
    }
    Ok(out)
}

/// The block below a line, as one line: `{a: 1, b: 2}`; of what is deeper only the keys.
fn below(values: &str, index: usize, indent: usize) -> String {
    let block =
        values.lines().skip(index + 1).take_while(|line| line.len() - line.trim_start().len() > indent);
    let child = indent + 2;
    let entries = block.filter(|line| line.len() - line.trim_start().len() == child).map(str::trim);
    let entries: Vec<String> = entries
        .map(|entry| if entry.ends_with(':') { format!("{entry} …") } else { entry.to_owned() })
        .collect();
    format!("{{{}}}", entries.join(", "))
}

// Scenario: values with sections, nesting, blocks and a value without a comment.
// Guarantees: what the test above compares is what is meant.
#[test]
fn tables_of_a_small_file() {
    let values = "# === One ===\n# -- A | b.\na: 1\nb:\n  # -- C.\n  c:\n    d: 2\n    e:\n      f: 3\n# === Two ===\n# -- G.\ng: {}\n";
    let head = "\n\n| value | default | meaning |\n|---|---|---|\n";
    let expected = format!(
        "\n### One{head}| `a` | `1` | A \\| b. |\n| `b.c` | `{{d: 2, e: …}}` | C. |\n\n### Two{head}| `g` | `{{}}` | G. |\n"
    );
    assert_eq!(tables(values), Ok(expected));
    assert_eq!(
        tables("a:\n  b: 1\n"),
        Err("line 2: a.b has no comment that begins with \"# -- \"".to_owned())
    );
}

// Scenario: the keys of a pool in the schema, and the chart's README.
// Guarantees: each key has a row.
#[test]
fn the_keys_of_a_pool_are_documented() {
    let schema = fs::read_to_string(source("helm/values.schema.json")).unwrap();
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let readme = fs::read_to_string(source("helm/README.md")).unwrap();
    let pool = schema["definitions"]["pool"]["properties"].as_object().unwrap();
    let missing: Vec<&String> =
        pool.keys().filter(|key| !readme.contains(&format!("\n| `{key}` |"))).collect();
    assert!(!pool.is_empty() && missing.is_empty(), "without a row: {missing:?}");
}

// Scenario: the chart's versions beside the crate's.
// Guarantees: the chart installs the version it came with.
#[test]
fn versions_agree() {
    let chart = fs::read_to_string(source("helm/Chart.yaml")).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert!(chart.contains(&format!("\nappVersion: \"{version}\"\n")), "{chart}");
    assert!(chart.contains(&format!("\nversion: {version}\n")), "{chart}");
}

// Scenario: every YAML block of the documentation that is values of the chart or objects for Kubernetes.
// Guarantees: values render objects that the API knows and a configuration that runs; objects are known to the API. Blocks that are
// configurations are the business of tests/it.
#[test]
fn blocks_are_good() {
    let mut files = vec![source("README.md"), source("helm/README.md")];
    files.extend(fs::read_dir(source("docs")).unwrap().map(|entry| entry.unwrap().path()));
    let (mut values, mut manifests) = (0, 0);
    for path in files.iter().filter(|path| path.extension().is_some_and(|end| end == "md")) {
        let text = fs::read_to_string(path).unwrap();
        for block in blocks(&text) {
            let place = format!("{}:{}", path.display(), block.line);
            match block.kind {
                Kind::Configuration => {}
                Kind::Values => {
                    values += 1;
                    check_values(&place, block.text);
                }
                Kind::Manifest => {
                    manifests += 1;
                    let said = conform(block.text);
                    assert!(said.is_good, "{place}: {}{}", said.stdout, said.stderr);
                }
            }
        }
    }
    assert!(values >= 5 && manifests >= 1, "{values} blocks of values, {manifests} of objects");
}

#[track_caller]
fn check_values(place: &str, text: &str) {
    let has_source = ["backends:", "config:", "existingConfigMap:"]
        .iter()
        .any(|key| text.lines().any(|line| line.starts_with(key)));
    let pool: &[&str] =
        if has_source { &[] } else { &["--set", "backends.traces.service=samplers.observability"] };
    let said = template(&Options::of(""), pool, text);
    assert!(said.is_good, "{place}: {}", said.stderr);
    let conformity = conform(&said.stdout);
    assert!(conformity.is_good, "{place}: {}{}", conformity.stdout, conformity.stderr);
    for configuration in configurations(&said.stdout, "ringway.yaml") {
        let said = validate(&configuration);
        assert!(said.is_good, "{place}: {}", said.stderr);
    }
}

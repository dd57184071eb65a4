//! Reads what helm wrote, as text: objects, and the configurations in ConfigMaps. The chart's own way of writing is known, so this
//! needs no YAML; `cases.rs` fails if a configuration that must be there is not found.

/// Lines that change without the chart's meaning something by it: a digest of what stands in the golden anyway, and the chart's version.
const IGNORED: [&str; 2] = ["checksum/config:", "helm.sh/chart:"];

/// The text without lines that goldens ignore.
pub(crate) fn normalised(text: &str) -> String {
    let lines = text.lines().filter(|line| !IGNORED.iter().any(|key| line.trim_start().starts_with(key)));
    lines.flat_map(|line| [line.trim_end(), "\n"]).collect()
}

/// The objects of a stream, without the comments that name their templates.
pub(crate) fn objects(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n---\n").map(|object| object.trim_start_matches("---\n")).filter(|object| {
        object.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
    })
}

/// A field at the top of an object or of its metadata, such as `kind` or `  namespace`.
pub(crate) fn field<'a>(object: &'a str, key: &str) -> Option<&'a str> {
    object.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
}

/// The texts that ConfigMaps hold under a key.
pub(crate) fn configurations(text: &str, key: &str) -> Vec<String> {
    let head = format!("  {key}: |");
    objects(text)
        .filter(|object| field(object, "kind") == Some("ConfigMap"))
        .filter_map(|object| {
            let body = object.lines().skip_while(|line| *line != head).skip(1);
            let lines: Vec<&str> = body
                .take_while(|line| line.is_empty() || line.starts_with("    "))
                .map(|line| line.get(4..).unwrap_or_default())
                .collect();
            (!lines.is_empty()).then(|| lines.join("\n"))
        })
        .collect()
}

/// Namespaces of the Services that the Kubernetes resolvers of a configuration name. Only resolvers have a `service` with a value on
/// its line.
pub(crate) fn namespaces(configuration: &str, own: &str) -> Vec<String> {
    let services = configuration.lines().filter_map(|line| line.trim_start().strip_prefix("service: "));
    let mut found: Vec<String> =
        services.map(|service| service.split('.').nth(1).unwrap_or(own).to_owned()).collect();
    found.sort();
    found.dedup();
    found
}

// Scenario: a stream with a ConfigMap between other objects.
// Guarantees: what the other tests ask about is what was written, not an empty text.
#[test]
fn configurations_are_found() {
    let text = "---\n# Source: a\nkind: Role\nmetadata:\n  name: x\n---\n# only a comment\n---\nkind: ConfigMap\ndata:\n  \
                ringway.yaml: |\n    a:\n\n      service: s.n\n    b: 1\n  other: 1\n";
    assert_eq!(objects(text).count(), 2);
    assert_eq!(configurations(text, "ringway.yaml"), ["a:\n\n  service: s.n\nb: 1"]);
    assert_eq!(configurations(text, "missing"), [""; 0]);
    assert_eq!(namespaces("a:\n  service: s.n\nservice:\n  service: s\n", "own"), ["n", "own"]);
}

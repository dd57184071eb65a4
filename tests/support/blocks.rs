//! The YAML blocks of a Markdown text, told apart by what stands in them.
//!
//! Shared by `tests/it`, which validates configurations, and `tests/chart`, which renders values and checks manifests: so
//! every block of the documentation belongs to exactly one of the two.

/// What a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A whole configuration of ringway.
    Configuration,
    /// Values of the chart.
    Values,
    /// Objects for Kubernetes.
    Manifest,
}

/// A block and the line on which it begins.
#[derive(Debug)]
pub(crate) struct Block<'a> {
    pub(crate) kind: Kind,
    pub(crate) line: usize,
    pub(crate) text: &'a str,
}

/// Every block that is fenced as `yaml`, from top to bottom.
pub(crate) fn blocks(markdown: &str) -> Vec<Block<'_>> {
    const FENCE: &str = "```yaml\n";
    let mut found = Vec::new();
    let mut rest = markdown;
    let mut line = 1;
    while let Some((before, after)) = rest.split_once(FENCE) {
        let Some((text, behind)) = after.split_once("```") else { break };
        line += before.matches('\n').count() + 1;
        found.push(Block { kind: kind(text), line, text });
        line += text.matches('\n').count();
        rest = behind;
    }
    found
}

fn kind(text: &str) -> Kind {
    let begins = |key: &str| text.lines().any(|line| line.starts_with(key));
    if begins("apiVersion:") {
        Kind::Manifest
    } else if begins("exporters:") && begins("service:") {
        Kind::Configuration
    } else {
        Kind::Values
    }
}

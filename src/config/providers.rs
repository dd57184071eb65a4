//! From a URI to text: `file:`, `env:`, `yaml:`.
//!
//! Stage: engine. The same providers serve `--config`, `--set` and `${…}`. Rules and texts: Collector `confmap`
//! v1.67.0 `resolver.go` and its env, file and yaml providers, `otelcol` v0.161.0 `flags.go`. The Collector's
//! `http:` and `https:` providers are not built: configuration never needs the network here.

use std::{fmt, path::Path, sync::Arc};

use super::{
    Sources,
    merge::{merge, split_keys},
    report::{At, Place, Report},
    tree::{self, Node, Origin, Value},
};

/// `scheme:opaque`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Uri<'a> {
    pub(super) scheme: &'a str,
    pub(super) opaque: &'a str,
}

impl<'a> Uri<'a> {
    /// Splits a URI.
    ///
    /// # Errors
    ///
    /// The Collector's sentence.
    pub(super) fn parse(text: &'a str) -> Result<Self, String> {
        let fits = |scheme: &str| {
            scheme.len() >= 2
                && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '-'))
        };
        match text.split_once(':') {
            Some((scheme, opaque)) if fits(scheme) => Ok(Self { scheme, opaque }),
            _ => Err(format!("invalid uri: {text:?}")),
        }
    }
}

/// What a provider gave.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Retrieved {
    pub(super) text: String,
    /// The name of the file, for the places of what is in it.
    pub(super) file: Option<Arc<str>>,
    /// Where it is why the text is empty: the variable.
    pub(super) missing: Option<Missing>,
    /// The text is the empty string on purpose (`${env:X:-}`), not null.
    pub(super) is_empty_text: bool,
}

/// An environment variable that gives nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    name: String,
    /// Set to the empty text, as opposed to not set at all.
    pub(super) is_empty: bool,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.is_empty { "empty" } else { "not set" };
        write!(f, "environment variable {:?} is {state}", self.name)
    }
}

impl Retrieved {
    fn plain(text: String) -> Self {
        Self { text, file: None, missing: None, is_empty_text: false }
    }
}

/// Asks the provider that `uri` names.
///
/// # Errors
///
/// A sentence for the user. Its schemes are checked first, see [`is_known`].
pub(super) fn retrieve(uri: &Uri<'_>, sources: &dyn Sources) -> Result<Retrieved, String> {
    match uri.scheme {
        "file" => {
            let text = sources
                .file(Path::new(uri.opaque))
                .map_err(|cause| format!("unable to read the file file:{}: {cause}", uri.opaque))?;
            Ok(Retrieved { file: Some(uri.opaque.into()), ..Retrieved::plain(text) })
        }
        "env" => variable(uri.opaque, sources),
        "yaml" => Ok(Retrieved::plain(uri.opaque.to_owned())),
        _ => {
            Err(format!("scheme {:?} is not supported for uri \"{}:{}\"", uri.scheme, uri.scheme, uri.opaque))
        }
    }
}

/// Whether some provider has this scheme.
pub(super) fn is_known(scheme: &str) -> bool {
    matches!(scheme, "file" | "env" | "yaml")
}

/// `NAME` or `NAME:-default`.
fn variable(opaque: &str, sources: &dyn Sources) -> Result<Retrieved, String> {
    let (name, default) = match opaque.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (opaque, None),
    };
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name {
        return Err(format!(
            "environment variable {name:?} has invalid name: must match regex ^[a-zA-Z_][a-zA-Z0-9_]*$"
        ));
    }
    let mut retrieved = Retrieved::plain(String::new());
    match (sources.env(name), default) {
        (Some(text), _) if text.is_empty() => {
            retrieved.missing = Some(Missing { name: name.to_owned(), is_empty: true });
        }
        (Some(text), _) => retrieved.text = text,
        (None, Some("")) => retrieved.is_empty_text = true,
        (None, Some(default)) => default.clone_into(&mut retrieved.text),
        (None, None) => retrieved.missing = Some(Missing { name: name.to_owned(), is_empty: false }),
    }
    Ok(retrieved)
}

/// Reads every `--config` in order, then every `--set`, into one tree. `None` if there is nothing to go on with.
pub(super) fn read_all(
    uris: &[String],
    sets: &[String],
    sources: &dyn Sources,
    report: &mut Report,
) -> Option<Node> {
    if uris.is_empty() {
        report.error(&At::root(), "at least one config flag must be provided");
        return None;
    }
    let mut root: Option<Node> = None;
    let mut complete = true;
    let configs = uris.iter().map(|uri| config_text(uri, sources));
    for text in configs.chain(sets.iter().map(|set| set_text(set))) {
        match text.and_then(|text| read(&text, report)) {
            Ok(Some(node)) => match &mut root {
                Some(root) => merge(root, node),
                None => root = Some(node),
            },
            Ok(None) => {}
            Err((place, message)) => {
                report.error(&At { path: String::new(), place: Some(place) }, message);
                complete = false;
            }
        }
    }
    let empty = || Node::new(Place { source: uris[0].as_str().into(), line: 0 }, Value::Map(Vec::new()));
    complete.then(|| root.unwrap_or_else(empty))
}

/// A text of the command line, and how its lines are named.
struct Named {
    text: String,
    origin: Origin,
    missing: Option<Missing>,
}

type Failure = (Place, String);

fn config_text(uri: &str, sources: &dyn Sources) -> Result<Named, Failure> {
    let fail = |message: String| (Place { source: uri.into(), line: 0 }, message);
    let parsed = if !uri.contains(':') || is_drive(uri) {
        Uri { scheme: "file", opaque: uri }
    } else {
        Uri::parse(uri).map_err(fail)?
    };
    if !is_known(parsed.scheme) {
        return Err(fail(format!("unsupported scheme on URI {uri:?}; known schemes: file, env, yaml")));
    }
    let Retrieved { text, file, missing, .. } = retrieve(&parsed, sources).map_err(fail)?;
    let origin = match file {
        Some(file) => Origin::Lines(file),
        // The text of `yaml:` may hold secrets: it is named by its key alone.
        None if parsed.scheme == "yaml" => fixed(&format!("yaml:{}", key_of(parsed.opaque))),
        None => Origin::Lines(uri.into()),
    };
    Ok(Named { text, origin, missing })
}

/// `a.b=v` is `yaml:a::b: v`.
fn set_text(set: &str) -> Result<Named, Failure> {
    let Some((path, value)) = set.split_once('=') else {
        return Err((
            Place { source: format!("--set {set}").into(), line: 0 },
            "missing equal sign".to_owned(),
        ));
    };
    let path = path.trim();
    let text = format!("{}: {}", path.replace('.', "::"), value.trim());
    Ok(Named { text, origin: fixed(&format!("--set {path}")), missing: None })
}

fn fixed(source: &str) -> Origin {
    Origin::Fixed(Place { source: source.into(), line: 0 })
}

/// What stands before the first `: ` of a one-line YAML text.
fn key_of(text: &str) -> &str {
    text.split([' ', '\n']).next().unwrap_or_default().trim_end_matches(':')
}

/// `C:\…` on Windows.
fn is_drive(uri: &str) -> bool {
    uri.starts_with(|c: char| c.is_ascii_alphabetic()) && uri[1..].starts_with(':')
}

fn read(named: &Named, report: &mut Report) -> Result<Option<Node>, Failure> {
    let at = At { path: String::new(), place: Some(named.origin.place(0)) };
    if let Some(missing) = &named.missing {
        report.warn(&at, format!("{missing}: this source adds nothing"));
    }
    let document = tree::parse(&named.text, &named.origin)
        .map_err(|error| (error.place, format!("not valid YAML: {}", error.message)))?;
    if let Some(next) = document.next {
        report.warn(&At { path: String::new(), place: Some(next) }, "only the first YAML document is read");
    }
    match &document.root.value {
        Value::Null => Ok(None),
        Value::Map(_) => Ok(Some(split_keys(document.root))),
        other => {
            let message = format!("retrieved value (type={}) cannot be used as a Conf", other.type_name());
            Err((document.root.place, format!("{message}: a map of sections is expected")))
        }
    }
}

#[cfg(test)]
mod tests;

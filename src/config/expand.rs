//! `${…}` in values.
//!
//! Stage: engine. Rules and texts: Collector `confmap` v1.67.0 `expand.go` and `provider.go`. A value that is one reference
//! is read as YAML and keeps its text for fields of type string; a reference inside other text is replaced by text.
//! What references give is expanded again. Keys are never expanded. Limits: [`ROUNDS_MAX`], [`BYTES_MAX`], and the
//! tree's limits on nodes and depth, which also hold for files that include themselves.

use std::sync::Arc;

use super::{
    Sources,
    merge::split_keys,
    providers::{Retrieved, Uri, retrieve},
    report::{At, Place, Report},
    tree::{self, DEPTH_MAX, Entry, Expanded, NODES_MAX, Node, Origin, Value},
};

/// Rounds for one value. Source: `confmap/expand.go`, `expandValueRecursively`.
const ROUNDS_MAX: usize = 1000;
/// Bytes that all references together may produce.
const BYTES_MAX: usize = 16 << 20;
/// Provider of a reference without a scheme: `${X}`. Source: `ResolverSettings.DefaultScheme` of the Collector's builder.
const DEFAULT_SCHEME: &str = "env";

/// Expands every reference in the values of `root`. A value whose reference fails is reported and becomes
/// [`Value::Failed`].
pub(super) fn expand(root: Node, sources: &dyn Sources, report: &mut Report) -> Node {
    let mut expander = Expander { sources, report, nodes: tree::size(&root), bytes: 0, original_bytes: 0 };
    expander.node(root, &At::root(), Depth { levels: 0, rounds: 0 })
}

struct Expander<'a> {
    sources: &'a dyn Sources,
    report: &'a mut Report,
    nodes: usize,
    bytes: usize,
    /// Bytes that [`Expander::original`] has produced, which has the same limit for itself.
    original_bytes: usize,
}

/// How far the walk is from the root, in levels of nesting and in references followed.
#[derive(Clone, Copy)]
struct Depth {
    levels: usize,
    rounds: usize,
}

impl Depth {
    const fn deeper(self) -> Self {
        Self { levels: self.levels + 1, ..self }
    }

    const fn further(self) -> Self {
        Self { rounds: self.rounds + 1, ..self }
    }
}

impl Expander<'_> {
    fn node(&mut self, node: Node, at: &At, depth: Depth) -> Node {
        if depth.levels > DEPTH_MAX {
            return self.fail(node.place, at, format!("nested deeper than {DEPTH_MAX} levels"));
        }
        let Node { place, value, expanded } = node;
        let value = match value {
            Value::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|Entry { key, place, node }| {
                        let below = at.key(&key, &node.place);
                        Entry { node: self.node(node, &below, depth.deeper()), key, place }
                    })
                    .collect(),
            ),
            Value::List(items) => Value::List(
                items
                    .into_iter()
                    .enumerate()
                    .map(|(index, item)| {
                        let below = at.element(index, &item.place);
                        self.node(item, &below, depth.deeper())
                    })
                    .collect(),
            ),
            Value::Text(text) => return self.text(place, expanded, text, at, depth),
            other => other,
        };
        Node { place, value, expanded }
    }

    /// Expands a text until nothing changes.
    fn text(
        &mut self,
        place: Place,
        expanded: Option<Expanded>,
        text: Arc<str>,
        at: &At,
        mut depth: Depth,
    ) -> Node {
        let at = &At { place: Some(place.clone()), ..at.clone() };
        let mut text = text;
        loop {
            let Some(reference) = find_reference(&text) else {
                let value = Value::Text(unescape(&text));
                return Node { place, value, expanded };
            };
            depth = depth.further();
            if depth.rounds > ROUNDS_MAX {
                return self.fail(place, at, "too many recursive expansions");
            }
            let retrieved = match self.resolve(reference) {
                Ok(retrieved) => retrieved,
                Err(message) => return self.fail(place, at, message),
            };
            if reference.len() < text.len() {
                if let Some(missing) = retrieved.missing.as_ref().filter(|missing| !missing.is_empty) {
                    self.report.warn(at, format!("{missing}: {reference} becomes nothing in this text"));
                }
                let Some(size) = replaced_size(&text, reference, &retrieved.text) else {
                    return self.fail(place, at, too_large());
                };
                if let Err(message) = self.charge(size) {
                    return self.fail(place, at, message);
                }
                text = text.replace(reference, &retrieved.text).into();
                continue;
            }
            if let Err(message) = self.charge(retrieved.text.len()) {
                return self.fail(place, at, message);
            }
            match whole(&retrieved, &place) {
                Whole::Text => text = retrieved.text.into(),
                Whole::Null => {
                    let missing = retrieved.missing.map(|missing| missing.to_string().into());
                    let expanded = Expanded { text: Some(retrieved.text.into()), missing };
                    return Node { place, value: Value::Null, expanded: Some(expanded) };
                }
                Whole::Tree(mut node) => {
                    self.nodes += tree::size(&node);
                    if self.nodes > NODES_MAX {
                        return self.fail(
                            place,
                            at,
                            format!("references expand to more than {NODES_MAX} values"),
                        );
                    }
                    let text = self.original(&retrieved.text, depth);
                    node.expanded = Some(Expanded { text, missing: None });
                    return self.node(node, at, depth);
                }
            }
        }
    }

    /// The text of a typed value, its own references expanded; `None` if that fails, as only string fields need it.
    fn original(&mut self, text: &str, depth: Depth) -> Option<Arc<str>> {
        let mut ignored = Report::default();
        let mut quiet = Expander {
            sources: self.sources,
            report: &mut ignored,
            nodes: self.nodes,
            bytes: self.original_bytes,
            original_bytes: BYTES_MAX,
        };
        let place = Place { source: "".into(), line: 0 };
        let node = quiet.text(place, None, text.into(), &At::root(), depth);
        self.original_bytes = quiet.bytes;
        match node.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    fn resolve(&self, reference: &str) -> Result<Retrieved, String> {
        let inside = reference.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).unwrap_or_default();
        let with_scheme;
        let text = if inside.contains(':') {
            inside
        } else {
            with_scheme = format!("{DEFAULT_SCHEME}:{inside}");
            &with_scheme
        };
        let uri = Uri::parse(text).map_err(|message| with_hint(message, inside))?;
        if uri.opaque.contains('$') {
            return Err(format!("the uri {text:?} contains unsupported characters ('$')"));
        }
        retrieve(&uri, self.sources).map_err(|message| with_hint(message, inside))
    }

    fn charge(&mut self, bytes: usize) -> Result<(), String> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > BYTES_MAX { Err(too_large()) } else { Ok(()) }
    }

    fn fail(&mut self, place: Place, at: &At, message: impl Into<String>) -> Node {
        self.report.error(at, message);
        Node::new(place, Value::Failed)
    }
}

fn too_large() -> String {
    format!("references expand to more than {BYTES_MAX} bytes")
}

/// The size of `text` with every `from` replaced by `to`.
fn replaced_size(text: &str, from: &str, to: &str) -> Option<usize> {
    let count = text.matches(from).count();
    text.len().checked_sub(count.checked_mul(from.len())?)?.checked_add(count.checked_mul(to.len())?)
}

/// `${X:-d}` is the usual mistake: without a scheme the name is taken for one.
fn with_hint(message: String, inside: &str) -> String {
    match inside.split_once(":-") {
        Some((name, _)) if !name.contains(':') => {
            format!("{message}; did you mean ${{{DEFAULT_SCHEME}:{inside}}}?")
        }
        _ => message,
    }
}

enum Whole {
    Text,
    Null,
    Tree(Node),
}

/// What a reference that is the whole value gives. Text that YAML would read as a string stays as it is, quotes
/// included; text that is not YAML is a string.
fn whole(retrieved: &Retrieved, place: &Place) -> Whole {
    if retrieved.is_empty_text {
        return Whole::Text;
    }
    let origin = match &retrieved.file {
        Some(file) => Origin::Lines(Arc::clone(file)),
        None => Origin::Fixed(place.clone()),
    };
    match tree::parse(&retrieved.text, &origin) {
        Ok(document) => match document.root.value {
            Value::Text(_) => Whole::Text,
            Value::Null => Whole::Null,
            Value::List(_) | Value::Map(_) => Whole::Tree(split_keys(document.root)),
            // A scalar stands where its reference stands, not on line 1 of a file nobody thinks of.
            value => Whole::Tree(Node::new(place.clone(), value)),
        },
        Err(_) => Whole::Text,
    }
}

/// The first reference to expand: up to the first `}`, from the last `${` before it, unless an odd number of `$`
/// stands before that.
fn find_reference(text: &str) -> Option<&str> {
    let mut rest = text;
    loop {
        let close = rest.find('}')?;
        let (head, tail) = (&rest[..=close], &rest[close + 1..]);
        if let Some(open) = head.rfind("${") {
            let dollars = head[..open].bytes().rev().take_while(|byte| *byte == b'$').count();
            if dollars.is_multiple_of(2) {
                return Some(&head[open..]);
            }
        }
        rest = tail;
    }
}

fn unescape(text: &Arc<str>) -> Arc<str> {
    if text.contains("$$") { text.replace("$$", "$").into() } else { Arc::clone(text) }
}

#[cfg(test)]
mod tests;

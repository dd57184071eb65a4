//! The configuration as a tree in which every key and value knows its line.
//!
//! Stage: engine. The only file that knows the YAML library. Reads the first document of a text, as Go's
//! `yaml.Unmarshal` does; resolves anchors, aliases and merge keys (`<<`); refuses duplicate keys. Text that is
//! made to explode (nested aliases) or to nest without end is refused by [`NODES_MAX`] and [`DEPTH_MAX`].

use std::{collections::HashMap, sync::Arc};

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::{report::Place, scalar};

/// Nodes of one text, copies made by aliases included. A large real configuration has a few thousand.
pub(super) const NODES_MAX: usize = 50_000;
/// Nesting of one text. A real configuration reaches about 10; the limit keeps recursive walks off the stack's end.
pub(super) const DEPTH_MAX: usize = 100;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
    /// Set on what a `${…}` that was the whole value gave.
    pub(super) expanded: Option<Expanded>,
}

/// What is remembered of a reference that was a whole value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expanded {
    /// The text before it was read as YAML: what a field of type string gets. `None` if it cannot be had.
    pub(super) text: Option<Arc<str>>,
    /// Why the value is null although nobody wrote `null`, e.g. `environment variable "X" is not set`.
    pub(super) missing: Option<Arc<str>>,
}

/// What a node holds. Text is shared, so that copies by aliases cost no text.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// Any signed or unsigned 64-bit number.
    Int(i128),
    Float(f64),
    Text(Arc<str>),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// A reference that could not be resolved. It has been reported, and nobody else complains about it.
    Failed,
}

/// One key of a map, in the order of the text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) key: Arc<str>,
    pub(super) place: Place,
    pub(super) node: Node,
}

impl Node {
    pub(super) const fn new(place: Place, value: Value) -> Self {
        Self { place, value, expanded: None }
    }

    /// The value for the key `key` if this is a map that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| *entry.key == *key).map(|entry| &entry.node),
            _ => None,
        }
    }
}

impl Value {
    /// Go's name of the type, for messages that read like the Collector's.
    pub(super) const fn type_name(&self) -> &'static str {
        match self {
            Self::Null | Self::Failed => "nil",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::List(_) => "[]interface {}",
            Self::Map(_) => "map[string]interface {}",
        }
    }
}

/// How places are given to what is parsed.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// A text with lines of its own: a file.
    Lines(Arc<str>),
    /// A text without lines worth naming: everything in it stands at one place.
    Fixed(Place),
}

impl Origin {
    pub(super) fn place(&self, line: usize) -> Place {
        match self {
            Self::Lines(source) => Place::new(source, line),
            Self::Fixed(place) => place.clone(),
        }
    }
}

/// The first document of a text.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) root: Node,
    /// Where a second document begins, which is not read.
    pub(super) next: Option<Place>,
}

/// Why a text is not a tree.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SyntaxError {
    pub(super) place: Place,
    pub(super) message: String,
}

/// Parses the first document of `text`; no document at all is null.
///
/// # Errors
///
/// [`SyntaxError`] if the text is not YAML, has a duplicate or composite key, or is over a limit.
pub(super) fn parse(text: &str, origin: &Origin) -> Result<Document, SyntaxError> {
    let mut builder = Builder { origin, anchors: HashMap::new(), open: Vec::new(), nodes: 0 };
    let mut parser = Parser::new_from_str(text);
    let mut root = None;
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| SyntaxError {
            place: origin.place(error.marker().line()),
            message: error.info().to_owned(),
        })?;
        match event {
            Event::StreamEnd | Event::DocumentEnd => break,
            Event::Nothing | Event::StreamStart | Event::DocumentStart(_) => {}
            event => {
                if let Some(node) = builder.take(event, span)? {
                    root = Some(node);
                }
            }
        }
    }
    let next = match parser.next_event() {
        Some(Ok((Event::DocumentStart(_), span))) => Some(origin.place(span.start.line())),
        _ => None,
    };
    let root = root.unwrap_or_else(|| Node::new(origin.place(1), Value::Null));
    Ok(Document { root, next })
}

/// Builds nodes from events without recursion.
struct Builder<'a> {
    origin: &'a Origin,
    anchors: HashMap<usize, Node>,
    open: Vec<Open>,
    nodes: usize,
}

/// A list or map that has begun.
struct Open {
    place: Place,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        /// Maps named by merge keys, those that win first.
        merged: Vec<Vec<Entry>>,
        key: Option<Key>,
    },
}

struct Key {
    text: Arc<str>,
    place: Place,
    is_merge: bool,
}

impl Builder<'_> {
    /// Takes one event; gives the root once it is complete.
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<Option<Node>, SyntaxError> {
        let place = self.origin.place(span.start.line());
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                if let Some(Open { content: Content::Map { key: key @ None, .. }, .. }) = self.open.last_mut()
                {
                    let is_merge = plain && text == "<<";
                    *key = Some(Key { text: text.as_ref().into(), place, is_merge });
                    return Ok(None);
                }
                let value = value_of(&text, plain, tag.as_deref());
                self.close(Node::new(place, value), anchor)
            }
            Event::SequenceStart(anchor, _) => self.begin(place, anchor, Content::List(Vec::new())),
            Event::MappingStart(anchor, _) => {
                self.begin(place, anchor, Content::Map { entries: Vec::new(), merged: Vec::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else { return Ok(None) };
                let value = match open.content {
                    Content::List(items) => Value::List(items),
                    Content::Map { entries, merged, .. } => Value::Map(with_merged(entries, merged)),
                };
                self.close(Node::new(open.place, value), open.anchor)
            }
            Event::Alias(anchor) => {
                if let Some(Open { content: Content::Map { key: None, .. }, .. }) = self.open.last() {
                    return Err(error(place, "a key must be a scalar, not an alias"));
                }
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return Err(error(place, "an alias may not stand inside what it names"));
                };
                self.count(&node)?;
                self.close(node, 0)
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(None),
        }
    }

    fn begin(&mut self, place: Place, anchor: usize, content: Content) -> Result<Option<Node>, SyntaxError> {
        if let Some(Open { content: Content::Map { key: None, .. }, .. }) = self.open.last() {
            return Err(error(place, "a key must be a scalar, not a list or a map"));
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(error(place, format!("nested deeper than {DEPTH_MAX} levels")));
        }
        self.open.push(Open { place, anchor, content });
        Ok(None)
    }

    /// Puts a complete node where it belongs.
    fn close(&mut self, node: Node, anchor: usize) -> Result<Option<Node>, SyntaxError> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(error(node.place, format!("more than {NODES_MAX} values")));
        }
        if anchor > 0 {
            self.count(&node)?;
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else { return Ok(Some(node)) };
        match &mut open.content {
            Content::List(items) => items.push(node),
            Content::Map { entries, merged, key } => {
                let Some(Key { text, place, is_merge }) = key.take() else { return Ok(None) };
                if is_merge {
                    merged.extend(maps_of(node)?);
                } else if let Some(first) = entries.iter().find(|entry| entry.key == text) {
                    let message =
                        format!("mapping key {text:?} already defined at line {}", first.place.line);
                    return Err(error(place, message));
                } else {
                    entries.push(Entry { key: text, place, node });
                }
            }
        }
        Ok(None)
    }

    /// Charges a copy of `node` before it is made.
    fn count(&mut self, node: &Node) -> Result<(), SyntaxError> {
        self.nodes += size(node);
        if self.nodes > NODES_MAX {
            return Err(error(node.place.clone(), format!("aliases expand to more than {NODES_MAX} values")));
        }
        Ok(())
    }
}

/// The number of nodes below and including `node`.
pub(super) fn size(node: &Node) -> usize {
    match &node.value {
        Value::List(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Map(entries) => 1 + entries.iter().map(|entry| size(&entry.node)).sum::<usize>(),
        _ => 1,
    }
}

fn error(place: Place, message: impl Into<String>) -> SyntaxError {
    SyntaxError { place, message: message.into() }
}

fn value_of(text: &str, plain: bool, tag: Option<&Tag>) -> Value {
    match tag {
        Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => Value::Text(text.into()),
        Some(tag) if tag.is_yaml_core_schema() => scalar::resolve(text),
        _ if plain => scalar::resolve(text),
        _ => Value::Text(text.into()),
    }
}

/// The maps that a merge key names: one, or a list of them.
fn maps_of(node: Node) -> Result<Vec<Vec<Entry>>, SyntaxError> {
    let message = "map merge requires map or sequence of maps as the value";
    match node.value {
        Value::Map(entries) => Ok(vec![entries]),
        Value::List(items) => items
            .into_iter()
            .map(|item| match item.value {
                Value::Map(entries) => Ok(entries),
                _ => Err(error(item.place, message)),
            })
            .collect(),
        _ => Err(error(node.place, message)),
    }
}

/// Keys written in the map win; then the first merged map that has the key.
fn with_merged(mut entries: Vec<Entry>, merged: Vec<Vec<Entry>>) -> Vec<Entry> {
    for entry in merged.into_iter().flatten() {
        if entries.iter().all(|known| known.key != entry.key) {
            entries.push(entry);
        }
    }
    entries
}

#[cfg(test)]
mod tests;

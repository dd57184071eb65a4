//! From a node and its table to typed values: unknown keys, wrong types, unsupported settings.
//!
//! Stage: engine. Each key of a table has a value afterwards: what is written, else the default. What is wrong is reported
//! and replaced by the default, so that everything else can still be checked. Meaning and texts are those of the
//! Collector's `confmap` v1.67.0 (`internal/decoder.go`, mapstructure without weak typing).

use std::sync::Arc;

use super::{
    report::{At, Report},
    schema::{Key, Kind, Optional, Section, Support},
    suggest,
    tree::{Node, Value},
};
use crate::model::settings::Secret;

mod values;

/// The decoded keys of one section.
#[derive(Debug)]
pub(super) struct Fields {
    /// The section itself.
    pub(super) at: At,
    items: Vec<Item>,
}

#[derive(Debug)]
struct Item {
    name: &'static str,
    at: At,
    shape: Shape,
    value: Typed,
}

/// What is written for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Nothing,
    Map,
    Null,
    EmptyList,
    /// A reference that could not be resolved, or a value of the wrong type: reported already.
    Failed,
    Other,
}

/// A string and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Text {
    pub(super) text: Arc<str>,
    pub(super) at: At,
}

/// One entry of a map of strings, or of its list form. The value may be a secret.
#[derive(Clone, PartialEq)]
pub(super) struct Pair {
    pub(super) name: Arc<str>,
    pub(super) value: Arc<str>,
    pub(super) at: At,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").field("name", &self.name).finish_non_exhaustive()
    }
}

#[derive(Debug)]
enum Typed {
    Bool(bool),
    Int(i64),
    Float(f64),
    Duration(i64),
    Text(Arc<str>),
    Secret(Secret),
    Texts(Vec<Text>),
    Pairs(Vec<Pair>),
    Id(Option<Text>),
    Ids(Vec<Text>),
    Section(Box<Fields>),
    /// `None`: off.
    Optional(Option<Box<Fields>>),
    Any(Option<Node>),
}

/// What stands for a key.
#[derive(Clone, Copy)]
enum Written<'a> {
    /// Nothing: the default holds.
    Absent,
    /// Nothing, in a plain section that a reference made null: the type's zero holds.
    Zero,
    Node(&'a Node),
}

impl<'a> Written<'a> {
    fn of(node: &'a Node) -> Self {
        if node.value == Value::Failed { Self::Absent } else { Self::Node(node) }
    }

    const fn is_null(self) -> bool {
        matches!(self, Self::Node(Node { value: Value::Null, .. }))
    }

    /// What stands for a key that is not written in a section of which `self` is written. A null that a reference
    /// gave empties a section; one that is written leaves it alone.
    const fn below(self) -> Self {
        match self {
            Self::Zero | Self::Node(Node { value: Value::Null, expanded: Some(_), .. }) => Self::Zero,
            _ => Self::Absent,
        }
    }
}

impl Shape {
    fn of(node: Option<&Node>) -> Self {
        match node.map(|node| &node.value) {
            None => Self::Nothing,
            Some(Value::Failed) => Self::Failed,
            Some(Value::Null) => Self::Null,
            Some(Value::Map(_)) => Self::Map,
            Some(Value::List(items)) if items.is_empty() => Self::EmptyList,
            Some(_) => Self::Other,
        }
    }
}

/// Decodes `node` as `table`. `None` is a section that is not written.
pub(super) fn decode(table: &'static Section, node: Option<&Node>, at: At, report: &mut Report) -> Fields {
    let written = node.map_or(Written::Absent, Written::of);
    let mut decoder = Decoder { report, is_quiet: false };
    let (written, _) = decoder.map_or_null(written, &at);
    decoder.section(table, written, at, false)
}

struct Decoder<'a> {
    report: &'a mut Report,
    /// Inside a section that has no effect or is refused as a whole: its keys are checked, not judged.
    is_quiet: bool,
}

impl Decoder<'_> {
    fn section(&mut self, table: &'static Section, written: Written<'_>, at: At, has_switch: bool) -> Fields {
        let entries = match written {
            Written::Node(Node { value: Value::Map(entries), .. }) => entries.as_slice(),
            _ => &[],
        };
        for entry in entries {
            let is_switch = has_switch && &*entry.key == "enabled";
            if !is_switch && table.kind_of(&entry.key).is_none() {
                let known = table.keys().map(|key| key.name).chain(has_switch.then_some("enabled"));
                let message = suggest::unknown_key(&entry.key, known);
                let place = At { path: at.path.clone(), place: Some(entry.place.clone()) };
                if table.is_strict {
                    self.report.error(&place, message);
                } else {
                    self.report.warn(&place, format!("{message}; ignored, as the Collector ignores it"));
                }
            }
        }
        let items = table
            .keys()
            .map(|key| match entries.iter().find(|entry| &*entry.key == key.name) {
                Some(entry) => {
                    let below = at.key(key.name, &entry.place);
                    self.item(key, Written::of(&entry.node), Some(&entry.node), below)
                }
                None => self.item(key, written.below(), None, at.unwritten(key.name)),
            })
            .collect();
        Fields { at, items }
    }

    fn item(&mut self, key: &'static Key, written: Written<'_>, node: Option<&Node>, at: At) -> Item {
        let outer_quiet = self.is_quiet;
        self.is_quiet = outer_quiet || key.support != Support::Honoured;
        let (value, is_wrong) = self.value(&key.kind, written, &at);
        let shape = if is_wrong { Shape::Failed } else { Shape::of(node) };
        self.is_quiet = outer_quiet;
        if let Some(node) = node {
            self.displaced(&key.kind, &value, node, &at);
            if !self.is_quiet && !is_default(&key.kind, &value) {
                self.judge(key, &at);
            }
        }
        Item { name: key.name, at, shape, value }
    }

    fn judge(&mut self, key: &Key, at: &At) {
        let name = key.name;
        match key.support {
            Support::Honoured => {}
            Support::NoEffect => {
                self.report.warn(at, format!("`{name}` has no effect in this version of ringway"));
            }
            Support::Refused(advice) => {
                let advice = if advice.is_empty() { String::new() } else { format!(": {advice}") };
                self.report
                    .error(at, format!("`{name}` is not supported by this version of ringway{advice}"));
            }
        }
    }

    /// Says which default a null has displaced. Nobody expects a missing variable to mean zero.
    fn displaced(&mut self, kind: &Kind, value: &Typed, node: &Node, at: &At) {
        if node.value != Value::Null {
            return;
        }
        let missing = node.expanded.as_ref().and_then(|expanded| expanded.missing.as_deref());
        let change = match (values::show_default(kind), values::show(value)) {
            (Some(default), Some(now)) if default != now => {
                Some(format!("it becomes {now} instead of its default {default}"))
            }
            _ if matches!(kind, Kind::Section(_)) && node.expanded.is_some() => {
                Some("all of its keys become zero or off instead of their defaults".to_owned())
            }
            _ => None,
        };
        match (missing, change) {
            (Some(missing), Some(change)) => self.report.warn(at, format!("{missing}: {change}")),
            (Some(missing), None) => self.report.warn(at, missing),
            (None, Some(change)) => self.report.warn(at, format!("the value is null: {change}")),
            (None, None) => {}
        }
    }

    /// The value, and whether what is written was wrong and has been reported.
    fn value(&mut self, kind: &'static Kind, written: Written<'_>, at: &At) -> (Typed, bool) {
        match kind {
            Kind::Section(table) => {
                let (written, is_wrong) = self.map_or_null(written, at);
                (Typed::Section(Box::new(self.section(table, written, at.clone(), false))), is_wrong)
            }
            Kind::Optional(optional) => {
                let (written, is_wrong) = self.map_or_null(written, at);
                (self.optional(optional, written, at), is_wrong)
            }
            _ => match values::read(kind, written, at, self.report) {
                Ok(value) => (value, false),
                Err((place, message)) => {
                    self.report.error(&place, message);
                    (values::default(kind, at), true)
                }
            },
        }
    }

    /// Reports and drops what cannot be a section; the flag says so.
    fn map_or_null<'a>(&mut self, written: Written<'a>, at: &At) -> (Written<'a>, bool) {
        match written {
            Written::Node(node) if !matches!(node.value, Value::Map(_) | Value::Null) => {
                self.report.error(at, format!("expected a map, got {:?}", node.value.type_name()));
                (Written::Absent, true)
            }
            written => (written, false),
        }
    }

    fn optional(&mut self, optional: &'static Optional, written: Written<'_>, at: &At) -> Typed {
        let is_on = match written {
            Written::Absent => optional.absent,
            written if written.is_null() => optional.null,
            Written::Zero => optional.null,
            Written::Node(node) => !optional.has_switch || self.switch(node, at),
        };
        // A section that is off is read all the same, for unknown keys and wrong types, without being judged.
        let outer_quiet = self.is_quiet;
        self.is_quiet = outer_quiet || !is_on;
        // An optional section never becomes all zero.
        let written =
            if matches!(written, Written::Zero) || written.is_null() { Written::Absent } else { written };
        let fields = self.section(optional.section, written, at.clone(), optional.has_switch);
        self.is_quiet = outer_quiet;
        Typed::Optional(is_on.then(|| Box::new(fields)))
    }

    /// The key `enabled` of an optional section.
    fn switch(&mut self, node: &Node, at: &At) -> bool {
        let Some(enabled) = node.get("enabled") else { return true };
        match &enabled.value {
            Value::Bool(enabled) => *enabled,
            Value::Failed => true,
            other => {
                let message = format!("expected type 'bool', got unconvertible type '{}'", other.type_name());
                self.report.error(&at.key("enabled", &enabled.place), message);
                true
            }
        }
    }
}

/// Whether a value is what holds when nothing is written.
fn is_default(kind: &Kind, value: &Typed) -> bool {
    match (kind, value) {
        (Kind::Bool(default), Typed::Bool(value)) => default == value,
        (Kind::Int { default, .. } | Kind::Duration(default), Typed::Int(value) | Typed::Duration(value)) => {
            default == value
        }
        #[expect(clippy::float_cmp, reason = "the question is whether it is the same number")]
        (Kind::Float(default), Typed::Float(value)) => default == value,
        (Kind::Text(default), Typed::Text(value)) => *default == &**value,
        (Kind::Secret, Typed::Secret(value)) => value.is_empty(),
        (Kind::Texts(default), Typed::Texts(value)) => {
            default.iter().copied().eq(value.iter().map(|value| &*value.text))
        }
        (Kind::Pairs, Typed::Pairs(value)) => value.is_empty(),
        (Kind::Id, Typed::Id(value)) => value.is_none(),
        (Kind::Ids, Typed::Ids(value)) => value.is_empty(),
        (Kind::Section(table), Typed::Section(fields)) => all_default(table, fields),
        (Kind::Optional(optional), Typed::Optional(value)) => match value {
            None => !optional.absent,
            Some(fields) => optional.absent && all_default(optional.section, fields),
        },
        (Kind::Any, Typed::Any(value)) => value.as_ref().is_none_or(|node| match &node.value {
            Value::Null | Value::Failed => true,
            Value::List(items) => items.is_empty(),
            _ => false,
        }),
        _ => false,
    }
}

fn all_default(table: &Section, fields: &Fields) -> bool {
    table.keys().zip(&fields.items).all(|(key, item)| is_default(&key.kind, &item.value))
}

impl Fields {
    /// Every name that is asked for is in the table, or the tests below fail.
    fn item(&self, name: &str) -> Option<&Item> {
        let item = self.items.iter().find(|item| item.name == name);
        debug_assert!(item.is_some(), "no key {name:?} in the table of {:?}", self.at.path);
        item
    }

    /// Where the key stands, or its section where it is not written.
    pub(super) fn at(&self, name: &str) -> &At {
        self.item(name).map_or(&self.at, |item| &item.at)
    }

    pub(super) fn is_written(&self, name: &str) -> bool {
        self.shape(name) != Shape::Nothing
    }

    /// Whether the value is zero, as Go understands it.
    pub(super) fn is_zero(&self, name: &str) -> bool {
        match self.typed(name) {
            Some(Typed::Bool(value)) => !value,
            Some(Typed::Int(value) | Typed::Duration(value)) => *value == 0,
            Some(Typed::Float(value)) => *value == 0.0,
            Some(Typed::Text(_) | Typed::Secret(_)) => self.text(name).is_empty(),
            _ => false,
        }
    }

    /// Whether the value is a map, as opposed to null or nothing.
    pub(super) fn is_map(&self, name: &str) -> bool {
        self.shape(name) == Shape::Map
    }

    /// Whether the value is null, written or by a reference.
    pub(super) fn is_null(&self, name: &str) -> bool {
        self.shape(name) == Shape::Null
    }

    /// Whether the value is `[]`, as opposed to null or nothing.
    pub(super) fn is_empty_list(&self, name: &str) -> bool {
        self.shape(name) == Shape::EmptyList
    }

    /// Whether the value could not be had, so that nothing should be concluded from it.
    pub(super) fn is_failed(&self, name: &str) -> bool {
        self.shape(name) == Shape::Failed
    }

    fn shape(&self, name: &str) -> Shape {
        self.item(name).map_or(Shape::Nothing, |item| item.shape)
    }

    pub(super) fn bool(&self, name: &str) -> bool {
        matches!(self.typed(name), Some(Typed::Bool(true)))
    }

    pub(super) fn int(&self, name: &str) -> i64 {
        if let Some(Typed::Int(value)) = self.typed(name) { *value } else { 0 }
    }

    pub(super) fn float(&self, name: &str) -> f64 {
        if let Some(Typed::Float(value)) = self.typed(name) { *value } else { 0.0 }
    }

    /// Nanoseconds.
    pub(super) fn duration(&self, name: &str) -> i64 {
        if let Some(Typed::Duration(value)) = self.typed(name) { *value } else { 0 }
    }

    pub(super) fn text(&self, name: &str) -> &str {
        match self.typed(name) {
            Some(Typed::Text(value)) => value,
            Some(Typed::Secret(value)) => value,
            _ => "",
        }
    }

    /// A list of strings or of ids.
    pub(super) fn texts(&self, name: &str) -> &[Text] {
        if let Some(Typed::Texts(value) | Typed::Ids(value)) = self.typed(name) { value } else { &[] }
    }

    pub(super) fn pairs(&self, name: &str) -> &[Pair] {
        if let Some(Typed::Pairs(value)) = self.typed(name) { value } else { &[] }
    }

    pub(super) fn id(&self, name: &str) -> Option<&Text> {
        if let Some(Typed::Id(value)) = self.typed(name) { value.as_ref() } else { None }
    }

    /// A plain sub-section.
    pub(super) fn plain(&self, name: &str) -> &Self {
        if let Some(Typed::Section(fields)) = self.typed(name) {
            return fields;
        }
        debug_assert!(false, "{name:?} of {:?} is no plain section", self.at.path);
        self
    }

    /// An optional sub-section; `None` if it is off.
    pub(super) fn optional(&self, name: &str) -> Option<&Self> {
        if let Some(Typed::Optional(value)) = self.typed(name) { value.as_deref() } else { None }
    }

    /// The node of a key of any type; `None` if it is not written or null.
    pub(super) fn any(&self, name: &str) -> Option<&Node> {
        match self.typed(name) {
            Some(Typed::Any(value)) => {
                value.as_ref().filter(|node| !matches!(node.value, Value::Null | Value::Failed))
            }
            _ => None,
        }
    }

    fn typed(&self, name: &str) -> Option<&Typed> {
        self.item(name).map(|item| &item.value)
    }
}

#[cfg(test)]
mod tests;

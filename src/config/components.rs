//! The four sections that define components: a map from ids to configurations.
//!
//! Stage: engine. Texts: Collector `otelcol` v0.161.0 `internal/configunmarshaler/configs.go` and `config.go`. Every component is
//! read and checked, also one that no pipeline names.

use std::sync::Arc;

use super::{
    ids::Id,
    report::{At, Report},
    suggest,
    tree::{Node, Value},
};

/// One section of the file.
#[derive(Debug)]
pub(super) struct Category {
    /// The section's key, e.g. `receivers`.
    pub(super) section: &'static str,
    /// One of it, e.g. `receiver`.
    pub(super) one: &'static str,
    /// Types of this version.
    pub(super) types: &'static [&'static str],
    /// Old names of types, and their new ones.
    pub(super) aliases: &'static [(&'static str, &'static str)],
}

/// The components of one section, in the order of the file.
#[derive(Debug)]
pub(super) struct Components<T> {
    category: &'static Category,
    items: Vec<Component<T>>,
}

#[derive(Debug)]
pub(super) struct Component<T> {
    pub(super) id: Arc<str>,
    pub(super) at: At,
    /// `None` for a type that is not known.
    pub(super) value: Option<T>,
}

impl<T> Components<T> {
    /// Reads the section `node` with `read`, which gets the type with its old name replaced.
    pub(super) fn read(
        category: &'static Category,
        node: Option<&Node>,
        at: &At,
        report: &mut Report,
        mut read: impl FnMut(&str, Arc<str>, &Node, At, &mut Report) -> Option<T>,
    ) -> Self {
        let mut components = Self { category, items: Vec::new() };
        let entries = match node.map(|node| &node.value) {
            Some(Value::Map(entries)) => entries.as_slice(),
            None | Some(Value::Null | Value::Failed) => &[],
            Some(other) => {
                report.error(at, format!("expected a map, got {:?}", other.type_name()));
                &[]
            }
        };
        for entry in entries {
            let place = at.key(&entry.key, &entry.place);
            let id = match Id::parse(&entry.key) {
                Ok(id) => id,
                Err(message) => {
                    report.error(&At { path: at.path.clone(), ..place }, message);
                    continue;
                }
            };
            let text: Arc<str> = id.to_string().into();
            if components.position(&text).is_some() {
                report.error(&At { path: at.path.clone(), ..place }, format!("duplicate name {text:?}"));
                continue;
            }
            let value = category
                .resolve(&id, &place, report)
                .and_then(|kind| read(kind, Arc::clone(&text), &entry.node, place.clone(), report));
            components.items.push(Component { id: text, at: place, value });
        }
        components
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn position(&self, id: &str) -> Option<usize> {
        self.items.iter().position(|component| &*component.id == id)
    }

    pub(super) fn get(&self, index: usize) -> Option<&Component<T>> {
        self.items.get(index)
    }

    /// Finds what `reference` names, or reports that it is not configured. `owner` is who refers.
    pub(super) fn find(&self, reference: &str, at: &At, owner: &At, report: &mut Report) -> Option<usize> {
        let id = match Id::parse(reference) {
            Ok(id) => id.to_string(),
            Err(message) => {
                report.error(at, message);
                return None;
            }
        };
        let found = self.position(&id);
        if found.is_none() {
            let known: Vec<&str> = self.items.iter().map(|component| &*component.id).collect();
            let hint = suggest::nearest(&id, &known)
                .map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
            let message = format!("references {} {id:?} which is not configured{hint}", self.category.one);
            report.error(&At { path: owner.path.clone(), place: at.place.clone() }, message);
        }
        found
    }

    /// The components that `is_used` picks, each with its index among all.
    pub(super) fn into_used(self, is_used: impl Fn(usize) -> bool) -> impl Iterator<Item = (usize, T)> {
        self.items
            .into_iter()
            .enumerate()
            .filter(move |(index, _)| is_used(*index))
            .filter_map(|(index, component)| component.value.map(|value| (index, value)))
    }
}

impl Category {
    /// The type of `id` by its present name; reports an unknown one.
    fn resolve(&'static self, id: &Id, at: &At, report: &mut Report) -> Option<&'static str> {
        if let Some((old, new)) = self.aliases.iter().find(|(old, _)| *old == id.kind) {
            report.warn(at, format!("{old:?} alias is deprecated; use {new:?} instead"));
            return Some(new);
        }
        let known = self.types.iter().find(|known| **known == id.kind).copied();
        if known.is_none() {
            let hint = suggest::nearest(&id.kind, self.types)
                .map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
            let types = self.types.join(" ");
            let message = format!(
                "unknown type: {:?} for id: {:?} (valid values: [{types}]){hint}",
                id.kind,
                id.to_string()
            );
            report.error(&At { path: self.section.to_owned(), place: at.place.clone() }, message);
        }
        known
    }
}

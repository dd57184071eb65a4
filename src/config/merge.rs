//! One tree out of several: later sources win.
//!
//! Stage: engine. The rules are those of the Collector's `confmap` v1.67.0: maps merge deeply, everything else is
//! replaced, an explicit null included. `::` inside a key is a path separator, in files too.

use super::tree::{Entry, Node, Value};

/// Puts `over` on top of `base`.
pub(super) fn merge(base: &mut Node, over: Node) {
    match (&mut base.value, over.value) {
        (Value::Map(entries), Value::Map(over)) => {
            for entry in over {
                put(entries, entry);
            }
        }
        (value, over_value) => {
            *value = over_value;
            base.place = over.place;
            base.expanded = over.expanded;
        }
    }
}

fn put(entries: &mut Vec<Entry>, entry: Entry) {
    match entries.iter_mut().find(|known| known.key == entry.key) {
        Some(known) => merge(&mut known.node, entry.node),
        None => entries.push(entry),
    }
}

/// Turns every key `a::b` of nested maps into a key `b` below `a`. Maps inside lists are left alone.
pub(super) fn split_keys(node: Node) -> Node {
    let Value::Map(entries) = node.value else { return node };
    let mut split = Vec::with_capacity(entries.len());
    for Entry { key, place, node } in entries {
        let mut node = split_keys(node);
        let mut parts: Vec<&str> = key.split("::").collect();
        let first = parts.remove(0);
        for part in parts.into_iter().rev() {
            let inner = Entry { key: part.into(), place: place.clone(), node };
            node = Node::new(place.clone(), Value::Map(vec![inner]));
        }
        put(&mut split, Entry { key: first.into(), place, node });
    }
    Node { value: Value::Map(split), ..node }
}

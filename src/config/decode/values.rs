//! One value: from a node to the type that the table asks for.
//!
//! Stage: engine. Rules: nothing is converted between types, except that an integer is a duration in nanoseconds,
//! a string with commas is a list of strings, a fraction is cut off an integer, and a reference that was the whole
//! value gives a string field its text. Differs from the Collector: a number too large for its field is an error
//! instead of wrapping around.

use super::{Kind, Node, Pair, Text, Typed, Value, Written};
use crate::{
    config::{
        report::{At, Report},
        units::{format_duration, parse_duration},
    },
    model::settings::Secret,
};

type Wrong = (At, String);

/// What holds where nothing is written.
pub(super) fn default(kind: &Kind, at: &At) -> Typed {
    match kind {
        Kind::Bool(value) => Typed::Bool(*value),
        Kind::Int { default, .. } => Typed::Int(*default),
        Kind::Float(value) => Typed::Float(*value),
        Kind::Duration(value) => Typed::Duration(*value),
        Kind::Text(value) => Typed::Text((*value).into()),
        Kind::Secret => Typed::Secret(Secret::new("")),
        Kind::Texts(values) => {
            let text = |value: &&str| Text { text: (*value).into(), at: at.clone() };
            Typed::Texts(values.iter().map(text).collect())
        }
        Kind::Pairs => Typed::Pairs(Vec::new()),
        Kind::Id => Typed::Id(None),
        Kind::Ids => Typed::Ids(Vec::new()),
        // Sections are decoded by the caller.
        Kind::Section(_) | Kind::Optional(_) => Typed::Optional(None),
        Kind::Any => Typed::Any(None),
    }
}

/// What a null makes of a value: zero for scalars; lists keep their defaults.
fn zero(kind: &Kind, at: &At) -> Typed {
    match kind {
        Kind::Bool(_) => Typed::Bool(false),
        Kind::Int { .. } => Typed::Int(0),
        Kind::Float(_) => Typed::Float(0.0),
        Kind::Duration(_) => Typed::Duration(0),
        Kind::Text(_) => Typed::Text("".into()),
        other => default(other, at),
    }
}

/// The default as one would write it; `None` for what is no scalar.
pub(super) fn show_default(kind: &Kind) -> Option<String> {
    show(&default(kind, &At::root()))
}

pub(super) fn show(value: &Typed) -> Option<String> {
    match value {
        Typed::Bool(value) => Some(value.to_string()),
        Typed::Int(value) => Some(value.to_string()),
        Typed::Float(value) => Some(value.to_string()),
        Typed::Duration(value) => Some(format_duration(*value)),
        Typed::Text(value) => Some(format!("{value:?}")),
        _ => None,
    }
}

pub(super) fn read(kind: &Kind, written: Written<'_>, at: &At, report: &mut Report) -> Result<Typed, Wrong> {
    let node = match written {
        Written::Absent => return Ok(default(kind, at)),
        Written::Zero => return Ok(zero(kind, at)),
        Written::Node(node) => node,
    };
    // A string field takes the text of a reference even where that is null.
    if node.value == Value::Null && !matches!(kind, Kind::Any | Kind::Text(_) | Kind::Secret) {
        return Ok(zero(kind, at));
    }
    let wrong = |message: String| (at.clone(), message);
    match kind {
        Kind::Bool(_) => boolean(node).map(Typed::Bool).map_err(wrong),
        Kind::Int { type_name, min, max, .. } => {
            integer(node, type_name, *min, *max, at, report).map(Typed::Int).map_err(wrong)
        }
        Kind::Float(_) => float(node).map(Typed::Float).map_err(wrong),
        Kind::Duration(_) => nanos(node, at, report).map(Typed::Duration).map_err(wrong),
        Kind::Text(_) => text(node, at).map(|text| Typed::Text(text.text)),
        Kind::Secret => secret(node, at).map(|text| Typed::Secret(Secret::new(&text.text))),
        Kind::Texts(_) => texts(node, at).map(Typed::Texts),
        Kind::Pairs => pairs(node, at).map(Typed::Pairs),
        Kind::Id => text(node, at).map(|id| Typed::Id(Some(id))),
        Kind::Ids => ids(node, at).map(Typed::Ids),
        Kind::Any => Ok(Typed::Any(Some(node.clone()))),
        Kind::Section(_) | Kind::Optional(_) => Ok(default(kind, at)),
    }
}

fn unconvertible(expected: &str, node: &Node) -> String {
    let found = match &node.value {
        Value::Bool(value) => format!(" ({value})"),
        Value::Int(value) => format!(" ({value})"),
        Value::Float(value) => format!(" ({value})"),
        Value::Text(value) => format!(" ({value:?})"),
        _ => String::new(),
    };
    let hint = match (&node.value, expected) {
        (Value::Bool(_) | Value::Int(_) | Value::Float(_), "string") => "; put it in quotes",
        _ => "",
    };
    format!("expected type '{expected}', got unconvertible type '{}'{found}{hint}", node.value.type_name())
}

fn boolean(node: &Node) -> Result<bool, String> {
    match node.value {
        Value::Bool(value) => Ok(value),
        _ => Err(unconvertible("bool", node)),
    }
}

fn float(node: &Node) -> Result<f64, String> {
    match node.value {
        Value::Float(value) if value.is_finite() => Ok(value),
        Value::Float(_) => Err("a finite number is expected".to_owned()),
        #[expect(clippy::cast_precision_loss, reason = "a factor beyond 2^53 makes no difference")]
        Value::Int(value) => Ok(value as f64),
        _ => Err(unconvertible("float64", node)),
    }
}

fn integer(
    node: &Node,
    type_name: &str,
    min: i64,
    max: i64,
    at: &At,
    report: &mut Report,
) -> Result<i64, String> {
    let value = match node.value {
        Value::Int(value) => value,
        Value::Float(value) if value.is_finite() && value.abs() < 1e18 => {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "this is what the Collector does, and it is said"
            )]
            let cut = value as i64;
            report.warn(at, format!("an integer is expected: {value} is read as {cut}"));
            i128::from(cut)
        }
        _ => return Err(unconvertible(type_name, node)),
    };
    i64::try_from(value)
        .ok()
        .filter(|value| (min..=max).contains(value))
        .ok_or_else(|| format!("cannot parse value as '{type_name}': {value} overflows"))
}

fn nanos(node: &Node, at: &At, report: &mut Report) -> Result<i64, String> {
    match &node.value {
        Value::Text(text) => parse_duration(text),
        Value::Int(_) | Value::Float(_) => {
            let value = integer(node, "time.Duration", i64::MIN, i64::MAX, at, report)?;
            if value != 0 {
                let read = format_duration(value);
                // Nobody means a million nanoseconds by a number below it.
                let is_small = (1..1_000_000).contains(&value);
                let hint = if is_small { format!("; was \"{value}s\" meant?") } else { String::new() };
                report.warn(at, format!("a bare number is nanoseconds: {value} is {read}{hint}"));
            }
            Ok(value)
        }
        _ => Err(unconvertible("time.Duration", node)),
    }
}

/// A string: the text of a reference if the value was one, else a scalar of type string.
fn text(node: &Node, at: &At) -> Result<Text, Wrong> {
    let at = at.clone();
    if let Some(text) = node.expanded.as_ref().and_then(|expanded| expanded.text.clone()) {
        return match &node.value {
            // The text of a string may have been expanded further; its value is the last.
            Value::Text(text) => Ok(Text { text: text.clone(), at }),
            _ => Ok(Text { text, at }),
        };
    }
    match &node.value {
        Value::Text(text) => Ok(Text { text: text.clone(), at }),
        Value::Null | Value::Failed => Ok(Text { text: "".into(), at }),
        _ => {
            let message = unconvertible("string", node);
            Err((at, message))
        }
    }
}

fn texts(node: &Node, at: &At) -> Result<Vec<Text>, Wrong> {
    match &node.value {
        Value::List(items) => elements(items, at),
        Value::Text(text) if text.is_empty() => Ok(Vec::new()),
        Value::Text(text) => {
            Ok(text.split(',').map(|text| Text { text: text.into(), at: at.clone() }).collect())
        }
        other => {
            Err((at.clone(), format!("source data must be an array or slice, got {}", other.type_name())))
        }
    }
}

/// As [`texts`], without commas: an id is no list.
fn ids(node: &Node, at: &At) -> Result<Vec<Text>, Wrong> {
    match &node.value {
        Value::List(items) => elements(items, at),
        other => {
            let hint =
                if let Value::Text(text) = &other { format!("; write [{text}]") } else { String::new() };
            let found = other.type_name();
            Err((at.clone(), format!("source data must be an array or slice, got {found}{hint}")))
        }
    }
}

fn elements(items: &[Node], at: &At) -> Result<Vec<Text>, Wrong> {
    items
        .iter()
        .enumerate()
        .filter(|(_, item)| item.value != Value::Failed)
        .map(|(index, item)| text(item, &at.element(index, &item.place)))
        .collect()
}

/// Texts of errors here never hold a value.
fn pairs(node: &Node, at: &At) -> Result<Vec<Pair>, Wrong> {
    match &node.value {
        Value::Map(entries) => entries
            .iter()
            .filter(|entry| entry.node.value != Value::Failed)
            .map(|entry| {
                let at = at.key(&entry.key, &entry.place);
                let value = secret(&entry.node, &at)?;
                Ok(Pair { name: entry.key.clone(), value: value.text, at })
            })
            .collect(),
        Value::List(items) => items
            .iter()
            .enumerate()
            .filter(|(_, item)| item.value != Value::Failed)
            .map(|(index, item)| pair(item, at.element(index, &item.place)))
            .collect(),
        other => Err((at.clone(), format!("expected a map or a list, got {:?}", other.type_name()))),
    }
}

/// One `{name, value}`.
fn pair(item: &Node, at: At) -> Result<Pair, Wrong> {
    let Value::Map(entries) = &item.value else {
        return Err((at, format!("expected a map with name and value, got {:?}", item.value.type_name())));
    };
    if let Some(entry) = entries.iter().find(|entry| !matches!(&*entry.key, "name" | "value")) {
        let at = At { place: Some(entry.place.clone()), ..at };
        return Err((at, format!("unknown key {:?} (known keys: name, value)", entry.key)));
    }
    let part = |key: &str| match item.get(key) {
        Some(node) => secret(node, &at.key(key, &node.place)).map(|text| text.text),
        None => Ok("".into()),
    };
    Ok(Pair { name: part("name")?, value: part("value")?, at })
}

fn secret(node: &Node, at: &At) -> Result<Text, Wrong> {
    text(node, at).map_err(|(at, _)| {
        let found = node.value.type_name();
        (at, format!("expected type 'string', got unconvertible type '{found}'; put it in quotes"))
    })
}

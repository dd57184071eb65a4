//! What arrived: OTLP/JSON requests taken apart into items that can be compared with what was sent.
//!
//! An item carries its resource, scope and metric with it, so a gateway may group items as it likes and an item that
//! lost its place is still seen. Values are brought to one spelling first: members with OTLP's default are left out,
//! attributes are in the order of their keys, a double without a fraction is written without one.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::{Number, Value, json};

/// One span, data point or log record, with everything that belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Item {
    /// `traces`, `metrics` or `logs`.
    pub(crate) signal: &'static str,
    /// `service.name` of its resource.
    pub(crate) service: String,
    /// `{resource, scope, metric, item}` in the one spelling; `metric` is what a data point has above it.
    pub(crate) content: Value,
}

/// Where items are in a request: signal, list of resources, list of scopes, list of items.
const PLACES: [(&str, &str, &str, &str); 3] = [
    ("traces", "resourceSpans", "scopeSpans", "spans"),
    ("metrics", "resourceMetrics", "scopeMetrics", "metrics"),
    ("logs", "resourceLogs", "scopeLogs", "logRecords"),
];

/// The members of a metric that hold data points.
const POINTS: [&str; 5] = ["gauge", "sum", "histogram", "exponentialHistogram", "summary"];

/// All items of a file of OTLP/JSON requests, one a line. Its writer must have ended.
///
/// # Errors
///
/// When the file cannot be read or is not OTLP/JSON.
pub(crate) fn read(file: &Path) -> anyhow::Result<Vec<Item>> {
    let text = match std::fs::read_to_string(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        text => text.with_context(|| format!("reading {}", file.display()))?,
    };
    let mut items = Vec::new();
    for line in text.lines() {
        let request = serde_json::from_str(line).with_context(|| format!("{}", file.display()))?;
        items.extend(of_request(&request).with_context(|| format!("{}", file.display()))?);
    }
    Ok(items)
}

/// All items of one request of any signal.
///
/// # Errors
///
/// When it is not a request.
pub(crate) fn of_request(request: &Value) -> anyhow::Result<Vec<Item>> {
    let Some((signal, resources, scopes, list)) =
        PLACES.iter().copied().find(|(_, resources, _, _)| request.get(resources).is_some())
    else {
        bail!("not a request of any signal: {request}");
    };
    let mut items = Vec::new();
    for resource in elements(request, resources) {
        let service = attribute(&resource["resource"], "service.name").unwrap_or_default();
        for scope in elements(resource, scopes) {
            for element in elements(scope, list) {
                let around = |metric: Value, item: &Value| Item {
                    signal,
                    service: service.clone(),
                    content: canonical(&json!({
                        "resource": resource["resource"],
                        "resourceSchema": resource["schemaUrl"],
                        "scope": scope["scope"],
                        "scopeSchema": scope["schemaUrl"],
                        "metric": metric,
                        "item": item,
                    })),
                };
                if signal == "metrics" {
                    items.extend(points(element).map(|(metric, point)| around(metric, point)));
                } else {
                    items.push(around(Value::Null, element));
                }
            }
        }
    }
    Ok(items)
}

/// The data points of a metric, each with the metric without any points.
fn points(metric: &Value) -> impl Iterator<Item = (Value, &Value)> {
    let kinds = POINTS.into_iter().filter(|kind| metric.get(kind).is_some());
    kinds.flat_map(move |kind| {
        let mut without = metric.clone();
        if let Some(data) = without[kind].as_object_mut() {
            data.remove("dataPoints");
            data.insert("kind".to_owned(), kind.into());
        }
        elements(&metric[kind], "dataPoints").map(move |point| (without.clone(), point))
    })
}

/// The elements of a list member; none if it is absent, which in OTLP/JSON means empty.
fn elements<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

fn attribute(owner: &Value, key: &str) -> Option<String> {
    let attribute = elements(owner, "attributes").find(|attribute| attribute["key"] == key)?;
    attribute["value"]["stringValue"].as_str().map(str::to_owned)
}

/// Brings a value of OTLP/JSON to the one spelling.
pub(crate) fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(key, _)| key.as_str());
            let spelled = sorted.into_iter().map(|(key, value)| (key.clone(), canonical(value)));
            Value::Object(spelled.filter(|(key, value)| has_presence(key) || !is_default(value)).collect())
        }
        Value::Array(elements) => {
            let mut elements: Vec<Value> = elements.iter().map(canonical).collect();
            // Attributes are a set with keys; everything else is a sequence.
            if elements.iter().all(|element| element.get("key").is_some()) {
                elements.sort_by_key(|element| element["key"].to_string());
            }
            Value::Array(elements)
        }
        Value::Number(number) => Value::Number(without_fraction(number)),
        _ => value.clone(),
    }
}

/// Whether a member says something even when it holds the default: a member of a oneof, or an optional field.
fn has_presence(key: &str) -> bool {
    key.ends_with("Value") || ["asInt", "asDouble", "sum", "min", "max"].contains(&key)
}

fn is_default(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty() || text == "0",
        Value::Array(elements) => elements.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(true) => false,
    }
}

fn without_fraction(number: &Number) -> Number {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
    match number.as_f64() {
        #[expect(clippy::cast_possible_truncation, reason = "an integer below 2^53")]
        Some(double) if number.is_f64() && double.fract() == 0.0 && double.abs() < EXACT => {
            Number::from(double as i64)
        }
        _ => number.clone(),
    }
}

/// Everything that differs between what was sent and what arrived: items that are missing, that came too often, and
/// that nobody sent. The first of each signal and kind is shown whole.
pub(crate) fn problems(sent: &[Item], arrived: &[Item]) -> Vec<String> {
    let mut counts: BTreeMap<(&str, &str, String), (usize, usize)> = BTreeMap::new();
    let key = |item: &Item| item.content.to_string();
    for item in sent {
        counts.entry((item.signal, item.service.as_str(), key(item))).or_default().0 += 1;
    }
    for item in arrived {
        counts.entry((item.signal, item.service.as_str(), key(item))).or_default().1 += 1;
    }
    let mut problems: BTreeMap<(&str, &str, &str), (usize, String)> = BTreeMap::new();
    for ((signal, service, content), (sent, arrived)) in counts {
        let (kind, number) = match (sent, arrived) {
            (sent, arrived) if sent > arrived => ("missing", sent - arrived),
            (0, arrived) => ("not sent like this", arrived),
            (sent, arrived) if arrived > sent => ("too often", arrived - sent),
            _ => continue,
        };
        problems.entry((service, signal, kind)).or_insert_with(|| (0, content)).0 += number;
    }
    let line = |((service, signal, kind), (number, content))| {
        format!("{service}: {number} {signal} {kind}, such as {content}")
    };
    problems.into_iter().map(line).collect()
}

/// Takes away what the sender chose by itself and the test cannot know: members of the item, and resource attributes.
pub(crate) fn forget(item: &mut Item, members: &[&str], attributes: &[&str]) {
    if let Some(item) = item.content.get_mut("item").and_then(Value::as_object_mut) {
        item.retain(|key, _| !members.contains(&key.as_str()));
    }
    let resource = item.content.get_mut("resource").and_then(Value::as_object_mut);
    if let Some(list) = resource.and_then(|resource| resource.get_mut("attributes")?.as_array_mut()) {
        list.retain(|attribute| !attributes.contains(&attribute["key"].as_str().unwrap_or_default()));
    }
}

/// An attribute list of OTLP/JSON.
pub(crate) fn attributes<'a>(pairs: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    pairs.into_iter().map(|(key, value)| json!({ "key": key, "value": value })).collect()
}

/// An item as it should arrive.
pub(crate) fn expected(signal: &'static str, service: &str, content: &Value) -> Item {
    Item { signal, service: service.to_owned(), content: canonical(content) }
}

#[cfg(test)]
#[path = "items_tests.rs"]
mod tests;

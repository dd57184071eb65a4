//! What every SDK client makes, as it has to arrive. The same lines stand in `../python/signals_client.py`,
//! `../js/items.mjs` and `../clients/rust_sdk.rs`.
//!
//! The values are chosen to be hurt by careless hands: text beyond ASCII, integers that no double holds, a double, a
//! list, times in nanoseconds.

use serde_json::{Value, json};

use super::items::{Item, attributes, expected, forget};
use crate::clients::Made;

/// Name and version of the instrumentation scope.
pub(crate) const SCOPE: (&str, &str) = ("ringway.clients", "1.0");

/// Text that is more than ASCII; the value of the resource's `note`.
pub(crate) const NOTE: &str = "grüße 🦀";

/// Start of the first span, in nanoseconds since 1970.
pub(crate) const BEGIN: u64 = 1_700_000_000_123_456_789;

/// The largest integer that JavaScript can write.
pub(crate) const WHOLE: u64 = 9_007_199_254_740_991;

/// Bounds of the histogram's buckets.
pub(crate) const BOUNDS: [f64; 3] = [1.0, 10.0, 100.0];

/// Items in all signals that one made item stands for: a span, a log record, and a point of each of three metrics.
pub(crate) const EACH: usize = 5;

/// Everything that was made, as it has to arrive.
pub(crate) fn items(made: &[Made]) -> Vec<Item> {
    made.iter()
        .flat_map(|made| [span(made), log(made), counter(made), gauge(made), histogram(made)])
        .collect()
}

/// Takes from an item that arrived what each SDK chooses by itself.
pub(crate) fn forget_sdk(item: &mut Item) {
    let attributes =
        ["telemetry.sdk.language", "telemetry.sdk.name", "telemetry.sdk.version", "service.instance.id"];
    let members: &[&str] = match item.signal {
        "metrics" => &["startTimeUnixNano", "timeUnixNano"],
        _ => &["flags", "observedTimeUnixNano"],
    };
    forget(item, members, &attributes);
}

fn item(signal: &'static str, made: &Made, metric: Value, item: Value) -> Item {
    let resource = attributes([
        ("service.name", json!({ "stringValue": made.service })),
        ("note", json!({ "stringValue": NOTE })),
    ]);
    let content = json!({
        "resource": { "attributes": resource },
        "scope": { "name": SCOPE.0, "version": SCOPE.1 },
        "metric": metric,
        "item": item,
    });
    expected(signal, &made.service, &content)
}

fn details(item: u64) -> Value {
    let text = |text: &str| json!({ "stringValue": text });
    attributes([
        ("item", json!({ "intValue": item.to_string() })),
        ("text", text(&format!("{NOTE} {item}"))),
        ("whole", json!({ "intValue": (WHOLE - item).to_string() })),
        ("part", json!({ "doubleValue": plus(item, 0.5) })),
        ("flag", json!({ "boolValue": item.is_multiple_of(2) })),
        ("list", json!({ "arrayValue": { "values": [text("a"), text("b"), text(&item.to_string())] } })),
    ])
}

fn span(made: &Made) -> Item {
    let begin = BEGIN + made.item;
    item(
        "traces",
        made,
        Value::Null,
        json!({
            "traceId": made.trace_id,
            "spanId": made.span_id,
            "name": format!("span {}", made.item),
            "kind": 3,
            "startTimeUnixNano": begin.to_string(),
            "endTimeUnixNano": (begin + 1_000_000).to_string(),
            "attributes": details(made.item),
            "events": [{
                "timeUnixNano": (begin + 500).to_string(),
                "name": "event",
                "attributes": attributes([("size", json!({ "intValue": made.item.to_string() }))]),
            }],
            "status": { "code": 2, "message": format!("deliberate {}", made.item) },
        }),
    )
}

fn log(made: &Made) -> Item {
    item(
        "logs",
        made,
        Value::Null,
        json!({
            "timeUnixNano": (BEGIN + made.item).to_string(),
            "traceId": made.trace_id,
            "spanId": made.span_id,
            "severityNumber": 13,
            "severityText": "WARN",
            "eventName": "happened",
            "body": { "stringValue": format!("log grüße {}", made.item) },
            "attributes": details(made.item),
        }),
    )
}

fn counter(made: &Made) -> Item {
    let metric = json!({
        "name": "requests",
        "unit": "1",
        "description": "grüße of the counter",
        "sum": { "kind": "sum", "aggregationTemporality": 2, "isMonotonic": true },
    });
    point(made, metric, json!({ "asInt": (made.item + 1).to_string() }))
}

fn gauge(made: &Made) -> Item {
    let metric = json!({ "name": "temperature", "unit": "Cel", "gauge": { "kind": "gauge" } });
    point(made, metric, json!({ "asDouble": plus(made.item, 0.25) }))
}

fn histogram(made: &Made) -> Item {
    let metric = json!({
        "name": "latency",
        "unit": "ms",
        "histogram": { "kind": "histogram", "aggregationTemporality": 2 },
    });
    let value = plus(made.item, 0.5);
    let bucket = BOUNDS.iter().filter(|bound| value > **bound).count();
    let counts: Vec<&str> = (0..=BOUNDS.len()).map(|index| if index == bucket { "1" } else { "0" }).collect();
    let point_content = json!({
        "count": "1",
        "sum": value,
        "min": value,
        "max": value,
        "explicitBounds": BOUNDS,
        "bucketCounts": counts,
    });
    point(made, metric, point_content)
}

fn point(made: &Made, metric: Value, mut content: Value) -> Item {
    content["attributes"] = attributes([("item", json!({ "intValue": made.item.to_string() }))]);
    item("metrics", made, metric, content)
}

/// `item` plus a fraction. The items of a run are few.
#[expect(clippy::cast_precision_loss, reason = "a small number")]
pub(crate) fn plus(item: u64, fraction: f64) -> f64 {
    item as f64 + fraction
}

//! The comparison sees each kind of damage, and nothing where only the spelling differs.

use serde_json::{Value, json};

use super::{canonical, of_request, problems};

fn request() -> Value {
    json!({ "resourceSpans": [{
        "resource": { "attributes": [{ "key": "service.name", "value": { "stringValue": "s" } }] },
        "scopeSpans": [{ "scope": { "name": "a" }, "spans": [
            { "spanId": "01", "name": "one", "attributes": [
                { "key": "n", "value": { "intValue": "0" } },
                { "key": "d", "value": { "doubleValue": 2 } },
            ] },
            { "spanId": "02", "name": "two" },
        ] }],
    }] })
}

#[test]
fn each_kind_of_damage_is_seen() {
    // Scenario: a request, and the same with an item lost, doubled, changed, or moved to another scope or resource.
    // Guarantees: the comparison accepts the first and names every other.
    #[track_caller]
    fn check(damage: impl Fn(&mut Value), kinds: &[&str]) {
        let mut damaged = request();
        damage(&mut damaged);
        let (sent, arrived) = (of_request(&request()).unwrap(), of_request(&damaged).unwrap());
        let problems = problems(&sent, &arrived);
        assert_eq!(problems.len(), kinds.len(), "{problems:#?}");
        for (problem, kind) in problems.iter().zip(kinds) {
            assert!(problem.contains(kind), "{problem}");
        }
    }
    const CHANGED: [&str; 2] = ["missing", "not sent like this"];
    let spans = "/resourceSpans/0/scopeSpans/0/spans";
    check(|_| (), &[]);
    check(
        |request| drop(request.pointer_mut(spans).unwrap().as_array_mut().unwrap().pop()),
        &["1 traces missing"],
    );
    check(
        |request| {
            let spans = request.pointer_mut(spans).unwrap().as_array_mut().unwrap();
            spans.push(spans[0].clone());
        },
        &["1 traces too often"],
    );
    check(|request| *request.pointer_mut(&format!("{spans}/0/name")).unwrap() = "un".into(), &CHANGED);
    check(
        |request| {
            *request.pointer_mut(&format!("{spans}/0/attributes/0/value/intValue")).unwrap() = "1".into()
        },
        &CHANGED,
    );
    check(
        |request| *request.pointer_mut(&format!("{spans}/0/attributes/0/value")).unwrap() = json!({}),
        &CHANGED,
    );
    check(|request| request["resourceSpans"][0]["scopeSpans"][0]["scope"]["name"] = "b".into(), &CHANGED);
    check(|request| request["resourceSpans"][0]["schemaUrl"] = "u".into(), &CHANGED);
}

#[test]
fn a_data_point_carries_its_metric() {
    // Scenario: two points of one metric, then the unit changes.
    // Guarantees: each point is an item, and both differ afterwards.
    let metrics = |unit: &str| {
        let points = json!([{ "asInt": "0" }, { "asDouble": 0 }]);
        let metric =
            json!({ "name": "m", "unit": unit, "sum": { "isMonotonic": true, "dataPoints": points } });
        of_request(&json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": [metric] }] }] })).unwrap()
    };
    let (sent, arrived) = (metrics("1"), metrics("2"));
    assert_eq!(sent.len(), 2);
    assert_ne!(sent[0], sent[1]);
    assert_eq!(problems(&sent, &sent), Vec::<String>::new());
    assert!(problems(&sent, &arrived).iter().any(|problem| problem.contains("2 metrics missing")));
}

#[test]
fn spelling_does_not_matter() {
    // Scenario: OTLP/JSON of the same meaning, written in two ways.
    // Guarantees: they are equal in the one spelling; a value that is there stays apart from one that is not.
    let written = json!({ "name": "", "kind": 0, "flags": 1.0, "list": [], "attributes": [
        { "key": "b", "value": { "boolValue": false } },
        { "key": "a", "value": { "stringValue": "" } },
    ] });
    let terse = json!({ "flags": 1, "attributes": [
        { "key": "a", "value": { "stringValue": "" } },
        { "key": "b", "value": { "boolValue": false } },
    ] });
    assert_eq!(canonical(&written), canonical(&terse));
    let nothing = json!({ "attributes": [{ "key": "a", "value": {} }, { "key": "b", "value": { "boolValue": false } }] });
    assert_ne!(canonical(&nothing)["attributes"], canonical(&terse)["attributes"]);
}

//! What is asked for which items: routes as tables of (key, items).

use std::{cell::RefCell, sync::Arc};

use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
};
use prost::Message;

use crate::{
    model::{
        Signal,
        settings::{Key, MissingKey, RoutingKey, Validation},
    },
    otlp::{Splitter, split::Dropped},
};

/// The keys of a request in the order they are first asked for, each with the names of its items; and what is dropped.
pub(super) type Routes = (Vec<(String, Vec<String>)>, usize);

/// Splits a request, one slot for each distinct key.
pub(super) fn routes(signal: Signal, payload: &[u8], key: &RoutingKey, validation: Validation) -> Routes {
    let keys: RefCell<Vec<String>> = RefCell::default();
    let slot_of = |key: &[u8]| {
        let key = key.escape_ascii().to_string();
        let mut keys = keys.borrow_mut();
        keys.iter().position(|known| *known == key).unwrap_or_else(|| {
            keys.push(key);
            keys.len() - 1
        })
    };
    let mut splitter = Splitter::new(0);
    let plan = splitter.plan(signal, payload, key, validation, 64, slot_of).unwrap();
    let mut routes = Vec::new();
    let mut items = plan.dropped().without_key;
    for (slot, count, bytes) in plan.parts() {
        let mut part = Vec::new();
        plan.append(slot, &mut part);
        assert_eq!(part.len(), bytes);
        let names = names(signal, &part);
        assert_eq!(names.len(), count);
        items += count;
        let key = keys.borrow().get(slot).cloned().unwrap_or_default();
        routes.push((key, names));
    }
    assert_eq!(items, plan.items());
    assert_eq!(plan.dropped().empty_metrics, 0);
    let Dropped { without_key, .. } = plan.dropped();
    (routes, without_key)
}

fn names(signal: Signal, part: &[u8]) -> Vec<String> {
    if signal == Signal::Logs {
        let request = ExportLogsServiceRequest::decode(part).unwrap();
        let scopes = request.resource_logs.into_iter().flat_map(|group| group.scope_logs);
        return scopes.flat_map(|scope| scope.log_records).map(|record| record.event_name).collect();
    }
    let request = ExportTraceServiceRequest::decode(part).unwrap();
    let scopes = request.resource_spans.into_iter().flat_map(|group| group.scope_spans);
    scopes.flat_map(|scope| scope.spans).map(|span| span.name).collect()
}

/// Compares the routes of a request, at both levels.
#[track_caller]
pub(super) fn check(
    signal: Signal,
    payload: &[u8],
    key: &RoutingKey,
    expect: &[(&str, &[&str])],
    dropped: usize,
) {
    let owned = |(key, items): &(&str, &[&str])| {
        ((*key).to_owned(), items.iter().map(|item| (*item).to_owned()).collect())
    };
    let expect: Routes = (expect.iter().map(owned).collect(), dropped);
    for validation in [Validation::Structure, Validation::Full] {
        assert_eq!(routes(signal, payload, key, validation), expect, "{key:?}, {validation:?}");
    }
}

pub(super) fn attributes(names: &[&str]) -> Key {
    Key::Attributes(names.iter().map(|name| Arc::from(*name)).collect())
}

pub(super) fn compatible(key: Key) -> RoutingKey {
    RoutingKey::compatible(key)
}

pub(super) fn or_resource(key: Key) -> RoutingKey {
    RoutingKey { key, missing: MissingKey::Resource }
}

pub(super) fn or_fixed(key: Key) -> RoutingKey {
    RoutingKey { key, missing: MissingKey::Fixed("fixed".into()) }
}

pub(super) fn or_drop(key: Key) -> RoutingKey {
    RoutingKey { key, missing: MissingKey::Drop }
}

pub(super) fn string(text: &str) -> Value {
    Value::StringValue(text.into())
}

pub(super) fn key_values(entries: &[(&str, Value)]) -> Vec<KeyValue> {
    let key_value = |(name, value): &(&str, Value)| KeyValue {
        key: (*name).into(),
        value: Some(AnyValue { value: Some(value.clone()) }),
        ..KeyValue::default()
    };
    entries.iter().map(key_value).collect()
}

pub(super) fn resource(entries: &[(&str, Value)]) -> Option<Resource> {
    Some(Resource { attributes: key_values(entries), ..Resource::default() })
}

pub(super) fn scope(entries: &[(&str, Value)]) -> Option<InstrumentationScope> {
    Some(InstrumentationScope { attributes: key_values(entries), ..InstrumentationScope::default() })
}

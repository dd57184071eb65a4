//! Writes messages of opentelemetry-proto as OTLP/JSON, every time in another spelling.
//!
//! Shares nothing with the reader's tables. Each struct is taken apart with all its fields named, so that one that a newer
//! opentelemetry-proto adds does not compile until it is here. What the format leaves open is left to chance: names in
//! lowerCamelCase or as in the proto file, order, white space, unknown fields, numbers as numbers or strings, enums as
//! numbers or names, ids in either case, both base64 alphabets, escapes, defaults written, absent or null.

use base64::{Engine as _, engine::general_purpose};
use opentelemetry_proto::tonic::{
    common::v1::{
        AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList, any_value::Value,
    },
    resource::v1::Resource,
};

mod items;
mod metrics;

const UNKNOWN: &[&str] =
    &["null", "-1.5e300", "[[],{},\"]\"]", "{\"a\":[1,{\"b\":null}],\"\":\"}\"}", "\"\\ud800\""];

/// A field and its value; `None`: there is none.
type Member = (&'static str, Option<String>);

#[derive(Debug)]
pub(super) struct Encoder(fastrand::Rng);

impl Encoder {
    pub(super) fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    // === JSON ===

    fn object(&mut self, mut members: Vec<Member>) -> String {
        self.0.shuffle(&mut members);
        let mut written = Vec::new();
        for (name, value) in members {
            let name = if self.0.bool() { name.to_owned() } else { lower_camel(name) };
            match value {
                Some(value) => written.push(format!("\"{name}\"{}:{value}", self.space())),
                None if self.one_in(4) => written.push(format!("\"{name}\":null")),
                None => {}
            }
            if self.one_in(16) {
                let value = UNKNOWN[self.0.usize(..UNKNOWN.len())];
                written.push(format!("\"unknown{name}\":{value}"));
            }
        }
        format!("{}{{{}}}", self.space(), written.join(self.space_and(",")))
    }

    fn list<T>(&mut self, items: &[T], write: fn(&mut Self, &T) -> String) -> Option<String> {
        let items: Vec<String> = items.iter().map(|item| write(self, item)).collect();
        (!items.is_empty() || self.0.bool()).then(|| format!("[{}]", items.join(self.space_and(","))))
    }

    fn space(&mut self) -> &'static str {
        if self.one_in(16) { " \n\t\r" } else { "" }
    }

    fn space_and(&mut self, comma: &'static str) -> &'static str {
        if self.one_in(16) { " ,\n" } else { comma }
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.0.u32(..n) == 0
    }

    // === Scalars; a default may be absent ===

    fn written(&mut self, is_default: bool, text: String) -> Option<String> {
        (!is_default || self.0.bool()).then_some(text)
    }

    fn quoted(&mut self, plain: String) -> String {
        if self.0.bool() { format!("\"{plain}\"") } else { plain }
    }

    fn text(&mut self, text: &str) -> String {
        if self.one_in(4) {
            let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
            return format!("\"{escaped}\"");
        }
        serde_json::to_string(text).unwrap()
    }

    fn string(&mut self, text: &str) -> Option<String> {
        let json = self.text(text);
        self.written(text.is_empty(), json)
    }

    fn int(&mut self, value: i128) -> Option<String> {
        let json = self.quoted(value.to_string());
        self.written(value == 0, json)
    }

    fn bool(&mut self, value: bool) -> Option<String> {
        self.written(!value, value.to_string())
    }

    fn number(&mut self, value: f64) -> String {
        match value {
            _ if value.is_nan() => "\"NaN\"".to_owned(),
            f64::INFINITY => "\"Infinity\"".to_owned(),
            f64::NEG_INFINITY => "\"-Infinity\"".to_owned(),
            _ => {
                let plain = if self.0.bool() { format!("{value:?}") } else { format!("{value:E}") };
                self.quoted(plain)
            }
        }
    }

    fn double(&mut self, value: f64) -> Option<String> {
        let json = self.number(value);
        self.written(value.to_bits() == 0, json)
    }

    fn named(&mut self, value: i32, name: Option<&str>) -> Option<String> {
        let json = match name {
            Some(name) if self.0.bool() => format!("\"{name}\""),
            _ => value.to_string(),
        };
        self.written(value == 0, json)
    }

    fn id(&mut self, id: &[u8]) -> Option<String> {
        let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let hex = if self.0.bool() { hex.to_uppercase() } else { hex };
        self.written(id.is_empty(), format!("\"{hex}\""))
    }

    fn bytes(&mut self, bytes: &[u8]) -> String {
        let engine = match self.0.u8(..4) {
            0 => general_purpose::STANDARD,
            1 => general_purpose::STANDARD_NO_PAD,
            2 => general_purpose::URL_SAFE,
            _ => general_purpose::URL_SAFE_NO_PAD,
        };
        format!("\"{}\"", engine.encode(bytes))
    }

    // === Common ===

    fn key_value(&mut self, attribute: &KeyValue) -> String {
        let KeyValue { key, value, key_strindex } = attribute;
        let members = vec![
            ("key", self.string(key)),
            ("value", value.as_ref().map(|value| self.value(value))),
            ("key_strindex", self.int((*key_strindex).into())),
        ];
        self.object(members)
    }

    fn value(&mut self, value: &AnyValue) -> String {
        let AnyValue { value } = value;
        let member = match value {
            None => return self.object(Vec::new()),
            Some(Value::StringValue(text)) => ("string_value", self.text(text)),
            Some(Value::BoolValue(value)) => ("bool_value", value.to_string()),
            Some(Value::IntValue(value)) => ("int_value", self.quoted(value.to_string())),
            Some(Value::DoubleValue(value)) => ("double_value", self.number(*value)),
            Some(Value::ArrayValue(ArrayValue { values })) => {
                let values = self.list(values, Self::value);
                ("array_value", self.object(vec![("values", values)]))
            }
            Some(Value::KvlistValue(KeyValueList { values })) => {
                let values = self.list(values, Self::key_value);
                ("kvlist_value", self.object(vec![("values", values)]))
            }
            Some(Value::BytesValue(bytes)) => ("bytes_value", self.bytes(bytes)),
            Some(Value::StringValueStrindex(index)) => {
                ("string_value_strindex", self.quoted(index.to_string()))
            }
        };
        self.object(vec![(member.0, Some(member.1))])
    }

    fn resource(&mut self, resource: &Resource) -> String {
        let Resource { attributes, dropped_attributes_count, entity_refs } = resource;
        let members = vec![
            ("attributes", self.list(attributes, Self::key_value)),
            ("dropped_attributes_count", self.int((*dropped_attributes_count).into())),
            ("entity_refs", self.list(entity_refs, Self::entity_ref)),
        ];
        self.object(members)
    }

    fn entity_ref(&mut self, entity: &EntityRef) -> String {
        let EntityRef { schema_url, r#type, id_keys, description_keys } = entity;
        let members = vec![
            ("schema_url", self.string(schema_url)),
            ("type", self.string(r#type)),
            ("id_keys", self.list(id_keys, |encoder, key| encoder.text(key))),
            ("description_keys", self.list(description_keys, |encoder, key| encoder.text(key))),
        ];
        self.object(members)
    }

    fn scope(&mut self, scope: &InstrumentationScope) -> String {
        let InstrumentationScope { name, version, attributes, dropped_attributes_count } = scope;
        let members = vec![
            ("name", self.string(name)),
            ("version", self.string(version)),
            ("attributes", self.list(attributes, Self::key_value)),
            ("dropped_attributes_count", self.int((*dropped_attributes_count).into())),
        ];
        self.object(members)
    }
}

/// `trace_id` → `traceId`.
fn lower_camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap().to_owned();
    words.fold(first, |name, word| name + &word[..1].to_uppercase() + &word[1..])
}

//! The text of an attribute value (pdata `Value.AsString`).

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};

/// The text of a value.
pub fn of(value: &AnyValue) -> String {
    match &value.value {
        // An index into a table that only profiles have counts as no value.
        None | Some(Value::StringValueStrindex(_)) => String::new(),
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::IntValue(value)) => value.to_string(),
        Some(Value::DoubleValue(value)) => double(*value),
        Some(Value::BytesValue(bytes)) => STANDARD.encode(bytes),
        // Go's encoder fails on what JSON cannot say, and the text stays empty.
        Some(Value::ArrayValue(_) | Value::KvlistValue(_)) => json(value).unwrap_or_default(),
    }
}

fn double(value: f64) -> String {
    let size = value.abs();
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() }
    } else if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = shortest(value);
        if size >= 1e21 { text.replace('e', "e+") } else { text }
    } else {
        // The same digits, with the exponent put into the place of the point.
        let text = shortest(value);
        let (digits, exponent) = text.split_once('e').expect("an exponent");
        let places = digits.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        let exponent: usize = exponent.parse().unwrap_or(0);
        if exponent > places {
            return digits.replace('.', "") + &"0".repeat(exponent - places);
        }
        let exponent: isize = text.rsplit('e').next().and_then(|text| text.parse().ok()).expect("a number");
        format!("{value:.*}", places.saturating_add_signed(-exponent))
    }
}

/// The fewest digits that are read back as the same number, with an exponent. Of two such forms that are equally close,
/// the even one, as Go's `strconv` has it; the standard library takes the larger one.
fn shortest(value: f64) -> String {
    let text = format!("{value:e}");
    let places = text.split_once('.').map_or(0, |(_, rest)| rest.find('e').expect("an exponent"));
    // With a precision, what is given is rounded from all its digits, half to even.
    let even = format!("{value:.places$e}");
    if even.parse() == Ok(value) { even } else { text }
}

/// `None`: there is a number in it that JSON has no word for.
fn json(value: &AnyValue) -> Option<String> {
    Some(match &value.value {
        None | Some(Value::StringValueStrindex(_)) => "null".to_owned(),
        Some(Value::BytesValue(bytes)) if bytes.is_empty() => "null".to_owned(),
        Some(Value::BytesValue(bytes)) => quote(&STANDARD.encode(bytes)),
        Some(Value::StringValue(text)) => quote(text),
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::IntValue(value)) => value.to_string(),
        Some(Value::DoubleValue(value)) if !value.is_finite() => return None,
        Some(Value::DoubleValue(value)) => double(*value),
        Some(Value::ArrayValue(array)) => {
            let values: Option<Vec<String>> = array.values.iter().map(json).collect();
            format!("[{}]", values?.join(","))
        }
        Some(Value::KvlistValue(list)) => {
            // Of a key that comes twice the last value counts, also for what cannot be said.
            let last: BTreeMap<&str, &Option<AnyValue>> =
                list.values.iter().map(|pair| (pair.key.as_str(), &pair.value)).collect();
            let pairs: Option<Vec<String>> = last
                .into_iter()
                .map(|(key, value)| {
                    let value = value.as_ref().map_or_else(|| Some("null".to_owned()), json)?;
                    Some(format!("{}:{value}", quote(key)))
                })
                .collect();
            format!("{{{}}}", pairs?.join(","))
        }
    })
}

/// A string as Go's `encoding/json` writes it without escaping for HTML.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted += "\\\"",
            '\\' => quoted += "\\\\",
            '\u{8}' => quoted += "\\b",
            '\u{c}' => quoted += "\\f",
            '\n' => quoted += "\\n",
            '\r' => quoted += "\\r",
            '\t' => quoted += "\\t",
            '\0'..='\u{1f}' | '\u{2028}' | '\u{2029}' => {
                quoted += &format!("\\u{:04x}", u32::from(character));
            }
            other => quoted.push(other),
        }
    }
    quoted + "\""
}

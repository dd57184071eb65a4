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

/// ECMAScript's way, but for the sign of zero.
fn double(value: f64) -> String {
    let sign = if value.is_sign_negative() { "-" } else { "" };
    let size = value.abs();
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if size.is_infinite() {
        return format!("{sign}Infinity");
    }
    let shortest = shortest(size);
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = if size >= 1e21 { shortest.replace('e', "e+") } else { shortest };
        return sign.to_owned() + &text;
    }
    let (digits, exponent) = shortest.split_once('e').expect("it has an exponent");
    let digits = digits.replace('.', "");
    let exponent: i32 = exponent.parse().expect("a number");
    let whole = usize::try_from(exponent + 1).unwrap_or_default();
    // Enough zeros on both sides for the point to fall between digits.
    let zeros = "0".repeat(usize::try_from(-exponent).unwrap_or_default());
    let digits = format!("{zeros}{digits:0<whole$}");
    let (whole, fraction) = digits.split_at(whole.max(1));
    format!("{sign}{whole}{}{fraction}", if fraction.is_empty() { "" } else { "." })
}

/// The fewest digits that are read back as the same number, and of those the closest, as `d.ddde±x`. Where two are equally
/// close Go takes the even one, as does rounding to that many digits, but the standard library's shortest form does not.
fn shortest(value: f64) -> String {
    let shortest = format!("{value:e}");
    let places = shortest.find('e').expect("it has an exponent").saturating_sub(2);
    let rounded = format!("{value:.places$e}");
    if rounded.parse() == Ok(value) { rounded } else { shortest }
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

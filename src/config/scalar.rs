//! What a plain YAML scalar is: null, boolean, integer, float or text.
//!
//! Stage: engine. The rules are those of go.yaml.in/yaml v3 `resolve.go`, not of the YAML 1.2 core schema, because
//! they decide what a Collector configuration means: `0123` is octal, `1_000` is a thousand, `yes` is text.

use super::tree::Value;

/// Resolves the text of an unquoted scalar without a tag.
pub(super) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        _ => {}
    }
    if !text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '.')) {
        return Value::Text(text.into());
    }
    let digits = text.replace('_', "");
    if let Some(number) = integer(&digits) {
        return Value::Int(number);
    }
    if is_float(&digits)
        && let Ok(number) = digits.parse()
    {
        return Value::Float(number);
    }
    Value::Text(text.into())
}

/// Sign, then base by prefix (`0x`, `0o`, `0b`, a leading zero for octal), as Go's `strconv.ParseInt` with base 0.
/// `None` beyond the range of 64 bits, signed or not; such a number is a float.
fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let prefixed = |prefix: [&str; 2]| prefix.iter().find_map(|prefix| digits.strip_prefix(prefix));
    let (base, digits) = if let Some(rest) = prefixed(["0x", "0X"]) {
        (16, rest)
    } else if let Some(rest) = prefixed(["0o", "0O"]) {
        (8, rest)
    } else if let Some(rest) = prefixed(["0b", "0B"]) {
        (2, rest)
    } else if digits.len() > 1 && digits.starts_with('0') {
        (8, &digits[1..])
    } else {
        (10, digits)
    };
    // The standard library takes a second sign here.
    if !digits.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude = i128::from_str_radix(digits, base).ok()?;
    let number = if negative { -magnitude } else { magnitude };
    (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&number).then_some(number)
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let mantissa_fits = match mantissa.split_once('.') {
        Some(("", fraction)) => digits(fraction),
        Some((whole, fraction)) => digits(whole) && (fraction.is_empty() || digits(fraction)),
        None => digits(mantissa),
    };
    mantissa_fits && exponent.is_none_or(digits)
}

#[cfg(test)]
mod tests {
    use super::{Value, resolve};

    #[track_caller]
    fn check(text: &str, expect: Value) {
        assert_eq!(resolve(text), expect, "{text:?}");
    }

    // Scenario: the spellings that YAML libraries disagree about.
    // Guarantees: a scalar has the type and the value that the Collector's library gives it.
    #[test]
    fn scalars_resolve_as_in_go() {
        for text in ["", "~", "null", "Null", "NULL"] {
            check(text, Value::Null);
        }
        check("true", Value::Bool(true));
        check("FALSE", Value::Bool(false));
        for (text, number) in [
            ("0", 0),
            ("83", 83),
            ("0123", 83),
            ("0o17", 15),
            ("-0x10", -16),
            ("0b101", 5),
            ("+7", 7),
            ("1_000", 1000),
            ("18446744073709551615", 18_446_744_073_709_551_615),
        ] {
            check(text, Value::Int(number));
        }
        for (text, number) in [("1.5", 1.5), (".5", 0.5), ("1.", 1.0), ("1e3", 1000.0), ("08", 8.0)] {
            check(text, Value::Float(number));
        }
        check("18446744073709551616", Value::Float(18_446_744_073_709_551_616.0));
        for text in [
            "yes", "no", "on", "nUll", "--1", "+-1", "0x", "0x-1", "1e", "-", ".", "5s", "1:30", "${env:X}",
            "é",
        ] {
            check(text, Value::Text(text.into()));
        }
    }
}

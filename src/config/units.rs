//! Durations as Go writes them.
//!
//! Stage: engine. Syntax and error texts are those of Go's `time.ParseDuration` and `time.Duration.String` (`time/format.go`,
//! `time/time.go`). A duration is a signed number of nanoseconds here, because validation has to see negative ones.

/// Units and their nanoseconds. Both spellings of micro: U+00B5 and U+03BC.
const UNITS: [(&str, i64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads `1h2m3.5s` and the like; a sign may come first.
///
/// # Errors
///
/// Go's sentence, and what was probably meant.
pub(super) fn parse_duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
        let (number, after) = rest.split_at(number_end);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(invalid());
        }
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {text:?}; write \"{text}s\" for seconds"));
        }
        let Some(&(_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            let hint = if unit == "d" { "; the largest unit is h" } else { "" };
            return Err(format!("time: unknown unit {unit:?} in duration {text:?}{hint}"));
        };
        let part = scaled(whole, fraction, scale.unsigned_abs()).ok_or_else(invalid)?;
        total = total.checked_add(part).ok_or_else(invalid)?;
        rest = next;
    }
    let total = i64::try_from(total).map_err(|_| invalid())?;
    Ok(if negative { -total } else { total })
}

/// `whole.fraction` times `scale`; digits of the fraction beyond the 18th are below a nanosecond in every unit.
fn scaled(whole: &str, fraction: &str, scale: u64) -> Option<u64> {
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction = &fraction[..fraction.len().min(18)];
    let mut nanos: u128 = 0;
    if !fraction.is_empty() {
        let digits: u128 = fraction.parse().ok()?;
        let power = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        nanos = digits.checked_mul(u128::from(scale))? / power;
    }
    whole.checked_mul(scale)?.checked_add(u64::try_from(nanos).ok()?)
}

/// Writes `nanos` as Go does: `0s`, `1.5ms`, `1h0m0s`.
pub(super) fn format_duration(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let rest = nanos.unsigned_abs();
    if rest == 0 {
        return "0s".to_owned();
    }
    for (unit, scale) in [("ns", 1), ("µs", 1_000), ("ms", 1_000_000)] {
        if rest < scale * 1_000 {
            return format!("{sign}{}{unit}", decimal(rest, scale));
        }
    }
    let (minutes, seconds) = (rest / 60_000_000_000, decimal(rest % 60_000_000_000, 1_000_000_000));
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

/// `value / scale` without trailing zeros.
fn decimal(value: u64, scale: u64) -> String {
    let (whole, rest) = (value / scale, value % scale);
    if rest == 0 {
        return whole.to_string();
    }
    let width = scale.ilog10() as usize;
    format!("{whole}.{}", format!("{rest:0width$}").trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::{format_duration, parse_duration};

    #[track_caller]
    fn check(text: &str, nanos: i64, written: &str) {
        assert_eq!(parse_duration(text), Ok(nanos), "{text:?}");
        assert_eq!(format_duration(nanos), written, "{text:?}");
        assert_eq!(parse_duration(written), Ok(nanos), "{written:?} reads back");
    }

    #[track_caller]
    fn check_error(text: &str, message: &str) {
        assert_eq!(parse_duration(text), Err(message.to_owned()), "{text:?}");
    }

    // Scenario: durations in all units, with signs and fractions.
    // Guarantees: they have Go's value, are written as Go writes them, and read back unchanged.
    #[test]
    fn durations_read_and_write_as_in_go() {
        check("0", 0, "0s");
        check("-0s", 0, "0s");
        check("300ms", 300_000_000, "300ms");
        check("1h2m3.5s", 3_723_500_000_000, "1h2m3.5s");
        check("-1.5h", -5_400_000_000_000, "-1h30m0s");
        check("+5s", 5_000_000_000, "5s");
        check("5m", 300_000_000_000, "5m0s");
        check("12us", 12_000, "12µs");
        check("12μs", 12_000, "12µs");
        check("1.000000001s", 1_000_000_001, "1.000000001s");
        check(".5ms", 500_000, "500µs");
        check("1.ms", 1_000_000, "1ms");
        check("9223372036854775807ns", i64::MAX, "2562047h47m16.854775807s");
        check("0.000000000999999999999999999999s", 0, "0s");
    }

    // Scenario: texts that are no durations.
    // Guarantees: the sentence is Go's, with a hint where the mistake is a common one.
    #[test]
    fn bad_durations_are_refused_with_gos_sentence() {
        for text in ["", "-", "s", ".s", "abc", "1.2.3s", "9223372036854775808ns", "3000000h"] {
            check_error(text, &format!("time: invalid duration {text:?}"));
        }
        check_error("5", "time: missing unit in duration \"5\"; write \"5s\" for seconds");
        check_error("1d", "time: unknown unit \"d\" in duration \"1d\"; the largest unit is h");
        check_error("1 s", "time: unknown unit \" s\" in duration \"1 s\"");
    }
}

//! The Content-Type of a request, read as Go reads it.
//!
//! Stage: receiver, part of HTTP. Parameters mean nothing here, but they have to be well-formed: `application/json; x`
//! is no media type to the Collector, which answers 415. Source: Go 1.26 `mime/mediatype.go`, `ParseMediaType`.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use http::{HeaderMap, header};

/// What the Content-Type of a request says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MediaType {
    /// `application/x-protobuf`.
    Protobuf,
    /// `application/json`.
    Json,
    /// There is none, or an empty one.
    Missing,
    /// Another one, or none that can be read.
    Other,
}

impl MediaType {
    /// Reads it; case does not count. Of several header lines the first counts.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let Some(value) = headers.get(header::CONTENT_TYPE).filter(|value| !value.is_empty()) else {
            return Self::Missing;
        };
        let value = value.as_bytes();
        let essence = value.split(|byte| *byte == b';').next().unwrap_or_default();
        let found = match essence.trim_ascii() {
            name if name.eq_ignore_ascii_case(b"application/x-protobuf") => Self::Protobuf,
            name if name.eq_ignore_ascii_case(b"application/json") => Self::Json,
            _ => return Self::Other,
        };
        let parameters = value.get(essence.len()..).unwrap_or_default();
        if are_parameters(parameters) { found } else { Self::Other }
    }
}

/// Whether these are `; name=value` any number of times, perhaps with a semicolon at the end. A name may come twice, but
/// with one value only.
fn are_parameters(mut rest: &[u8]) -> bool {
    let mut seen: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    loop {
        match rest.trim_ascii_start() {
            b"" => return true,
            semicolon if semicolon.trim_ascii_end() == b";" => return true,
            other => rest = other,
        }
        let Some((name, value, behind)) = parameter(rest) else { return false };
        let name = name.to_ascii_lowercase();
        if seen.iter().any(|(known, other)| *known == name && *other != value) {
            return false;
        }
        seen.push((name, value));
        rest = behind;
    }
}

/// Name and value of the first parameter, and what is behind it.
fn parameter(text: &[u8]) -> Option<(&[u8], Vec<u8>, &[u8])> {
    let text = text.strip_prefix(b";")?.trim_ascii_start();
    let (name, text) = token(text)?;
    let text = text.trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    if let Some(quoted) = text.strip_prefix(b"\"") {
        let (value, text) = until_quote(quoted)?;
        return Some((name, value, text));
    }
    let (value, text) = token(text)?;
    Some((name, value.to_vec(), text))
}

/// The token at the start of a text, not an empty one.
fn token(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let len = text.iter().position(|byte| !is_token(byte)).unwrap_or(text.len());
    text.split_at_checked(len).filter(|(token, _)| !token.is_empty())
}

/// The rest of a quoted string, unescaped, and what is behind it.
fn until_quote(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut value = Vec::new();
    let mut rest = text;
    loop {
        let (first, behind) = rest.split_first()?;
        rest = match (first, behind.split_first()) {
            (b'"', _) => return Some((value, behind)),
            // As browsers of old did not escape backslashes, Go takes one as such unless a special character follows.
            (b'\\', Some((escaped, behind))) if b"()<>@,;:\\\"/[]?=".contains(escaped) => {
                value.push(*escaped);
                behind
            }
            (b'\r' | b'\n', _) => return None,
            _ => {
                value.push(*first);
                behind
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(value: &'static str, expect: MediaType) {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
        assert_eq!(MediaType::of(&headers), expect, "{value:?}");
    }

    // Scenario: media types in many spellings.
    // Guarantees: what Go's ParseMediaType makes of each; none panics.
    #[test]
    fn media_types_are_read() {
        use MediaType::{Json, Missing, Other, Protobuf};
        assert_eq!(MediaType::of(&HeaderMap::new()), Missing);
        check("", Missing);
        check("application/json", Json);
        check(" Application/JSON ", Json);
        check("application/x-protobuf", Protobuf);
        check("application/x-protobuf;", Protobuf);
        check("application/x-protobuf ; ", Protobuf);
        check("application/json; charset=utf-8", Json);
        check("application/json;charset = \"utf-8\" ; a=b", Json);
        check("application/json; a=b; A=b", Json);
        check("application/json; a=\"x;\\\"y\"", Json);
        for other in [
            "text/plain",
            "application/json2",
            "application/x-protobuf2",
            "application/json, application/json",
            "application/json; charset",
            "application/json; charset=",
            "application/json; =utf-8",
            "application/json;;",
            "application/json; a=b; a=c",
            "application/json; a=\"b",
            "application/json; a=b c",
            "json",
            ";",
        ] {
            check(other, Other);
        }
    }
}

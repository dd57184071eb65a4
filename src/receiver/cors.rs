//! CORS: which web pages may send telemetry from a browser.
//!
//! Stage: receiver, part of HTTP. Decides headers only; a preflight's status is in `reply`. Behaves as rs/cors v1.11.1
//! does in the Collector (`config/confighttp/server.go`, v0.161.0): credentials are always allowed, methods are GET,
//! POST and HEAD, and a preflight that is not in order gets the same 204 without the headers that would allow
//! anything. Every answer says by `Vary` that it depends on the origin.
//!
//! **Access-Control-Request-Headers** must be what browsers send by the Fetch standard: names in lower case, sorted,
//! each once. A blank around a name and a few empty elements are tolerated, as intermediaries add them.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
        ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
    },
    request::Parts,
};

use crate::model::settings;

const PREFLIGHT_VARY: HeaderValue =
    HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers");
const ORIGIN_VARY: HeaderValue = HeaderValue::from_static("Origin");
const ANY: HeaderValue = HeaderValue::from_static("*");
const TRUE: HeaderValue = HeaderValue::from_static("true");

/// Allowed when the settings name no header.
const DEFAULT_HEADERS: [&str; 3] = ["accept", "content-type", "x-requested-with"];

/// Empty elements that the list of a preflight may have.
///
/// Source: rs/cors v1.11.1 `internal/sortedset.go`, `maxEmptyElements`.
const EMPTY_ELEMENTS_MAX: usize = 16;

/// The rules of one listener.
#[derive(Debug)]
pub(super) struct Cors {
    origins: Origins,
    headers: RequestHeaders,
    exposed: Option<HeaderValue>,
    max_age: Option<HeaderValue>,
}

#[derive(Debug)]
enum Origins {
    Any,
    Some {
        exact: Vec<Vec<u8>>,
        /// What stands before and behind the wildcard.
        patterns: Vec<(Vec<u8>, Vec<u8>)>,
    },
}

#[derive(Debug)]
enum RequestHeaders {
    Any,
    /// In lower case, sorted, each once.
    Some(Vec<Vec<u8>>),
}

impl Cors {
    pub(super) fn new(settings: &settings::Cors) -> Self {
        let max_age = match settings.max_age_seconds {
            0 => None,
            seconds => Some(HeaderValue::from(seconds.max(0))),
        };
        Self {
            origins: Origins::new(&settings.allowed_origins),
            headers: RequestHeaders::new(&settings.allowed_headers),
            exposed: exposed(&settings.exposed_headers),
            max_age,
        }
    }

    /// Adds to `answer` what a page may know and do. `true`: the request is a preflight, and that is its answer.
    pub(super) fn apply(&self, request: &Parts, answer: &mut HeaderMap) -> bool {
        let asks_for_method =
            request.headers.get(ACCESS_CONTROL_REQUEST_METHOD).is_some_and(|method| !method.is_empty());
        let is_preflight = request.method == Method::OPTIONS && asks_for_method;
        answer.append(VARY, if is_preflight { PREFLIGHT_VARY } else { ORIGIN_VARY });
        if self.origins.allow(&request.headers) {
            match is_preflight {
                true => self.allow_preflight(&request.headers, answer),
                false => self.allow_request(request, answer),
            }
        }
        is_preflight
    }

    fn allow_preflight(&self, request: &HeaderMap, answer: &mut HeaderMap) {
        let method = request.get(ACCESS_CONTROL_REQUEST_METHOD);
        if !method.is_some_and(|method| is_allowed(method.as_bytes())) {
            return;
        }
        let headers = request.get_all(ACCESS_CONTROL_REQUEST_HEADERS);
        if !self.headers.allow(headers.iter().map(HeaderValue::as_bytes)) {
            return;
        }
        self.allow_origin(request, answer);
        copy(request, ACCESS_CONTROL_REQUEST_METHOD, answer, ACCESS_CONTROL_ALLOW_METHODS);
        if headers.iter().next().is_some_and(|first| !first.is_empty()) {
            copy(request, ACCESS_CONTROL_REQUEST_HEADERS, answer, ACCESS_CONTROL_ALLOW_HEADERS);
        }
        answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
        if let Some(max_age) = &self.max_age {
            answer.insert(ACCESS_CONTROL_MAX_AGE, max_age.clone());
        }
    }

    fn allow_request(&self, request: &Parts, answer: &mut HeaderMap) {
        if !is_allowed(request.method.as_str().as_bytes()) {
            return;
        }
        self.allow_origin(&request.headers, answer);
        if let Some(exposed) = &self.exposed {
            answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
        }
        answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
    }

    fn allow_origin(&self, request: &HeaderMap, answer: &mut HeaderMap) {
        match self.origins {
            Origins::Any => {
                answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
            }
            Origins::Some { .. } => copy(request, ORIGIN, answer, ACCESS_CONTROL_ALLOW_ORIGIN),
        }
    }
}

impl Origins {
    fn new(allowed: &[impl AsRef<str>]) -> Self {
        let (mut exact, mut patterns) = (Vec::new(), Vec::new());
        for origin in allowed {
            let origin = origin.as_ref().to_lowercase();
            match origin.split_once('*') {
                Some(("", "")) => return Self::Any,
                Some((start, end)) => patterns.push((start.into(), end.into())),
                None => exact.push(origin.into_bytes()),
            }
        }
        Self::Some { exact, patterns }
    }

    /// Whether the request has an origin, and an allowed one. Of several the first counts.
    fn allow(&self, request: &HeaderMap) -> bool {
        let Some(origin) = request.get(ORIGIN).filter(|origin| !origin.is_empty()) else { return false };
        match self {
            Self::Any => true,
            Self::Some { exact, patterns } => {
                let origin = origin.as_bytes().to_ascii_lowercase();
                let fits = |(start, end): &(Vec<u8>, Vec<u8>)| {
                    origin.strip_prefix(start.as_slice()).is_some_and(|rest| rest.ends_with(end))
                };
                exact.contains(&origin) || patterns.iter().any(fits)
            }
        }
    }
}

impl RequestHeaders {
    fn new(allowed: &[impl AsRef<str>]) -> Self {
        let mut names: Vec<Vec<u8>> = match allowed {
            [] => DEFAULT_HEADERS.map(Vec::from).into(),
            allowed => allowed.iter().map(|name| name.as_ref().to_lowercase().into_bytes()).collect(),
        };
        if names.iter().any(|name| name == b"*") {
            return Self::Any;
        }
        names.sort_unstable();
        names.dedup();
        Self::Some(names)
    }

    /// Whether every element of the lists is allowed, in the order and form that browsers keep to.
    fn allow<'a>(&self, mut lists: impl Iterator<Item = &'a [u8]>) -> bool {
        let Self::Some(names) = self else { return true };
        let mut next = 0;
        let mut empty = 0_usize;
        lists.all(|list| {
            list.split(|byte| *byte == b',').all(|element| match trimmed(element) {
                None => false,
                Some(b"") => {
                    empty = empty.saturating_add(1);
                    empty <= EMPTY_ELEMENTS_MAX
                }
                Some(name) => match names.binary_search_by(|allowed| allowed.as_slice().cmp(name)) {
                    Ok(position) if position >= next => {
                        next = position.saturating_add(1);
                        true
                    }
                    _ => false,
                },
            })
        })
    }
}

/// A list element without the blanks around it. `None`: there is more than one on a side. (Two blanks alone are none.)
fn trimmed(element: &[u8]) -> Option<&[u8]> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    if matches!(element, [a, b] if is_blank(a) && is_blank(b)) {
        return Some(b"");
    }
    let element = element.split_last().filter(|(last, _)| is_blank(last)).map_or(element, |(_, rest)| rest);
    let element =
        element.split_first().filter(|(first, _)| is_blank(first)).map_or(element, |(_, rest)| rest);
    let is_clean = !element.first().is_some_and(is_blank) && !element.last().is_some_and(is_blank);
    is_clean.then_some(element)
}

/// Whether a method may be used across origins; OPTIONS always may.
fn is_allowed(method: &[u8]) -> bool {
    matches!(method, b"GET" | b"POST" | b"HEAD" | b"OPTIONS")
}

/// The header that lists what a page may read. `None`: nothing beside the usual, or nothing that is a header.
fn exposed(names: &[impl AsRef<str>]) -> Option<HeaderValue> {
    let names: Vec<String> = names.iter().map(|name| canonical(name.as_ref())).collect();
    if names.is_empty() { None } else { HeaderValue::from_str(&names.join(", ")).ok() }
}

/// A header's name as Go writes it (`net/textproto`, `CanonicalMIMEHeaderKey`): `x-a` is `X-A`. A name that is none
/// stays as it is.
fn canonical(name: &str) -> String {
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        return name.to_owned();
    }
    let mut starts = true;
    let letter = |letter: char| {
        let written = if starts { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() };
        starts = letter == '-';
        written
    };
    name.chars().map(letter).collect()
}

/// Replaces a header of the answer by all values that one of the request has.
fn copy(request: &HeaderMap, from: HeaderName, answer: &mut HeaderMap, to: HeaderName) {
    answer.remove(&to);
    for value in request.get_all(from) {
        answer.append(to.clone(), value.clone());
    }
}

#[cfg(test)]
mod tests;

//! Which route a path belongs to, as Go's ServeMux decides it.
//!
//! Stage: receiver, part of HTTP. Paths compare segment by segment, percent-decoded, with case. A pattern that ends in
//! `/` takes everything below it; the longest one counts. A path that is not clean (`//v1/traces`, `/x/../v1/traces`)
//! is redirected to the clean one, known or not, and one without the `/` that a pattern ends in to that. Source: Go
//! 1.26 `net/http/server.go`, `ServeMux.findHandler`. Patterns with braces or a method, which ServeMux knows too, are
//! taken literally.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::{
    borrow::Cow,
    cmp::{Ordering, Reverse},
    sync::Arc,
};

use http::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::receiver::route::Route;

/// What Go escapes in the path of a URL.
///
/// Source: Go 1.26 `net/url/url.go`, `shouldEscape` in mode `encodePath`.
const PATH_ESCAPES: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b',')
    .remove(b'/')
    .remove(b':')
    .remove(b';')
    .remove(b'=')
    .remove(b'@');

/// The routes of one listener by their paths.
#[derive(Debug)]
pub(super) struct Mux {
    /// The most specific pattern first.
    routes: Vec<(Pattern, Route)>,
}

/// Where a request goes.
#[derive(Debug)]
pub(super) enum Found<'a> {
    Route(&'a Route),
    /// To another URL, path and query.
    Redirect(String),
    Nothing,
}

#[derive(Debug)]
struct Pattern {
    /// As configured.
    text: Arc<str>,
    /// Percent-decoded, without the empty one behind a last `/`.
    segments: Vec<String>,
    /// Everything below.
    is_tree: bool,
}

impl Mux {
    pub(super) fn new(routes: impl IntoIterator<Item = (Arc<str>, Route)>) -> Self {
        let mut routes: Vec<_> =
            routes.into_iter().map(|(text, route)| (Pattern::new(text), route)).collect();
        // Stable: of two signals on one path the first is served. (ServeMux panics; configurations are checked.)
        routes.sort_by_key(|(pattern, _)| (Reverse(pattern.segments.len()), pattern.is_tree));
        Self { routes }
    }

    pub(super) fn find(&self, uri: &Uri) -> Found<'_> {
        let path = uri.path();
        // Nearly every request: nothing is decoded, cleaned or copied.
        let is_it = |(pattern, _): &&(Pattern, Route)| !pattern.is_tree && *pattern.text == *path;
        if !path.contains('%')
            && let Some((_, route)) = self.routes.iter().find(is_it)
        {
            return Found::Route(route);
        }
        self.find_slowly(path, uri.query())
    }

    fn find_slowly(&self, path: &str, query: Option<&str>) -> Found<'_> {
        let redirect = |path: &str| {
            let escaped = utf8_percent_encode(path, PATH_ESCAPES).to_string();
            Found::Redirect(match query {
                None | Some("") => escaped,
                Some(query) => format!("{escaped}?{query}"),
            })
        };
        // `*`, and the authority that CONNECT asks for.
        if !path.starts_with('/') {
            return Found::Nothing;
        }
        let cleaned = clean(path);
        let segments = segments(&cleaned);
        let found = self.routes.iter().find(|(pattern, _)| pattern.takes(&segments));
        let is_exact = found.is_some_and(|(pattern, _)| !pattern.is_tree) || cleaned.ends_with('/');
        let is_root_of_tree =
            || self.routes.iter().any(|(pattern, _)| pattern.is_tree && pattern.segments == segments);
        if !is_exact && is_root_of_tree() {
            let decoded = percent_decode_str(path).decode_utf8_lossy();
            return redirect(&format!("{}/", clean(&decoded)));
        }
        if cleaned != path {
            return redirect(&cleaned);
        }
        found.map_or(Found::Nothing, |(_, route)| Found::Route(route))
    }
}

impl Pattern {
    fn new(text: Arc<str>) -> Self {
        let mut segments: Vec<String> = segments(&text).into_iter().map(Cow::into_owned).collect();
        let is_tree = text.ends_with('/');
        if is_tree {
            segments.pop();
        }
        Self { text, segments, is_tree }
    }

    fn takes(&self, path: &[Cow<'_, str>]) -> bool {
        let begins = path.iter().zip(&self.segments).all(|(found, own)| found == own);
        match path.len().cmp(&self.segments.len()) {
            Ordering::Less => false,
            Ordering::Equal => begins && !self.is_tree,
            Ordering::Greater => begins && self.is_tree,
        }
    }
}

/// The segments of a path behind its first `/`, percent-decoded.
fn segments(path: &str) -> Vec<Cow<'_, str>> {
    path.strip_prefix('/')
        .unwrap_or(path)
        .split('/')
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy())
        .collect()
}

/// A path without empty segments, `.` and `..`; a `/` at its end stays.
fn clean(path: &str) -> String {
    let mut kept = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    let end = if path.ends_with('/') && !kept.is_empty() { "/" } else { "" };
    format!("/{}{end}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{Delivered, Signal},
        receiver::Routes,
        router::Dispatcher,
        telemetry::Metrics,
    };

    /// Where a URL goes when traces, metrics and logs have these paths: a signal, another URL, or nowhere.
    #[track_caller]
    fn check(paths: [&str; 3], url: &str, expect: Result<Signal, Option<&str>>) {
        let dispatcher = Dispatcher::fixed(0, Ok(Delivered::default()));
        let routes = Signal::ALL
            .into_iter()
            .fold(Routes::new(), |routes, signal| routes.with(signal, dispatcher.clone()));
        let routes = Route::all("otlp", "http", &routes, false, &Metrics::new());
        let mux = Mux::new(paths.map(Arc::from).into_iter().zip(routes));
        let found = match mux.find(&url.parse().unwrap()) {
            Found::Route(route) => Ok(route.signal),
            Found::Redirect(location) => Err(Some(location)),
            Found::Nothing => Err(None),
        };
        assert_eq!(found, expect.map_err(|location| location.map(str::to_owned)), "{paths:?} {url}");
    }

    // Scenario: the usual paths, in many spellings.
    // Guarantees: what Go's ServeMux does with each: taken, redirected to the clean spelling, or not found.
    #[test]
    fn paths_are_found() {
        let usual = Signal::ALL.map(Signal::http_path);
        let check = |url, expect| check(usual, url, expect);
        check("/v1/traces", Ok(Signal::Traces));
        check("/v1/metrics?a=b", Ok(Signal::Metrics));
        check("/v1/lo%67s", Ok(Signal::Logs));
        check("http://host/v1/logs", Ok(Signal::Logs));
        for nothing in
            ["/", "/v1", "/v1/traces/", "/V1/traces", "/v1/traces%2F", "/v1%2Ftraces", "/v1/tracesx"]
        {
            check(nothing, Err(None));
        }
        check("//v1/traces", Err(Some("/v1/traces")));
        check("/v1//traces?a=b&c", Err(Some("/v1/traces?a=b&c")));
        check("/x/../v1/traces", Err(Some("/v1/traces")));
        check("/v1/./traces/", Err(Some("/v1/traces/")));
        check("/../..//no//where/", Err(Some("/no/where/")));
        check("//", Err(Some("/")));
        check("*", Err(None));
        check("host:80", Err(None));
        // As in Go: what was escaped is escaped again.
        check("//v1/%74races", Err(Some("/v1/%2574races")));
        check("//a'b(c)*!", Err(Some("/a%27b%28c%29%2A%21")));
    }

    // Scenario: patterns that take everything below them, one inside another, the root, and escaped ones.
    // Guarantees: the longest pattern counts whatever signal it is; a missing last slash is redirected.
    #[test]
    fn patterns_take_what_is_below() {
        let nested = ["/", "/otlp/", "/otlp/logs"];
        check(nested, "/", Ok(Signal::Traces));
        check(nested, "/any/thing", Ok(Signal::Traces));
        check(nested, "/otlp/", Ok(Signal::Metrics));
        check(nested, "/otlp/x/y", Ok(Signal::Metrics));
        check(nested, "/otlp/logs", Ok(Signal::Logs));
        check(nested, "/otlp/logs/", Ok(Signal::Metrics));
        check(nested, "/otlp", Err(Some("/otlp/")));
        check(nested, "/o%74lp?q", Err(Some("/otlp/?q")));
        let escaped = ["/a b", "/%c3%a9/", "/x"];
        check(escaped, "/a%20b", Ok(Signal::Traces));
        check(escaped, "/%C3%A9/x", Ok(Signal::Metrics));
        // Two signals on one path: the first.
        check(["/same", "/same", "/x"], "/same", Ok(Signal::Traces));
    }
}

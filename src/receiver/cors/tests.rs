//! CORS as a table: what rs/cors 1.11.1 answers with the Collector's options.

use http::Request;

use super::*;

fn settings(origins: &[&str], headers: &[&str]) -> settings::Cors {
    settings::Cors {
        allowed_origins: origins.iter().copied().map(Into::into).collect(),
        allowed_headers: headers.iter().copied().map(Into::into).collect(),
        exposed_headers: Vec::new(),
        max_age_seconds: 0,
    }
}

/// By name; values of one name stay in their order.
fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort_by_key(|line| line.split(':').next().unwrap().to_owned());
    lines
}

/// The answer's headers as sorted `name: value` lines, without Vary.
fn answer(settings: &settings::Cors, method: &str, headers: &[(&'static str, &str)]) -> (bool, Vec<String>) {
    let mut request = Request::builder().method(method).uri("/v1/traces");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut answer = HeaderMap::new();
    let is_preflight = Cors::new(settings).apply(&request.body(()).unwrap().into_parts().0, &mut answer);
    let vary = if is_preflight { PREFLIGHT_VARY } else { ORIGIN_VARY };
    assert_eq!(answer.remove(VARY), Some(vary));
    let lines = answer.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    (is_preflight, sorted(lines))
}

const METHOD: &str = "access-control-request-method";
const HEADERS: &str = "access-control-request-headers";

#[track_caller]
fn check_origin(allowed: &[&str], origin: &str, expect: Option<&str>) {
    let (_, lines) = answer(&settings(allowed, &[]), "POST", &[("origin", origin)]);
    let expect: Vec<String> = expect
        .map(|origin| {
            [
                format!("access-control-allow-origin: {origin}"),
                "access-control-allow-credentials: true".into(),
            ]
        })
        .into_iter()
        .flatten()
        .collect();
    assert_eq!(lines, sorted(expect), "{allowed:?} {origin:?}");
}

// Scenario: origins against lists of names, names in another case, and wildcards.
// Guarantees: an allowed one is echoed as it was sent, or answered with `*`; another one gets nothing.
#[test]
fn origins_are_matched() {
    let page = "https://Page.example";
    check_origin(&["https://page.example"], page, Some(page));
    check_origin(&["https://PAGE.example"], "https://page.example", Some("https://page.example"));
    check_origin(&["https://page.example"], "https://page.example:8080", None);
    check_origin(&["http://other", "https://page.example"], page, Some(page));
    check_origin(&["*"], page, Some("*"));
    check_origin(&["http://other", "*"], "null", Some("*"));
    check_origin(&["https://*.example"], page, Some(page));
    check_origin(&["https://*.example"], "https://a.b.example", Some("https://a.b.example"));
    check_origin(&["https://*.example"], "https://.example", Some("https://.example"));
    check_origin(&["https://*.example"], "https://example", None);
    check_origin(&["https://*.example"], "http://page.example", None);
    check_origin(&["https://a*a"], "https://a", None);
    check_origin(&["https://a*a"], "https://aa", Some("https://aa"));
    check_origin(&["http*"], "http", Some("http"));
    check_origin(&["https://page.example"], "", None);
}

#[track_caller]
fn check_preflight(allowed: &[&str], method: &str, lists: &[&str], is_allowed: bool) {
    let mut request = vec![("origin", "http://a"), (METHOD, method)];
    request.extend(lists.iter().map(|list| (HEADERS, *list)));
    let (is_preflight, lines) = answer(&settings(&["http://a"], allowed), "OPTIONS", &request);
    assert!(is_preflight);
    let mut expect = Vec::new();
    if is_allowed {
        expect.push("access-control-allow-origin: http://a".to_owned());
        expect.push(format!("access-control-allow-methods: {method}"));
        if lists.first().is_some_and(|first| !first.is_empty()) {
            expect.extend(lists.iter().map(|list| format!("access-control-allow-headers: {list}")));
        }
        expect.push("access-control-allow-credentials: true".to_owned());
    }
    assert_eq!(lines, sorted(expect), "{allowed:?} {method} {lists:?}");
}

// Scenario: preflights for every kind of method and list of headers, in order and not.
// Guarantees: the method and the lists are echoed if they are allowed and as browsers send them; else nothing is.
#[test]
fn preflights_are_checked() {
    for (method, is_allowed) in [
        ("GET", true),
        ("POST", true),
        ("HEAD", true),
        ("OPTIONS", true),
        ("PUT", false),
        ("post", false),
        ("DELETE", false),
    ] {
        check_preflight(&[], method, &[], is_allowed);
    }
    let post = |allowed: &[&str], lists: &[&str], is_allowed| {
        check_preflight(allowed, "POST", lists, is_allowed);
    };
    post(&[], &[""], true);
    post(&[], &["content-type"], true);
    post(&[], &["accept,content-type,x-requested-with"], true);
    post(&[], &["accept, content-type"], true);
    post(&[], &["accept ,\tcontent-type "], true);
    post(&[], &["accept,  content-type"], false);
    post(&[], &["accept,content-type  "], false);
    post(&[], &["content-type,accept"], false);
    post(&[], &["accept,accept"], false);
    post(&[], &["Content-Type"], false);
    post(&[], &["authorization"], false);
    post(&[], &["accept,authorization"], false);
    post(&[], &["accept", "content-type"], true);
    post(&[], &["content-type", "accept"], false);
    post(&[], &["accept,,content-type,"], true);
    post(&[], &["accept,  ,content-type"], true);
    post(&[], &["accept,   ,content-type"], false);
    post(&[], &[&",".repeat(15)], true);
    post(&[], &[&",".repeat(16)], false);
    post(&[], &["", &",".repeat(15)], false);

    // A list of one's own replaces the usual one.
    post(&["X-Tenant", "Content-Type"], &["content-type,x-tenant"], true);
    post(&["X-Tenant"], &["content-type"], false);
    post(&["a", "a"], &["a"], true);
    post(&["x", "*"], &["anything,At,all"], true);
}

// Scenario: a preflight from a foreign page, one without an origin, and OPTIONS that is none.
// Guarantees: a preflight is answered, with nothing allowed; another OPTIONS request is an ordinary one.
#[test]
fn preflights_are_told_apart() {
    let rules = settings(&["http://a"], &[]);
    let check = |headers: &[(&'static str, &str)], expect: (bool, usize)| {
        let (is_preflight, lines) = answer(&rules, "OPTIONS", headers);
        assert_eq!((is_preflight, lines.len()), expect, "{headers:?} {lines:?}");
    };
    check(&[("origin", "http://b"), (METHOD, "POST")], (true, 0));
    check(&[(METHOD, "POST")], (true, 0));
    check(&[("origin", ""), (METHOD, "POST")], (true, 0));
    check(&[("origin", "http://a"), (METHOD, "")], (false, 2));
    check(&[("origin", "http://a")], (false, 2));
    check(&[], (false, 0));
    // A method that may not cross origins is not told so in an ordinary answer either.
    assert_eq!(answer(&rules, "PUT", &[("origin", "http://a")]), (false, Vec::new()));
}

// Scenario: rules with an age and with headers to read.
// Guarantees: the age is in preflights, 0 if below and none if 0; the names, as Go writes them, in other answers.
#[test]
fn ages_and_exposed_headers_are_said() {
    let mut rules = settings(&["*"], &[]);
    rules.exposed_headers = ["x-a", "RETRY-AFTER", "no header"].map(Into::into).into();
    for (seconds, expect) in [(600, Some("600")), (1, Some("1")), (0, None), (-1, Some("0"))] {
        rules.max_age_seconds = seconds;
        let preflight = answer(&rules, "OPTIONS", &[("origin", "http://a"), (METHOD, "POST")]).1;
        let age = preflight.iter().find_map(|line| line.strip_prefix("access-control-max-age: "));
        assert_eq!(age, expect);
        assert!(!preflight.iter().any(|line| line.starts_with("access-control-expose-headers")));
    }
    let request = answer(&rules, "POST", &[("origin", "http://a")]).1;
    assert_eq!(
        request,
        [
            "access-control-allow-credentials: true",
            "access-control-allow-origin: *",
            "access-control-expose-headers: X-A, Retry-After, no header",
        ]
    );
}

// Scenario: a header that depends on the origin was there before.
// Guarantees: it stays, with its own beside it.
#[test]
fn vary_is_added() {
    let mut answer = HeaderMap::new();
    answer.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    let request = Request::post("/").body(()).unwrap().into_parts().0;
    Cors::new(&settings(&["*"], &[])).apply(&request, &mut answer);
    let values: Vec<_> = answer.get_all(VARY).iter().collect();
    assert_eq!(values, ["Accept-Encoding", "Origin"]);
}

//! The pages `/readyz` and `/ringz`, as JSON.
//!
//! Stage: admin. A readiness probe decides by the status alone; the body is for whoever asks why.

use http::StatusCode;
use serde::Serialize;

use super::{
    health::State,
    server::Page,
    views::{ResolverView, RingView, Views},
};

#[derive(Serialize)]
struct Readiness<'a> {
    status: &'static str,
    reason: String,
    resolvers: &'a [ResolverView],
}

#[derive(Serialize)]
struct Rings {
    rings: Vec<RingView>,
}

/// 200 while ready, else 503. Costs a look at each resolver, whatever the number of its members.
pub(super) fn readiness(state: State, views: &Views) -> Page {
    let resolvers = views.resolvers();
    let (status, word, reason) = match state {
        State::Ready { .. } => (StatusCode::OK, "ready", String::new()),
        State::Starting => (StatusCode::SERVICE_UNAVAILABLE, "not ready", waited_for(&resolvers)),
        State::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "not ready", "stopping".to_owned()),
    };
    json(status, &Readiness { status: word, reason, resolvers: &resolvers })
}

/// Every ring with its members. Costs some milliseconds for 10,000 of them.
pub(super) fn rings(views: &Views) -> Page {
    json(StatusCode::OK, &Rings { rings: views.rings() })
}

/// What keeps a starting process from being ready: a resolver that has not answered before one that has nothing.
fn waited_for(resolvers: &[ResolverView]) -> String {
    let silent = resolvers.iter().find(|view| view.endpoints.is_none());
    let first = silent.or_else(|| resolvers.iter().find(|view| view.missing.is_some()));
    match first {
        Some(ResolverView { exporter, missing: Some(missing), .. }) => format!("{exporter}: {missing}"),
        Some(_) | None => "starting".to_owned(),
    }
}

fn json(status: StatusCode, page: &impl Serialize) -> Page {
    match serde_json::to_string(page) {
        Ok(mut body) => {
            body.push('\n');
            Page { status, content_type: "application/json", body }
        }
        // Cannot be: the keys are texts. An answer all the same, since a probe waits for it.
        Err(error) => Page::text(StatusCode::INTERNAL_SERVER_ERROR, &format!("no page: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tokio::time::Instant;

    use super::*;
    use crate::admin::views::{ErrorView, MEMBERS_MAX, MemberView};

    fn resolver(exporter: &str, endpoints: Option<usize>) -> ResolverView {
        ResolverView {
            exporter: exporter.to_owned(),
            resolver: "file",
            target: "file /e\"x".to_owned(),
            state: "waiting",
            endpoints,
            age_seconds: endpoints.map(|_| 1.5),
            error: Some(ErrorView { code: "unusable", message: "a \"b\"\n\\\u{1}é".to_owned() }),
            missing: (endpoints.unwrap_or(0) == 0).then(|| format!("why {exporter} has nothing")),
        }
    }

    fn views(resolvers: Vec<ResolverView>, rings: Vec<RingView>) -> Views {
        let views = Views::new();
        views.open(Box::new(move || resolvers.clone()), Box::new(move || rings.clone()));
        views
    }

    #[track_caller]
    fn check(state: State, resolvers: &[ResolverView], expect: (u16, &str, &str)) {
        let page = readiness(state, &views(resolvers.to_vec(), Vec::new()));
        let body: Value = serde_json::from_str(&page.body).unwrap();
        let texts = ["status", "reason"].map(|field| body[field].as_str().unwrap());
        assert_eq!((page.status.as_u16(), texts[0], texts[1]), expect, "{body}");
        assert_eq!(body["resolvers"].as_array().unwrap().len(), resolvers.len());
    }

    // Scenario: every state of the process, with resolvers that have answered, have nothing, and are silent.
    // Guarantees: the status is that of the process; the reason names the first silent resolver, else the first without
    // endpoints, and is empty when there is nothing to wait for.
    #[tokio::test]
    async fn readiness_names_what_is_waited_for() {
        let [full, empty, silent] =
            [("f", Some(3)), ("e", Some(0)), ("s", None)].map(|(id, endpoints)| resolver(id, endpoints));
        let ready = State::Ready { since: std::time::UNIX_EPOCH, at: Instant::now() };
        check(ready, &[full.clone(), empty.clone()], (200, "ready", ""));
        check(State::Stopping, std::slice::from_ref(&silent), (503, "not ready", "stopping"));
        check(State::Starting, &[], (503, "not ready", "starting"));
        check(State::Starting, std::slice::from_ref(&full), (503, "not ready", "starting"));
        check(State::Starting, &[full, empty.clone(), silent], (503, "not ready", "s: why s has nothing"));
        check(State::Starting, &[empty], (503, "not ready", "e: why e has nothing"));
        let page = readiness(State::Starting, &Views::new());
        assert_eq!((page.status.as_u16(), page.content_type), (503, "application/json"));
    }

    // Scenario: a resolver whose texts hold everything that JSON escapes, and one that has never answered.
    // Guarantees: the page has exactly the documented fields, and the texts come back as they were.
    #[test]
    fn readiness_has_its_fields() {
        let page = readiness(
            State::Stopping,
            &views(vec![resolver("a/b", Some(2)), resolver("s", None)], Vec::new()),
        );
        let error = json!({"code": "unusable", "message": "a \"b\"\n\\\u{1}é"});
        let expect = json!({
            "status": "not ready",
            "reason": "stopping",
            "resolvers": [
                {"exporter": "a/b", "resolver": "file", "target": "file /e\"x", "state": "waiting", "endpoints": 2, "age_seconds": 1.5, "error": error},
                {"exporter": "s", "resolver": "file", "target": "file /e\"x", "state": "waiting", "endpoints": null, "age_seconds": null, "error": error},
            ],
        });
        assert_eq!(serde_json::from_str::<Value>(&page.body).unwrap(), expect);
    }

    // Scenario: a ring with as many members as a page lists.
    // Guarantees: exactly the documented fields, every member in its order, in a body of bounded size.
    #[test]
    fn rings_have_their_fields() {
        let member = |number: usize| MemberView {
            identity: format!("sampler-{number}"),
            address: format!("10.0.{}.{}:4317", number / 256, number % 256),
            state: "active",
        };
        let ring = RingView {
            exporter: "load_balancing".to_owned(),
            signal: "traces",
            ring_generation: "G3",
            table_generation: 7,
            digest: "0123456789abcdef".to_owned(),
            size: MEMBERS_MAX + 1,
            skipped: 1,
            members: (0..MEMBERS_MAX).map(member).collect(),
        };
        let page = rings(&views(Vec::new(), vec![ring]));
        assert!(page.body.len() < 100 * MEMBERS_MAX, "{}", page.body.len());
        let mut body: Value = serde_json::from_str(&page.body).unwrap();
        let members = body["rings"][0]["members"].take();
        assert_eq!(members.as_array().unwrap().len(), MEMBERS_MAX);
        assert_eq!(
            members[9_999],
            json!({"identity": "sampler-9999", "address": "10.0.39.15:4317", "state": "active"})
        );
        let expect = json!({"rings": [{
            "exporter": "load_balancing", "signal": "traces", "ring_generation": "G3", "table_generation": 7,
            "digest": "0123456789abcdef", "size": 10_001, "skipped": 1, "members": null,
        }]});
        assert_eq!(body, expect);
        assert_eq!(rings(&Views::new()).body, "{\"rings\":[]}\n");
    }
}

//! The table of cases through the core, natively. `tests/envoy.rs` sends the same table through a real Envoy.

#![expect(clippy::indexing_slicing, reason = "a test that panics says what is wrong")]

mod drivers;

use drivers::{now, through_core};
use jwtproxy_wasm::{Answer, Decision, Event, Policy, Rejection, RequestHead};
use rig::table::{self, Case};
use serde_json::{Value, json};

#[test]
fn every_case_through_the_core() {
    let table = table::load();
    let variables = table::env();
    let env = |name: &str| variables.iter().find(|(own, _)| *own == name).map(|(_, value)| value.clone());
    table::run("the core", table.cases.iter(), |case| {
        let config = table.configs[&case.config].to_string();
        let policy = Policy::from_json(config.as_bytes(), &env)
            .unwrap_or_else(|error| panic!("{}: configuration: {error}", case.name));
        check(&policy, case)
    });
}

/// Beside the outcome, the very event: not every answer tells its reason.
fn check(policy: &Policy, case: &Case) -> Result<(), String> {
    let (decision, outcome) = through_core(policy, &case.fields, &case.body, case.now.unwrap_or_else(now));
    if let (Decision::Answer(answer), Some(wanted)) = (&decision, case.expect["reason"].as_str()) {
        let found = match &answer.event {
            Event::Refused(rejection) => rejection.reason(),
            Event::Preflight | Event::SignedIn | Event::SignedOut(_) | Event::Told => "none",
        };
        if found != wanted {
            return Err(format!("reason: wanted {wanted}, found {:?}", answer.event));
        }
    }
    outcome.check(&case.expect)?;
    let (_, again) = through_core(policy, &case.fields, &case.body, case.now.unwrap_or_else(now));
    again.check(&case.expect).map_err(|fault| format!("the second time, with the token known: {fault}"))
}

/// The host alone can tell that a form does not come: no row can.
#[test]
fn a_form_that_does_not_come_is_refused_in_the_way_of_who_sent_it() {
    let table = table::load();
    let policy =
        Policy::from_json(table.configs["browsers/session"].to_string().as_bytes(), &|_: &str| None).unwrap();
    let refused = |mode: &str, kind: &str| {
        let fields = [
            (":method", "POST"),
            (":authority", "app.example.com"),
            (":path", "/jwt/auth"),
            ("content-type", "application/x-www-form-urlencoded"),
            ("cookie", "access_token=a.b.c"),
            ("sec-fetch-dest", if mode == "navigate" { "document" } else { "empty" }),
            ("sec-fetch-mode", mode),
            ("sec-fetch-site", "same-origin"),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        let Answer { response, event } =
            policy.refuse_form(Rejection::FormUnreadable, &RequestHead::new(&fields));
        assert_eq!(event, Event::Refused(Rejection::FormUnreadable));
        let header =
            |name: &str| response.headers.iter().find(|(own, _)| *own == name).map(|(_, value)| &**value);
        assert_eq!((response.status, header("content-type")), (501, Some(kind)));
        assert_eq!(header("cache-control"), Some("no-store"));
        // Nothing is wrong with the session, and a new sign-in would bring the same form.
        assert_eq!(
            (header("set-cookie"), header("location"), header("www-authenticate")),
            (None, None, None)
        );
        String::from_utf8(response.body).unwrap()
    };
    let page = refused("navigate", "text/html; charset=utf-8");
    assert!(page.contains("<h1>The form cannot be read here.</h1>"), "{page}");
    assert!(page.contains("form_unreadable") && !page.contains("<a "), "{page}");
    let problem: Value = serde_json::from_str(&refused("cors", "application/problem+json")).unwrap();
    assert_eq!((&problem["status"], &problem["reason"]), (&json!(501), &json!("form_unreadable")));
    assert_eq!(problem.get("login_url"), None);
}

//! Who asks decides how a request is refused, never whether: no header of any client, in no combination with others, lets
//! a request in that has no token, nor sends a program to the login page.

#![expect(clippy::indexing_slicing, clippy::panic, reason = "a test that panics says what is wrong")]

mod drivers;

use std::sync::LazyLock;

use drivers::{now, through_core};
use jwtproxy_wasm::{Decision, Policy};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::FileFailurePersistence;
use rig::jwt::Key;
use rig::table::{self, Outcome};
use serde_json::json;

type Line = (String, Vec<u8>);

/// Every header line of the clients in `cases_asking.json`; their only token has expired.
static LINES: LazyLock<Vec<Line>> = LazyLock::new(|| {
    let cases = table::load().cases.into_iter().filter(|case| case.name.starts_with("asking: "));
    let mut lines: Vec<Line> = cases.flat_map(|case| case.fields).collect();
    lines.retain(|(name, _)| !name.starts_with(':'));
    lines.sort();
    lines.dedup();
    assert!(lines.len() > 100, "only {} lines", lines.len());
    lines
});

/// What clients say to be taken for somebody else, or for another request.
const CLAIMS: &[(&str, &str)] = &[
    ("access-control-request-headers", "authorization"),
    ("authorization", "Basic YTpi"),
    ("authorization", "Bearer"),
    ("authorization", "Bearer a.b.c"),
    ("content-type", "application/x-www-form-urlencoded"),
    ("cookie", "access_token=a.b.c; access_token.login=1-0-0"),
    ("forwarded", "for=127.0.0.1;host=localhost"),
    ("origin", "null"),
    ("purpose", "prefetch"),
    ("sec-fetch-dest", "fencedframe"),
    ("sec-fetch-mode", "nested-navigate"),
    ("sec-fetch-site", "same-site"),
    ("sec-fetch-storage-access", "active"),
    ("user-agent", "ELB-HealthChecker/2.0"),
    ("x-envoy-internal", "true"),
    ("x-envoy-original-path", "/healthz"),
    ("x-forwarded-for", "127.0.0.1"),
    ("x-forwarded-host", "localhost"),
    ("x-forwarded-method", "OPTIONS"),
    ("x-forwarded-uri", "/healthz"),
    ("x-http-method-override", "OPTIONS"),
    ("x-jwt-sub", "alice"),
    ("x-original-method", "OPTIONS"),
    ("x-original-url", "/healthz"),
    ("x-rewrite-url", "/static/a.css"),
];

fn policies() -> &'static [(bool, Policy)] {
    thread_local!(static POLICIES: &'static [(bool, Policy)] = load().leak());
    POLICIES.with(|policies| *policies)
}

/// Whether a policy is strict, and the policy.
fn load() -> Vec<(bool, Policy)> {
    let login = "https://login.example/start";
    let public = json!([{"exact": "/healthz"}, {"prefix": "/static/"}]);
    [
        json!({}),
        json!({"session": {"login_url": login, "allowed_origins": ["https://che.example.com"]}}),
        json!({"session": {"csrf": "off"}}),
        json!({"session": {"csrf": "strict", "login_url": "/static/login"}}),
        json!({"session": {"login_url": login}, "profile": "jwtproxy"}),
    ]
    .into_iter()
    .map(|mut config| {
        config["public_paths"] = public.clone();
        config["providers"] = json!([{"issuer": "https://issuer.example", "audiences": ["app"],
            "keys": [{"pem": Key::fixed("a").public_pem(), "kid": "a"}], "claim_headers": {"x-jwt-sub": "sub"}}]);
        let policy = Policy::from_json(config.to_string().as_bytes(), &|_: &str| None);
        (config["profile"].is_null(), policy.unwrap_or_else(|error| panic!("{error}")))
    })
    .collect()
}

fn line() -> impl Strategy<Value = Line> {
    let claims = select(CLAIMS).prop_map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    prop_oneof![3 => select(LINES.clone()), 1 => claims]
}

/// A person's browser shows the answer as a page: what it says of a request does not deny it.
fn may_navigate(method: &str, lines: &[Line]) -> bool {
    const PAGES: &[&str] = &["document", "embed", "fencedframe", "frame", "iframe", "object"];
    let first = |name: &str| {
        let line = lines.iter().find(|(own, _)| own == name);
        line.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    };
    let mode = first("sec-fetch-mode");
    let page = first("sec-fetch-dest").map(|destination| PAGES.contains(&destination.as_str()));
    let by_metadata = mode.is_none_or(|mode| mode == "navigate") && page.unwrap_or(true);
    matches!(method, "GET" | "HEAD") && by_metadata
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/asking.regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_header_lets_anybody_in(
        method in select(&["GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND", "TRACE", "CONNECT"][..]),
        path in select(&["/app", "/", "/app?token=", "/healthz/x", "/static", "/static/../app", "/jwt/auth"][..]),
        lines in vec(line(), 0..12),
    ) {
        let pseudo = [(":authority", "app.example.com"), (":path", path), (":method", method)];
        let pseudo = pseudo.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        let fields: Vec<Line> = pseudo.into_iter().chain(lines.clone()).collect();
        for (strict, policy) in policies() {
            // JwtProxy takes this for a preflight.
            let asks_first = lines.iter().any(|(name, _)| name.starts_with("access-control-request"));
            if !strict && method == "OPTIONS" && asks_first {
                continue;
            }
            let (decision, outcome) = through_core(policy, &fields, b"token=a.b.c", now());
            prop_assert!(matches!(decision, Decision::Answer(_)), "was let in");
            let Outcome::Answered { status, headers, .. } = outcome else { panic!("no answer") };
            let has = |name: &str| headers.iter().any(|(own, _)| own == name);
            prop_assert!(matches!(status, 200 | 302 | 401 | 403 | 405), "{}", status);
            prop_assert_eq!(status == 302, has("location"), "{:?}", headers);
            prop_assert_eq!(status == 200, has("grpc-status"), "{:?}", headers);
            // JwtProxy leads everybody there.
            prop_assert!(!strict || status != 302 || may_navigate(method, &lines), "was led to the login page");
        }
    }
}

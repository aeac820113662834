//! Does any return address lead away? Whatever stands in the parameter, a browser stays on an origin that may be returned
//! to: for the addresses of the table, and for what comes of them by chance.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that panics says what is wrong"
)]

mod drivers;
#[path = "drivers/whatwg.rs"]
mod whatwg;

use std::sync::LazyLock;

use drivers::{now, through_core};
use jwtproxy_wasm::Policy;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::FileFailurePersistence;
use rig::jwt::{Key, mint};
use rig::table::{self, Outcome};
use serde_json::json;
use url::Url;

const ALLOWED: &[&str] = &[
    "https://che.example.com",
    "http://ide.example.org:8443",
    "https://[2001:db8::1]",
    "https://*.ws1.example.org",
];
const EXTERNAL: &str = "https://ide.example.com";

static GOOD: LazyLock<String> = LazyLock::new(|| token(3600));
static EXPIRED: LazyLock<String> = LazyLock::new(|| token(-3600));

static CORPUS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let lists = ["hostile", "kept"].map(|name| table::list("return_addresses", name)).concat();
    // What is hostile for one origin may be so for those with any label.
    let any_label = lists.iter().map(|address| address.replace("che.example.com", "3000.ws1.example.org"));
    let all: Vec<Vec<u8>> = any_label.chain(lists.clone()).map(String::into_bytes).collect();
    assert!(all.len() > 80, "only {} addresses", all.len());
    all
});

fn token(lifetime: i64) -> String {
    let now = i64::try_from(rig::jwt::now()).expect("seconds");
    let claims = json!({"sub": "alice", "exp": now.saturating_add(lifetime)});
    mint(&Key::fixed("a"), "RS256", json!({"alg": "RS256"}), claims)
}

/// With a login page elsewhere, here, or none; at the root or below it; seen by the request or from outside.
fn policies() -> &'static [(Policy, bool)] {
    thread_local!(static POLICIES: &'static [(Policy, bool)] = load().leak());
    POLICIES.with(|policies| *policies)
}

fn load() -> Vec<(Policy, bool)> {
    [
        json!({"login_url": "https://che.example.com/start", "cookie": {"same_site": "Strict"}}),
        json!({"login_url": "/login", "public_base_path": "/ws1"}),
        json!({"external_url": EXTERNAL, "logout_url": "https://che.example.com/bye"}),
    ]
    .into_iter()
    .map(|mut session| {
        session["allowed_origins"] = json!(ALLOWED);
        let is_external = !session["external_url"].is_null();
        let key = Key::fixed("a").public_pem();
        let config = json!({"providers": [{"keys": [{"pem": key}]}], "session": session}).to_string();
        let policy = Policy::from_json(config.as_bytes(), &|_: &str| None);
        (policy.unwrap_or_else(|error| panic!("{error}")), is_external)
    })
    .collect()
}

/// Where a person comes from.
#[derive(Clone, Copy, Debug)]
struct Here {
    scheme: &'static str,
    authority: &'static str,
}

const SCHEMES: &[&str] = &["http", "https"];
const AUTHORITIES: &[&str] =
    &["app.example.com", "APP.example.com:80", "app.example.com:8080", "127.0.0.1:8443", "[::1]:443"];

fn page(here: Here, is_external: bool) -> Url {
    let own = format!("{}://{}", here.scheme, here.authority);
    let origin = if is_external { EXTERNAL } else { &own };
    Url::parse(origin).and_then(|origin| origin.join("/jwt/auth")).expect("a URL")
}

/// A request that names a return address.
struct Asked {
    method: &'static str,
    target: String,
    form: String,
    cookie: Option<&'static str>,
    site: &'static str,
}

impl Asked {
    fn fields(&self, here: Here) -> Vec<(String, Vec<u8>)> {
        let mut fields = vec![
            (":authority", here.authority),
            (":path", &self.target),
            (":method", self.method),
            ("x-forwarded-proto", here.scheme),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
            ("sec-fetch-site", self.site),
        ];
        fields.extend(self.cookie.map(|cookie| ("cookie", cookie)));
        if self.site == "cross-site" {
            // Any other one is asked first.
            fields.push(("referer", "https://che.example.com/"));
        }
        if self.method == "POST" {
            fields.push(("content-type", "application/x-www-form-urlencoded"));
        }
        fields.into_iter().map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).collect()
    }
}

/// Every place that takes a return address: a link, from here and from an allowed origin; a form; a cookie alone; logout; and the
/// page of a link that is refused.
fn asked(address: &[u8]) -> [Asked; 8] {
    static COOKIE: LazyLock<String> = LazyLock::new(|| format!("access_token={}", *GOOD));
    let back = format!("redirectUrl={}", percent_encode(address, NON_ALPHANUMERIC));
    let (good, expired) = (format!("token={}", *GOOD), format!("token={}", *EXPIRED));
    let cookie = Some(COOKIE.as_str());
    let asks = |method, target, form, cookie, site| Asked { method, target, form, cookie, site };
    let none = String::new;
    [
        asks("GET", format!("/jwt/auth?{good}&{back}"), none(), None, "same-origin"),
        asks("GET", format!("/jwt/auth?{good}&{back}"), none(), None, "cross-site"),
        asks("POST", "/jwt/auth".into(), format!("{good}&{back}"), None, "same-origin"),
        asks("POST", format!("/jwt/auth?{back}"), good, None, "same-origin"),
        asks("GET", format!("/jwt/auth?{back}"), none(), cookie, "none"),
        asks("GET", format!("/jwt/logout?{back}"), none(), cookie, "same-origin"),
        asks("POST", format!("/jwt/logout?{back}"), none(), cookie, "same-origin"),
        asks("GET", format!("/jwt/auth?{expired}&{back}"), none(), None, "none"),
    ]
}

fn leads_nowhere_else(here: Here, address: &[u8]) -> Result<(), String> {
    for asked in asked(address) {
        let fields = asked.fields(here);
        for (policy, is_external) in policies() {
            let page = page(here, *is_external);
            let (_, outcome) = through_core(policy, &fields, asked.form.as_bytes(), now());
            let Outcome::Answered { status, headers, body } = outcome else {
                return Err("was forwarded".into());
            };
            let location = headers.iter().find(|(name, _)| name == "location").map(|(_, value)| value);
            let verdict = match (status, location) {
                (303, Some(location)) => whatwg::stays(&page, location, ALLOWED),
                (200, None) if asked.site == "cross-site" => leads_on(&page, &body),
                (401, None) if asked.target.contains(EXPIRED.as_str()) => links_to_login(&page, &body),
                other => Err(format!("answers {other:?}")),
            };
            verdict.map_err(|fault| {
                let address = String::from_utf8_lossy(address);
                format!("{address:?} by {} {} at {page}: {fault}", asked.method, asked.target)
            })?;
        }
    }
    Ok(())
}

/// A page that takes the place of a redirect leads on by itself and by a click.
fn leads_on(page: &Url, body: &str) -> Result<(), String> {
    for before in ["content=\"0; url=", "<a href=\""] {
        let link = attribute(body, before).ok_or("a page that leads nowhere")?;
        whatwg::stays(page, &link, ALLOWED)?;
    }
    Ok(())
}

/// The link of a page leads to the login page, where there is one, and from there to an address that stays as well.
fn links_to_login(page: &Url, body: &str) -> Result<(), String> {
    let Some(link) = attribute(body, "<a href=\"") else { return Ok(()) };
    whatwg::stays(page, &link, ALLOWED)?;
    let link = page.join(&link).map_err(|error| error.to_string())?;
    let back = link.query_pairs().find(|(name, _)| name == "redirectUrl");
    let (_, back) = back.ok_or("no return address for the login page")?;
    whatwg::stays(page, &back, ALLOWED)
}

fn attribute(body: &str, before: &str) -> Option<String> {
    let (_, rest) = body.split_once(before)?;
    let value = rest.split('"').next()?;
    Some(value.replace("&#39;", "'").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
}

#[test]
fn no_address_of_the_table_leads_away() {
    for scheme in SCHEMES {
        for authority in AUTHORITIES {
            for address in CORPUS.iter() {
                leads_nowhere_else(Here { scheme, authority }, address)
                    .unwrap_or_else(|fault| panic!("{fault}"));
            }
        }
    }
}

/// A judge that lets everything pass would find nothing.
#[test]
fn the_judge_knows_what_leads_away() {
    let page = Url::parse("https://app.example.com/jwt/auth").expect("a URL");
    for address in [
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "http:evil.example",
        "https:///evil.example",
        "https:/\\evil.example",
        "https://che.example.com@evil.example",
        "https://evil.example\\@che.example.com",
        "https://user@che.example.com",
        "https://che.example.com:8443",
        "https://ws1.example.org",
        "https://a.b.ws1.example.org",
        "http://a.ws1.example.org",
        "https://.ws1.example.org",
        "javascript:alert(1)",
        "/\t/evil.example",
        "https://",
    ] {
        assert!(whatwg::stays(&page, address, ALLOWED).is_err(), "{address}");
    }
    for address in [
        "/",
        "x",
        "/.//evil.example",
        "https:x",
        "https://che.example.com:443/x",
        "https://a.ws1.example.org/",
    ] {
        assert_eq!(whatwg::stays(&page, address, ALLOWED), Ok(()));
    }
}

/// What addresses are made of, and what parsers do not agree about.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => select(table::list("return_addresses", "pieces")).prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 1..3),
        1 => (select(CORPUS.clone()), any::<Index>()).prop_map(|(address, at)| {
            let at = at.index(address.len().saturating_add(1));
            address[at..].to_vec()
        }),
    ]
}

/// Puts pieces into an address, each at some place and instead of some of its bytes.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let edits = vec((any::<Index>(), 0_usize..4, piece()), 0..5);
    (prop_oneof![3 => select(CORPUS.clone()), 1 => Just(Vec::new())], edits).prop_map(
        |(mut address, edits)| {
            for (at, length, piece) in edits {
                let from = at.index(address.len().saturating_add(1));
                let to = from.saturating_add(length).min(address.len());
                address.splice(from..to, piece);
            }
            address
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/return_addresses.regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_address_leads_away(
        scheme in select(SCHEMES), authority in select(AUTHORITIES), address in mutated(),
    ) {
        leads_nowhere_else(Here { scheme, authority }, &address).map_err(TestCaseError::fail)?;
    }
}

//! What holds for every request, however odd: nothing panics, nobody gets in without a signature, no credential of a
//! client goes on, and no answer leads to a foreign place.

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
use jwt_compact::UntrustedToken;
use jwtproxy_wasm::jwt::{Base64Url, Jws, Profile, Wanted};
use jwtproxy_wasm::{Decision, Policy};
use percent_encoding::percent_decode_str;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::FileFailurePersistence;
use rig::jwt::{Key, mint, mint_raw};
use rig::table::Outcome;
use serde_json::{Value, json};
use url::Url;

const ALLOWED_ORIGIN: &str = "https://che.example.com";
const CLAIM_HEADER: &str = "x-jwt-sub";
const LOGIN: &str = "https://login.example/start";

type Fields = Vec<(String, Vec<u8>)>;

/// A configuration, and what of it the properties need to know.
struct Setup {
    name: &'static str,
    policy: Policy,
    /// Profile strict: only `allowed_origins` may read answers.
    strict: bool,
    /// No token reaches the upstream.
    keeps_tokens: bool,
    /// Paths that need no token.
    public: bool,
}

/// A policy belongs to one thread, as its worker does. It remembers tokens from case to case.
fn setups() -> &'static [Setup] {
    thread_local!(static SETUPS: &'static [Setup] = load_setups().leak());
    SETUPS.with(|setups| *setups)
}

fn load_setups() -> Vec<Setup> {
    let session =
        json!({"login_url": LOGIN, "allowed_origins": [ALLOWED_ORIGIN], "logout_path": "/jwt/logout"});
    let public = json!([{"exact": "/healthz"}, {"prefix": "/static/"}, {"regex": "^/api/(live|ready)$"}]);
    let all_sources = json!([{"cookie": "access_token"}, {"header": "authorization", "scheme": "Bearer"},
        {"header": "x-token"}, {"query": "token"}, {"query": "access_token"}]);
    [
        ("api", json!({})),
        ("public", json!({"public_paths": public})),
        ("session", json!({"session": session, "public_paths": public, "token_sources": all_sources})),
        (
            "strict csrf",
            json!({"session": {"login_url": "/login", "csrf": "strict", "public_base_path": "/base"}}),
        ),
        ("forward_token", json!({"session": session, "forward_token": true})),
        (
            "forward_token header",
            json!({"public_paths": public, "forward_token": {"header": "x-verified", "scheme": "Bearer"}}),
        ),
        (
            "rules",
            json!({"session": session, "rules": [
                {"paths": ["/static/{name}/**"], "required_claims": {"sub": "{name}"}},
                {"hosts": ["{app}.example.com"], "required_claims": {"sub": {"all_of": ["alice"]}}},
                {"deny": true},
            ]}),
        ),
        ("jwtproxy", json!({"profile": "jwtproxy"})),
        ("jwtproxy session", json!({"profile": "jwtproxy", "session": session, "public_paths": public})),
    ]
    .into_iter()
    .map(|(name, mut config)| {
        let strict = config["profile"] != "jwtproxy";
        let key = Key::fixed("a").public_pem();
        config["providers"] = json!([{
            "name": "issuer", "issuer": "issuer", "keys": [{"pem": key, "kid": "k"}],
            "claim_headers": {CLAIM_HEADER: "sub"},
        }]);
        let policy = load(config.to_string().as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
        Setup {
            name,
            policy,
            strict,
            keeps_tokens: strict && config["forward_token"].is_null(),
            public: !config["public_paths"].is_null(),
        }
    })
    .collect()
}

static VALID: LazyLock<String> = LazyLock::new(|| token("a", "RS256", 3600));

/// What looks like a token, and must not be taken for one.
static USELESS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let (input, signature) = VALID.rsplit_once('.').expect("a token");
    let (header, payload) = input.split_once('.').expect("a token");
    let hmac = token("a", "HS256", 3600);
    let none =
        mint_raw(&Key::fixed("a"), "RS256", br#"{"alg":"none"}"#, br#"{"iss":"issuer","sub":"mallory"}"#);
    let (none, _) = none.rsplit_once('.').expect("a token");
    vec![
        token("b", "RS256", 3600),
        token("a", "RS256", -3600),
        token("a", "RS512", 3600),
        hmac,
        format!("{none}."),
        format!("{input}."),
        format!("{header}.e30.{signature}"),
        format!("{payload}.{header}.{signature}"),
        "a.b.c".into(),
        "..".into(),
    ]
});

/// Signed by RS256, whatever its header says.
fn token(key: &str, alg: &str, lifetime: i64) -> String {
    let now = i64::try_from(rig::jwt::now()).expect("seconds");
    let exp = now.saturating_add(lifetime);
    let iat = now.saturating_sub(60);
    let claims =
        json!({"iss": "issuer", "sub": "alice", "aud": "x", "jti": "1", "iat": iat, "nbf": iat, "exp": exp});
    mint(&Key::fixed(key), "RS256", json!({"alg": alg, "kid": "k"}), claims)
}

fn load(config: &[u8]) -> Result<Policy, String> {
    Policy::from_json(config, &|_: &str| None).map_err(|error| error.to_string())
}

/// The text of an object, or of something that is nearly one.
fn members(names: &'static [&'static str]) -> impl Strategy<Value = String> {
    const VALUES: &[&str] = &[
        "\"RS256\"",
        "\"a\"",
        "null",
        "1",
        "-1.5e3",
        "true",
        "[\"a\", {}]",
        "{\"a\": 1, \"a\": 2}",
        "\"\\u0061\"",
        "x",
    ];
    let member = (select(names), select(VALUES)).prop_map(|(name, value)| format!("\"{name}\": {value}"));
    let object = vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(",")));
    prop_oneof![
        6 => (object.clone(), select(VALUES)).prop_map(|(object, kid)| object.replacen('{', &format!("{{\"alg\":\"RS256\",\"k\":{kid}, "), 1).replace(", }", "}")),
        2 => object,
        1 => select(VALUES).prop_map(str::to_owned),
    ]
}

// Requests, made of what the filter looks for.

/// The valid token, with one byte changed.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    (any::<Index>(), 1_u8..).prop_map(|(at, change)| {
        let mut bytes = VALID.clone().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        bytes
    })
}

fn any_token() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        2 => Just(VALID.clone().into_bytes()),
        2 => mutated(),
        4 => select(USELESS.clone()).prop_map(String::into_bytes),
    ]
}

fn fragment() -> impl Strategy<Value = Vec<u8>> {
    const WORDS: &[&str] = &[
        "Bearer ",
        "bearer ",
        "BEARER  ",
        "Basic ",
        "access_token=",
        "token=",
        "t%6Fken=",
        "t+oken=",
        "%2E",
        "..",
        ".",
        "a.b.c",
        ";",
        "; ",
        ",",
        "=",
        "\"",
        "&",
        "?",
        "#",
        " ",
        "%",
        "%zz",
        "%00",
        "redirectUrl=",
        "x=1",
        "%0d%0a",
    ];
    prop_oneof![
        3 => any_token(),
        6 => select(WORDS).prop_map(|word| word.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..8),
    ]
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    vec(fragment(), 0..6).prop_map(|parts| parts.concat())
}

fn credentials() -> impl Strategy<Value = (String, Vec<u8>)> {
    let line = |name: &'static str, before: &'static str| {
        any_token().prop_map(move |token| (name.to_owned(), [before.as_bytes(), &token].concat()))
    };
    prop_oneof![
        line("authorization", "Bearer "),
        line("cookie", "access_token="),
        line("cookie", "a=1; access_token="),
        line("x-token", ""),
    ]
}

fn header() -> impl Strategy<Value = (String, Vec<u8>)> {
    const NAMES: &[&str] = &[
        "authorization",
        "cookie",
        "x-token",
        "x-verified",
        CLAIM_HEADER,
        "origin",
        "referer",
        "accept",
        "content-type",
        "upgrade",
        "x-forwarded-proto",
        "x-forwarded-host",
        "access-control-request-method",
        "x-other",
    ];
    const USUAL: &[(&str, &str)] = &[
        ("accept", "text/html,*/*"),
        ("access-control-request-method", "GET"),
        ("content-type", "application/grpc"),
        ("content-type", "application/grpc-web-text"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("origin", ALLOWED_ORIGIN),
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("referer", "http://app.example.com/page?token=a.b.c"),
        ("sec-fetch-dest", "document"),
        ("sec-fetch-dest", "iframe"),
        ("sec-fetch-mode", "cors"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "none"),
        ("sec-fetch-site", "same-origin"),
        ("upgrade", "websocket"),
        ("x-forwarded-proto", "https"),
    ];
    prop_oneof![
        3 => credentials(),
        3 => select(USUAL).prop_map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())),
        2 => (select(NAMES), text()).prop_map(|(name, value)| (name.to_owned(), value)),
        1 => (select(NAMES), vec(any::<u8>(), 0..40)).prop_map(|(name, value)| (name.to_owned(), value)),
    ]
}

const PATHS: &[&str] = &[
    "/",
    "/app",
    "/jwt/auth",
    "/jwt/auth/",
    "/jwt/logout",
    "/healthz",
    "/static/x",
    "/static/../app",
    "/api/live",
    "//evil.example/",
    "/\\evil.example",
    "/jwt%2fauth",
    "/%68ealthz",
    "/static/%2e%2e/app",
];
const QUERIES: &[&str] = &[
    "",
    "?",
    "?redirectUrl=/a",
    "?redirectUrl=//evil.example",
    "?redirectUrl=https://evil.example/",
    "?redirectUrl=https%3A%2F%2Fche.example.com%2Fx",
    "?redirectUrl=%2F%0d%0aset-cookie:a",
    "?redirectUrl=/%5Cevil",
    "?redirectUrl=http://app.example.com@evil.example",
    "?redirectUrl=http://app.example.com/x",
    "?a&token=",
    "?token=",
];
/// Envoy answers by itself to a path without its slash.
fn target() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => (select(PATHS), select(QUERIES)).prop_map(|(path, query)| [path, query].concat().into_bytes()),
        3 => target_with(any_token()),
        2 => (select(PATHS), text()).prop_map(|(path, rest)| [path.as_bytes(), &rest].concat()),
        1 => vec(any::<u8>(), 0..60).prop_map(|bytes| [b"/", bytes.as_slice()].concat()),
    ]
}

fn target_with(token: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (select(PATHS), select(QUERIES), token).prop_map(|(path, query, token)| {
        let before = if query.is_empty() { "?token=" } else { "&token=" };
        [path.as_bytes(), query.as_bytes(), before.as_bytes(), &token].concat()
    })
}

fn request() -> impl Strategy<Value = Fields> {
    const METHODS: &[&str] = &["GET", "GET", "GET", "POST", "HEAD", "OPTIONS", "CONNECT", "get", "PUT", ""];
    let authority = prop_oneof![
        8 => Just(b"app.example.com".to_vec()),
        1 => Just(b"me@evil.example".to_vec()),
        1 => vec(any::<u8>(), 0..10),
    ];
    let anything = (select(METHODS), authority.clone(), target(), vec(header(), 0..7));
    // A person with a good token, and somewhere to go.
    let sign_in =
        (Just("GET"), authority, target_with(Just(VALID.clone().into_bytes())), vec(header(), 0..2));
    prop_oneof![3 => anything.boxed(), 1 => sign_in.prop_map(with_person).boxed()].prop_map(
        |(method, authority, target, headers)| {
            let pseudo =
                [(":authority", authority), (":path", target), (":method", method.as_bytes().to_vec())];
            pseudo.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(headers).collect()
        },
    )
}

type Head = (&'static str, Vec<u8>, Vec<u8>, Fields);

fn with_person((method, authority, target, mut headers): Head) -> Head {
    headers.insert(0, ("accept".into(), b"text/html".to_vec()));
    (method, authority, target, headers)
}

// What must hold.

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 2000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/properties.regressions"))),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn nobody_gets_in_and_nothing_leaks(fields in request(), form in text()) {
        for setup in setups() {
            let (decision, outcome) = through_core(&setup.policy, &fields, &form, now());
            check(setup, &fields, &form, &decision, &outcome).map_err(|fault| {
                TestCaseError::fail(format!("{}: {fault}\n{outcome:?}", setup.name))
            })?;
        }
    }

    /// Who reads a token in another way than the rest of the world can be told what the rest was not.
    #[test]
    fn tokens_are_read_as_jwt_compact_reads_them(
        header in members(&["alg", "kid", "typ", "jwk", "x"]),
        payload in members(&["iss", "exp", "x"]),
        cut in proptest::option::of(any::<Index>()),
    ) {
        let mut token = mint_raw(&Key::fixed("a"), "RS256", header.as_bytes(), payload.as_bytes());
        if let Some(cut) = cut {
            token.truncate(cut.index(token.len()));
        }
        let names = |names: &[&str]| names.iter().copied().map(str::to_owned).collect();
        let wanted = Wanted { header: names(&["alg", "crit", "kid", "typ"]), claims: names(&["iss", "exp"]) };
        let theirs = UntrustedToken::new(&token);
        for profile in [Profile::Strict, Profile::JwtProxy] {
            if let Ok(ours) = Jws::parse(&token, Base64Url::Bare, &wanted, profile) {
                let theirs = theirs.as_ref().expect("jwt-compact refuses it");
                prop_assert_eq!(ours.kid(), theirs.header().key_id.as_deref());
                prop_assert_eq!(ours.header("alg").and_then(Value::as_str), Some(theirs.algorithm()));
                prop_assert_eq!(
                    ours.header("typ").and_then(Value::as_str), theirs.header().token_type.as_deref()
                );
            }
        }
    }

    #[test]
    fn a_changed_byte_ends_a_token(token in mutated(), source in 0_usize..4) {
        const SOURCES: [(&str, &str); 4] =
            [(":path", "/?token="), ("authorization", "Bearer "), ("cookie", "access_token="), ("x-token", "")];
        let (name, before) = SOURCES[source];
        let fields = vec![(name.to_owned(), [before.as_bytes(), &token].concat())];
        for setup in setups() {
            let (decision, _) = through_core(&setup.policy, &fields, b"", now());
            prop_assert!(matches!(decision, Decision::Answer(_)), "{}", setup.name);
        }
    }

    #[test]
    fn no_configuration_panics(bytes in vec(any::<u8>(), 0..200)) {
        let _ = load(&bytes);
    }

    #[test]
    fn no_changed_configuration_panics_or_lets_anybody_in(
        cut in any::<Index>(), length in 0_usize..12, instead in configuration_fragment(),
    ) {
        static WHOLE: LazyLock<String> = LazyLock::new(|| {
            json!({
                "profile": "strict",
                "providers": [{"name": "a", "issuer": "b", "audiences": ["c"], "keys": [{"pem": Key::fixed("a").public_pem()},
                    {"jwks": {"keys": [Key::fixed("b").jwk("k")]}}], "types": ["JWT"], "required_claims": {"e.f": {"all_of": ["g"]}},
                    "claim_headers": {"x-a": "b", "x-c": {"claim": "d.e", "format": "json"}}, "clock_skew_seconds": 1}],
                "rules": [{"hosts": ["{h}.a.example"], "paths": ["/i/{j}/*/**"], "methods": ["GET"], "any_of": [{"providers": ["a"]},
                    {"required_claims": {"k": ["l", "m{j}"]}}]}, {"deny": true}],
                "token_sources": [{"cookie": "access_token"}, {"header": "authorization", "scheme": "Bearer"}, {"query": "t"}],
                "forward_token": {"header": "x-b", "scheme": "Bearer"},
                "public_paths": [{"exact": "/a"}, {"prefix": "/b/", "identity": "optional", "providers": ["a"]},
                    {"regex": "^/c$", "methods": ["GET"]}],
                "session": {"auth_path": "/jwt/auth", "logout_path": "/jwt/logout", "login_url": "https://a.example/b?c=d",
                    "login_params": {"e": "{url}"}, "allowed_origins": ["https://a.example"], "public_base_path": "/f",
                    "cookie": {"path": "/", "same_site": "Lax", "secure": "auto", "max_age": "token"}},
            })
            .to_string()
        });
        let whole = WHOLE.as_bytes();
        let from = cut.index(whole.len());
        let to = from.saturating_add(length).min(whole.len());
        let text = [&whole[..from], &instead, &whole[to..]].concat();
        if let Ok(policy) = load(&text) && !policy.is_open() {
            let fields = vec![
                (":path".to_owned(), b"/secret".to_vec()),
                ("authorization".to_owned(), b"Bearer a.b.c".to_vec()),
            ];
            let (decision, _) = through_core(&policy, &fields, b"", now());
            prop_assert!(matches!(decision, Decision::Answer(_)));
        }
    }
}

fn configuration_fragment() -> impl Strategy<Value = Vec<u8>> {
    const WORDS: &[&str] = &[
        "null", "true", "{}", "[]", "\"\"", "0", "-1", "1e999", "[[[[", "}", "]", ",", "\"", "\\u0000", "\\",
        "(", "*", "\\ud800", "http://", "//", "{url", "%",
    ];
    prop_oneof![select(WORDS).prop_map(|word| word.as_bytes().to_vec()), vec(any::<u8>(), 0..4),]
}

fn check(
    setup: &Setup,
    fields: &Fields,
    form: &[u8],
    decision: &Decision,
    outcome: &Outcome,
) -> Result<(), String> {
    let texts = fields.iter().map(|(_, value)| value.as_slice()).chain([form]);
    let was_valid = texts.into_iter().any(|text| holds(&latin1(text), &VALID));
    match (decision, outcome) {
        (Decision::Forward(forward), Outcome::Forwarded { path, headers }) => {
            if forward.is_verified() && !was_valid {
                return Err("verified without a valid token".into());
            }
            let needs_none = setup.public || fields.contains(&(":method".into(), b"OPTIONS".to_vec()));
            if !forward.is_verified() && !needs_none {
                return Err("forwarded without a token".into());
            }
            forwarded(setup, fields, forward.is_verified(), path, headers)
        }
        (Decision::Answer(_), Outcome::Answered { headers, .. }) => {
            answered(setup, fields, was_valid, headers)
        }
        (Decision::Answer(_), Outcome::Forwarded { .. })
        | (Decision::Forward(_), Outcome::Answered { .. })
        | (Decision::Await { .. } | Decision::ReadForm, _) => Err("decision and outcome differ".into()),
    }
}

fn forwarded(
    setup: &Setup,
    fields: &Fields,
    verified: bool,
    path: &str,
    headers: &[(String, String)],
) -> Result<(), String> {
    let lines = |name: &str| -> Vec<&str> {
        headers.iter().filter(|(own, _)| own == name).map(|(_, value)| value.as_str()).collect()
    };
    let claims: &[&str] = if verified { &["alice"] } else { &[] };
    if lines(CLAIM_HEADER) != claims {
        return Err(format!("claim header {:?}", lines(CLAIM_HEADER)));
    }
    if setup.name == "forward_token header" {
        let bearer = format!("Bearer {}", *VALID);
        let others = lines("x-verified").into_iter().filter(|line| *line != bearer).any(is_bearer);
        if others || (verified && lines("x-verified") != [bearer.as_str()]) {
            return Err(format!("x-verified {:?}", lines("x-verified")));
        }
    }
    for name in ["x-other", "origin", "x-forwarded-proto"] {
        let before: Vec<String> =
            fields.iter().filter(|(own, _)| own == name).map(|(_, value)| latin1(value)).collect();
        if lines(name) != before {
            return Err(format!("{name} has changed"));
        }
    }
    if !setup.keeps_tokens {
        return Ok(());
    }
    let all_sources = setup.name == "session";
    let query = path.split_once('?').map_or("", |(_, query)| query);
    let in_query = query.split('&').any(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = form_decoded(name);
        let is_ours = match name.as_slice() {
            b"token" => true,
            b"access_token" => all_sources,
            _ => false,
        };
        is_ours && form_decoded(value).split(|byte| *byte == b'.').count() == 3
    });
    let has_cookie = setup.name == "session" || setup.name == "strict csrf";
    let in_cookie = has_cookie
        && lines("cookie").iter().flat_map(|line| line.split(';')).any(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or_default();
            name.trim() == "access_token" && is_token(value.trim().trim_matches('"'))
        });
    let in_header = lines("authorization").into_iter().any(is_bearer)
        || (all_sources && lines("x-token").into_iter().any(is_token));
    match (in_query, in_cookie, in_header) {
        (false, false, false) => Ok(()),
        found => Err(format!("a token in (query, cookie, header) went on: {found:?}")),
    }
}

fn answered(
    setup: &Setup,
    fields: &Fields,
    was_valid: bool,
    headers: &[(String, String)],
) -> Result<(), String> {
    for (name, value) in headers {
        if value.chars().any(char::is_control) {
            return Err(format!("a control character in {name}"));
        }
        match name.as_str() {
            "location" => leads_home(fields, value)?,
            "set-cookie" => {
                let (name, value) =
                    value.split(';').next().and_then(|pair| pair.split_once('=')).unwrap_or_default();
                let suffix = name.strip_prefix("access_token").ok_or("a cookie of another name")?;
                // The marker of a redirect holds a count and two hashes.
                let is_marker = suffix == ".login" && value.len() < 24 && !value.contains('.');
                if !(value.is_empty() || is_marker || was_valid && suffix.is_empty() && value == *VALID) {
                    return Err(format!("a cookie {name} that holds no valid token"));
                }
            }
            "access-control-allow-origin" if setup.strict && value != ALLOWED_ORIGIN => {
                return Err(format!("open to {value}"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// A path, the login page, the place itself or an allowed origin.
fn leads_home(fields: &Fields, location: &str) -> Result<(), String> {
    let line = |name: &str| fields.iter().find(|(own, _)| own == name).map(|(_, value)| latin1(value));
    let scheme = if line("x-forwarded-proto").as_deref() == Some("https") { "https" } else { "http" };
    let own = format!("{scheme}://{}/", line(":authority").unwrap_or_default());
    // What is no authority is nobody's origin.
    let page = Url::parse(&own).or_else(|_| Url::parse("http://nobody.invalid/"));
    let page = page.map_err(|error| error.to_string())?;
    whatwg::stays(&page, location, &[ALLOWED_ORIGIN, LOGIN])
}

fn holds(text: &str, token: &str) -> bool {
    text.contains(token) || percent_decode_str(text).decode_utf8_lossy().contains(token)
}

fn is_bearer(line: &str) -> bool {
    let (scheme, value) = line.split_once(' ').unwrap_or_default();
    scheme.eq_ignore_ascii_case("bearer") && is_token(value)
}

fn is_token(value: &str) -> bool {
    value.split('.').count() == 3
}

fn form_decoded(text: &str) -> Vec<u8> {
    percent_decode_str(&text.replace('+', " ")).collect()
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

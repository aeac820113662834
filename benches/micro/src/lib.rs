//! The scenarios that are measured: by time in `benches/core.rs`, by instructions in `src/instructions.rs`.

pub mod worst;

use std::hint::black_box;

use jwtproxy_wasm::jwt::{Algorithm, Key};
use jwtproxy_wasm::{Decision, Field, NumericDate, Policy, RequestHead, RustCrypto, Signatures};
use serde_json::{Value, json};

use worst::{Request, Worst};

/// As a common identity provider writes them: 0.9 kB, thirteen claims. Its key of 2048 bits was thrown away.
const TOKEN: &str = include_str!("token.jwt");
/// The public key that verifies [`TOKEN`].
const KEY: &str = include_str!("key.pem");
/// The time at which [`TOKEN`] was issued.
const NOW: NumericDate = NumericDate::from_seconds(1_700_000_000.0);

/// One request in a certain situation.
#[derive(Debug)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// What must become of the request.
    pub outcome: Outcome,
    request: fn() -> Vec<Field>,
    host: Host,
    /// Whether the token was verified before.
    known: bool,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It was answered with that status.
    Answered(u16),
    /// It was forwarded after that many edits.
    Forwarded(usize),
}

/// Who verifies signatures.
#[derive(Clone, Copy, Debug)]
enum Host {
    /// A host that always says so.
    Says(bool),
    /// The crate `rsa`.
    VerifiesNothing,
}

impl Signatures for Host {
    fn verify(&self, key: &Key, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Says(verdict) => *verdict,
            Self::VerifiesNothing => RustCrypto.verify(key, algorithm, message, signature),
        }
    }
}

/// Every scenario, those that matter most first.
pub const SCENARIOS: [Scenario; 12] = {
    use Host::{Says, VerifiesNothing};
    use Outcome::{Answered, Forwarded};
    const fn scenario(
        name: &'static str,
        request: fn() -> Vec<Field>,
        host: Host,
        outcome: Outcome,
    ) -> Scenario {
        Scenario { name, outcome, request, host, known: false }
    }
    const fn known(name: &'static str, request: fn() -> Vec<Field>, edits: usize) -> Scenario {
        Scenario { name, outcome: Forwarded(edits), request, host: Says(false), known: true }
    }
    [
        known("hit, header", || bearer(TOKEN), 2),
        known("hit, cookie among 30", || with_cookies(TOKEN), 2),
        known("hit, query", || fetch(&format!("/notes?page=2&token={TOKEN}")), 2),
        scenario("miss, host verifies", || bearer(TOKEN), Says(true), Forwarded(2)),
        scenario("miss, crate rsa", || bearer(TOKEN), VerifiesNothing, Forwarded(2)),
        scenario("no token", || fetch("/notes?page=2"), Says(false), Answered(401)),
        scenario("no JWT", || bearer("0123456789abcdef"), Says(false), Answered(401)),
        scenario("junk of three parts", || bearer(&junk()), Says(false), Answered(401)),
        scenario("forged", || bearer(&with_another_signature("f")), Says(false), Answered(401)),
        scenario(
            "forged, crate rsa",
            || bearer(&with_another_signature("f")),
            VerifiesNothing,
            Answered(401),
        ),
        scenario("public path", || fetch("/healthz"), Says(false), Forwarded(0)),
        scenario("sign-in", sign_in, Says(true), Answered(303)),
    ]
};

/// A scenario, set up to be measured: once if it verifies a token, else as often as one likes.
#[derive(Debug)]
pub struct Ready {
    policy: Policy,
    fields: Vec<Field>,
    form: Option<Vec<u8>>,
    host: Host,
}

impl Worst {
    /// A policy that knows a good token, and the request; no signature that it brings is good.
    pub fn ready(&self) -> Ready {
        let policy =
            policy_of(&worst::config(&json!([{"pem": KEY, "kid": "2026-11-a7Kq0cVt", "alg": "RS256"}])));
        let before = bearer(TOKEN);
        let decision = policy.decide(&RequestHead::new(&before), &NOW, &Host::Says(true));
        assert!(matches!(decision, Decision::Forward(_)), "{decision:?}");
        let Request { fields, form } = self.request(TOKEN);
        Ready { policy, fields, form, host: Host::Says(false) }
    }
}

impl Scenario {
    /// Whether it verifies a token, which would be known the next time.
    pub const fn verifies(&self) -> bool {
        match self.host {
            Host::Says(verdict) => verdict,
            Host::VerifiesNothing => matches!(self.outcome, Outcome::Forwarded(_)),
        }
    }

    /// A policy that has seen tokens of its issuer, and the request.
    pub fn ready(&self) -> Ready {
        let policy = policy();
        let others = [with_another_signature("b"), with_another_signature("c")];
        for token in others.iter().map(String::as_str).chain(self.known.then_some(TOKEN)) {
            // Not by `Ready::judge`, whose calls are counted.
            let before = bearer(token);
            let decision = policy.decide(&RequestHead::new(&before), &NOW, &Host::Says(true));
            assert!(matches!(decision, Decision::Forward(_)), "{decision:?}");
        }
        Ready { policy, fields: (self.request)(), form: None, host: self.host }
    }
}

impl Ready {
    /// The measured part: the decision, and the edits that the host is to make.
    #[inline(never)]
    pub fn judge(&self) -> Outcome {
        let head = RequestHead::new(&self.fields);
        let head = self.form.as_deref().map_or(head, |form| head.with_form(form));
        match self.policy.decide(&head, &NOW, &self.host) {
            Decision::Answer(answer) => Outcome::Answered(black_box(&answer).response.status),
            Decision::Forward(forward) => Outcome::Forwarded(black_box(forward.edits()).len()),
            Decision::Await { .. } | Decision::ReadForm => {
                panic!("every form is there, and nothing is fetched")
            }
        }
    }
}

fn policy() -> Policy {
    let config = json!({
        "providers": [{
            "issuer": "https://login.example.com",
            "audiences": ["workspace"],
            "keys": [{"pem": KEY, "kid": "2026-11-a7Kq0cVt", "alg": "RS256"}],
            "claim_headers": {"x-jwt-sub": "sub"},
        }],
        "public_paths": [{"exact": "/healthz"}],
        "session": {"login_url": "https://login.example.com/start"},
    });
    policy_of(&config)
}

fn policy_of(config: &Value) -> Policy {
    Policy::from_json(config.to_string().as_bytes(), &|_: &str| None).expect("a configuration")
}

/// What Envoy makes of a browser's fetch.
fn fetch(path: &str) -> Vec<Field> {
    let fields = [
        (":authority", "workspace.example.com"),
        (":path", path),
        (":method", "GET"),
        (":scheme", "https"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"),
        ("accept", "application/json, text/plain, */*"),
        ("accept-language", "en-GB,en;q=0.8,de;q=0.5"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("referer", "https://workspace.example.com/notes"),
        ("x-requested-with", "XMLHttpRequest"),
        ("sec-fetch-dest", "empty"),
        ("sec-fetch-mode", "cors"),
        ("sec-fetch-site", "same-origin"),
        ("priority", "u=1, i"),
        ("sec-gpc", "1"),
        ("x-forwarded-proto", "https"),
        ("x-request-id", "b1a0f5d4-7a3e-4f3c-9c55-0d6a4f1f2b11"),
    ];
    fields.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn bearer(token: &str) -> Vec<Field> {
    with(fetch("/notes?page=2"), "authorization", format!("Bearer {token}"))
}

/// The token stands in the middle of thirty other cookies.
fn with_cookies(token: &str) -> Vec<Field> {
    let mut cookies: Vec<_> =
        (0..30).map(|number| format!("preference_{number}=value-{number}-4f1d9c")).collect();
    cookies.insert(15, format!("access_token={token}"));
    with(fetch("/notes?page=2"), "cookie", cookies.join("; "))
}

/// A person comes from the login page.
fn sign_in() -> Vec<Field> {
    let back = "https%3A%2F%2Fworkspace.example.com%2Fnotes%3Fpage%3D2";
    let mut fields = fetch(&format!("/jwt/auth?token={TOKEN}&redirectUrl={back}"));
    fields.retain(|(name, _)| name != "x-requested-with");
    for (name, value) in &mut fields {
        let navigation = match name.as_str() {
            "accept" => "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "referer" => "https://login.example.com/",
            "sec-fetch-dest" => "document",
            "sec-fetch-mode" => "navigate",
            "sec-fetch-site" => "same-site",
            _ => continue,
        };
        *value = navigation.into();
    }
    fields
}

fn with(mut fields: Vec<Field>, name: &str, value: String) -> Vec<Field> {
    fields.push((name.into(), value.into_bytes()));
    fields
}

/// Letters and two dots, as long as a real token.
fn junk() -> String {
    TOKEN.chars().map(|letter| if letter == '.' { '.' } else { 'x' }).collect()
}

/// The token, right but for a letter of its signature.
fn with_another_signature(letter: &str) -> String {
    let mut token = TOKEN.to_owned();
    token.replace_range(800..801, letter);
    assert_ne!(token, TOKEN);
    token
}

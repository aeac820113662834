//! Does the core judge signatures and keys as others say that they must be judged? Project Wycheproof, the examples of
//! the RFCs, forgeries.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that panics says what is wrong"
)]

mod vectors;
mod wycheproof;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwtproxy_wasm::jwt::{Algorithm, Key};
use jwtproxy_wasm::{Decision, Event, NumericDate, Policy, RequestHead, RustCrypto, Signatures};
use serde_json::{Value, json};

/// What becomes of a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Accepted,
    /// The reason of the refusal.
    Refused(String),
    /// The words that refuse the keys.
    NoKeys(String),
}

/// Asks the core, through a configuration with these keys (a JWK or a JWKS) and no rule about claims.
///
/// A payload of these vectors is hardly ever a claims set, which is refused before its signature is looked at. So one that
/// is well-encoded gives way to `{}`, and only the signature port is told the signing input of the vector. What is not
/// well-encoded stays.
fn judge(keys: &Value, algorithms: &[&str], jws: &str) -> Verdict {
    let provider = json!({"algorithms": algorithms, "require_exp": false, "keys": entries(keys)});
    let config = json!({"providers": [provider]}).to_string();
    let policy = match Policy::from_json(config.as_bytes(), &|_: &str| None) {
        Ok(policy) => policy,
        Err(error) => return Verdict::NoKeys(error.to_string()),
    };
    let (signing_input, token) = with_claims(jws);
    let fields = [
        (":method".to_owned(), b"GET".to_vec()),
        (":path".to_owned(), b"/".to_vec()),
        (":authority".to_owned(), b"app.example.com".to_vec()),
        (":scheme".to_owned(), b"http".to_vec()),
        ("authorization".to_owned(), format!("Bearer {token}").into_bytes()),
    ];
    let now = NumericDate::from_seconds(Duration::from_secs(rig::jwt::now()).as_secs_f64());
    match policy.decide(&RequestHead::new(&fields), &now, &Of(signing_input)) {
        Decision::Forward(_) => Verdict::Accepted,
        Decision::Answer(answer) => match &answer.event {
            Event::Refused(rejection) => Verdict::Refused(rejection.reason().to_owned()),
            Event::Preflight | Event::SignedIn | Event::SignedOut(_) | Event::Told => panic!("{answer:?}"),
        },
        Decision::ReadForm => panic!("there is no form"),
    }
}

/// The signing input, and the token with claims in place of its payload.
fn with_claims(jws: &str) -> (&str, String) {
    let signing_input = jws.rsplit_once('.').map_or(jws, |(input, _)| input);
    let parts: Vec<&str> = jws.split('.').collect();
    let token = match parts.as_slice() {
        [header, payload, signature] if URL_SAFE_NO_PAD.decode(payload).is_ok() => {
            format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode("{}"))
        }
        _ => jws.to_owned(),
    };
    (signing_input, token)
}

/// Checks every signature over this signing input.
struct Of<'v>(&'v str);

impl Signatures for Of<'_> {
    fn verify(&self, key: &Key, algorithm: Algorithm, _: &[u8], signature: &[u8]) -> bool {
        RustCrypto.verify(key, algorithm, self.0.as_bytes(), signature)
    }
}

/// The entries of `keys`. Secrets stand each in an entry of its own, for a JWKS is public.
fn entries(keys: &Value) -> Vec<Value> {
    match keys["keys"].as_array() {
        Some(secrets) if secrets.iter().all(|key| key["kty"] == "oct") => {
            secrets.iter().map(|key| json!({"jwk": key})).collect()
        }
        Some(_) => vec![json!({"jwks": keys})],
        None => vec![json!({"jwk": keys})],
    }
}

/// Every algorithm that is offered and fits these keys: those with a secret for secrets, the others for public keys.
fn fitting(keys: &Value) -> Vec<&'static str> {
    let one = [keys.clone()];
    let keys = keys["keys"].as_array().map_or(one.as_slice(), Vec::as_slice);
    let has = |secret: bool| keys.iter().any(|key| (key["kty"] == "oct") == secret);
    Algorithm::NAMES.into_iter().map(|(name, _)| name).filter(|name| has(name.starts_with("HS"))).collect()
}

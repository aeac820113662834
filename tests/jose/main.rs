//! Does the core judge signatures and keys as others say that they must be judged? Project Wycheproof, the examples of
//! the RFCs, forgeries.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that panics says what is wrong"
)]

#[path = "../drivers/key_forms.rs"]
mod key_forms;
mod vectors;
mod wycheproof;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwtproxy_wasm::jwt::{Algorithm, Key};
use jwtproxy_wasm::{Decision, Event, NumericDate, Policy, RequestHead, RustCrypto, Signatures};
use key_forms::configuration;
use serde_json::Value;

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
fn judge(keys: &Value, jws: &str) -> Verdict {
    let (signing_input, token) = with_claims(jws);
    judge_signature(keys, &token, signing_input.as_bytes())
}

/// Does the same with a token whose signature is one of that message.
fn judge_signature(keys: &Value, token: &str, message: &[u8]) -> Verdict {
    let config = configuration(keys).to_string();
    let policy = match Policy::from_json(config.as_bytes(), &|_: &str| None) {
        Ok(policy) => policy,
        Err(error) => return Verdict::NoKeys(error.to_string()),
    };
    let fields = [
        (":method".to_owned(), b"GET".to_vec()),
        (":path".to_owned(), b"/".to_vec()),
        (":authority".to_owned(), b"app.example.com".to_vec()),
        (":scheme".to_owned(), b"http".to_vec()),
        ("authorization".to_owned(), format!("Bearer {token}").into_bytes()),
    ];
    let now = NumericDate::from_seconds(Duration::from_secs(rig::jwt::now()).as_secs_f64());
    match policy.decide(&RequestHead::new(&fields), &now, &Of(message)) {
        Decision::Forward(_) => Verdict::Accepted,
        Decision::Answer(answer) => match &answer.event {
            Event::Refused(rejection) => Verdict::Refused(rejection.reason().to_owned()),
            Event::Preflight | Event::SignedIn | Event::SignedOut(_) | Event::Told => panic!("{answer:?}"),
        },
        Decision::Await { .. } | Decision::ReadForm => panic!("there is no form"),
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

/// Checks every signature over this message.
struct Of<'v>(&'v [u8]);

impl Signatures for Of<'_> {
    fn verify(&self, key: &Key, algorithm: Algorithm, _: &[u8], signature: &[u8]) -> bool {
        RustCrypto.verify(key, algorithm, self.0, signature)
    }
}

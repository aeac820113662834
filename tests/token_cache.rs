//! Each token is verified once, and is judged all the same each time.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that panics says what is wrong"
)]

use std::cell::Cell;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwtproxy_wasm::jwt::{self, Algorithm};
use jwtproxy_wasm::{
    Clock, Decision, Event, Field, NumericDate, Policy, RequestHead, RustCrypto, Signatures,
};
use rig::jwt::{Key, mint, mint_padded};
use serde_json::{Value, json};

const NOW: f64 = 1_700_000_000.0;
const EXP: u64 = 1_700_003_600;

/// Counts what it is asked.
struct Counting<S>(S, Cell<usize>);

impl<S: Signatures> Signatures for Counting<S> {
    fn verify(&self, key: &jwt::Key, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        self.1.set(self.1.get().saturating_add(1));
        self.0.verify(key, algorithm, message, signature)
    }
}

/// An issuer that has signed whatever comes, but what ends in a zero: to sign takes a millisecond.
struct Signed;

impl Signatures for Signed {
    fn verify(&self, _: &jwt::Key, _: Algorithm, _: &[u8], signature: &[u8]) -> bool {
        signature.last() != Some(&0)
    }
}

/// A host whose ticks come too seldom.
struct Late {
    now: f64,
    recent: f64,
}

impl Clock for Late {
    fn now(&self) -> NumericDate {
        NumericDate::from_seconds(self.now)
    }

    fn recent(&self) -> NumericDate {
        NumericDate::from_seconds(self.recent)
    }
}

struct Place<S> {
    policy: Policy,
    signatures: Counting<S>,
}

impl<S: Signatures> Place<S> {
    fn new(signatures: S) -> Self {
        let config = json!({"providers": [{
            "issuer": "issuer", "clock_skew_seconds": 0, "audiences": ["app"], "claim_headers": {"x-jwt-sub": "sub"},
            "keys": [{"kid": "k", "pem": Key::fixed("a").public_pem()}],
        }]});
        let policy =
            Policy::from_json(config.to_string().as_bytes(), &|_: &str| None).expect("a configuration");
        Self { policy, signatures: Counting(signatures, Cell::new(0)) }
    }

    /// The subject that the upstream is told, or the reason of the refusal.
    fn send(&self, token: &str, clock: &impl Clock) -> String {
        let field = |name: &str, value: &str| -> Field { (name.into(), value.into()) };
        let fields = [
            field(":method", "GET"),
            field(":path", "/"),
            field("authorization", &format!("Bearer {token}")),
        ];
        match self.policy.decide(&RequestHead::new(&fields), clock, &self.signatures) {
            Decision::Answer(answer) => match answer.event {
                Event::Refused(rejection) => rejection.reason().to_owned(),
                event @ (Event::Preflight | Event::SignedIn | Event::SignedOut(_) | Event::Told) => {
                    panic!("{event:?}")
                }
            },
            Decision::Forward(forward) => format!("{:?}", forward.edits()),
            Decision::Await { .. } | Decision::ReadForm => panic!("no form came, and nothing is fetched"),
        }
    }

    /// How many signatures a request costs.
    fn cost(&self, token: &str) -> usize {
        let before = self.signatures.1.get();
        self.send(token, &NumericDate::from_seconds(NOW));
        self.signatures.1.get().saturating_sub(before)
    }
}

fn claims(sub: &str) -> Value {
    json!({"iss": "issuer", "aud": "app", "sub": sub, "nbf": EXP - 7_200, "exp": EXP})
}

fn claims_of(sub: &str) -> Vec<u8> {
    claims(sub).to_string().into_bytes()
}

fn signed(sub: &str) -> String {
    mint(&Key::fixed("a"), "RS256", json!({"alg": "RS256", "kid": "k"}), claims(sub))
}

/// The token with that number, for [`Signed`]; about 900 bytes, as they are.
fn numbered(number: u32, last: u8) -> String {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let mut claims = claims(&format!("person {number}"));
    claims["roles"] = json!("r".repeat(300));
    let mut signature = vec![7; 256];
    signature.extend(number.to_be_bytes());
    signature.push(last);
    format!(
        "{}.{}.{}",
        encode(br#"{"alg":"RS256","kid":"k"}"#),
        encode(claims.to_string().as_bytes()),
        encode(&signature)
    )
}

#[test]
fn a_known_token_costs_no_signature_and_gets_the_same() {
    let place = Place::new(RustCrypto);
    let token = signed("alice");
    let first = place.send(&token, &NumericDate::from_seconds(NOW));
    assert!(first.contains("x-jwt-sub"), "{first}");
    for _ in 0..3 {
        assert_eq!(place.send(&token, &NumericDate::from_seconds(NOW)), first);
    }
    assert_eq!(place.signatures.1.get(), 1);
}

#[test]
fn a_known_token_ends_at_its_time() {
    let place = Place::new(RustCrypto);
    let token = signed("alice");
    let exp = 1_700_003_600.0;
    let at = |now: f64, recent: f64| place.send(&token, &Late { now, recent });
    assert!(at(NOW, NOW).contains("x-jwt-sub"));
    assert!(at(exp - 0.001, exp - 1.0).contains("x-jwt-sub"));
    assert_eq!(at(exp, exp), "token_expired");
    assert!(at(exp + 0.999, exp - 0.001).contains("x-jwt-sub"), "a tick is a second apart from the next");
    assert_eq!(at(exp + 1.0, exp), "token_expired");
    assert!(at(exp - 1.0, exp - 1.0).contains("x-jwt-sub"), "a clock that was put back");
    let nbf = exp - 7_200.0;
    assert_eq!(at(nbf - 0.001, nbf - 0.001), "token_not_yet_valid");
    assert!(
        at(nbf, nbf - 1.0).contains("x-jwt-sub"),
        "the exact time lets in whom the last tick would keep out"
    );
}

#[test]
fn only_the_very_same_bytes_are_known() {
    let place = Place::new(RustCrypto);
    let (token, other) = (signed("alice"), signed("bob"));
    assert_eq!(place.cost(&token), 1);
    let (input, signature) = token.rsplit_once('.').expect("a token");
    let (other_input, _) = other.rsplit_once('.').expect("a token");
    // The signature, by whose end a token is looked up, under what it does not sign.
    let swapped = format!("{other_input}.{signature}");
    assert_eq!(place.send(&swapped, &NumericDate::from_seconds(NOW)), "invalid_signature");
    for near in [format!("{input}.{signature}A"), format!("{input}."), input.to_owned(), signature.to_owned()]
    {
        let reason = place.send(&near, &NumericDate::from_seconds(NOW));
        assert!(["malformed_token", "invalid_signature"].contains(&reason.as_str()), "{near}: {reason}");
    }
    assert_eq!(place.cost(&token), 0, "the good one is known still");
}

/// To know a token by one source must not let it in at another, where it is none.
#[test]
fn a_token_is_known_in_the_form_of_its_source() {
    let config = json!({
        "providers": [{"keys": [{"pem": Key::fixed("a").public_pem()}]}],
        "token_sources": [{"header": "x-padded", "padded": true}, {"header": "x-bare"}],
    });
    let policy = Policy::from_json(config.to_string().as_bytes(), &|_: &str| None).expect("a configuration");
    let passes = |name: &str, token: &str| {
        let field = |name: &str, value: &str| -> Field { (name.into(), value.into()) };
        let fields = [field(":method", "GET"), field(":path", "/"), field(name, token)];
        let head = RequestHead::new(&fields);
        matches!(policy.decide(&head, &NumericDate::from_seconds(NOW), &RustCrypto), Decision::Forward(_))
    };
    let header = br#"{"alg":"RS256"}"#;
    let (bare, padded) =
        (signed("alice"), mint_padded(&Key::fixed("a"), "RS256", header, &claims_of("alice")));
    for _ in 0..3 {
        assert!(passes("x-bare", &bare) && passes("x-padded", &padded));
        assert!(!passes("x-padded", &bare) && !passes("x-bare", &padded));
        assert!(!passes("x-padded", &padded.replace('=', "")) && !passes("x-bare", &padded.replace('=', "")));
        assert!(!passes("x-padded", &format!("{padded}==")));
    }
}

#[test]
fn what_is_refused_is_not_remembered() {
    let place = Place::new(Signed);
    let forged = numbered(1, 0);
    assert_eq!((place.cost(&forged), place.cost(&forged)), (1, 1));
}

/// Two hundred people work while somebody sends twenty thousand tokens, good or forged, each of them once.
#[test]
fn a_flood_makes_nobody_forgotten_who_comes_again() {
    for last in [0, 1] {
        let place = Place::new(Signed);
        let people: Vec<String> = (0..200).map(|number| numbered(number, 1)).collect();
        for _ in 0..2 {
            for token in &people {
                place.cost(token);
            }
        }
        for number in 1_000..21_000 {
            assert_eq!(place.cost(&numbered(number, last)), 1);
        }
        let forgotten: usize = people.iter().map(|token| place.cost(token)).sum();
        assert_eq!(forgotten, 0, "flooded with signatures that end in {last}");
    }
}

/// The same, but somebody has many tokens and sends each of them three times, and people come again now and then.
#[test]
fn a_flood_that_comes_again_makes_few_forgotten_who_work_meanwhile() {
    let place = Place::new(Signed);
    let people: Vec<String> = (0..200).map(|number| numbered(number, 1)).collect();
    let come = || people.iter().map(|token| place.cost(token)).sum::<usize>();
    come();
    come();
    let mut forgotten = 0;
    for number in 1_000..9_000 {
        let token = numbered(number, 1);
        for _ in 0..3 {
            place.cost(&token);
        }
        if number % 500 == 0 {
            forgotten += come();
        }
    }
    assert!(forgotten < 640, "{forgotten} of 3200 visits");
}

/// Room for some thousands, and not for all.
#[test]
fn what_is_remembered_is_bounded() {
    let place = Place::new(Signed);
    let tokens: Vec<String> = (0..8_000).map(|number| numbered(number, 1)).collect();
    for _ in 0..3 {
        for token in &tokens {
            place.cost(token);
        }
    }
    let known = tokens.iter().rev().filter(|token| place.cost(token) == 0).count();
    let room = 4 * 1024 * 1024 / tokens.first().map_or(1, String::len);
    assert!((500..=room).contains(&known), "{known} of {room}");
}

//! Tokens that are revoked after they were verified, and tokens of a key that is not known yet, by the core alone.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that panics says what is wrong"
)]

use jwtproxy_wasm::feed::{Occasion, Record};
use jwtproxy_wasm::{
    Decision, EndedSession, EndedSessions, Event, NumericDate, Policy, RequestHead, RustCrypto,
};
use rig::jwt::{Key, mint};
use serde_json::{Value, json};

const NOW: f64 = 1_700_000_000.0;

fn at(seconds: f64) -> NumericDate {
    NumericDate::from_seconds(seconds)
}

fn policy(providers: &Value) -> Policy {
    let config = json!({"providers": providers, "session": {}});
    Policy::from_json(config.to_string().as_bytes(), &|_: &str| None).expect("a configuration")
}

fn token(header: Value, more: &Value) -> String {
    let mut claims =
        json!({"iss": "i", "sub": "alice", "exp": 1_700_003_600, "iat": 1_699_999_000, "jti": "7"});
    for (name, value) in more.as_object().expect("claims") {
        claims[name] = value.clone();
    }
    let alg = header["alg"].as_str().expect("an alg").to_owned();
    mint(&Key::fixed("a"), &alg, header, claims)
}

/// `forwarded`, `waits`, or the reason why not.
fn judge(policy: &Policy, token: &str, now: f64) -> String {
    let fields = [
        (":method".to_owned(), b"GET".to_vec()),
        (":path".to_owned(), b"/app".to_vec()),
        ("authorization".to_owned(), format!("Bearer {token}").into_bytes()),
    ];
    match policy.decide(&RequestHead::new(&fields), &at(now), &RustCrypto) {
        Decision::Forward(_) => "forwarded".into(),
        Decision::Await { .. } => "waits".into(),
        Decision::ReadForm => panic!("there is no form"),
        Decision::Answer(answer) => {
            let Event::Refused(why) = answer.event else { panic!("{:?}", answer.event) };
            why.reason().into()
        }
    }
}

fn sign_out(policy: &Policy, token: &str, now: f64) -> Vec<EndedSession> {
    let fields = [
        (":method".to_owned(), b"POST".to_vec()),
        (":path".to_owned(), b"/jwt/logout".to_vec()),
        ("cookie".to_owned(), format!("access_token={token}").into_bytes()),
    ];
    let decision = policy.decide(&RequestHead::new(&fields), &at(now), &RustCrypto);
    let Decision::Answer(answer) = decision else { panic!("{decision:?}") };
    let Event::SignedOut(sessions) = answer.event else { panic!("{:?}", answer.event) };
    sessions
}

fn rs256() -> Value {
    json!({"alg": "RS256", "kid": "1"})
}

#[test]
fn a_session_that_ended_is_over_for_its_token_wherever_it_is_sent() {
    let policy = policy(&json!([{"keys": [{"pem": Key::fixed("a").public_pem()}]}]));
    let (mine, other) = (token(rs256(), &json!({})), token(rs256(), &json!({"jti": "8"})));
    for token in [&mine, &other] {
        assert_eq!(judge(&policy, token, NOW), "forwarded");
    }
    let ended = sign_out(&policy, &mine, NOW);
    let list = EndedSessions::merged(b"", &ended, at(NOW));
    assert_eq!(policy.note_ended(&list).len(), 1);
    for now in [NOW, NOW + 3600.0, NOW + 3659.0] {
        assert_eq!(judge(&policy, &mine, now), "token_revoked");
        assert_eq!(judge(&policy, &other, now), "forwarded");
    }
    // It is remembered for as long as the clock skew lets it be taken.
    let list = EndedSessions::merged(&list, &[], at(NOW + 3659.0));
    policy.note_ended(&list);
    assert_eq!(judge(&policy, &mine, NOW + 3659.0), "token_revoked");
    assert_eq!(judge(&policy, &mine, NOW + 3660.0), "token_expired");
    // Signing out with it again tells nobody anything.
    assert_eq!(sign_out(&policy, &mine, NOW), []);
}

/// Of a signature of ECDSA everybody can make a second one that is as good.
#[test]
fn another_signature_is_no_way_around_a_sign_out() {
    let key = json!({"jwk": Key::fixed("p256").jwk("1")});
    let policy = policy(&json!([{"algorithms": ["ES256"], "keys": [key]}]));
    let claims = json!({"iss": "i", "sub": "alice", "exp": 1_700_003_600});
    let first = mint(&Key::fixed("p256"), "ES256", json!({"alg": "ES256", "kid": "1"}), claims.clone());
    let again = mint(&Key::fixed("p256"), "ES256", json!({"alg": "ES256", "kid": "1"}), claims);
    let other = negated(&first);
    assert!(
        first != other
            && [&first, &other, &again].iter().all(|token| judge(&policy, token, NOW) == "forwarded")
    );
    let list = EndedSessions::merged(b"", &sign_out(&policy, &first, NOW), at(NOW));
    policy.note_ended(&list);
    for token in [&first, &other, &again] {
        assert_eq!(judge(&policy, token, NOW), "token_revoked");
    }
}

/// The same token with `s` negated.
fn negated(token: &str) -> String {
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
    /// The order of P-256 (FIPS 186-4 section D.1.2.3).
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
        0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let (signed, signature) = token.rsplit_once('.').expect("a token");
    let mut signature = BASE64.decode(signature).expect("base64");
    let mut borrow = 0_i16;
    for (byte, order) in signature[32..].iter_mut().rev().zip(ORDER.iter().rev()) {
        let difference = i16::from(*order).wrapping_sub(i16::from(*byte)).wrapping_sub(borrow);
        borrow = i16::from(difference < 0);
        *byte = difference.to_le_bytes()[0];
    }
    format!("{signed}.{}", BASE64.encode(signature))
}

#[test]
fn a_list_that_is_fetched_holds_for_tokens_that_are_known() {
    let remote = json!({"uri": "https://r.example/list", "cluster": "r"});
    let provider = json!([{"keys": [{"pem": Key::fixed("a").public_pem()}], "revoked": {"remote": remote}}]);
    let policy = policy(&provider);
    let alice = token(rs256(), &json!({}));
    // Nobody can say whether it is revoked.
    assert_eq!(judge(&policy, &alice, NOW), "waits");
    policy.feeds().note(0, failed());
    assert_eq!(judge(&policy, &alice, NOW), "revocations_unavailable");
    policy.take(0, b"{}", at(NOW)).expect("a list");
    assert_eq!(judge(&policy, &alice, NOW), "forwarded");
    for (list, verdict) in [
        (json!({"subjects": ["alice"]}), "token_revoked"),
        (json!({"subjects": ["bob"]}), "forwarded"),
        (json!({"jti": ["7"]}), "token_revoked"),
        (json!({"kids": ["1"]}), "token_revoked"),
        (json!({"issued_before": {"alice": 1_699_999_001}}), "token_revoked"),
        (json!({"issued_before": {"alice": 1_699_999_000}}), "forwarded"),
    ] {
        policy.take(0, list.to_string().as_bytes(), at(NOW)).expect("a list");
        assert_eq!(judge(&policy, &alice, NOW), verdict, "{list}");
    }
    // What is no list changes nothing.
    for broken in
        ["", "[]", "{\"subject\": [\"alice\"]}", "{\"subjects\": \"alice\"}", "{\"jti\": [], \"jti\": []}"]
    {
        assert!(policy.take(0, broken.as_bytes(), at(NOW)).is_err(), "{broken}");
        assert_eq!(judge(&policy, &alice, NOW), "forwarded");
    }
    assert!(policy.take(1, b"{}", at(NOW)).is_err());
}

#[test]
fn where_the_list_is_optional_nobody_waits_for_it() {
    let remote = json!({"uri": "https://r.example/list", "cluster": "r", "optional": true});
    let provider = json!([{"keys": [{"pem": Key::fixed("a").public_pem()}], "revoked": {"remote": remote}}]);
    let policy = policy(&provider);
    let alice = token(rs256(), &json!({}));
    assert_eq!(judge(&policy, &alice, NOW), "forwarded");
    policy.take(0, b"{\"subjects\": [\"alice\"]}", at(NOW)).expect("a list");
    assert_eq!(judge(&policy, &alice, NOW), "token_revoked");
}

/// Every attempt failed a moment ago.
fn failed() -> Record {
    (0..5).fold(Record::default(), |record, _| record.failed(at(NOW), 300.0))
}

#[test]
fn a_key_that_is_not_known_is_waited_for_once() {
    let jwks = json!({"uri": "https://k.example/certs", "cluster": "k"});
    let policy = policy(&json!([{"issuer": "i", "remote_jwks": jwks}]));
    let (old, new) = (
        token(json!({"alg": "RS256", "kid": "1"}), &json!({})),
        token(json!({"alg": "RS256", "kid": "2"}), &json!({})),
    );
    let keys = |kids: &[&str]| {
        json!({"keys": kids.iter().map(|kid| Key::fixed("a").jwk(kid)).collect::<Vec<_>>()}).to_string()
    };
    assert_eq!(judge(&policy, &old, NOW), "waits");
    policy.feeds().note(0, failed());
    assert_eq!(judge(&policy, &old, NOW), "keys_unavailable");
    // What no key could help is refused at once.
    for (alg, verdict) in
        [("RS256", "keys_unavailable"), ("none", "algorithm_not_allowed"), ("HS256", "algorithm_not_allowed")]
    {
        let mut header = json!({"alg": "RS256"});
        header["alg"] = json!(alg);
        let token = mint(&Key::fixed("a"), "RS256", header, json!({"iss": "i", "exp": 1_700_003_600}));
        assert_eq!(judge(&policy, &token, NOW), verdict);
    }
    assert_eq!(judge(&policy, &token(rs256(), &json!({"iss": "j"})), NOW), "unknown_issuer");

    let record = failed().succeeded(at(NOW), 300.0, true);
    policy.take(0, keys(&["1"]).as_bytes(), at(NOW)).expect("keys");
    policy.feeds().note(0, record);
    assert_eq!(judge(&policy, &old, NOW), "forwarded");
    assert_eq!(judge(&policy, &new, NOW + 1.0), "waits");
    let asking = record.claimed(at(NOW + 1.0), Occasion::Need, 6.0).expect("nobody asks");
    policy.feeds().note(0, asking);
    assert_eq!(judge(&policy, &new, NOW + 1.1), "waits");
    policy.take(0, keys(&["1", "2"]).as_bytes(), at(NOW)).expect("keys");
    policy.feeds().note(0, asking.succeeded(at(NOW + 1.2), 300.0, true));
    assert_eq!(judge(&policy, &new, NOW + 1.2), "forwarded");
    let unknown = token(json!({"alg": "RS256", "kid": "3"}), &json!({}));
    assert_eq!(judge(&policy, &unknown, NOW + 1.3), "unknown_key");
    assert_eq!(judge(&policy, &unknown, NOW + 10.9), "unknown_key");
    assert_eq!(judge(&policy, &unknown, NOW + 11.0), "waits");
    // Nobody waits for a key without a name.
    let unnamed =
        mint(&Key::fixed("b"), "RS256", json!({"alg": "RS256"}), json!({"iss": "i", "exp": 1_700_003_600}));
    assert_eq!(judge(&policy, &unnamed, NOW + 11.0), "invalid_signature");
    // A key that is gone has verified nothing.
    policy.take(0, keys(&["2"]).as_bytes(), at(NOW)).expect("keys");
    assert_eq!(judge(&policy, &new, NOW + 1.3), "forwarded");
    assert_eq!(judge(&policy, &old, NOW + 1.3), "unknown_key");
}

#[test]
fn who_is_revoked_changes_nobody_elses_memory() {
    let key = json!([{"pem": Key::fixed("a").public_pem()}]);
    let of = |revoked: &Value| *policy(&json!([{"keys": key, "revoked": revoked}])).fingerprint();
    assert_eq!(of(&json!({"subjects": ["eve"]})), of(&json!({"subjects": []})));
    let remote = json!({"uri": "https://r.example/list", "cluster": "r"});
    assert_ne!(of(&json!({"remote": remote})), of(&json!({})));
    let other = policy(&json!([{"keys": key, "revoked": {}, "issuer": "i"}]));
    assert_ne!(*other.fingerprint(), of(&json!({})));
}

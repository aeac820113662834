//! What an issuer may send: whatever it is, nothing panics, and what is no document changes nothing.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that panics says what is wrong")]

use std::sync::LazyLock;

use jwtproxy_wasm::feed::{Record, Source, Uri, max_age};
use jwtproxy_wasm::{Answer, Decision, Event, NumericDate, Policy, Rejection, RequestHead, RustCrypto};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::FileFailurePersistence;
use rig::jwt::{Key, mint, now};
use serde_json::{Value, json};

const ISSUER: &str = "https://login.example.com";

fn policy() -> Policy {
    let config = json!({"providers": [{
        "issuer": ISSUER,
        "algorithms": ["RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"],
        "remote_jwks": {"discovery": true, "cluster": "issuer"},
        "revoked": {"remote": {"uri": "https://admin.example.com/list", "cluster": "admin"}},
    }]});
    Policy::from_json(config.to_string().as_bytes(), &|_: &str| None).expect("a configuration")
}

/// Of key `a`; to sign takes longer than all else.
static TOKEN: LazyLock<String> = LazyLock::new(|| {
    let claims =
        json!({"iss": ISSUER, "sub": "alice", "jti": "7", "iat": now(), "exp": now().saturating_add(3600)});
    mint(&Key::fixed("a"), "RS256", json!({"alg": "RS256", "kid": "1"}), claims)
});

fn time() -> NumericDate {
    NumericDate::from_seconds(std::time::Duration::from_secs(now()).as_secs_f64())
}

/// Whether it gets in.
fn lets_in(policy: &Policy) -> bool {
    let fields = [
        (":method".to_owned(), b"GET".to_vec()),
        (":path".to_owned(), b"/".to_vec()),
        ("authorization".to_owned(), format!("Bearer {}", *TOKEN).into_bytes()),
    ];
    let time = time();
    let head = RequestHead::new(&fields).without_waiting();
    matches!(policy.decide(&head, &time, &RustCrypto), Decision::Forward(_))
}

/// What is taken of the configuration is taken of an issuer: every JWK of the table that is read leniently.
#[test]
fn fetched_keys_are_read_as_written_ones_are() {
    let mut taken = 0;
    for (name, config) in rig::table::load().configs {
        let provider = &config["providers"][0];
        let (jwk, jwks) = (&provider["keys"][0]["jwk"], &provider["keys"][0]["jwks"]);
        if !name.starts_with("keys/lenient_") || jwk["kty"] == "oct" {
            continue;
        }
        let set = if jwks.is_object() { jwks.clone() } else { json!({"keys": [jwk]}) };
        let policy = policy();
        let skipped = policy
            .take(0, set.to_string().as_bytes(), time())
            .unwrap_or_else(|fault| panic!("{name}: {fault}"));
        // SPIFFE hands out certificates beside the keys of tokens.
        assert_eq!(skipped.len(), usize::from(name.ends_with("spiffe")), "{name}: {skipped:?}");
        taken += 1;
    }
    assert!(taken > 20, "{taken}");
}

/// One member of a set is no reason to do without the others.
#[test]
fn what_is_no_key_is_skipped() {
    let policy = policy();
    policy.take(1, b"{}", time()).expect("a list");
    let good = Key::fixed("a").jwk("1");
    let set = json!({"keys": [null, "x", 1, [], {}, {"kty": "RSA", "kid": 5}, good]});
    let skipped = policy.take(0, set.to_string().as_bytes(), time()).expect("a key");
    assert_eq!(skipped.len(), 6, "{skipped:?}");
    assert_eq!(skipped[0], "keys[0]: it is no object");
    assert!(lets_in(&policy));
}

/// Each of them is told from the others: whoever reads the log cannot see the answer.
#[test]
fn what_is_no_document_is_called_by_its_name() {
    let policy = policy();
    let said = |answer: &[u8]| policy.take(0, answer, time()).expect_err("no document").to_string();
    let set = json!({"keys": [Key::fixed("a").jwk("1")]}).to_string();
    let utf16: Vec<u8> = set.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mark = "it begins with a byte order mark, which JSON has not (RFC 8259 section 8.1)";
    let page = "it is a page (HTML or XML), and no JSON";
    let packed = "it is compressed, though nobody asked for that, and is not unpacked";
    let pem = Key::fixed("a").public_pem();
    let (marked, wide) =
        ([b"\xef\xbb\xbf", set.as_bytes()].concat(), [b"\xff\xfe", utf16.as_slice()].concat());
    let rows: [(&[u8], &str); 12] = [
        (b"\x1f\x8b\x08\0\0\0\0\0", packed),
        (b"\x28\xb5\x2f\xfd\x04", packed),
        (b"<!doctype html><title>Sign in</title>", page),
        (b"\n  <html>", page),
        (b"<?xml version=\"1.0\"?>", page),
        (pem.as_bytes(), "it is PEM; keys are fetched as a JWK Set, and PEM is written in `keys`"),
        (&marked, mark),
        (&wide, mark),
        (b"{\"keys\": [],\n\"keys\": []}", "it has a member twice, the second time at line 2, column 11"),
        (b"", "it is empty"),
        (b"\r\n", "it is empty"),
        (b"keys", "it is no JSON"),
    ];
    for (answer, sentence) in rows {
        assert_eq!(said(answer), sentence, "{answer:?}");
    }
    let by_kid = json!({"1": Key::fixed("a").certificate_pem()}).to_string();
    assert_eq!(
        said(by_kid.as_bytes()),
        "these are certificates in PEM by their kid; the keys must be a JWK Set"
    );
}

#[test]
fn an_issuer_that_is_another_is_shown_beside_ours() {
    let policy = policy();
    let Source::Discovered(discovery) = &policy.feeds().get(0).expect("the keys").source else {
        panic!("no discovery");
    };
    let said = |issuer: Value| {
        let document = json!({"issuer": issuer, "jwks_uri": "https://login.example.com/certs"});
        discovery.jwks(document.to_string().as_bytes()).expect_err("another issuer").to_string()
    };
    let of = |issuer: &str| {
        format!("the discovery document is not that of the provider's issuer `{ISSUER}`, but of `{issuer}`")
    };
    assert_eq!(said(json!("https://evil.example")), of("https://evil.example"));
    assert_eq!(
        said(json!("https://login.example.com/")),
        of("https://login.example.com/")
            + ": they differ by a slash at the end; write `issuer` as the document and the tokens do"
    );
    // What a log may hold.
    assert_eq!(said(json!("a\n\u{1b}ä")), of("a????"));
    assert_eq!(said(json!("x".repeat(1000))), of(&"x".repeat(200)));
    for none in [json!(null), json!(5)] {
        assert_eq!(said(none), "the discovery document names no issuer");
    }
}

/// Why that token is refused.
fn rejection(policy: &Policy, token: &str) -> Rejection {
    let fields = [
        (":method".to_owned(), b"GET".to_vec()),
        (":path".to_owned(), b"/".to_vec()),
        ("authorization".to_owned(), format!("Bearer {token}").into_bytes()),
    ];
    let head = RequestHead::new(&fields).without_waiting();
    let decision = policy.decide(&head, &time(), &RustCrypto);
    let Decision::Answer(Answer { event: Event::Refused(rejection), .. }) = decision else {
        panic!("{decision:?}");
    };
    rejection
}

/// The log line of a token of that `kid`, and whether it is one that was not told yet.
fn refused(policy: &Policy, kid: &str) -> (String, bool) {
    let claims = json!({"iss": ISSUER, "iat": now(), "exp": now().saturating_add(3600)});
    let token = mint(&Key::fixed("a"), "RS256", json!({"alg": "RS256", "kid": kid}), claims);
    let rejection = rejection(policy, &token);
    (rejection.to_string(), rejection.is_news())
}

#[test]
fn a_token_whose_key_was_skipped_says_why_and_since_when() {
    let policy = policy();
    let at = |seconds: f64| NumericDate::from_seconds(seconds);
    let short = Key::fixed("short").jwk("9");
    let take = |keys: Value, seconds: f64| {
        policy.take(0, json!({"keys": keys}).to_string().as_bytes(), at(seconds)).expect("keys");
    };
    take(json!([Key::fixed("b").jwk("1"), short]), 1000.0);
    let weak = |since: &str| {
        format!(
            "the key with the kid of the token is skipped since {since}, kid 9: an RSA key of 1024 bits is too short; at least 2048"
        )
    };
    assert_eq!(refused(&policy, "9"), (weak("1000"), true));
    assert_eq!(refused(&policy, "9"), (weak("1000"), false), "once is enough");
    // It is still so, and it was told.
    take(json!([short, Key::fixed("b").jwk("1")]), 2000.0);
    assert_eq!(refused(&policy, "9"), (weak("1000"), false));
    // It was well in between.
    take(json!([Key::fixed("b").jwk("9")]), 3000.0);
    take(json!([short, Key::fixed("b").jwk("1")]), 4000.0);
    assert_eq!(refused(&policy, "9"), (weak("4000"), true));
    let unknown = "the provider has no key with the kid of the token".to_owned();
    assert_eq!(refused(&policy, "8"), (unknown, false));

    let set = json!({"keys": [Key::fixed("b").jwk("1"), {"kty": "XX", "kid": "9"}]});
    let written = json!({"providers": [{"issuer": ISSUER, "keys": [{"jwks": set}]}]});
    let written =
        Policy::from_json(written.to_string().as_bytes(), &|_: &str| None).expect("a configuration");
    let (why, is_news) = refused(&written, "9");
    assert!(
        why.contains("is skipped since the configuration was loaded, providers[0].keys[0].jwks.keys[1]: "),
        "{why}"
    );
    assert!(is_news);
}

#[test]
fn a_kid_that_is_no_text_is_named() {
    let policy = policy();
    for (kid, found) in [(json!(5), "a number"), (json!(null), "null"), (json!(["1"]), "a list")] {
        let token =
            mint(&Key::fixed("a"), "RS256", json!({"alg": "RS256", "kid": kid}), json!({"iss": ISSUER}));
        let rejection = rejection(&policy, &token);
        assert_eq!(rejection.reason(), "malformed_token");
        assert_eq!(rejection.to_string(), format!("the kid of the header is {found}, and no string"));
    }
}

fn documents() -> Vec<String> {
    let [rsa, p256, ed25519] = ["a", "p256", "ed25519"].map(|key| Key::fixed(key).jwk("1"));
    [
        json!({"keys": [rsa, p256, ed25519]}),
        json!({"issuer": ISSUER, "jwks_uri": "https://login.example.com/certs"}),
        json!({"jti": ["7"], "subjects": ["alice"], "kids": ["1"], "issued_before": {"alice": 1_795_500_000}}),
    ]
    .iter()
    .map(Value::to_string)
    .collect()
}

/// A document with some of its bytes changed, or what looks like a piece of one.
fn document() -> impl Strategy<Value = Vec<u8>> {
    let mutated =
        (select(documents()), vec((any::<Index>(), any::<u8>()), 0..4)).prop_map(|(text, changes)| {
            let mut bytes = text.into_bytes();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                if let Some(own) = bytes.get_mut(at) {
                    *own = byte;
                }
            }
            bytes
        });
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"keys\"",
        "\"kty\"",
        "\"RSA\"",
        "\"EC\"",
        "\"crv\"",
        "\"P-256\"",
        "\"n\"",
        "\"e\"",
        "\"AQAB\"",
        "\"x\"",
        "\"y\"",
        "\"kid\"",
        "\"jti\"",
        "\"issuer\"",
        "\"jwks_uri\"",
        "\"issued_before\"",
        "1e999",
        "-1",
        "null",
        "true",
        "\"\\ud800\"",
        "\"\"",
    ];
    let assembled = vec(select(pieces.to_vec()), 0..24).prop_map(|pieces| pieces.concat().into_bytes());
    prop_oneof![3 => mutated, 2 => assembled, 1 => vec(any::<u8>(), 0..200)]
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 500,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_document_panics_and_a_broken_one_changes_nothing(documents in vec((0_usize..3, document()), 1..4)) {
        let policy = policy();
        let good = json!({"keys": [Key::fixed("a").jwk("1")]}).to_string();
        policy.take(0, good.as_bytes(), time()).expect("keys");
        policy.take(1, b"{}", time()).expect("a list");
        prop_assert!(lets_in(&policy));
        for (feed, document) in documents {
            let before = lets_in(&policy);
            if policy.take(feed, &document, time()).is_err() {
                prop_assert_eq!(lets_in(&policy), before);
            }
        }
    }

    #[test]
    fn no_discovery_document_leads_elsewhere(document in document()) {
        let policy = policy();
        let feed = policy.feeds().get(0).expect("the keys");
        let Source::Discovered(discovery) = &feed.source else { return Err(TestCaseError::fail("no discovery")) };
        if let Ok(uri) = discovery.jwks(&document) {
            prop_assert!(uri.https && uri.authority == "login.example.com", "{}", uri);
        }
    }

    #[test]
    fn nothing_that_stands_for_a_record_or_an_address_panics(bytes in vec(any::<u8>(), 0..64), text in ".{0,40}") {
        let now = NumericDate::from_seconds(1_700_000_000.0);
        if let Some(record) = Record::from_bytes(&bytes) {
            let _ = (record.is_worth_waiting(now), record.failed(now, 300.0), record.succeeded(now, 300.0, true));
        }
        if let Some(uri) = Uri::parse(&text) {
            prop_assert_eq!(Uri::parse(&uri.to_string()), Some(uri));
        }
        let _ = max_age(&bytes, &bytes);
    }
}

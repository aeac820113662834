//! What an issuer may send: whatever it is, nothing panics, and what is no document changes nothing.

#![expect(clippy::expect_used, reason = "a test that panics says what is wrong")]

use std::sync::LazyLock;

use jwtproxy_wasm::feed::{Record, Source, Uri, max_age};
use jwtproxy_wasm::{NumericDate, Policy, RequestHead, RustCrypto};
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

/// Whether it gets in.
fn lets_in(policy: &Policy) -> bool {
    let fields = [
        (":method".to_owned(), b"GET".to_vec()),
        (":path".to_owned(), b"/".to_vec()),
        ("authorization".to_owned(), format!("Bearer {}", *TOKEN).into_bytes()),
    ];
    let time = NumericDate::from_seconds(std::time::Duration::from_secs(now()).as_secs_f64());
    let head = RequestHead::new(&fields).without_waiting();
    matches!(policy.decide(&head, &time, &RustCrypto), jwtproxy_wasm::Decision::Forward(_))
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
        policy.take(0, good.as_bytes()).expect("keys");
        policy.take(1, b"{}").expect("a list");
        prop_assert!(lets_in(&policy));
        for (feed, document) in documents {
            let before = lets_in(&policy);
            if policy.take(feed, &document).is_err() {
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

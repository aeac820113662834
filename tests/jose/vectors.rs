//! The examples of the RFCs, and forgeries: `tests/vectors/jose_examples.json` and `jose_forgeries.json`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rig::repository;
use serde_json::Value;

use crate::key_forms::fitting;
use crate::{Verdict, judge};

#[test]
fn examples_of_the_rfcs() {
    check("jose_examples", 10);
}

#[test]
fn forgeries() {
    check("jose_forgeries", 180);
}

fn check(file: &str, expected: usize) {
    let (mut all, mut accepted, mut wrong) = (0, 0, Vec::new());
    for vector in vectors(file) {
        let jws = vector["jws"].as_str().expect("a token");
        let verdict = judge(&vector["keys"], jws);
        all += 1;
        accepted += usize::from(verdict == Verdict::Accepted);
        if (vector["accepted"] == true) != (verdict == Verdict::Accepted) {
            wrong.push(format!("{} {}: {verdict:?}", vector["name"], vector["from"]));
        }
    }
    rig::say(&format!("{file}: {all} vectors, {accepted} accepted"));
    assert!(wrong.is_empty(), "{} of {all}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(all >= expected, "only {all}");
}

/// Whatever is done to a good signature: a bit of each byte, fewer bytes, more bytes, the name of another algorithm.
#[test]
fn no_neighbour_of_a_good_signature_is_accepted() {
    let mut accepted = Vec::new();
    let (mut tokens, mut neighbours) = (0, 0);
    for vector in vectors("jose_examples").into_iter().chain(vectors("jose_forgeries")) {
        let jws = vector["jws"].as_str().expect("a token");
        if vector["accepted"] == false || vector["why"] != Value::Null {
            continue;
        }
        tokens += 1;
        let algorithms = fitting(&vector["keys"]);
        for neighbour in neighbours_of(jws, &algorithms) {
            neighbours += 1;
            if judge(&vector["keys"], &neighbour) == Verdict::Accepted {
                accepted.push(format!("{} {}: {neighbour}", vector["name"], vector["from"]));
            }
        }
    }
    rig::say(&format!("{neighbours} neighbours of {tokens} good signatures"));
    assert!(accepted.is_empty(), "{}", accepted.join("\n"));
    assert!(tokens > 0 && neighbours > 100 * tokens / 2, "{neighbours} of {tokens}");
}

fn neighbours_of(jws: &str, algorithms: &[&str]) -> Vec<String> {
    let (signing_input, signature) = jws.rsplit_once('.').expect("a token");
    let (header, payload) = signing_input.split_once('.').expect("a token");
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("a signature");
    let mut signatures: Vec<Vec<u8>> = vec![
        Vec::new(),
        vec![0; signature.len()],
        vec![0xff; signature.len()],
        [&[0], signature.as_slice()].concat(),
        [signature.as_slice(), &[0]].concat(),
        [signature.as_slice(), signature.as_slice()].concat(),
        signature.iter().skip(1).copied().collect(),
        signature.iter().rev().skip(1).rev().copied().collect(),
    ];
    signatures.extend((0..signature.len()).map(|flipped| {
        let flip = |(at, byte): (usize, &u8)| if at == flipped { byte ^ (1 << (at % 8)) } else { *byte };
        signature.iter().enumerate().map(flip).collect()
    }));
    let mut tokens: Vec<String> = signatures
        .iter()
        .map(|signature| format!("{signing_input}.{}", URL_SAFE_NO_PAD.encode(signature)))
        .collect();
    let header = URL_SAFE_NO_PAD.decode(header).expect("a header");
    let header: Value = serde_json::from_slice(&header).expect("a header");
    let own = header["alg"].as_str().expect("an alg");
    for other in algorithms.iter().copied().chain(["none", "None", ""]).filter(|other| *other != own) {
        let mut header = header.clone();
        header["alg"] = other.into();
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        tokens.push(format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode(&signature)));
    }
    tokens
}

fn vectors(file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(repository(format!("tests/vectors/{file}.json"))).expect("vectors");
    let file: Value = serde_json::from_str(&text).expect("vectors");
    file["vectors"].as_array().expect("a list").clone()
}

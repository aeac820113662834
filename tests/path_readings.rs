//! Does any server read a path otherwise than we judged it? What servers of files serve for paths that can be read in several
//! ways is recorded: nothing that is public, or permitted below `/docs/`, makes one of them serve another file.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that panics says what is wrong")]

mod drivers;

use drivers::{now, through_core};
use jwtproxy_wasm::Policy;
use rig::jwt::{Key, mint};
use rig::table::Outcome;
use serde::Deserialize;
use serde_json::{Value, json};

/// What `tests/paths/record.py` wrote.
#[derive(Deserialize)]
struct Record {
    servers: Vec<(String, String)>,
    paths: Vec<(String, String)>,
}

fn record() -> Record {
    let record: Record = serde_json::from_str(include_str!("vectors/path_readings.json")).expect("a record");
    assert!(record.servers.len() >= 7 && record.paths.len() > 2000, "a part of the record only");
    record
}

fn policy(rest: &Value) -> Policy {
    let mut config = json!({"providers": [{"issuer": "i", "keys": [{"pem": Key::fixed("a").public_pem()}]}]});
    let all = config.as_object_mut().expect("an object");
    all.extend(rest.as_object().expect("an object").clone());
    Policy::from_json(config.to_string().as_bytes(), &|_: &str| None)
        .unwrap_or_else(|error| panic!("{error}"))
}

/// Those that are forwarded, none of which may be read as private; `least` of them every server reads as public.
fn assert_forwards_what_is_public(policy: &Policy, headers: &[(&str, &str)], least: usize) {
    let record = record();
    let (mut wrong, mut agreed) = (Vec::new(), 0_usize);
    for (path, served) in &record.paths {
        assert_eq!(served.len(), record.servers.len(), "{path}");
        let own =
            [(":method", "GET"), (":path", path.as_str()), (":authority", "localhost"), (":scheme", "https")];
        let fields: Vec<(String, Vec<u8>)> = own
            .iter()
            .chain(headers)
            .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
            .collect();
        if !matches!(through_core(policy, &fields, b"", now()).1, Outcome::Forwarded { .. }) {
            continue;
        }
        if served.contains('P') {
            wrong.push(format!("{path}  {served}"));
        }
        agreed = agreed.saturating_add(usize::from(served.chars().all(|read| read == 'd')));
    }
    let servers: Vec<&String> = record.servers.iter().map(|(name, _)| name).collect();
    assert!(wrong.is_empty(), "forwarded, but private to a server of {servers:?}:\n{}", wrong.join("\n"));
    assert!(agreed >= least, "only {agreed} paths are forwarded that everybody reads as public");
}

#[test]
fn no_server_reads_a_public_path_as_private() {
    let policy = policy(&json!({"public_paths": [{"prefix": "/docs/"}]}));
    assert_forwards_what_is_public(&policy, &[], 50);
}

#[test]
fn no_server_reads_a_permitted_path_as_another() {
    let claims = json!({"sub": "alice", "iss": "i", "exp": rig::jwt::now().saturating_add(3600)});
    let token = mint(&Key::fixed("a"), "RS256", json!({"alg": "RS256"}), claims);
    let policy = policy(&json!({"rules": [{"paths": ["/docs/**"]}, {"deny": true}]}));
    assert_forwards_what_is_public(&policy, &[("authorization", &["Bearer ", &token].concat())], 50);
}

//! Does any server read a path otherwise than we judged it? What servers of files serve for paths that can be read in several
//! ways is recorded: nothing that is public, or permitted by rules, makes one of them serve another file. Nor does it where what
//! servers do to a path is done in any other order.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that panics says what is wrong")]

mod drivers;

use drivers::{now, through_core};
use jwtproxy_wasm::Policy;
use percent_encoding::percent_decode_str;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::FileFailurePersistence;
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

/// What lies below `/docs/`, and what lies elsewhere, in the letters of the record.
const PUBLIC: char = 'd';
const PRIVATE: char = 'P';

fn forwards(policy: &Policy, path: &str, headers: &[(&str, &str)]) -> bool {
    let own = [(":method", "GET"), (":path", path), (":authority", "localhost"), (":scheme", "https")];
    let fields: Vec<(String, Vec<u8>)> = own
        .iter()
        .chain(headers)
        .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
        .collect();
    matches!(through_core(policy, &fields, b"", now()).1, Outcome::Forwarded { .. })
}

/// Of what is forwarded no server serves what is `closed`; `least` of it are `open` to all of them.
fn assert_forwards(rest: &Value, headers: &[(&str, &str)], [open, closed]: [char; 2], least: usize) {
    let (policy, record) = (policy(rest), record());
    let (mut wrong, mut agreed) = (Vec::new(), 0_usize);
    for (path, served) in &record.paths {
        assert_eq!(served.len(), record.servers.len(), "{path}");
        if !forwards(&policy, path, headers) {
            continue;
        }
        if served.contains(closed) {
            wrong.push(format!("{path}  {served}"));
        }
        agreed = agreed.saturating_add(usize::from(served.chars().all(|read| read == open)));
    }
    let servers: Vec<&String> = record.servers.iter().map(|(name, _)| name).collect();
    assert!(
        wrong.is_empty(),
        "{rest}: forwarded, but another file to a server of {servers:?}:\n{}",
        wrong.join("\n")
    );
    assert!(agreed >= least, "{rest}: only {agreed} paths are forwarded that everybody reads alike");
}

#[test]
fn no_server_reads_a_public_path_as_private() {
    for public in [json!({"prefix": "/docs/"}), json!({"regex": "^/docs/"}), json!({"regex": "^/+docs/.*"})] {
        assert_forwards(&json!({"public_paths": [public]}), &[], [PUBLIC, PRIVATE], 50);
    }
    // The other way round.
    let public = json!([{"exact": "/"}, {"exact": "/admin.txt"}, {"prefix": "/x/"}]);
    assert_forwards(&json!({"public_paths": public}), &[], [PRIVATE, PUBLIC], 10);
}

#[test]
fn no_server_reads_a_permitted_path_as_another() {
    let claims = json!({"sub": "alice", "iss": "i", "exp": rig::jwt::now().saturating_add(3600)});
    let token = mint(&Key::fixed("a"), "RS256", json!({"alg": "RS256"}), claims);
    let headers = [("authorization", &*["Bearer ", &token].concat())];
    let listed = json!({"rules": [{"paths": ["/docs/**"]}, {"deny": true}]});
    assert_forwards(&listed, &headers, [PUBLIC, PRIVATE], 50);
    // To forbid some where all else is permitted is harder: what no rule speaks of goes through.
    let denied = ["/", "/index.html", "/admin.txt", "/x/**"];
    let others = json!({"rules": [{"paths": denied, "deny": true}]});
    assert_forwards(&others, &headers, [PUBLIC, PRIVATE], 50);
    let without_docs = json!({"rules": [{"paths": ["/docs/**"], "deny": true}]});
    assert_forwards(&without_docs, &headers, [PRIVATE, PUBLIC], 10);
}

/// What a server may do with a path before it looks for a file.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Percent-decode it.
    Decode,
    /// Drop `;parameters`.
    Drop,
    /// Take what follows two slashes for a host.
    Host,
    /// Merge slashes.
    Merge,
    /// Resolve dot segments, empty ones as they are.
    Resolve,
    /// End it at a `?` or `#`.
    End,
}

impl Step {
    fn of(self, path: &str) -> String {
        let segments = path.split('/').skip(1);
        let join = |segments: Vec<&str>| segments.iter().flat_map(|segment| ["/", segment]).collect();
        match self {
            Self::Decode => percent_decode_str(path).decode_utf8_lossy().into_owned(),
            Self::Drop => join(segments.map(|segment| segment.split(';').next().expect("a first")).collect()),
            Self::Host if path.starts_with("//") => {
                let behind = path.trim_start_matches('/');
                behind.find('/').and_then(|at| behind.get(at..)).unwrap_or("/").to_owned()
            }
            Self::Host => path.to_owned(),
            Self::Merge => {
                let end = if path.ends_with('/') { "/" } else { "" };
                join(segments.filter(|segment| !segment.is_empty()).collect()) + end
            }
            Self::Resolve => {
                let mut kept = Vec::new();
                for segment in segments {
                    match segment {
                        "." => {}
                        ".." => drop(kept.pop()),
                        _ => kept.push(segment),
                    }
                }
                let end = if path.ends_with("/.") || path.ends_with("/..") { "/" } else { "" };
                join(kept) + end
            }
            Self::End => path.split(['?', '#']).next().expect("a first").to_owned(),
        }
    }
}

/// Any of them in any order, but a host only at the start: no reader takes for one what it has put together itself.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    use Step::{Decode, Drop, End, Host, Merge, Resolve};
    let all = vec![Decode, Decode, Drop, Merge, Resolve, Resolve, End];
    (any::<bool>(), subsequence(all, 0..=7).prop_shuffle())
        .prop_map(|(host, steps)| host.then_some(Host).into_iter().chain(steps).collect())
}

fn path() -> impl Strategy<Value = String> {
    const SEGMENTS: &[&str] = &[
        "",
        "",
        ".",
        "..",
        "..",
        "%2e",
        ".%2E",
        ";",
        ";x=1",
        "%3b",
        "..;",
        "..%3B",
        "docs",
        "docs",
        "docs",
        "x",
        "x;y",
        "%64ocs",
        "x%3f",
        "..%23",
        "docs?",
        "docs;",
        "...",
        "%252e%252e",
        "%2f",
        "a%20b",
    ];
    vec(select(SEGMENTS), 0..7).prop_flat_map(|segments| {
        let rest: String = segments.iter().flat_map(|segment| ["/", segment]).collect();
        prop_oneof![3 => Just(["/docs", &rest].concat()), 1 => Just(rest)]
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 20_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::default()
    })]

    /// The last that reads a path is the system of files, which merges slashes and resolves what dots are left.
    #[test]
    fn whatever_servers_do_in_whatever_order_a_public_path_stays_public(path in path(), steps in steps()) {
        thread_local!(static POLICY: Policy = policy(&json!({"public_paths": [{"prefix": "/docs/"}]})));
        if POLICY.with(|policy| forwards(policy, &path, &[])) {
            // A query is none of the path.
            let sent = path.split('?').next().expect("a first").to_owned();
            let read = steps.iter().chain(&[Step::Decode, Step::Merge, Step::Resolve]);
            let file = read.fold(sent, |path, step| step.of(&path));
            prop_assert!(file == "/docs" || file.starts_with("/docs/"), "{file} by {steps:?}");
        }
    }
}

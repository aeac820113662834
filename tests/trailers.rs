//! Which trailers reach the upstream: those that nobody could take for what was judged.

#![expect(clippy::indexing_slicing, clippy::panic, reason = "a test that panics says what is wrong")]

use jwtproxy_wasm::Policy;
use rig::jwt::Key;
use serde_json::{Value, json};

fn policy(mut config: Value) -> Policy {
    config["providers"] = json!([{"issuer": "i", "keys": [{"pem": Key::fixed("a").public_pem(), "kid": "k"}],
            "claim_headers": {"x-jwt-sub": "sub"}}]);
    Policy::from_json(config.to_string().as_bytes(), &|_: &str| None)
        .unwrap_or_else(|error| panic!("{error}"))
}

/// What no configuration lets through.
const NEVER: &[&str] = &[
    ":path",
    "x-jwt-sub",
    "X-Jwt-Sub",
    "x_jwt.sub",
    "content-length",
    "Content_Length",
    "transfer-encoding",
    "host",
    "x-forwarded-for",
    "x_forwarded~user",
    "x-envoy-internal",
    "x-http-method-override",
    "x_http_method",
    "_method",
    "sec-fetch-site",
];
/// What goes unless everything is forwarded.
const CREDENTIALS: &[&str] = &[
    "authorization",
    "Authorization",
    "cookie",
    "proxy-authorization",
    "proxy_authorization",
    "x-token",
    "x.token",
];
/// What no reader takes for anything of ours.
const OTHERS: &[&str] =
    &["grpc-status", "x-checksum", "digest", "x-jwt-subject", "x-jwt-su", "xjwtsub", "", "\u{e9}"];

#[test]
fn no_trailer_says_what_the_head_should() {
    let sources = json!([{"header": "x-token"}, {"header": "authorization", "scheme": "Bearer"}]);
    let strict = policy(json!({"token_sources": sources}));
    let jwtproxy = policy(json!({"token_sources": sources, "profile": "jwtproxy"}));
    let handed_on = policy(json!({"forward_token": {"header": "x-token"}}));
    for policy in [&strict, &jwtproxy, &handed_on] {
        for name in NEVER {
            assert!(policy.forbids_trailer(name), "{name}");
        }
        for name in OTHERS {
            assert!(!policy.forbids_trailer(name), "{name}");
        }
    }
    for name in CREDENTIALS {
        assert!(strict.forbids_trailer(name) && handed_on.forbids_trailer(name), "{name}");
        assert!(!jwtproxy.forbids_trailer(name), "JwtProxy takes no credential out: {name}");
    }
}

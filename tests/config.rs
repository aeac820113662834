//! Configurations that must not load, with the very words that an operator reads, and some that must.

use jwtproxy_wasm::Policy;
use rig::jwt::now;
use rig::table::{self, filled};
use serde_json::json;

#[test]
fn every_configuration_is_refused_with_these_words_or_loads() {
    let rows = table::configurations();
    let mut failures = Vec::new();
    for row in &rows {
        let config = match row["text"].as_str() {
            Some(text) => text.to_owned(),
            None => filled(&row["config"], now()).to_string(),
        };
        let wanted = row["error"].as_str();
        let found = load(config.as_bytes()).err();
        let fits = match (wanted, &found) {
            (None, None) => true,
            (Some(wanted), Some(found)) => table::matches(wanted, found),
            (None, Some(_)) | (Some(_), None) => false,
        };
        if !fits {
            failures.push(format!("{}\n    wanted {wanted:?}\n    found  {found:?}", row["name"]));
        }
    }
    let (failed, all) = (failures.len(), rows.len());
    assert!(failures.is_empty(), "{failed} of {all} configurations differ:\n{}", failures.join("\n"));
}

/// `Struct` and not `StringValue`: Envoy hands such a configuration over as protobuf.
#[test]
fn a_protobuf_struct_is_refused_with_what_to_write_instead() {
    // {fields: {key: "open", value: {bool_value: true}}} and {fields: {key: "profile", value: {string_value: "strict"}}},
    // each field with tag 1 and its length before it.
    let flag = [b"\x0a\x0a\x0a\x04open\x12\x02\x20".as_slice(), b"\x01"].concat();
    let text = b"\x0a\x13\x0a\x07profile\x12\x08\x1a\x06strict".to_vec();
    // A field of 123 bytes: the length is the letter with which JSON starts.
    let long = [b"\x0a{\x0a\x04open\x12s\x1aq".as_slice(), &[b'x'; 113]].concat();
    let padded = [b"\x0a\x20\x0a\x04open\x12\x18\x1a\x16".as_slice(), &[b'x'; 22]].concat();
    for bytes in [flag, text, long, padded] {
        let error = load(&bytes).unwrap_err();
        assert!(error.contains("StringValue"), "{error}: {bytes:?}");
    }
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    for bytes in [b"\xff\xfe{}".as_slice(), b"{\"profile\": \"\xff\"}", b"\x00", b"{}\x00", b"\x1f\x8b\x08"] {
        load(bytes).unwrap_err();
    }
}

#[test]
fn json_that_is_too_deep_is_refused() {
    for text in ["[".repeat(100_000), "{\"providers\":".repeat(100_000)] {
        load(text.as_bytes()).unwrap_err();
    }
}

fn load(config: &[u8]) -> Result<Policy, String> {
    let variables = table::env();
    let env = |name: &str| variables.iter().find(|(own, _)| *own == name).map(|(_, value)| value.clone());
    Policy::from_json(config, &env).map_err(|error| error.to_string())
}

#[test]
fn a_rule_that_is_never_reached_is_told() {
    let config = filled(
        &json!({
            "providers": [{"name": "a", "keys": [{"pem": {"$pem": "a"}}]}],
            "rules": [
                {"paths": ["/a/{b}"], "methods": ["GET"], "providers": ["a"]},
                {"paths": ["/a/{b}"], "providers": ["a"]},
                {"paths": ["/a/{b}"], "methods": ["GET"], "deny": true},
                {"deny": true},
                {"hosts": ["a"], "deny": true},
            ],
        }),
        now(),
    );
    let policy = load(config.to_string().as_bytes()).unwrap();
    let told = |rule: usize, by: usize| {
        format!("rules[{rule}]: this is never reached, as rules[{by}] decides before it")
    };
    assert_eq!(policy.warnings(), [told(2, 0), told(4, 3)]);
}

#[test]
fn a_form_that_no_cookie_has_is_warned_of() {
    let warnings = |sources: serde_json::Value| {
        let config =
            json!({"providers": [{"keys": [{"env": "TABLE_PEM"}]}], "session": {}, "token_sources": sources});
        load(config.to_string().as_bytes()).unwrap().warnings().join("\n")
    };
    let cookie = json!({"cookie": "access_token", "scheme": "Bearer"});
    let padded = json!({"cookie": "access_token", "scheme": "Bearer", "padded": true});
    let (header, other) = (json!({"header": "x-a"}), json!({"header": "x-b", "padded": true}));
    let found = warnings(json!([cookie, header, other]));
    assert!(found.ends_with("add {cookie: access_token, scheme: Bearer, padded: true}"), "{found}");
    let found = warnings(json!([padded, header, other]));
    assert!(found.ends_with("add {cookie: access_token, scheme: Bearer}"), "{found}");
    for sources in [json!([cookie, padded, header, other]), json!([cookie, header]), json!([padded, other])] {
        assert_eq!(warnings(sources.clone()), "", "{sources}");
    }
}

/// Two workspaces of one host may keep their cookies apart by a path; the endpoints belong below it.
#[test]
fn a_cookie_that_does_not_come_to_an_endpoint_is_warned_of() {
    let warnings = |session: serde_json::Value| {
        let config = serde_json::json!({"providers": [{"keys": [{"env": "TABLE_PEM"}]}], "session": session});
        load(config.to_string().as_bytes()).unwrap().warnings().join("\n")
    };
    let found = warnings(serde_json::json!({"cookie": {"path": "/ide"}, "info_path": "/ide/me"}));
    for path in ["/jwt/auth", "/jwt/logout"] {
        let says = format!("session.cookie.path: /ide does not cover {path}; browsers send no cookie there");
        assert!(found.contains(&says), "{found}");
    }
    assert!(!found.contains("/ide/me"), "{found}");
    for session in [
        serde_json::json!({}),
        serde_json::json!({"cookie": {"path": "/ide"}, "public_base_path": "/ide"}),
        serde_json::json!({"cookie": {"path": "/ide/"}, "auth_path": "/ide/in", "logout_path": "/ide/out"}),
    ] {
        assert_eq!(warnings(session.clone()), "", "{session}");
    }
}

/// A secret that was hardly made by base64 loads, and the operator hears how it was read.
#[test]
fn text_that_is_written_as_base64_is_warned_of() {
    let warnings = |form: &str, secret: &str| {
        let config =
            json!({"providers": [{"keys": [{form: secret}], "algorithms": ["HS256"]}], "session": {}});
        load(config.to_string().as_bytes()).unwrap().warnings().join("\n")
    };
    let hex = "a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f90";
    let found = warnings("secret_base64", hex);
    assert_eq!(
        found,
        "providers[0].keys[0].secret_base64: 64 hex digits were read as base64 of 48 bytes; if the issuer signs with the text \
         as it stands, write `secret_text`"
    );
    for words in [
        hex.to_uppercase().as_str(),
        "super-secret-jwt-token-with-at-least-32-characters-long",
        "TheQuickBrownFoxJumpsOverTheLazyDogAndThenSleepsTillNoon",
        "The 1 quick brown fox jumps over the lazy dog and naps",
    ] {
        assert!(warnings("secret_base64", words).contains("were read as base64 of "), "{words}");
    }
    for (form, secret) in [
        ("secret_base64", "kQ3vF0m9Zt1xYw2LrB7sHn5uJc8dPa6gTe4iOoKqXyU="),
        ("secret_base64", "kQ3vF0m9Zt1xYw2LrB7s\nHn5uJc8dPa6gTe4iOoKqXyU="),
        ("secret_base64", "c3VwZXItc2VjcmV0LWp3dC10b2tlbi13aXRoLWF0LWxlYXN0LTMyLWNoYXJhY3RlcnMtbG9uZw"),
        ("secret_text", hex),
        ("secret_text", "super-secret-jwt-token-with-at-least-32-characters-long"),
    ] {
        assert_eq!(warnings(form, secret), "", "{secret}");
    }
    let found = warnings("secret_text", &format!("{hex}\n"));
    assert_eq!(
        found,
        "providers[0].keys[0].secret_text: white space at its begin or end is a part of this secret"
    );
}

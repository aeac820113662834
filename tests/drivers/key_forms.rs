//! Public test vectors as configurations.

use jwtproxy_wasm::jwt::Algorithm;
use serde_json::{Value, json};

/// A configuration with these keys (a JWK or a JWKS), every algorithm that is offered and fits them, and no rule about
/// claims.
pub fn configuration(keys: &Value) -> Value {
    let provider = json!({"algorithms": fitting(keys), "require_exp": false, "keys": entries(keys)});
    json!({"providers": [provider]})
}

/// The entries of `keys`. Secrets stand each in an entry of its own, for a JWKS is public.
fn entries(keys: &Value) -> Vec<Value> {
    match keys["keys"].as_array() {
        Some(secrets) if secrets.iter().all(is_secret) => {
            secrets.iter().map(|key| json!({"jwk": key})).collect()
        }
        Some(_) => vec![json!({"jwks": keys})],
        None => vec![json!({"jwk": keys})],
    }
}

/// Those with a secret for secrets, the others for public keys.
pub fn fitting(keys: &Value) -> Vec<&'static str> {
    let one = [keys.clone()];
    let keys = keys["keys"].as_array().map_or(one.as_slice(), Vec::as_slice);
    let fits = |name: &&str| keys.iter().any(|key| is_secret(key) == name.starts_with("HS"));
    Algorithm::NAMES.into_iter().map(|(name, _)| name).filter(fits).collect()
}

fn is_secret(key: &Value) -> bool {
    key["kty"] == "oct"
}

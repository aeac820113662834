//! A configuration of ours as one of `jwt_authn`, as near to it as can be written there; what is not written keeps the
//! default of either.

use rig::jwt::Key;
use rig::table::filled;
use serde_json::{Map, Value, json};

/// The filter, with providers named after the place, or the field that it has nothing for.
pub fn filter(place: &str, config: &Value) -> Result<Value, String> {
    let mut providers = Map::new();
    for (name, value) in members(config) {
        if name != "providers" && name != "session" {
            return Err(format!("{name} {value}"));
        }
    }
    for (index, ours) in config["providers"].as_array().expect("providers").iter().enumerate() {
        providers.insert(format!("{place}#{index}"), provider(ours)?);
    }
    let any: Vec<Value> = providers.keys().map(|name| json!({"provider_name": name})).collect();
    let requires = match any.as_slice() {
        [one] => one.clone(),
        _ => json!({"requires_any": {"requirements": any}}),
    };
    Ok(json!({
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": providers,
            "rules": [{"match": {"prefix": "/"}, "requires": requires}],
        },
    }))
}

fn provider(ours: &Value) -> Result<Value, String> {
    let mut theirs = json!({
        "from_headers": [{"name": "Authorization", "value_prefix": "Bearer "}],
        "from_params": ["token"],
        "from_cookies": ["access_token"],
    });
    for (name, value) in members(ours) {
        match name {
            "issuer" | "audiences" => theirs[name] = value.clone(),
            "clock_skew_seconds" if *value != 0 => theirs[name] = value.clone(),
            "claim_headers" => {
                let header =
                    |(header, claim): (&str, &Value)| json!({"header_name": header, "claim_name": claim});
                theirs["claim_to_headers"] = members(value).map(header).collect();
            }
            "keys" => {
                let mut keys: Vec<Value> = value.as_array().expect("keys").iter().flat_map(jwks).collect();
                // The one way to say which algorithm is meant is the key's own `alg`.
                if let Some([algorithm]) = ours["algorithms"].as_array().map(Vec::as_slice) {
                    keys.iter_mut()
                        .filter(|key| key["alg"].is_null())
                        .for_each(|key| key["alg"] = algorithm.clone());
                }
                theirs["local_jwks"] = json!({"inline_string": json!({"keys": keys}).to_string()});
            }
            // Names of ours alone; and the default there.
            "name" | "subject_claim" | "algorithms" => {}
            "require_exp" if *value == false => {}
            _ => return Err(format!("{name} {value}")),
        }
    }
    Ok(theirs)
}

const FORMS: [&str; 4] = ["pem", "der_base64", "env", "secret_base64"];

/// The JWKs that an entry of `keys` stands for.
fn jwks(entry: &Value) -> Vec<Value> {
    let mut keys = match entry {
        entry if entry["jwks"].is_object() => {
            filled(&entry["jwks"]["keys"], 0).as_array().expect("a list").clone()
        }
        entry if entry["jwk"].is_object() => vec![filled(&entry["jwk"], 0)],
        entry if !entry["secret_text"].is_null() => {
            let variables = rig::table::env();
            let of_variable = |name: &str| Some(variables.iter().find(|(own, _)| *own == name)?.1.as_str());
            let text = &entry["secret_text"];
            let text = text.as_str().or_else(|| of_variable(text["env"].as_str()?)).expect("a secret");
            let mut jwk = Key::secret(text.as_bytes().to_vec()).jwk("");
            jwk.as_object_mut().expect("an object").remove("kid");
            vec![jwk]
        }
        entry => {
            let named = |name: &Value| vec![filled(&json!({"$jwk": name}), 0)];
            let (_, form) = members(entry).find(|(name, _)| FORMS.contains(name)).expect("a key");
            match form.as_str().or(form["env"].as_str()) {
                Some("TABLE_JWK" | "TABLE_JWKS") => named(&json!(["a", "env-key"])),
                Some("TABLE_EC_PEM") => named(&json!("p256")),
                Some("TABLE_SECRET") => named(&json!("secret64")),
                Some(_) => named(&json!("a")),
                None => named(members(form).next().expect("the name of a key").1),
            }
        }
    };
    for (name, value) in members(entry).filter(|(name, _)| ["kid", "alg"].contains(name)) {
        let value = if value["env"] == "TABLE_RS512" { json!("RS512") } else { value.clone() };
        // `RSA` and its variable mean any.
        if name == "kid" || value.as_str().is_some_and(|alg| alg != "RSA") {
            for key in &mut keys {
                key[name] = value.clone();
            }
        }
    }
    keys
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

//! The keys of an issuer as they come from it (RFC 7517 section 5).

use serde_json::{Map, Value};

use super::{Algorithm, VerifyingKey, jwk};

/// The usable keys of a set, and what was not usable.
#[derive(Clone, Debug, Default)]
pub struct JwkSet {
    /// The keys.
    pub keys: Vec<VerifyingKey>,
    /// Which keys were left out, and why.
    pub skipped: Vec<String>,
}

/// Reads a set that an issuer serves.
///
/// # Errors
/// It is no set, or has no usable key.
pub fn jwk_set(json: &Value, allowed: &[Algorithm]) -> Result<JwkSet, &'static str> {
    let keys = json.get("keys").and_then(Value::as_array).ok_or("it has no list `keys`")?;
    let mut set = JwkSet::default();
    for key in keys.iter().take(100) {
        match key.as_object().map(|members: &Map<String, Value>| jwk(members)) {
            Some(Ok((rsa, key_use))) => {
                let algorithms =
                    key_use.algorithm.map_or_else(|| allowed.to_vec(), |algorithm| vec![algorithm]);
                set.keys.push(VerifyingKey::new(key_use.kid, algorithms, rsa));
            }
            Some(Err(fault)) => set.skipped.push(fault.to_string()),
            None => return Err("a key is no object"),
        }
    }
    if set.keys.is_empty() { Err("it has no usable key") } else { Ok(set) }
}

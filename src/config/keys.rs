//! The keys of a provider, in every form in which they may be written.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

use super::Reading;
use super::error::{ConfigError, Result};
use super::reader::Node;
use crate::jwt::{Algorithm, Json, JwkFault, KeyFault, KeyUse, RsaKey, VerifyingKey, jwk, key_type};

/// Reads one entry of `keys`, which for a JWKS is several keys.
pub(super) fn keys(
    node: &Node<'_>,
    algorithms: &[Algorithm],
    reading: &mut Reading<'_>,
) -> Result<Vec<VerifyingKey>> {
    let fields = node.fields(&["pem", "der_base64", "env", "jwk", "jwks", "kid", "alg"])?;
    let (kind, form) = fields.only(&["pem", "der_base64", "env", "jwk", "jwks"], node)?;
    let pinned = fields.read("alg", |alg| pinned_algorithms(alg, algorithms, reading))?;
    let bound = Bound { kid: fields.text("kid")?, algorithms: pinned.unwrap_or_else(|| algorithms.to_vec()) };
    let path = form.path().to_owned();
    match kind {
        "pem" => Ok(bound.one(pem_key(form.text()?, &path)?)),
        "der_base64" => Ok(bound.one(der_key(form.text()?, &path)?)),
        "jwk" => bound.jwk(form.object()?, &path).map(|key| vec![key]),
        "jwks" => bound.jwks(form.object()?, &path, reading),
        _ => match reading.env_var(&form)?.trim() {
            text if text.starts_with('{') => match Json::from_bytes(text.as_bytes()) {
                Ok(Json(Value::Object(set))) if set.contains_key("keys") => bound.jwks(&set, &path, reading),
                Ok(Json(Value::Object(members))) => bound.jwk(&members, &path).map(|key| vec![key]),
                Ok(_) | Err(_) => form.refuse("the variable holds no JWK or JWKS, though it starts like one"),
            },
            text if text.contains("-----BEGIN") => Ok(bound.one(pem_key(text, &path)?)),
            text => Ok(bound.one(der_key(text, &path)?)),
        },
    }
}

/// `RSA` is what Che writes: any RSA algorithm of the provider.
fn pinned_algorithms(
    alg: &Node<'_>,
    algorithms: &[Algorithm],
    reading: &Reading<'_>,
) -> Result<Vec<Algorithm>> {
    let name = match alg.value() {
        Value::Object(_) => match alg.fields(&["env"])?.get("env") {
            Some(variable) => reading.env_var(&variable)?,
            None => return alg.refuse("write a string or {env: NAME}"),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            alg.text().map_err(|_| alg.fault("write a string or {env: NAME}"))?.to_owned()
        }
    };
    if name == "RSA" {
        return Ok(algorithms.to_vec());
    }
    match Algorithm::from_name(&name) {
        Some(algorithm) if algorithms.contains(&algorithm) => Ok(vec![algorithm]),
        Some(_) => alg.refuse(format!("{name} is not among the `algorithms` of the provider")),
        None => {
            alg.refuse(format!("`{name}` is not known; write RS256, RS384, RS512, or RSA for any of them"))
        }
    }
}

/// The `kid` and the algorithms that an entry binds its keys to.
struct Bound {
    kid: Option<String>,
    algorithms: Vec<Algorithm>,
}

impl Bound {
    fn one(self, rsa: RsaKey) -> Vec<VerifyingKey> {
        vec![VerifyingKey::new(self.kid, self.algorithms, rsa)]
    }

    fn jwk(&self, members: &Map<String, Value>, path: &str) -> Result<VerifyingKey> {
        let (rsa, key_use) = jwk(members).map_err(|fault| ConfigError::new(path, fault.to_string()))?;
        self.bind(rsa, key_use, path)
    }

    fn bind(&self, rsa: RsaKey, key_use: KeyUse, path: &str) -> Result<VerifyingKey> {
        let kid = match (&self.kid, key_use.kid) {
            (Some(own), Some(kid)) if *own != kid => {
                let message = format!("the key has the kid `{kid}`, and `{own}` is written beside it");
                return Err(ConfigError::new(path, message));
            }
            (own, kid) => kid.or_else(|| own.clone()),
        };
        let algorithms = match key_use.algorithm {
            None => self.algorithms.clone(),
            Some(algorithm) if self.algorithms.contains(&algorithm) => vec![algorithm],
            Some(algorithm) => {
                let message = format!("the key is for {}, which is not allowed here", algorithm.name());
                return Err(ConfigError::new(path, message));
            }
        };
        Ok(VerifyingKey::new(kid, algorithms, rsa))
    }

    /// RFC 7517 section 5: keys of a type or for a purpose that is not understood are ignored, and so are unknown
    /// members. A weak or private key is understood very well.
    fn jwks(
        &self,
        set: &Map<String, Value>,
        path: &str,
        reading: &mut Reading<'_>,
    ) -> Result<Vec<VerifyingKey>> {
        let refuse = |message: &str| Err(ConfigError::new(path, message));
        if self.kid.is_some() {
            return refuse("the keys of a JWKS have a `kid` of their own; write none beside it");
        }
        let Some(members) = set.get("keys").and_then(Value::as_array) else {
            return refuse("a JWKS has a member `keys`, which is a list");
        };
        let mut keys = Vec::new();
        for (index, key) in members.iter().enumerate() {
            let path = format!("{path}.keys[{index}]");
            let Some(members) = key.as_object() else {
                return Err(ConfigError::new(path, "write an object"));
            };
            let mut skip = |why: String| reading.warnings.push(format!("{path}: skipped, {why}"));
            let other_type = key_type(members).is_ok_and(|kty| kty != "RSA");
            match jwk(members) {
                Ok((_, KeyUse { algorithm: Some(algorithm), .. }))
                    if !self.algorithms.contains(&algorithm) =>
                {
                    skip("its alg is not allowed here".into());
                }
                Ok((rsa, key_use)) => keys.push(self.bind(rsa, key_use, &path)?),
                Err(fault @ (JwkFault::Algorithm | JwkFault::NotForSignatures(_))) => skip(fault.to_string()),
                Err(fault @ JwkFault::Key(KeyFault::NotRsa)) if other_type => skip(fault.to_string()),
                Err(fault @ (JwkFault::Key(_) | JwkFault::Member(_))) => {
                    return Err(ConfigError::new(path, fault.to_string()));
                }
            }
        }
        if keys.is_empty() {
            return refuse("there is no key here that verifies RS256, RS384 or RS512");
        }
        Ok(keys)
    }
}

/// Che writes the whole of the base64 in one line; that is taken as well.
fn pem_key(text: &str, path: &str) -> Result<RsaKey> {
    // Variables and YAML often hold the line breaks as two characters.
    let blocks = pem::parse_many(text.replace("\\n", "\n"))
        .map_err(|fault| ConfigError::new(path, format!("this is not PEM: {fault}")))?;
    let [block] = blocks.as_slice() else {
        let message = match blocks.len() {
            0 => "this is not PEM; it starts with -----BEGIN PUBLIC KEY-----",
            _ => "there is more than one PEM block; write one key to an entry",
        };
        return Err(ConfigError::new(path, message));
    };
    if block.tag().contains("PRIVATE KEY") {
        return Err(ConfigError::new(path, KeyFault::Private.to_string()));
    }
    RsaKey::from_der(block.contents()).map_err(|fault| ConfigError::new(path, fault.to_string()))
}

fn der_key(text: &str, path: &str) -> Result<RsaKey> {
    const ENGINE: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let text: String = text.split_ascii_whitespace().collect();
    let der = ENGINE
        .decode(text)
        .map_err(|fault| ConfigError::new(path, format!("this is not base64 of a DER key: {fault}")))?;
    RsaKey::from_der(&der).map_err(|fault| ConfigError::new(path, fault.to_string()))
}

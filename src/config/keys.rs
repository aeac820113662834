//! The keys of a provider, in every form in which they may be written.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

use super::Reading;
use super::error::{ConfigError, Result};
use super::reader::Node;
use super::secrets;
use crate::jwt::{
    Algorithm, Json, JwkFault, Key, KeyFault, KeyUse, Secret, SkippedKey, VerifyingKey, jwk, key_type,
    secret_jwk,
};

/// Padded or not.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Reads one entry of `keys`, which for a JWKS is several keys.
pub(super) fn keys(
    node: &Node<'_>,
    algorithms: &[Algorithm],
    reading: &mut Reading<'_>,
) -> Result<Vec<VerifyingKey>> {
    let fields = node.fields(&[
        "pem",
        "der_base64",
        "env",
        "jwk",
        "jwks",
        "secret_base64",
        "secret_text",
        "kid",
        "alg",
    ])?;
    let forms = &["pem", "der_base64", "env", "jwk", "jwks", "secret_base64", "secret_text"];
    let (kind, form) = fields.only(forms, node)?;
    let pinned = fields.read("alg", |alg| pinned_algorithms(alg, algorithms, reading))?;
    let bound = Bound {
        kid: fields.text("kid")?,
        pinned: pinned.is_some(),
        algorithms: pinned.unwrap_or_else(|| algorithms.to_vec()),
    };
    let path = form.path().to_owned();
    match kind {
        "pem" => bound.one(pem_key(form.text()?, &path)?, &path),
        "der_base64" => bound.one(der_key(form.text()?, &path)?, &path),
        "jwk" if key_type(form.object()?) == Ok("oct") => {
            let (key, key_use) = secret_jwk(form.object()?).map_err(|fault| form.fault(fault.to_string()))?;
            reading.remember_secret(&path, &key);
            bound.bind(key, key_use, &path).map(|key| vec![key])
        }
        "jwk" => bound.jwk(form.object()?, &path).map(|key| vec![key]),
        "jwks" => bound.jwks(form.object()?, &path, reading),
        "secret_base64" | "secret_text" => {
            let secret = if kind == "secret_text" { text(&form, reading) } else { base64(&form, reading) };
            let key = Key::Secret(Secret::new(secret?));
            reading.remember_secret(&path, &key);
            bound.one(key, &path)
        }
        _ => match reading.env_var(&form)?.trim() {
            text if text.starts_with('{') => match Json::from_bytes(text.as_bytes()) {
                Ok(Json(Value::Object(set))) if set.contains_key("keys") => bound.jwks(&set, &path, reading),
                Ok(Json(Value::Object(members))) => bound.jwk(&members, &path).map(|key| vec![key]),
                Ok(_) | Err(_) => form.refuse("the variable holds no JWK or JWKS, though it starts like one"),
            },
            text if text.contains("-----BEGIN") => bound.one(pem_key(text, &path)?, &path),
            text => bound.one(der_key(text, &path)?, &path),
        },
    }
}

/// A secret that is written as it is.
fn text(form: &Node<'_>, reading: &mut Reading<'_>) -> Result<Vec<u8>> {
    let text = or_env(form, reading, "write the secret as text, or {env: NAME}")?;
    if text.trim() != text {
        reading.warn(form, "white space at its begin or end is a part of this secret");
    }
    Ok(text.into_bytes())
}

/// A secret in base64.
fn base64(form: &Node<'_>, reading: &mut Reading<'_>) -> Result<Vec<u8>> {
    let text = or_env(form, reading, "write base64 or {env: NAME}")?;
    // What is wrong with it would tell a letter of it.
    let bytes = secrets::decode(&text).map_err(|_| {
        form.fault(
            "this is not base64; make a secret by openssl rand -base64 64, or write text as `secret_text`",
        )
    })?;
    if let Some(kind) = secrets::text_that_is_no_base64(&text, &bytes) {
        let message = format!(
            "{kind} were read as base64 of {} bytes; if the issuer signs with the text as it stands, write `secret_text`",
            bytes.len()
        );
        reading.warn(form, &message);
    }
    Ok(bytes)
}

/// The text itself, or that of `{env: NAME}`.
fn or_env(form: &Node<'_>, reading: &Reading<'_>, help: &str) -> Result<String> {
    match form.value() {
        Value::Object(_) => match form.fields(&["env"])?.get("env") {
            Some(variable) => reading.env_var(&variable),
            None => form.refuse(help),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            form.text().map(str::to_owned).map_err(|_| form.fault(help))
        }
    }
}

/// `RSA` is what Che writes: any RSA algorithm of the provider.
fn pinned_algorithms(
    alg: &Node<'_>,
    algorithms: &[Algorithm],
    reading: &Reading<'_>,
) -> Result<Vec<Algorithm>> {
    let name = or_env(alg, reading, "write a string or {env: NAME}")?;
    if name == "RSA" {
        let rsa: Vec<_> =
            algorithms.iter().copied().filter(|algorithm| Algorithm::RS.contains(algorithm)).collect();
        return if rsa.is_empty() {
            alg.refuse("RSA means RS256, RS384 or RS512, of which the provider's `algorithms` has none")
        } else {
            Ok(rsa)
        };
    }
    match Algorithm::from_name(&name) {
        Some(algorithm) if algorithms.contains(&algorithm) => Ok(vec![algorithm]),
        Some(_) => alg.refuse(format!("{name} is not among the `algorithms` of the provider")),
        None => {
            let names = Algorithm::NAMES.map(|(name, _)| name).join(", ");
            alg.refuse(format!("`{name}` is not known; write {names}, or RSA for RS256, RS384 and RS512"))
        }
    }
}

/// The `kid` and the algorithms that an entry binds its keys to.
struct Bound {
    kid: Option<String>,
    algorithms: Vec<Algorithm>,
    /// Whether the entry has an `alg`.
    pinned: bool,
}

impl Bound {
    fn one(&self, key: Key, path: &str) -> Result<Vec<VerifyingKey>> {
        self.bind(key, KeyUse::default(), path).map(|key| vec![key])
    }

    fn jwk(&self, members: &Map<String, Value>, path: &str) -> Result<VerifyingKey> {
        let (key, key_use) = jwk(members).map_err(|fault| ConfigError::new(path, misplaced(&fault)))?;
        self.bind(key, key_use, path)
    }

    /// Of the algorithms those that a key can verify. One for another type is none of its business.
    fn fitting(&self, key: &Key) -> Vec<Algorithm> {
        let fits = |algorithm: &Algorithm| key.algorithms().contains(algorithm);
        self.algorithms.iter().copied().filter(fits).collect()
    }

    fn bind(&self, key: Key, key_use: KeyUse, path: &str) -> Result<VerifyingKey> {
        let refuse = |message: String| Err(ConfigError::new(path, message));
        let kid = match (&self.kid, key_use.kid) {
            (Some(own), Some(kid)) if *own != kid => {
                return refuse(format!("the key has the kid `{kid}`, and `{own}` is written beside it"));
            }
            (own, kid) => kid.or_else(|| own.clone()),
        };
        let algorithms = match key_use.algorithm {
            None => self.fitting(&key),
            Some(algorithm) if self.algorithms.contains(&algorithm) => vec![algorithm],
            Some(algorithm) => {
                return refuse(format!("the key is for {}, which is not allowed here", algorithm.name()));
            }
        };
        if algorithms.is_empty() {
            let own = Algorithm::listed(key.algorithms());
            let allowed = Algorithm::listed(&self.algorithms);
            let remedy = if self.pinned {
                format!("the `alg` beside it says {allowed}")
            } else {
                format!("the provider allows {allowed}: write {own} in its `algorithms`")
            };
            return refuse(format!("this is {}, which verifies {own}; {remedy}", key.kind()));
        }
        VerifyingKey::new(kid, algorithms, key).map_err(|fault| ConfigError::new(path, fault.to_string()))
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
            let mut skip = |why: String| {
                reading.warnings.push(format!("{path}: skipped, {why}"));
                let kid = members.get("kid").and_then(Value::as_str).map(str::to_owned);
                reading.skipped.push(SkippedKey::new(kid, format!("{path}: {why}")));
            };
            let other_type = key_type(members)
                .is_ok_and(|kty| !self.algorithms.iter().any(|algorithm| algorithm.key_type() == kty));
            match jwk(members) {
                Ok((_, KeyUse { algorithm: Some(algorithm), .. }))
                    if !self.algorithms.contains(&algorithm) =>
                {
                    skip("its alg is not allowed here".into());
                }
                Ok((key, _)) if self.fitting(&key).is_empty() => {
                    let own = Algorithm::listed(key.algorithms());
                    skip(format!("{} verifies {own}, which is not allowed here", key.kind()));
                }
                Ok((key, key_use)) => keys.push(self.bind(key, key_use, &path)?),
                Err(fault @ (JwkFault::Key(KeyFault::Private) | JwkFault::Secret)) => {
                    return Err(ConfigError::new(path, misplaced(&fault)));
                }
                Err(
                    fault @ (JwkFault::Algorithm
                    | JwkFault::NotForSignatures(_)
                    | JwkFault::Key(KeyFault::Curve | KeyFault::Type)),
                ) => skip(fault.to_string()),
                Err(fault) if other_type => skip(fault.to_string()),
                Err(fault @ (JwkFault::Key(_) | JwkFault::Member(_) | JwkFault::OtherCertificate)) => {
                    return Err(ConfigError::new(path, fault.to_string()));
                }
            }
        }
        if keys.is_empty() {
            return refuse(&format!(
                "there is no key here that verifies {}",
                Algorithm::listed(&self.algorithms)
            ));
        }
        Ok(keys)
    }
}

/// A secret is only where it is called one.
fn misplaced(fault: &JwkFault) -> String {
    match fault {
        JwkFault::Secret => format!("{fault}; write it as `secret_base64`, which takes {{env: NAME}}, too"),
        JwkFault::Algorithm
        | JwkFault::Key(_)
        | JwkFault::Member(_)
        | JwkFault::NotForSignatures(_)
        | JwkFault::OtherCertificate => fault.to_string(),
    }
}

/// Che writes the whole of the base64 in one line; that is taken as well.
fn pem_key(text: &str, path: &str) -> Result<Key> {
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
    Key::from_der(block.contents()).map_err(|fault| ConfigError::new(path, fault.to_string()))
}

fn der_key(text: &str, path: &str) -> Result<Key> {
    let text: String = text.split_ascii_whitespace().collect();
    let der = BASE64
        .decode(text)
        .map_err(|fault| ConfigError::new(path, format!("this is not base64 of a DER key: {fault}")))?;
    Key::from_der(&der).map_err(|fault| ConfigError::new(path, fault.to_string()))
}

//! JSON Web Keys (RFC 7517).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::{Algorithm, Curve, EcKey, Ed25519Key, Key, KeyFault, RsaKey, Secret};

/// What a JWK says of itself besides the key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyUse {
    /// Its `kid`.
    pub kid: Option<String>,
    /// The algorithm that its `alg` binds it to.
    pub algorithm: Option<Algorithm>,
}

/// Reads one JWK that is a public key for signatures: RSA, EC (RFC 7518 section 6), or OKP (RFC 8037 section 2). `use`,
/// `key_ops` and `alg` are honoured.
///
/// # Errors
/// A key that is private, a secret, weak, of another type or for another purpose.
pub fn jwk(members: &Map<String, Value>) -> Result<(Key, KeyUse), JwkFault> {
    let key_type = key_type(members);
    if key_type == Ok("oct") {
        return Err(JwkFault::Secret);
    }
    if ["d", "p", "q", "k"].iter().any(|private| members.contains_key(*private)) {
        return Err(JwkFault::Key(KeyFault::Private));
    }
    let key_type = key_type?;
    if !["EC", "OKP", "RSA"].contains(&key_type) {
        return Err(JwkFault::Key(KeyFault::Type));
    }
    let key_use = key_use(members)?;
    let key = match key_type {
        "EC" => {
            let curve = Curve::from_name(curve(members)?).ok_or(JwkFault::Key(KeyFault::Curve))?;
            EcKey::from_coordinates(curve, &bytes(members, "x")?, &bytes(members, "y")?).map(Key::Ec)
        }
        "OKP" if curve(members)? == "Ed25519" => {
            Ed25519Key::from_bytes(&bytes(members, "x")?).map(Key::Ed25519)
        }
        "OKP" => Err(KeyFault::Curve),
        _ => RsaKey::from_components(&bytes(members, "n")?, &bytes(members, "e")?).map(Key::Rsa),
    };
    fitting(key.map_err(JwkFault::Key)?, key_use)
}

/// Reads one JWK that is a secret (RFC 7518 section 6.4).
///
/// # Errors
/// A key that is none, or for another purpose.
pub fn secret_jwk(members: &Map<String, Value>) -> Result<(Key, KeyUse), JwkFault> {
    if key_type(members)? != "oct" {
        return Err(JwkFault::Key(KeyFault::Type));
    }
    let key_use = key_use(members)?;
    fitting(Key::Secret(Secret::new(bytes(members, "k")?)), key_use)
}

/// The `alg` of a key must be one of its type.
fn fitting(key: Key, key_use: KeyUse) -> Result<(Key, KeyUse), JwkFault> {
    match key_use.algorithm {
        Some(algorithm) if !key.algorithms().contains(&algorithm) => {
            Err(JwkFault::Key(KeyFault::Algorithm { kind: key.kind(), needs: key.algorithms() }))
        }
        Some(_) | None => Ok((key, key_use)),
    }
}

fn key_use(members: &Map<String, Value>) -> Result<KeyUse, JwkFault> {
    if text(members, "use")?.is_some_and(|purpose| purpose != "sig") {
        return Err(JwkFault::NotForSignatures("use"));
    }
    if let Some(operations) = members.get("key_ops") {
        let operations = operations.as_array().ok_or(JwkFault::Member("key_ops"))?;
        if !operations.iter().any(|operation| operation == "verify") {
            return Err(JwkFault::NotForSignatures("key_ops"));
        }
    }
    let algorithm = match text(members, "alg")? {
        Some(name) => Some(Algorithm::from_name(name).ok_or(JwkFault::Algorithm)?),
        None => None,
    };
    Ok(KeyUse { kid: text(members, "kid")?.map(str::to_owned), algorithm })
}

/// The key type (`kty`, RFC 7517 section 4.1) of a JWK.
///
/// # Errors
/// No `kty`, or one that is no string.
pub fn key_type(members: &Map<String, Value>) -> Result<&str, JwkFault> {
    text(members, "kty")?.ok_or(JwkFault::Member("kty"))
}

fn curve(members: &Map<String, Value>) -> Result<&str, JwkFault> {
    text(members, "crv")?.ok_or(JwkFault::Member("crv"))
}

fn text<'a>(members: &'a Map<String, Value>, name: &'static str) -> Result<Option<&'a str>, JwkFault> {
    members.get(name).map(|value| value.as_str().ok_or(JwkFault::Member(name))).transpose()
}

/// Base64url, of a number (Base64urlUInt, RFC 7518 section 2) or of octets.
fn bytes(members: &Map<String, Value>, name: &'static str) -> Result<Vec<u8>, JwkFault> {
    let text = text(members, name)?.ok_or(JwkFault::Member(name))?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| JwkFault::Member(name))
}

/// Why a JWK is no key for verifying signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwkFault {
    /// Its `alg` is none that can be verified.
    Algorithm,
    /// The key itself.
    Key(KeyFault),
    /// A member that is missing or malformed.
    Member(&'static str),
    /// `use` or `key_ops` say that it is for something else.
    NotForSignatures(&'static str),
    /// A secret where a public key should be.
    Secret,
}

impl fmt::Display for JwkFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Algorithm => f.write_str("the key's alg is none that is verified here"),
            Self::Key(fault) => fault.fmt(f),
            Self::Member(name) => write!(f, "the key's {name} is missing or malformed"),
            Self::NotForSignatures(member) => {
                write!(f, "the key's {member} says that it does not verify signatures")
            }
            Self::Secret => f.write_str("this is a secret (kty oct) and no public key"),
        }
    }
}

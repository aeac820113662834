//! JSON Web Keys (RFC 7517).
//!
//! A token has an attacker, a key has a source that is trusted. So keys are read leniently where it is clear what is meant: what
//! is `null` or empty is absent, base64url may be padded or wrapped, a coordinate is the number that it is.

use std::fmt;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

use super::{Algorithm, Curve, EcKey, Ed25519Key, Key, KeyFault, RsaKey, Secret};

/// Every member that only a private key has (RFC 7518 sections 6.2.2, 6.3.2 and 6.4).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Padded or not.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a JWK says of itself besides the key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyUse {
    /// Its `kid`.
    pub kid: Option<String>,
    /// The algorithm that its `alg` binds it to.
    pub algorithm: Option<Algorithm>,
}

/// Reads one JWK that is a public key for signatures: RSA, EC (RFC 7518 section 6), or OKP (RFC 8037 section 2). `use`,
/// `key_ops` and `alg` are honoured. Where the key itself is absent, it is that of the first certificate of `x5c`.
///
/// # Errors
/// A key that is private, a secret, weak, of another type or for another purpose.
pub fn jwk(members: &Map<String, Value>) -> Result<(Key, KeyUse), JwkFault> {
    let key_type = key_type(members);
    if key_type == Ok("oct") {
        return Err(JwkFault::Secret);
    }
    if PRIVATE.iter().any(|private| present(members, private).is_some()) {
        return Err(JwkFault::Key(KeyFault::Private));
    }
    let key_type = key_type?;
    if !["EC", "OKP", "RSA"].contains(&key_type) {
        return Err(JwkFault::Key(KeyFault::Type));
    }
    let key_use = key_use(members)?;
    let number = if key_type == "RSA" { "n" } else { "x" };
    if present(members, number).is_none()
        && let Some(chain) = present(members, "x5c")
    {
        return fitting(certified(chain, key_type, text(members, "crv")?)?, key_use);
    }
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

/// The key of the first certificate of a chain (RFC 7517 section 4.7), which must be of the type and the curve that the JWK
/// says. Whoever hands out the JWK vouches for it: neither dates nor issuers are looked at.
fn certified(chain: &Value, key_type: &str, curve: Option<&str>) -> Result<Key, JwkFault> {
    let first = chain.get(0).and_then(Value::as_str).ok_or(JwkFault::Member("x5c"))?;
    // Standard base64, though some write it as all else in a JWK.
    let first = first.replace('+', "-").replace('/', "_");
    let key = Key::from_der(&decoded(&first).ok_or(JwkFault::Member("x5c"))?).map_err(JwkFault::Key)?;
    let (own_type, own_curve) = match &key {
        Key::Ec(key) => ("EC", Some(key.curve().name())),
        Key::Ed25519(_) => ("OKP", Some("Ed25519")),
        Key::Rsa(_) => ("RSA", None),
        Key::Secret(_) => ("oct", None),
    };
    let fits =
        own_type == key_type && (own_curve.is_none() || curve.is_none_or(|curve| own_curve == Some(curve)));
    if fits { Ok(key) } else { Err(JwkFault::OtherCertificate) }
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
    // In the bundles of SPIFFE the keys of tokens are `jwt-svid`, beside those of certificates.
    if text(members, "use")?.is_some_and(|purpose| !["sig", "jwt-svid"].contains(&purpose)) {
        return Err(JwkFault::NotForSignatures("use"));
    }
    if let Some(operations) = present(members, "key_ops") {
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
    present(members, name).map(|value| value.as_str().ok_or(JwkFault::Member(name))).transpose()
}

/// A member that says something: programs write `null`, `""` or `[]` for what they have not.
fn present<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    members.get(name).filter(|value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => true,
    })
}

/// Base64url, of a number (Base64urlUInt, RFC 7518 section 2) or of octets.
fn bytes(members: &Map<String, Value>, name: &'static str) -> Result<Vec<u8>, JwkFault> {
    text(members, name)?.and_then(decoded).ok_or(JwkFault::Member(name))
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    let text: String = text.split_ascii_whitespace().collect();
    BASE64URL.decode(text).ok()
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
    /// The key of its certificate is of another type or curve than the JWK says.
    OtherCertificate,
    /// A secret where a public key should be.
    Secret,
}

impl fmt::Display for JwkFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Algorithm => f.write_str("the key's alg is none that is verified here"),
            Self::Key(fault) => fault.fmt(f),
            Self::Member("kid") => f.write_str("the key's kid is no string"),
            Self::Member(name) => write!(f, "the key's {name} is missing or malformed"),
            Self::NotForSignatures(member) => {
                write!(f, "the key's {member} says that it does not verify signatures")
            }
            Self::OtherCertificate => {
                f.write_str("the first certificate of the key's x5c has a key of another type or curve")
            }
            Self::Secret => f.write_str("this is a secret (kty oct) and no public key"),
        }
    }
}

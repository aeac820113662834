//! JSON Web Keys (RFC 7517).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::{Algorithm, KeyFault, RsaKey};

/// What a JWK says of itself besides the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUse {
    /// Its `kid`.
    pub kid: Option<String>,
    /// The algorithm that its `alg` binds it to.
    pub algorithm: Option<Algorithm>,
}

/// Reads one JWK that verifies RSA signatures. `use`, `key_ops` and `alg` are honoured.
///
/// # Errors
/// A key that is private, weak, of another type or for another purpose.
pub fn jwk(members: &Map<String, Value>) -> Result<(RsaKey, KeyUse), JwkFault> {
    if ["d", "p", "q", "k"].iter().any(|private| members.contains_key(*private)) {
        return Err(JwkFault::Key(KeyFault::Private));
    }
    if key_type(members)? != "RSA" {
        return Err(JwkFault::Key(KeyFault::NotRsa));
    }
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
    let kid = text(members, "kid")?.map(str::to_owned);
    let key =
        RsaKey::from_components(&number(members, "n")?, &number(members, "e")?).map_err(JwkFault::Key)?;
    Ok((key, KeyUse { kid, algorithm }))
}

/// The key type (`kty`, RFC 7517 section 4.1) of a JWK.
///
/// # Errors
/// No `kty`, or one that is no string.
pub fn key_type(members: &Map<String, Value>) -> Result<&str, JwkFault> {
    text(members, "kty")?.ok_or(JwkFault::Member("kty"))
}

fn text<'a>(members: &'a Map<String, Value>, name: &'static str) -> Result<Option<&'a str>, JwkFault> {
    members.get(name).map(|value| value.as_str().ok_or(JwkFault::Member(name))).transpose()
}

/// A Base64urlUInt (RFC 7518 section 2).
fn number(members: &Map<String, Value>, name: &'static str) -> Result<Vec<u8>, JwkFault> {
    let text = text(members, name)?.ok_or(JwkFault::Member(name))?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| JwkFault::Member(name))
}

/// Why a JWK is no key for verifying RSA signatures.
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
}

impl fmt::Display for JwkFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Algorithm => f.write_str("the key's alg is none of RS256, RS384 and RS512"),
            Self::Key(fault) => fault.fmt(f),
            Self::Member(name) => write!(f, "the key's {name} is missing or malformed"),
            Self::NotForSignatures(member) => {
                write!(f, "the key's {member} says that it does not verify signatures")
            }
        }
    }
}

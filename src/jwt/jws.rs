//! JSON Web Signatures in compact serialization (RFC 7515 section 7.1).

use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::Value;

use super::claims::Claim;
use super::json::{Members, is_duplicate, pick};
use super::{Algorithm, Claims, Issuer, Profile, Signatures, VerifyingKey};

/// A well-formed token that nobody has vouched for.
///
/// Its payload has no accessor but [`Jws::issuer`] and [`Jws::is_of`], which choose keys and can refuse, nothing more.
#[derive(Debug)]
pub struct Jws<'t> {
    signing_input: &'t str,
    header: Members<'t>,
    unverified: Claims<'t>,
    signature: Vec<u8>,
}

/// The form in which the parts of a token are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Base64Url {
    /// Without padding (RFC 7515 section 2).
    #[default]
    Bare,
    /// With the padding of RFC 4648 section 3.2.
    Padded,
}

/// Which members of a token somebody will ask for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Of the header; `alg`, `crit`, `kid` and `typ` among them.
    pub header: Vec<String>,
    /// Of the payload.
    pub claims: Vec<String>,
}

impl<'t> Jws<'t> {
    /// Parses `header.payload.signature`. Base64url is taken in that form and in its canonical one only, member
    /// names are unique, header and payload are objects, of which the `wanted` members are kept. JwtProxy takes `null`
    /// for an empty payload, and for no `kid`.
    ///
    /// # Errors
    /// Which part is malformed, or a critical header parameter: none is understood (RFC 7515 section 4.1.11).
    pub fn parse(
        compact: &'t str,
        form: Base64Url,
        wanted: &'t Wanted,
        profile: Profile,
    ) -> Result<Self, JwsFault> {
        let decode = |part: &str| {
            match form {
                Base64Url::Bare => URL_SAFE_NO_PAD.decode(part),
                Base64Url::Padded => URL_SAFE.decode(part),
            }
            .map_err(|_| JwsFault::Base64)
        };
        let (signing_input, signature) = compact.rsplit_once('.').ok_or(JwsFault::Form)?;
        let (header, payload) = signing_input.split_once('.').ok_or(JwsFault::Form)?;
        if payload.contains('.') {
            return Err(JwsFault::Form);
        }
        let header = pick(&decode(header)?, &wanted.header).ok().flatten().ok_or(JwsFault::Header)?;
        if header.iter().any(|(name, _)| *name == "crit") {
            return Err(JwsFault::Critical);
        }
        let fits = |(name, value): &(&str, Value)| match *name {
            "alg" => value.is_string(),
            // To some readers `"kid": null` is no kid; a stricter one might take it for one.
            "kid" => value.is_string() || value.is_null() && profile == Profile::JwtProxy,
            "typ" => value.is_string() || value.is_null(),
            _ => true,
        };
        if let Some((name, value)) = header.iter().find(|member| !fits(member)) {
            return Err(if *name == "kid" { JwsFault::Kid(kind(value)) } else { JwsFault::Header });
        }
        if !header.iter().any(|(name, _)| *name == "alg") {
            return Err(JwsFault::Header);
        }
        let unverified = match pick(&decode(payload)?, &wanted.claims) {
            Ok(Some(members)) => Claims::new(members),
            Ok(None) if profile == Profile::JwtProxy => Claims::default(),
            Err(fault) if is_duplicate(&fault) => return Err(JwsFault::Duplicate),
            Ok(None) | Err(_) => return Err(JwsFault::Payload),
        };
        Ok(Self { signing_input, header, unverified, signature: decode(signature)? })
    }

    /// The `iss` of the unverified payload.
    #[must_use]
    pub fn issuer(&self) -> Claim<&str> {
        self.unverified.text("iss")
    }

    /// Whether it says that it is of that issuer.
    #[must_use]
    pub fn is_of(&self, issuer: &Issuer, profile: Profile) -> bool {
        issuer.issues(&self.unverified, profile)
    }

    /// A parameter of the header, if it was wanted.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&Value> {
        self.header.iter().find(|(own, _)| *own == name).map(|(_, value)| value)
    }

    /// The `kid` of the header (RFC 7515 section 4.1.4).
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.header("kid").and_then(Value::as_str)
    }

    /// The algorithm that the header names, if it is one of ours. It is compared with a key's, never obeyed.
    #[must_use]
    pub fn algorithm(&self) -> Option<Algorithm> {
        self.header("alg").and_then(Value::as_str).and_then(Algorithm::from_name)
    }

    /// Opens the payload if `key` made the signature with the algorithm that the header names and the key allows.
    pub fn authenticate(&self, key: &VerifyingKey, signatures: &impl Signatures) -> Option<Genuine<'_>> {
        let algorithm = self.algorithm().filter(|algorithm| key.allows(*algorithm))?;
        signatures
            .verify(key.key(), algorithm, self.signing_input.as_bytes(), &self.signature)
            .then_some(Genuine { claims: &self.unverified })
    }

    /// Its claims, which must have been checked.
    pub(super) fn into_claims(self) -> Claims<'t> {
        self.unverified
    }
}

/// What kind of a value it is, for a log.
const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A token whose signature is good. Its claims may still say that it has expired, or is for somebody else.
#[derive(Clone, Copy, Debug)]
pub struct Genuine<'j> {
    claims: &'j Claims<'j>,
}

impl<'j> Genuine<'j> {
    /// The claims that the issuer signed.
    #[must_use]
    pub const fn claims(&self) -> &'j Claims<'j> {
        self.claims
    }
}

/// Why a token is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwsFault {
    /// A part is not base64url of the form of its source, or not in its canonical form.
    Base64,
    /// The header has `crit`.
    Critical,
    /// The payload has a member twice.
    Duplicate,
    /// There are not three parts.
    Form,
    /// The header is not a JSON object with an `alg`, or has a member twice.
    Header,
    /// The `kid` of the header is no string, but this.
    Kid(&'static str),
    /// The payload is not a JSON object.
    Payload,
}

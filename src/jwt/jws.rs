//! JSON Web Signatures in compact serialization (RFC 7515 section 7.1).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_compact::{ParseError, UntrustedToken};
use serde_json::{Map, Value};

use super::claims::Claim;
use super::json::DUPLICATE_MEMBER;
use super::{Algorithm, Claims, Object, Profile, Signatures, VerifyingKey};

/// A well-formed token that nobody has vouched for.
///
/// Its payload has no accessor but [`Jws::issuer`], which chooses keys and can refuse, nothing more.
#[derive(Debug)]
pub struct Jws<'t> {
    compact: &'t str,
    signing_input: &'t str,
    token: UntrustedToken<'t, Object>,
    unverified: Claims,
}

impl<'t> Jws<'t> {
    /// Parses `header.payload.signature`. Base64url is taken without padding and in its canonical form only, member
    /// names are unique, the payload is an object. JwtProxy takes `null` for an empty one, and for no `kid`.
    ///
    /// # Errors
    /// Which part is malformed, or a critical header parameter: none is understood (RFC 7515 section 4.1.11).
    pub fn parse(compact: &'t str, profile: Profile) -> Result<Self, JwsFault> {
        let mut parts = compact.split('.');
        let (Some(header), Some(payload), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(JwsFault::Form);
        };
        let token = UntrustedToken::<Object>::try_from(compact).map_err(|fault| match fault {
            ParseError::InvalidTokenStructure => JwsFault::Form,
            ParseError::InvalidBase64Encoding => JwsFault::Base64,
            ParseError::MalformedHeader(_) | ParseError::UnsupportedContentType(_) | _ => JwsFault::Header,
        })?;
        if token.header().other_fields.0.contains_key("crit") {
            return Err(JwsFault::Critical);
        }
        // To jwt-compact `"kid": null` is no kid; a stricter reader might take it for one.
        if token.header().key_id.is_none() && profile == Profile::Strict {
            let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| JwsFault::Base64)?;
            match serde_json::from_slice::<Object>(&header) {
                Ok(Object(members)) if !members.contains_key("kid") => {}
                Ok(_) | Err(_) => return Err(JwsFault::Header),
            }
        }
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| JwsFault::Base64)?;
        let unverified = match serde_json::from_slice::<Option<Object>>(&payload) {
            Ok(Some(Object(members))) => Claims::new(members),
            Ok(None) if profile == Profile::JwtProxy => Claims::new(Map::new()),
            Err(fault) if fault.to_string().starts_with(DUPLICATE_MEMBER) => return Err(JwsFault::Duplicate),
            Ok(None) | Err(_) => return Err(JwsFault::Payload),
        };
        let signing_input = compact.rsplit_once('.').map_or("", |(input, _)| input);
        Ok(Self { compact, signing_input, token, unverified })
    }

    /// The `iss` of the unverified payload.
    #[must_use]
    pub fn issuer(&self) -> Claim<&str> {
        self.unverified.text("iss")
    }

    /// The `kid` of the header (RFC 7515 section 4.1.4).
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.token.header().key_id.as_deref()
    }

    /// The algorithm that the header names, if it is one of ours. It is compared with a key's, never obeyed.
    #[must_use]
    pub fn algorithm(&self) -> Option<Algorithm> {
        Algorithm::from_name(self.token.algorithm())
    }

    /// Any parameter of the header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<Value> {
        let header = self.token.header();
        match name {
            "alg" => Some(self.token.algorithm().into()),
            "jku" => header.key_set_url.as_deref().map(Value::from),
            "kid" => header.key_id.as_deref().map(Value::from),
            "typ" => header.token_type.as_deref().map(Value::from),
            "x5u" => header.certificate_url.as_deref().map(Value::from),
            other => header.other_fields.0.get(other).cloned(),
        }
    }

    /// Opens the payload if `key` made the signature with the algorithm that the header names and the key allows.
    pub fn authenticate(&self, key: &VerifyingKey, signatures: &impl Signatures) -> Option<Genuine<'_>> {
        let algorithm = self.algorithm().filter(|algorithm| key.allows(*algorithm))?;
        signatures
            .verify(key.rsa(), algorithm, self.signing_input.as_bytes(), self.token.signature_bytes())
            .then_some(Genuine { claims: &self.unverified })
    }

    /// The token as it came, and its payload, whose claims must have been checked.
    pub(super) fn into_parts(self) -> (&'t str, Claims) {
        (self.compact, self.unverified)
    }
}

/// A token whose signature is good. Its claims may still say that it has expired, or is for somebody else.
#[derive(Clone, Copy, Debug)]
pub struct Genuine<'j> {
    claims: &'j Claims,
}

impl<'j> Genuine<'j> {
    /// The claims that the issuer signed.
    #[must_use]
    pub const fn claims(&self) -> &'j Claims {
        self.claims
    }
}

/// Why a token is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwsFault {
    /// A part is not base64url, or not in its canonical form.
    Base64,
    /// The header has `crit`.
    Critical,
    /// The payload has a member twice.
    Duplicate,
    /// There are not three parts.
    Form,
    /// The header is not a JSON object with an `alg`, or has a member twice, or a `kid` that is no string.
    Header,
    /// The payload is not a JSON object.
    Payload,
}

//! JSON Web Signatures in compact serialization (RFC 7515 section 7.1).

use std::cell::RefCell;
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_compact::{ParseError, UntrustedToken};
use serde_json::Value;

use super::claims::Claim;
use super::json::{DUPLICATE_MEMBER, pick};
use super::{Algorithm, Claims, Object, Profile, Signatures, VerifyingKey};

/// A well-formed header. Tokens that one key signed have the same one, to the byte.
#[derive(Debug)]
pub struct JoseHeader {
    encoded: String,
    token: UntrustedToken<'static, Object>,
}

impl JoseHeader {
    /// Parses the first part of a token.
    ///
    /// # Errors
    /// What is wrong with it, or a critical parameter: none is understood (RFC 7515 section 4.1.11).
    fn parse(encoded: &str, profile: Profile) -> Result<Self, JwsFault> {
        // jwt-compact reads whole tokens, in constant time, which parts that everybody can read do not need.
        let token = format!("{encoded}..");
        let token = UntrustedToken::<Object>::try_from(token.as_str()).map_err(|fault| match fault {
            ParseError::InvalidTokenStructure => JwsFault::Form,
            ParseError::InvalidBase64Encoding => JwsFault::Base64,
            ParseError::MalformedHeader(_) | ParseError::UnsupportedContentType(_) | _ => JwsFault::Header,
        })?;
        let token = token.into_owned();
        if token.header().other_fields.0.contains_key("crit") {
            return Err(JwsFault::Critical);
        }
        // To jwt-compact `"kid": null` is no kid; a stricter reader might take it for one.
        if token.header().key_id.is_none() && profile == Profile::Strict {
            let header = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| JwsFault::Base64)?;
            match serde_json::from_slice::<Object>(&header) {
                Ok(Object(members)) if !members.contains_key("kid") => {}
                Ok(_) | Err(_) => return Err(JwsFault::Header),
            }
        }
        Ok(Self { encoded: encoded.to_owned(), token })
    }

    /// Any parameter.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<Value> {
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
}

/// The last few headers of tokens that proved genuine, which need not be parsed again.
#[derive(Clone, Debug, Default)]
pub(super) struct KnownHeaders(RefCell<Vec<Rc<JoseHeader>>>);

impl KnownHeaders {
    /// More keys than most issuers sign with at a time.
    const MOST: usize = 8;

    fn get(&self, encoded: &str) -> Option<Rc<JoseHeader>> {
        self.0.try_borrow().ok()?.iter().find(|header| header.encoded == encoded).cloned()
    }

    /// Remembers the header of a genuine token.
    pub(super) fn add(&self, jws: &Jws<'_>) {
        if let Ok(mut headers) = self.0.try_borrow_mut()
            && !headers.iter().any(|header| Rc::ptr_eq(header, &jws.header))
        {
            headers.insert(0, Rc::clone(&jws.header));
            headers.truncate(Self::MOST);
        }
    }
}

/// A well-formed token that nobody has vouched for.
///
/// Its payload has no accessor but [`Jws::issuer`], which chooses keys and can refuse, nothing more.
#[derive(Debug)]
pub struct Jws<'t> {
    signing_input: &'t str,
    header: Rc<JoseHeader>,
    unverified: Claims,
    signature: Vec<u8>,
}

impl<'t> Jws<'t> {
    /// Parses `header.payload.signature`. Base64url is taken without padding and in its canonical form only, member
    /// names are unique, the payload is an object, of which the `wanted` claims are kept. JwtProxy takes `null` for an
    /// empty one, and for no `kid`.
    ///
    /// # Errors
    /// Which part is malformed, or a critical header parameter: none is understood (RFC 7515 section 4.1.11).
    pub(super) fn parse(
        compact: &'t str,
        wanted: &[String],
        profile: Profile,
        known: &KnownHeaders,
    ) -> Result<Self, JwsFault> {
        let (signing_input, signature) = compact.rsplit_once('.').ok_or(JwsFault::Form)?;
        let (header, payload) = signing_input.split_once('.').ok_or(JwsFault::Form)?;
        if payload.contains('.') {
            return Err(JwsFault::Form);
        }
        let header = match known.get(header) {
            Some(header) => header,
            None => Rc::new(JoseHeader::parse(header, profile)?),
        };
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| JwsFault::Base64)?;
        let unverified = match pick(&payload, wanted) {
            Ok(Some(members)) => Claims::new(members),
            Ok(None) if profile == Profile::JwtProxy => Claims::default(),
            Err(fault) if fault.to_string().starts_with(DUPLICATE_MEMBER) => return Err(JwsFault::Duplicate),
            Ok(None) | Err(_) => return Err(JwsFault::Payload),
        };
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| JwsFault::Base64)?;
        Ok(Self { signing_input, header, unverified, signature })
    }

    /// The `iss` of the unverified payload.
    #[must_use]
    pub fn issuer(&self) -> Claim<&str> {
        self.unverified.text("iss")
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &JoseHeader {
        &self.header
    }

    /// The `kid` of the header (RFC 7515 section 4.1.4).
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.header.token.header().key_id.as_deref()
    }

    /// The algorithm that the header names, if it is one of ours. It is compared with a key's, never obeyed.
    #[must_use]
    pub fn algorithm(&self) -> Option<Algorithm> {
        Algorithm::from_name(self.header.token.algorithm())
    }

    /// Opens the payload if `key` made the signature with the algorithm that the header names and the key allows.
    pub fn authenticate(&self, key: &VerifyingKey, signatures: &impl Signatures) -> Option<Genuine<'_>> {
        let algorithm = self.algorithm().filter(|algorithm| key.allows(*algorithm))?;
        signatures
            .verify(key.rsa(), algorithm, self.signing_input.as_bytes(), &self.signature)
            .then_some(Genuine { claims: &self.unverified })
    }

    /// Its claims, which must have been checked.
    pub(super) fn into_claims(self) -> Claims {
        self.unverified
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

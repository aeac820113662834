//! The judgement of one token.

use std::fmt;
use std::rc::Rc;

use serde_json::Value;

use super::claims::Claim;
use super::jws::Wanted;
use super::provider::Times;
use super::{Algorithm, Claims, Clock, Jws, JwsFault, NumericDate, Profile, Provider, Signatures, sha256};

/// How many signatures may still be checked for one request.
#[derive(Debug)]
pub struct Budget(u8);

impl Budget {
    /// A request costs at most eight signature checks, however many tokens it brings.
    pub const SIGNATURES: u8 = 8;

    /// Takes one signature check from the budget.
    ///
    /// # Errors
    /// Nothing is left.
    pub(super) fn spend(&mut self) -> Result<(), VerifyError> {
        self.0 = self.0.checked_sub(1).ok_or(VerifyError::TooManySignatures)?;
        Ok(())
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self(Self::SIGNATURES)
    }
}

/// Judges tokens by the rules of one or more providers.
#[derive(Clone, Debug)]
pub struct Verifier {
    providers: Vec<Provider>,
    profile: Profile,
    /// What any of the providers looks at.
    wanted: Wanted,
}

impl Verifier {
    /// A verifier of tokens of these providers.
    #[must_use]
    pub fn new(providers: Vec<Provider>, profile: Profile) -> Self {
        let names = |names: &[&str]| names.iter().copied().map(str::to_owned).collect();
        let mut wanted = Wanted {
            header: names(&["alg", "crit", "kid", "typ"]),
            claims: names(&["iss", "aud", "exp", "nbf", "iat", "jti"]),
        };
        for provider in &providers {
            add(&mut wanted.header, provider.required_header.iter().map(|(name, _)| name));
            add(&mut wanted.claims, provider.required_claims.iter().map(|(name, _)| name));
            add(&mut wanted.claims, provider.kept_claims.iter().chain([&provider.subject_claim]));
        }
        Self { providers, profile, wanted }
    }

    /// The providers, in the order in which they are asked.
    #[must_use]
    pub fn providers(&self) -> &[Provider] {
        &self.providers
    }

    /// What any of the providers allows.
    #[must_use]
    pub fn algorithms(&self) -> Vec<Algorithm> {
        let mut all: Vec<Algorithm> = Vec::new();
        for algorithm in self.providers.iter().flat_map(|provider| &provider.algorithms) {
            if !all.contains(algorithm) {
                all.push(*algorithm);
            }
        }
        all
    }

    /// How they read tokens.
    #[must_use]
    pub const fn profile(&self) -> Profile {
        self.profile
    }

    /// Verifies a token: form, issuer, header, signature, times, audience, required claims. Beside it come its claims.
    ///
    /// # Errors
    /// The first check that fails; where several providers share an issuer, the one that came furthest.
    pub fn verify<'t>(
        &'t self,
        compact: &'t str,
        clock: &impl Clock,
        budget: &mut Budget,
        signatures: &impl Signatures,
    ) -> Result<(VerifiedJwt, Claims<'t>), VerifyError> {
        let jws = Jws::parse(compact, &self.wanted, self.profile)?;
        if self.profile == Profile::JwtProxy && jws.kid().is_none() {
            return Err(VerifyError::MissingKid);
        }
        self.check_issuer(&jws)?;
        let mut refused: Option<VerifyError> = None;
        for (index, provider) in self.providers.iter().enumerate() {
            if let Claim::Present(issuer) = jws.issuer()
                && !provider.issues(issuer)
            {
                continue;
            }
            match provider.verify(&jws, clock, budget, signatures) {
                Ok(()) => {
                    let claims = jws.into_claims();
                    let jwt = VerifiedJwt {
                        compact: compact.into(),
                        provider: index,
                        subject: subject(&claims, &provider.subject_claim),
                        times: provider.times(&claims),
                    };
                    return Ok((jwt, claims));
                }
                Err(fault) => {
                    let came_further =
                        |first: &VerifyError| fault.is_of_a_genuine_token() && !first.is_of_a_genuine_token();
                    if refused.as_ref().is_none_or(came_further) {
                        refused = Some(fault);
                    }
                }
            }
        }
        Err(refused.unwrap_or(VerifyError::UnknownIssuer))
    }

    /// Whether a token that was verified before is still valid; all but the time is as it was.
    #[must_use]
    pub fn is_timely(&self, jwt: &VerifiedJwt, now: NumericDate) -> bool {
        self.providers.get(jwt.provider).is_some_and(|provider| provider.is_timely(&jwt.times, now))
    }

    /// An `iss` must be there where it is compared: with JwtProxy always, else if any provider names one.
    fn check_issuer(&self, jws: &Jws<'_>) -> Result<(), VerifyError> {
        let compared = self.profile == Profile::JwtProxy
            || self.providers.iter().any(|provider| provider.issuer.is_some());
        match jws.issuer() {
            Claim::Absent if compared => Err(VerifyError::MissingClaim { name: "iss" }),
            Claim::Invalid if compared => Err(VerifyError::InvalidClaim { name: "iss" }),
            Claim::Absent | Claim::Invalid | Claim::Present(_) => Ok(()),
        }
    }
}

/// A token that a provider signed, that is valid now, and that is meant for this place.
///
/// Only [`Verifier::verify`] makes one.
#[derive(Clone, Debug)]
pub struct VerifiedJwt {
    compact: Rc<str>,
    provider: usize,
    subject: Option<String>,
    times: Times,
}

impl VerifiedJwt {
    /// The token as it came: base64url and two dots, so it is safe in a header or a cookie.
    #[must_use]
    pub const fn compact(&self) -> &Rc<str> {
        &self.compact
    }

    /// The index of the provider that vouches for it.
    #[must_use]
    pub const fn provider(&self) -> usize {
        self.provider
    }

    /// When it expires; none: never.
    #[must_use]
    pub const fn expires(&self) -> Option<NumericDate> {
        self.times.exp
    }

    /// How many whole seconds it has left; none: it does not expire.
    #[must_use]
    pub fn expires_in(&self, now: NumericDate) -> Option<u64> {
        let left = self.expires()?.seconds() - now.seconds();
        #[expect(
            clippy::as_conversions,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates; what is past has zero left"
        )]
        let whole = left as u64;
        Some(whole)
    }

    /// Tells it from others, without telling what it is.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash(sha256(self.compact.as_bytes()))
    }

    /// Whom it is about: the value of the provider's subject claim.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// Whether both are known to be about the same subject of the same provider.
    #[must_use]
    pub fn same_subject(&self, other: &Self) -> bool {
        self.compact == other.compact
            || self.provider == other.provider
                && matches!((self.subject(), other.subject()), (Some(a), Some(b)) if a == b)
    }
}

/// The SHA-256 of a verified token in compact serialization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenHash(pub [u8; 32]);

fn add<'n>(wanted: &mut Vec<String>, names: impl Iterator<Item = &'n String>) {
    for name in names {
        if !wanted.contains(name) {
            wanted.push(name.clone());
        }
    }
}

fn subject(claims: &Claims<'_>, name: &str) -> Option<String> {
    match claims.value(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        Value::Null | Value::Number(_) | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Why a token is not accepted. `Display` is the line for the operator's log.
#[derive(Clone, Debug, PartialEq)]
pub enum VerifyError {
    /// No key of the provider allows the `alg` of the header.
    AlgorithmNotAllowed,
    /// None of the audiences is ours (RFC 7519 section 4.1.3).
    AudienceMismatch,
    /// A required claim is absent or has another value.
    ClaimMismatch {
        /// The claim.
        name: String,
        /// Whether it is absent.
        absent: bool,
    },
    /// It has expired (RFC 7519 section 4.1.4).
    Expired {
        /// Its `exp`.
        exp: NumericDate,
        /// The time of the check.
        now: NumericDate,
    },
    /// A required header parameter is absent or has another value.
    HeaderMismatch {
        /// The parameter.
        name: String,
    },
    /// A claim is of the wrong type.
    InvalidClaim {
        /// The claim.
        name: &'static str,
    },
    /// No key that fits made the signature.
    InvalidSignature,
    /// Its `iat` lies in the future.
    IssuedInFuture {
        /// Its `iat`.
        iat: NumericDate,
        /// The time of the check.
        now: NumericDate,
    },
    /// It lives longer than `max_ttl_seconds`.
    LifetimeTooLong {
        /// Its `exp`.
        exp: NumericDate,
        /// Its `iat`.
        iat: NumericDate,
    },
    /// It is no JWS in compact serialization.
    Malformed(JwsFault),
    /// A claim that must be there is not.
    MissingClaim {
        /// The claim.
        name: &'static str,
    },
    /// The header has no `kid`, which the profile jwtproxy needs.
    MissingKid,
    /// It is not valid yet (RFC 7519 section 4.1.5).
    NotYetValid {
        /// Its `nbf`.
        nbf: NumericDate,
        /// The time of the check.
        now: NumericDate,
    },
    /// The request has used up its signature checks.
    TooManySignatures,
    /// No provider has its `iss`.
    UnknownIssuer,
    /// The provider has no key of its `kid`.
    UnknownKey,
}

impl VerifyError {
    /// Whether the token was signed by a provider, has not expired, and is refused only here: a new sign-in would
    /// bring the same.
    #[must_use]
    pub const fn is_of_a_genuine_token_for_elsewhere(&self) -> bool {
        matches!(self, Self::AudienceMismatch | Self::ClaimMismatch { .. })
    }

    /// Whether the signature was good.
    const fn is_of_a_genuine_token(&self) -> bool {
        match self {
            Self::AudienceMismatch
            | Self::ClaimMismatch { .. }
            | Self::Expired { .. }
            | Self::InvalidClaim { .. }
            | Self::IssuedInFuture { .. }
            | Self::LifetimeTooLong { .. }
            | Self::MissingClaim { .. }
            | Self::NotYetValid { .. } => true,
            Self::AlgorithmNotAllowed
            | Self::HeaderMismatch { .. }
            | Self::InvalidSignature
            | Self::Malformed(_)
            | Self::MissingKid
            | Self::TooManySignatures
            | Self::UnknownIssuer
            | Self::UnknownKey => false,
        }
    }

    /// The stable word for it in answers, logs and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::AlgorithmNotAllowed => "algorithm_not_allowed",
            Self::AudienceMismatch => "audience_mismatch",
            Self::ClaimMismatch { .. } => "claim_mismatch",
            Self::Expired { .. } => "token_expired",
            Self::HeaderMismatch { .. } => "header_mismatch",
            Self::InvalidClaim { .. } => "invalid_claim",
            Self::InvalidSignature => "invalid_signature",
            Self::IssuedInFuture { .. } => "token_issued_in_future",
            Self::LifetimeTooLong { .. } => "token_lifetime_too_long",
            Self::Malformed(JwsFault::Critical) => "critical_header",
            Self::Malformed(
                JwsFault::Base64
                | JwsFault::Duplicate
                | JwsFault::Form
                | JwsFault::Header
                | JwsFault::Payload,
            ) => "malformed_token",
            Self::MissingClaim { .. } => "missing_claim",
            Self::MissingKid => "missing_kid",
            Self::NotYetValid { .. } => "token_not_yet_valid",
            Self::TooManySignatures => "too_many_signatures",
            Self::UnknownIssuer => "unknown_issuer",
            Self::UnknownKey => "unknown_key",
        }
    }
}

impl From<JwsFault> for VerifyError {
    fn from(fault: JwsFault) -> Self {
        Self::Malformed(fault)
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlgorithmNotAllowed => f.write_str("no key of the provider allows the alg of the header"),
            Self::AudienceMismatch => f.write_str("the token is for another audience"),
            Self::ClaimMismatch { name, absent: true } => write!(f, "the required claim {name} is absent"),
            Self::ClaimMismatch { name, absent: false } => {
                write!(f, "the claim {name} does not have the required value")
            }
            Self::Expired { exp, now } => write!(f, "the token expired at {exp}, it is {now}"),
            Self::HeaderMismatch { name } => {
                write!(f, "the header parameter {name} does not have the required value")
            }
            Self::InvalidClaim { name } => write!(f, "the claim {name} is of the wrong type"),
            Self::InvalidSignature => f.write_str("no key made the signature"),
            Self::IssuedInFuture { iat, now } => write!(f, "the token was issued at {iat}, it is only {now}"),
            Self::LifetimeTooLong { exp, iat } => {
                write!(f, "the token lives from {iat} to {exp}, longer than allowed")
            }
            Self::Malformed(JwsFault::Base64) => {
                f.write_str("a part of the token is not canonical base64url")
            }
            Self::Malformed(JwsFault::Critical) => f.write_str("the header has critical parameters"),
            Self::Malformed(JwsFault::Duplicate) => f.write_str("the payload has a member twice"),
            Self::Malformed(JwsFault::Form) => f.write_str("the token has not three parts"),
            Self::Malformed(JwsFault::Header) => {
                f.write_str("the header is no JSON object of the right kind")
            }
            Self::Malformed(JwsFault::Payload) => f.write_str("the payload is no JSON object"),
            Self::MissingClaim { name } => write!(f, "the claim {name} is absent"),
            Self::MissingKid => f.write_str("the header has no kid"),
            Self::NotYetValid { nbf, now } => write!(f, "the token is valid from {nbf}, it is {now}"),
            Self::TooManySignatures => write!(f, "more than {} signatures to check", Budget::SIGNATURES),
            Self::UnknownIssuer => f.write_str("no provider has the iss of the token"),
            Self::UnknownKey => f.write_str("the provider has no key with the kid of the token"),
        }
    }
}

//! Why a token is not accepted.

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

use super::{Budget, JwsFault, NumericDate, Revocation, Skipping};

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
        name: Cow<'static, str>,
    },
    /// The header has no `kid`, which the profile jwtproxy needs.
    MissingKid,
    /// The keys of the provider were never fetched.
    KeysUnavailable {
        /// The number of their feed.
        feed: usize,
    },
    /// It is not valid yet (RFC 7519 section 4.1.5).
    NotYetValid {
        /// Its `nbf`.
        nbf: NumericDate,
        /// The time of the check.
        now: NumericDate,
    },
    /// The deny list of the provider was never fetched.
    RevocationsUnavailable {
        /// The number of its feed.
        feed: usize,
    },
    /// It is revoked.
    Revoked {
        /// What says so.
        by: Revocation,
    },
    /// The request has used up its signature checks.
    TooManySignatures,
    /// The header has no `typ`, or another than the provider's.
    TypeNotAllowed,
    /// No provider has its `iss`.
    UnknownIssuer,
    /// The provider has no key of its `kid`.
    UnknownKey {
        /// The number of the feed that may have one by now.
        feed: Option<usize>,
        /// The key of its `kid` that is of no use.
        skipped: Option<Rc<Skipping>>,
    },
}

impl VerifyError {
    /// Whether the token was signed by a provider, has not expired, and is refused only here: a new sign-in would
    /// bring the same.
    #[must_use]
    pub const fn is_of_a_genuine_token_for_elsewhere(&self) -> bool {
        matches!(self, Self::AudienceMismatch | Self::ClaimMismatch { .. })
    }

    /// Whether what it takes to judge the token is not there.
    #[must_use]
    pub const fn is_of_the_proxy(&self) -> bool {
        matches!(self, Self::KeysUnavailable { .. } | Self::RevocationsUnavailable { .. })
    }

    /// Whether it is a fault of ours that the log should tell of, and did not yet.
    #[must_use]
    pub fn is_news(&self) -> bool {
        matches!(self, Self::UnknownKey { skipped: Some(key), .. } if key.is_news())
    }

    /// The feed that may help, if any.
    #[must_use]
    pub const fn feed(&self) -> Option<usize> {
        match self {
            Self::KeysUnavailable { feed } | Self::RevocationsUnavailable { feed } => Some(*feed),
            Self::UnknownKey { feed, .. } => *feed,
            Self::AlgorithmNotAllowed
            | Self::AudienceMismatch
            | Self::ClaimMismatch { .. }
            | Self::Expired { .. }
            | Self::HeaderMismatch { .. }
            | Self::InvalidClaim { .. }
            | Self::InvalidSignature
            | Self::IssuedInFuture { .. }
            | Self::LifetimeTooLong { .. }
            | Self::Malformed(_)
            | Self::MissingClaim { .. }
            | Self::MissingKid
            | Self::NotYetValid { .. }
            | Self::Revoked { .. }
            | Self::TooManySignatures
            | Self::TypeNotAllowed
            | Self::UnknownIssuer => None,
        }
    }

    /// How far the token came with a provider: what tells most is said where several share an issuer.
    pub(super) const fn progress(&self) -> u8 {
        match self {
            // The signature is good.
            Self::AudienceMismatch
            | Self::ClaimMismatch { .. }
            | Self::Expired { .. }
            | Self::InvalidClaim { .. }
            | Self::IssuedInFuture { .. }
            | Self::LifetimeTooLong { .. }
            | Self::MissingClaim { .. }
            | Self::NotYetValid { .. }
            | Self::Revoked { .. } => 3,
            // It may yet be.
            Self::KeysUnavailable { .. } | Self::RevocationsUnavailable { .. } => 2,
            Self::UnknownKey { feed: Some(_), .. } => 1,
            Self::AlgorithmNotAllowed
            | Self::HeaderMismatch { .. }
            | Self::InvalidSignature
            | Self::Malformed(_)
            | Self::MissingKid
            | Self::TooManySignatures
            | Self::TypeNotAllowed
            | Self::UnknownIssuer
            | Self::UnknownKey { feed: None, .. } => 0,
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
                | JwsFault::Kid(_)
                | JwsFault::Payload,
            ) => "malformed_token",
            Self::MissingClaim { .. } => "missing_claim",
            Self::KeysUnavailable { .. } => "keys_unavailable",
            Self::MissingKid => "missing_kid",
            Self::NotYetValid { .. } => "token_not_yet_valid",
            Self::RevocationsUnavailable { .. } => "revocations_unavailable",
            Self::Revoked { .. } => "token_revoked",
            Self::TooManySignatures => "too_many_signatures",
            Self::TypeNotAllowed => "type_not_allowed",
            Self::UnknownIssuer => "unknown_issuer",
            Self::UnknownKey { .. } => "unknown_key",
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
                f.write_str("a part of the token is not canonical base64url, padded only where its source is")
            }
            Self::Malformed(JwsFault::Critical) => f.write_str("the header has critical parameters"),
            Self::Malformed(JwsFault::Duplicate) => f.write_str("the payload has a member twice"),
            Self::Malformed(JwsFault::Form) => f.write_str("the token has not three parts"),
            Self::Malformed(JwsFault::Header) => {
                f.write_str("the header is no JSON object of the right kind")
            }
            Self::Malformed(JwsFault::Kid(found)) => {
                write!(f, "the kid of the header is {found}, and no string")
            }
            Self::Malformed(JwsFault::Payload) => f.write_str("the payload is no JSON object"),
            Self::MissingClaim { name } => write!(f, "the claim {name} is absent"),
            Self::KeysUnavailable { .. } => f.write_str("the keys of the provider were never fetched"),
            Self::MissingKid => f.write_str("the header has no kid"),
            Self::NotYetValid { nbf, now } => write!(f, "the token is valid from {nbf}, it is {now}"),
            Self::RevocationsUnavailable { .. } => {
                f.write_str("the revoked tokens of the provider were never fetched")
            }
            Self::Revoked { by } => write!(f, "the token is revoked: {by}"),
            Self::TooManySignatures => write!(f, "more than {} signatures to check", Budget::SIGNATURES),
            Self::TypeNotAllowed => f.write_str("the typ of the header is not one of the provider's"),
            Self::UnknownIssuer => f.write_str("no provider has the iss of the token"),
            Self::UnknownKey { skipped: None, .. } => {
                f.write_str("the provider has no key with the kid of the token")
            }
            Self::UnknownKey { skipped: Some(key), .. } => {
                f.write_str("the key with the kid of the token is skipped since ")?;
                match key.since() {
                    Some(since) => since.fmt(f)?,
                    None => f.write_str("the configuration was loaded")?,
                }
                write!(f, ", {}", key.why())
            }
        }
    }
}

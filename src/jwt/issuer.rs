//! Whose tokens a provider vouches for.

use super::claims::Claim;
use super::{ClaimName, Claims, Profile};

/// The `iss` of a provider's tokens (RFC 7519 section 4.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Issuer {
    /// They have none.
    Absent,
    /// It does not matter.
    Any,
    /// This one.
    Exactly(String),
    /// One for each tenant: the value of a claim, which has no slash, stands in it.
    OfTenant {
        /// What stands before it.
        before: String,
        /// The claim.
        claim: ClaimName,
        /// What stands behind it.
        after: String,
    },
}

impl Issuer {
    /// Whether tokens with those claims are the provider's.
    pub(super) fn issues(&self, claims: &Claims<'_>, profile: Profile) -> bool {
        match (self, claims.text("iss")) {
            (Self::Any, _) | (Self::Absent, Claim::Absent) => true,
            (Self::Exactly(own), Claim::Present(found)) => profile.same_name(own, found),
            (Self::OfTenant { before, claim, after }, Claim::Present(found)) => {
                let tenant =
                    found.strip_prefix(before.as_str()).and_then(|rest| rest.strip_suffix(after.as_str()));
                let is_one = |tenant: &str| !tenant.is_empty() && !tenant.contains('/');
                tenant.is_some_and(is_one) && claims.find(claim).and_then(|value| value.as_str()) == tenant
            }
            (Self::Absent, Claim::Present(_))
            | (Self::Absent | Self::Exactly(_) | Self::OfTenant { .. }, Claim::Invalid)
            | (Self::Exactly(_) | Self::OfTenant { .. }, Claim::Absent) => false,
        }
    }

    /// Whether its tokens may have no `iss`.
    #[must_use]
    pub const fn may_be_absent(&self) -> bool {
        matches!(self, Self::Absent | Self::Any)
    }
}

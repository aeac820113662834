//! The judgement of one token.

use std::cell::OnceCell;
use std::rc::Rc;

use serde_json::Value;

use super::claims::Claim;
use super::jws::Wanted;
use super::provider::Times;
use super::{
    Algorithm, Base64Url, ClaimName, Claims, Clock, Issuer, Jws, NumericDate, Profile, Provider, Revocations,
    Signatures, VerifyError, sha256,
};

/// How many signatures may still be checked for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget(u8);

impl Budget {
    /// A request costs at most eight signature checks, however many tokens it brings.
    pub const SIGNATURES: u8 = 8;
    /// That of a new request.
    pub const FULL: Self = Self(Self::SIGNATURES);

    /// Takes a signature check of that [cost](Signatures::cost) from the budget. Two are always possible: a broken credential
    /// must not hide a good one.
    ///
    /// # Errors
    /// Nothing is left.
    pub(super) fn spend(&mut self, cost: u8) -> Result<(), VerifyError> {
        const DEAREST: u8 = Budget::SIGNATURES - 1;
        if self.0 == 0 {
            return Err(VerifyError::TooManySignatures);
        }
        self.0 = self.0.saturating_sub(cost.min(DEAREST));
        Ok(())
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
            add(&mut wanted.header, provider.required_header.iter().map(|(name, _)| name.as_str()));
            let required = provider.required_claims.iter().map(|required| &required.name);
            let mut read = required.chain(&provider.kept_claims).chain([&provider.subject_claim]);
            let tenant = match &provider.issuer {
                Issuer::OfTenant { claim, .. } => Some(claim),
                Issuer::Absent | Issuer::Any | Issuer::Exactly(_) => None,
            };
            add(&mut wanted.claims, read.by_ref().chain(tenant).flat_map(ClaimName::outermost));
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
        form: Base64Url,
        clock: &impl Clock,
        budget: &mut Budget,
        signatures: &impl Signatures,
    ) -> Result<(VerifiedJwt, Claims<'t>), VerifyError> {
        let jws = Jws::parse(compact, form, &self.wanted, self.profile)?;
        if self.profile == Profile::JwtProxy && jws.kid().is_none() {
            return Err(VerifyError::MissingKid);
        }
        self.check_issuer(&jws)?;
        let mut refused: Option<VerifyError> = None;
        for (index, provider) in self.providers.iter().enumerate() {
            if !jws.is_of(&provider.issuer, self.profile) {
                continue;
            }
            match provider.verify(&jws, clock, budget, signatures) {
                Ok(kid) => {
                    let claims = jws.into_claims();
                    let jwt = VerifiedJwt {
                        compact: compact.into(),
                        provider: index,
                        realm: realm(provider, &claims),
                        remembered_as: OnceCell::new(),
                        subject: text(&claims, &provider.subject_claim),
                        jti: text(&claims, &"jti".into()),
                        kid,
                        times: provider.times(&claims),
                    };
                    return Ok((jwt, claims));
                }
                Err(fault) => {
                    if refused.as_ref().is_none_or(|first| fault.progress() > first.progress()) {
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

    /// Whether a token that was verified before was revoked since.
    ///
    /// # Errors
    /// It was, or the list that could say so was never fetched.
    pub fn check_revoked(&self, jwt: &VerifiedJwt) -> Result<(), VerifyError> {
        let Some(provider) = self.providers.get(jwt.provider) else { return Ok(()) };
        let check = |revoked: &Revocations| revoked.check(jwt, &provider.subject_claim);
        provider.revoked.as_ref().map_or(Ok(()), check)
    }

    /// Until when a token is taken, the clock skew included; none: for ever.
    #[must_use]
    pub fn end(&self, jwt: &VerifiedJwt) -> Option<NumericDate> {
        let skew = self.providers.get(jwt.provider).map_or(0.0, |provider| provider.clock_skew);
        jwt.expires().map(|expires| expires.plus(skew))
    }

    /// An `iss` must be there, unless some provider's tokens may have none. JwtProxy always wants one.
    fn check_issuer(&self, jws: &Jws<'_>) -> Result<(), VerifyError> {
        let may_be_absent = |provider: &Provider| provider.issuer.may_be_absent();
        match jws.issuer() {
            Claim::Absent
                if self.profile == Profile::JwtProxy || !self.providers.iter().any(may_be_absent) =>
            {
                Err(VerifyError::MissingClaim { name: "iss".into() })
            }
            Claim::Invalid
                if self.profile == Profile::JwtProxy
                    || self.providers.iter().any(|provider| provider.issuer != Issuer::Any) =>
            {
                Err(VerifyError::InvalidClaim { name: "iss" })
            }
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
    realm: Rc<str>,
    remembered_as: OnceCell<[[u8; 16]; 2]>,
    subject: Option<String>,
    jti: Option<String>,
    kid: Option<String>,
    times: Times,
}

impl VerifiedJwt {
    /// The token as it came: base64url, perhaps padded, and two dots, so it is safe in a header or a cookie.
    #[must_use]
    pub const fn compact(&self) -> &Rc<str> {
        &self.compact
    }

    /// The index of the provider that vouches for it.
    #[must_use]
    pub const fn provider(&self) -> usize {
        self.provider
    }

    /// What its subject is unique in: an issuer, or the provider where that has no name for it, and a claim.
    #[must_use]
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// What it is remembered as, which is computed once: it takes two hashes.
    pub(crate) fn remembered_as(&self, compute: impl FnOnce() -> [[u8; 16]; 2]) -> [[u8; 16]; 2] {
        *self.remembered_as.get_or_init(compute)
    }

    /// When it expires; none: never.
    #[must_use]
    pub const fn expires(&self) -> Option<NumericDate> {
        self.times.exp
    }

    /// When it was issued, if it says so.
    #[must_use]
    pub const fn issued(&self) -> Option<NumericDate> {
        self.times.iat
    }

    /// Its `jti` (RFC 7519 section 4.1.7).
    #[must_use]
    pub fn jti(&self) -> Option<&str> {
        self.jti.as_deref()
    }

    /// The `kid` of the key that signed it, or what its header says where that key has none.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// What it takes beside its compact serialization, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        [&self.subject, &self.jti, &self.kid].into_iter().flatten().map(String::len).sum()
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
        let signed = self.compact.rsplit_once('.').map_or(&*self.compact, |(signed, _)| signed);
        TokenHash(sha256(signed.as_bytes()))
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
                && self.realm == other.realm
                && matches!((self.subject(), other.subject()), (Some(a), Some(b)) if a == b)
    }
}

/// The SHA-256 of the header and the payload of a verified token in compact serialization. Not of its signature: whoever has
/// one of ECDSA can make another that is as good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenHash(pub [u8; 32]);

fn add<'n>(wanted: &mut Vec<String>, names: impl Iterator<Item = &'n str>) {
    for name in names {
        if !wanted.iter().any(|own| own == name) {
            wanted.push(name.to_owned());
        }
    }
}

/// What the subject of a token is unique in. Where issuers differ, each has its own.
fn realm(provider: &Provider, claims: &Claims<'_>) -> Rc<str> {
    match (&provider.issuer, claims.text("iss")) {
        (Issuer::Any | Issuer::OfTenant { .. }, Claim::Present(issuer)) => {
            [&provider.realm, "\n", issuer].concat().into()
        }
        _ => Rc::clone(&provider.realm),
    }
}

/// A claim that names something.
fn text(claims: &Claims<'_>, name: &ClaimName) -> Option<String> {
    match claims.find(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        Value::Null | Value::Number(_) | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

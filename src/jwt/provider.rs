//! Who may issue tokens, and what their claims must say.

use std::rc::Rc;

use serde_json::Value;

use super::claims::Claim;
use super::fetched::FetchedKeys;
use super::revocations::Revocations;
use super::{
    Algorithm, Budget, ClaimName, Claims, Clock, Genuine, Issuer, Jws, NumericDate, RequiredClaim,
    Signatures, Skipping, VerifyError, VerifyingKey, same_json,
};

/// Whose behaviour it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// That of Eclipse Che's JwtProxy. Of a token it wants `kid`, `iss`, `exp`, `nbf`, `iat` and `jti`, compares `iss` and
    /// `kid` without regard to case, and gives the clock skew to `iat` alone.
    JwtProxy,
    /// Our own: clock skew for all times, claims checked where they are there.
    Strict,
}

impl Profile {
    /// Whether both are one `iss` or one `kid`.
    pub(super) fn same_name(self, own: &str, other: &str) -> bool {
        match self {
            Self::JwtProxy => own.eq_ignore_ascii_case(other),
            Self::Strict => own == other,
        }
    }
}

/// An issuer of tokens: its keys and its rules.
#[derive(Clone, Debug)]
pub struct Provider {
    /// The name in logs and metrics.
    pub name: String,
    /// The `iss` of its tokens.
    pub issuer: Issuer,
    /// What its subjects are unique in: the issuer as it is written, or its name, and the claim that names them. It stays the
    /// same when anything else of it changes.
    pub realm: Rc<str>,
    /// One of these must be in `aud`; none: not checked.
    pub audiences: Option<Vec<String>>,
    /// The claim that says whom a token is about.
    pub subject_claim: ClaimName,
    /// What its tokens may be signed with.
    pub algorithms: Vec<Algorithm>,
    /// The keys of the configuration that sign its tokens.
    pub keys: Vec<VerifyingKey>,
    /// Keys of a set among them that are of no use.
    pub skipped: Vec<Rc<Skipping>>,
    /// The keys beside them that are fetched from the issuer; none: nothing is fetched.
    pub fetched: Option<FetchedKeys>,
    /// Its revoked tokens; none: nothing is revoked but by a sign-out.
    pub revoked: Option<Revocations>,
    /// How far the issuer's clock may be off, in seconds.
    pub clock_skew: f64,
    /// The most that `exp - iat` may be, in seconds; makes both required.
    pub max_ttl: Option<f64>,
    /// Whether `exp` must be there.
    pub require_exp: bool,
    /// The `typ` of its tokens, one of these; none: not checked.
    pub types: Option<Vec<String>>,
    /// Header parameters and their values.
    pub required_header: Vec<(String, Value)>,
    /// What claims must say.
    pub required_claims: Vec<RequiredClaim>,
    /// Claims that somebody wants to read of a verified token.
    pub kept_claims: Vec<ClaimName>,
    /// How times, `iss` and `kid` are read.
    pub profile: Profile,
}

impl Provider {
    /// Checks header, signature and claims, in this order, and tells the `kid` of the key.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn verify(
        &self,
        jws: &Jws<'_>,
        clock: &impl Clock,
        budget: &mut Budget,
        signatures: &impl Signatures,
    ) -> Result<Option<String>, VerifyError> {
        if let Some(types) = &self.types {
            let found = jws.header("typ").and_then(Value::as_str);
            if !found.is_some_and(|found| types.iter().any(|own| same_type(own, found))) {
                return Err(VerifyError::TypeNotAllowed);
            }
        }
        for (name, value) in &self.required_header {
            if !jws.header(name).is_some_and(|found| same_json(found, value)) {
                return Err(VerifyError::HeaderMismatch { name: name.clone() });
            }
        }
        let fetched = self.fetched.as_ref().and_then(FetchedKeys::keys);
        let fetched_keys = fetched.as_deref().unwrap_or_default();
        let (genuine, key) = self.authenticate(jws, fetched_keys, budget, signatures)?;
        let claims = genuine.claims();
        // To ask for the exact time is worth it only where it could help or tell more.
        let check_times =
            || self.check_times(claims, clock.recent()).or_else(|_| self.check_times(claims, clock.now()));
        match self.profile {
            Profile::JwtProxy => {
                self.check_audience(claims)?;
                check_times()?;
            }
            // Whether it has expired comes first: who gets a 403 for the audience is told that a new one won't help.
            Profile::Strict => {
                check_times()?;
                self.check_audience(claims)?;
            }
        }
        self.check_required_claims(claims)?;
        // The key's own: without a `kid` in its header a token is tried with each.
        Ok(key.kid().or_else(|| jws.kid()).map(str::to_owned))
    }

    fn authenticate<'k>(
        &'k self,
        jws: &'k Jws<'_>,
        fetched: &'k [VerifyingKey],
        budget: &mut Budget,
        signatures: &impl Signatures,
    ) -> Result<(Genuine<'k>, &'k VerifyingKey), VerifyError> {
        let fits_kid = |key: &&VerifyingKey| match (jws.kid(), key.kid()) {
            (Some(wanted), Some(kid)) => self.profile.same_name(kid, wanted),
            (None, _) | (_, None) => true,
        };
        let fits_algorithm =
            |key: &VerifyingKey| jws.algorithm().is_some_and(|algorithm| key.allows(algorithm));
        let unknown = VerifyError::UnknownKey { feed: None, skipped: None };
        let mut refused = unknown.clone();
        let mut has_kid = false;
        for key in self.keys.iter().chain(fetched).filter(fits_kid) {
            has_kid |= key.kid().is_some();
            if !fits_algorithm(key) {
                if refused == unknown {
                    refused = VerifyError::AlgorithmNotAllowed;
                }
                continue;
            }
            budget.spend(jws.algorithm().map_or(1, |algorithm| signatures.cost(key.key(), algorithm)))?;
            if let Some(genuine) = jws.authenticate(key, signatures) {
                return Ok((genuine, key));
            }
            refused = VerifyError::InvalidSignature;
        }
        let is_allowed = jws.algorithm().is_some_and(|algorithm| self.algorithms.contains(&algorithm));
        let skipped = || jws.kid().and_then(|kid| self.skipped(kid));
        Err(match &self.fetched {
            Some(_) if !is_allowed => VerifyError::AlgorithmNotAllowed,
            Some(keys) if keys.keys().is_none() => VerifyError::KeysUnavailable { feed: keys.feed },
            // The issuer may have a new key. Who names none is not worth asking for.
            Some(keys) if jws.kid().is_some() && !has_kid => {
                VerifyError::UnknownKey { feed: Some(keys.feed), skipped: skipped() }
            }
            Some(_) | None if refused == unknown => {
                VerifyError::UnknownKey { feed: None, skipped: skipped() }
            }
            Some(_) | None => refused,
        })
    }

    /// What is known of a `kid` whose key is of no use.
    fn skipped(&self, kid: &str) -> Option<Rc<Skipping>> {
        let fetched = || self.fetched.as_ref()?.skipped(kid);
        self.skipped.iter().find(|skipped| skipped.is_of(kid)).cloned().or_else(fetched)
    }

    /// RFC 7519 sections 4.1.4 to 4.1.7.
    fn check_times(&self, claims: &Claims<'_>, now: NumericDate) -> Result<(), VerifyError> {
        let limits = self.limits();
        let needs_exp = limits.required || self.require_exp || self.max_ttl.is_some();
        let needs_iat = limits.required || self.max_ttl.is_some();

        let exp = self.date(claims, "exp", needs_exp)?;
        if let Some(exp) = exp {
            let end = exp.plus(limits.exp_skew);
            if self.is_over(end, now) {
                return Err(VerifyError::Expired { exp, now });
            }
        }
        if let Some(nbf) = self.date(claims, "nbf", limits.required)?
            && nbf > now.plus(limits.nbf_skew)
        {
            return Err(VerifyError::NotYetValid { nbf, now });
        }
        let iat = self.date(claims, "iat", needs_iat)?;
        if let Some(iat) = iat
            && iat > now.plus(self.clock_skew)
        {
            return Err(VerifyError::IssuedInFuture { iat, now });
        }
        if let (Some(exp), Some(iat), Some(max_ttl)) = (exp, iat, self.max_ttl)
            && exp > iat.plus(max_ttl)
        {
            return Err(VerifyError::LifetimeTooLong { exp, iat });
        }
        if limits.required {
            match claims.text("jti") {
                Claim::Present(_) => {}
                Claim::Absent => return Err(VerifyError::MissingClaim { name: "jti".into() }),
                Claim::Invalid => return Err(VerifyError::InvalidClaim { name: "jti" }),
            }
        }
        Ok(())
    }

    /// Whether the times of a token that was verified once hold `now`, too.
    #[must_use]
    pub fn is_timely(&self, times: &Times, now: NumericDate) -> bool {
        let limits = self.limits();
        times.exp.is_none_or(|exp| !self.is_over(exp.plus(limits.exp_skew), now))
            && times.nbf.is_none_or(|nbf| nbf <= now.plus(limits.nbf_skew))
            && times.iat.is_none_or(|iat| iat <= now.plus(self.clock_skew))
    }

    /// The times of a token whose claims were checked.
    pub(super) fn times(&self, claims: &Claims<'_>) -> Times {
        let date = |name| self.date(claims, name, false).ok().flatten();
        Times { exp: date("exp"), nbf: date("nbf"), iat: date("iat") }
    }

    const fn limits(&self) -> Limits {
        let skew = self.clock_skew;
        match self.profile {
            Profile::JwtProxy => Limits { exp_skew: 0.0, nbf_skew: 0.0, required: true },
            Profile::Strict => Limits { exp_skew: skew, nbf_skew: skew, required: false },
        }
    }

    /// RFC 7519 section 4.1.4: "on or after which"; JwtProxy still took a token on the second itself.
    fn is_over(&self, end: NumericDate, now: NumericDate) -> bool {
        match self.profile {
            Profile::JwtProxy => end < now,
            Profile::Strict => end <= now,
        }
    }

    fn date(
        &self,
        claims: &Claims<'_>,
        name: &'static str,
        required: bool,
    ) -> Result<Option<NumericDate>, VerifyError> {
        let claim = match self.profile {
            Profile::JwtProxy => claims.wrapped_date(name),
            Profile::Strict => claims.date(name),
        };
        match claim {
            Claim::Present(date) => Ok(Some(date)),
            Claim::Absent if !required => Ok(None),
            Claim::Absent => Err(VerifyError::MissingClaim { name: name.into() }),
            Claim::Invalid => Err(VerifyError::InvalidClaim { name }),
        }
    }

    /// RFC 7519 section 4.1.3.
    fn check_audience(&self, claims: &Claims<'_>) -> Result<(), VerifyError> {
        let Some(own) = &self.audiences else { return Ok(()) };
        let found = match claims.audiences() {
            Claim::Present(found) => found,
            Claim::Absent => Vec::new(),
            Claim::Invalid => return Err(VerifyError::InvalidClaim { name: "aud" }),
        };
        if found.iter().any(|found| own.iter().any(|own| own == found)) {
            return Ok(());
        }
        // JwtProxy knows no arrays, and says so.
        let array = claims.value("aud").is_some_and(Value::is_array);
        Err(match self.profile {
            Profile::JwtProxy if array => VerifyError::InvalidClaim { name: "aud" },
            Profile::JwtProxy | Profile::Strict => VerifyError::AudienceMismatch,
        })
    }

    fn check_required_claims(&self, claims: &Claims<'_>) -> Result<(), VerifyError> {
        for required in &self.required_claims {
            let found = claims.find(&required.name);
            if !found.is_some_and(|found| required.is_met(found, &[])) {
                let name = required.name.to_string();
                return Err(VerifyError::ClaimMismatch { name, absent: found.is_none() });
            }
        }
        Ok(())
    }

    /// How many keys a token of that `alg` and without `kid` has to try.
    #[must_use]
    pub fn keys_tried_without_kid(&self, algorithm: Algorithm) -> usize {
        self.keys.iter().filter(|key| key.allows(algorithm)).count()
    }
}

/// RFC 7515 section 4.1.9: media types, which do not differ by case, and may be written without `application/`.
fn same_type(own: &str, found: &str) -> bool {
    const PREFIX: &str = "application/";
    let short = |text: &str| match text.split_at_checked(PREFIX.len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) => rest.to_ascii_lowercase(),
        Some(_) | None => text.to_ascii_lowercase(),
    };
    short(own) == short(found)
}

/// When a token is valid.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Until when (RFC 7519 section 4.1.4); none: for ever.
    pub exp: Option<NumericDate>,
    /// From when (RFC 7519 section 4.1.5).
    pub nbf: Option<NumericDate>,
    /// When it was issued (RFC 7519 section 4.1.6).
    pub iat: Option<NumericDate>,
}

struct Limits {
    exp_skew: f64,
    nbf_skew: f64,
    required: bool,
}

//! The judgement of all tokens that a request brings: number 2 of the crate documentation.

use std::rc::Rc;

use crate::extract::{Candidate, Carrier};
use crate::jwt::{Budget, Clock, Signatures, VerifyError};
use crate::policy::Policy;
use crate::reply::Rejection;
use crate::token_cache::KnownToken;

/// Judges the tokens of one request.
pub(crate) struct Judge<'p, C, S> {
    pub policy: &'p Policy,
    pub clock: &'p C,
    pub signatures: &'p S,
    pub budget: Budget,
    /// The feed that might have helped one of the tokens.
    pub missing: Option<usize>,
}

/// What came of it.
pub(crate) struct Judged<'c, 'r> {
    pub verdict: Result<(&'c Candidate<'r>, Rc<KnownToken>), Rejection>,
    /// No cookie of our name is a token of this place or any other.
    pub cookies_are_dead: bool,
}

impl<C: Clock, S: Signatures> Judge<'_, C, S> {
    pub fn verify(&mut self, candidate: &Candidate<'_>) -> Result<Rc<KnownToken>, VerifyError> {
        let verdict = self.policy.verify(candidate, self.clock, &mut self.budget, self.signatures);
        if let Err(fault) = &verdict {
            self.missing = self.missing.or_else(|| fault.feed());
        }
        verdict
    }

    /// Takes the first candidate that is valid and `may` be used. Else the rejection is that of the first one, but for a lack
    /// of ours.
    pub fn judge<'c, 'r>(
        &mut self,
        candidates: &'c [Candidate<'r>],
        may: impl Fn(&Candidate<'r>) -> bool,
    ) -> Judged<'c, 'r> {
        let (mut first, mut forbidden) = (None, false);
        let mut live_cookies = false;
        for candidate in candidates {
            let verdict = self.verify(candidate);
            if candidate.carrier == Carrier::Cookie {
                live_cookies |= match &verdict {
                    Ok(_) => true,
                    Err(fault) => {
                        fault.is_of_a_genuine_token_for_elsewhere()
                            || fault.is_of_the_proxy()
                            || *fault == VerifyError::TooManySignatures
                    }
                };
            }
            match verdict {
                Ok(token) if may(candidate) => {
                    return Judged { verdict: Ok((candidate, token)), cookies_are_dead: false };
                }
                Ok(_) => forbidden = true,
                Err(fault) => {
                    let is_ours = first.as_ref().is_some_and(VerifyError::is_of_the_proxy);
                    if first.is_none() || fault.is_of_the_proxy() && !is_ours {
                        first = Some(fault);
                    }
                }
            }
        }
        let rejection = match first {
            _ if forbidden => Rejection::Csrf,
            Some(fault) => Rejection::Token(fault),
            None => Rejection::NoCredentials,
        };
        Judged { verdict: Err(rejection), cookies_are_dead: !live_cookies }
    }
}

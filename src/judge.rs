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
}

/// What came of it.
pub(crate) struct Judged<'c, 'r> {
    pub verdict: Result<(&'c Candidate<'r>, Rc<KnownToken>), Rejection>,
    /// No cookie of our name is a token of this place or any other.
    pub cookies_are_dead: bool,
}

impl<C: Clock, S: Signatures> Judge<'_, C, S> {
    pub fn verify(&mut self, candidate: &Candidate<'_>) -> Result<Rc<KnownToken>, VerifyError> {
        self.policy.verify(candidate, self.clock, &mut self.budget, self.signatures)
    }

    /// Takes the first candidate that is valid and `may` be used. Else the rejection is that of one that is valid, but may
    /// not, or that of the first one.
    pub fn judge<'c, 'r>(
        &mut self,
        candidates: &'c [Candidate<'r>],
        may: impl Fn(&Candidate<'r>, &KnownToken) -> Result<(), Rejection>,
    ) -> Judged<'c, 'r> {
        let (mut first, mut forbidden) = (None, None);
        let mut live_cookies = false;
        for candidate in candidates {
            let verdict = self.verify(candidate);
            if candidate.carrier == Carrier::Cookie {
                live_cookies |= match &verdict {
                    Ok(_) => true,
                    Err(fault) => {
                        fault.is_of_a_genuine_token_for_elsewhere()
                            || *fault == VerifyError::TooManySignatures
                    }
                };
            }
            match verdict {
                Ok(token) => match may(candidate, &token) {
                    Ok(()) => return Judged { verdict: Ok((candidate, token)), cookies_are_dead: false },
                    // No page tells another site what a cookie may do.
                    Err(Rejection::Csrf) => forbidden = Some(Rejection::Csrf),
                    Err(why) => forbidden = forbidden.or(Some(why)),
                },
                Err(fault) => first = first.or(Some(fault)),
            }
        }
        let rejection = match (forbidden, first) {
            (Some(why), _) => why,
            (None, Some(fault)) => Rejection::Token(fault),
            (None, None) => Rejection::NoCredentials,
        };
        Judged { verdict: Err(rejection), cookies_are_dead: !live_cookies }
    }
}

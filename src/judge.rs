//! The judgement of all tokens that a request brings: number 2 of the crate documentation.

use std::rc::Rc;

use crate::extract::{Candidate, Carrier};
use crate::http::RequestHead;
use crate::jwt::{Budget, Clock, Signatures, VerifyError};
use crate::policy::{Decision, Policy};
use crate::reply::Rejection;
use crate::token_cache::KnownToken;

/// Judges the tokens of one request.
pub(crate) struct Judge<'p, C, S> {
    pub policy: &'p Policy,
    pub clock: &'p C,
    signatures: &'p S,
    budget: Budget,
    /// The feed that might have helped one of the tokens.
    missing: Option<usize>,
}

/// What came of it.
pub(crate) struct Judged<'c, 'r> {
    pub verdict: Result<(&'c Candidate<'r>, Rc<KnownToken>), Rejection>,
    /// No cookie of our name is a token of this place or any other.
    pub cookies_are_dead: bool,
}

impl<'p, C: Clock, S: Signatures> Judge<'p, C, S> {
    pub const fn new(policy: &'p Policy, head: &RequestHead<'_>, clock: &'p C, signatures: &'p S) -> Self {
        Self { policy, clock, signatures, budget: head.budget(), missing: None }
    }

    /// The request waits where what is missing for one of its tokens may yet come.
    pub fn waits<'d>(&self, head: &RequestHead<'_>) -> Option<Decision<'d>> {
        let feed = self.missing.filter(|feed| self.policy.is_worth_waiting(*feed, head, self.clock))?;
        Some(Decision::Await { feed, budget: self.budget })
    }

    pub fn verify(&mut self, candidate: &Candidate<'_>) -> Result<Rc<KnownToken>, VerifyError> {
        let verdict = self.policy.verify(candidate, self.clock, &mut self.budget, self.signatures);
        if let Err(fault) = &verdict {
            self.missing = self.missing.or_else(|| fault.feed());
        }
        verdict
    }

    /// Takes the first candidate that is valid and `may` be used. Else the rejection is that of one that is valid, but may
    /// not, or that of the first one, but for a lack of ours.
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
                            || fault.feed().is_some()
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
                Err(fault) => {
                    let is_ours = first.as_ref().is_some_and(VerifyError::is_of_the_proxy);
                    if first.is_none() || fault.is_of_the_proxy() && !is_ours {
                        first = Some(fault);
                    }
                }
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

//! The strict profile, top to bottom.

use std::rc::Rc;

use crate::access::{self, Asking};
use crate::extract::{Candidate, Carrier};
use crate::http::{RequestHead, Response};
use crate::jwt::{Budget, Clock, Signatures, VerifiedJwt, VerifyError};
use crate::path::PlainPath;
use crate::policy::{Decision, Event, Policy, answer, see_other};
use crate::reply::Rejection;
use crate::session::{Endpoint, Session};
use crate::token_cache::KnownToken;

/// The numbers are those of the crate documentation.
pub(crate) fn decide<'d>(
    policy: &'d Policy,
    head: &RequestHead<'d>,
    clock: &impl Clock,
    signatures: &impl Signatures,
) -> Decision<'d> {
    let path = PlainPath::new(head.path());
    let session = policy.session.as_ref();
    let endpoint = session.and_then(|session| Some((session, session.endpoint(path.as_ref())?)));

    // 1. What needs no token.
    if let Some(preflight) = access::preflight(head) {
        return match endpoint {
            Some((session, _)) => answer(session.preflight(head), Event::Preflight),
            None => policy.forward_preflight(preflight, head),
        };
    }
    let at_auth_path = match endpoint {
        Some((session, Endpoint::Logout)) => return policy.sign_out(session, head),
        Some((_, Endpoint::Auth)) if !matches!(head.method(), b"GET" | b"HEAD" | b"POST") => {
            return policy.refuse(Rejection::MethodNotAllowed, head, false);
        }
        Some((_, Endpoint::Auth)) => true,
        None => false,
    };
    if !at_auth_path && let Some(public) = policy.public_paths.matching(head, path.as_ref()) {
        return policy.forward_public(public, head);
    }

    // 2. Every token at every source, the first valid one wins.
    let mut candidates = policy.sources.candidates(head);
    let opens_link = session.is_some()
        && candidates.iter().any(|candidate| candidate.carrier == Carrier::Query)
        && head.method() == b"GET"
        && Asking::of(head) == Asking::Navigation;
    if at_auth_path {
        candidates = put_first(candidates, |carrier| carrier != Carrier::Cookie);
    } else if opens_link {
        candidates = put_first(candidates, |carrier| carrier == Carrier::Query);
    }
    let mut judge = Judge { policy, clock, signatures, budget: Budget::default() };
    let judged = judge.judge(&candidates, |candidate| {
        // 5. A cookie must not speak for another site.
        candidate.carrier != Carrier::Cookie || session.is_none_or(|session| session.lets_cookie(head))
    });
    let (candidate, token) = match judged.verdict {
        Ok(winner) => winner,
        // 6. to 10.
        Err(rejection) => return policy.refuse(rejection, head, judged.cookies_are_dead),
    };

    // 3. The sign-in endpoint.
    if let (Some(session), true) = (session, at_auth_path) {
        let back = session.return_location(head);
        let leads_back = Asking::of(head) == Asking::Navigation || session.has_return_address(head);
        let response = if leads_back { see_other(back) } else { Response::new(204) };
        if candidate.carrier == Carrier::Cookie {
            return answer(session.with_cors(head, response), Event::SignedIn);
        }
        return sign_in(session, &mut judge, &candidates, &token.jwt, head, response);
    }
    // 4. A link with a token: into a cookie, and out of the address bar.
    if let (Some(session), true, Carrier::Query) = (session, opens_link, candidate.carrier)
        && !session.cookie_is_dropped(head)
    {
        let clean = session.clean_location(&policy.sources.target_without_tokens(head));
        return sign_in(session, &mut judge, &candidates, &token.jwt, head, see_other(clean));
    }
    policy.forward_verified(token, candidate.place(), head)
}

/// Turns a verified token into a cookie, unless a link from elsewhere would so replace another person's session.
fn sign_in(
    session: &Session,
    judge: &mut Judge<'_, impl Clock, impl Signatures>,
    candidates: &[Candidate<'_>],
    jwt: &VerifiedJwt,
    head: &RequestHead<'_>,
    response: Response,
) -> Decision<'static> {
    if session.comes_from_elsewhere(head, Asking::of(head)) {
        let mut cookies = candidates.iter().filter(|candidate| candidate.carrier == Carrier::Cookie);
        let is_of_another = |cookie: &Candidate<'_>| match judge.verify(cookie) {
            Ok(other) => !jwt.same_subject(&other.jwt),
            // A link with many bad tokens must not hide whose session it is.
            Err(fault) => fault == VerifyError::TooManySignatures,
        };
        if cookies.any(is_of_another) {
            return judge.policy.refuse(Rejection::OtherSession, head, false);
        }
    }
    match session.set_cookie(head, jwt, judge.clock.now()) {
        None => judge.policy.refuse(Rejection::TokenTooLarge, head, false),
        Some(cookie) => {
            let response = response.with("set-cookie", cookie).with("referrer-policy", "no-referrer");
            answer(session.with_cors(head, response), Event::SignedIn)
        }
    }
}

/// Judges the tokens of one request.
struct Judge<'p, C, S> {
    policy: &'p Policy,
    clock: &'p C,
    signatures: &'p S,
    budget: Budget,
}

struct Judged<'c, 'r> {
    verdict: Result<(&'c Candidate<'r>, Rc<KnownToken>), Rejection>,
    /// Cookies of our name came, and each was found to be no token of this place or any other.
    cookies_are_dead: bool,
}

impl<C: Clock, S: Signatures> Judge<'_, C, S> {
    fn verify(&mut self, candidate: &Candidate<'_>) -> Result<Rc<KnownToken>, VerifyError> {
        self.policy.verify(candidate, self.clock, &mut self.budget, self.signatures)
    }

    /// Takes the first candidate that is valid and `may` be used. Else the rejection is that of the first one.
    fn judge<'c, 'r>(
        &mut self,
        candidates: &'c [Candidate<'r>],
        may: impl Fn(&Candidate<'r>) -> bool,
    ) -> Judged<'c, 'r> {
        let (mut first, mut forbidden) = (None, false);
        let (mut cookies, mut live_cookies) = (false, false);
        for candidate in candidates {
            let verdict = self.verify(candidate);
            if candidate.carrier == Carrier::Cookie {
                cookies = true;
                live_cookies |= match &verdict {
                    Ok(_) => true,
                    Err(fault) => {
                        fault.is_of_a_genuine_token_for_elsewhere()
                            || *fault == VerifyError::TooManySignatures
                    }
                };
            }
            match verdict {
                Ok(token) if may(candidate) => {
                    return Judged { verdict: Ok((candidate, token)), cookies_are_dead: false };
                }
                Ok(_) => forbidden = true,
                Err(fault) => first = first.or(Some(fault)),
            }
        }
        let rejection = match first {
            _ if forbidden => Rejection::Csrf,
            Some(fault) => Rejection::Token(fault),
            None => Rejection::NoCredentials,
        };
        Judged { verdict: Err(rejection), cookies_are_dead: cookies && !live_cookies }
    }
}

/// Those of some carriers before the others, each in the order in which they were.
fn put_first(candidates: Vec<Candidate<'_>>, first: impl Fn(Carrier) -> bool) -> Vec<Candidate<'_>> {
    let (mut ordered, others): (Vec<_>, Vec<_>) =
        candidates.into_iter().partition(|candidate| first(candidate.carrier));
    ordered.extend(others);
    ordered
}

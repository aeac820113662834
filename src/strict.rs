//! The strict profile, top to bottom.

use crate::access::{self, Asking};
use crate::extract::{Candidate, Carrier};
use crate::http::{RequestHead, Response, has_many};
use crate::judge::Judge;
use crate::jwt::{Clock, Signatures, VerifiedJwt, VerifyError};
use crate::page::{Frames, Opens, Page};
use crate::path::{PlainPath, PublicMatch};
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
            Some((session, endpoint)) => answer(session.preflight(head, endpoint), Event::Preflight),
            None => policy.forward_preflight(preflight, head),
        };
    }
    let endpoint = match endpoint {
        Some((session, Endpoint::Logout)) => return policy.sign_out(session, head, clock, signatures),
        Some((_, endpoint)) if !endpoint.has_method(head.method()) => {
            return policy.refuse(Rejection::MethodNotAllowed, head, false);
        }
        Some((session, Endpoint::Auth)) if access::brings_form(head) => {
            if let Some(instead) = before_form(policy, session, head) {
                return instead;
            }
            endpoint
        }
        Some(_) => endpoint,
        None => match policy.public_paths.matching(head, path.as_ref()) {
            Some(public) => return forward_public(policy, public, head, clock, signatures),
            None => None,
        },
    };

    // 2. Every token at every source, the first valid one wins.
    let mut candidates = policy.sources.candidates(head);
    let at_auth_path = matches!(endpoint, Some((_, Endpoint::Auth)));
    let opens_link = session.is_some()
        && candidates.iter().any(|candidate| candidate.carrier == Carrier::Query)
        && head.method() == b"GET"
        && Asking::of(head) == Asking::Navigation;
    if at_auth_path {
        // What would not be kept as a cookie signs nobody in; a cookie is kept already.
        candidates
            .retain(|candidate| candidate.carrier == Carrier::Cookie || policy.sources.keeps(candidate.form));
        candidates = put_first(candidates, |carrier| carrier != Carrier::Cookie);
    } else if opens_link {
        candidates = put_first(candidates, |carrier| carrier == Carrier::Query);
    }
    let mut judge = Judge::new(policy, head, clock, signatures);
    let rules = policy.rules.as_ref().filter(|_| endpoint.is_none());
    let demands = rules.map(|rules| rules.of(head, path.as_ref()));
    let judged = judge.judge(&candidates, |candidate, token| {
        // 5. A cookie must not speak for another site.
        let may = candidate.carrier != Carrier::Cookie
            || match endpoint {
                Some((session, Endpoint::Info)) => session.lets_info(head),
                _ => session.is_none_or(|session| session.lets_cookie(head)),
            };
        if !may {
            return Err(Rejection::Csrf);
        }
        // 4. Who may do what where.
        demands.as_ref().map_or(Ok(()), |demands| demands.permit(token.jwt.provider(), &token.rules))
    });
    let (candidate, token) = match judged.verdict {
        Ok(winner) => winner,
        // 6., 8. and 10.
        Err(rejection) => {
            let refuse = || policy.refuse(rejection, head, judged.cookies_are_dead);
            return judge.waits(head).unwrap_or_else(refuse);
        }
    };

    match endpoint {
        // 3. The sign-in endpoint.
        Some((session, Endpoint::Auth)) => {
            let leads_back = Asking::of(head) == Asking::Navigation || session.has_return_address(head);
            let back = leads_back.then(|| session.return_location(head, &policy.sources));
            if candidate.carrier == Carrier::Cookie {
                let response = back.map_or_else(|| Response::new(204), see_other);
                return answer(session.with_cors(head, response), Event::SignedIn);
            }
            return sign_in(session, &mut judge, &candidates, (candidate.carrier, &token.jwt), head, back);
        }
        Some((_, Endpoint::Info)) => return tell(&token, clock),
        Some((_, Endpoint::Logout)) | None => {}
    }
    // 4. A link with a token: into a cookie, and out of the address bar.
    if let (Some(session), true, Carrier::Query) = (session, opens_link, candidate.carrier)
        && !session.cookie_is_dropped(head)
        && policy.sources.keeps(candidate.form)
    {
        let clean = session.clean_location(&policy.sources.target_without_tokens(head));
        return sign_in(session, &mut judge, &candidates, (candidate.carrier, &token.jwt), head, Some(clean));
    }
    policy.forward_verified(token, candidate.place(), None, head, clock)
}

/// Forwards what needs no token, and says whose it is where that may be known.
fn forward_public<'d>(
    policy: &'d Policy,
    public: PublicMatch<'_>,
    head: &RequestHead<'d>,
    clock: &impl Clock,
    signatures: &impl Signatures,
) -> Decision<'d> {
    let Some(identity) = public.identity() else { return policy.forward_public(public, head) };
    let session = policy.session.as_ref();
    let candidates = policy.sources.candidates(head);
    let mut judge = Judge::new(policy, head, clock, signatures);
    let judged = judge.judge(&candidates, |candidate, token| {
        let may =
            candidate.carrier != Carrier::Cookie || session.is_none_or(|session| session.lets_cookie(head));
        // Whatever the reason, the request goes on without an identity.
        if may && identity.admits(token.jwt.provider()) { Ok(()) } else { Err(Rejection::Csrf) }
    });
    match judged.verdict {
        Ok((candidate, token)) => {
            policy.forward_verified(token, candidate.place(), Some(public), head, clock)
        }
        Err(_) => judge.waits(head).unwrap_or_else(|| policy.forward_public(public, head)),
    }
}

/// What is to be done before the form of a sign-in is judged, if anything.
fn before_form<'d>(policy: &'d Policy, session: &Session, head: &RequestHead<'_>) -> Option<Decision<'d>> {
    let length =
        head.value("content-length").and_then(|length| std::str::from_utf8(length).ok()?.parse().ok());
    let length = head.form().map(<[u8]>::len).or(length).unwrap_or_default();
    if !session.lets_form(head) {
        Some(policy.refuse(Rejection::Csrf, head, false))
    } else if length > Policy::MAX_FORM_BYTES || head.form().is_some_and(has_many) {
        Some(policy.refuse(Rejection::FormTooLarge, head, false))
    } else {
        head.form().is_none().then_some(Decision::ReadForm)
    }
}

/// Turns a verified token into a cookie, unless a link from elsewhere would so replace another person's session. Whoever
/// navigates goes on to `location`.
fn sign_in(
    session: &Session,
    judge: &mut Judge<'_, impl Clock, impl Signatures>,
    candidates: &[Candidate<'_>],
    (carrier, jwt): (Carrier, &VerifiedJwt),
    head: &RequestHead<'_>,
    location: Option<String>,
) -> Decision<'static> {
    if session.comes_from_elsewhere(head, carrier) {
        let mut own = false;
        for cookie in candidates.iter().filter(|candidate| candidate.carrier == Carrier::Cookie) {
            match judge.verify(cookie) {
                Ok(other) if jwt.same_subject(&other.jwt) => own = true,
                // A link with many bad tokens must not hide whose session it is.
                Ok(_) | Err(VerifyError::TooManySignatures) => {
                    return judge.policy.refuse(Rejection::OtherSession, head, false);
                }
                Err(_) => {}
            }
        }
        // Nor must one whose key is not known yet.
        if let Some(waits) = judge.waits(head) {
            return waits;
        }
        if !own && session.cookie_is_hidden(head) {
            return judge.policy.refuse(Rejection::HiddenSession, head, false);
        }
    }
    if session.cookie_is_dropped(head) {
        return judge.policy.refuse(Rejection::CookieBlocked, head, false);
    }
    let Some(cookies) = session.replace_cookies(head, jwt, judge.clock.now()) else {
        return judge.policy.refuse(Rejection::TokenTooLarge, head, false);
    };
    let response = match location {
        None => Response::new(204),
        Some(location) if session.cookie_is_held_back(head) => lead_on(&location, head),
        Some(location) => see_other(location),
    };
    let response = response.with_each("set-cookie", cookies).with("referrer-policy", "no-referrer");
    answer(session.with_cors(head, response), Event::SignedIn)
}

/// Leads on by a page of this origin: to what it asks for the browser sends a `SameSite=Strict` cookie.
fn lead_on(location: &str, head: &RequestHead<'_>) -> Response {
    let page = Page {
        title: "Signed in",
        heading: "You are signed in.",
        hint: None,
        link: Some(("Go on", location)),
        address: None,
        opens: Opens::ByItself,
        reason: "same_site_strict",
    };
    page.within(Response::new(200), head, Frames::Nobody)
}

/// Tells a page about its session.
fn tell(token: &KnownToken, clock: &impl Clock) -> Decision<'static> {
    let claims = token.told.as_deref().unwrap_or("{}");
    let expires = token.jwt.expires().map_or_else(|| "null".to_owned(), |exp| exp.to_string());
    let left = token.jwt.expires_in(clock.now()).map_or_else(|| "null".to_owned(), |left| left.to_string());
    let body = format!("{{\"claims\":{claims},\"exp\":{expires},\"expires_in\":{left}}}");
    let response = Response::new(200).with("x-content-type-options", "nosniff");
    answer(response.with_body("application/json", body), Event::Told)
}

/// Those of some carriers before the others, each in the order in which they were.
fn put_first(candidates: Vec<Candidate<'_>>, first: impl Fn(Carrier) -> bool) -> Vec<Candidate<'_>> {
    let (mut ordered, others): (Vec<_>, Vec<_>) =
        candidates.into_iter().partition(|candidate| first(candidate.carrier));
    ordered.extend(others);
    ordered
}

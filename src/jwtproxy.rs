//! The profile jwtproxy: the wire behaviour of Eclipse Che's JwtProxy, to the byte where it was recorded.
//!
//! `tests/vectors/jwtproxy_*.json` hold its recorded answers; where we answer otherwise, the list of deviations in
//! `docs/jwtproxy.md` says so.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};

use crate::access;
use crate::extract::Carrier;
use crate::http::{RequestHead, Response, cut};
use crate::jwt::{Clock, JwsFault, Signatures, VerifiedJwt, VerifyError};
use crate::path::PlainPath;
use crate::policy::{Decision, Event, Policy, answer};
use crate::reply::Rejection;
use crate::session::{Endpoint, Login, Session};

pub(crate) fn decide<'d>(
    policy: &'d Policy,
    head: &RequestHead<'d>,
    clock: &impl Clock,
    signatures: &impl Signatures,
) -> Decision<'d> {
    let path = PlainPath::new(head.path());
    let session = policy.session.as_ref();
    let endpoint = session.and_then(|session| Some((session, session.endpoint(path.as_ref())?)));
    if let Some((session, Endpoint::Logout)) = endpoint {
        return match access::preflight(head) {
            Some(_) => answer(session.preflight(head, Endpoint::Logout), Event::Preflight),
            None => policy.sign_out(session, head, clock, signatures),
        };
    }
    let auth = endpoint.map(|(session, _)| session);
    if let Some(preflight) = access::jwtproxy_preflight(head) {
        return match auth {
            Some(session) => answer(preflight_answer(session), Event::Preflight),
            None => policy.forward_preflight(preflight, head),
        };
    }
    if auth.is_none()
        && let Some(public) = policy.public_paths.matching(head, path.as_ref())
    {
        return policy.forward_public(public, head);
    }

    let Some(candidate) = policy.sources.first_found(head) else {
        return refuse(policy, Rejection::NoCredentials, head);
    };
    let mut budget = head.budget();
    let token = match policy.verify(&candidate, clock, &mut budget, signatures) {
        Ok(token) => token,
        Err(fault) => {
            return match fault.feed().filter(|feed| policy.is_worth_waiting(*feed, head, clock)) {
                Some(feed) => Decision::Await { feed, budget },
                None => refuse(policy, Rejection::Token(fault), head),
            };
        }
    };
    match (auth, session) {
        (Some(_), _) if policy.sources.has_cookie() && !policy.sources.keeps(candidate.form) => {
            refuse(policy, Rejection::NoCredentials, head)
        }
        (Some(session), _) => sign_in(policy, session, candidate.carrier, &token.jwt, head, clock),
        (None, Some(session)) if candidate.carrier == Carrier::Cookie && !session.lets_cookie(head) => {
            refuse(policy, Rejection::Csrf, head)
        }
        (None, _) => policy.forward_verified(token, candidate.place(), None, head, clock),
    }
}

fn sign_in(
    policy: &Policy,
    session: &Session,
    carrier: Carrier,
    jwt: &VerifiedJwt,
    head: &RequestHead<'_>,
    clock: &impl Clock,
) -> Decision<'static> {
    if head.method() == b"OPTIONS" {
        return answer(preflight_answer(session), Event::Preflight);
    }
    if !policy.sources.has_cookie() {
        let text =
            "Cookies are disabled for this endpoint. You need to provide the access token on your own.";
        return answer(plain(403, text), Event::Refused(Rejection::MethodNotAllowed));
    }
    if carrier == Carrier::Cookie {
        return answer(plain(403, "No token found in request"), Event::Refused(Rejection::NoCredentials));
    }
    match session.set_cookies(head, jwt, clock.now()) {
        None => refuse(policy, Rejection::TokenTooLarge, head),
        Some(cookies) => {
            let response = with_cors(session, plain(204, "")).with_each("set-cookie", cookies);
            answer(response, Event::SignedIn)
        }
    }
}

fn preflight_answer(session: &Session) -> Response {
    const HEADERS: &str = "authorization,origin,access-control-allow-origin,access-control-request-headers,\
                           content-type,access-control-request-method,accept";
    with_cors(session, plain(200, ""))
        .with("access-control-allow-headers", HEADERS)
        .with("access-control-allow-methods", "GET")
}

/// The origin of the login page, whoever asks.
fn with_cors(session: &Session, response: Response) -> Response {
    let origin = session.login.as_ref().and_then(|login| {
        let (scheme, rest) = login.address.split_once("://")?;
        Some(format!("{scheme}://{}", rest.split('/').next()?))
    });
    match origin {
        None => response,
        Some(origin) => response
            .with("access-control-allow-credentials", "true")
            .with("access-control-allow-origin", origin),
    }
}

fn refuse(policy: &Policy, rejection: Rejection, head: &RequestHead<'_>) -> Decision<'static> {
    let response = match &rejection {
        Rejection::Token(VerifyError::ClaimMismatch { name, absent }) => {
            let text =
                if *absent { "Required claim not found" } else { "Claim did not have the required value" };
            plain(403, format!("Error verifying claims: {text}: {name}"))
        }
        Rejection::Token(VerifyError::Malformed(_))
        | Rejection::CookieBlocked
        | Rejection::Csrf
        | Rejection::FormTooLarge
        | Rejection::FormUnreadable
        | Rejection::NotPermitted { .. }
        | Rejection::Overloaded
        | Rejection::TokenTooLarge
        | Rejection::TooManyPairs => failure(&rejection),
        Rejection::Token(fault) if fault.is_of_the_proxy() => failure(&rejection),
        Rejection::HiddenSession
        | Rejection::MethodNotAllowed
        | Rejection::NoCredentials
        | Rejection::OtherSession
        | Rejection::Token(_) => match login(policy) {
            Some((session, login)) => {
                plain(302, "").with("location", login.location(&url(policy, session, head)))
            }
            None => failure(&rejection),
        },
    };
    answer(response, Event::Refused(rejection))
}

fn login(policy: &Policy) -> Option<(&Session, &Login)> {
    let session = policy.session.as_ref()?;
    Some((session, session.login.as_ref()?))
}

fn failure(rejection: &Rejection) -> Response {
    let status = if rejection.status() == 503 { 503 } else { 403 };
    plain(status, format!("jwtproxy: unable to verify request: {}", message(rejection)))
}

fn plain(status: u16, text: impl Into<Vec<u8>>) -> Response {
    Response::new(status).with_body("text/plain", text)
}

/// The words of JwtProxy.
fn message(rejection: &Rejection) -> String {
    let text = match rejection {
        Rejection::Csrf => "Request of another site",
        Rejection::CookieBlocked
        | Rejection::FormTooLarge
        | Rejection::FormUnreadable
        | Rejection::HiddenSession
        | Rejection::MethodNotAllowed
        | Rejection::NoCredentials
        | Rejection::NotPermitted { .. }
        | Rejection::OtherSession
        | Rejection::Overloaded
        | Rejection::TooManyPairs => "No JWT found",
        Rejection::TokenTooLarge => "Token too large for a cookie",
        Rejection::Token(fault) => match fault {
            VerifyError::AlgorithmNotAllowed
            | VerifyError::InvalidSignature
            | VerifyError::TooManySignatures => "Invalid JWT signature",
            VerifyError::AudienceMismatch => "Error - 'aud' claim mismatch",
            VerifyError::InvalidClaim { name: "aud" } => "Invalid 'aud' claim",
            VerifyError::InvalidClaim { name } => return format!("Missing or invalid '{name}' claim"),
            VerifyError::MissingClaim { name } => return format!("Missing or invalid '{name}' claim"),
            VerifyError::ClaimMismatch { .. } => "Error verifying claims",
            VerifyError::Expired { .. } => "Token is expired",
            VerifyError::HeaderMismatch { .. } | VerifyError::TypeNotAllowed => {
                "Unexpected verifier initialization failure"
            }
            VerifyError::IssuedInFuture { .. } => "Missing or invalid 'iat' claim",
            VerifyError::LifetimeTooLong { .. } => "Invalid 'exp' claim (too long)",
            VerifyError::Malformed(JwsFault::Payload) => "Could not parse JWT claims",
            VerifyError::Malformed(
                JwsFault::Base64
                | JwsFault::Critical
                | JwsFault::Duplicate
                | JwsFault::Form
                | JwsFault::Header
                | JwsFault::Kid(_),
            ) => "Could not parse JWT",
            VerifyError::MissingKid => "Missing 'kid' claim",
            VerifyError::NotYetValid { .. } => "Missing or invalid 'nbf' claim",
            VerifyError::KeysUnavailable { .. }
            | VerifyError::RevocationsUnavailable { .. }
            | VerifyError::UnknownIssuer
            | VerifyError::UnknownKey { .. } => "Unexpected key server error",
            VerifyError::Revoked { .. } => "Token is revoked",
        },
    };
    text.to_owned()
}

/// `redirectUrl`. Behind a `public_base_path` JwtProxy encodes the decoded path anew, so that `%2F` becomes a slash;
/// without one the path stays as it came, if it is a valid one.
fn url(policy: &Policy, session: &Session, head: &RequestHead<'_>) -> Vec<u8> {
    /// What Go's `url.URL.EscapedPath` leaves as it is.
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'~')
        .remove(b'$')
        .remove(b'&')
        .remove(b'+')
        .remove(b',')
        .remove(b'/')
        .remove(b':')
        .remove(b';')
        .remove(b'=')
        .remove(b'@');
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:@[]/%".contains(byte);

    let target = policy.sources.without_parameters(head.target());
    let (path, query) = cut(&target, b'?');
    let encoded = |path: &[u8]| {
        let decoded: Vec<u8> = percent_decode(path).collect();
        percent_encode(&decoded, KEPT).to_string().into_bytes()
    };
    let path = match &session.public_base_path {
        Some(base) => [base.as_bytes(), &encoded(path)].concat(),
        None if path.iter().all(fits) => path.to_vec(),
        None => encoded(path),
    };
    let query = query.map_or_else(Vec::new, |query| [b"?", query].concat());
    session.here(head).url(&[path, query].concat())
}

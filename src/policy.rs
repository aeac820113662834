//! The whole behaviour, top to bottom.

use crate::access::{self, Asking, Preflight, Site};
use crate::claim_headers::ClaimHeaders;
use crate::extract::{Candidate, Carrier, ForwardToken, TokenSources};
use crate::http::{HeadEdit, RequestHead, Response};
use crate::jwt::{Budget, NumericDate, Signatures, VerifiedJwt, Verifier, VerifyError};
use crate::jwtproxy;
use crate::path::{PlainPath, PublicMatch, PublicPaths};
use crate::reply::Rejection;
use crate::session::{Endpoint, Session};

/// Whose wire behaviour it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// That of Eclipse Che's JwtProxy.
    JwtProxy,
    /// Our own.
    Strict,
}

/// A configuration, ready to judge requests. Made by [`Policy::from_json`].
#[derive(Clone, Debug)]
pub struct Policy {
    pub(crate) profile: Profile,
    pub(crate) verifier: Verifier,
    pub(crate) sources: TokenSources,
    pub(crate) forward_token: ForwardToken,
    pub(crate) public_paths: PublicPaths,
    pub(crate) session: Option<Session>,
    pub(crate) claim_headers: ClaimHeaders,
    pub(crate) warnings: Vec<String>,
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Decision {
    /// The filter answers it.
    Answer(Answer),
    /// The upstream answers it.
    Forward(Forward),
}

/// An answer of the filter's own, and why.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The answer.
    pub response: Response,
    /// Why.
    pub event: Event,
}

/// A request and who made it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'h, 'r> {
    pub(crate) head: &'h RequestHead<'r>,
    pub(crate) by: Asking,
}

/// Why the filter answers by itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A preflight for an endpoint of ours.
    Preflight,
    /// The request is refused.
    Refused(Rejection),
    /// A token became a session, or is one already.
    SignedIn,
    /// The session is over.
    SignedOut,
}

/// The permit to forward a request: it has a verified token, or needs none. Each has one maker, which asks for the proof.
#[derive(Clone, Debug)]
pub struct Forward {
    edits: Vec<HeadEdit>,
    verified: bool,
}

impl Forward {
    fn verified(_: &VerifiedJwt<'_>, edits: Vec<HeadEdit>) -> Self {
        Self { edits, verified: true }
    }

    fn public(_: PublicMatch, edits: Vec<HeadEdit>) -> Self {
        Self { edits, verified: false }
    }

    fn preflight(_: Preflight, edits: Vec<HeadEdit>) -> Self {
        Self { edits, verified: false }
    }

    /// The changes to make to the head first, in order.
    #[must_use]
    pub fn edits(&self) -> &[HeadEdit] {
        &self.edits
    }

    /// Whether a token was verified; else the request needs none.
    #[must_use]
    pub const fn is_verified(&self) -> bool {
        self.verified
    }
}

impl Policy {
    /// Judges a request at the time `now`.
    #[must_use]
    pub fn decide(&self, head: &RequestHead<'_>, now: NumericDate, signatures: &impl Signatures) -> Decision {
        match self.profile {
            Profile::JwtProxy => jwtproxy::decide(self, head, now, signatures),
            Profile::Strict => self.decide_strictly(head, now, signatures),
        }
    }

    /// The numbers are those of the crate documentation.
    fn decide_strictly(
        &self,
        head: &RequestHead<'_>,
        now: NumericDate,
        signatures: &impl Signatures,
    ) -> Decision {
        let asked = Asked { head, by: Asking::of(head) };
        let path = PlainPath::new(head.path());
        let session = self.session.as_ref();
        let endpoint = session.and_then(|session| Some((session, session.endpoint(path.as_ref())?)));

        // 1. What needs no token.
        if let Some(preflight) = access::preflight(head) {
            return match endpoint {
                Some((session, _)) => answer(session.preflight(head), Event::Preflight),
                None => self.forward_preflight(preflight, head),
            };
        }
        let at_auth_path = match endpoint {
            Some((session, Endpoint::Logout)) => return self.sign_out(session, asked),
            Some((_, Endpoint::Auth)) if !matches!(head.method(), b"GET" | b"HEAD" | b"POST") => {
                return self.refuse(Rejection::MethodNotAllowed, asked, false);
            }
            Some((_, Endpoint::Auth)) => true,
            None => false,
        };
        if !at_auth_path && let Some(public) = self.public_paths.matching(head, path.as_ref()) {
            return self.forward_public(public, head);
        }

        // 2. Every token at every source, the first valid one wins.
        let opens_page = asked.by == Asking::Navigation && head.method() == b"GET" && session.is_some();
        let mut candidates = self.sources.candidates(head);
        if at_auth_path {
            candidates = put_first(candidates, |carrier| carrier != Carrier::Cookie);
        } else if opens_page {
            candidates = put_first(candidates, |carrier| carrier == Carrier::Query);
        }
        let mut judge = Judge { policy: self, now, signatures, budget: Budget::default() };
        let judged = judge.judge(&candidates, |candidate| {
            // 5. A cookie must not speak for another site.
            candidate.carrier != Carrier::Cookie || session.is_none_or(|session| session.lets_cookie(head))
        });
        let (candidate, jwt) = match judged.verdict {
            Ok(winner) => winner,
            // 6. to 10.
            Err(rejection) => return self.refuse(rejection, asked, judged.cookies_are_dead),
        };

        // 3. The sign-in endpoint.
        if let (Some(session), true) = (session, at_auth_path) {
            let back = session.return_location(head);
            let leads_back = asked.by == Asking::Navigation || session.has_return_address(head);
            let response = if leads_back { see_other(back) } else { Response::new(204) };
            if candidate.carrier == Carrier::Cookie {
                return answer(session.with_cors(head, response), Event::SignedIn);
            }
            return self.sign_in(session, &mut judge, &candidates, &jwt, asked, response);
        }
        // 4. A link with a token: into a cookie, and out of the address bar.
        if let (Some(session), true, Carrier::Query) = (session, opens_page, candidate.carrier)
            && !session.cookie_is_dropped(head)
        {
            let clean = session.clean_location(&self.sources.target_without_tokens(head));
            return self.sign_in(session, &mut judge, &candidates, &jwt, asked, see_other(clean));
        }
        self.forward_verified(&jwt, candidate, head)
    }

    /// Turns a verified token into a cookie, unless a link from elsewhere would so replace another person's session.
    fn sign_in(
        &self,
        session: &Session,
        judge: &mut Judge<'_, impl Signatures>,
        candidates: &[Candidate<'_>],
        jwt: &VerifiedJwt<'_>,
        asked: Asked<'_, '_>,
        response: Response,
    ) -> Decision {
        let head = asked.head;
        if session.comes_from_elsewhere(head, asked.by) {
            let mut cookies = candidates.iter().filter(|candidate| candidate.carrier == Carrier::Cookie);
            let is_of_another = |cookie: &Candidate<'_>| match judge.verify(cookie) {
                Ok(other) => !jwt.same_subject(&other),
                // A link with many bad tokens must not hide whose session it is.
                Err(fault) => fault == VerifyError::TooManySignatures,
            };
            if cookies.any(is_of_another) {
                return self.refuse(Rejection::OtherSession, asked, false);
            }
        }
        match session.set_cookie(head, jwt, judge.now) {
            None => self.refuse(Rejection::TokenTooLarge, asked, false),
            Some(cookie) => {
                let response = response.with("set-cookie", cookie).with("referrer-policy", "no-referrer");
                answer(session.with_cors(head, response), Event::SignedIn)
            }
        }
    }

    /// 7. The sign-out endpoint; also that of the profile jwtproxy.
    pub(crate) fn sign_out(&self, session: &Session, asked: Asked<'_, '_>) -> Decision {
        let head = asked.head;
        let site = session.site(head);
        let allowed = match head.method() {
            b"POST" => site != Site::Cross,
            // Without Fetch metadata an image of another site looks like this as well.
            b"GET" => {
                asked.by == Asking::Navigation
                    && matches!(head.value("sec-fetch-site"), Some(b"same-origin" | b"none"))
            }
            _ => return self.refuse(Rejection::MethodNotAllowed, asked, false),
        };
        if !allowed {
            return self.refuse(Rejection::Csrf, asked, false);
        }
        let response = match asked.by {
            Asking::Navigation => see_other(session.return_location(head)),
            Asking::Grpc | Asking::GrpcWeb | Asking::Script => Response::new(204),
        };
        let response =
            response.with("set-cookie", session.clear_cookie(head)).with("referrer-policy", "no-referrer");
        answer(session.with_cors(head, response), Event::SignedOut)
    }

    fn refuse(&self, rejection: Rejection, asked: Asked<'_, '_>, cookies_are_dead: bool) -> Decision {
        let Asked { head, by } = asked;
        let Some(session) = &self.session else {
            return answer(rejection.answer(by, head, None), Event::Refused(rejection));
        };
        let endpoint = session.endpoint(PlainPath::new(head.path()).as_ref());
        let at_endpoint = endpoint.is_some();
        let reads_page = matches!(head.method(), b"GET" | b"HEAD");
        let way_out = match by {
            _ if !rejection.is_about_credentials() => None,
            Asking::Navigation if rejection == Rejection::OtherSession => {
                Some(session.clean_location(head.target()))
            }
            Asking::Navigation if at_endpoint => session.login_location_from_endpoint(head),
            Asking::Navigation => session.login_location(head, &self.sources),
            Asking::Grpc | Asking::GrpcWeb | Asking::Script => session.login_url(head, &self.sources),
        };
        let leads_away = reads_page && !at_endpoint && !session.is_login_page(head);
        let redirected = by == Asking::Navigation && leads_away && rejection.status() == 401;
        let mut response = match way_out {
            Some(location) if redirected => Response::new(302).with("location", location),
            way_out => rejection.answer(by, head, way_out.as_deref()),
        };
        if rejection == Rejection::MethodNotAllowed {
            let at_logout = endpoint == Some(Endpoint::Logout);
            response = response.with("allow", if at_logout { "GET, POST" } else { "GET, HEAD, POST" });
        }
        if cookies_are_dead && rejection != Rejection::Csrf {
            response = response.with("set-cookie", session.clear_cookie(head));
        }
        answer(session.with_cors(head, response), Event::Refused(rejection))
    }

    pub(crate) fn forward_verified(
        &self,
        jwt: &VerifiedJwt<'_>,
        winner: &Candidate<'_>,
        head: &RequestHead<'_>,
    ) -> Decision {
        let mut edits = match &self.forward_token {
            ForwardToken::Everything => Vec::new(),
            ForwardToken::No | ForwardToken::Header { .. } => self.sources.strip(head, None),
            ForwardToken::Winner => self.sources.strip(head, Some(winner)),
        };
        if let ForwardToken::Header { name, scheme } = &self.forward_token {
            let scheme = scheme.as_ref().map_or_else(String::new, |scheme| format!("{scheme} "));
            edits.extend(self.claim_headers.remove_twins(head, name));
            edits.push(HeadEdit::Set(name.clone(), format!("{scheme}{}", jwt.compact()).into_bytes()));
        }
        edits.extend(self.claim_headers.edits(head, Some(jwt)));
        Decision::Forward(Forward::verified(jwt, edits))
    }

    pub(crate) fn forward_public(&self, public: PublicMatch, head: &RequestHead<'_>) -> Decision {
        Decision::Forward(Forward::public(public, self.edits_without_token(head)))
    }

    pub(crate) fn forward_preflight(&self, preflight: Preflight, head: &RequestHead<'_>) -> Decision {
        Decision::Forward(Forward::preflight(preflight, self.edits_without_token(head)))
    }

    fn edits_without_token(&self, head: &RequestHead<'_>) -> Vec<HeadEdit> {
        let mut edits = match &self.forward_token {
            ForwardToken::Everything => Vec::new(),
            ForwardToken::No | ForwardToken::Winner | ForwardToken::Header { .. } => {
                self.sources.strip(head, None)
            }
        };
        // A client must not hand the upstream a token where it expects one that was verified.
        if let ForwardToken::Header { name, scheme } = &self.forward_token {
            edits.extend(self.claim_headers.remove_twins(head, name));
            let foreign = name == "authorization"
                && scheme
                    .as_ref()
                    .is_some_and(|scheme| !head.values(name).any(|line| mentions(line, scheme)));
            if head.value(name).is_some() && !foreign {
                edits.push(HeadEdit::Remove(name.clone()));
            }
        }
        edits.extend(self.claim_headers.edits(head, None));
        edits
    }

    /// The providers of the configuration.
    #[must_use]
    pub const fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Whether a public path lets everything through.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.public_paths.is_everything()
    }

    /// What the operator should know, though the configuration is accepted.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// Judges the tokens of one request.
struct Judge<'p, S> {
    policy: &'p Policy,
    now: NumericDate,
    signatures: &'p S,
    budget: Budget,
}

struct Judged<'c, 'r> {
    verdict: Result<(&'c Candidate<'r>, VerifiedJwt<'c>), Rejection>,
    /// Cookies of our name came, and each was found to be no token of this place or any other.
    cookies_are_dead: bool,
}

impl<S: Signatures> Judge<'_, S> {
    fn verify<'c>(&mut self, candidate: &'c Candidate<'_>) -> Result<VerifiedJwt<'c>, VerifyError> {
        verify(&self.policy.verifier, candidate, self.now, &mut self.budget, self.signatures)
    }

    /// Takes the first candidate that is valid and `may` be used. Else the rejection is that of the first one.
    fn judge<'c, 'r>(
        &mut self,
        candidates: &'c [Candidate<'r>],
        may: impl Fn(&Candidate<'r>) -> bool,
    ) -> Judged<'c, 'r> {
        let (mut first, mut forbidden) = (None, false);
        let (mut cookies, mut live_cookies) = (0_u32, 0_u32);
        for candidate in candidates {
            let verdict = self.verify(candidate);
            if candidate.carrier == Carrier::Cookie {
                cookies = cookies.saturating_add(1);
                let live = match &verdict {
                    Ok(_) => true,
                    Err(fault) => {
                        fault.is_of_a_genuine_token_for_elsewhere()
                            || *fault == VerifyError::TooManySignatures
                    }
                };
                live_cookies = live_cookies.saturating_add(live.into());
            }
            match verdict {
                Ok(jwt) if may(candidate) => {
                    return Judged { verdict: Ok((candidate, jwt)), cookies_are_dead: false };
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
        Judged { verdict: Err(rejection), cookies_are_dead: cookies > 0 && live_cookies == 0 }
    }
}

/// Verifies the value of one source.
pub(crate) fn verify<'c>(
    verifier: &Verifier,
    candidate: &'c Candidate<'_>,
    now: NumericDate,
    budget: &mut Budget,
    signatures: &impl Signatures,
) -> Result<VerifiedJwt<'c>, VerifyError> {
    // A token is ASCII; what is not even UTF-8 has no parts.
    verifier.verify(candidate.text().unwrap_or_default(), now, budget, signatures)
}

pub(crate) fn answer(response: Response, event: Event) -> Decision {
    Decision::Answer(Answer { response, event })
}

/// Those of some carriers before the others, each in the order in which they were.
fn put_first(candidates: Vec<Candidate<'_>>, first: impl Fn(Carrier) -> bool) -> Vec<Candidate<'_>> {
    let (mut ordered, others): (Vec<_>, Vec<_>) =
        candidates.into_iter().partition(|candidate| first(candidate.carrier));
    ordered.extend(others);
    ordered
}

/// Whether any of the credentials in a line, which Envoy may have joined of several, has that scheme.
fn mentions(line: &[u8], scheme: &str) -> bool {
    line.split(|byte| *byte == b',').any(|credentials| {
        let start = credentials.trim_ascii().get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes()))
    })
}

fn see_other(location: String) -> Response {
    Response::new(303).with("location", location)
}

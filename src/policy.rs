//! A configuration, ready to judge, and what both profiles do with a request once it is judged.

use std::borrow::Cow;
use std::rc::Rc;

use crate::access::{Asking, Preflight, Site};
use crate::claim_headers::ClaimHeaders;
use crate::extract::{Candidate, ForwardToken, Place, TokenSources, Winner};
use crate::http::{HeadEdit, RequestHead, Response};
use crate::jwt::{Budget, Clock, Signatures, VerifiedJwt, Verifier, VerifyError};
use crate::path::{PlainPath, PublicMatch, PublicPaths};
use crate::reply::Rejection;
use crate::session::{Endpoint, Session};
use crate::token_cache::{KnownToken, TokenCache};

/// A configuration, ready to judge requests. Made by [`Policy::from_json`].
///
/// It remembers the tokens that it verified, so it belongs to one thread.
#[derive(Debug)]
pub struct Policy {
    pub(crate) verifier: Verifier,
    pub(crate) tokens: TokenCache,
    pub(crate) sources: TokenSources,
    pub(crate) forward_token: ForwardToken,
    pub(crate) public_paths: PublicPaths,
    pub(crate) session: Option<Session>,
    pub(crate) claim_headers: ClaimHeaders,
    pub(crate) warnings: Vec<String>,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Decision<'d> {
    /// The filter answers it.
    Answer(Answer),
    /// The upstream answers it.
    Forward(Forward<'d>),
}

/// An answer of the filter's own, and why.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The answer.
    pub response: Response,
    /// Why.
    pub event: Event,
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
#[derive(Debug)]
pub struct Forward<'d> {
    policy: &'d Policy,
    head: RequestHead<'d>,
    /// The verified token and where it was found.
    token: Option<(Rc<KnownToken>, Place)>,
}

impl Forward<'_> {
    /// The changes to make to the head first, in order.
    #[must_use]
    pub fn edits(&self) -> Vec<HeadEdit<'_>> {
        let Policy { sources, forward_token, claim_headers, .. } = self.policy;
        let mut edits = Vec::new();
        if *forward_token != ForwardToken::Everything {
            let place = self.token.as_ref().map(|(_, place)| *place);
            let winner = Winner { place, stays: *forward_token == ForwardToken::Winner };
            sources.strip(&self.head, winner, &mut edits);
        }
        if let ForwardToken::Header { name, scheme } = forward_token {
            edits.extend(claim_headers.remove_twins(&self.head, name));
            self.hand_on(name, scheme.as_deref(), &mut edits);
        }
        claim_headers.edit(&self.head, self.token.as_ref().map(|(known, _)| &known.headers), &mut edits);
        edits
    }

    /// Gives the upstream the verified token in a header; a client must not hand it one there.
    fn hand_on<'e>(&'e self, name: &'e str, scheme: Option<&str>, edits: &mut Vec<HeadEdit<'e>>) {
        if let Some((known, _)) = &self.token {
            let compact = known.jwt.compact();
            let value = match scheme {
                None => Cow::Borrowed(compact.as_bytes()),
                Some(scheme) => Cow::Owned(format!("{scheme} {compact}").into_bytes()),
            };
            edits.push(HeadEdit::Set(name, value));
            return;
        }
        let foreign = name == "authorization"
            && scheme.is_some_and(|scheme| !self.head.values(name).any(|line| mentions(line, scheme)));
        if self.head.value(name).is_some() && !foreign {
            edits.push(HeadEdit::Remove(name));
        }
    }

    /// Whether a token was verified; else the request needs none.
    #[must_use]
    pub const fn is_verified(&self) -> bool {
        self.token.is_some()
    }
}

impl Policy {
    /// 7. The sign-out endpoint; also that of the profile jwtproxy.
    pub(crate) fn sign_out(&self, session: &Session, head: &RequestHead<'_>) -> Decision<'static> {
        let asking = Asking::of(head);
        let site = session.site(head);
        let allowed = match head.method() {
            b"POST" => site != Site::Cross,
            // Without Fetch metadata an image of another site looks like this as well.
            b"GET" => {
                asking == Asking::Navigation
                    && matches!(head.value("sec-fetch-site"), Some(b"same-origin" | b"none"))
            }
            _ => return self.refuse(Rejection::MethodNotAllowed, head, false),
        };
        if !allowed {
            return self.refuse(Rejection::Csrf, head, false);
        }
        let response = match asking {
            Asking::Navigation => see_other(session.return_location(head)),
            Asking::Grpc | Asking::GrpcWeb | Asking::Script => Response::new(204),
        };
        let response =
            response.with("set-cookie", session.clear_cookie(head)).with("referrer-policy", "no-referrer");
        answer(session.with_cors(head, response), Event::SignedOut)
    }

    pub(crate) fn refuse(
        &self,
        rejection: Rejection,
        head: &RequestHead<'_>,
        cookies_are_dead: bool,
    ) -> Decision<'static> {
        let by = Asking::of(head);
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

    pub(crate) const fn forward_verified<'d>(
        &'d self,
        token: Rc<KnownToken>,
        found_at: Place,
        head: &RequestHead<'d>,
    ) -> Decision<'d> {
        Decision::Forward(Forward { policy: self, head: *head, token: Some((token, found_at)) })
    }

    pub(crate) const fn forward_public<'d>(&'d self, _: PublicMatch, head: &RequestHead<'d>) -> Decision<'d> {
        Decision::Forward(Forward { policy: self, head: *head, token: None })
    }

    pub(crate) const fn forward_preflight<'d>(
        &'d self,
        _: Preflight,
        head: &RequestHead<'d>,
    ) -> Decision<'d> {
        Decision::Forward(Forward { policy: self, head: *head, token: None })
    }

    /// Verifies the value of one source, unless it is known.
    pub(crate) fn verify(
        &self,
        candidate: &Candidate<'_>,
        clock: &impl Clock,
        budget: &mut Budget,
        signatures: &impl Signatures,
    ) -> Result<Rc<KnownToken>, VerifyError> {
        let is_timely = |jwt: &VerifiedJwt| self.verifier.is_timely(jwt, clock.recent());
        if let Some(known) = self.tokens.get(candidate.bytes(), is_timely) {
            return Ok(known);
        }
        // A token is ASCII; what is not even UTF-8 has no parts.
        let compact = std::str::from_utf8(candidate.bytes()).unwrap_or_default();
        let (jwt, claims) = self.verifier.verify(compact, clock, budget, signatures)?;
        let known = Rc::new(KnownToken { headers: self.claim_headers.prepare(&jwt, &claims), jwt });
        self.tokens.add(&known);
        Ok(known)
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

pub(crate) fn answer(response: Response, event: Event) -> Decision<'static> {
    Decision::Answer(Answer { response, event })
}

/// Whether any of the credentials in a line, which Envoy may have joined of several, has that scheme.
fn mentions(line: &[u8], scheme: &str) -> bool {
    line.split(|byte| *byte == b',').any(|credentials| {
        let start = credentials.trim_ascii().get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes()))
    })
}

pub(crate) fn see_other(location: String) -> Response {
    Response::new(303).with("location", location)
}

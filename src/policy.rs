//! A configuration, ready to judge, and what both profiles do with a request once it is judged.

use crate::access::{Asking, Preflight, Site};
use crate::claim_headers::ClaimHeaders;
use crate::extract::{Candidate, ForwardToken, TokenSources};
use crate::http::{HeadEdit, RequestHead, Response};
use crate::jwt::{Budget, NumericDate, Signatures, VerifiedJwt, Verifier, VerifyError};
use crate::path::{PlainPath, PublicMatch, PublicPaths};
use crate::reply::Rejection;
use crate::session::{Endpoint, Session};

/// A configuration, ready to judge requests. Made by [`Policy::from_json`].
#[derive(Clone, Debug)]
pub struct Policy {
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

    pub(crate) fn refuse(
        &self,
        rejection: Rejection,
        asked: Asked<'_, '_>,
        cookies_are_dead: bool,
    ) -> Decision {
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

//! A configuration, ready to judge, and what both profiles do with a request once it is judged.

use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;

use crate::access::{Preflight, is_upgrade};
use crate::claim_headers::ClaimHeaders;
use crate::ended::{EndedSession, EndedSessions};
use crate::extract::{Candidate, ForwardToken, Place, Taken, TokenSources, Winner};
use crate::feed::Feeds;
use crate::http::{HeadEdit, RequestHead, Response};
use crate::jwt::{Budget, Clock, NumericDate, Revocation, Signatures, VerifiedJwt, Verifier, VerifyError};
use crate::lenient::{mentions, path_overrides};
use crate::lifetimes::Lifetimes;
use crate::path::{PublicMatch, PublicPaths};
use crate::reply::Rejection;
use crate::rules::Rules;
use crate::session::Session;
use crate::streams::Expiry;
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
    pub(crate) rules: Option<Rules>,
    pub(crate) session: Option<Session>,
    pub(crate) claim_headers: ClaimHeaders,
    pub(crate) expiry: Expiry,
    pub(crate) feeds: Feeds,
    pub(crate) ended: EndedSessions,
    /// How often what is revoked has changed.
    pub(crate) revocations: Cell<u32>,
    pub(crate) lifetimes: Lifetimes,
    pub(crate) fingerprint: [u8; 32],
    pub(crate) warnings: Vec<String>,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Decision<'d> {
    /// The filter answers it.
    Answer(Answer),
    /// The upstream answers it.
    Forward(Forward<'d>),
    /// The request needs what that feed may bring, and is judged again when it did or could not.
    Await {
        /// The number of the feed.
        feed: usize,
        /// What of its [budget](RequestHead::with_budget) is left for then.
        budget: Budget,
    },
    /// The body is a form that may hold a token. When it is complete, or longer than [`Policy::MAX_FORM_BYTES`], the request
    /// is judged again [with it](RequestHead::with_form).
    ReadForm,
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
    /// The session is over, and with it those tokens.
    SignedOut(Vec<EndedSession>),
    /// A page was told about its session.
    Told,
}

/// The permit to forward a request: it has a verified token, or needs none. Each has one maker, which asks for the proof.
#[derive(Debug)]
pub struct Forward<'d> {
    policy: &'d Policy,
    head: RequestHead<'d>,
    /// The verified token and where it was found.
    token: Option<(Rc<KnownToken>, Place)>,
    /// The time, where what lasts is limited by that of its token.
    now: Option<NumericDate>,
    unasked: Unasked,
    /// Whether another path would have been judged in another way.
    by_path: bool,
}

/// What a request must not bring along, beside tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unasked {
    /// Any credential, and what would make it another request.
    Credentials,
    /// A header or parameter that gives it another method: it was let through for the one it has.
    MethodOverrides,
    Nothing,
}

impl Forward<'_> {
    /// The changes to make to the head first, in order.
    #[must_use]
    pub fn edits(&self) -> Vec<HeadEdit<'_>> {
        let Policy { sources, forward_token, claim_headers, .. } = self.policy;
        let mut edits = Vec::new();
        let place = self.token.as_ref().map(|(_, place)| *place);
        let taken = match (forward_token, self.unasked) {
            (ForwardToken::Everything, _) => Taken::Nothing,
            (_, Unasked::Credentials) => Taken::Credentials,
            (_, Unasked::MethodOverrides | Unasked::Nothing) => {
                Taken::Tokens(Winner { place, stays: *forward_token == ForwardToken::Winner })
            }
        };
        sources.strip(&self.head, taken, self.unasked != Unasked::Nothing, &mut edits);
        if self.by_path {
            edits.extend(path_overrides(&self.head).map(HeadEdit::Remove));
        }
        // A proxy behind this one drops the headers that are named there, and with them what is said of the token.
        let is_of_an_upgrade =
            |word: &[u8]| [&b"upgrade"[..], b"keep-alive"].iter().any(|own| word.eq_ignore_ascii_case(own));
        let mut words = self.head.values("connection").flat_map(|line| line.split(|byte| *byte == b','));
        if words.any(|word| !is_of_an_upgrade(word.trim_ascii())) && is_upgrade(&self.head) {
            edits.push(HeadEdit::Set("connection", Cow::Borrowed(b"upgrade")));
        }
        if let ForwardToken::Header { name, scheme } = forward_token {
            edits.extend(claim_headers.remove_twins(&self.head, name));
            self.hand_on(name, scheme.as_deref(), &mut edits);
        }
        claim_headers.edit(&self.head, self.token.as_ref().map(|(known, _)| &known.headers), &mut edits);
        edits.extend(self.policy.expiry.edit(&self.head, self.jwt(), self.now));
        edits
    }

    fn jwt(&self) -> Option<&VerifiedJwt> {
        self.token.as_ref().map(|(known, _)| &known.jwt)
    }

    /// How many seconds the token has left, where the upstream's answer is to tell them.
    #[must_use]
    pub fn expires_in(&self) -> Option<u64> {
        self.policy.expiry.tells.then(|| self.jwt()?.expires_in(self.now?)).flatten()
    }

    /// The token, if this opens a stream that ends with its session.
    #[must_use]
    pub fn stream(&self) -> Option<Rc<KnownToken>> {
        let (known, _) = self.token.as_ref().filter(|_| self.policy.expiry.ends_stream(&self.head))?;
        Some(Rc::clone(known))
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
            && self.unasked != Unasked::Credentials
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
    /// What a verified token may do; on a public path nobody had to bring it.
    pub(crate) fn forward_verified<'d>(
        &'d self,
        token: Rc<KnownToken>,
        found_at: Place,
        public: Option<PublicMatch<'_>>,
        head: &RequestHead<'d>,
        clock: &impl Clock,
    ) -> Decision<'d> {
        let now = self.expiry.is_told().then(|| clock.recent());
        let names_methods = public
            .map_or_else(|| self.rules.as_ref().is_some_and(Rules::name_methods), PublicMatch::names_methods);
        let unasked = if names_methods { Unasked::MethodOverrides } else { Unasked::Nothing };
        let token = Some((token, found_at));
        let by_path = public.is_some() || self.rules.is_some();
        Decision::Forward(Forward { policy: self, head: *head, token, now, unasked, by_path })
    }

    pub(crate) const fn forward_public<'d>(
        &'d self,
        public: PublicMatch<'_>,
        head: &RequestHead<'d>,
    ) -> Decision<'d> {
        let unasked = if public.names_methods() { Unasked::MethodOverrides } else { Unasked::Nothing };
        self.forward_unverified(unasked, head)
    }

    pub(crate) const fn forward_preflight<'d>(
        &'d self,
        _: Preflight,
        head: &RequestHead<'d>,
    ) -> Decision<'d> {
        self.forward_unverified(Unasked::Credentials, head)
    }

    /// What needs no token, by its path.
    const fn forward_unverified<'d>(&'d self, unasked: Unasked, head: &RequestHead<'d>) -> Decision<'d> {
        Decision::Forward(Forward {
            policy: self,
            head: *head,
            token: None,
            now: None,
            unasked,
            by_path: true,
        })
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
        if let Some(known) = self.tokens.get(candidate.bytes(), candidate.form, is_timely) {
            self.check_revoked(&known)?;
            return Ok(known);
        }
        // A token is ASCII; what is not even UTF-8 has no parts.
        let compact = std::str::from_utf8(candidate.bytes()).unwrap_or_default();
        let (jwt, claims) = self.verifier.verify(compact, candidate.form, clock, budget, signatures)?;
        self.lifetimes.note(&jwt, clock.recent());
        let headers = self.claim_headers.prepare(&jwt, &claims);
        let told = self.session.as_ref().and_then(|session| session.told(&claims));
        let rules = self.rules.as_ref().map(|rules| rules.prepare(&claims)).unwrap_or_default();
        let known = Rc::new(KnownToken { jwt, headers, told, rules, passed: Cell::new(0) });
        self.tokens.add(&known, candidate.form);
        self.check_revoked(&known)?;
        Ok(known)
    }

    /// Whether a verified token is revoked; what is revoked changes seldom, so a token is compared with it once.
    ///
    /// # Errors
    /// It is revoked, or nobody can say.
    pub(crate) fn check_revoked(&self, known: &KnownToken) -> Result<(), VerifyError> {
        let current = self.revocations.get();
        if known.passed.get() == current {
            return Ok(());
        }
        self.verifier.check_revoked(&known.jwt)?;
        if self.revokes_on_logout() && self.ended.has(&known.jwt) {
            return Err(VerifyError::Revoked { by: Revocation::SignOut });
        }
        known.passed.set(current);
        Ok(())
    }

    /// Whether a token that opened a stream was revoked since.
    #[must_use]
    pub fn is_revoked(&self, known: &KnownToken) -> bool {
        matches!(self.check_revoked(known), Err(VerifyError::Revoked { .. }))
    }

    fn revokes_on_logout(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.revoke_on_logout)
    }

    /// Whether sign-outs are to be known to all workers.
    #[must_use]
    pub fn remembers_sign_outs(&self) -> bool {
        self.ends_streams() || self.revokes_on_logout()
    }

    /// The changes to make to the head before an answer of ours: Envoy's access log writes the address of the request.
    #[must_use]
    pub fn edits_before_answer<'r>(&self, head: &RequestHead<'r>) -> Vec<HeadEdit<'r>> {
        self.sources.hide(head)
    }

    /// The longest form that is read, in bytes.
    pub const MAX_FORM_BYTES: usize = 65_536;

    /// A hash of the providers: whoever shares memory with others is to share it with its like alone.
    #[must_use]
    pub const fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// Whether streams end when their session does.
    #[must_use]
    pub const fn ends_streams(&self) -> bool {
        self.expiry.grace.is_some()
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

    /// What the operator should know of the tokens that came, said once.
    #[must_use]
    pub fn warning_of_tokens(&self) -> Option<String> {
        let provider = self.verifier.providers().get(self.lifetimes.tell()?)?;
        Some(format!(
            "{}: a token has a lifetime of more than 30 years; `exp` is in seconds (RFC 7519 section 2), not in milliseconds",
            provider.name
        ))
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

pub(crate) fn see_other(location: String) -> Response {
    Response::new(303).with("location", location)
}

//! The sign-out endpoint: number 7 of the crate documentation.

use crate::access::Asking;
use crate::ended::EndedSession;
use crate::http::{RequestHead, Response};
use crate::jwt::{Budget, Clock, Signatures};
use crate::policy::{Decision, Event, Policy, answer, see_other};
use crate::reply::Rejection;
use crate::session::{Endpoint, Session};

impl Policy {
    /// Ends a session; in both profiles.
    pub(crate) fn sign_out(
        &self,
        session: &Session,
        head: &RequestHead<'_>,
        clock: &impl Clock,
        signatures: &impl Signatures,
    ) -> Decision<'static> {
        if !Endpoint::Logout.has_method(head.method()) {
            return self.refuse(Rejection::MethodNotAllowed, head, false);
        }
        if !session.lets_sign_out(head) {
            return self.refuse(Rejection::Csrf, head, false);
        }
        let response = match Asking::of(head) {
            Asking::Navigation => see_other(session.logout_location(head, &self.sources)),
            Asking::Grpc | Asking::GrpcWeb | Asking::Script => Response::new(204),
        };
        let response =
            response.with_each("set-cookie", session.end(head)).with("referrer-policy", "no-referrer");
        let ended =
            if self.remembers_sign_outs() { self.sessions(head, clock, signatures) } else { Vec::new() };
        answer(session.with_cors(head, response), Event::SignedOut(ended))
    }

    /// The sessions of the tokens that a request brings.
    fn sessions(
        &self,
        head: &RequestHead<'_>,
        clock: &impl Clock,
        signatures: &impl Signatures,
    ) -> Vec<EndedSession> {
        let mut budget = head.budget();
        let candidates = self.sources.candidates(head);
        let known = candidates
            .iter()
            .filter_map(|candidate| self.verify(candidate, clock, &mut budget, signatures).ok());
        // Those that are known cost no signature, and are bounded as well.
        known
            .take(Budget::SIGNATURES.into())
            .map(|known| EndedSession::of(&known.jwt, self.verifier.end(&known.jwt)))
            .collect()
    }
}

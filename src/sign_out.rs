//! The sign-out endpoint: number 7 of the crate documentation.

use crate::access::Asking;
use crate::ended::EndedSession;
use crate::http::{RequestHead, Response};
use crate::judge::Judge;
use crate::jwt::{Clock, Signatures, VerifyError};
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
        let ended = if self.remembers_sign_outs() {
            let mut judge = Judge::new(self, head, clock, signatures);
            let ended = self.sessions(head, &mut judge);
            if let Some(waits) = judge.waits(head) {
                return waits;
            }
            match ended {
                Ok(ended) => ended,
                Err(why) => return self.refuse(Rejection::Token(why), head, false),
            }
        } else {
            Vec::new()
        };
        answer(session.with_cors(head, response), Event::SignedOut(ended))
    }

    /// The sessions of the tokens that a request brings.
    ///
    /// # Errors
    /// What it takes to judge one of them is not there: whoever is told that they are signed out must be.
    fn sessions<C: Clock, S: Signatures>(
        &self,
        head: &RequestHead<'_>,
        judge: &mut Judge<'_, C, S>,
    ) -> Result<Vec<EndedSession>, VerifyError> {
        let mut ended = Vec::new();
        for candidate in self.sources.candidates(head) {
            match judge.verify(&candidate) {
                Ok(known) => ended.push(EndedSession::of(&known.jwt, self.verifier.end(&known.jwt))),
                Err(why) if why.is_of_the_proxy() => return Err(why),
                Err(_) => {}
            }
        }
        Ok(ended)
    }
}

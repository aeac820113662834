//! What becomes of a request.

use crate::http::RequestHead;
use crate::jwt::{Clock, Profile, Signatures};
use crate::policy::{Decision, Policy};
use crate::reply::Rejection;
use crate::{jwtproxy, strict};

impl Policy {
    /// Judges a request.
    #[must_use]
    pub fn decide<'d>(
        &'d self,
        head: &RequestHead<'d>,
        clock: &impl Clock,
        signatures: &impl Signatures,
    ) -> Decision<'d> {
        if head.has_too_many_pairs() {
            return Self::refuse_at_sight(Rejection::TooManyPairs, head);
        }
        match self.verifier.profile() {
            Profile::JwtProxy => jwtproxy::decide(self, head, clock, signatures),
            Profile::Strict => strict::decide(self, head, clock, signatures),
        }
    }
}

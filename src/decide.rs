//! What becomes of a request.

use crate::http::RequestHead;
use crate::jwt::{NumericDate, Profile, Signatures};
use crate::policy::{Decision, Policy};
use crate::{jwtproxy, strict};

impl Policy {
    /// Judges a request at the time `now`.
    #[must_use]
    pub fn decide(&self, head: &RequestHead<'_>, now: NumericDate, signatures: &impl Signatures) -> Decision {
        match self.verifier.profile() {
            Profile::JwtProxy => jwtproxy::decide(self, head, now, signatures),
            Profile::Strict => strict::decide(self, head, now, signatures),
        }
    }
}

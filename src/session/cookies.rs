//! The session cookie of a request.

use super::Session;
use crate::http::RequestHead;
use crate::jwt::{NumericDate, VerifiedJwt};

impl Session {
    /// The `Set-Cookie` line for a verified token; `None` if browsers would drop it for its size.
    #[must_use]
    pub fn set_cookie(&self, head: &RequestHead<'_>, jwt: &VerifiedJwt, now: NumericDate) -> Option<String> {
        let max_age = jwt.expires().map(|exp| whole_seconds(exp.seconds() - now.seconds()));
        self.cookie.set(jwt.compact(), max_age, self.here(head).https)
    }

    /// The `Set-Cookie` line that deletes the cookie.
    #[must_use]
    pub fn clear_cookie(&self, head: &RequestHead<'_>) -> String {
        self.cookie.clear(self.here(head).https)
    }
}

/// A token may still be taken within the clock skew after its `exp`; `Max-Age=0` would delete its cookie.
fn whole_seconds(seconds: f64) -> u64 {
    // A cookie of ten years outlives every browser.
    const LONGEST: u64 = 315_360_000;
    if seconds < 1.0 {
        return 1;
    }
    if seconds >= 315_360_000.0 {
        return LONGEST;
    }
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounded above"
    )]
    let whole = seconds as u64;
    whole
}

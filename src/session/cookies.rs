//! The session cookie of a request.

use super::Session;
use crate::cookie::{self, Holds, SUFFIXES};
use crate::http::RequestHead;
use crate::jwt::{NumericDate, VerifiedJwt};
use crate::lenient::looks_like_token;

impl Session {
    /// The `Set-Cookie` lines for a verified token, and those that delete what an earlier one left and the browser sent; `None`
    /// if browsers would drop it for its size.
    #[must_use]
    pub fn set_cookies(
        &self,
        head: &RequestHead<'_>,
        jwt: &VerifiedJwt,
        now: NumericDate,
    ) -> Option<Vec<String>> {
        self.set_and_clear(head, jwt, now, &self.suffixes(head))
    }

    /// The same, and they delete what the browser may have and did not send, too: a hidden whole would go before the new parts,
    /// and hidden parts would speak again when the new whole has ended.
    #[must_use]
    pub fn replace_cookies(
        &self,
        head: &RequestHead<'_>,
        jwt: &VerifiedJwt,
        now: NumericDate,
    ) -> Option<Vec<String>> {
        if self.may_hide_cookies(head) {
            self.set_and_clear(head, jwt, now, &SUFFIXES)
        } else {
            self.set_cookies(head, jwt, now)
        }
    }

    /// Sets a token, and deletes those of the cookies with these suffixes that it does not replace.
    fn set_and_clear(
        &self,
        head: &RequestHead<'_>,
        jwt: &VerifiedJwt,
        now: NumericDate,
        suffixes: &[&str],
    ) -> Option<Vec<String>> {
        let max_age = jwt.expires().map(|exp| whole_seconds(exp.seconds() - now.seconds()));
        let mut lines = self.cookie.set(jwt.compact(), max_age, self.here(head).https)?;
        let count = lines.len();
        let is_left = |suffix: &str| match suffix.strip_prefix('.').and_then(|number| number.parse().ok()) {
            Some(number) => count == 1 || count < number,
            None => count > 1,
        };
        for suffix in suffixes {
            if is_left(suffix) {
                lines.push(self.clear_cookie(head, suffix));
            }
        }
        lines.extend(self.soon_clear_marker(head));
        Some(lines)
    }

    /// The `Set-Cookie` lines that delete every cookie of ours that came.
    #[must_use]
    pub fn clear_cookies(&self, head: &RequestHead<'_>) -> Vec<String> {
        self.suffixes(head).iter().map(|suffix| self.clear_cookie(head, suffix)).collect()
    }

    /// The `Set-Cookie` lines that end the session: every cookie that it may have is deleted, whether it came or not.
    #[must_use]
    pub fn end(&self, head: &RequestHead<'_>) -> Vec<String> {
        let mut lines: Vec<String> = SUFFIXES.iter().map(|suffix| self.clear_cookie(head, suffix)).collect();
        lines.extend(self.clear_marker(head));
        lines
    }

    fn clear_cookie(&self, head: &RequestHead<'_>, suffix: &str) -> String {
        self.cookie.clear(suffix, self.here(head).https)
    }

    /// What follows our name in that of each cookie that came: of the whole nothing, of a part its number. What is no token, to
    /// any reader, is the application's own.
    fn suffixes(&self, head: &RequestHead<'_>) -> Vec<&'static str> {
        let mut suffixes = Vec::new();
        for pair in head.values("cookie").flat_map(cookie::pairs) {
            let suffix = match cookie::holds(pair, &self.cookie.name) {
                Some(Holds::Token(value)) if looks_like_token(value) => "",
                Some(Holds::Part(part)) => part.suffix(),
                Some(Holds::Token(_)) | None => continue,
            };
            if !suffixes.contains(&suffix) {
                suffixes.push(suffix);
            }
        }
        suffixes
    }
}

/// A token may still be taken within the clock skew after its `exp`; `Max-Age=0` would delete its cookie.
fn whole_seconds(seconds: f64) -> u64 {
    // Browsers keep no cookie for longer than 400 days (RFC 6265bis section 5.5).
    const LONGEST: u64 = 34_560_000;
    if seconds < 1.0 {
        return 1;
    }
    if seconds >= 34_560_000.0 {
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

//! No loops: who comes back from the login page and is refused again is told why.
//!
//! With each redirect to the login page goes a cookie `<name>.login=<count>-<page>-<cookie>` that lives for a minute: how often
//! in a row, and by hashes which page was asked for and which cookie was refused. It decides between a redirect and a page,
//! and nothing else, so nobody gains by forging it.

use super::Session;
use crate::cookie::{self, SameSite};
use crate::extract::{Carrier, TokenSources};
use crate::http::{RequestHead, hex};
use crate::jwt::sha256;

/// What follows the name of the session cookie in that of ours.
const SUFFIX: &str = ".login";
/// A way to the login page and back takes less; whoever types a password for longer is sent there once more.
const SECONDS: u64 = 60;
/// Tabs that a browser opens at once on one address, before it looks like a loop.
const TABS: u8 = 4;

/// What a refusal by redirect would be.
#[derive(Debug)]
pub enum Attempt {
    /// As far as one can tell the first in a row; the `Set-Cookie` line remembers it.
    First(String),
    /// The login page had its turn, and did not help.
    Again,
}

/// What was refused.
#[derive(Debug, PartialEq, Eq)]
struct Refused {
    count: u8,
    page: String,
    /// Empty: no cookie came.
    cookie: String,
}

impl Refused {
    fn parse(text: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(text).ok()?.split('-');
        let (count, page, cookie) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self { count: count.parse().ok()?, page: page.to_owned(), cookie: cookie.to_owned() })
    }
}

impl Session {
    /// Whether a person who is refused may be sent to the login page, or was there already.
    #[must_use]
    pub fn attempt(&self, head: &RequestHead<'_>, sources: &TokenSources) -> Attempt {
        let candidates = sources.candidates(head);
        let cookie = candidates.iter().find(|candidate| candidate.carrier == Carrier::Cookie);
        let page = tag(&sources.without_parameters(head.target()));
        let mut now =
            Refused { count: 1, page, cookie: cookie.map(|own| tag(own.bytes())).unwrap_or_default() };
        if let Some(before) = self.marker(head).and_then(Refused::parse) {
            let is_same_page = before.page == now.page;
            let brought_token = candidates.iter().any(|candidate| candidate.carrier == Carrier::Query)
                || !now.cookie.is_empty() && now.cookie != before.cookie;
            if brought_token || is_same_page && (was_led_here(head) || before.count >= TABS) {
                return Attempt::Again;
            }
            if is_same_page {
                now.count = before.count.saturating_add(1);
            }
        }
        let value = format!("{}-{}-{}", now.count, now.page, now.cookie);
        Attempt::First(self.set_marker(head, &value, SECONDS))
    }

    fn marker<'r>(&self, head: &RequestHead<'r>) -> Option<&'r [u8]> {
        cookie::value(head.values("cookie"), &[&self.cookie.name, SUFFIX].concat())
    }

    /// The `Set-Cookie` line that forgets what was refused, if something was.
    pub(super) fn clear_marker(&self, head: &RequestHead<'_>) -> Option<String> {
        self.marker(head).map(|_| self.set_marker(head, "", 0))
    }

    /// A `Strict` one would not come back from a login page of another site.
    fn set_marker(&self, head: &RequestHead<'_>, value: &str, seconds: u64) -> String {
        let https = self.here(head).https;
        match self.cookie.same_site {
            SameSite::Strict => {
                let template = cookie::CookieTemplate { same_site: SameSite::Lax, ..self.cookie.clone() };
                template.line(SUFFIX, value, Some(seconds), https)
            }
            SameSite::Lax | SameSite::None => self.cookie.line(SUFFIX, value, Some(seconds), https),
        }
    }
}

/// Whether a page led the person here, as the login page does; an address that is typed, or of a tab that the browser
/// opens again, comes from none.
fn was_led_here(head: &RequestHead<'_>) -> bool {
    match head.value("sec-fetch-site") {
        Some(site) => site != b"none",
        None => head.value("referer").is_some(),
    }
}

/// Enough to tell two of them apart.
fn tag(bytes: &[u8]) -> String {
    let [a, b, c, d, ..] = sha256(bytes);
    hex(&[a, b, c, d])
}

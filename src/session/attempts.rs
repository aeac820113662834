//! No loops: who comes back from the login page and is refused again is told why.
//!
//! With each redirect to the login page goes a cookie `<name>.login=<count>-<page>-<cookie>` that lives for a minute: how often
//! in a row, and by hashes which page was asked for and which cookie was refused. It decides between a redirect and a page,
//! and nothing else, so nobody gains by forging it.

use super::Session;
use crate::access;
use crate::cookie::{self, CookieTemplate, SameSite, Secure};
use crate::extract::{Candidate, Carrier, TokenSources};
use crate::http::{RequestHead, hex};
use crate::jwt::sha256;

/// What follows the name of the session cookie in that of ours.
const SUFFIX: &str = ".login";
/// A way to the login page and back takes less; whoever types a password for longer is sent there once more.
const SECONDS: u64 = 60;
/// From a sign-in to the page that was wanted it takes less.
const SECONDS_AFTER_SIGN_IN: u64 = 10;
/// So many tabs on one address may a browser open at once, before it looks like a loop.
const TABS: u8 = 3;
/// So often in a row may a person click a link to one address, on any page but the login page.
const CLICKS: u8 = 2;

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
        // It is sent back: nothing but what we write passes.
        let is_tag = |text: &str| text.len() <= 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_ours = is_tag(page) && is_tag(cookie) && parts.next().is_none();
        let refused = Self { count: count.parse().ok()?, page: page.to_owned(), cookie: cookie.to_owned() };
        is_ours.then_some(refused)
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}-{}", self.count, self.page, self.cookie)
    }
}

impl Session {
    /// Whether a person who is refused may be sent to the login page, or was there already.
    #[must_use]
    pub fn attempt(&self, head: &RequestHead<'_>, sources: &TokenSources) -> Attempt {
        let candidates = sources.candidates(head);
        let cookie = candidates.iter().find(|own| own.carrier == Carrier::Cookie && own.looks_like_token());
        let page = tag(&sources.without_parameters(head.target()));
        let mut now =
            Refused { count: 1, page, cookie: cookie.map(|own| tag(own.bytes())).unwrap_or_default() };
        if let Some(before) = self.marker(head).and_then(Refused::parse) {
            let is_same_page = before.page == now.page;
            let is_link = |own: &Candidate<'_>| own.carrier == Carrier::Query && own.looks_like_token();
            let brought_token =
                candidates.iter().any(is_link) || !now.cookie.is_empty() && now.cookie != before.cookie;
            if brought_token || is_same_page && before.count >= self.patience(head) {
                return Attempt::Again;
            }
            if is_same_page {
                now.count = before.count.saturating_add(1);
            }
        }
        Attempt::First(self.set_marker(head, &now.to_string(), SECONDS))
    }

    fn marker<'r>(&self, head: &RequestHead<'r>) -> Option<&'r [u8]> {
        cookie::value(head.values("cookie"), &self.marker_name())
    }

    /// The `Set-Cookie` line that forgets what was refused soon after a sign-in, if something was: by then it has turned out
    /// whether the browser keeps the session.
    pub(super) fn soon_clear_marker(&self, head: &RequestHead<'_>) -> Option<String> {
        let refused = Refused::parse(self.marker(head)?)?;
        Some(self.set_marker(head, &refused.to_string(), SECONDS_AFTER_SIGN_IN))
    }

    /// The `Set-Cookie` line that forgets what was refused, if something was.
    pub(super) fn clear_marker(&self, head: &RequestHead<'_>) -> Option<String> {
        self.marker(head).map(|_| self.set_marker(head, "", 0))
    }

    /// It must come back even where the session cookie does not, because its path, its domain or `Secure` are not right for
    /// this place, or as it is `Strict` and the login page is of another site.
    fn set_marker(&self, head: &RequestHead<'_>, value: &str, seconds: u64) -> String {
        let own = &self.cookie;
        let template = CookieTemplate {
            name: self.marker_name(),
            path: "/".to_owned(),
            domain: None,
            same_site: if own.same_site == SameSite::None { SameSite::None } else { SameSite::Lax },
            secure: Secure::Auto,
            partitioned: own.partitioned,
            scheme: None,
            max_age: true,
        };
        template.line("", value, Some(seconds), self.here(head).https)
    }

    /// Without the prefixes that make a browser demand what may not be so.
    fn marker_name(&self) -> String {
        let own = &self.cookie.name;
        let bare = ["__Host-", "__Secure-"].iter().find_map(|prefix| own.strip_prefix(prefix));
        [bare.unwrap_or(own), SUFFIX].concat()
    }

    /// How often one address may lead to the login page in a row: once, if it was the login page that led back.
    fn patience(&self, head: &RequestHead<'_>) -> u8 {
        let is_typed = head.value("sec-fetch-site").map(|site| site == b"none");
        match (is_typed, access::referer(head)) {
            // A tab that the browser opens again, or, without Fetch metadata, perhaps.
            (Some(true), _) | (None, None) => TABS,
            (_, Some((origin, path))) if !self.is_of_login_page(head, &origin, path) => CLICKS,
            (Some(false), _) | (None, Some(_)) => 1,
        }
    }
}

/// Enough to tell two of them apart.
fn tag(bytes: &[u8]) -> String {
    let [a, b, c, d, ..] = sha256(bytes);
    hex(&[a, b, c, d])
}

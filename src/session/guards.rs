//! What other sites may make a browser do here: number 5 of the crate documentation.

use super::Session;
use crate::access::{self, Asking, Site};
use crate::address::Origin;
use crate::cookie::SameSite;
use crate::extract::Carrier;
use crate::http::RequestHead;

/// How a cookie-borne token is protected from requests that other sites make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Csrf {
    /// Unsafe methods and upgrades must come from here.
    Enforce,
    /// Not at all.
    Off,
    /// So must everything else that is no top-level navigation.
    Strict,
}

impl Session {
    /// Where the request comes from.
    #[must_use]
    pub fn site(&self, head: &RequestHead<'_>) -> Site {
        access::site(head, &self.here(head).authority, &self.allowed_origins)
    }

    /// Whether a link may come from another site. Over plain http a browser says nothing of a navigation or an image but, perhaps,
    /// its `Referer`; what no link can hold, only a program sends.
    #[must_use]
    pub fn comes_from_elsewhere(&self, head: &RequestHead<'_>, carrier: Carrier) -> bool {
        match self.site(head) {
            Site::Allowed | Site::Same => false,
            Site::Cross => true,
            Site::Unknown => {
                let here = self.here(head);
                let is_ours = |(origin, _): (Origin, &str)| {
                    origin.has_authority(&here.authority) || self.allowed_origins.has(&origin)
                };
                (carrier == Carrier::Query || Asking::of(head) == Asking::Navigation)
                    && !access::referer(head).is_some_and(is_ours)
            }
        }
    }

    /// Whether a cookie-borne token may do what this request asks for: number 5 of the crate documentation.
    #[must_use]
    pub fn lets_cookie(&self, head: &RequestHead<'_>) -> bool {
        let unsafe_request = !access::is_safe_method(head) || access::is_upgrade(head);
        let top_level = || {
            head.value("sec-fetch-mode") == Some(b"navigate")
                && head.value("sec-fetch-dest") == Some(b"document")
        };
        let guarded = match self.csrf {
            Csrf::Off => false,
            Csrf::Enforce => unsafe_request,
            Csrf::Strict => unsafe_request || !top_level(),
        };
        !guarded || self.site(head) != Site::Cross
    }

    /// Whether the browser would drop our cookie: in a frame of another site, unless it is `SameSite=None`, and, where the
    /// browser or the person blocks the cookies of third parties, `Partitioned`.
    #[must_use]
    pub fn cookie_is_dropped(&self, head: &RequestHead<'_>) -> bool {
        let is_blocked = || {
            // `active`: this frame was granted them (Storage Access Headers).
            !self.cookie.partitioned
                && head.value("sec-fetch-storage-access").is_some_and(|access| access != b"active")
        };
        head.value("sec-fetch-dest") == Some(b"iframe")
            && head.value("sec-fetch-site") == Some(b"cross-site")
            && (self.cookie.same_site != SameSite::None || is_blocked())
    }

    /// Whether the browser would not send our cookie to where a redirect leads: a `Strict` one, as the other site that the
    /// person comes from made the request.
    #[must_use]
    pub fn cookie_is_held_back(&self, head: &RequestHead<'_>) -> bool {
        self.cookie.same_site == SameSite::Strict && head.value("sec-fetch-site") == Some(b"cross-site")
    }

    /// Whether a navigation from elsewhere hides our cookie, if there is one: a `Lax` one does not come with a form of another
    /// site, a `Strict` one with nothing of it.
    #[must_use]
    pub fn cookie_is_hidden(&self, head: &RequestHead<'_>) -> bool {
        let comes = match self.cookie.same_site {
            SameSite::Lax => access::is_safe_method(head),
            SameSite::None => true,
            SameSite::Strict => false,
        };
        !comes && Asking::of(head) == Asking::Navigation
    }

    /// Whether the browser may keep cookies of ours back, and yet store and delete what the answer tells it to: of a navigation
    /// from another site, be it an allowed one, and where the request is not for their path.
    #[must_use]
    pub fn may_hide_cookies(&self, head: &RequestHead<'_>) -> bool {
        let is_of_this_site =
            || self.site(head) == Site::Same || head.value("sec-fetch-site") == Some(b"same-site");
        self.cookie_is_hidden(head) && !is_of_this_site() || !self.cookie_comes_to(head.path())
    }

    /// Whether the browser sends our cookie to that path of the upstream at all.
    #[must_use]
    pub fn cookie_comes_to(&self, path: &[u8]) -> bool {
        self.cookie.path == "/" || self.cookie.covers(&self.outside(path))
    }

    /// Whether a person of this very origin asks for the end of the session, or a program that may.
    #[must_use]
    pub fn lets_sign_out(&self, head: &RequestHead<'_>) -> bool {
        match head.method() {
            b"POST" => self.site(head) != Site::Cross,
            // Without Fetch metadata an image of another site looks like this as well.
            _ => {
                Asking::of(head) == Asking::Navigation
                    && matches!(head.value("sec-fetch-site"), Some(b"same-origin" | b"none"))
                    && !access::is_prefetch(head)
            }
        }
    }

    /// Whether a form with a token comes from where it may.
    #[must_use]
    pub fn lets_form(&self, head: &RequestHead<'_>) -> bool {
        matches!(self.site(head), Site::Allowed | Site::Same)
    }

    /// Whether the page that asks about its session is of this origin, or no page.
    #[must_use]
    pub fn lets_info(&self, head: &RequestHead<'_>) -> bool {
        matches!(self.site(head), Site::Same | Site::Unknown)
    }
}

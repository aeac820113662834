//! Browser sessions: the sign-in and sign-out endpoints, the way to the login page and back.

use std::borrow::Cow;

use crate::access::{self, Asking, Site};
use crate::address::{self, Origin, ReturnAddress, form_encode, form_pairs};
use crate::cookie::{CookieTemplate, SameSite};
use crate::extract::TokenSources;
use crate::http::{RequestHead, Response};
use crate::jwt::{NumericDate, VerifiedJwt};
use crate::path::PlainPath;

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

/// An endpoint of the filter's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `auth_path`: turns a token into a cookie.
    Auth,
    /// `logout_path`: clears the cookie.
    Logout,
}

/// Everything about cookies, sign-in and sign-out.
#[derive(Clone, Debug)]
pub struct Session {
    /// Where a token becomes a cookie; none: nowhere.
    pub auth_path: Option<String>,
    /// Where the cookie is cleared; none: nowhere.
    pub logout_path: Option<String>,
    /// The cookie.
    pub cookie: CookieTemplate,
    /// Where people sign in.
    pub login: Option<Login>,
    /// The name of the parameter with the return address.
    pub return_param: String,
    /// Origins that may call the endpoints, be returned to, and send unsafe requests.
    pub allowed_origins: Vec<Origin>,
    /// What a path-stripping ingress took away; none if not written, without a slash at its end.
    pub public_base_path: Option<String>,
    /// The origin that people see, where the request does not tell.
    pub external: Option<Origin>,
    /// Protection from other sites.
    pub csrf: Csrf,
}

/// Scheme and authority of this host as people see it.
#[derive(Clone, Debug)]
pub struct Here<'a> {
    /// Whether people come by https.
    pub https: bool,
    /// Host and port.
    pub authority: Cow<'a, [u8]>,
}

impl Here<'_> {
    fn origin(&self) -> Option<Origin> {
        Origin::new(self.https, &self.authority)
    }

    /// The absolute URL of a path.
    #[must_use]
    pub fn url(&self, path: &[u8]) -> Vec<u8> {
        [address::scheme(self.https).as_bytes(), b"://", &self.authority, path].concat()
    }
}

impl Session {
    /// The endpoint of that path.
    #[must_use]
    pub fn endpoint(&self, path: Option<&PlainPath<'_>>) -> Option<Endpoint> {
        let is = |endpoint: &Option<String>| matches!((path, endpoint), (Some(path), Some(endpoint)) if path.is_endpoint(endpoint));
        if is(&self.auth_path) {
            Some(Endpoint::Auth)
        } else if is(&self.logout_path) {
            Some(Endpoint::Logout)
        } else {
            None
        }
    }

    /// Where this request arrived. The scheme is `x-forwarded-proto`, which the proxy sets: `:scheme` is that of the
    /// last hop. `x-forwarded-host` is anybody's to send.
    #[must_use]
    pub fn here<'r>(&'r self, head: &RequestHead<'r>) -> Here<'r> {
        self.external.as_ref().map_or_else(
            || Here {
                https: head.value("x-forwarded-proto") == Some(b"https"),
                authority: Cow::Borrowed(head.authority()),
            },
            |external| Here {
                https: external.is_https(),
                authority: Cow::Borrowed(external.authority().as_bytes()),
            },
        )
    }

    /// Where the request comes from.
    #[must_use]
    pub fn site(&self, head: &RequestHead<'_>) -> Site {
        access::site(head, &self.here(head).authority, &self.allowed_origins)
    }

    /// Whether a link may come from another site. Over plain http a browser says nothing of a navigation but, perhaps, its
    /// `Referer`.
    #[must_use]
    pub fn comes_from_elsewhere(&self, head: &RequestHead<'_>, asking: Asking) -> bool {
        match self.site(head) {
            Site::Allowed | Site::Same => false,
            Site::Cross => true,
            Site::Unknown => {
                let here = self.here(head);
                let is_ours = |(origin, _): (Origin, &str)| {
                    origin.has_authority(&here.authority) || self.allowed_origins.contains(&origin)
                };
                asking == Asking::Navigation && !access::referer(head).is_some_and(is_ours)
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

    /// Whether the browser would drop our cookie: in a frame of another site, unless it is `SameSite=None`.
    #[must_use]
    pub fn cookie_is_dropped(&self, head: &RequestHead<'_>) -> bool {
        head.value("sec-fetch-dest") == Some(b"iframe")
            && head.value("sec-fetch-site") == Some(b"cross-site")
            && self.cookie.same_site != SameSite::None
    }

    fn base_path(&self) -> &str {
        self.public_base_path.as_deref().unwrap_or_default()
    }

    /// A path of the upstream as people see it.
    fn outside(&self, path: &[u8]) -> Vec<u8> {
        [self.base_path().as_bytes(), path].concat()
    }

    /// A path of this host that a person wrote, who may or may not have known of `public_base_path`.
    fn outside_once<'p>(&self, path: &'p str) -> Cow<'p, str> {
        let base = self.base_path();
        let is_outside = path
            .strip_prefix(base)
            .is_some_and(|rest| matches!(rest.chars().next(), None | Some('/' | '?' | '#')));
        if is_outside { Cow::Borrowed(path) } else { Cow::Owned(format!("{base}{path}")) }
    }

    /// `{url}`: the address of this request as people see it, without tokens.
    #[must_use]
    pub fn url(&self, head: &RequestHead<'_>, sources: &TokenSources) -> Vec<u8> {
        self.here(head).url(&self.outside(&sources.without_parameters(head.target())))
    }

    /// `{url}` for a program that shows a page: the page, not what the program asked for.
    fn page_url(&self, head: &RequestHead<'_>, sources: &TokenSources) -> Vec<u8> {
        let here = self.here(head);
        match access::referer(head) {
            Some((origin, target)) if here.origin().as_ref() == Some(&origin) => {
                here.url(&sources.without_parameters(target.as_bytes()))
            }
            Some(_) | None => here.url(&self.outside(b"/")),
        }
    }

    /// The way to the login page for a person who asked for this address.
    #[must_use]
    pub fn login_location(&self, head: &RequestHead<'_>, sources: &TokenSources) -> Option<String> {
        self.login.as_ref().map(|login| self.located(login.location(&self.url(head, sources))))
    }

    /// The way to the login page for a program.
    #[must_use]
    pub fn login_url(&self, head: &RequestHead<'_>, sources: &TokenSources) -> Option<String> {
        self.login.as_ref().map(|login| self.located(login.location(&self.page_url(head, sources))))
    }

    /// The way to the login page from an endpoint of ours: back to where the person wanted to go.
    #[must_use]
    pub fn login_location_from_endpoint(&self, head: &RequestHead<'_>) -> Option<String> {
        let back = self.return_location(head);
        let url =
            if back.starts_with('/') { self.here(head).url(back.as_bytes()) } else { back.into_bytes() };
        self.login.as_ref().map(|login| self.located(login.location(&url)))
    }

    fn located(&self, location: String) -> String {
        if location.starts_with('/') { self.outside_once(&location).into_owned() } else { location }
    }

    /// Whether this is the login page itself: to lead there again would never end.
    #[must_use]
    pub fn is_login_page(&self, head: &RequestHead<'_>) -> bool {
        let path = self.outside(head.path());
        self.login.as_ref().is_some_and(|login| {
            login.address.starts_with('/') && self.outside_once(&login.address).as_bytes() == path
        })
    }

    /// The address of this request without tokens, as a `Location`.
    #[must_use]
    pub fn clean_location(&self, target: &[u8]) -> String {
        address::location(&String::from_utf8_lossy(&self.outside(target)))
    }

    /// Whether the request names a return address, safe or not.
    #[must_use]
    pub fn has_return_address(&self, head: &RequestHead<'_>) -> bool {
        self.return_address(head).is_some()
    }

    fn return_address(&self, head: &RequestHead<'_>) -> Option<String> {
        let (_, value) =
            form_pairs(head.query()?).find(|(name, _)| name.as_ref() == self.return_param.as_bytes())?;
        Some(String::from_utf8_lossy(&value).into_owned())
    }

    /// Where a person goes from an endpoint: to the return address if it is safe, else to the start.
    #[must_use]
    pub fn return_location(&self, head: &RequestHead<'_>) -> String {
        let own = self.here(head).origin();
        let address = self.return_address(head);
        match address.as_deref().and_then(ReturnAddress::parse) {
            Some(ReturnAddress::Path(path)) => address::location(&self.outside_once(path)),
            Some(ReturnAddress::Url(url, origin))
                if own.as_ref() == Some(&origin) || self.allowed_origins.contains(&origin) =>
            {
                address::url_encode(url)
            }
            Some(ReturnAddress::Url(..)) | None => format!("{}/", self.base_path()),
        }
    }

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

    /// The answer to a preflight for one of the endpoints.
    #[must_use]
    pub fn preflight(&self, head: &RequestHead<'_>) -> Response {
        let response = Response::new(204);
        match access::allowed_origin(head, &self.allowed_origins) {
            None => response.with("vary", "Origin"),
            Some(_) => self
                .with_cors(head, response)
                .with("access-control-allow-methods", "GET, POST")
                .with("access-control-allow-headers", "authorization, content-type"),
        }
    }

    /// Lets the pages of `allowed_origins` read an answer.
    #[must_use]
    pub fn with_cors(&self, head: &RequestHead<'_>, response: Response) -> Response {
        match access::allowed_origin(head, &self.allowed_origins) {
            None => response,
            Some(origin) => response
                .with("access-control-allow-origin", origin.to_owned())
                .with("access-control-allow-credentials", "true")
                .with("vary", "Origin"),
        }
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

/// The login page and what it is told.
#[derive(Clone, Debug)]
pub struct Login {
    /// The address up to its query.
    pub address: String,
    /// The parameters of its own query and ours; the value of ours may hold `{url}`.
    pub params: Vec<(String, LoginParam)>,
    /// What follows `#` in it.
    pub fragment: Option<String>,
}

/// The value of a parameter of the login page.
#[derive(Clone, Debug)]
pub enum LoginParam {
    /// As it stands.
    Fixed(String),
    /// With `{url}` replaced by the return address.
    Template(String),
}

impl Login {
    /// The `Location` that leads there and, from there, back to `url`.
    #[must_use]
    pub fn location(&self, url: &[u8]) -> String {
        let mut location = self.address.clone();
        let mut separator = '?';
        for (name, value) in &self.params {
            location.push(separator);
            location.push_str(&form_encode(name.as_bytes()));
            location.push('=');
            match value {
                LoginParam::Fixed(text) => location.push_str(&form_encode(text.as_bytes())),
                LoginParam::Template(text) => {
                    let parts: Vec<String> =
                        text.split("{url}").map(|part| form_encode(part.as_bytes())).collect();
                    location.push_str(&parts.join(&form_encode(url)));
                }
            }
            separator = '&';
        }
        if let Some(fragment) = &self.fragment {
            location.push('#');
            location.push_str(fragment);
        }
        location
    }
}

//! Browser sessions: the cookie, the endpoints, the way to the login page and back.

mod addresses;
mod attempts;
mod cookies;
mod guards;
mod login;

use std::borrow::Cow;

use serde_json::Value;

use crate::access;
use crate::address::{self, Origin};
use crate::cookie::CookieTemplate;
use crate::http::{RequestHead, Response};
use crate::jwt::{ClaimName, Claims};
use crate::origins::AllowedOrigins;
use crate::path::PlainPath;

pub use attempts::Attempt;
pub use guards::Csrf;
pub use login::Login;

/// An endpoint of the filter's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `auth_path`: turns a token into a cookie.
    Auth,
    /// `info_path`: tells a page about its session.
    Info,
    /// `logout_path`: clears the cookie.
    Logout,
}

impl Endpoint {
    /// The methods that it has, as a header `Allow`.
    #[must_use]
    pub const fn methods(self) -> &'static str {
        match self {
            Self::Auth => "GET, HEAD, POST",
            Self::Info => "GET, HEAD",
            Self::Logout => "GET, POST",
        }
    }

    /// Whether it has that method.
    #[must_use]
    pub fn has_method(self, method: &[u8]) -> bool {
        self.methods().split(", ").any(|own| own.as_bytes() == method)
    }
}

/// Everything about cookies, sign-in and sign-out.
#[derive(Clone, Debug)]
pub struct Session {
    /// Where a token becomes a cookie; none: nowhere.
    pub auth_path: Option<String>,
    /// Where the cookie is cleared; none: nowhere.
    pub logout_path: Option<String>,
    /// Where a page asks for these claims and the time that is left; none: nowhere.
    pub info: Option<(String, Vec<ClaimName>)>,
    /// The cookie.
    pub cookie: CookieTemplate,
    /// Where people sign in.
    pub login: Option<Login>,
    /// Where people go when they signed out; none: to the start.
    pub logout_url: Option<String>,
    /// The name of the parameter with the return address.
    pub return_param: String,
    /// Origins that may call the endpoints, be returned to, and send unsafe requests.
    pub allowed_origins: AllowedOrigins,
    /// What a path-stripping ingress took away; none if not written, without a slash at its end.
    pub public_base_path: Option<String>,
    /// The origin that people see, where the request does not tell.
    pub external: Option<Origin>,
    /// Whether a sign-out revokes the token.
    pub revoke_on_logout: bool,
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
        let path = path?;
        let is = |endpoint: Option<&str>| endpoint.is_some_and(|endpoint| path.is_endpoint(endpoint));
        if is(self.auth_path.as_deref()) {
            Some(Endpoint::Auth)
        } else if is(self.logout_path.as_deref()) {
            Some(Endpoint::Logout)
        } else {
            is(self.info.as_ref().map(|(path, _)| path.as_str())).then_some(Endpoint::Info)
        }
    }

    /// What a page is told of a token, as a JSON object; none: nothing.
    #[must_use]
    pub fn told(&self, claims: &Claims<'_>) -> Option<String> {
        let (_, names) = self.info.as_ref()?;
        let json = |value: &Value| serde_json::to_string(value).ok();
        let member = |name: &ClaimName| {
            let value = json(claims.find(name)?)?;
            Some([json(&Value::String(name.to_string()))?, value].join(":"))
        };
        let members: Vec<String> = names.iter().filter_map(member).collect();
        Some(["{", &members.join(","), "}"].concat())
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

    /// The answer to a preflight for one of the endpoints.
    #[must_use]
    pub fn preflight(&self, head: &RequestHead<'_>, endpoint: Endpoint) -> Response {
        let response = Response::new(204);
        let origin = access::allowed_origin(head, &self.allowed_origins);
        match origin.filter(|_| endpoint != Endpoint::Info) {
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

//! Addresses of this host as people see them: the way to the login page, and back.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use super::Session;
use crate::access;
use crate::address::{self, Origin, ReturnAddress, form_pairs};
use crate::extract::TokenSources;
use crate::http::RequestHead;
use crate::path::PlainPath;

/// To a longer address nobody is led back: it would be encoded several times, and servers take none of 60 kB.
const MAX_BYTES: usize = 16_384;

impl Session {
    pub(super) fn base_path(&self) -> &str {
        self.public_base_path.as_deref().unwrap_or_default()
    }

    /// A path of the upstream as people see it.
    pub(super) fn outside(&self, path: &[u8]) -> Vec<u8> {
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
        let here = self.here(head);
        if head.target().len() > MAX_BYTES {
            return here.url(&self.outside(b"/"));
        }
        here.url(&self.outside(&sources.without_parameters(head.target())))
    }

    /// `{url}` for a program that shows a page: the page, not what the program asked for.
    fn page_url(&self, head: &RequestHead<'_>, sources: &TokenSources) -> Vec<u8> {
        let here = self.here(head);
        match access::referer(head) {
            Some((origin, target))
                if target.len() <= MAX_BYTES && here.origin().as_ref() == Some(&origin) =>
            {
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

    /// The way to the login page for a program, and for a person whose form was refused: back to the page that they see.
    #[must_use]
    pub fn login_location_of_page(&self, head: &RequestHead<'_>, sources: &TokenSources) -> Option<String> {
        self.login.as_ref().map(|login| self.located(login.location(&self.page_url(head, sources))))
    }

    /// The way to the login page from an endpoint of ours: back to where the person wanted to go.
    #[must_use]
    pub fn login_location_from_endpoint(
        &self,
        head: &RequestHead<'_>,
        sources: &TokenSources,
    ) -> Option<String> {
        let back = self.return_location(head, sources);
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

    /// Whether a page is the login page, by its origin and path; of another origin browsers tell the origin alone.
    #[must_use]
    pub fn is_of_login_page(&self, head: &RequestHead<'_>, origin: &Origin, target: &str) -> bool {
        let Some(login) = &self.login else { return false };
        if login.address.starts_with('/') {
            let path = target.split('?').next().unwrap_or_default();
            return self.here(head).origin().as_ref() == Some(origin)
                && self.outside_once(&login.address) == path;
        }
        let Some((scheme, rest)) = login.address.split_once("://") else { return false };
        let authority = rest.split('/').next().unwrap_or_default();
        Origin::parse(&[scheme, "://", authority].concat()).as_ref() == Some(origin)
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

    /// In the form, else in the query.
    fn return_address(&self, head: &RequestHead<'_>) -> Option<String> {
        let mut pairs = [head.form(), head.query()].into_iter().flatten().flat_map(form_pairs);
        let (_, value) = pairs.find(|(name, _)| name.as_ref() == self.return_param.as_bytes())?;
        Some(String::from_utf8_lossy(&value).into_owned())
    }

    /// Where a person goes from an endpoint: to the return address if it is safe, else to the start.
    #[must_use]
    pub fn return_location(&self, head: &RequestHead<'_>, sources: &TokenSources) -> String {
        self.safe_return_address(head, sources).unwrap_or_else(|| self.start())
    }

    /// Where a person goes who signed out.
    #[must_use]
    pub fn logout_location(&self, head: &RequestHead<'_>, sources: &TokenSources) -> String {
        let elsewhere = || self.logout_url.as_ref().map(|url| self.located(url.clone()));
        self.safe_return_address(head, sources).or_else(elsewhere).unwrap_or_else(|| self.start())
    }

    fn start(&self) -> String {
        format!("{}/", self.base_path())
    }

    /// Of this host, nothing that would do what nobody asked for: no token, which would sign in somebody else as if a page of
    /// ours had led there, and no endpoint of ours.
    fn safe_return_address(&self, head: &RequestHead<'_>, sources: &TokenSources) -> Option<String> {
        let here = self.here(head);
        let text = self.return_address(head).filter(|address| address.len() <= MAX_BYTES)?;
        match ReturnAddress::parse(&text)? {
            ReturnAddress::Path(path) => {
                let path = self.harmless(path, path, sources)?;
                Some(address::location(&self.outside_once(&path)))
            }
            ReturnAddress::Url(url, origin) => {
                let is_own = here.origin().as_ref() == Some(&origin);
                if !is_own && !self.allowed_origins.has(&origin) {
                    return None;
                }
                // Of two schemes on one host, both may be ours.
                if !origin.has_authority(&here.authority) {
                    return Some(address::url_encode(url));
                }
                let path = url.splitn(4, '/').nth(3).unwrap_or_default();
                self.harmless(url, &["/", path].concat(), sources).map(|url| address::url_encode(&url))
            }
        }
    }

    /// An address of this host without token parameters; none if its path, with what may follow, is that of an endpoint.
    fn harmless(&self, address: &str, path: &str, sources: &TokenSources) -> Option<String> {
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let is_endpoint = |path: &str| self.endpoint(PlainPath::new(path.as_bytes()).as_ref()).is_some();
        let within = |path: &str| is_endpoint(path.strip_prefix(self.base_path()).unwrap_or(path));
        let decoded = percent_decode(path.as_bytes()).decode_utf8_lossy();
        // The browser resolves dot segments, and the proxy may merge slashes before it asks us. Whoever wrote the path may or may
        // not have known of the base path, which may be resolved away.
        let may_be_endpoint = [true, false].into_iter().any(|merges_first| {
            let path = merged(&decoded, merges_first);
            is_endpoint(&path) || within(&path)
        }) || PlainPath::new(path.as_bytes())
            .is_some_and(|path| path.readings().any(|path| is_endpoint(path) || within(path)));
        if may_be_endpoint {
            return None;
        }
        let length = address.find('#').unwrap_or(address.len());
        let (address, fragment) = address.split_at_checked(length)?;
        let stripped = sources.without_parameters(address.as_bytes());
        Some(String::from_utf8_lossy(&stripped).into_owned() + fragment)
    }
}

/// A path without dot segments and with its slashes merged, before they are resolved or behind that.
fn merged(path: &str, merges_first: bool) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            "" if merges_first => {}
            _ => kept.push(segment),
        }
    }
    kept.into_iter().filter(|segment| !segment.is_empty()).flat_map(|segment| ["/", segment]).collect()
}

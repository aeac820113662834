//! Cookies (RFC 6265): reading `Cookie`, writing `Set-Cookie`.

mod parts;

use std::fmt::Write as _;

pub(crate) use parts::{Part, SUFFIXES, join};

/// The pairs of a `Cookie` line, each with the white space around it, as they stand between the semicolons.
pub(crate) fn pairs(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let (pair, others) = crate::http::cut(rest?, b';');
        rest = others;
        Some(pair)
    })
}

/// What a pair holds of a token.
pub(crate) enum Holds<'a> {
    /// All of it, or what may be one.
    Token(&'a [u8]),
    /// A part of it.
    Part(Part<'a>),
}

/// What a pair of that name holds, without the double quotes around it (RFC 6265 section 4.1.1).
pub(crate) fn holds<'a>(pair: &'a [u8], name: &str) -> Option<Holds<'a>> {
    let behind_name = pair.trim_ascii_start().strip_prefix(name.as_bytes())?;
    match behind_name.trim_ascii_start().strip_prefix(b"=") {
        Some(value) => Some(Holds::Token(unquoted(value))),
        None => parts::read(behind_name).map(Holds::Part),
    }
}

/// The value of the first cookie of that name.
pub(crate) fn value<'r>(lines: impl Iterator<Item = &'r [u8]>, name: &str) -> Option<&'r [u8]> {
    lines.flat_map(pairs).find_map(|pair| match holds(pair, name)? {
        Holds::Token(value) => Some(value),
        Holds::Part(_) => None,
    })
}

fn unquoted(value: &[u8]) -> &[u8] {
    let value = value.trim_ascii();
    value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value)
}

/// The `SameSite` attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// Sent with top-level navigations from other sites.
    Lax,
    /// Sent with every request.
    None,
    /// Sent with requests of the same site only.
    Strict,
}

impl SameSite {
    const fn name(self) -> &'static str {
        match self {
            Self::Lax => "Lax",
            Self::None => "None",
            Self::Strict => "Strict",
        }
    }
}

/// When the `Secure` attribute is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secure {
    /// Always.
    Always,
    /// When the request came by https.
    Auto,
    /// Never.
    Never,
}

/// Name and attributes of the session cookie.
#[derive(Clone, Debug)]
pub struct CookieTemplate {
    /// Its name.
    pub name: String,
    /// `Path`.
    pub path: String,
    /// `Domain`; none: the host alone.
    pub domain: Option<String>,
    /// `SameSite`.
    pub same_site: SameSite,
    /// `Secure`.
    pub secure: Secure,
    /// `Partitioned`.
    pub partitioned: bool,
    /// The scheme before the token, with an escaped space.
    pub scheme: Option<String>,
    /// Whether the cookie ends with its token; else with the browser's session.
    pub max_age: bool,
}

/// What browsers store at the most: name, value and attributes (RFC 6265bis section 5.6 limits name and value, some
/// browsers the whole line).
const MAX_BYTES: usize = 4096;

impl CookieTemplate {
    /// The `Set-Cookie` lines for a verified token: one, or as many as it needs; `None` if that is too many.
    ///
    /// `max_age` in seconds is left out where the template says so.
    #[must_use]
    pub fn set(&self, token: &str, max_age: Option<u64>, https: bool) -> Option<Vec<String>> {
        let max_age = max_age.filter(|_| self.max_age);
        let whole = match &self.scheme {
            None => self.line("", token, max_age, https),
            Some(scheme) => self.line("", &format!("{scheme}%20{token}"), max_age, https),
        };
        if whole.len() <= MAX_BYTES {
            return Some(vec![whole]);
        }
        let room =
            MAX_BYTES.checked_sub(self.line(".1", &parts::write("", 1, token), max_age, https).len())?;
        let parts = parts::split(token, room)?;
        let line = |(suffix, value): (&str, String)| self.line(suffix, &value, max_age, https);
        Some(parts.into_iter().map(line).collect())
    }

    /// Whether browsers send it with a request for that path (RFC 6265 section 5.1.4).
    #[must_use]
    pub fn covers(&self, path: &[u8]) -> bool {
        path.strip_prefix(self.path.as_bytes())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/") || self.path.ends_with('/'))
    }

    /// The `Set-Cookie` line that deletes a cookie: `suffix` is what follows the name, which for the whole is nothing.
    #[must_use]
    pub fn clear(&self, suffix: &str, https: bool) -> String {
        self.line(suffix, "", Some(0), https)
    }

    /// A `Set-Cookie` line: `suffix` is what follows the name.
    #[must_use]
    pub fn line(&self, suffix: &str, value: &str, max_age: Option<u64>, https: bool) -> String {
        let mut line = format!("{}{suffix}={value}; Path={}", self.name, self.path);
        if let Some(domain) = &self.domain {
            line.push_str("; Domain=");
            line.push_str(domain);
        }
        if let Some(max_age) = max_age {
            // Writing to a String cannot fail.
            let _ = write!(line, "; Max-Age={max_age}");
        }
        line.push_str("; HttpOnly");
        if self.is_secure(https) {
            line.push_str("; Secure");
        }
        line.push_str("; SameSite=");
        line.push_str(self.same_site.name());
        if self.partitioned {
            line.push_str("; Partitioned");
        }
        line
    }

    /// Browsers drop a cookie with `SameSite=None`, `Partitioned` or a prefixed name that is not `Secure`.
    fn is_secure(&self, https: bool) -> bool {
        match self.secure {
            Secure::Always => true,
            Secure::Never => false,
            Secure::Auto => {
                https || self.same_site == SameSite::None || self.partitioned || self.name.starts_with("__")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_name() {
        let values = |line: &'static str, name| {
            pairs(line.as_bytes())
                .filter_map(|pair| match holds(pair, name)? {
                    Holds::Token(value) => Some(String::from_utf8_lossy(value).into_owned()),
                    Holds::Part(_) => None,
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(values("a=1; t=x; t=\"y\";t=z=w", "t"), ["x", "y", "z=w"]);
        assert_eq!(values("T=1; at=2; t; =t; t =3", "t"), ["3"]);
        assert_eq!(values("t=; t=\"\"; t=\"", "t"), ["", "", "\""]);
    }
}

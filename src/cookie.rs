//! Cookies (RFC 6265): reading `Cookie`, writing `Set-Cookie`.

use std::fmt::Write as _;

/// The pairs of a `Cookie` line, each with the white space around it, as they stand between the semicolons.
pub(crate) fn pairs(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let (pair, others) = crate::http::cut(rest?, b';');
        rest = others;
        Some(pair)
    })
}

/// The value of a pair if it has that name, without the double quotes around it (RFC 6265 section 4.1.1).
pub(crate) fn value<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let behind_name = pair.trim_ascii_start().strip_prefix(name.as_bytes())?;
    let value = behind_name.trim_ascii_start().strip_prefix(b"=")?.trim_ascii();
    Some(value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value))
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
    /// Whether the cookie ends with its token; else with the browser's session.
    pub max_age: bool,
}

/// What browsers store at the most: name, value and attributes (RFC 6265bis section 5.6 limits name and value, some
/// browsers the whole line).
const MAX_BYTES: usize = 4096;

impl CookieTemplate {
    /// The `Set-Cookie` line for a verified token; `None` if browsers would drop it for its size.
    ///
    /// `max_age` in seconds is left out where the template says so.
    #[must_use]
    pub fn set(&self, token: &str, max_age: Option<u64>, https: bool) -> Option<String> {
        let line = self.line(token, max_age.filter(|_| self.max_age), https);
        (line.len() <= MAX_BYTES).then_some(line)
    }

    /// The `Set-Cookie` line that deletes the cookie.
    #[must_use]
    pub fn clear(&self, https: bool) -> String {
        self.line("", Some(0), https)
    }

    fn line(&self, value: &str, max_age: Option<u64>, https: bool) -> String {
        let mut line = format!("{}={value}; Path={}", self.name, self.path);
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
                .filter_map(|pair| value(pair, name))
                .map(|value| String::from_utf8_lossy(value).into_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(values("a=1; t=x; t=\"y\";t=z=w", "t"), ["x", "y", "z=w"]);
        assert_eq!(values("T=1; at=2; t; =t; t =3", "t"), ["3"]);
        assert_eq!(values("t=; t=\"\"; t=\"", "t"), ["", "", "\""]);
    }
}

//! Origins, URLs and return addresses.

use std::borrow::Cow;

use percent_encoding::percent_encode_byte;

use crate::http::cut;

/// An origin (RFC 6454): scheme, host and port, in lower case and without a default port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    https: bool,
    authority: String,
}

impl Origin {
    /// Parses `http://host[:port]` or `https://host[:port]` with nothing behind it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        Self::new(is_https(scheme)?, authority.as_bytes())
    }

    /// The origin of a scheme and an authority (RFC 3986 section 3.2), which must have no userinfo.
    #[must_use]
    pub fn new(https: bool, authority: &[u8]) -> Option<Self> {
        /// A name has 253 letters at the most (RFC 1035 section 2.3.4).
        const MAX_BYTES: usize = 512;
        if authority.len() > MAX_BYTES {
            return None;
        }
        let authority = std::str::from_utf8(authority).ok()?.to_ascii_lowercase();
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (authority.as_str(), None),
        };
        let is_address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let is_host = match is_address {
            Some(address) => address.bytes().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(&byte)),
            None => host.bytes().all(fits),
        };
        let is_port =
            |port: &str| (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
        if host.is_empty() || !is_host || !port.is_none_or(is_port) {
            return None;
        }
        let default_port = if https { ":443" } else { ":80" };
        let authority = authority.strip_suffix(default_port).map(str::to_owned).unwrap_or(authority);
        Some(Self { https, authority })
    }

    /// Whether the scheme is https.
    #[must_use]
    pub const fn is_https(&self) -> bool {
        self.https
    }

    /// Host and port, the latter if it is not the scheme's own.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Whether `authority` is its host and port, given the same scheme.
    #[must_use]
    pub fn has_authority(&self, authority: &[u8]) -> bool {
        Self::new(self.https, authority).is_some_and(|other| other.authority == self.authority)
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", scheme(self.https), self.authority)
    }
}

/// The name of the scheme.
#[must_use]
pub const fn scheme(https: bool) -> &'static str {
    if https { "https" } else { "http" }
}

fn is_https(scheme: &str) -> Option<bool> {
    match scheme.to_ascii_lowercase().as_str() {
        "https" => Some(true),
        "http" => Some(false),
        _ => None,
    }
}

/// Where a return address leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReturnAddress<'a> {
    /// A path, perhaps with query and fragment, on the host of the request.
    Path(&'a str),
    /// An absolute URL and its origin.
    Url(&'a str, Origin),
}

impl<'a> ReturnAddress<'a> {
    /// Reads what a browser would make of an address, and refuses what two readers could read differently: control
    /// characters and white space, backslashes before the query, userinfo, `//host`, and every other scheme.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let fits = |byte: u8| byte > b' ' && byte != 0x7f;
        let before_query = text.split(['?', '#']).next()?;
        if !text.bytes().all(fits) || before_query.contains('\\') {
            return None;
        }
        if let Some(path) = text.strip_prefix('/') {
            return (!path.starts_with('/')).then_some(Self::Path(text));
        }
        let (scheme, rest) = text.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next()?;
        Some(Self::Url(text, Origin::new(is_https(scheme)?, authority.as_bytes())?))
    }
}

/// A path of this host as a `Location`: a browser would take `//host` or `/\host` for another host, so a dot segment,
/// which it removes again, is put before it. What has no leading slash is given one.
#[must_use]
pub fn location(path: &str) -> String {
    let path = url_encode(path);
    match path.strip_prefix('/') {
        Some(rest) if rest.starts_with('/') => format!("/.{path}"),
        Some(_) => path,
        None => format!("/{path}"),
    }
}

/// Encodes what cannot stand in a URL; escapes stay as they are.
#[must_use]
pub fn url_encode(url: &str) -> String {
    let is_kept = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\`".contains(&byte);
    encode(url.as_bytes(), is_kept)
}

/// Encodes a name or value of a form (`application/x-www-form-urlencoded`) as Go's `url.QueryEscape` does, to the
/// byte: JwtProxy's `Location` is compared with ours.
#[must_use]
pub fn form_encode(text: &[u8]) -> String {
    encode(text, |byte| byte.is_ascii_alphanumeric() || b"-_.~ ".contains(&byte)).replace(' ', "+")
}

/// Encodes what is not kept. Addresses may be long, and the crate goes by way of a formatter.
fn encode(text: &[u8], is_kept: impl Fn(u8) -> bool) -> String {
    let mut encoded = Vec::with_capacity(text.len());
    for byte in text {
        if is_kept(*byte) {
            encoded.push(*byte);
        } else {
            encoded.extend_from_slice(percent_encode_byte(*byte).as_bytes());
        }
    }
    String::from_utf8(encoded).unwrap_or_default()
}

/// Decodes a name or value of a form: `+` is a space, an escape that is none stays as it is.
#[must_use]
pub fn form_decode(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'+', b'%', text).is_none() {
        return Cow::Borrowed(text);
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (mut decoded, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        decoded.push(match (byte, behind) {
            (b'+', _) => b' ',
            (b'%', [high, low, behind @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    rest = behind;
                    high << 4 | low
                }
                _ => b'%',
            },
            _ => *byte,
        });
    }
    Cow::Owned(decoded)
}

/// The pairs of a query, decoded, in order.
pub(crate) fn form_pairs(query: &[u8]) -> impl Iterator<Item = (Cow<'_, [u8]>, Cow<'_, [u8]>)> {
    query.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = cut(pair, b'=');
        (form_decode(name), form_decode(value.unwrap_or_default()))
    })
}

/// Name and value of each pair of a query, as they came.
pub(crate) fn raw_pairs(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    query.split(|byte| *byte == b'&').map(|pair| {
        let (name, value) = cut(pair, b'=');
        (name, value.unwrap_or_default())
    })
}

/// The query without the pairs that `drop` tells by their place, name and value; `None` if no pair is left. The others stay
/// to the byte.
pub(crate) fn filter_query(query: &[u8], drop: impl Fn(usize, &[u8], &[u8]) -> bool) -> Option<Vec<u8>> {
    let pairs = query.split(|byte| *byte == b'&').zip(raw_pairs(query)).enumerate();
    let kept: Vec<&[u8]> = pairs
        .filter_map(|(part, (pair, (name, value)))| (!drop(part, name, value)).then_some(pair))
        .collect();
    (!kept.is_empty()).then(|| kept.join(&b'&'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_compared_in_their_normal_form() {
        let same = |a, b| assert_eq!(Origin::parse(a).unwrap(), Origin::parse(b).unwrap(), "{a} {b}");
        same("https://Che.Example.com", "HTTPS://che.example.com:443");
        same("http://localhost:80", "http://localhost");
        assert_ne!(Origin::parse("http://a:443"), Origin::parse("https://a"));
        for text in [
            "",
            "null",
            "*",
            "a.example",
            "ftp://a",
            "https://a:",
            "https://a:x",
            "https://a:1:2",
            "https://[::1",
            "https://",
            "https://a/",
            "https://u@a",
            "https://a b",
        ] {
            assert_eq!(Origin::parse(text), None, "{text}");
        }
    }

    #[test]
    fn hostile_return_addresses_are_refused() {
        for text in [
            "",
            "a",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/a\r\nb",
            " /a",
            "https:evil.example",
            "https:///evil.example",
            "https://me@evil.example",
            "https://a\\@evil.example",
            "javascript:alert(1)",
            "data:text/html,x",
            "ftp://a/",
            "http:/\\evil.example",
            "///evil.example",
            "/a/..\\evil",
            "\u{0}/a",
            "https://evil.example%00.a/",
            "https://\u{430}.example/",
        ] {
            assert_eq!(ReturnAddress::parse(text), None, "{text:?}");
        }
        assert_eq!(ReturnAddress::parse("/a?b=\\c#//d"), Some(ReturnAddress::Path("/a?b=\\c#//d")));
        let origin = Origin::parse("https://a.example").unwrap();
        let url = "https://a.example/b?c";
        assert_eq!(ReturnAddress::parse(url), Some(ReturnAddress::Url(url, origin)));
    }

    #[test]
    fn a_location_stays_on_this_host() {
        assert_eq!(location("/a?b=c"), "/a?b=c");
        assert_eq!(location("//evil.example"), "/.//evil.example");
        assert_eq!(location("/\\evil.example"), "/%5Cevil.example");
        assert_eq!(location("/ä b"), "/%C3%A4%20b");
        assert_eq!(location("https://evil.example"), "/https://evil.example");
        assert_eq!(location("*?a"), "/*?a");
    }

    #[test]
    fn forms() {
        assert_eq!(form_encode("a b/~-_.*ä".as_bytes()), "a+b%2F~-_.%2A%C3%A4");
        assert_eq!(form_decode(b"a+b%2Fc%zz").as_ref(), b"a b/c%zz");
        let drop_token = |query: &str| {
            filter_query(query.as_bytes(), |_, name, _| form_decode(name).as_ref() == b"token")
                .map(|kept| String::from_utf8(kept).unwrap())
        };
        assert_eq!(drop_token("a=1&token=x&b=%20+").as_deref(), Some("a=1&b=%20+"));
        assert_eq!(drop_token("token=x&&token=y&a").as_deref(), Some("&a"));
        assert_eq!(drop_token("t%6Fken=x"), None);
        assert_eq!(drop_token("").as_deref(), Some(""));
    }
}

//! Paths and the rules that match them.

use std::borrow::Cow;

use percent_encoding::percent_decode;
use regex_lite::Regex;

use crate::http::{RequestHead, cut};

/// A path that every reader understands alike: percent-decoded once, dot segments resolved, slashes as they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainPath<'p>(Cow<'p, str>);

impl<'p> PlainPath<'p> {
    /// Normalises the path of a request. `None` where what the upstream makes of it cannot be known: an encoded
    /// slash or backslash or NUL, a backslash, a fragment, a dot segment with parameters, an escape left after decoding, bytes
    /// that are no UTF-8, or no leading slash (CONNECT, `OPTIONS *`).
    #[must_use]
    pub fn new(path: &'p [u8]) -> Option<Self> {
        if path.starts_with(b"/")
            && path.iter().all(|byte| is_plain(*byte))
            && !path.windows(2).any(|pair| pair == b"/.")
        {
            return std::str::from_utf8(path).ok().map(Cow::Borrowed).map(Self);
        }
        if !path.starts_with(b"/") || path.contains(&b'#') || contains_escaped(path, b"/\\") {
            return None;
        }
        let decoded: Vec<u8> = percent_decode(path).collect();
        let decoded = String::from_utf8(decoded).ok()?;
        if decoded.bytes().any(|byte| byte < b' ' || matches!(byte, b'%' | b'\\' | 0x7f)) {
            return None;
        }
        remove_dot_segments(&decoded).map(Cow::Owned).map(Self)
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Equal to `path`, or to `path` with one slash behind it.
    #[must_use]
    pub fn is_endpoint(&self, path: &str) -> bool {
        self.0.strip_prefix(path).is_some_and(|rest| matches!(rest, "" | "/"))
    }
}

/// Bytes that mean themselves.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'%' | b'\\' | b'#')
}

fn contains_escaped(path: &[u8], bytes: &[u8]) -> bool {
    path.windows(3).any(|escape| {
        escape.starts_with(b"%") && percent_decode(escape).next().is_some_and(|byte| bytes.contains(&byte))
    })
}

/// RFC 3986 section 5.2.4; `None` for a dot segment with parameters (`/..;x/`), which some servers resolve and
/// others do not.
fn remove_dot_segments(path: &str) -> Option<String> {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        let (name, parameters) = segment.split_once(';').map_or((segment, false), |(name, _)| (name, true));
        match name {
            "." | ".." if parameters => return None,
            "." | ".." => {
                if name == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            _ => kept.push(segment),
        }
    }
    Some(kept.iter().flat_map(|segment| ["/", segment]).collect())
}

/// Whether it does not matter if a server merges slashes before it resolves dot segments, or behind that: it does in
/// `/a//../b`. Parameters (`;x`) may be dropped first.
#[must_use]
pub fn has_one_order(path: &[u8]) -> bool {
    let decoded: Vec<u8> = percent_decode(path).collect();
    let segments: Vec<&[u8]> = decoded.split(|byte| *byte == b'/').collect();
    let is_dot = |segment: &&[u8]| matches!(*segment, b"." | b"..");
    // The first is nothing ever, and what is last stands before nothing.
    let inner = segments.get(1..segments.len().saturating_sub(1)).unwrap_or_default();
    !inner.iter().any(|segment| cut(segment, b';').0.is_empty()) || !segments.iter().any(is_dot)
}

/// What a path must look like.
#[derive(Clone, Debug)]
pub enum PathPattern {
    /// Exactly so.
    Exact(String),
    /// So, and whatever follows at the end of a segment.
    Prefix(String),
    /// The expression is found at its start.
    AnchoredRegex(Regex),
    /// The expression is found anywhere in it (profile jwtproxy).
    Regex(Regex),
}

impl PathPattern {
    /// Whether it matches.
    #[must_use]
    pub fn matches(&self, path: &PlainPath<'_>) -> bool {
        let path = path.as_str();
        match self {
            Self::Exact(exact) => path == exact,
            Self::Prefix(prefix) => path
                .strip_prefix(prefix.as_str())
                .is_some_and(|rest| prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/')),
            // Of `^/a|/b` only the first branch is anchored by its author; the leftmost match tells.
            Self::AnchoredRegex(regex) => regex.find(path).is_some_and(|found| found.start() == 0),
            Self::Regex(regex) => regex.is_match(path),
        }
    }
}

/// A path that needs no token.
#[derive(Clone, Debug)]
pub struct PublicPath {
    /// Its path.
    pub pattern: PathPattern,
    /// The methods that it is public for; none: all.
    pub methods: Option<Vec<String>>,
    /// Whose tokens are looked at all the same; none: nobody's.
    pub identity: Option<Identity>,
}

/// Whose tokens are looked at where none is needed.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The providers, by their index; none: all of them.
    pub providers: Option<Vec<usize>>,
}

impl Identity {
    /// Whether the tokens of that provider are.
    #[must_use]
    pub fn admits(&self, provider: usize) -> bool {
        self.providers.as_ref().is_none_or(|providers| providers.contains(&provider))
    }
}

/// The paths that need no token.
#[derive(Clone, Debug, Default)]
pub struct PublicPaths(pub Vec<PublicPath>);

/// Proof that a request is for a public path; only [`PublicPaths::matching`] makes one.
#[derive(Clone, Copy, Debug)]
pub struct PublicMatch<'p>(Option<&'p Identity>);

impl<'p> PublicMatch<'p> {
    /// Whose tokens are looked at all the same.
    #[must_use]
    pub const fn identity(self) -> Option<&'p Identity> {
        self.0
    }
}

impl PublicPaths {
    /// Looks for entries that make this request public; the first of them decides that looks at tokens. CONNECT matches none.
    #[must_use]
    pub fn matching(&self, head: &RequestHead<'_>, path: Option<&PlainPath<'_>>) -> Option<PublicMatch<'_>> {
        let path = path.filter(|_| head.method() != b"CONNECT")?;
        let mut matching = self.0.iter().filter(|public| {
            let method = |own: &String| own.as_bytes() == head.method();
            public.methods.as_ref().is_none_or(|methods| methods.iter().any(method))
                && public.pattern.matches(path)
        });
        let first = matching.next()?;
        let identity = first.identity.as_ref();
        Some(PublicMatch(identity.or_else(|| matching.find_map(|public| public.identity.as_ref()))))
    }

    /// Whether together they match every path there is, as far as a few unlikely ones can tell.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        let is_public = |path: &str| {
            let path = PlainPath(Cow::Borrowed(path));
            self.0.iter().any(|public| public.pattern.matches(&path))
        };
        ["/", "/a", "/~jwtproxy/42/Probe.x", "/\u{e9}/-/_", "/index.html"].into_iter().all(is_public)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalised_or_refused() {
        let plain = |path: &str| PlainPath::new(path.as_bytes()).map(|path| path.0.into_owned());
        for (path, normal) in [
            ("/", "/"),
            ("/a/./b/../c", "/a/c"),
            ("/a/..", "/"),
            ("/../../a", "/a"),
            ("/a/%2e%2e/b", "/b"),
            ("//a//../b", "//a/b"),
            ("/%61%20b", "/a b"),
            ("/a;x=1/b", "/a;x=1/b"),
            ("/...", "/..."),
            ("/a/.", "/a/"),
        ] {
            assert_eq!(plain(path).as_deref(), Some(normal), "{path}");
        }
        for path in [
            "", "*", "a", "/a%2Fb", "/a%2fb", "/a%5Cb", "/a%00", "/a\\b", "/..;/b", "/.;x", "/a%252F",
            "/a#/../b", "/%zz", "/%ff",
        ] {
            assert_eq!(plain(path), None, "{path}");
        }
    }

    #[test]
    fn slashes_may_be_merged_before_dot_segments_are_resolved() {
        for path in ["/", "//", "/a//b", "/a/../b", "/a/../b/", "/a/./", "/a;/..", "/a/.../b//c"] {
            assert!(has_one_order(path.as_bytes()), "{path}");
        }
        for path in ["/a//../b", "/a/;x/../b", "//..", "/a/%2e%2e//b", "/a/%3b/../b", "/..//"] {
            assert!(!has_one_order(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn a_prefix_ends_at_a_segment() {
        let matches = |prefix: &str, path: &str| {
            PathPattern::Prefix(prefix.into()).matches(&PlainPath::new(path.as_bytes()).unwrap())
        };
        assert!(matches("/docs", "/docs") && matches("/docs", "/docs/x") && !matches("/docs", "/docsx"));
        assert!(matches("/docs/", "/docs/") && matches("/docs/", "/docs/x") && !matches("/docs/", "/docs"));
        assert!(matches("/", "/anything"));
    }

    #[test]
    fn an_endpoint_ends_with_at_most_one_slash() {
        let is =
            |path: &str| PlainPath::new(path.as_bytes()).is_some_and(|path| path.is_endpoint("/jwt/auth"));
        assert!(is("/jwt/auth") && is("/jwt/auth/") && is("/%6awt/auth"));
        assert!(
            !is("/jwt/authx")
                && !is("/jwt/auth//")
                && !is("/jwt/auth/x")
                && !is("//jwt/auth")
                && !is("/JWT/AUTH")
        );
    }
}

//! Paths and the rules that match them.

use std::borrow::Cow;

use percent_encoding::percent_decode;
use regex_lite::Regex;

use crate::http::RequestHead;

/// The longest path that is read in more ways than one, all of them together.
const MAX_BYTES: usize = 8192;
/// The longest path that an expression is searched in. With many repetitions that costs some 2 µs for each of its bytes.
const MAX_SEARCHED: usize = 1024;

/// The path of a request, and all that common servers make of it: percent-decoded once, dot segments resolved. Slashes may
/// be merged, `;parameters` dropped, what stands behind `//` be taken for a host, and what stands behind a decoded `?` or
/// `#` for none of the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainPath<'p> {
    plain: Cow<'p, str>,
    others: Vec<String>,
}

impl<'p> PlainPath<'p> {
    /// Reads the path of a request. `None` where what the upstream makes of it cannot be known: an encoded slash or backslash
    /// or NUL, a backslash, a fragment, dot segments that lead elsewhere where they are resolved before or after something else, an
    /// escape left after decoding, bytes that are no UTF-8, no leading slash (CONNECT, `OPTIONS *`), or too many bytes to read it
    /// in all ways.
    #[must_use]
    pub fn new(path: &'p [u8]) -> Option<Self> {
        if is_usual(path) {
            let plain = std::str::from_utf8(path).ok()?;
            return Some(Self { plain: Cow::Borrowed(plain), others: Vec::new() });
        }
        let is_unreadable = !path.starts_with(b"/")
            || path.len() > MAX_BYTES
            || path.contains(&b'#')
            || contains_escaped(path, b"/\\");
        if is_unreadable {
            return None;
        }
        let decoded = decode(path)?;
        if decoded.bytes().any(|byte| byte < b' ' || matches!(byte, b'%' | b'\\' | 0x7f)) {
            return None;
        }
        let plain = resolve(&decoded)?;
        if decoded.as_bytes() != path && path.windows(2).any(|pair| pair == b"/.") {
            // Of `/a/%2e%2e/../b` those make `/a/b` who resolve before they decode.
            let undecoded = resolve(std::str::from_utf8(path).ok()?)?;
            if resolve(&decode(undecoded.as_bytes())?)? != plain {
                return None;
            }
        }
        let mut others = variants(&plain);
        if let Some((before, _)) = decoded.split_once(['?', '#']) {
            let before = resolve(before)?;
            others.extend(variants(&before));
            others.push(before);
        }
        others.sort_unstable();
        others.dedup();
        others.retain(|other| *other != plain);
        let bytes = others.iter().fold(plain.len(), |sum, other| sum.saturating_add(other.len()));
        (bytes <= MAX_BYTES).then_some(Self { plain: Cow::Owned(plain), others })
    }

    /// The path as a server reads it that keeps all slashes and parameters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.plain
    }

    /// All readings: that one first, and each other one once.
    pub fn readings(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.as_str()).chain(self.others.iter().map(String::as_str))
    }

    /// Equal to `path`, or to `path` with one slash behind it.
    #[must_use]
    pub fn is_endpoint(&self, path: &str) -> bool {
        self.plain.strip_prefix(path).is_some_and(|rest| matches!(rest, "" | "/"))
    }
}

/// Whether all bytes mean themselves, and nothing could be resolved, merged or dropped.
fn is_usual(path: &[u8]) -> bool {
    let mut before = 0;
    path.first() == Some(&b'/')
        && path.iter().all(|byte| {
            let is_segment = before != b'/' || !matches!(byte, b'.' | b'/');
            before = *byte;
            is_segment && byte.is_ascii_graphic() && !matches!(byte, b'%' | b'\\' | b'#' | b';')
        })
}

fn decode(path: &[u8]) -> Option<String> {
    String::from_utf8(percent_decode(path).collect()).ok()
}

fn contains_escaped(path: &[u8], bytes: &[u8]) -> bool {
    path.windows(3).any(|escape| {
        escape.starts_with(b"%") && percent_decode(escape).next().is_some_and(|byte| bytes.contains(&byte))
    })
}

/// RFC 3986 section 5.2.4; `None` where the order of it and of what servers do besides matters. A dot segment with more behind
/// it (`/..;x/`, `/..?`) is one for those only who drop that first. Of `/a//../b` and `/a/;x/../b` those make `/b` who merge
/// slashes first, others `/a/b`.
fn resolve(path: &str) -> Option<String> {
    let mut kept: Vec<&str> = Vec::new();
    let (mut has_dots, mut has_empty) = (false, false);
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        let name = segment.split([';', '?', '#']).next().unwrap_or_default();
        match name {
            "." | ".." => {
                if name != segment {
                    return None;
                }
                has_dots = true;
                if name == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            _ => {
                // What is last stands before nothing.
                has_empty |= name.is_empty() && !last;
                kept.push(segment);
            }
        }
    }
    (!(has_dots && has_empty)).then(|| kept.iter().flat_map(|segment| ["/", segment]).collect())
}

/// What else servers make of a resolved path. URL parsers (WHATWG, RFC 3986) take what follows two slashes for a host.
fn variants(path: &str) -> Vec<String> {
    let mut found = Vec::new();
    if path.contains(';') || path.contains("//") {
        add_variants(path, &mut found);
    }
    if let Some(host) = path.strip_prefix("//").map(|rest| rest.trim_start_matches('/'))
        && !host.is_empty()
    {
        let behind = ["/", host.split_once('/').map_or("", |(_, rest)| rest)].concat();
        add_variants(&behind, &mut found);
        found.push(behind);
    }
    found
}

fn add_variants(path: &str, found: &mut Vec<String>) {
    let dropped: String = path
        .split('/')
        .skip(1)
        .flat_map(|segment| ["/", segment.split(';').next().unwrap_or_default()])
        .collect();
    found.extend([merge(path), merge(&dropped), dropped]);
}

/// Merges slashes.
fn merge(path: &str) -> String {
    let mut merged = String::with_capacity(path.len());
    for part in path.split_inclusive('/') {
        if part != "/" || !merged.ends_with('/') {
            merged.push_str(part);
        }
    }
    merged
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
    /// Whether it matches one reading of a path.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => path == exact,
            Self::Prefix(prefix) => path
                .strip_prefix(prefix.as_str())
                .is_some_and(|rest| prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/')),
            // Of `^/a|/b` only the first branch is anchored by its author; the leftmost match tells.
            Self::AnchoredRegex(_) | Self::Regex(_) if path.len() > MAX_SEARCHED => false,
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
pub struct PublicMatch<'p> {
    identity: Option<&'p Identity>,
    names_methods: bool,
}

impl<'p> PublicMatch<'p> {
    /// Whose tokens are looked at all the same.
    #[must_use]
    pub const fn identity(self) -> Option<&'p Identity> {
        self.identity
    }

    /// Whether the path is public for some methods only.
    #[must_use]
    pub const fn names_methods(self) -> bool {
        self.names_methods
    }
}

impl PublicPaths {
    /// Looks for entries that make this request public, in every reading of its path; the first of those decides that looks at
    /// tokens. CONNECT matches none.
    #[must_use]
    pub fn matching(&self, head: &RequestHead<'_>, path: Option<&PlainPath<'_>>) -> Option<PublicMatch<'_>> {
        let path = path.filter(|_| head.method() != b"CONNECT")?;
        let method = |own: &String| own.as_bytes() == head.method();
        let mut matching = self.0.iter().filter(|public| {
            public.methods.as_ref().is_none_or(|methods| methods.iter().any(method))
                && public.pattern.matches(path.as_str())
        });
        let first = matching.next()?;
        let is_public = |reading: &String| {
            self.0.iter().any(|public| {
                public.methods.as_ref().is_none_or(|methods| methods.iter().any(method))
                    && public.pattern.matches(reading)
            })
        };
        if !path.others.iter().all(is_public) {
            return None;
        }
        let identity = first.identity.as_ref();
        let names_methods = first.methods.is_some();
        let identity = identity.or_else(|| matching.find_map(|public| public.identity.as_ref()));
        Some(PublicMatch { identity, names_methods })
    }

    /// Whether together they match every path there is, as far as a few unlikely ones can tell.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        let is_public = |path: &str| self.0.iter().any(|public| public.pattern.matches(path));
        ["/", "/a", "/~jwtproxy/42/Probe.x", "/\u{e9}/-/_", "/index.html"].into_iter().all(is_public)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalised_or_refused() {
        let plain = |path: &str| PlainPath::new(path.as_bytes()).map(|path| path.plain.into_owned());
        for (path, normal) in [
            ("/", "/"),
            ("/a/./b/../c", "/a/c"),
            ("/a/..", "/"),
            ("/../../a", "/a"),
            ("/a/%2e%2e/b", "/b"),
            ("//a//b", "//a//b"),
            ("/%61%20b", "/a b"),
            ("/a;x=1/b", "/a;x=1/b"),
            ("/...", "/..."),
            ("/a/.", "/a/"),
        ] {
            assert_eq!(plain(path).as_deref(), Some(normal), "{path}");
        }
        for path in [
            "",
            "*",
            "a",
            "/a/%2e%2e/../b",
            "/a/b/%2E/../c",
            "/a%2Fb",
            "/a%2fb",
            "/a%5Cb",
            "/a%00",
            "/a\\b",
            "/..;/b",
            "/.;x",
            "/a%252F",
            "/a#/../b",
            "/%zz",
            "/%ff",
        ] {
            assert_eq!(plain(path), None, "{path}");
        }
    }

    #[test]
    fn servers_may_merge_slashes_drop_parameters_and_take_a_segment_for_a_host() {
        let readings = |path: &str| {
            let path = PlainPath::new(path.as_bytes()).unwrap();
            path.readings().map(str::to_owned).collect::<Vec<_>>()
        };
        for path in ["/", "/a/../b", "/a/../b/", "/a/./", "/a/.../b", "/a%20b"] {
            assert_eq!(readings(path).len(), 1, "{path}");
        }
        assert_eq!(readings("/a//b/"), ["/a//b/", "/a/b/"]);
        assert_eq!(readings("/a;x/%62;y"), ["/a;x/b;y", "/a/b"]);
        assert_eq!(readings("/a;/.."), ["/"]);
        assert_eq!(readings("/a/%3b/b"), ["/a/;/b", "/a//b", "/a/b"]);
        assert_eq!(readings("/a//b;x"), ["/a//b;x", "/a//b", "/a/b", "/a/b;x"]);
        assert_eq!(readings("//a/b"), ["//a/b", "/a/b", "/b"]);
        assert_eq!(readings("///a"), ["///a", "/", "/a"]);
        assert_eq!(readings("//"), ["//", "/"]);
        assert_eq!(readings("/a/b%3F/c"), ["/a/b?/c", "/a/b"]);
        assert_eq!(readings("/a/b%23/../c"), ["/a/c", "/a/b"]);
    }

    #[test]
    fn slashes_may_be_merged_before_dot_segments_are_resolved() {
        for path in [
            "/a//../b",
            "/a/;x/../b",
            "//..",
            "/a/%2e%2e//b",
            "/a/%3b/../b",
            "/..//",
            "/a//..%3f",
            "/a/..%3f",
            "/a/%23/../b",
        ] {
            assert_eq!(PlainPath::new(path.as_bytes()), None, "{path}");
        }
    }

    #[test]
    fn a_path_in_many_readings_has_a_limit() {
        let is_read = |path: String| PlainPath::new(path.as_bytes()).is_some();
        assert!(is_read(["/", &"a".repeat(60_000)].concat()));
        assert!(
            is_read(["/", &"%61".repeat(2000)].concat()) && !is_read(["/", &"%61".repeat(3000)].concat())
        );
        assert!(
            is_read(["/;", &"a".repeat(8000)].concat()) && !is_read(["/a;/", &"a".repeat(5000)].concat())
        );
    }

    #[test]
    fn a_prefix_ends_at_a_segment() {
        let matches = |prefix: &str, path: &str| PathPattern::Prefix(prefix.into()).matches(path);
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

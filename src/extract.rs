//! Where a request may carry a token, and how to take it out again to the byte.

use std::borrow::Cow;

use crate::address::{filter_query, form_decode};
use crate::cookie;
use crate::http::{HeadEdit, RequestHead, cut};

/// A place where a token may stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// A cookie of that name.
    Cookie(String),
    /// A header, behind a scheme and one space if there is one (RFC 6750 section 2.1).
    Header {
        /// Its name, in lower case.
        name: String,
        /// The scheme, compared without regard to case (RFC 9110 section 11.1).
        scheme: Option<String>,
    },
    /// A query parameter of that name (RFC 6750 section 2.3).
    Query(String),
}

/// The kind of a source, which decides what a token found there may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// Browsers send it by themselves, so other sites can make them.
    Cookie,
    /// Only a program sets it.
    Header,
    /// Anybody can write a link with it.
    Query,
}

impl TokenSource {
    /// Whether both find the same values; schemes do not differ by case.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let lower = |scheme: &Option<String>| scheme.as_ref().map(|scheme| scheme.to_ascii_lowercase());
        match (self, other) {
            (Self::Header { name: a, scheme: x }, Self::Header { name: b, scheme: y }) => {
                a == b && lower(x) == lower(y)
            }
            (a, b) => a == b,
        }
    }

    /// Its kind.
    #[must_use]
    pub const fn carrier(&self) -> Carrier {
        match self {
            Self::Cookie(_) => Carrier::Cookie,
            Self::Header { .. } => Carrier::Header,
            Self::Query(_) => Carrier::Query,
        }
    }
}

/// A value found at a source, which may or may not be a token.
#[derive(Clone, Debug)]
pub struct Candidate<'r> {
    /// The kind of its source.
    pub carrier: Carrier,
    value: Cow<'r, [u8]>,
    place: Place,
}

/// Where a candidate stands: which source, which line or query, which part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    source: usize,
    line: usize,
    part: usize,
}

impl Candidate<'_> {
    /// The value as text; a token is ASCII, so anything else is none.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.value).ok()
    }
}

/// What of the credentials the upstream sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForwardToken {
    /// Everything that came (profile jwtproxy only).
    Everything,
    /// The token that was accepted, in a header of its own.
    Header {
        /// Its name, in lower case.
        name: String,
        /// What stands before the token, with a space.
        scheme: Option<String>,
    },
    /// No token.
    No,
    /// The token that was accepted, where it was found.
    Winner,
}

/// The configured sources, in order of priority.
#[derive(Clone, Debug)]
pub struct TokenSources(Vec<TokenSource>);

impl TokenSources {
    /// Sources in order of priority.
    #[must_use]
    pub const fn new(sources: Vec<TokenSource>) -> Self {
        Self(sources)
    }

    /// Every value at every source, in order of priority; an empty one is no credential.
    #[must_use]
    pub fn candidates<'r>(&self, head: &RequestHead<'r>) -> Vec<Candidate<'r>> {
        let mut found = Vec::new();
        for (source, token_source) in self.0.iter().enumerate() {
            found.extend(occurrences(head, source, token_source));
        }
        found.retain(|candidate| !candidate.value.is_empty());
        found
    }

    /// The first value of the first source that has one, as JwtProxy looks for it: later occurrences at one source do
    /// not count, nor does a parameter whose escapes are broken or that has a semicolon (Go's `url.ParseQuery`).
    #[must_use]
    pub fn first_found<'r>(&self, head: &RequestHead<'r>) -> Option<Candidate<'r>> {
        self.0.iter().enumerate().find_map(|(source, token_source)| {
            let first = match token_source {
                TokenSource::Query(_) => occurrences(head, source, token_source)
                    .into_iter()
                    .find(|candidate| !candidate.value.iter().any(|byte| matches!(byte, b'%' | b';'))),
                TokenSource::Cookie(_) => occurrences(head, source, token_source).into_iter().next(),
                TokenSource::Header { name, scheme } => head.value(name).and_then(|line| {
                    // Envoy joins the lines of `Authorization` by commas.
                    let line = if name == "authorization" { cut(line, b',').0 } else { line };
                    let value = after_scheme(line, scheme.as_deref())?;
                    let place = Place { source, line: 0, part: 0 };
                    Some(Candidate { carrier: Carrier::Header, value: Cow::Borrowed(value), place })
                }),
            };
            first.filter(|candidate| !candidate.value.is_empty())
        })
    }

    /// The edits that take out every token at the sources but `keep`; a value that does not look like a token is the
    /// application's own and stays.
    #[must_use]
    pub fn strip(&self, head: &RequestHead<'_>, keep: Option<&Candidate<'_>>) -> Vec<HeadEdit> {
        let keep = keep.map(|candidate| candidate.place);
        let mut edits = Vec::new();
        // Several parameter names share one query: all of them are taken out at once.
        if let Some(target) = self.stripped_target(head, keep) {
            edits.push(HeadEdit::Set(":path".into(), target));
        }
        // So do several sources on one header.
        let mut done: Vec<&str> = Vec::new();
        for token_source in &self.0 {
            let name = match token_source {
                TokenSource::Query(_) => continue,
                TokenSource::Cookie(_) => "cookie",
                TokenSource::Header { name, .. } => name,
            };
            if !done.contains(&name) {
                done.push(name);
                edits.extend(edited_lines(head, name, |line, text| match token_source {
                    TokenSource::Cookie(_) => self.stripped_cookies(line, text, keep),
                    TokenSource::Header { .. } | TokenSource::Query(_) => {
                        self.stripped_header(name, line, text, keep)
                    }
                }));
            }
        }
        edits
    }

    fn stripped_header(&self, name: &str, line: usize, text: &[u8], keep: Option<Place>) -> Option<Vec<u8>> {
        let mut goes = false;
        for (source, token_source) in self.0.iter().enumerate() {
            if let TokenSource::Header { name: own, scheme } = token_source
                && own == name
                && let Some(value) = after_scheme(text, scheme.as_deref())
            {
                if keep == Some(Place { source, line, part: 0 }) {
                    return Some(text.to_vec());
                }
                goes |= looks_like_token(value) || scheme.is_some() && text.contains(&b',');
            }
        }
        (!goes).then(|| text.to_vec())
    }

    fn stripped_cookies(&self, line: usize, text: &[u8], keep: Option<Place>) -> Option<Vec<u8>> {
        let goes = |part: usize, pair: &[u8]| {
            self.0.iter().enumerate().any(|(source, token_source)| match token_source {
                TokenSource::Cookie(name) => {
                    keep != Some(Place { source, line, part })
                        && cookie::value(pair, name).is_some_and(looks_like_token)
                }
                TokenSource::Header { .. } | TokenSource::Query(_) => false,
            })
        };
        let kept = cookie::pairs(text).enumerate().filter(|(part, pair)| !goes(*part, pair));
        let joined = kept.map(|(_, pair)| pair).collect::<Vec<_>>().join(&b';');
        // The space behind a semicolon must not become the first byte of the line.
        let line = if joined.len() == text.len() { &joined } else { joined.trim_ascii_start() };
        (!line.is_empty()).then(|| line.to_vec())
    }

    fn stripped_target(&self, head: &RequestHead<'_>, keep: Option<Place>) -> Option<Vec<u8>> {
        let query = head.query()?;
        let (mut part, mut dropped) = (0_usize, false);
        let kept = filter_query(query, |name, value| {
            let place = |source| Some(Place { source, line: 0, part });
            let drop = looks_like_token(value)
                && self.query_source(name).is_some_and(|source| keep.is_none() || keep != place(source));
            part = part.saturating_add(1);
            dropped |= drop;
            drop
        });
        dropped.then(|| join_target(head.path(), kept))
    }

    /// Path and query without the tokens in it.
    #[must_use]
    pub fn target_without_tokens(&self, head: &RequestHead<'_>) -> Vec<u8> {
        self.stripped_target(head, None).unwrap_or_else(|| head.target().to_vec())
    }

    /// Any path and query without the token parameters, whatever they hold: for addresses that leave this host.
    #[must_use]
    pub fn without_parameters(&self, target: &[u8]) -> Vec<u8> {
        let (path, query) = cut(target, b'?');
        match query {
            None => path.to_vec(),
            Some(query) => {
                join_target(path, filter_query(query, |name, _| self.query_source(name).is_some()))
            }
        }
    }

    fn query_source(&self, name: &[u8]) -> Option<usize> {
        self.0.iter().position(|source| matches!(source, TokenSource::Query(own) if own.as_bytes() == name))
    }

    /// Whether a cookie is among the sources.
    #[must_use]
    pub fn has_cookie(&self) -> bool {
        self.0.iter().any(|source| source.carrier() == Carrier::Cookie)
    }
}

fn join_target(path: &[u8], query: Option<Vec<u8>>) -> Vec<u8> {
    query.map_or_else(|| path.to_vec(), |query| [path, b"?", &query].concat())
}

/// Exactly two dots: a JWS in compact serialization, well-formed or not.
fn looks_like_token(value: &[u8]) -> bool {
    value.split(|byte| *byte == b'.').count() == 3
}

fn occurrences<'r>(head: &RequestHead<'r>, source: usize, token_source: &TokenSource) -> Vec<Candidate<'r>> {
    let carrier = token_source.carrier();
    let candidate = |line, part, value| Candidate { carrier, value, place: Place { source, line, part } };
    match token_source {
        TokenSource::Cookie(name) => head
            .values("cookie")
            .enumerate()
            .flat_map(|(line, text)| {
                cookie::pairs(text).enumerate().map(move |(part, pair)| (line, part, pair))
            })
            .filter_map(|(line, part, pair)| {
                Some(candidate(line, part, Cow::Borrowed(cookie::value(pair, name)?)))
            })
            .collect(),
        TokenSource::Header { name, scheme } => {
            let lines: Vec<_> = head.values(name).collect();
            // Envoy joins the lines of `Authorization` by commas, other hosts need not: either way it is ambiguous.
            if name == "authorization" && lines.len() > 1 {
                return Vec::new();
            }
            lines
                .into_iter()
                .enumerate()
                .filter_map(|(line, text)| {
                    let value = after_scheme(text, scheme.as_deref())?;
                    (scheme.is_none() || !text.contains(&b','))
                        .then(|| candidate(line, 0, Cow::Borrowed(value)))
                })
                .collect()
        }
        TokenSource::Query(name) => head
            .query()
            .into_iter()
            .flat_map(|query| query.split(|byte| *byte == b'&').enumerate())
            .filter_map(|(part, pair)| {
                let (found, value) = cut(pair, b'=');
                (form_decode(found).as_ref() == name.as_bytes())
                    .then(|| candidate(0, part, form_decode(value.unwrap_or_default())))
            })
            .collect(),
    }
}

/// What follows the scheme and one space.
fn after_scheme<'r>(line: &'r [u8], scheme: Option<&str>) -> Option<&'r [u8]> {
    let Some(scheme) = scheme else { return Some(line) };
    let (found, rest) = line.split_at_checked(scheme.len())?;
    found.eq_ignore_ascii_case(scheme.as_bytes()).then(|| rest.strip_prefix(b" "))?
}

/// The edits that make of each line of a header what `edit` says; none if nothing changes.
fn edited_lines(
    head: &RequestHead<'_>,
    name: &str,
    edit: impl Fn(usize, &[u8]) -> Option<Vec<u8>>,
) -> Vec<HeadEdit> {
    let before: Vec<&[u8]> = head.values(name).collect();
    let after: Vec<Vec<u8>> = before.iter().enumerate().filter_map(|(line, text)| edit(line, text)).collect();
    if before == after {
        return Vec::new();
    }
    let mut lines = after.into_iter();
    let Some(first) = lines.next() else { return vec![HeadEdit::Remove(name.to_owned())] };
    let mut edits = vec![HeadEdit::Set(name.to_owned(), first)];
    edits.extend(lines.map(|line| HeadEdit::Add(name.to_owned(), line)));
    edits
}

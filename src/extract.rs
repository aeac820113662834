//! Where a request may carry a token, and how to take it out again to the byte.

use std::borrow::Cow;

use crate::address::{filter_query, form_decode, form_pairs, raw_pairs};
use crate::cookie::{self, Holds};
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
    /// A form that was posted to sign in.
    Form,
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

    /// The name of the header that it stands in.
    fn header(&self) -> Option<&str> {
        match self {
            Self::Cookie(_) => Some("cookie"),
            Self::Header { name, .. } => Some(name),
            Self::Query(_) => None,
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
pub struct Place {
    source: usize,
    line: usize,
    part: usize,
}

impl Candidate<'_> {
    /// The value, which may be anything.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.value
    }

    /// Where it stands.
    #[must_use]
    pub const fn place(&self) -> Place {
        self.place
    }
}

/// The token that was accepted, which need not be looked at again to tell that it is one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Winner {
    /// Where it stands; none: no token was judged.
    pub place: Option<Place>,
    /// Whether it stays there.
    pub stays: bool,
}

impl Winner {
    /// What becomes of the value at a place, if it is the winner.
    fn at(self, place: Place) -> Option<Stripped> {
        (self.place == Some(place)).then_some(if self.stays { Stripped::Stays } else { Stripped::Goes })
    }
}

/// What stripping makes of a line.
#[derive(Debug, PartialEq, Eq)]
enum Stripped {
    Becomes(Vec<u8>),
    Goes,
    Stays,
}

/// The field of a form that holds a token.
const FORM_FIELD: &[u8] = b"token";

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
            find(head, source, token_source, &mut found);
        }
        // Only what is to be signed in with comes in a form, so no place of it matters.
        let place = Place { source: 0, line: 0, part: 0 };
        let fields =
            head.form().into_iter().flat_map(form_pairs).filter(|(name, _)| name.as_ref() == FORM_FIELD);
        found.extend(fields.map(|(_, value)| Candidate { carrier: Carrier::Form, value, place }));
        found.retain(|candidate| !candidate.value.is_empty());
        found
    }

    /// The first value of the first source that has one, as JwtProxy looks for it: later occurrences at one source do
    /// not count, nor does a parameter whose escapes are broken or that has a semicolon (Go's `url.ParseQuery`).
    #[must_use]
    pub fn first_found<'r>(&self, head: &RequestHead<'r>) -> Option<Candidate<'r>> {
        self.0.iter().enumerate().find_map(|(source, token_source)| {
            let mut found = Vec::new();
            find(head, source, token_source, &mut found);
            let mut found = found.into_iter();
            let first = match token_source {
                TokenSource::Query(_) => {
                    found.find(|candidate| !candidate.value.iter().any(|byte| matches!(byte, b'%' | b';')))
                }
                TokenSource::Cookie(_) => found.next(),
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

    /// The edits that take out every token at the sources but what is kept; a value that does not look like a token is
    /// the application's own and stays.
    pub fn strip<'e>(&'e self, head: &RequestHead<'e>, winner: Winner, edits: &mut Vec<HeadEdit<'e>>) {
        // Several parameter names share one query: all of them are taken out at once.
        if let Some(target) = self.stripped_target(head, winner) {
            edits.push(HeadEdit::Set(":path", Cow::Owned(target)));
        }
        if head.value("referer").is_some_and(|page| memchr::memchr(b'?', page).is_some()) {
            edit_lines(head, "referer", edits, |_, text| self.stripped_referer(text));
        }
        let kept = self.kept_part(head, winner);
        // So do several sources on one header.
        for (source, token_source) in self.0.iter().enumerate() {
            let Some(name) = token_source.header() else { continue };
            let done = self.0.iter().take(source).any(|earlier| earlier.header() == Some(name));
            if !done {
                edit_lines(head, name, edits, |line, text| match token_source {
                    TokenSource::Cookie(_) => self.stripped_cookies(line, text, winner, kept),
                    TokenSource::Header { .. } | TokenSource::Query(_) => {
                        self.stripped_header(name, line, text, winner)
                    }
                });
            }
        }
    }

    fn stripped_header(&self, name: &str, line: usize, text: &[u8], winner: Winner) -> Stripped {
        let mut stripped = Stripped::Stays;
        for (source, token_source) in self.0.iter().enumerate() {
            if let TokenSource::Header { name: own, scheme } = token_source
                && own == name
                && let Some(value) = after_scheme(text, scheme.as_deref())
            {
                let goes = || looks_like_token(value) || scheme.is_some() && has_comma(text);
                match winner.at(Place { source, line, part: 0 }) {
                    Some(Stripped::Stays) => return Stripped::Stays,
                    Some(_) => stripped = Stripped::Goes,
                    None if goes() => stripped = Stripped::Goes,
                    None => {}
                }
            }
        }
        stripped
    }

    /// The first part of the winner, if it stays and came in several.
    fn kept_part<'r>(&self, head: &RequestHead<'r>, winner: Winner) -> Option<cookie::Part<'r>> {
        let Winner { place: Some(Place { source, line, part }), stays: true } = winner else { return None };
        let Some(TokenSource::Cookie(name)) = self.0.get(source) else { return None };
        let pair = cookie::pairs(head.values("cookie").nth(line)?).nth(part)?;
        match cookie::holds(pair, name)? {
            Holds::Part(part) => Some(part),
            Holds::Token(_) => None,
        }
    }

    fn stripped_cookies(
        &self,
        line: usize,
        text: &[u8],
        winner: Winner,
        kept_part: Option<cookie::Part<'_>>,
    ) -> Stripped {
        if text.is_empty() {
            return Stripped::Goes;
        }
        let goes = |part: usize, pair: &[u8]| {
            self.0.iter().enumerate().any(|(source, token_source)| match token_source {
                TokenSource::Cookie(name) => cookie::holds(pair, name).is_some_and(|holds| match holds {
                    Holds::Token(value) => {
                        let own = winner.at(Place { source, line, part });
                        own.map_or_else(|| looks_like_token(value), |own| own == Stripped::Goes)
                    }
                    Holds::Part(part) => !kept_part.is_some_and(|kept| kept.is_of_the_token_of(&part)),
                }),
                TokenSource::Header { .. } | TokenSource::Query(_) => false,
            })
        };
        let (mut kept, mut all) = (Vec::with_capacity(text.len()), true);
        for (part, pair) in cookie::pairs(text).enumerate() {
            if goes(part, pair) {
                all = false;
            } else {
                kept.extend_from_slice(pair);
                kept.push(b';');
            }
        }
        kept.pop();
        // The space behind a semicolon must not become the first byte of the line.
        let spaces = kept.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        kept.drain(..spaces);
        match (all, kept.is_empty()) {
            (true, _) => Stripped::Stays,
            (false, true) => Stripped::Goes,
            (false, false) => Stripped::Becomes(kept),
        }
    }

    fn stripped_target(&self, head: &RequestHead<'_>, winner: Winner) -> Option<Vec<u8>> {
        let query = head.query()?;
        let goes = |part: usize, name: &[u8], value: &[u8]| {
            self.query_source(name).is_some_and(|source| {
                let own = winner.at(Place { source, line: 0, part });
                own.map_or_else(|| looks_like_token(&form_decode(value)), |own| own == Stripped::Goes)
            })
        };
        let mut pairs = raw_pairs(query).enumerate();
        let any = pairs.any(|(part, (name, value))| goes(part, name, value));
        any.then(|| join_target(head.path(), filter_query(query, goes)))
    }

    /// The address of the page that asks: that of a frame whose browser keeps no cookie, or of a link just opened, holds the
    /// token.
    fn stripped_referer(&self, text: &[u8]) -> Stripped {
        let (page, query) = cut(text, b'?');
        let goes = |_, name: &[u8], value: &[u8]| {
            self.query_source(name).is_some() && looks_like_token(&form_decode(value))
        };
        match query.filter(|query| raw_pairs(query).any(|(name, value)| goes(0, name, value))) {
            None => Stripped::Stays,
            Some(query) => Stripped::Becomes(join_target(page, filter_query(query, goes))),
        }
    }

    /// Path and query without the tokens in it.
    #[must_use]
    pub fn target_without_tokens(&self, head: &RequestHead<'_>) -> Vec<u8> {
        self.stripped_target(head, Winner::default()).unwrap_or_else(|| head.target().to_vec())
    }

    /// Any path and query without the token parameters, whatever they hold: for addresses that leave this host.
    #[must_use]
    pub fn without_parameters(&self, target: &[u8]) -> Vec<u8> {
        let (path, query) = cut(target, b'?');
        match query {
            None => path.to_vec(),
            Some(query) => {
                join_target(path, filter_query(query, |_, name, _| self.query_source(name).is_some()))
            }
        }
    }

    /// The source of a parameter, by its name as it came.
    fn query_source(&self, name: &[u8]) -> Option<usize> {
        let name = form_decode(name);
        self.0.iter().position(|source| matches!(source, TokenSource::Query(own) if own.as_bytes() == &*name))
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

/// Several credentials, or what Envoy joined of several lines.
fn has_comma(text: &[u8]) -> bool {
    memchr::memchr(b',', text).is_some()
}

/// Exactly two dots: a JWS in compact serialization, well-formed or not.
fn looks_like_token(value: &[u8]) -> bool {
    memchr::memchr_iter(b'.', value).take(3).count() == 2
}

/// Adds every value of one source.
fn find<'r>(
    head: &RequestHead<'r>,
    source: usize,
    token_source: &TokenSource,
    found: &mut Vec<Candidate<'r>>,
) {
    let carrier = token_source.carrier();
    let mut add = |line, part, value: Cow<'r, [u8]>| {
        found.push(Candidate { carrier, value, place: Place { source, line, part } });
    };
    match token_source {
        TokenSource::Cookie(name) => {
            let mut parts = Vec::new();
            for (line, text) in head.values("cookie").enumerate() {
                for (part, pair) in cookie::pairs(text).enumerate() {
                    match cookie::holds(pair, name) {
                        Some(Holds::Token(value)) => add(line, part, Cow::Borrowed(value)),
                        Some(Holds::Part(of_token)) => parts.push(((line, part), of_token)),
                        None => {}
                    }
                }
            }
            for ((line, part), token) in cookie::join(&parts) {
                add(line, part, Cow::Owned(token));
            }
        }
        TokenSource::Header { name, scheme } => {
            // Envoy joins the lines of `Authorization` by commas, other hosts need not: either way it is ambiguous.
            if name == "authorization" && head.values(name).nth(1).is_some() {
                return;
            }
            for (line, text) in head.values(name).enumerate() {
                if let Some(value) = after_scheme(text, scheme.as_deref())
                    && (scheme.is_none() || !has_comma(text))
                {
                    add(line, 0, Cow::Borrowed(value));
                }
            }
        }
        TokenSource::Query(name) => {
            for (part, (found, value)) in head.query().map(raw_pairs).into_iter().flatten().enumerate() {
                if form_decode(found).as_ref() == name.as_bytes() {
                    add(0, part, form_decode(value));
                }
            }
        }
    }
}

/// What follows the scheme and one space.
fn after_scheme<'r>(line: &'r [u8], scheme: Option<&str>) -> Option<&'r [u8]> {
    let Some(scheme) = scheme else { return Some(line) };
    let (found, rest) = line.split_at_checked(scheme.len())?;
    found.eq_ignore_ascii_case(scheme.as_bytes()).then(|| rest.strip_prefix(b" "))?
}

/// The edits that make of each line of a header what `strip` says; none if nothing changes.
fn edit_lines<'e>(
    head: &RequestHead<'e>,
    name: &'e str,
    edits: &mut Vec<HeadEdit<'e>>,
    strip: impl Fn(usize, &'e [u8]) -> Stripped,
) {
    let stripped: Vec<Stripped> =
        head.values(name).enumerate().map(|(line, text)| strip(line, text)).collect();
    if stripped.iter().all(|stripped| *stripped == Stripped::Stays) {
        return;
    }
    let mut kept =
        stripped.into_iter().zip(head.values(name)).filter_map(|(stripped, text)| match stripped {
            Stripped::Becomes(text) => Some(Cow::Owned(text)),
            Stripped::Goes => None,
            Stripped::Stays => Some(Cow::Borrowed(text)),
        });
    let Some(first) = kept.next() else { return edits.push(HeadEdit::Remove(name)) };
    edits.push(HeadEdit::Set(name, first));
    edits.extend(kept.map(|line| HeadEdit::Add(name, line)));
}

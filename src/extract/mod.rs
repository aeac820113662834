//! Where a request may carry a token, and how to take it out again to the byte.

mod strip;

use std::borrow::Cow;

use crate::address::{filter_query, form_decode, form_pairs, raw_pairs};
use crate::cookie::{self, Holds};
use crate::http::{RequestHead, cut};
use crate::jwt::Base64Url;
use crate::lenient::{is_twin, looks_like_token};

/// A place where a token may stand, and the form that it has there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSource {
    /// The place.
    pub at: SourceKind,
    /// The form.
    pub form: Base64Url,
}

/// A place where a token may stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// A cookie.
    Cookie {
        /// Its name.
        name: String,
        /// The scheme that stands before the token, with a space.
        scheme: Option<String>,
    },
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
        let has_scheme = match (&self.at, &other.at) {
            (SourceKind::Header { scheme: a, .. }, SourceKind::Header { scheme: b, .. })
            | (SourceKind::Cookie { scheme: a, .. }, SourceKind::Cookie { scheme: b, .. }) => {
                lower(a) == lower(b)
            }
            _ => true,
        };
        self.has_place_of(other) && has_scheme && self.form == other.form
    }

    /// Whether both look at the same values.
    fn has_place_of(&self, other: &Self) -> bool {
        match (&self.at, &other.at) {
            (SourceKind::Header { name: a, .. }, SourceKind::Header { name: b, .. })
            | (SourceKind::Cookie { name: a, .. }, SourceKind::Cookie { name: b, .. })
            | (SourceKind::Query(a), SourceKind::Query(b)) => a == b,
            _ => false,
        }
    }

    /// The name of the header that it stands in.
    fn header(&self) -> Option<&str> {
        match &self.at {
            SourceKind::Cookie { .. } => Some("cookie"),
            SourceKind::Header { name, .. } => Some(name),
            SourceKind::Query(_) => None,
        }
    }

    /// Its kind.
    #[must_use]
    pub const fn carrier(&self) -> Carrier {
        match self.at {
            SourceKind::Cookie { .. } => Carrier::Cookie,
            SourceKind::Header { .. } => Carrier::Header,
            SourceKind::Query(_) => Carrier::Query,
        }
    }
}

/// A value found at a source, which may or may not be a token.
#[derive(Clone, Debug)]
pub struct Candidate<'r> {
    /// The kind of its source.
    pub carrier: Carrier,
    /// The form that a token has at its source.
    pub form: Base64Url,
    value: Cow<'r, [u8]>,
    place: Place,
}

/// Where a candidate stands: which source, the first of those that look there, which line or query, which part of it.
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

    /// Whether it looks like a token; else it may be the application's own.
    #[must_use]
    pub fn looks_like_token(&self) -> bool {
        looks_like_token(&self.value)
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

/// What is taken out of a request.
#[derive(Clone, Copy, Debug)]
pub enum Taken {
    /// Every credential, token or not: nobody asked for any.
    Credentials,
    /// No credential.
    Nothing,
    /// What looks like a token, but for the winner that stays.
    Tokens(Winner),
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

    /// The values at every source, in order of priority, the first [`LOOKED_AT`] of each; an empty one is no credential.
    #[must_use]
    pub fn candidates<'r>(&self, head: &RequestHead<'r>) -> Vec<Candidate<'r>> {
        let mut found = Vec::new();
        for (source, token_source) in self.0.iter().enumerate() {
            find(head, self.first_at(source, token_source), token_source, &mut found);
        }
        // It becomes a cookie.
        let form = self.cookie().map(|cookie| cookie.form).unwrap_or_default();
        // Only what is to be signed in with comes in a form, so no place of it matters.
        let place = Place { source: 0, line: 0, part: 0 };
        let fields =
            head.form().into_iter().flat_map(form_pairs).filter(|(name, _)| name.as_ref() == FORM_FIELD);
        found.extend(first_of(fields, |(_, value)| value.is_empty()).map(|(_, value)| Candidate {
            carrier: Carrier::Form,
            form,
            value,
            place,
        }));
        found.retain(|candidate| !candidate.value.is_empty());
        found
    }

    /// The first value of the first source that has one, as JwtProxy looks for it: later occurrences at one source do
    /// not count, nor does a parameter whose escapes are broken or that has a semicolon (Go's `url.ParseQuery`).
    #[must_use]
    pub fn first_found<'r>(&self, head: &RequestHead<'r>) -> Option<Candidate<'r>> {
        self.0.iter().enumerate().find_map(|(source, token_source)| {
            let mut found = Vec::new();
            find(head, self.first_at(source, token_source), token_source, &mut found);
            let mut found = found.into_iter();
            let first = match &token_source.at {
                SourceKind::Query(_) => {
                    found.find(|candidate| !candidate.value.iter().any(|byte| matches!(byte, b'%' | b';')))
                }
                SourceKind::Cookie { .. } => found.next(),
                SourceKind::Header { name, scheme } => head.value(name).and_then(|line| {
                    // Envoy joins the lines of `Authorization` by commas.
                    let line = if name == "authorization" { cut(line, b',').0 } else { line };
                    let value = after_scheme(line, scheme.as_deref())?;
                    let place = Place { source: self.first_at(source, token_source), line: 0, part: 0 };
                    let form = token_source.form;
                    Some(Candidate { carrier: Carrier::Header, form, value: Cow::Borrowed(value), place })
                }),
            };
            first.filter(|candidate| !candidate.value.is_empty())
        })
    }

    /// Path and query without the tokens in it.
    #[must_use]
    pub fn target_without_tokens(&self, head: &RequestHead<'_>) -> Vec<u8> {
        let taken = Taken::Tokens(Winner::default());
        self.stripped_target(head, taken, false).unwrap_or_else(|| head.target().to_vec())
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
        self.0
            .iter()
            .position(|source| matches!(&source.at, SourceKind::Query(own) if own.as_bytes() == &*name))
    }

    /// Whether some reader takes a header of that name for a source.
    #[must_use]
    pub fn has_header_like(&self, name: &str) -> bool {
        self.0.iter().filter_map(TokenSource::header).any(|own| is_twin(name, own))
    }

    /// Whether a cookie is among the sources.
    #[must_use]
    pub fn has_cookie(&self) -> bool {
        self.cookie().is_some()
    }

    /// The first source that is a cookie, as which a token is kept.
    fn cookie(&self) -> Option<&TokenSource> {
        self.0.iter().find(|source| source.carrier() == Carrier::Cookie)
    }

    /// The scheme with which a token is kept in a cookie.
    #[must_use]
    pub fn cookie_scheme(&self) -> Option<&str> {
        match &self.cookie()?.at {
            SourceKind::Cookie { scheme, .. } => scheme.as_deref(),
            SourceKind::Header { .. } | SourceKind::Query(_) => None,
        }
    }

    /// Whether a token of that form is taken from the cookie that it would become.
    #[must_use]
    pub fn keeps(&self, form: Base64Url) -> bool {
        self.cookie().is_some_and(|cookie| {
            let kept = TokenSource { at: cookie.at.clone(), form };
            self.0.iter().any(|source| source.is_same(&kept))
        })
    }

    /// The form of a source whose tokens cannot become cookies.
    #[must_use]
    pub fn unkept_form(&self) -> Option<Base64Url> {
        self.0.iter().map(|source| source.form).find(|form| !self.keeps(*form))
    }

    /// Whether the parameter of that name is a source.
    #[must_use]
    pub fn has_parameter(&self, name: &str) -> bool {
        self.0.iter().any(|source| matches!(&source.at, SourceKind::Query(own) if own == name))
    }

    /// The first source that looks where this one does.
    fn first_at(&self, source: usize, token_source: &TokenSource) -> usize {
        self.0.iter().position(|other| other.has_place_of(token_source)).unwrap_or(source)
    }
}

fn join_target(path: &[u8], query: Option<Vec<u8>>) -> Vec<u8> {
    query.map_or_else(|| path.to_vec(), |query| [path, b"?", &query].concat())
}

/// Several credentials, or what Envoy joined of several lines.
fn has_comma(text: &[u8]) -> bool {
    memchr::memchr(b',', text).is_some()
}

/// So many values of one source are looked at. A person has one, or a few that others left; more cost time and tell nothing.
const LOOKED_AT: usize = 32;

/// The first of some values; empty ones, which are no credentials, do not count.
fn first_of<T>(values: impl Iterator<Item = T>, is_empty: impl Fn(&T) -> bool) -> impl Iterator<Item = T> {
    let mut looked_at = 0_usize;
    values.take_while(move |value| {
        looked_at = looked_at.saturating_add(usize::from(!is_empty(value)));
        looked_at <= LOOKED_AT
    })
}

/// Adds the values of one source, the first [`LOOKED_AT`] of them.
fn find<'r>(
    head: &RequestHead<'r>,
    source: usize,
    token_source: &TokenSource,
    found: &mut Vec<Candidate<'r>>,
) {
    let (carrier, form) = (token_source.carrier(), token_source.form);
    let mut add = |line, part, value: Cow<'r, [u8]>| {
        found.push(Candidate { carrier, form, value, place: Place { source, line, part } });
    };
    match &token_source.at {
        SourceKind::Cookie { name, scheme } => {
            let mut parts = Vec::new();
            let pairs = head.values("cookie").enumerate().flat_map(|(line, text)| {
                cookie::pairs(text).enumerate().map(move |(part, pair)| ((line, part), pair))
            });
            let ours = pairs.filter_map(|(place, pair)| Some((place, cookie::holds(pair, name)?)));
            let is_empty = |holds: &Holds<'_>| matches!(holds, Holds::Token(b""));
            for ((line, part), holds) in first_of(ours, |(_, holds)| is_empty(holds)) {
                match holds {
                    Holds::Token(value) => {
                        if let Some(value) = after_cookie_scheme(value, scheme.as_deref()) {
                            add(line, part, Cow::Borrowed(value));
                        }
                    }
                    Holds::Part(of_token) => parts.push(((line, part), of_token)),
                }
            }
            for ((line, part), token) in cookie::join(&parts) {
                add(line, part, Cow::Owned(token));
            }
        }
        SourceKind::Header { name, scheme } => {
            // Envoy joins the lines of `Authorization` by commas, other hosts need not: either way it is ambiguous.
            if name == "authorization" && head.values(name).nth(1).is_some() {
                return;
            }
            for (line, text) in head.values(name).enumerate().take(LOOKED_AT) {
                if let Some(value) = after_scheme(text, scheme.as_deref())
                    && (scheme.is_none() || !has_comma(text))
                {
                    add(line, 0, Cow::Borrowed(value));
                }
            }
        }
        SourceKind::Query(name) => {
            let pairs = head.query().map(raw_pairs).into_iter().flatten().enumerate();
            let ours = pairs.filter(|(_, (found, _))| form_decode(found).as_ref() == name.as_bytes());
            for (part, (_, value)) in first_of(ours, |(_, (_, value))| value.is_empty()) {
                add(0, part, form_decode(value));
            }
        }
    }
}

/// What follows the scheme in a cookie, and one space, which many escape (RFC 6265 section 4.1.1 has none in a value).
fn after_cookie_scheme<'r>(value: &'r [u8], scheme: Option<&str>) -> Option<&'r [u8]> {
    after_scheme(value, scheme).or_else(|| {
        let (found, rest) = value.split_at_checked(scheme?.len())?;
        found.eq_ignore_ascii_case(scheme?.as_bytes()).then(|| rest.strip_prefix(b"%20"))?
    })
}

/// What follows the scheme and one space.
fn after_scheme<'r>(line: &'r [u8], scheme: Option<&str>) -> Option<&'r [u8]> {
    let Some(scheme) = scheme else { return Some(line) };
    let (found, rest) = line.split_at_checked(scheme.len())?;
    found.eq_ignore_ascii_case(scheme.as_bytes()).then(|| rest.strip_prefix(b" "))?
}

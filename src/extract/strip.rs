//! Taking tokens out of a request, to the byte.

use std::borrow::Cow;

use super::{
    Place, TokenSource, TokenSources, Winner, after_scheme, has_comma, join_target, looks_like_token,
};
use crate::address::{filter_query, form_decode, raw_pairs};
use crate::cookie::{self, Holds};
use crate::http::{HeadEdit, RequestHead, cut};

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

impl TokenSources {
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

    pub(super) fn stripped_target(&self, head: &RequestHead<'_>, winner: Winner) -> Option<Vec<u8>> {
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

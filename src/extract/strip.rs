//! Taking tokens out of a request, to the byte.

use std::borrow::Cow;
use std::ops::Range;

use super::{Carrier, Place, SourceKind, Taken, TokenSources, Winner, after_scheme, has_comma, join_target};
use crate::address::form_decode;
use crate::cookie::{self, Holds};
use crate::http::{HeadEdit, RequestHead, cut, has_many};
use crate::lenient::{
    METHOD_PARAMETER, first_sign_of_token, hides_token, is_twin, mentions, overrides_method, reads_as, twins,
};

/// What is logged of a longer query is nothing, in bytes: to look for tokens in it costs more than it tells.
const MAX_LOGGED: usize = 8192;

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
    /// The edits that take out of a request what is `taken`, and, if so, what gives it another method. A value that does not look
    /// like a token is the application's own and stays.
    pub fn strip<'e>(
        &'e self,
        head: &RequestHead<'e>,
        taken: Taken,
        overrides: bool,
        edits: &mut Vec<HeadEdit<'e>>,
    ) {
        // Several parameter names share one query: all of them are taken out at once.
        if let Some(target) = self.stripped_target(head, taken, overrides) {
            edits.push(HeadEdit::Set(":path", Cow::Owned(target)));
        }
        if overrides {
            edits.extend(head.names().filter(|name| overrides_method(name)).map(HeadEdit::Remove));
        }
        match taken {
            Taken::Nothing => return,
            Taken::Credentials => {
                let names = head.names().filter(|name| self.is_credential(name));
                edits.extend(names.map(HeadEdit::Remove));
            }
            Taken::Tokens(winner) => self.strip_headers(head, winner, edits),
        }
        if head.value("referer").is_some_and(|page| memchr::memchr(b'?', page).is_some()) {
            edit_lines(head, "referer", edits, |_, text| self.stripped_referer(text));
        }
    }

    fn strip_headers<'e>(&'e self, head: &RequestHead<'e>, winner: Winner, edits: &mut Vec<HeadEdit<'e>>) {
        let kept = self.kept_part(head, winner);
        // Several sources share one header.
        for (source, token_source) in self.0.iter().enumerate() {
            let Some(name) = token_source.header() else { continue };
            if self.0.iter().take(source).any(|earlier| earlier.header() == Some(name)) {
                continue;
            }
            edit_lines(head, name, edits, |line, text| match token_source.at {
                SourceKind::Cookie { .. } => self.stripped_cookies(line, text, winner, kept),
                SourceKind::Header { .. } | SourceKind::Query(_) => {
                    self.stripped_header(name, line, text, winner)
                }
            });
            if name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                continue;
            }
            let is_own = |found: &str| self.0.iter().any(|own| own.header() == Some(found));
            let others = twins(head, name).filter(|found| !is_own(found));
            edits.extend(others.map(HeadEdit::Remove));
        }
    }

    fn stripped_header(&self, name: &str, line: usize, text: &[u8], winner: Winner) -> Stripped {
        let mut stripped = Stripped::Stays;
        for (source, token_source) in self.0.iter().enumerate() {
            let SourceKind::Header { name: own, scheme } = &token_source.at else { continue };
            if own != name {
                continue;
            }
            let goes = || match (after_scheme(text, scheme.as_deref()), scheme) {
                (Some(value), _) if first_sign_of_token(value).is_some() => true,
                (Some(_), scheme) => scheme.is_some() && has_comma(text),
                (None, scheme) => scheme.as_ref().is_some_and(|scheme| mentions(text, scheme)),
            };
            match winner.at(Place { source, line, part: 0 }) {
                Some(Stripped::Stays) => return Stripped::Stays,
                Some(_) => stripped = Stripped::Goes,
                None if goes() => stripped = Stripped::Goes,
                None => {}
            }
        }
        stripped
    }

    /// The first part of the winner, if it stays and came in several.
    fn kept_part<'r>(&self, head: &RequestHead<'r>, winner: Winner) -> Option<cookie::Part<'r>> {
        let Winner { place: Some(Place { source, line, part }), stays: true } = winner else { return None };
        let SourceKind::Cookie { name, .. } = &self.0.get(source)?.at else { return None };
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
            self.0.iter().enumerate().any(|(source, token_source)| match &token_source.at {
                // One that looks where another does has no place of its own.
                SourceKind::Cookie { .. } if self.first_at(source, token_source) != source => false,
                SourceKind::Cookie { name, .. } => match cookie::holds(pair, name) {
                    Some(Holds::Token(value)) => {
                        let own = winner.at(Place { source, line, part });
                        let goes = || first_sign_of_token(value).is_some() || hides_token(pair, name);
                        own.map_or_else(goes, |own| own == Stripped::Goes)
                    }
                    Some(Holds::Part(part)) => !kept_part.is_some_and(|kept| kept.is_of_the_token_of(&part)),
                    None => hides_token(pair, name),
                },
                SourceKind::Header { .. } | SourceKind::Query(_) => false,
            })
        };
        let mut gone = suspects(text)
            .filter(|(part, place)| text.get(place.clone()).is_some_and(|pair| goes(*part, pair)))
            .map(|(_, place)| place)
            .peekable();
        if gone.peek().is_none() {
            return Stripped::Stays;
        }
        let (mut kept, mut from) = (Vec::with_capacity(text.len()), 0);
        for place in gone {
            kept.extend_from_slice(text.get(from..place.start).unwrap_or_default());
            from = place.end.saturating_add(1);
        }
        match text.get(from..) {
            Some(rest) => kept.extend_from_slice(rest),
            // The semicolon before the last pair goes with it.
            None => drop(kept.pop()),
        }
        // The space behind a semicolon must not become the first byte of the line.
        let spaces = kept.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        kept.drain(..spaces);
        if kept.is_empty() { Stripped::Goes } else { Stripped::Becomes(kept) }
    }

    /// Path and query without what is taken out of it; none if nothing is.
    pub(super) fn stripped_target(
        &self,
        head: &RequestHead<'_>,
        taken: Taken,
        overrides: bool,
    ) -> Option<Vec<u8>> {
        let query = head.query()?;
        let is_plain = || first_sign_of_token(query).is_none();
        if matches!(taken, Taken::Nothing | Taken::Tokens(_)) && !overrides && is_plain() {
            return None;
        }
        rewritten(head.path(), query, |part, name, value| {
            let goes = match taken {
                Taken::Nothing => false,
                Taken::Credentials => self.query_source(name).is_some() || self.is_token(name, value),
                Taken::Tokens(winner) => {
                    // Few places can be the winner's, and names may have to be decoded.
                    let is_its_part = winner.place.is_some_and(|place| Some(place.part) == part);
                    let source = if is_its_part { self.query_source(name) } else { None };
                    let place = source.zip(part).map(|(source, part)| Place { source, line: 0, part });
                    let own = place.and_then(|place| winner.at(place));
                    own.map_or_else(|| self.is_token(name, value), |own| own == Stripped::Goes)
                }
            };
            goes || overrides && reads_as(name, METHOD_PARAMETER)
        })
    }

    /// The address of the page that asks: that of a frame whose browser keeps no cookie, or of a link just opened, holds the
    /// token.
    fn stripped_referer(&self, text: &[u8]) -> Stripped {
        let (page, query) = cut(text, b'?');
        if has_many(text) {
            return Stripped::Goes;
        }
        let goes = |_, name: &[u8], value: &[u8]| self.is_token(name, value);
        query.and_then(|query| rewritten(page, query, goes)).map_or(Stripped::Stays, Stripped::Becomes)
    }

    /// The edits that take every parameter of ours, whatever it holds, out of what is logged of a request: by default Envoy
    /// writes its address. A parameter goes whole that holds an address with one of ours.
    #[must_use]
    pub fn hide<'e>(&self, head: &RequestHead<'e>) -> Vec<HeadEdit<'e>> {
        let mut edits = Vec::new();
        if !self.0.iter().any(|source| source.carrier() == Carrier::Query) {
            return edits;
        }
        for name in [":path", "x-envoy-original-path", "referer"] {
            edit_lines(head, name, &mut edits, |_, text| {
                let (before, query) = cut(text, b'?');
                let Some(query) = query else { return Stripped::Stays };
                if query.len() > MAX_LOGGED {
                    return Stripped::Becomes(before.to_vec());
                }
                let goes = |_, name: &[u8], value: &[u8]| self.names_one(name, 0) || self.names_one(value, 1);
                rewritten(before, query, goes).map_or(Stripped::Stays, Stripped::Becomes)
            });
        }
        edits
    }

    /// Whether a parameter of ours stands in a text, which may be encoded several times, behind so many separators.
    fn names_one(&self, text: &[u8], behind: usize) -> bool {
        /// Addresses in addresses: what is encoded more often is not looked at, and not logged.
        const ROUNDS: usize = 4;
        let is_ours = |found: &[u8]| {
            self.0.iter().any(|own| matches!(&own.at, SourceKind::Query(own) if reads_as(found, own)))
        };
        let mut text = Cow::Borrowed(text);
        for _ in 0..ROUNDS {
            let mut parts = text.split(|byte| b"?&;#".contains(byte)).skip(behind);
            if parts.any(|part| is_ours(cut(part, b'=').0)) {
                return true;
            }
            let decoded = memchr::memchr(b'%', &text).map(|_| form_decode(&text).into_owned());
            match decoded {
                Some(decoded) if *decoded != *text => text = Cow::Owned(decoded),
                Some(_) | None => return false,
            }
        }
        true
    }

    /// Whether some reader takes a parameter for a token of ours.
    fn is_token(&self, name: &[u8], value: &[u8]) -> bool {
        let mut sources = self.0.iter();
        first_sign_of_token(value).is_some()
            && sources.any(|own| matches!(&own.at, SourceKind::Query(own) if reads_as(name, own)))
    }

    /// Whether a header of that name holds credentials, ours or not.
    fn is_credential(&self, name: &str) -> bool {
        ["authorization", "cookie", "proxy-authorization"].iter().any(|own| is_twin(name, own))
            || self.has_header_like(name)
    }
}

/// The pairs of a `Cookie` line that have a [sign of a token](first_sign_of_token), each with its number and its place.
fn suspects(line: &[u8]) -> impl Iterator<Item = (usize, Range<usize>)> {
    let (mut next, mut from) = (0_usize, 0_usize);
    std::iter::from_fn(move || {
        let rest = line.get(from..)?;
        let (before, behind) = rest.split_at_checked(first_sign_of_token(rest)?)?;
        let start = memchr::memrchr(b';', before).map_or(0, |at| at.saturating_add(1));
        let end = before.len().saturating_add(memchr::memchr(b';', behind).unwrap_or(behind.len()));
        let part = next.saturating_add(memchr::memchr_iter(b';', before).count());
        let place = from.saturating_add(start)..from.saturating_add(end);
        (next, from) = (part.saturating_add(1), place.end.saturating_add(1));
        Some((part, place))
    })
}

/// What stands before a query, and the query without the parameters that `goes` tells by their number, name and value; none if
/// nothing goes. Semicolons separate parameters, too, for old readers; those behind one have no number.
fn rewritten(
    before: &[u8],
    query: &[u8],
    goes: impl Fn(Option<usize>, &[u8], &[u8]) -> bool,
) -> Option<Vec<u8>> {
    let goes = |part, text| {
        let (name, value) = cut(text, b'=');
        goes(part, name, value.unwrap_or_default())
    };
    let (mut kept, mut any) = (Vec::with_capacity(query.len()), false);
    let mut is_first = true;
    for (part, pair) in query.split(|byte| *byte == b'&').enumerate() {
        let mut separator = b'&';
        if goes(Some(part), pair) {
            any = true;
            continue;
        }
        for (index, text) in pair.split(|byte| *byte == b';').enumerate() {
            if index > 0 && goes(None, text) {
                any = true;
                continue;
            }
            if !is_first {
                kept.push(separator);
            }
            kept.extend_from_slice(text);
            (is_first, separator) = (false, b';');
        }
    }
    any.then(|| join_target(before, (!is_first).then_some(kept)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suspects_are_the_pairs_with_a_sign() {
        for line in [
            "",
            ";",
            "a",
            "a.",
            ".;",
            ";.",
            ";;.;;",
            "a;b.;c",
            "a.b.c;d",
            "a;b;c%;;d.;e",
            "a.;b\\;c%;",
            "a;b",
        ] {
            let line = line.as_bytes();
            let found: Vec<_> =
                suspects(line).map(|(part, place)| (part, line.get(place).unwrap())).collect();
            let pairs = cookie::pairs(line).enumerate();
            let expected: Vec<_> = pairs.filter(|(_, pair)| first_sign_of_token(pair).is_some()).collect();
            assert_eq!(found, expected, "{}", String::from_utf8_lossy(line));
        }
    }
}

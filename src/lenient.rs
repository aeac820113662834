//! What lenient readers behind us make of names and values: what one of them takes for ours must not come from a client.

use std::borrow::Cow;

use memchr::memchr2;
use percent_encoding::percent_decode;

use crate::address::form_decode;
use crate::http::RequestHead;

/// Whether CGI, WSGI or PHP give both headers one name: all that is no letter or digit becomes `_` there.
#[must_use]
pub fn is_twin(found: &str, name: &str) -> bool {
    let is_same = |(found, own): (u8, u8)| {
        found == own
            || found.eq_ignore_ascii_case(&own)
            || !found.is_ascii_alphanumeric() && !own.is_ascii_alphanumeric()
    };
    // Without the pseudo-headers of HTTP/2 there is no request.
    found.len() == name.len() && found.bytes().zip(name.bytes()).all(is_same) && !found.starts_with(':')
}

/// The names of the headers of a request that are twins of that one, itself included.
pub fn twins<'r>(head: &RequestHead<'r>, name: &str) -> impl Iterator<Item = &'r str> {
    head.names_like(name).filter(move |found| is_twin(found, name))
}

/// Headers, and `_method` in a query, by which frameworks take a request for one of another method.
const METHOD_OVERRIDES: [&str; 7] = [
    METHOD_PARAMETER,
    "x-forwarded-method",
    "x-http-method",
    "x-http-method-override",
    "x-method",
    "x-method-override",
    "x-original-method",
];

/// Headers by which frameworks take a request for one of another address.
const PATH_OVERRIDES: [&str; 2] = ["x-original-url", "x-rewrite-url"];

/// The names among those of a request that give it another address.
pub fn path_overrides<'r>(head: &RequestHead<'r>) -> impl Iterator<Item = &'r str> {
    PATH_OVERRIDES.iter().flat_map(|own| twins(head, own))
}

/// The parameter of a query that gives it another method.
pub const METHOD_PARAMETER: &str = "_method";

/// Whether a header of that name gives a request another method.
#[must_use]
pub fn overrides_method(name: &str) -> bool {
    METHOD_OVERRIDES.iter().any(|own| is_twin(name, own))
}

/// Whether some reader takes a cookie or a parameter of that name, as it came, for ours: ASP.NET does not regard case, PHP
/// writes `_` for a dot or a space, some decode the names of cookies, what follows a bracket is an index, brackets around
/// a name are dropped (Rack, qs), and so is what a charset calls white space.
#[must_use]
pub fn reads_as(found: &[u8], name: &str) -> bool {
    let normal = |byte: u8| if matches!(byte, b' ' | b'.' | b'[') { b'_' } else { byte.to_ascii_lowercase() };
    let is_name = |found: &[u8]| {
        found.len() == name.len() && found.iter().copied().map(normal).eq(name.bytes().map(normal))
    };
    if found.len() <= name.len() {
        // Nothing can be decoded or dropped but a plus, which is a space.
        let normal = |byte: u8| if byte == b'+' { b'_' } else { normal(byte) };
        return found.len() == name.len() && found.iter().copied().map(normal).eq(name.bytes().map(normal));
    }
    let found = percent_u_decoded(found);
    let decoded = form_decode(&found);
    let found = trimmed(&decoded, |byte| is_space(byte) || byte == b'?');
    let has_name = |found: &[u8]| {
        is_name(found) || memchr2(b'[', 0, found).is_some_and(|end| found.get(..end).is_some_and(is_name))
    };
    has_name(found) || has_name(trimmed(found, |byte| matches!(byte, b'[' | b']')))
}

/// Without `%u0074`, which Perl's CGI takes for a `t`.
fn percent_u_decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memmem::find(text, b"%u00").is_none() {
        return Cow::Borrowed(text);
    }
    let (mut decoded, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some((byte, behind)) = rest.split_first() {
        let code = rest.strip_prefix(b"%u00").and_then(|code| code.split_first_chunk::<2>());
        let letter = code.and_then(|(digits, _)| u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok());
        let (next, behind) = match (code, letter) {
            (Some((_, behind)), Some(letter)) => (letter, behind),
            _ => (*byte, behind),
        };
        decoded.push(next);
        rest = behind;
    }
    Cow::Owned(decoded)
}

/// White space to some reader: a name of ours is ASCII, and of other charsets any byte may be.
const fn is_space(byte: u8) -> bool {
    byte <= b' ' || byte >= 0x7f
}

/// Without the bytes around it that are so.
fn trimmed(text: &[u8], goes: impl Fn(u8) -> bool) -> &[u8] {
    let start = text.iter().position(|byte| !goes(*byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !goes(*byte)).map_or(start, |end| end.saturating_add(1));
    text.get(start..end).unwrap_or_default()
}

/// Whether some reader takes a value, or a word of it, for a token, well-formed or not: it has two dots (RFC 7515) or four (RFC
/// 7516), or one and a part that is a JSON object in base64, for who only decodes. Dots may be encoded as in an address, as
/// in the quotes of a cookie by their octal number, or as in JSON.
#[must_use]
pub fn looks_like_token(value: &[u8]) -> bool {
    if has_form_of_token(value) {
        return true;
    }
    if memchr2(b'%', b'\\', value).is_none() {
        return false;
    }
    let decoded: Vec<u8> = percent_decode(&with_dots(value)).collect();
    has_form_of_token(&decoded)
        || memchr2(b'%', b'\\', &decoded).is_some() && has_form_of_token(&with_dots(&decoded))
}

/// Where a text has the first of the bytes that no token is without to any reader: a dot, or what may stand for one. A part of
/// a token has a dot in its name. Under a name or scheme of ours nothing more is asked for: some decode white space before an
/// object, skip what is no base64, and do not count parts.
#[must_use]
pub fn first_sign_of_token(text: &[u8]) -> Option<usize> {
    memchr::memchr3(b'.', b'%', b'\\', text)
}

fn has_form_of_token(value: &[u8]) -> bool {
    // What a token or the scheme before it has none of; more than one value may stand there.
    let is_of_a_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
    let has_dots = |text: &[u8]| matches!(memchr::memchr_iter(b'.', text).take(5).count(), 2 | 4);
    let dots = memchr::memchr_iter(b'.', value).take(5).count();
    matches!(dots, 2 | 4)
        || dots > 2 && value.split(|byte| !is_of_a_word(byte)).any(has_dots)
        || dots > 0 && has_object(value)
}

/// Whether a part begins as an object does in base64: `{"`, or a brace or white space and what may follow.
fn has_object(value: &[u8]) -> bool {
    let begins = |at: usize| {
        matches!(value.get(at..).and_then(<[u8]>::first_chunk), Some(b"ey" | b"ew" | b"e3"))
            && at.checked_sub(1).and_then(|at| value.get(at)).is_none_or(|byte| !byte.is_ascii_alphanumeric())
    };
    memchr::memchr_iter(b'e', value).any(begins)
}

/// A dot for each `\056`, `\u002e` and `%u002e`.
fn with_dots(value: &[u8]) -> Vec<u8> {
    let (mut text, mut rest) = (Vec::with_capacity(value.len()), value);
    while let Some((byte, behind)) = rest.split_first() {
        let is_json = matches!(byte, b'\\' | b'%')
            && behind.first_chunk::<5>().is_some_and(|code| code.eq_ignore_ascii_case(b"u002e"));
        let behind_dot = if is_json { behind.get(5..) } else { rest.strip_prefix(b"\\056") };
        text.push(if behind_dot.is_some() { b'.' } else { *byte });
        rest = behind_dot.unwrap_or(behind);
    }
    text
}

/// Whether some reader finds credentials of that scheme in a line, or a token without any: the scheme stands in it as a word,
/// or stuck to others before what could be a token.
#[must_use]
pub fn mentions(line: &[u8], scheme: &str) -> bool {
    let last_dot = memchr::memrchr(b'.', line);
    let is_apart = |byte: Option<&u8>| byte.is_none_or(|byte| !byte.is_ascii_alphanumeric());
    let mut places = line.windows(scheme.len().max(1)).enumerate();
    let is_mentioned = places.any(|(at, word)| {
        word.eq_ignore_ascii_case(scheme.as_bytes())
            && (last_dot.is_some_and(|dot| at < dot)
                || is_apart(at.checked_sub(1).and_then(|at| line.get(at)))
                    && is_apart(line.get(at.saturating_add(word.len()))))
    });
    is_mentioned || first_sign_of_token(line).is_some() && line.split(|byte| *byte == b',').any(is_bare_token)
}

fn is_bare_token(text: &[u8]) -> bool {
    let is_around = |byte: &u8| !byte.is_ascii_alphanumeric();
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=%\\".contains(byte);
    // Padding, and no name before a value.
    let names = |two: &[u8]| matches!(two, [b'=', next] if !matches!(next, b'=' | b'.'));
    let start = text.iter().position(|byte| !is_around(byte)).unwrap_or_default();
    let end = text.iter().rposition(|byte| !is_around(byte)).map_or(0, |end| end.saturating_add(1));
    text.get(start..end).is_some_and(|word| {
        word.iter().all(fits) && !word.windows(2).any(names) && first_sign_of_token(word).is_some()
    })
}

/// Whether some reader finds a token under that name in a pair of a `Cookie` line though the pair has another one: some separate
/// cookies by commas (RFC 2965) or white space, too.
#[must_use]
pub fn hides_token(pair: &[u8], name: &str) -> bool {
    // Most cookies have no room for a token, or no dot.
    let Some(rest) = pair.len().checked_sub(name.len()) else { return false };
    if rest < 3 || first_sign_of_token(pair).is_none() {
        return false;
    }
    let ends = |byte: &u8| is_space(*byte) || matches!(byte, b',' | b'"' | b'=');
    let mut signs = memchr::memchr_iter(b'=', pair);
    let Some(first) = signs.next() else { return false };
    let split = |at: usize| pair.split_at_checked(at).unwrap_or_default();
    // Of a value the name before which is ours any word may be the token: it may have a scheme, or quotes.
    let last_sign = pair.iter().rposition(|byte| matches!(byte, b'.' | b'%' | b'\\')).unwrap_or_default();
    let names = |at: usize| {
        let (before, _) = split(at);
        // Not what stands before it as well: white space before thousands of signs would be gone through for each.
        let end = before.iter().rposition(|byte| !is_space(*byte)).map_or(0, |end| end.saturating_add(1));
        let before = before.get(..end).unwrap_or_default();
        reads_as(before.rsplit(ends).next().unwrap_or_default(), name)
    };
    (last_sign > first && reads_as(split(first).0, name))
        || std::iter::once(first).chain(signs).take_while(|at| *at < last_sign).any(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_overlooked() {
        let names = [
            "", "-", "_", "a", "A", "x-a", "X_A", "x.a", "x-a-", "x_a_", "x-a.", "x-1", "x_1", "x-q", ":a",
            "x:a", "é",
        ];
        for found in names {
            let fields = [("accept".to_owned(), Vec::new()), (found.to_owned(), Vec::new())];
            let head = RequestHead::new(&fields);
            for name in names {
                assert_eq!(head.value(name).is_some(), found == name, "{found} {name}");
                assert_eq!(
                    twins(&head, name).any(|twin| twin == found),
                    is_twin(found, name),
                    "{found} {name}"
                );
            }
        }
    }

    #[test]
    fn names_that_readers_take_for_ours() {
        for found in [
            "token",
            "Token",
            "t%6Fken",
            " token",
            "token[]",
            "token[0]",
            "token%5B%5D",
            "token%00x",
            "+token+",
            "[token]",
            "[token",
            "]token",
            "%5Btoken%5D",
            "?token",
            "\u{a0}token",
            "%A0token",
        ] {
            assert!(reads_as(found.as_bytes(), "token"), "{found}");
        }
        for found in ["access.token", "access+token", "access%20token", "ACCESS_TOKEN", "access[token"] {
            assert!(reads_as(found.as_bytes(), "access_token"), "{found}");
        }
        for found in ["", "tok", "tokens", "xtoken", "x[token]", "to-ken", "[x]token"] {
            assert!(!reads_as(found.as_bytes(), "token"), "{found}");
        }
    }

    #[test]
    fn values_that_readers_take_for_a_token() {
        for value in [
            "a.b.c",
            "..",
            "a.b.c.d.e",
            "a%2Eb%2ec",
            r"a\056b\056c",
            "a.b.c,d=1.5",
            "1.0 \"a.b.c\"",
            "a.b.c\u{a0}1.2",
            "eyJhbGciOiJub25lIn0.eyJzdWIiOiJyb290In0",
            "eyJhbGciOiJub25lIn0.eyJzdWIiOiJyb290In0.s.x",
            r"a\u002eb\u002ec",
            "a%u002Eb%u002ec",
            r"a%2Eb\056c",
            "j%3A%22a%5Cu002eb%5Cu002ec%22",
        ] {
            assert!(looks_like_token(value.as_bytes()), "{value}");
        }
        for value in
            ["", "a", "a.b", "they.said", "192.168.0.1", "a.b.c.d.e.f", "%", "%2e", r"\056", "a%252eb%252ec"]
        {
            assert!(!looks_like_token(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn lines_that_mention_a_scheme() {
        for line in [
            "Bearer x",
            "bearer",
            "Bearer\tx",
            "Basic x, BEARER y",
            "Bearer=x",
            "xBearer a.b.c",
            "Bearera.b.c",
            "a.b.c",
            " \"a.b.c\"",
            "'a.b.c';",
            "a=.b==.c",
            "a%2eb.c",
            "Basic x,a.b.c",
        ] {
            assert!(mentions(line.as_bytes(), "Bearer"), "{line}");
        }
        for line in [
            "",
            "Basic dXNlcjpwYXNz",
            "Basic abBearercd",
            "Bearers x",
            "Token a.b.c",
            "Digest realm=\"a.b.c\", uri=x.y.z",
            "Beare",
        ] {
            assert!(!mentions(line.as_bytes(), "Bearer"), "{line}");
        }
    }

    #[test]
    fn pairs_that_hide_a_token() {
        for pair in [
            "a=1,t=a.b.c",
            "a=1 t = a.b.c",
            "a=\"x\",t=\"a.b.c\"",
            "T=a.b.c",
            "a,t=a.b.c",
            "%74=a.b.c",
            "a=1\tt=a.b.c",
        ] {
            assert!(hides_token(pair.as_bytes(), "t"), "{pair}");
        }
        for pair in ["", "t", "a=t", "a=1,t=x", "a=1,xt=a.b.c", "a=1&t=a.b.c", "a=a.b.c", "tt=a.b.c"] {
            assert!(!hides_token(pair.as_bytes(), "t"), "{pair}");
        }
    }
}

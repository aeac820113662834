//! A token that is too large for one cookie, in several: `name.1=2:kW3xQb9Z:eyJhbG…; name.2=2:kW3xQb9Z:Zm9vYm…`.
//!
//! Each part says how many there are, and by the end of the signature of which token it is: parts that an earlier session
//! or another host left behind do not mix with ours.

/// At most so many parts, some 15 kB: beyond, servers refuse the request for the size of its head.
const MAX_PARTS: usize = 4;
/// What follows the name in that of every cookie a token can be in: the whole, and each part.
pub(crate) const SUFFIXES: [&str; MAX_PARTS + 1] = ["", ".1", ".2", ".3", ".4"];
/// At most so many tokens are put together: a request has no more than eight signatures to spend.
const MAX_TOKENS: usize = 8;
/// The length of the end of the signature.
const TAG: usize = 8;

/// A part of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    /// Which one it is, from 1 on.
    pub number: usize,
    /// How many there are, and of which token.
    of: (usize, &'a [u8]),
    text: &'a [u8],
}

impl Part<'_> {
    /// Whether both are of one token.
    pub fn is_of_the_token_of(&self, other: &Part<'_>) -> bool {
        self.of == other.of
    }

    /// What follows the name of the cookie in that of the part.
    pub fn suffix(&self) -> &'static str {
        suffix(self.number)
    }
}

/// What follows the name of the cookie in that of a part, by its number.
fn suffix(number: usize) -> &'static str {
    SUFFIXES.get(number).copied().unwrap_or_default()
}

/// Reads what follows the name of the cookie in a pair: `.2=3:kW3xQb9Z:…`.
pub(super) fn read(behind_name: &[u8]) -> Option<Part<'_>> {
    let (number, value) = numbered(behind_name.strip_prefix(b".")?)?;
    let value = super::unquoted(value.trim_ascii_start().strip_prefix(b"=")?);
    let (count, rest) = numbered(value)?;
    let (tag, text) = rest.strip_prefix(b":")?.split_at_checked(TAG)?;
    (number <= count).then_some(Part { number, of: (count, tag), text: text.strip_prefix(b":")? })
}

/// A number of one digit from 1 to [`MAX_PARTS`], and what follows it.
fn numbered(text: &[u8]) -> Option<(usize, &[u8])> {
    let (digit, rest) = text.split_first()?;
    let number = usize::from(digit.checked_sub(b'0')?);
    (1..=MAX_PARTS).contains(&number).then_some((number, rest))
}

/// The value of a part.
pub(super) fn write(text: &str, count: usize, token: &str) -> String {
    let tag = token.len().checked_sub(TAG).and_then(|at| token.get(at..)).unwrap_or_default();
    format!("{count}:{tag}:{text}")
}

/// What follows the name of the cookie in that of each part, and its value, of which `room` bytes are for the token. `None`
/// if it takes too many.
pub(super) fn split(token: &str, room: usize) -> Option<Vec<(&'static str, String)>> {
    let count = token.len().checked_add(room)?.checked_sub(1)?.checked_div(room)?;
    if count > MAX_PARTS {
        return None;
    }
    let part = |(index, text): (usize, &[u8])| {
        Some((suffix(index.saturating_add(1)), write(std::str::from_utf8(text).ok()?, count, token)))
    };
    token.as_bytes().chunks(room).enumerate().map(part).collect()
}

/// Puts tokens together of which every part came, each with the place of its first part, in the order of these. Where a part
/// came more than once, all the first ones make a token, then all the second ones.
pub(crate) fn join<P: Copy>(parts: &[(P, Part<'_>)]) -> Vec<(P, Vec<u8>)> {
    let mut tokens = Vec::new();
    for (at, (place, first)) in parts.iter().enumerate() {
        let before = parts.iter().take(at).filter(|(_, other)| other.of == first.of && other.number == 1);
        let nth = before.count();
        if first.number != 1 || tokens.len() == MAX_TOKENS {
            continue;
        }
        let part = |number: usize| {
            let mut same = parts.iter().filter(|(_, other)| other.of == first.of && other.number == number);
            let own = same.clone().nth(nth).or_else(|| same.next_back());
            own.map(|(_, part)| part.text)
        };
        let texts: Option<Vec<&[u8]>> = (1..=first.of.0).map(part).collect();
        if let Some(texts) = texts {
            tokens.push((*place, texts.concat()));
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(line: &str) -> Vec<String> {
        let parts: Vec<_> =
            line.split("; ").filter_map(|pair| read(pair.strip_prefix("t")?.as_bytes())).collect();
        let placed: Vec<_> = parts.into_iter().enumerate().collect();
        join(&placed).into_iter().map(|(_, token)| String::from_utf8(token).unwrap()).collect()
    }

    #[test]
    fn what_is_split_is_put_together_again() {
        let token = format!("{}.{}.{}", "h".repeat(20), "p".repeat(70), "s".repeat(30));
        let parts = split(&token, 50).unwrap();
        assert_eq!(parts.len(), 3);
        let line: Vec<_> = parts.iter().rev().map(|(suffix, value)| format!("t{suffix}={value}")).collect();
        assert_eq!(tokens(&line.join("; ")), std::slice::from_ref(&token));
        assert_eq!(split(&token, 20), None);
    }

    #[test]
    fn parts_of_two_tokens_do_not_mix() {
        assert_eq!(
            tokens("t.1=2:aaaaaaaa:A; t.1=2:bbbbbbbb:B; t.2=2:bbbbbbbb:b; t.2=2:aaaaaaaa:a"),
            ["Aa", "Bb"]
        );
        assert_eq!(tokens("t.1=2:aaaaaaaa:A; t.2=2:bbbbbbbb:b"), <[&str; 0]>::default());
        assert_eq!(tokens("t.1=2:aaaaaaaa:A; t.1=2:aaaaaaaa:B; t.2=2:aaaaaaaa:a"), ["Aa", "Ba"]);
        assert_eq!(
            tokens("t.1=2:aaaaaaaa:A; t.2=2:aaaaaaaa:a; t.1=2:aaaaaaaa:B; t.2=2:aaaaaaaa:b"),
            ["Aa", "Bb"]
        );
    }

    #[test]
    fn what_is_no_part() {
        for pair in [
            "t.0=2:aaaaaaaa:",
            "t.3=2:aaaaaaaa:",
            "t.1=9:aaaaaaaa:",
            "t.1=2:aaaaaaaa",
            "t.1=2:aaa:",
            "t.1=",
            "t.10=2:aaaaaaaa:",
            "t.=",
            "t.1",
        ] {
            assert_eq!(read(pair.strip_prefix("t").unwrap().as_bytes()), None, "{pair}");
        }
    }
}

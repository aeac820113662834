//! Sessions that ended before their tokens expire. All workers know them by a list that they share.

use std::cell::RefCell;

use crate::jwt::{NumericDate, TokenHash, VerifiedJwt};

/// A session that is over before its token is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EndedSession {
    /// Its token.
    pub token: TokenHash,
    /// Until when that would have been taken; none: for ever.
    pub until: Option<NumericDate>,
}

/// The first byte of the list: a module of another version has another list.
const FORMAT: u8 = 2;
/// The hash of a token, until when it would have been taken, and when its session ended, in milliseconds since the epoch.
const ENTRY: usize = 32 + 8 + 8;
type Entry = [u8; ENTRY];

/// The sessions of this configuration that ended, as far as this worker knows.
#[derive(Debug, Default)]
pub struct EndedSessions(RefCell<Vec<Entry>>);

impl EndedSessions {
    /// More would be a flood, of people with tokens; then those go that ended first.
    pub const MOST: usize = 4096;
    /// A list without sessions.
    pub const EMPTY: &[u8] = &[FORMAT];

    /// The list with more sessions, and without those whose token is over anyway.
    #[must_use]
    pub fn merged(list: &[u8], sessions: &[EndedSession], now: NumericDate) -> Vec<u8> {
        let mut all: Vec<Entry> = entries(list).collect();
        all.retain(|own| date(own, 32) > milliseconds(now));
        for session in sessions {
            all.retain(|own| !own.starts_with(&session.token.0));
            let entry = entry(session, now);
            all.insert(all.partition_point(|own| *own < entry), entry);
            if all.len() > Self::MOST
                && let Some((oldest, _)) = all.iter().enumerate().min_by_key(|(_, own)| date(own, 40))
            {
                all.remove(oldest);
            }
        }
        [Self::EMPTY, all.as_flattened()].concat()
    }

    /// Takes note of the list, and tells the tokens whose sessions ended since the last time.
    pub fn note(&self, list: &[u8]) -> Vec<TokenHash> {
        let Ok(mut own) = self.0.try_borrow_mut() else { return Vec::new() };
        let all: Vec<Entry> = entries(list).collect();
        let new = all.iter().filter(|entry| own.binary_search(entry).is_err());
        let new = new.filter_map(|entry| entry.first_chunk().copied().map(TokenHash)).collect();
        *own = all;
        new
    }

    /// Whether the session of that token ended.
    pub fn has(&self, jwt: &VerifiedJwt) -> bool {
        self.0.try_borrow().is_ok_and(|entries| {
            !entries.is_empty() && {
                let TokenHash(hash) = jwt.hash();
                entries.binary_search_by(|own| own.first_chunk().cmp(&Some(&hash))).is_ok()
            }
        })
    }
}

/// The entries in their order. Whatever is in another order, somebody else wrote.
fn entries(list: &[u8]) -> impl Iterator<Item = Entry> {
    let entries = list.strip_prefix(EndedSessions::EMPTY).unwrap_or_default();
    let entries = entries.as_chunks().0;
    if entries.is_sorted() { entries } else { &[] }.iter().copied()
}

fn entry(session: &EndedSession, now: NumericDate) -> Entry {
    let mut entry = [0; ENTRY];
    let until = session.until.map_or(u64::MAX, milliseconds);
    let bytes = session.token.0.into_iter().chain(until.to_be_bytes()).chain(milliseconds(now).to_be_bytes());
    entry.iter_mut().zip(bytes).for_each(|(own, byte)| *own = byte);
    entry
}

fn date(entry: &Entry, at: usize) -> u64 {
    entry.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |time| u64::from_be_bytes(*time))
}

fn milliseconds(date: NumericDate) -> u64 {
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates"
    )]
    let whole = (date.seconds() * 1000.0) as u64;
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> NumericDate {
        NumericDate::from_seconds(seconds)
    }

    fn session(token: u16, until: Option<f64>) -> EndedSession {
        let mut hash = [0; 32];
        hash[30..].copy_from_slice(&token.to_be_bytes());
        EndedSession { token: TokenHash(hash), until: until.map(at) }
    }

    #[test]
    fn a_session_is_remembered_until_its_token_is_over() {
        let list = EndedSessions::merged(b"", &[session(1, Some(200.0)), session(2, None)], at(100.0));
        let known = EndedSessions::default();
        assert_eq!(known.note(&list), [session(1, None).token, session(2, None).token]);
        assert_eq!(known.note(&list), []);
        let list = EndedSessions::merged(&list, &[session(3, Some(300.0))], at(199.9));
        assert_eq!(known.note(&list), [session(3, None).token]);
        let list = EndedSessions::merged(&list, &[], at(200.0));
        assert_eq!(entries(&list).count(), 2);
    }

    #[test]
    fn who_signs_out_again_is_told_again_and_takes_no_more_room() {
        let known = EndedSessions::default();
        let list = EndedSessions::merged(b"", &[session(1, None)], at(100.0));
        assert_eq!(known.note(&list).len(), 1);
        let list = EndedSessions::merged(&list, &[session(1, None), session(1, None)], at(101.0));
        assert_eq!((known.note(&list).len(), entries(&list).count()), (1, 1));
    }

    #[test]
    fn a_flood_makes_the_oldest_be_forgotten() {
        let mut list = EndedSessions::EMPTY.to_vec();
        let most = u16::try_from(EndedSessions::MOST).unwrap();
        for token in (0..most + 2).rev() {
            list =
                EndedSessions::merged(&list, &[session(token, None)], at(f64::from(most - token.min(most))));
        }
        assert_eq!(entries(&list).count(), EndedSessions::MOST);
        let has = |token: u16| entries(&list).any(|entry| entry.starts_with(&session(token, None).token.0));
        assert!(has(0) && has(most - 1) && !has(most + 1));
    }

    #[test]
    fn a_list_of_something_else_is_none() {
        let known = EndedSessions::default();
        for list in [&[], &[1; 97][..], &[FORMAT, 0], b"\x02"] {
            assert_eq!(known.note(list), []);
        }
    }
}

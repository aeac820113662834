//! Sessions that ended before their tokens expire. All workers know them by a list that they share.
//!
//! It has room for so many, and no person may fill it: of each subject it names a few tokens, and beyond that a time of
//! issue up to which all of its tokens are dead. So nothing is forgotten while its token would be taken, but where more
//! subjects signed out than there is room for, and where a subject has many tokens that do not say when they were issued.

use std::cell::RefCell;

use crate::jwt::{NumericDate, TokenHash, VerifiedJwt, sha256};

/// A session that is over before its token is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EndedSession {
    key: Key,
    /// Until when its token would have been taken, in milliseconds since the epoch.
    until: u64,
    /// When that was issued; zero: it does not say.
    issued: u64,
}

impl EndedSession {
    /// That of a token, which would be taken `until` then; none: for ever.
    #[must_use]
    pub fn of(jwt: &VerifiedJwt, until: Option<NumericDate>) -> Self {
        let until = until.map_or(u64::MAX, milliseconds);
        Self { key: Key::of(jwt), until, issued: issued(jwt) }
    }
}

/// Whom a token is about, and which it is: two pieces of hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    subject: [u8; 16],
    token: [u8; 16],
}

impl Key {
    /// In the place of a subject: the token does not say whom it is about.
    const NOBODY: [u8; 16] = [0; 16];
    /// In the place of a token: all that were issued up to the time of the entry.
    const ALL: [u8; 16] = [0; 16];

    fn of(jwt: &VerifiedJwt) -> Self {
        let [subject, token] = jwt.remembered_as(|| {
            let subject = jwt.subject().map_or(Self::NOBODY, |subject| {
                let realm = jwt.realm();
                // With the length of one, no two pairs are one text.
                let length = realm.len().to_be_bytes();
                half(&sha256(&[&length, realm.as_bytes(), subject.as_bytes()].concat()))
            });
            let TokenHash(hash) = jwt.hash();
            [subject, half(&hash)]
        });
        Self { subject, token }
    }

    const fn all_of(subject: [u8; 16]) -> Self {
        Self { subject, token: Self::ALL }
    }
}

fn half(hash: &[u8; 32]) -> [u8; 16] {
    hash.first_chunk().copied().unwrap_or_default()
}

/// What the list holds of a session, or of all tokens of a subject that were issued up to a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndedEntry {
    key: Key,
    until: u64,
    issued: u64,
    /// When the last session of it ended.
    ended: u64,
}

/// The first byte of the list: a module of another version has another list.
const FORMAT: u8 = 4;
const ENTRY: usize = 16 + 16 + 8 + 8 + 8;

impl EndedEntry {
    fn read(bytes: &[u8; ENTRY]) -> Option<Self> {
        let (subject, rest) = bytes.split_first_chunk()?;
        let (token, rest) = rest.split_first_chunk()?;
        let [until, issued, ended] = rest.as_chunks().0 else { return None };
        let [until, issued, ended] = [until, issued, ended].map(|time| u64::from_be_bytes(*time));
        Some(Self { key: Key { subject: *subject, token: *token }, until, issued, ended })
    }

    fn write(&self, list: &mut Vec<u8>) {
        list.extend(self.key.subject);
        list.extend(self.key.token);
        for time in [self.until, self.issued, self.ended] {
            list.extend(time.to_be_bytes());
        }
    }

    fn has(&self, key: &Key, issued: u64) -> bool {
        self.key == *key
            || self.key.subject == key.subject
                && self.key.token == Key::ALL
                && (1..=self.issued).contains(&issued)
    }

    /// Whether any of them speaks of that token.
    #[must_use]
    pub fn any_of(entries: &[Self], jwt: &VerifiedJwt) -> bool {
        !entries.is_empty() && {
            let (key, issued) = (Key::of(jwt), issued(jwt));
            entries.iter().any(|entry| entry.has(&key, issued))
        }
    }
}

/// The sessions of this configuration that ended, as far as this worker knows; in the order of their keys.
#[derive(Debug, Default)]
pub struct EndedSessions(RefCell<Vec<EndedEntry>>);

impl EndedSessions {
    /// All entries.
    pub const MOST: usize = 4096;
    /// Those of one subject.
    pub const OF_ONE: usize = 8;
    /// Those of one subject whose tokens do not say when they were issued; of these, the ones that expire first go.
    pub const OF_TIMELESS: usize = 64;
    /// Those of tokens that do not say whom they are about; of these, the ones that expire first go.
    pub const OF_NOBODY: usize = 1024;
    /// A list without sessions.
    pub const EMPTY: &[u8] = &[FORMAT];

    /// The list with more sessions, and without those whose token is over anyway.
    #[must_use]
    pub fn merged(list: &[u8], sessions: &[EndedSession], now: NumericDate) -> Vec<u8> {
        let now = milliseconds(now);
        let mut all = entries(list);
        all.retain(|own| own.until > now);
        for session in sessions {
            add(&mut all, session, now);
        }
        let mut list = Self::EMPTY.to_vec();
        list.reserve(all.len().saturating_mul(ENTRY));
        for entry in &all {
            entry.write(&mut list);
        }
        list
    }

    /// Takes note of the list, and tells what of it is new since the last time.
    pub fn note(&self, list: &[u8]) -> Vec<EndedEntry> {
        let Ok(mut own) = self.0.try_borrow_mut() else { return Vec::new() };
        let all = entries(list);
        let mut known = own.iter().peekable();
        let is_new = |entry: &&EndedEntry| {
            while known.next_if(|known| known.key < entry.key).is_some() {}
            known.next_if(|known| known.key == entry.key).is_none_or(|known| known != *entry)
        };
        let new = all.iter().filter(is_new).copied().collect();
        *own = all;
        new
    }

    /// Whether the session of that token ended.
    pub fn has(&self, jwt: &VerifiedJwt) -> bool {
        self.0.try_borrow().is_ok_and(|entries| {
            !entries.is_empty() && {
                let (key, issued) = (Key::of(jwt), issued(jwt));
                let found = |wanted: &Key| {
                    let at = entries.binary_search_by(|own| own.key.cmp(wanted)).ok();
                    at.and_then(|at| entries.get(at)).is_some_and(|own| own.has(&key, issued))
                };
                found(&key) || found(&Key::all_of(key.subject))
            }
        })
    }
}

/// Adds a session to the entries, in their order.
fn add(all: &mut Vec<EndedEntry>, session: &EndedSession, now: u64) {
    let EndedSession { key, until, issued } = *session;
    let of_subject = run(all, &key.subject);
    let same =
        all.get_mut(of_subject.clone()).and_then(|own| own.iter_mut().find(|own| own.has(&key, issued)));
    if let Some(own) = same {
        own.until = own.until.max(until);
        own.ended = now;
        return;
    }
    all.insert(all.partition_point(|own| own.key < key), EndedEntry { key, until, issued, ended: now });
    let is_nobody = key.subject == Key::NOBODY;
    // Whoever signs out now is not the one who is forgotten.
    let is_other = |own: &EndedEntry| own.key != key;
    if is_nobody && of_subject.len() >= EndedSessions::OF_NOBODY {
        forget_first(all, |own| own.key.subject == Key::NOBODY && is_other(own));
    } else if !is_nobody {
        let is_kin = |own: &&EndedEntry| (own.issued == 0) == (issued == 0);
        let kin = all.get(of_subject).unwrap_or_default().iter().filter(is_kin).count();
        // Of tokens without a time of issue no later one could be told apart: those are named, or forgotten.
        if issued == 0 && kin >= EndedSessions::OF_TIMELESS {
            forget_first(all, |own| own.key.subject == key.subject && own.issued == 0 && is_other(own));
        } else if issued != 0 && kin >= EndedSessions::OF_ONE {
            collapse(all, &key.subject);
        }
    }
    if all.len() > EndedSessions::MOST {
        make_room(all, &key);
    }
}

/// Where the entries of a subject stand.
fn run(all: &[EndedEntry], subject: &[u8; 16]) -> std::ops::Range<usize> {
    let start = all.partition_point(|own| own.key.subject < *subject);
    start..all.partition_point(|own| own.key.subject <= *subject)
}

/// Makes of the entries of a subject one: all of its tokens up to the last of these are dead. Those whose tokens do not say when
/// they were issued stay.
fn collapse(all: &mut Vec<EndedEntry>, subject: &[u8; 16]) {
    let run = run(all, subject);
    let (timeless, timed): (Vec<EndedEntry>, Vec<EndedEntry>) =
        all.get(run.clone()).unwrap_or_default().iter().partition(|own| own.issued == 0);
    let last = |time: fn(&EndedEntry) -> u64| timed.iter().map(time).max().unwrap_or_default();
    let one = EndedEntry {
        key: Key::all_of(*subject),
        until: last(|own| own.until),
        issued: last(|own| own.issued),
        ended: last(|own| own.ended),
    };
    let one = Some(one).filter(|_| !timed.is_empty());
    all.splice(run, one.into_iter().chain(timeless));
}

/// Where there are too many: whoever has most entries has one instead. Where nobody has two, a sign-out must be forgotten, and
/// it is the one that matters for the shortest time.
fn make_room(all: &mut Vec<EndedEntry>, new: &Key) {
    let runs = all.chunk_by(|a, b| a.key.subject == b.key.subject);
    let runs = runs.filter_map(|run| Some((run.len(), run.first()?.key.subject)));
    let longest = runs.filter(|(length, subject)| *length > 1 && *subject != Key::NOBODY).max();
    match longest {
        Some((length, subject)) => {
            collapse(all, &subject);
            if run(all, &subject).len() == length {
                forget_first(all, |own| own.key.subject == subject && own.key != *new);
            }
        }
        None => forget_first(all, |own| own.key != *new),
    }
}

fn forget_first(all: &mut Vec<EndedEntry>, may: impl Fn(&EndedEntry) -> bool) {
    let first = all.iter().enumerate().filter(|(_, own)| may(own)).min_by_key(|(_, own)| own.until);
    if let Some((at, _)) = first {
        all.remove(at);
    }
}

/// The entries in their order. Whatever is in another order, somebody else wrote.
fn entries(list: &[u8]) -> Vec<EndedEntry> {
    let entries = list.strip_prefix(EndedSessions::EMPTY).unwrap_or_default().as_chunks().0;
    let entries: Vec<EndedEntry> = entries.iter().filter_map(EndedEntry::read).collect();
    if entries.is_sorted_by(|a, b| a.key < b.key) { entries } else { Vec::new() }
}

/// When a token was issued; zero: it does not say, or before there were any.
fn issued(jwt: &VerifiedJwt) -> u64 {
    jwt.issued().map_or(0, milliseconds)
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

    fn piece(number: u16) -> [u8; 16] {
        let mut piece = [1; 16];
        piece[14..].copy_from_slice(&number.to_be_bytes());
        piece
    }

    fn session(subject: u16, token: u16, until: Option<f64>) -> EndedSession {
        let key = Key { subject: piece(subject), token: piece(token) };
        let until = until.map_or(u64::MAX, |until| milliseconds(at(until)));
        EndedSession { key, until, issued: u64::from(token) }
    }

    fn nobodys(token: u16, until: f64) -> EndedSession {
        let session = session(0, token, Some(until));
        EndedSession { key: Key { subject: Key::NOBODY, ..session.key }, ..session }
    }

    fn has(list: &[u8], session: &EndedSession) -> bool {
        entries(list).iter().any(|own| own.has(&session.key, session.issued))
    }

    #[test]
    fn a_session_is_remembered_until_its_token_is_over() {
        let (first, second, third) =
            (session(1, 1, Some(200.0)), session(1, 2, None), session(0, 3, Some(300.0)));
        let list = EndedSessions::merged(b"", &[second, first], at(100.0));
        let known = EndedSessions::default();
        assert_eq!(known.note(&list).iter().map(|own| own.key).collect::<Vec<_>>(), [first.key, second.key]);
        assert_eq!(known.note(&list), []);
        let list = EndedSessions::merged(&list, &[third], at(199.9));
        assert_eq!(known.note(&list).iter().map(|own| own.key).collect::<Vec<_>>(), [third.key]);
        let list = EndedSessions::merged(&list, &[], at(200.0));
        assert!(!has(&list, &first) && has(&list, &second) && has(&list, &third));
        assert_eq!(known.note(&list), []);
    }

    #[test]
    fn who_signs_out_again_is_told_again_and_takes_no_more_room() {
        let known = EndedSessions::default();
        let mine = session(1, 1, None);
        let list = EndedSessions::merged(b"", &[mine], at(100.0));
        assert_eq!(known.note(&list).len(), 1);
        let list = EndedSessions::merged(&list, &[mine, mine], at(101.0));
        assert_eq!((known.note(&list).len(), entries(&list).len()), (1, 1));
    }

    #[test]
    fn a_flood_of_one_subject_takes_little_room_and_nothing_is_forgotten() {
        let other = session(7, 7, Some(5000.0));
        let mut list = EndedSessions::merged(b"", &[other], at(99.0));
        let all: Vec<EndedSession> = (1..5000).map(|token| session(1, token, Some(9000.0))).collect();
        for (number, mine) in all.iter().enumerate() {
            list = EndedSessions::merged(&list, &[*mine], at(100.0));
            let count = entries(&list).len();
            assert!(
                count <= EndedSessions::OF_ONE + 1
                    && (number >= EndedSessions::OF_ONE || count == number + 2)
            );
        }
        assert!(has(&list, &other) && all.iter().all(|mine| has(&list, mine)));
        // Who signs in again is let in, and may sign out again.
        let later = session(1, 6000, Some(9999.0));
        assert!(!has(&list, &later));
        assert!(has(&EndedSessions::merged(&list, &[later], at(100.0)), &later));
        // Tokens without a time of issue are named one by one: later ones are let in.
        let timeless = |token| EndedSession { issued: 0, ..session(1, token, Some(9999.0)) };
        assert!(!has(&list, &timeless(7000)));
        for token in 7000..7100 {
            list = EndedSessions::merged(&list, &[timeless(token)], at(100.0));
        }
        assert!(has(&list, &timeless(7099)) && !has(&list, &timeless(7100)) && has(&list, &other));
        assert!(entries(&list).len() <= EndedSessions::OF_TIMELESS + EndedSessions::OF_ONE + 2);
        assert!(!has(&list, &EndedSession { issued: 0, ..session(2, 7000, None) }));
        assert_eq!(entries(&EndedSessions::merged(&list, &[], at(10_000.0))), []);
    }

    #[test]
    fn where_many_signed_out_each_subject_keeps_an_entry() {
        let most = u16::try_from(EndedSessions::MOST).unwrap();
        let all: Vec<EndedSession> = (0..most)
            .flat_map(|subject| [1, 2].map(|token| session(subject, token, Some(f64::from(subject) + 200.0))))
            .collect();
        let mut list = EndedSessions::EMPTY.to_vec();
        for some in all.chunks(1024) {
            list = EndedSessions::merged(&list, some, at(100.0));
        }
        assert_eq!(entries(&list).len(), EndedSessions::MOST);
        assert!(all.iter().step_by(97).all(|own| has(&list, own)));
        // One more is one too many: that goes which is over first.
        let one_more = session(most, 1, Some(900.0));
        let list = EndedSessions::merged(&list, &[one_more], at(100.0));
        assert!(
            has(&list, &one_more)
                && !has(&list, &all[0])
                && all[2..].iter().step_by(97).all(|own| has(&list, own))
        );
    }

    #[test]
    fn tokens_of_nobody_make_nobody_be_forgotten() {
        let mine = session(1, 1, Some(200.0));
        let mut list = EndedSessions::merged(b"", &[mine], at(100.0));
        for token in 1..3000 {
            list = EndedSessions::merged(&list, &[nobodys(token, 1000.0 + f64::from(token))], at(100.0));
        }
        assert_eq!(entries(&list).len(), EndedSessions::OF_NOBODY + 1);
        // One that expires before all others is remembered as well.
        let first = nobodys(5000, 200.0);
        assert!(has(&EndedSessions::merged(&list, &[first], at(100.0)), &first));
        assert!(has(&list, &mine) && has(&list, &nobodys(2999, 0.0)) && !has(&list, &nobodys(1, 0.0)));
        assert!(!has(&list, &nobodys(0, 0.0)));
    }

    #[test]
    fn a_list_of_something_else_is_none() {
        let known = EndedSessions::default();
        for list in [&[], &[1; 113][..], &[FORMAT; 113][..], &[FORMAT, 0], b"\x02"] {
            assert_eq!(known.note(list), []);
        }
    }
}

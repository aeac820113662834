//! Tokens that were verified a moment ago, so that each is verified once.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use quick_cache::unsync::Cache;
use quick_cache::{Equivalent, Weighter};

use crate::claim_headers::PreparedHeaders;
use crate::jwt::{Base64Url, VerifiedJwt};
use crate::rules::RuleClaims;

/// A verified token, and what the upstream is told of it.
#[derive(Debug)]
pub struct KnownToken {
    /// The token.
    pub jwt: VerifiedJwt,
    /// Its claims as headers.
    pub headers: PreparedHeaders,
    /// The claims that its page is told, as a JSON object.
    pub told: Option<String>,
    /// The claims that rules speak of.
    pub rules: RuleClaims,
    /// The state of what is revoked with which it was compared last; zero: it was not.
    pub passed: Cell<u32>,
}

/// The verified tokens of one configuration in one worker.
///
/// It is a part of the policy that verified them, so no entry outlives its keys; whether it is still timely is asked at
/// each hit. Only what was verified gets in, and only the very same bytes find it. What is used again stays before what was
/// seen once, so a flood of tokens makes the filter forget hardly anybody who comes again meanwhile.
pub struct TokenCache(RefCell<Cache<Compact, Rc<KnownToken>, Bytes>>);

impl TokenCache {
    /// What all entries together may take. A worker with more people than fit verifies some of their tokens again.
    const BYTES: u64 = 4 * 1024 * 1024;
    /// How many tokens that might be: room for as many is made at once.
    const TOKENS: usize = 2048;

    /// The token of those bytes, written in that form, if it was verified before and `holds` still.
    pub fn get(
        &self,
        compact: &[u8],
        form: Base64Url,
        holds: impl Fn(&VerifiedJwt) -> bool,
    ) -> Option<Rc<KnownToken>> {
        let wanted = Wanted(compact, form);
        let mut tokens = self.0.try_borrow_mut().ok()?;
        let known = tokens.get(&wanted)?;
        if holds(&known.jwt) {
            return Some(Rc::clone(known));
        }
        tokens.remove(&wanted);
        None
    }

    /// Remembers a token.
    pub fn add(&self, known: &Rc<KnownToken>, form: Base64Url) {
        if let Ok(mut tokens) = self.0.try_borrow_mut() {
            tokens.insert(Compact(Rc::clone(known.jwt.compact()), form), Rc::clone(known));
        }
    }

    /// Forgets all: they were verified by keys that are no more.
    pub fn clear(&self) {
        if let Ok(mut tokens) = self.0.try_borrow_mut() {
            tokens.clear();
        }
    }

    /// How many tokens it remembers.
    pub fn len(&self) -> usize {
        self.0.try_borrow().map_or(0, |tokens| tokens.len())
    }
}

impl Default for TokenCache {
    fn default() -> Self {
        Self(RefCell::new(Cache::with_weighter(Self::TOKENS, Self::BYTES, Bytes)))
    }
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenCache({} tokens)", self.len())
    }
}

/// What an entry takes.
#[derive(Clone)]
struct Bytes;

impl Weighter<Compact, Rc<KnownToken>> for Bytes {
    fn weight(&self, Compact(compact, _): &Compact, known: &Rc<KnownToken>) -> u64 {
        /// Of the cache and of the allocator, for an entry and its parts.
        const OVERHEAD: usize = 256;
        let told = known.told.as_ref().map_or(0, String::len);
        let prepared = known.headers.bytes().saturating_add(known.rules.bytes());
        let bytes = [compact.len(), known.jwt.bytes(), prepared, told, OVERHEAD];
        bytes.into_iter().fold(0, |sum, bytes| sum.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX)))
    }
}

/// A token as a key. What is one in the one form is none in the other, unless no part needs padding.
struct Compact(Rc<str>, Base64Url);

/// What may be such a token.
struct Wanted<'t>(&'t [u8], Base64Url);

impl PartialEq for Compact {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0 && self.1 == other.1
    }
}

impl Eq for Compact {}

impl Equivalent<Compact> for Wanted<'_> {
    fn equivalent(&self, Compact(compact, form): &Compact) -> bool {
        // WebAssembly has no instruction for it, and the library's way there goes byte by byte.
        let (words, rest) = self.0.as_chunks::<8>();
        let (other_words, other_rest) = compact.as_bytes().as_chunks::<8>();
        words.len() == other_words.len()
            && words.iter().zip(other_words).all(|(a, b)| u64::from_ne_bytes(*a) == u64::from_ne_bytes(*b))
            && rest == other_rest
            && self.1 == *form
    }
}

impl Hash for Compact {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Wanted(self.0.as_bytes(), self.1).hash(state);
    }
}

impl Hash for Wanted<'_> {
    /// The end of the signature tells tokens apart as well as all of it would: who could choose it would have the key. That
    /// two entries are the same token, their bytes decide.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.0.last_chunk::<32>().map_or(self.0, |tail| tail));
    }
}

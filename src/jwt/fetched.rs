//! Keys that were fetched from the issuer, and may be others a moment later.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::{JwkSet, NumericDate, VerifyingKey};

/// A key that is of no use, and why: whoever sends a token of its `kid` asks for that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedKey {
    kid: Option<String>,
    why: String,
}

impl SkippedKey {
    /// A key with that `kid`, if it has one; `why` says which it is, too.
    #[must_use]
    pub const fn new(kid: Option<String>, why: String) -> Self {
        Self { kid, why }
    }

    /// Which it is, and why it is of no use.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }
}

/// A key that is of no use, from when on, and whether somebody was told.
#[derive(Debug, PartialEq)]
pub struct Skipping {
    key: SkippedKey,
    /// None: since the configuration was loaded.
    since: Option<NumericDate>,
    told: Cell<bool>,
}

impl Skipping {
    /// From then on, or since the configuration was loaded.
    #[must_use]
    pub const fn new(key: SkippedKey, since: Option<NumericDate>) -> Self {
        Self { key, since, told: Cell::new(false) }
    }

    /// Whether it is that of a token with this `kid`.
    pub(super) fn is_of(&self, kid: &str) -> bool {
        self.key.kid.as_deref() == Some(kid)
    }

    /// Whether nobody asked before: what is told once for each key is not multiplied by whoever sends many tokens.
    #[must_use]
    pub fn is_news(&self) -> bool {
        !self.told.replace(true)
    }

    /// Which it is, and why it is of no use.
    #[must_use]
    pub fn why(&self) -> &str {
        self.key.why()
    }

    /// None: since the configuration was loaded.
    #[must_use]
    pub const fn since(&self) -> Option<NumericDate> {
        self.since
    }
}

/// The keys of a provider that are fetched.
#[derive(Clone, Debug)]
pub struct FetchedKeys {
    /// The number of their feed.
    pub feed: usize,
    /// None until they were fetched for the first time.
    keys: RefCell<Option<Rc<[VerifyingKey]>>>,
    skipped: RefCell<Vec<Rc<Skipping>>>,
}

impl FetchedKeys {
    /// Those of a feed; there are none yet.
    #[must_use]
    pub const fn of(feed: usize) -> Self {
        Self { feed, keys: RefCell::new(None), skipped: RefCell::new(Vec::new()) }
    }

    /// The keys as they are now; none if they were never fetched.
    #[must_use]
    pub fn keys(&self) -> Option<Rc<[VerifyingKey]>> {
        self.keys.try_borrow().ok()?.clone()
    }

    /// What is known of a `kid` whose key is of no use.
    pub(super) fn skipped(&self, kid: &str) -> Option<Rc<Skipping>> {
        self.skipped.try_borrow().ok()?.iter().find(|skipped| skipped.is_of(kid)).cloned()
    }

    /// Puts those in place of the others. What was skipped before, for the same reason, is so since then.
    pub fn replace(&self, set: JwkSet, now: NumericDate) {
        if let (Ok(mut keys), Ok(mut skipped)) = (self.keys.try_borrow_mut(), self.skipped.try_borrow_mut()) {
            *keys = Some(set.keys.into());
            let named = set.skipped.into_iter().filter(|skipped| skipped.kid.is_some());
            *skipped = named
                .map(|key| {
                    let before = skipped.iter().find(|before| before.key == key).cloned();
                    before.unwrap_or_else(|| Rc::new(Skipping::new(key, Some(now))))
                })
                .collect();
        }
    }
}

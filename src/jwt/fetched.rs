//! Keys that were fetched from the issuer, and may be others a moment later.

use std::cell::RefCell;
use std::rc::Rc;

use super::VerifyingKey;

/// The keys of a provider that are fetched.
#[derive(Clone, Debug)]
pub struct FetchedKeys {
    /// The number of their feed.
    pub feed: usize,
    /// None until they were fetched for the first time.
    keys: RefCell<Option<Rc<[VerifyingKey]>>>,
}

impl FetchedKeys {
    /// Those of a feed; there are none yet.
    #[must_use]
    pub const fn of(feed: usize) -> Self {
        Self { feed, keys: RefCell::new(None) }
    }

    /// The keys as they are now; none if they were never fetched.
    #[must_use]
    pub fn keys(&self) -> Option<Rc<[VerifyingKey]>> {
        self.keys.try_borrow().ok()?.clone()
    }

    /// Puts those in place of the others.
    pub fn replace(&self, keys: Vec<VerifyingKey>) {
        if let Ok(mut own) = self.keys.try_borrow_mut() {
            *own = Some(keys.into());
        }
    }
}

//! Requests that wait for what is being fetched.

use std::cell::RefCell;

use crate::jwt::NumericDate;

/// Requests of this worker that wait.
#[derive(Default)]
pub(super) struct Waiting(RefCell<Vec<Waiter>>);

/// A request that waits for what is being fetched.
pub(super) struct Waiter {
    pub id: u32,
    pub feed: usize,
    /// The form that came with it.
    pub form: Option<Vec<u8>>,
    /// Until when, in seconds.
    pub until: NumericDate,
}

impl Waiting {
    /// More would be a flood, and is not worth its memory.
    const MOST: usize = 4096;

    /// False: too many wait already.
    pub(super) fn add(&self, waiter: Waiter) -> bool {
        let Ok(mut waiting) = self.0.try_borrow_mut() else { return false };
        let fits = waiting.len() < Self::MOST;
        if fits {
            waiting.push(waiter);
        }
        fits
    }

    pub(super) fn has(&self, id: u32) -> bool {
        self.0.try_borrow().is_ok_and(|waiting| waiting.iter().any(|waiter| waiter.id == id))
    }

    pub(super) fn remove(&self, id: u32) {
        if let Ok(mut waiting) = self.0.try_borrow_mut() {
            waiting.retain(|waiter| waiter.id != id);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.try_borrow().is_ok_and(|waiting| waiting.is_empty())
    }

    /// Whether somebody waits for that feed.
    pub(super) fn need(&self, feed: usize) -> bool {
        self.0.try_borrow().is_ok_and(|waiting| waiting.iter().any(|waiter| waiter.feed == feed))
    }

    /// Takes out those that `are` meant.
    pub(super) fn take(&self, are: impl Fn(&Waiter) -> bool) -> Vec<Waiter> {
        let Ok(mut waiting) = self.0.try_borrow_mut() else { return Vec::new() };
        waiting.extract_if(.., |waiter| are(waiter)).collect()
    }
}
